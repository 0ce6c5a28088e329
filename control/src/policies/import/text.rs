//! Writ, written.

use chancery_policy_lang::{FileId, parse, print};
use std::collections::BTreeSet;

/// A policy, statement by statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// `auth`, `traffic`, `log` or `sink`.
    pub(super) kind: &'static str,
    /// Its name.
    pub(super) name: String,
    /// Where it holds, such as `service shop/orders`; empty for a sink.
    pub(super) target: String,
    /// What stands above it.
    pub(super) comments: Vec<String>,
    /// Its statements; each line that begins with `#` is a comment.
    pub(super) statements: Vec<String>,
}

/// The policies as text, in the one form that there is.
pub(super) fn write(policies: &[Policy]) -> String {
    let text: String = policies.iter().map(of_policy).collect::<Vec<_>>().join("\n");
    print::print(&parse::parse(FileId::default(), &text).tree)
}

fn of_policy(policy: &Policy) -> String {
    let comments: String = policy.comments.iter().map(|comment| comment_lines(comment)).collect();
    let statements: String = policy
        .statements
        .iter()
        .map(|statement| match statement.strip_prefix('#') {
            Some(comment) => comment_lines(comment.trim()),
            None => format!("{statement}\n"),
        })
        .collect();
    let target = if policy.target.is_empty() { String::new() } else { format!("on {} ", policy.target) };
    format!("{comments}{} {} {target}{{\n{statements}}}\n", policy.kind, policy.name)
}

/// A comment, whatever is in it.
fn comment_lines(text: &str) -> String {
    text.lines()
        .map(|line| format!("# {}\n", line.replace(|character: char| character.is_control(), " ")))
        .collect()
}

/// A string literal.
pub(super) fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

/// A name of the language, as near to a text as it can be.
pub(super) fn name(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character } else { '-' })
        .collect();
    let plain = plain.trim_matches('-');
    match plain.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => plain.to_owned(),
        Some(_) => format!("p-{plain}"),
        None => "imported".to_owned(),
    }
}

/// A header's name, as statements have it.
pub(super) fn header_name(header: &str) -> String {
    let lower = header.to_ascii_lowercase();
    if name(&lower) == lower { lower } else { string(&lower) }
}

/// Names that are given already.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// A name like this that no other policy has.
    pub(super) fn give(&mut self, wanted: &str) -> String {
        let wanted = name(wanted);
        let mut given = wanted.clone();
        let mut number = 2;
        while !self.0.insert(given.clone()) {
            given = format!("{wanted}-{number}");
            number += 1;
        }
        given
    }
}
