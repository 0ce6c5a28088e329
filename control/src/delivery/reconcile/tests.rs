//! Fleets from desired states.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

use super::Reconciler;
use crate::delivery::snapshot::{Fleet, Resource, ResourceType, Snapshot};
use crate::mesh::model::{
    DesiredState, Document, Inbound, Outbound, PolicyRecord, ProxyId, ProxyRegistration, Revision,
};
use chancery_policy_lang::checked::ServiceRef;
use std::collections::BTreeMap;
use std::sync::Arc;

const ORDERS: &str = "auth orders on service shop/orders { allow GET /api/** from service shop/cart }";
const MESH: &str = "auth all on mesh { otherwise allow }";

#[test]
fn a_proxy_gets_what_it_offers_and_what_it_calls() {
    let state = mesh(&[ORDERS], &[orders(1), orders(2), cart(1)]);
    let fleet = Reconciler::default().build(&state);
    assert_eq!(
        names(snapshot(&fleet, "shop/orders/1")),
        "clusters local_app, listeners inbound, routes inbound, extensions writ-inbound"
    );
    assert_eq!(
        names(snapshot(&fleet, "shop/cart/1")),
        "clusters mesh/shop/orders, endpoints mesh/shop/orders, listeners outbound/shop/orders, \
         routes outbound/shop/orders"
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
    next.proxies.insert(ProxyId("shop/cart/1".to_owned()), cart(1));
    next.revision = Revision(2);
    let later = reconciler.build(&next);
    for kind in ResourceType::ALL {
        let (before, after) =
            (snapshot(&fleet, "shop/orders/1").of(kind), snapshot(&later, "shop/orders/1").of(kind));
        assert!(
            before.values().zip(after.values()).all(|(before, after)| Arc::ptr_eq(before, after)),
            "{kind:?}"
        );
    }
    assert_eq!(snapshot(&later, "shop/orders/1").revision, Revision(2));
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
fn a_problem_from_the_beginning_takes_no_policy_away() {
    let state = mesh(&["auth broken on mesh {", ORDERS], &[orders(1)]);
    let fleet = Reconciler::default().build(&state);
    let snapshot = snapshot(&fleet, "shop/orders/1");
    assert!(snapshot.of(ResourceType::Extension).is_empty());
    assert!(snapshot.unmade.contains(&(ResourceType::Extension, "writ-inbound".to_owned())));
    assert_eq!(snapshot.problems.len(), 1);
}

fn mesh(texts: &[&str], proxies: &[Arc<ProxyRegistration>]) -> DesiredState {
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
        state.place(PolicyRecord { name, document: digest, revision: Revision(1) });
    }
    state.proxies = proxies.iter().map(|proxy| (proxy.id.clone(), proxy.clone())).collect();
    state
}

fn service(namespace: &str, name: &str) -> ServiceRef {
    ServiceRef { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn offering(namespace: &str, name: &str, number: u8) -> Arc<ProxyRegistration> {
    Arc::new(ProxyRegistration {
        id: ProxyId(format!("{namespace}/{name}/{number}")),
        service: service(namespace, name),
        labels: BTreeMap::new(),
        inbound: Some(Inbound {
            listen: ([10, 0, 0, number], 8443).into(),
            application: ([127, 0, 0, 1], 8080).into(),
        }),
        outbounds: Vec::new(),
    })
}

fn orders(number: u8) -> Arc<ProxyRegistration> {
    offering("shop", "orders", number)
}

fn cart(number: u8) -> Arc<ProxyRegistration> {
    Arc::new(ProxyRegistration {
        id: ProxyId(format!("shop/cart/{number}")),
        service: service("shop", "cart"),
        labels: BTreeMap::new(),
        inbound: None,
        outbounds: vec![Outbound {
            service: service("shop", "orders"),
            listen: ([127, 0, 0, 1], 7001).into(),
        }],
    })
}

fn snapshot<'a>(fleet: &'a Fleet, proxy: &str) -> &'a Snapshot {
    fleet.snapshots.get(&ProxyId(proxy.to_owned())).unwrap()
}

fn policy_of<'a>(fleet: &'a Fleet, proxy: &str) -> &'a Arc<Resource> {
    snapshot(fleet, proxy).of(ResourceType::Extension).get("writ-inbound").unwrap()
}

fn names(snapshot: &Snapshot) -> String {
    let resources = snapshot.resources.iter().map(|(kind, resources)| {
        let names: Vec<_> = resources.keys().map(String::as_str).collect();
        format!("{} {}", kind.as_str(), names.join(" "))
    });
    resources.collect::<Vec<_>>().join(", ")
}
