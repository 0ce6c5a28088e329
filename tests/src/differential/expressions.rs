//! Generated conditions: every form of expression that `auth` rules may have.

use super::sketch::{ExprSketch, Kind, quoted};
use super::words as w;
use crate::random::Random;

/// What is in scope where an expression stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// Names of segments that the rule's path captures.
    pub(super) captures: Vec<String>,
    /// Variables of enclosing `exists` and the like.
    variables: Vec<String>,
}

/// A bool expression of at most this depth.
pub(super) fn condition(random: &mut Random, scope: &Scope, depth: usize) -> ExprSketch {
    bool_expr(random, scope, depth)
}

/// An expression that can be the value of a header, of at most this depth.
pub(super) fn header_value(random: &mut Random, scope: &Scope, depth: usize) -> ExprSketch {
    match random.below(8) {
        0 => int_expr(random, scope, depth),
        1 => bool_expr(random, scope, depth),
        _ => string_expr(random, scope, depth),
    }
}

fn bool_expr(random: &mut Random, scope: &Scope, depth: usize) -> ExprSketch {
    if depth == 0 {
        return bool_leaf(random, scope);
    }
    let bool_kind = |template: &str, holes| ExprSketch::of(Kind::Bool, template, holes);
    let text = |random: &mut Random| string_expr(random, scope, depth - 1);
    match random.below(22) {
        0..=2 => {
            let operator = random.one_of(&["==", "==", "!=", "<", "<=", ">", ">="]);
            let (left, right) = (text(random), text(random));
            bool_kind(&format!("{{}} {operator} {{}}"), vec![left, right])
        }
        3..=4 => {
            let left = text(random);
            let right = ExprSketch::leaf(Kind::String, quoted(random.one_of(w::STRINGS)));
            bool_kind(&format!("{{}} {} {{}}", random.one_of(&["==", "!="])), vec![left, right])
        }
        5..=6 => {
            let operator = random.one_of(&["==", "!=", "<", "<=", ">", ">="]);
            let left = int_expr(random, scope, depth - 1);
            let right = int_expr(random, scope, depth - 1);
            bool_kind(&format!("{{}} {operator} {{}}"), vec![left, right])
        }
        7..=8 => {
            let function = random.one_of(&["contains", "startsWith", "endsWith"]);
            let (left, right) = (text(random), text(random));
            bool_kind(&format!("{{}}.{function}({{}})"), vec![left, right])
        }
        9 => {
            let function = random.one_of(&["contains", "startsWith", "endsWith"]);
            let argument = quoted(random.one_of(w::STRINGS));
            let left = text(random);
            bool_kind(&format!("{{}}.{function}({argument})"), vec![left])
        }
        10 => {
            let pattern = random.one_of(w::PATTERNS);
            let left = text(random);
            bool_kind(&format!("{{}}.matches(\"{pattern}\")"), vec![left])
        }
        11 => {
            let list: Vec<String> = random.some_of(w::STRINGS, 4).iter().map(|text| quoted(text)).collect();
            let left = text(random);
            bool_kind(&format!("{{}} in [{}]", list.join(", ")), vec![left])
        }
        12 => {
            let left = text(random);
            bool_kind("{} in headers[\"x-groups\"]", vec![left])
        }
        13 => {
            let list = random.some_of(w::INTEGERS, 3).join(", ");
            let left = int_expr(random, scope, depth - 1);
            bool_kind(&format!("{{}} in [{list}]"), vec![left])
        }
        14 => quantifier(random, scope, depth),
        15 => {
            let holes = (0..3).map(|_| bool_expr(random, scope, depth - 1)).collect();
            bool_kind("{} ? {} : {}", holes)
        }
        16 => {
            let inner = bool_expr(random, scope, depth - 1);
            bool_kind("!{}", vec![inner])
        }
        17..=18 => {
            let holes = (0..2).map(|_| bool_expr(random, scope, depth - 1)).collect();
            bool_kind("{} && {}", holes)
        }
        19..=20 => {
            let holes = (0..2).map(|_| bool_expr(random, scope, depth - 1)).collect();
            bool_kind("{} || {}", holes)
        }
        _ => bool_leaf(random, scope),
    }
}

fn quantifier(random: &mut Random, scope: &Scope, depth: usize) -> ExprSketch {
    let variable = format!("g{}", scope.variables.len());
    let mut inner = scope.clone();
    inner.variables.push(variable.clone());
    let list = if random.chance(70) {
        "headers[\"x-groups\"]".to_owned()
    } else {
        let list: Vec<String> = random.some_of(w::STRINGS, 3).iter().map(|text| quoted(text)).collect();
        format!("[{}]", list.join(", "))
    };
    let function = random.one_of(&["exists", "all", "exists_one"]);
    let body = bool_expr(random, &inner, (depth - 1).min(2));
    ExprSketch::of(Kind::Bool, &format!("{list}.{function}({variable}, {{}})"), vec![body])
}

fn bool_leaf(random: &mut Random, scope: &Scope) -> ExprSketch {
    let text = match random.below(12) {
        0 => "source.mtls".to_owned(),
        1 => "headers[\"x-beta\"]".to_owned(),
        2 => format!(
            "headers[\"x-beta\"] {} {}",
            random.one_of(&["==", "!="]),
            random.one_of(&["true", "false"])
        ),
        3 => format!("has({})", optional(random)),
        4 => format!("\"{}\" in headers", random.one_of(w::TEXT_HEADERS)),
        5 => format!("\"{}\" in query", random.one_of(w::QUERY_NAMES)),
        6 => format!("cidr(\"{}\").containsIP(source.ip)", network(random)),
        7 => {
            let operator = random.one_of(&["==", "!="]);
            format!("source.ip {operator} ip(\"{}\")", random.one_of(w::ADDRESSES))
        }
        8 => {
            let list: Vec<String> =
                random.some_of(w::ADDRESSES, 3).iter().map(|address| format!("ip(\"{address}\")")).collect();
            format!("source.ip in [{}]", list.join(", "))
        }
        9 => random.one_of(&["true", "false"]).to_owned(),
        _ => {
            let left = string_leaf(random, scope).text();
            format!("{left} {} {}", random.one_of(&["==", "!="]), quoted(random.one_of(w::STRINGS)))
        }
    };
    ExprSketch::leaf(Kind::Bool, text)
}

fn int_expr(random: &mut Random, scope: &Scope, depth: usize) -> ExprSketch {
    if depth == 0 {
        return int_leaf(random);
    }
    let int_kind = |template: &str, holes| ExprSketch::of(Kind::Int, template, holes);
    match random.below(12) {
        0..=2 => {
            let operator = random.one_of(&["+", "-", "*"]);
            let holes = (0..2).map(|_| int_expr(random, scope, depth - 1)).collect();
            int_kind(&format!("{{}} {operator} {{}}"), holes)
        }
        3 => {
            let operator = random.one_of(&["/", "%"]);
            let divisor = random.one_of(w::DIVISORS);
            let left = int_expr(random, scope, depth - 1);
            int_kind(&format!("{{}} {operator} {divisor}"), vec![left])
        }
        4 => {
            let inner = int_expr(random, scope, depth - 1);
            int_kind("-{}", vec![inner])
        }
        5 => {
            let inner = string_expr(random, scope, depth - 1);
            int_kind(random.one_of(&["size({})", "{}.size()"]), vec![inner])
        }
        6 => {
            let holes = (0..2).map(|_| string_expr(random, scope, depth - 1)).collect();
            int_kind("{}.indexOf({})", holes)
        }
        7 => {
            let inner = string_expr(random, scope, depth - 1);
            int_kind("int({})", vec![inner])
        }
        8 => {
            let holes = vec![
                bool_expr(random, scope, depth - 1),
                int_expr(random, scope, depth - 1),
                int_expr(random, scope, depth - 1),
            ];
            int_kind("{} ? {} : {}", holes)
        }
        _ => int_leaf(random),
    }
}

fn int_leaf(random: &mut Random) -> ExprSketch {
    let text = match random.below(6) {
        0 => "request.size",
        1 => "source.port",
        2 => "headers[\"x-count\"]",
        3 => "headers[\"x-groups\"].size()",
        _ => random.one_of(w::INTEGERS),
    };
    ExprSketch::leaf(Kind::Int, text)
}

fn string_expr(random: &mut Random, scope: &Scope, depth: usize) -> ExprSketch {
    if depth == 0 {
        return string_leaf(random, scope);
    }
    let string_kind = |template: &str, holes| ExprSketch::of(Kind::String, template, holes);
    match random.below(10) {
        0..=1 => {
            let function = random.one_of(&["lowerAscii", "upperAscii", "trim"]);
            let inner = string_expr(random, scope, depth - 1);
            string_kind(&format!("{{}}.{function}()"), vec![inner])
        }
        2 => {
            let holes = vec![string_expr(random, scope, depth - 1), int_expr(random, scope, depth - 1)];
            string_kind("{}.substring({})", holes)
        }
        3 => {
            let holes = vec![
                string_expr(random, scope, depth - 1),
                int_expr(random, scope, depth - 1),
                int_expr(random, scope, depth - 1),
            ];
            string_kind("{}.substring({}, {})", holes)
        }
        4 => {
            let (start, end) = (random.below(4), random.below(5));
            let inner = string_expr(random, scope, depth - 1);
            string_kind(&format!("{{}}.substring({start}, {end})"), vec![inner])
        }
        5 => {
            let holes = vec![
                bool_expr(random, scope, depth - 1),
                string_expr(random, scope, depth - 1),
                string_expr(random, scope, depth - 1),
            ];
            string_kind("{} ? {} : {}", holes)
        }
        _ => string_leaf(random, scope),
    }
}

fn string_leaf(random: &mut Random, scope: &Scope) -> ExprSketch {
    let text = match random.below(14) {
        0..=2 => format!("headers[\"{}\"]", random.one_of(w::TEXT_HEADERS)),
        3 => format!("headers[\"{}\"]", random.one_of(w::TYPED_TEXT_HEADERS)),
        4 => format!("query[\"{}\"]", random.one_of(w::QUERY_NAMES)),
        5 => random.one_of(&["request.host", "request.scheme", "request.protocol", "request.id"]).to_owned(),
        6 => "request.method".to_owned(),
        7 => "request.path".to_owned(),
        8 => random.one_of(&["source.service", "source.namespace", "source.principal"]).to_owned(),
        9 => random
            .one_of(&["target.service", "target.namespace", "target.version", "target.labels[\"tier\"]"])
            .to_owned(),
        10 if !scope.captures.is_empty() => format!("path.{}", random.one_of(&scope.captures)),
        10..=11 if !scope.variables.is_empty() => random.one_of(&scope.variables),
        _ => quoted(random.one_of(w::STRINGS)),
    };
    ExprSketch::leaf(Kind::String, text)
}

fn optional(random: &mut Random) -> String {
    match random.below(5) {
        0 => format!("query[\"{}\"]", random.one_of(w::QUERY_NAMES)),
        1 => random.one_of(&["request.id", "request.size", "source.service", "source.principal"]).to_owned(),
        2 => random
            .one_of(&["headers[\"x-count\"]", "headers[\"x-tier\"]", "headers[\"x-groups\"]"])
            .to_owned(),
        _ => format!("headers[\"{}\"]", random.one_of(w::TEXT_HEADERS)),
    }
}

fn network(random: &mut Random) -> String {
    let network = random.one_of(w::NETWORKS);
    if network.contains('/') {
        return network.to_owned();
    }
    format!("{network}/{}", if network.contains(':') { 128 } else { 32 })
}
