//! `test` blocks: requests and what is expected of them.

use super::auth::Peer;
use super::expr::MapExpr;
use super::items::Ref;
use super::{Children, child, children, keyword, node, token, token_after, tokens, tokens_of};
use crate::syntax::{SyntaxKind, SyntaxToken};

node! {
    /// `test "title" for NAMES { … }`.
    Test
}
node! {
    /// `given [N x] REQUEST [within DURATION] expect EXPECTATIONS`.
    Given
}
node! {
    /// `METHOD PATH [from PEER] [to service REF] { with … }`.
    Request
}
node! {
    /// `with …` of a request.
    With
}
node! {
    /// One expectation.
    Expect
}
node! {
    /// `rule` or `policy/rule` behind `by`.
    RuleName
}

/// What a `with` gives a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WithKind {
    /// `jwt NAME { claims }`
    Jwt,
    /// `header NAME = "value"`
    Header,
    /// `host "name:port"`
    Host,
    /// `ip ADDRESS`
    Ip,
    /// `response STATUS [after DURATION]`, `response header NAME = "value"`, `response size BYTES` or
    /// `response flags "FLAG", …`
    Response,
    /// `upstream "ADDRESS" [attempts COUNT] [failure "WHY"]`
    Upstream,
}

/// What is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExpectKind {
    /// `allow`
    Allow,
    /// `deny`
    Deny,
    /// `limited`
    Limited,
    /// `to service REF` or `to "LOCATION"`
    To,
    /// `logged` or `not logged`
    Logged,
    /// `[response] header NAME = "value"`, or `not [response] header NAME`
    Header,
}

impl Test {
    /// Its title: a string token.
    #[must_use]
    pub fn title(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::String)
    }

    /// The names of the policies under test.
    pub fn policies(&self) -> impl Iterator<Item = SyntaxToken> + use<> {
        tokens_of(&self.0, SyntaxKind::Name)
    }

    /// Its cases in order.
    pub fn cases(&self) -> Children<Given> {
        children(&self.0)
    }
}

impl Given {
    /// How often the request is made: a number token.
    #[must_use]
    pub fn repeat(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Int)
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> Option<Request> {
        child(&self.0)
    }

    /// The time in which all are made: a duration token.
    #[must_use]
    pub fn within(&self) -> Option<SyntaxToken> {
        token_after(&self.0, "within", SyntaxKind::Duration)
    }

    /// What is expected.
    pub fn expectations(&self) -> Children<Expect> {
        children(&self.0)
    }
}

impl Request {
    /// The method: a name, or a string with its quotes.
    #[must_use]
    pub fn method(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Method)
    }

    /// The path, perhaps with a query: a path or string token.
    #[must_use]
    pub fn path(&self) -> Option<SyntaxToken> {
        tokens(&self.0).find(|token| matches!(token.kind(), SyntaxKind::Path | SyntaxKind::String))
    }

    /// The caller, if said.
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        child(&self.0)
    }

    /// The service that it is sent to, if said.
    #[must_use]
    pub fn called(&self) -> Option<Ref> {
        child(&self.0)
    }

    /// What else it carries.
    pub fn withs(&self) -> Children<With> {
        children(&self.0)
    }
}

impl With {
    /// What it gives.
    #[must_use]
    pub fn kind(&self) -> Option<WithKind> {
        let kinds = [
            ("jwt", WithKind::Jwt),
            // It may have a header, too.
            ("response", WithKind::Response),
            ("upstream", WithKind::Upstream),
            ("header", WithKind::Header),
            ("host", WithKind::Host),
            ("ip", WithKind::Ip),
        ];
        kinds.into_iter().find(|(text, _)| keyword(&self.0, text).is_some()).map(|(_, kind)| kind)
    }

    /// The name of a header or JWT provider: a name, or of a header a string too.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        tokens(&self.0).find(|token| matches!(token.kind(), SyntaxKind::Name | SyntaxKind::String))
    }

    /// Whether it gives the answer a header.
    #[must_use]
    pub fn is_header_of_response(&self) -> bool {
        keyword(&self.0, "response").is_some() && keyword(&self.0, "header").is_some()
    }

    /// The value of a header or the host: a string token.
    #[must_use]
    pub fn value(&self) -> Option<SyntaxToken> {
        tokens_of(&self.0, SyntaxKind::String).last()
    }

    /// The address of `ip`.
    #[must_use]
    pub fn address(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Ip)
    }

    /// The status of `response`: a number token.
    #[must_use]
    pub fn status(&self) -> Option<SyntaxToken> {
        let is_status = self.size().is_none();
        token_after(&self.0, "response", SyntaxKind::Int).filter(|_| is_status)
    }

    /// The `size` of the response: a number token.
    #[must_use]
    pub fn size(&self) -> Option<SyntaxToken> {
        token_after(&self.0, "size", SyntaxKind::Int)
    }

    /// The `flags` of the response: string tokens.
    pub fn flags(&self) -> impl Iterator<Item = SyntaxToken> + use<> {
        let has_flags = keyword(&self.0, "flags").is_some() && !self.is_header_of_response();
        tokens_of(&self.0, SyntaxKind::String).filter(move |_| has_flags)
    }

    /// The address of `upstream`: a string token.
    #[must_use]
    pub fn upstream(&self) -> Option<SyntaxToken> {
        token_after(&self.0, "upstream", SyntaxKind::String)
    }

    /// How often it was sent there: a number token.
    #[must_use]
    pub fn attempts(&self) -> Option<SyntaxToken> {
        token_after(&self.0, "attempts", SyntaxKind::Int)
    }

    /// Why a connection to there failed: a string token.
    #[must_use]
    pub fn failure(&self) -> Option<SyntaxToken> {
        token_after(&self.0, "failure", SyntaxKind::String)
    }

    /// How long the `response` takes: a duration token.
    #[must_use]
    pub fn after(&self) -> Option<SyntaxToken> {
        token_after(&self.0, "after", SyntaxKind::Duration)
    }

    /// The claims of `jwt`.
    #[must_use]
    pub fn claims(&self) -> Option<MapExpr> {
        child(&self.0)
    }
}

impl Expect {
    /// What is expected.
    #[must_use]
    pub fn kind(&self) -> Option<ExpectKind> {
        let kinds = [
            ("allow", ExpectKind::Allow),
            ("deny", ExpectKind::Deny),
            ("limited", ExpectKind::Limited),
            ("to", ExpectKind::To),
            ("logged", ExpectKind::Logged),
            ("header", ExpectKind::Header),
        ];
        kinds.into_iter().find(|(text, _)| keyword(&self.0, text).is_some()).map(|(_, kind)| kind)
    }

    /// The `not` of `not logged`, if it is there.
    #[must_use]
    pub fn negation(&self) -> Option<SyntaxToken> {
        keyword(&self.0, "not")
    }

    /// The service that a request goes to.
    #[must_use]
    pub fn service(&self) -> Option<Ref> {
        child(&self.0)
    }

    /// The version of it: a name token.
    #[must_use]
    pub fn version(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }

    /// The location that a client is sent to: a string token.
    #[must_use]
    pub fn location(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::String)
    }

    /// How many of the requests it is expected of (`100 allow`): a number token.
    #[must_use]
    pub fn count(&self) -> Option<SyntaxToken> {
        self.0
            .children_with_tokens()
            .find(|element| !element.kind().is_trivia())
            .and_then(|element| element.into_token())
            .filter(|token| token.kind() == SyntaxKind::Int)
    }

    /// The status of the answer (`deny 403`): a number token.
    #[must_use]
    pub fn status(&self) -> Option<SyntaxToken> {
        ["allow", "deny", "limited"].into_iter().find_map(|text| token_after(&self.0, text, SyntaxKind::Int))
    }

    /// Whether it is expected not to be so.
    #[must_use]
    pub fn is_negated(&self) -> bool {
        keyword(&self.0, "not").is_some()
    }

    /// Whether the header is one of the answer; else it is of the request.
    #[must_use]
    pub fn is_of_response(&self) -> bool {
        keyword(&self.0, "response").is_some()
    }

    /// The name of a header: a name or a string token.
    #[must_use]
    pub fn header(&self) -> Option<SyntaxToken> {
        tokens(&self.0).find(|token| matches!(token.kind(), SyntaxKind::Name | SyntaxKind::String))
    }

    /// What the header is expected to be: a string token.
    #[must_use]
    pub fn value(&self) -> Option<SyntaxToken> {
        let value = tokens(&self.0).skip_while(|token| token.kind() != SyntaxKind::Assign).nth(1)?;
        (value.kind() == SyntaxKind::String).then_some(value)
    }

    /// The rule behind `by`.
    #[must_use]
    pub fn by(&self) -> Option<RuleName> {
        child(&self.0)
    }
}

impl RuleName {
    /// As written, without white space: `rule` or `policy/rule`.
    #[must_use]
    pub fn text(&self) -> String {
        self.0
            .children_with_tokens()
            .filter_map(|element| element.into_token())
            .filter(|token| !token.kind().is_trivia())
            .map(|token| token.text().to_owned())
            .collect()
    }
}
