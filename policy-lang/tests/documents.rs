//! Holds the grammar in the documents to the parser.
//!
//! The grammar test reads `docs/grammar.ebnf`, writes random texts by it and gives them to the parser,
//! which must find nothing wrong. So whatever the grammar promises, the parser keeps.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

use chancery_policy_lang::diagnostic::render;
use chancery_policy_lang::{Diagnostic, FileId, SourceSet, parse};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::collections::BTreeMap;

const GRAMMAR: &str = include_str!("../../docs/grammar.ebnf");

/// How many texts are written for each production of the grammar.
const TEXTS: usize = 40;
/// From this depth on, what can be left out is left out and the last alternative is taken.
const DEPTH: usize = 12;

/// The right side of a production.
#[derive(Debug)]
enum Part {
    Word(String),
    Name(String),
    Sequence(Vec<Part>),
    Choice(Vec<Part>),
    Optional(Box<Part>),
    Repeated(Box<Part>),
}

fn productions() -> BTreeMap<String, Part> {
    let mut text = String::new();
    let mut rest = GRAMMAR;
    while let Some((before, behind)) = rest.split_once("(*") {
        text.push_str(before);
        rest = behind.split_once("*)").unwrap().1;
    }
    text.push_str(rest);
    let mut tokens = text.split_whitespace().peekable();
    let mut productions = BTreeMap::new();
    while let Some(name) = tokens.next() {
        assert_eq!(tokens.next(), Some("="), "behind {name}");
        let part = choice(&mut tokens);
        assert_eq!(tokens.next(), Some(";"), "at the end of {name}");
        assert!(productions.insert(name.to_owned(), part).is_none(), "{name} is defined twice");
    }
    productions
}

type Tokens<'t> = std::iter::Peekable<std::str::SplitWhitespace<'t>>;

fn choice(tokens: &mut Tokens<'_>) -> Part {
    let mut alternatives = vec![sequence(tokens)];
    while tokens.next_if_eq(&"|").is_some() {
        alternatives.push(sequence(tokens));
    }
    if alternatives.len() == 1 { alternatives.remove(0) } else { Part::Choice(alternatives) }
}

fn sequence(tokens: &mut Tokens<'_>) -> Part {
    let mut parts = Vec::new();
    while let Some(token) = tokens.next_if(|token| !matches!(*token, "|" | ";" | ")" | "]" | "}")) {
        let (open, part) = match token {
            "(" => (")", choice(tokens)),
            "[" => ("]", Part::Optional(Box::new(choice(tokens)))),
            "{" => ("}", Part::Repeated(Box::new(choice(tokens)))),
            _ => (
                "",
                match token.strip_prefix('"').and_then(|word| word.strip_suffix('"')) {
                    Some(word) => Part::Word(word.to_owned()),
                    None => Part::Name(token.to_owned()),
                },
            ),
        };
        assert!(open.is_empty() || tokens.next() == Some(open), "`{open}` is missing");
        parts.push(part);
    }
    Part::Sequence(parts)
}

/// Writes texts by the grammar.
struct Writer<'g> {
    productions: &'g BTreeMap<String, Part>,
    rng: TestRng,
    out: String,
}

impl Writer<'_> {
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.rng.next_u32()).unwrap() % limit
    }

    fn write(&mut self, part: &Part, depth: usize) {
        let is_deep = depth > DEPTH;
        match part {
            Part::Word(word) => self.out.extend([word, " "]),
            Part::Name(name) => self.name(name, depth),
            Part::Sequence(parts) => parts.iter().for_each(|part| self.write(part, depth)),
            Part::Choice(parts) => {
                // No first alternative needs its own production again.
                let at = if is_deep { 0 } else { self.below(parts.len()) };
                self.write(parts.get(at).unwrap(), depth);
            }
            Part::Optional(part) => {
                if !is_deep && self.below(2) == 0 {
                    self.write(part, depth + 1);
                }
            }
            Part::Repeated(part) => {
                let times = if is_deep { 0 } else { self.below(3) };
                (0..times).for_each(|_| self.write(part, depth + 1));
            }
        }
    }

    fn name(&mut self, name: &str, depth: usize) {
        let samples: &[&str] = match name {
            "NAME" => &["orders", "no-delete", "x_1", "header", "limit", "5xx"],
            "METHOD" => &["GET", "POST", "M-SEARCH"],
            "REF" => &["shop/orders", "shop/no-delete", "x/limit"],
            "PATH" => &["/", "/api/**", "/cart/{id}/*", "/v1/items:get"],
            "PATH_STRING" => &[r#""/Orders(5)/**""#, "'/caf\u{e9}/{id}'", r#""/a b#c""#],
            "STRING" => &["\"s\"", "'it'", "r\"\\d\"", "\"\""],
            "INT" => &["0", "403", "0x1f"],
            "FRACTION" => &["0.5", "12.25"],
            "SIZE" => &["64KiB", "1B"],
            "DURATION" => &["250ms", "2s", "1h"],
            "RATE" => &["100/s", "3/d"],
            "PERCENT" => &["5%", "0.1%"],
            "DATE" => &["2027-01-31"],
            "IP" => &["10.1.2.3", "::1", "2001:db8::1"],
            "CIDR" => &["10.0.0.0/8", "2001:db8::/32"],
            _ => {
                let productions = self.productions;
                let part = productions.get(name).unwrap_or_else(|| panic!("no production `{name}`"));
                return self.write(part, depth + 1);
            }
        };
        let at = self.below(samples.len());
        self.out.extend([samples.get(at).unwrap(), " "]);
    }
}

#[test]
fn what_the_grammar_allows_the_parser_understands() {
    let productions = productions();
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut writer = Writer { productions: &productions, rng, out: String::new() };
    // Each item is written alone, as often, so that the rare productions are reached too.
    for item in ["file", "use", "schema", "let", "auth", "traffic", "log", "filter", "sink", "test", "prove"]
    {
        for _ in 0..TEXTS {
            writer.out.clear();
            writer.name(item, 0);
            let text = &writer.out;
            let parsed = parse::parse(FileId(0), text);
            assert!(parsed.is_ok(), "{text}\n{}", shown(text, &parsed.diagnostics));
        }
    }
}

fn shown(text: &str, diagnostics: &[Diagnostic]) -> String {
    let mut sources = SourceSet::new();
    sources.add("example.writ", text);
    render::human(diagnostics, &sources, false)
}
