//! Requests go to replicas whose application answers, and to no others.

use super::Shop;
use crate::command_line::transcript::CHANCERY;
use chancery_control::server::api::types::{ReadinessBody, ReadinessState};
use chancery_tests::mesh::load::{Call, Load};
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use hyper::Method;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

const CALLS: [Call; 1] = [Call { method: Method::GET, path: "/orders/7", statuses: &[200] }];
/// Two looks a second apart, and the way from there to the callers; with time to spare.
const NOTICED_WITHIN: Duration = Duration::from_secs(6);
/// How long requests may be under way that were sent before.
const UNDER_WAY: Duration = Duration::from_millis(500);
/// Requests of a load that may be in the hands of an application that ends: as many as it has callers.
const UNDER_WAY_MAX: u64 = 4;
/// How long it is watched that nothing happens.
const WATCHED: Duration = Duration::from_secs(2);

/// How ready the control plane says that a replica is.
async fn readiness(mesh: &Mesh, sidecar: &Sidecar) -> Option<ReadinessBody> {
    let status = mesh.status(None).await.unwrap();
    let proxy = status.proxies.into_iter().find(|proxy| proxy.id == sidecar.id())?;
    proxy.readiness
}

/// Waits until a replica is in a state; gives what is said of it.
async fn until(mesh: &Mesh, sidecar: &Sidecar, state: ReadinessState) -> ReadinessBody {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let present = readiness(mesh, sidecar).await;
        if let Some(present) = present.clone().filter(|present| present.state == state) {
            return present;
        }
        assert!(Instant::now() < deadline, "still {present:?}, not {state:?}");
        sleep(LOOK_AGAIN).await;
    }
}

/// Waits until a sidecar knows so many replicas of the order service.
async fn until_known(frontend: &Sidecar, replicas: u64) {
    let deadline = Instant::now() + PATIENCE;
    while frontend.known_replicas("shop/orders").await.unwrap() != replicas {
        assert!(Instant::now() < deadline, "not {replicas} replicas are known");
        sleep(LOOK_AGAIN).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_application_ends_gets_no_requests_until_it_is_back() {
    let mut shop = Shop::start().await;
    let load = Load::start(shop.frontend.outbound("shop/orders").unwrap(), &CALLS);
    let begun = Instant::now();
    shop.orders_2.application_mut().stop().await;
    let said = until(&shop.mesh, &shop.orders_2, ReadinessState::NotAnswering).await;
    until_known(&shop.frontend, 1).await;
    assert!(begun.elapsed() < NOTICED_WITHIN, "{:?}", begun.elapsed());
    assert!(said.since.is_some() && said.reason.unwrap().contains("refused"));
    // What is under way is answered, and Envoy's workers hear a moment later what its main thread knows.
    sleep(UNDER_WAY).await;
    let (failed, sent) = (load.so_far().failed, load.so_far().sent());
    assert!(failed <= UNDER_WAY_MAX, "{:#?}", load.so_far().failures);
    sleep(WATCHED).await;
    let tally = load.so_far();
    assert_eq!(tally.failed, failed, "{:#?}", tally.failures);
    assert!(tally.sent() > sent + 50);

    // It is known over a restart of the control plane, and told to people.
    shop.mesh.kill_control_plane().await.unwrap();
    shop.mesh.start_control_plane().await.unwrap();
    assert_eq!(readiness(&shop.mesh, &shop.orders_2).await.unwrap().state, ReadinessState::NotAnswering);
    let all = |status: &chancery_control::server::api::types::StatusResponse| status.connected == 4;
    shop.mesh.until_status(None, all).await.unwrap();
    assert_eq!(shop.frontend.known_replicas("shop/orders").await.unwrap(), 1);
    let shown = shop.mesh.run(&["status"]).await.unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let expected = "shop/orders/orders-2: application not answering since ";
    assert!(shown.contains(expected) && shown.contains("not answering  "), "{shown}");
    assert_eq!(load.so_far().failed, failed);

    shop.orders_2.application_mut().start_again().await.unwrap();
    until(&shop.mesh, &shop.orders_2, ReadinessState::Ready).await;
    until_known(&shop.frontend, 2).await;
    let before = shop.orders_2.entries().len();
    shop.orders_2.entries_after(before, 20).await.unwrap();
    let tally = load.finish().await;
    assert_eq!(tally.failed, failed, "{:#?}", tally.failures);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_control_plane_requests_go_on_to_a_replica_that_answers() {
    let mut shop = Shop::start().await;
    shop.mesh.kill_control_plane().await.unwrap();
    let to = shop.frontend.outbound("shop/orders").unwrap();
    let load = Load::start(to, &CALLS);
    shop.orders_2.application_mut().stop().await;
    sleep(WATCHED).await;
    let tally = load.finish().await;
    assert!(tally.failed <= UNDER_WAY_MAX && tally.sent() > 50, "{tally:#?}");
    assert_eq!(shop.frontend.known_replicas("shop/orders").await.unwrap(), 2);

    // When nobody answers, the last one that was asked says why; what sidecars say to each other stays between them.
    shop.orders.application_mut().stop().await;
    let mut answer = Vec::new();
    let mut stream = TcpStream::connect(to).await.unwrap();
    Request::new("POST", "/orders/7").begin(&mut stream).await.unwrap();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("connection failure"), "{answer}");
    assert!(!answer.contains("chancery"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_no_endpoint_before_its_application_is_up() {
    let mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
    let frontend = Member::new("shop/frontend", "frontend").unwrap().calling(&["shop/orders"]).unwrap();
    let [frontend, _orders] =
        mesh.join([frontend, Member::new("shop/orders", "orders").unwrap()]).await.unwrap();
    let load = Load::start(frontend.outbound("shop/orders").unwrap(), &CALLS);
    let mut late = mesh.start_sidecar_alone(Member::new("shop/orders", "late").unwrap()).await.unwrap();
    late.until_ready().await.unwrap();
    assert!(late.readiness().await.unwrap().1["application"].as_str().unwrap().contains("refused"));
    sleep(WATCHED).await;
    let said = readiness(&mesh, &late).await.unwrap();
    assert_eq!(said.state, ReadinessState::Starting);
    assert!(said.reason.unwrap().contains("refused"));
    assert_eq!(frontend.known_replicas("shop/orders").await.unwrap(), 1);
    assert_eq!(late.entries().len(), 0);

    late.application_mut().start_again().await.unwrap();
    late.entries_after(0, 20).await.unwrap();
    assert_eq!(readiness(&mesh, &late).await.unwrap().state, ReadinessState::Ready);
    let tally = load.finish().await;
    assert_eq!(tally.failed, 0, "{:#?}", tally.failures);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_replicas_stay_endpoints_and_unchecked_ones_are_endpoints_at_once() {
    let mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
    let frontend = Member::new("shop/frontend", "frontend")
        .unwrap()
        .calling(&["shop/orders", "shop/lazy", "shop/web"])
        .unwrap();
    let orders = Member::new("shop/orders", "orders").unwrap();
    let web = Member::new("shop/web", "web").unwrap().option("--check", "GET:/healthz?deep=1");
    let [frontend, mut orders, web] = mesh.join([frontend, orders, web]).await.unwrap();
    let call = async |service: &str| frontend.call(service, &Request::get("/x")).await.unwrap().status;
    assert_eq!(call("shop/web").await, 200);
    let checked = mesh.status(None).await.unwrap();
    let checked = checked.proxies.iter().find(|proxy| proxy.id == web.id()).unwrap();
    assert_eq!(checked.inbound.as_ref().unwrap().check.as_deref(), Some("GET:/healthz?deep=1"));

    // Whoever calls is told by the sidecar what is wrong, and needs nobody to learn that it is mended.
    orders.application_mut().stop().await;
    until(&mesh, &orders, ReadinessState::NotAnswering).await;
    sleep(WATCHED).await;
    assert_eq!(frontend.known_replicas("shop/orders").await.unwrap(), 1);
    assert_eq!(call("shop/orders").await, 503);
    orders.application_mut().start_again().await.unwrap();
    let deadline = Instant::now() + NOTICED_WITHIN;
    while call("shop/orders").await != 200 {
        assert!(Instant::now() < deadline, "it is not back");
        sleep(LOOK_AGAIN).await;
    }

    let lazy = Member::new("shop/lazy", "lazy").unwrap().option("--check", "none");
    let mut lazy = mesh.start_sidecar_alone(lazy).await.unwrap();
    lazy.until_ready().await.unwrap();
    until(&mesh, &lazy, ReadinessState::Ready).await;
    assert_eq!(lazy.readiness().await.unwrap().1["application"], "unknown");
    lazy.application_mut().start_again().await.unwrap();
    mesh.until_reached(std::slice::from_ref(&frontend)).await.unwrap();
    assert_eq!(call("shop/lazy").await, 200);
}
