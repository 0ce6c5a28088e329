//! Callers without TLS beside those of the mesh: let in where a policy says so, named, and shut out again, while callers of
//! the mesh notice nothing.

use crate::command_line::transcript::CHANCERY;
use anyhow::{Result, ensure};
use chancery_tests::mesh::load::{Call, Load};
use chancery_tests::mesh::wire::{Answer, Request};
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use hyper::Method;
use std::path::Path;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

const CALLS: [Call; 1] = [Call { method: Method::GET, path: "/ok", statuses: &[200] }];

const CLOSED: &str = "auth orders on service shop/orders { read: allow GET /ok from service shop/web }\n";
const OPEN: &str = "auth orders on service shop/orders { plaintext allow read: allow GET /ok from service shop/web \
    legacy: allow GET /legacy from ip 127.0.0.0/8 when !source.mtls }\n";

/// A request without TLS, on a connection of its own; `None` if the connection is not taken.
async fn plain(to: &Sidecar, request: &Request) -> Result<Option<Answer>> {
    let stream = TcpStream::connect(to.inbound()?).await?;
    Ok(request.send(stream).await.ok())
}

/// Asks until plaintext is answered, or is not.
async fn until_plain(to: &Sidecar, request: &Request, status: Option<u16>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // One that has just started does not listen yet.
        let got = plain(to, request).await.ok().flatten().map(|answer| answer.status);
        if got == status {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "still {got:?}, not {status:?}");
        sleep(LOOK_AGAIN).await;
    }
}

async fn said(mesh: &Mesh, arguments: &[&str], words: &str) -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = String::from_utf8(mesh.run(arguments).await?.stdout)?;
        if text.contains(words) {
            return Ok(text);
        }
        ensure!(Instant::now() < deadline, "`{words}` is not in\n{text}");
        sleep(LOOK_AGAIN).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plaintext_is_opened_named_and_closed_and_the_mesh_does_not_notice() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let members =
        [Member::new("shop/web", "web")?.calling(&["shop/orders"])?, Member::new("shop/orders", "orders")?];
    let [web, orders] = mesh.join(members).await?;
    mesh.apply(CLOSED).await?;
    let legacy = Request::get("/legacy");
    until_plain(&orders, &legacy, None).await?;
    assert!(!said(&mesh, &["status"], "revision").await?.contains("without TLS"));

    let load = Load::start(web.outbound("shop/orders")?, &CALLS);
    for _ in 0..3 {
        mesh.apply(OPEN).await?;
        until_plain(&orders, &legacy, Some(200)).await?;
        mesh.apply(CLOSED).await?;
        until_plain(&orders, &legacy, None).await?;
    }
    mesh.apply(OPEN).await?;
    until_plain(&orders, &legacy, Some(200)).await?;
    let tally = load.finish().await;
    assert!(tally.failures.is_empty() && !tally.answers.is_empty(), "{tally:?}");
    let opened = orders.stat("listener_manager.listener_modified").await?;
    assert_eq!(
        opened,
        orders.stat("listener_manager.listener_in_place_updated").await?,
        "no listener was replaced"
    );

    // Without TLS nobody is who they say they are.
    let certificate = "URI=spiffe://chancery.local/shop/web";
    for request in [
        Request::get("/ok"),
        Request::get("/ok").header("x-forwarded-client-cert", certificate),
        Request::get("/other"),
    ] {
        let answer = plain(&orders, &request).await?.map(|answer| answer.status);
        assert_eq!(answer, Some(403), "{request:?}");
    }
    let answer = plain(&orders, &legacy.clone().header("x-forwarded-client-cert", certificate)).await?;
    let answer = answer.ok_or_else(|| anyhow::anyhow!("no answer"))?;
    assert_eq!(answer.status, 200);
    assert!(!answer.asked().to_string().contains("spiffe:"), "{answer:?}");
    // Who has an identity has it still.
    assert_eq!(web.call("shop/orders", &Request::get("/ok")).await?.status, 200);
    assert_eq!(web.call("shop/orders", &legacy).await?.status, 403, "it is for those without");
    let entries = orders.entries_of("inbound");
    let of_legacy = entries.iter().filter(|entry| entry.get("path").is_some_and(|path| path == "/legacy"));
    let allowed = of_legacy.filter(|entry| entry.get("rule").is_some_and(|rule| rule == "orders/legacy"));
    assert!(allowed.clone().count() > 0 && allowed.clone().all(|entry| entry.get("principal").is_none()));

    let text = said(&mesh, &["status"], "  127.0.0.1").await?;
    assert!(text.contains("shop/orders takes callers without TLS, by policy orders"), "{text}");
    let text = said(&mesh, &["doctor"], "takes callers without TLS: 127.0.0.1").await?;
    assert!(text.contains("plaintext deny"), "{text}");

    // Of a replica that is away nobody knows who calls it.
    let more = mesh.start_sidecar(Member::new("shop/orders", "more")?).await?;
    said(&mesh, &["status"], "  127.0.0.1").await?;
    let unheard = async |count: usize| -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while mesh.status(None).await?.plaintext.iter().map(|open| open.unheard).sum::<usize>() != count {
            ensure!(Instant::now() < deadline, "not {count} of the sidecars are unheard");
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    };
    until_plain(&more, &legacy, Some(200)).await?;
    unheard(0).await?;
    drop(more);
    unheard(1).await?;
    let text = said(&mesh, &["doctor"], "have not said who calls them").await?;
    assert!(!text.contains("none came"), "{text}");

    // An open connection without TLS ends when the door is closed.
    mesh.apply(CLOSED).await?;
    until_plain(&orders, &legacy, None).await?;
    let deadline = Instant::now() + PATIENCE;
    while !mesh.status(None).await?.plaintext.is_empty() {
        ensure!(Instant::now() < deadline, "it is told still");
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_evicted_is_nobody_without_tls() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let members =
        [Member::new("shop/web", "web")?.calling(&["shop/orders"])?, Member::new("shop/orders", "orders")?];
    let [web, orders] = mesh.join(members).await?;
    mesh.apply(OPEN).await?;
    until_plain(&orders, &Request::get("/legacy"), Some(200)).await?;
    assert_eq!(web.call("shop/orders", &Request::get("/ok")).await?.status, 200);
    let output = mesh.run(&["proxies", "evict", &web.id()]).await?;
    ensure!(output.status.success(), "{output:?}");
    let deadline = Instant::now() + PATIENCE;
    while web.call("shop/orders", &Request::get("/ok")).await.is_ok_and(|answer| answer.status == 200) {
        ensure!(Instant::now() < deadline, "an evicted sidecar is still answered");
        sleep(LOOK_AGAIN).await;
    }
    let answer = plain(&orders, &Request::get("/ok")).await?.map(|answer| answer.status);
    assert_eq!(answer, Some(403), "what its identity was allowed, nobody is");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_narrowest_scope_decides_and_contradictions_are_refused() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let [orders, stock] =
        mesh.join([Member::new("shop/orders", "orders")?, Member::new("shop/stock", "stock")?]).await?;
    let wide = "auth wide on mesh { plaintext allow who: allow from ip 127.0.0.0/8 }\n";
    mesh.apply(&format!("{wide}auth narrow on service shop/stock {{ plaintext deny }}\n")).await?;
    until_plain(&orders, &Request::get("/"), Some(200)).await?;
    until_plain(&stock, &Request::get("/"), None).await?;
    // In shadow mode nothing is opened or closed.
    mesh.apply("auth narrow on service shop/stock { mode shadow plaintext deny }").await?;
    until_plain(&stock, &Request::get("/"), Some(200)).await?;
    let file = mesh.folder().join("contrary.writ");
    std::fs::write(&file, "auth contrary on mesh { plaintext deny }\n")?;
    let output = mesh.run(&["apply", "-f", &file.display().to_string()]).await?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("E401") && said.contains("state different `plaintext` at mesh scope"), "{said}");
    Ok(())
}
