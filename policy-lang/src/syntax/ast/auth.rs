//! The statements of `auth` policies.

use super::expr::Expr;
use super::items::Ref;
use super::{Children, child, children, keyword, node, token, tokens, tokens_of};
use crate::syntax::{SyntaxKind, SyntaxNode, SyntaxToken};

node! {
    /// `[NAME:] allow|deny MATCH CONDITIONS [RESPOND]`.
    Rule
}
node! {
    /// `exempt MATCH`.
    Exempt
}
node! {
    /// `otherwise allow|deny [RESPOND]`.
    Otherwise
}
node! {
    /// `plaintext allow|deny`.
    Plaintext
}
node! {
    /// `respond STATUS ["body"]`.
    Respond
}
node! {
    /// Methods, paths and peers; every part may be left out.
    Match
}
node! {
    /// A caller.
    Peer
}
node! {
    /// `when EXPR` or `unless EXPR`.
    Condition
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleEffect {
    /// `allow`
    Allow,
    /// `deny`
    Deny,
}

/// What a peer names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerKind {
    /// `service REF`
    Service,
    /// `namespace NAME`
    Namespace,
    /// `ip CIDR`, or one address
    Ip,
    /// `jwt NAME`
    Jwt,
    /// `apikey NAME`
    ApiKey,
    /// `spiffe "spiffe://…"`
    Spiffe,
    /// `anyone`
    Anyone,
}

impl Rule {
    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }

    /// What it does; `None` if the word is misspelt (the parser has said so).
    #[must_use]
    pub fn effect(&self) -> Option<RuleEffect> {
        match self.effect_token()?.text() {
            "allow" => Some(RuleEffect::Allow),
            "deny" => Some(RuleEffect::Deny),
            _ => None,
        }
    }

    /// The keyword that says what it does.
    #[must_use]
    pub fn effect_token(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Keyword)
    }

    /// Which requests it speaks of. Always there in a rule, perhaps empty.
    #[must_use]
    pub fn matcher(&self) -> Option<Match> {
        child(&self.0)
    }

    /// Its `when` and `unless`, all of which must hold.
    pub fn conditions(&self) -> Children<Condition> {
        children(&self.0)
    }

    /// Its answer.
    #[must_use]
    pub fn respond(&self) -> Option<Respond> {
        child(&self.0)
    }
}

impl Exempt {
    /// Which requests it speaks of.
    #[must_use]
    pub fn matcher(&self) -> Option<Match> {
        child(&self.0)
    }

    /// Conditions, which an `exempt` must not have.
    pub fn conditions(&self) -> Children<Condition> {
        children(&self.0)
    }
}

impl Plaintext {
    /// What becomes of connections without TLS.
    #[must_use]
    pub fn effect(&self) -> Option<RuleEffect> {
        effect(&self.0)
    }
}

impl Otherwise {
    /// What happens.
    #[must_use]
    pub fn effect(&self) -> Option<RuleEffect> {
        effect(&self.0)
    }

    /// Its answer.
    #[must_use]
    pub fn respond(&self) -> Option<Respond> {
        child(&self.0)
    }
}

impl Respond {
    /// The status: a number token.
    #[must_use]
    pub fn status(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Int)
    }

    /// The body: a string token.
    #[must_use]
    pub fn body(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::String)
    }
}

impl Match {
    /// Method tokens; none means any.
    pub fn methods(&self) -> impl Iterator<Item = SyntaxToken> + use<> {
        tokens_of(&self.0, SyntaxKind::Method)
    }

    /// Path and string tokens; none means any. What they say is the pattern.
    pub fn paths(&self) -> impl Iterator<Item = SyntaxToken> + use<> {
        tokens(&self.0).filter(|token| matches!(token.kind(), SyntaxKind::Path | SyntaxKind::String))
    }

    /// Callers; none means any.
    pub fn peers(&self) -> Children<Peer> {
        children(&self.0)
    }
}

impl Peer {
    /// What it names; `None` if the word is no kind of peer (the parser has said so).
    #[must_use]
    pub fn kind(&self) -> Option<PeerKind> {
        match token(&self.0, SyntaxKind::Keyword)?.text() {
            "service" => Some(PeerKind::Service),
            "namespace" => Some(PeerKind::Namespace),
            "ip" => Some(PeerKind::Ip),
            "jwt" => Some(PeerKind::Jwt),
            "apikey" => Some(PeerKind::ApiKey),
            "spiffe" => Some(PeerKind::Spiffe),
            "anyone" => Some(PeerKind::Anyone),
            _ => None,
        }
    }

    /// The service of `service REF`.
    #[must_use]
    pub fn reference(&self) -> Option<Ref> {
        child(&self.0)
    }

    /// The name of `namespace`, `jwt` and `apikey`.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }

    /// The address of `ip`: an IP or CIDR token.
    #[must_use]
    pub fn address(&self) -> Option<SyntaxToken> {
        tokens(&self.0).find(|token| matches!(token.kind(), SyntaxKind::Ip | SyntaxKind::Cidr))
    }

    /// The id of `spiffe`: a string token.
    #[must_use]
    pub fn id(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::String)
    }
}

impl Condition {
    /// Whether it is `unless`: must not hold.
    #[must_use]
    pub fn is_unless(&self) -> bool {
        keyword(&self.0, "unless").is_some()
    }

    /// What is asked.
    #[must_use]
    pub fn expr(&self) -> Option<Expr> {
        child(&self.0)
    }
}

/// What stands behind the first word of a statement.
fn effect(statement: &SyntaxNode) -> Option<RuleEffect> {
    if keyword(statement, "allow").is_some() {
        Some(RuleEffect::Allow)
    } else {
        keyword(statement, "deny").map(|_| RuleEffect::Deny)
    }
}
