//! What is wrong with one request is the affair of that request, and of no other on the same connection.

use crate::command_line::transcript::CHANCERY;
use chancery_tests::mesh::wire::{Answer, Request};
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use std::collections::BTreeMap;
use std::path::Path;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// Requests that are under way while others are odd.
const BYSTANDERS: usize = 8;
/// Requests that are given up: more than the 500 that Envoy bears by itself, and fewer than the 1,000 at
/// once that its HTTP/2 library bears.
const ABANDONED: u64 = 800;

async fn begin(frontend: &Sidecar) -> TcpStream {
    let mut stream = TcpStream::connect(frontend.outbound("shop/orders").unwrap()).await.unwrap();
    let request = Request::new("POST", "/slow").header("content-length", "4");
    request.begin(&mut stream).await.unwrap();
    stream.write_all(b"ab").await.unwrap();
    stream
}

async fn end(mut stream: TcpStream) -> u16 {
    stream.write_all(b"cd").await.unwrap();
    Answer::read_from(stream).await.unwrap().status
}

/// Requests around the limits of how many headers and bytes are let through.
fn large() -> Vec<Request> {
    let many = (80..105).map(|count| {
        (0..count).fold(Request::get("/many"), |request, number| request.header(&format!("x-{number}"), "v"))
    });
    let long =
        (50..62).map(|kilobytes| Request::get("/long").header("x-long", &"v".repeat(kilobytes * 1024)));
    let both = (50..62).map(|kilobytes| {
        (0..80).fold(Request::get("/both"), |request, number| {
            request.header(&format!("x-{number}"), &"v".repeat(kilobytes * 1024 / 80))
        })
    });
    many.chain(long).chain(both).collect()
}

/// Answers around the limits.
fn large_answers() -> Vec<Request> {
    let many = (85..105).map(|count| format!("/headers/{count}/1"));
    let long = (50..62).map(|kilobytes| format!("/headers/1/{}", kilobytes * 1024));
    let both = (50..62).map(|kilobytes| format!("/headers/80/{}", kilobytes * 1024 / 80));
    many.chain(long).chain(both).map(Request::get).collect()
}

/// What is counted when a connection between the sidecars ends, or a replica is left alone.
const HARM: [&str; 2] = ["upstream_cx_destroy", "outlier_detection.ejections_enforced_total"];

/// Two sidecars, and requests under way on their one connection.
struct Shared {
    _mesh: Mesh,
    frontend: Sidecar,
    _orders: Sidecar,
    bystanders: Vec<TcpStream>,
    /// What was counted when all were under way: on a busy machine the connection may have taken several tries.
    before: Vec<BTreeMap<String, u64>>,
}

impl Shared {
    async fn start() -> Self {
        let mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
        let frontend = Member::new("shop/frontend", "frontend").unwrap().calling(&["shop/orders"]).unwrap();
        let members = [frontend, Member::new("shop/orders", "orders").unwrap()];
        let [frontend, orders] = mesh.join(members).await.unwrap();
        let mut bystanders = Vec::new();
        for _ in 0..BYSTANDERS {
            bystanders.push(begin(&frontend).await);
        }
        let deadline = Instant::now() + PATIENCE;
        while frontend.stat("cluster.mesh/shop/orders.upstream_rq_active").await.unwrap() < BYSTANDERS as u64
        {
            assert!(Instant::now() < deadline, "the requests do not get on their way");
            sleep(LOOK_AGAIN).await;
        }
        let before = harm(&frontend).await;
        Self { _mesh: mesh, frontend, _orders: orders, bystanders, before }
    }

    /// All requests under way end well, on the connection on which they began, and no replica was ejected.
    async fn check(self) {
        for bystander in self.bystanders {
            assert_eq!(end(bystander).await, 200);
        }
        assert_eq!(harm(&self.frontend).await, self.before);
    }
}

async fn harm(frontend: &Sidecar) -> Vec<BTreeMap<String, u64>> {
    let mut all = Vec::new();
    for name in HARM {
        all.push(frontend.stats(&format!("cluster.mesh/shop/orders.{name}")).await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_message_hurts_no_other_request_on_its_connection() {
    let shared = Shared::start().await;
    let call = async |request: Request| shared.frontend.call("shop/orders", &request).await.unwrap().status;
    for host in ["", "u@shop", "@", "a@b@c"] {
        assert_eq!(call(Request::get("/x").host(host)).await, 400, "{host}");
    }
    // Each is answered by the first who finds it too large, never ended by a reset (503).
    for request in large() {
        let status = call(request.clone()).await;
        assert!([200, 431].contains(&status), "{status}: {request:?}");
    }
    for request in large_answers() {
        let status = call(request.clone()).await;
        assert!([200, 502].contains(&status), "{status}: {request:?}");
    }
    shared.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_give_up_hurt_nobody_who_waits() {
    let shared = Shared::start().await;
    for _ in 0..ABANDONED {
        drop(begin(&shared.frontend).await);
    }
    let gone = || shared.frontend.stat("http.outbound_shop_orders.downstream_cx_destroy_remote");
    let deadline = Instant::now() + PATIENCE;
    while gone().await.unwrap() < ABANDONED {
        assert!(Instant::now() < deadline, "the requests are not given up");
        sleep(LOOK_AGAIN).await;
    }
    shared.check().await;
}
