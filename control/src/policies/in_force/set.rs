//! A set of policies and the documents that state them, by name and by what they are about.

use super::{describe, read, surroundings};
use crate::mesh::model::{DesiredState, Document, PolicyRecord};
use crate::mesh::store::Step;
use crate::policies::documents::{Standing, View};
use crate::policies::population::{Population, workload};
use crate::policies::workloads::{representative, representatives};
use chancery_policy_lang::checked::{CheckedPolicy, CheckedTest, Direction, Mode, Scope, Target};
use chancery_policy_lang::link::{Facts, Specificity, covers, may_hide, reach};
use chancery_policy_lang::linked::Workload;
use chancery_policy_lang::sinks::sent_to;
use chancery_policy_lang::syntax::SyntaxTree;
use chancery_policy_lang::syntax::ast::Item;
use chancery_policy_lang::{FileId, SourceSet};
use imbl::{OrdMap, OrdSet};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Policies, and the texts that their spans point into. A copy shares all but the list of texts.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    /// The documents.
    pub sources: SourceSet,
    /// The policies, by name.
    policies: OrdMap<String, Arc<PolicyInForce>>,
    /// What was read of each document, by the document's digest.
    documents: OrdMap<String, Arc<StoredDocument>>,
    /// The names of the policies that are about a place.
    by_place: OrdMap<Place, OrdSet<String>>,
    /// Names of policies, each with the digest of a document that has a test of it.
    tested: OrdSet<(String, String)>,
    /// Policies that are stored and yet cannot be read, and why. They were accepted once, so this is empty unless
    /// the program is older than the data.
    unreadable: OrdMap<String, String>,
    /// The names of the policies with an `otherwise deny`.
    denying_otherwise: OrdSet<String>,
    /// Places in `sources` of documents that are no more.
    free: Vec<FileId>,
}

/// A policy as it is in force.
#[derive(Debug)]
pub struct PolicyInForce {
    /// The policy.
    pub policy: CheckedPolicy,
    /// What it says: SHA-256 of its text and of what its file says around policies. Its name is part of its text.
    pub digest: [u8; 32],
    /// What it reads of the workloads that it is about.
    pub facts: Facts,
}

/// A document that is stored.
#[derive(Clone, Debug)]
pub struct StoredDocument {
    /// Its tree.
    pub tree: SyntaxTree,
    /// What everything but policies and tests says in it.
    pub surroundings: String,
    /// Its policies, in force or not; or what is wrong with it.
    policies: Result<Vec<Arc<PolicyInForce>>, String>,
}

/// What a policy may be about. All places of a namespace but itself stand beside each other in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Mesh,
    Namespace(String),
    /// Workloads of a namespace with some labels.
    Labelled(String),
    Service(String, String),
}

impl Place {
    fn of(target: &Target) -> Self {
        match target {
            Target::Mesh => Self::Mesh,
            Target::Namespace(namespace) => Self::Namespace(namespace.clone()),
            Target::Service(service) if service.name == "*" => Self::Namespace(service.namespace.clone()),
            Target::Service(service) => Self::Service(service.namespace.clone(), service.name.clone()),
            Target::Workload { namespace, .. } => Self::Labelled(namespace.clone()),
        }
    }
}

impl PolicyInForce {
    /// A policy of a file with these surroundings.
    #[must_use]
    pub fn new(policy: CheckedPolicy, sources: &SourceSet, surroundings: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update((surroundings.len() as u64).to_be_bytes());
        hash.update(surroundings);
        hash.update(sources.snippet(policy.span));
        let facts = Facts::of(&policy);
        Self { policy, digest: hash.finalize().into(), facts }
    }
}

impl PolicySet {
    /// Takes in policies that came, changed and went, and the documents that state them in `state`.
    pub fn take_in(&mut self, state: &DesiredState, steps: &BTreeMap<String, Step<PolicyRecord>>) {
        for (name, step) in steps {
            self.remove(name);
            if let Some(after) = &step.after {
                self.read(state, after);
            }
        }
        for before in steps.values().filter_map(|step| step.before.as_ref()) {
            if !state.documents.contains_key(&before.document) {
                self.forget(&before.document);
            }
        }
    }

    fn read(&mut self, state: &DesiredState, record: &PolicyRecord) {
        let name = &record.name;
        let Some(document) = state.documents.get(&record.document) else {
            let problem = format!("the text of policy `{name}` is missing");
            self.unreadable.insert(name.clone(), problem);
            return;
        };
        let stored = self.stored(&record.document, document);
        let found = match &stored.policies {
            Ok(policies) => policies.iter().find(|policy| policy.policy.name == *name).cloned(),
            Err(problem) => {
                let problem = format!("policy `{name}` cannot be read: {problem}");
                self.unreadable.insert(name.clone(), problem);
                return;
            }
        };
        match found {
            Some(policy) => self.put(policy),
            None => {
                self.unreadable.insert(name.clone(), format!("policy `{name}` is not in its text"));
            }
        }
    }

    /// What was read of a document, now or earlier.
    fn stored(&mut self, digest: &str, document: &Document) -> Arc<StoredDocument> {
        if let Some(stored) = self.documents.get(digest) {
            return stored.clone();
        }
        let file = match self.free.pop() {
            Some(file) => {
                self.sources.put(file, document.name.clone(), document.text.clone());
                file
            }
            None => self.sources.add(document.name.clone(), document.text.clone()),
        };
        let read = read(&self.sources, file, document);
        let surroundings = surroundings(&read.tree);
        let policies = if read.errors.is_empty() {
            let new = |policy| Arc::new(PolicyInForce::new(policy, &self.sources, &surroundings));
            Ok(read.policies.into_iter().map(new).collect())
        } else {
            Err(describe(&read.errors))
        };
        for name in tested_in(&read.tree) {
            self.tested.insert((name, digest.to_owned()));
        }
        let stored = Arc::new(StoredDocument { tree: read.tree, surroundings, policies });
        self.documents.insert(digest.to_owned(), stored.clone());
        stored
    }

    fn forget(&mut self, digest: &str) {
        let Some(stored) = self.documents.remove(digest) else { return };
        for name in tested_in(&stored.tree) {
            self.tested.remove(&(name, digest.to_owned()));
        }
        self.free.push(stored.tree.file_id());
    }

    /// Puts a policy in the place of the one of its name, if there is one. Its span points into `sources`.
    pub fn put(&mut self, policy: Arc<PolicyInForce>) {
        let name = &policy.policy.name;
        self.remove(name);
        for scope in &policy.policy.targets {
            self.by_place.entry(Place::of(&scope.target)).or_default().insert(name.clone());
        }
        if policy.policy.otherwise().is_some_and(|otherwise| !otherwise.allow) {
            self.denying_otherwise.insert(name.clone());
        }
        self.policies.insert(name.clone(), policy);
    }

    /// Takes a policy out.
    pub fn remove(&mut self, name: &str) {
        self.unreadable.remove(name);
        self.denying_otherwise.remove(name);
        let Some(before) = self.policies.remove(name) else { return };
        for scope in &before.policy.targets {
            let place = Place::of(&scope.target);
            if let Some(names) = self.by_place.get_mut(&place) {
                names.remove(name);
                if names.is_empty() {
                    self.by_place.remove(&place);
                }
            }
        }
    }

    /// A policy of the set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<PolicyInForce>> {
        self.policies.get(name)
    }

    /// All policies, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<PolicyInForce>> {
        self.policies.values()
    }

    /// A policy that denies what no rule allows.
    #[must_use]
    pub fn denying_otherwise(&self) -> Option<&Arc<PolicyInForce>> {
        self.policies.get(self.denying_otherwise.iter().next()?)
    }

    /// Why a policy that is stored is not in the set, of the first of those that are not.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.unreadable.values().next().map(String::as_str)
    }

    /// What was read of a document.
    #[must_use]
    pub fn document(&self, digest: &str) -> Option<&StoredDocument> {
        self.documents.get(digest).map(|stored| &**stored)
    }

    /// What a document of the state still says.
    #[must_use]
    pub fn standing(&self, state: &DesiredState, digest: &str) -> Option<Standing> {
        let (document, read) = (state.documents.get(digest)?, self.documents.get(digest)?);
        Some(View { state, digest }.standing(document, &read.tree))
    }

    /// The digests of the documents that have a test of one of these policies.
    #[must_use]
    pub fn testing<'a>(&'a self, names: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let of = |name: &'a str| {
            let those = self.tested.range((name.to_owned(), String::new())..);
            those.take_while(move |(tested, _)| tested == name).map(|(_, digest)| digest.as_str())
        };
        names.into_iter().flat_map(of).collect()
    }

    /// The policies that concern inbound requests of a workload and are not off, by name, each with how narrowly; behind
    /// them the sinks that they send to.
    #[must_use]
    pub fn concerning(&self, workload: &Workload) -> Vec<(&Arc<PolicyInForce>, Specificity)> {
        self.reaching(workload, Direction::Inbound)
    }

    /// The same of requests that leave the workload.
    #[must_use]
    pub fn leaving(&self, workload: &Workload) -> Vec<(&Arc<PolicyInForce>, Specificity)> {
        self.reaching(workload, Direction::Outbound)
    }

    /// The policies that redact something of requests to a service, be it to some of its workloads alone.
    #[must_use]
    pub fn hiding(&self, service: &Workload) -> Vec<&Arc<PolicyInForce>> {
        let named = self.about(service).into_iter().filter_map(|name| self.policies.get(name));
        named.filter(|policy| may_hide(&policy.policy, service)).collect()
    }

    fn reaching(&self, workload: &Workload, direction: Direction) -> Vec<(&Arc<PolicyInForce>, Specificity)> {
        let concerning = |name: &String| {
            let policy = self.policies.get(name).filter(|policy| policy.policy.mode != Mode::Off)?;
            Some((policy, reach(&policy.policy, workload, direction)?))
        };
        let mut found: Vec<_> = self.about(workload).into_iter().filter_map(concerning).collect();
        let named: BTreeSet<&str> = found.iter().flat_map(|(policy, _)| sent_to(&policy.policy)).collect();
        let sinks = named.into_iter().filter_map(|name| self.policies.get(name));
        let sinks: Vec<_> = sinks.filter(|policy| policy.policy.sink().is_some()).collect();
        found.extend(sinks.into_iter().map(|sink| (sink, Specificity::Mesh)));
        found
    }

    /// What a policy is about, and of a sink what the policies are about that send to it.
    #[must_use]
    pub fn felt_at(&self, name: &str) -> Vec<&Scope> {
        let Some(policy) = self.policies.get(name) else { return Vec::new() };
        let sends = |other: &&Arc<PolicyInForce>| sent_to(&other.policy).any(|sink| sink == name);
        let senders = policy.policy.sink().map(|_| self.policies.values().filter(sends));
        let those = senders.into_iter().flatten().chain([policy]);
        those.flat_map(|policy| &policy.policy.targets).collect()
    }

    /// The names of all sinks.
    #[must_use]
    pub fn sinks(&self) -> BTreeSet<&str> {
        let sinks = self.policies.values().filter(|policy| policy.policy.sink().is_some());
        sinks.map(|policy| policy.policy.name.as_str()).collect()
    }

    /// The workloads that a target covers and that the policies have to make sense for: all that joined, and one
    /// that stands for each scope, so that the first sidecar of a service finds no surprise.
    #[must_use]
    pub fn workloads(
        &self,
        target: &Target,
        population: &Population,
        trust_domain: &str,
    ) -> BTreeSet<Workload> {
        let near = self.near(target);
        let mut workloads = representatives(near.iter().map(|policy| &policy.policy), trust_domain);
        workloads.retain(|workload| covers(target, workload).is_some());
        workloads.insert(representative(target, trust_domain));
        let joined = population.covered(target);
        workloads.extend(joined.map(|(service, labels)| workload(service, labels, trust_domain)));
        workloads
    }

    /// The policies that tests are about, and those that may concern the workloads that they are run for: those of
    /// the first target of the first policy of each.
    #[must_use]
    pub fn beside_tests(&self, tests: &[CheckedTest]) -> Vec<CheckedPolicy> {
        let mut names: BTreeSet<&str> = BTreeSet::new();
        for test in tests {
            names.extend(test.policies.iter().map(String::as_str));
            let first = test.policies.first().and_then(|name| self.policies.get(name));
            names
                .extend(first.into_iter().flat_map(|policy| self.around(&policy.policy)).map(String::as_str));
        }
        names
            .into_iter()
            .filter_map(|name| self.policies.get(name))
            .map(|policy| policy.policy.clone())
            .collect()
    }

    /// The names of the policies that may concern the workloads that a policy does.
    #[must_use]
    pub fn around(&self, policy: &CheckedPolicy) -> BTreeSet<&String> {
        let of = |target: &Target| self.about(&representative(target, ""));
        policy.targets.iter().flat_map(|scope| of(&scope.target)).collect()
    }

    /// The names of the policies that are about a place where a workload is.
    fn about(&self, workload: &Workload) -> BTreeSet<&String> {
        let Workload { namespace, service, .. } = workload;
        let places = [
            Place::Mesh,
            Place::Namespace(namespace.clone()),
            Place::Labelled(namespace.clone()),
            Place::Service(namespace.clone(), service.clone()),
        ];
        places.iter().filter_map(|place| self.by_place.get(place)).flatten().collect()
    }

    /// The policies whose scopes may lie inside of a target.
    fn near(&self, target: &Target) -> Vec<&Arc<PolicyInForce>> {
        let place = Place::of(target);
        let places: Vec<&OrdSet<String>> = match &place {
            Place::Mesh => self.by_place.values().collect(),
            Place::Namespace(namespace) => {
                let services = self.by_place.range(Place::Service(namespace.clone(), String::new())..);
                let services = services
                    .take_while(|(place, _)| matches!(place, Place::Service(of, _) if of == namespace))
                    .map(|(_, names)| names);
                let labelled = self.by_place.get(&Place::Labelled(namespace.clone()));
                services.chain(labelled).chain(self.by_place.get(&place)).collect()
            }
            Place::Labelled(_) | Place::Service(..) => self.by_place.get(&place).into_iter().collect(),
        };
        let names: BTreeSet<&String> = places.into_iter().flatten().collect();
        names.into_iter().filter_map(|name| self.policies.get(name)).collect()
    }
}

/// The names of the policies that the tests of a document are about.
#[must_use]
pub fn tested_in(tree: &SyntaxTree) -> BTreeSet<String> {
    let items = tree.file().into_iter().flat_map(|file| file.items());
    let names = |item| match item {
        Item::Test(node) => node.policies().map(|token| token.text().to_owned()).collect(),
        _ => Vec::new(),
    };
    items.flat_map(names).collect()
}
