//! How long a decision takes without Envoy: our module beside `cel`, `cedar-policy` and `regorus`, at 1 to
//! 1,000 rules. `docs/performance.md` says how to read it.
//!
//! `CHANCERY_BENCH_ROUNDS` sets how much is measured.

use anyhow::{Context, Result, ensure};
use chancery_engines::workload::Workload;
use chancery_engines::{Engine, cedar, cel, ours, rego};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rounds without another wish.
const ROUNDS: usize = 15;
/// How long an engine decides in each round.
const ROUND: Duration = Duration::from_millis(30);
const SIZES: [usize; 4] = [1, 10, 100, 1_000];
/// How many times faster than the fastest other ours shall be, by rules.
const BUDGETS: [(usize, f64); 2] = [(100, 50.0), (1_000, 400.0)];
/// How many of the engines are ours; they come first.
const OURS: usize = 3;

fn main() -> Result<()> {
    let rounds = std::env::var("CHANCERY_BENCH_ROUNDS").ok().map(|text| text.parse()).transpose()?;
    println!("nanoseconds a decision, medians of {} rounds", rounds.unwrap_or(ROUNDS));
    for workload in [Workload::plain as fn(usize) -> Workload, Workload::mixed] {
        let mut table = Vec::new();
        for rules in SIZES {
            let workload = workload(rules);
            let mut engines = engines(&workload)?;
            agree(&workload, &mut engines)?;
            let times = measure(&mut engines, workload.requests.len(), rounds.unwrap_or(ROUNDS))?;
            table.push((rules, times));
            if rules == SIZES[SIZES.len() - 1] {
                let names: Vec<&str> = engines.iter().map(|engine| engine.name()).collect();
                report(workload.name, &names, &table);
            }
        }
    }
    Ok(())
}

fn engines(workload: &Workload) -> Result<Vec<Box<dyn Engine>>> {
    Ok(vec![
        Box::new(ours::Bare::new(workload, false)?),
        Box::new(ours::Bare::new(workload, true)?),
        Box::new(ours::InHost::new(workload)?),
        Box::new(cel::Rules::new(workload).context("cel")?),
        Box::new(cel::Whole::new(workload).context("cel")?),
        Box::new(cedar::Cedar::new(workload).context("cedar-policy")?),
        Box::new(rego::Rego::new(workload).context("regorus")?),
    ])
}

/// All engines decide every request alike; else nothing is compared.
fn agree(workload: &Workload, engines: &mut [Box<dyn Engine>]) -> Result<()> {
    let mut allowed = 0;
    for (at, request) in workload.requests.iter().enumerate() {
        let expected = workload.allows(request);
        allowed += usize::from(expected);
        for engine in engines.iter_mut() {
            let decided = engine.decide(at).with_context(|| engine.name())?;
            ensure!(decided == expected, "{} decides {decided} on {request:?}", engine.name());
        }
    }
    ensure!(allowed > 0 && allowed < workload.requests.len(), "all requests are decided alike");
    Ok(())
}

/// The time of a decision of each engine in each round, in nanoseconds. The engines take turns in each round, so
/// that whatever else the machine does falls on all.
fn measure(engines: &mut [Box<dyn Engine>], requests: usize, rounds: usize) -> Result<Vec<Vec<f64>>> {
    let mut times = vec![Vec::new(); engines.len()];
    for _ in 0..rounds {
        for (engine, times) in engines.iter_mut().zip(&mut times) {
            times.push(one_round(engine.as_mut(), requests)?);
        }
    }
    Ok(times)
}

fn one_round(engine: &mut dyn Engine, requests: usize) -> Result<f64> {
    let start = Instant::now();
    let mut decisions = 0_u32;
    while start.elapsed() < ROUND {
        for request in 0..requests {
            black_box(engine.decide(black_box(request))?);
            decisions += 1;
        }
    }
    Ok(start.elapsed().as_nanos() as f64 / f64::from(decisions))
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A table of times, and below it how many times faster ours is than the fastest other, in the same round.
fn report(workload: &str, names: &[&str], table: &[(usize, Vec<Vec<f64>>)]) {
    let row = |name: &str, cell: &dyn Fn(usize, &[Vec<f64>]) -> String| {
        let cells: String =
            table.iter().map(|(rules, times)| format!("{:>10}", cell(*rules, times))).collect();
        println!("{name:38}{cells}");
    };
    let of = |times: &[Vec<f64>], engine: usize, round: usize| {
        times.get(engine).and_then(|rounds| rounds.get(round)).copied().unwrap_or(f64::NAN)
    };
    println!("\n{workload}");
    row("rules", &|rules, _| rules.to_string());
    for (at, name) in names.iter().enumerate() {
        row(name, &|_, times| format!("{:.0}", median(times.get(at).into_iter().flatten().copied())));
    }
    for (ours, name) in names.iter().enumerate().take(OURS) {
        row(&format!("fastest other / {name}"), &|_, times| {
            let rounds = times.first().map_or(0, Vec::len);
            let ratios = (0..rounds).map(|round| {
                let others = (OURS..names.len()).map(|other| of(times, other, round));
                others.fold(f64::INFINITY, f64::min) / of(times, ours, round)
            });
            format!("{:.1}", median(ratios))
        });
    }
    let budget =
        |rules: usize| BUDGETS.iter().find(|(at, _)| *at == rules).map(|(_, budget)| budget.to_string());
    row("budget of the first", &|rules, _| budget(rules).unwrap_or_default());
}
