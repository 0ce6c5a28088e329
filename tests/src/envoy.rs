//! A real Envoy with a configuration of the caller's, on ports that nobody chose.
//!
//! The caller gives listeners, clusters and the like; listeners have port 0. The admin port, the
//! log and the files are this module's. The process ends with the value.

use anyhow::{Context, Result, anyhow, bail};
use chancery_control::sidecar::envoy_binary::Search;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use envoy_types::pb::google::protobuf::Any;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prost::{Message, Name};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long Envoy may take to start, to answer and to stop.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked whether Envoy is ready.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How much of the log an error shows.
const LOG_BYTES_SHOWN: usize = 4_000;

/// A running Envoy. Dropping it kills it.
#[derive(Debug)]
pub struct Envoy {
    process: Child,
    folder: TempDir,
    admin: SocketAddr,
}

impl Envoy {
    /// Starts Envoy with these `static_resources` and waits until it is ready.
    ///
    /// # Errors
    /// When there is no Envoy and none can be got, or it does not become ready; with the end of its log.
    pub async fn start(folder: TempDir, static_resources: Value) -> Result<Self> {
        Self::start_with_workers(folder, static_resources, 1).await
    }

    /// The same with so many workers.
    ///
    /// # Errors
    /// As [`Envoy::start`].
    pub async fn start_with_workers(folder: TempDir, static_resources: Value, workers: u32) -> Result<Self> {
        let bootstrap = json!({
            "node": {"id": "test", "cluster": "test"},
            "static_resources": static_resources,
        });
        Self::start_with(folder, bootstrap, workers, &[]).await
    }

    /// Starts Envoy with these `static_resources`, and with further arguments, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Envoy::start`].
    pub async fn start_with_arguments(
        folder: TempDir,
        static_resources: Value,
        arguments: &[&str],
    ) -> Result<Self> {
        let bootstrap = json!({
            "node": {"id": "test", "cluster": "test"},
            "static_resources": static_resources,
        });
        Self::start_with(folder, bootstrap, 1, arguments).await
    }

    /// Starts Envoy with one listener, given as the message that a control plane would send, and waits
    /// until it is ready.
    ///
    /// # Errors
    /// As [`Envoy::start`].
    pub async fn start_with_listener(folder: TempDir, listener: Listener) -> Result<Self> {
        let resource = Any { type_url: Listener::type_url(), value: listener.encode_to_vec() };
        let response = DiscoveryResponse { resources: vec![resource], ..Default::default() };
        // Envoy takes the ending for the encoding.
        let file = folder.path().join("listeners.pb");
        std::fs::write(&file, response.encode_to_vec())?;
        let source = json!({"path_config_source": {"path": file}, "resource_api_version": "V3"});
        let bootstrap = json!({
            "node": {"id": "test", "cluster": "test"},
            "dynamic_resources": {"lds_config": source},
        });
        Self::start_with(folder, bootstrap, 1, &[]).await
    }

    async fn start_with(
        folder: TempDir,
        mut bootstrap: Value,
        workers: u32,
        arguments: &[&str],
    ) -> Result<Self> {
        let binary =
            tokio::task::spawn_blocking(|| Search::from_environment(None).find_or_install(&mut |_| {}))
                .await?
                .context("no Envoy")?;
        let admin = json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}});
        if let Some(bootstrap) = bootstrap.as_object_mut() {
            bootstrap.insert("admin".to_owned(), admin);
        }
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("bootstrap.json"), serde_json::to_vec_pretty(&bootstrap)?)?;
        let process = Command::new(&binary.path)
            .arg("-c")
            .arg(path("bootstrap.json"))
            .arg("--admin-address-path")
            .arg(path("admin"))
            .arg("--log-path")
            .arg(path("log"))
            .args(["--concurrency", &workers.to_string()])
            .args(["--disable-hot-restart", "-l", "warning", "--file-flush-interval-msec", "50"])
            .args(arguments)
            .kill_on_drop(true)
            .spawn()?;
        let mut envoy = Self { process, folder, admin: SocketAddr::from(([127, 0, 0, 1], 0)) };
        match timeout(PATIENCE, envoy.until_ready()).await {
            Ok(Ok(())) => Ok(envoy),
            Ok(Err(error)) => Err(error.context(envoy.log_end())),
            Err(_) => Err(anyhow!("Envoy is not ready after {PATIENCE:?}").context(envoy.log_end())),
        }
    }

    /// The folder of its files, gone when it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> Result<u32> {
        self.process.id().ok_or_else(|| anyhow!("Envoy has ended").context(self.log_end()))
    }

    /// Where a listener of this name listens.
    ///
    /// # Errors
    /// When there is none.
    pub async fn listener(&self, name: &str) -> Result<SocketAddr> {
        let listeners: Value = serde_json::from_str(&self.admin("/listeners?format=json").await?)?;
        let statuses = listeners.pointer("/listener_statuses").and_then(Value::as_array);
        let mut statuses = statuses.into_iter().flatten();
        let status = statuses.find(|status| status.pointer("/name").and_then(Value::as_str) == Some(name));
        let status = status.with_context(|| format!("no listener {name}"))?;
        let part = |name: &str| status.pointer(&format!("/local_address/socket_address/{name}"));
        let host = part("address").and_then(Value::as_str);
        let port = part("port_value").and_then(Value::as_u64);
        let (Some(host), Some(port)) = (host, port) else { bail!("listener {name} is nowhere: {status}") };
        Ok(SocketAddr::new(host.parse()?, u16::try_from(port)?))
    }

    /// Counters and gauges whose names begin so, those that were never used left out.
    ///
    /// # Errors
    /// When the admin port does not answer.
    pub async fn stats(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        let text = self.admin("/stats?usedonly").await?;
        let numbers = text.lines().filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(numbers.filter(|(name, _)| name.starts_with(prefix)).collect())
    }

    /// What the admin port answers to a GET.
    ///
    /// # Errors
    /// When it does not answer, or not with 200.
    pub async fn admin(&self, path: &str) -> Result<String> {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let uri = format!("http://{}{path}", self.admin).parse()?;
        let response = timeout(PATIENCE, client.get(uri)).await??;
        let status = response.status();
        let body = timeout(PATIENCE, response.into_body().collect()).await??.to_bytes();
        if !status.is_success() {
            bail!("Envoy answers {status} to {path}");
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Stops it and waits for its end; what it wrote can be read until then.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn stop(mut self) -> Result<()> {
        self.process.start_kill()?;
        timeout(PATIENCE, self.process.wait()).await??;
        Ok(())
    }

    async fn until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let address: PathBuf = self.folder.path().join("admin");
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait()? {
                bail!("Envoy ended with {status}");
            }
            if let Ok(Ok(admin)) = std::fs::read_to_string(&address).map(|text| text.trim().parse()) {
                self.admin = admin;
                if self.admin("/ready").await.is_ok() {
                    return Ok(());
                }
            }
            sleep(LOOK_AGAIN).await;
        }
        bail!("Envoy is not ready after {PATIENCE:?}")
    }

    fn log_end(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        let end = log.get(log.len().saturating_sub(LOG_BYTES_SHOWN)..).unwrap_or_default();
        String::from_utf8_lossy(end).into_owned()
    }
}

/// A listener on loopback that answers every request that its filters let through with 200.
///
/// `options` are merged into the connection manager.
#[must_use]
pub fn answering_listener(name: &str, filters: Vec<Value>, options: Value) -> Value {
    let mut http_filters = filters;
    http_filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }));
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "http_filters": http_filters,
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": ""}, "direct_response": {"status": 200}}],
        }]},
    });
    if let (Some(manager), Value::Object(options)) = (manager.as_object_mut(), options) {
        manager.extend(options);
    }
    json!({
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        }]}],
    })
}

/// A Wasm filter whose module lies in a file, with a configuration text for the plugin.
#[must_use]
pub fn wasm_filter(name: &str, module: &Path, configuration: &str) -> Value {
    json!({
        "name": name,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": name,
                "failure_policy": "FAIL_RELOAD",
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": configuration,
                },
                "vm_config": {
                    "vm_id": name,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": module}},
                },
            },
        },
    })
}
