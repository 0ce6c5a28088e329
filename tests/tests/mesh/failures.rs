//! What goes on when something is gone: the control plane, an Envoy, a sidecar.

use super::{Shop, check, row};
use crate::command_line::transcript::CHANCERY;
use chancery_tests::mesh::load::{Call, Load};
use chancery_tests::mesh::process::{is_alive, signal};
use chancery_tests::mesh::stranger::{self, Certificate};
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use hyper::Method;
use std::future::Future;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

const POLICY: &str =
    "auth orders on service shop/orders {\n  read: allow GET /orders/7 from service shop/frontend\n}\n";

/// How long a sidecar may take to start beside a control plane that hangs.
const HANG_COSTS_MAX: std::time::Duration = std::time::Duration::from_secs(20);

/// Within which Envoy has taken a new stream to the control plane.
const HANDED_OVER: std::time::Duration = std::time::Duration::from_secs(3);

/// How long a connection may be open where certificates live for 20 s, with some time to spare.
const CONNECTION_LIFE_MAX: std::time::Duration = std::time::Duration::from_secs(15);

const CALLS: [Call; 1] = [Call { method: Method::GET, path: "/orders/7", statuses: &[200] }];

/// Waits until a question is answered with yes.
async fn until<F: Future<Output = bool>>(what: &str, question: impl Fn() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !question().await {
        assert!(Instant::now() < deadline, "still not so: {what}");
        sleep(LOOK_AGAIN).await;
    }
}

/// How many replicas of the order service a sidecar knows.
async fn known_replicas(sidecar: &Sidecar) -> u64 {
    sidecar.stat("cluster.mesh/shop/orders.membership_total").await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_control_plane_everything_goes_on_and_sidecars_start_from_their_copy() {
    let mut shop = Shop::start().await;
    shop.mesh.apply(POLICY).await.unwrap();
    until("both replicas are known", async || known_replicas(&shop.frontend).await == 2).await;
    let context = shop.mesh.context().unwrap();
    let identity = |sidecar: &Sidecar| sidecar.identity().unwrap();
    let before = [&shop.frontend, &shop.orders_2, &shop.ledger].map(identity);
    let decided = || {
        [
            row(Request::get("/orders/7"), 200, "orders/read"),
            row(Request::get("/elsewhere"), 403, "default-deny"),
        ]
    };

    shop.mesh.kill_control_plane().await.unwrap();
    check(&shop.frontend, &shop.orders, &decided()).await;
    check(&shop.ledger, &shop.orders_2, &[row(Request::get("/orders/7"), 403, "default-deny")]).await;
    let load = Load::start(shop.frontend.outbound("shop/orders").unwrap(), &CALLS);

    // A sidecar that is stopped and started meanwhile has only its own copy.
    shop.ledger.process.terminate().await.unwrap();
    assert!(shop.ledger.process.until_ended().await.unwrap().success());
    shop.ledger.start_again().unwrap();
    shop.ledger.until_ready().await.unwrap();
    let (_, readiness) = shop.ledger.readiness().await.unwrap();
    assert_eq!(readiness["configuration"], "last-good");
    assert_eq!(shop.ledger.call("shop/orders", &Request::get("/orders/7")).await.unwrap().status, 403);
    assert_eq!(shop.frontend.call("pay/ledger", &Request::get("/")).await.unwrap().status, 200);
    let tally = load.finish().await;
    assert_eq!(tally.failed, 0, "{:#?}", tally.failures);
    // So has one that is killed, and its Envoy with it.
    let envoy = shop.orders_2.envoy().unwrap();
    shop.orders_2.process.kill().await.unwrap();
    until("the Envoy of a killed sidecar is gone", async || !is_alive(envoy)).await;
    shop.orders_2.start_again().unwrap();
    shop.orders_2.until_ready().await.unwrap();
    check(&shop.frontend, &shop.orders_2, &decided()).await;

    // Back on the same data, it is the same mesh.
    let load = Load::start(shop.frontend.outbound("shop/orders").unwrap(), &CALLS);
    shop.mesh.start_control_plane().await.unwrap();
    let again = shop.mesh.context().unwrap();
    assert_eq!((again.ca_pem, again.token), (context.ca_pem, context.token));
    let all_connected = |status: &chancery_control::server::api::types::StatusResponse| {
        status.connected == 4 && status.on_revision == 4 && status.revision == 1
    };
    let status = shop.mesh.until_status(None, all_connected).await.unwrap();
    assert_eq!(status.proxies.len(), 4);
    let tally = load.finish().await;
    assert_eq!(tally.failed, 0, "{:#?}", tally.failures);
    assert_eq!(known_replicas(&shop.frontend).await, 2);
    // Who did not start anew has the certificate that it had.
    assert_eq!(identity(&shop.frontend), before[0]);
    for (sidecar, before) in [&shop.orders_2, &shop.ledger].into_iter().zip(&before[1..]) {
        assert_eq!(identity(sidecar).root_pem, before.root_pem);
        assert_eq!(identity(sidecar).bundle_pem, before.bundle_pem);
    }
    shop.mesh.apply("auth orders on service shop/orders { otherwise allow }").await.unwrap();
    assert_eq!(shop.frontend.ask(&shop.orders, &Request::get("/elsewhere")).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envoy_that_dies_is_started_again() {
    let mut shop = Shop::start().await;
    shop.mesh.apply(POLICY).await.unwrap();
    let envoy = shop.orders.envoy().unwrap();
    signal("KILL", envoy).await.unwrap();
    let orders = &shop.orders;
    until("another Envoy runs", async || orders.envoy().is_ok_and(|now| now != envoy)).await;
    shop.orders.until_ready().await.unwrap();
    let decided = [
        row(Request::get("/orders/7"), 200, "orders/read"),
        row(Request::get("/elsewhere"), 403, "default-deny"),
    ];
    check(&shop.frontend, &shop.orders, &decided).await;
    let deaths = shop.orders.process.lines(|line| line.contains("Envoy died").then_some(()));
    assert_eq!(deaths.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_is_told_to_end_takes_leave_without_failing_a_request() {
    let mut shop = Shop::start().await;
    shop.mesh.apply(POLICY).await.unwrap();
    until("both replicas are known", async || known_replicas(&shop.frontend).await == 2).await;
    let load = Load::start(shop.frontend.outbound("shop/orders").unwrap(), &CALLS);
    until("the load runs", async || load.so_far().sent() > 50).await;
    let envoy = shop.orders.envoy().unwrap();

    shop.orders.process.terminate().await.unwrap();
    let (code, said) = loop {
        let answer = shop.orders.readiness().await.unwrap();
        if answer.0 != 200 {
            break answer;
        }
    };
    assert_eq!((code, &said["reason"]), (503, &"the sidecar is leaving".into()));
    let status = shop.orders.process.until_ended().await.unwrap();
    assert!(status.success(), "{status}\n{}", shop.orders.process.last_lines());
    assert!(!is_alive(envoy), "an Envoy is left behind");

    let of_mesh = shop.mesh.status(None).await.unwrap();
    assert!(of_mesh.proxies.iter().all(|proxy| proxy.id != "shop/orders/orders-1"), "{of_mesh:#?}");
    until("one replica is known", async || known_replicas(&shop.frontend).await == 1).await;
    let served = load.so_far().sent();
    until("the load goes on", async || load.so_far().sent() > served + 50).await;
    let tally = load.finish().await;
    assert_eq!(tally.failed, 0, "{:#?}", tally.failures);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_that_hangs_is_as_good_as_one_that_is_away() {
    let mut shop = Shop::start().await;
    shop.mesh.apply(POLICY).await.unwrap();
    until("both replicas are known", async || known_replicas(&shop.frontend).await == 2).await;
    let hanging = shop.mesh.control_plane().unwrap().pid().unwrap();
    // It takes connections, and says nothing.
    signal("STOP", hanging).await.unwrap();
    shop.orders_2.process.kill().await.unwrap();
    shop.orders_2.start_again().unwrap();
    let begun = Instant::now();
    shop.orders_2.until_ready().await.unwrap();
    assert!(begun.elapsed() < HANG_COSTS_MAX, "{:?}", begun.elapsed());
    assert_eq!(shop.orders_2.readiness().await.unwrap().1["configuration"], "last-good");
    let decided = [
        row(Request::get("/orders/7"), 200, "orders/read"),
        row(Request::get("/elsewhere"), 403, "default-deny"),
    ];
    check(&shop.frontend, &shop.orders_2, &decided).await;

    signal("CONT", hanging).await.unwrap();
    let all = |status: &chancery_control::server::api::types::StatusResponse| status.connected == 4;
    shop.mesh.until_status(None, all).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while shop.orders_2.readiness().await.unwrap().1["configuration"] != "control-plane" {
        assert!(Instant::now() < deadline, "it stays with its copy");
        sleep(LOOK_AGAIN).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_gets_a_stream_of_its_own_before_the_old_one_ends() {
    let mesh = Mesh::start_with(Path::new(CHANCERY), &["--certificate-lifetime", "20s"]).await.unwrap();
    let [orders] = mesh.join([Member::new("shop/orders", "orders").unwrap()]).await.unwrap();
    let is_renewed = || {
        !orders.process.lines(|line| line.contains("the certificate was renewed").then_some(())).is_empty()
    };
    let deadline = Instant::now() + PATIENCE;
    while !is_renewed() {
        assert_eq!(mesh.status(None).await.unwrap().connected, 1);
        assert!(Instant::now() < deadline, "no new stream: {}", orders.process.last_lines());
        sleep(LOOK_AGAIN).await;
    }
    let taken = Instant::now();
    while taken.elapsed() < HANDED_OVER {
        assert_eq!(mesh.status(None).await.unwrap().connected, 1);
        sleep(LOOK_AGAIN).await;
    }
    mesh.apply(POLICY).await.unwrap();
    let away = |line: &str| line.contains("the control plane is away").then(|| line.to_owned());
    assert_eq!(orders.process.lines(away), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_does_not_long_outlive_the_certificate_that_opened_it() {
    let mesh = Mesh::start_with(Path::new(CHANCERY), &["--certificate-lifetime", "20s"]).await.unwrap();
    let frontend = Member::new("shop/frontend", "frontend").unwrap().calling(&["shop/orders"]).unwrap();
    let members = [frontend, Member::new("shop/orders", "orders").unwrap()];
    let [frontend, orders] = mesh.join(members).await.unwrap();
    let load = Load::start(frontend.outbound("shop/orders").unwrap(), &CALLS);

    // A connection that is always busy ends all the same.
    let identity = frontend.identity().unwrap();
    let certificate = Certificate { chain_pem: identity.certificate_pem, key_pem: identity.key_pem };
    let mut stream = stranger::connect(orders.inbound().unwrap(), Some(&certificate)).await.unwrap();
    let begun = Instant::now();
    let mut answers = 0;
    while stream.write_all(b"GET /orders/7 HTTP/1.1\r\nhost: orders\r\n\r\n").await.is_ok() {
        let mut answer = [0; 16 * 1024];
        match stream.read(&mut answer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => answers += 1,
        }
        // A tenth of the life of a certificate, and five seconds to take leave.
        assert!(begun.elapsed() < CONNECTION_LIFE_MAX, "it is still open");
        sleep(LOOK_AGAIN).await;
    }
    assert!(answers > 10, "{answers}");

    // The sidecars' own connections are exchanged without a failed request.
    let opened = async || frontend.stat("cluster.mesh/shop/orders.upstream_cx_total").await.unwrap();
    let first = opened().await;
    until("connections are exchanged", async || opened().await > first + 2).await;
    let tally = load.finish().await;
    assert_eq!(tally.failed, 0, "{:#?}", tally.failures);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_that_goes_away_ends_a_sidecar_orderly_and_a_second_signal_hurries() {
    let mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
    let member = |instance| Member::new("shop/orders", instance).unwrap();
    let slow = member("orders").option("--drain-time", "10m");
    let [mut orders, mut orders_2] = mesh.join([slow, member("orders-2")]).await.unwrap();
    let gone = async |id: &str| {
        let status = mesh.status(None).await.unwrap();
        status.proxies.iter().all(|proxy| proxy.id != id)
    };
    // An open connection keeps it from ending.
    let identity = orders.identity().unwrap();
    let certificate = Certificate { chain_pem: identity.certificate_pem, key_pem: identity.key_pem };
    let open = stranger::connect(orders.inbound().unwrap(), Some(&certificate)).await.unwrap();
    signal("HUP", orders.process.pid().unwrap()).await.unwrap();
    until("it leaves", async || gone("shop/orders/orders").await).await;
    assert!(orders.process.ended().unwrap().is_none(), "it did not wait for connections");
    orders.process.terminate().await.unwrap();
    let status = orders.process.until_ended().await.unwrap();
    assert!(status.success(), "{status}");
    drop(open);

    signal("HUP", orders_2.process.pid().unwrap()).await.unwrap();
    let status = orders_2.process.until_ended().await.unwrap();
    assert!(status.success(), "{status}");
    assert!(gone("shop/orders/orders-2").await);
}
