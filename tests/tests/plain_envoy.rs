//! A compiled module in an Envoy that knows nothing of Chancery.
//!
//! Requests go out byte by byte as stated, so that odd ones arrive; what Envoy decided is compared
//! with the evaluator's decision on the request that Envoy showed to the module.

use anyhow::Result;
use chancery_control::policies::policy_runner::Ran;
use chancery_policy_lang::check::CheckOptions;
use chancery_policy_lang::checked::Direction;
use chancery_policy_lang::emit::compile;
use chancery_policy_lang::eval::evaluate;
use chancery_policy_lang::link::link;
use chancery_policy_lang::linked::{LinkedProgram, Workload};
use chancery_policy_lang::request::{Protocol, RawRequest, Refusal, Request, received};
use chancery_policy_lang::{SourceSet, analyse};
use chancery_tests::envoy::{Envoy, answering_listener, wasm_filter};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

const POLICY: &str = r#"
schema { header x-groups: list<string, 4> }
auth desk on service shop/desk {
  team:     allow GET, POST /api/** when headers["x-team"] == "blue" && headers["x-role"] != "guest"
  admins:   allow /admin/{what} when "admin" in headers["x-groups"] && path.what != "secret"
  search:   allow GET /search when query["q"].contains("café") && request.host == "desk.example"
  local:    allow PURGE from ip 127.0.0.0/8
  no-trace: deny TRACE respond 405
  teapot:   deny /teapot respond 418 "short and stout"
  version:  deny GET /v/** when headers["x-version"].matches("^v[0-9]+$")
  no-verb:  deny /v1/users:delete, "/Orders(5)/**", /caf%C3%A9
  port:     allow /port when request.port == 8443
  bare:     allow /port when !has(request.port) && request.host == "b.example"
  otherwise deny respond 404
}
auth tried-out on mesh {
  mode shadow
  stricter: deny /api/old/**
}
"#;

/// How long a request and its trace in the log may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request as bytes before the end of its head, and what comes of it: status, and the rule by
/// which the module decided; `None` if Envoy refused the request before the module saw it.
const CASES: &[(&str, u16, Option<&str>)] = &[
    ("GET /api/a HTTP/1.1\r\nx-team: blue", 200, Some("desk/team")),
    ("GET /api HTTP/1.1\r\nX-Team: blue\r\nx-role: writer", 200, Some("desk/team")),
    ("POST /api/a HTTP/1.1\r\nx-team: blue\r\ncontent-length: 0", 200, Some("desk/team")),
    ("GET /api/old/x HTTP/1.1\r\nx-team: blue", 200, Some("desk/team")),
    ("DELETE /api/a HTTP/1.1\r\nx-team: blue", 404, Some("desk/otherwise")),
    ("GET /apix HTTP/1.1\r\nx-team: blue", 404, Some("desk/otherwise")),
    ("GET /api/a HTTP/1.1", 404, Some("desk/otherwise")),
    // A header sent twice is its values joined: whoever reads one of them is let past.
    ("GET /api/a HTTP/1.1\r\nx-team: blue\r\nx-team: red", 404, Some("desk/otherwise")),
    ("GET /api/a HTTP/1.1\r\nx-team: red\r\nx-team: blue", 404, Some("desk/otherwise")),
    ("GET /api/a HTTP/1.1\r\nx-team: blue\r\nx-role: guest", 404, Some("desk/otherwise")),
    ("GET /api/a HTTP/1.1\r\nx-team: blue\r\nx-role: guest\r\nx-role: admin", 200, Some("desk/team")),
    ("GET /admin/a HTTP/1.1\r\nx-groups: dev, admin", 200, Some("desk/admins")),
    ("GET /admin/a HTTP/1.1\r\nx-groups: dev\r\nx-groups: admin", 200, Some("desk/admins")),
    ("GET /admin/a HTTP/1.1\r\nx-groups: a,b,c,d,admin", 404, Some("desk/otherwise")),
    ("GET /admin/secret HTTP/1.1\r\nx-groups: admin", 404, Some("desk/otherwise")),
    ("GET /search?q=un%20caf%C3%A9 HTTP/1.1\r\nhost: Desk.Example:80", 200, Some("desk/search")),
    ("GET /search?q=cafe HTTP/1.1\r\nhost: desk.example", 404, Some("desk/otherwise")),
    ("PURGE / HTTP/1.1", 200, Some("desk/local")),
    ("GET /teapot HTTP/1.1", 418, Some("desk/teapot")),
    ("GET /v/1 HTTP/1.1\r\nx-version: v12", 403, Some("desk/version")),
    ("GET /v/1 HTTP/1.1\r\nx-version: v12x", 404, Some("desk/otherwise")),
    // Paths that Envoy makes canonical, that it refuses, and that it leaves to the module to refuse.
    ("GET /x/../api//a HTTP/1.1\r\nx-team: blue", 200, Some("desk/team")),
    ("GET /ap%69/a HTTP/1.1\r\nx-team: blue", 200, Some("desk/team")),
    ("GET /api/a%2fb HTTP/1.1\r\nx-team: blue", 400, None),
    ("GET /api/%zz HTTP/1.1\r\nx-team: blue", 400, Some("bad-path")),
    ("GET /api/%252e%252e HTTP/1.1\r\nx-team: blue", 400, Some("bad-path")),
    ("GET /api/a;b=c HTTP/1.1\r\nx-team: blue", 200, Some("desk/team")),
    // Other spellings of a path are the same path.
    ("GET /v1/users:delete HTTP/1.1", 403, Some("desk/no-verb")),
    ("GET /v1/users%3adelete HTTP/1.1", 403, Some("desk/no-verb")),
    ("GET /v1/users%3Adelete?x=%3a HTTP/1.1", 403, Some("desk/no-verb")),
    ("GET /Orders(5) HTTP/1.1", 403, Some("desk/no-verb")),
    ("GET /Orders%285%29/x HTTP/1.1", 403, Some("desk/no-verb")),
    ("GET /caf%c3%a9 HTTP/1.1", 403, Some("desk/no-verb")),
    ("GET /%2e%2e;x HTTP/1.1", 400, Some("bad-path")),
    ("GET /a/.%2e;x=1/b HTTP/1.1", 400, Some("bad-path")),
    ("GET /a/..%3b/b HTTP/1.1", 400, Some("bad-path")),
    ("GET /%4%30 HTTP/1.1", 400, Some("bad-path")),
    ("GET /api/%2e;/..; HTTP/1.1\r\nx-team: blue", 200, Some("desk/team")),
    ("GET /api/a#b HTTP/1.1", 400, None),
    // One host, its port apart.
    ("GET /port HTTP/1.1\r\nhost: B.example.", 200, Some("desk/bare")),
    ("GET /port HTTP/1.1\r\nhost: b.example:08443", 200, Some("desk/port")),
    ("GET /port HTTP/1.1\r\nhost: b.example:80", 404, Some("desk/otherwise")),
    ("GET /port HTTP/1.1\r\nhost: b.example\r\nhost: b.example", 400, Some("bad-host")),
    ("GET /port HTTP/1.1\r\nhost:", 400, Some("bad-host")),
    ("GET /port HTTP/1.1\r\nhost: b.example:99999", 400, Some("bad-host")),
    ("GET /port HTTP/1.1\r\nhost: b c", 400, None),
    // Methods, blanks, hops and sizes.
    ("GET /api/a HTTP/1.1\r\nx-team: \t blue \t", 200, Some("desk/team")),
    ("GET /api/a HTTP/1.1\r\nx-team: blue\r\nconnection: x-team", 404, Some("desk/otherwise")),
    ("GET /port HTTP/1.1\r\nhost: b.example\r\ncontent-length: 9223372036854775808", 400, Some("bad-size")),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compiled_module_decides_in_a_plain_envoy() {
    let program = program(POLICY);
    let module = compile(&program).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("module.wasm");
    std::fs::write(&file, &module.bytes).unwrap();
    let log = folder.path().join("access");
    let listener = answering_listener("in", vec![wasm_filter("writ", &file, "")], options(&log));
    let envoy = Envoy::start(folder, json!({"listeners": [listener]})).await.unwrap();
    let address = envoy.listener("in").await.unwrap();

    let mut expected_counts = BTreeMap::new();
    for (head, status, rule) in CASES {
        let answer = send(address, head).await.unwrap();
        assert_eq!(answer.status, *status, "{head}");
        let Some(rule) = rule else {
            assert!(request_of(head).is_err(), "{head}");
            continue;
        };
        let request = request_of(head).unwrap();
        let ran = Ran::of(&evaluate(&program, &request));
        let answered = ran.respond.as_ref().map_or(200, |respond| respond.status);
        assert_eq!((ran.rule.as_str(), answered), (*rule, *status), "the evaluator on {head}");
        let body = ran.respond.as_ref().map_or("", |respond| respond.body.as_str());
        assert_eq!(answer.body, body, "{head}");
        *expected_counts.entry(format!("wasmcustom.writ.{}.{rule}", ran.outcome.as_str())).or_insert(0) += 1;
        if let Some(shadow) = ran.shadow {
            let verdict = if shadow.allows { "allowed" } else { "denied" };
            let name = format!("wasmcustom.writ.shadow-{verdict}.{}", shadow.rule);
            *expected_counts.entry(name).or_insert(0) += 1;
        }
    }

    assert_eq!(envoy.stats("wasmcustom.writ.").await.unwrap(), expected_counts);
    let lines = log_lines(&log, CASES.len()).await;
    for (line, (head, status, rule)) in lines.iter().zip(CASES) {
        assert_eq!(line["status"], *status, "{head}");
        assert_eq!(line["rule"].as_str(), *rule, "{head}");
        if *status != 200 && rule.is_some() {
            assert_eq!(line["details"].as_str(), *rule, "{head}");
        }
    }
    let shadows: Vec<&Value> =
        lines.iter().map(|line| &line["shadow"]).filter(|rule| !rule.is_null()).collect();
    assert_eq!(shadows, ["tried-out/stricter"]);
    envoy.stop().await.unwrap();
}

/// HTTP/2 lets methods in small letters pass and keeps blanks around values; the module does neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_http2_lets_pass_has_one_meaning_too() {
    let policy = r#"auth desk on service shop/desk {
      no-delete: deny DELETE
      team:      allow /team when headers["x-team"] == "blue"
      items:     allow /items/**
    }"#;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("module.wasm");
    std::fs::write(&file, &compile(&program(policy)).unwrap().bytes).unwrap();
    let log = folder.path().join("access");
    let listener = answering_listener("in", vec![wasm_filter("writ", &file, "")], options(&log));
    let envoy = Envoy::start(folder, json!({"listeners": [listener]})).await.unwrap();
    let address = envoy.listener("in").await.unwrap();

    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Empty<Bytes>>();
    let cases = [
        ("GET", "/items/7", "", 200),
        ("DELETE", "/items/7", "", 403),
        ("delete", "/items/7", "", 400),
        ("Delete", "/items/7", "", 400),
        ("get", "/items/7", "", 400),
        ("PURGE", "/items/7", "", 200),
        ("GET", "/team", "blue", 200),
        ("GET", "/team", " blue\t", 200),
        ("GET", "/team", "blue red", 403),
    ];
    for (method, path, team, status) in cases {
        let request = hyper::Request::builder()
            .method(hyper::Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("http://{address}{path}"))
            .header("x-team", team)
            .body(Empty::new())
            .unwrap();
        let answer = timeout(PATIENCE, client.request(request)).await.unwrap().unwrap();
        assert_eq!(answer.status(), status, "{method} {path} {team:?}");
    }
    let refused = envoy.stats("wasmcustom.writ.refused.").await.unwrap();
    assert_eq!(refused, BTreeMap::from([("wasmcustom.writ.refused.bad-method".to_owned(), 3)]));
    envoy.stop().await.unwrap();
}

fn program(policy: &str) -> LinkedProgram {
    let mut sources = SourceSet::new();
    sources.add("desk.writ", policy);
    let analysis = analyse(&sources, CheckOptions::default());
    assert!(analysis.is_ok(), "{:?}", analysis.diagnostics);
    let target = Workload {
        namespace: "shop".to_owned(),
        service: "desk".to_owned(),
        labels: BTreeMap::new(),
        trust_domain: "chancery.local".to_owned(),
    };
    link(&analysis.policies, &target, Direction::Inbound).unwrap().unwrap()
}

/// What `docs/embedding.md` asks for, and a log of what was decided.
fn options(log: &std::path::Path) -> Value {
    json!({
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "use_remote_address": true,
        "skip_xff_append": true,
        "delayed_close_timeout": "0s",
        "access_log": [{
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": log,
                "log_format": {"json_format": {
                    "status": "%RESPONSE_CODE%",
                    "details": "%RESPONSE_CODE_DETAILS%",
                    "rule": "%FILTER_STATE(wasm.rule:PLAIN)%",
                    "shadow": "%FILTER_STATE(wasm.shadow:PLAIN)%",
                }},
            },
        }],
    })
}

/// An answer as the client sees it.
struct Answer {
    status: u16,
    body: String,
}

/// Sends a request on a connection of its own, with a host if the head has none.
async fn send(address: SocketAddr, head: &str) -> Result<Answer> {
    let host = if head.to_ascii_lowercase().contains("\r\nhost:") { "" } else { "host: localhost\r\n" };
    let text = format!("{head}\r\n{host}connection: close\r\n\r\n");
    let mut connection = timeout(PATIENCE, TcpStream::connect(address)).await??;
    connection.write_all(text.as_bytes()).await?;
    let mut answer = Vec::new();
    timeout(PATIENCE, connection.read_to_end(&mut answer)).await??;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap_or_default().parse()?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok(Answer { status, body })
}

/// The request that the module sees, if Envoy does what `received` says.
fn request_of(head: &str) -> Result<Request, Refusal> {
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap().split(' ');
    let mut request = RawRequest {
        protocol: Protocol::Http1,
        method: first.next().unwrap().into(),
        path: first.next().unwrap().into(),
        authority: None,
        ..RawRequest::default()
    };
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        match name.to_ascii_lowercase().as_str() {
            "host" => request.hosts.push(value.into()),
            name => request.headers.push((name.into(), value.into())),
        }
    }
    if request.hosts.is_empty() {
        request.hosts.push(b"localhost".to_vec());
    }
    received(request)
}

/// So many lines of the access log, each an object, as soon as they are there.
async fn log_lines(log: &std::path::Path, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        if text.lines().count() >= count {
            return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        }
        assert!(Instant::now() < deadline, "the access log has only this:\n{text}");
        sleep(Duration::from_millis(50)).await;
    }
}
