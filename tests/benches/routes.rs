//! What it costs a request to find its route: ours beside Envoy's own list of routes, one of them and thousands.
//! `docs/performance.md` says how to read it.
//!
//! Each route answers by itself, so that nothing but finding it is measured. `CHANCERY_BENCH_ROUNDS` and
//! `CHANCERY_BENCH_REQUESTS` set how much.

#![expect(clippy::print_stdout, reason = "a benchmark shows its table")]

use anyhow::{Context, Result};
use chancery_tests::callers::{answering_by_key, calling};
use chancery_tests::cost::{Variant, added, measure, median, setting};
use chancery_tests::envoy::{Envoy, answering_listener, wasm_filter};
use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value, json};

/// Rounds without another wish.
const ROUNDS: usize = 15;
/// Requests of a round without another wish.
const REQUESTS: usize = 5_000;
/// How many routes there are.
const COUNTS: [usize; 4] = [1, 100, 1_000, 10_000];
/// How much of the cost of one route that of the most may be.
const BUDGET: f64 = 1.5;

fn main() -> Result<()> {
    let rounds = setting("CHANCERY_BENCH_ROUNDS", ROUNDS)?;
    let requests = setting("CHANCERY_BENCH_REQUESTS", REQUESTS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(rounds, requests))
}

async fn run(rounds: usize, requests: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut names = vec![NONE.to_owned()];
    let mut listeners = vec![answering_listener(NONE, Vec::new(), json!({}))];
    for count in COUNTS {
        let route = |number: usize| format!("  route /items/{number}/** -> service shop/s{number}\n");
        let text = format!("traffic t on mesh {{\n{}}}\n", (0..count).map(route).collect::<String>());
        let (module, table) = calling(&text)?;
        let path = folder.path().join(format!("{count}.wasm"));
        std::fs::write(&path, module)?;
        names.push(ours(count));
        let filters = vec![wasm_filter(&format!("f{count}"), &path, "")];
        listeners.push(answering_listener(
            &ours(count),
            filters,
            json!({"route_config": answering_by_key(&table)}),
        ));
        names.push(native(count));
        listeners.push(answering_listener(&native(count), Vec::new(), json!({"route_config": list(count)})));
    }
    let envoy = Envoy::start(folder, json!({"listeners": listeners})).await?;
    let variant = |name: &String| {
        // Of the routes the last one is asked for.
        let last = name.split(' ').next().and_then(|count| count.parse::<usize>().ok()).unwrap_or(1) - 1;
        Variant {
            varying: None,
            body: Bytes::new(),
            listener: name.clone(),
            path: format!("/items/{last}/x"),
            headers: (0..8)
                .map(|number| (format!("x-other-{number}"), format!("value-{number}-of-some-length")))
                .collect(),
            status: StatusCode::OK,
            requests,
        }
    };
    let variants: Vec<Variant> = names.iter().map(variant).collect();
    let costs = measure(&envoy, &variants, rounds).await?;
    report(&names, &costs)?;
    envoy.stop().await
}

const NONE: &str = "no filter";

fn ours(count: usize) -> String {
    format!("{count} of our routes")
}

fn native(count: usize) -> String {
    format!("{count} of Envoy's routes")
}

/// As many routes of Envoy's own, of which the last one matches.
fn list(count: usize) -> Value {
    let route = |number: usize| json!({"match": {"path_separated_prefix": format!("/items/{number}")}, "direct_response": {"status": 200}});
    let routes: Vec<Value> = (0..count).map(route).collect();
    json!({"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]})
}

fn report(names: &[String], costs: &[Vec<f64>]) -> Result<()> {
    let of = |wanted: &str| {
        let at = names.iter().position(|name| name == wanted);
        at.and_then(|at| costs.get(at)).with_context(|| format!("no row {wanted}"))
    };
    let none = of(NONE)?;
    println!("CPU time of the Envoy process per request, medians of {} rounds", none.len());
    println!("{:28} {:>9} {:>9}", "", "all µs", "added µs");
    for name in names {
        let own = of(name)?;
        println!("{name:28} {:9.2} {:9.2}", median(own) / 1_000.0, median(&added(own, none)) / 1_000.0);
    }
    let [one, _, _, most] = COUNTS;
    let ratio = median(&added(of(&ours(most))?, none)) / median(&added(of(&ours(one))?, none));
    let verdict = if ratio <= BUDGET { "kept" } else { "NOT KEPT" };
    println!("{most} routes / one route {ratio:.2}  budget {BUDGET:.2}  {verdict}");
    Ok(())
}
