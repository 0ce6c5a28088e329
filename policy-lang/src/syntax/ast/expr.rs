//! Expressions.

use super::{AstNode, Children, child, children, node, token, tokens};
use crate::lex::literal;
use crate::syntax::{SyntaxKind, SyntaxNode, SyntaxToken};

node! {
    /// A name that stands alone: an attribute group, a `let`, a bound variable.
    NameExpr
}
node! {
    /// A number, size, duration, string, `true` or `false`.
    LiteralExpr
}
node! {
    /// `(x)`.
    ParenExpr
}
node! {
    /// `[a, b]`.
    ListExpr
}
node! {
    /// `{a: b}`.
    MapExpr
}
node! {
    /// `a: b` in a map.
    MapEntry
}
node! {
    /// `!x` or `-x`.
    UnaryExpr
}
node! {
    /// `a + b` and the like.
    BinaryExpr
}
node! {
    /// `c ? a : b`.
    ConditionalExpr
}
node! {
    /// `x.name`.
    FieldExpr
}
node! {
    /// `x[i]`.
    IndexExpr
}
node! {
    /// `name(args)` or `x.name(args)`.
    CallExpr
}
node! {
    /// The parenthesised arguments of a call.
    Arguments
}

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the node type of its name")]
pub enum Expr {
    Name(NameExpr),
    Literal(LiteralExpr),
    Paren(ParenExpr),
    List(ListExpr),
    Map(MapExpr),
    Unary(UnaryExpr),
    Binary(BinaryExpr),
    Conditional(ConditionalExpr),
    Field(FieldExpr),
    Index(IndexExpr),
    Call(CallExpr),
}

/// The value of a literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiteralValue {
    /// `true` or `false`.
    Bool(bool),
    /// A number, or a size in bytes.
    Int(i64),
    /// A string, its escapes replaced.
    String(String),
    /// A duration in milliseconds.
    DurationMs(i64),
}

/// `!` or `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum UnaryOperator {
    Not,
    Negate,
}

/// The operators with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum BinaryOperator {
    And,
    Or,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl AstNode for Expr {
    fn cast(node: SyntaxNode) -> Option<Self> {
        match node.kind() {
            SyntaxKind::NameExpr => NameExpr::cast(node).map(Self::Name),
            SyntaxKind::LiteralExpr => LiteralExpr::cast(node).map(Self::Literal),
            SyntaxKind::ParenExpr => ParenExpr::cast(node).map(Self::Paren),
            SyntaxKind::ListExpr => ListExpr::cast(node).map(Self::List),
            SyntaxKind::MapExpr => MapExpr::cast(node).map(Self::Map),
            SyntaxKind::UnaryExpr => UnaryExpr::cast(node).map(Self::Unary),
            SyntaxKind::BinaryExpr => BinaryExpr::cast(node).map(Self::Binary),
            SyntaxKind::ConditionalExpr => ConditionalExpr::cast(node).map(Self::Conditional),
            SyntaxKind::FieldExpr => FieldExpr::cast(node).map(Self::Field),
            SyntaxKind::IndexExpr => IndexExpr::cast(node).map(Self::Index),
            SyntaxKind::CallExpr => CallExpr::cast(node).map(Self::Call),
            _ => None,
        }
    }

    fn syntax(&self) -> &SyntaxNode {
        match self {
            Self::Name(node) => node.syntax(),
            Self::Literal(node) => node.syntax(),
            Self::Paren(node) => node.syntax(),
            Self::List(node) => node.syntax(),
            Self::Map(node) => node.syntax(),
            Self::Unary(node) => node.syntax(),
            Self::Binary(node) => node.syntax(),
            Self::Conditional(node) => node.syntax(),
            Self::Field(node) => node.syntax(),
            Self::Index(node) => node.syntax(),
            Self::Call(node) => node.syntax(),
        }
    }
}

impl NameExpr {
    /// The name.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }
}

impl LiteralExpr {
    /// Its only token.
    #[must_use]
    pub fn token(&self) -> Option<SyntaxToken> {
        tokens(&self.0).next()
    }

    /// Its value; `None` if it is not well formed (the lexer has said so).
    #[must_use]
    pub fn value(&self) -> Option<LiteralValue> {
        let token = self.token()?;
        match token.kind() {
            SyntaxKind::Int => literal::int(token.text()).map(LiteralValue::Int),
            SyntaxKind::Size => literal::size_bytes(token.text()).map(LiteralValue::Int),
            SyntaxKind::Duration => literal::duration_ms(token.text()).map(LiteralValue::DurationMs),
            SyntaxKind::String => Some(LiteralValue::String(literal::string(token.text()))),
            SyntaxKind::Keyword => Some(LiteralValue::Bool(token.text() == "true")),
            _ => None,
        }
    }
}

impl ParenExpr {
    /// What stands in the parentheses.
    #[must_use]
    pub fn inner(&self) -> Option<Expr> {
        child(&self.0)
    }
}

impl ListExpr {
    /// The elements.
    pub fn elements(&self) -> Children<Expr> {
        children(&self.0)
    }
}

impl MapExpr {
    /// The entries.
    pub fn entries(&self) -> Children<MapEntry> {
        children(&self.0)
    }
}

impl MapEntry {
    /// The key: a [`NameExpr`] (which stands for its text) or any other expression.
    #[must_use]
    pub fn key(&self) -> Option<Expr> {
        child(&self.0)
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> Option<Expr> {
        children(&self.0).nth(1)
    }
}

impl UnaryExpr {
    /// The operator.
    #[must_use]
    pub fn operator(&self) -> Option<UnaryOperator> {
        match tokens(&self.0).next()?.kind() {
            SyntaxKind::Not => Some(UnaryOperator::Not),
            SyntaxKind::Minus => Some(UnaryOperator::Negate),
            _ => None,
        }
    }

    /// The operand.
    #[must_use]
    pub fn operand(&self) -> Option<Expr> {
        child(&self.0)
    }
}

impl BinaryExpr {
    /// The left operand.
    #[must_use]
    pub fn left(&self) -> Option<Expr> {
        child(&self.0)
    }

    /// The right operand.
    #[must_use]
    pub fn right(&self) -> Option<Expr> {
        children(&self.0).nth(1)
    }

    /// The operator's token.
    #[must_use]
    pub fn operator_token(&self) -> Option<SyntaxToken> {
        tokens(&self.0).next()
    }

    /// The operator.
    #[must_use]
    pub fn operator(&self) -> Option<BinaryOperator> {
        Some(match self.operator_token()?.kind() {
            SyntaxKind::And => BinaryOperator::And,
            SyntaxKind::Or => BinaryOperator::Or,
            SyntaxKind::Equal => BinaryOperator::Equal,
            SyntaxKind::NotEqual => BinaryOperator::NotEqual,
            SyntaxKind::Less => BinaryOperator::Less,
            SyntaxKind::LessOrEqual => BinaryOperator::LessOrEqual,
            SyntaxKind::Greater => BinaryOperator::Greater,
            SyntaxKind::GreaterOrEqual => BinaryOperator::GreaterOrEqual,
            SyntaxKind::Keyword => BinaryOperator::In,
            SyntaxKind::Plus => BinaryOperator::Add,
            SyntaxKind::Minus => BinaryOperator::Subtract,
            SyntaxKind::Star => BinaryOperator::Multiply,
            SyntaxKind::Slash => BinaryOperator::Divide,
            SyntaxKind::Modulo => BinaryOperator::Remainder,
            _ => return None,
        })
    }
}

impl ConditionalExpr {
    /// What is asked.
    #[must_use]
    pub fn condition(&self) -> Option<Expr> {
        child(&self.0)
    }

    /// The value if it holds.
    #[must_use]
    pub fn then(&self) -> Option<Expr> {
        children(&self.0).nth(1)
    }

    /// The value if it does not hold.
    #[must_use]
    pub fn otherwise(&self) -> Option<Expr> {
        children(&self.0).nth(2)
    }
}

impl FieldExpr {
    /// What it is a field of.
    #[must_use]
    pub fn base(&self) -> Option<Expr> {
        child(&self.0)
    }

    /// The field's name.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }
}

impl IndexExpr {
    /// What is indexed.
    #[must_use]
    pub fn base(&self) -> Option<Expr> {
        child(&self.0)
    }

    /// The index.
    #[must_use]
    pub fn index(&self) -> Option<Expr> {
        children(&self.0).nth(1)
    }
}

impl CallExpr {
    /// `x` of `x.name(args)`; `None` for `name(args)`.
    #[must_use]
    pub fn receiver(&self) -> Option<Expr> {
        child(&self.0)
    }

    /// The function's name.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }

    /// The arguments.
    #[must_use]
    pub fn arguments(&self) -> Vec<Expr> {
        child::<Arguments>(&self.0).map(|list| children(list.syntax()).collect()).unwrap_or_default()
    }
}
