//! Generated answers, and what policies can ask about them.

use super::expressions::{self, Scope};
use super::sketch::{ExprSketch, Kind, quoted};
use crate::random::Random;
use chancery_policy_lang::eval::Response;
use chancery_policy_lang::request::Request;
use chancery_policy_lang::response::{ANSWER_TEXT_BYTES_MAX, FLAGS};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Headers of answers.
const HEADERS: &[&str] = &["x-a", "x-b", "x-tenant", "set-cookie", "server", "x-long"];
/// Their values.
const VALUES: &[&str] =
    &["", "a", "b", "a=1", "public, max-age=60", "\u{e9}\u{6f22}", "12", "of the application"];
const CODES: &[u16] = &[200, 201, 404, 429, 500, 503, 0];
/// What is known when an answer begins.
const EARLY: &[&str] = &[
    "response.code >= 500",
    "response.code == 404 || response.code == 503",
    "!(response.code < 400)",
    "response.code % 100 == 3",
];
/// What is known when it is over.
const LATE: &[&str] = &[
    "response.code == 403 || response.duration > 700",
    "!(response.duration < 300)",
    "response.code - response.duration > 0",
    "response.size > 100 && response.size * 2 < 1000",
    "size(response.flags) > 1",
    "response.flags.exists(f, f.startsWith(\"U\"))",
    "response.flags.all(f, f.size() == 2)",
    "upstream.attempts > 1",
    "has(upstream.address)",
    "upstream.address.startsWith(\"10.\")",
    "upstream.failure.contains(\"TLS\")",
];
const FIELDS: &[&str] = &[
    "response.code",
    "response.duration",
    "response.size",
    "upstream.address",
    "upstream.attempts",
    "upstream.failure",
    "response.size - response.duration",
];

fn header(random: &mut Random) -> String {
    format!("response.headers[{}]", quoted(random.one_of(HEADERS)))
}

/// A condition about an answer that begins.
pub(super) fn early_condition(random: &mut Random) -> ExprSketch {
    let text = match random.below(8) {
        0 => format!("has({})", header(random)),
        1 => format!("{} == {}", header(random), quoted(random.one_of(VALUES))),
        2 => format!("{}.contains({})", header(random), quoted(random.one_of(VALUES))),
        3 => format!("{}.matches(r\"^[a-z]+=[0-9]\")", header(random)),
        4 => format!("{} != {} && response.code > 200", header(random), header(random)),
        _ => random.one_of(EARLY).to_owned(),
    };
    ExprSketch::leaf(Kind::Bool, text)
}

/// A condition about an answer that is over.
pub(super) fn condition(random: &mut Random) -> ExprSketch {
    match random.below(4) {
        0 => early_condition(random),
        1 => {
            let flag = FLAGS.get(random.below(FLAGS.len())).copied().unwrap_or("UF");
            ExprSketch::leaf(Kind::Bool, format!("{} in response.flags", quoted(flag)))
        }
        _ => ExprSketch::leaf(Kind::Bool, random.one_of(LATE)),
    }
}

/// A condition about an answer and about the request to it at once, of these parts.
pub(super) fn mixed(random: &mut Random, of_answer: ExprSketch) -> ExprSketch {
    let depth = random.below(3);
    let scope = Scope::default();
    let of_request = expressions::condition(random, &scope, depth);
    let text = expressions::header_value(random, &scope, 1);
    match random.below(8) {
        0 => ExprSketch::of(Kind::Bool, "{} == {}", vec![of_answer, of_request]),
        1 => ExprSketch::of(Kind::Bool, "{} ? {} : !{}", vec![of_request.clone(), of_answer, of_request]),
        2 => ExprSketch::of(
            Kind::Bool,
            &format!("{{}} || {} == headers[\"x-tenant\"]", header(random)),
            vec![of_answer],
        ),
        3 if text.kind == Kind::String => {
            let template = format!("{{}} && {}.contains({{}})", header(random));
            ExprSketch::of(Kind::Bool, &template, vec![of_answer, text])
        }
        4 => ExprSketch::of(Kind::Bool, "!({} && !{})", vec![of_answer, of_request]),
        _ => ExprSketch::of(Kind::Bool, "{} || {}", vec![of_answer, of_request]),
    }
}

/// A value that is the answer's or the request's.
fn mixed_value(random: &mut Random) -> String {
    let (of_answer, scope) = (early_condition(random), Scope::default());
    let depth = random.below(2);
    match random.below(4) {
        0 => mixed(random, of_answer).text(),
        1 => format!("response.code >= 400 ? {} : headers[\"x-team\"]", header(random)),
        2 => format!(
            "({}) ? response.code : request.size",
            expressions::condition(random, &scope, depth).text()
        ),
        _ => format!("({}) ? request.path : {}", of_answer.text(), header(random)),
    }
}

/// A value of a header, computed from an answer.
pub(super) fn header_value(random: &mut Random) -> String {
    match random.below(6) {
        0 => "response.code".to_owned(),
        1 => format!("{}.upperAscii()", header(random)),
        2 => format!("{}.substring(1, 5)", header(random)),
        3 => format!("response.code >= 400 ? {} : \"fine\"", header(random)),
        4 => mixed_value(random),
        _ => header(random),
    }
}

/// A field of a log.
pub(super) fn field(random: &mut Random) -> String {
    match random.below(4) {
        0 => header_value(random),
        1 => condition(random).text(),
        2 => header(random),
        _ => random.one_of(FIELDS).to_owned(),
    }
}

/// What can be redacted of an answer.
pub(super) fn redacted(random: &mut Random) -> String {
    header(random)
}

/// How the application answers a request: some well, some late, some not, each always the same.
#[must_use]
pub(super) fn response_to(request: &Request) -> Response {
    let mut hasher = DefaultHasher::new();
    (&request.path, &request.method, &request.headers).hash(&mut hasher);
    let mut random = Random::new(hasher.finish());
    let code = CODES.get(random.below(CODES.len())).copied().unwrap_or(200);
    let mut headers: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for name in HEADERS {
        for _ in 0..random.below(3) {
            let value = match *name {
                "x-long" => "l".repeat(ANSWER_TEXT_BYTES_MAX - 1 + random.below(3)),
                _ => random.one_of(VALUES).to_owned(),
            };
            headers.push((name.as_bytes().to_vec(), value.into_bytes()));
        }
    }
    let text = |random: &mut Random, texts: &[&str]| {
        random.chance(60).then(|| random.one_of(texts).as_bytes().to_vec())
    };
    Response {
        code,
        duration_ms: random.below(1_000) as u64,
        size: random.below(1_000) as u64,
        flags: if random.chance(50) {
            0
        } else {
            (random.below(1 << 15) << random.below(16)) as u64 & ((1 << FLAGS.len()) - 1)
        },
        headers: if code == 0 { Vec::new() } else { headers },
        upstream: text(&mut random, &["10.1.2.3:9000", "[::1]:80", "/run/app.sock"]),
        attempts: random.below(4) as u64,
        failure: text(&mut random, &["", "TLS_error:|268435581:SSL routines", "delayed connect error: 111"]),
    }
}
