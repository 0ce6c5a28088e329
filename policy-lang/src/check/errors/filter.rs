//! What is wrong with `filter` policies by themselves.

use crate::check::filter::{CONFIG_BYTES_MAX, FILTER_NAME_BYTES_MAX};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

const PARTS: Code = Code("E270");
const VERSION: Code = Code("E271");
const CONFIG: Code = Code("E272");
const SHADOW: Code = Code("E273");
const GRANT: Code = Code("E274");
const TESTED: Code = Code("E278");

/// `part` is the word that the missing statement begins with.
pub(in crate::check) fn missing(span: Span, part: &str) -> Diagnostic {
    let (what, help) = match part {
        "use" => (
            "which filter it attaches",
            "write `use NAME \"1.2.0\"`; `chancery filter list` shows what there is",
        ),
        "phase" => (
            "where the filter stands",
            "write `phase before auth`, `phase after auth` or `phase last`; what sees requests that nobody has allowed yet \
             stands `before auth`",
        ),
        _ => (
            "what becomes of requests for which the filter fails",
            "write `on failure deny`, or `on failure allow` if they are to pass without it",
        ),
    };
    Diagnostic::error(PARTS, span, format!("it is not said {what}")).help(help)
}

pub(in crate::check) fn second(span: Span, first: Span, part: &str) -> Diagnostic {
    let message = format!("a `filter` policy has one `{part}`");
    Diagnostic::error(PARTS, span, message).with(first, "the first one").help(match part {
        "use" => "write a policy for each filter",
        _ => "keep one of them",
    })
}

pub(in crate::check) fn name(span: Span) -> Diagnostic {
    Diagnostic::error(VERSION, span, "this is not the name of a filter").help(format!(
        "names of filters have 1 to {FILTER_NAME_BYTES_MAX} small letters, digits and `-`, begin with a letter and do not end with `-`"
    ))
}

pub(in crate::check) fn version(span: Span, text: &str) -> Diagnostic {
    let help = match text.trim_start_matches(['v', '^', '~', '=', '>', '<', ' ']) {
        rest if rest != text => {
            format!("write one version, such as \"{}\": a policy names exactly what runs", near(rest))
        }
        _ if text.starts_with("sha256:") => "a digest has 64 small hexadecimal digits".to_owned(),
        _ if text == "latest" || text.contains('*') => {
            "a policy names exactly what runs: write \"1.2.0\", and change it when another one is to run"
                .to_owned()
        }
        _ => format!("write three numbers, such as \"{}\", or \"sha256:…\"", near(text)),
    };
    Diagnostic::error(VERSION, span, format!("`{text}` is not a version")).help(help)
}

/// A version that is near to a text.
fn near(text: &str) -> String {
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let numbers: Vec<&str> = text.split('.').take_while(is_number).chain(["0"; 3]).take(3).collect();
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        numbers.join(".")
    } else {
        "1.2.0".to_owned()
    }
}

pub(in crate::check) fn long_config(span: Span) -> Diagnostic {
    Diagnostic::error(CONFIG, span, format!("this configuration has more than {CONFIG_BYTES_MAX} bytes"))
        .help("let the filter read what is long from where it is, or write a filter of its own for it")
}

pub(in crate::check) fn second_key(span: Span, key: &str, first: Span) -> Diagnostic {
    Diagnostic::error(CONFIG, span, format!("`{key}` stands twice in one object"))
        .with(first, "the first one")
        .help("keep one of them")
}

pub(in crate::check) fn number(span: Span, text: &str) -> Diagnostic {
    Diagnostic::error(CONFIG, span, format!("`{text}` is not a number of JSON"))
        .help("numbers of JSON have no zeros in front, and only digits")
}

pub(in crate::check) fn shadow(span: Span, uses: Option<Span>) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        SHADOW,
        span,
        "a filter cannot run in shadow: nobody knows what it would have done",
    );
    let diagnostic = match uses {
        Some(uses) => diagnostic.with(uses, "it does what it does to the request itself"),
        None => diagnostic,
    };
    diagnostic.help(
        "run it on recorded requests with `chancery filter run`, or attach it to `workload NAMESPACE { version: \"canary\" }` \
         first; `mode off` keeps the policy and runs nothing",
    )
}

pub(in crate::check) fn said_twice(span: Span, first: Span) -> Diagnostic {
    Diagnostic::error(GRANT, span, "this is granted twice")
        .with(first, "the first one")
        .help("keep one of them")
}

pub(in crate::check) fn call_of_all(span: Span) -> Diagnostic {
    Diagnostic::error(GRANT, span, "it has to be said which service a filter may call").help(
        "write a `may call NAMESPACE/NAME` for each of them: the sidecar is told the way to those alone",
    )
}

pub(in crate::check) fn tested(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(TESTED, span, format!("a test cannot be of `{name}`, which attaches a filter"))
        .help("a test asks what policies decide; a filter is tested where it is written, and run by `chancery filter run`")
}

pub(in crate::check) fn let_in_filter(span: Span) -> Diagnostic {
    Diagnostic::error(PARTS, span, "no statement of a `filter` policy has a condition")
        .help("remove the `let`; what a filter needs to know stands in its `config`")
}
