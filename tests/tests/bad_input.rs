//! Bad input in `traffic` and `log` policies: each is an error or a finding with place and remedy, and nothing in force
//! changes. And what is no mistake, but may turn out badly: a health check that comes while requests are made.

use crate::command_line::transcript::CHANCERY;
use anyhow::{Result, ensure};
use chancery_tests::mesh::load::{Call, Load};
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE};
use hyper::Method;
use std::path::Path;
use std::time::Instant;
use tokio::time::sleep;

const CALLS: [Call; 1] = [Call { method: Method::GET, path: "/a", statuses: &[200] }];
/// Requests of a load that show that it goes on.
const SOME_REQUESTS: u64 = 100;

/// What `chancery apply` says of a text, and its exit code.
async fn apply(mesh: &Mesh, text: &str) -> Result<(i32, String)> {
    let file = mesh.folder().join("bad.writ");
    std::fs::write(&file, text)?;
    let output = mesh.run(&["apply", "-f", &file.display().to_string()]).await?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code().unwrap_or(-1), String::from_utf8(said)?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_with_place_and_remedy_and_changes_nothing() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let _orders = mesh.join([Member::new("shop/orders", "orders")?]).await?;
    mesh.apply("traffic orders on service shop/orders { burst: limit 5/s }").await?;
    let nine_keys = (0..9).map(|n| format!("headers[\"x-{n}\"]")).collect::<Vec<_>>().join(", ");
    let nine_keys = format!("limit 5/s per {nine_keys}");
    for (statement, code, remedy) in [
        ("route /a -> service shop/orders@v1 50%, service shop/orders@v2 40%", "E229", "100%"),
        ("few: limit 5/s\n  few: limit 6/s", "E202", "name"),
        ("limit 0/s", "E227", "= help"),
        (&nine_keys, "E228", "= help"),
        ("health GET /healthz every 1s timeout 1h", "E232", "shorter `timeout`"),
        ("timeout 2s for", "E110", "behind it"),
        ("balance random\n  balance round_robin", "E406", "keep one"),
    ] {
        let text = format!("traffic orders on service shop/orders {{\n  {statement}\n}}\n");
        let (exit, said) = apply(&mesh, &text).await?;
        assert_eq!(exit, 2, "{statement}: {said}");
        let is_told = said.contains(&format!("error[{code}")) && said.contains("bad.writ:");
        assert!(is_told && said.contains(remedy), "{statement}: {said}");
    }
    let (exit, said) = apply(
        &mesh,
        "log orders-log on service shop/orders {
  redact headers[\"authorization\"] with drop
  fields headers[\"authorization\"] as auth
}",
    )
    .await?;
    assert!(exit == 0 && said.contains("warning[W130]"), "{said}");
    let status = mesh.status(None).await?;
    assert_eq!((status.revision, status.policies), (2, 2), "the limit of the first one is in force");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_to_nowhere_is_said_when_it_is_applied_and_by_status() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let [web, _orders] = mesh
        .join([
            Member::new("shop/web", "web")?.calling(&["shop/orders"])?,
            Member::new("shop/orders", "orders")?.labelled("version=v1"),
        ])
        .await?;
    let (exit, said) = apply(
        &mesh,
        "traffic canary on service shop/orders {
  route /v2 -> service shop/orders@v2
  route /gone -> service shop/gone
}",
    )
    .await?;
    assert_eq!(exit, 0, "{said}");
    for finding in
        ["no sidecar of `shop/orders@v2` has joined", "no sidecar of service `shop/gone` has joined"]
    {
        assert!(said.contains(finding), "{said}");
    }
    mesh.until_on(1).await?;
    let status = async || -> Result<String> {
        let output = mesh.run(&["status"]).await?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let said = status().await?;
    for destination in ["shop/orders@v2", "shop/gone"] {
        let line = format!("no sidecar of {destination} has joined, to which policy canary sends requests");
        assert!(said.contains(&line), "{said}");
    }
    for path in ["/v2", "/gone"] {
        assert_eq!(web.call("shop/orders", &Request::get(path)).await?.status, 503, "{path}");
    }
    assert_eq!(web.call("shop/orders", &Request::get("/a")).await?.status, 200);

    let _second = mesh.join([Member::new("shop/orders", "two")?.labelled("version=v2")]).await?;
    let said = status().await?;
    assert!(!said.contains("shop/orders@v2") && said.contains("shop/gone"), "{said}");
    let deadline = Instant::now() + PATIENCE;
    while web.call("shop/orders", &Request::get("/v2")).await?.status != 200 {
        ensure!(Instant::now() < deadline, "the version is there and gets no request");
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_health_check_that_comes_under_load_fails_no_request() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let [web, _one, _two] = mesh
        .join([
            Member::new("shop/web", "web")?.calling(&["shop/orders"])?,
            Member::new("shop/orders", "one")?,
            Member::new("shop/orders", "two")?,
        ])
        .await?;
    let load = Load::start(web.outbound("shop/orders")?, &CALLS);
    let goes_on = async || -> Result<()> {
        let (before, deadline) = (load.so_far().sent(), Instant::now() + PATIENCE);
        while load.so_far().sent() < before + SOME_REQUESTS {
            ensure!(Instant::now() < deadline, "the load stands still");
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    };
    goes_on().await?;
    // Quick answers, slow ones, and none in time: the last two before the replicas have been asked once.
    for check in ["/healthz every 100ms", "/slow/700 every 1s timeout 2s", "/slow/3000 every 1s timeout 1s"] {
        mesh.apply(&format!("traffic orders on service shop/orders {{ health GET {check} }}")).await?;
        goes_on().await?;
    }
    // And a replica that is new to callers that ask.
    mesh.apply("traffic orders on service shop/orders { health GET /slow/300 every 1s }").await?;
    let _three = mesh.join([Member::new("shop/orders", "three")?]).await?;
    goes_on().await?;
    mesh.delete("orders").await?;
    goes_on().await?;
    let tally = load.finish().await;
    assert_eq!(tally.failed, 0, "{:#?}", tally.failures);
    Ok(())
}
