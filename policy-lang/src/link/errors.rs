//! What the authors of several policies did wrong together.

use super::FILTERS_MAX;
use super::scope::Specificity;
use crate::check::dump::change_text;
use crate::checked::{
    CheckedPolicy, Cors, Field, FilterBody, HeaderStatement, Otherwise, Plaintext, Sending,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::log::{FIELDS_MAX, LATER_MAX};
use crate::response::LATE_OPERATIONS_MAX;
use crate::sinks::SINKS_MAX;
use crate::source::Span;

const OTHERWISE_CONFLICT: Code = Code("E401");
const TWO_WAYS: Code = Code("E402");
const TWO_SETTINGS: Code = Code("E406");
const HEADER_CONFLICT: Code = Code("E404");
const CORS_CONFLICT: Code = Code("E405");
const FIELD_CONFLICT: Code = Code("E410");
const MANY_FIELDS: Code = Code("E411");
const MANY_SAMPLES: Code = Code("E412");
const MANY_SINKS: Code = Code("E420");
const TWO_VERSIONS: Code = Code("E430");
const MANY_FILTERS: Code = Code("E431");

pub(super) fn two_versions(
    first: (&CheckedPolicy, &FilterBody),
    second: (&CheckedPolicy, &FilterBody),
) -> Diagnostic {
    let message = format!(
        "policies `{}` and `{}` attach two versions of `{}` to the same requests",
        first.0.name, second.0.name, second.1.attached.name
    );
    Diagnostic::error(TWO_VERSIONS, second.1.attached_span, message)
        .labelled(format!("`{}` attaches {}", second.0.name, second.1.attached.version))
        .with(first.1.attached_span, format!("`{}` attaches {}", first.0.name, first.1.attached.version))
        .help("write one version in both, or give one of them other targets")
}

pub(super) fn many_filters(policy: &CheckedPolicy, body: &FilterBody) -> Diagnostic {
    let message =
        format!("the policies of one workload attach more than {FILTERS_MAX} filters in one direction");
    Diagnostic::error(MANY_FILTERS, body.attached_span, message)
        .labelled(format!("`{}` attaches this one", policy.name))
        .help("attach some of them to narrower targets: each filter takes memory in every worker of each sidecar")
}

pub(super) fn field_conflict(
    first: (&CheckedPolicy, &Field),
    second: (&CheckedPolicy, &Field),
) -> Diagnostic {
    let name = &second.1.name;
    let message = format!(
        "policies `{}` and `{}` mean different things by the field `{name}`",
        first.0.name, second.0.name
    );
    Diagnostic::error(FIELD_CONFLICT, second.1.span, message)
        .labelled(format!("`{}` says this", second.0.name))
        .with(first.1.span, format!("`{}` says this", first.0.name))
        .help("give one of them another name with `as`, or attach one of the policies to a narrower target")
}

pub(super) fn many_samples(span: Span) -> Diagnostic {
    let message =
        format!("the policies of one workload have more than {LATER_MAX} samples that ask about the answer");
    Diagnostic::error(MANY_SAMPLES, span, message)
        .help("join some of them by `||`: `when response.code >= 500 || response.duration > 1000`")
}

pub(super) fn many_late_operations(span: Span) -> Diagnostic {
    let message = format!(
        "the policies of one workload have more than {LATE_OPERATIONS_MAX} operations on headers that ask about the answer"
    );
    Diagnostic::error(MANY_SAMPLES, span, message)
        .help("join some of them by `||`: `when response.code == 404 || response.code == 410`")
}

pub(super) fn many_sinks(send: &Sending) -> Diagnostic {
    let message = format!("the policies of one workload send to more than {SINKS_MAX} sinks");
    Diagnostic::error(MANY_SINKS, send.span, message).help(
        "send to a receiver of OTLP that hands lines on, or attach some of the policies to narrower targets",
    )
}

pub(super) fn many_fields(policy: &CheckedPolicy, field: &Field) -> Diagnostic {
    let message = format!("the policies of one workload list more than {FIELDS_MAX} fields");
    Diagnostic::error(MANY_FIELDS, field.span, message)
        .labelled(format!("`{}` lists this one", policy.name))
        .help("list in each policy only what is looked for in its lines")
}

pub(super) fn otherwise_conflict(
    scope: Specificity,
    first: (&CheckedPolicy, &Otherwise),
    second: (&CheckedPolicy, &Otherwise),
) -> Diagnostic {
    let message = format!(
        "policies `{}` and `{}` state different `otherwise` at {} scope",
        first.0.name,
        second.0.name,
        scope.as_str()
    );
    Diagnostic::error(OTHERWISE_CONFLICT, second.1.span, message)
        .labelled(format!("`{}` says this", second.0.name))
        .with(first.1.span, format!("`{}` says this", first.0.name))
        .help("state `otherwise` in one of them only, or attach one of them to a narrower target")
}

pub(super) fn plaintext_conflict(
    scope: Specificity,
    first: (&CheckedPolicy, Plaintext),
    second: (&CheckedPolicy, Plaintext),
) -> Diagnostic {
    let message = format!(
        "policies `{}` and `{}` state different `plaintext` at {} scope",
        first.0.name,
        second.0.name,
        scope.as_str()
    );
    Diagnostic::error(OTHERWISE_CONFLICT, second.1.span, message)
        .labelled(format!("`{}` says this", second.0.name))
        .with(first.1.span, format!("`{}` says this", first.0.name))
        .help("state `plaintext` in one of them only, or attach one of them to a narrower target")
}

/// Two statements of one scope that make different things of a header of one request, such as this one.
pub(super) fn header_conflict(
    scope: Specificity,
    first: &HeaderStatement,
    second: &HeaderStatement,
    witness: &str,
) -> Diagnostic {
    let (header, message) = (&second.header, second.message.as_str());
    let of_what = if witness.is_empty() { String::new() } else { format!(" of one request: {witness}") };
    let message = format!(
        "`{}` and `{}` at {} scope make different things of the {message} header `{header}`{of_what}",
        first.id,
        second.id,
        scope.as_str()
    );
    Diagnostic::error(HEADER_CONFLICT, second.span, message)
        .labelled(format!("`{}`", change_text(second)))
        .with(first.span, format!("`{}`", change_text(first)))
        .help(
            "say by `for`, `when` and `unless` which of them is for which requests (`when C` in one, `unless C` in the \
             other), or attach one of them to a narrower target: the narrowest that matches is done",
        )
}

/// `meeting` is a request that both speak of, in words.
pub(super) fn two_ways(places: (Span, Span), ids: (&str, &str), what: &str, meeting: &str) -> Diagnostic {
    let message = format!("`{}` and `{}` say different things of one request", ids.1, ids.0);
    Diagnostic::error(TWO_WAYS, places.0, message)
        .labelled(format!("of {meeting} this says {what}"))
        .with(places.1, "than this")
        .help("write both into one policy, where the first that matches holds, or attach one to a narrower target")
}

pub(super) fn cors_conflict(scope: Specificity, first: &Cors, second: &Cors) -> Diagnostic {
    let message = format!(
        "`{}` and `{}` say different things of pages of other origins at {} scope",
        first.id,
        second.id,
        scope.as_str()
    );
    Diagnostic::error(CORS_CONFLICT, second.span, message)
        .labelled(format!("`{}` says this", second.id))
        .with(first.span, format!("`{}` says this", first.id))
        .help("say it in one of them only, or attach one of them to a narrower target, where it counts alone")
}

pub(super) fn two_settings(places: (Span, Span), ids: (&str, &str), word: &str) -> Diagnostic {
    let message = format!("`{}` and `{}` say different things of one service", ids.0, ids.1);
    Diagnostic::error(TWO_SETTINGS, places.1, message)
        .with(places.0, format!("this is another `{word}`"))
        .help("callers treat all replicas of a service alike: keep one, or attach one to a narrower target")
}
