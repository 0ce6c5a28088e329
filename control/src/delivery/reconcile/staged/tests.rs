//! Who is given what while a rollout is under way.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use super::super::tests::{MESH, ORDERS, cart, mesh, orders, tools};
use super::*;
use crate::delivery::snapshot::{Resource, ResourceType};
use crate::mesh::model::rollout::{Phase, RolloutPlan, Share, Stage};
use crate::mesh::model::{Document, PolicyRecord, ProxyRegistration};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

const NEWER: &str = "auth orders on service shop/orders { allow GET /newer/** from service shop/cart }";

/// A mesh whose sidecars are given what the rollout says.
struct Course {
    staged: Staged,
    state: DesiredState,
    fleet: BTreeMap<ProxyId, Arc<Snapshot>>,
    last: FleetChange,
}

impl Course {
    fn new(proxies: &[Arc<ProxyRegistration>]) -> Self {
        let (staged, state) = (Staged::new(tools().0), mesh(&[ORDERS, MESH], proxies));
        let mut course = Self { staged, state, fleet: BTreeMap::new(), last: FleetChange::default() };
        course.take_in();
        course
    }

    fn take_in(&mut self) {
        let change = self.staged.take_in(&Arc::new(self.state.clone()));
        assert_eq!(change.revision, self.state.revision);
        change.gone.iter().for_each(|id| drop(self.fleet.remove(id)));
        self.fleet.extend(change.given.iter().map(|(id, snapshot)| (id.clone(), snapshot.clone())));
        self.last = change;
    }

    /// Begins a rollout of another text of `orders`.
    fn begin(&mut self) {
        let (stable, from) = (Some(self.state.policy_set()), self.state.revision);
        let document = Document { name: "newer.writ".to_owned(), text: NEWER.into() };
        let (digest, revision) = (document.digest(), Revision(from.0 + 1));
        self.state.documents.insert(digest.clone(), Arc::new(document));
        self.state.place(PolicyRecord {
            name: "orders".to_owned(),
            document: digest,
            revision,
            set: None,
            filters: Default::default(),
        });
        self.state.revision = revision;
        let share = |text| Stage::Share(Share::parse(text).unwrap());
        let plan = RolloutPlan {
            stages: vec![share("5%"), share("50%"), share("100%")],
            soak: Duration::ZERO,
            absent_wait: Duration::ZERO,
            errors_max: Share::ALL,
        };
        self.state.rollout = Some(Arc::new(Rollout {
            from,
            to: revision,
            plan,
            begun: Timestamp::UNIX_EPOCH,
            reached: None,
            phase: Phase::Running,
            stable,
        }));
        self.take_in();
    }

    fn go_on(&mut self) {
        let mut rollout = (**self.state.rollout.as_ref().unwrap()).clone();
        let stage = rollout.next_stage().unwrap();
        let split = self.last.split.clone().unwrap();
        let bound = rollout.bound(stage, split.stable.keys());
        rollout.reached = Some(StageReached { stage, bound, since: Timestamp::UNIX_EPOCH });
        self.state.rollout = Some(Arc::new(rollout));
        self.take_in();
    }

    fn done(&mut self) {
        let rollout = (**self.state.rollout.as_ref().unwrap()).clone();
        self.state.rollout = Some(Arc::new(Rollout { phase: Phase::Done, stable: None, ..rollout }));
        self.take_in();
    }

    /// How many of the replicas of `shop/orders` have the newer text.
    fn newer(&self) -> usize {
        let mut fresh = Staged::new(tools().0);
        let mut state = self.state.clone();
        state.rollout = None;
        let candidate = fresh.take_in(&Arc::new(state)).given;
        let filter = |snapshot: &Arc<Snapshot>| {
            snapshot.of(ResourceType::Extension).get("writ-inbound").map(|filter| filter.version.clone())
        };
        let has = |(id, snapshot): &(&ProxyId, &Arc<Snapshot>)| {
            let wanted = candidate.get(*id).and_then(filter);
            wanted.is_some() && filter(snapshot) == wanted
        };
        self.fleet.iter().filter(has).count()
    }

    fn given(&self) -> usize {
        self.last.given.len()
    }
}

/// Proxies, their resources and the versions of those, a line each.
fn versions(fleet: &BTreeMap<ProxyId, Arc<Snapshot>>) -> String {
    let of_one = |(id, snapshot): (&ProxyId, &Arc<Snapshot>)| {
        let line = |resource: &Arc<Resource>| {
            format!("{id} {} {} {}\n", resource.kind.noun(), resource.name, resource.version)
        };
        snapshot.all().map(line).collect::<String>()
    };
    fleet.iter().map(of_one).collect()
}

fn replicas(count: u8) -> Vec<Arc<ProxyRegistration>> {
    (1..=count).map(orders).chain([cart(1)]).collect()
}

#[test]
fn stage_by_stage_more_sidecars_have_the_newer_policies() {
    let mut course = Course::new(&replicas(20));
    course.begin();
    assert_eq!((course.newer(), course.given()), (0, 0), "nothing is told to anybody yet");
    let split = course.last.split.clone().unwrap();
    assert_eq!((split.stable.len(), split.reached.len()), (20, 0), "the caller is not concerned");
    course.go_on();
    assert_eq!((course.newer(), course.given()), (1, 1));
    course.go_on();
    assert_eq!((course.newer(), course.given()), (10, 9));
    course.go_on();
    assert_eq!((course.newer(), course.given()), (20, 10));
    course.done();
    assert_eq!((course.newer(), course.given(), course.last.split.is_none()), (20, 0, true));
}

#[test]
fn who_had_the_candidate_gets_the_stable_set_back_and_nobody_else_is_told() {
    let mut course = Course::new(&replicas(20));
    let before = course.fleet.clone();
    course.begin();
    course.go_on();
    course.go_on();
    let rollout = (**course.state.rollout.as_ref().unwrap()).clone();
    let stable = course.state.stable().unwrap();
    course.state = DesiredState {
        revision: Revision(3),
        rollout: Some(Arc::new(Rollout {
            phase: Phase::Undone(Default::default()),
            stable: None,
            ..rollout
        })),
        ..stable
    };
    course.take_in();
    assert_eq!(course.given(), 10);
    assert_eq!(versions(&course.fleet), versions(&before), "byte for byte");
    course.begin();
    course.go_on();
    assert_eq!((course.newer(), course.given()), (1, 1), "another one can begin");
}

#[test]
fn one_that_has_just_started_gives_everybody_what_it_had() {
    let mut course = Course::new(&replicas(20));
    course.begin();
    course.go_on();
    course.go_on();
    let mut again = Staged::new(tools().0);
    let change = again.take_in(&Arc::new(course.state.clone()));
    assert!(change.is_whole);
    assert_eq!(versions(&change.given), versions(&course.fleet));
    assert_eq!(change.split.unwrap().reached, course.last.split.clone().unwrap().reached);
}

#[test]
fn a_replica_that_joins_or_leaves_meanwhile_is_told_to_callers_of_both_sets() {
    let mut course = Course::new(&replicas(20));
    course.begin();
    course.go_on();
    course.go_on();
    course.state.register(orders(21));
    course.take_in();
    assert_eq!(course.given(), 2, "itself and the caller");
    assert!(course.last.split.as_ref().unwrap().stable.contains_key(&ProxyId("shop/orders/21".to_owned())));
    course.state.unregister(&ProxyId("shop/orders/21".to_owned()));
    course.take_in();
    assert_eq!((course.given(), course.last.gone.len()), (1, 1));
    assert_eq!(course.last.split.as_ref().unwrap().stable.len(), 20);
    assert_eq!(course.newer(), 10);
}

#[test]
fn a_rollout_that_was_slept_through_leaves_nothing_behind() {
    let mut course = Course::new(&replicas(4));
    course.begin();
    course.go_on();
    // It ended, and another one began, before anybody looked.
    let rollout = (**course.state.rollout.as_ref().unwrap()).clone();
    let done = DesiredState { rollout: None, ..course.state.clone() };
    let stable = Some(done.policy_set());
    course.state.displace("orders");
    course.state.revision = Revision(3);
    let (from, to) = (Revision(2), Revision(3));
    course.state.rollout = Some(Arc::new(Rollout { from, to, reached: None, stable, ..rollout }));
    course.take_in();
    course.state.rollout = None;
    let stays = course.fleet.clone();
    course.state = done;
    assert_eq!(course.newer(), 4, "all have what the first one brought");
    assert_eq!(stays.len(), 5);
}
