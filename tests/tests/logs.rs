//! Logs in a real mesh: which requests are in the log of a sidecar, and what their lines show and never show.

#![expect(clippy::indexing_slicing, reason = "what is not there ends the test")]

use crate::command_line::transcript::CHANCERY;
use crate::readme;
use anyhow::Result;
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use serde_json::{Value, json};
use std::path::Path;
use tokio::time::{Instant, sleep};

const AUTH: &str = r#"auth orders on service shop/orders {
  read: allow GET /orders/**, /odd/**
  otherwise deny
}
"#;

/// A caller and what it calls, with these policies.
async fn start(policies: &str) -> Result<(Mesh, Sidecar, Sidecar)> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let web = Member::new("shop/web", "web")?.calling(&["shop/orders"])?;
    let [web, orders] = mesh.join([web, Member::new("shop/orders", "orders")?]).await?;
    mesh.apply(policies).await?;
    Ok((mesh, web, orders))
}

/// The lines of what came in, once there are so many; a moment later there must be no more.
async fn lines(orders: &Sidecar, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    while orders.entries_of("inbound").len() < count && Instant::now() < deadline {
        sleep(LOOK_AGAIN).await;
    }
    sleep(10 * LOOK_AGAIN).await;
    let lines = orders.entries_of("inbound");
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_choose_by_decision_and_by_answer() -> Result<()> {
    let sampled = r#"log orders-log on service shop/orders {
  sample 100% denied
  sample 100% when response.code >= 500
}"#;
    let (mesh, web, mut orders) = start(&format!("{AUTH}{sampled}")).await?;
    let ask = async |method, path| web.call("shop/orders", &Request::new(method, path)).await;
    assert_eq!(ask("GET", "/orders/1").await?.status, 200);
    assert_eq!(ask("DELETE", "/orders/2?token=secret").await?.status, 403);
    let denied = lines(&orders, 1).await;
    for (name, value) in [
        ("code", json!(403)),
        ("method", json!("DELETE")),
        ("path", json!("/orders/2")),
        ("rule", json!("orders/otherwise")),
        ("decision", json!("otherwise-denied")),
        ("direction", json!("inbound")),
        ("shadow", json!("")),
        ("principal", json!("spiffe://chancery.local/ns/shop/sa/web")),
    ] {
        assert_eq!(denied[0][name], value, "{name}: {denied:#?}");
    }
    assert!(denied[0]["duration"].is_u64() && denied[0]["time"].is_string(), "{denied:#?}");

    orders.application_mut().stop().await;
    assert_eq!(ask("GET", "/orders/3").await?.status, 503);
    // The caller's sidecar may have tried it more than once.
    let failed = orders.entries_after(1, 1).await?;
    for line in &failed {
        assert_eq!((&line["code"], &line["path"]), (&json!(503), &json!("/orders/3")), "{failed:#?}");
        assert_eq!(line["decision"], "allowed");
    }
    orders.application_mut().start_again().await?;

    // Without a policy each request is logged as before, and no connection ended in between.
    let connections = async || {
        let opened = orders.stat("http.inbound.downstream_cx_total").await?;
        Ok::<_, anyhow::Error>((opened, orders.stats("listener_manager.listener_modified").await?))
    };
    let before = connections().await?;
    mesh.delete("orders-log").await?;
    let known = orders.entries().len();
    let deadline = Instant::now() + PATIENCE;
    while orders.entries().len() == known {
        assert!(Instant::now() < deadline, "{:#?}", orders.entries());
        ask("GET", "/orders/4").await?;
        sleep(LOOK_AGAIN).await;
    }
    assert_eq!(orders.entries()[known]["rule"], "orders/read");
    assert_eq!(connections().await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_in_no_line_and_lines_are_objects_whatever_a_request_has() -> Result<()> {
    let redacted = r#"log secrets on mesh {
  redact headers["authorization"], query["token"] with drop
  redact headers["x-email"] with hash
  redact headers["x-card"] with mask
}
log curious on service shop/orders {
  fields headers["authorization"], query["token"] as q, headers["x-email"] as user, headers["x-card"] as card
  fields headers["x-odd"] as odd, size(headers["x-odd"]) as odd-size, source.ip as ip, source.mtls, headers["x-none"] as none
  fields headers["x-email"].lowerAscii() as low
}"#;
    let (_mesh, web, orders) = start(&format!("{AUTH}{redacted}")).await?;
    let odd = "a\"b\\c\u{e9}\u{6f22} {\"rule\":1}\t}";
    let request = Request::get("/orders/1?token=secret-token")
        .header("authorization", "Bearer secret-bearer")
        .header("x-email", "secret@shop.example")
        .header("x-card", "secret-card")
        .header("x-odd", odd);
    assert_eq!(web.call("shop/orders", &request).await?.status, 200);
    assert_eq!(web.call("shop/orders", &request).await?.status, 200);
    let denied =
        Request::new("POST", "/x/a%0ab%22%ffc?token=secret-token").header("x-email", "Secret@shop.example");
    assert_eq!(web.call("shop/orders", &denied).await?.status, 403);
    let lines = lines(&orders, 3).await;
    for (name, value) in [
        ("card", json!("***")),
        ("odd", json!(odd.trim())),
        ("odd-size", json!(odd.trim().chars().count())),
        ("ip", json!("127.0.0.1")),
        ("source_mtls", json!(true)),
        ("none", Value::Null),
        ("q", Value::Null),
    ] {
        assert_eq!(lines[0][name], value, "{name}: {lines:#?}");
    }
    for dropped in ["authorization", "q"] {
        assert!(lines[0].get(dropped).is_none(), "{dropped}: {lines:#?}");
    }
    let user = |line: usize| lines[line]["user"].as_str().unwrap().to_owned();
    assert_eq!(user(0).len(), 32, "{lines:#?}");
    assert_eq!(user(0), user(1));
    assert_ne!(user(0), user(2));
    assert_eq!(lines[0]["low"], lines[0]["user"], "{lines:#?}");
    assert_eq!(lines[2]["path"], "/x/a\nb\"\u{fffd}c");

    let all = orders.process.lines(|line| Some(line.to_owned())).join("\n");
    assert!(!all.to_lowercase().contains("secret"), "{all}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_is_drawn_request_by_request() -> Result<()> {
    let (_mesh, web, orders) =
        start(&format!("{AUTH}log some on mesh {{ sample 20% allowed  sample 0% denied }}")).await?;
    let requests = 500;
    for _ in 0..requests {
        assert_eq!(web.call("shop/orders", &Request::get("/orders/1")).await?.status, 200);
    }
    assert_eq!(web.call("shop/orders", &Request::new("PUT", "/orders/1")).await?.status, 403);
    sleep(10 * LOOK_AGAIN).await;
    // With a chance of less than one in a billion it is not within six deviations of 100.
    let logged = orders.entries_of("inbound").len();
    assert!((46..=154).contains(&logged), "{logged} of {requests}");
    assert!(orders.entries_of("inbound").iter().all(|line| line["decision"] == "allowed"));
    Ok(())
}

#[test]
fn the_example_says_what_its_commands_do() {
    readme::says_what_its_commands_do("examples/redacted-logs", 3, "logged: ");
}
