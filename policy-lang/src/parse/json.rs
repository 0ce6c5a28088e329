//! JSON in a statement: the configuration of a filter.
//!
//! The tree has the nodes of expressions, so that one layout serves both; what an expression can be and JSON
//! cannot, such as a sum, is not read here.

use super::EXPRESSION_DEPTH_MAX;
use super::errors;
use super::parser::Parser;
use crate::syntax::SyntaxKind;

/// The words of JSON.
const WORDS: [&str; 3] = ["true", "false", "null"];

impl Parser<'_> {
    /// `"{" [ STRING ":" json { "," … } ] "}"`
    pub(super) fn json_object(&mut self) {
        self.brackets = 0;
        self.nesting = 0;
        self.json_map();
    }

    /// `object | array | STRING | [ "-" ] number | "true" | "false" | "null"`
    fn json(&mut self) -> u32 {
        if self.nesting >= EXPRESSION_DEPTH_MAX {
            self.too_deep();
            return 0;
        }
        self.nesting += 1;
        match self.nth(0) {
            SyntaxKind::LeftBrace => {
                self.json_map();
            }
            SyntaxKind::LeftBracket => {
                self.start(SyntaxKind::ListExpr);
                self.elements(SyntaxKind::LeftBracket, SyntaxKind::RightBracket, Self::json);
                self.finish_node();
            }
            SyntaxKind::Minus if matches!(self.nth(1), SyntaxKind::Int | SyntaxKind::Fraction) => {
                self.start(SyntaxKind::UnaryExpr);
                self.take();
                self.literal();
                self.finish_node();
            }
            SyntaxKind::Int | SyntaxKind::Fraction | SyntaxKind::String => self.literal(),
            SyntaxKind::Name if self.at_any_word(&WORDS) => {
                self.start(SyntaxKind::LiteralExpr);
                self.take_as(SyntaxKind::Keyword);
                self.finish_node();
            }
            _ => {
                self.missing("a value of JSON");
            }
        }
        self.nesting -= 1;
        1
    }

    fn literal(&mut self) {
        self.start(SyntaxKind::LiteralExpr);
        self.take();
        self.finish_node();
    }

    fn json_map(&mut self) {
        self.start(SyntaxKind::MapExpr);
        self.elements(SyntaxKind::LeftBrace, SyntaxKind::RightBrace, Self::json_entry);
        self.finish_node();
    }

    fn json_entry(&mut self) -> u32 {
        self.start(SyntaxKind::MapEntry);
        if self.at(SyntaxKind::Name) {
            self.mistake(errors::json_key(self.place(), self.nth_text(0)));
            self.literal();
        } else if self.at(SyntaxKind::String) {
            self.literal();
        } else {
            self.missing("a key, which is a string");
        }
        if self.expect(SyntaxKind::Colon) {
            self.json();
        }
        self.finish_node();
        1
    }
}
