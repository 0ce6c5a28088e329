//! A revision in stages, with real sidecars: a canary first, held, taken back, gone on with after a restart of the
//! control plane, and taken back by itself when a sidecar refuses it.

use crate::blame::envoy_without;
use crate::command_line::transcript::CHANCERY;
use anyhow::Result;
use chancery_control::server::api::types::{RolloutResponse, RolloutState};
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use std::path::Path;
use tokio::time::{Instant, sleep};

/// Applies a text with these options; gives the exit code, and what was said on both streams.
async fn apply(mesh: &Mesh, text: &str, options: &[&str]) -> Result<(Option<i32>, String)> {
    let file = mesh.folder().join("rolled-out.writ");
    std::fs::write(&file, text)?;
    let path = file.display().to_string();
    let arguments: Vec<&str> = ["apply", "-f", &path].into_iter().chain(options.iter().copied()).collect();
    run(mesh, &arguments).await
}

async fn run(mesh: &Mesh, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let output = mesh.run(arguments).await?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8(said)?))
}

/// Waits until the control plane says this of its newest rollout.
async fn until(mesh: &Mesh, wish: impl Fn(&RolloutResponse) -> bool) -> Result<RolloutResponse> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let response: RolloutResponse = mesh.admin()?.get("/v1/rollout").await?;
        if wish(&response) {
            return Ok(response);
        }
        anyhow::ensure!(Instant::now() < deadline, "the control plane still says {response:#?}");
        sleep(LOOK_AGAIN).await;
    }
}

fn is_in(stage: usize, acknowledged: usize) -> impl Fn(&RolloutResponse) -> bool {
    move |response| {
        let rollout = response.rollout.as_ref();
        rollout.is_some_and(|rollout| rollout.stage == Some(stage) && rollout.acknowledged == acknowledged)
    }
}

fn is(state: RolloutState) -> impl Fn(&RolloutResponse) -> bool {
    move |response| response.rollout.as_ref().is_some_and(|rollout| rollout.state == state)
}

/// What each of two replicas answers to a request for a path.
async fn answers(from: &Sidecar, replicas: [&Sidecar; 2], path: &str) -> Result<[u16; 2]> {
    let [one, other] = replicas;
    Ok([from.ask(one, &Request::get(path)).await?.status, from.ask(other, &Request::get(path)).await?.status])
}

fn policy(path: &str) -> String {
    format!("auth orders on service shop/orders {{\n  allow GET {path}\n}}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the figure is quoted in the documentation")]
async fn a_revision_reaches_a_canary_first_and_is_taken_back_if_a_sidecar_refuses_it() -> Result<()> {
    let mut mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let envoy = envoy_without("envoy.health_checkers/envoy.health_checkers.http", mesh.folder()).await?;
    let web = |instance| Member::new("shop/web", instance)?.calling(&["shop/orders"]);
    let orders = |instance| Member::new("shop/orders", instance);
    let [canary, web, orders_1, orders_2] = mesh
        .join([
            web("web-1")?.labelled("track=canary").running(envoy),
            web("web-2")?,
            orders("orders-1")?.labelled("track=canary"),
            orders("orders-2")?,
        ])
        .await?;
    let both = [&orders_1, &orders_2];
    mesh.apply(&policy("/one")).await?;

    // The canary has it, and nobody else as long as it soaks.
    let canaries = ["--canary-label", "track=canary", "--stages", "100%"];
    let slowly = [&canaries[..], &["--soak", "1h"]].concat();
    let (code, said) = apply(&mesh, &policy("/two"), &slowly).await?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("revision 2\nin stages: track=canary, 100%\n"), "{said}");
    until(&mesh, is_in(1, 1)).await?;
    assert_eq!(answers(&web, both, "/two").await?, [200, 403]);
    assert_eq!(answers(&web, both, "/one").await?, [403, 200]);
    let (code, said) = run(&mesh, &["rollout", "status"]).await?;
    assert_eq!(code, Some(4), "{said}");
    let stage = "rollout of revision 2: stage 1 of 2 (track=canary); 1 of 2 sidecars that it changes have it, others \
                 have revision 1\n";
    let table = "\n\nPROXY                 REVISION  STATE\nshop/orders/orders-1  2         has it\n\
                 shop/orders/orders-2  1         has it\n";
    assert!(said.starts_with(stage) && said.ends_with(table), "{said}");
    let (code, said) = run(&mesh, &["status"]).await?;
    assert_eq!((code, said.starts_with("3/4 sidecars on revision 2;")), (Some(4), true), "{said}");
    for refused in [
        apply(&mesh, &policy("/three"), &[]).await?,
        run(&mesh, &["delete", "policy", "orders"]).await?,
        run(&mesh, &["rollback", "0"]).await?,
    ] {
        assert_eq!(refused.0, Some(3), "{}", refused.1);
        assert!(refused.1.contains("revision 2 is being rolled out"), "{}", refused.1);
    }

    // It is held, also by a control plane that is started again, and taken back.
    let (code, said) = run(&mesh, &["rollout", "pause"]).await?;
    assert_eq!((code, said.contains("(track=canary), paused; ")), (Some(0), true), "{said}");
    mesh.kill_control_plane().await?;
    mesh.start_control_plane().await?;
    let response = until(&mesh, is_in(1, 1)).await?;
    assert!(is(RolloutState::Paused)(&response), "{response:?}");
    assert_eq!(answers(&web, both, "/two").await?, [200, 403]);
    let (code, said) = run(&mesh, &["rollout", "resume"]).await?;
    assert_eq!((code, said.contains("paused")), (Some(0), false), "{said}");
    let (code, said) = run(&mesh, &["rollout", "undo"]).await?;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with("the rollout of revision 2 was taken back, revision 3 is in force: token "),
        "{said}"
    );
    mesh.until_on(3).await?;
    assert_eq!(answers(&web, both, "/one").await?, [200, 200]);
    let refused = run(&mesh, &["rollout", "undo"]).await?;
    assert_eq!((refused.0, refused.1.contains("no rollout is under way")), (Some(3), true), "{}", refused.1);

    // Whoever waits, waits for the end.
    let (code, said) =
        apply(&mesh, &policy("/two"), &[&canaries[..], &["--soak", "0s", "--wait"]].concat()).await?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("4/4 sidecars on revision 4\n"), "{said}");
    assert_eq!(run(&mesh, &["rollout", "status", "--watch"]).await?.0, Some(0));
    mesh.until_on(4).await?;
    assert_eq!(answers(&web, both, "/two").await?, [200, 200]);

    // What a canary refuses reaches nobody else.
    let health = "traffic orders-health on service shop/orders { health GET /healthz every 1s }";
    let (code, said) = apply(&mesh, health, &[&slowly[..], &["--wait", "--timeout", "50s"]].concat()).await?;
    assert_eq!(code, Some(3), "{said}");
    let reason = "the rollout of revision 5 was taken back, revision 6 is in force: in stage 1 shop/web/web-1 \
                  refuses cluster `mesh/shop/orders`: ";
    assert!(said.contains(reason), "{said}");
    let (code, said) = run(&mesh, &["rollout", "status"]).await?;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.ends_with("\npolicies: orders-health\nseen at: shop/web/web-1\n"), "{said}");
    mesh.until_on(6).await?;
    let (code, said) = run(&mesh, &["status"]).await?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(reason), "{said}");
    let (_, said) = run(&mesh, &["history", "--count", "1"]).await?;
    assert!(said.contains("control plane") && said.contains("-orders-health"), "{said}");
    assert_eq!(answers(&web, both, "/two").await?, [200, 200]);

    // What makes a canary answer with 5xx reaches nobody else either.
    let faulty = "traffic flaky on service shop/orders { fault 50% abort 503 }";
    let (code, said) = apply(&mesh, faulty, &slowly).await?;
    assert_eq!(code, Some(0), "{said}");
    until(&mesh, is_in(1, 2)).await?;
    let (mut sent, mut touched) = (0, 0);
    let deadline = Instant::now() + PATIENCE;
    let undone = loop {
        for caller in [&canary, &web] {
            let answer = caller.call("shop/orders", &Request::get("/two")).await?;
            (sent, touched) = (sent + 1, touched + usize::from(answer.status == 503));
        }
        let response: RolloutResponse = mesh.admin()?.get("/v1/rollout").await?;
        if is(RolloutState::Undone)(&response) {
            break response;
        }
        anyhow::ensure!(Instant::now() < deadline, "the control plane still says {response:#?}");
        sleep(LOOK_AGAIN).await;
    };
    println!("a bad revision was stopped at the canary: it touched {touched} of {sent} requests");
    let reason = undone.rollout.and_then(|rollout| rollout.undone).map(|undone| undone.reason);
    let reason = reason.unwrap_or_default();
    assert!(reason.contains("requests were answered with 5xx, elsewhere 0 of "), "{reason}");
    mesh.until_on(8).await?;
    assert_eq!(canary.call("shop/orders", &Request::get("/two")).await?.status, 200);
    Ok(())
}
