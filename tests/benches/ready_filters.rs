//! What the ready filters cost a request with a body: beside Envoy without them, and with and without their bounds.
//! `docs/performance.md` says how to read it.
//!
//! `CHANCERY_BENCH_ROUNDS` and `CHANCERY_BENCH_REQUESTS` set how much is measured.

#![expect(clippy::print_stdout, reason = "a benchmark shows its table")]

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chancery_tests::cost::{Headers, Variant, measure, median, setting};
use chancery_tests::envoy::{Envoy, answering_listener};
use chancery_tests::ready;
use hmac::{Hmac, KeyInit, Mac};
use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Rounds without another wish.
const ROUNDS: usize = 11;
/// Requests of a round without another wish.
const REQUESTS: usize = 1_000;
/// Bytes of the bodies, about.
const SIZES: [(&str, usize); 2] = [("1 KiB", 1 << 10), ("16 KiB", 15 << 10)];

const SECRET: &[u8] = b"secret of the shop, 28 bytes";
const HMAC_AUTH: &str = r#"{
    "keys": [{"id": "shop", "secret_base64": "c2VjcmV0IG9mIHRoZSBzaG9wLCAyOCBieXRlcw=="}],
    "cover": ["@method", "@path"]
}"#;
const JSON_GUARD: &str = r#"{"schemas": [{"path": "/orders", "schema": {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["id", "name"],
        "additionalProperties": false,
        "properties": {
            "id": {"type": "integer", "minimum": 1},
            "name": {"type": "string", "maxLength": 64, "pattern": "^[A-Za-z ]+$"},
            "tags": {"type": "array", "items": {"enum": ["new", "old"]}, "maxItems": 8},
            "note": {"type": "string"}
        }
    }
}}]}"#;
const GRAPHQL_GUARD: &str =
    r#"{"paths": ["/orders"], "tokens_max": 10000, "cost_max": 1000000, "aliases_max": 1000}"#;

/// A filter, its configuration, what makes its body of a size, and headers that each request has of its own.
struct Row {
    filter: &'static str,
    configuration: &'static str,
    body: fn(usize) -> String,
    varying: [Option<fn() -> Headers>; SIZES.len()],
}

const ROWS: [Row; 3] = [
    Row {
        filter: "hmac-auth",
        configuration: HMAC_AUTH,
        body: orders,
        varying: [Some(|| signature(0)), Some(|| signature(1))],
    },
    Row { filter: "json-guard", configuration: JSON_GUARD, body: orders, varying: [None; 2] },
    Row { filter: "graphql-guard", configuration: GRAPHQL_GUARD, body: query, varying: [None; 2] },
];

/// Repeats something as often as a size has room for.
fn filled(begin: &str, repeated: &str, end: &str, bytes: usize) -> String {
    let count = bytes.saturating_sub(begin.len() + end.len()) / repeated.len();
    format!("{begin}{}{end}", repeated.repeat(count))
}

fn orders(bytes: usize) -> String {
    let one = r#"{"id": 1234567, "name": "Anna of Somewhere", "tags": ["new", "old"], "note": "call 17 or 18, then wait"}, "#;
    filled("[", one, r#"{"id": 1, "name": "last"}]"#, bytes)
}

fn query(bytes: usize) -> String {
    let one = "a: user(id: $id, first: 3) { name posts(limit: 5) { title } } ";
    let query = filled("query ($id: ID) { ", one, "}", bytes);
    json!({"query": query, "variables": {"id": "7"}}).to_string()
}

/// The headers of a signed `POST /orders` with the body of a size: each has a nonce of its own.
fn signature(size: usize) -> Vec<(String, String)> {
    static NONCE: AtomicU64 = AtomicU64::new(0);
    let bytes = SIZES.get(size).map_or(0, |(_, bytes)| *bytes);
    let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(orders(bytes))));
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let nonce = NONCE.fetch_add(1, Ordering::Relaxed);
    let covered = r#"("@method" "@path" "content-digest")"#;
    let input = format!(r#"{covered};created={created};keyid="shop";nonce="{nonce}""#);
    let base = format!(
        "\"@method\": POST\n\"@path\": /orders\n\"content-digest\": {digest}\n\"@signature-params\": {input}"
    );
    let mac = Hmac::<Sha256>::new_from_slice(SECRET).map(|mut hmac| {
        hmac.update(base.as_bytes());
        STANDARD.encode(hmac.finalize().into_bytes())
    });
    vec![
        ("content-digest".to_owned(), digest),
        ("signature-input".to_owned(), format!("s={input}")),
        ("signature".to_owned(), format!("s=:{}:", mac.unwrap_or_default())),
    ]
}

fn main() -> Result<()> {
    let rounds = setting("CHANCERY_BENCH_ROUNDS", ROUNDS)?;
    let requests = setting("CHANCERY_BENCH_REQUESTS", REQUESTS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(rounds, requests))
}

async fn run(rounds: usize, requests: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ready = ready::all(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("filters"))?;
    // Whoever reads a body holds it: without the filter Envoy's own does.
    let buffer = json!({
        "name": "envoy.filters.http.buffer",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
            "max_request_bytes": 1 << 20,
        },
    });
    let mut listeners = vec![answering_listener("none", vec![buffer.clone()], json!({}))];
    for row in &ROWS {
        let filter = ready.get(row.filter).with_context(|| format!("there is no {}", row.filter))?;
        let (plain, bounded) = (row.filter.to_owned(), format!("{} bounded", row.filter));
        let bytes = std::fs::metadata(&filter.path)?.len();
        println!("{plain}: {bytes} bytes, with bounds {}", filter.module.bytes.len());
        let filters: [Value; 2] = [
            filter.unbounded(&plain, row.configuration),
            filter.bounded(folder.path(), &bounded, row.configuration)?,
        ];
        for (name, filter) in [plain, bounded].iter().zip(filters) {
            listeners.push(answering_listener(name, vec![buffer.clone(), filter], json!({})));
        }
    }
    let envoy = Envoy::start(folder, json!({"listeners": listeners})).await?;
    for (size, (title, bytes)) in SIZES.iter().enumerate() {
        println!(
            "\nbodies of {title}: CPU time of the Envoy process per request, medians of {rounds} rounds"
        );
        println!(
            "{:16} {:>9} {:>9} {:>10} {:>7} {:>12}",
            "", "none µs", "with µs", "bounded µs", "/ none", "/ unbounded"
        );
        for row in &ROWS {
            let names = ["none".to_owned(), row.filter.to_owned(), format!("{} bounded", row.filter)];
            let variants: Vec<Variant> = names
                .iter()
                .map(|name| Variant {
                    varying: row.varying.get(size).copied().flatten(),
                    body: Bytes::from((row.body)(*bytes)),
                    listener: name.clone(),
                    path: "/orders".to_owned(),
                    headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                    status: StatusCode::OK,
                    requests,
                })
                .collect();
            let costs = measure(&envoy, &variants, rounds).await?;
            let [none, with, bounded] =
                [0, 1, 2].map(|at| costs.get(at).map_or(f64::NAN, |costs| median(costs) / 1_000.0));
            let (over_none, over_unbounded) = (bounded / none, bounded / with);
            println!(
                "{:16} {none:9.1} {with:9.1} {bounded:10.1} {over_none:7.2} {over_unbounded:12.2}",
                row.filter
            );
        }
    }
    envoy.stop().await
}
