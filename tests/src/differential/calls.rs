//! Generated policies of what callers' sidecars do: routes, redirects, rewrites, mirrors, timeouts, retries, faults; and of
//! pages of other origins, of which no module decides either.
//!
//! Times and shares are chosen so that what happens can be foretold: an answer takes either much longer than a timeout
//! or much less, and a share is all or nothing, but for weights.

use super::expressions::Scope;
use super::policies::{condition, peer, rule};
use super::sketch::{PolicySketch, RuleSketch};
use super::words as w;
use crate::random::Random;

/// Statements of a policy.
const STATEMENTS_MAX: usize = 7;

/// Two policies of one scope would often contradict each other.
const TARGETS: &[&str] = &["service shop/orders", "namespace shop", "mesh"];
const DESTINATIONS: &[&str] = &[
    "service shop/orders",
    "service shop/orders@v1",
    "service shop/orders@v2",
    "service shop/basket",
    "service shop/orders@v1 100%, service shop/basket 0%",
    "service shop/orders@v1 50%, service shop/orders@v2 50%",
    "service shop/basket 30%, service shop/orders@v2 70%",
    "service shop/nowhere",
    "service shop/orders@v9",
];
/// A short one is met by requests that take long, and by no others.
const TIMES: &[&str] = &[
    "timeout 400ms",
    "timeout 20s",
    "timeout 30s",
    "timeout at_most 450ms",
    "timeout at_most 25s",
    "timeout at_most 40s",
];
const RETRIES: &[&str] = &[
    "retry 1 on 5xx",
    "retry 2 on 5xx, reset each 10s backoff 5ms",
    "retry 3 on gateway-error backoff 5ms",
    "retry 1 on connect, refused",
    "retry 2 on reset",
];
const FAULTS: &[&str] =
    &["fault 100% abort 418", "fault 0% abort 503", "fault 100% abort 503", "fault 100% delay 20ms"];
/// What is said to pages of other origins; origins of pages are those of requests, and others.
const PAGES: &[&str] = &[
    "\"*\"",
    "\"https://shop.example\" credentials",
    "\"https://*.shop.example\", \"http://localhost:3000\" methods PUT, DELETE headers x-a, content-type age 10m",
    "\"https://shop.example\", \"https://*.shop.example\" methods PATCH expose x-a, x-new credentials age 1s",
];
/// Of those of one scope no two say different things.
const PAGES_TARGETS: &[&str] = &["service shop/orders", "service shop/*", "namespace shop", "mesh"];
/// What a caller's sidecar does not know of a request.
const UNKNOWN: &[&str] =
    &["source.ip", "source.port", "target.version", "target.labels", "from ip ", ", ip "];
/// Where clients are sent, and under which path: as the pattern of the path is.
const NOWHERE: &[&str] = &["/w", "/welcome/x", "/b?x=1"];
const CAPTURED: &[&str] = &["/b/{id}", "/{id}", "/a%20b/{id}/c"];
const REST: &[&str] = &["/w/**", "/**", "/caf%C3%A9/**"];

/// Up to so many policies, each with another scope.
pub(super) fn policies(random: &mut Random) -> Vec<PolicySketch> {
    let count = 1 + random.below(TARGETS.len());
    (0..count).map(|number| policy(random, number)).collect()
}

fn policy(random: &mut Random, number: usize) -> PolicySketch {
    let target = TARGETS.get(number).copied().unwrap_or("mesh").to_owned();
    let statements = (0..=random.below(STATEMENTS_MAX)).map(|number| statement(random, number));
    let rules = statements.filter(|rule| UNKNOWN.iter().all(|word| !rule.text().contains(word))).collect();
    PolicySketch {
        kind: "traffic".to_owned(),
        name: format!("c{number}"),
        target,
        mode: random.one_of(&["", "", "", "", "shadow"]).to_owned(),
        rules,
        otherwise: None,
    }
}

/// What is said to pages of other origins.
pub(super) fn pages(random: &mut Random) -> PolicySketch {
    let cors =
        RuleSketch { effect: format!("cors origins {}", random.one_of(PAGES)), ..RuleSketch::default() };
    PolicySketch {
        kind: "traffic".to_owned(),
        name: "pages".to_owned(),
        target: random.one_of(PAGES_TARGETS).to_owned(),
        mode: random.one_of(&["", "", "", "", "shadow"]).to_owned(),
        rules: vec![cors],
        otherwise: None,
    }
}

fn statement(random: &mut Random, number: usize) -> RuleSketch {
    let simple = random.chance(70);
    let guarded = |random: &mut Random, effect: &str| {
        let rule = match random.chance(30) {
            true => RuleSketch { name: Some(format!("r{number}")), ..RuleSketch::default() },
            false => rule(random, number, simple, false),
        };
        RuleSketch { effect: effect.to_owned(), respond: None, ..rule }
    };
    match random.below(10) {
        0..=2 => {
            let to = random.one_of(DESTINATIONS);
            RuleSketch { to: Some(to.to_owned()), ..guarded(random, "route") }
        }
        3 => {
            let status = random.one_of(&["", " 301", " 307", " 308"]);
            let origin = random.one_of(&["", "https://shop.example"]);
            templated(random, number, "redirect", |to| format!("\"{origin}{to}\"{status}"))
        }
        4 => templated(random, number, "rewrite", |to| {
            // The query of the request stays.
            to.split('?').next().unwrap_or_default().to_owned()
        }),
        5 => {
            let share = random.one_of(&["100%", "100%", "0%"]);
            let mirror = guarded(random, &format!("mirror {share} -> service shop/copies"));
            RuleSketch { name: None, ..mirror }
        }
        6 => {
            let time = random.one_of(TIMES);
            RuleSketch { name: None, ..guarded(random, time) }
        }
        7..=8 => {
            let retry = random.one_of(RETRIES);
            RuleSketch { name: None, ..guarded(random, retry) }
        }
        _ => {
            let fault = random.one_of(FAULTS);
            guarded(random, fault)
        }
    }
}

/// A statement whose outcome has parts of the path.
fn templated(random: &mut Random, number: usize, word: &str, to: impl FnOnce(&str) -> String) -> RuleSketch {
    let segment = random.one_of(w::SEGMENTS);
    let (path, template) = match random.below(4) {
        0 => (format!("/{segment}"), random.one_of(NOWHERE)),
        1 => ("/{id}".to_owned(), random.one_of(CAPTURED)),
        2 => (format!("/{segment}/{{id}}"), random.one_of(CAPTURED)),
        _ => (format!("/{segment}/**"), random.one_of(REST)),
    };
    let conditions = if random.chance(30) { vec![condition(random, &Scope::default())] } else { Vec::new() };
    RuleSketch {
        name: random.chance(70).then(|| format!("r{number}")),
        effect: word.to_owned(),
        methods: if random.chance(20) { vec![random.one_of(w::METHODS).to_owned()] } else { Vec::new() },
        paths: vec![path],
        peers: if random.chance(20) { vec![peer(random)] } else { Vec::new() },
        conditions,
        to: Some(to(template)),
        respond: None,
    }
}
