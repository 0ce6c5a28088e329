//! Services that filters call: those that their policies name, though the sidecar has the clusters of others, too.

use super::{AUTH, push, seen};
use crate::command_line::transcript::CHANCERY;
use anyhow::{Result, ensure};
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE};
use std::fmt::Write as _;
use std::path::Path;
use tokio::time::{Instant, sleep};

/// What the path `/N` calls.
const CLUSTERS: [&str; 6] = [
    "mesh/shop/ledger",
    "mesh/shop/stock",
    "mesh/shop/ledger2",
    "local_app",
    "mesh/shop/ledger@v2",
    "mesh/shop/vault",
];

/// A filter that calls the cluster whose number is the path, and says by the header `x-seen` which status the call gave.
fn calling() -> Result<Vec<u8>> {
    let headers = chancery_sdk_host::abi::pairs::encode(&[
        (":method", "GET"),
        (":path", "/asked"),
        (":authority", "ledger"),
        (":scheme", "http"),
    ])?;
    let escaped = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "\\{byte:02x}");
            text
        })
    };
    let names = CLUSTERS.iter().zip(0..).map(|(name, at)| {
        let place = 1024 + 64 * at;
        format!(
            "(data (i32.const {place}) \"{name}\") (data (i32.const {}) \"{}\")\n",
            512 + 4 * at,
            escaped(&i32::try_from(name.len()).unwrap_or_default().to_le_bytes())
        )
    });
    let names: String = names.collect();
    Ok(wat::parse_str(format!(
        r#"(module
        (import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2)
        (data (i32.const 16) "x-seen") (data (i32.const 48) ":path") (data (i32.const 2048) "{headers}")
        {names}
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 4096))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $at i32)
            (drop (call $get (i32.const 0) (i32.const 48) (i32.const 5) (i32.const 0) (i32.const 4)))
            (local.set $at (i32.sub (i32.load8_u (i32.add (i32.load (i32.const 0)) (i32.const 1))) (i32.const 48)))
            (i32.store8 (i32.const 64) (i32.add (i32.const 48) (call $call
                (i32.add (i32.const 1024) (i32.mul (local.get $at) (i32.const 64)))
                (i32.load (i32.add (i32.const 512) (i32.mul (local.get $at) (i32.const 4))))
                (i32.const 2048) (i32.const {length}) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 1000) (i32.const 8))))
            (drop (call $add (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 64) (i32.const 1)))
            (i32.const 0)))"#,
        headers = escaped(&headers),
        length = headers.len(),
    ))?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_calls_the_services_that_its_policy_names_and_no_other() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let members = [
        Member::new("shop/web", "web")?.calling(&["shop/orders"])?,
        Member::new("shop/orders", "orders")?.calling(&["shop/stock"])?,
        Member::new("shop/ledger", "ledger")?,
        Member::new("shop/stock", "stock")?,
        Member::new("shop/vault", "vault")?,
    ];
    let [web, _orders, ledger, stock, vault] = mesh.join(members).await?;
    push(&mesh, "asking", "1.0.0", &calling()?).await?;
    let attached = |grants: &str| {
        format!(
            "{AUTH}filter asking on service shop/orders {{ use asking \"1.0.0\" phase after auth on failure deny {grants} }}\n"
        )
    };
    // The status of each call; `:` is the one of a call that is cut off.
    for (grants, statuses) in [
        ("may call shop/ledger", ["0", "2", "2", "2", "2", "2"]),
        ("may call shop/ledger may call shop/vault", ["0", "2", "2", "2", "2", "0"]),
        ("may call shop/vault", ["2", "2", "2", "2", "2", "0"]),
        ("", [":", ":", ":", "2", ":", ":"]),
    ] {
        mesh.apply(&attached(grants)).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut got = Vec::new();
            for at in 0..CLUSTERS.len() {
                let answer = web.call("shop/orders", &Request::get(format!("/{at}"))).await?;
                got.push(seen(&answer).concat());
            }
            if got == statuses {
                break;
            }
            ensure!(Instant::now() < deadline, "with `{grants}`: {got:?}, not {statuses:?}");
            sleep(LOOK_AGAIN).await;
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while ledger.entries().is_empty() || vault.entries().is_empty() {
        ensure!(Instant::now() < deadline, "the calls do not arrive");
        sleep(LOOK_AGAIN).await;
    }
    assert!(stock.entries().is_empty(), "what the application calls, its filter does not");
    Ok(())
}
