//! The relay while the control plane is away, asked over its socket as Envoy asks.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use super::*;
use crate::sidecar::last_good::LastGoodFile;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use std::path::Path;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Endpoint, Server};

/// Nobody listens there.
const NOBODY: &str = "https://127.0.0.1:1";
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait for what must not come.
const SILENCE: Duration = Duration::from_millis(300);

fn identity(key_pem: &str) -> Arc<Identity> {
    Arc::new(Identity {
        url: NOBODY.to_owned(),
        root_pem: String::new(),
        proxy_id: "shop/orders/a".to_owned(),
        key_pem: key_pem.to_owned(),
        certificate_pem: "CHAIN".to_owned(),
        bundle_pem: "ROOTS".to_owned(),
        issued_at: 0,
        lifetime_seconds: 0,
    })
}

/// A last good configuration with one listener.
fn last_good() -> LastGood {
    let url = ResourceType::Listener.type_url();
    let text = format!(
        r#"{{"version": 1, "resources": [{{"type_url": "{url}", "name": "inbound", "version": "v1", "body": ""}}]}}"#
    );
    serde_json::from_str::<LastGoodFile>(&text).unwrap().try_into().unwrap()
}

/// A relay on a socket, and a stream to it.
struct Conversing {
    relay: Relay,
    identity: watch::Sender<Arc<Identity>>,
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Conversing {
    async fn start(last_good: LastGood) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("ads.sock");
        let (identity, receiver) = watch::channel(identity("KEY-1"));
        let stop = CancellationToken::new();
        let ties = Ties {
            identity: receiver,
            register: Arc::default(),
            application: watch::channel(None).1,
            tail: Arc::default(),
            leaving: CancellationToken::new(),
            stop: stop.clone(),
            tasks: TaskTracker::new(),
        };
        let relay = Relay::new(last_good, ties);
        let incoming = UnixListenerStream::new(UnixListener::bind(&socket).unwrap());
        let server = Server::builder().add_service(relay.clone().into_service());
        tokio::spawn(server.serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned()));
        let (requests, responses) = connect(&socket).await;
        Self { relay, identity, requests, responses, stop, _folder: folder }
    }

    async fn ask(&self, kind: ResourceType, names: &[&str]) {
        let request = DeltaDiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            resource_names_subscribe: names.iter().map(|&name| name.to_owned()).collect(),
            ..Default::default()
        };
        self.requests.send(request).await.unwrap();
    }

    async fn acknowledge(&self, response: &DeltaDiscoveryResponse) {
        let (type_url, response_nonce) = (response.type_url.clone(), response.nonce.clone());
        let request = DeltaDiscoveryRequest { type_url, response_nonce, ..Default::default() };
        self.requests.send(request).await.unwrap();
    }

    async fn answer(&mut self) -> DeltaDiscoveryResponse {
        timeout(PATIENCE, self.responses.message()).await.unwrap().unwrap().unwrap()
    }
}

impl Drop for Conversing {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn connect(socket: &Path) -> (mpsc::Sender<DeltaDiscoveryRequest>, Streaming<DeltaDiscoveryResponse>) {
    let socket = socket.to_owned();
    let dial = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(hyper_util::rt::TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://relay").connect_with_connector(dial).await.unwrap();
    let (requests, receiver) = mpsc::channel(8);
    let mut client = AggregatedDiscoveryServiceClient::new(channel);
    let response = client.delta_aggregated_resources(ReceiverStream::new(receiver)).await.unwrap();
    (requests, response.into_inner())
}

fn contains(response: &DeltaDiscoveryResponse, text: &str) -> bool {
    let bodies = response.resources.iter().filter_map(|resource| resource.resource.as_ref());
    bodies.into_iter().any(|body| body.value.windows(text.len()).any(|part| part == text.as_bytes()))
}

#[tokio::test]
async fn what_envoy_last_took_is_served_while_the_control_plane_is_away() {
    let mut envoy = Conversing::start(last_good()).await;
    envoy.ask(ResourceType::Listener, &["*"]).await;
    let response = envoy.answer().await;
    let names: Vec<_> = response.resources.iter().map(|r| (r.name.as_str(), r.version.as_str())).collect();
    assert_eq!(names, [("inbound", "v1")]);
    let mut status = envoy.relay.status();
    assert_eq!(
        *status.borrow_and_update(),
        RelayStatus { link: Link::StandIn, is_configured: false, ..RelayStatus::default() }
    );
    envoy.acknowledge(&response).await;
    let is_configured = |status: &RelayStatus| status.is_configured;
    timeout(PATIENCE, status.wait_for(is_configured)).await.unwrap().unwrap();
}

#[tokio::test]
async fn without_anything_to_serve_envoy_gets_its_secrets_and_else_silence() {
    let mut envoy = Conversing::start(LastGood::default()).await;
    envoy.ask(ResourceType::Listener, &["*"]).await;
    assert!(timeout(SILENCE, envoy.responses.message()).await.is_err(), "an empty answer drops listeners");
    envoy.ask(ResourceType::Secret, &["identity"]).await;
    assert!(contains(&envoy.answer().await, "KEY-1"));
    assert_eq!(
        *envoy.relay.status().borrow(),
        RelayStatus { link: Link::Waiting, is_configured: false, ..RelayStatus::default() }
    );
}

#[tokio::test]
async fn a_renewed_certificate_reaches_envoy_at_once() {
    let mut envoy = Conversing::start(LastGood::default()).await;
    envoy.ask(ResourceType::Secret, &["identity"]).await;
    let first = envoy.answer().await;
    assert!(contains(&first, "KEY-1"));
    envoy.acknowledge(&first).await;
    envoy.identity.send_replace(identity("KEY-2"));
    assert!(contains(&envoy.answer().await, "KEY-2"));
}
