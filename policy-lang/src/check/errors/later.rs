//! What the language will have and this version has not: never ignored, always said.

use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::SyntaxTree;
use crate::syntax::ast::AstNode;

const ITEM: Code = Code("E901");
const TARGET: Code = Code("E903");
const AUTHENTICATION: Code = Code("E904");
const GRADUAL: Code = Code("E905");
const EXPRESSION: Code = Code("E906");
const TEST: Code = Code("E907");

/// `use` and `prove`.
pub(in crate::check) fn item(tree: &SyntaxTree, node: &impl AstNode, keyword: &str) -> Diagnostic {
    // The keyword is the narrowest place that says it.
    let range = node.range();
    let span = tree.span(range);
    let length = u32::try_from(keyword.len()).unwrap_or(0);
    let place = Span { end: span.end.min(span.start + length), ..span };
    Diagnostic::error(ITEM, place, format!("`{keyword}` is not supported yet")).help(match keyword {
        "use" => {
            "write the `let` and `schema` lines that this file needs into it; its policies meet those of other \
             files when all files are given to one command"
        }
        _ => "write a test of the requests that matter: `test \"…\" for POLICY { given DELETE /a expect deny }`",
    })
}

/// Gateways and routes.
pub(in crate::check) fn target(span: Span, what: &str) -> Diagnostic {
    Diagnostic::error(TARGET, span, format!("{what} are not supported yet as targets")).help(match what {
        "gateways" => {
            "write the policy for the services behind it, where requests come `from service` the gateway; the \
             gateway itself is a service if a sidecar stands before it"
        }
        _ => "write the policy for the service, with the route's paths in its rules: `allow GET /cart/**`",
    })
}

/// JWT and API keys.
pub(in crate::check) fn authentication(span: Span, what: &str) -> Diagnostic {
    Diagnostic::error(AUTHENTICATION, span, format!("{what} are not supported yet")).help(
        "no statement takes their place: the service has to verify tokens and keys itself. A header that names a \
         user or a group is no proof, for any caller can send it; a `service` is proved by its certificate",
    )
}

/// `enforce 10%`.
pub(in crate::check) fn gradual(span: Span) -> Diagnostic {
    Diagnostic::error(GRADUAL, span, "`enforce` for a share of requests is not supported yet").help(
        "write `mode shadow` to see what would change, then `mode enforce`; to begin with some replicas, put the \
         policy on `workload NAMESPACE { version: \"v2\" }`",
    )
}

/// Attributes, functions and operations.
pub(in crate::check) fn expression(span: Span, what: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(EXPRESSION, span, format!("not supported yet: {what}"));
    match instead(what) {
        Some(instead) => diagnostic.help(instead),
        None => diagnostic.help("nothing takes its place; docs/language.md lists what conditions can ask"),
    }
}

/// What can be written today in place of an expression, if anything can.
fn instead(what: &str) -> Option<&'static str> {
    Some(match what.trim_start_matches("the function ") {
        "maps" => "compare each value by itself: `a == 1 && b == 2`",
        "`route.name`" => {
            "ask the path: `request.path.startsWith(\"/cart/\")`, or write it in the rule: `allow /cart/**`"
        }
        "elements of lists by number" => {
            "ask whether the list has it: `\"a\" in list`, or `list.exists(e, e == \"a\")`"
        }
        "joining strings that are not constant" => {
            "compare the parts: `s.startsWith(\"/users/\")`, or `path.team == source.namespace` with `{team}` in the path"
        }
        "`cookies`" | "`headers[\"cookie\"]`" => {
            "nothing takes its place: the text of the header depends on the HTTP version; have the service ask it"
        }
        "`request.time`" => {
            "nothing takes its place: apply the policy when its time comes, and `chancery delete policy` when it is over"
        }
        "`split`" => {
            "for a header, `schema { header x-groups: list<string, 10> }` splits at commas; for a path, `{name}` in the \
             rule's path gives a segment as `path.name`"
        }
        "`join`" | "`map`" | "`filter`" => "ask the elements: `list.exists(e, …)` and `list.all(e, …)`",
        "`replace`" | "`charAt`" => "compare parts: `s.substring(from, to) == \"a\"`, or `s.matches(r\"…\")`",
        "`lastIndexOf`" | "`indexOf`" => {
            "ask by a pattern: `s.matches(r\"\\.html$\")`, or `s.endsWith(\".html\")`"
        }
        "`string`" => "compare in the value's own type: `request.size == 7`, `source.ip == ip(\"10.1.2.3\")`",
        "`bool`" => {
            "compare the text: `s == \"true\"`; a header can be declared: `schema { header x-a: bool }`"
        }
        _ => return None,
    })
}

/// Parts of `test` blocks.
pub(in crate::check) fn test(span: Span, what: &str) -> Diagnostic {
    Diagnostic::error(TEST, span, format!("{what} is not supported yet in tests")).help(match what {
        "`with jwt`" => {
            "tests have callers (`from service shop/cart`), headers and addresses, for nothing else is asked"
        }
        _ => {
            "a test expects `allow`, `deny` or `limited`, with a status and `by RULE`, headers of the request and the answer, \
             and `logged`; nothing else is decided yet"
        }
    })
}
