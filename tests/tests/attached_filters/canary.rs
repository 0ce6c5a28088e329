//! A version of a filter that traps now and then, in stages: it is stopped at the canary, and nothing that somebody
//! needs to go on or back can be deleted meanwhile.

use super::{AUTH, PROBE, probe, push, seen};
use crate::command_line::transcript::CHANCERY;
use anyhow::{Result, ensure};
use chancery_control::server::api::types::{RolloutResponse, RolloutState};
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE};
use std::path::Path;
use tokio::time::{Instant, sleep};

/// Of so many requests one is such that the bad version traps.
const ONE_IN: u32 = 100;

/// The filter without its trap.
fn sound(label: &str) -> Vec<u8> {
    let body = PROBE.replace("LENGTH", &label.len().to_string()).replacen("(unreachable)", "(nop)", 1);
    wat::parse_str(format!("(module {body} (data (i32.const 64) \"{label}\"))")).unwrap()
}

fn attach(version: &str) -> String {
    format!(
        "{AUTH}filter swift on service shop/orders {{ use swift \"{version}\" phase last on failure deny }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the figure is quoted in the documentation")]
async fn a_version_that_traps_now_and_then_is_stopped_at_the_canary() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let orders = |instance| Member::new("shop/orders", instance);
    let [web, _canary, _other] = mesh
        .join([
            Member::new("shop/web", "web")?.calling(&["shop/orders"])?,
            orders("orders-1")?.labelled("track=canary"),
            orders("orders-2")?,
        ])
        .await?;
    push(&mesh, "swift", "1.0.0", &sound("one")).await?;
    push(&mesh, "swift", "1.1.0", &probe("two", "")).await?;
    push(&mesh, "swift", "0.9.0", &sound("zero")).await?;
    mesh.apply(&attach("1.0.0")).await?;

    let file = mesh.folder().join("swift.writ");
    std::fs::write(&file, attach("1.1.0"))?;
    let file = file.display().to_string();
    let stages = ["--canary-label", "track=canary", "--stages", "100%", "--soak", "1h", "--max-5xx", "50%"];
    let output = mesh.run(&[&["apply", "-f", &file][..], &stages].concat()).await?;
    ensure!(output.status.success(), "{output:?}");

    // Until it is taken back, one in a hundred requests is such that the new version traps; half of them meet the canary.
    let (mut sent, mut touched, mut was_seen) = (0, 0, false);
    let deadline = Instant::now() + PATIENCE;
    let undone = loop {
        let path = if sent % ONE_IN == ONE_IN - 1 { "/crash" } else { "/ok" };
        let answer = web.call("shop/orders", &Request::get(path)).await?;
        sent += 1;
        was_seen |= seen(&answer) == ["two"];
        touched += u32::from(answer.status != 200);
        if sent == 1 {
            for version in ["1.0.0", "1.1.0"] {
                let output = mesh.run(&["filter", "delete", "swift", version]).await?;
                let said = String::from_utf8(output.stderr)?;
                ensure!(
                    said.contains("is in use"),
                    "version {version}, of which one of both sets has need: {said}"
                );
            }
            let output = mesh.run(&["filter", "delete", "swift", "0.9.0"]).await?;
            ensure!(output.status.success(), "{output:?}");
        }
        if sent % 10 == 0 {
            let response: RolloutResponse = mesh.admin()?.get("/v1/rollout").await?;
            if let Some(rollout) = response.rollout
                && rollout.state == RolloutState::Undone
            {
                break rollout.undone;
            }
        }
        ensure!(Instant::now() < deadline, "not taken back after {sent} requests, {touched} of which failed");
        if sent % ONE_IN == 0 {
            sleep(LOOK_AGAIN).await;
        }
    };
    println!("a version that traps on one request in {ONE_IN} touched {touched} of {sent} requests");
    let undone = undone.map(|undone| (undone.reason, undone.policies, undone.proxies)).unwrap_or_default();
    assert!(undone.0.starts_with("in stage 1 the filter of policy `swift` failed "), "{undone:?}");
    assert_eq!((undone.1, undone.2), (vec!["swift".to_owned()], vec!["shop/orders/orders-1".to_owned()]));
    assert!(was_seen, "the canary had it");
    assert!(touched * ONE_IN / 2 <= sent, "{touched} of {sent} requests failed");

    // Everybody has the old one again, for which nothing traps.
    let deadline = Instant::now() + PATIENCE;
    let mut old = 0;
    while old < 20 {
        let answer = web.call("shop/orders", &Request::get("/crash")).await?;
        old = if (answer.status, seen(&answer)) == (200, vec!["one".to_owned()]) { old + 1 } else { 0 };
        ensure!(Instant::now() < deadline, "still {answer:?}");
    }
    let output = mesh.run(&["filter", "delete", "swift", "1.1.0"]).await?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}
