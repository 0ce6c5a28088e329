//! A listener that an Envoy takes and does not open is known to who asks the control plane.
//!
//! The relay and the control plane are real. The Envoy is not, for it hardly ever comes to this: it acknowledges all that it
//! is given, and its administration says that it listens nowhere.

use super::words::join_alone;
use crate::command_line::transcript::CHANCERY;
use anyhow::Result;
use chancery_control::delivery::snapshot::ResourceType;
use chancery_control::sidecar::admin::Admin;
use chancery_control::sidecar::last_good::LastGood;
use chancery_control::sidecar::relay::{Relay, Ties};
use chancery_tests::mesh::{LOOK_AGAIN, Mesh};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::{Endpoint, Server};

/// An administration that says whether the inbound listener is open.
fn serve_admin(socket: &Path, is_open: Arc<AtomicBool>) {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let is_open = is_open.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                let text = match request.uri().path() {
                    "/stats" => "listener_manager.total_listeners_warming: 0\n",
                    _ if is_open.load(Ordering::SeqCst) => "inbound::127.0.0.1:8080\n",
                    _ => "",
                };
                async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text)))) }
            });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
        }
    });
}

/// Takes all listeners that come on one stream of the relay, until that ends.
async fn take_all(socket: PathBuf, id: &str) -> Result<()> {
    let channel = Endpoint::from_shared(format!("unix://{}", socket.display()))?.connect().await?;
    let (requests, receiver) = mpsc::channel(8);
    let mut client = AggregatedDiscoveryServiceClient::new(channel);
    let about_listeners = || DeltaDiscoveryRequest {
        type_url: ResourceType::Listener.type_url().to_owned(),
        ..DeltaDiscoveryRequest::default()
    };
    let node = Node { id: id.to_owned(), ..Node::default() };
    let first = DeltaDiscoveryRequest {
        node: Some(node),
        resource_names_subscribe: vec!["*".to_owned()],
        ..about_listeners()
    };
    requests.send(first).await?;
    let mut responses = client.delta_aggregated_resources(ReceiverStream::new(receiver)).await?.into_inner();
    while let Some(response) = responses.message().await? {
        if response.type_url == ResourceType::Listener.type_url() {
            requests
                .send(DeltaDiscoveryRequest { response_nonce: response.nonce, ..about_listeners() })
                .await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_was_taken_and_is_not_open_is_named_by_the_control_plane() {
    let mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
    let identity = Arc::new(join_alone(&mesh).await);
    let (ads, admin) = (mesh.folder().join("ads.sock"), mesh.folder().join("admin.sock"));
    let is_open = Arc::new(AtomicBool::new(false));
    serve_admin(&admin, is_open.clone());
    let (_keep, receiver) = watch::channel(identity.clone());
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
    let relay = Relay::new(LastGood::default(), ties);
    let incoming = UnixListenerStream::new(UnixListener::bind(&ads).unwrap());
    tokio::spawn(Server::builder().add_service(relay.clone().into_service()).serve_with_incoming(incoming));
    let looking = tokio::spawn(async move { relay.keep_open(&Admin::new(admin)).await });
    let envoy = tokio::spawn(async move {
        loop {
            let _ended = take_all(ads.clone(), &identity.proxy_id).await;
            sleep(LOOK_AGAIN).await;
        }
    });

    let is_named = |is_named: bool| {
        move |status: &chancery_control::server::api::types::StatusResponse| {
            let connected = status.proxies.iter().filter(|proxy| proxy.connected);
            let mut rejections = connected.map(|proxy| &proxy.rejections);
            rejections.any(|rejections| rejections.is_empty() != is_named)
        }
    };
    let status = mesh.until_status(None, is_named(true)).await.unwrap();
    let [proxy] = status.proxies.as_slice() else { unreachable!("{status:#?}") };
    let [rejection] = proxy.rejections.as_slice() else { unreachable!("{proxy:#?}") };
    assert!(rejection.is_closed_listener(), "{rejection:?}");
    assert_eq!(rejection.resource, "inbound");
    // The stream is another one from time to time, since the listener is sent again.
    let shown = loop {
        let output = mesh.run(&["status"]).await.unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        if shown.contains("cannot listen") {
            assert_eq!(output.status.code(), Some(3), "{shown}");
            break shown;
        }
        sleep(LOOK_AGAIN).await;
    };
    let expected = "evil/mallory/x1: cannot open listener `inbound`, and tries again until it can:\n  \
                    Envoy accepted it and does not listen: is its address in use?";
    assert!(shown.contains(expected), "{shown}");

    is_open.store(true, Ordering::SeqCst);
    mesh.until_status(None, is_named(false)).await.unwrap();
    looking.abort();
    envoy.abort();
    stop.cancel();
}
