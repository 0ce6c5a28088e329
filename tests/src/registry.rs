//! A real OCI registry as a process: Docker's, as Debian has it, with its data in a folder of its own.

use crate::mesh::ports;
use crate::toolchains::debian;
use anyhow::{Context, Result, bail, ensure};
use chancery_control::mesh::model::filter::FilterDigest;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Debian's package, and the program in it.
const PACKAGE: &str = "docker-registry";
const PROGRAM: &str = "usr/bin/docker-registry";
/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A running registry. It ends with its value.
#[derive(Debug)]
pub struct Registry {
    _process: Child,
    _folder: TempDir,
    /// Where it is.
    pub address: SocketAddr,
    http: reqwest::Client,
}

impl Registry {
    /// Starts one on loopback, got once into `cache` where this machine has none.
    ///
    /// # Errors
    /// When it cannot be had, or does not start.
    pub async fn start(cache: &Path) -> Result<Self> {
        // Another test may have been first.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let program = debian::program(PACKAGE, PROGRAM, cache)?;
        let (folder, address) = (tempfile::tempdir()?, ports::free()?);
        let settings = folder.path().join("config.json");
        let data = folder.path().join("data");
        // YAML has JSON in it.
        let wanted = json!({
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": true}},
            "storage": {"filesystem": {"rootdirectory": data}},
            "http": {"addr": address.to_string()},
        });
        fs::write(&settings, wanted.to_string())?;
        let process = Command::new(program)
            .arg("serve")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let registry = Self { _process: process, _folder: folder, address, http };
        registry.await_start().await?;
        Ok(registry)
    }

    async fn await_start(&self) -> Result<()> {
        let begun = Instant::now();
        while self.http.get(format!("http://{}/v2/", self.address)).send().await.is_err() {
            ensure!(begun.elapsed() < PATIENCE, "the registry does not start");
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Puts bytes into a repository; gives their descriptor.
    ///
    /// # Errors
    /// When the registry refuses them.
    pub async fn put_blob(&self, name: &str, media_type: &str, bytes: &[u8]) -> Result<Value> {
        let begun =
            self.http.post(format!("http://{}/v2/{name}/blobs/uploads/", self.address)).send().await?;
        let place = begun.headers().get(LOCATION).context("no place for a blob")?.to_str()?;
        let digest = format!("sha256:{}", FilterDigest::of(bytes));
        let separator = if place.contains('?') { '&' } else { '?' };
        let url = format!("{place}{separator}digest={digest}");
        let request =
            self.http.put(url).header(CONTENT_TYPE, "application/octet-stream").body(bytes.to_vec());
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await?);
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    }

    /// Puts a manifest or index under a tag; gives its descriptor.
    ///
    /// # Errors
    /// When the registry refuses it.
    pub async fn put_manifest(&self, name: &str, tag: &str, manifest: &Value) -> Result<Value> {
        let Some(media_type) = manifest.get("mediaType").and_then(Value::as_str) else {
            bail!("a manifest without a media type")
        };
        let bytes = manifest.to_string();
        let url = format!("http://{}/v2/{name}/manifests/{tag}", self.address);
        let request = self.http.put(url).header(CONTENT_TYPE, media_type).body(bytes.clone());
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await?);
        let digest = format!("sha256:{}", FilterDigest::of(bytes.as_bytes()));
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    }
}
