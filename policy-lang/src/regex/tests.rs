//! Patterns against texts, by both matchers.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]

use super::*;
use proptest::prelude::*;

#[track_caller]
fn check(pattern: &str, yes: &[&[u8]], no: &[&[u8]]) {
    let regex = Regex::new(pattern).unwrap();
    for (texts, expected) in [(yes, true), (no, false)] {
        for text in texts {
            let shown = String::from_utf8_lossy(text);
            assert_eq!(regex.is_match(text), expected, "`{pattern}` on {shown:?}, matcher");
            assert_eq!(regex.dfa().is_match(text), expected, "`{pattern}` on {shown:?}, DFA");
        }
    }
}

#[test]
fn a_pattern_matches_anywhere_unless_anchored() {
    check("b+", &[b"b", b"abba", b"ab"], &[b"", b"a", b"B"]);
    check("^b", &[b"b", b"ba"], &[b"ab", b"", b"\nb"]);
    check("b$", &[b"b", b"ab"], &[b"ba", b"", b"b\n"]);
    check("^$", &[b""], &[b"a", b"\n"]);
    check("", &[b"", b"a", b"\xff"], &[]);
    check("(?m)^b$", &[b"a\nb\nc", b"b"], &[b"ab"]);
    check("a|bc", &[b"a", b"xbc"], &[b"b", b"c", b"cb"]);
    check("^(a|b){2,3}$", &[b"ab", b"bba"], &[b"a", b"abab"]);
    check("(?i)^Ab$", &[b"ab", b"AB"], &[b"a"]);
}

#[test]
fn classes_and_word_boundaries_are_ascii() {
    check(r"^\d$", &[b"7"], &["٣".as_bytes(), b"a"]);
    check(r"^\w+$", &[b"aZ_9"], &["é".as_bytes(), b"-"]);
    check(r"^\s$", &[b" ", b"\t", b"\n", b"\x0c", b"\r"], &[b"\x0b", "\u{a0}".as_bytes()]);
    check(r"^[\d\-x]$", &[b"7", b"-", b"x"], &[b"y"]);
    check(r"^\D$", &["٣".as_bytes(), b"a"], &[b"7"]);
    check(r"\bab\b", &[b"ab", b"x ab-", "éab".as_bytes()], &[b"abc", b"xab"]);
    check(r"a\Bb", &[b"ab"], &[b"a b"]);
    check(r"$\B", &[b"", b"-"], &[b"a"]);
    check(r"\z\A", &[b""], &[b"a"]);
    check(r"(?m)^\b.*\b$", &[b"a", b"-\nab c"], &[b"", b"-a"]);
    check(r"^\x{e9}|\pN$", &["é".as_bytes(), "x٣".as_bytes()], &[b"x"]);
}

#[test]
fn a_dot_is_one_code_point_or_one_stray_byte() {
    check(
        "^.$",
        &[b"a", "é".as_bytes(), "€".as_bytes(), "😀".as_bytes(), b"\xff", b"\x80", b"\xc3"],
        &[b"\n", b""],
    );
    check("^..$", &[b"ab", b"\xc3a", b"\xe2\x82", b"\x80\x80"], &["é".as_bytes(), "€".as_bytes()]);
    check("^...$", &[b"\xe2\x82a", b"\xf0\x9f\x98", b"\xed\xa0\x80"], &[b"\xe2\x82\xac"]);
    check("^a.b$", &[b"a\xffb", b"a\xe2b"], &[b"a\xe2\x82b"]);
    check("^[^a]$", &[b"\xff"], &[b"a"]);
    check("a", &[b"\xe2\x82a", b"\xc3a"], &[b"\xc3\xa1"]);
}

#[test]
fn what_re2_does_not_read_so_is_refused() {
    for pattern in [
        "(",
        ")",
        "[a",
        "a**b)",
        r"\1",
        "(?=a)",
        "(?<!a)",
        r"\k",
        "(?x)a b",
        "(?u:a)",
        "[a&&b]",
        "[a[bc]]",
        "a{1001}",
        "a{2,1}",
        "[b-a]",
        r"\p{Zq}",
        "*",
        &"a".repeat(PATTERN_BYTES_MAX + 1),
        &"(".repeat(200),
    ] {
        let error = Regex::new(pattern).expect_err(pattern);
        assert!(!error.message.is_empty() && !error.message.ends_with('.'), "{pattern}: {error:?}");
    }
}

#[test]
fn a_pattern_that_is_too_large_is_refused() {
    for (pattern, what) in [
        ("a.{15}$", "needs more than 2000 states"),
        ("(a|b)*a(a|b){14}c", "needs more than 2000 states"),
        (r"^\pL{100}$", "needs more than 2000 states"),
        (r"(\pL{100}){10}", "takes more than 1000000 steps to compile"),
        ("((((a{10}){10}){10}){10}){10}", "takes more than 1000000 steps to compile"),
        ("(((((){1000}){1000}){1000}){1000}){1000}a{1000}", "takes more than 1000000 steps to compile"),
        (&r"\pL".repeat(300), "takes more than 1000000 steps to compile"),
        (&r"(?i)\p{Any}".repeat(80), "takes more than 1000000 steps to compile"),
    ] {
        let error = Regex::new(pattern).unwrap_err();
        assert_eq!((error.message, error.is_shared), (format!("the pattern {what}"), false), "{pattern}");
    }
}

#[test]
fn patterns_share_an_allowance() {
    let mut allowance = Allowance { steps: 5_000_000, states: 100 };
    Regex::within("^a{90}$", &mut allowance).unwrap();
    assert!(allowance.steps < 5_000_000 && allowance.states < 10, "{allowance:?}");
    assert!(Regex::within("^b{90}$", &mut allowance).unwrap_err().is_shared);
    assert!(!Regex::within("(", &mut allowance).unwrap_err().is_shared);
    let mut poor = Allowance { steps: 100, ..allowance };
    assert!(Regex::within("^c{90}$", &mut poor).unwrap_err().is_shared);
    assert_eq!(poor.steps, 0, "what was begun is paid for");
}

#[test]
fn tables_are_small_and_stop_early() {
    let regex = Regex::new("^/api/v[0-9]+$").unwrap();
    assert_eq!((regex.dfa().state_count(), regex.dfa().class_count), (9, 7));
    assert!(regex.dfa().dead.is_some());
    assert!(Regex::new("evil").unwrap().dfa().matched.is_some());
}

proptest! {
    #[test]
    fn both_matchers_agree(
        pattern in r"(\^|\(\?i\)|\(\?s\))?([ab.é]|\[\^a\]|\\b|\\B|\\w|\\D|\(a\|b\.\)|\\n){1,5}(\*|\+|\?|\{2\}|)[ab.€]?\$?",
        texts in prop::collection::vec(
            prop::collection::vec(prop::sample::select(&b"abA \n\xc3\xa9\xe2\x82\xac\xff\xf0\x9f\x98\x80"[..]), 0..8),
            20,
        ),
    ) {
        if let Ok(regex) = Regex::new(&pattern) {
            for text in texts {
                prop_assert_eq!(regex.is_match(&text), regex.dfa().is_match(&text), "{} {:?}", pattern, text);
            }
        }
    }

    #[test]
    fn any_pattern_is_compiled_or_refused(pattern in r"[\x00-\x7f]{0,30}") {
        let _ = Regex::new(&pattern);
    }
}
