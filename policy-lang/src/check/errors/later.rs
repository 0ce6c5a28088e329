//! What the language will have and this version has not: never ignored, always said.

use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::SyntaxTree;
use crate::syntax::ast::AstNode;

const ITEM: Code = Code("E901");
const POLICY: Code = Code("E902");
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
        "use" => "give all files to the command; a `let` and a `schema` hold in their file",
        _ => "write a `test`",
    })
}

/// `traffic`, `log` and `filter` policies.
pub(in crate::check) fn policy(span: Span, kind: &str) -> Diagnostic {
    Diagnostic::error(POLICY, span, format!("`{kind}` policies are not supported yet"))
        .help("`auth` policies are; keep this one in a file that is not given to the command")
}

/// Gateways, routes, `outbound`.
pub(in crate::check) fn target(span: Span, what: &str) -> Diagnostic {
    Diagnostic::error(TARGET, span, format!("{what} are not supported yet as targets"))
        .help("`mesh`, `namespace`, `service` and `workload` are, for requests that come in")
}

/// JWT and API keys.
pub(in crate::check) fn authentication(span: Span, what: &str) -> Diagnostic {
    Diagnostic::error(AUTHENTICATION, span, format!("{what} are not supported yet"))
        .help("callers are known by `service`, `namespace`, `spiffe` and `ip`")
}

/// `enforce 10%`.
pub(in crate::check) fn gradual(span: Span) -> Diagnostic {
    Diagnostic::error(GRADUAL, span, "`enforce` for a share of requests is not supported yet")
        .help("write `mode shadow` to see what would change, then `mode enforce`")
}

/// Attributes, functions and operations.
pub(in crate::check) fn expression(span: Span, what: &str) -> Diagnostic {
    Diagnostic::error(EXPRESSION, span, format!("not supported yet: {what}"))
        .help("docs/language.md lists what conditions can ask")
}

/// Parts of `test` blocks.
pub(in crate::check) fn test(span: Span, what: &str) -> Diagnostic {
    Diagnostic::error(TEST, span, format!("{what} is not supported yet in tests"))
        .help("a test states requests with headers, addresses and callers, and expects `allow` or `deny`")
}
