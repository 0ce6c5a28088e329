//! Which workloads share a program, and when work ends.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::{ProgramError, Programs};
use crate::mesh::model::{DesiredState, Document, PolicyRecord, Revision};
use crate::policies::effort::{Effort, Stopped};
use crate::policies::in_force::{InForce, PolicySet};
use chancery_policy_lang::linked::Workload;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

fn policies(texts: &[&str]) -> PolicySet {
    let mut state = DesiredState::default();
    for text in texts {
        let document = Document { name: "a.writ".to_owned(), text: (*text).into() };
        let name = text.split_whitespace().nth(1).unwrap().to_owned();
        state.place(PolicyRecord {
            name,
            document: document.digest(),
            revision: Revision(1),
            set: None,
            filters: [].into(),
        });
        state.documents.insert(document.digest(), Arc::new(document));
    }
    let policies = InForce::default().at(&Arc::new(state)).policies;
    assert_eq!(policies.problem(), None);
    policies
}

fn workload(service: &str, labels: &[(&str, &str)]) -> Workload {
    Workload {
        namespace: "shop".to_owned(),
        service: service.to_owned(),
        labels: labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        trust_domain: "mesh.test".to_owned(),
    }
}

/// How many programs these workloads have: of two services, each with and without a label, and with another one.
fn count(policies: &PolicySet) -> usize {
    let workloads = ["orders", "cart"].into_iter().flat_map(|service| {
        [&[][..], &[("version", "v1")], &[("version", "v2")], &[("version", "v2"), ("host", "a")]]
            .map(|labels| workload(service, labels))
    });
    let keys: std::collections::BTreeSet<_> =
        workloads.filter_map(|workload| Programs::key(policies, &workload)).collect();
    keys.len()
}

#[test]
fn only_what_policies_ask_makes_another_program() {
    let cases = [
        ("auth a on mesh { allow GET }", 1),
        ("auth a on mesh { allow GET when target.namespace == \"shop\" }", 1),
        ("auth a on mesh { allow GET when target.service == source.service }", 2),
        ("auth a on mesh { allow GET when target.version == \"v1\" }", 3),
        ("auth a on service shop/orders { allow GET when target.version == \"v1\" }", 3),
        ("auth a on workload shop { version: \"v2\" } { allow GET }", 1),
    ];
    for (text, programs) in cases {
        assert_eq!(count(&policies(&[text])), programs, "{text}");
    }
    let labelled = "auth b on workload shop { version: \"v2\" } { allow POST }";
    assert_eq!(count(&policies(&["auth a on mesh { allow GET }", labelled])), 2);
}

#[test]
fn a_program_is_made_once_and_not_for_whoever_gave_up() {
    let set = policies(&["auth a on mesh { allow GET }"]);
    let programs = Programs::new().unwrap();
    let given_up = CancellationToken::new();
    given_up.cancel();
    let abandoned = Effort::unless(given_up);
    let late = Effort::until(Instant::now(), CancellationToken::new());
    let orders = workload("orders", &[]);
    let stopped = |effort: &Effort| match programs.try_out(&set, &orders, effort) {
        Err(ProgramError::Stopped(stopped)) => Some(stopped),
        _ => None,
    };
    assert_eq!([stopped(&abandoned), stopped(&late)], [Some(Stopped::GivenUp), Some(Stopped::TimeIsOver)]);

    let effort = Effort::unless(CancellationToken::new());
    let one = programs.module(&set, &orders, &effort).unwrap().unwrap();
    let other = programs.module(&set, &workload("cart", &[("host", "a")]), &abandoned).unwrap().unwrap();
    assert!(Arc::ptr_eq(&one, &other), "what is made already costs nothing");
    assert!(stopped(&abandoned).is_some(), "it was not tried");
    programs.try_out(&set, &orders, &effort).unwrap();
    assert!(programs.try_out(&set, &orders, &abandoned).is_ok());
}

#[test]
fn what_decides_nothing_makes_no_other_module() {
    let asks = policies(&["auth a on mesh { old: deny when target.version == \"v1\"\n allow GET }"]);
    let programs = Programs::new().unwrap();
    let effort = Effort::unless(CancellationToken::new());
    let module = |version| {
        programs.module(&asks, &workload("orders", &[("version", version)]), &effort).unwrap().unwrap()
    };
    let [one, two, three] = ["v1", "v2", "v3"].map(module);
    assert!(Arc::ptr_eq(&two, &three), "neither is the version that is asked for");
    assert!(!Arc::ptr_eq(&one, &two));
    assert_ne!(one.digest, two.digest);
}
