//! What the parser says to the author.

use super::foreign::Foreign;
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::errors::NUMBER;
use crate::source::Span;
use crate::syntax::SyntaxKind;

pub(super) const EXPECTED: Code = Code("E110");
pub(super) const MISSPELT: Code = Code("E111");
pub(super) const MISPLACED: Code = Code("E112");
pub(super) const TOO_DEEP: Code = Code("E113");
pub(super) const NOT_CLOSED: Code = Code("E114");
pub(super) const ORDER: Code = Code("E115");
pub(super) const SPELLING: Code = Code("E116");
pub(super) const PATTERN: Code = Code("E117");
const FOREIGN: Code = Code("E118");

/// How much of what was found is shown, in characters.
const FOUND_SHOWN_MAX: usize = 40;

pub(super) fn expected(span: Span, expected: &str, found: SyntaxKind, text: &str) -> Diagnostic {
    let shown: String = text.chars().take(FOUND_SHOWN_MAX).collect();
    let dots = if shown.len() < text.len() { "…" } else { "" };
    let found_words = match found {
        SyntaxKind::EndOfFile => "the end".to_owned(),
        SyntaxKind::String => format!("the string {shown}{dots}"),
        _ => format!("`{shown}{dots}`"),
    };
    let diagnostic = Diagnostic::error(EXPECTED, span, format!("expected {expected}, found {found_words}"));
    match found {
        SyntaxKind::Path if text.starts_with("//") || text.starts_with("/*") => {
            diagnostic.help("a comment begins with `#`")
        }
        _ => diagnostic,
    }
}

pub(super) fn expected_on_line(span: Span, expected: &str) -> Diagnostic {
    Diagnostic::error(EXPECTED, span, format!("expected {expected}, found the end of the line"))
}

pub(super) fn nothing_behind_for(span: Span) -> Diagnostic {
    Diagnostic::error(EXPECTED, span, "nothing stands behind `for`")
        .labelled("for which requests?")
        .help("write methods, paths or `from` and a caller behind it; a statement without `for` is for all requests")
}

pub(super) fn json_key(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(EXPECTED, span, "keys of JSON are strings").help(format!("write `\"{name}\"`"))
}

pub(super) fn misspelt(span: Span, found: &str, meant: &str) -> Diagnostic {
    Diagnostic::error(MISSPELT, span, format!("unknown word `{found}`"))
        .help(format!("did you mean `{meant}`?"))
}

pub(super) fn misplaced(span: Span, word: &str, kinds: &str) -> Diagnostic {
    Diagnostic::error(MISPLACED, span, format!("`{word}` does not stand in this kind of policy"))
        .help(format!("it is a statement of {kinds}"))
}

pub(super) fn label_not_possible(span: Span, word: &str) -> Diagnostic {
    Diagnostic::error(MISPLACED, span, format!("`{word}` cannot have a name")).help("leave the name out")
}

pub(super) fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(
        TOO_DEEP,
        span,
        format!("the expression is deeper than {} levels", super::EXPRESSION_DEPTH_MAX),
    )
    .help("ask for one of many values with `in [\"a\", \"b\"]`, or split the rule")
}

pub(super) fn not_closed(opened: Span, end: Span, closing: SyntaxKind) -> Diagnostic {
    Diagnostic::error(NOT_CLOSED, opened, format!("this is not closed: {} is missing", closing.words()))
        .labelled("opened here")
        .with(end, format!("expected {} here at the latest", closing.words()))
}

pub(super) fn not_opened(span: Span) -> Diagnostic {
    Diagnostic::error(NOT_CLOSED, span, "this `}` closes nothing").help("leave it out")
}

pub(super) fn order(span: Span, word: &str, before: &str) -> Diagnostic {
    Diagnostic::error(ORDER, span, format!("`{word}` stands too late"))
        .help(format!("write it before {before}"))
}

pub(super) fn method_spelling(span: Span, found: &str) -> Diagnostic {
    Diagnostic::error(SPELLING, span, format!("`{found}` is not a method"))
        .help(format!("methods are in capitals: `{}`", found.to_ascii_uppercase()))
}

pub(super) fn method_of_request(span: Span, found: &str) -> Diagnostic {
    Diagnostic::error(SPELLING, span, format!("`{found}` is not in capitals")).help(format!(
        "write `{}`; for a client that sends it so, write a string: `{found:?}`",
        found.to_ascii_uppercase()
    ))
}

pub(super) fn target_of_request(span: Span) -> Diagnostic {
    Diagnostic::error(EXPECTED, span, "expected a path, which begins with `/`").help(
        "what else a client can ask for stands in a string: `OPTIONS \"*\"`, `GET \"http://shop/a\"`; a shell \
         needs quotes around the whole request",
    )
}

pub(super) fn semicolon_in_pattern(span: Span, path: &str) -> Diagnostic {
    let end = path.trim_end_matches(';');
    Diagnostic::error(SPELLING, span, "the `;` belongs to the path").help(format!(
        "statements end by themselves: write `{end}`; a path that does end so stands in a string: `{path:?}`"
    ))
}

pub(super) fn operator_spelling(span: Span, found: &str, meant: &str) -> Diagnostic {
    Diagnostic::error(SPELLING, span, format!("`{found}` is not an operator"))
        .help(format!("write `{meant}`"))
}

pub(super) fn reference_without_namespace(span: Span, found: &str) -> Diagnostic {
    Diagnostic::error(SPELLING, span, format!("`{found}` has no namespace"))
        .help(format!("write `namespace/{found}`, without spaces"))
}

pub(super) fn peer_without_kind(span: Span, found: &str) -> Diagnostic {
    Diagnostic::error(SPELLING, span, format!("`{found}` does not say what kind of caller it is"))
        .help("write `service`, `namespace`, `ip` or `spiffe` before it")
}

pub(super) fn fraction(span: Span, found: &str) -> Diagnostic {
    Diagnostic::error(SPELLING, span, format!("`{found}` is not a whole number"))
        .help("there are no fractions; compare in a smaller unit")
}

pub(super) fn percentage(span: Span, text: &str) -> Diagnostic {
    Diagnostic::error(NUMBER, span, format!("`{text}` is not a percentage"))
        .help("percentages go from 0% to 100%, with at most four digits behind the point")
}

pub(super) fn query_in_pattern(span: Span, path: &str) -> Diagnostic {
    Diagnostic::error(PATTERN, span, "a path pattern has no query")
        .help(format!("write `{path}`, and ask for the query with `when query[\"name\"] == \"value\"`"))
}

pub(super) fn no_slash_in_pattern(span: Span) -> Diagnostic {
    Diagnostic::error(PATTERN, span, "a path pattern begins with `/`")
        .help("for paths that end alike ask with `when request.path.endsWith(…)`")
}

pub(super) fn rest_not_last(span: Span) -> Diagnostic {
    Diagnostic::error(PATTERN, span, "`**` stands only at the end of a path pattern")
        .help("`*` is one segment; `/**` at the end is any number of them")
}

pub(super) fn star_in_segment(span: Span, segment: &str) -> Diagnostic {
    Diagnostic::error(PATTERN, span, format!("`{segment}` is not a segment of a path pattern")).help(
        "a segment is text, `*` or `{name}`; for a part of one ask with `when request.path.matches(…)`; \
               `%2A`, `%7B` and `%7D` are the characters `*`, `{` and `}`",
    )
}

pub(super) fn foreign(span: Span, foreign: &Foreign, kind: Option<&str>) -> Diagnostic {
    let Foreign { name, example, note } = foreign;
    let kind = kind.map(|kind| format!(" (`{kind}`)")).unwrap_or_default();
    let note = if note.is_empty() { String::new() } else { format!("; {note}") };
    Diagnostic::error(FOREIGN, span, format!("this is {name}{kind}, not Writ"))
        .help(format!("in Writ who may call what is said so: `{example}`{note}"))
}
