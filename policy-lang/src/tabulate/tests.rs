//! Tables read plainly, beside guards asked plainly: for strands that want the first entry that matches, and
//! for those that want all.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use super::{StrandTables, Tables, tabulate};
use crate::checked::{Attribute, Guard, Peer};
use crate::classify::{AttributeClasses, AttributeKind, ClassId, Classes, classify};
use crate::eval::{Scope, guard_matches, path_matches, peer_matches};
use crate::generated::{linked, policies, request, workload};
use crate::literals::Atom;
use crate::lower::lower;
use crate::plan::{Pick, Plan};
use crate::request::{Request, service_of};
use proptest::prelude::*;

/// Whether what is said of an attribute's value is so.
fn holds(kind: &AttributeKind, atom: &Atom, request: &Request) -> bool {
    let workload = workload();
    let principal = request.source.principal.as_deref();
    match (kind, atom) {
        (AttributeKind::Text(attribute, _), _) => {
            let text = text_of(attribute, request);
            match atom {
                Atom::Present => text.is_some(),
                Atom::Equals(wanted) => text.as_deref() == Some(wanted.as_bytes()),
                Atom::StartsWith(wanted) => text.is_some_and(|text| text.starts_with(wanted.as_bytes())),
                _ => panic!("{atom:?} of a text"),
            }
        }
        (AttributeKind::Path(_), Atom::Path(pattern)) => {
            path_matches(&Guard { paths: vec![pattern.clone()], ..Guard::default() }, request)
        }
        (AttributeKind::Identity(_), Atom::Present) => principal.is_some(),
        (AttributeKind::Identity(_), Atom::Equals(wanted)) => principal == Some(wanted.as_bytes()),
        (AttributeKind::Identity(_), Atom::AnyService) => {
            principal.is_some_and(|principal| service_of(principal, &workload.trust_domain).is_some())
        }
        (AttributeKind::Identity(_), Atom::Namespace(namespace)) => {
            peer_matches(&Peer::Namespace(namespace.to_string()), &workload, request)
        }
        (AttributeKind::Identity(_), Atom::Service(service)) => {
            peer_matches(&Peer::Service(service.clone()), &workload, request)
        }
        (AttributeKind::Ip(_), Atom::Net(net)) => peer_matches(&Peer::Ip(*net), &workload, request),
        (AttributeKind::Condition(condition), Atom::Holds) => {
            Scope::new(request, &workload).holds(&condition.expr)
        }
        _ => panic!("{atom:?} of {kind:?}"),
    }
}

fn text_of(attribute: &Attribute, request: &Request) -> Option<Vec<u8>> {
    match attribute {
        Attribute::Header(name) if &**name == ":method" => Some(request.method().to_vec()),
        Attribute::Header(name) => request.header(name),
        Attribute::Id => request.header("x-request-id"),
        Attribute::Query(name) => request.query(name),
        Attribute::Scheme => Some(request.scheme().to_vec()),
        Attribute::Host => Some(request.host()),
        Attribute::Path => Some(request.decoded_path()),
        Attribute::Protocol => Some(request.protocol.clone()),
        _ => panic!("{attribute:?} is no text"),
    }
}

/// The class in which exactly those predicates hold that hold of the request. There must be one.
fn class_of(attribute: &AttributeClasses, request: &Request) -> ClassId {
    let truth = |atom: &Atom| holds(&attribute.kind, atom, request);
    let predicates = attribute.predicates.iter().zip(&attribute.base);
    let differs = predicates.map(|(predicate, base)| predicate.evaluate(&truth) != *base);
    let flips: Vec<u32> =
        (0..).zip(differs).filter(|(_, differs)| *differs).map(|(number, _)| number).collect();
    let class = attribute.classes.iter().position(|class| class.flips == flips);
    class.unwrap_or_else(|| panic!("no class of {:?} has {flips:?}", attribute.kind)) as ClassId
}

/// The bits of a word that are left, of the enforced entries or of all.
fn left(tables: &Tables, word: u32, classes: &[ClassId], enforced: bool) -> u64 {
    let tested = tables.words.get(word as usize).unwrap();
    let bits = if enforced { tested.enforced } else { tested.all };
    tested.tests.iter().fold(bits, |bits, test| {
        let class = *classes.get(test.attribute).unwrap();
        bits & (test.base ^ tables.difference(test.attribute, class, word))
    })
}

/// What a strand picks, in order.
fn picked(tables: &Tables, strand: &StrandTables, classes: &[ClassId], enforced: bool) -> Vec<u32> {
    let mut picked = Vec::new();
    for group in &strand.groups {
        let class = group.pivot.map_or(0, |pivot| *classes.get(pivot).unwrap() as usize);
        for word in group.visits.get(class).unwrap() {
            let bits = left(tables, *word, classes, enforced);
            let picks = &tables.words.get(*word as usize).unwrap().picks;
            picked
                .extend((0..picks.len()).filter(|bit| bits >> bit & 1 == 1).filter_map(|bit| picks.get(bit)));
        }
    }
    match strand.pick {
        Pick::First => picked.into_iter().take(1).collect(),
        Pick::All => picked,
    }
}

/// The strand of a plan, and all entries of it as one that wants all.
fn with_all(mut plan: Plan) -> Plan {
    let mut all = plan.strands.first().unwrap().clone();
    all.pick = Pick::All;
    (all.entries.iter_mut().zip(0..)).for_each(|(entry, number)| entry.index = number);
    plan.strands.push(all);
    plan
}

fn check(text: &str, requests: &[Request]) {
    let (_, program) = linked(text);
    let plan = with_all(lower(&program).unwrap());
    let classes: Classes = classify(&plan).unwrap();
    let tables = tabulate(&plan, &classes).unwrap();
    for request in requests {
        let found: Vec<ClassId> =
            classes.attributes.iter().map(|attribute| class_of(attribute, request)).collect();
        for (strand, tabled) in plan.strands.iter().zip(&tables.strands) {
            for enforced in [true, false] {
                let asked = strand.entries.iter().filter(|entry| !(enforced && entry.shadow));
                let matching = asked.filter(|entry| guard_matches(&entry.guard, &workload(), request));
                let mut wanted: Vec<u32> = matching.map(|entry| entry.index).collect();
                if strand.pick == Pick::First {
                    wanted.truncate(1);
                }
                assert_eq!(picked(&tables, tabled, &found, enforced), wanted, "{request:?} of\n{text}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn few_guards_match_where_their_tables_say(
        text in policies(20, 1..12),
        requests in prop::collection::vec(request(), 30),
    ) {
        check(&text, &requests);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(8) })]

    #[test]
    fn many_guards_match_where_their_tables_say(
        text in policies(5, 60..120),
        requests in prop::collection::vec(request(), 30),
    ) {
        check(&text, &requests);
    }
}
