//! The guards of bodies: what they need is stated, the longest bodies are within a callback's budget, and in a real Envoy they
//! hold, refuse and replace what passes in pieces.

use super::PATIENCE;
use anyhow::Error;
use chancery_control::policies::filters::dry_run::{self, DryRun};
use chancery_sdk_admission::Terms;
use chancery_sdk_host::{HeaderMap, LoadedModule, PluginConfiguration, Properties};
use chancery_tests::envoy::{Envoy, answering_listener};
use chancery_tests::ready::{self, ReadyFilter};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::OnceLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// All ready filters, built once for all tests.
fn filters() -> &'static BTreeMap<String, ReadyFilter> {
    static FILTERS: OnceLock<BTreeMap<String, ReadyFilter>> = OnceLock::new();
    FILTERS.get_or_init(|| ready::all(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("filters")).unwrap())
}

fn filter(name: &str) -> &'static ReadyFilter {
    filters().get(name).unwrap()
}

/// Repeats something as often as it takes to fill so many bytes.
fn filled(begin: &str, repeated: &str, end: &str, bytes: usize) -> String {
    let count = (bytes - begin.len() - end.len()) / repeated.len();
    format!("{begin}{}{end}", repeated.repeat(count))
}

#[test]
fn every_ready_filter_is_admitted_with_what_it_states() {
    let folders = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../filters")).unwrap();
    let is_crate = |folder: &std::fs::DirEntry| folder.path().join("src").is_dir();
    assert_eq!(filters().len(), folders.flatten().filter(is_crate).count(), "each has its description");
    let host = dry_run::host(&Terms::default()).unwrap();
    for filter in filters().values() {
        let reached = dry_run::dry_run(&host, &filter.module, Some(filter.config.as_bytes()));
        assert!(matches!(reached, Ok(DryRun::Requests(3))), "{}: {reached:?}", filter.name);
        assert!(filter.may.iter().all(|capability| capability.can_be_allowed()), "{}", filter.name);
    }
}

/// Shows a body to a module with its bounds, in one piece, and gives the status of the answer, 200 if it went on.
fn status_of(module: &LoadedModule, configuration: &str, body: &str) -> Result<u32, String> {
    let configuration = configuration.as_bytes().to_vec();
    let mut plugin =
        module.start(PluginConfiguration { configuration, ..PluginConfiguration::default() }).unwrap();
    let mut stream = plugin.open(Properties::new()).unwrap();
    let headers = [(":method", "POST"), (":path", "/graphql"), ("content-type", "application/json")];
    let headers: HeaderMap = headers.into_iter().collect();
    stream.on_request_headers(headers, false).map_err(|error| error.to_string())?;
    let outcome =
        stream.on_request_body(body.as_bytes().to_vec(), true).map_err(|error| error.to_string())?;
    Ok(outcome.local_response.map_or(200, |answer| answer.status))
}

/// Bodies of JSON, each as long as it may be, of what is dear to read.
fn dear_json(bytes: usize) -> Vec<String> {
    let values = ["[],", "1,", "\"\",", "{\"a\":1},", "[[[[[[[[1]]]]]]]],", "\"4111 1111 1111 1112 \","];
    let texts = ["a", "ä", "\\u0061", "\\n", "1 ", "a@", "fe80::1 ", "GB00 0 0", "+1 ", "1.1.1.1 "];
    let of_values = values.map(|value| filled("[", value, "1]", bytes));
    let of_texts = texts.map(|text| filled("\"", text, "\"", bytes));
    // As many values as `json-guard` lets pass, and a text in the rest.
    let both = texts.map(|text| {
        filled(&format!("[{}\"", "{\"a\":1},".repeat((bytes / 32).min(2_400))), text, "\"]", bytes)
    });
    of_values.into_iter().chain(of_texts).chain(both).collect()
}

/// GraphQL requests, each as long as it may be, of what is dear to read.
fn dear_graphql(bytes: usize) -> Vec<String> {
    let documents = [
        ("{", "a ", "}"),
        ("{", "a(b:1)", "}"),
        ("{", "a(first:$n)", "}"),
        ("{", "...f ", "} fragment f on T { a }"),
        ("{", "a{b{c}}", "}"),
        ("{ a(b: \"", "t", "\") }"),
        ("{", "a:b@c", "}"),
        ("{ a(b: [", "{first:1}", "]) }"),
        ("{", "...on T{a}", "}"),
        ("{ a }", "fragment f on T{a} ", ""),
        ("query($n:Int){a(first:$n)}#", "#", ""),
    ];
    let documents = documents.map(|(begin, repeated, end)| {
        let text = filled(begin, repeated, end, bytes - 200);
        // What is escaped makes it longer: it is cut where it is no document any more.
        let body = json!({"query": text, "variables": {"n": 1}}).to_string();
        if body.len() <= bytes {
            body
        } else {
            json!({"query": filled(begin, repeated, end, bytes / 3)}).to_string()
        }
    });
    let variables = [("{\"a\":1},"), ("[[1]],"), ("\"x\",")];
    let begin = "{\"query\": \"query($v:V){a(b:$v)}\", \"variables\": {\"v\": [";
    let variables = variables.map(|value| filled(begin, value, "1]}}", bytes));
    documents.into_iter().chain(variables).collect()
}

/// Bodies of a length, and of parts of it: what is refused at full length may pass in part, and must be within the budget.
fn in_parts(make: fn(usize) -> Vec<String>, bytes: usize) -> Vec<String> {
    [bytes, bytes / 2, bytes / 4, bytes / 8].into_iter().flat_map(make).collect()
}

#[test]
fn the_longest_bodies_are_within_a_callbacks_budget() {
    let (bytes, values) = (json_guard::BYTES_MAX, json_guard::VALUES_MAX);
    // A value of which everything is asked.
    let any = json!({
        "items": {"$ref": "#"}, "additionalProperties": {"$ref": "#"}, "properties": {"a": {"$ref": "#"}},
        "minimum": -1, "pattern": "^[^\u{1}]*$", "minLength": 0, "maxItems": 1_000_000, "minProperties": 0,
    });
    let json_guard = json!({
        "bytes_max": bytes, "text_bytes_max": bytes, "values_max": values, "members_max": bytes, "items_max": bytes,
        "schemas": [{"path": "/graphql", "schema": any}],
    });
    let pii_guard = json!({
        "find": {"card": "mask", "email": "mask", "iban": "mask", "ip": "mask", "phone": "mask"},
        "members": {"password": "mask"}, "paths": {"/*/*/x": "mask", "/0/a": "mask"},
    });
    let many = 1_000_000_000;
    let graphql_guard = json!({
        "bytes_max": graphql_guard::BYTES_MAX, "tokens_max": graphql_guard::TOKENS_MAX, "cost_max": many,
        "aliases_max": many, "directives_max": many, "fragments_max": many, "depth_max": 90,
    });
    let host = dry_run::host(&Terms::default()).unwrap();
    let mut dear = Vec::new();
    for (name, configuration, bodies, least) in [
        ("json-guard", json_guard, in_parts(dear_json, bytes), 15),
        ("pii-guard", pii_guard, in_parts(dear_json, pii_guard::BYTES_MAX), 15),
        ("graphql-guard", graphql_guard, in_parts(dear_graphql, graphql_guard::BYTES_MAX), 10),
    ] {
        let module = host.load(&filter(name).module.bytes).unwrap();
        let mut passed = 0;
        for body in &bodies {
            let begin = body
                .get(body.floor_char_boundary(body.len() / 2)..)
                .unwrap()
                .chars()
                .take(24)
                .collect::<String>();
            match status_of(&module, &configuration.to_string(), body) {
                Ok(200) => passed += 1,
                // There are more values in it, or more work, than is let pass.
                Ok(400 | 413) => {}
                Ok(status) => dear.push(format!("{name}: …{begin}… {status}")),
                Err(words) => {
                    dear.push(format!("{name}: …{begin}… {}", words.chars().take(120).collect::<String>()))
                }
            }
        }
        assert!(passed >= least, "{name}: only {passed} of {} bodies pass", bodies.len());
    }
    assert!(dear.is_empty(), "{}", dear.join("\n"));
}

/// A service that answers with the body that it is sent: at once, or to `/whole` when it has all of it.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| async move {
                let is_awaited = request.uri().path() == "/whole";
                let mut body = request.into_body().boxed();
                if is_awaited {
                    let whole = body.collect().await.map_err(Error::from)?.to_bytes();
                    body = Full::new(whole).map_err(|never| match never {}).boxed();
                }
                let answer = Response::builder().header("content-type", "application/json");
                Ok::<_, Error>(answer.body(body)?)
            });
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                // Envoy closes its connections as it likes.
                let _closed = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// A listener whose requests go to the cluster `echo`.
fn listener(name: &str, filter: Value) -> Value {
    let route = json!({"match": {"prefix": ""}, "route": {"cluster": "echo"}});
    let routes = json!({"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]});
    answering_listener(name, vec![filter], json!({"route_config": routes}))
}

fn cluster(address: SocketAddr) -> Value {
    let socket = json!({"address": address.ip().to_string(), "port_value": address.port()});
    let endpoint = json!({"endpoint": {"address": {"socket_address": socket}}});
    json!({
        "name": "echo",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "echo", "endpoints": [{"lb_endpoints": [endpoint]}]},
    })
}

/// Sends a chunked body in pieces, each a chunk, and gives the whole answer as it came, without chunks' lengths taken off.
async fn post(address: SocketAddr, path: &str, pieces: &[&str]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for piece in pieces.iter().copied().chain([""]) {
        stream.flush().await.unwrap();
        tokio::time::sleep(super::PAUSE).await;
        // Who is refused before the end of its body may find the connection closed.
        let _refused = stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await;
    }
    let mut answer = Vec::new();
    let reading = async {
        let mut buffer = [0; 4_096];
        // A connection that is cut ends the answer as well.
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            answer.extend_from_slice(buffer.get(..count).unwrap());
        }
    };
    timeout(PATIENCE, reading).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[track_caller]
fn is_answered(answer: &str, status: u16, part: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(part), "{answer}");
}

#[tokio::test]
async fn the_guards_look_at_bodies_in_envoy() {
    let folder = tempfile::tempdir().unwrap();
    let on = |name: &str, of: &str, configuration: &str| {
        listener(name, filter(of).bounded(folder.path(), name, configuration).unwrap())
    };
    let finds = r#""find": {"card": "mask", "email": "mask"}, "members": {"pin": "mask"}"#;
    let schema = r#"{"schemas": [{"path": "/a", "schema": {"properties": {"n": {"maximum": 9}}}}]}"#;
    let listeners = [
        on("json", "json-guard", schema),
        on("requests", "pii-guard", &format!(r#"{{"directions": ["request"], {finds}}}"#)),
        on("responses", "pii-guard", &format!(r#"{{"directions": ["response"], {finds}}}"#)),
        on("blocks", "pii-guard", r#"{"find": {"card": "block"}}"#),
    ];
    let resources = json!({"listeners": listeners, "clusters": [cluster(echo().await)]});
    let envoy = Envoy::start(folder, resources).await.unwrap();

    let json = envoy.listener("json").await.unwrap();
    is_answered(&post(json, "/a", &[r#"{"n""#, ": 9}"]).await, 200, r#"{"n": 9}"#);
    is_answered(
        &post(json, "/a", &[r#"{"n""#, ": 10}"]).await,
        422,
        r#""rule":"maximum","pointer":"/n","byte":6"#,
    );
    is_answered(&post(json, "/b", &[r#"{"n": 1, "n": 2}"#]).await, 400, "two members of one name");

    let pieces = [r#"{"to": "4111 1111 11"#, r#"11 1111", "pin": [1, "#, r#"2], "a@b"#, r#".example": 1}"#];
    for name in ["requests", "responses"] {
        let answer = post(envoy.listener(name).await.unwrap(), "/", &pieces).await;
        is_answered(&answer, 200, r#""pin": "***""#);
        let body: String =
            answer.split("\r\n").filter(|line| !line.starts_with(|c: char| c.is_ascii_hexdigit())).collect();
        assert!(body.ends_with(r#"{"to": "***", "pin": "***", "***": 1}"#), "{name}: {answer}");
    }
    let requests = envoy.listener("requests").await.unwrap();
    is_answered(&post(requests, "/whole", &[r#"{"a": }"#]).await, 400, "the body is not JSON");
    // The beginning of the answer has gone on already: it ends where it stops being JSON, and never as if it were whole.
    let responses = envoy.listener("responses").await.unwrap();
    let cut = post(responses, "/", &[r#"{"a": "4111111111111111", "#, "?4111111111111111", "}"]).await;
    assert!(cut.contains(r#"{"a": "***", "#), "{cut}");
    assert!(!cut.contains('?') && !cut.contains("1111") && !cut.ends_with("\r\n0\r\n\r\n"), "{cut}");

    let blocks = envoy.listener("blocks").await.unwrap();
    is_answered(&post(blocks, "/", &[r#"["4111-1111-"#, r#"1111-1111"]"#]).await, 422, "personal data");
    is_answered(&post(blocks, "/", &["[1]"]).await, 200, "[1]");

    let stats = envoy.stats("wasmcustom.").await.unwrap();
    let counted = [
        ("json-guard.admitted", 1),
        ("json-guard.refused.schema", 1),
        ("json-guard.refused.repeated-member", 1),
        ("pii-guard.blocked.card", 1),
        ("pii-guard.refused.not-json", 2),
    ];
    for (name, count) in counted {
        assert_eq!(stats.get(&format!("wasmcustom.{name}")), Some(&count), "{name}");
    }
    envoy.stop().await.unwrap();
}
