//! What it costs a request to find its route: ours beside Envoy's own list of routes, one of them and thousands.
//! `docs/performance.md` says how to read it.
//!
//! Each route answers by itself, so that nothing but finding it is measured. `CHANCERY_BENCH_ROUNDS` and
//! `CHANCERY_BENCH_REQUESTS` set how much.

#![expect(clippy::print_stdout, reason = "a benchmark shows its table")]

use anyhow::{Context, Error, Result};
use chancery_policy_lang::budget::Budget;
use chancery_policy_lang::check::CheckOptions;
use chancery_policy_lang::emit::compile;
use chancery_policy_lang::link::link_calls;
use chancery_policy_lang::linked::Workload;
use chancery_policy_lang::routes::{self, RouteTable};
use chancery_policy_lang::{SourceSet, analyse};
use chancery_tests::cost::{Variant, added, measure, median};
use chancery_tests::envoy::{Envoy, answering_listener, wasm_filter};
use hyper::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Rounds without another wish.
const ROUNDS: usize = 15;
/// Requests of a round without another wish.
const REQUESTS: usize = 5_000;
/// How many routes there are.
const COUNTS: [usize; 4] = [1, 100, 1_000, 10_000];
/// How much of the cost of one route that of the most may be.
const BUDGET: f64 = 1.5;

fn main() -> Result<()> {
    let rounds = number("CHANCERY_BENCH_ROUNDS", ROUNDS)?;
    let requests = number("CHANCERY_BENCH_REQUESTS", REQUESTS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(rounds, requests))
}

async fn run(rounds: usize, requests: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut names = vec![NONE.to_owned()];
    let mut listeners = vec![answering_listener(NONE, Vec::new(), json!({}))];
    for count in COUNTS {
        let (module, table) = made(count)?;
        let path = folder.path().join(format!("{count}.wasm"));
        std::fs::write(&path, module)?;
        names.push(ours(count));
        let filters = vec![wasm_filter(&format!("f{count}"), &path, "")];
        listeners.push(answering_listener(&ours(count), filters, json!({"route_config": by_key(&table)})));
        names.push(native(count));
        listeners.push(answering_listener(&native(count), Vec::new(), json!({"route_config": list(count)})));
    }
    let envoy = Envoy::start(folder, json!({"listeners": listeners})).await?;
    let variant = |name: &String| {
        // Of the routes the last one is asked for.
        let last = name.split(' ').next().and_then(|count| count.parse::<usize>().ok()).unwrap_or(1) - 1;
        Variant {
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

/// The module of a caller of a service with so many routes, and their table.
fn made(count: usize) -> Result<(Vec<u8>, RouteTable)> {
    let route = |number: usize| format!("  route /items/{number}/** -> service shop/s{number}\n");
    let text = format!("traffic t on mesh {{\n{}}}\n", (0..count).map(route).collect::<String>());
    let mut sources = SourceSet::new();
    sources.add("bench.writ", text.as_str());
    let analysis = analyse(&sources, CheckOptions::default());
    let target = Workload {
        namespace: "shop".to_owned(),
        service: "all".to_owned(),
        labels: BTreeMap::new(),
        trust_domain: "mesh.test".to_owned(),
    };
    let words = |found: Vec<chancery_policy_lang::Diagnostic>| {
        Error::msg(found.first().map(|found| found.message.clone()).unwrap_or_default())
    };
    let program = link_calls(&analysis.policies, &target, None, &mut Budget::new()).map_err(words)?;
    let program = program.context("the policy says something")?;
    let table = routes::table(&program.calls).map_err(|found| words(vec![*found]))?;
    Ok((compile(&program)?.bytes.to_vec(), table))
}

/// The routes of a table, looked up by the key that the module writes.
fn by_key(table: &RouteTable) -> Value {
    let route = || {
        json!({"name": "route", "typed_config": {
            "@type": "type.googleapis.com/envoy.config.route.v3.Route",
            "match": {"prefix": "/"}, "direct_response": {"status": 200},
        }})
    };
    let map: serde_json::Map<String, Value> =
        table.entries.keys().map(|key| (key.clone(), json!({"action": route()}))).collect();
    let refused = json!({"action": {"name": "none", "typed_config": {
        "@type": "type.googleapis.com/envoy.config.route.v3.Route",
        "match": {"prefix": "/"}, "direct_response": {"status": 404},
    }}});
    json!({"virtual_hosts": [{"name": "all", "domains": ["*"], "matcher": {
        "matcher_tree": {
            "input": {"name": "key", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.FilterStateInput",
                "key": "wasm.route",
            }},
            "exact_match_map": {"map": map},
        },
        "on_no_match": refused,
    }}]})
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

fn number(name: &str, otherwise: usize) -> Result<usize> {
    Ok(std::env::var(name).ok().map(|text| text.parse()).transpose()?.unwrap_or(otherwise))
}
