//! Changes of filters while requests are on their way: none fails, and Envoy's memory does not grow with them.

use super::{AUTH, Shop, probe, seen};
use anyhow::Result;
use chancery_tests::mesh::load::{Call, Load};
use hyper::Method;
use std::fs;

/// Changes that are made, unless `CHANCERY_FILTER_CHANGES` says how many.
const CHANGES: u32 = 20;
/// Changes before memory is looked at: the first ones fill pools.
const WARM_UP: u32 = 10;
/// How much Envoy's memory may grow over the changes; one VM has about a MiB for each worker.
const GROWTH_MAX_KIB: u64 = 24 * 1024;

const CALLS: [Call; 1] = [Call { method: Method::GET, path: "/ok", statuses: &[200] }];

fn attach(version: &str, phase: &str) -> String {
    format!(
        "filter swift on service shop/orders {{ use swift \"{version}\" phase {phase} on failure deny }}\n"
    )
}

/// The memory of a process that is in use, in KiB.
fn resident_kib(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the figure is quoted in the documentation")]
async fn no_request_fails_while_filters_come_change_and_go() -> Result<()> {
    let changes: u32 =
        std::env::var("CHANCERY_FILTER_CHANGES").ok().and_then(|n| n.parse().ok()).unwrap_or(CHANGES);
    let shop = Shop::start().await?;
    shop.push("swift", "1.0.0", &probe("one", "")).await?;
    shop.push("swift", "1.1.0", &probe("two", "")).await?;
    shop.mesh.apply(AUTH).await?;
    let load = Load::start(shop.web.outbound("shop/orders")?, &CALLS);

    let envoy = shop.orders.envoy()?;
    let mut before = 0;
    for change in 0..changes.max(WARM_UP + 1) {
        let (version, label) = if change % 2 == 0 { ("1.0.0", "one") } else { ("1.1.0", "two") };
        // Now and then it also moves, which is another listener.
        let phase = if change % 10 < 5 { "after auth" } else { "before auth" };
        shop.mesh.apply(&attach(version, phase)).await?;
        if change < 2 {
            shop.until("/ok", |answer| seen(answer) == [label]).await?;
        }
        if change == WARM_UP {
            before = resident_kib(envoy)?;
        }
    }
    let after = resident_kib(envoy)?;
    shop.mesh.delete("swift").await?;
    shop.until("/ok", |answer| answer.status == 200 && seen(answer).is_empty()).await?;
    let tally = load.finish().await;
    println!(
        "{changes} changes: {} of {} requests failed, Envoy's memory grew from {before} to {after} KiB",
        tally.failed,
        tally.sent()
    );
    assert_eq!(tally.failed, 0, "{:?}", tally.failures);
    assert!(tally.sent() > 100, "{} requests are no load", tally.sent());
    assert!(after < before + GROWTH_MAX_KIB, "Envoy's memory grew from {before} to {after} KiB");
    assert_eq!(shop.orders.envoy()?, envoy, "Envoy is the same process");
    Ok(())
}
