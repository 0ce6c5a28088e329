//! What becomes of requests that no application answers, in the lines of whoever sent them: too late, no replica, and
//! no route. Policies ask for the flags, and their lines go to a sink. Then each other flag that can be caused here.

#![expect(clippy::indexing_slicing, reason = "what is not there ends the test")]

use crate::command_line::transcript::CHANCERY;
use anyhow::{Result, bail};
use chancery_policy_lang::response::FLAGS;
use chancery_tests::mesh::wire::{Answer, Request};
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use serde_json::{Value, json};
use std::path::Path;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

const POLICIES: &str = r#"
auth orders on service shop/orders { read: allow GET }
traffic orders-traffic on service shop/orders {
  timeout 300ms for /slow/**
}
sink audit { file "audit.jsonl" }
log failures on service shop/web outbound {
  sample 0%
  sample 100% when "UT" in response.flags && request.path.startsWith("/slow/")
  sample 100% when "UH" in response.flags || "UF" in response.flags
  sample 100% when "NR" in response.flags
  fields "UT" in response.flags as late, "UH" in response.flags as nobody, response.code as status, target.service as to
  fields response.flags.exists(f, f == "UT") ? request.path : "" as where
  redact query["token"] with drop
  send to audit
}
log secret on service shop/none {
  redact request.path with mask
  redact request.method with hash
}
"#;

/// The lines of the file once there are so many.
async fn lines(sidecar: &Sidecar, count: usize) -> Result<Vec<Value>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(sidecar.logs().join("audit.jsonl")).unwrap_or_default();
        let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        if lines.len() >= count {
            return Ok(lines);
        }
        if Instant::now() > deadline {
            bail!("there are {} of {count} lines: {text}", lines.len());
        }
        sleep(LOOK_AGAIN).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_the_sender_say_why_nobody_answered() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let web = Member::new("shop/web", "web")?.calling(&["shop/orders", "shop/none"])?;
    let [web, orders] = mesh.join([web, Member::new("shop/orders", "orders")?]).await?;
    let revision = mesh.apply(POLICIES).await?;

    assert_eq!(web.call("shop/orders", &Request::get("/a")).await?.status, 200);
    assert_eq!(web.call("shop/orders", &Request::get("/slow/20000?token=t")).await?.status, 504);
    assert_eq!(web.call("shop/none", &Request::get("/secret/7")).await?.status, 503);
    let found = lines(&web, 2).await?;
    let by_status = |status: u16| found.iter().find(|line| line["status"] == status).unwrap_or(&Value::Null);
    let (late, nobody) = (by_status(504), by_status(503));
    for (line, name, value) in [
        (late, "flags", json!("UT")),
        (late, "late", json!(true)),
        (late, "nobody", json!(false)),
        (late, "to", json!("shop/orders")),
        (late, "target", json!("shop/orders")),
        (late, "where", json!("/slow/20000")),
        (late, "path", json!("/slow/20000")),
        (late, "direction", json!("outbound")),
        (late, "revision", json!(revision.to_string())),
        (nobody, "flags", json!("UH")),
        (nobody, "nobody", json!(true)),
        (nobody, "to", json!("shop/none")),
        // What the service that is called redacts, its callers do not tell.
        (nobody, "path", json!("***")),
        (nobody, "where", json!("***")),
        (nobody, "revision", json!(revision.to_string())),
    ] {
        assert_eq!(line[name], value, "{name}: {found:#?}");
    }
    assert_eq!(found.len(), 2, "{found:#?}");
    // A module has the key of the mesh; the line that Envoy writes by itself, below, has not.
    assert_eq!(nobody["method"].as_str().map(str::len), Some(32), "{found:#?}");
    // In the target's own sidecar nobody was too late: the caller ended the request.
    let arrived = orders.entries_after(0, 2).await?;
    let slow = arrived.iter().find(|line| line["path"] == "/slow/20000").unwrap_or(&Value::Null);
    assert_eq!((&slow["flags"], &slow["code"]), (&json!("DR"), &json!(0)), "{arrived:#?}");

    // A path with two meanings is refused before any policy is asked, and its line shows no more.
    let before = web.entries_of("outbound").len();
    let mut connection = TcpStream::connect(web.outbound("shop/none")?).await?;
    connection.write_all(b"GET /secret%2F7 HTTP/1.1\r\nhost: none\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let deadline = Instant::now() + PATIENCE;
    while web.entries_of("outbound").len() == before && Instant::now() < deadline {
        sleep(LOOK_AGAIN).await;
    }
    let entries = web.entries_of("outbound");
    let line = entries.get(before).unwrap_or(&Value::Null);
    assert_eq!(
        (&line["path"], &line["method"], &line["code"]),
        (&json!("***"), &json!("***"), &json!(400)),
        "{line}"
    );
    assert_eq!(line["revision"], json!(revision.to_string()), "{line}");
    Ok(())
}

/// What goes out is logged with each flag, and is too much, waits, and is tried again.
fn of_each_flag() -> String {
    let asked: Vec<String> =
        FLAGS.iter().map(|flag| format!("\"{flag}\" in response.flags as is-{flag}")).collect();
    format!(
        "traffic orders-traffic on service shop/orders {{
  connections at_most 10 requests 1
  retry 1 on 5xx backoff 5ms for /failing/**
  waits: fault 100% delay 20ms for /waits
}}
log each on service shop/web outbound {{ fields {} }}",
        asked.join(", ")
    )
}

/// Sends these bytes to a service by the sender's sidecar, and gives what that answers.
async fn send(web: &Sidecar, text: &str) -> Result<Answer> {
    let mut connection = TcpStream::connect(web.outbound("shop/orders")?).await?;
    connection.write_all(text.as_bytes()).await?;
    Answer::read_from(connection).await
}

/// The newest line of what went out, once there are so many.
async fn newest(web: &Sidecar, count: usize) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lines = web.entries_of("outbound");
        match lines.last() {
            Some(last) if lines.len() >= count => return Ok(last.clone()),
            _ if Instant::now() > deadline => bail!("there are {} of {count} lines: {lines:#?}", lines.len()),
            _ => sleep(LOOK_AGAIN).await,
        }
    }
}

/// Whether a line shows these flags, and its policy knows just these.
fn check_flags(line: &Value, flags: &[&str]) {
    let mut shown: Vec<&str> =
        line["flags"].as_str().unwrap_or_default().split(',').filter(|flag| *flag != "-").collect();
    shown.sort_unstable();
    assert_eq!(shown, flags, "{line:#}");
    let mut known: Vec<&str> = FLAGS.into_iter().filter(|flag| line[format!("is-{flag}")] == true).collect();
    known.sort_unstable();
    assert_eq!(known, flags, "{line:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_the_sender_have_each_flag_that_can_be_caused() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let web = Member::new("shop/web", "web")?.calling(&["shop/orders"])?;
    let [web, orders] = mesh.join([web, Member::new("shop/orders", "orders")?]).await?;

    // Without a policy: no route is for a tunnel, and what is no message of HTTP has no line but this.
    let tunnel = "CONNECT orders:80 HTTP/1.1\r\nhost: orders:80\r\nconnection: close\r\n\r\n";
    assert_eq!(send(&web, tunnel).await?.status, 404);
    let line = newest(&web, 1).await?;
    assert_eq!((&line["flags"], &line["method"]), (&json!("NR"), &json!("CONNECT")), "{line:#}");
    assert_eq!(send(&web, "GET / HTTP/1.1\r\nhost: a b\r\n\r\n").await?.status, 400);
    let line = newest(&web, 2).await?;
    assert_eq!((&line["flags"], &line["method"]), (&json!("DPE"), &Value::Null), "{line:#}");

    mesh.apply(&of_each_flag()).await?;
    // Where a policy is asked, what has no route has no meaning either: no statement sees NR.
    assert_eq!(send(&web, tunnel).await?.status, 400);
    let line = newest(&web, 3).await?;
    assert_eq!((&line["flags"], &line["rule"]), (&json!("-"), &json!("bad-path")), "{line:#}");

    assert_eq!(web.call("shop/orders", &Request::get("/waits")).await?.status, 200);
    check_flags(&newest(&web, 4).await?, &["DI"]);
    assert_eq!(web.call("shop/orders", &Request::get("/failing/9/x")).await?.status, 503);
    check_flags(&newest(&web, 5).await?, &["URX"]);

    // One request is under way, and another one is too much; then who asked goes away.
    drop(orders.heard());
    let mut slow = TcpStream::connect(web.outbound("shop/orders")?).await?;
    Request::get("/slow/60000").begin(&mut slow).await?;
    let deadline = Instant::now() + PATIENCE;
    while orders.heard().is_empty() && Instant::now() < deadline {
        sleep(LOOK_AGAIN).await;
    }
    assert_eq!(web.call("shop/orders", &Request::get("/a")).await?.status, 503);
    check_flags(&newest(&web, 6).await?, &["UO"]);
    drop(slow);
    check_flags(&newest(&web, 7).await?, &["DC"]);
    Ok(())
}
