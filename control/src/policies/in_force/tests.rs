//! Sets of policies, one made from the other.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::{Current, InForce};
use crate::mesh::model::{DesiredState, Document, PolicyRecord, Revision};
use chancery_policy_lang::checked::Target;
use std::sync::Arc;

/// The state with a file, of which these policies are in force.
fn with(state: &DesiredState, file: &str, text: &str, names: &[&str]) -> DesiredState {
    let document = Document { name: file.to_owned(), text: text.into() };
    let (digest, mut next) = (document.digest(), state.clone());
    next.documents.insert(digest.clone(), Arc::new(document));
    for name in names {
        let record = PolicyRecord {
            name: (*name).to_owned(),
            document: digest.clone(),
            revision: Revision(1),
            set: None,
            filters: [].into(),
        };
        next.place(record);
    }
    next
}

fn policy(name: &str, target: &str) -> String {
    format!("auth {name} on {target} {{ allow GET }}\n")
}

/// The policies that lie inside of a target, and the representatives that they have to make sense for.
fn shown(in_force: &InForce, target: &Target) -> String {
    let workloads = in_force.policies.workloads(target, &in_force.population, "mesh.test");
    let shown = workloads.iter().map(|workload| {
        let concerning = in_force.policies.concerning(workload);
        let names: Vec<&str> = concerning.iter().map(|(policy, _)| policy.policy.name.as_str()).collect();
        format!("{}: {}", crate::policies::workloads::shown(workload), names.join(" "))
    });
    shown.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_set_that_was_made_from_others_is_as_if_made_from_nothing() {
    let current = Current::default();
    let mut state = DesiredState::default();
    let steps = [
        ("a.writ", format!("{}{}", policy("a", "mesh"), policy("b", "service shop/orders")), vec!["a", "b"]),
        ("b.writ", policy("b", "workload shop { tier: \"front\" }"), vec!["b"]),
        (
            "c.writ",
            policy("c", "namespace shop") + "test \"t\" for c, b { given GET / expect allow }",
            vec!["c"],
        ),
        ("a.writ", policy("a", "service shop/*"), vec!["a"]),
    ];
    for (file, text, names) in steps {
        state = with(&state, file, &text, &names);
        let step = current.at(&Arc::new(state.clone()));
        let whole = InForce::default().at(&Arc::new(state.clone()));
        for target in [Target::Mesh, Target::Namespace("shop".to_owned())] {
            assert_eq!(shown(&step, &target), shown(&whole, &target));
        }
        assert_eq!(step.policies.problem(), None);
        for policy in step.policies.iter() {
            let name = &policy.policy.name;
            assert_eq!(policy.digest, whole.policies.get(name).unwrap().digest);
            assert!(step.policies.sources.snippet(policy.policy.span).contains(&format!("auth {name} on")));
        }
        assert!(step.policies.sources.iter().count() <= state.documents.len() + 1, "places are used again");
    }
    let last = current.at(&Arc::new(state.clone()));
    assert_eq!(shown(&last, &Target::Mesh), "any/any: \nshop/any: a c\nshop/any tier=front: a b c");
    assert_eq!(last.policies.testing(["b"]).len(), 1);
    state.displace("c");
    assert_eq!(current.at(&Arc::new(state)).policies.testing(["b"]).len(), 0, "its tests go with a document");
}

#[test]
fn what_cannot_be_read_is_told() {
    let broken = with(&DesiredState::default(), "a.writ", "auth a on mesh {", &["a"]);
    let current = Current::default();
    let problem = current.at(&Arc::new(broken.clone())).policies.problem().unwrap().to_owned();
    assert!(problem.starts_with("policy `a` cannot be read: "), "{problem}");
    let mended = with(&broken, "a.writ", &policy("a", "mesh"), &["a"]);
    assert_eq!(current.at(&Arc::new(mended)).policies.problem(), None);
}
