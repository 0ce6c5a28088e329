//! Where a control plane and a sidecar are: by which address others reach a sidecar that does not say so, a token that
//! is handed on without a file, and a control plane that moves.

use crate::command_line::transcript::CHANCERY;
use anyhow::{Result, ensure};
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep};

const POLICY: &str = "auth orders on service shop/orders { allow GET PATH from service shop/web }\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_that_moves_strands_nobody() -> Result<()> {
    let mut mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let [mut web, mut orders] = mesh
        .join([
            Member::new("shop/web", "web")?.calling(&["shop/orders"])?,
            Member::new("shop/orders", "orders")?,
        ])
        .await?;
    mesh.apply(&POLICY.replace("PATH", "/one")).await?;
    assert_eq!(web.call("shop/orders", &Request::get("/one")).await?.status, 200);

    orders.process.terminate().await?;
    orders.process.until_ended().await?;
    mesh.kill_control_plane().await?;
    let there = mesh.move_control_plane().await?;

    // One that runs is told by a new token, one that is stopped by an option; it stays who it is.
    let before = orders.identity()?;
    web.give_token(&mesh.token("shop/web", None).await?)?;
    orders.start_again_with("--control-plane", &there.to_string())?;
    orders.until_ready().await?;
    mesh.apply(&POLICY.replace("PATH", "/two")).await?;
    let deadline = Instant::now() + PATIENCE;
    while web.call("shop/orders", &Request::get("/two")).await?.status != 200 {
        ensure!(Instant::now() < deadline, "it is not back");
        sleep(LOOK_AGAIN).await;
    }
    let after = orders.identity()?;
    ensure!(after.proxy_id == before.proxy_id, "it is another one");
    web.until_ready().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_handed_on_without_a_file_and_kept_in_one_for_its_owner_alone() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let file = mesh.folder().join("orders.token");
    let output = mesh.run(&["token", "--service", "shop/orders", "-o", &file.display().to_string()]).await?;
    ensure!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let mode = std::fs::metadata(&file)?.permissions().mode() & 0o777;
    assert_eq!(format!("{mode:o}"), "600");

    // Without --address others are told the address from which the control plane is reached.
    let (data, inbound) = (mesh.folder().join("data"), chancery_tests::mesh::ports::free()?);
    let arguments =
        ["sidecar", "--service", "shop/orders", "--token-file", "-", "--check", "none", "--data-dir"];
    let mut child = tokio::process::Command::new(CHANCERY)
        .args(arguments)
        .arg(&data)
        .args(["--inbound", &format!("0.0.0.0:{}:127.0.0.1:9", inbound.port()), "--instance", "given"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&std::fs::read(&file)?).await?;
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = mesh.run(&["proxies", "--json"]).await?;
        let said = String::from_utf8(output.stdout)?;
        let reached = format!("127.0.0.1:{}", inbound.port());
        if said.contains("shop/orders/given") {
            ensure!(said.contains(&reached), "{said}");
            break;
        }
        ensure!(Instant::now() < deadline, "it does not join: {said}");
        ensure!(child.try_wait()?.is_none(), "it ends");
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}
