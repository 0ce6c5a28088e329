//! HTTP/2 without TLS, at either end, and how what an application speaks is known.

use super::script::{Scripted, Talker};
use super::{PATIENCE, Pair};
use chancery_control::server::api::types::ProtocolBody;
use chancery_tests::mesh::wire::Request;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// An application that speaks HTTP/2 alone, and answers with the host that it was asked for.
struct H2c {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl H2c {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = service_fn(async |request: hyper::Request<Incoming>| {
                    let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
                    Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from(host))))
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(async move { server.serve_connection(TokioIo::new(stream), answer).await });
            }
        });
        Self { address, task }
    }
}

impl Drop for H2c {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Status and body of an answer to a client that speaks HTTP/2.
async fn ask(to: SocketAddr) -> (u16, String) {
    let stream = TokioIo::new(TcpStream::connect(to).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get("http://shop.test/x").body(Empty::<Bytes>::new()).unwrap();
    let response = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    connection.abort();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_and_applications_speak_http2_or_not_as_they_like() {
    let application = H2c::start().await;
    let pair = Pair::start(Some(format!("{}/h2c", application.address))).await;
    assert_eq!(ask(pair.outbound()).await, (200, "shop.test".to_owned()));
    let answer = pair.frontend.call("shop/orders", &Request::get("/x").host("shop.test")).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "shop.test"));

    // What it speaks is known, shown, and kept.
    let protocol = async || {
        let status = pair.mesh.status(None).await.unwrap();
        let orders = status.proxies.into_iter().find(|proxy| proxy.id == pair.orders.id()).unwrap();
        orders.inbound.unwrap().protocol
    };
    assert_eq!(protocol().await, Some(ProtocolBody::H2c));
    let shown = pair.mesh.run(&["proxies"]).await.unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(&format!("{}/h2c", pair.orders.inbound().unwrap())), "{shown}");
    let Pair { mut mesh, frontend, orders: _orders } = pair;
    mesh.kill_control_plane().await.unwrap();
    mesh.start_control_plane().await.unwrap();
    mesh.until_status(None, |status| status.connected == 2).await.unwrap();
    assert_eq!(ask(frontend.outbound("shop/orders").unwrap()).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_http2_reaches_an_application_of_http1() {
    let application = Scripted::start(async |mut talker: Talker| {
        while let Some(head) = talker.head().await {
            let line = head.lines().next().unwrap_or_default().to_owned();
            talker.say(&format!("HTTP/1.1 200 OK\ncontent-length: {}\n\n{line}", line.len())).await?;
        }
        Some(())
    });
    let application = application.await;
    let pair = Pair::start(application.name()).await;
    assert_eq!(ask(pair.outbound()).await, (200, "GET /x HTTP/1.1".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_headers_over_http2_end_their_stream_alone() {
    let pair = Pair::start(None).await;
    let stream = TokioIo::new(TcpStream::connect(pair.outbound()).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut ask = async |count: u32| {
        let request = (0..count).fold(hyper::Request::get("http://shop.test/x"), |request, number| {
            request.header(format!("x-{number}"), "v")
        });
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        timeout(PATIENCE, sender.send_request(request)).await.unwrap().map(|answer| answer.status().as_u16())
    };
    assert_eq!(ask(1).await.unwrap(), 200);
    let refused = ask(91).await.unwrap_err();
    assert!(format!("{refused:?}").contains("Reset"), "{refused:?}");
    assert_eq!(ask(1).await.unwrap(), 200, "on the same connection");
    assert_eq!(pair.orders.entries_after(0, 2).await.unwrap().len(), 2);
    connection.abort();
}
