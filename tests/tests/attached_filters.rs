//! Filters of others in a mesh of real Envoys: where they stand, what they see, and what becomes of requests when they fail.

mod calls;
mod canary;
mod failing;
mod versions;

use crate::command_line::transcript::CHANCERY;
use anyhow::{Result, ensure};
use chancery_tests::mesh::wire::{Answer, Request};
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use serde_json::Value;
use std::path::Path;
use tokio::time::{Instant, sleep};

/// A filter that says with its label that it saw a request and its answer, by the headers `x-seen` and `x-answered`. It
/// traps for `/crash`, loops for `/loop`, and for `/spy` it looks for what policies told the router, and writes it.
const PROBE: &str = r#"
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_property" (func $set (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 16) "x-seen")
    (data (i32.const 32) "x-answered")
    (data (i32.const 48) ":path")
    (data (i32.const 128) "rule")
    (data (i32.const 144) "filter_state\00wasm.rule")
    (data (i32.const 176) "request\00path")
    (data (i32.const 192) "plugin_name")
    (data (i32.const 208) "the configuration is too long for me")
    (data (i32.const 256) "0000")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 4096))
    (func $digit (param $at i32) (param $status i32)
        (i32.store8 (local.get $at) (i32.add (local.get $status) (i32.const 48))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $letter i32)
        (drop (call $get (i32.const 0) (i32.const 48) (i32.const 5) (i32.const 0) (i32.const 4)))
        (local.set $letter (i32.load8_u (i32.add (i32.load (i32.const 0)) (i32.const 1))))
        (if (i32.eq (local.get $letter) (i32.const 99)) (then (unreachable)))
        (if (i32.eq (local.get $letter) (i32.const 108)) (then (loop $again (br $again))))
        (if (i32.eq (local.get $letter) (i32.const 115)) (then
            (call $digit (i32.const 256) (call $property (i32.const 176) (i32.const 12) (i32.const 0) (i32.const 4)))
            (call $digit (i32.const 257) (call $property (i32.const 128) (i32.const 4) (i32.const 0) (i32.const 4)))
            (call $digit (i32.const 258) (call $property (i32.const 144) (i32.const 22) (i32.const 0) (i32.const 4)))
            (call $digit (i32.const 259) (call $set (i32.const 128) (i32.const 4) (i32.const 128) (i32.const 4)))
            (drop (call $add (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 256) (i32.const 4)))))
        (drop (call $add (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 64) (i32.const LENGTH)))
        (i32.const 0))
    (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
        (drop (call $add (i32.const 2) (i32.const 32) (i32.const 10) (i32.const 64) (i32.const LENGTH)))
        (i32.const 0))
"#;

/// Accepts no configuration of more than 20 bytes, and says why.
const CHOOSY: &str = r#"
    (func (export "proxy_on_configure") (param i32) (param $length i32) (result i32)
        (if (i32.gt_u (local.get $length) (i32.const 20)) (then
            (drop (call $log (i32.const 4) (i32.const 208) (i32.const 36)))
            (return (i32.const 0))))
        (i32.const 1))
"#;

/// Traps when it is configured as a plugin with a long name: in a sidecar, and not where modules are tried.
const STILLBORN: &str = r#"
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
        (drop (call $property (i32.const 192) (i32.const 11) (i32.const 0) (i32.const 4)))
        (if (i32.gt_u (i32.load (i32.const 4)) (i32.const 10)) (then (unreachable)))
        (i32.const 1))
"#;

/// A filter with this label that does something more.
fn probe(label: &str, more: &str) -> Vec<u8> {
    let body = PROBE.replace("LENGTH", &label.len().to_string());
    wat::parse_str(format!("(module {body} (data (i32.const 64) \"{label}\") {more})")).unwrap()
}

/// A caller, a service, and a mesh into which filters are pushed.
struct Shop {
    mesh: Mesh,
    web: Sidecar,
    orders: Sidecar,
}

impl Shop {
    async fn start() -> Result<Self> {
        let mesh = Mesh::start(Path::new(CHANCERY)).await?;
        let members = [
            Member::new("shop/web", "web")?.calling(&["shop/orders"])?,
            Member::new("shop/orders", "orders")?,
        ];
        let [web, orders] = mesh.join(members).await?;
        Ok(Self { mesh, web, orders })
    }

    async fn push(&self, name: &str, version: &str, module: &[u8]) -> Result<()> {
        push(&self.mesh, name, version, module).await
    }

    async fn get(&self, path: &str) -> Result<Answer> {
        self.web.call("shop/orders", &Request::get(path)).await
    }

    /// Asks until the answer is such. Where a filter comes or goes, an open connection carries one more request past what
    /// stood there before.
    async fn until(&self, path: &str, is_such: impl Fn(&Answer) -> bool) -> Result<Answer> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).await?;
            if is_such(&answer) {
                return Ok(answer);
            }
            ensure!(Instant::now() < deadline, "still {answer:?}");
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Says that files cannot be applied; gives what is said.
    async fn refused(&self, text: &str) -> Result<String> {
        let file = self.mesh.folder().join("refused.writ");
        std::fs::write(&file, text)?;
        let output = self.mesh.run(&["apply", "-f", &file.display().to_string()]).await?;
        ensure!(output.status.code() == Some(2), "{output:?}");
        Ok(String::from_utf8(output.stderr)?)
    }
}

async fn push(mesh: &Mesh, name: &str, version: &str, module: &[u8]) -> Result<()> {
    let file = mesh.folder().join(format!("{name}-{version}.wasm"));
    std::fs::write(&file, module)?;
    let file = file.display().to_string();
    let output = mesh.run(&["filter", "push", &file, "--name", name, "--version", version]).await?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

/// The labels of the filters that a request passed, in their order.
fn seen(answer: &Answer) -> Vec<String> {
    let asked = answer.asked();
    let labels = asked.pointer("/headers/x-seen").and_then(Value::as_array).cloned().unwrap_or_default();
    labels.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

const AUTH: &str = "auth who on service shop/orders { read: allow GET from service shop/web when request.path != \"/denied\" }\n";

fn attach(name: &str, of: &str, phase: &str) -> String {
    format!("filter {name} on service {of} {{ use {name} \"1.0.0\" phase {phase} on failure deny }}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_stand_where_policies_say_in_both_directions_and_see_no_filter_state() -> Result<()> {
    let shop = Shop::start().await?;
    let places = [
        ("front", "shop/orders", "before auth"),
        ("middle", "shop/orders", "after auth"),
        ("back", "shop/orders", "last"),
        ("out-front", "shop/web outbound", "before auth"),
        ("out-middle", "shop/web outbound", "after auth"),
        ("out-back", "shop/web outbound", "last"),
    ];
    for (name, ..) in places {
        shop.push(name, "1.0.0", &probe(name, "")).await?;
    }
    let filters: String = places.iter().map(|(name, of, phase)| attach(name, of, phase)).collect();
    shop.mesh.apply(&format!("{AUTH}{filters}")).await?;

    let answer = shop.until("/ok", |answer| seen(answer).len() == places.len()).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(seen(&answer), ["out-front", "out-middle", "out-back", "front", "middle", "back"]);
    assert_eq!(
        answer.values("x-answered"),
        ["back", "middle", "front", "out-back", "out-middle", "out-front"],
        "an answer passes them the other way round"
    );
    // What the policies deny, nobody behind them sees.
    let answer = shop.get("/denied").await?;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.values("x-answered"), ["front", "out-back", "out-middle", "out-front"]);

    // The attribute is read, filter state is not there, and cannot be written: 0, NOT_FOUND twice, INTERNAL_FAILURE.
    let asked = shop.orders.entries().len();
    let answer = shop.get("/spy").await?;
    let spied: Vec<String> =
        seen(&answer).into_iter().filter(|label| label.len() == 4 && label != "back").collect();
    assert_eq!(spied, vec!["011:"; 6], "{answer:?}");
    let entries = shop.orders.entries_after(asked, 1).await?;
    let of_spy = |entry: &&Value| entry.get("path").and_then(Value::as_str) == Some("/spy");
    let mut spied = entries.iter().filter(of_spy).filter_map(|entry| entry.get("rule"));
    assert!(spied.all(|rule| rule == "who/read"), "what the policies told the log stays: {entries:#?}");

    // Who is in the way is said.
    let snapshot = String::from_utf8(shop.mesh.run(&["snapshot", "shop/orders/orders"]).await?.stdout)?;
    for name in ["front", "middle", "back"] {
        assert!(snapshot.contains(&format!("name: filter-inbound/{name}\n")), "{snapshot}");
    }

    // Gone with their policies.
    for (name, ..) in places {
        shop.mesh.delete(name).await?;
    }
    shop.until("/ok", |answer| answer.status == 200 && seen(answer).is_empty()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_run_is_not_applied() -> Result<()> {
    let shop = Shop::start().await?;
    shop.push("choosy", "1.0.0", &probe("choosy", CHOOSY)).await?;
    let with = |version: &str, config: &str| {
        format!(
            "filter choosy on service shop/orders {{ use choosy \"{version}\" phase last on failure deny {config} }}\n"
        )
    };
    let said = shop.refused(&with("1.1.0", "")).await?;
    assert!(
        said.contains("error[E275]: there is no `choosy` 1.1.0") && said.contains("there is 1.0.0"),
        "{said}"
    );
    let said = shop.refused(&with("1.0.0", "").replace("use choosy", "use chosy")).await?;
    assert!(said.contains("did you mean `choosy`?"), "{said}");
    let said = shop.refused(&with("1.0.0", "config { \"a\": \"much too long for it\" }")).await?;
    assert!(said.contains("error[E277]") && said.contains("the configuration is too long for me"), "{said}");
    let answer = shop.get("/ok").await?;
    assert_eq!((answer.status, seen(&answer).len()), (200, 0), "nothing in force changed");

    shop.mesh.apply(&with("1.0.0", "config { \"a\": 1 }")).await?;
    shop.until("/ok", |answer| seen(answer) == ["choosy"]).await?;
    // What is used cannot go.
    let output = shop.mesh.run(&["filter", "delete", "choosy", "1.0.0"]).await?;
    assert!(!output.status.success(), "{output:?}");
    Ok(())
}
