//! What each conditional statement of `traffic` and `log` costs a request, over the same module without it.
//! `docs/performance.md` says how to read it.
//!
//! `CHANCERY_BENCH_ROUNDS` and `CHANCERY_BENCH_REQUESTS` set how much is measured.

#![expect(clippy::print_stdout, reason = "a benchmark shows its table")]

use anyhow::{Context, Result};
use chancery_policy_lang::emit::ModuleOptions;
use chancery_tests::callers::{answering_by_key, calling};
use chancery_tests::cost::{Variant, added, measure, median, setting};
use chancery_tests::envoy::{Envoy, answering_listener, wasm_filter};
use chancery_tests::filters;
use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value, json};

/// Rounds without another wish.
const ROUNDS: usize = 15;
/// Requests of a round without another wish.
const REQUESTS: usize = 5_000;
/// What a statement may add, in microseconds of CPU time a request.
const BUDGET_US: f64 = 1.0;

/// The modules without a statement: one that decides what comes in, and one of a caller that chooses a route.
/// Both look at a header, as the statements' conditions do.
const INBOUND: (&str, &str) =
    ("inbound, without", "auth a on mesh { all: allow /items/** when headers[\"x-team\"] == \"blue\" }");
const CALLING: (&str, &str) =
    ("calling, without", "route /items/** when headers[\"x-team\"] == \"blue\" -> service shop/blue");

/// What is true of all requests, and no constant.
const MET: &str = "when headers[\"x-tenant\"] == \"a-tenant-of-some-length\"";

/// Statements of what comes in, by the kind of their policy.
const OF_INBOUND: [(&str, &str); 10] = [
    ("deny, not met", "auth b on mesh { deny when headers[\"x-tenant\"] == \"nobody\" }"),
    ("set request header", "traffic t on mesh { set request header x-tier = \"gold\" MET }"),
    (
        "set request header to another",
        "traffic t on mesh { set request header x-tier = headers[\"x-tenant\"] MET }",
    ),
    ("set response header", "traffic t on mesh { set response header x-tier = \"gold\" MET }"),
    ("remove request header", "traffic t on mesh { remove request header x-other-1 MET }"),
    ("limit", "traffic t on mesh { limit 1000000/s MET }"),
    ("limit per header", "traffic t on mesh { limit 1000000/s per headers[\"x-tenant\"] MET }"),
    // Of a bucket of fewer than 512 tokens no worker has any in hand.
    ("limit of a small burst", "traffic t on mesh { limit 1000000/s burst 511 MET }"),
    ("sample by the request", "log l on mesh { sample 100% MET }"),
    ("sample by the answer, not met", "log l on mesh { sample 100% when response.code >= 500 }"),
];

/// Statements of callers, beside the route.
const OF_CALLING: [(&str, &str); 6] = [
    ("timeout", "timeout 5s MET"),
    ("retry", "retry 2 on 5xx backoff 10ms MET"),
    ("mirror", "mirror 5% -> service shop/shadow MET"),
    ("fault of no share", "fault 0% abort 503 MET"),
    ("rewrite", "rewrite /items/{item}/x MET -> /things/{item}"),
    (
        "redirect, not met",
        "redirect /items/{item}/x when headers[\"x-tenant\"] == \"nobody\" -> \"/things/{item}\"",
    ),
];

/// What the host calls of which statements are made cost in a module that does nothing else, over one that does nothing: what
/// it does with a request, and with an answer if it is called for them. No statement that needs a call can cost less.
const BARE: &str = "nothing, bare";
const OF_BARE: [(&str, &str, Option<&str>); 4] = [
    ("request header set, bare", "(drop (call $set (i32.const 0) ADDED))", None),
    ("request header removed, bare", "(drop (call $remove (i32.const 0) REMOVED))", None),
    ("called for the answer, bare", "", Some("")),
    ("response header set, bare", "", Some("(drop (call $set (i32.const 2) ADDED))")),
];

/// A row: its name, its listener's filters and options, and the row that it is measured over.
struct Row {
    name: String,
    filters: Vec<Value>,
    options: Value,
    over: Option<&'static str>,
}

fn main() -> Result<()> {
    let rounds = setting("CHANCERY_BENCH_ROUNDS", ROUNDS)?;
    let requests = setting("CHANCERY_BENCH_REQUESTS", REQUESTS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(rounds, requests))
}

async fn run(rounds: usize, requests: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut rows = Vec::new();
    let filter = |number: usize, module: &[u8]| -> Result<Vec<Value>> {
        let path = folder.path().join(format!("{number}.wasm"));
        std::fs::write(&path, module)?;
        Ok(vec![wasm_filter(&format!("f{number}"), &path, "")])
    };
    for (name, statement) in std::iter::once((INBOUND.0, "")).chain(OF_INBOUND) {
        let text = format!("{}\n{}\n", INBOUND.1, statement.replace("MET", MET));
        let filters = filter(rows.len(), &filters::compiled(&text, ModuleOptions::default())?)?;
        let over = (name != INBOUND.0).then_some(INBOUND.0);
        rows.push(Row { name: name.to_owned(), filters, options: json!({}), over });
    }
    for (name, statement) in std::iter::once((CALLING.0, "")).chain(OF_CALLING) {
        let text = format!("traffic t on mesh {{ {}\n{} }}\n", CALLING.1, statement.replace("MET", MET));
        let (module, table) = calling(&text)?;
        let options = json!({"route_config": answering_by_key(&table)});
        let over = (name != CALLING.0).then_some(CALLING.0);
        rows.push(Row { name: name.to_owned(), filters: filter(rows.len(), &module)?, options, over });
    }
    for (name, of_request, of_answer) in std::iter::once((BARE, "", None)).chain(OF_BARE) {
        let over = (name != BARE).then_some(BARE);
        let module = filters::bare(of_request, of_answer)?;
        rows.push(Row {
            name: name.to_owned(),
            filters: filter(rows.len(), &module)?,
            options: json!({}),
            over,
        });
    }
    let listeners: Vec<Value> = rows
        .iter()
        .map(|row| answering_listener(&row.name, row.filters.clone(), row.options.clone()))
        .collect();
    let envoy = Envoy::start(folder, json!({"listeners": listeners})).await?;
    let variants: Vec<Variant> = rows.iter().map(|row| variant(&row.name, requests)).collect();
    let costs = measure(&envoy, &variants, rounds).await?;
    report(&rows, &costs)?;
    envoy.stop().await
}

fn variant(listener: &str, requests: usize) -> Variant {
    let own = [("x-team", "blue"), ("x-tenant", "a-tenant-of-some-length")];
    Variant {
        varying: None,
        body: Bytes::new(),
        listener: listener.to_owned(),
        path: "/items/77/x".to_owned(),
        headers: (0..8)
            .map(|number| (format!("x-other-{number}"), format!("value-{number}-of-some-length")))
            .chain(own.map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect(),
        status: StatusCode::OK,
        requests,
    }
}

fn report(rows: &[Row], costs: &[Vec<f64>]) -> Result<()> {
    let of = |wanted: &str| {
        let at = rows.iter().position(|row| row.name == wanted);
        at.and_then(|at| costs.get(at)).with_context(|| format!("no row {wanted}"))
    };
    println!("CPU time of the Envoy process per request, medians of {} rounds", of(INBOUND.0)?.len());
    println!("{:32} {:>9} {:>9}  budget {BUDGET_US:.1}", "", "all µs", "added µs");
    for row in rows {
        let own = of(&row.name)?;
        let all = median(own) / 1_000.0;
        let Some(over) = row.over else {
            println!("{:32} {all:9.2}", row.name);
            continue;
        };
        let more = median(&added(own, of(over)?)) / 1_000.0;
        let verdict = if more <= BUDGET_US { "kept" } else { "NOT KEPT" };
        println!("{:32} {all:9.2} {more:9.2}  {verdict}", row.name);
    }
    Ok(())
}
