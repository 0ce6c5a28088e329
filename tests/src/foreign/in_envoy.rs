//! The same modules in one Envoy, with a listener each, before a service that says what a case states.

use super::wire::{self, Raw};
use super::{CALLED, Case, Metrics, Module, Part, SERVICE, Seen};
use crate::envoy::Envoy;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How long Envoy may take to write what it logs.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The status of an answer that has no length either.
const NO_CONTENT: u16 = 204;
/// How modules' lines begin in Envoy's log.
const MARK: &str = "wasm log";

/// Envoy with modules, to run cases on, one after the other.
#[derive(Debug)]
pub struct InEnvoy {
    envoy: Envoy,
    stage: Arc<Mutex<Stage>>,
    servers: [JoinHandle<()>; 2],
    /// Bytes of the log that were read.
    log_bytes: usize,
    ends: usize,
}

/// What the services say in the case that runs, and what they got.
#[derive(Debug, Default)]
struct Stage {
    case: Case,
    forwarded: Option<Part>,
    called: Vec<Part>,
}

impl InEnvoy {
    /// Starts Envoy with a listener for each module, named as it.
    ///
    /// # Errors
    /// When there is no Envoy, or a module does not load.
    pub async fn start(modules: &[Module]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let stage = Arc::new(Mutex::new(Stage::default()));
        let (service, service_task) = serve(stage.clone(), false).await?;
        let (called, called_task) = serve(stage.clone(), true).await?;
        let mut listeners = Vec::new();
        for module in modules.iter().chain([&end_module()?]) {
            listeners.push(listener(module, &folder)?);
        }
        let resources = json!({
            "listeners": listeners,
            "clusters": [cluster(SERVICE, service), cluster(CALLED, called)],
        });
        let arguments = ["--component-log-level", "wasm:trace"];
        let envoy = Envoy::start_with_arguments(folder, resources, &arguments).await?;
        let servers = [service_task, called_task];
        let mut this = Self { envoy, stage, servers, log_bytes: 0, ends: 0 };
        // What was logged at the start is of no case.
        this.log_of(END).await?;
        Ok(this)
    }

    /// Runs a case on a module.
    ///
    /// # Errors
    /// When Envoy does not answer, or does not log.
    pub async fn run(&mut self, module: &str, case: &Case) -> Result<Seen> {
        *lock(&self.stage) = Stage { case: case.clone(), ..Stage::default() };
        let address = self.envoy.listener(module).await?;
        let mut headers = vec![("host".to_owned(), "test.example".to_owned())];
        headers.extend(case.request_headers.iter().cloned());
        headers.push(("connection".to_owned(), "close".to_owned()));
        let first_line = format!("{} HTTP/1.1", case.request);
        let reply = wire::exchange(address, &first_line, &headers, &case.request_body).await?;
        let log = self.log_of(module).await?;
        let stage = lock(&self.stage);
        Ok(Seen {
            reply: reply.map(|reply| reply.part(false)),
            forwarded: stage.forwarded.clone(),
            called: stage.called.clone(),
            log,
        })
    }

    /// What modules count under these names.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn metrics(&self) -> Result<Metrics> {
        const PREFIX: &str = "wasmcustom.";
        let stats = self.envoy.stats(PREFIX).await?;
        let short = stats
            .into_iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_owned(), value)));
        Ok(short.filter(|(_, value)| *value > 0).collect())
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn stop(self) -> Result<()> {
        self.servers.iter().for_each(JoinHandle::abort);
        self.envoy.stop().await
    }

    /// The lines of a module since the last time. Envoy writes a line for a request that no module gets, and all before it is
    /// there when that one is.
    async fn log_of(&mut self, module: &str) -> Result<Vec<String>> {
        self.ends += 1;
        let end = format!("/end-{}", self.ends);
        let address = self.envoy.listener(END).await?;
        let headers =
            [("host".to_owned(), "test.example".to_owned()), ("connection".to_owned(), "close".to_owned())];
        wire::exchange(address, &format!("GET {end} HTTP/1.1"), &headers, &[]).await?;
        let begun = Instant::now();
        let text = loop {
            let text = fs::read(self.envoy.folder().join("log"))?;
            let text = String::from_utf8_lossy(text.get(self.log_bytes..).unwrap_or_default()).into_owned();
            if text.contains(&format!("{end}\n")) {
                break text;
            }
            anyhow::ensure!(begun.elapsed() < PATIENCE, "{end} is not logged");
            sleep(LOOK_AGAIN).await;
        };
        self.log_bytes += text.len();
        Ok(text.lines().filter_map(|line| line_of(line, module)).collect())
    }
}

/// The listener whose module logs that everything before has ended.
const END: &str = "end";

/// A module that logs the path of each request.
///
/// # Errors
/// Never: the text is valid.
fn end_module() -> Result<Module> {
    let bytes = wat::parse_str(
        r#"(module
            (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) ":path")
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (drop (call $get (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 0) (i32.const 4)))
                (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
                (i32.const 0)))"#,
    )?;
    Ok(Module { name: END.to_owned(), bytes, root_id: String::new(), configuration: String::new() })
}

/// `level: words` of a line that a module of this name wrote.
fn line_of(line: &str, module: &str) -> Option<String> {
    let (before, after) = line.split_once(MARK)?;
    let (names, words) = after.split_once(": ")?;
    if !names.split(' ').any(|name| name == module) {
        return None;
    }
    let level = before.split("][").nth(2)?;
    let level = if level == "warning" { "warn" } else { level };
    Some(format!("{level}: {words}").to_lowercase())
}

fn listener(module: &Module, folder: &TempDir) -> Result<Value> {
    let file = folder.path().join(&module.name).with_extension("wasm");
    fs::write(&file, &module.bytes)?;
    let mut filter = crate::envoy::wasm_filter(&module.name, &file, &module.configuration);
    let config = filter.pointer_mut("/typed_config/config").and_then(Value::as_object_mut);
    config.context("no configuration")?.insert("root_id".to_owned(), json!(module.root_id));
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": module.name,
        "generate_request_id": false,
        "http_filters": [filter, {
            "name": "envoy.filters.http.router",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                "suppress_envoy_headers": true,
            },
        }],
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": ""}, "route": {"cluster": SERVICE}}],
        }]},
    });
    Ok(json!({
        "name": module.name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        }]}],
    }))
}

fn cluster(name: &str, address: SocketAddr) -> Value {
    let socket = json!({"address": address.ip().to_string(), "port_value": address.port()});
    let endpoint = json!({"endpoint": {"address": {"socket_address": socket}}});
    json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    })
}

/// A service: that behind the filter, or the one that modules call.
async fn serve(stage: Arc<Mutex<Stage>>, is_called: bool) -> Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, stage.clone(), is_called));
        }
    });
    Ok((address, task))
}

/// Answers the requests of one connection.
async fn answer(mut stream: TcpStream, stage: Arc<Mutex<Stage>>, is_called: bool) {
    while let Ok(Some(request)) = wire::read(&mut stream, true).await {
        let case = note(&stage, &request, is_called);
        let (status, headers, pieces) = if is_called {
            (200, Vec::new(), vec![case.called_body])
        } else {
            (case.status.max(200), case.response_headers, case.response_body)
        };
        let mut headers = headers;
        if pieces.is_empty() && status != NO_CONTENT {
            headers.push(("content-length".to_owned(), "0".to_owned()));
        }
        if wire::write(&mut stream, &format!("HTTP/1.1 {status} -"), &headers, &pieces).await.is_err() {
            return;
        }
    }
}

/// Notes a request, and gives the case that runs. What tells the end of a case is none of it.
fn note(stage: &Mutex<Stage>, request: &Raw, is_called: bool) -> Case {
    let mut stage = lock(stage);
    let part = request.part(true);
    if part.head.starts_with("GET /end-") {
        return Case { status: 200, ..Case::default() };
    }
    if is_called {
        stage.called.push(part);
    } else {
        stage.forwarded = Some(part);
    }
    stage.case.clone()
}

/// No code that holds the lock can panic half way.
fn lock(stage: &Mutex<Stage>) -> std::sync::MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}
