//! Programs made by hand, decided.

use super::*;
use crate::checked::{
    Attribute, BaseType, BinaryOp, Direction, Expr, ExprKind, PathPattern, Segment, Type, UnaryOp, Value,
};
use crate::linked::{LinkedAuth, LinkedRule, LinkedTraffic};
use crate::source::Span;
use std::collections::BTreeMap;

fn rule(id: &str, effect: Effect) -> Rule {
    Rule { id: Arc::from(id), effect, guard: Guard::default(), respond: None, span: Span::default() }
}

fn on_path(rule: Rule, segment: &str) -> Rule {
    let paths = vec![PathPattern { segments: vec![Segment::Literal(segment.into())], rest: true }];
    Rule { guard: Guard { paths, ..rule.guard.clone() }, ..rule }
}

fn program(enforced: Vec<Rule>, shadow: Vec<Rule>, otherwise: LinkedOtherwise) -> LinkedProgram {
    let link = |shadow| move |rule| LinkedRule { rule: Arc::new(rule), shadow };
    let shadow_otherwise = (!shadow.is_empty()).then(|| otherwise.clone());
    let mut rules: Vec<LinkedRule> =
        enforced.into_iter().map(link(false)).chain(shadow.into_iter().map(link(true))).collect();
    rules.sort_by_key(|linked| linked.rule.effect);
    let workload = Workload {
        namespace: "shop".into(),
        service: "orders".into(),
        labels: BTreeMap::new(),
        trust_domain: "mesh.local".into(),
    };
    let auth = LinkedAuth { rules, otherwise, shadow_otherwise };
    LinkedProgram {
        calls: crate::linked::LinkedCalls::default(),
        workload,
        direction: Direction::Inbound,
        sender: None,
        auth,
        traffic: LinkedTraffic::default(),
        log: None,
        policies: Vec::new(),
    }
}

fn nothing_stated() -> LinkedOtherwise {
    LinkedOtherwise { rule: Arc::from(crate::decision::DEFAULT_DENY), allow: false, respond: None }
}

fn get(path: &str) -> Request {
    Request { path: path.as_bytes().to_vec(), ..Request::default() }
}

#[track_caller]
fn check(program: &LinkedProgram, path: &str, outcome: Outcome, rule: &str, status: Option<u16>) {
    let decision = evaluate(program, &get(path));
    let found = (decision.outcome, &*decision.rule, decision.respond.map(|respond| respond.status));
    assert_eq!(found, (outcome, rule, status), "{path}");
}

#[test]
fn exempt_comes_before_deny_before_allow_before_otherwise() {
    let rules = vec![
        on_path(rule("p/health", Effect::Exempt), "health"),
        on_path(rule("p/no-admin", Effect::Deny), "admin"),
        on_path(rule("p/no-health", Effect::Deny), "health"),
        on_path(rule("p/admin", Effect::Allow), "admin"),
        on_path(rule("p/api", Effect::Allow), "api"),
    ];
    let program = program(rules, Vec::new(), nothing_stated());
    check(&program, "/health", Outcome::Exempt, "p/health", None);
    check(&program, "/admin", Outcome::Denied, "p/no-admin", Some(403));
    check(&program, "/api/x?y=/../", Outcome::Allowed, "p/api", None);
    check(&program, "/other", Outcome::DefaultDenied, "default-deny", Some(403));
    check(&program, "/health/../admin", Outcome::Refused, "bad-path", Some(400));
    check(&program, "/api%2fx", Outcome::Refused, "bad-path", Some(400));
}

#[test]
fn a_stated_answer_is_given() {
    let respond = Some(Respond { status: 451, body: "not here".into() });
    let stated = LinkedOtherwise { rule: Arc::from("p/otherwise"), allow: false, respond: respond.clone() };
    let ban = Rule { respond: respond.clone(), ..on_path(rule("p/ban", Effect::Deny), "a") };
    let program = program(vec![ban], Vec::new(), stated);
    check(&program, "/a", Outcome::Denied, "p/ban", Some(451));
    check(&program, "/b", Outcome::OtherwiseDenied, "p/otherwise", Some(451));
    assert_eq!(evaluate(&program, &get("/b")).respond, respond);
}

#[test]
fn a_shadow_rule_reports_and_decides_nothing() {
    let enforced = vec![on_path(rule("p/api", Effect::Allow), "api")];
    let shadow = vec![on_path(rule("s/ban", Effect::Deny), "api")];
    let program = program(enforced, shadow, nothing_stated());
    let decision = evaluate(&program, &get("/api"));
    assert_eq!(decision.outcome, Outcome::Allowed);
    let shadow = decision.shadow.map(|shadow| (shadow.outcome, shadow.rule.to_string(), shadow.shadow));
    assert_eq!(shadow, Some((Outcome::Denied, "s/ban".to_owned(), None)));
    assert_eq!(evaluate(&program, &get("//")).shadow, None);
}

#[test]
fn a_peer_is_who_the_certificate_names() {
    let program = program(Vec::new(), Vec::new(), nothing_stated());
    let from = |principal: &str, peer: &Peer| {
        let mut request = Request::default();
        request.source.principal = Some(principal.as_bytes().to_vec());
        peer_matches(peer, &program.workload, &request)
    };
    let service = |name: &str| {
        Peer::Service(crate::checked::ServiceRef { namespace: "shop".into(), name: name.into() })
    };
    let cart = "spiffe://mesh.local/ns/shop/sa/cart";
    assert!(
        from(cart, &service("cart"))
            && from(cart, &service("*"))
            && from(cart, &Peer::Namespace("shop".into()))
    );
    assert!(!from(cart, &service("car")) && !from(cart, &Peer::Namespace("sho".into())));
    assert!(!from("spiffe://other/ns/shop/sa/cart", &service("cart")));
    assert!(from("spiffe://other/x", &Peer::Spiffe("spiffe://other/x".into())));
    assert!(peer_matches(&Peer::Anyone, &program.workload, &Request::default()));
    assert!(!peer_matches(&service("*"), &program.workload, &Request::default()));
    let mut mapped = Request::default();
    mapped.source.ip = "::ffff:10.1.2.3".parse().unwrap_or(mapped.source.ip);
    assert!(peer_matches(&Peer::Ip(net("10.0.0.0/8")), &program.workload, &mapped));
    assert!(!peer_matches(&Peer::Ip(net("::/0")), &program.workload, &mapped));
}

fn net(text: &str) -> ipnet::IpNet {
    text.parse().unwrap_or_default()
}

#[test]
fn an_absent_value_is_never_equal_and_never_an_error() {
    let string = |optional| Type { base: BaseType::String, optional };
    let expr = |kind, ty| Arc::new(Expr { kind, ty, span: Span::default() });
    let header = expr(ExprKind::Attribute(Attribute::Header(Arc::from("x"))), string(true));
    let text = expr(ExprKind::Literal(Value::String(Arc::from("v"))), string(false));
    let bool_type = Type { base: BaseType::Bool, optional: false };
    let holds = |condition: &Arc<Expr>, value: Option<&str>| {
        let headers = value.map(|value| (b"x".to_vec(), value.as_bytes().to_vec()));
        let request = Request { headers: headers.into_iter().collect(), ..Request::default() };
        let program = program(Vec::new(), Vec::new(), nothing_stated());
        Scope::new(&request, &program.workload).holds(condition)
    };
    let compare = |op| expr(ExprKind::Binary(op, header.clone(), text.clone()), bool_type);
    for (op, equal, other, absent) in [
        (BinaryOp::Equal, true, false, false),
        (BinaryOp::NotEqual, false, true, true),
        (BinaryOp::Less, false, false, false),
        (BinaryOp::GreaterOrEqual, true, true, false),
    ] {
        let condition = compare(op);
        let found = (holds(&condition, Some("v")), holds(&condition, Some("w")), holds(&condition, None));
        assert_eq!(found, (equal, other, absent), "{op:?}");
        let negated = expr(ExprKind::Unary(UnaryOp::Not, condition), bool_type);
        assert_eq!(holds(&negated, None), !absent, "!{op:?}");
    }
}

#[test]
fn a_request_of_too_many_bytes_has_a_reason() {
    let program = program(Vec::new(), Vec::new(), nothing_stated());
    let request = get(&format!("/{}", "a".repeat(17 << 10)));
    let refusal =
        program.refusal(&request).map(|refusal| (refusal.rule(), refusal.as_str().contains("16 KiB")));
    assert_eq!(refusal, Some((crate::decision::TOO_LARGE, true)));
    assert_eq!(program.refusal(&get("/a")), None);
}
