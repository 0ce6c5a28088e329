//! Domain types of the control plane: what people and proxies state, without any format.

pub mod filter;
mod protocol;
pub mod rollout;

pub use filter::{FilterId, FilterRecord, RetiredFilter};
pub use protocol::Protocol;
pub use rollout::{Phase, Rollout};

use chancery_policy_lang::checked::ServiceRef;
use imbl::{OrdMap, OrdSet};
use jiff::Timestamp;
use rollout::StableSet;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// A version of the desired state. Grows by one with each accepted change of policies; 0 is a new mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// The trust domain of a mesh whose operator named none.
pub const DEFAULT_TRUST_DOMAIN: &str = "chancery.local";

/// The name of a proxy, unique in the mesh: `namespace/service/instance`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProxyId(pub String);

/// Labels of a workload. Many places have those of a sidecar.
pub type Labels = Arc<BTreeMap<String, String>>;

/// What one sidecar stated when it joined. The service comes from its verified token or certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRegistration {
    /// Its name.
    pub id: ProxyId,
    /// The service it is a replica of.
    pub service: ServiceRef,
    /// Labels of the workload.
    pub labels: Labels,
    /// Where the service is offered; `None` for a client that offers nothing.
    pub inbound: Option<Inbound>,
    /// Services that the workload calls.
    pub outbounds: Vec<Outbound>,
    /// The id of the token that it joined with, if that is known.
    pub token: Option<String>,
    /// How it looks whether its application answers, in the words of `chancery sidecar --check`; `None` if it does not.
    pub check: Option<String>,
    /// Whether others are sent to it. Not stated, but found out.
    pub readiness: Readiness,
}

/// The label that says which version a replica has.
pub const VERSION: &str = "version";

/// Whether requests are sent to a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet: it has not been ready since it was registered at its address.
    #[default]
    Starting,
    /// It was ready, and its application does not answer. It gets requests while no replica of its service is ready.
    Silent {
        /// Since when.
        since: Timestamp,
    },
    /// Yes.
    Ready,
}

/// The mTLS listener of a sidecar and the application behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inbound {
    /// Where it listens; may be all addresses of the machine.
    pub listen: SocketAddr,
    /// Where other sidecars reach it.
    pub advertised: SocketAddr,
    /// The application, without TLS.
    pub application: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where, without TLS, probes of load balancers and orchestrators are let through to it; `None`: nowhere.
    pub probes: Option<SocketAddr>,
}

/// A plain local listener that leads to a service of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outbound {
    /// The service.
    pub service: ServiceRef,
    /// Where the application reaches it, on this machine.
    pub listen: SocketAddr,
}

/// A source file of policies, kept whole and once per digest, so that places in it stay true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The name the author knows it by.
    pub name: String,
    /// Its text.
    pub text: Arc<str>,
}

/// A policy in force: which document states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRecord {
    /// The policy's name.
    pub name: String,
    /// SHA-256 of the document's name and text, in hex: the key in [`DesiredState::documents`].
    pub document: String,
    /// The revision in which it got its present text.
    pub revision: Revision,
    /// The set that it was applied in, if it was: who applies the set can have it cleared of what is in no file.
    pub set: Option<String>,
    /// The filters that it uses: each is there as long as the policy is in force.
    pub filters: BTreeSet<FilterId>,
}

/// Everything that snapshots are made from. Immutable; a change makes a new one.
///
/// The maps are persistent: a copy shares all of them with its original, and a change of a copy costs what the
/// change does, however large the map is. So a reader may keep a state as long as it likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesiredState {
    /// The revision.
    pub revision: Revision,
    /// The SPIFFE trust domain.
    pub trust_domain: String,
    /// Policies by name.
    pub policies: OrdMap<String, PolicyRecord>,
    /// Documents by digest; each is referred to by at least one policy.
    pub documents: OrdMap<String, Arc<Document>>,
    /// Digests of documents, each with the name of a policy that is in force from it: the other way round of
    /// `policies`. Kept by [`DesiredState::place`] and [`DesiredState::displace`].
    pub standing: OrdSet<(String, String)>,
    /// Sidecars that joined and have not left, by id. Changed by [`DesiredState::register`] and
    /// [`DesiredState::unregister`] alone.
    pub proxies: OrdMap<ProxyId, Arc<ProxyRegistration>>,
    /// How many those are.
    pub headcount: Headcount,
    /// Versions of filters that can be used.
    pub filters: OrdMap<FilterId, Arc<FilterRecord>>,
    /// Versions of filters that were deleted.
    pub retired_filters: OrdMap<FilterId, Arc<RetiredFilter>>,
    /// The newest revision that was delivered in stages, and how far that is.
    pub rollout: Option<Arc<Rollout>>,
}

/// How many sidecars are registered of each service and with each join token, so that nobody counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headcount {
    of_service: OrdMap<ServiceRef, usize>,
    of_token: OrdMap<String, usize>,
}

impl DesiredState {
    /// Whether one was made from the other by copying alone. Costs nothing; equal states may not be the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.revision == other.revision
            && self.trust_domain == other.trust_domain
            && self.policies.ptr_eq(&other.policies)
            && self.documents.ptr_eq(&other.documents)
            && self.proxies.ptr_eq(&other.proxies)
            && self.filters.ptr_eq(&other.filters)
            && self.retired_filters.ptr_eq(&other.retired_filters)
            && match (&self.rollout, &other.rollout) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (None, None) => true,
                _ => false,
            }
    }

    /// The rollout that is under way, if one is.
    #[must_use]
    pub fn rollout_under_way(&self) -> Option<&Arc<Rollout>> {
        self.rollout.as_ref().filter(|rollout| rollout.is_under_way())
    }

    /// The state as it is for sidecars that a rollout has not reached: with the policies before it.
    #[must_use]
    pub fn stable(&self) -> Option<Self> {
        let under_way = self.rollout_under_way()?;
        let StableSet { policies, documents, standing } = under_way.stable.clone()?;
        let (revision, rollout) = (under_way.from, None);
        Some(Self { revision, policies, documents, standing, rollout, ..self.clone() })
    }

    /// The policies in force and their documents.
    #[must_use]
    pub fn policy_set(&self) -> StableSet {
        let Self { policies, documents, standing, .. } = self.clone();
        StableSet { policies, documents, standing }
    }

    /// The names of the policies for which a version of a filter has to stay: those in force, and those that a rollout
    /// can go back to.
    pub fn users_of<'a>(&'a self, filter: &FilterId) -> impl Iterator<Item = &'a str> {
        let uses = move |record: &&PolicyRecord| record.filters.contains(filter);
        let stable = self.rollout.as_ref().and_then(|rollout| rollout.stable.as_ref());
        let stable = stable.into_iter().flat_map(|stable| stable.policies.values());
        self.policies.values().chain(stable).filter(uses).map(|record| record.name.as_str())
    }

    /// Takes in a sidecar, or what it states anew.
    pub fn register(&mut self, proxy: Arc<ProxyRegistration>) {
        self.headcount.add(&proxy);
        if let Some(before) = self.proxies.insert(proxy.id.clone(), proxy) {
            self.headcount.take_away(&before);
        }
    }

    /// Forgets a sidecar; gives what it stated, if it was registered.
    pub fn unregister(&mut self, id: &ProxyId) -> Option<Arc<ProxyRegistration>> {
        let before = self.proxies.remove(id)?;
        self.headcount.take_away(&before);
        Some(before)
    }

    /// Puts a policy in force, or moves it to another document. That document must be there, or be put there.
    pub fn place(&mut self, record: PolicyRecord) {
        self.standing.insert((record.document.clone(), record.name.clone()));
        let document = record.document.clone();
        if let Some(before) = self.policies.insert(record.name.clone(), record)
            && before.document != document
        {
            self.leave(before);
        }
    }

    /// Takes a policy out of force; gives its record, if it was in force.
    pub fn displace(&mut self, name: &str) -> Option<PolicyRecord> {
        let record = self.policies.remove(name)?;
        self.leave(record.clone());
        Some(record)
    }

    /// The names of the policies that are in force from a document.
    pub fn standing_in(&self, digest: &str) -> impl Iterator<Item = &str> {
        let from = (digest.to_owned(), String::new());
        let those = self.standing.range(from..).take_while(move |(of, _)| of == digest);
        those.map(|(_, name)| name.as_str())
    }

    /// A policy is not in force from this document any more, which goes with its last policy.
    fn leave(&mut self, record: PolicyRecord) {
        let PolicyRecord { name, document, .. } = record;
        self.standing.remove(&(document.clone(), name));
        if self.standing_in(&document).next().is_none() {
            self.documents.remove(&document);
        }
    }
}

impl Headcount {
    /// How many sidecars of a service there are.
    #[must_use]
    pub fn of_service(&self, service: &ServiceRef) -> usize {
        self.of_service.get(service).copied().unwrap_or_default()
    }

    /// How many sidecars joined with the token of this id.
    #[must_use]
    pub fn of_token(&self, token: &str) -> usize {
        self.of_token.get(token).copied().unwrap_or_default()
    }

    fn add(&mut self, proxy: &ProxyRegistration) {
        *self.of_service.entry(proxy.service.clone()).or_default() += 1;
        if let Some(token) = &proxy.token {
            *self.of_token.entry(token.clone()).or_default() += 1;
        }
    }

    fn take_away(&mut self, proxy: &ProxyRegistration) {
        lower(&mut self.of_service, &proxy.service);
        if let Some(token) = &proxy.token {
            lower(&mut self.of_token, token);
        }
    }
}

/// Counts one less; what is none is not kept.
fn lower<K: Ord + Clone>(counts: &mut OrdMap<K, usize>, key: &K) {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => {
            counts.remove(key);
        }
    }
}

impl ProxyRegistration {
    /// What it is once stated anew, where `present` is what is registered: a replica that is reached where it was before,
    /// stays as ready as it was.
    #[must_use]
    pub fn after(&self, present: Option<&Self>) -> Self {
        let readiness = match present {
            Some(present) if present.inbound == self.inbound => present.readiness,
            _ => Readiness::Starting,
        };
        Self { readiness, ..self.clone() }
    }
}

impl Readiness {
    /// How good a replica is for its callers: the higher, the better.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Starting => 0,
            Self::Silent { .. } => 1,
            Self::Ready => 2,
        }
    }
}

impl Document {
    /// SHA-256 of name and text, in lower-case hex: what the document is stored under.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update((self.name.len() as u64).to_be_bytes());
        hash.update(&self.name);
        hash.update(self.text.as_bytes());
        hex(&hash.finalize())
    }
}

impl std::fmt::Display for ProxyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes in lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
