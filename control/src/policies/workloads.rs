//! Workloads that stand for all that policies can concern, for tools that know no mesh.
//!
//! A policy's scopes name services, namespaces and labels. One workload for each scope, and one for
//! each pair of label scopes that a workload can meet together, see every combination of policies
//! that two policies at equal scope can conflict in.

use chancery_policy_lang::checked::{CheckedPolicy, Target};
use chancery_policy_lang::linked::Workload;
use std::collections::{BTreeMap, BTreeSet};

/// The name of a namespace or service that no scope names.
pub const ANY: &str = "any";
/// The most pairs of label scopes that are made.
pub const PAIRS_MAX: usize = 10_000;
/// The most pairs of label scopes of which it is asked whether a workload can have both.
pub const PAIRS_TRIED_MAX: usize = 1_000_000;

/// One workload for each scope of these policies, sorted.
#[must_use]
pub fn representatives<'a>(
    policies: impl IntoIterator<Item = &'a CheckedPolicy>,
    trust_domain: &str,
) -> BTreeSet<Workload> {
    let scopes: BTreeSet<&Target> =
        policies.into_iter().flat_map(|policy| policy.targets.iter().map(|scope| &scope.target)).collect();
    let mut workloads: BTreeSet<Workload> =
        scopes.iter().map(|scope| representative(scope, trust_domain)).collect();
    let labelled: Vec<Workload> =
        workloads.iter().filter(|workload| !workload.labels.is_empty()).cloned().collect();
    let pairs = labelled
        .iter()
        .enumerate()
        .flat_map(|(at, one)| labelled.iter().skip(at + 1).map(move |other| (one, other)))
        .take(PAIRS_TRIED_MAX)
        .filter_map(|(one, other)| both(one, other));
    workloads.extend(pairs.take(PAIRS_MAX));
    workloads
}

/// A workload as people write it: `shop/orders`, with labels behind it.
#[must_use]
pub fn shown(workload: &Workload) -> String {
    let labels: Vec<String> =
        workload.labels.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    format!("{}/{}{}", workload.namespace, workload.service, labels.concat())
}

/// A workload that a scope covers and that nothing else is known of.
#[must_use]
pub fn representative(scope: &Target, trust_domain: &str) -> Workload {
    let (namespace, service, labels) = match scope {
        Target::Mesh => (ANY, ANY, BTreeMap::new()),
        Target::Namespace(namespace) => (namespace.as_str(), ANY, BTreeMap::new()),
        Target::Service(service) if service.name == "*" => (service.namespace.as_str(), ANY, BTreeMap::new()),
        Target::Service(service) => (service.namespace.as_str(), service.name.as_str(), BTreeMap::new()),
        Target::Workload { namespace, labels } => (namespace.as_str(), ANY, labels.clone()),
    };
    Workload {
        namespace: namespace.to_owned(),
        service: service.to_owned(),
        labels,
        trust_domain: trust_domain.to_owned(),
    }
}

/// A workload that carries the labels of both, if one can.
fn both(one: &Workload, other: &Workload) -> Option<Workload> {
    let compatible = one.namespace == other.namespace
        && one.labels.iter().all(|(name, value)| other.labels.get(name).is_none_or(|known| known == value));
    compatible.then(|| {
        let mut both = one.clone();
        both.labels.extend(other.labels.clone());
        both
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_policy_lang::Span;
    use chancery_policy_lang::checked::{AuthBody, Body, Direction, Mode, Scope, ServiceRef};

    fn policy(target: Target) -> CheckedPolicy {
        CheckedPolicy {
            name: "p".to_owned(),
            targets: vec![Scope { target, direction: Direction::Inbound, span: Span::default() }],
            mode: Mode::Enforce,
            body: Body::Auth(AuthBody::default()),
            span: Span::default(),
            name_span: Span::default(),
        }
    }

    fn labelled(labels: &[(&str, &str)]) -> Target {
        let labels = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Target::Workload { namespace: "shop".to_owned(), labels }
    }

    fn shown_of(targets: &[Target]) -> Vec<String> {
        let policies: Vec<CheckedPolicy> = targets.iter().cloned().map(policy).collect();
        representatives(&policies, "mesh.local").iter().map(shown).collect()
    }

    #[test]
    fn each_scope_has_a_workload() {
        let service =
            |name: &str| Target::Service(ServiceRef { namespace: "shop".into(), name: name.into() });
        let targets = [Target::Mesh, Target::Namespace("pay".into()), service("orders"), service("*")];
        assert_eq!(shown_of(&targets), ["any/any", "pay/any", "shop/any", "shop/orders"]);
    }

    #[test]
    fn label_scopes_that_can_meet_meet() {
        let targets = [labelled(&[("a", "1")]), labelled(&[("b", "2")]), labelled(&[("a", "2")])];
        assert_eq!(
            shown_of(&targets),
            ["shop/any a=1", "shop/any a=1 b=2", "shop/any a=2", "shop/any a=2 b=2", "shop/any b=2"]
        );
    }
}
