//! Classes of the caller's identity: by whole principals, by namespace, by having a service at all.

use super::{AttributeClasses, AttributeKind, Builder, ClassId, Members, Mentions, Stop, mention};
use crate::literals::{Atom, Formula};
use crate::request::{ServiceIdentity, service_of};
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

pub(super) fn classify(
    trust_domain: &str,
    predicates: &[Formula],
    members: &mut Members,
) -> Result<AttributeClasses, Stop> {
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
                let principal: Arc<str> = ServiceIdentity::new(trust_domain, service).to_string().into();
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

    let mut builder =
        Builder::new(predicates, members, |atom| matches!(atom, Atom::Present | Atom::AnyService));
    let all = builder.all()?;
    let absent = builder.class(&all, Vec::new(), || "absent".to_owned())?;
    let stranger = builder.class(&all, vec![Atom::Present], || "stranger".to_owned())?;
    let mut exact_classes = BTreeMap::new();
    for principal in exact {
        let mut candidates = by_service.clone();
        candidates.extend(by_exact.get(&principal).into_iter().flatten());
        let mut true_atoms = vec![Atom::Present, Atom::Equals(principal.clone())];
        if let Some(service) = service_of(principal.as_bytes(), trust_domain) {
            let namespace = service.namespace.as_str();
            candidates.extend(by_namespace.get(namespace).into_iter().flatten());
            true_atoms.extend([Atom::AnyService, Atom::Namespace(namespace.into()), Atom::Service(service)]);
        }
        let class = builder.class(&candidates, true_atoms, || principal.to_string())?;
        exact_classes.insert(principal, class);
    }
    let mut namespace_classes = BTreeMap::new();
    for namespace in namespaces {
        let candidates = by_namespace.get(&namespace).cloned().unwrap_or_default();
        let true_atoms = vec![Atom::Present, Atom::AnyService, Atom::Namespace(namespace.clone())];
        let class = builder.class(&candidates, true_atoms, || format!("a service of {namespace}"))?;
        namespace_classes.insert(namespace, class);
    }
    let (exact, namespaces) = (exact_classes, namespace_classes);
    let trust_domain = trust_domain.to_owned();
    let classes = IdentityClasses { trust_domain, absent, stranger, exact, namespaces };
    Ok(builder.finish(AttributeKind::Identity(classes), "any other service"))
}
