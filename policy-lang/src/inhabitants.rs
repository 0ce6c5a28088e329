//! Whether anybody is there of whom policies speak: the services that a mesh knows.
//!
//! A policy may come before the service that it is for, so a name that nobody bears is no error. But far more
//! often it is a slip, and one that nothing else shows: a policy on a service that does not exist guards
//! nothing, and a ban on a caller that does not exist bans nobody.

use crate::checked::{Calls, CheckedPolicy, Peer, ServiceRef, Target};
use crate::diagnostic::near::nearest;
use crate::diagnostic::{Code, Diagnostic, FINDINGS_MAX};
use crate::source::{SourceSet, Span};
use std::collections::BTreeSet;

const NOBODY: Code = Code("W121");

/// What a policy calls by its name.
enum Named<'a> {
    Service(&'a ServiceRef),
    Namespace(&'a str),
}

/// A warning for each service and namespace in these policies, as target or as caller, that is none of the
/// known ones. Where nobody is known, the mesh is new, and nothing is said.
#[must_use]
pub fn unknown_inhabitants(
    policies: &[&CheckedPolicy],
    known: &BTreeSet<ServiceRef>,
    sources: &SourceSet,
) -> Vec<Diagnostic> {
    if known.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for policy in policies {
        for scope in &policy.targets {
            let named = match &scope.target {
                Target::Mesh => continue,
                Target::Service(service) => named(service),
                Target::Namespace(namespace) | Target::Workload { namespace, .. } => {
                    Named::Namespace(namespace)
                }
            };
            found.extend(named.unless_known(known).map(|(name, near)| {
                let place = narrowed(scope.span, &name, sources);
                nobody(place, &name, near, "the policy is for sidecars that join later")
            }));
        }
        for (destination, span) in policy.calls().into_iter().flat_map(Calls::destinations) {
            found.extend(named(&destination.service).unless_known(known).map(|(name, near)| {
                let place = narrowed(span, &name, sources);
                nobody(place, &name, near, "until it has, requests that go there are answered with 503")
            }));
        }
        for (guard, span) in policy.guards() {
            // Of very many the first are told, as elsewhere: each is compared with all that are known.
            if found.len() >= FINDINGS_MAX {
                return found;
            }
            for peer in &guard.peers {
                let named = match peer {
                    Peer::Service(service) => named(service),
                    Peer::Namespace(namespace) => Named::Namespace(namespace),
                    Peer::Ip(_) | Peer::Spiffe(_) | Peer::Anyone => continue,
                };
                found.extend(named.unless_known(known).map(|(name, near)| {
                    let place = narrowed(span, &name, sources);
                    nobody(place, &name, near, "until it has, no caller is meant by it")
                }));
            }
        }
    }
    found
}

/// A warning for each version in these policies to which requests are sent and which no replica of its service has, by
/// the versions of each service. Of services that are not known at all the others tell.
#[must_use]
pub fn unknown_versions(
    policies: &[&CheckedPolicy],
    known: &BTreeSet<ServiceRef>,
    versions: impl Fn(&ServiceRef) -> BTreeSet<String>,
    sources: &SourceSet,
) -> Vec<Diagnostic> {
    let destinations = policies.iter().filter_map(|policy| policy.calls()).flat_map(Calls::destinations);
    let mut found = Vec::new();
    for (destination, span) in destinations {
        if found.len() >= FINDINGS_MAX {
            break;
        }
        let Some(version) = &destination.version else { continue };
        if !known.contains(&destination.service) {
            continue;
        }
        let versions = versions(&destination.service);
        if versions.contains(version) {
            continue;
        }
        let near = nearest(version, versions.iter().map(String::as_str)).map(str::to_owned);
        let shown = destination.to_string();
        let warning = Diagnostic::warning(
            NOBODY,
            narrowed(span, &shown, sources),
            format!("no sidecar of `{shown}` has joined: none has the label `version={version}`"),
        );
        found.push(match near {
            Some(near) => warning.help(format!("did you mean `{near}`?")),
            None => warning.help("is it right? until one has, requests that go there are answered with 503"),
        });
    }
    found
}

fn named(service: &ServiceRef) -> Named<'_> {
    if service.name == "*" { Named::Namespace(&service.namespace) } else { Named::Service(service) }
}

impl Named<'_> {
    /// The name and a known one that it is near to, unless it is known itself.
    fn unless_known(&self, known: &BTreeSet<ServiceRef>) -> Option<(String, Option<String>)> {
        match self {
            Self::Service(service) if known.contains(service) => None,
            Self::Service(service) => {
                let name = format!("{}/{}", service.namespace, service.name);
                let all: Vec<String> =
                    known.iter().map(|known| format!("{}/{}", known.namespace, known.name)).collect();
                let elsewhere = || all.iter().find(|known| known.ends_with(&format!("/{}", service.name)));
                let near = nearest(&name, all.iter().map(String::as_str))
                    .or_else(|| elsewhere().map(String::as_str));
                Some((name, near.map(str::to_owned)))
            }
            Self::Namespace(name) => {
                let all: BTreeSet<&str> = known.iter().map(|known| known.namespace.as_str()).collect();
                let is_known = all.contains(name);
                let near = nearest(name, all).map(str::to_owned);
                (!is_known).then(|| ((*name).to_owned(), near))
            }
        }
    }
}

/// The name inside of a statement.
fn narrowed(span: Span, name: &str, sources: &SourceSet) -> Span {
    let found = sources.snippet(span).find(name).and_then(|at| {
        let start = span.start + u32::try_from(at).ok()?;
        Some(Span { start, end: start + u32::try_from(name.len()).ok()?, ..span })
    });
    found.unwrap_or(span)
}

fn nobody(span: Span, name: &str, near: Option<String>, otherwise: &str) -> Diagnostic {
    let kind = if name.contains('/') { "sidecar of service" } else { "sidecar of namespace" };
    let warning = Diagnostic::warning(NOBODY, span, format!("no {kind} `{name}` has joined"));
    match near {
        Some(near) => warning.help(format!("did you mean `{near}`?")),
        None => warning.help(format!("is the name right? {otherwise}")),
    }
}
