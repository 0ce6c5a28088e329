//! Patterns of texts, in the regular expressions of ECMAScript that JSON Schema means, as automata.
//!
//! One look at each byte decides, whatever the pattern: nothing goes back. So what needs that, look-around and
//! references to groups, is refused when the filter is configured, and so is a pattern whose automaton is too large.

use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;

/// Bytes that the automaton of one pattern may have.
pub const BYTES_MAX: usize = 1 << 18;
/// Bytes that those of one schema may have together.
pub const ALL_BYTES_MAX: usize = 1 << 22;
/// Bytes that making one may take.
const BUILD_BYTES_MAX: usize = 1 << 20;
/// White space, in a class.
const SPACES: &str =
    r"\t\n\x0B\x0C\r \u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";
/// What a point means.
const POINT: &str = r"[^\n\r\u{2028}\u{2029}]";

/// A pattern that a text has somewhere, or not.
#[derive(Clone, Debug)]
pub struct Pattern {
    automaton: dense::DFA<Vec<u32>>,
    start: StateID,
}

/// How far a text is through a pattern.
#[derive(Clone, Copy, Debug)]
pub struct Progress(StateID);

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Why it cannot be, in words for the operator.
    pub fn compile(text: &str) -> Result<Self, String> {
        let translated = translate(text)?;
        let config = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(BYTES_MAX))
            .determinize_size_limit(Some(BUILD_BYTES_MAX));
        let automaton = dense::Builder::new().configure(config).build(&translated).map_err(|error| {
            if error.is_size_limit_exceeded() {
                "its automaton is too large; state shorter repetitions, or a simpler pattern".to_owned()
            } else {
                reason(&error)
            }
        })?;
        let start = start::Config::new().anchored(Anchored::No);
        let start = automaton.start_state(&start).map_err(|error| error.to_string())?;
        Ok(Self { automaton, start })
    }

    /// Bytes of its automaton.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.automaton.memory_usage()
    }

    /// Before a text.
    #[must_use]
    pub fn begin(&self) -> Progress {
        Progress(self.start)
    }

    /// After a part of it.
    #[must_use]
    pub fn advance(&self, progress: Progress, part: &[u8]) -> Progress {
        let mut state = progress.0;
        // Once it is found, or cannot be any more, nothing changes that.
        let is_settled = |state| self.automaton.is_match_state(state) || self.automaton.is_dead_state(state);
        if is_settled(state) {
            return progress;
        }
        for &byte in part {
            state = self.automaton.next_state(state, byte);
            if self.automaton.is_special_state(state) && is_settled(state) {
                break;
            }
        }
        Progress(state)
    }

    /// Whether the text, which ends here, has the pattern.
    #[must_use]
    pub fn is_in(&self, progress: Progress) -> bool {
        self.automaton.is_match_state(progress.0)
            || self.automaton.is_match_state(self.automaton.next_eoi_state(progress.0))
    }

    /// Whether a whole text has the pattern.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.is_in(self.advance(self.begin(), text.as_bytes()))
    }
}

/// The innermost reason, on one line.
fn reason(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// Says a pattern of ECMAScript in the automaton's words, where the two differ.
fn translate(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    let mut in_class = false;
    while let Some(char) = chars.next() {
        match char {
            '\\' => {
                let letter = chars.next().ok_or("ends with a backslash")?;
                escape(letter, in_class, &mut out)?;
            }
            '[' if in_class => out.push_str(r"\["),
            '[' => {
                in_class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if chars.peek() == Some(&']') {
                    return Err("has an empty class".to_owned());
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => out.extend(['\\', char]),
            '-' if in_class && chars.peek() == Some(&'-') => {
                return Err(r"has `--` in a class; write `\-`".to_owned());
            }
            '.' if !in_class => out.push_str(POINT),
            '(' if !in_class && chars.peek() == Some(&'?') => {
                chars.next();
                match chars.peek() {
                    Some(':') => out.push_str("(?"),
                    _ => {
                        return Err("has a group that is not `(…)` or `(?:…)`; look-around is not supported"
                            .to_owned());
                    }
                }
            }
            char => out.push(char),
        }
    }
    if in_class { Err("has a class without an end".to_owned()) } else { Ok(out) }
}

fn escape(letter: char, in_class: bool, out: &mut String) -> Result<(), String> {
    let class = |negation: &str, members: &str| format!("[{negation}{members}]");
    match letter {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(&class("", SPACES)),
        'S' => out.push_str(&class("^", SPACES)),
        'b' if in_class => out.push_str(r"\x08"),
        'b' => out.push_str(r"(?-u:\b)"),
        'f' => out.push_str(r"\x0C"),
        'v' => out.push_str(r"\x0B"),
        'n' | 'r' | 't' | 'u' | 'x' => out.extend(['\\', letter]),
        letter if letter.is_ascii_punctuation() => out.extend(['\\', letter]),
        letter => return Err(format!("has `\\{letter}`, which is not supported")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let pattern = match Pattern::compile(pattern) {
            Ok(pattern) => pattern,
            Err(reason) => unreachable!("{reason}"),
        };
        for text in matching {
            assert!(pattern.matches(text), "{text}");
        }
        for text in others {
            assert!(!pattern.matches(text), "{text}");
        }
    }

    #[test]
    fn a_pattern_means_what_it_means_in_ecmascript() {
        check("b", &["abc", "b"], &["ac", ""]);
        check("^a.c$", &["abc", "aäc", "a😀c"], &["abcd", "a\nc", "a\u{2028}c", "ac"]);
        check(r"^\d{3}-\w+$", &["123-x_9"], &["١٢٣-x", "123-ä", "123-x "]);
        check(r"^\s\S$", &[" a", "\u{a0}a", "\u{feff}ä"], &["aa", "  "]);
        check(r"^[\w.&[~-]+$", &["a.b&[~-"], &["a b", ""]);
        check(r"^[^\d]$", &["a", "ä"], &["1", ""]);
        check(r"^(?:ab|c)*\/\u00e4\x41$", &["ababc/äA", "/äA"], &["a/äA"]);
        check(r"\bcat\b", &["a cat", "cat"], &["concat"]);
        check("", &["", "anything"], &[]);
        check("^$", &[""], &["\n"]);
    }

    #[test]
    fn what_no_automaton_can_do_is_refused() {
        for (pattern, expected) in [
            ("(?=a)", "has a group that is not `(…)` or `(?:…)`; look-around is not supported"),
            (r"(a)\1", r"has `\1`, which is not supported"),
            (r"\p{L}", r"has `\p`, which is not supported"),
            ("[]", "has an empty class"),
            ("[a", "has a class without an end"),
            ("a{2", "unclosed counted repetition"),
            ("[ab--c]", r"has `--` in a class; write `\-`"),
            (
                "(a|b)*a(a|b){20}",
                "its automaton is too large; state shorter repetitions, or a simpler pattern",
            ),
        ] {
            match Pattern::compile(pattern) {
                Ok(_) => unreachable!("{pattern}"),
                Err(reason) => assert_eq!(reason, expected, "{pattern}"),
            }
        }
    }
}
