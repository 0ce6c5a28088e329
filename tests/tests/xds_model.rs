//! Any sequence of configurations, told to a simulated proxy that answers when it likes and refuses
//! some versions, ends with the proxy on the newest one, and breaks nothing on the way.

use chancery_control::delivery::snapshot::{Resource, ResourceType, Snapshot};
use chancery_control::delivery::xds::message::{Answer, Event, Request, Response};
use chancery_control::delivery::xds::{Conversation, Memory};
use chancery_control::mesh::model::Revision;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Services of the mesh, by one letter. Each has a cluster, and a listener and a route that lead to it.
const SERVICES: [&str; 4] = ["a", "b", "c", "d"];
const KINDS: [ResourceType; 4] =
    [ResourceType::Cluster, ResourceType::Listener, ResourceType::Route, ResourceType::Extension];
/// Messages after which a conversation must have come to its end.
const MESSAGES_MAX: usize = 2000;

/// Versions of what a service has, in the order of [`KINDS`].
type Service = [u8; 4];

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// The control plane has another configuration.
    Configure(BTreeMap<usize, Service>),
    /// The proxy answers up to this many responses.
    Answer(usize),
    /// The connection breaks and comes back; messages under way are lost.
    Reconnect,
    /// The proxy is started anew.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let services = prop::collection::btree_map(0..SERVICES.len(), prop::array::uniform4(0..4_u8), 0..=4);
    let step = prop_oneof![
        4 => services.prop_map(Step::Configure),
        4 => (0..8_usize).prop_map(Step::Answer),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..20)
}

/// Versions of one kind that the proxy refuses.
fn refused() -> impl Strategy<Value = BTreeSet<(usize, u8)>> {
    prop::collection::btree_set((0..KINDS.len(), 0..4_u8), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_conversation_ends_on_the_newest_configuration(steps in steps(), refused in refused()) {
        let mut world = World::new(refused);
        for step in steps {
            world.take(step)?;
        }
        world.settle()?;
    }
}

struct World {
    snapshot: Arc<Snapshot>,
    conversation: Conversation,
    memory: Memory,
    /// What the proxy runs with.
    running: BTreeMap<(ResourceType, String), String>,
    /// What it refuses, and what it has refused alone.
    refuses: BTreeSet<(ResourceType, String)>,
    has_refused: BTreeSet<(ResourceType, String, String)>,
    subscribed: BTreeSet<ResourceType>,
    under_way: VecDeque<Response>,
    messages: usize,
}

impl World {
    fn new(refused: BTreeSet<(usize, u8)>) -> Self {
        let snapshot = Arc::new(Snapshot::default());
        let refuses = refused.into_iter().filter_map(|(kind, version)| {
            let kind = *KINDS.get(kind)?;
            Some((kind, resource(kind, "any", version).version))
        });
        let mut world = Self {
            conversation: Conversation::new(snapshot.clone(), Memory::default()),
            snapshot,
            memory: Memory::default(),
            running: BTreeMap::new(),
            refuses: refuses.collect(),
            has_refused: BTreeSet::new(),
            subscribed: BTreeSet::new(),
            under_way: VecDeque::new(),
            messages: 0,
        };
        world.connect();
        world
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Configure(services) => self.configure(&services),
            Step::Answer(count) => {
                for _ in 0..count {
                    self.answer()?;
                }
            }
            Step::Reconnect => self.connect(),
            Step::Restart => {
                self.running.clear();
                self.connect();
            }
        }
        self.pump();
        Ok(())
    }

    fn configure(&mut self, services: &BTreeMap<usize, Service>) {
        let mut resources = Vec::new();
        for (service, versions) in services {
            let name = SERVICES.get(*service).unwrap();
            resources
                .extend(KINDS.iter().zip(versions).map(|(kind, version)| resource(*kind, name, *version)));
        }
        let revision = Revision(self.snapshot.revision.0 + 1);
        self.snapshot = Arc::new(Snapshot::new(revision, resources.into_iter().map(Arc::new)));
        self.conversation.update(self.snapshot.clone());
    }

    fn connect(&mut self) {
        self.conversation = Conversation::new(self.snapshot.clone(), self.memory.clone());
        self.under_way.clear();
        self.subscribed.clear();
        for kind in [ResourceType::Cluster, ResourceType::Listener] {
            self.subscribe(kind, Vec::new());
        }
        self.follow_listeners();
    }

    fn subscribe(&mut self, kind: ResourceType, subscribe: Vec<String>) {
        let is_first = self.subscribed.insert(kind);
        let running = self.running.iter().filter(|((of, _), _)| is_first && *of == kind);
        let held = running.map(|((_, name), version)| (name.clone(), version.clone())).collect();
        self.say(kind, &Request { subscribe, held, ..Request::default() });
        self.pump();
    }

    fn say(&mut self, kind: ResourceType, request: &Request) {
        for event in self.conversation.receive(kind, request).unwrap() {
            self.memory.apply(&event);
            match event {
                Event::Started => self.has_refused.retain(|(kind, _, _)| *kind != ResourceType::Listener),
                Event::Rejected { resource, .. } => {
                    self.has_refused.insert((kind, resource.name.clone(), resource.version.clone()));
                }
                // What is wrong with others Envoy says again.
                Event::Removed { kind, name } if kind != ResourceType::Extension => {
                    self.has_refused.retain(|(of, called, _)| (*of, called) != (kind, &name));
                }
                Event::Accepted { .. }
                | Event::Removed { .. }
                | Event::Application(_)
                | Event::Unopened(_)
                | Event::Counts(_) => {}
            }
        }
    }

    /// Asks for the routes and extensions that the listeners name, once.
    fn follow_listeners(&mut self) {
        let listeners = self.running.keys().filter(|(kind, _)| *kind == ResourceType::Listener);
        let names: Vec<String> = listeners.map(|(_, name)| name.clone()).collect();
        for kind in [ResourceType::Route, ResourceType::Extension] {
            if !names.is_empty() {
                self.subscribe(kind, names.clone());
            }
        }
    }

    /// Routes and extensions live as long as the listener that names them.
    fn drop_with_listener(&mut self, name: &str) {
        for kind in [ResourceType::Route, ResourceType::Extension] {
            self.running.remove(&(kind, name.to_owned()));
            if self.subscribed.contains(&kind) {
                self.say(kind, &Request { unsubscribe: vec![name.to_owned()], ..Request::default() });
            }
        }
    }

    fn pump(&mut self) {
        while let Some(response) = self.conversation.next_response() {
            self.under_way.push_back(response);
        }
    }

    fn answer(&mut self) -> Result<(), TestCaseError> {
        let Some(response) = self.under_way.pop_front() else { return Ok(()) };
        self.messages += 1;
        let kind = response.kind;
        prop_assert!(
            kind != ResourceType::Extension || response.resources.len() <= 1,
            "extensions come one by one"
        );
        for name in &response.removed {
            let leads_there = [ResourceType::Listener, ResourceType::Route].map(|kind| (kind, name.clone()));
            let is_used = kind == ResourceType::Cluster
                && leads_there.iter().any(|leading| self.running.contains_key(leading));
            prop_assert!(!is_used, "cluster {name} is taken away while a listener or route leads there");
            self.running.remove(&(kind, name.clone()));
            if kind == ResourceType::Listener {
                self.drop_with_listener(name);
            }
        }
        for resource in &response.resources {
            let refused = (kind, resource.name.clone(), resource.version.clone());
            prop_assert!(!self.has_refused.contains(&refused), "sent again: {refused:?}");
        }
        let is_bad = |resource: &Arc<Resource>| self.refuses.contains(&(kind, resource.version.clone()));
        let rejection = response.resources.iter().any(is_bad).then(|| "refused".to_owned());
        let mut has_new_listener = false;
        if rejection.is_none() {
            for resource in response.resources {
                let key = (kind, resource.name.clone());
                let listener = (ResourceType::Listener, resource.name.clone());
                let by_listener = matches!(kind, ResourceType::Route | ResourceType::Extension);
                if by_listener && !self.running.contains_key(&listener) {
                    continue;
                }
                has_new_listener |= kind == ResourceType::Listener && !self.running.contains_key(&key);
                self.running.insert(key, resource.version.clone());
            }
        }
        let answer = Some(Answer { nonce: response.nonce, rejection });
        self.say(kind, &Request { answer, ..Request::default() });
        if has_new_listener {
            self.follow_listeners();
        }
        Ok(())
    }

    /// Lets both sides speak until neither has anything to say, and looks at where they are.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        self.pump();
        while !self.under_way.is_empty() {
            self.answer()?;
            self.pump();
            prop_assert!(self.messages < MESSAGES_MAX, "the conversation does not end");
        }
        let mut is_whole = true;
        let (mut is_only_closed, mut is_kept) = (true, false);
        for resource in self.snapshot.all() {
            let key = (resource.kind, resource.name.clone());
            let is_good = !self.refuses.contains(&(resource.kind, resource.version.clone()));
            is_whole &= is_good;
            is_only_closed &= is_good || resource.kind == ResourceType::Listener;
            is_kept |= !is_good && self.running.contains_key(&key);
            let listener = (ResourceType::Listener, resource.name.clone());
            let by_listener = matches!(resource.kind, ResourceType::Route | ResourceType::Extension);
            if is_good && (!by_listener || self.running.contains_key(&listener)) {
                prop_assert_eq!(self.running.get(&key), Some(&resource.version), "{:?}", key);
            }
        }
        let progress = self.conversation.progress();
        // A listener that cannot be opened keeps nobody waiting, except for what only it would ask for.
        if is_whole || !is_only_closed {
            prop_assert_eq!(progress.is_settled, is_whole, "{:?} of {:#?}", progress, self.running);
        }
        prop_assert!(!(is_kept && progress.is_settled), "what serves is an earlier one: {:#?}", self.running);
        if is_whole {
            let wanted = self.snapshot.all().count();
            prop_assert_eq!(self.running.len(), wanted, "nothing else is left: {:?}", self.running);
        }
        Ok(())
    }
}

/// The version follows from the kind and the number alone.
fn resource(kind: ResourceType, name: &str, version: u8) -> Resource {
    Resource::new(kind, name, format!("{kind:?} {version}").into_bytes(), [])
}
