//! The shapes of tokens.

use crate::syntax::SyntaxKind;
use logos::Logos;

/// What kind of text is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextKind {
    /// A file.
    File,
    /// A request alone: a path goes up to the next white space, and there are no comments.
    Request,
}

/// Calls `each` with kind, start and end of every token of the text, in order and without a gap; the
/// text follows a token of kind `before`.
pub(super) fn scan(
    text: &str,
    text_kind: TextKind,
    before: SyntaxKind,
    mut each: impl FnMut(SyntaxKind, usize, usize),
) {
    let mut start = 0;
    let mut last = before;
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        let (kind, length) = if rest.starts_with('/') && can_touch_slash(last) {
            (SyntaxKind::Slash, 1)
        } else if rest.starts_with('/') && text_kind == TextKind::Request {
            (
                SyntaxKind::Path,
                rest.find(|character: char| character.is_ascii_whitespace()).unwrap_or(rest.len()),
            )
        } else if rest.starts_with('#') && text_kind == TextKind::Request {
            (SyntaxKind::Unknown, 1)
        } else {
            let mut lexer = Shape::lexer(rest);
            let shape = lexer.next();
            let kind = shape.and_then(Result::ok).map_or(SyntaxKind::Unknown, Shape::kind);
            (kind, lexer.span().end)
        };
        // At least one character, so that the scan ends whatever the shapes are.
        let length = length.max(rest.chars().next().map_or(1, char::len_utf8));
        each(kind, start, start + length);
        start += length;
        last = kind;
    }
}

/// Whether the string token has its closing quote.
pub(super) fn is_closed(token: &str) -> bool {
    let (raw, body) = token.strip_prefix('r').map_or((false, token), |body| (true, body));
    let mut characters = body.chars();
    match characters.next() {
        Some(quote) => string_end(characters.as_str(), quote, raw).1,
        None => false,
    }
}

/// Whether a slash that follows such a token without white space is a slash and begins no path.
fn can_touch_slash(last: SyntaxKind) -> bool {
    matches!(
        last,
        SyntaxKind::Name
            | SyntaxKind::Int
            | SyntaxKind::String
            | SyntaxKind::Ip
            | SyntaxKind::Cidr
            | SyntaxKind::Percent
            | SyntaxKind::Duration
            | SyntaxKind::Rate
            | SyntaxKind::Size
            | SyntaxKind::Date
            | SyntaxKind::Fraction
            | SyntaxKind::RightParen
            | SyntaxKind::RightBracket
            | SyntaxKind::RightBrace
    )
}

/// Extends a string token, of which the opening quote has matched, to its end.
fn close_string(lexer: &mut logos::Lexer<'_, Shape>) {
    let open = lexer.slice();
    let quote = if open.ends_with('\'') { '\'' } else { '"' };
    let (length, _) = string_end(lexer.remainder(), quote, open.starts_with('r'));
    lexer.bump(length);
}

/// How many bytes of `rest` belong to a string that is open, its closing quote included, and whether
/// that is there. A string ends at the end of its line, so that one that is not closed spoils no more.
fn string_end(rest: &str, quote: char, raw: bool) -> (usize, bool) {
    let mut characters = rest.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character == '\n' {
            return (at, false);
        }
        if character == quote {
            return (at + character.len_utf8(), true);
        }
        if character == '\\' && !raw {
            characters.next_if(|(_, escaped)| *escaped != '\n');
        }
    }
    (rest.len(), false)
}

/// The shapes, each tried at each position; the longest match wins.
#[derive(Logos, Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    // A byte order mark counts as white space.
    #[regex(r"[ \t\r\n\u{feff}]+")]
    Whitespace,
    #[regex(r"#[^\n]*", allow_greedy = true)]
    Comment,
    #[regex(r"[A-Za-z_][A-Za-z0-9_]*(-+[A-Za-z0-9_]+)*")]
    // Classes of status codes, the only names that begin with a digit.
    #[regex(r"[1-5]xx", priority = 20)]
    Name,
    // Segments of the characters of URIs (RFC 3986 pchar), without `,` `(` `)`, which have a meaning
    // of their own; a capture is one word in braces, so that a lone `}` ends the path.
    #[regex(r"/([A-Za-z0-9._~!$&'*+;=:@%/-]|\{[A-Za-z_][A-Za-z0-9_-]*\})*(\?[A-Za-z0-9._~!$&'*+;=:@%/?-]*)?")]
    Path,
    #[regex(r"[0-9]+|0[xX][0-9a-fA-F]+")]
    Int,
    #[regex(r#"r?["']"#, close_string)]
    String,
    #[regex(r"[0-9]+\.[0-9]+\.[0-9.]*[0-9]")]
    // At least two colons: one colon may stand behind a label.
    #[regex(r"[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:]*([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)?")]
    Ip,
    #[regex(r"[0-9]+\.[0-9]+\.[0-9.]*[0-9]/[0-9]+")]
    #[regex(r"[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:]*([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)?/[0-9]+")]
    Cidr,
    #[regex(r"[0-9]+(\.[0-9]+)?%")]
    Percent,
    #[regex(r"[0-9]+(ms|s|m|h)", priority = 20)]
    Duration,
    #[regex(r"[0-9]+/[smhd]")]
    Rate,
    // Any other unit too: the lexer says that it knows no such unit.
    #[regex(r"[0-9]+[A-Za-z_][A-Za-z0-9_]*", priority = 1)]
    Size,
    #[regex(r"[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]")]
    Date,
    #[regex(r"[0-9]+\.[0-9]+")]
    Fraction,
    #[token("{")]
    LeftBrace,
    #[token("}")]
    RightBrace,
    #[token("(")]
    LeftParen,
    #[token(")")]
    RightParen,
    #[token("[")]
    LeftBracket,
    #[token("]")]
    RightBracket,
    #[token(",")]
    Comma,
    #[token(":")]
    Colon,
    #[token(".")]
    Dot,
    #[token("?")]
    Question,
    #[token("@")]
    At,
    #[token("->")]
    Arrow,
    #[token("=")]
    Assign,
    #[token("==")]
    Equal,
    #[token("!=")]
    NotEqual,
    #[token("<")]
    Less,
    #[token("<=")]
    LessOrEqual,
    #[token(">")]
    Greater,
    #[token(">=")]
    GreaterOrEqual,
    #[token("!")]
    Not,
    #[token("&&")]
    And,
    #[token("||")]
    Or,
    #[token("+")]
    Plus,
    #[token("-")]
    Minus,
    #[token("*")]
    Star,
    #[token("%")]
    Modulo,
}

impl Shape {
    fn kind(self) -> SyntaxKind {
        match self {
            Self::Whitespace => SyntaxKind::Whitespace,
            Self::Comment => SyntaxKind::Comment,
            Self::Name => SyntaxKind::Name,
            Self::Path => SyntaxKind::Path,
            Self::Int => SyntaxKind::Int,
            Self::String => SyntaxKind::String,
            Self::Ip => SyntaxKind::Ip,
            Self::Cidr => SyntaxKind::Cidr,
            Self::Percent => SyntaxKind::Percent,
            Self::Duration => SyntaxKind::Duration,
            Self::Rate => SyntaxKind::Rate,
            Self::Size => SyntaxKind::Size,
            Self::Date => SyntaxKind::Date,
            Self::Fraction => SyntaxKind::Fraction,
            Self::LeftBrace => SyntaxKind::LeftBrace,
            Self::RightBrace => SyntaxKind::RightBrace,
            Self::LeftParen => SyntaxKind::LeftParen,
            Self::RightParen => SyntaxKind::RightParen,
            Self::LeftBracket => SyntaxKind::LeftBracket,
            Self::RightBracket => SyntaxKind::RightBracket,
            Self::Comma => SyntaxKind::Comma,
            Self::Colon => SyntaxKind::Colon,
            Self::Dot => SyntaxKind::Dot,
            Self::Question => SyntaxKind::Question,
            Self::At => SyntaxKind::At,
            Self::Arrow => SyntaxKind::Arrow,
            Self::Assign => SyntaxKind::Assign,
            Self::Equal => SyntaxKind::Equal,
            Self::NotEqual => SyntaxKind::NotEqual,
            Self::Less => SyntaxKind::Less,
            Self::LessOrEqual => SyntaxKind::LessOrEqual,
            Self::Greater => SyntaxKind::Greater,
            Self::GreaterOrEqual => SyntaxKind::GreaterOrEqual,
            Self::Not => SyntaxKind::Not,
            Self::And => SyntaxKind::And,
            Self::Or => SyntaxKind::Or,
            Self::Plus => SyntaxKind::Plus,
            Self::Minus => SyntaxKind::Minus,
            Self::Star => SyntaxKind::Star,
            Self::Modulo => SyntaxKind::Modulo,
        }
    }
}
