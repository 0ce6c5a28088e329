//! The configuration that Envoy last took, collected from what passes by on its xDS stream.
//!
//! Holds no socket and no clock. A [`Tracker`] follows one stream; what Envoy acknowledges goes into
//! [`LastGood`], which outlives the stream and, on disk, the sidecar.

use crate::delivery::snapshot::{Resource, ResourceType, Snapshot};
use crate::mesh::model::Revision;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Responses of one type that may wait for an answer; a control plane that sends more is not ours.
const IN_FLIGHT_MAX: usize = 64;
/// The form of the file; another one is not read.
const FILE_VERSION: u32 = 1;

/// The resources that Envoy last took, by type and name. Secrets are not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastGood {
    resources: BTreeMap<(ResourceType, String), Arc<Resource>>,
}

/// [`LastGood`] as it stands in a file.
#[derive(Debug, Serialize, Deserialize)]
pub struct LastGoodFile {
    version: u32,
    resources: Vec<ResourceEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ResourceEntry {
    type_url: String,
    name: String,
    version: String,
    /// Base64 of the protobuf message.
    body: String,
}

impl LastGood {
    /// Whether there is enough to serve from: an Envoy without listeners serves nobody.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.resources.keys().any(|(kind, _)| *kind == ResourceType::Listener)
    }

    /// The names of the resources of a type.
    #[must_use]
    pub fn names(&self, kind: ResourceType) -> BTreeSet<String> {
        let of_kind = self.resources.keys().filter(|(of, _)| *of == kind);
        of_kind.map(|(_, name)| name.clone()).collect()
    }

    /// All of it, together with the secrets that only the sidecar has.
    #[must_use]
    pub fn snapshot(&self, secrets: &[Arc<Resource>]) -> Snapshot {
        Snapshot::new(Revision::default(), self.resources.values().chain(secrets).cloned())
    }

    /// The form in which it is kept on disk.
    #[must_use]
    pub fn to_file(&self) -> LastGoodFile {
        let entries = self.resources.values().map(|resource| ResourceEntry {
            type_url: resource.kind.type_url().to_owned(),
            name: resource.name.clone(),
            version: resource.version.clone(),
            body: STANDARD.encode(&resource.body),
        });
        LastGoodFile { version: FILE_VERSION, resources: entries.collect() }
    }
}

impl TryFrom<LastGoodFile> for LastGood {
    type Error = String;

    fn try_from(file: LastGoodFile) -> Result<Self, String> {
        if file.version != FILE_VERSION {
            return Err(format!("it has the form {}, and this program reads {FILE_VERSION}", file.version));
        }
        let mut last_good = Self::default();
        for entry in file.resources {
            let kind = ResourceType::from_type_url(&entry.type_url)
                .ok_or_else(|| format!("`{}` is not a type of resource", entry.type_url))?;
            let body = STANDARD.decode(entry.body).map_err(|e| format!("{}: {e}", entry.name))?;
            last_good.insert(resource(kind, entry.name, entry.version, body));
        }
        Ok(last_good)
    }
}

impl LastGood {
    fn insert(&mut self, resource: Arc<Resource>) -> bool {
        let key = (resource.kind, resource.name.clone());
        self.resources.insert(key, resource.clone()).as_ref() != Some(&resource)
    }

    fn remove(&mut self, kind: ResourceType, name: &str) -> bool {
        self.resources.remove(&(kind, name.to_owned())).is_some()
    }
}

fn resource(kind: ResourceType, name: String, version: String, body: Vec<u8>) -> Arc<Resource> {
    Arc::new(Resource {
        name,
        version,
        kind,
        body: body.into(),
        policies: Arc::from([]),
        statements: Arc::from([]),
        before: None,
    })
}

/// Follows one stream between Envoy and the control plane.
#[derive(Debug, Default)]
pub struct Tracker {
    in_flight: BTreeMap<ResourceType, Vec<Delivery>>,
    /// What Envoy holds, as far as this stream tells.
    held: BTreeMap<ResourceType, BTreeSet<String>>,
}

/// What one response would change.
#[derive(Debug)]
struct Delivery {
    nonce: String,
    resources: Vec<Arc<Resource>>,
    removed: Vec<String>,
}

impl Tracker {
    /// Takes note of a response of the control plane that is on its way to Envoy.
    pub fn response(&mut self, kind: ResourceType, response: &DeltaDiscoveryResponse) {
        let resources = response.resources.iter().filter_map(|entry| {
            let body = entry.resource.as_ref()?.value.clone();
            Some(resource(kind, entry.name.clone(), entry.version.clone(), body))
        });
        let deliveries = self.in_flight.entry(kind).or_default();
        if deliveries.len() >= IN_FLIGHT_MAX {
            deliveries.remove(0);
        }
        deliveries.push(Delivery {
            nonce: response.nonce.clone(),
            resources: resources.collect(),
            removed: response.removed_resources.clone(),
        });
    }

    /// The names in the response that a request answers; none if it answers none.
    #[must_use]
    pub fn answered(&self, kind: ResourceType, request: &DeltaDiscoveryRequest) -> Vec<String> {
        let deliveries = self.in_flight.get(&kind).into_iter().flatten();
        let answered = deliveries.filter(|delivery| delivery.nonce == request.response_nonce);
        answered
            .flat_map(|delivery| delivery.resources.iter().map(|resource| resource.name.clone()))
            .collect()
    }

    /// Takes note of a request of Envoy. Says whether it changed the last good configuration, which
    /// is the case when it acknowledges something new.
    pub fn request(
        &mut self,
        kind: ResourceType,
        request: &DeltaDiscoveryRequest,
        last_good: &mut LastGood,
    ) -> bool {
        let held = self.held.entry(kind).or_default();
        held.extend(request.initial_resource_versions.keys().cloned());
        let mut changed = false;
        for name in &request.resource_names_unsubscribe {
            held.remove(name);
            changed |= last_good.remove(kind, name);
        }
        let deliveries = self.in_flight.entry(kind).or_default();
        let Some(at) = deliveries.iter().position(|delivery| delivery.nonce == request.response_nonce) else {
            return changed;
        };
        let delivery = deliveries.remove(at);
        if request.error_detail.is_some() {
            return changed;
        }
        for resource in delivery.resources {
            held.insert(resource.name.clone());
            changed |= last_good.insert(resource);
        }
        for name in delivery.removed {
            held.remove(&name);
            changed |= last_good.remove(kind, &name);
        }
        changed
    }

    /// Drops what an earlier Envoy had and this one was not given. To be called when nothing has
    /// passed for a while: only then is it certain that the rest does not come. Says whether
    /// anything was dropped.
    pub fn settle(&self, last_good: &mut LastGood) -> bool {
        if self.in_flight.values().any(|deliveries| !deliveries.is_empty()) {
            return false;
        }
        let listeners = self.held.get(&ResourceType::Listener);
        // A stream on which no listener was given may be one on which the control plane is stuck.
        if listeners.is_none_or(BTreeSet::is_empty) {
            return false;
        }
        let before = last_good.resources.len();
        last_good
            .resources
            .retain(|(kind, name), _| self.held.get(kind).is_some_and(|names| names.contains(name)));
        last_good.resources.len() != before
    }
}

#[cfg(test)]
mod tests;
