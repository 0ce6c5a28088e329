//! What the checker says about expressions.

use crate::check::expr::Typed;
use crate::checked::{BaseType, Type};
use crate::diagnostic::{Code, Diagnostic};
use crate::regex::RegexError;
use crate::source::Span;

const UNKNOWN_NAME: Code = Code("E301");
const UNKNOWN_FIELD: Code = Code("E302");
const UNKNOWN_FUNCTION: Code = Code("E303");
const LATER_PHASE: Code = Code("E304");
const UNLIKE: Code = Code("E305");
const NOT_A_CONDITION: Code = Code("E306");
const OPERAND: Code = Code("E307");
const ARGUMENT_COUNT: Code = Code("E308");
const DIVISOR: Code = Code("E309");
const NOT_CONSTANT: Code = Code("E310");
const REGEX: Code = Code("E311");
const ADDRESS: Code = Code("E312");
const CAPTURE: Code = Code("E313");
const LIST: Code = Code("E314");
const VARIABLE: Code = Code("E315");
const TOO_LARGE: Code = Code("E316");

/// A type in words.
fn type_words(ty: Type) -> String {
    let words = base_words(ty.base);
    if ty.optional { format!("{words}?") } else { words.to_owned() }
}

/// A type in words with its article.
fn a_type(ty: Type) -> String {
    format!("{} {}", article(ty.base), type_words(ty))
}

fn article(base: BaseType) -> &'static str {
    if matches!(base, BaseType::Int | BaseType::Ip) { "an" } else { "a" }
}

fn base_words(base: BaseType) -> &'static str {
    match base {
        BaseType::Bool => "bool",
        BaseType::Int => "int",
        BaseType::String => "string",
        BaseType::Ip => "ip",
        BaseType::List => "list",
    }
}

pub(in crate::check) fn unknown_name(span: Span, name: &str, near: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::error(UNKNOWN_NAME, span, format!("`{name}` is not known"));
    match near {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!("give it a meaning with `let {name} = …`, or put text in quotes")),
    }
}

pub(in crate::check) fn root_alone(span: Span, name: &str) -> Diagnostic {
    let example = match name {
        "headers" => "headers[\"x-name\"]",
        "query" => "query[\"name\"]",
        "target.labels" => "target.labels[\"name\"]",
        "response" => "response.code",
        "response.headers" => "response.headers[\"x-name\"]",
        "upstream" => "upstream.address",
        "path" => "path.name` for the capture `{name}",
        "source" => "source.service",
        "target" => "target.service",
        _ => "request.method",
    };
    Diagnostic::error(UNKNOWN_FIELD, span, format!("`{name}` alone is no value"))
        .help(format!("say which part, such as `{example}`"))
}

pub(in crate::check) fn unknown_field(
    span: Span,
    root: &str,
    name: &str,
    near: Option<&str>,
    known: &[&str],
) -> Diagnostic {
    let diagnostic = Diagnostic::error(UNKNOWN_FIELD, span, format!("`{root}` has no `{name}`"));
    match near {
        Some(near) => diagnostic.help(format!("did you mean `{root}.{near}`?")),
        None => diagnostic.help(format!("there are `{}`", known.join("`, `"))),
    }
}

pub(in crate::check) fn map_field(span: Span, root: &str, name: &str) -> Diagnostic {
    Diagnostic::error(UNKNOWN_FIELD, span, format!("`{root}` has no fields"))
        .help(format!("write `{root}[\"{}\"]`", name.replace('_', "-")))
}

pub(in crate::check) fn not_under_request(span: Span, what: &str) -> Diagnostic {
    Diagnostic::error(UNKNOWN_FIELD, span, format!("`request` has no `{what}`"))
        .help(format!("write `{what}[\"name\"]`"))
}

pub(in crate::check) fn no_fields(span: Span, name: &str, ty: Type) -> Diagnostic {
    Diagnostic::error(UNKNOWN_FIELD, span, format!("{} has no field `{name}`", a_type(ty)))
        .help(format!("a function is written with parentheses: `.{name}()`"))
}

pub(in crate::check) fn no_index(span: Span, ty: Type) -> Diagnostic {
    Diagnostic::error(UNKNOWN_FIELD, span, format!("{} has no parts in brackets", a_type(ty)))
        .help("`headers`, `query` and `target.labels` have")
}

pub(in crate::check) fn unknown_function(span: Span, name: &str, near: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::error(UNKNOWN_FUNCTION, span, format!("there is no function `{name}`"));
    match near {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help("docs/language.md lists the functions"),
    }
}

pub(in crate::check) fn later_phase(span: Span, name: &str, phase: &str, why: &str) -> Diagnostic {
    Diagnostic::error(LATER_PHASE, span, format!("`{name}` is not known when requests are decided"))
        .labelled(format!("known from the {phase} phase on"))
        .help(format!(
            "{why}; to log such requests write `sample 100% when response.code >= 500` in a `log` policy"
        ))
}

/// A `let` that asks about answers, in a statement about requests.
pub(in crate::check) fn late_let(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(
        LATER_PHASE,
        span,
        format!("`{name}` asks about the answer, which is not known when requests are decided"),
    )
    .labelled("known from the response phase on")
    .help("only operations on a `response header` and `log` policies can ask this")
}

/// What is known only when an answer is over, asked where its headers are changed.
pub(in crate::check) fn after_answer(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(LATER_PHASE, span, format!("`{name}` is not known when the headers of an answer are changed"))
        .labelled("known from the log phase on")
        .help(
            "an operation on a `response header` can ask `response.code`, `response.headers[\"x\"]` and what the request \
             says; a `log` policy can ask this, too",
        )
}

pub(in crate::check) fn unlike(span: Span, left: &Typed, right: &Typed) -> Diagnostic {
    let (left, right) = (left.expr.ty, right.expr.ty);
    let message = format!("{} and {} cannot be compared", a_type(left), a_type(right));
    let help = match (left.base, right.base) {
        (BaseType::Ip, BaseType::String) | (BaseType::String, BaseType::Ip) => {
            "write an address as `ip(\"10.1.2.3\")`, or ask `cidr(\"10.0.0.0/8\").containsIP(source.ip)`"
        }
        (BaseType::List, _) | (_, BaseType::List) => "ask whether an element is in a list: `\"x\" in list`",
        (BaseType::Int, BaseType::String) | (BaseType::String, BaseType::Int) => {
            "read text as a number with `int(…)`, or give the header a type: `schema { header x-count: int }`"
        }
        _ => "compare values of one type; `schema { header NAME: TYPE }` gives a header another type",
    };
    Diagnostic::error(UNLIKE, span, message).help(help)
}

pub(in crate::check) fn branches(span: Span, then: &Typed, otherwise: &Typed) -> Diagnostic {
    let (then, otherwise) = (a_type(then.expr.ty), a_type(otherwise.expr.ty));
    Diagnostic::error(UNLIKE, span, format!("one branch is {then}, the other {otherwise}"))
        .help("both branches of `? :` have one type")
}

pub(in crate::check) fn no_order(span: Span, sign: &str, base: BaseType) -> Diagnostic {
    Diagnostic::error(UNLIKE, span, format!("values of type {} have no order: `{sign}`", base_words(base)))
        .help("`==` and `!=` compare them")
}

pub(in crate::check) fn not_a_condition(span: Span, ty: Type) -> Diagnostic {
    Diagnostic::error(NOT_A_CONDITION, span, format!("a condition is true or false; this is {}", a_type(ty)))
        .help("compare it, or ask `has(…)` whether it is there")
}

pub(in crate::check) fn operand(span: Span, sign: &str, expected: BaseType, found: Type) -> Diagnostic {
    let message = format!(
        "`{sign}` takes {} {} here; this is {}",
        article(expected),
        base_words(expected),
        a_type(found)
    );
    let help = match (expected, found.base) {
        (BaseType::Int, BaseType::String) => "read text as a number with `int(…)`",
        (BaseType::Bool, _) => "compare it, or ask `has(…)` whether it is there",
        (BaseType::List, BaseType::String) => {
            "a header becomes a list by its type: `schema { header x: list<string, 10> }`"
        }
        _ => "docs/language.md lists operators and functions with their types",
    };
    Diagnostic::error(OPERAND, span, message).help(help)
}

pub(in crate::check) fn no_size(span: Span, ty: Type) -> Diagnostic {
    Diagnostic::error(OPERAND, span, format!("{} has no size", a_type(ty))).help("strings and lists have")
}

pub(in crate::check) fn argument_count(span: Span, name: &str, expected: usize, found: usize) -> Diagnostic {
    let plural = if expected == 1 { "" } else { "s" };
    Diagnostic::error(
        ARGUMENT_COUNT,
        span,
        format!("`{name}` takes {expected} argument{plural} in its parentheses, not {found}"),
    )
    .help("docs/language.md lists the functions")
}

pub(in crate::check) fn divisor(span: Span) -> Diagnostic {
    Diagnostic::error(DIVISOR, span, "a divisor is a constant other than 0")
        .help("so no division can fail; turn the comparison round: instead of `a / b > 2` ask `a > 2 * b`")
}

pub(in crate::check) fn name_not_constant(span: Span, map: &str) -> Diagnostic {
    Diagnostic::error(NOT_CONSTANT, span, format!("the name in `{map}` is a constant string"))
        .help(format!("write `{map}[\"name\"]`"))
}

pub(in crate::check) fn empty_parameter(span: Span) -> Diagnostic {
    Diagnostic::error(NOT_CONSTANT, span, "a query parameter has a name").help("write `query[\"name\"]`")
}

pub(in crate::check) fn pattern_not_constant(span: Span) -> Diagnostic {
    Diagnostic::error(NOT_CONSTANT, span, "the pattern of `matches` is a constant string").help(
        "it is compiled with the policy; to look for a value ask `contains`, `startsWith` or `endsWith`",
    )
}

pub(in crate::check) fn address_not_constant(span: Span, function: &str) -> Diagnostic {
    Diagnostic::error(NOT_CONSTANT, span, format!("`{function}` takes a constant string"))
        .help("compare `source.ip` with it; other text is not read as an address")
}

pub(in crate::check) fn bad_regex(span: Span, pattern: &str, error: &RegexError) -> Diagnostic {
    let place = error.at.clone().and_then(|range| pattern.get(range)).filter(|text| !text.is_empty());
    match place {
        Some(text) => {
            let message = format!("the pattern is not understood at `{text}`: {}", error.message);
            Diagnostic::error(REGEX, span, message)
                .help("patterns have the syntax of RE2; a string `r\"…\"` keeps backslashes as they are")
        }
        None => Diagnostic::error(REGEX, span, error.message.clone())
            .help("write a shorter one; large counts such as `.{100}` need many states"),
    }
}

pub(in crate::check) fn bad_address(span: Span, text: &str) -> Diagnostic {
    Diagnostic::error(ADDRESS, span, format!("`{text}` is not an IP address"))
        .help("write an address such as \"10.1.2.3\" or \"2001:db8::1\"")
}

pub(in crate::check) fn bad_range(span: Span, text: &str) -> Diagnostic {
    Diagnostic::error(ADDRESS, span, format!("`{text}` is not an address range"))
        .help("write a range such as \"10.0.0.0/8\"; behind the prefix all bits are 0")
}

pub(in crate::check) fn not_a_range(span: Span) -> Diagnostic {
    Diagnostic::error(ADDRESS, span, "`containsIP` is asked of a range")
        .help("write `cidr(\"10.0.0.0/8\").containsIP(source.ip)`")
}

pub(in crate::check) fn cidr_alone(span: Span) -> Diagnostic {
    Diagnostic::error(ADDRESS, span, "a range alone is no value")
        .help("write `cidr(\"10.0.0.0/8\").containsIP(source.ip)`")
}

pub(in crate::check) fn capture_in_let(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(CAPTURE, span, format!("`path.{name}` is known only in the conditions of a rule"))
        .help("a `let` stands outside of rules: write the comparison into the rule")
}

pub(in crate::check) fn uneven_capture(span: Span, name: &str, other: Span) -> Diagnostic {
    Diagnostic::error(
        CAPTURE,
        span,
        format!("`path.{name}` is not the same segment in all paths of the rule"),
    )
    .with(other, format!("`{{{name}}}` is not there, or at another segment"))
    .help("make a rule of its own for this path")
}

pub(in crate::check) fn unknown_capture(span: Span, name: &str, near: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::error(CAPTURE, span, format!("no path of the rule has `{{{name}}}`"));
    match near {
        Some(near) => diagnostic.help(format!("did you mean `path.{near}`?")),
        None => diagnostic.help(format!("name a segment in the rule's path: `/items/{{{name}}}`")),
    }
}

pub(in crate::check) fn list_comparison(span: Span) -> Diagnostic {
    Diagnostic::error(LIST, span, "lists are not compared as a whole")
        .help("ask for elements: `\"x\" in list`, `list.exists(e, …)`, `list.all(e, …)`")
}

pub(in crate::check) fn list_element(span: Span) -> Diagnostic {
    Diagnostic::error(LIST, span, "a list has constant strings as elements")
        .help("behind `in` the elements may be of any type: `x in [a, b]`")
}

pub(in crate::check) fn not_a_list(span: Span, ty: Type) -> Diagnostic {
    let help = match ty.base {
        BaseType::String => "for a part of text ask `text.contains(\"x\")`",
        _ => "write `x in [a, b]`",
    };
    Diagnostic::error(LIST, span, format!("behind `in` stands a list; this is {}", a_type(ty))).help(help)
}

pub(in crate::check) fn not_a_variable(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(VARIABLE, span, format!("the first argument of `{name}` is a new name"))
        .help(format!("write `list.{name}(e, e == \"x\")`"))
}

pub(in crate::check) fn reserved_variable(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(VARIABLE, span, format!("`{name}` is a name of the language"))
        .help("choose another name")
}

pub(in crate::check) fn taken_variable(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(VARIABLE, span, format!("`{name}` means something else here"))
        .help("choose another name")
}

pub(in crate::check) fn too_large(span: Span, parts_max: u64, depth_max: u32) -> Diagnostic {
    Diagnostic::error(TOO_LARGE, span, "the expression is too large")
        .labelled(format!("more than {parts_max} parts or {depth_max} levels, each `let` written out"))
        .help("make several rules of it; `||` between rules is what several rules of one effect mean")
}
