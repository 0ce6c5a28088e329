//! Filters of others in snapshots.

use super::*;
use crate::delivery::envoy::yaml;
use crate::mesh::model::filter::{FilterDigest, FilterSource};
use crate::mesh::model::{FilterId, FilterRecord};
use crate::policies::filters::modules::Modules;

/// The module of a version: here one with nothing in it but a section of this name.
fn module(id: &str) -> Arc<[u8]> {
    let length = u8::try_from(id.len()).unwrap();
    [b"\0asm\x01\0\0\0\0", [length + 1, length].as_slice(), id.as_bytes()].concat().into()
}

fn pushed(state: &mut DesiredState, ids: &[&str]) {
    for id in ids {
        let parsed: FilterId = id.parse().unwrap();
        let record = FilterRecord {
            id: parsed.clone(),
            digest: FilterDigest::of(id.as_bytes()),
            module: FilterDigest::of(&module(id)),
            bytes: 1,
            module_bytes: 1,
            uses: [].into(),
            may: None,
            allowed: ["proxy_http_call", "proxy_on_request_body", "proxy_on_request_headers"]
                .map(str::to_owned)
                .into(),
            envoy: None,
            pushed_by: "somebody".to_owned(),
            pushed_at: Timestamp::UNIX_EPOCH,
            source: FilterSource::File("a.wasm".to_owned()),
            signed_by: None,
        };
        state.filters.insert(parsed, Arc::new(record));
    }
}

/// A reconciler for which the store has the modules of these versions.
fn knowing(ids: &'static [&'static str]) -> Reconciler {
    let modules = Modules::read_by(move |digest| {
        let is_asked = |id: &&&str| FilterDigest::of(&module(id)) == digest;
        Ok(ids.iter().find(is_asked).map(|id| module(id)))
    });
    Reconciler::of(Programs::new().unwrap().with_modules(modules))
}

fn state_of(texts: &[&str], proxies: &[Arc<ProxyRegistration>]) -> DesiredState {
    let mut state = mesh(texts, proxies);
    pushed(&mut state, &["guard@1.0.0", "guard@1.10.0", "guard@1.2.0", "other@0.1.0"]);
    state
}

const GUARD: &str = "filter guard on service shop/orders { use guard \"1.2.0\" phase after auth on failure deny \
                     config { \"a\": [1] } may call pay/vault }";
const EVERYWHERE: &str =
    "filter everywhere on mesh, mesh outbound { use other \"0.1.0\" phase before auth on failure allow }";

/// The filters that decide or are of others, in the order in which a listener has them.
fn filters_of(snapshot: &Snapshot, listener: &str) -> Vec<String> {
    let resource = snapshot.of(ResourceType::Listener).get(listener).unwrap().clone();
    let alone = Snapshot::new(Revision(1), [resource]);
    let text = yaml::of_snapshot(&alone).unwrap();
    let names = text.lines().map(str::trim_start).filter_map(|line| line.strip_prefix("- name: "));
    let is_meant =
        |name: &&str| name.starts_with("filter-") || name.starts_with("writ-") || name.ends_with(".router");
    names.filter(is_meant).map(str::to_owned).collect()
}

#[test]
fn filters_stand_in_the_listeners_of_those_whom_policies_concern() {
    let mut reconciler = knowing(&["guard@1.2.0", "other@0.1.0"]);
    let fleet = reconciler.build(&state_of(&[GUARD, EVERYWHERE], &[orders(1), cart(1)]));
    let orders = snapshot(&fleet, "shop/orders/1");
    assert_eq!(
        filters_of(orders, "inbound"),
        ["filter-inbound/everywhere", "writ-inbound", "filter-inbound/guard", "envoy.filters.http.router"]
    );
    assert_eq!(
        names(orders),
        "clusters local_app mesh/pay/vault, endpoints mesh/pay/vault, listeners inbound, routes inbound, \
         extensions evicted filter-inbound/everywhere filter-inbound/guard writ-inbound"
    );
    let guard = orders.of(ResourceType::Extension).get("filter-inbound/guard").unwrap();
    assert_eq!(*guard.policies, ["guard"]);
    let text = yaml::of_snapshot(orders).unwrap();
    for part in [
        "fail_open: true",
        "failure_policy: FAIL_RELOAD",
        "proxy_http_call: {}",
        "proxy_on_request_headers: {}",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("proxy_on_request_body"), "{text}");
    let cart = snapshot(&fleet, "shop/cart/1");
    assert_eq!(
        filters_of(cart, "outbound/shop/orders"),
        ["filter-outbound/everywhere", "writ-outbound/shop/orders", "envoy.filters.http.router"]
    );
    assert!(orders.problems.is_empty() && cart.problems.is_empty());
}

#[test]
fn another_version_is_another_extension_and_the_same_listener() {
    let mut reconciler = knowing(&["guard@1.2.0", "guard@1.10.0", "other@0.1.0"]);
    let before = reconciler.build(&state_of(&[GUARD], &[orders(1), cart(1)]));
    let after = reconciler.build(&state_of(&[&GUARD.replace("1.2.0", "1.10.0")], &[orders(1), cart(1)]));
    assert_eq!(reconciler.given(), ["shop/orders/1"]);
    let (before, after) = (snapshot(&before, "shop/orders/1"), snapshot(&after, "shop/orders/1"));
    let both =
        |kind, name: &str| [before, after].map(|snapshot| snapshot.of(kind).get(name).unwrap().clone());
    let [first, second] = both(ResourceType::Listener, "inbound");
    assert!(Arc::ptr_eq(&first, &second));
    let [first, second] = both(ResourceType::Extension, "filter-inbound/guard");
    assert_ne!(first.version, second.version);

    let gone = reconciler.build(&state_of(&[], &[orders(1), cart(1)]));
    assert_eq!(
        filters_of(snapshot(&gone, "shop/orders/1"), "inbound"),
        ["writ-inbound", "envoy.filters.http.router"]
    );
    assert!(!names(snapshot(&gone, "shop/orders/1")).contains("vault"));
}

#[test]
fn the_same_filter_is_the_same_bytes_and_made_once() {
    let made = |ids| {
        let state = state_of(&[EVERYWHERE], &[orders(1), orders(2), offering("pay", "bank", 9)]);
        let fleet = knowing(ids).build(&state);
        ["shop/orders/1", "pay/bank/9"].map(|proxy| {
            snapshot(&fleet, proxy)
                .of(ResourceType::Extension)
                .get("filter-inbound/everywhere")
                .unwrap()
                .clone()
        })
    };
    let [first, second] = made(&["other@0.1.0"]);
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(
        made(&["other@0.1.0"]).map(|resource| resource.version.clone()),
        [first.version.clone(), second.version.clone()]
    );
}

#[test]
fn a_filter_that_cannot_be_had_is_a_problem_and_the_last_one_stays() {
    let mut reconciler = knowing(&["guard@1.2.0"]);
    let before = reconciler.build(&state_of(&[GUARD], &[orders(1)]));
    let after = reconciler.build(&state_of(&[&GUARD.replace("1.2.0", "1.10.0")], &[orders(1)]));
    let (before, after) = (snapshot(&before, "shop/orders/1"), snapshot(&after, "shop/orders/1"));
    assert_eq!(before.of(ResourceType::Extension), after.of(ResourceType::Extension));
    assert_eq!(after.problems.len(), 1);
    assert!(after.problems.iter().all(|problem| problem.contains("policy `guard`")), "{:?}", after.problems);
}
