//! How policies combine, on policies made by hand.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, reason = "a test that cannot go on fails")]

use super::link;
use crate::checked::{
    AuthBody, Body, CheckedPolicy, Direction, Effect, Guard, Mode, Otherwise, PathPattern, Peer, Rule, Scope,
    Segment, ServiceRef, Target,
};
use crate::linked::Workload;
use crate::source::Span;
use std::collections::BTreeMap;

fn orders() -> Workload {
    Workload {
        namespace: "shop".to_owned(),
        service: "orders".to_owned(),
        labels: BTreeMap::from([("version".to_owned(), "v1".to_owned())]),
        trust_domain: "chancery.local".to_owned(),
    }
}

fn policy(name: &str, target: Target) -> CheckedPolicy {
    CheckedPolicy {
        name: name.to_owned(),
        targets: vec![Scope { target, direction: Direction::Inbound, span: Span::default() }],
        mode: Mode::Enforce,
        body: Body::Auth(AuthBody::default()),
        span: Span::default(),
        name_span: Span::default(),
    }
}

fn auth(policy: &mut CheckedPolicy) -> &mut AuthBody {
    match &mut policy.body {
        Body::Auth(auth) => auth,
        Body::Traffic(_) | Body::Log(_) | Body::Filter(_) | Body::Sink(_) => {
            panic!("the policies here are of auth")
        }
    }
}

fn rule(id: &str, effect: Effect) -> Rule {
    Rule { id: id.into(), effect, guard: Guard::default(), respond: None, span: Span::default() }
}

fn service() -> Target {
    Target::Service(ServiceRef { namespace: "shop".to_owned(), name: "orders".to_owned() })
}

fn otherwise(allow: bool) -> Option<Otherwise> {
    Some(Otherwise { allow, respond: None, span: Span::default() })
}

#[test]
fn without_a_policy_there_is_no_program() {
    let mut elsewhere = policy("a", Target::Namespace("pay".to_owned()));
    auth(&mut elsewhere).otherwise = otherwise(true);
    let mut off = policy("b", Target::Mesh);
    off.mode = Mode::Off;
    assert_eq!(link(&[elsewhere, off], &orders(), Direction::Inbound), Ok(None));
}

#[test]
fn the_narrowest_otherwise_wins() {
    let mut mesh = policy("a", Target::Mesh);
    auth(&mut mesh).otherwise = otherwise(false);
    let mut narrow = policy("b", service());
    auth(&mut narrow).otherwise = otherwise(true);
    let program = link(&[mesh, narrow], &orders(), Direction::Inbound).unwrap().unwrap();
    assert_eq!((program.auth.otherwise.rule.as_ref(), program.auth.otherwise.allow), ("b/otherwise", true));
}

#[test]
fn two_otherwise_of_one_scope_must_agree() {
    let mut first = policy("a", service());
    auth(&mut first).otherwise = otherwise(true);
    let mut second = policy("b", service());
    auth(&mut second).otherwise = otherwise(true);
    let agreed = link(&[second.clone(), first.clone()], &orders(), Direction::Inbound).unwrap().unwrap();
    assert_eq!(agreed.auth.otherwise.rule.as_ref(), "a/otherwise");
    auth(&mut second).otherwise = otherwise(false);
    let errors = link(&[second, first], &orders(), Direction::Inbound).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.code.0).collect::<Vec<_>>(), ["E401"]);
}

#[test]
fn a_shadow_policy_alone_allows_everything() {
    let mut shadow = policy("a", Target::Mesh);
    shadow.mode = Mode::Shadow { until: None };
    let program = link(&[shadow], &orders(), Direction::Inbound).unwrap().unwrap();
    assert_eq!((program.auth.otherwise.rule.as_ref(), program.auth.otherwise.allow), ("unrestricted", true));
    assert!(!program.auth.shadow_otherwise.unwrap().allow);
}

#[test]
fn a_rule_over_several_subjects_stands_as_several_entries() {
    let mut mixed = rule("a/x", Effect::Allow);
    let literal = |text: &str| Segment::Literal(text.into());
    mixed.guard.paths = vec![
        PathPattern { segments: vec![literal("a")], rest: true },
        PathPattern { segments: vec![Segment::Any], rest: false },
        PathPattern { segments: vec![literal("b")], rest: false },
    ];
    mixed.guard.peers = vec![Peer::Namespace("shop".to_owned()), Peer::Ip("10.0.0.0/8".parse().unwrap())];
    let mut only = policy("a", Target::Mesh);
    auth(&mut only).rules = vec![mixed];
    let program = link(&[only], &orders(), Direction::Inbound).unwrap().unwrap();
    assert_eq!(program.auth.rules.len(), 4);
}

#[test]
fn the_order_of_policies_and_rules_does_not_matter() {
    let mut first = policy("a", Target::Mesh);
    auth(&mut first).rules =
        vec![rule("a/x", Effect::Allow), rule("a/y", Effect::Deny), rule("a/z", Effect::Exempt)];
    let mut second = policy("b", service());
    auth(&mut second).rules = vec![rule("b/x", Effect::Allow), rule("b/y", Effect::Deny)];
    let forward = link(&[first.clone(), second.clone()], &orders(), Direction::Inbound).unwrap().unwrap();
    auth(&mut first).rules.reverse();
    auth(&mut second).rules.reverse();
    assert_eq!(link(&[second, first], &orders(), Direction::Inbound).unwrap().unwrap(), forward);
    let ids: Vec<&str> = forward.auth.rules.iter().map(|linked| linked.rule.id.as_ref()).collect();
    assert_eq!(ids, ["a/z", "a/y", "b/y", "a/x", "b/x"]);
}
