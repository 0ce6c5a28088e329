//! The stored form of the model: JSON records, apart from the model so that either can change alone.

mod filter;
mod words;

pub(super) use filter::{StoredFilter, StoredRetiredFilter};

use crate::mesh::model::{
    Document, FilterId, Inbound, Outbound, PolicyRecord, Protocol, ProxyId, ProxyRegistration, Readiness,
    Revision,
};
use crate::mesh::store::history::RevisionRecord;
use crate::mesh::store::{AuditChange, AuditEntry, Step};
use chancery_policy_lang::checked::ServiceRef;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use words::Words;

/// A record that stands for a value of the model.
pub(super) trait Record: Serialize + for<'a> Deserialize<'a> {
    /// The value of the model.
    type Model;
    /// The record of a value stored under a key.
    fn of(model: &Self::Model) -> Self;
    /// The value that was stored under this key.
    fn into_model(self, key: &str) -> Self::Model;
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredPolicy {
    document: String,
    revision: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    set: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    filters: BTreeSet<Words<FilterId>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredDocument {
    name: String,
    text: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredProxy {
    namespace: String,
    service: String,
    labels: BTreeMap<String, String>,
    inbound: Option<StoredInbound>,
    outbounds: Vec<StoredOutbound>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<String>,
    /// Absent in records from before there was such a thing: whoever had joined was given requests.
    #[serde(default)]
    readiness: StoredReadiness,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredReadiness {
    Starting,
    SilentSince(i64),
    #[default]
    Ready,
}

#[derive(Serialize, Deserialize)]
struct StoredInbound {
    listen: SocketAddr,
    /// Absent where it is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    advertised: Option<SocketAddr>,
    application: SocketAddr,
    /// Absent where it is HTTP/1.1.
    #[serde(default, skip_serializing_if = "StoredProtocol::is_http1")]
    protocol: StoredProtocol,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probes: Option<SocketAddr>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredProtocol {
    #[default]
    Http1,
    H2c,
}

#[derive(Serialize, Deserialize)]
struct StoredOutbound {
    namespace: String,
    service: String,
    listen: SocketAddr,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredAudit {
    at_ms: i64,
    actor: String,
    action: String,
    revision: u64,
    /// What, before and after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<(String, Option<String>, Option<String>)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredRevision {
    at_ms: i64,
    actor: String,
    action: String,
    policies: BTreeMap<String, StoredStep>,
    /// A digest of all policies in force after it.
    pub(super) state: String,
}

#[derive(Serialize, Deserialize)]
struct StoredStep {
    before: Option<StoredPolicy>,
    after: Option<StoredPolicy>,
}

impl StoredProtocol {
    fn is_http1(&self) -> bool {
        *self == Self::Http1
    }
}

impl From<Protocol> for StoredProtocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http1 => Self::Http1,
            Protocol::H2c => Self::H2c,
        }
    }
}

impl From<StoredProtocol> for Protocol {
    fn from(stored: StoredProtocol) -> Self {
        match stored {
            StoredProtocol::Http1 => Self::Http1,
            StoredProtocol::H2c => Self::H2c,
        }
    }
}

impl StoredRevision {
    /// The record with a digest of all policies in force after it.
    pub(super) fn sealed(self, state: String) -> Self {
        Self { state, ..self }
    }
}

impl Record for StoredPolicy {
    type Model = PolicyRecord;

    fn of(model: &PolicyRecord) -> Self {
        Self {
            document: model.document.clone(),
            revision: model.revision.0,
            set: model.set.clone(),
            filters: model.filters.iter().cloned().map(Words).collect(),
        }
    }

    fn into_model(self, key: &str) -> PolicyRecord {
        PolicyRecord {
            name: key.to_owned(),
            document: self.document,
            revision: Revision(self.revision),
            set: self.set,
            filters: self.filters.into_iter().map(|filter| filter.0).collect(),
        }
    }
}

impl Record for StoredDocument {
    type Model = Document;

    fn of(model: &Document) -> Self {
        Self { name: model.name.clone(), text: model.text.to_string() }
    }

    fn into_model(self, _key: &str) -> Document {
        Document { name: self.name, text: self.text.into() }
    }
}

impl Record for StoredProxy {
    type Model = ProxyRegistration;

    fn of(model: &ProxyRegistration) -> Self {
        let outbound = |outbound: &Outbound| StoredOutbound {
            namespace: outbound.service.namespace.clone(),
            service: outbound.service.name.clone(),
            listen: outbound.listen,
        };
        Self {
            namespace: model.service.namespace.clone(),
            service: model.service.name.clone(),
            labels: (*model.labels).clone(),
            inbound: model.inbound.map(|inbound| StoredInbound {
                listen: inbound.listen,
                advertised: Some(inbound.advertised).filter(|advertised| *advertised != inbound.listen),
                application: inbound.application,
                protocol: inbound.protocol.into(),
                probes: inbound.probes,
            }),
            outbounds: model.outbounds.iter().map(outbound).collect(),
            token: model.token.clone(),
            check: model.check.clone(),
            readiness: match model.readiness {
                Readiness::Starting => StoredReadiness::Starting,
                Readiness::Silent { since } => StoredReadiness::SilentSince(since.as_millisecond()),
                Readiness::Ready => StoredReadiness::Ready,
            },
        }
    }

    fn into_model(self, key: &str) -> ProxyRegistration {
        let outbound = |outbound: StoredOutbound| Outbound {
            service: ServiceRef { namespace: outbound.namespace, name: outbound.service },
            listen: outbound.listen,
        };
        ProxyRegistration {
            id: ProxyId(key.to_owned()),
            service: ServiceRef { namespace: self.namespace, name: self.service },
            labels: Arc::new(self.labels),
            inbound: self.inbound.map(|inbound| Inbound {
                listen: inbound.listen,
                advertised: inbound.advertised.unwrap_or(inbound.listen),
                application: inbound.application,
                protocol: inbound.protocol.into(),
                probes: inbound.probes,
            }),
            outbounds: self.outbounds.into_iter().map(outbound).collect(),
            token: self.token,
            check: self.check,
            readiness: match self.readiness {
                StoredReadiness::Starting => Readiness::Starting,
                StoredReadiness::SilentSince(at_ms) => {
                    Readiness::Silent { since: jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default() }
                }
                StoredReadiness::Ready => Readiness::Ready,
            },
        }
    }
}

impl Record for StoredAudit {
    type Model = AuditEntry;

    fn of(model: &AuditEntry) -> Self {
        let change =
            |change: &AuditChange| (change.what.clone(), change.before.clone(), change.after.clone());
        Self {
            at_ms: model.at.as_millisecond(),
            actor: model.actor.clone(),
            action: model.action.clone(),
            revision: model.revision.0,
            changes: model.changes.iter().map(change).collect(),
        }
    }

    fn into_model(self, key: &str) -> AuditEntry {
        let change = |(what, before, after)| AuditChange { what, before, after };
        AuditEntry {
            number: key.parse().unwrap_or_default(),
            at: jiff::Timestamp::from_millisecond(self.at_ms).unwrap_or_default(),
            actor: self.actor,
            action: self.action,
            revision: Revision(self.revision),
            changes: self.changes.into_iter().map(change).collect(),
        }
    }
}

impl Record for StoredRevision {
    type Model = RevisionRecord;

    fn of(model: &RevisionRecord) -> Self {
        let step = |step: &Step<PolicyRecord>| StoredStep {
            before: step.before.as_ref().map(StoredPolicy::of),
            after: step.after.as_ref().map(StoredPolicy::of),
        };
        Self {
            at_ms: model.at.as_millisecond(),
            actor: model.actor.clone(),
            action: model.action.clone(),
            policies: model.policies.iter().map(|(name, of)| (name.clone(), step(of))).collect(),
            state: String::new(),
        }
    }

    fn into_model(self, key: &str) -> RevisionRecord {
        let step = |(name, StoredStep { before, after }): (String, StoredStep)| {
            let policy = |stored: StoredPolicy| stored.into_model(&name);
            let step = Step { before: before.map(policy), after: after.map(policy) };
            (name, step)
        };
        RevisionRecord {
            revision: Revision(key.parse().unwrap_or_default()),
            at: jiff::Timestamp::from_millisecond(self.at_ms).unwrap_or_default(),
            actor: self.actor,
            action: self.action,
            policies: self.policies.into_iter().map(step).collect(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_from_a_record_of_earlier_versions() {
        let earlier = r#"{
            "namespace": "shop", "service": "orders", "labels": {}, "outbounds": [],
            "inbound": {"listen": "127.0.0.1:8080", "application": "127.0.0.1:9000"}
        }"#;
        let read = serde_json::from_str::<StoredProxy>(earlier).unwrap().into_model("shop/orders/1");
        let address = "127.0.0.1:8080".parse().unwrap();
        let application = "127.0.0.1:9000".parse().unwrap();
        let inbound = Inbound {
            listen: address,
            advertised: address,
            application,
            protocol: Protocol::Http1,
            probes: None,
        };
        assert_eq!((read.inbound, read.readiness), (Some(inbound), Readiness::Ready));
        // What is the same as ever is written as ever.
        let written = serde_json::to_string(&StoredProxy::of(&read)).unwrap();
        assert!(!written.contains("protocol") && !written.contains("advertised"), "{written}");
        let spoken = ProxyRegistration {
            inbound: Some(Inbound { protocol: Protocol::H2c, probes: Some(address), ..inbound }),
            ..read
        };
        let written = serde_json::to_string(&StoredProxy::of(&spoken)).unwrap();
        let read: StoredProxy = serde_json::from_str(&written).unwrap();
        assert_eq!(read.into_model("shop/orders/1"), spoken);
    }
}
