//! Limits in a real Envoy: exact over its workers, whatever the keys, and going on when the policy changes.

use crate::command_line::transcript::CHANCERY;
use crate::readme;
use anyhow::Result;
use chancery_policy_lang::emit::ModuleOptions;
use chancery_tests::envoy::{Envoy, answering_listener, wasm_filter};
use chancery_tests::figures;
use chancery_tests::filters;
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{Member, Mesh};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Envoy's workers.
const WORKERS: u32 = 4;
/// Clients that ask at once, each over a connection of its own, so that all workers have some.
const CLIENTS: u32 = 16;
/// How far what passes may be from what is stated.
const ERROR_MAX: f64 = 0.01;
/// Values of a key.
const KEYS: u32 = 10;

const POLICY: &str = r#"traffic t on mesh {
  once: limit 1/d burst 365 for /once
  rate: limit 400/s burst 50 for /rate
  keys: limit 1/d burst 20 per headers["x-key"] for /keys
}"#;

/// What came of requests, by status.
type Answers = BTreeMap<u16, u32>;

async fn start(policy: &str) -> (Envoy, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("module.wasm");
    std::fs::write(&file, filters::compiled(policy, ModuleOptions::default()).unwrap()).unwrap();
    let listener = answering_listener("in", vec![wasm_filter("writ", &file, "")], json!({}));
    let envoy = Envoy::start_with_workers(folder, json!({"listeners": [listener]}), WORKERS).await.unwrap();
    let address = envoy.listener("in").await.unwrap();
    (envoy, address)
}

/// Asks from all clients at once until so many requests were made or the time is over.
async fn ask(address: SocketAddr, path: &'static str, requests: u32, time: Duration) -> Answers {
    let made = Arc::new(AtomicU32::new(0));
    let end = Instant::now() + time;
    let clients = (0..CLIENTS).map(|_| {
        let made = made.clone();
        tokio::spawn(async move {
            let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
            let mut answers = Answers::new();
            while Instant::now() < end {
                let number = made.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    break;
                }
                let request = hyper::Request::builder()
                    .uri(format!("http://{address}{path}"))
                    .header("x-key", (number % KEYS).to_string())
                    .body(Empty::new())?;
                let answer = client.request(request).await?;
                *answers.entry(answer.status().as_u16()).or_default() += 1;
                answer.into_body().collect().await?;
            }
            Ok::<Answers, anyhow::Error>(answers)
        })
    });
    let mut all = Answers::new();
    for client in clients.collect::<Vec<_>>() {
        for (status, count) in client.await.unwrap().unwrap() {
            *all.entry(status).or_default() += count;
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_exact_over_the_workers_of_a_proxy() {
    let (envoy, address) = start(POLICY).await;
    let minute = Duration::from_secs(60);
    let once = ask(address, "/once", 5_000, minute).await;
    assert_eq!(once, Answers::from([(200, 365), (429, 4_635)]));

    let keys = ask(address, "/keys", 3_000, minute).await;
    let passed = keys.get(&200).copied().unwrap_or_default();
    // Each value has a bucket of its own, but for two that may share one.
    assert!(passed == KEYS * 20 || passed == (KEYS - 1) * 20, "{keys:?}");

    let begun = Instant::now();
    let rate = ask(address, "/rate", u32::MAX, Duration::from_secs(4)).await;
    let stated = 50.0 + 400.0 * begun.elapsed().as_secs_f64();
    let passed = rate.get(&200).copied().unwrap_or_default();
    let error = (f64::from(passed) - stated) / stated;
    let what = format!("`limit 400/s`, four workers, {stated:.0} stated: passed");
    figures::print(&what, format!("{passed}, {:+.2} %", 100.0 * error));
    assert!(error.abs() <= ERROR_MAX, "{rate:?}, {stated} stated");
    let statuses: Vec<u16> = rate.keys().copied().collect();
    assert_eq!(statuses, [200, 429]);

    let counted = envoy.stats("wasmcustom.writ.limited.").await.unwrap();
    assert_eq!(counted.get("wasmcustom.writ.limited.t/once"), Some(&4_635));
    envoy.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_a_mesh_count_callers_and_go_on_when_policies_change() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let calling = |service, instance| Member::new(service, instance)?.calling(&["shop/orders"]);
    let members =
        [calling("shop/web", "web")?, calling("shop/batch", "batch")?, Member::new("shop/orders", "orders")?];
    let [web, batch, orders] = mesh.join(members).await?;
    let few = "few: limit 3/h per source respond 429 \"slow down\"";
    mesh.apply(&format!("traffic orders on service shop/orders {{ {few} }}")).await?;
    let status = async |caller: &chancery_tests::mesh::Sidecar| {
        let answer = caller.call("shop/orders", &Request::get("/orders/7")).await?;
        Ok::<(u16, bool), anyhow::Error>((answer.status, answer.body == "slow down"))
    };
    for expected in [(200, false), (200, false), (200, false), (429, true), (429, true)] {
        assert_eq!(status(&web).await?, expected);
    }
    assert_eq!(status(&batch).await?, (200, false));

    // Another module has the same buckets: those of limits that keep their names.
    mesh.apply(&format!("traffic orders on service shop/orders {{ {few}  other: limit 9/h for /x }}"))
        .await?;
    assert_eq!(status(&web).await?, (429, true));
    assert_eq!(status(&batch).await?, (200, false));

    // So has it the same counter.
    assert_eq!(orders.stat("wasmcustom.writ.limited.orders/few").await?, 3);

    // In shadow mode it refuses nobody and says whom it would have refused.
    let asked = 8;
    orders.entries_after(0, asked).await?;
    mesh.apply(&format!("traffic orders on service shop/orders {{ mode shadow {few} }}")).await?;
    assert_eq!(status(&web).await?, (200, false));
    let entries = orders.entries_after(asked, 1).await?;
    assert!(entries.iter().any(|entry| entry["shadow"] == "orders/few"), "{entries:#?}");
    assert!(entries.iter().all(|entry| entry["rule"] == "unrestricted"), "{entries:#?}");
    Ok(())
}

#[test]
fn the_example_says_what_its_commands_do() {
    readme::says_what_its_commands_do("examples/limits", 3, "limit ");
}
