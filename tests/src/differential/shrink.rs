//! Smaller versions of a policy and a request, tried until nothing more can be left out.

use super::sketch::{ExprSketch, Kind, RuleSketch, Sketch};
use chancery_policy_lang::request::Request;

/// How many smaller versions are tried at most: each is compiled.
const TRIALS_MAX: usize = 2_000;

/// The smallest version that was found for which `still_fails` holds.
pub(super) fn shrink(
    mut sketch: Sketch,
    mut request: Request,
    mut still_fails: impl FnMut(&Sketch, &Request) -> bool,
) -> (Sketch, Request) {
    let mut trials = 0;
    'again: loop {
        let smaller = sketches(&sketch).into_iter().map(|smaller| (smaller, request.clone()));
        let smaller = smaller.chain(requests(&request).into_iter().map(|smaller| (sketch.clone(), smaller)));
        for (smaller_sketch, smaller_request) in smaller {
            trials += 1;
            if trials > TRIALS_MAX {
                return (sketch, request);
            }
            if still_fails(&smaller_sketch, &smaller_request) {
                (sketch, request) = (smaller_sketch, smaller_request);
                continue 'again;
            }
        }
        return (sketch, request);
    }
}

/// Policies with one thing less, the largest things first.
fn sketches(sketch: &Sketch) -> Vec<Sketch> {
    let mut smaller = Vec::new();
    for at in 0..sketch.policies.len() {
        let mut without = sketch.clone();
        without.policies.remove(at);
        smaller.push(without);
    }
    for (at, policy) in sketch.policies.iter().enumerate() {
        let mut with = |change: &dyn Fn(&mut super::PolicySketch)| {
            let mut changed = sketch.clone();
            if let Some(policy) = changed.policies.get_mut(at) {
                change(policy);
            }
            if changed != *sketch {
                smaller.push(changed);
            }
        };
        let half = policy.rules.len() / 2;
        with(&|policy| policy.rules.truncate(half));
        with(&|policy| drop(policy.rules.drain(..half)));
        for rule in 0..policy.rules.len() {
            with(&|policy| drop(policy.rules.remove(rule)));
        }
        with(&|policy| policy.otherwise = None);
        with(&|policy| policy.mode.clear());
        with(&|policy| "mesh".clone_into(&mut policy.target));
        for (number, rule) in policy.rules.iter().enumerate() {
            for changed in rules(rule) {
                with(&|policy| {
                    policy.rules.iter_mut().skip(number).take(1).for_each(|rule| *rule = changed.clone())
                });
            }
        }
    }
    smaller
}

fn rules(rule: &RuleSketch) -> Vec<RuleSketch> {
    let mut smaller = Vec::new();
    for list in 0..4 {
        let mut emptied = rule.clone();
        match list {
            0 => emptied.methods.clear(),
            1 => emptied.paths.clear(),
            2 => emptied.peers.clear(),
            _ => emptied.conditions.clear(),
        }
        smaller.push(emptied);
    }
    for (list, length) in [rule.methods.len(), rule.paths.len(), rule.peers.len(), rule.conditions.len()]
        .into_iter()
        .enumerate()
    {
        for at in 0..length {
            let mut without = rule.clone();
            match list {
                0 => drop(without.methods.remove(at)),
                1 => drop(without.paths.remove(at)),
                2 => drop(without.peers.remove(at)),
                _ => drop(without.conditions.remove(at)),
            }
            smaller.push(without);
        }
    }
    for (at, (word, condition)) in rule.conditions.iter().enumerate() {
        for changed in expressions(condition) {
            let mut with = rule.clone();
            with.conditions.splice(at..=at, [(word.clone(), changed)]);
            smaller.push(with);
        }
        if word == "unless" {
            let mut with = rule.clone();
            with.conditions.splice(at..=at, [("when".to_owned(), condition.clone())]);
            smaller.push(with);
        }
    }
    smaller.push(RuleSketch { respond: None, ..rule.clone() });
    smaller.retain(|smaller| smaller != rule);
    smaller
}

/// The parts of an expression that have its type, constants, and the same with a smaller part.
fn expressions(expr: &ExprSketch) -> Vec<ExprSketch> {
    let constants: &[&str] = match expr.kind {
        Kind::Bool => &["true", "false"],
        Kind::Int => &["0", "1"],
        Kind::String => &["\"\"", "\"a\""],
    };
    let mut smaller: Vec<ExprSketch> = Vec::new();
    if !constants.contains(&expr.text().as_str()) {
        smaller.extend(constants.iter().map(|text| ExprSketch::leaf(expr.kind, *text)));
    }
    smaller.extend(expr.holes.iter().filter(|hole| hole.kind == expr.kind).cloned());
    for (at, hole) in expr.holes.iter().enumerate() {
        for changed in expressions(hole) {
            let mut with = expr.clone();
            with.holes.splice(at..=at, [changed]);
            smaller.push(with);
        }
    }
    smaller
}

/// Requests with one thing less, or nearer to the default.
fn requests(request: &Request) -> Vec<Request> {
    let plain = Request::default();
    let mut smaller = Vec::new();
    for at in 0..request.headers.len() {
        let mut without = request.clone();
        without.headers.remove(at);
        smaller.push(without);
    }
    let with = |change: &dyn Fn(&mut Request)| {
        let mut changed = request.clone();
        change(&mut changed);
        changed
    };
    smaller.push(with(&|request| request.source = plain.source.clone()));
    smaller.push(with(&|request| request.source.principal = None));
    smaller.push(with(&|request| request.source.ip = plain.source.ip));
    smaller.push(with(&|request| request.source.port = 0));
    smaller.push(with(&|request| request.source.mtls = false));
    smaller.push(with(&|request| request.method = plain.method.clone()));
    smaller.push(with(&|request| request.authority = plain.authority.clone()));
    smaller.push(with(&|request| request.scheme = plain.scheme.clone()));
    smaller.push(with(&|request| request.protocol = plain.protocol.clone()));
    smaller.push(with(&|request| request.end_of_stream = true));
    smaller.push(with(&|request| request.path = plain.path.clone()));
    smaller.push(with(&|request| request.path = request.raw_path().to_vec()));
    for at in 1..request.path.len() {
        smaller.push(with(&|request| {
            request.path.remove(at);
        }));
    }
    for (header, (_, value)) in request.headers.iter().enumerate() {
        for at in 0..value.len() {
            smaller.push(with(&|request| {
                request.headers.iter_mut().skip(header).take(1).for_each(|(_, value)| {
                    value.remove(at);
                });
            }));
        }
    }
    smaller.retain(|smaller| smaller != request);
    smaller
}
