//! Limits that replicas share, in real Envoys: what passes over all of them, while they come and go, and how far it is from
//! what is stated. `docs/language.md` has the figures.

use crate::command_line::transcript::CHANCERY;
use anyhow::{Result, ensure};
use chancery_tests::figures;
use chancery_tests::mesh::load::{Call, Load, Tally};
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use hyper::Method;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const POLICY: &str = r#"traffic orders on service shop/orders {
  rate: limit 90/s burst 30 shared for /rate
  once: limit 1/d burst 12 per headers["x-key"] shared for /once/**
  balance round_robin
}"#;
/// How long a rate is watched.
const WATCHED: Duration = Duration::from_secs(4);
/// How far what passes may be from what is stated, on a machine that does other things as well. It is printed.
const ERROR_MAX: f64 = 0.1;
/// One of the replicas has nothing behind its sidecar for a while.
const CALLS: [Call; 1] = [Call { method: Method::GET, path: "/rate", statuses: &[200, 429, 503] }];

/// Waits until a replica was told of so many.
async fn until_told(replica: &Sidecar, replicas: u8) -> Result<()> {
    let told = match replicas {
        2 => "AgAAAAIAAAA=",
        3 => "AwAAAAMAAAA=",
        _ => "BAAAAAQAAAA=",
    };
    let deadline = Instant::now() + PATIENCE;
    while !replica.admin("/config_dump").await?.contains(told) {
        ensure!(Instant::now() < deadline, "{} was not told of {replicas} replicas", replica.id());
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

async fn until_all_told(replicas: &[&Sidecar]) -> Result<()> {
    for replica in replicas {
        until_told(replica, u8::try_from(replicas.len())?).await?;
    }
    Ok(())
}

/// Of so many requests with a key, those that pass.
async fn passed(caller: &Sidecar, key: &str, requests: usize) -> Result<usize> {
    let request = Request::get("/once/7").header("x-key", key);
    let mut passed = 0;
    for _ in 0..requests {
        let answer = caller.call("shop/orders", &request).await?;
        ensure!([200, 429].contains(&answer.status), "{}", answer.status);
        passed += usize::from(answer.status == 200);
    }
    Ok(passed)
}

/// Watches a load: how far what passes is from the rate.
async fn watch(load: &Load, what: &str) -> Result<()> {
    let so_far = || {
        let tally: Tally = load.so_far();
        (tally.of("/rate", 200), tally.of("/rate", 429), Instant::now())
    };
    let (before, refused_before, begun) = so_far();
    sleep(WATCHED).await;
    let (after, refused, ended) = so_far();
    let stated = 90.0 * (ended - begun).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "they are few")]
    let passed = (after - before) as f64;
    let error = (passed - stated) / stated;
    let row = format!("`limit 90/s shared`, {what}, {stated:.0} stated: passed");
    figures::print(&row, format!("{passed}, {:+.1} %", 100.0 * error));
    ensure!(refused - refused_before > 100, "the load is too small to be limited");
    ensure!(error.abs() <= ERROR_MAX, "{what}: {passed} of {stated:.1}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_a_limit_while_they_come_and_go() -> Result<()> {
    let mut mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let replica = |instance| Member::new("shop/orders", instance);
    let members = [
        Member::new("shop/web", "web")?.calling(&["shop/orders"])?,
        replica("one")?,
        replica("two")?,
        replica("three")?,
    ];
    let [web, one, two, mut three] = mesh.join(members).await?;
    // Where all requests come to one replica, they get its share and no more; unless they are told apart by what they
    // are distributed by.
    let uneven = r#"traffic orders on service shop/orders {
      once: limit 1/d burst 12 shared for /once/**
      balance ring_hash by headers["x-key"]
    }"#;
    mesh.apply(uneven).await?;
    assert_eq!(passed(&web, "d", 30).await?, 4);
    mesh.apply(&uneven.replace("shared", "per headers[\"x-key\"] shared")).await?;
    assert_eq!(passed(&web, "e", 30).await?, 12);

    mesh.apply(POLICY).await?;
    until_all_told(&[&one, &two, &three]).await?;
    assert_eq!(passed(&web, "a", 60).await?, 12);

    // Another one brings its share of the burst with it; what the others counted goes on.
    let [four] = mesh.join([replica("four")?]).await?;
    until_all_told(&[&one, &two, &three, &four]).await?;
    mesh.until_reached(std::slice::from_ref(&web)).await?;
    assert_eq!(passed(&web, "a", 60).await?, 3);
    assert_eq!(passed(&web, "b", 60).await?, 12);
    four.process.terminate().await?;
    until_all_told(&[&one, &two, &three]).await?;

    let load = Load::start(web.outbound("shop/orders")?, &CALLS);
    // What the buckets have at first is gone.
    sleep(Duration::from_secs(1)).await;
    watch(&load, "three replicas").await?;
    three.application_mut().stop().await;
    until_all_told(&[&one, &two]).await?;
    watch(&load, "two, for one is silent").await?;
    three.application_mut().start_again().await?;
    until_all_told(&[&one, &two, &three]).await?;
    // Its bucket has filled up in the meantime.
    sleep(Duration::from_secs(1)).await;
    watch(&load, "three again").await?;
    mesh.kill_control_plane().await?;
    watch(&load, "without a control plane").await?;
    let tally = load.finish().await;
    assert_eq!(tally.failed, 0, "{:#?}", tally.failures);
    assert_eq!(passed(&web, "c", 60).await?, 12);
    Ok(())
}
