//! What is wrong with statements of `log` policies.

use crate::checked::Redact;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

const FIELD: Code = Code("E250");
const REDACTION: Code = Code("E251");
const UNDONE_FIELD: Code = Code("W130");
const MASKED_FIELD: Code = Code("W131");

pub(in crate::check) fn list_as_field(span: Span) -> Diagnostic {
    Diagnostic::error(FIELD, span, "a list is no field of a log").help(
        "ask what you want to know of it: `\"x\" in list as has-x`, or declare the header as a `string`",
    )
}

pub(in crate::check) fn field_without_name(span: Span) -> Diagnostic {
    Diagnostic::error(FIELD, span, "this field has no name")
        .help("write one behind it: `as NAME`; only an attribute by itself is called what it is")
}

pub(in crate::check) fn fixed_field(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(FIELD, span, format!("`{name}` is a field that each line has"))
        .help("choose another name")
}

pub(in crate::check) fn second_field(span: Span, name: &str, first: Span) -> Diagnostic {
    Diagnostic::error(FIELD, span, format!("this policy has another field `{name}`"))
        .with(first, "the first one")
        .help("give one of them another name: `as NAME`")
}

pub(in crate::check) fn not_to_be_redacted(span: Span) -> Diagnostic {
    Diagnostic::error(REDACTION, span, "this is nothing that can be redacted").help(
        "name where the secret stands, such as `headers[\"authorization\"]`, `query[\"token\"]`, `request.path`, \
         `source.principal` or `response.headers[\"set-cookie\"]`: every field that reads it is redacted",
    )
}

/// `redaction` is where it is written, or the name of the policy that states it.
pub(in crate::check) fn undone_field(span: Span, name: &str, redaction: Result<Span, &str>) -> Diagnostic {
    let diagnostic = Diagnostic::warning(UNDONE_FIELD, span, format!("`{name}` is never in a line"));
    because(diagnostic, redaction, "what it reads is dropped")
        .help("remove the field, or redact with `hash` or `mask`")
}

pub(in crate::check) fn masked_field(
    span: Span,
    name: &str,
    how: Redact,
    redaction: Result<Span, &str>,
) -> Diagnostic {
    let (what, help) = match how {
        Redact::Hash => (
            "what it is computed from is hashed",
            "list the whole value, which is shown as its hash: the hash of a part of it, or of an answer to a question \
             about it, would tell what was hashed",
        ),
        _ => ("what it is computed from is masked", "remove the field"),
    };
    let diagnostic = Diagnostic::warning(MASKED_FIELD, span, format!("`{name}` is always `***` in a line"));
    because(diagnostic, redaction, what).help(help)
}

fn because(diagnostic: Diagnostic, redaction: Result<Span, &str>, what: &str) -> Diagnostic {
    match redaction {
        Ok(span) => diagnostic.with(span, what),
        Err(policy) => diagnostic.labelled(format!("{what} by policy `{policy}`")),
    }
}
