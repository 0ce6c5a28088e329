//! Everything that is written here, as text, and its bytes as digests.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use super::shown::Shown;
use super::{ConnectionLife, cluster, endpoints, evicted, extension, listener, route, secret, yaml};
use crate::delivery::snapshot::{Resource, Snapshot};
use crate::mesh::model::{Inbound, Protocol, Revision};
use chancery_policy_lang::checked::{CorsRules, Destination, Origin, Redact, ServiceRef};
use chancery_policy_lang::link::LinkedSettings;
use chancery_policy_lang::log::LogKey;
use chancery_policy_lang::module::{Manifest, Module};
use expect_test::expect_file;
use std::collections::BTreeSet;
use std::sync::Arc;

/// All that can be said to pages of other origins.
fn pages() -> CorsRules {
    let below = Origin::Below { scheme: "https://".to_owned(), parent: ".shop.test:8443".to_owned() };
    CorsRules {
        origins: [below, Origin::Exact("https://shop.test".to_owned())].into(),
        methods: ["PUT".to_owned(), "DELETE".to_owned()].into(),
        headers: ["x-team".to_owned()].into(),
        exposed: ["x-total".to_owned()].into(),
        credentials: true,
        age_s: Some(600),
    }
}

fn everything() -> Vec<Resource> {
    let cart = ServiceRef { namespace: "shop".to_owned(), name: "cart".to_owned() };
    let all = Destination { service: cart.clone(), version: None };
    let inbound = Inbound {
        listen: "0.0.0.0:8443".parse().unwrap(),
        advertised: "10.0.0.1:8443".parse().unwrap(),
        application: "127.0.0.1:8080".parse().unwrap(),
        protocol: Protocol::Http1,
        probes: None,
    };
    let listens = ["127.0.0.1:7001".parse().unwrap(), "[::1]:7001".parse().unwrap()];
    let life = ConnectionLife::of_certificates(6000);
    let replicas = ["10.0.0.2:8443".parse().unwrap(), "[2001:db8::1]:8443".parse().unwrap()].into();
    let hidden = [("path", Redact::Hash), ("request_id", Redact::Drop)].into();
    let shown = Shown { revision: Some(Revision(7)), hidden };
    vec![
        listener::inbound(&inbound, &cart, &[], listener::Plaintext::Open, "mesh.test", life),
        listener::outbound(&cart, &listens, &[], life),
        route::inbound(Some(&pages()), &["pages".to_owned()], &shown),
        route::outbound(&cart, None, None, &Shown::default()),
        extension::undecided(&cart),
        cluster::local_app(inbound.application, inbound.protocol),
        cluster::mesh(&all, &LinkedSettings::default(), &BTreeSet::new(), "mesh.test", life),
        endpoints::of_destination(&all, &replicas),
        evicted::resource(&[[0x41; 16], [0x7f; 16]]),
        secret::identity("certificate", "private key"),
        secret::trust("bundle", None),
    ]
}

fn module() -> Module {
    let manifest = Manifest { policies: vec!["orders".to_owned()], hashes: true, ..Manifest::default() };
    Module { bytes: b"\0asm".as_slice().into(), digest: "0123456789abcdef0123".to_owned(), manifest }
}

fn shown(policy: Resource) -> String {
    let resources = everything().into_iter().chain([policy]).map(Arc::new);
    yaml::of_snapshot(&Snapshot::new(Revision(7), resources)).unwrap()
}

#[test]
fn a_snapshot_is_shown_whole() {
    let text = shown(extension::policy(&module(), LogKey::default()));
    expect_file!["tests/snapshot.yaml"].assert_eq(&text);
    for word in ["unknown_field", "unknown_type", "malformed", "private key"] {
        assert!(!text.contains(word), "`{word}` is in the text");
    }
}

#[test]
fn without_a_policy_everything_is_allowed_and_by_default_nothing() {
    let text = shown(extension::unrestricted());
    assert!(!text.contains("unknown"), "{text}");
    assert!(text.contains("filters.http.rbac.v3.RBAC\n"), "{text}");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(everything(), everything());
    assert_eq!(
        extension::policy(&module(), LogKey::default()),
        extension::policy(&module(), LogKey::default())
    );
}
