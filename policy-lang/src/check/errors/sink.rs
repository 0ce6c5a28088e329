//! What is wrong with sinks by themselves.

use crate::check::sink::FILE_NAME_BYTES_MAX;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

const GOAL: Code = Code("E260");

pub(in crate::check) fn reserved(span: Span) -> Diagnostic {
    Diagnostic::error(GOAL, span, "`stdout` is there without being stated")
        .help("write `send to stdout`, or choose another name")
}

pub(in crate::check) fn no_goal(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(GOAL, span, format!("it is not said where lines go that are sent to `{name}`"))
        .help("write `stdout`, `file \"NAME\"` or `otlp \"HOST:PORT\"`")
}

pub(in crate::check) fn second_goal(span: Span, first: Span) -> Diagnostic {
    Diagnostic::error(GOAL, span, "a sink is one place")
        .with(first, "the first one")
        .help("make another sink of it, and send to both")
}

pub(in crate::check) fn file_name(span: Span) -> Diagnostic {
    Diagnostic::error(GOAL, span, "this is not the name of a file").help(format!(
        "write 1 to {FILE_NAME_BYTES_MAX} letters, digits, `-`, `_` or `.`, no `.` in front, and no folder: the file is \
         in the folder that each sidecar was started with (`--log-dir`)"
    ))
}

pub(in crate::check) fn address(span: Span) -> Diagnostic {
    Diagnostic::error(GOAL, span, "this is not an address of a receiver").help(
        "write HOST:PORT, such as \"127.0.0.1:4317\", or https://HOST:PORT for TLS; OTLP goes over gRPC",
    )
}
