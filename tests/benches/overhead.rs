//! What a small policy costs a request: our module beside native RBAC, Lua, an empty Wasm filter
//! and filters written by hand. `docs/performance.md` says how to read it.
//!
//! `CHANCERY_BENCH_ROUNDS` and `CHANCERY_BENCH_REQUESTS` set how much is measured.

#![expect(clippy::print_stdout, reason = "a benchmark shows its table")]

use anyhow::Result;
use chancery_policy_lang::emit::ModuleOptions;
use chancery_tests::cost::{Variant, added, measure, median, setting};
use chancery_tests::envoy::{Envoy, answering_listener, wasm_filter};
use chancery_tests::filters;
use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Rounds without another wish.
const ROUNDS: usize = 21;
/// Requests of a round without another wish.
const REQUESTS: usize = 10_000;

const POLICY: &str = r#"
auth small on mesh {
  readers: allow GET /api/** when headers["x-team"] == "blue" && headers["x-role"] == "reader"
  otherwise deny respond 403
}
"#;

const LUA: &str = r#"
function envoy_on_request(handle)
  local headers = handle:headers()
  if headers:get(":method") == "GET" and string.sub(headers:get(":path"), 1, 5) == "/api/"
      and headers:get("x-team") == "blue" and headers:get("x-role") == "reader" then
    return
  end
  handle:respond({[":status"] = "403"}, "")
end
"#;

const LUA_SAYING: &str = r#"
function envoy_on_request(handle)
  local headers = handle:headers()
  local metadata = handle:streamInfo():dynamicMetadata()
  if headers:get(":method") == "GET" and string.sub(headers:get(":path"), 1, 5) == "/api/"
      and headers:get("x-team") == "blue" and headers:get("x-role") == "reader" then
    metadata:set("writ", "rule", "small/readers")
    return
  end
  metadata:set("writ", "rule", "small/otherwise")
  handle:respond({[":status"] = "403"}, "")
end
"#;

const NONE: &str = "no filter";
const EMPTY: &str = "empty Wasm";
const RBAC: &str = "native RBAC";
const HAND_PAIRS: &str = "by hand, all headers at once";
const SDK: &str = "on the SDK, header by header";
const SDK_PAIRS: &str = "on the SDK, all headers at once";

/// Ours, and what it is compared with: filters that do the same.
struct Job {
    title: &'static str,
    ours: &'static str,
    lua: &'static str,
    hand: &'static str,
}

const DECIDING: Job = Job {
    title: "deciding",
    ours: "our module, deciding only",
    lua: "Lua",
    hand: "by hand, header by header",
};
const SAYING: Job = Job {
    title: "deciding and saying the rule",
    ours: "our module",
    lua: "Lua, saying the rule",
    hand: "by hand, saying the rule",
};

fn main() -> Result<()> {
    let rounds = setting("CHANCERY_BENCH_ROUNDS", ROUNDS)?;
    let requests = setting("CHANCERY_BENCH_REQUESTS", REQUESTS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(rounds, requests))
}

async fn run(rounds: usize, requests: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ours = filters::compiled(POLICY, ModuleOptions::default())?;
    let deciding =
        filters::compiled(POLICY, ModuleOptions { rule_in_filter_state: false, ..ModuleOptions::default() })?;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("filters");
    let (hand, sdk) = (filters::hand_written(&target)?, filters::with_sdk(&target)?);
    let (hand_bytes, sdk_bytes) = (std::fs::metadata(&hand)?.len(), std::fs::metadata(&sdk)?.len());
    println!("our module: {} bytes, by hand: {hand_bytes}, on the SDK: {sdk_bytes}", ours.len());
    let ours = write(folder.path(), "ours.wasm", &ours)?;
    let deciding = write(folder.path(), "deciding.wasm", &deciding)?;
    let empty = write(folder.path(), "empty.wasm", &filters::empty()?)?;
    let headers = [(":method", "GET"), ("x-team", "blue"), ("x-role", "reader")];
    let policies = [("readers".to_owned(), filters::rbac_policy("/api/", &headers))].into_iter().collect();
    let rows: Vec<(&str, Vec<Value>)> = vec![
        (NONE, Vec::new()),
        (EMPTY, vec![wasm_filter("empty", &empty, "")]),
        (RBAC, vec![filters::rbac(policies)]),
        (DECIDING.lua, vec![filters::lua(LUA)]),
        (DECIDING.ours, vec![wasm_filter("deciding", &deciding, "")]),
        (DECIDING.hand, vec![wasm_filter("hand", &hand, "")]),
        (HAND_PAIRS, vec![wasm_filter("pairs", &hand, "pairs")]),
        (SDK, vec![wasm_filter("sdk", &sdk, "")]),
        (SDK_PAIRS, vec![wasm_filter("sdk-pairs", &sdk, r#"{"pairs": true}"#)]),
        (SAYING.lua, vec![filters::lua(LUA_SAYING)]),
        (SAYING.ours, vec![wasm_filter("ours", &ours, "")]),
        (SAYING.hand, vec![wasm_filter("saying", &hand, "says")]),
    ];
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    let listeners: Vec<Value> =
        rows.into_iter().map(|(name, filters)| answering_listener(name, filters, json!({}))).collect();
    let envoy = Envoy::start(folder, json!({"listeners": listeners})).await?;

    for (title, team, status) in
        [("allowed", "blue", StatusCode::OK), ("denied", "red", StatusCode::FORBIDDEN)]
    {
        let variants: Vec<Variant> = names
            .iter()
            .map(|name| Variant {
                varying: None,
                body: Bytes::new(),
                listener: (*name).to_owned(),
                path: "/api/items/7".to_owned(),
                headers: request_headers(team),
                // Without a policy, or with an empty one, nothing is denied.
                status: if matches!(*name, NONE | EMPTY) { StatusCode::OK } else { status },
                requests,
            })
            .collect();
        let costs = measure(&envoy, &variants, rounds).await?;
        report(title, &names, &costs);
    }
    envoy.stop().await
}

/// What a client sends: ten headers, of which the policy reads two.
fn request_headers(team: &str) -> Vec<(String, String)> {
    let mut headers =
        vec![("x-team".to_owned(), team.to_owned()), ("x-role".to_owned(), "reader".to_owned())];
    headers
        .extend((0..8).map(|number| (format!("x-other-{number}"), format!("value-{number}-of-some-length"))));
    headers
}

fn report(title: &str, names: &[&str], costs: &[Vec<f64>]) {
    let of = |wanted: &str| names.iter().position(|name| *name == wanted).and_then(|at| costs.get(at));
    let Some(none) = of(NONE) else { return };
    let more = |name: &str| of(name).map_or(f64::NAN, |costs| median(&added(costs, none)));
    println!(
        "\n{title} requests: CPU time of the Envoy process per request, medians of {} rounds",
        none.len()
    );
    println!("{:32} {:>9} {:>9} {:>10} {:>12}", "", "all µs", "added µs", "/ Lua", "/ by hand");
    for name in names {
        let all = of(name).map_or(f64::NAN, |costs| median(costs));
        let (lua, hand) = (more(name) / more(DECIDING.lua), more(name) / more(DECIDING.hand));
        println!("{name:32} {:9.2} {:9.2} {lua:10.2} {hand:12.2}", all / 1_000.0, more(name) / 1_000.0);
    }
    let verdict = |kept: bool| if kept { "kept" } else { "NOT KEPT" };
    for (sdk, hand) in [(SDK, DECIDING.hand), (SDK_PAIRS, HAND_PAIRS)] {
        let ratio = more(sdk) / more(hand);
        println!("{sdk} / {hand}: {ratio:.2}  budget 1.05  {}", verdict(ratio <= 1.05));
    }
    for job in [DECIDING, SAYING] {
        let (lua, hand) = (more(job.ours) / more(job.lua), more(job.ours) / more(job.hand));
        println!("{}:", job.title);
        println!("  ours / Lua     {lua:.2}  budget 1.00  {}", verdict(lua <= 1.0));
        println!("  ours / by hand {hand:.2}  budget 0.50  {}", verdict(hand <= 0.5));
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, bytes)?;
    Ok(path)
}
