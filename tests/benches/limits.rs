//! What a limit costs a request: ours beside `local_ratelimit`, one of them and thousands. `docs/performance.md` says
//! how to read it.
//!
//! `CHANCERY_BENCH_ROUNDS` and `CHANCERY_BENCH_REQUESTS` set how much is measured.

#![expect(clippy::print_stdout, reason = "a benchmark shows its table")]

use anyhow::{Context, Result};
use chancery_policy_lang::emit::ModuleOptions;
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
/// How many limits there are in the largest row.
const MANY: [usize; 3] = [100, 1_000, 10_000];

const NONE: &str = "no filter";
const OPEN: &str = "our module without limits";
const ONE: &str = "one limit";
const KEYED: &str = "one limit per header";
const TWO: &str = "two limits";
const NATIVE: &str = "local_ratelimit";
const NATIVE_KEYED: &str = "local_ratelimit per header";

/// A rule, so that the module that counts and the one that does not are otherwise the same.
const RULE: &str = "auth a on mesh { all: allow /items/** }\n";

fn main() -> Result<()> {
    let rounds = setting("CHANCERY_BENCH_ROUNDS", ROUNDS)?;
    let requests = setting("CHANCERY_BENCH_REQUESTS", REQUESTS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(rounds, requests))
}

async fn run(rounds: usize, requests: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut rows: Vec<(String, Vec<Value>)> = vec![(NONE.to_owned(), Vec::new())];
    let mut ours = |name: &str, limits: &str| -> Result<()> {
        let text = format!("{RULE}{}", if limits.is_empty() { String::new() } else { traffic(limits) });
        let path = folder.path().join(format!("{}.wasm", rows.len()));
        std::fs::write(&path, filters::compiled(&text, ModuleOptions::default())?)?;
        rows.push((name.to_owned(), vec![wasm_filter(&format!("f{}", rows.len()), &path, "")]));
        Ok(())
    };
    ours(OPEN, "")?;
    ours(ONE, "limit 1000000/s")?;
    ours(KEYED, "limit 1000000/s per headers[\"x-tenant\"]")?;
    ours(TWO, "limit 1000000/s limit 900000/s per headers[\"x-tenant\"]")?;
    for count in MANY {
        let limits: String =
            (0..count).map(|number| format!("limit 1000000/s for /items/{number}/**\n")).collect();
        ours(&many(count), &limits)?;
    }
    rows.push((NATIVE.to_owned(), vec![local_rate_limit(false)]));
    rows.push((NATIVE_KEYED.to_owned(), vec![local_rate_limit(true)]));
    let names: Vec<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    let listeners: Vec<Value> =
        rows.into_iter().map(|(name, filters)| answering_listener(&name, filters, json!({}))).collect();
    let envoy = Envoy::start(folder, json!({"listeners": listeners})).await?;
    let variants: Vec<Variant> = names
        .iter()
        .map(|name| Variant {
            varying: None,
            body: Bytes::new(),
            listener: name.clone(),
            path: "/items/77/x".to_owned(),
            headers: (0..8)
                .map(|number| (format!("x-other-{number}"), format!("value-{number}-of-some-length")))
                .chain([("x-tenant".to_owned(), "a-tenant-of-some-length".to_owned())])
                .collect(),
            status: StatusCode::OK,
            requests,
        })
        .collect();
    let costs = measure(&envoy, &variants, rounds).await?;
    report(&names, &costs)?;
    envoy.stop().await
}

fn traffic(limits: &str) -> String {
    format!("traffic t on mesh {{ {limits} }}")
}

fn many(count: usize) -> String {
    format!("{count} limits, one of which counts")
}

fn report(names: &[String], costs: &[Vec<f64>]) -> Result<()> {
    let of = |wanted: &str| {
        let at = names.iter().position(|name| name == wanted);
        at.and_then(|at| costs.get(at)).with_context(|| format!("no row {wanted}"))
    };
    let (none, open) = (of(NONE)?, of(OPEN)?);
    println!("CPU time of the Envoy process per request, medians of {} rounds", none.len());
    println!("{:36} {:>9} {:>9} {:>16}", "", "all µs", "added µs", "over no limit µs");
    for name in names {
        let own = of(name)?;
        let (all, more) = (median(own), median(&added(own, none)));
        let over = median(&added(own, open));
        println!("{name:36} {:9.2} {:9.2} {:16.2}", all / 1_000.0, more / 1_000.0, over / 1_000.0);
    }
    let [_, _, most] = MANY;
    let ratio = median(&added(of(&many(most))?, none)) / median(&added(of(ONE)?, none));
    let verdict = if ratio <= 1.5 { "kept" } else { "NOT KEPT" };
    println!("{most} limits / one limit {ratio:.2}  budget 1.50  {verdict}");
    Ok(())
}

/// Envoy's own limit: one bucket, or one for each value of a header.
fn local_rate_limit(keyed: bool) -> Value {
    let bucket = json!({"max_tokens": 1_000_000, "tokens_per_fill": 1_000_000, "fill_interval": "1s"});
    let all = json!({"numerator": 100, "denominator": "HUNDRED"});
    let enabled = json!({"default_value": all});
    let mut config = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "limit",
        "token_bucket": bucket,
        "filter_enabled": enabled,
        "filter_enforced": enabled,
    });
    if let (true, Some(config)) = (keyed, config.as_object_mut()) {
        let action = json!({"request_headers": {"header_name": "x-tenant", "descriptor_key": "tenant"}});
        config.insert("rate_limits".to_owned(), json!([{"actions": [action]}]));
        config.insert(
            "descriptors".to_owned(),
            json!([{"entries": [{"key": "tenant"}], "token_bucket": bucket}]),
        );
        config.insert("max_dynamic_descriptors".to_owned(), json!(1_000));
    }
    json!({"name": "envoy.filters.http.local_ratelimit", "typed_config": config})
}
