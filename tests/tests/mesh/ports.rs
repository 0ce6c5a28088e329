//! Addresses and ports: those that are taken, and those that cannot be.

use crate::command_line::transcript::CHANCERY;
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, ports};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use tokio::time::{Instant, sleep};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbound_port_that_was_taken_is_opened_when_it_is_free() {
    let mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let frontend = Member::new("shop/frontend", "frontend").unwrap().calling(&["shop/orders"]).unwrap();
    let [frontend] = mesh.join([frontend]).await.unwrap();
    let orders = Member::new("shop/orders", "orders").unwrap().at(taken.local_addr().unwrap());
    let mut orders = mesh.start_sidecar(orders).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    let port = taken.local_addr().unwrap().to_string();
    loop {
        let (code, said) = orders.readiness().await.unwrap();
        assert_eq!(code, 503, "{said}");
        if said["reason"].as_str().unwrap().contains(&port) {
            break;
        }
        assert!(Instant::now() < deadline, "the port is not named: {said}");
        sleep(LOOK_AGAIN).await;
    }
    // Whoever applies a policy meanwhile has nothing to do with it.
    let policy = mesh.folder().join("orders.writ");
    std::fs::write(&policy, "auth orders on service shop/orders { otherwise allow }").unwrap();
    let applied = mesh.run(&["apply", "-f", policy.to_str().unwrap(), "--wait"]).await.unwrap();
    assert!(applied.status.success(), "{applied:?}");

    drop(taken);
    orders.until_ready().await.unwrap();
    mesh.until_reached(std::slice::from_ref(&frontend)).await.unwrap();
    assert_eq!(frontend.call("shop/orders", &Request::get("/")).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_may_listen_everywhere_and_is_reached_at_one_address() {
    let mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
    let port = ports::free().unwrap().port();
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let member = |instance: &str| Member::new("shop/orders", instance).unwrap().at(everywhere);
    let orders = member("orders").option("--address", "127.0.0.2");
    // Two outbounds of one service are two ways to it.
    let frontend = Member::new("shop/frontend", "frontend").unwrap();
    let frontend = frontend.calling(&["shop/orders", "shop/orders"]).unwrap();
    let outbounds = frontend.outbounds().to_vec();
    let [frontend, _orders] = mesh.join([frontend, orders]).await.unwrap();
    for (_, listen) in outbounds {
        let stream = tokio::net::TcpStream::connect(listen).await.unwrap();
        assert_eq!(Request::get("/").send(stream).await.unwrap().status, 200, "{listen}");
    }
    let status = mesh.status(None).await.unwrap();
    let orders = status.proxies.iter().find(|proxy| proxy.service == "shop/orders").unwrap();
    let advertised = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), port));
    assert_eq!(orders.inbound.as_ref().unwrap().advertised, Some(advertised));
    let clusters = frontend.admin("/clusters").await.unwrap();
    assert!(clusters.contains(&format!("mesh/shop/orders::{advertised}::")), "{clusters}");

    // No address is that of nobody.
    for (instance, address) in [("multicast", "224.0.0.1"), ("broadcast", "255.255.255.255")] {
        refused(&mesh, member(instance).option("--address", address), 3, address).await;
    }
    let both = member("both").option("--address", "127.0.0.3");
    let both = both.calling_at("shop/cart", SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    refused(&mesh, both, 3, "an address and port of its own").await;
}

async fn refused(mesh: &Mesh, member: Member, code: i32, words: &str) {
    let mut sidecar = mesh.start_sidecar(member).await.unwrap();
    let status = sidecar.process.until_ended().await.unwrap();
    let said = sidecar.process.lines(|line| Some(line.to_owned())).join("\n");
    assert_eq!(status.code(), Some(code), "{said}");
    assert!(said.contains(words), "{said}");
}
