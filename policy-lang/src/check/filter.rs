//! `filter` policies: which module of somebody else stands where, and on what terms.

use super::errors::filter as errors;
use super::target::service_ref;
use crate::checked::{Attached, FilterBody, FilterPhase, FilterVersion, Grants, OnFailure};
use crate::diagnostic::Findings;
use crate::lex::literal;
use crate::source::Span;
use crate::syntax::ast::{self, AstNode, Expr, FilterStatement, MapExpr, ModeKind, Policy, Statement};
use crate::syntax::{SyntaxNode, SyntaxTree};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// The longest name of a filter.
pub(super) const FILTER_NAME_BYTES_MAX: usize = 63;
/// The longest version.
const VERSION_BYTES_MAX: usize = 64;
/// The longest configuration, without white space.
pub(super) const CONFIG_BYTES_MAX: usize = 64 << 10;
/// Digits of a digest.
const DIGEST_DIGITS: usize = 64;

/// What a `filter` policy says. `None` if something in it is wrong or missing.
pub(super) fn check(
    node: &Policy,
    name_span: Span,
    tree: &SyntaxTree,
    findings: &mut Findings,
) -> Option<FilterBody> {
    let mut check =
        Check { tree, findings, stated: BTreeMap::new(), granted: BTreeMap::new(), may: Grants::default() };
    let (mut attached, mut phase, mut on_failure) = (None, None, None);
    let mut config = Some(None);
    let mut all_right = true;
    for statement in node.statements() {
        let statement = match statement {
            Statement::Other(statement) => FilterStatement::of(&statement),
            Statement::Let(node) => {
                check.findings.push(errors::let_in_filter(tree.span(node.range())));
                all_right = false;
                None
            }
            // Modes are those of the policy; the parser has said that others do not stand here.
            _ => None,
        };
        let Some(statement) = statement else { continue };
        let span = tree.span(statement.syntax().text_range());
        match &statement {
            FilterStatement::Attach(node) => {
                all_right &= check.is_first("use", span);
                attached = check.attached(node).or(attached);
            }
            FilterStatement::Phase(node) => {
                all_right &= check.is_first("phase", span);
                phase = node.when().map(|token| match token.text() {
                    "before" => FilterPhase::BeforeAuth,
                    "after" => FilterPhase::AfterAuth,
                    _ => FilterPhase::Last,
                });
            }
            FilterStatement::Config(node) => {
                all_right &= check.is_first("config", span);
                config = node.value().and_then(|map| check.config(&map)).map(Some);
            }
            FilterStatement::Failure(node) => {
                all_right &= check.is_first("on failure", span);
                on_failure = node.effect().map(|token| match token.text() {
                    "deny" => OnFailure::Deny,
                    _ => OnFailure::Allow,
                });
            }
            FilterStatement::May(node) => all_right &= check.may(node, span).is_some(),
        }
    }
    for part in ["use", "phase", "on failure"] {
        if !check.stated.contains_key(part) {
            check.findings.push(errors::missing(name_span, part));
        }
    }
    all_right &= check.is_no_shadow(node);
    let (config_span, may) = (check.stated.get("config").copied(), check.may);
    let body = FilterBody {
        attached: attached?,
        phase: phase?,
        config: config?,
        on_failure: on_failure?,
        may,
        attached_span: check.stated.get("use").copied()?,
        config_span,
    };
    all_right.then_some(body)
}

struct Check<'a> {
    tree: &'a SyntaxTree,
    findings: &'a mut Findings,
    /// Where each statement stands that can stand once.
    stated: BTreeMap<&'static str, Span>,
    /// Where what is granted stands, by its words.
    granted: BTreeMap<String, Span>,
    may: Grants,
}

impl Check<'_> {
    fn is_first(&mut self, part: &'static str, span: Span) -> bool {
        if let Some(first) = self.stated.get(part) {
            self.findings.push(errors::second(span, *first, part));
            return false;
        }
        self.stated.insert(part, span);
        true
    }

    fn attached(&mut self, node: &ast::Attach) -> Option<Attached> {
        // The parser has said what is missing.
        let (name, version) = (node.filter()?, node.version()?);
        let is_name = is_filter_name(name.text());
        if !is_name {
            self.findings.push(errors::name(self.tree.span(name.text_range())));
        }
        let text = literal::string(version.text());
        let read = version_of(&text);
        if read.is_none() {
            self.findings.push(errors::version(self.tree.span(version.text_range()), &text));
        }
        Some(Attached { name: name.text().into(), version: read? }).filter(|_| is_name)
    }

    fn config(&mut self, map: &MapExpr) -> Option<Arc<str>> {
        let mut text = String::new();
        self.map(map, &mut text)?;
        if text.len() > CONFIG_BYTES_MAX {
            self.findings.push(errors::long_config(self.span(map.syntax())));
            return None;
        }
        Some(text.into())
    }

    fn map(&mut self, map: &MapExpr, text: &mut String) -> Option<()> {
        let mut keys: BTreeMap<String, Span> = BTreeMap::new();
        let mut all_right = Some(());
        text.push('{');
        for (number, entry) in map.entries().enumerate() {
            let Some(Expr::Literal(key)) = entry.key() else { return None };
            let key_span = self.span(key.syntax());
            let key = literal::string(key.token()?.text());
            if let Some(first) = keys.get(&key) {
                self.findings.push(errors::second_key(key_span, &key, *first));
                all_right = None;
            }
            if number > 0 {
                text.push(',');
            }
            write_string(&key, text);
            keys.insert(key, key_span);
            text.push(':');
            if self.value(&entry.value()?, text).is_none() {
                all_right = None;
            }
        }
        text.push('}');
        all_right
    }

    fn value(&mut self, value: &Expr, text: &mut String) -> Option<()> {
        match value {
            Expr::Map(map) => self.map(map, text),
            Expr::List(list) => {
                let mut all_right = Some(());
                text.push('[');
                for (number, element) in list.elements().enumerate() {
                    if number > 0 {
                        text.push(',');
                    }
                    if self.value(&element, text).is_none() {
                        all_right = None;
                    }
                }
                text.push(']');
                all_right
            }
            Expr::Unary(negated) => {
                text.push('-');
                self.value(&negated.operand()?, text)
            }
            Expr::Literal(literal) => {
                let token = literal.token()?;
                match token.text() {
                    word @ ("true" | "false" | "null") => text.push_str(word),
                    number if number.starts_with(|first: char| first.is_ascii_digit()) => {
                        if !is_number(number) {
                            self.findings.push(errors::number(self.tree.span(token.text_range()), number));
                            return None;
                        }
                        text.push_str(number);
                    }
                    string => write_string(&literal::string(string), text),
                }
                Some(())
            }
            // The parser has said that nothing else stands here.
            _ => None,
        }
    }

    fn may(&mut self, node: &ast::May, span: Span) -> Option<()> {
        let words = match node.what()?.text() {
            "call" => {
                let reference = node.service()?;
                let service = service_ref(&reference)?;
                if service.name == "*" {
                    self.findings.push(errors::call_of_all(self.span(reference.syntax())));
                    return None;
                }
                let words = format!("call {}/{}", service.namespace, service.name);
                self.may.calls.insert(service);
                words
            }
            "read" => {
                self.may.read_body = true;
                "read body".to_owned()
            }
            "change" => {
                self.may.change_body = true;
                "change body".to_owned()
            }
            _ => {
                self.may.share_data = true;
                "share data".to_owned()
            }
        };
        if let Some(first) = self.granted.get(&words) {
            self.findings.push(errors::said_twice(span, *first));
            return None;
        }
        self.granted.insert(words, span);
        Some(())
    }

    fn is_no_shadow(&mut self, node: &Policy) -> bool {
        let shadow = node.statements().find_map(|statement| match statement {
            Statement::Mode(mode) if mode.kind() == Some(ModeKind::Shadow) => Some(mode),
            _ => None,
        });
        if let Some(mode) = &shadow {
            let uses = self.stated.get("use").copied();
            self.findings.push(errors::shadow(self.tree.span(mode.range()), uses));
        }
        shadow.is_none()
    }

    fn span(&self, node: &SyntaxNode) -> Span {
        self.tree.span(node.text_range())
    }
}

/// Whether it can be the name of a filter.
fn is_filter_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= FILTER_NAME_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(is_plain)
}

/// The version that a text says: three numbers, perhaps with what comes before a release (Semantic Versioning 2.0.0), or
/// a digest. What a build adds to a version tells none apart, so it is none here.
fn version_of(text: &str) -> Option<FilterVersion> {
    if let Some(digest) = text.strip_prefix("sha256:") {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_digest = digest.len() == DIGEST_DIGITS && digest.bytes().all(is_digit);
        return is_digest.then(|| FilterVersion::Digest(digest.into()));
    }
    let (numbers, pre) = text.split_once('-').map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
    let is_plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_count = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_digit())
            && part.parse::<u64>().is_ok_and(|number| number.to_string() == part)
    };
    let is_pre =
        |part: &str| is_plain(part) && (!part.bytes().all(|byte| byte.is_ascii_digit()) || is_count(part));
    let is_version = text.len() <= VERSION_BYTES_MAX
        && numbers.split('.').count() == 3
        && numbers.split('.').all(is_count)
        && pre.is_none_or(|pre| pre.split('.').all(is_pre));
    is_version.then(|| FilterVersion::Number(text.into()))
}

/// Whether the text of a token is a number of JSON.
fn is_number(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    is_digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(is_digits)
}

/// Writes a string of JSON.
fn write_string(value: &str, text: &mut String) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            control if u32::from(control) < 0x20 => {
                // Writing to a string does not fail.
                let _ = write!(text, "\\u{:04x}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_one_of_semantic_versioning_or_a_digest() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for text in ["0.0.0", "1.2.0", "10.20.30-rc.1", "1.0.0-0a", "1.0.0--", digest.as_str()] {
            assert_eq!(version_of(text).map(|version| version.to_string()).as_deref(), Some(text));
        }
        let no_digest = digest.to_uppercase();
        for text in [
            "", "1", "1.2", "v1.2.0", "1.2.0.0", "01.2.0", "1.2.0-", "1.2.0-01", "1.2.0+5", "1.2.x",
            "sha256:", &no_digest,
        ] {
            assert_eq!(version_of(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_those_of_json() {
        for text in ["0", "10", "0.5", "1.50"] {
            assert!(is_number(text), "{text}");
        }
        for text in ["", "01", "1.", ".5", "1_000", "0x1", "64KiB"] {
            assert!(!is_number(text), "{text}");
        }
    }

    #[test]
    fn strings_are_escaped_as_in_json() {
        let mut text = String::new();
        write_string("a\"b\\c\n\u{1}é", &mut text);
        assert_eq!(text, r#""a\"b\\c\n\u0001é""#);
    }
}
