//! Policies by what they are attached to, so that those of a workload are found without looking at all.

use super::scope::covers;
use super::{At, cors, filters, otherwise, plaintext};
use crate::checked::{CheckedPolicy, Direction, Mode, Scope, Target};
use crate::diagnostic::Diagnostic;
use crate::linked::Workload;
use std::collections::{BTreeMap, BTreeSet};

/// A label of a namespace: namespace, name and value.
type Label<'a> = (&'a str, &'a str, &'a str);

/// A policy by its number, and a scope by which it is found.
struct Entry<'a> {
    policy: usize,
    scope: &'a Scope,
}

/// The policies of a set that are in force or in shadow.
pub(crate) struct Index<'a> {
    policies: Vec<&'a CheckedPolicy>,
    mesh: Vec<Entry<'a>>,
    namespaces: BTreeMap<&'a str, Vec<Entry<'a>>>,
    services: BTreeMap<(&'a str, &'a str), Vec<Entry<'a>>>,
    /// Each policy at the rarest of the labels that it asks for.
    labels: BTreeMap<Label<'a>, Vec<Entry<'a>>>,
}

/// The policies that concern a workload.
pub(crate) struct Concerned<'a> {
    /// Sorted by name.
    pub(crate) policies: Vec<&'a CheckedPolicy>,
    /// How many were looked at.
    pub(crate) looked_at: usize,
}

impl<'a> Index<'a> {
    /// An index of policies.
    pub(crate) fn new(policies: &'a [CheckedPolicy]) -> Self {
        let policies: Vec<&CheckedPolicy> =
            policies.iter().filter(|policy| policy.mode != Mode::Off).collect();
        let mut common: BTreeMap<Label<'a>, usize> = BTreeMap::new();
        for target in policies.iter().flat_map(|policy| &policy.targets).map(|scope| &scope.target) {
            for label in labels_of(target) {
                *common.entry(label).or_insert(0) += 1;
            }
        }
        let mut this = Self {
            policies: Vec::new(),
            mesh: Vec::new(),
            namespaces: BTreeMap::new(),
            services: BTreeMap::new(),
            labels: BTreeMap::new(),
        };
        for (number, policy) in policies.iter().enumerate() {
            for scope in &policy.targets {
                let list = match &scope.target {
                    Target::Mesh => &mut this.mesh,
                    Target::Namespace(namespace) => this.namespaces.entry(namespace).or_default(),
                    Target::Service(service) if service.name == "*" => {
                        this.namespaces.entry(&service.namespace).or_default()
                    }
                    Target::Service(service) => {
                        this.services.entry((&service.namespace, &service.name)).or_default()
                    }
                    target @ Target::Workload { .. } => {
                        let rarest = labels_of(target).min_by_key(|label| common.get(label));
                        let Some(rarest) = rarest else { continue };
                        this.labels.entry(rarest).or_default()
                    }
                };
                list.push(Entry { policy: number, scope });
            }
        }
        this.policies = policies;
        this
    }

    /// The policies that concern requests of a workload.
    pub(crate) fn concerned(&self, workload: &Workload, direction: Direction) -> Concerned<'a> {
        let namespace = workload.namespace.as_str();
        let of_labels =
            workload.labels.iter().map(|(name, value)| (namespace, name.as_str(), value.as_str()));
        let lists = [Some(&self.mesh), self.namespaces.get(namespace)]
            .into_iter()
            .chain([self.services.get(&(namespace, workload.service.as_str()))])
            .chain(of_labels.map(|label| self.labels.get(&label)));
        let entries: Vec<&Entry<'_>> = lists.flatten().flatten().collect();
        let looked_at = entries.len();
        let concerns = |entry: &&Entry<'_>| {
            entry.scope.direction == direction && covers(&entry.scope.target, workload).is_some()
        };
        let distinct: BTreeSet<usize> =
            entries.into_iter().filter(concerns).map(|entry| entry.policy).collect();
        let mut policies: Vec<&CheckedPolicy> =
            distinct.into_iter().filter_map(|number| self.policies.get(number).copied()).collect();
        policies.sort_by(|a, b| a.name.cmp(&b.name));
        Concerned { policies, looked_at }
    }
}

impl Concerned<'_> {
    /// How these policies contradict each other at the workload.
    pub(crate) fn conflicts(&self, workload: &Workload, direction: Direction) -> Vec<Diagnostic> {
        let at = At::inside(workload, direction);
        let has_two = |states: fn(&CheckedPolicy) -> bool| {
            self.policies.iter().filter(|policy| states(policy)).nth(1).is_some()
        };
        let mut found = Vec::new();
        if has_two(|policy| policy.otherwise().is_some()) {
            found.extend(otherwise::of_all(&self.policies, at).err().unwrap_or_default());
        }
        if direction == Direction::Inbound && has_two(|policy| policy.plaintext().is_some()) {
            let policies = self.policies.iter().copied();
            found.extend(plaintext::link_plaintext(policies, workload).err().unwrap_or_default());
        }
        if has_two(|policy| !policy.cors().is_empty()) {
            found.extend(cors::cors(&self.policies, at).err().unwrap_or_default());
        }
        if has_two(|policy| policy.filter().is_some()) {
            let policies = self.policies.iter().copied();
            found.extend(filters::link_filters(policies, workload, direction).err().unwrap_or_default());
        }
        found
    }
}

/// The labels that a target asks for.
fn labels_of(target: &Target) -> impl Iterator<Item = Label<'_>> {
    let (namespace, labels) = match target {
        Target::Workload { namespace, labels } => (namespace.as_str(), Some(labels)),
        Target::Mesh | Target::Namespace(_) | Target::Service(_) => ("", None),
    };
    labels.into_iter().flatten().map(move |(name, value)| (namespace, name.as_str(), value.as_str()))
}
