//! Probes without TLS: what policies exempt gets through to the application, and nothing else.

use crate::command_line::transcript::CHANCERY;
use anyhow::{Result, ensure};
use chancery_tests::mesh::wire::{Answer, Request};
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, ports};
use std::net::SocketAddr;
use std::path::Path;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

const POLICIES: &str = "auth baseline on mesh { exempt GET /healthz otherwise deny }\n\
    auth tried on mesh { mode shadow exempt GET /tried }\n\
    auth orders on service shop/orders { read: allow GET /open/** all: allow /mine from service shop/web }\n";

async fn probe(at: SocketAddr, request: &Request) -> Result<Answer> {
    request.send(TcpStream::connect(at).await?).await
}

async fn until(at: SocketAddr, path: &str, status: u16) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let got = probe(at, &Request::get(path)).await.map(|answer| answer.status);
        if got.as_ref().is_ok_and(|got| *got == status) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{path}: still {got:?}, not {status}");
        sleep(LOOK_AGAIN).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_exempt_gets_through_and_nothing_else() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let at = ports::free()?;
    let member = Member::new("shop/orders", "orders")?.option("--probes", &at.to_string());
    let [orders] = mesh.join([member]).await?;
    // Without a policy everybody of the mesh may everything, and probes nothing.
    until(at, "/healthz", 403).await?;
    mesh.apply(POLICIES).await?;
    until(at, "/healthz", 200).await?;
    for request in [
        Request::get("/open/a"),
        Request::get("/mine"),
        Request::get("/tried"),
        Request::get("/"),
        Request::get("/healthz/more"),
        Request::new("POST", "/healthz"),
        Request::get("/mine").header("x-forwarded-client-cert", "URI=spiffe://chancery.local/shop/web"),
    ] {
        let answer = probe(at, &request).await?;
        assert_eq!(answer.status, 403, "{request:?}: {answer:?}");
    }
    for (path, status) in [("/healthz%2f..", 400), ("/a/../healthz", 200), ("/%68ealthz", 200)] {
        assert_eq!(probe(at, &Request::get(path)).await?.status, status, "{path}");
    }
    let upgrade = Request::get("/healthz").headers(&[("connection", "upgrade"), ("upgrade", "websocket")]);
    assert_ne!(probe(at, &upgrade).await?.status, 101);
    // What ends well is in no log.
    let deadline = Instant::now() + PATIENCE;
    while orders.entries_of("probe").len() < 9 {
        ensure!(Instant::now() < deadline, "{:#?}", orders.entries_of("probe"));
        sleep(LOOK_AGAIN).await;
    }
    let probes = orders.entries_of("probe");
    let is_fine = |code: &serde_json::Value| code.as_u64().is_some_and(|code| code == 200);
    assert!(!probes.iter().any(|entry| entry.get("code").is_some_and(is_fine)), "{probes:#?}");

    // Other exemptions come without a change of listeners, and go.
    let before = orders.stat("listener_manager.listener_modified").await?;
    mesh.apply("auth baseline on mesh { exempt GET /readyz otherwise deny }").await?;
    until(at, "/healthz", 403).await?;
    until(at, "/readyz", 200).await?;
    assert_eq!(orders.stat("listener_manager.listener_modified").await?, before);
    mesh.delete("baseline").await?;
    until(at, "/readyz", 403).await?;
    let said = String::from_utf8(mesh.run(&["get", "proxy", "-o", "json"]).await?.stdout)?;
    assert!(said.contains(&at.to_string()), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_connections_of_probes_do_not_take_those_of_the_mesh() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let at = ports::free()?;
    let members = [
        Member::new("shop/orders", "orders")?.option("--probes", &at.to_string()),
        Member::new("shop/web", "web")?.calling(&["shop/orders"])?,
    ];
    let [orders, web] = mesh.join(members).await?;
    mesh.apply("auth baseline on mesh { exempt GET /healthz mesh: allow from namespace shop }").await?;
    until(at, "/healthz", 200).await?;
    let mut open = Vec::new();
    for _ in 0..200 {
        open.push(TcpStream::connect(at).await?);
    }
    let deadline = Instant::now() + PATIENCE;
    while orders.stat("connection_limit.probes.limited_connections").await? < 136 {
        ensure!(Instant::now() < deadline, "they are not limited");
        sleep(LOOK_AGAIN).await;
    }
    assert_eq!(web.call("shop/orders", &Request::get("/")).await?.status, 200);
    drop(open);
    until(at, "/healthz", 200).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_for_probes_that_is_taken_is_said() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let at = taken.local_addr()?.to_string();
    let _orders =
        mesh.start_sidecar_alone(Member::new("shop/orders", "orders")?.option("--probes", &at)).await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = String::from_utf8(mesh.run(&["status"]).await?.stdout)?;
        if said.contains("cannot open listener `probes`") {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{said}");
        sleep(LOOK_AGAIN).await;
    }
}
