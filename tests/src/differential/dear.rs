//! Generated requests of which a decision is dear: long texts wherever a policy looks.
//!
//! A cost is a line in the bytes and the headers of a request, so it is met where all of them are of one
//! kind: a loop goes on for long, and begins anew at each byte.

use super::requests;
use super::sketch::Sketch;
use super::words as w;
use crate::random::Random;
use chancery_policy_lang::module::{BYTES_SEEN_MAX, HEADERS_MAX};
use chancery_policy_lang::request::Request;

/// What long texts consist of: what loops look for, almost, or at every place.
const PIECES: &[&[u8]] = &[
    b"a",
    b"ab",
    b"aab",
    b",",
    b", ",
    b"a,",
    b"admin,",
    b"A",
    b" ",
    b"\t a",
    b"0",
    b"-5,",
    b"%41",
    b"v1",
    b"\xc3\xa9",
    b"\xff",
];
/// What long paths consist of.
const PATH_PIECES: &[&[u8]] =
    &[b"a/", b"/a", b"api/a/", b"%41", b"%20", b"%C3%A9", b"%25", b"a", b"x.;", b".a/", b"a%2f", b"/."];
/// What long queries consist of.
const QUERY_PIECES: &[&[u8]] = &[b"q=a&", b"&q=%41", b"user=a+", b"%71=", b"&", b"q", b"%", b"%2", b"+%20"];
/// What long hosts consist of.
const AUTHORITY_PIECES: &[&[u8]] = &[b"a", b".", b"[:"];
/// What long sizes consist of.
const SIZE_PIECES: &[&[u8]] = &[b"0", b"9", b" "];
/// Of how many headers the policies' names are long, at most.
const LONG_HEADERS_MAX: usize = 3;
/// A long text is taken apart into so many values of one name, at most.
const VALUES_MAX: usize = 60;

/// A request that takes many steps, of whatever size: some are larger than policies look at.
pub(super) fn request(random: &mut Random, sketch: &Sketch) -> Request {
    // What a rule asks for, so that its condition is asked.
    let mut request = requests::request(random, sketch);
    let mut rest = bytes(random);
    if random.chance(40) {
        let share = random.below(rest + 1);
        rest -= share;
        lengthen_path(random, &mut request.path, share);
    }
    if random.chance(5) {
        request.authority = repeated(random.one_of(AUTHORITY_PIECES), random.below(rest));
    }
    let names = names_of(sketch);
    for _ in 0..=random.below(LONG_HEADERS_MAX) {
        let share = random.below(rest + 1);
        rest -= share;
        add_long(random, &random.clone().one_of(&names), share, &mut request);
    }
    add_long(random, &random.clone().one_of(&names), rest, &mut request);
    if random.chance(10) {
        let value = repeated(random.one_of(SIZE_PIECES), random.below(64));
        request.headers.push((b"content-length".to_vec(), value));
    }
    if random.chance(20) {
        let name = repeated(b"n", 1 + random.below(64));
        let room = (HEADERS_MAX as usize).saturating_sub(request.headers.len());
        let value = repeated(b"v", random.below(64));
        request.headers.extend((0..random.below(room)).map(|_| (name.clone(), value.clone())));
    }
    request
}

/// Sizes of every magnitude, most of them near what policies look at.
fn bytes(random: &mut Random) -> usize {
    let most = BYTES_SEEN_MAX as usize;
    match random.below(6) {
        0 => random.below(64),
        1 => random.below(most / 8),
        2 => most + random.below(most),
        // Names count and what a rule asks for, too.
        _ => most - random.below(400),
    }
}

/// The headers that conditions name, or any where they name none.
fn names_of(sketch: &Sketch) -> Vec<String> {
    let rules = || sketch.policies.iter().flat_map(|policy| &policy.rules);
    let conditions = rules().flat_map(|rule| &rule.conditions).map(|(_, condition)| condition.text());
    let text: String = conditions.chain(rules().map(|rule| rule.effect.clone())).collect();
    let known = w::TEXT_HEADERS.iter().chain(w::TYPED_TEXT_HEADERS).chain(&["x-groups", "x-beta", "x-count"]);
    let mut names: Vec<String> =
        known.filter(|name| text.contains(&format!("\"{name}\""))).map(|name| (*name).to_owned()).collect();
    if names.is_empty() {
        names.extend(w::TEXT_HEADERS.iter().map(|name| (*name).to_owned()));
    }
    names
}

fn lengthen_path(random: &mut Random, path: &mut Vec<u8>, bytes: usize) {
    if random.chance(30) {
        let separator = if path.contains(&b'?') { b'&' } else { b'?' };
        path.push(separator);
        path.extend(repeated(random.one_of(QUERY_PIECES), bytes));
        return;
    }
    let end = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
    let mut long = repeated(random.one_of(PATH_PIECES), bytes);
    if !path.get(..end).is_some_and(|path| path.ends_with(b"/")) {
        long.insert(0, b'/');
    }
    path.splice(end..end, long);
}

fn add_long(random: &mut Random, name: &str, bytes: usize, request: &mut Request) {
    let mut value = repeated(random.one_of(PIECES), bytes);
    if random.chance(30) {
        // What is found at the very end only.
        value.truncate(bytes.saturating_sub(1));
        value.extend(random.one_of(&["b", ",", "%", "a", "é"]).bytes());
    }
    let values = if random.chance(30) { 1 + random.below(VALUES_MAX) } else { 1 };
    for part in value.chunks(value.len().div_ceil(values).max(1)) {
        request.headers.push((name.as_bytes().to_vec(), part.to_vec()));
    }
}

fn repeated(piece: &[u8], bytes: usize) -> Vec<u8> {
    piece.iter().copied().cycle().take(bytes).collect()
}
