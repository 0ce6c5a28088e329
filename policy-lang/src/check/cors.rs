//! `cors`: which pages of other origins may ask.

use super::errors;
use super::header_name::owner_of;
use super::policy::Named;
use super::rule::{Around, near_method};
use crate::checked::{Cors, CorsRules, Message, Origin};
use crate::lex::literal;
use crate::request::received::is_token;
use crate::syntax::ast;
use crate::syntax::{SyntaxKind, SyntaxToken};
use std::collections::BTreeSet;

/// How long a browser may remember what it was told: a day.
const AGE_S_MAX: i64 = 86_400;
/// The most origins, methods or headers of a statement.
const NAMES_MAX: usize = 100;

impl Around<'_> {
    /// A `cors`. `None` if something in it is wrong.
    pub(super) fn cors(&mut self, node: &ast::Cors) -> Option<Named<Cors>> {
        let span = self.tree.span(node.syntax().text_range());
        let origins = self.names(node.origins(), |around, token| around.origin(token));
        let methods = self.names(node.methods(), |around, token| around.method_name(token));
        let headers = self.names(node.headers(), |around, token| around.page_header(token, Message::Request));
        let exposed =
            self.names(node.exposed(), |around, token| around.page_header(token, Message::Response));
        let age_s = match node.age() {
            Some(token) => self.age(&token).map(Some),
            None => Some(None),
        };
        let name = self.statement_name(node.name(), "cors", node.syntax())?;
        let rules = CorsRules {
            origins: origins?,
            methods: methods?,
            headers: headers?,
            exposed: exposed?,
            credentials: node.credentials().is_some(),
            age_s: age_s?,
        };
        if let Some(token) = node.credentials().filter(|_| rules.origins.contains(&Origin::Any)) {
            self.diagnostics.push(errors::credentials_for_all(self.tree.span(token.text_range())));
            return None;
        }
        Some((Cors { id: name.id, rules, span }, name.span))
    }

    /// Names of a list, each looked at, so that every error is found.
    fn names<T: Ord>(
        &mut self,
        tokens: impl Iterator<Item = SyntaxToken>,
        mut name: impl FnMut(&mut Self, &SyntaxToken) -> Option<T>,
    ) -> Option<BTreeSet<T>> {
        let mut names = BTreeSet::new();
        let mut all_right = true;
        for (number, token) in tokens.enumerate() {
            if number == NAMES_MAX {
                self.diagnostics.push(errors::many_cors_names(self.tree.span(token.text_range()), NAMES_MAX));
                return None;
            }
            match name(self, &token) {
                Some(name) => drop(names.insert(name)),
                None => all_right = false,
            }
        }
        all_right.then_some(names)
    }

    fn origin(&mut self, token: &SyntaxToken) -> Option<Origin> {
        let text = literal::string(token.text());
        let origin = origin_of(&text);
        if origin.is_none() {
            self.diagnostics.push(errors::no_origin(self.tree.span(token.text_range()), &text));
        }
        origin
    }

    fn method_name(&mut self, token: &SyntaxToken) -> Option<String> {
        let (text, place) = (token.text(), self.tree.span(token.text_range()));
        if let Some(near) = near_method(text) {
            self.diagnostics.push(errors::warnings::unknown_method(place, text, near));
        }
        Some(text.to_owned())
    }

    fn page_header(&mut self, token: &SyntaxToken, message: Message) -> Option<String> {
        let written = match token.kind() {
            SyntaxKind::String => literal::string(token.text()),
            _ => token.text().to_owned(),
        };
        let name = written.to_ascii_lowercase();
        let is_line =
            name.starts_with(':') || (message == Message::Request && owner_of(&name, message).is_some());
        if is_line || !is_token(name.as_bytes()) {
            self.diagnostics.push(errors::bad_header_name(self.tree.span(token.text_range()), &written));
            return None;
        }
        Some(name)
    }

    fn age(&mut self, token: &SyntaxToken) -> Option<u32> {
        let seconds = literal::duration_ms(token.text()).filter(|ms| ms % 1_000 == 0).map(|ms| ms / 1_000);
        let seconds = seconds.filter(|seconds| (0..=AGE_S_MAX).contains(seconds));
        if seconds.is_none() {
            self.diagnostics.push(errors::bad_cors_age(self.tree.span(token.text_range())));
        }
        seconds.and_then(|seconds| u32::try_from(seconds).ok())
    }
}

/// The origin that a text says, as a browser writes it: scheme, host and port alone, in small letters.
fn origin_of(text: &str) -> Option<Origin> {
    if text == "*" {
        return Some(Origin::Any);
    }
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+.-".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_lowercase()) || !scheme.bytes().all(is_scheme) {
        return None;
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let is_port =
        |port: &str| port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    // A browser leaves out the port that is the scheme's own.
    let is_own = matches!((scheme, port), ("http", Some("80")) | ("https", Some("443")));
    if is_own || !port.is_none_or(is_port) {
        return None;
    }
    let (parent, is_below) = match host.strip_prefix("*.") {
        Some(parent) => (parent, true),
        None => (host, false),
    };
    let is_host = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    let is_name =
        !parent.is_empty() && parent.split('.').all(|label| !label.is_empty()) && parent.bytes().all(is_host);
    let address = parent.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_address = !is_below
        && address.is_some_and(|text| {
            text.parse::<std::net::Ipv6Addr>().is_ok_and(|found| found.to_string() == text)
        });
    if !is_name && !is_address {
        return None;
    }
    match is_below {
        true => {
            let scheme = format!("{scheme}://");
            let (_, behind) = rest.split_once('*')?;
            Some(Origin::Below { scheme, parent: behind.to_owned() })
        }
        false => Some(Origin::Exact(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_writes() {
        for text in
            ["*", "https://a.example", "http://localhost:3000", "https://*.a.example", "http://[::1]:80x"]
        {
            let expected = (!text.ends_with('x')).then(|| text.to_owned());
            assert_eq!(origin_of(text).map(|origin| origin.to_string()), expected, "{text}");
        }
        for text in [
            "",
            "null",
            "a.example",
            "https://",
            "https://a.example/",
            "https://A.example",
            "https://a.example:443",
            "http://a.example:80",
            "https://*",
            "https://a.*.example",
            "https://*.",
            "https://a..b",
            "https://u@a",
            "ftp:/a",
            "https://a.example:0",
            "https://a.example:08",
            "https://a.example:99999",
            "https://[1]",
        ] {
            assert_eq!(origin_of(text), None, "{text}");
        }
    }
}
