//! `sink`: where lines of logs go, from the text of its one statement.

use super::errors::sink as errors;
use crate::checked::{Goal, Sink};
use crate::diagnostic::Findings;
use crate::lex::literal;
use crate::sinks::{STDOUT, WITH_TLS};
use crate::source::Span;
use crate::syntax::SyntaxTree;
use crate::syntax::ast::{AstNode, Policy, Statement, StatementNode};

/// The longest name of a file, in bytes.
pub(super) const FILE_NAME_BYTES_MAX: usize = 100;
/// The longest address, in bytes: that of a host, and a port.
const ADDRESS_BYTES_MAX: usize = 253 + 6;

/// What a sink says. `None` if something in it is wrong.
pub(super) fn check(
    node: &Policy,
    name: &str,
    name_span: Span,
    (tree, diagnostics): (&SyntaxTree, &mut Findings),
) -> Option<Sink> {
    if name == STDOUT {
        diagnostics.push(errors::reserved(name_span));
        return None;
    }
    let mut stated = node.statements().filter_map(|statement| match statement {
        Statement::Other(statement) => Some(statement),
        // The parser lets no other stand here.
        _ => None,
    });
    let Some(first) = stated.next() else {
        diagnostics.push(errors::no_goal(name_span, name));
        return None;
    };
    let span = tree.span(first.range());
    if let Some(second) = stated.next() {
        diagnostics.push(errors::second_goal(tree.span(second.range()), span));
        return None;
    }
    Some(Sink { goal: goal(&first, tree, diagnostics)?, span })
}

fn goal(node: &StatementNode, tree: &SyntaxTree, diagnostics: &mut Findings) -> Option<Goal> {
    let word = node.keyword()?;
    if word.text() == STDOUT {
        return Some(Goal::Stdout);
    }
    // The parser has said that it is missing.
    let token = node.text()?;
    let (text, span) = (literal::string(token.text()), tree.span(token.text_range()));
    match word.text() {
        "file" if is_file_name(&text) => Some(Goal::File(text.into())),
        "file" => {
            diagnostics.push(errors::file_name(span));
            None
        }
        _ if is_address(text.strip_prefix(WITH_TLS).unwrap_or(&text)) => Some(Goal::Otlp(text.into())),
        _ => {
            diagnostics.push(errors::address(span));
            None
        }
    }
}

/// Whether it is the name of one file that is not hidden, and no way to another folder.
fn is_file_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=FILE_NAME_BYTES_MAX).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(is_plain)
}

/// Whether it is `HOST:PORT`, an address of IPv6 in brackets.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_port =
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_name = |host: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !host.is_empty() && host.bytes().all(is_plain)
    };
    let in_brackets = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = match in_brackets {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_name(host),
    };
    text.len() <= ADDRESS_BYTES_MAX && is_port && is_host
}
