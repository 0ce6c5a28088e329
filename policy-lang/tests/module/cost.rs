//! No decision takes more steps than its module says: not on the requests that are made to be dear, nor on
//! those of any size between.

use crate::run::{Pair, headers, link_text, properties, request, with};
use chancery_policy_lang::module::{BYTES_SEEN_MAX, STEPS_OF_ANY_POLICY};
use chancery_policy_lang::request::Request;

/// Policies of which each part is dear in a way of its own.
const POLICIES: &[&str] = &[
    // Nothing but the path, in several groups of depths.
    "auth p on mesh {\n  allow /a/*/b/**, /*/c/*/d/**, /a/c/*/*/e, /x/y/z\n  deny GET /a/** unless source.mtls\n}",
    // Two texts of the request in each other.
    r#"auth p on mesh { allow when headers["a"].contains(headers["b"]) || headers["b"].indexOf(headers["a"]) > 3 }"#,
    // Many patterns and constants about one text.
    r#"auth p on mesh {
  allow when headers["a"].matches("(a|b)*c1$") || headers["a"].matches("^x.*y{3,9}z") || headers["a"].matches("[^,]*,[^;]*;q=0")
  deny  when headers["a"].contains("aaaaaaaaaaaaaaaab") || headers["a"].contains("ab,ab") || headers["b"].matches("(ab)+c")
}"#,
    // Copies, and what counts characters.
    r#"auth p on mesh {
  allow when headers["a"].lowerAscii() == headers["b"].upperAscii() || headers["a"].trim() < headers["b"]
  deny  when size(headers["a"]) > 100 && headers["a"].substring(2, 90) != headers["b"].substring(1, 7)
}"#,
    // Lists in lists.
    r#"schema { header a: list<string, 16>  header n: int }
auth p on mesh {
  allow when headers["a"].exists(x, headers["a"].all(y, x != y || x.contains("ab") || y.matches("b+$")))
  deny  when headers["a"].exists_one(x, x == headers["b"].lowerAscii()) && headers["n"] > 7 && "ab" in headers["a"]
}"#,
    // Lines of logs, with what is computed for them.
    r#"log l on mesh {
  sample 50%
  sample 100% denied when headers["a"].contains(headers["b"])
  sample 10% for /a/**, /*/b when response.code >= 500 && headers["b"].matches("(a|b)*c1$")
  fields headers["a"] as a1, headers["b"].lowerAscii() as b1, headers["a"].upperAscii() as a2, query["a"] as q
  fields headers["a"] == headers["b"] as same, source.ip as ip, request.host as h, headers["b"].size() as size
  redact request.path, headers["b"] with hash
}"#,
    // Query parameters, which are decoded, and the caller.
    r#"auth p on mesh {
  allow when query["a"] == "1" && query["b"].startsWith("ab") && query["c"].contains("%")
  deny  from service shop/cart, namespace pay when source.service == "shop/x" || source.ip == ip("10.0.0.1")
  deny  from ip 10.0.0.0/8, ip 2001:db8::/32 when request.host == "a.example" && request.size < 9
}"#,
];

/// Texts that make loops go on for long, and then again.
fn dear_texts(bytes: usize) -> Vec<Vec<u8>> {
    let repeated = |piece: &[u8]| piece.iter().copied().cycle().take(bytes).collect::<Vec<u8>>();
    let mut all: Vec<Vec<u8>> = [
        &b"a"[..],
        b"ab",
        b"aaaaaaaaaaaaaaaa,",
        b",",
        b", ",
        b"xyyyz",
        b"A",
        b" ",
        b"%41",
        b"a=1&",
        b"&a=%2",
        b"\xc3\xa9",
        b"\xff",
        b"0",
    ]
    .iter()
    .map(|piece| repeated(piece))
    .collect();
    let mut almost = repeated(b"a");
    almost.pop();
    almost.push(b'b');
    all.push(almost);
    all
}

fn paths(bytes: usize) -> Vec<Vec<u8>> {
    let path = |piece: &[u8]| {
        let mut path = b"/".to_vec();
        path.extend(piece.iter().copied().cycle().take(bytes));
        path
    };
    let query = |piece: &[u8]| [b"/?a=".to_vec(), path(piece).split_off(1)].concat();
    vec![
        query(b"%"),
        query(b"%4"),
        query(b"%41"),
        path(b"\xff/"),
        path(b"/.x"),
        path(b"a/"),
        path(b"%41"),
        path(b"%20"),
        path(b"a"),
        path(b"a/c/"),
        path(b"?a=1&b=%61%62&c"),
        path(b"x.;"),
    ]
}

#[track_caller]
fn check(pair: &mut Pair, request: &Request) {
    let said = pair.run_raw(headers(request), properties(request), request.end_of_stream);
    let header_count = 4 + request.headers.len() as u64;
    let bytes = pair.program.bytes_seen(request);
    let bound = pair.module.manifest.cost.for_request(header_count, bytes);
    assert!(
        pair.fuel() <= bound,
        "{} steps where {bound} are promised, of {bytes} bytes: {said:?}",
        pair.fuel()
    );
    assert!(bytes > BYTES_SEEN_MAX || bound <= pair.module.manifest.cost.worst(), "{bound}");
}

#[test]
fn dear_requests_take_no_more_steps_than_promised() {
    for text in POLICIES {
        let mut pair = Pair::of_text(text);
        for bytes in [0, 1, 7, 64, 500, 4_000, 7_900] {
            let plain = request("GET", "/a/b", Some("shop/cart"));
            let texts = dear_texts(bytes);
            for (one, other) in texts.iter().zip(texts.iter().cycle().skip(1)) {
                check(&mut pair, &with(with(plain.clone(), "a", one), "b", other));
                check(&mut pair, &with(with(plain.clone(), "a", one), "b", one));
                // The same in many pieces, in turns.
                let mut pieces = plain.clone();
                for (at, piece) in one.chunks(bytes.div_ceil(60).max(1)).enumerate() {
                    pieces = with(pieces, if at % 2 == 0 { "a" } else { "b" }, piece);
                }
                check(&mut pair, &pieces);
            }
            for path in paths(bytes) {
                check(&mut pair, &Request { path, ..plain.clone() });
            }
        }
    }
}

#[test]
fn headers_that_nobody_asks_for_take_steps_of_their_own() {
    let mut pair = Pair::of_text(POLICIES[1]);
    for length in [1, 9, 300] {
        let mut many = request("GET", "/", None);
        for number in 0..900 {
            many = with(many, &format!("{number:0length$}"), "v".repeat(60));
        }
        check(&mut pair, &many);
    }
}

#[test]
fn a_request_of_too_many_bytes_is_refused_and_costs_little() {
    let mut pair = Pair::of_text(POLICIES[1]);
    let whole = BYTES_SEEN_MAX as usize;
    let fits = with(request("GET", "/", None), "a", "a".repeat(whole - 20));
    assert_ne!(pair.agree(&fits).rule(), "too-large");
    let large = with(request("GET", "/", None), "a", "a".repeat(whole));
    let said = pair.agree(&large);
    assert_eq!((said.rule(), said.status()), ("too-large", 431));
    assert!(pair.fuel() < 10_000, "{} steps", pair.fuel());
    // What nobody asks for does not count.
    let other = with(request("GET", "/", None), "c", "c".repeat(3 * whole));
    assert_ne!(pair.agree(&other).rule(), "too-large");
}

#[test]
fn any_policy_takes_about_what_is_said_of_it() {
    let worst = Pair::new(link_text("auth p on mesh { deny }")).module.manifest.cost.worst();
    assert!(worst.abs_diff(STEPS_OF_ANY_POLICY) < STEPS_OF_ANY_POLICY / 10, "{worst}");
}
