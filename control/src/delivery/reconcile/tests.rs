//! Fleets from desired states.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod attached;

use super::Tools;
use crate::delivery::envoy::ConnectionLife;
use crate::delivery::fleet::FleetChange;
use crate::delivery::snapshot::{Resource, ResourceType, Snapshot};
use crate::mesh::identity::evictions::Serial;
use crate::mesh::model::{
    DesiredState, Document, Inbound, Outbound, PolicyRecord, Protocol, ProxyId, ProxyRegistration, Readiness,
    Revision,
};
use crate::policies::programs::Programs;
use chancery_policy_lang::checked::ServiceRef;
use chancery_policy_lang::log::LogKey;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// All snapshots at one moment.
type Fleet = BTreeMap<ProxyId, Arc<Snapshot>>;

/// A reconciler, and all that it gave.
struct Reconciler {
    reconciler: super::Reconciler,
    evicted: watch::Sender<Arc<[Serial]>>,
    fleet: Fleet,
    last: FleetChange,
}

/// Tools, and where to say who was evicted.
pub(super) fn tools() -> (Tools, watch::Sender<Arc<[Serial]>>) {
    tools_with(Programs::new().unwrap())
}

fn tools_with(programs: Programs) -> (Tools, watch::Sender<Arc<[Serial]>>) {
    let (evicted, receiver) = watch::channel(Arc::default());
    let tools = Tools {
        in_force: Arc::default(),
        life: ConnectionLife::default(),
        programs: Arc::new(programs),
        evicted: receiver,
        log_key: LogKey::default(),
        stop: CancellationToken::new(),
    };
    (tools, evicted)
}

impl Default for Reconciler {
    fn default() -> Self {
        Self::of(Programs::new().unwrap())
    }
}

impl Reconciler {
    fn of(programs: Programs) -> Self {
        let (tools, evicted) = tools_with(programs);
        let reconciler = super::Reconciler::new(tools);
        Self { reconciler, evicted, fleet: Fleet::new(), last: FleetChange::default() }
    }
}

impl Reconciler {
    fn build(&mut self, state: &DesiredState) -> Fleet {
        self.last = self.reconciler.take_in(&Arc::new(state.clone()));
        assert_eq!(self.last.revision, state.revision);
        self.last.gone.iter().for_each(|id| drop(self.fleet.remove(id)));
        self.fleet.extend(self.last.given.iter().map(|(id, snapshot)| (id.clone(), snapshot.clone())));
        self.fleet.clone()
    }

    /// Who was given something by the last build.
    fn given(&self) -> Vec<&str> {
        self.last.given.keys().map(|id| id.0.as_str()).collect()
    }
}

pub(super) const ORDERS: &str =
    "auth orders on service shop/orders { allow GET /api/** from service shop/cart }";
pub(super) const MESH: &str = "auth all on mesh { otherwise allow }";

#[test]
fn a_proxy_gets_what_it_offers_and_what_it_calls() {
    let state = mesh(&[ORDERS], &[orders(1), orders(2), cart(1)]);
    let fleet = Reconciler::default().build(&state);
    assert_eq!(
        names(snapshot(&fleet, "shop/orders/1")),
        "clusters local_app, listeners inbound, routes inbound, extensions evicted writ-inbound"
    );
    assert_eq!(
        names(snapshot(&fleet, "shop/cart/1")),
        "clusters mesh/shop/orders, endpoints mesh/shop/orders, listeners outbound/shop/orders, \
         routes outbound/shop/orders, extensions writ-outbound/shop/orders"
    );
    assert_eq!(policy_of(&fleet, "shop/orders/1").policies.to_vec(), ["orders".to_owned()]);
}

#[test]
fn equal_configuration_is_made_once() {
    let state = mesh(&[MESH], &[orders(1), orders(2), offering("pay", "bank", 3)]);
    let mut reconciler = Reconciler::default();
    let fleet = reconciler.build(&state);
    let one = policy_of(&fleet, "shop/orders/1");
    assert!(Arc::ptr_eq(one, policy_of(&fleet, "shop/orders/2")), "replicas share the policy");
    assert!(
        Arc::ptr_eq(one, policy_of(&fleet, "pay/bank/3")),
        "services that it does not tell apart do, too"
    );

    // And kept, as long as it is needed.
    let mut next = state.clone();
    next.register(cart(1));
    next.revision = Revision(2);
    let later = reconciler.build(&next);
    for kind in ResourceType::ALL {
        let (before, after) =
            (snapshot(&fleet, "shop/orders/1").of(kind), snapshot(&later, "shop/orders/1").of(kind));
        assert!(
            before.iter().zip(after.iter()).all(|(before, after)| Arc::ptr_eq(before, after)),
            "{kind:?}"
        );
    }
    assert_eq!(reconciler.given(), ["shop/cart/1"]);
    assert_eq!(snapshot(&later, "shop/orders/1").revision, Revision(1), "its policies are those of that one");
}

#[test]
fn the_same_state_gives_the_same_fleet() {
    let state = mesh(&[ORDERS, MESH], &[orders(1), cart(1)]);
    let mut used = Reconciler::default();
    drop(used.build(&mesh(&[MESH], &[orders(2)])));
    assert_eq!(used.build(&state), Reconciler::default().build(&state));
}

#[test]
fn a_replica_that_leaves_is_no_endpoint_any_more() {
    let mut reconciler = Reconciler::default();
    let fleets = [
        reconciler.build(&mesh(&[], &[orders(1), orders(2), cart(1)])),
        reconciler.build(&mesh(&[], &[orders(1), cart(1)])),
    ];
    let shown = fleets
        .map(|fleet| crate::delivery::envoy::yaml::of_snapshot(snapshot(&fleet, "shop/cart/1")).unwrap());
    let replicas = shown.map(|text| text.matches("address: \"10.0.0.").count());
    assert_eq!(replicas, [2, 1]);
}

#[test]
fn requests_go_to_replicas_that_are_ready_and_to_silent_ones_if_none_is() {
    let as_ready = |proxy: Arc<ProxyRegistration>, readiness| {
        Arc::new(ProxyRegistration { readiness, ..(*proxy).clone() })
    };
    let silent = Readiness::Silent { since: Timestamp::UNIX_EPOCH };
    let mut reconciler = Reconciler::default();
    let mut replicas = |one, other| {
        let replicas = [as_ready(orders(1), one), as_ready(orders(2), other), cart(1)];
        let fleet = reconciler.build(&mesh(&[], &replicas));
        let shown = crate::delivery::envoy::yaml::of_snapshot(snapshot(&fleet, "shop/cart/1")).unwrap();
        let given: Vec<String> = reconciler.given().into_iter().map(str::to_owned).collect();
        (["1", "2"].map(|number| shown.contains(&format!("10.0.0.{number}"))), given)
    };
    assert_eq!(replicas(Readiness::Ready, Readiness::Starting).0, [true, false]);
    // Who calls is told; the replica itself has what it had.
    let callers = || vec!["shop/cart/1".to_owned()];
    assert_eq!(replicas(Readiness::Ready, Readiness::Ready), ([true, true], callers()));
    assert_eq!(replicas(silent, Readiness::Ready), ([false, true], callers()));
    assert_eq!(replicas(silent, silent), ([true, true], callers()));
    assert_eq!(replicas(silent, Readiness::Starting), ([true, false], callers()));
    assert_eq!(replicas(Readiness::Starting, Readiness::Starting), ([false, false], callers()));
}

#[test]
fn an_eviction_is_told_to_all_that_others_can_reach() {
    let mut reconciler = Reconciler::default();
    let state = mesh(&[], &[orders(1), cart(1)]);
    reconciler.build(&state);
    reconciler.evicted.send_replace([[0x41; 16]].into());
    let mut later = state.clone();
    later.proxies.insert(ProxyId("shop/orders/2".to_owned()), orders(2));
    let fleet = reconciler.build(&later);
    assert_eq!(reconciler.given(), ["shop/cart/1", "shop/orders/1", "shop/orders/2"]);
    for proxy in ["shop/orders/1", "shop/orders/2"] {
        let shown = crate::delivery::envoy::yaml::of_snapshot(snapshot(&fleet, proxy)).unwrap();
        assert!(shown.contains(&format!("serialNumber={}", "41".repeat(16))), "{shown}");
    }
    assert_eq!(snapshot(&fleet, "shop/orders/1").revision, Revision(1));
    reconciler.build(&later);
    assert!(reconciler.given().is_empty(), "once");
}

#[test]
fn without_a_policy_everything_is_allowed() {
    let fleet = Reconciler::default().build(&mesh(&[ORDERS], &[offering("pay", "bank", 1)]));
    let policy = policy_of(&fleet, "pay/bank/1");
    assert_eq!(**policy, crate::delivery::envoy::extension::unrestricted());
}

#[test]
fn a_test_of_a_policy_in_another_file_is_no_problem() {
    let test =
        format!("{MESH}\ntest \"t\" for orders {{ given GET /api/x from service shop/cart expect allow }}");
    let fleet = Reconciler::default().build(&mesh(&[ORDERS, &test], &[orders(1)]));
    assert_eq!(snapshot(&fleet, "shop/orders/1").problems.to_vec(), Vec::<String>::new());
}

#[test]
fn when_policies_conflict_the_last_good_one_stays() {
    let other = "auth other on mesh { otherwise deny }";
    let mut reconciler = Reconciler::default();
    let good = reconciler.build(&mesh(&[MESH], &[orders(1)]));
    let conflict = reconciler.build(&mesh(&[MESH, other], &[orders(1), orders(2)]));
    for proxy in ["shop/orders/1", "shop/orders/2"] {
        let snapshot = snapshot(&conflict, proxy);
        assert!(Arc::ptr_eq(policy_of(&conflict, proxy), policy_of(&good, "shop/orders/1")));
        let [problem] = &*snapshot.problems else { panic!("{:?}", snapshot.problems) };
        assert!(problem.contains("otherwise"), "{problem}");
    }
    // Solved, it is as if it had never been.
    let solved = reconciler.build(&mesh(&[MESH], &[orders(1)]));
    assert_eq!(solved, good);
}

#[test]
fn a_change_reaches_whom_it_concerns_and_nobody_else() {
    let client = |number: u8| {
        let id = ProxyId(format!("shop/cart/{number}"));
        Arc::new(ProxyRegistration { id, ..(*cart(1)).clone() })
    };
    let everybody = [orders(1), orders(2), client(1), client(2), offering("pay", "bank", 3)];
    let mut reconciler = Reconciler::default();
    reconciler.build(&mesh(&[ORDERS], &everybody));
    assert_eq!(reconciler.given().len(), 5);

    let mut next = mesh(&[&ORDERS.replace("GET", "POST")], &everybody);
    next.revision = Revision(2);
    let fleet = reconciler.build(&next);
    assert_eq!(reconciler.given(), ["shop/orders/1", "shop/orders/2"], "a policy of a service");
    assert_eq!(snapshot(&fleet, "shop/orders/1").revision, Revision(2));

    let commented = format!("# Why.\n{}", ORDERS.replace("GET", "POST"));
    let mut next = mesh(&[], &everybody);
    let document = Document { name: "policies.writ".to_owned(), text: commented.as_str().into() };
    next.place(PolicyRecord {
        name: "orders".to_owned(),
        document: document.digest(),
        revision: Revision(2),
        set: None,
        filters: [].into(),
    });
    next.documents.insert(document.digest(), Arc::new(document));
    reconciler.build(&next);
    assert!(reconciler.given().is_empty(), "what says the same as before");

    let joined: Vec<_> = everybody.iter().cloned().chain([orders(4)]).collect();
    next.proxies = joined.iter().map(|proxy| (proxy.id.clone(), proxy.clone())).collect();
    reconciler.build(&next);
    assert_eq!(
        reconciler.given(),
        ["shop/cart/1", "shop/cart/2", "shop/orders/4"],
        "who joins, and who calls it"
    );
    next.unregister(&ProxyId("shop/cart/2".to_owned()));
    reconciler.build(&next);
    assert!(
        reconciler.given().is_empty() && reconciler.last.gone.len() == 1,
        "who leaves and is called by nobody"
    );
}

#[test]
fn who_shares_limits_is_told_how_many_replicas_there_are() {
    let limits = "traffic few on service shop/orders { limit 9/s shared }";
    let second = "traffic v2 on workload shop { version: \"v2\" } { limit 5/s shared }";
    let steady = "traffic each on service shop/orders { \
                  limit 9/s per headers[\"x-t\"] shared  balance ring_hash by headers[\"x-t\"] }";
    let version = |proxy: Arc<ProxyRegistration>, version: &str| {
        let labels = Arc::new([("version".to_owned(), version.to_owned())].into());
        Arc::new(ProxyRegistration { labels, ..(*proxy).clone() })
    };
    let silent = |proxy: Arc<ProxyRegistration>| {
        let readiness = Readiness::Silent { since: Timestamp::UNIX_EPOCH };
        Arc::new(ProxyRegistration { readiness, ..(*proxy).clone() })
    };
    let mut reconciler = Reconciler::default();
    let mut told = |texts: &[&str], proxies: &[Arc<ProxyRegistration>]| {
        let fleet = reconciler.build(&mesh(texts, proxies));
        let given: Vec<String> = reconciler.given().into_iter().map(str::to_owned).collect();
        let shown = fleet.iter().filter(|(id, _)| id.0.starts_with("shop/orders")).map(|(id, snapshot)| {
            let text = crate::delivery::envoy::yaml::of_snapshot(snapshot).unwrap();
            let said = text.split("limits are shared by ").nth(1);
            let numbers = said.and_then(|rest| rest.split(" replicas").next()).unwrap_or("-").to_owned();
            (id.0.split('/').next_back().unwrap().to_owned(), numbers)
        });
        (shown.collect::<BTreeMap<_, _>>(), given)
    };
    let of = |numbers: &[(&str, &str)]| -> BTreeMap<String, String> {
        numbers.iter().map(|(id, told)| ((*id).to_owned(), (*told).to_owned())).collect()
    };
    assert_eq!(told(&[ORDERS], &[orders(1), cart(1)]).0, of(&[("1", "-")]));
    assert_eq!(told(&[limits], &[orders(1), cart(1)]).0, of(&[("1", "1")]));
    let (numbers, given) = told(&[limits], &[orders(1), orders(2), cart(1), offering("pay", "bank", 9)]);
    assert_eq!(numbers, of(&[("1", "2"), ("2", "2")]));
    assert_eq!(given, ["pay/bank/9", "shop/cart/1", "shop/orders/1", "shop/orders/2"]);
    // One that gets no requests has no share; and it is told, too, for it may get some in a moment.
    let (numbers, given) = told(&[limits], &[orders(1), silent(orders(2)), cart(1)]);
    assert_eq!(numbers, of(&[("1", "1"), ("2", "1")]));
    assert_eq!(given, ["shop/cart/1", "shop/orders/1", "shop/orders/2"]);
    let (numbers, _) = told(&[limits], &[silent(orders(1)), silent(orders(2))]);
    assert_eq!(numbers, of(&[("1", "2"), ("2", "2")]), "if all are silent, they get the requests");

    let versions = [version(orders(1), "v1"), version(orders(2), "v2"), version(orders(3), "v2")];
    let (numbers, _) = told(&[limits, second], &versions);
    assert_eq!(numbers, of(&[("1", "3"), ("2", "3, 2"), ("3", "3, 2")]));
    let (numbers, _) = told(&[steady], &[orders(1), orders(2)]);
    assert_eq!(numbers, of(&[("1", "1"), ("2", "1")]), "all of a value come to one replica");
    let (numbers, _) =
        told(&[&steady.replace("ring_hash by headers[\"x-t\"]", "round_robin")], &[orders(1), orders(2)]);
    assert_eq!(numbers, of(&[("1", "2"), ("2", "2")]));
}

#[test]
fn a_problem_from_the_beginning_takes_no_policy_away() {
    let state = mesh(&["auth broken on mesh {", ORDERS], &[orders(1)]);
    let fleet = Reconciler::default().build(&state);
    let snapshot = snapshot(&fleet, "shop/orders/1");
    assert!(!snapshot.of(ResourceType::Extension).contains("writ-inbound"));
    assert!(snapshot.is_unmade(ResourceType::Extension, "writ-inbound"));
    assert_eq!(snapshot.problems.len(), 1);
}

pub(super) fn mesh(texts: &[&str], proxies: &[Arc<ProxyRegistration>]) -> DesiredState {
    let mut state = DesiredState {
        revision: Revision(1),
        trust_domain: "mesh.test".to_owned(),
        ..DesiredState::default()
    };
    for text in texts {
        let document = Document { name: "policies.writ".to_owned(), text: (*text).into() };
        let digest = document.digest();
        let name = text.split_whitespace().nth(1).unwrap().to_owned();
        state.documents.insert(digest.clone(), Arc::new(document));
        state.place(PolicyRecord {
            name,
            document: digest,
            revision: Revision(1),
            set: None,
            filters: [].into(),
        });
    }
    proxies.iter().for_each(|proxy| state.register(proxy.clone()));
    state
}

fn service(namespace: &str, name: &str) -> ServiceRef {
    ServiceRef { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn offering(namespace: &str, name: &str, number: u8) -> Arc<ProxyRegistration> {
    Arc::new(ProxyRegistration {
        token: None,
        check: None,
        readiness: Readiness::Ready,
        id: ProxyId(format!("{namespace}/{name}/{number}")),
        service: service(namespace, name),
        labels: Arc::default(),
        inbound: Some(Inbound {
            listen: ([10, 0, 0, number], 8443).into(),
            advertised: ([10, 0, 0, number], 8443).into(),
            application: ([127, 0, 0, 1], 8080).into(),
            protocol: Protocol::Http1,
            probes: None,
        }),
        outbounds: Vec::new(),
    })
}

pub(super) fn orders(number: u8) -> Arc<ProxyRegistration> {
    offering("shop", "orders", number)
}

pub(super) fn cart(number: u8) -> Arc<ProxyRegistration> {
    Arc::new(ProxyRegistration {
        token: None,
        check: None,
        readiness: Readiness::Ready,
        id: ProxyId(format!("shop/cart/{number}")),
        service: service("shop", "cart"),
        labels: Arc::default(),
        inbound: None,
        outbounds: vec![Outbound {
            service: service("shop", "orders"),
            listen: ([127, 0, 0, 1], 7001).into(),
        }],
    })
}

fn snapshot<'a>(fleet: &'a Fleet, proxy: &str) -> &'a Snapshot {
    fleet.get(&ProxyId(proxy.to_owned())).unwrap()
}

fn policy_of<'a>(fleet: &'a Fleet, proxy: &str) -> &'a Arc<Resource> {
    snapshot(fleet, proxy).of(ResourceType::Extension).get("writ-inbound").unwrap()
}

fn names(snapshot: &Snapshot) -> String {
    let resources = snapshot.resources.iter().map(|(kind, resources)| {
        let names: Vec<_> = resources.names().map(String::as_str).collect();
        format!("{} {}", kind.as_str(), names.join(" "))
    });
    resources.collect::<Vec<_>>().join(", ")
}
