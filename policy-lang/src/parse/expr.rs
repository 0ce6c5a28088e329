//! Expressions: the syntax and precedence of CEL.
//!
//! Functions give the depth of what they parsed, and stop at [`EXPRESSION_DEPTH_MAX`]: the rest of the
//! expression then becomes an error node without structure.

use super::EXPRESSION_DEPTH_MAX;
use super::errors;
use super::parser::Parser;
use super::wishes::Wish;
use crate::syntax::SyntaxKind;
use rowan::Checkpoint;

/// How tight an operator binds; `? :` binds least.
type Power = u8;

/// Words of other languages for operators, the token that each is taken for, and its spelling here.
const FOREIGN_OPERATORS: [(&str, SyntaxKind, &str); 2] =
    [("and", SyntaxKind::And, "&&"), ("or", SyntaxKind::Or, "||")];

impl Parser<'_> {
    /// A whole expression that stands in a statement.
    pub(super) fn expr(&mut self) {
        self.brackets = 0;
        self.nesting = 0;
        self.conditional();
    }

    /// A map that stands in a statement, such as the claims of a request.
    pub(super) fn object(&mut self) {
        self.brackets = 0;
        self.nesting = 0;
        self.map();
    }

    /// `or ["?" or ":" cel]`
    fn conditional(&mut self) -> u32 {
        if self.nesting >= EXPRESSION_DEPTH_MAX {
            self.too_deep();
            return 0;
        }
        self.nesting += 1;
        let from = self.checkpoint();
        let mut depth = self.binary(0);
        if self.at(SyntaxKind::Question) {
            self.start_at(from, SyntaxKind::ConditionalExpr);
            self.take();
            depth = depth.max(self.conditional());
            if self.expect(SyntaxKind::Colon) {
                depth = depth.max(self.conditional());
            }
            depth += 1;
            self.finish_node();
        }
        self.nesting -= 1;
        depth
    }

    /// Operators that bind tighter than `least`, and their operands.
    fn binary(&mut self, least: Power) -> u32 {
        let from = self.checkpoint();
        let mut depth = self.unary();
        loop {
            self.split_in_expression();
            let Some((power, kind)) = self.operator() else { return depth };
            if power <= least {
                return depth;
            }
            if self.nesting + depth >= EXPRESSION_DEPTH_MAX {
                self.too_deep();
                return depth;
            }
            self.start_at(from, SyntaxKind::BinaryExpr);
            self.take_as(kind);
            self.nesting += 1;
            depth = depth.max(self.binary(power)) + 1;
            self.nesting -= 1;
            self.finish_node();
        }
    }

    /// The operator that comes next: how tight it binds, and the kind of its token.
    fn operator(&mut self) -> Option<(Power, SyntaxKind)> {
        let kind = self.nth(0);
        let power = match kind {
            SyntaxKind::Or => 1,
            SyntaxKind::And => 2,
            SyntaxKind::Equal
            | SyntaxKind::NotEqual
            | SyntaxKind::Less
            | SyntaxKind::LessOrEqual
            | SyntaxKind::Greater
            | SyntaxKind::GreaterOrEqual => 3,
            SyntaxKind::Plus | SyntaxKind::Minus => 4,
            SyntaxKind::Star | SyntaxKind::Slash | SyntaxKind::Modulo => 5,
            // A label or the name of a `let` may be any word, also one that says an operator.
            SyntaxKind::Name if self.nth(1) != SyntaxKind::Colon => return self.operator_word(),
            SyntaxKind::Assign => {
                self.mistake(errors::operator_spelling(self.place(), "=", "=="));
                return Some((3, SyntaxKind::Equal));
            }
            _ => return None,
        };
        Some((power, kind))
    }

    fn operator_word(&mut self) -> Option<(Power, SyntaxKind)> {
        let word = self.nth_text(0);
        if word == "in" {
            return Some((3, SyntaxKind::Keyword));
        }
        let (_, kind, spelling) = FOREIGN_OPERATORS.into_iter().find(|(foreign, ..)| *foreign == word)?;
        self.mistake(errors::operator_spelling(self.place(), word, spelling));
        Some((if kind == SyntaxKind::Or { 1 } else { 2 }, kind))
    }

    /// Paths, percentages and rates do not stand in expressions: there `/` divides and `%` gives a
    /// remainder.
    fn split_in_expression(&mut self) {
        let is_percent = self.at(SyntaxKind::Percent) && !self.nth_text(0).contains('.');
        if self.at(SyntaxKind::Path) || self.at(SyntaxKind::Rate) || is_percent {
            self.split();
        }
    }

    /// `["!" | "-"] post`
    fn unary(&mut self) -> u32 {
        if self.at_word("not") && matches!(self.nth(1), SyntaxKind::Name | SyntaxKind::LeftParen) {
            self.mistake(errors::operator_spelling(self.place(), "not", "!"));
            return self.prefixed(SyntaxKind::Not);
        }
        match self.nth(0) {
            kind @ (SyntaxKind::Not | SyntaxKind::Minus) => self.prefixed(kind),
            _ => self.postfix(),
        }
    }

    fn prefixed(&mut self, operator: SyntaxKind) -> u32 {
        if self.nesting >= EXPRESSION_DEPTH_MAX {
            self.too_deep();
            return 0;
        }
        self.nesting += 1;
        self.start(SyntaxKind::UnaryExpr);
        self.take_as(operator);
        let depth = self.unary() + 1;
        self.finish_node();
        self.nesting -= 1;
        depth
    }

    /// `prim { "." NAME ["(" args ")"] | "[" cel "]" }`
    fn postfix(&mut self) -> u32 {
        let from = self.checkpoint();
        let mut depth = self.primary();
        loop {
            let kind = self.nth(0);
            if !matches!(kind, SyntaxKind::Dot | SyntaxKind::LeftBracket) {
                return depth;
            }
            if self.nesting + depth >= EXPRESSION_DEPTH_MAX {
                self.too_deep();
                return depth;
            }
            depth =
                1 + if kind == SyntaxKind::Dot { self.member(from, depth) } else { self.index(from, depth) };
        }
    }

    fn member(&mut self, from: Checkpoint, depth: u32) -> u32 {
        let is_call = self.nth(1) == SyntaxKind::Name && self.nth(2) == SyntaxKind::LeftParen;
        self.start_at(from, if is_call { SyntaxKind::CallExpr } else { SyntaxKind::FieldExpr });
        self.take();
        self.expect(SyntaxKind::Name);
        let arguments = if is_call { self.arguments() } else { 0 };
        self.finish_node();
        depth.max(arguments)
    }

    fn index(&mut self, from: Checkpoint, depth: u32) -> u32 {
        self.start_at(from, SyntaxKind::IndexExpr);
        let opened = self.open_bracket(SyntaxKind::LeftBracket);
        let index = self.conditional();
        self.close_bracket(SyntaxKind::RightBracket, opened);
        self.finish_node();
        depth.max(index)
    }

    /// `NAME ["(" args ")"] | literal | "[" args "]" | "{" entries "}" | "(" cel ")"`
    fn primary(&mut self) -> u32 {
        self.wish(Wish::Expression);
        if self.at(SyntaxKind::Percent) || self.at(SyntaxKind::Rate) {
            self.split_in_expression();
        }
        match self.nth(0) {
            SyntaxKind::Name if self.at_statement_for_operand() => {
                self.missing("an expression");
                1
            }
            SyntaxKind::Name if matches!(self.nth_text(0), "true" | "false") => {
                self.start(SyntaxKind::LiteralExpr);
                self.take_as(SyntaxKind::Keyword);
                self.finish_node();
                1
            }
            SyntaxKind::Name => {
                let is_call = self.nth(1) == SyntaxKind::LeftParen;
                self.start(if is_call { SyntaxKind::CallExpr } else { SyntaxKind::NameExpr });
                self.take();
                let depth = if is_call { self.arguments() } else { 0 };
                self.finish_node();
                depth + 1
            }
            SyntaxKind::Int | SyntaxKind::String | SyntaxKind::Size | SyntaxKind::Duration => {
                self.start(SyntaxKind::LiteralExpr);
                self.take();
                self.finish_node();
                1
            }
            SyntaxKind::Fraction | SyntaxKind::Percent => {
                self.mistake(errors::fraction(self.place(), self.nth_text(0)));
                self.start(SyntaxKind::LiteralExpr);
                self.take();
                self.finish_node();
                1
            }
            SyntaxKind::LeftBracket => self.list(),
            SyntaxKind::LeftBrace => self.map(),
            SyntaxKind::LeftParen => {
                self.start(SyntaxKind::ParenExpr);
                let opened = self.open_bracket(SyntaxKind::LeftParen);
                let depth = self.conditional() + 1;
                self.close_bracket(SyntaxKind::RightParen, opened);
                self.finish_node();
                depth
            }
            _ => {
                self.missing("an expression");
                1
            }
        }
    }

    fn arguments(&mut self) -> u32 {
        self.start(SyntaxKind::Arguments);
        let depth = self.elements(SyntaxKind::LeftParen, SyntaxKind::RightParen, Self::conditional);
        self.finish_node();
        depth
    }

    fn list(&mut self) -> u32 {
        self.start(SyntaxKind::ListExpr);
        let depth = self.elements(SyntaxKind::LeftBracket, SyntaxKind::RightBracket, Self::conditional);
        self.finish_node();
        depth + 1
    }

    /// `{ key: value, … }`
    fn map(&mut self) -> u32 {
        self.start(SyntaxKind::MapExpr);
        let depth = self.elements(SyntaxKind::LeftBrace, SyntaxKind::RightBrace, Self::entry);
        self.finish_node();
        depth + 1
    }

    fn entry(&mut self) -> u32 {
        self.start(SyntaxKind::MapEntry);
        let mut depth = self.conditional();
        if self.expect(SyntaxKind::Colon) {
            depth = depth.max(self.conditional());
        }
        self.finish_node();
        depth
    }

    /// Elements between brackets, with commas between them and perhaps behind the last.
    pub(super) fn elements(
        &mut self,
        open: SyntaxKind,
        close: SyntaxKind,
        element: fn(&mut Self) -> u32,
    ) -> u32 {
        let opened = self.open_bracket(open);
        let mut depth = 0;
        while !self.at(close) && !self.at_end() {
            depth = depth.max(element(self));
            if !self.eat(SyntaxKind::Comma) {
                break;
            }
        }
        self.close_bracket(close, opened);
        depth
    }

    fn open_bracket(&mut self, kind: SyntaxKind) -> Option<crate::source::Span> {
        self.brackets += 1;
        self.open(kind)
    }

    fn close_bracket(&mut self, kind: SyntaxKind, opened: Option<crate::source::Span>) {
        self.brackets = self.brackets.saturating_sub(1);
        self.close(kind, opened);
    }

    /// Says that the expression is too deep and takes the rest of it: to the end of the brackets that
    /// are open, and from there to what begins a statement.
    pub(super) fn too_deep(&mut self) {
        self.mistake(errors::too_deep(self.place()));
        self.start(SyntaxKind::Error);
        let mut open = self.brackets;
        loop {
            match self.nth(0) {
                SyntaxKind::EndOfFile => break,
                SyntaxKind::LeftBrace | SyntaxKind::LeftBracket | SyntaxKind::LeftParen => open += 1,
                SyntaxKind::RightBrace if open == 0 => break,
                SyntaxKind::RightBrace | SyntaxKind::RightBracket | SyntaxKind::RightParen => {
                    open = open.saturating_sub(1);
                }
                _ if open == 0 && (self.at_statement() || self.at_item()) => break,
                _ => {}
            }
            self.take();
        }
        self.finish_node();
        self.silence();
    }
}
