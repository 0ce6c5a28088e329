//! Generated policies.

use super::answers;
use super::expressions::{self, Scope};
use super::sketch::{PolicySketch, RuleSketch, Sketch, quoted};
use super::words as w;
use crate::random::Random;
use chancery_policy_lang::linked::Workload;

/// How deep conditions nest.
const DEPTH_MAX: usize = 4;
/// Rules of an ordinary policy.
const RULES_MAX: usize = 6;
/// Rules of a large one: more than two words of bits hold.
const MANY_RULES_MAX: usize = 150;

/// Targets as written, and what each is most specific about is left to the linker.
const TARGETS: &[&str] = &[
    "mesh",
    "namespace shop",
    "service shop/orders",
    "service shop/*",
    "workload shop {tier: \"public\"}",
    "service pay/ledger, service shop/orders",
    "namespace elsewhere",
];
/// Of limits, slow ones: what a few requests in some hours can empty.
const RATES: &[&str] = &["1/h", "2/h", "3/h", "40/d", "1/m"];
const KEYS: &[&str] =
    &["source", "ip", "headers[\"x-team\"]", "request.path", "source.port", "source.mtls", "request.size"];
/// Of logs, what is no text.
const FIELDS: &[&str] = &["source.ip", "source.port", "request.size", "source.mtls", "rule", "request.path"];
const REDACTED: &[&str] =
    &["headers[\"x-team\"]", "request.path", "source.ip", "source.principal", "request.size", "query[\"q\"]"];
/// Headers that are changed: of requests, of answers, and of neither.
const HEADERS: &[&str] = &["x-a", "x-b", "x-tenant", "set-cookie", "server", "x-new"];
const HEADER_TARGETS: &[&str] = &["service shop/orders", "namespace shop", "mesh"];
const STATUSES: &[&str] = &["403", "401", "404", "451", "503"];

/// The workload that programs are linked for.
pub(super) fn target() -> Workload {
    Workload {
        namespace: "shop".to_owned(),
        service: "orders".to_owned(),
        labels: [("tier", "public"), ("version", "v2")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        trust_domain: w::TRUST_DOMAIN.to_owned(),
    }
}

/// A few policies.
pub(super) fn sketch(random: &mut Random) -> Sketch {
    let mut policies: Vec<PolicySketch> =
        (0..=random.below(3)).map(|number| policy(random, number)).collect();
    if random.chance(30) {
        policies.extend((0..=random.below(2)).map(|number| traffic(random, number)));
    }
    if random.chance(30) {
        policies.extend((0..=random.below(2)).map(|number| headers(random, number)));
    }
    if random.chance(30) {
        policies.extend((0..=random.below(2)).map(|number| log(random, number)));
    }
    Sketch { policies }
}

/// A policy about logs.
fn log(random: &mut Random, number: usize) -> PolicySketch {
    let mut rules: Vec<RuleSketch> = (0..random.below(RULES_MAX)).map(|_| sample(random)).collect();
    for field in 0..random.below(6) {
        let depth = random.below(3);
        let scope = Scope::default();
        let value = match random.below(6) {
            0 => random.one_of(FIELDS).to_owned(),
            4..=5 => answers::field(random),
            1 => expressions::condition(random, &scope, depth).text(),
            _ => expressions::header_value(random, &scope, depth).text(),
        };
        rules.push(statement(format!("fields {value} as l{number}-{field}")));
    }
    for _ in 0..random.below(3) {
        let how = random.one_of(&["hash", "mask", "drop"]);
        let source = match random.chance(30) {
            true => answers::redacted(random),
            false => random.one_of(REDACTED).to_owned(),
        };
        rules.push(statement(format!("redact {source} with {how}")));
    }
    PolicySketch {
        kind: "log".to_owned(),
        name: format!("l{number}"),
        target: random.one_of(TARGETS).to_owned(),
        mode: random.one_of(&["", "", "", "shadow"]).to_owned(),
        rules,
        otherwise: None,
    }
}

fn statement(text: String) -> RuleSketch {
    RuleSketch { effect: text, ..RuleSketch::default() }
}

/// A sample: a rule with another beginning, which can ask about the answer.
fn sample(random: &mut Random) -> RuleSketch {
    let rate = random.one_of(&["100%", "100%", "50%", "0%"]);
    let of = random.one_of(&["", "", " denied", " allowed"]);
    let simple = random.chance(30);
    let mut rule = rule(random, 0, simple, false);
    if random.chance(40) {
        let mut condition = answers::condition(random);
        if random.chance(30) {
            condition = answers::mixed(random, condition);
        }
        rule.conditions.push((random.one_of(&["when", "unless"]).to_owned(), condition));
    }
    RuleSketch { name: None, effect: format!("sample {rate}{of}"), respond: None, ..rule }
}

/// A policy of operations on headers: few on one header, for those of one scope must not meet.
fn headers(random: &mut Random, number: usize) -> PolicySketch {
    let mode = random.one_of(&["", "", "", "", "shadow"]).to_owned();
    let mut rules = Vec::new();
    let many = random.chance(5);
    for header in HEADERS {
        for message in ["request", "response"] {
            if random.chance(30) {
                rules.extend(operations(random, rules.len(), message, header));
            }
        }
    }
    if many {
        let names = (0..MANY_RULES_MAX).map(|number| format!("x-{number}"));
        rules.extend(names.flat_map(|name| operations(random, 0, "request", &name)));
        rules.iter_mut().for_each(|rule| rule.name = None);
    }
    // Of one scope seldom more than one.
    let target = HEADER_TARGETS.get(number).copied().unwrap_or("mesh").to_owned();
    PolicySketch {
        kind: "traffic".to_owned(),
        name: format!("h{number}"),
        target,
        mode,
        rules,
        otherwise: None,
    }
}

/// One operation on a header, or two of which one is for the requests that the other is not for.
fn operations(random: &mut Random, number: usize, message: &str, header: &str) -> Vec<RuleSketch> {
    let operation = |random: &mut Random, number: usize| {
        // Mostly without a condition, so that many are done.
        let simple = random.chance(70);
        let rule = rule(random, number, simple, false);
        let effect = match random.below(4) {
            0 => format!("remove {message} header {header}"),
            verb => {
                let verb = if verb == 1 { "add" } else { "set" };
                let depth = random.below(3);
                let value = match message == "response" && random.chance(30) {
                    true => answers::header_value(random),
                    false => expressions::header_value(random, &Scope::default(), depth).text(),
                };
                format!("{verb} {message} header {header} = {value}")
            }
        };
        let mut rule = RuleSketch { effect, respond: None, ..rule };
        if message == "response" && random.chance(20) {
            let mut condition = answers::early_condition(random);
            if random.chance(30) {
                condition = answers::mixed(random, condition);
            }
            rule.conditions.push((random.one_of(&["when", "unless"]).to_owned(), condition));
        }
        rule
    };
    let mut first = operation(random, number);
    if !random.chance(30) {
        return vec![first];
    }
    let mut other = operation(random, number + 1);
    let depth = random.below(DEPTH_MAX);
    let which = match message == "response" && random.chance(40) {
        true if random.chance(40) => {
            let of_answer = answers::early_condition(random);
            answers::mixed(random, of_answer)
        }
        true => answers::early_condition(random),
        false => expressions::condition(random, &Scope::default(), depth),
    };
    first.conditions.push(("when".to_owned(), which.clone()));
    other.conditions.push(("unless".to_owned(), which));
    vec![first, other]
}

/// A policy of limits.
fn traffic(random: &mut Random, number: usize) -> PolicySketch {
    let target = random.one_of(TARGETS).to_owned();
    let mode = random.one_of(&["", "", "", "shadow"]).to_owned();
    let most = if random.chance(8) { MANY_RULES_MAX } else { RULES_MAX };
    let simple = most == MANY_RULES_MAX;
    let rules = (0..=random.below(most)).map(|number| limit(random, number, simple)).collect();
    PolicySketch {
        kind: "traffic".to_owned(),
        name: format!("t{number}"),
        target,
        mode,
        rules,
        otherwise: None,
    }
}

/// A limit: a rule with another beginning and an answer of its own.
fn limit(random: &mut Random, number: usize, simple: bool) -> RuleSketch {
    let mut limit = format!("limit {}", random.one_of(RATES));
    if random.chance(60) {
        limit.push_str(&format!(" burst {}", 1 + random.below(3)));
    }
    let keys = if random.chance(60) { 1 + random.below(2) } else { 0 };
    for key in 0..keys {
        limit.push_str(if key == 0 { " per " } else { ", " });
        let scope = Scope::default();
        match random.below(4) {
            0 => limit.push_str(&expressions::condition(random, &scope, 1).text()),
            _ => limit.push_str(random.one_of(KEYS)),
        }
    }
    let rule = rule(random, number, simple, false);
    RuleSketch { effect: limit, respond: respond(random), ..rule }
}

fn policy(random: &mut Random, number: usize) -> PolicySketch {
    let target = random.one_of(TARGETS).to_owned();
    let mode = random.one_of(&["", "", "", "enforce", "shadow", "shadow", "off"]).to_owned();
    let most = if random.chance(8) { MANY_RULES_MAX } else { RULES_MAX };
    let simple = most == MANY_RULES_MAX;
    let exempts = !target.contains("service") && !target.contains("workload");
    let rules = (0..=random.below(most)).map(|number| rule(random, number, simple, exempts)).collect();
    let otherwise = random.chance(40).then(|| match random.chance(50) {
        true => "allow".to_owned(),
        false => {
            format!("deny{}", respond(random).map(|text| format!(" respond {text}")).unwrap_or_default())
        }
    });
    PolicySketch { kind: "auth".to_owned(), name: format!("p{number}"), target, mode, rules, otherwise }
}

pub(super) fn rule(random: &mut Random, number: usize, simple: bool, exempts: bool) -> RuleSketch {
    let effect = match random.below(10) {
        0 if exempts => "exempt",
        1..=4 => "deny",
        _ => "allow",
    };
    let mut scope = Scope::default();
    let methods = if random.chance(40) { owned(random.some_of(w::METHODS, 2)) } else { Vec::new() };
    let paths = match random.below(10) {
        0..=3 => Vec::new(),
        4 => vec![captured(random, &mut scope)],
        _ => (0..=random.below(2)).map(|_| path(random)).collect(),
    };
    let peers =
        if random.chance(40) { (0..=random.below(2)).map(|_| peer(random)).collect() } else { Vec::new() };
    let conditions = match random.below(10) {
        _ if effect == "exempt" => Vec::new(),
        _ if simple && !random.chance(20) => Vec::new(),
        0..=3 => Vec::new(),
        4..=8 => vec![condition(random, &scope)],
        _ => vec![condition(random, &scope), condition(random, &scope)],
    };
    RuleSketch {
        name: (effect != "exempt" && random.chance(70)).then(|| format!("r{number}")),
        effect: effect.to_owned(),
        methods,
        paths,
        peers,
        conditions,
        to: None,
        respond: if effect == "deny" && random.chance(30) { respond(random) } else { None },
    }
}

pub(super) fn condition(random: &mut Random, scope: &Scope) -> (String, super::ExprSketch) {
    let word = random.one_of(&["when", "when", "unless"]).to_owned();
    let depth = random.below(DEPTH_MAX + 1);
    (word, expressions::condition(random, scope, depth))
}

fn respond(random: &mut Random) -> Option<String> {
    let status = random.one_of(STATUSES);
    match random.below(4) {
        0 => None,
        1 => Some(format!("{status} {}", quoted(random.one_of(w::STRINGS)))),
        _ => Some(status.to_owned()),
    }
}

/// A pattern without captures.
pub(super) fn path(random: &mut Random) -> String {
    let mut path = String::new();
    for _ in 0..random.below(4) {
        let segment = if random.chance(20) { "*" } else { random.one_of(w::SEGMENTS) };
        path.push_str(&format!("/{segment}"));
    }
    match random.below(4) {
        0 => path.push_str("/**"),
        1 => path.push('/'),
        _ if path.is_empty() => path.push('/'),
        _ => {}
    }
    path
}

/// A pattern that captures one or two segments.
fn captured(random: &mut Random, scope: &mut Scope) -> String {
    let mut path = String::new();
    for name in ["id", "kind"].iter().take(1 + random.below(2)) {
        if random.chance(60) {
            path.push_str(&format!("/{}", random.one_of(w::SEGMENTS)));
        }
        path.push_str(&format!("/{{{name}}}"));
        scope.captures.push((*name).to_owned());
    }
    if random.chance(30) {
        path.push_str("/**");
    }
    path
}

pub(super) fn peer(random: &mut Random) -> String {
    let namespace = random.one_of(w::NAMESPACES);
    match random.below(10) {
        0..=3 => format!("service {namespace}/{}", random.one_of(w::SERVICES)),
        4 => format!("service {namespace}/*"),
        5 => format!("namespace {namespace}"),
        6..=7 => format!("ip {}", random.one_of(w::NETWORKS)),
        8 => format!("spiffe \"{}\"", random.one_of(w::SPIFFE_IDS)),
        _ => "anyone".to_owned(),
    }
}

pub(super) fn owned(words: Vec<&str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}
