//! What a sidecar says is shown, and does nothing to the terminal and the log in which it is.

use crate::command_line::transcript::CHANCERY;
use chancery_control::delivery::snapshot::ResourceType;
use chancery_control::server::api::types::{InboundBody, JoinRequest, ProxyStatement};
use chancery_control::sidecar::control_plane::{Stream, join, open_stream};
use chancery_control::sidecar::identity::{Identity, Request};
use chancery_tests::mesh::{LOOK_AGAIN, Mesh, PATIENCE, ports};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::google::rpc::Status;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tokio::time::{Instant, sleep};

/// A line of a log, a title, colours, and letters turned round.
const HOSTILE: &str =
    "bad\n2026-11-27T07:00:00Z  INFO policies applied revision=666\x1b]0;pwned\x07\x1b[31mRED \u{202e}evil";

/// Joins as `evil/mallory/x1` without an Envoy.
pub(super) async fn join_alone(mesh: &Mesh) -> Identity {
    let context = mesh.context().unwrap();
    let request = Request::new().unwrap();
    let inbound = InboundBody {
        listen: ports::free().unwrap(),
        advertised: None,
        application: "127.0.0.1:9000".parse().unwrap(),
        protocol: None,
        probes: None,
        check: None,
    };
    let proxy = ProxyStatement {
        instance: Some("x1".to_owned()),
        labels: BTreeMap::new(),
        inbound: Some(inbound),
        outbounds: Vec::new(),
    };
    let service = "evil/mallory".to_owned();
    let token = mesh.token(&service, None).await.unwrap();
    let joining = JoinRequest { token, service, csr_pem: request.csr_pem.clone(), proxy };
    let answer = join(&context.url, &context.ca_pem, &joining).await.unwrap();
    request.grant(&context.url, &context.ca_pem, answer, Timestamp::now()).unwrap()
}

/// Joins without an Envoy, and refuses whatever comes first in these words.
pub(super) async fn refuse(mesh: &Mesh) -> Stream {
    let identity = join_alone(mesh).await;
    let node = Node { id: identity.proxy_id.clone(), ..Node::default() };
    let type_url = ResourceType::Cluster.type_url().to_owned();
    let first = DeltaDiscoveryRequest { node: Some(node), type_url: type_url.clone(), ..Default::default() };
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "there is no configuration for it");
        let Ok(mut stream) = open_stream(&identity).await else { continue };
        stream.requests.send(first.clone()).await.unwrap();
        // Its configuration may not be built yet.
        let Ok(Some(response)) = stream.responses.message().await else {
            sleep(LOOK_AGAIN).await;
            continue;
        };
        let words = Status { code: 13, message: HOSTILE.to_owned(), details: Vec::new() };
        let refusal = DeltaDiscoveryRequest {
            type_url,
            response_nonce: response.nonce,
            error_detail: Some(words),
            ..Default::default()
        };
        stream.requests.send(refusal).await.unwrap();
        return stream;
    }
}

fn must_be_harmless(text: &str) {
    let is_harmful =
        |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
    assert!(!text.contains(is_harmful), "{text:?}");
    assert!(text.lines().all(|line| !line.starts_with("2026-11-27T07")), "{text}");
    assert!(
        text.contains("bad\\n2026-11-27T07:00:00Z") && text.contains("\\u{1b}[31mRED \\u{202e}evil"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_of_a_sidecar_are_shown_and_do_nothing() {
    let mut mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
    let stream = refuse(&mesh).await;
    mesh.until_status(None, |status| status.proxies.iter().any(|proxy| !proxy.rejections.is_empty()))
        .await
        .unwrap();
    let file = mesh.folder().join("mallory.writ");
    std::fs::write(&file, "auth mallory on service evil/mallory { otherwise deny }\n").unwrap();
    for arguments in [&["status"][..], &["apply", "-f", file.to_str().unwrap(), "--wait", "--timeout", "2s"]]
    {
        let output = mesh.run(arguments).await.unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(!output.stderr.contains(&0x1b), "{output:?}");
        must_be_harmless(&String::from_utf8(output.stdout).unwrap());
    }
    // In the log it is one value of one line.
    let refused = mesh.control_plane().unwrap().lines(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        Some(line.pointer("/fields/words")?.as_str()?.to_owned())
            .filter(|words| words.contains("revision=666"))
    });
    assert_eq!(refused.len(), 1, "{refused:#?}");
    drop(stream);
}
