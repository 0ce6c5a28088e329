//! What holds for any text: the stages that read it never panic and lose no byte of it.
//!
//! The texts are soups of tokens, and the language cases with pieces cut out, doubled, swapped and put
//! in. `PROPTEST_CASES` says how many of each kind are tried. The fuzz targets in `fuzz/` check the same.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test says what is wrong by panicking"
)]

use chancery_policy_lang::syntax::SyntaxKind;
use chancery_policy_lang::{FileId, parse, print};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

#[path = "any_text/properties.rs"]
mod properties;

/// How many texts of each kind are tried, unless `PROPTEST_CASES` says otherwise.
const TEXTS: u32 = 3_000;

/// Pieces of soups: the words, marks and literals of the language, and what is none.
const WORDS: &str = r#"
    auth traffic log filter sink file otlp use schema let test prove on mesh namespace service gateway route workload inbound
    outbound mode enforce shadow until off by source allow deny exempt otherwise respond from ip spiffe jwt
    apikey anyone when unless redirect rewrite timeout at_most retry each limit burst per shared for fault
    delay abort set request response header mirror connections eject health balance sample fields as redact
    with hash send to phase config failure may call given x within expect limited logged not never always
    unchanged since except cost ops issuer jwks claims secret string int bool list enum in true false and or
    alow shop shop/orders shop/* a-b GET get / /a/** /{id}/* /a?b /**/x // 12 0x1f 99999999999999999999 0.1%
    110% 5% 100/s 250ms 64KiB 5min 1.5 2027-02-30 10.0.0.0/8 10.1.2.3/8 ::1 a:b:c "s" 's' r"\d" "\q" "open
    { } ( ) [ ] , : . ? @ -> = == != < <= > >= ! && || + - * % ; & § 日本
"#;
/// Pieces that have white space in them, or look like it.
const SPACED: [&str; 7] = ["#c\n", "\u{1b}", "\0", "\u{feff}", "\r\n", "\n\n", "\t"];

static PIECES: LazyLock<Vec<&str>> = LazyLock::new(|| WORDS.split_whitespace().chain(SPACED).collect());

static CASES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut paths = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"), &mut paths);
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
});

/// The cases in which nothing is wrong.
static RIGHT: LazyLock<Vec<&String>> =
    LazyLock::new(|| CASES.iter().filter(|text| parse::parse(FileId(0), text).is_ok()).collect());

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "writ") {
            paths.push(path);
        }
    }
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(TEXTS);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn soup() -> impl Strategy<Value = String> {
    let piece =
        (proptest::sample::select(PIECES.as_slice()), proptest::sample::select(&["", " ", " ", "\n"][..]));
    proptest::collection::vec(piece, 0..60)
        .prop_map(|pieces| pieces.into_iter().flat_map(|(text, space)| [text, space]).collect())
}

/// One change of a text: what is done, where (in thousandths of the text), and what is put in.
fn edit() -> impl Strategy<Value = (u8, usize, usize, &'static str)> {
    (0..4_u8, 0..1_000_usize, 0..40_usize, proptest::sample::select(PIECES.as_slice()))
}

fn edited(mut text: String, edits: Vec<(u8, usize, usize, &'static str)>) -> String {
    for (what, at, length, piece) in edits {
        let boundary =
            |at: usize| (at.min(text.len())..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap();
        let from = boundary(text.len() * at / 1_000);
        let to = boundary(from + length);
        let cut = text[from..to].to_owned();
        match what {
            0 => text.replace_range(from..to, ""),
            1 => text.insert_str(from, piece),
            2 => text.insert_str(to, &cut),
            _ => text.replace_range(from..to, piece),
        }
    }
    text
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn soups_of_tokens_are_read_without_panic_or_loss(text in soup()) {
        properties::check(&text);
    }

    #[test]
    fn changed_cases_are_read_without_panic_or_loss(
        case in 0..10_000_usize,
        edits in proptest::collection::vec(edit(), 1..6),
    ) {
        let text = edited(CASES[case % CASES.len()].clone(), edits);
        properties::check(&text);
        properties::compile(&text);
    }

    #[test]
    fn any_characters_are_read_without_panic_or_loss(text in "\\PC*|[ -~\\n]*|[\\x00-\\x7f]*") {
        properties::check(&text);
    }

    #[test]
    fn right_texts_print_alike_however_they_are_spaced(
        case in 0..10_000_usize,
        spaces in proptest::collection::vec(proptest::sample::select(&[" ", "  ", "\n", "\t", " \r\n "][..]), 16),
    ) {
        let parsed = parse::parse(FileId(0), RIGHT[case % RIGHT.len()]);
        let spaced = |spaces: &[&str]| {
            let mut text = String::new();
            let tokens = parsed.tree.root().descendants_with_tokens().filter_map(|element| element.into_token());
            for (at, token) in tokens.enumerate() {
                match token.kind() {
                    SyntaxKind::Comment => {}
                    // Behind a comment that is left out there is a space already.
                    SyntaxKind::Whitespace if text.ends_with(char::is_whitespace) => {}
                    SyntaxKind::Whitespace => text.push_str(spaces[at % spaces.len()]),
                    _ => text.push_str(token.text()),
                }
            }
            print::print(&parse::parse(FileId(0), &text).tree)
        };
        prop_assert_eq!(spaced(&spaces), spaced(&[" "]));
    }
}

#[test]
fn deep_and_long_texts_end() {
    for piece in
        ["(", "[", "{", "!", "-", "a.", "a(", "a[", "a+", "a?b:", "a /b", "{a:", "a /{x}", "/1%", "a ? "]
    {
        for head in
            ["let a = ", "auth a on mesh { deny when ", "", "test \"\" for a { given GET / with jwt a "]
        {
            let text = head.to_owned() + &piece.repeat(20_000);
            properties::check(&text);
        }
    }
}
