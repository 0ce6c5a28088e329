//! What a request costs as a policy grows: our module beside native RBAC, at 1 to 10,000 rules.
//! `docs/performance.md` says how to read it.
//!
//! `CHANCERY_BENCH_ROUNDS` sets how much is measured.

#![expect(clippy::print_stdout, reason = "a benchmark shows its table")]

use anyhow::Result;
use chancery_policy_lang::emit::ModuleOptions;
use chancery_tests::cost::{Variant, added, measure, median, setting};
use chancery_tests::envoy::{Envoy, answering_listener, wasm_filter};
use chancery_tests::filters;
use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::time::Instant;

/// Rounds without another wish.
const ROUNDS: usize = 21;
/// Requests of a round where a request costs little.
const REQUESTS: usize = 8_000;
/// Rules that native RBAC asks in all requests of a round, so that a round takes a second.
const RULES_ASKED_MAX: usize = 2_000_000;
const SIZES: [usize; 4] = [1, 100, 1_000, 10_000];
const NONE: &str = "no filter";

fn main() -> Result<()> {
    let rounds = setting("CHANCERY_BENCH_ROUNDS", ROUNDS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(rounds))
}

async fn run(rounds: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut listeners = vec![answering_listener(NONE, Vec::new(), json!({}))];
    // Two sets of rounds: the long ones of native RBAC would put minutes between those of ours.
    let (mut of_ours, mut of_native) = (vec![variant(NONE, 1, REQUESTS)], vec![variant(NONE, 1, REQUESTS)]);
    for rules in SIZES {
        let start = Instant::now();
        let module = filters::compiled(&policy(rules), ModuleOptions::default())?;
        println!("{rules:6} rules: module of {} bytes, from text in {:?}", module.len(), start.elapsed());
        let path = folder.path().join(format!("{rules}.wasm"));
        std::fs::write(&path, module)?;
        let (ours, native) = (ours(rules), native(rules));
        listeners.push(answering_listener(&ours, vec![wasm_filter(&ours, &path, "")], json!({})));
        listeners.push(answering_listener(&native, vec![filters::rbac(rbac_policies(rules))], json!({})));
        of_ours.push(variant(&ours, rules, REQUESTS));
        of_native.push(variant(&native, rules, REQUESTS.min(RULES_ASKED_MAX / rules)));
    }
    let envoy = Envoy::start(folder, json!({"listeners": listeners})).await?;
    let ours = added_us(&measure(&envoy, &of_ours, rounds).await?);
    let native = added_us(&measure(&envoy, &of_native, rounds).await?);
    report(&ours, &native);
    envoy.stop().await
}

fn ours(rules: usize) -> String {
    format!("ours {rules}")
}

fn native(rules: usize) -> String {
    format!("native {rules}")
}

/// Rules that differ in path and header; the last one in the order of names is asked for.
fn policy(rules: usize) -> String {
    let rules: String = (0..rules)
        .map(|rule| {
            format!("  r{rule:05}: allow GET /s{rule:05}/** when headers[\"x-team\"] == \"t{rule:05}\"\n")
        })
        .collect();
    format!("auth many on mesh {{\n{rules}}}\n")
}

fn rbac_policies(rules: usize) -> serde_json::Map<String, Value> {
    let policy = |rule: usize| {
        let team = format!("t{rule:05}");
        filters::rbac_policy(&format!("/s{rule:05}/"), &[(":method", "GET"), ("x-team", &team)])
    };
    (0..rules).map(|rule| (format!("r{rule:05}"), policy(rule))).collect()
}

fn variant(listener: &str, rules: usize, requests: usize) -> Variant {
    let last = rules - 1;
    let mut headers = vec![("x-team".to_owned(), format!("t{last:05}"))];
    headers
        .extend((0..8).map(|number| (format!("x-other-{number}"), format!("value-{number}-of-some-length"))));
    Variant {
        varying: None,
        body: Bytes::new(),
        listener: listener.to_owned(),
        path: format!("/s{last:05}/items/7"),
        headers,
        status: StatusCode::OK,
        requests,
    }
}

/// What each variant costs over the first, in microseconds: one number for each of [`SIZES`].
fn added_us(costs: &[Vec<f64>]) -> Vec<f64> {
    let Some((none, others)) = costs.split_first() else { return Vec::new() };
    others.iter().map(|costs| median(&added(costs, none)) / 1_000.0).collect()
}

fn report(ours: &[f64], native: &[f64]) {
    let at_one = ours.first().copied().unwrap_or(f64::NAN);
    println!("\nCPU time of the Envoy process per request over no filter, in µs");
    println!("{:>8} {:>10} {:>12} {:>22}", "rules", "ours", "native RBAC", "ours / ours at 1 rule");
    for ((rules, ours), native) in SIZES.iter().zip(ours).zip(native) {
        println!("{rules:8} {ours:10.2} {native:12.2} {:22.2}", ours / at_one);
    }
    let grown = ours.last().copied().unwrap_or(f64::NAN) / at_one;
    println!("budget, at most 1.5 x at 10,000 rules: {}", if grown <= 1.5 { "kept" } else { "NOT KEPT" });
}
