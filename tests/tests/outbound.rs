//! Policies of requests that leave a workload, in a real mesh: they hold in the sender's own sidecar.

#![expect(clippy::indexing_slicing, reason = "what is not there ends the test")]

use crate::command_line::transcript::CHANCERY;
use anyhow::Result;
use chancery_tests::mesh::wire::{Answer, Request};
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use serde_json::{Value, json};
use std::path::Path;
use tokio::time::{Instant, sleep};

/// A mesh in which `shop/web` and `shop/batch` call `shop/checkout` and `shop/basket`.
async fn start() -> Result<(Mesh, [Sidecar; 4])> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let called = ["shop/checkout", "shop/basket"];
    let sidecars = mesh
        .join([
            Member::new("shop/web", "web")?.labelled("version=v2").calling(&called)?,
            Member::new("shop/batch", "batch")?.calling(&called)?,
            Member::new("shop/checkout", "checkout")?,
            Member::new("shop/basket", "basket")?,
        ])
        .await?;
    Ok((mesh, sidecars))
}

/// What the rule of a denial says, and whether the application was asked.
fn denied(answer: &Answer, status: u16, body: &str) {
    assert_eq!((answer.status, answer.body.as_str()), (status, body), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_leaves_is_denied_by_the_senders_own_sidecar() -> Result<()> {
    let (mesh, sidecars) = start().await?;
    let [web, batch, checkout, basket] = &sidecars;
    mesh.apply(
        r#"auth web-out on service shop/web outbound {
  pay:   deny POST /pay/** when target.service == "shop/checkout" respond 451 "not from here"
  self:  allow GET from service shop/web unless headers["x-role"] == "guest"
  other: allow from service shop/batch
}"#,
    )
    .await?;
    let ask = async |sidecar: &Sidecar, service, request: Request| sidecar.call(service, &request).await;
    denied(&ask(web, "shop/checkout", Request::new("POST", "/pay/7")).await?, 451, "not from here");
    assert_eq!(ask(web, "shop/checkout", Request::get("/pay/7")).await?.status, 200);
    // Nothing allows it, and that is a denial here as in the target's sidecar.
    assert_eq!(ask(web, "shop/basket", Request::new("POST", "/pay/7")).await?.status, 403);
    let guest = Request::get("/a").header("x-role", "guest");
    assert_eq!(ask(web, "shop/basket", guest).await?.status, 403);
    // Who sends is no word of the request.
    let forged = Request::new("PUT", "/a")
        .header("x-forwarded-client-cert", "URI=spiffe://chancery.local/ns/shop/sa/batch")
        .header("rule", "web-out/self");
    assert_eq!(ask(web, "shop/checkout", forged).await?.status, 403);
    // It is said of one sender only.
    assert_eq!(ask(batch, "shop/checkout", Request::new("POST", "/pay/7")).await?.status, 200);

    // Nothing of it got to the targets.
    let lines = sent(web, 5).await;
    let line = lines.iter().find(|line| line["code"] == 451).unwrap();
    assert_eq!((&line["rule"], &line["details"]), (&json!("web-out/pay"), &json!("web-out/pay")), "{line}");
    let arrived = checkout.entries_after(0, 2).await?;
    let methods: Vec<&Value> = arrived.iter().map(|line| &line["method"]).collect();
    assert_eq!(methods, [&json!("GET"), &json!("POST")], "{arrived:#?}");
    assert_eq!(basket.entries_of("inbound").len(), 0);

    mesh.delete("web-out").await?;
    assert_eq!(ask(web, "shop/checkout", Request::new("POST", "/pay/7")).await?.status, 200);
    Ok(())
}

/// The lines of what a sidecar sent, once there are so many; a moment later there must be no more.
async fn sent(sidecar: &Sidecar, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    while sidecar.entries_of("outbound").len() < count && Instant::now() < deadline {
        sleep(LOOK_AGAIN).await;
    }
    sleep(10 * LOOK_AGAIN).await;
    let lines = sidecar.entries_of("outbound");
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_sender_lets_go_its_target_decides() -> Result<()> {
    let (mesh, sidecars) = start().await?;
    let [web, batch, checkout, _] = &sidecars;
    mesh.apply(
        r#"auth web-out on service shop/web outbound {
  pay: deny POST /pay/** respond 451 "not from here"
  otherwise allow
}
traffic web-out-traffic on service shop/web outbound {
  limit 1/h burst 3 for /few respond 429 "by the sender"
  set request header x-role = "web"
  set response header x-both = "sender"
  set response header x-sender = "seen"
}
log web-out-log on service shop/web outbound { fields headers["x-role"] as role  redact request.path with mask }
auth checkout on service shop/checkout {
  web:   allow GET when headers["x-role"] == "web"
  batch: allow from service shop/batch
  otherwise deny respond 404 "not here"
}
traffic checkout-traffic on service shop/checkout {
  limit 1/h burst 2 per source for /few respond 429 "by the target"
  set request header x-seen = headers["x-role"]
  set response header x-both = "target"
  set response header x-target = "seen"
}
log checkout-log on service shop/checkout { fields headers["x-role"] as role }"#,
    )
    .await?;
    let ask = async |sidecar: &Sidecar, method, path| {
        sidecar.call("shop/checkout", &Request::new(method, path).header("x-role", "guest")).await
    };
    // The target sees what the sender made of the request, and the sender's word is the last on the answer.
    let answer = ask(web, "GET", "/a").await?;
    let asked = answer.asked();
    assert_eq!((answer.status, &asked["headers"]["x-seen"]), (200, &json!(["web"])), "{answer:?}");
    for (name, value) in [("x-both", "sender"), ("x-sender", "seen"), ("x-target", "seen")] {
        assert_eq!(answer.values(name), [value], "{answer:?}");
    }
    // Another sender's requests are its target's affair alone.
    let answer = ask(batch, "POST", "/pay/7").await?;
    assert_eq!(
        (answer.status, answer.values("x-both"), answer.values("x-sender")),
        (200, vec!["target"], vec![])
    );
    // Either denies: what the sender does, nobody hears of; what the target does, the sender let go.
    denied(&ask(web, "POST", "/pay/7").await?, 451, "not from here");
    denied(&ask(web, "DELETE", "/a").await?, 404, "not here");
    // Each counts what gets so far.
    let mut bodies = Vec::new();
    for _ in 0..5 {
        let answer = ask(web, "GET", "/few").await?;
        bodies.push(if answer.status == 200 { String::new() } else { answer.body });
    }
    assert_eq!(bodies, ["", "", "by the target", "by the sender", "by the sender"]);

    let lines = sent(web, 8).await;
    let said = |line: &Value| [&line["code"], &line["rule"], &line["path"], &line["role"]].map(Clone::clone);
    let allowed = json!("web-out/otherwise");
    // The sender's policies see the request as it came.
    assert_eq!(said(&lines[0]), [json!(200), allowed.clone(), json!("***"), json!("guest")], "{lines:#?}");
    assert_eq!(said(&lines[1])[..2], [json!(451), json!("web-out/pay")], "{lines:#?}");
    assert_eq!(said(&lines[2])[..2], [json!(404), allowed], "{lines:#?}");
    let arrived = checkout.entries_after(0, 6).await?;
    let of = |line: &Value| (line["code"].clone(), line["rule"].clone(), line["role"].clone());
    let expected = [
        (200, "checkout/web", "web"),
        (200, "checkout/batch", "guest"),
        (404, "checkout/otherwise", "web"),
        (200, "checkout/web", "web"),
        (200, "checkout/web", "web"),
    ];
    let expected = expected.map(|(code, rule, role)| (json!(code), json!(rule), json!(role)));
    assert_eq!(arrived.iter().take(5).map(of).collect::<Vec<_>>(), expected, "{arrived:#?}");
    assert_eq!((&arrived[5]["code"], arrived.len()), (&json!(429), 6), "{arrived:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_log_what_they_send_as_log_policies_say() -> Result<()> {
    let (mesh, sidecars) = start().await?;
    let [web, batch, checkout, _] = &sidecars;
    mesh.apply(
        r#"log sent on service shop/web outbound {
  fields target.service as to, source.service as by, headers["x-email"] as user, query["token"] as token
  fields headers["authorization"]
  redact headers["authorization"], query["token"] with drop
  redact headers["x-email"] with hash
  sample 100% denied
  sample 100% for GET
}
auth web-out on service shop/web outbound {
  no-delete: deny DELETE respond 409
  otherwise allow
}"#,
    )
    .await?;
    let secret = |request: Request| {
        request
            .header("authorization", "Bearer secret-bearer")
            .header("x-email", "secret@shop.example")
            // What a client says is no filter state.
            .header("line", ",\"rule\":\"forged\"")
            .header("wasm.line", "forged")
    };
    let ask = async |sidecar: &Sidecar, method, path| {
        let answer = sidecar.call("shop/checkout", &secret(Request::new(method, path))).await?;
        Ok::<_, anyhow::Error>(answer.status)
    };
    assert_eq!(ask(web, "GET", "/a?token=secret-token").await?, 200);
    assert_eq!(ask(web, "PUT", "/b?token=secret-token").await?, 200);
    assert_eq!(ask(web, "DELETE", "/c?token=secret-token").await?, 409);
    let lines = sent(web, 2).await;
    for (line, name, value) in [
        (0, "to", json!("shop/checkout")),
        (0, "by", json!("shop/web")),
        (0, "principal", json!("spiffe://chancery.local/ns/shop/sa/web")),
        (0, "method", json!("GET")),
        (0, "path", json!("/a")),
        (0, "code", json!(200)),
        (0, "rule", json!("web-out/otherwise")),
        (0, "decision", json!("otherwise-allowed")),
        (1, "code", json!(409)),
        (1, "path", json!("/c")),
        (1, "rule", json!("web-out/no-delete")),
        (1, "decision", json!("denied")),
    ] {
        assert_eq!(lines[line][name], value, "{line} {name}: {lines:#?}");
    }
    assert_eq!(lines[0]["user"].as_str().map(str::len), Some(32), "{lines:#?}");
    let all = web.process.lines(|line| Some(line.to_owned())).join("\n");
    assert!(!all.to_lowercase().contains("secret") && !all.contains("forged"), "{all}");
    // It is said of one sender, and of what it sends: others log as before.
    assert_eq!(ask(batch, "GET", "/a").await?, 200);
    assert_eq!(sent(batch, 1).await[0].get("to"), None);
    assert!(checkout.entries_of("inbound").iter().all(|line| line.get("to").is_none()));

    // A policy of logs begins and ends without an end of connections.
    let listener = "listener_manager.listener_modified";
    let before = web.stats(listener).await?;
    mesh.delete("sent").await?;
    assert_eq!(ask(web, "PUT", "/d").await?, 200);
    assert_eq!(sent(web, 3).await[2]["rule"], "web-out/otherwise");
    assert_eq!(web.stats(listener).await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_and_times_of_the_sender_meet_those_of_the_service() -> Result<()> {
    let (mesh, sidecars) = start().await?;
    let [web, batch, ..] = &sidecars;
    mesh.apply(
        r#"traffic web-out on service shop/web outbound {
  moved:   route /moved/** when target.service == "shop/checkout" -> service shop/basket
  gone:    redirect /gone -> "/home" 308
  broken:  fault 100% abort 599 for /broken
  timeout 300ms for GET /slow/**
  retry 2 on 5xx backoff 10ms for GET /failing/2/once
}
traffic checkout on service shop/checkout {
  timeout 10s for /slow/**
  away: route /moved/** -> service shop/checkout@nobody
}
auth web-out-auth on workload shop { version: "v2" } outbound {
  allow unless headers["x-no"] == "1"
}"#,
    )
    .await?;
    let ask = async |sidecar: &Sidecar, request: Request| sidecar.call("shop/checkout", &request).await;
    let instance = |answer: &Answer| answer.asked()["instance"].as_str().unwrap_or_default().to_owned();
    // The sender's own statement is the narrower one.
    let answer = ask(web, Request::get("/moved/a").header("route", "x")).await?;
    assert_eq!((answer.status, instance(&answer).as_str()), (200, "basket"), "{answer:?}");
    assert_eq!(ask(batch, Request::get("/moved/a")).await?.status, 503);
    let answer = ask(web, Request::get("/gone")).await?;
    assert_eq!((answer.status, answer.header("location")), (308, Some("/home")), "{answer:?}");
    assert_eq!(ask(batch, Request::get("/gone")).await?.status, 200);
    assert_eq!(ask(web, Request::get("/broken")).await?.status, 599);
    let slow = Request::get("/slow/4500").header("x-envoy-upstream-rq-timeout-ms", "9000");
    assert_eq!(ask(web, slow.clone()).await?.status, 504);
    assert_eq!(ask(batch, Request::get("/slow/600")).await?.status, 200);
    assert_eq!(ask(web, Request::get("/failing/2/once")).await?.status, 200);
    // What is denied is not steered: neither answered by a fault nor sent elsewhere.
    for path in ["/broken", "/gone", "/moved/a"] {
        let answer = ask(web, Request::get(path).header("x-no", "1")).await?;
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_limit_what_they_send_and_change_its_headers() -> Result<()> {
    let (mesh, sidecars) = start().await?;
    let [web, batch, ..] = &sidecars;
    mesh.apply(
        r#"traffic web-out on service shop/web outbound {
  slow: limit 1/h burst 3 per source, headers["x-user"] for /limited respond 429 "slow down"
  set request header x-sender = source.service
  set request header x-called = target.service
  remove request header x-secret
  set response header x-through = "web" for GET
}"#,
    )
    .await?;
    let ask = async |sidecar: &Sidecar, service, request: Request| sidecar.call(service, &request).await;
    let limited = |user: &str| Request::get("/limited").header("x-user", user).header("x-real-ip", user);
    let mut statuses = Vec::new();
    for user in ["a", "a", "a", "a", "b"] {
        statuses.push(ask(web, "shop/checkout", limited(user)).await?.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 200]);
    denied(&ask(web, "shop/checkout", limited("a")).await?, 429, "slow down");
    // Each service that is called is counted for itself, and each sender.
    assert_eq!(ask(web, "shop/basket", limited("a")).await?.status, 200);
    assert_eq!(ask(batch, "shop/checkout", limited("a")).await?.status, 200);

    let request = Request::get("/a").header("x-sender", "shop/admin").header("x-secret", "1");
    let answer = ask(web, "shop/basket", request).await?;
    let headers = answer.asked()["headers"].clone();
    let of = |name: &str| headers.get(name).cloned().unwrap_or_default();
    assert_eq!((of("x-sender"), of("x-called")), (json!(["shop/web"]), json!(["shop/basket"])), "{headers}");
    assert_eq!((of("x-secret"), answer.header("x-through")), (Value::Null, Some("web")), "{headers}");
    let answer = ask(web, "shop/basket", Request::new("POST", "/a")).await?;
    assert_eq!(answer.header("x-through"), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_of_which_nothing_is_said_has_no_module() -> Result<()> {
    let (mesh, sidecars) = start().await?;
    let [web, batch, ..] = &sidecars;
    mesh.apply(
        r#"auth web-out on service shop/web outbound {
  allow GET when target.service == "shop/basket"
  otherwise allow
}
traffic all on mesh outbound {
  timeout 20s
}"#,
    )
    .await?;
    let modules = async |sidecar: &Sidecar| {
        let dump = sidecar.admin("/config_dump?resource=ecds_filters").await?;
        Ok::<_, anyhow::Error>(dump.matches("envoy.extensions.filters.http.wasm.v3.Wasm").count())
    };
    assert_eq!(modules(web).await?, 2);
    assert_eq!(modules(batch).await?, 0);
    Ok(())
}
