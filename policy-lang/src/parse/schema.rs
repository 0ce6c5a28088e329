//! `schema` items and types.

use super::parser::Parser;
use crate::syntax::SyntaxKind;

/// The words that the entries of a schema begin with.
const ENTRIES: [&str; 3] = ["header", "jwt", "apikey"];
/// The types.
const TYPES: [&str; 5] = ["string", "int", "bool", "list", "enum"];

impl Parser<'_> {
    /// `"schema" "{" { jwt | apikey | header } "}"`
    pub(super) fn schema(&mut self) {
        self.start(SyntaxKind::Schema);
        self.eat_one_of(&["schema"]);
        self.block("`header`, `jwt` or `apikey`", &[&ENTRIES], Self::at_schema_entry, |parser| {
            let is_entry = parser.at_schema_entry();
            if is_entry {
                parser.schema_entry();
            }
            is_entry
        });
        self.finish_node();
    }

    fn at_schema_entry(&self) -> bool {
        self.at_any_word(&ENTRIES)
    }

    fn schema_entry(&mut self) {
        match self.nth_text(0) {
            "header" => {
                self.start(SyntaxKind::SchemaHeader);
                self.eat_word("header");
                if self.expect(SyntaxKind::Name) && self.expect(SyntaxKind::Colon) {
                    self.type_name();
                }
            }
            "jwt" => {
                self.start(SyntaxKind::SchemaJwt);
                self.eat_word("jwt");
                self.schema_jwt();
            }
            _ => {
                self.start(SyntaxKind::SchemaApiKey);
                self.eat_word("apikey");
                self.schema_api_key();
            }
        }
        self.finish_node();
    }

    /// `NAME "{" "issuer" STRING "jwks" STRING ["audience" STRING] "claims" "{" fields "}" "}"`
    fn schema_jwt(&mut self) {
        self.expect(SyntaxKind::Name);
        let opened = self.open(SyntaxKind::LeftBrace);
        if opened.is_none() {
            return;
        }
        if self.expect_word("issuer") {
            self.expect(SyntaxKind::String);
        }
        if self.expect_word("jwks") {
            self.expect(SyntaxKind::String);
        }
        if self.eat_word("audience") {
            self.expect(SyntaxKind::String);
        }
        if self.expect_word("claims") {
            self.fields();
        }
        self.skip_until(|_| false);
        self.close(SyntaxKind::RightBrace, opened);
    }

    /// `NAME "{" "header" STRING "secret" ref ["as" "{" fields "}"] "}"`
    fn schema_api_key(&mut self) {
        self.expect(SyntaxKind::Name);
        let opened = self.open(SyntaxKind::LeftBrace);
        if opened.is_none() {
            return;
        }
        if self.expect_word("header") {
            self.expect(SyntaxKind::String);
        }
        if self.expect_word("secret") {
            self.reference();
        }
        if self.eat_word("as") {
            self.fields();
        }
        self.skip_until(|_| false);
        self.close(SyntaxKind::RightBrace, opened);
    }

    /// `"{" NAME ":" type {"," NAME ":" type} "}"`
    fn fields(&mut self) {
        let opened = self.open(SyntaxKind::LeftBrace);
        if opened.is_none() {
            return;
        }
        while self.at(SyntaxKind::Name) {
            self.start(SyntaxKind::Field);
            self.take();
            if self.expect(SyntaxKind::Colon) {
                self.type_name();
            }
            self.finish_node();
            self.skip_until(|parser| parser.at(SyntaxKind::Comma) || parser.at(SyntaxKind::LeftBrace));
            if !self.eat(SyntaxKind::Comma) {
                break;
            }
        }
        self.close(SyntaxKind::RightBrace, opened);
    }

    /// `"string" ["(" INT ")"] | "int" | "bool" | "list" "<" "string" "," INT ">" | "enum" "(" … ")"`
    fn type_name(&mut self) {
        self.start(SyntaxKind::TypeName);
        match self.eat_one_of(&TYPES) {
            Some("string") => {
                if self.at(SyntaxKind::LeftParen) {
                    let opened = self.open(SyntaxKind::LeftParen);
                    self.expect(SyntaxKind::Int);
                    self.close(SyntaxKind::RightParen, opened);
                }
            }
            Some("list") => {
                let _ = self.expect(SyntaxKind::Less)
                    && self.expect_word("string")
                    && self.expect(SyntaxKind::Comma)
                    && self.expect(SyntaxKind::Int)
                    && self.expect(SyntaxKind::Greater);
            }
            Some("enum") => {
                let opened = self.open(SyntaxKind::LeftParen);
                self.expect(SyntaxKind::String);
                while self.eat(SyntaxKind::Comma) {
                    self.expect(SyntaxKind::String);
                }
                self.close(SyntaxKind::RightParen, opened);
            }
            Some(_) => {}
            None => {
                self.missing("a type: `string`, `int`, `bool`, `list<string, N>` or `enum(…)`");
            }
        }
        self.finish_node();
    }
}
