//! The exchanges that are run on modules: some that were thought of, and some that follow from a seed.

use super::case::Case;
use super::probe::PROBE;
use crate::random::Random;

/// Generated cases for each module.
const GENERATED: usize = 4;
/// Cases of generated host calls.
pub const PROBES: usize = 60;

/// What is run on a module of this name.
#[must_use]
pub fn of(module: &str, seed: u64) -> Vec<Case> {
    if module == PROBE {
        return (0..PROBES).map(probe_case).collect();
    }
    let mut cases = for_any(seed);
    // It is of no stream, so the first one ends it.
    if module.contains("hello_world") {
        cases.truncate(1);
    }
    cases
}

fn probe_case(number: usize) -> Case {
    let owned = |pieces: &[&str]| pieces.iter().map(|piece| (*piece).to_owned()).collect::<Vec<_>>();
    Case {
        request: format!("POST /{number:02}"),
        request_headers: ["one", "two"].map(|value| ("x-twice".to_owned(), value.to_owned())).into(),
        request_body: owned(if number.is_multiple_of(2) { &["abcd"] } else { &["ab", "cd"] }),
        status: 200,
        response_headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
        response_body: owned(if number.is_multiple_of(3) { &["hello"] } else { &["he", "llo"] }),
        called_body: String::new(),
    }
}

fn for_any(seed: u64) -> Vec<Case> {
    let owned = |pieces: &[&str]| pieces.iter().map(|piece| (*piece).to_owned()).collect::<Vec<_>>();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let plain = Case {
        request: "GET /a?b=c".to_owned(),
        status: 200,
        response_headers: vec![header("content-type", "text/plain")],
        response_body: owned(&["hello"]),
        called_body: "\u{2}".to_owned(),
        ..Case::default()
    };
    let mut cases = vec![
        plain.clone(),
        Case { request: "GET /hello".to_owned(), ..plain.clone() },
        Case { called_body: "\u{1}".to_owned(), ..plain.clone() },
        Case { called_body: String::new(), ..plain.clone() },
        Case {
            request: "POST /up".to_owned(),
            request_headers: vec![header("x-twice", "one"), header("X-Twice", "two"), header("x-empty", "")],
            request_body: owned(&["some ", "body"]),
            ..plain.clone()
        },
        Case { response_body: owned(&["a sec", "ret in ", "pieces"]), ..plain.clone() },
        Case { response_body: owned(&["a secret in one"]), status: 404, ..plain.clone() },
        Case { response_body: Vec::new(), status: 204, response_headers: Vec::new(), ..plain.clone() },
        Case { request: "HEAD /hello".to_owned(), response_body: Vec::new(), ..plain.clone() },
    ];
    let mut random = Random::new(seed);
    for _ in 0..GENERATED {
        cases.push(generated(&mut random, &plain));
    }
    cases
}

fn generated(random: &mut Random, plain: &Case) -> Case {
    const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
    const PATHS: [&str; 4] = ["/", "/hello", "/hello?x", "/%20;a=b"];
    const NAMES: [&str; 5] = ["hello", "powered-by", "custom-header", "x-a", "x-long-name-of-a-header"];
    const VALUES: [&str; 4] = ["", "a", "b, c", "secret"];
    const PIECES: [&str; 4] = ["secret", "sec", "ret", "0123456789"];
    let mut pick = |from: &[&str]| random.one_of(from).to_owned();
    let mut headers = |count: usize| (0..count).map(|_| (pick(&NAMES), pick(&VALUES))).collect::<Vec<_>>();
    let (request_headers, response_headers) = (headers(3), headers(3));
    let request = format!("{} {}", pick(&METHODS), pick(&PATHS));
    Case {
        request_body: if request.starts_with('P') { vec![pick(&PIECES)] } else { Vec::new() },
        response_body: vec![pick(&PIECES), pick(&PIECES)],
        called_body: pick(&["\u{1}", "\u{2}"]),
        request,
        request_headers,
        response_headers,
        ..plain.clone()
    }
}
