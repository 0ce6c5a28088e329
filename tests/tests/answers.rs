//! Answers in a real Envoy: what log policies ask and say of them, and what operations on headers make of them, whether
//! an application gives them, the sidecar does, or there is none.

#![expect(clippy::indexing_slicing, reason = "what is not there ends the test")]

use crate::command_line::transcript::CHANCERY;
use anyhow::Result;
use chancery_policy_lang::response::FLAGS;
use chancery_tests::mesh::wire::{Answer, Request};
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// An application that answers as it is asked to, or does not.
async fn application() -> Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(answer(connection));
        }
    });
    Ok((address, task))
}

async fn answer(connection: TcpStream) {
    let mut connection = BufReader::new(connection);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match connection.read_line(&mut head).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-long: {}\r\n\r\nok", "l".repeat(3_000));
        let text = match head.split(' ').nth(1).unwrap_or_default() {
            "/orders/reset" => return,
            "/orders/garbage" => "this is no answer\r\n\r\n",
            "/orders/half" => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
            "/orders/late" => {
                sleep(PATIENCE).await;
                return;
            }
            "/orders/gone" => {
                "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\nx-own: a\r\nX-Own: b\r\nserver: mine\r\n\r\n"
            }
            "/orders/failed" => {
                "HTTP/1.1 500 Oh\r\ncontent-length: 3\r\nx-secret: hidden\r\nx-own: c\r\n\r\nno!"
            }
            "/orders/long" => &long,
            _ => {
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-secret: hidden\r\nset-cookie: s=1\r\nset-cookie: t=2\r\n\r\nhello"
            }
        };
        let is_whole = !text.ends_with("half");
        if connection.write_all(text.as_bytes()).await.is_err() || !is_whole {
            return;
        }
    }
}

const AUTH: &str = r#"auth orders on service shop/orders {
  read: allow GET /orders/**
  otherwise deny respond 404 "not here"
}
"#;

/// The mesh, a caller, and what it calls, with these policies.
struct Pair {
    _mesh: Mesh,
    web: Sidecar,
    orders: Sidecar,
    application: JoinHandle<()>,
}

async fn start(policies: &str) -> Result<Pair> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let (address, application) = application().await?;
    let web = Member::new("shop/web", "web")?.calling(&["shop/orders"])?;
    let orders = Member::new("shop/orders", "orders")?.before(address.to_string());
    let [web, orders] = mesh.join([web, orders]).await?;
    mesh.apply(&format!("{AUTH}{policies}")).await?;
    Ok(Pair { _mesh: mesh, web, orders, application })
}

impl Pair {
    /// Asks the target itself, so that no sidecar of a caller asks again.
    async fn ask(&self, path: &str) -> Result<Answer> {
        self.web.ask(&self.orders, &Request::get(path).header("x-key", "key")).await
    }

    /// The one line that says this path.
    async fn line(&self, path: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut lines = self.orders.entries_of("inbound");
            lines.retain(|line| line["path"] == path);
            match lines.as_slice() {
                [line] => return line.clone(),
                lines => assert!(lines.is_empty() && Instant::now() < deadline, "{path}: {lines:#?}"),
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// What a line says of its answer is what Envoy says of it in the same line.
fn check_against_envoy(line: &Value) {
    assert_eq!((&line["status"], &line["response_size"]), (&line["code"], &line["bytes_sent"]), "{line:#}");
    assert_eq!(line["ms"], line["duration"], "{line:#}");
    let shown = line["flags"].as_str().unwrap().trim_matches('-');
    let mut shown: Vec<&str> = shown.split(',').filter(|flag| !flag.is_empty()).collect();
    let mut said: Vec<&str> = FLAGS.into_iter().filter(|flag| line[format!("is-{flag}")] == true).collect();
    shown.sort_unstable();
    said.sort_unstable();
    assert_eq!(said, shown, "{line:#}");
    let upstream = line["upstream_address"].as_str().unwrap_or("-");
    let of_envoy = line["upstream"].as_str().filter(|text| !text.is_empty()).unwrap_or("-");
    assert_eq!(upstream, of_envoy, "{line:#}");
}

fn log_of_everything() -> String {
    let flags: Vec<String> =
        FLAGS.iter().map(|flag| format!("\"{flag}\" in response.flags as is-{flag}")).collect();
    format!(
        r#"log everything on service shop/orders {{
  let failed = response.code >= 500
  fields response.code as status, response.duration as ms, response.size, failed as failed, {}
  fields upstream.address, upstream.attempts, upstream.failure, headers["x-key"] as key
  fields response.headers["x-own"], response.headers["x-secret"], response.headers["x-secret"].size() as length
  fields response.headers["set-cookie"], response.headers["x-long"], response.headers["content-type"], size(response.flags) as count
  redact response.headers["x-secret"] with drop
  redact response.headers["set-cookie"] with hash
}}"#,
        flags.join(", ")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_says_of_any_answer_what_the_sidecar_knows() -> Result<()> {
    let pair = start(&log_of_everything()).await?;
    for (path, status, size) in [
        ("/orders/fine", 200, json!(5)),
        ("/orders/gone", 410, json!(0)),
        ("/orders/failed", 500, json!(3)),
        ("/orders/long", 200, json!(2)),
        ("/elsewhere", 404, json!(8)),
    ] {
        assert_eq!(pair.ask(path).await?.status, status, "{path}");
        let line = pair.line(path).await;
        check_against_envoy(&line);
        assert_eq!((&line["status"], &line["response_size"]), (&json!(status), &size), "{path}: {line:#}");
        assert_eq!((&line["failed"], &line["count"]), (&json!(status >= 500), &json!(0)), "{path}: {line:#}");
        let sent = i32::from(path != "/elsewhere");
        assert_eq!(line["upstream_attempts"], sent, "{path}: {line:#}");
        assert_eq!(line["key"], "key", "{path}: {line:#}");
    }
    assert_eq!(pair.line("/orders/gone").await["response_x-own"], "a,b");
    // Longer than policies look at.
    assert_eq!(pair.line("/orders/long").await["response_x-long"], Value::Null);
    let line = pair.line("/orders/fine").await;
    assert_eq!(line["response_set-cookie"].as_str().map(str::len), Some(32), "{line:#}");
    assert!(line.get("response_x-secret").is_none() && line.get("length").is_none(), "{line:#}");
    // An answer that the sidecar gives itself has headers, too.
    assert_eq!(pair.line("/elsewhere").await["response_content-type"], "text/plain");
    // What has no meaning is answered before any rule.
    assert_eq!(pair.ask("/orders/%zz").await?.status, 400);
    let line = pair.line("/orders/%zz").await;
    check_against_envoy(&line);
    assert_eq!((&line["status"], &line["key"]), (&json!(400), &Value::Null), "{line:#}");
    let all = pair.orders.process.lines(|line| Some(line.to_owned())).join("\n");
    assert!(!all.contains("hidden"), "{all}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_says_why_there_is_no_answer_of_the_application() -> Result<()> {
    let pair = start(&log_of_everything()).await?;
    // It ends the connection instead of answering, and in the middle of an answer.
    assert_eq!(pair.ask("/orders/reset").await?.status, 503);
    let line = pair.line("/orders/reset").await;
    check_against_envoy(&line);
    assert_eq!((&line["status"], &line["is-UC"]), (&json!(503), &json!(true)), "{line:#}");
    // It does not speak HTTP.
    assert_eq!(pair.ask("/orders/garbage").await?.status, 502);
    let line = pair.line("/orders/garbage").await;
    check_against_envoy(&line);
    assert_eq!(line["is-UPE"], true, "{line:#}");
    let _broken = pair.ask("/orders/half").await;
    let line = pair.line("/orders/half").await;
    check_against_envoy(&line);
    assert_eq!(line["status"], 200, "{line:#}");
    assert!(line["count"].as_i64() > Some(0), "{line:#}");
    // The caller does not wait.
    let waiting = Request::get("/orders/late");
    let call = pair.web.ask(&pair.orders, &waiting);
    assert!(tokio::time::timeout(20 * LOOK_AGAIN, call).await.is_err());
    let line = pair.line("/orders/late").await;
    check_against_envoy(&line);
    assert_eq!((&line["status"], &line["failed"]), (&json!(0), &json!(false)), "{line:#}");
    assert_eq!(line["response_content-type"], Value::Null, "{line:#}");
    // Nobody listens.
    pair.application.abort();
    sleep(LOOK_AGAIN).await;
    assert_eq!(pair.ask("/orders/away").await?.status, 503);
    let line = pair.line("/orders/away").await;
    check_against_envoy(&line);
    assert_eq!((&line["is-UF"], &line["failed"]), (&json!(true), &json!(true)), "{line:#}");
    assert!(line["upstream_failure"].is_string(), "{line:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_choose_by_all_that_is_known_of_an_answer() -> Result<()> {
    let sampled = r#"log some on service shop/orders {
  sample 0%
  sample 100% when "UC" in response.flags
  sample 100% when response.headers["x-own"] == "c" && headers["x-key"] == "key"
  sample 100% when response.size == 0 && response.code == 410
  sample 100% denied when response.headers["content-type"].startsWith("text/")
  sample 100% when response.headers["x-marked"] == "yes"
}
traffic marked on service shop/orders { set response header x-marked = "yes" for /orders/marked }"#;
    let pair = start(sampled).await?;
    let mut expected = Vec::new();
    for (path, is_logged) in [
        ("/orders/fine", false),
        ("/orders/reset", true),
        ("/orders/failed", true),
        ("/orders/gone", true),
        ("/orders/long", false),
        ("/elsewhere", true),
        // A log sees the headers that the caller gets.
        ("/orders/marked", true),
    ] {
        pair.ask(path).await?;
        expected.extend(is_logged.then_some(path));
    }
    let deadline = Instant::now() + PATIENCE;
    while pair.orders.entries_of("inbound").len() < expected.len() && Instant::now() < deadline {
        sleep(LOOK_AGAIN).await;
    }
    sleep(10 * LOOK_AGAIN).await;
    let lines = pair.orders.entries_of("inbound");
    let mut paths: Vec<&str> = lines.iter().filter_map(|line| line["path"].as_str()).collect();
    paths.sort_unstable();
    expected.sort_unstable();
    assert_eq!(paths, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_an_answer_are_changed_by_what_it_is() -> Result<()> {
    let operations = r#"traffic answers on service shop/orders {
  status: set response header x-status = response.code
  copy:   set response header x-copy = response.headers["x-own"] when response.code >= 500
  key:    set response header x-why = headers["x-key"] for /orders/gone when response.code == 410
  fine:   set response header x-why = "fine" when response.code < 300
  secret: remove response header x-secret when response.code < 500
  retry:  set response header retry-after = "1" when response.code == 503 && headers["x-key"] == "key"
  long:   set response header x-short = response.headers["x-long"]
}
traffic all on mesh { set response header x-why = "unknown" }"#;
    let pair = start(operations).await?;
    let expect = async |path: &str, status: u16, headers: &[(&str, Option<&str>)]| -> Result<()> {
        let answer = pair.ask(path).await?;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        for (name, value) in headers {
            assert_eq!(answer.header(name), *value, "{path} {name}: {answer:?}");
        }
        Ok(())
    };
    let status = |text| ("x-status", Some(text));
    expect(
        "/orders/fine",
        200,
        &[status("200"), ("x-why", Some("fine")), ("x-secret", None), ("x-copy", None)],
    )
    .await?;
    expect("/orders/gone", 410, &[status("410"), ("x-why", Some("key")), ("x-copy", None)]).await?;
    let failed =
        [status("500"), ("x-copy", Some("c")), ("x-secret", Some("hidden")), ("x-why", Some("unknown"))];
    expect("/orders/failed", 500, &failed).await?;
    expect("/orders/long", 200, &[status("200"), ("x-short", None)]).await?;
    // An answer that the sidecar gives in the place of the application.
    expect("/orders/reset", 503, &[status("503"), ("retry-after", Some("1")), ("x-why", Some("unknown"))])
        .await?;
    // What a policy refuses is answered as that says.
    expect("/elsewhere", 404, &[("x-status", None), ("x-why", None)]).await?;
    pair.application.abort();
    sleep(LOOK_AGAIN).await;
    expect("/orders/away", 503, &[status("503"), ("retry-after", Some("1")), ("x-copy", None)]).await?;
    Ok(())
}
