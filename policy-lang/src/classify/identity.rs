//! Classes of the caller's identity: by whole principals, by namespace, by having a service at all.

use super::{AttributeClasses, AttributeKind, Builder, ClassId, Mentions, mention};
use crate::bug::Bug;
use crate::checked::ServiceRef;
use crate::literals::{Atom, Formula};
use crate::request::service_of;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How a principal gets its class: absent; else as one of the exact ones; else, if it names a
/// service, by the service's namespace, else 0 if it does and `stranger` if it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityClasses {
    /// The trust domain whose principals name services.
    pub trust_domain: String,
    /// The class of a caller without an identity.
    pub absent: ClassId,
    /// The class of principals that name no service.
    pub stranger: ClassId,
    /// Whole principals.
    pub exact: BTreeMap<Arc<str>, ClassId>,
    /// Namespaces of services.
    pub namespaces: BTreeMap<Arc<str>, ClassId>,
}

/// The principal of a service.
fn principal_of(service: &ServiceRef, trust_domain: &str) -> String {
    format!("spiffe://{trust_domain}/ns/{}/sa/{}", service.namespace, service.name)
}

pub(super) fn classify(trust_domain: &str, predicates: &[Formula]) -> Result<AttributeClasses, Bug> {
    let mut exact: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut namespaces: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut by_exact: Mentions<Arc<str>> = Mentions::new();
    let mut by_namespace: Mentions<Arc<str>> = Mentions::new();
    let mut by_service: Vec<u32> = Vec::new();
    for (number, formula) in (0..).zip(predicates) {
        formula.atoms(&mut |atom| match atom {
            Atom::Equals(principal) => {
                exact.insert(principal.clone());
                mention(&mut by_exact, principal.clone(), number);
            }
            Atom::Service(service) => {
                let principal: Arc<str> = principal_of(service, trust_domain).into();
                exact.insert(principal.clone());
                mention(&mut by_exact, principal, number);
            }
            Atom::Namespace(namespace) => {
                namespaces.insert(namespace.clone());
                mention(&mut by_namespace, namespace.clone(), number);
            }
            Atom::AnyService => by_service.push(number),
            _ => {}
        });
    }

    let mut builder = Builder::new(predicates, |atom| matches!(atom, Atom::Present | Atom::AnyService));
    let all = builder.all()?;
    let absent = builder.class(&all, |_| false, || "absent".to_owned())?;
    let stranger = builder.class(&all, |atom| *atom == Atom::Present, || "stranger".to_owned())?;
    let exact = exact.into_iter().map(|principal| {
        let service = service_of(principal.as_bytes(), trust_domain);
        let mut candidates = by_service.clone();
        candidates.extend(by_exact.get(&principal).into_iter().flatten());
        if let Some(service) = &service {
            candidates.extend(by_namespace.get(service.namespace.as_str()).into_iter().flatten());
        }
        let truth = |atom: &Atom| match atom {
            Atom::Present => true,
            Atom::Equals(other) => *other == principal,
            Atom::AnyService => service.is_some(),
            Atom::Service(other) => service.as_ref() == Some(other),
            Atom::Namespace(name) => {
                service.as_ref().is_some_and(|service| service.namespace == name.as_ref())
            }
            _ => false,
        };
        let class = builder.class(&candidates, truth, || principal.to_string())?;
        Ok((principal, class))
    });
    let exact = exact.collect::<Result<_, Bug>>()?;
    let namespaces = namespaces.into_iter().map(|namespace| {
        let candidates = by_namespace.get(&namespace).cloned().unwrap_or_default();
        let truth = |atom: &Atom| match atom {
            Atom::Present | Atom::AnyService => true,
            Atom::Namespace(other) => *other == namespace,
            _ => false,
        };
        let class = builder.class(&candidates, truth, || format!("a service of {namespace}"))?;
        Ok((namespace, class))
    });
    let namespaces = namespaces.collect::<Result<_, Bug>>()?;
    let trust_domain = trust_domain.to_owned();
    let classes = IdentityClasses { trust_domain, absent, stranger, exact, namespaces };
    Ok(builder.finish(AttributeKind::Identity(classes), "any other service"))
}
