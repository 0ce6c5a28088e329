//! `sink NAME { … }`: an item like a policy, but attached to nothing.

use super::parser::Parser;
use crate::syntax::SyntaxKind;

/// The places where lines of logs go.
const GOALS: [&str; 3] = ["stdout", "file", "otlp"];

impl Parser<'_> {
    /// `"sink" NAME "{" { "stdout" | "file" STRING | "otlp" STRING } "}"`; how many there are is checked later.
    pub(super) fn sink(&mut self) {
        self.start(SyntaxKind::Policy);
        self.eat_one_of(&["sink"]);
        if self.expect(SyntaxKind::Name) && self.at_word("on") {
            self.unexpected("`{`, for a sink is attached to nothing");
        }
        let begins = |parser: &Self| parser.at_any_word(&GOALS);
        self.block("`stdout`, `file` or `otlp`", &[&GOALS], begins, Self::goal);
        self.finish_node();
    }

    fn goal(&mut self) -> bool {
        if !self.at(SyntaxKind::Name) || self.ahead_one_of(&GOALS).is_none() {
            return false;
        }
        self.start(SyntaxKind::Statement);
        if let Some("file" | "otlp") = self.eat_one_of(&GOALS) {
            self.expect(SyntaxKind::String);
        }
        self.finish_node();
        true
    }
}
