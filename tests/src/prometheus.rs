//! A real Prometheus as a process: Debian's, with its data in a folder of its own.

use crate::mesh::ports;
use crate::toolchains::debian;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Debian's package, and the programs in it.
const PACKAGE: &str = "prometheus";
const PROGRAM: &str = "usr/bin/prometheus";
const TOOL: &str = "usr/bin/promtool";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A running Prometheus. It ends with its value.
#[derive(Debug)]
pub struct Prometheus {
    _process: Child,
    _data: TempDir,
    address: SocketAddr,
    http: reqwest::Client,
}

impl Prometheus {
    /// Starts one with a file of settings, got once into `cache` where this machine has none.
    ///
    /// # Errors
    /// When it cannot be had, or does not take the settings.
    pub async fn start(settings: &Path, cache: &Path) -> Result<Self> {
        // Another test may have been first.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let program = debian::program(PACKAGE, PROGRAM, cache)?;
        let (data, address) = (tempfile::tempdir()?, ports::free()?);
        let said = data.path().join("said");
        let mut process = Command::new(program)
            .arg(format!("--config.file={}", settings.display()))
            .arg(format!("--storage.tsdb.path={}", data.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said)?)
            .kill_on_drop(true)
            .spawn()?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let begun = Instant::now();
        while !http
            .get(format!("http://{address}/-/ready"))
            .send()
            .await
            .is_ok_and(|it| it.status().is_success())
        {
            if process.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
                bail!("Prometheus does not start:\n{}", fs::read_to_string(&said)?);
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(Self { _process: process, _data: data, address, http })
    }

    /// What a query gives now.
    ///
    /// # Errors
    /// When it is no query.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let url = format!("http://{}/api/v1/query", self.address);
        let answer: Value = self.http.get(url).query(&[("query", expression)]).send().await?.json().await?;
        ensure!(answer.get("status") == Some(&Value::from("success")), "{expression}: {answer}");
        let result = answer.pointer("/data/result").and_then(Value::as_array);
        result.cloned().with_context(|| format!("{expression} gives {answer}"))
    }

    /// What a query gives, once it gives something.
    ///
    /// # Errors
    /// When it is no query, or never gives anything.
    pub async fn until_some(&self, expression: &str) -> Result<Vec<Value>> {
        let begun = Instant::now();
        loop {
            let found = self.query(expression).await?;
            if !found.is_empty() {
                return Ok(found);
            }
            ensure!(begun.elapsed() < PATIENCE, "{expression} gives nothing");
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// What its tool says of files with rules.
///
/// # Errors
/// When they are none, with what it says.
pub async fn check_rules(rules: &Path, cache: &Path) -> Result<()> {
    let output = Command::new(debian::program(PACKAGE, TOOL, cache)?)
        .args(["check", "rules"])
        .arg(rules)
        .output()
        .await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
