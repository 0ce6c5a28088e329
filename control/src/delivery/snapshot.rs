//! Snapshots: all Envoy resources of one proxy, consistent and immutable.

use crate::mesh::model::{Revision, hex};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
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

impl ResourceType {
    /// All, in the order in which additions are sent.
    pub const ALL: [Self; 6] =
        [Self::Cluster, Self::Endpoints, Self::Listener, Self::Route, Self::Extension, Self::Secret];

    /// The type URL by which xDS asks for it.
    #[must_use]
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::Extension => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        }
    }

    /// The type that a type URL asks for; `None` if it is none of ours.
    #[must_use]
    pub fn from_type_url(type_url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == type_url)
    }

    /// The word for several of them.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "clusters",
            Self::Endpoints => "endpoints",
            Self::Listener => "listeners",
            Self::Route => "routes",
            Self::Extension => "extensions",
            Self::Secret => "secrets",
        }
    }

    /// The word for one of them.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Endpoints => "endpoints",
            Self::Listener => "listener",
            Self::Route => "route",
            Self::Extension => "extension",
            Self::Secret => "secret",
        }
    }
}

/// One encoded resource. Proxies with identical configuration share one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its name, unique in its type.
    pub name: String,
    /// The first 16 hex digits of the SHA-256 of `body`: the xDS version.
    pub version: String,
    /// Its type, and so the type URL of the message in `body`.
    pub kind: ResourceType,
    /// The encoded protobuf message.
    pub body: Arc<[u8]>,
    /// The policies that shaped it, for blaming a rejection; empty for plumbing.
    pub policies: Arc<[String]>,
    /// The statements of these that shaped it, where they are few; empty where one resource is made of all that a
    /// policy says.
    pub statements: Arc<[Arc<str>]>,
    /// What a proxy that has nothing of this name is given before it, where what it is takes the proxy time to be
    /// ready for requests.
    pub before: Option<Arc<Resource>>,
}

/// Hex digits of a digest that make a version.
const VERSION_DIGITS: usize = 16;
/// The most statements that a resource is said to be shaped by.
const STATEMENTS_MAX: usize = 16;

impl Resource {
    /// A resource whose version follows from its body.
    #[must_use]
    pub fn new(
        kind: ResourceType,
        name: impl Into<String>,
        body: impl Into<Arc<[u8]>>,
        policies: impl Into<Arc<[String]>>,
    ) -> Self {
        let body = body.into();
        let mut version = hex(&Sha256::digest(&body));
        version.truncate(VERSION_DIGITS);
        let (name, policies, statements) = (name.into(), policies.into(), Arc::default());
        Self { name, version, kind, body, policies, statements, before: None }
    }

    /// The same, before which a proxy that has nothing of this name is given something else.
    #[must_use]
    pub fn after(self, before: Option<Resource>) -> Self {
        Self { before: before.map(Arc::new), ..self }
    }

    /// The same, shaped by these statements. Many are not named: to blame all of them is to blame none.
    #[must_use]
    pub fn stated_by<'a>(mut self, statements: impl IntoIterator<Item = &'a Arc<str>>) -> Self {
        let mut distinct = BTreeSet::new();
        for statement in statements {
            distinct.insert(statement.clone());
            if distinct.len() > STATEMENTS_MAX {
                return self;
            }
        }
        self.statements = distinct.into_iter().collect();
        self
    }
}

/// Resources of one type, by name. One proxy has few of a type, and thousands of proxies have some: so each is a
/// word here, and its name stands nowhere but in itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Sorted by name.
    all: Vec<Arc<Resource>>,
}

impl Resources {
    /// The resource of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Resource>> {
        self.place(name).ok().and_then(|at| self.all.get(at))
    }

    /// Whether there is a resource of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Puts a resource in the place of the one of its name, if there is one.
    pub fn put(&mut self, resource: Arc<Resource>) {
        match self.place(&resource.name) {
            Ok(at) => {
                if let Some(before) = self.all.get_mut(at) {
                    *before = resource;
                }
            }
            Err(at) => self.all.insert(at, resource),
        }
    }

    /// Takes the resource of this name out.
    pub fn remove(&mut self, name: &str) -> Option<Arc<Resource>> {
        self.place(name).ok().map(|at| self.all.remove(at))
    }

    /// Keeps those of which the condition is true.
    pub fn retain(&mut self, condition: impl FnMut(&Arc<Resource>) -> bool) {
        self.all.retain(condition);
    }

    /// All, by name.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<Resource>> {
        self.all.iter()
    }

    /// Their names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.all.iter().map(|resource| &resource.name)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.all.binary_search_by(|resource| resource.name.as_str().cmp(name))
    }
}

/// All resources of one proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The revision it was made from.
    pub revision: Revision,
    /// Resources by type.
    pub resources: BTreeMap<ResourceType, Resources>,
    /// Why the resources are not what the revision states, one sentence each: what could not be
    /// made stays as it was in the last revision in which it could. Mostly empty.
    pub problems: Arc<[String]>,
    /// Resources that should be there and could not be made: what a proxy holds of them stays.
    pub unmade: BTreeMap<ResourceType, BTreeSet<String>>,
}

impl Snapshot {
    /// A snapshot of these resources; of two with one type and name the later one counts.
    #[must_use]
    pub fn new(revision: Revision, resources: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let mut snapshot = Self { revision, ..Self::default() };
        for resource in resources {
            snapshot.put(resource);
        }
        snapshot
    }

    /// Puts a resource in the place of the one of its type and name, if there is one.
    pub fn put(&mut self, resource: Arc<Resource>) {
        self.resources.entry(resource.kind).or_default().put(resource);
    }

    /// Takes a resource out.
    pub fn take(&mut self, kind: ResourceType, name: &str) {
        if let Some(resources) = self.resources.get_mut(&kind) {
            resources.remove(name);
        }
    }

    /// Whether a resource should be there and could not be made.
    #[must_use]
    pub fn is_unmade(&self, kind: ResourceType, name: &str) -> bool {
        self.unmade.get(&kind).is_some_and(|names| names.contains(name))
    }

    /// The resources of a type.
    #[must_use]
    pub fn of(&self, kind: ResourceType) -> &Resources {
        static NONE: Resources = Resources { all: Vec::new() };
        self.resources.get(&kind).unwrap_or(&NONE)
    }

    /// All resources, by type and name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values().flat_map(Resources::iter)
    }
}
