//! Ready filters as modules: they do in the wasmtime host what the filter does natively, and do it in a real Envoy.

mod guards;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chancery_sdk::testing::{Event, Plugin};
use chancery_sdk_host::abi::{Action, MapType};
use chancery_sdk_host::{HeaderMap, Host, HostError, Limits, PluginConfiguration, Properties};
use chancery_tests::envoy::{Envoy, answering_listener, wasm_filter};
use chancery_tests::filters;
use hmac::{Hmac, KeyInit, Mac};
use hmac_auth::HmacAuth;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// When the requests below were signed.
const SIGNED_AT: u64 = 1_618_884_473;
const CONFIGURATION: &str = r#"{
    "keys": [{"id": "shop", "secret_base64": "c2VjcmV0IG9mIHRoZSBzaG9wLCAyOCBieXRlcw=="}],
    "key_header": "x-signed-by"
}"#;
const SECRET: &[u8] = b"secret of the shop, 28 bytes";
const BODY: &str = r#"{"hello": "world"}"#;
/// How long Envoy may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two pieces of a body, so that they come apart.
const PAUSE: Duration = Duration::from_millis(100);

/// The headers of a signed `POST /pay?to=anna` with [`BODY`]: what a client computes, in words of this test.
fn signature(created: u64) -> [(&'static str, String); 3] {
    let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(BODY)));
    let covered = r#"("@method" "@authority" "@path" "@query" "content-digest")"#;
    let input = format!(r#"{covered};created={created};keyid="shop""#);
    let base = format!(
        "\"@method\": POST\n\"@authority\": pay.example\n\"@path\": /pay\n\"@query\": ?to=anna\n\
         \"content-digest\": {digest}\n\"@signature-params\": {input}"
    );
    let mut hmac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    hmac.update(base.as_bytes());
    let mac = STANDARD.encode(hmac.finalize().into_bytes());
    [
        ("content-digest", digest),
        ("signature-input", format!("s={input}")),
        ("signature", format!("s=:{mac}:")),
    ]
}

/// The module, built once for all tests.
fn hmac_auth() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| {
        filters::ready("hmac-auth", &Path::new(env!("CARGO_TARGET_TMPDIR")).join("filters")).unwrap()
    })
}

fn events(pieces: &[&str], trailers: bool) -> Vec<Event> {
    let head =
        [(":method", "POST"), (":scheme", "http"), (":authority", "pay.example"), (":path", "/pay?to=anna")];
    let head =
        head.into_iter().chain([("x-signed-by", "somebody")]).map(|(name, value)| (name, value.to_owned()));
    let headers = head.chain(signature(SIGNED_AT)).map(|(name, value)| (name.to_owned(), value.into_bytes()));
    let headers = headers.collect();
    let mut events = vec![Event::RequestHeaders { headers, ends: pieces.is_empty() }];
    let last = pieces.len().saturating_sub(1);
    events.extend(pieces.iter().enumerate().map(|(at, piece)| Event::RequestBody {
        bytes: piece.as_bytes().to_vec(),
        ends: at == last && !trailers,
    }));
    if trailers {
        events.push(Event::RequestTrailers { trailers: vec![("a".to_owned(), b"b".to_vec())] });
    }
    events
}

/// What the module says to each event, in the words of the native tests, and the headers that it left.
fn outcomes_in_wasm(plugin: &mut chancery_sdk_host::Plugin, events: &[Event]) -> (Vec<String>, HeaderMap) {
    let mut stream = plugin.open(Properties::new()).unwrap();
    let mut outcomes = Vec::new();
    for event in events {
        let map =
            |pairs: &[(String, Vec<u8>)]| pairs.iter().map(|(name, value)| (name, value.clone())).collect();
        let outcome = match event {
            Event::RequestHeaders { headers, ends } => stream.on_request_headers(map(headers), *ends),
            Event::RequestBody { bytes, ends } => stream.on_request_body(bytes.clone(), *ends),
            Event::RequestTrailers { trailers } => stream.on_request_trailers(map(trailers)),
            other => unreachable!("{other}"),
        };
        let outcome = outcome.unwrap();
        outcomes.push(match (outcome.local_response, outcome.action) {
            (Some(answer), _) => format!("answered {}", answer.status),
            (None, Action::Continue) => "went on".to_owned(),
            (None, _) => "held".to_owned(),
        });
        if outcomes.last().is_some_and(|outcome| outcome.starts_with("answered")) {
            break;
        }
    }
    let headers = stream.header_map(MapType::RequestHeaders).cloned().unwrap_or_default();
    (outcomes, headers)
}

#[test]
fn a_ready_filter_does_in_wasm_what_it_does_natively() {
    let cases: &[(&[&str], bool, &str)] = &[
        (&[BODY], false, "went on"),
        (&[r#"{"hello""#, "", r#": "world"}"#], false, "went on"),
        (&[BODY], true, "went on"),
        (&[r#"{"hello": "you"}"#], false, "answered 401"),
        (&[r#"{"hello": "you"}"#], true, "answered 401"),
        (&[], false, "answered 401"),
    ];
    let loaded = Host::new(Limits::default()).unwrap().load(&fs::read(hmac_auth()).unwrap()).unwrap();
    for (pieces, trailers, expected) in cases {
        let events = events(pieces, *trailers);
        let native = Plugin::<HmacAuth>::start(CONFIGURATION).unwrap();
        native.set_unix_seconds(SIGNED_AT);
        let recording = native.record(events.clone());
        let mut native: Vec<String> = recording.steps.iter().map(|step| step.outcome.to_string()).collect();
        native.truncate(1 + native.iter().take_while(|outcome| !outcome.starts_with("answered")).count());

        let mut plugin = loaded.start(configuration(CONFIGURATION)).unwrap();
        let (in_wasm, headers) = outcomes_in_wasm(&mut plugin, &events);
        assert_eq!(in_wasm, native, "{pieces:?}\n{recording}");
        assert_eq!(in_wasm.last().map(String::as_str), Some(*expected), "{pieces:?}\n{recording}");
        let signed_by = headers.all(b"x-signed-by").collect::<Vec<_>>();
        let passed = *expected == "went on";
        assert_eq!(signed_by, [if passed { &b"shop"[..] } else { b"somebody" }]);

        // The same request once more, on a VM that shares the data of the first.
        let mut beside = loaded.start(configuration(CONFIGURATION)).unwrap();
        let (again, _) = outcomes_in_wasm(&mut beside, &events);
        assert_eq!(again.last().map(String::as_str), Some("answered 401"));
    }
}

fn configuration(text: &str) -> PluginConfiguration {
    let configuration = text.as_bytes().to_vec();
    PluginConfiguration {
        configuration,
        time_ns: SIGNED_AT * 1_000_000_000,
        ..PluginConfiguration::default()
    }
}

#[test]
fn what_a_filter_says_of_its_configuration_reaches_whoever_starts_it() {
    let loaded = Host::new(Limits::default()).unwrap().load(&fs::read(hmac_auth()).unwrap()).unwrap();
    let refused = loaded.start(configuration(r#"{"keys": [{"id": "shop", "secret_base64": "AAAA"}]}"#));
    let Err(error @ HostError::Refused { .. }) = refused else { unreachable!("it was accepted") };
    assert_eq!(
        error.to_string(),
        "`proxy_on_configure` did not accept the configuration: \
         `keys[0].secret_base64`: has 3 bytes; at least 16 are needed"
    );
}

#[tokio::test]
async fn a_ready_filter_holds_and_refuses_in_envoy() {
    let mut filter = wasm_filter("hmac-auth", hmac_auth(), CONFIGURATION);
    let config = filter.pointer_mut("/typed_config/config").unwrap().as_object_mut().unwrap();
    config.insert("allow_on_headers_stop_iteration".to_owned(), json!(true));
    let listener = answering_listener("signed", vec![filter], json!({}));
    let envoy = Envoy::start(tempfile::tempdir().unwrap(), json!({"listeners": [listener]})).await.unwrap();
    let address = envoy.listener("signed").await.unwrap();

    let signature = signature(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs());
    let (begin, end) = BODY.split_at(8);
    assert_eq!(post(address, &signature, &[begin, r#": "you"}..."#]).await, 401);
    assert_eq!(post(address, &signature, &[begin, end]).await, 200);
    assert_eq!(post(address, &signature, &[BODY]).await, 401, "it came before");
    assert_eq!(post(address, &[], &[BODY]).await, 401);
    let stats = envoy.stats("wasmcustom.hmac-auth").await.unwrap();
    let of = |name: &str| stats.get(&format!("wasmcustom.hmac-auth.{name}")).copied();
    let counted = ["admitted", "refused.other-body", "refused.replayed", "refused.unsigned"].map(of);
    assert_eq!(counted, [Some(1); 4]);
    envoy.stop().await.unwrap();
}

/// Sends a request whose body comes in pieces, and gives the status of the answer.
async fn post(address: SocketAddr, headers: &[(&str, String)], pieces: &[&str]) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "POST /pay?to=anna HTTP/1.1\r\nhost: pay.example\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for piece in pieces {
        sleep(PAUSE).await;
        // Who is refused before the end of its body may find the connection closed.
        let _refused = stream.write_all(piece.as_bytes()).await;
    }
    let mut answer = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    std::str::from_utf8(answer.last_chunk::<3>().unwrap()).unwrap().parse().unwrap()
}
