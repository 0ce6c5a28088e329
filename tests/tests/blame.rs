//! Whom a refusal is blamed on: a real Envoy refuses what a statement asks for.
//!
//! What is generated is refused by no Envoy that is whole. So one runs here without an extension.

use crate::command_line::transcript::CHANCERY;
use anyhow::Result;
use chancery_control::sidecar::envoy_binary::Search;
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{Member, Mesh};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A command that runs Envoy without an extension.
pub(crate) async fn envoy_without(extension: &str, folder: &Path) -> Result<PathBuf> {
    let search = || Search::from_environment(None).find_or_install(&mut |_| {});
    let envoy = tokio::task::spawn_blocking(search).await??;
    let path = folder.join("envoy-without");
    let envoy = envoy.path.display().to_string();
    std::fs::write(&path, format!("#!/bin/sh\nexec '{envoy}' --disable-extensions {extension} \"$@\"\n"))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_cluster_is_blamed_on_its_policy_and_statement() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let envoy = envoy_without("envoy.health_checkers/envoy.health_checkers.http", mesh.folder()).await?;
    let [web, _orders] = mesh
        .join([
            Member::new("shop/web", "web")?.calling(&["shop/orders"])?.running(envoy),
            Member::new("shop/orders", "orders")?,
        ])
        .await?;
    let file = mesh.folder().join("orders.writ");
    let path = file.display().to_string();
    let apply = ["apply", "-f", &path, "-o", "json", "--wait", "--timeout", "50s"];

    std::fs::write(
        &file,
        "traffic mesh-pool on mesh { eject after 9 errors for 1s }
traffic orders on service shop/orders { eject after 5 errors for 1s }",
    )?;
    let output = mesh.run(&apply).await?;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let snapshot = String::from_utf8(mesh.run(&["snapshot", "shop/web/web"]).await?.stdout)?;
    let cluster = snapshot.split("- name: ").find(|part| part.starts_with("mesh/shop/orders\n"));
    let of_cluster = cluster.unwrap_or_default().split("resource:").next().unwrap_or_default().to_owned();
    assert!(of_cluster.contains("- orders\n") && of_cluster.contains("- orders/eject-"), "{snapshot}");
    assert!(!of_cluster.contains("mesh-pool"), "what acts is named, and nothing else: {of_cluster}");

    mesh.delete("mesh-pool").await?;
    std::fs::write(&file, "traffic orders on service shop/orders { health GET /healthz every 1s }")?;
    let output = mesh.run(&apply).await?;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    // Also where it is refused, a program reads one document.
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(said.get("revision"), Some(&3.into()));
    let status = String::from_utf8(mesh.run(&["status"]).await?.stdout)?;
    let blamed = "shop/web/web: refuses cluster `mesh/shop/orders` of policy orders (orders/health-";
    assert!(status.contains(blamed) && status.contains("envoy.health_checkers.http"), "{status}");
    assert!(String::from_utf8(output.stderr)?.contains(blamed));
    // What serves is what served.
    assert_eq!(web.call("shop/orders", &Request::get("/a")).await?.status, 200);

    // A cluster that is there only since a route leads there is that route's.
    std::fs::write(
        &file,
        "traffic orders on service shop/orders { beta: route /beta -> service shop/beta }",
    )?;
    let output = mesh.run(&apply).await?;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let snapshot = String::from_utf8(mesh.run(&["snapshot", "shop/web/web"]).await?.stdout)?;
    let cluster = snapshot.split("- name: ").find(|part| part.starts_with("mesh/shop/beta\n"));
    let of_cluster = cluster.unwrap_or_default().split("resource:").next().unwrap_or_default();
    assert!(of_cluster.contains("- orders\n") && of_cluster.contains("- orders/beta\n"), "{snapshot}");
    assert_eq!(mesh.run(&["status"]).await?.status.code(), Some(0));
    Ok(())
}
