//! Files, policies, targets, modes and schemas.

use super::auth::{Exempt, Otherwise, Plaintext, Rule};
use super::expr::Expr;
use super::test_block::Test;
use super::{AstNode, Children, child, children, keyword, node, token, token_after, tokens, tokens_of};
use crate::syntax::{SyntaxKind, SyntaxNode, SyntaxToken};

node! {
    /// A whole file.
    File
}
node! {
    /// `use "other.writ"`.
    Use
}
node! {
    /// `let NAME = EXPR`.
    Let
}
node! {
    /// `schema { … }`.
    Schema
}
node! {
    /// `jwt NAME { … }` in a schema.
    SchemaJwt
}
node! {
    /// `apikey NAME { … }` in a schema.
    SchemaApiKey
}
node! {
    /// `header NAME: TYPE` in a schema.
    SchemaHeader
}
node! {
    /// `NAME: TYPE` of a claim or field.
    Field
}
node! {
    /// A type such as `string(64)`.
    TypeName
}
node! {
    /// `auth NAME on TARGETS { … }` and the policies of the other kinds.
    Policy
}
node! {
    /// A target of a policy or proof.
    Target
}
node! {
    /// `namespace/name` or `namespace/*`.
    Ref
}
node! {
    /// `NAME: "value"` of a workload target.
    Label
}
node! {
    /// `mode …`.
    Mode
}
node! {
    /// `prove "title" on TARGETS { … }`.
    Prove
}

/// An item of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// `use`
    Use(Use),
    /// `schema`
    Schema(Schema),
    /// `let`
    Let(Let),
    /// A policy of any kind.
    Policy(Policy),
    /// `test`
    Test(Test),
    /// `prove`
    Prove(Prove),
}

/// The kinds of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyKind {
    /// `auth`
    Auth,
    /// `traffic`
    Traffic,
    /// `log`
    Log,
    /// `filter`
    Filter,
    /// `sink`, which is attached to nothing and says where lines of logs go.
    Sink,
}

/// A statement of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Statement {
    /// `allow` or `deny`
    Rule(Rule),
    /// `exempt`
    Exempt(Exempt),
    /// `otherwise`
    Otherwise(Otherwise),
    /// `plaintext`
    Plaintext(Plaintext),
    /// `mode`
    Mode(Mode),
    /// `let`
    Let(Let),
    /// A statement of the other kinds of policies.
    Other(StatementNode),
}

/// A statement of traffic, log and filter policies and of proofs: a keyword and its parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StatementNode(SyntaxNode);

/// What a target names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKind {
    /// `mesh`
    Mesh,
    /// `namespace NAME`
    Namespace,
    /// `service REF`
    Service,
    /// `gateway REF`
    Gateway,
    /// `route REF:NAME`
    Route,
    /// `workload NAME { labels }`
    Workload,
}

/// What a mode says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModeKind {
    /// `enforce`
    Enforce,
    /// `shadow`
    Shadow,
    /// `off`
    Off,
}

/// What a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TypeKind {
    /// `string` or `string(INT)`
    String,
    /// `int`
    Int,
    /// `bool`
    Bool,
    /// `list<string, INT>`
    List,
    /// `enum("a", "b")`
    Enum,
}

impl File {
    /// Its items in order.
    pub fn items(&self) -> impl Iterator<Item = Item> + use<> {
        self.0.children().filter_map(Item::cast)
    }
}

impl Item {
    /// The node as an item, if it is one.
    #[must_use]
    pub fn cast(node: SyntaxNode) -> Option<Self> {
        match node.kind() {
            SyntaxKind::Use => Use::cast(node).map(Self::Use),
            SyntaxKind::Schema => Schema::cast(node).map(Self::Schema),
            SyntaxKind::Let => Let::cast(node).map(Self::Let),
            SyntaxKind::Policy => Policy::cast(node).map(Self::Policy),
            SyntaxKind::Test => Test::cast(node).map(Self::Test),
            SyntaxKind::Prove => Prove::cast(node).map(Self::Prove),
            _ => None,
        }
    }
}

impl Use {
    /// The file that is used: a string token.
    #[must_use]
    pub fn file(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::String)
    }
}

impl Let {
    /// The name that is given a meaning.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }

    /// Its meaning.
    #[must_use]
    pub fn value(&self) -> Option<Expr> {
        child(&self.0)
    }
}

impl Schema {
    /// `header` entries.
    pub fn headers(&self) -> Children<SchemaHeader> {
        children(&self.0)
    }

    /// `jwt` entries.
    pub fn jwts(&self) -> Children<SchemaJwt> {
        children(&self.0)
    }

    /// `apikey` entries.
    pub fn api_keys(&self) -> Children<SchemaApiKey> {
        children(&self.0)
    }
}

impl SchemaHeader {
    /// The header's name.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }

    /// The type its value is read as.
    #[must_use]
    pub fn ty(&self) -> Option<TypeName> {
        child(&self.0)
    }
}

impl SchemaJwt {
    /// The provider's name.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }

    /// The claims.
    pub fn claims(&self) -> Children<Field> {
        children(&self.0)
    }
}

impl SchemaApiKey {
    /// The key set's name.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }

    /// The fields known of a key.
    pub fn fields(&self) -> Children<Field> {
        children(&self.0)
    }
}

impl Field {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }

    /// Its type.
    #[must_use]
    pub fn ty(&self) -> Option<TypeName> {
        child(&self.0)
    }
}

impl TypeName {
    /// Which type; `None` if the word is none (the parser has said so).
    #[must_use]
    pub fn kind(&self) -> Option<TypeKind> {
        match token(&self.0, SyntaxKind::Keyword)?.text() {
            "string" => Some(TypeKind::String),
            "int" => Some(TypeKind::Int),
            "bool" => Some(TypeKind::Bool),
            "list" => Some(TypeKind::List),
            "enum" => Some(TypeKind::Enum),
            _ => None,
        }
    }

    /// The bound of a string (bytes) or list (elements): a number token.
    #[must_use]
    pub fn bound(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Int)
    }

    /// The values of an enum: string tokens.
    pub fn values(&self) -> impl Iterator<Item = SyntaxToken> + use<> {
        tokens_of(&self.0, SyntaxKind::String)
    }
}

impl Policy {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Option<PolicyKind> {
        match self.kind_token()?.text() {
            "auth" => Some(PolicyKind::Auth),
            "traffic" => Some(PolicyKind::Traffic),
            "log" => Some(PolicyKind::Log),
            "filter" => Some(PolicyKind::Filter),
            "sink" => Some(PolicyKind::Sink),
            _ => None,
        }
    }

    /// The keyword that says its kind.
    #[must_use]
    pub fn kind_token(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Keyword)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }

    /// Where it applies.
    pub fn targets(&self) -> Children<Target> {
        children(&self.0)
    }

    /// Its statements in order.
    pub fn statements(&self) -> impl Iterator<Item = Statement> + use<> {
        self.0.children().filter_map(Statement::cast)
    }
}

impl Statement {
    /// The node as a statement, if it is one.
    #[must_use]
    pub fn cast(node: SyntaxNode) -> Option<Self> {
        match node.kind() {
            SyntaxKind::Rule => Rule::cast(node).map(Self::Rule),
            SyntaxKind::Exempt => Exempt::cast(node).map(Self::Exempt),
            SyntaxKind::Otherwise => Otherwise::cast(node).map(Self::Otherwise),
            SyntaxKind::Plaintext => Plaintext::cast(node).map(Self::Plaintext),
            SyntaxKind::Mode => Mode::cast(node).map(Self::Mode),
            SyntaxKind::Let => Let::cast(node).map(Self::Let),
            SyntaxKind::Statement => StatementNode::cast(node).map(Self::Other),
            _ => None,
        }
    }
}

impl AstNode for StatementNode {
    fn cast(node: SyntaxNode) -> Option<Self> {
        (node.kind() == SyntaxKind::Statement).then_some(Self(node))
    }

    fn syntax(&self) -> &SyntaxNode {
        &self.0
    }
}

impl StatementNode {
    /// The keyword that says what it is, such as `limit`.
    #[must_use]
    pub fn keyword(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Keyword)
    }
}

impl Target {
    /// What it names; `None` if the word is no kind of target (the parser has said so).
    #[must_use]
    pub fn kind(&self) -> Option<TargetKind> {
        match token(&self.0, SyntaxKind::Keyword)?.text() {
            "mesh" => Some(TargetKind::Mesh),
            "namespace" => Some(TargetKind::Namespace),
            "service" => Some(TargetKind::Service),
            "gateway" => Some(TargetKind::Gateway),
            "route" => Some(TargetKind::Route),
            "workload" => Some(TargetKind::Workload),
            _ => None,
        }
    }

    /// The namespace of a namespace or workload target; the name of a route in its gateway.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }

    /// The service, gateway or gateway of a route.
    #[must_use]
    pub fn reference(&self) -> Option<Ref> {
        child(&self.0)
    }

    /// The labels of a workload target.
    pub fn labels(&self) -> Children<Label> {
        children(&self.0)
    }

    /// `inbound` or `outbound`, if said.
    #[must_use]
    pub fn direction(&self) -> Option<SyntaxToken> {
        keyword(&self.0, "inbound").or_else(|| keyword(&self.0, "outbound"))
    }
}

impl Ref {
    /// What stands before the `/`.
    #[must_use]
    pub fn namespace(&self) -> Option<SyntaxToken> {
        tokens(&self.0).next().filter(|token| token.kind() == SyntaxKind::Name)
    }

    /// What stands behind the `/`: a name token, or a star token for every one.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        tokens(&self.0)
            .skip_while(|token| token.kind() != SyntaxKind::Slash)
            .find(|token| matches!(token.kind(), SyntaxKind::Name | SyntaxKind::Star))
    }
}

impl Label {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }

    /// Its value: a string token.
    #[must_use]
    pub fn value(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::String)
    }
}

impl Mode {
    /// Which mode.
    #[must_use]
    pub fn kind(&self) -> Option<ModeKind> {
        let kinds = [("enforce", ModeKind::Enforce), ("shadow", ModeKind::Shadow), ("off", ModeKind::Off)];
        kinds.into_iter().find(|(text, _)| keyword(&self.0, text).is_some()).map(|(_, kind)| kind)
    }

    /// The share of `enforce 10%`: a percentage token.
    #[must_use]
    pub fn percent(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Percent)
    }

    /// The date of `shadow until DATE`: a date token.
    #[must_use]
    pub fn until(&self) -> Option<SyntaxToken> {
        token_after(&self.0, "until", SyntaxKind::Date)
    }
}

impl Prove {
    /// Its title: a string token.
    #[must_use]
    pub fn title(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::String)
    }

    /// What it is about.
    pub fn targets(&self) -> Children<Target> {
        children(&self.0)
    }

    /// What it claims.
    pub fn statements(&self) -> Children<StatementNode> {
        children(&self.0)
    }
}
