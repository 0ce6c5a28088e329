//! What the service answers to what it does not serve.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use super::XdsServer;
use crate::delivery::acks::AckBoard;
use crate::delivery::fleet::{Fleet, FleetChange};
use crate::delivery::snapshot::{Resource, ResourceType, Snapshot};
use crate::mesh::identity::{PeerIdentity, Validity};
use crate::mesh::model::{DesiredState, ProxyId, ProxyRegistration, Revision};
use chancery_policy_lang::checked::ServiceRef;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, ResourceLocator,
};
use jiff::Timestamp;
use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Status, Streaming};

type Client = AggregatedDiscoveryServiceClient<Channel>;

/// A server that takes every caller for this proxy, and a client.
async fn server(caller: Option<&'static str>) -> (Client, Arc<AckBoard>, Arc<Fleet>) {
    let (channel, board, fleet) = serve(caller).await;
    (Client::new(channel), board, fleet)
}

async fn serve(caller: Option<&'static str>) -> (Channel, Arc<AckBoard>, Arc<Fleet>) {
    let cluster = Resource::new(ResourceType::Cluster, "a", b"1".as_slice(), []);
    let snapshot = Snapshot::new(Revision(1), [Arc::new(cluster)]);
    let given = [(ProxyId("shop/orders/1".to_owned()), Arc::new(snapshot))].into();
    let (fleet, board) = (Arc::<Fleet>::default(), Arc::<AckBoard>::default());
    fleet.publish(FleetChange { revision: Revision(1), given, ..FleetChange::default() });
    let channel = serve_fleet(caller, fleet.clone(), board.clone()).await;
    (channel, board, fleet)
}

async fn serve_fleet(caller: Option<&'static str>, fleet: Arc<Fleet>, board: Arc<AckBoard>) -> Channel {
    // One proxy is registered and has no snapshot yet.
    let (mut state, slow) = (DesiredState::default(), ProxyId("shop/slow/1".to_owned()));
    let registration = ProxyRegistration {
        token: None,
        check: None,
        readiness: crate::mesh::model::Readiness::Starting,
        id: slow.clone(),
        service: ServiceRef { namespace: "shop".to_owned(), name: "slow".to_owned() },
        labels: Arc::default(),
        inbound: None,
        outbounds: Vec::new(),
    };
    state.register(Arc::new(registration));
    let (_, states) = watch::channel(Arc::new(state));
    let server = XdsServer::new(fleet, board, states, CancellationToken::new(), TaskTracker::new());
    let service = InterceptedService::new(server.into_service(), move |mut request: Request<()>| {
        if let Some(caller) = caller {
            let service = ServiceRef { namespace: "shop".to_owned(), name: "orders".to_owned() };
            let proxy = ProxyId(caller.to_owned());
            let (serial, key) = ([0; 16], [0; 32]);
            let validity = Validity { begins_at: Timestamp::MIN, ends_at: Timestamp::MAX };
            let peer = PeerIdentity { service, proxy, validity, serial, token: None, key };
            request.extensions_mut().insert(peer);
        }
        Ok(request)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::new(format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(
        Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
    );
    endpoint.connect().await.unwrap()
}

fn first(kind: &str) -> DeltaDiscoveryRequest {
    let node = Node { id: "shop/orders/1".to_owned(), ..Node::default() };
    DeltaDiscoveryRequest { node: Some(node), type_url: kind.to_owned(), ..DeltaDiscoveryRequest::default() }
}

fn clusters() -> DeltaDiscoveryRequest {
    first(ResourceType::Cluster.type_url())
}

async fn open(
    client: &mut Client,
    requests: Vec<DeltaDiscoveryRequest>,
) -> Result<Streaming<DeltaDiscoveryResponse>, Status> {
    let requests = tokio_stream::iter(requests).chain(tokio_stream::pending());
    Ok(client.delta_aggregated_resources(requests).await?.into_inner())
}

/// The status with which the stream ends.
async fn end(caller: Option<&'static str>, requests: Vec<DeltaDiscoveryRequest>) -> Status {
    let (mut client, _, _fleet) = server(caller).await;
    match open(&mut client, requests).await {
        Err(status) => status,
        Ok(mut responses) => loop {
            if let Err(status) = responses.message().await {
                return status;
            }
        },
    }
}

#[tokio::test]
async fn a_proxy_gets_its_resources_and_stands_on_the_board() {
    let (mut client, board, fleet) = server(Some("shop/orders/1")).await;
    let mut responses = open(&mut client, vec![clusters()]).await.unwrap();
    let response = responses.message().await.unwrap().unwrap();
    assert_eq!(response.resources.first().unwrap().name, "a");
    assert_eq!((response.system_version_info.as_str(), response.nonce.as_str()), ("1", "1"));
    let id = ProxyId("shop/orders/1".to_owned());
    assert!(board.is_connected(&id));

    // A second stream takes the place of the first.
    let mut second = open(&mut client, vec![clusters()]).await.unwrap();
    assert!(second.message().await.unwrap().is_some());
    assert_eq!(responses.message().await.unwrap_err().code(), Code::Unavailable);
    assert!(board.is_connected(&id));

    // A proxy that is no longer in the mesh is told so.
    fleet.publish(FleetChange { gone: [id].into(), ..FleetChange::default() });
    assert_eq!(second.message().await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn who_is_not_ready_yet_is_not_called_unknown() {
    let of = |name: &str| DeltaDiscoveryRequest {
        node: Some(Node { id: name.to_owned(), ..Node::default() }),
        ..clusters()
    };
    for (caller, code) in [("shop/slow/1", Code::Unavailable), ("shop/stranger/1", Code::FailedPrecondition)]
    {
        let status = end(Some(caller), vec![of(caller)]).await;
        assert_eq!(status.code(), code, "{status}");
    }
    // Before the first configuration is there, nobody is unknown.
    let channel = serve_fleet(Some("shop/stranger/1"), Arc::default(), Arc::default()).await;
    let mut responses = open(&mut Client::new(channel), vec![of("shop/stranger/1")]).await.unwrap();
    assert_eq!(responses.message().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn who_shows_no_certificate_is_refused() {
    let status = end(None, vec![clusters()]).await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("join token"), "{}", status.message());
}

#[tokio::test]
async fn a_node_cannot_speak_for_another_proxy() {
    let status = end(Some("shop/cart/1"), vec![clusters()]).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("calls itself `shop/orders/1`"), "{}", status.message());
    assert_eq!(
        end(Some("shop/orders/1"), vec![DeltaDiscoveryRequest::default()]).await.code(),
        Code::PermissionDenied
    );
}

#[tokio::test]
async fn what_is_not_understood_is_named() {
    let caller = Some("shop/orders/1");
    let status = end(caller, vec![first("type.googleapis.com/envoy.config.Unheard")]).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("`type.googleapis.com/envoy.config.Unheard`"), "{}", status.message());

    let by_locator =
        DeltaDiscoveryRequest { resource_locators_subscribe: vec![ResourceLocator::default()], ..clusters() };
    assert_eq!(end(caller, vec![by_locator]).await.code(), Code::InvalidArgument);

    let long = DeltaDiscoveryRequest { resource_names_subscribe: vec!["x".repeat(1000)], ..clusters() };
    assert_eq!(end(caller, vec![long]).await.code(), Code::ResourceExhausted);

    let names = (0..20_001).map(|number| number.to_string()).collect();
    let many = DeltaDiscoveryRequest { resource_names_subscribe: names, ..clusters() };
    assert_eq!(end(caller, vec![many]).await.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn bytes_that_are_no_request_are_called_so() {
    // Field 1 is the node, and no number; first in the stream, and behind a request.
    let junk = vec![0x08, 0x01];
    for messages in [vec![junk.clone()], vec![clusters().encode_to_vec(), junk]] {
        let (channel, _, _fleet) = serve(Some("shop/orders/1")).await;
        let mut grpc = Grpc::new(channel);
        grpc.ready().await.unwrap();
        let requests = tokio_stream::iter(messages).chain(tokio_stream::pending());
        let path = PathAndQuery::from_static(DELTA_PATH);
        let response = grpc.streaming(Request::new(requests), path, Raw).await;
        let mut responses = response.unwrap().into_inner();
        let status = loop {
            if let Err(status) = responses.message().await {
                break status;
            }
        };
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(
            status.message().contains("no `envoy.service.discovery.v3.DeltaDiscoveryRequest`"),
            "{status}"
        );
    }
}

const DELTA_PATH: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// Sends bytes as they are.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

#[tokio::test]
async fn state_of_the_world_is_refused_with_a_remedy() {
    let (mut client, _, _fleet) = server(Some("shop/orders/1")).await;
    let refused = client.stream_aggregated_resources(tokio_stream::iter([DiscoveryRequest::default()])).await;
    let status = refused.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("DELTA_GRPC"), "{}", status.message());
}
