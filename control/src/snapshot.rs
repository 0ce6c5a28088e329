//! Snapshots: all Envoy resources of one proxy, consistent and immutable.

use crate::model::{ProxyId, Revision};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The kinds of xDS resources, in the order in which additions are sent: what is referred to comes
/// before what refers to it. Removals are sent in the opposite order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// CDS
    Cluster,
    /// EDS
    Endpoints,
    /// LDS
    Listener,
    /// RDS
    Route,
    /// ECDS
    Extension,
    /// SDS. Answered by the sidecar itself, which alone holds the private key.
    Secret,
}

/// One encoded resource. Proxies with identical configuration share one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its name, unique in its type.
    pub name: String,
    /// The first 16 hex digits of the SHA-256 of `body`: the xDS version.
    pub version: String,
    /// Type URL of the message in `body`.
    pub type_url: &'static str,
    /// The encoded protobuf message.
    pub body: Arc<[u8]>,
    /// The policies that shaped it, for blaming a rejection; empty for plumbing.
    pub policies: Arc<[String]>,
}

/// All resources of one proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The revision it was made from.
    pub revision: Revision,
    /// Resources by type and name.
    pub resources: BTreeMap<ResourceType, BTreeMap<String, Arc<Resource>>>,
}

/// The snapshots of all proxies at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// The revision they were made from.
    pub revision: Revision,
    /// Snapshots by proxy; proxies with equal configuration share resources, not snapshots.
    pub snapshots: BTreeMap<ProxyId, Arc<Snapshot>>,
}
