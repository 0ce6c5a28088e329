//! How long a policy takes from text to module, stage by stage, at 1 to 10,000 rules.
//! `docs/performance.md` says how to read it.

#![expect(clippy::print_stdout, reason = "a benchmark shows its table")]

use anyhow::{Context, Result, ensure};
use chancery_policy_lang::analyse::analyse;
use chancery_policy_lang::check::CheckOptions;
use chancery_policy_lang::checked::Direction;
use chancery_policy_lang::classify::classify;
use chancery_policy_lang::emit::{ModuleOptions, emit};
use chancery_policy_lang::link::link;
use chancery_policy_lang::linked::Workload;
use chancery_policy_lang::lower::lower;
use chancery_policy_lang::tabulate::tabulate;
use chancery_policy_lang::{Diagnostic, SourceSet};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const SIZES: [usize; 5] = [1, 10, 100, 1_000, 10_000];
/// How often each is compiled; the median counts.
const ROUNDS: usize = 9;
const STAGES: [&str; 6] = ["check", "link", "lower", "classify", "tabulate", "emit"];

fn main() -> Result<()> {
    println!("milliseconds, medians of {ROUNDS}");
    for (name, policy) in [("one path and one header a rule", plain as fn(usize) -> String), ("mixed", mixed)]
    {
        println!(
            "\n{name}\n{:>6} {} {:>9} {:>9} {:>8}",
            "rules",
            STAGES.map(|s| format!("{s:>9}")).join(" "),
            "all",
            "bytes",
            "/ rule"
        );
        for rules in SIZES {
            let text = policy(rules);
            let mut runs = (0..ROUNDS).map(|_| compile(&text)).collect::<Result<Vec<Run>>>()?;
            runs.sort_by_key(|run| run.stages.iter().sum::<Duration>());
            let run = runs.get(ROUNDS / 2).context("a round")?;
            let stages: Vec<String> =
                run.stages.iter().map(|time| format!("{:9.2}", milliseconds(*time))).collect();
            let all = milliseconds(run.stages.iter().sum());
            println!("{rules:6} {} {all:9.2} {:9} {:8}", stages.join(" "), run.bytes, run.bytes / rules);
        }
    }
    Ok(())
}

struct Run {
    stages: [Duration; STAGES.len()],
    bytes: usize,
}

fn compile(text: &str) -> Result<Run> {
    let workload = Workload {
        namespace: "shop".to_owned(),
        service: "orders".to_owned(),
        labels: BTreeMap::new(),
        trust_domain: "chancery.local".to_owned(),
    };
    let mut sources = SourceSet::new();
    sources.add("bench.writ", text);
    let mut clock = Instant::now();
    let mut lap = || std::mem::replace(&mut clock, Instant::now()).elapsed();
    let analysis = analyse(&sources, CheckOptions::default());
    let checked = lap();
    ensure!(!analysis.diagnostics.iter().any(Diagnostic::is_error), "{:?}", analysis.diagnostics.first());
    let program = link(&analysis.policies, &workload, Direction::Inbound).ok().flatten();
    let program = program.context("the policies concern the workload")?;
    let linked = lap();
    let plan = lower(&program)?;
    let lowered = lap();
    let classes = classify(&plan)?;
    let classified = lap();
    let tables = tabulate(&plan, &classes)?;
    let tabulated = lap();
    let module = emit(&plan, &classes, &tables, ModuleOptions::default())?;
    Ok(Run { stages: [checked, linked, lowered, classified, tabulated, lap()], bytes: module.bytes.len() })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Rules that differ in path and header.
fn plain(rules: usize) -> String {
    let mut text = "auth bench on mesh {\n".to_owned();
    for rule in 0..rules {
        let _ = writeln!(
            text,
            "  r{rule}: allow GET /api/svc{rule}/** when headers[\"x-user\"] == \"user{rule}\""
        );
    }
    text + "}\n"
}

/// Rules such as people write: method lists, 200 services, `*` and `**`, callers, networks, headers
/// by presence, value and beginning, and a few conditions; a fifth of them denials.
fn mixed(rules: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = move |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    };
    let mut text = "auth bench on mesh {\n".to_owned();
    for rule in 0..rules {
        let effect = if below(5) == 0 { "deny" } else { "allow" };
        let methods =
            ["GET", "GET, POST", "", "PUT, DELETE"].get(below(4) as usize).copied().unwrap_or_default();
        let end = match below(3) {
            0 => "**".to_owned(),
            1 => format!("item{}", below(500)),
            _ => format!("*/x{}", below(30)),
        };
        let path =
            if below(10) == 0 { String::new() } else { format!("/svc{}/v{}/{end}", below(200), below(3)) };
        let caller = match below(20) {
            0..8 => format!("from service ns{}/svc{}", below(20), below(200)),
            8..11 => format!("from namespace ns{}", below(20)),
            11 => format!("from ip 10.{}.{}.0/24", below(256), below(256)),
            _ => String::new(),
        };
        let condition = match below(20) {
            0..2 => format!("when has(headers[\"x-h{}\"])", below(20)),
            2..4 => format!("when headers[\"x-tenant\"] == \"t{}\"", below(300)),
            4 => format!("when headers[\"x-version\"].startsWith(\"v{}\")", below(50)),
            5 => format!("when request.size < {}", 1 << below(20)),
            _ => String::new(),
        };
        let bare = methods.is_empty() && path.is_empty() && caller.is_empty() && condition.is_empty();
        let methods = if bare { "HEAD" } else { methods };
        let _ = writeln!(text, "  r{rule}: {effect} {methods} {path} {caller} {condition}");
    }
    text + "}\n"
}
