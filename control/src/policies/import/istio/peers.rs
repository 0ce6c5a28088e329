//! Who calls, as Istio says it.

use super::super::fields::{Fields, Place};
use super::super::matching::{Caller, any, not, starred};
use super::super::text::{name, string};
use super::super::values::service;

/// What one `source` asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    /// Alternatives, if the language has all of them as callers.
    pub(super) callers: Vec<Caller>,
    /// What must hold beside.
    pub(super) conditions: Vec<String>,
    /// Whether something of it cannot be said.
    pub(super) is_partial: bool,
}

/// The trust domain that means the mesh's own.
const OWN_TRUST_DOMAINS: [&str; 2] = ["cluster.local", "*"];

impl Source {
    pub(super) fn of(fields: &mut Fields<'_>) -> Self {
        let mut source = Self::default();
        let identities = fields.texts("principals");
        source.ask(identities.iter().map(|text| principal(text)).collect());
        source.ask(fields.texts("namespaces").iter().map(|text| namespace(text)).collect());
        source.ask(fields.texts("ipBlocks").into_iter().map(|text| Ok(Caller::Address(text))).collect());
        let accounts = fields.texts("serviceAccounts");
        source.ask(accounts.iter().map(|text| account(text, &fields.place)).collect());
        source.exclude(fields.texts("notPrincipals").iter().map(|text| principal(text)).collect());
        source.exclude(fields.texts("notNamespaces").iter().map(|text| namespace(text)).collect());
        source
            .exclude(fields.texts("notIpBlocks").into_iter().map(|text| Ok(Caller::Address(text))).collect());
        let accounts = fields.texts("notServiceAccounts");
        source.exclude(accounts.iter().map(|text| account(text, &fields.place)).collect());
        let unsayable = [
            ("requestPrincipals", "tokens of users cannot be asked yet"),
            ("notRequestPrincipals", "tokens of users cannot be asked yet"),
            ("remoteIpBlocks", "what a proxy in front says of its client is not trusted"),
            ("notRemoteIpBlocks", "what a proxy in front says of its client is not trusted"),
        ];
        for (field, why) in unsayable {
            if let Some(item) = fields.take(field) {
                item.place.note(format!("it is not carried over: {why}"));
                source.is_partial = true;
            }
        }
        source
    }

    /// One of these must call.
    fn ask(&mut self, alternatives: Vec<Result<Caller, String>>) {
        let callers: Result<Vec<Caller>, _> = alternatives.iter().cloned().collect();
        match callers {
            Ok(callers) if self.callers.is_empty() => self.callers = callers,
            _ => self.conditions.extend(any(&as_conditions(&alternatives))),
        }
    }

    /// None of these may call.
    fn exclude(&mut self, alternatives: Vec<Result<Caller, String>>) {
        self.conditions.extend(any(&as_conditions(&alternatives)).map(|condition| not(&condition)));
    }

    /// Whether it asks for callers alone, so that several such are alternatives of one rule.
    pub(super) fn is_plain(&self) -> bool {
        !self.callers.is_empty() && self.conditions.is_empty() && !self.is_partial
    }
}

fn as_conditions(alternatives: &[Result<Caller, String>]) -> Vec<String> {
    let conditions = alternatives.iter().map(|one| match one {
        Ok(caller) => caller.condition(),
        Err(condition) => condition.clone(),
    });
    conditions.collect()
}

/// `cluster.local/ns/NAMESPACE/sa/ACCOUNT`, with stars perhaps; a condition where the language has no such caller.
pub(super) fn principal(text: &str) -> Result<Caller, String> {
    if text == "*" {
        return Err("source.mtls".to_owned());
    }
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        [domain, "ns", namespace, "sa", account] if !namespace.contains('*') && !account.contains('*') => {
            if OWN_TRUST_DOMAINS.contains(domain) {
                Ok(Caller::Service(service(namespace, account)))
            } else if domain.contains('*') {
                Err(starred("source.principal", text))
            } else {
                Ok(Caller::Identity(format!("spiffe://{text}")))
            }
        }
        [domain, "ns", namespace, "sa", "*"]
            if OWN_TRUST_DOMAINS.contains(domain) && !namespace.contains('*') =>
        {
            Ok(Caller::Namespace(name(namespace)))
        }
        _ => match text.strip_prefix('*') {
            Some(_) => Err(starred("source.principal", text)),
            None => Err(starred("source.principal", &format!("spiffe://{text}"))),
        },
    }
}

/// A namespace, with stars perhaps.
pub(super) fn namespace(text: &str) -> Result<Caller, String> {
    if text.contains('*') {
        Err(starred("source.namespace", text))
    } else {
        Ok(Caller::Namespace(name(text)))
    }
}

/// `NAMESPACE/ACCOUNT`, or an account in the policy's own namespace.
fn account(text: &str, place: &Place<'_>) -> Result<Caller, String> {
    match text.split_once('/') {
        Some((namespace, account)) => Ok(Caller::Service(service(namespace, account))),
        None => {
            place.note(format!(
                "the account `{text}` is looked for in any namespace: write `NAMESPACE/{text}`"
            ));
            Err(format!("source.service.endsWith({})", string(&format!("/{text}"))))
        }
    }
}
