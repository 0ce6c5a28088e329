//! Words of others, made visible before a person reads them.
//!
//! A sidecar's refusal, a file's name, a label: each may have bytes in it that move a cursor, colour a terminal,
//! write its clipboard, begin a new line of a log or turn letters round. Whoever prints such words passes them
//! through here; what is stored and what the API answers stays as it came.

use chancery_policy_lang::diagnostic::is_visible;
use std::borrow::Cow;

/// The text with every character that is not seen as itself written as an escape, such as `\u{1b}` or `\n`.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// As [`visible`], but lines stay lines.
#[must_use]
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escape(text, |character| character == '\n' || character == '\t')
}

/// As [`visible`], but with these characters as they are.
#[must_use]
pub fn visible_but(text: &str, keep: char) -> Cow<'_, str> {
    escape(text, |character| character == keep)
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_plain = |character: char| keep(character) || is_visible(character);
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_plain(character) {
            escaped.push(character);
        } else {
            escaped.extend(character.escape_debug());
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_stays_and_what_acts_is_escaped() {
        for text in ["", "shop/orders/1", "\"a\" 'b' \\n c", "größer — 日本 🦊"] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        let acts = [
            ("\x1b]0;pwned\x07\x1b[31mRED", "\\u{1b}]0;pwned\\u{7}\\u{1b}[31mRED"),
            ("a\nINFO b\r\t", "a\\nINFO b\\r\\t"),
            ("nimda\u{202e}admin", "nimda\\u{202e}admin"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("\u{9b}31m\u{7f}\0", "\\u{9b}31m\\u{7f}\\0"),
            ("line\u{2028}end\u{ad}", "line\\u{2028}end\\u{ad}"),
            ("\u{e0041}", "\\u{e0041}"),
        ];
        for (text, expected) in acts {
            assert_eq!(visible(text), expected);
        }
    }

    #[test]
    fn lines_stay_lines_where_they_may() {
        assert_eq!(visible_lines("error: a\n\thelp: \x1bb"), "error: a\n\thelp: \\u{1b}b");
        assert_eq!(visible_but("\x1b[1mwords\nmore", '\x1b'), "\x1b[1mwords\\nmore");
    }
}
