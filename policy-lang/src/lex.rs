//! The lexer: text to tokens, white space and comments included.
//!
//! Every byte of the text is in exactly one token, in order; what is no token of the language becomes
//! [`SyntaxKind::Unknown`] and a diagnostic. Words are contextual, so the lexer knows no keywords.
//!
//! A `/` begins a path, unless it touches the token before it: then it is a slash (`shop/orders`,
//! `size/2`). In an expression, where a path cannot stand, the parser takes a path apart again
//! (`a / b`, `a /b`), and likewise `5%2` and `10/s`.

pub(crate) mod errors;
pub mod literal;
mod token;

use crate::diagnostic::Diagnostic;
use crate::parse::DIAGNOSTICS_MAX;
use crate::source::{FileId, Span};
use crate::syntax::SyntaxKind;
use std::fmt::Write as _;
use token::TextKind;

/// A token: a kind and how many bytes it is long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its kind; never a node kind, [`SyntaxKind::Keyword`] or [`SyntaxKind::Method`].
    pub kind: SyntaxKind,
    /// Byte offset of its first byte.
    pub start: u32,
    /// Byte offset behind its last byte.
    pub end: u32,
}

/// The tokens of a text and what is wrong with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lexed {
    /// All tokens in order; together they cover the text.
    pub tokens: Vec<Token>,
    /// What is wrong, in order; the first mistakes, of very many.
    pub diagnostics: Vec<Diagnostic>,
}

/// The tokens of a file of at most [`SOURCE_BYTES_MAX`](crate::source::SOURCE_BYTES_MAX) bytes.
/// A longer text is one unknown token and an error.
#[must_use]
pub fn lex(file: FileId, text: &str) -> Lexed {
    if text.len() > crate::source::SOURCE_BYTES_MAX {
        // The place is the beginning; the whole file as a place would help nobody.
        let diagnostic = errors::file_too_large(Span { file, start: 0, end: 0 }, text.len());
        let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let token = Token { kind: SyntaxKind::Unknown, start: 0, end };
        return Lexed { tokens: vec![token], diagnostics: vec![diagnostic] };
    }
    lex_piece(file, text, 0, SyntaxKind::Whitespace)
}

/// Whether a text is a name of the language, as policies, services and namespaces have.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let lexed = lex(FileId::default(), text);
    lexed.diagnostics.is_empty()
        && matches!(lexed.tokens.as_slice(), [token] if token.kind == SyntaxKind::Name)
}

/// The tokens of a request alone, as for `chancery explain`. A client can send any bytes in a path, so a
/// path goes up to the next white space here, and `#` begins no comment.
#[must_use]
pub fn lex_request(file: FileId, text: &str) -> Lexed {
    if text.len() > crate::source::SOURCE_BYTES_MAX {
        return lex(file, text);
    }
    lex_as(TextKind::Request, file, text, 0, SyntaxKind::Whitespace)
}

/// The tokens of a piece of a file that begins at `offset`, directly behind a token of kind `before`.
pub(crate) fn lex_piece(file: FileId, text: &str, offset: u32, before: SyntaxKind) -> Lexed {
    lex_as(TextKind::File, file, text, offset, before)
}

fn lex_as(text_kind: TextKind, file: FileId, text: &str, offset: u32, before: SyntaxKind) -> Lexed {
    let mut lexed = Lexed::default();
    token::scan(text, text_kind, before, |kind, start, end| {
        let token = Token { kind, start: offset + start as u32, end: offset + end as u32 };
        let piece = text.get(start..end).unwrap_or("");
        // The checker sees whether the `-` is a sign.
        let is_least = kind == SyntaxKind::Int
            && lexed.tokens.last().is_some_and(|last| last.kind == SyntaxKind::Minus)
            && literal::is_least_without_sign(piece);
        if lexed.diagnostics.len() < DIAGNOSTICS_MAX && !is_least {
            check(file, piece, token, &mut lexed.diagnostics);
        }
        lexed.tokens.push(token);
    });
    lexed
}

/// The text form (`--emit tokens`): a line for each token that is not white space.
#[must_use]
pub fn dump(text: &str, tokens: &[Token]) -> String {
    let mut out = String::new();
    for token in tokens.iter().filter(|token| token.kind != SyntaxKind::Whitespace) {
        let piece = text.get(token.start as usize..token.end as usize).unwrap_or("");
        // Writing to a string does not fail.
        let _ = writeln!(out, "{:?} {}..{} {piece:?}", token.kind, token.start, token.end);
    }
    out
}

/// Says what is wrong with one token.
fn check(file: FileId, text: &str, token: Token, diagnostics: &mut Vec<Diagnostic>) {
    let span = Span { file, start: token.start, end: token.end };
    match token.kind {
        SyntaxKind::Unknown => {
            // A run of unknown characters is one mistake.
            if let Some(last) = diagnostics.last_mut()
                && last.code == errors::UNKNOWN_CHARACTER
                && last.primary.span.end == token.start
                && token.start != 0
            {
                last.primary.span.end = token.end;
                return;
            }
            diagnostics.push(errors::unknown(span, text));
        }
        SyntaxKind::String => check_string(span, text, diagnostics),
        SyntaxKind::Int if literal::int(text).is_none() => {
            diagnostics.push(errors::number_too_large(span, text))
        }
        SyntaxKind::Size if literal::size_bytes(text).is_none() => {
            diagnostics.push(errors::unit(span, text, literal::split_unit(text).0));
        }
        SyntaxKind::Duration if literal::duration_ms(text).is_none() => {
            diagnostics.push(errors::number_too_large(span, text));
        }
        SyntaxKind::Rate if literal::rate(text).is_none() => {
            diagnostics.push(errors::number_too_large(span, text))
        }
        SyntaxKind::Date if !literal::is_date(text) => diagnostics.push(errors::date(span, text)),
        SyntaxKind::Ip if text.parse::<std::net::IpAddr>().is_err() => {
            diagnostics.push(errors::address(span, text));
        }
        SyntaxKind::Cidr => match text.parse::<ipnet::IpNet>() {
            Ok(range) if range.addr() != range.network() => diagnostics.push(errors::host_bits(span, range)),
            Ok(_) => {}
            Err(_) => diagnostics.push(errors::address(span, text)),
        },
        _ => {}
    }
}

fn check_string(span: Span, text: &str, diagnostics: &mut Vec<Diagnostic>) {
    let body = text.strip_prefix('r').unwrap_or(text);
    let quote = body.chars().next().unwrap_or('"');
    if !token::is_closed(text) {
        diagnostics.push(errors::string_not_closed(span, quote));
    }
    for escape in literal::bad_escapes(text).into_iter().take(DIAGNOSTICS_MAX) {
        let place =
            Span { start: span.start + escape.start as u32, end: span.start + escape.end as u32, ..span };
        diagnostics.push(errors::escape(place, text.get(escape.start..escape.end).unwrap_or("")));
    }
}
