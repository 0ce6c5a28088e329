//! What stands in each listener and what is logged: our loggers and lines beside native ones, and the filters that a
//! sidecar always has. One Envoy, whose listeners answer by themselves.

use anyhow::{Context, Result};
use chancery_policy_lang::emit::ModuleOptions;
use chancery_tests::cost::{Variant, added, measure, median};
use chancery_tests::envoy::{Envoy, answering_listener, wasm_filter};
use chancery_tests::filters;
use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::path::Path;

const TYPES: &str = "type.googleapis.com/envoy.extensions";
const RULE: &str = "auth a on mesh { all: allow /items/** }\n";
const LOGGED: &str = "log l on mesh { sample 100%  fields headers[\"x-tenant\"] as tenant  redact headers[\"x-other-1\"] with hash }";
const UNLOGGED: &str = "log l on mesh { sample 0% allowed  sample 100% denied }";

const NONE: &str = "nothing";
const MODULE: &str = "our module, no logger";

/// A row: its filters, its loggers, and the row that it is measured over.
struct Row {
    name: &'static str,
    filters: Vec<Value>,
    logs: Vec<Value>,
    over: &'static str,
}

pub(super) async fn run(rounds: usize, requests: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let rows = rows(folder.path())?;
    let listeners: Vec<Value> = rows
        .iter()
        .map(|row| answering_listener(row.name, row.filters.clone(), json!({"access_log": row.logs})))
        .collect();
    let envoy = Envoy::start(folder, json!({"listeners": listeners})).await?;
    let variant = |row: &Row| Variant {
        varying: None,
        body: Bytes::new(),
        listener: row.name.to_owned(),
        path: "/items/77/x?token=abc".to_owned(),
        headers: (0..8)
            .map(|number| (format!("x-other-{number}"), format!("value-{number}-of-some-length")))
            .chain([("x-tenant".to_owned(), "a-tenant-of-some-length".to_owned())])
            .collect(),
        status: StatusCode::OK,
        requests,
    };
    let variants: Vec<Variant> = rows.iter().map(variant).collect();
    let costs = measure(&envoy, &variants, rounds).await?;
    let of = |wanted: &str| {
        let at = rows.iter().position(|row| row.name == wanted);
        at.and_then(|at| costs.get(at)).with_context(|| format!("no row {wanted}"))
    };
    println!("\nLoggers and filters of one listener: CPU time per request, medians of {rounds} rounds");
    println!("{:40} {:>9} {:>9}  over", "", "all µs", "added µs");
    for row in &rows {
        let own = of(row.name)?;
        let more = median(&added(own, of(row.over)?)) / 1_000.0;
        println!("{:40} {:9.2} {more:9.2}  {}", row.name, median(own) / 1_000.0, row.over);
    }
    envoy.stop().await
}

fn rows(folder: &Path) -> Result<Vec<Row>> {
    let module = |name: &str, text: &str| -> Result<Vec<Value>> {
        let path = folder.join(format!("{name}.wasm"));
        std::fs::write(&path, filters::compiled(text, ModuleOptions::default())?)?;
        Ok(vec![wasm_filter(name, &path, "")])
    };
    let logger = |name: &str, format: Value, filter: Option<Value>| {
        let mut log = json!({"name": "envoy.access_loggers.file", "typed_config": {
            "@type": format!("{TYPES}.access_loggers.file.v3.FileAccessLog"),
            "path": folder.join(name), "log_format": format,
        }});
        if let (Some(log), Some(filter)) = (log.as_object_mut(), filter) {
            log.insert("filter".to_owned(), filter);
        }
        log
    };
    let never = || json!({"runtime_filter": {"runtime_key": "sampled", "percent_sampled": {"numerator": 0}}});
    let ours = |name: &str| {
        vec![
            logger(name, fields(), Some(cel("!('wasm.log' in filter_state)"))),
            logger(name, line(), Some(cel("'wasm.line' in filter_state"))),
        ]
    };
    let row = |name, filters: Vec<Value>, logs: Vec<Value>, over| Row { name, filters, logs, over };
    Ok(vec![
        row(NONE, Vec::new(), Vec::new(), NONE),
        row("native lines", Vec::new(), vec![logger("native", fields(), None)], NONE),
        row("native lines of no request", Vec::new(), vec![logger("never", fields(), Some(never()))], NONE),
        row("our loggers, no policy", Vec::new(), ours("plain"), NONE),
        row(MODULE, module("without", RULE)?, Vec::new(), NONE),
        row("our module and loggers, no `log`", module("unlogged", RULE)?, ours("unlogged"), MODULE),
        row(
            "our module and lines by `log`",
            module("logged", &format!("{RULE}{LOGGED}"))?,
            ours("logged"),
            MODULE,
        ),
        row(
            "our module, `log` of no request",
            module("never", &format!("{RULE}{UNLOGGED}"))?,
            ours("none"),
            MODULE,
        ),
        row("RBAC without rules", vec![rbac()], Vec::new(), NONE),
        row("fault filter that does nothing", vec![fault()], Vec::new(), NONE),
        row("both, as in an outbound listener", vec![rbac(), fault()], Vec::new(), NONE),
        row("two RBACs without rules, as inbound", vec![rbac(), rbac()], Vec::new(), NONE),
    ])
}

/// What Envoy says of each request that no `log` policy speaks of.
fn fields() -> Value {
    json!({"omit_empty_values": true, "json_format": {
        "bytes_received": "%BYTES_RECEIVED%", "bytes_sent": "%BYTES_SENT%", "code": "%RESPONSE_CODE%",
        "details": "%RESPONSE_CODE_DETAILS%", "direction": "inbound", "duration": "%DURATION%",
        "flags": "%RESPONSE_FLAGS%", "method": "%REQUEST_HEADER(:METHOD):64%", "path": "%PATH(NQ):4096%",
        "principal": "%DOWNSTREAM_PEER_URI_SAN%", "request_id": "%REQUEST_HEADER(X-REQUEST-ID):64%",
        "rule": "%FILTER_STATE(wasm.rule:PLAIN)%", "shadow": "%FILTER_STATE(wasm.shadow:PLAIN)%",
        "time": "%START_TIME%", "upstream": "%UPSTREAM_HOST%",
    }})
}

/// What Envoy says around what the module says.
fn line() -> Value {
    let text = "{\"time\":\"%START_TIME%\",\"direction\":\"inbound\",\"code\":%RESPONSE_CODE%,\
        \"flags\":\"%RESPONSE_FLAGS%\",\"duration\":%DURATION%,\"bytes_received\":%BYTES_RECEIVED%,\
        \"bytes_sent\":%BYTES_SENT%,\"upstream\":\"%UPSTREAM_HOST%\",\
        \"shadow\":\"%FILTER_STATE(wasm.shadow:PLAIN)%\"%FILTER_STATE(wasm.line:PLAIN)%}\n";
    json!({"omit_empty_values": true, "text_format_source": {"inline_string": text}})
}

fn cel(expression: &str) -> Value {
    json!({"extension_filter": {
        "name": "envoy.access_loggers.extension_filters.cel",
        "typed_config": {
            "@type": format!("{TYPES}.access_loggers.filters.cel.v3.ExpressionFilter"), "expression": expression,
        },
    }})
}

fn rbac() -> Value {
    json!({"name": "rbac", "typed_config": {"@type": format!("{TYPES}.filters.http.rbac.v3.RBAC")}})
}

fn fault() -> Value {
    json!({"name": "envoy.filters.http.fault", "typed_config": {"@type": format!("{TYPES}.filters.http.fault.v3.HTTPFault")}})
}
