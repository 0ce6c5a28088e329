//! What the person who operates a mesh sees and can rely on: changes, progress, refusals, the demo.

use super::{Shop, check, row};
use crate::command_line::transcript::CHANCERY;
use crate::tidy::file;
use chancery_control::server::api::types::FileBody;
use chancery_tests::mesh::Member;
use chancery_tests::mesh::load::{Call, Load};
use chancery_tests::mesh::process::Process;
use chancery_tests::mesh::wire::Request;
use hyper::Method;
use std::path::Path;
use std::process::Output;
use std::time::Instant;

/// How often the policy is changed under load.
const CHANGES: u32 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the figure is quoted in the documentation")]
async fn a_hundred_changes_of_policy_under_load_fail_no_request() {
    let shop = Shop::start().await;
    let Shop { mesh, frontend, orders, orders_2, .. } = &shop;
    let policy = |effect: &str| {
        format!(
            "auth orders on service shop/orders {{\n  read: allow GET /orders/7\n  \
             turn: {effect} GET /turn respond 423\n}}\n"
        )
    };
    let (open, closed) = (policy("allow").replace(" respond 423", ""), policy("deny"));
    mesh.apply(&open).await.unwrap();
    let get = |path, statuses| Call { method: Method::GET, path, statuses };
    let calls = [get("/orders/7", &[200]), get("/turn", &[200, 423])];
    let load = Load::start(frontend.outbound("shop/orders").unwrap(), &calls);
    let listeners = orders.stats("listener_manager.listener_").await.unwrap();
    let begun = Instant::now();
    for number in 0..CHANGES {
        mesh.apply(if number % 2 == 0 { &closed } else { &open }).await.unwrap();
    }
    let elapsed = begun.elapsed();
    let tally = load.finish().await;
    println!(
        "{CHANGES} changes of policy in {elapsed:.1?}: {} requests, {} failed",
        tally.sent(),
        tally.failed
    );
    assert_eq!(tally.failed, 0, "{:#?}", tally.failures);
    // Both policies were in force while the load ran.
    assert!(tally.of("/turn", 200) > 0 && tally.of("/turn", 423) > 0, "{tally:#?}");
    assert!(tally.sent() > u64::from(CHANGES), "{tally:#?}");
    // The filter was exchanged in its place: no listener was replaced or drained, no connection closed.
    assert_eq!(orders.stats("listener_manager.listener_").await.unwrap(), listeners);
    for replica in [orders, orders_2] {
        assert_eq!(replica.stat("listener_manager.total_listeners_draining").await.unwrap(), 0);
        assert_eq!(replica.stat("http.inbound.downstream_cx_drain_close").await.unwrap(), 0);
    }
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apply_waits_with_progress_and_says_who_refused_what() {
    let shop = Shop::start().await;
    let Shop { mesh, frontend, orders, .. } = &shop;
    let file = mesh.folder().join("orders.writ");
    let path = file.to_str().unwrap();
    let apply = ["apply", "-f", path, "--wait", "--timeout", "30s"];

    std::fs::write(&file, "auth orders on service shop/orders {\n  read: allow GET /orders/**\n}\n").unwrap();
    let (code, stdout, stderr) = said(&mesh.run(&apply).await.unwrap());
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("policy orders created\nrevision 1\n"), "{stdout}");
    assert!(stdout.ends_with("4/4 sidecars on revision 1\n"), "{stdout}");
    let (code, stdout, _) = said(&mesh.run(&["status"]).await.unwrap());
    assert_eq!((code, stdout.lines().next().unwrap().starts_with("4/4 sidecars on revision 1;")), (0, true));
    let decided = [
        row(Request::get("/orders/7"), 200, "orders/read"),
        row(Request::get("/elsewhere"), 403, "default-deny"),
    ];
    check(frontend, orders, &decided).await;

    // A wrong policy changes nothing.
    std::fs::write(&file, "auth orders on service shop/orders {\n  read: allow GET orders\n}\n").unwrap();
    let (code, _, stderr) = said(&mesh.run(&apply).await.unwrap());
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("orders.writ:2:") && stderr.contains("error[E"), "{stderr}");
    assert_eq!(mesh.status(None).await.unwrap().revision, 1);
    check(frontend, orders, &decided).await;

    // A sidecar whose Envoy cannot open a listener, for somebody else has the port: no policy's fault.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let cart = Member::new("shop/cart", "cart").unwrap();
    let cart = cart.calling_at("shop/orders", taken.local_addr().unwrap());
    let mut cart = mesh.start_sidecar(cart).await.unwrap();
    let refuses = |proxies: &[chancery_control::server::api::types::ProxyBody]| {
        proxies.iter().any(|proxy| proxy.id == "shop/cart/cart" && !proxy.rejections.is_empty())
    };
    mesh.until_status(None, |status| refuses(&status.proxies)).await.unwrap();
    std::fs::write(&file, "auth orders on service shop/orders {\n  read: allow GET /orders/7\n}\n").unwrap();
    let (code, stdout, stderr) = said(&mesh.run(&apply).await.unwrap());
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("5/5 sidecars on revision 2\n"), "{stdout}");
    mesh.until_status(None, |status| refuses(&status.proxies)).await.unwrap();
    let (code, stdout, _) = said(&mesh.run(&["status"]).await.unwrap());
    assert_eq!(code, 3, "{stdout}");
    assert!(stdout.contains("shop/cart/cart: cannot open listener `outbound/shop/orders`"), "{stdout}");
    assert!(stdout.contains("Address already in use"), "{stdout}");
    // The others are on it all the same.
    check(frontend, orders, &[row(Request::get("/orders/8"), 403, "default-deny")]).await;

    // The port is free again, and the sidecar gets it.
    let (code, said) = cart.readiness().await.unwrap();
    assert!(code == 503 && said["reason"].as_str().unwrap().contains("in use"), "{said}");
    drop(taken);
    cart.until_ready().await.unwrap();
    assert_eq!(cart.call("shop/orders", &Request::get("/orders/7")).await.unwrap().status, 200);
    mesh.until_status(None, |status| !refuses(&status.proxies) && status.on_revision == 5).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policies_of_the_quickstart_decide_between_sidecars_as_their_tests_say() {
    let shop = Shop::start().await;
    let Shop { mesh, frontend, orders, ledger, .. } = &shop;
    let files = ["mesh", "pay", "shop"].map(|name| {
        let name = format!("examples/quickstart/policies/{name}.writ");
        FileBody { text: file(&name).text, name }
    });
    mesh.apply_files(files.into()).await.unwrap();
    let new = Request::new;
    let key = ("idempotency-key", "7");
    check(
        frontend,
        orders,
        &[
            row(new("GET", "/orders/7"), 200, "orders/read"),
            row(new("POST", "/orders"), 200, "orders/place"),
            row(new("DELETE", "/orders/7"), 403, "orders/otherwise"),
            row(new("POST", "/orders/7/paid"), 403, "orders/otherwise"),
            row(new("GET", "/exports/orders"), 403, "orders/no-bulk"),
            row(new("GET", "/exports/orders").header("x-purpose", "audit"), 200, "orders/export"),
        ],
    )
    .await;
    check(ledger, orders, &[row(new("POST", "/orders/7/paid"), 200, "orders/paid")]).await;
    check(
        orders,
        ledger,
        &[
            row(new("POST", "/charges").headers(&[key]), 200, "ledger/charge"),
            row(new("POST", "/charges"), 403, "default-deny"),
        ],
    )
    .await;
    check(frontend, ledger, &[row(new("POST", "/charges").headers(&[key]), 403, "default-deny")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_holds() {
    let arguments = ["demo", "--changes", "3"].map(str::to_owned);
    let mut demo = Process::start("demo", Path::new(CHANCERY), &arguments).unwrap();
    let status = demo.until_ended().await.unwrap();
    let said = demo.lines(|line| Some(line.to_owned())).join("\n");
    assert!(status.success(), "{status}:\n{said}");
    assert!(said.contains("everything held"), "{said}");
    assert!(said.contains(" 0 failed") && !said.contains("WRONG"), "{said}");
}
