//! A module's trial in Envoy itself: a child process loads it as a sidecar would, and ends.
//!
//! `--mode validate` instantiates the module and calls it until `proxy_on_configure`, so a module that crashes or hangs
//! Envoy when it is loaded does so here, where nobody is served.

use super::{EnvoyBinary, bounded};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

/// How long Envoy may take to load a module: it compiles 6 MiB in a second, on a quiet machine.
pub const TRIAL_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of what Envoy said is shown.
const WORDS_BYTES_MAX: usize = 2_000;

/// What Envoy made of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It loads.
    Accepted,
    /// Envoy refuses it, in these words.
    Refused(String),
    /// Envoy ended by this signal.
    Crashed(i32),
    /// Envoy had not ended after [`TRIAL_TIMEOUT`].
    Hung,
}

/// The module that is tried.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// The module.
    pub module: &'a [u8],
    /// What `proxy_on_configure` can read.
    pub configuration: &'a [u8],
    /// The host calls and callbacks of Envoy's capability restriction.
    pub allowed: &'a [String],
}

impl EnvoyBinary {
    /// Lets Envoy load a module in a process of its own.
    ///
    /// # Errors
    /// When a temporary folder cannot be written, or Envoy cannot be started.
    pub fn try_module(&self, trial: &Trial<'_>) -> std::io::Result<Verdict> {
        let folder = tempfile::tempdir()?;
        let module = folder.path().join("module.wasm");
        fs::write(&module, trial.module)?;
        let bootstrap = folder.path().join("bootstrap.json");
        fs::write(&bootstrap, bootstrap_of(&module.to_string_lossy(), trial).to_string())?;
        let mut command = Command::new(&self.path);
        command.args(["--mode", "validate", "--disable-hot-restart", "-l", "warning", "-c"]).arg(&bootstrap);
        match bounded::run(&mut command, TRIAL_TIMEOUT, &mut |_| ()) {
            Ok(output) if output.status.success() => Ok(Verdict::Accepted),
            Ok(output) => Ok(match output.status.signal() {
                Some(signal) => Verdict::Crashed(signal),
                None => Verdict::Refused(words(&output.stderr)),
            }),
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(Verdict::Hung),
            Err(error) => Err(error),
        }
    }
}

/// What Envoy said, its end first if it said much.
fn words(text: &str) -> String {
    let text = text.trim();
    let mut start = text.len().saturating_sub(WORDS_BYTES_MAX);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or_default().to_owned()
}

fn bootstrap_of(module: &str, trial: &Trial<'_>) -> Value {
    let allowed: serde_json::Map<String, Value> =
        trial.allowed.iter().map(|name| (name.clone(), json!({}))).collect();
    let wasm = json!({
        "name": "filter",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "filter",
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.BytesValue",
                    "value": STANDARD.encode(trial.configuration),
                },
                "vm_config": {
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": module}},
                    "capability_restriction_config": {"allowed_capabilities": allowed},
                },
            },
        },
    });
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    });
    json!({"static_resources": {"listeners": [{
        "name": "trial",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "trial",
                "http_filters": [wasm, router],
                "route_config": {"virtual_hosts": [{
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": ""}, "direct_response": {"status": 200}}],
                }]},
            },
        }]}],
    }]}})
}
