//! A sidecar without an Envoy: joins over the API, subscribes as Envoy does, holds what it is given and acknowledges it.

use anyhow::{Context, Result, bail};
use chancery_control::delivery::envoy::{EVICTED, INBOUND};
use chancery_control::delivery::snapshot::ResourceType;
use chancery_control::server::api::types::{JoinRequest, ProxyStatement};
use chancery_control::sidecar::control_plane::{Stream, join, leave, open_stream};
use chancery_control::sidecar::errors::SidecarError;
use chancery_control::sidecar::identity::{Identity, Request};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use jiff::Timestamp;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Between two tries to open a stream, at least; twice as much at most.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a join is tried.
const JOINS_MAX: usize = 50;

/// What all sidecars of a mesh saw together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Bytes of responses.
    pub(crate) bytes: AtomicU64,
    /// Responses.
    pub(crate) responses: AtomicU64,
    /// Streams that were refused for good: the control plane does not know the sidecar.
    pub(crate) refused: AtomicU64,
}

/// A sidecar that has joined and keeps a stream. Its task ends with it.
#[derive(Debug)]
pub(crate) struct Sidecar {
    identity: Arc<Identity>,
    statement: ProxyStatement,
    task: JoinHandle<()>,
}

impl Sidecar {
    /// Joins and opens a stream.
    ///
    /// # Errors
    /// When the control plane does not let it in.
    pub(crate) async fn start(
        url: &str,
        root_pem: &str,
        request: JoinRequest,
        tally: Arc<Tally>,
    ) -> Result<Self> {
        let key = Request::new()?;
        let request = JoinRequest { csr_pem: key.csr_pem.clone(), ..request };
        let statement = request.proxy.clone();
        let mut tries = 0;
        let answer = loop {
            tries += 1;
            match join(url, root_pem, &request).await {
                Ok(answer) => break answer,
                Err(SidecarError::Busy(_) | SidecarError::Unreachable { .. }) if tries < JOINS_MAX => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => bail!("{error}"),
            }
        };
        let identity = Arc::new(key.grant(url, root_pem, answer, Timestamp::now())?);
        let task = tokio::spawn(run(identity.clone(), tally));
        Ok(Self { identity, statement, task })
    }

    /// Leaves the mesh.
    ///
    /// # Errors
    /// When the control plane cannot be told.
    pub(crate) async fn leave(self) -> Result<()> {
        self.task.abort();
        leave(&self.identity, self.statement.clone()).await.context("leaving")
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What it holds, by the type's URL: names and versions.
type Held = BTreeMap<String, BTreeMap<String, String>>;

async fn run(identity: Arc<Identity>, tally: Arc<Tally>) {
    let mut held = Held::new();
    // No two wait equally long.
    let salt = identity.proxy_id.bytes().fold(0_u64, |salt, byte| salt.wrapping_mul(31) + u64::from(byte));
    loop {
        match open_stream(&identity).await {
            Ok(stream) => serve(&identity, stream, &mut held, &tally).await,
            Err(SidecarError::Refused { .. }) => _ = tally.refused.fetch_add(1, Ordering::Relaxed),
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE + PAUSE.mul_f64((salt % 1000) as f64 / 1000.0)).await;
    }
}

async fn serve(identity: &Identity, mut stream: Stream, held: &mut Held, tally: &Tally) {
    let mut subscribed: BTreeSet<String> = BTreeSet::new();
    let node = Node { id: identity.proxy_id.clone(), ..Node::default() };
    let mut first = subscribe(ResourceType::Cluster, Vec::new(), held);
    first.node = Some(node);
    let listeners = subscribe(ResourceType::Listener, Vec::new(), held);
    // What it holds from an earlier stream it asks for again.
    let again = [ResourceType::Endpoints, ResourceType::Route, ResourceType::Extension].map(|kind| {
        let names: Vec<String> =
            held.get(kind.type_url()).into_iter().flat_map(BTreeMap::keys).cloned().collect();
        (!names.is_empty()).then(|| subscribe(kind, names, held))
    });
    for request in [first, listeners].into_iter().chain(again.into_iter().flatten()) {
        subscribed.insert(request.type_url.clone());
        if stream.requests.send(request).await.is_err() {
            return;
        }
    }
    loop {
        let response = match stream.responses.message().await {
            Ok(Some(response)) => response,
            Ok(None) => return,
            Err(status) => {
                if chancery_control::sidecar::control_plane::is_stranger(&status) {
                    tally.refused.fetch_add(1, Ordering::Relaxed);
                }
                return;
            }
        };
        tally.bytes.fetch_add(response.encoded_len() as u64, Ordering::Relaxed);
        tally.responses.fetch_add(1, Ordering::Relaxed);
        for request in take(response, held, &mut subscribed) {
            if stream.requests.send(request).await.is_err() {
                return;
            }
        }
    }
}

/// Takes a response: the acknowledgement, and requests for what is named in it and not subscribed to yet.
fn take(
    response: DeltaDiscoveryResponse,
    held: &mut Held,
    subscribed: &mut BTreeSet<String>,
) -> Vec<DeltaDiscoveryRequest> {
    let of_type = held.entry(response.type_url.clone()).or_default();
    let before: BTreeSet<String> = of_type.keys().cloned().collect();
    for resource in response.resources {
        of_type.insert(resource.name, resource.version);
    }
    for name in &response.removed_resources {
        of_type.remove(name);
    }
    let all: Vec<String> = of_type.keys().cloned().collect();
    let acknowledgement = DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce,
        ..DeltaDiscoveryRequest::default()
    };
    let mut requests = vec![acknowledgement];
    let mut follow = |kind: ResourceType, names: Vec<String>| {
        let is_new = subscribed.insert(kind.type_url().to_owned());
        let names: Vec<String> = names.into_iter().filter(|name| is_new || !before.contains(name)).collect();
        if !names.is_empty() {
            let held = if is_new { &*held } else { &Held::new() };
            requests.push(subscribe(kind, names, held));
        }
    };
    if response.type_url == ResourceType::Cluster.type_url() {
        follow(ResourceType::Endpoints, all.into_iter().filter(|name| name.starts_with("mesh/")).collect());
    } else if response.type_url == ResourceType::Listener.type_url() {
        let mut filters: Vec<String> = all.iter().map(|listener| format!("writ-{listener}")).collect();
        if all.iter().any(|name| name == INBOUND) {
            filters.push(EVICTED.to_owned());
        }
        follow(ResourceType::Route, all);
        follow(ResourceType::Extension, filters);
    }
    requests
}

fn subscribe(kind: ResourceType, names: Vec<String>, held: &Held) -> DeltaDiscoveryRequest {
    let type_url = kind.type_url().to_owned();
    let versions = held.get(&type_url).cloned().unwrap_or_default();
    DeltaDiscoveryRequest {
        initial_resource_versions: versions.into_iter().collect(),
        resource_names_subscribe: names,
        type_url,
        ..DeltaDiscoveryRequest::default()
    }
}
