//! What is accepted and probably not meant.

use crate::checked::Attribute;
use crate::diagnostic::{Code, Diagnostic};
use crate::literals::attribute_text;
use crate::source::Span;

const UNUSED_LET: Code = Code("W101");
const SHADOWED_LET: Code = Code("W102");
const RESPOND_ON_ALLOW: Code = Code("W103");
const SHADOW_IS_OVER: Code = Code("W104");
const UNKNOWN_METHOD: Code = Code("W105");
const SAID_TWICE: Code = Code("W106");
const ALWAYS_PRESENT: Code = Code("W107");
const NEVER_EQUAL: Code = Code("W108");
const FORWARDED_CERTIFICATE: Code = Code("W109");
const ANYONE: Code = Code("W110");
const NOTHING_TESTED: Code = Code("W111");
const EVADED: Code = Code("W112");
const UNSEEN: Code = Code("W113");
const UNVERIFIED: Code = Code("W114");
const REDIRECT_TO_ITSELF: Code = Code("W115");
const NEVER_MATCHES: Code = Code("W201");
const ALWAYS_TRUE: Code = Code("W202");
const ALLOWED_OTHERWISE: Code = Code("W203");

pub(in crate::check) fn unused_let(span: Span, name: &str) -> Diagnostic {
    Diagnostic::warning(UNUSED_LET, span, format!("`{name}` is never used")).help("remove it")
}

pub(in crate::check) fn shadowed_let(span: Span, name: &str, outer: Span) -> Diagnostic {
    Diagnostic::warning(
        SHADOWED_LET,
        span,
        format!("in this policy `{name}` means something else than in the file"),
    )
    .with(outer, "its meaning in the file")
    .help("choose another name")
}

pub(in crate::check) fn respond_on_allow(span: Span) -> Diagnostic {
    Diagnostic::warning(
        RESPOND_ON_ALLOW,
        span,
        "an allowed request is answered by the service: this does nothing",
    )
    .help("remove it, or write it behind a `deny`")
}

pub(in crate::check) fn shadow_is_over(span: Span, until: &str) -> Diagnostic {
    Diagnostic::warning(SHADOW_IS_OVER, span, format!("this policy was to be in shadow until {until}"))
        .help("write `mode enforce`, or a later day")
}

pub(in crate::check) fn unseen_in_shadow(mode: Span, id: &str, statement: Span) -> Diagnostic {
    Diagnostic::warning(UNSEEN, mode, format!("in shadow mode `{id}` is neither carried out nor reported"))
        .with(statement, "callers' sidecars would carry this out")
        .help(
            "shadow mode reports `auth` rules and limits. To try this, write it into a policy of its own that is \
             enforced for some requests only, such as `when headers[\"x-canary\"] == \"1\"`; tests run it as if it \
             were enforced",
        )
}

pub(in crate::check) fn nothing_tested(span: Span) -> Diagnostic {
    Diagnostic::warning(NOTHING_TESTED, span, "this test asks nothing, and so passes")
        .help("write `given GET /path expect allow`, or remove the test")
}

pub(in crate::check) fn unknown_method(span: Span, method: &str, near: &str) -> Diagnostic {
    Diagnostic::warning(UNKNOWN_METHOD, span, format!("`{method}` is no known method"))
        .help(format!("did you mean `{near}`?"))
}

pub(in crate::check) fn said_twice(span: Span, what: &str, first: Span) -> Diagnostic {
    Diagnostic::warning(SAID_TWICE, span, format!("{what} is already there"))
        .with(first, "the first one")
        .help("remove one")
}

pub(in crate::check) fn always_present(span: Span) -> Diagnostic {
    Diagnostic::warning(ALWAYS_PRESENT, span, "this is never absent: `has` is always true")
        .help("leave it out")
}

/// `what` says what no request does: `has this value`.
pub(in crate::check) fn never(span: Span, what: &str, help: &str) -> Diagnostic {
    Diagnostic::warning(NEVER_EQUAL, span, format!("no request {what}")).help(help)
}

pub(in crate::check) fn never_here(span: Span, what: &str) -> Diagnostic {
    Diagnostic::warning(NEVER_EQUAL, span, format!("no request that this rule speaks of {what}"))
        .help("correct it, or the methods, paths or callers in front of it")
}

pub(in crate::check) fn never_equal_to_each_other(span: Span) -> Diagnostic {
    Diagnostic::warning(NEVER_EQUAL, span, "no request has two values that are equal here")
        .help("what one of the two can be, the other cannot; compare something else")
}

pub(in crate::check) fn never_such_a_number(span: Span, help: &str) -> Diagnostic {
    Diagnostic::warning(NEVER_EQUAL, span, "no request has such a number").help(help)
}

pub(in crate::check) fn never_together(span: Span, first: Span) -> Diagnostic {
    Diagnostic::warning(NEVER_EQUAL, span, "no request fulfils this together with what is asked before it")
        .with(first, "where this holds, that does not")
        .help("correct one of the two, or join them with `||`")
}

pub(in crate::check) fn query_in_path(span: Span) -> Diagnostic {
    Diagnostic::warning(NEVER_EQUAL, span, "the path is seen without the query")
        .labelled("only an escaped `?` is in it")
        .help("ask for the query with `query[\"name\"]`")
}

pub(in crate::check) fn pattern_in_identity(span: Span) -> Diagnostic {
    Diagnostic::warning(NEVER_EQUAL, span, "no certificate says this: an identity is compared as a whole")
        .help("write `namespace NAME`, `service NAME/*`, or `when source.principal.startsWith(\"spiffe://…/\")`")
}

/// `remedy` says what to write instead.
pub(in crate::check) fn evaded_by_repetition(span: Span, remedy: &str) -> Diagnostic {
    Diagnostic::warning(EVADED, span, "a client passes this ban by sending the value twice").help(format!(
        "several values are seen as one, joined with `,`; {remedy}, or say with `unless` what is let through"
    ))
}

/// `what` is what a client sends.
pub(in crate::check) fn evaded_by_shape(span: Span, what: &str, attribute: &Attribute) -> Diagnostic {
    let text = attribute_text(attribute);
    let absent = match attribute {
        Attribute::Query(name) => format!("{:?} in query && !has(int({text}))", &**name),
        Attribute::Header(name) => format!("{:?} in headers && !has({text})", &**name),
        _ => format!("!has({text})"),
    };
    Diagnostic::warning(EVADED, span, format!("a client passes this ban by sending {what}")).help(format!(
        "what has not the shape of its type is absent; say with `unless` what is let through, or add `|| {absent}`"
    ))
}

pub(in crate::check) fn covered_by_ban(span: Span, rule: &str, ban: &str, ban_span: Span) -> Diagnostic {
    Diagnostic::warning(NEVER_MATCHES, span, format!("`{rule}` never changes a decision"))
        .labelled("every such request is denied")
        .with(ban_span, format!("by `{ban}`"))
        .help("remove it, or write the exception into the ban with `unless`")
}

pub(in crate::check) fn covered_by_allowance(
    span: Span,
    rule: &str,
    other: &str,
    other_span: Span,
) -> Diagnostic {
    Diagnostic::warning(NEVER_MATCHES, span, format!("`{rule}` never changes a decision"))
        .labelled("every such request is allowed without it")
        .with(other_span, format!("by `{other}`"))
        .help("remove it; to let fewer through, say less in the other one")
}

pub(in crate::check) fn allowed_otherwise(span: Span, rule: &str, otherwise: Span) -> Diagnostic {
    Diagnostic::warning(ALLOWED_OTHERWISE, span, format!("`{rule}` allows what is allowed without it"))
        .with(otherwise, "what no rule speaks of is allowed here")
        .help("remove it, or write `otherwise deny`")
}

pub(in crate::check) fn redirect_to_itself(span: Span, name: &str) -> Diagnostic {
    Diagnostic::warning(
        REDIRECT_TO_ITSELF,
        span,
        format!("`{name}` redirects a client to what it redirects again"),
    )
    .labelled("clients follow this until they give up")
    .help("name another place, or let the statement match fewer paths")
}

pub(in crate::check) fn unverified(span: Span, what: &str, plaintext: Span) -> Diagnostic {
    Diagnostic::warning(UNVERIFIED, span, format!("{what} lets in whoever reaches the port, without any identity"))
        .with(plaintext, "callers without TLS are taken")
        .help("say who with `from`, or ask for `source.mtls`; `from anyone when !source.mtls` says that it is meant")
}

pub(in crate::check) fn forwarded_certificate(span: Span) -> Diagnostic {
    Diagnostic::warning(
        FORWARDED_CERTIFICATE,
        span,
        "this header is text that proxies write, and names can be slipped into it",
    )
    .help("`source.service` and `source.principal` say what the verified certificate says")
}

pub(in crate::check) fn anyone_beside_others(span: Span) -> Diagnostic {
    Diagnostic::warning(ANYONE, span, "`anyone` makes the other callers meaningless")
        .help("remove it, or them")
}

pub(in crate::check) fn never_sampled(span: Span) -> Diagnostic {
    Diagnostic::warning(NEVER_MATCHES, span, "this `sample` speaks of no request")
        .labelled("this is false for every request")
        .help("remove it, or correct the condition")
}

pub(in crate::check) fn never_matches(span: Span, rule: &str) -> Diagnostic {
    Diagnostic::warning(NEVER_MATCHES, span, format!("`{rule}` never changes a decision"))
        .labelled("this is false for every request")
        .help("remove the rule, or correct the condition")
}

pub(in crate::check) fn always_true(span: Span) -> Diagnostic {
    Diagnostic::warning(ALWAYS_TRUE, span, "this is true for every request")
        .help("leave it out, or correct it")
}
