//! What a program reads: one JSON document on standard output, whatever else a command has to say.

use crate::command_line::transcript::CHANCERY;
use anyhow::{Context as _, Result};
use chancery_tests::mesh::{Member, Mesh};
use serde_json::Value;
use std::path::Path;

const POLICY: &str = "auth orders on service shop/orders {\n  read: allow GET /orders/**\n}
test \"reads\" for orders {\n  given GET /orders/7  expect allow by read\n}\n";

/// Runs a command and reads all that it writes to standard output as one document.
async fn document(mesh: &Mesh, arguments: &str) -> Result<Value> {
    let output = mesh.run(&arguments.split(' ').collect::<Vec<_>>()).await?;
    let said = || format!("`chancery {arguments}`: {output:?}");
    anyhow::ensure!(output.status.success(), said());
    serde_json::from_slice(&output.stdout).with_context(said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_for_json_reads_one_document() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let _sidecar = mesh.join([Member::new("shop/orders", "orders")?]).await?;
    let file = mesh.folder().join("orders.writ");
    std::fs::write(&file, POLICY)?;
    let file = file.display();

    for (arguments, revision) in [
        (format!("apply -f {file} -o json --dry-run"), 0),
        (format!("apply -f {file} -o json --wait"), 1),
        ("delete policy orders -o json --wait".to_owned(), 2),
        ("rollback 1 -o json --dry-run".to_owned(), 2),
        ("rollback 1 -o json --wait".to_owned(), 3),
        (format!("delete -f {file} -o json --wait"), 4),
        (format!("apply -f {file} -o json --no-tests --wait"), 5),
    ] {
        let said = document(&mesh, &arguments).await?;
        assert_eq!(said["revision"], revision, "`chancery {arguments}`: {said}");
    }
    // How far it is, is said nevertheless.
    let output = mesh.run(&["apply", "-f", &file.to_string(), "-o", "json", "--wait"]).await?;
    assert_eq!(String::from_utf8(output.stderr)?, "1/1 sidecar on revision 5\n");

    for arguments in [
        "status --json",
        "proxies --json",
        "history -o json",
        "diff 1 2 -o json",
        "get policy --json",
        "get policy orders --json",
        "get token --json",
        "get audit --json",
        "get audit --machines --json",
        &format!("diff {file} -o json"),
        &format!("check {file} --format json"),
        &format!("test {file} --format json"),
    ] {
        document(&mesh, arguments).await?;
    }
    let explain =
        ["explain", "GET /orders/7", "--on", "service", "shop/orders", "--format", "json", &file.to_string()];
    let output = mesh.run(&explain).await?;
    serde_json::from_slice::<Value>(&output.stdout).with_context(|| format!("{output:?}"))?;
    Ok(())
}
