//! The items of a file, and the parts that several of them have.

use super::errors;
use super::parser::Parser;
use super::traffic;
use super::wishes::Wish;
use crate::syntax::SyntaxKind;

/// The words that items begin with.
const ITEMS: [&str; 10] =
    ["use", "schema", "let", "auth", "traffic", "log", "filter", "sink", "test", "prove"];
/// The kinds of policies.
const POLICIES: [&str; 4] = ["auth", "traffic", "log", "filter"];
/// The words that say what a target is.
const TARGETS: [&str; 6] = ["mesh", "namespace", "service", "gateway", "route", "workload"];
/// The statements of all policies.
const ANYWHERE: [&str; 2] = ["mode", "let"];
/// The statements of `auth` policies.
const AUTH: [&str; 7] = ["allow", "deny", "exempt", "otherwise", "plaintext", "mode", "let"];
impl Parser<'_> {
    /// `{ use | schema | let | policy | sink | test | prove }`
    pub(super) fn items(&mut self) {
        while !self.ends(&[&ITEMS]) {
            if self.at(SyntaxKind::RightBrace) {
                self.mistake(errors::not_opened(self.place()));
                self.start(SyntaxKind::Error);
                self.take();
                self.finish_node();
            } else if !self.item() {
                self.unexpected("`auth`, `let`, `schema`, `test` or another item of a file");
                self.skip_until(|parser| parser.at_item());
            }
        }
    }

    /// Whether the text ends here, where one of these words could stand.
    fn ends(&self, words: &[&[&'static str]]) -> bool {
        words.iter().for_each(|words| self.wish_words(words));
        self.at_end()
    }

    /// Whether an item begins here, judged by two or three tokens, since its word may be a name.
    pub(super) fn at_item(&self) -> bool {
        match self.nth_text(0) {
            "schema" => self.nth(1) == SyntaxKind::LeftBrace,
            "let" => self.nth(1) == SyntaxKind::Name && self.nth(2) == SyntaxKind::Assign,
            "use" => self.nth(1) == SyntaxKind::String,
            "sink" => self.nth(1) == SyntaxKind::Name && self.nth(2) == SyntaxKind::LeftBrace,
            "test" => self.nth(1) == SyntaxKind::String && self.nth_is_word(2, "for"),
            "prove" => self.nth(1) == SyntaxKind::String && self.nth_is_word(2, "on"),
            word => POLICIES.contains(&word) && self.nth(1) == SyntaxKind::Name && self.nth_is_word(2, "on"),
        }
    }

    /// An item, if its first word says one or nearly does.
    fn item(&mut self) -> bool {
        if !self.at(SyntaxKind::Name) {
            return false;
        }
        let word = self.nth_text(0);
        let Some(meant) = ITEMS.into_iter().find(|item| *item == word).or_else(|| self.near(0, &ITEMS))
        else {
            // Whatever it is called, `word name on` is meant to be a policy.
            let is_policy = self.nth(1) == SyntaxKind::Name && self.nth_is_word(2, "on");
            if is_policy {
                self.unexpected("`auth`, `traffic`, `log` or `filter`");
                self.policy("auth");
            }
            return is_policy;
        };
        match meant {
            "use" => self.use_item(),
            "schema" => self.schema(),
            "let" => self.let_item(),
            "sink" => self.sink(),
            "test" => self.test(),
            "prove" => self.prove(),
            kind => self.policy(kind),
        }
        true
    }

    /// `"use" STRING`
    fn use_item(&mut self) {
        self.start(SyntaxKind::Use);
        self.eat_one_of(&["use"]);
        self.expect(SyntaxKind::String);
        self.finish_node();
    }

    /// `"let" NAME "=" cel`
    pub(super) fn let_item(&mut self) {
        self.start(SyntaxKind::Let);
        self.eat_one_of(&["let"]);
        if self.expect(SyntaxKind::Name) && self.expect(SyntaxKind::Assign) {
            self.expr();
        }
        self.finish_node();
    }

    /// `kind NAME "on" target {"," target} "{" { statement } "}"`
    fn policy(&mut self, kind: &'static str) {
        self.start(SyntaxKind::Policy);
        if self.eat_one_of(&POLICIES).is_none() {
            self.take_as(SyntaxKind::Keyword);
        }
        if self.at_word("on") && !self.nth_is_word(1, "on") {
            self.missing("the policy's name");
        } else {
            self.expect(SyntaxKind::Name);
        }
        self.targets();
        let words: &[&[_]] =
            if kind == "auth" { &[&AUTH] } else { &[traffic::statements_of(kind), &ANYWHERE] };
        self.block("a statement", words, Self::at_statement, |parser| parser.statement(kind));
        self.finish_node();
    }

    /// `"on" target {"," target}`
    fn targets(&mut self) {
        if !self.expect_word("on") && !self.at_any_word(&TARGETS) {
            return;
        }
        self.target();
        while self.eat(SyntaxKind::Comma) {
            self.target();
        }
    }

    /// `"{" { element } "}"`, where elements begin with one of these words; what is no element is skipped up to where
    /// one `begins`.
    pub(super) fn block(
        &mut self,
        expected: &str,
        words: &[&[&'static str]],
        begins: fn(&Self) -> bool,
        mut element: impl FnMut(&mut Self) -> bool,
    ) {
        let opened = self.open(SyntaxKind::LeftBrace);
        if opened.is_none() {
            self.skip_until(|parser| parser.at(SyntaxKind::LeftBrace) || parser.at_item());
            if !self.at(SyntaxKind::LeftBrace) {
                return;
            }
            self.take();
        }
        while !self.at(SyntaxKind::RightBrace) && !self.ends(words) {
            // A `let` is a statement too, and so are `use` and `log`-like words in filters; the others
            // begin an item only behind the closing brace, which has been forgotten.
            if self.at_item() && !self.at_word("let") && !self.at_word("use") {
                break;
            }
            if !element(self) {
                self.unexpected(expected);
                // One token at least, so that this ends.
                self.start(SyntaxKind::Error);
                self.take();
                self.finish_node();
                self.skip_until(|parser| begins(parser) || parser.at_item());
            }
        }
        self.close(SyntaxKind::RightBrace, opened);
    }

    /// Whether a statement of any policy or test begins here.
    pub(super) fn at_statement(&self) -> bool {
        let known = |n: usize| {
            let word = self.nth_text(n);
            self.nth(n) == SyntaxKind::Name
                && (AUTH.contains(&word) || word == "given" || traffic::home_of(word).is_some())
        };
        known(0) || (self.at_label() && known(2))
    }

    /// Whether a statement rather than an operand begins here, in a place where an operand is missing.
    /// A word followed by another word or a path is no operand.
    pub(super) fn at_statement_for_operand(&self) -> bool {
        const OPERATORS: [&str; 6] = ["in", "and", "or", "when", "unless", "respond"];
        let is_rule = self.at_any_word(&["allow", "deny", "exempt", "otherwise", "plaintext", "mode"])
            && match self.nth(1) {
                SyntaxKind::Path => true,
                SyntaxKind::Name => !OPERATORS.contains(&self.nth_text(1)),
                _ => false,
            };
        let is_named_rule = self.at_label() && matches!(self.nth_text(2), "allow" | "deny");
        is_rule || is_named_rule || self.at_item()
    }

    /// A statement of a policy, if its first word says one or nearly does.
    fn statement(&mut self, kind: &'static str) -> bool {
        let word_at = if self.at_label() { 2 } else { 0 };
        if self.nth(word_at) != SyntaxKind::Name {
            return false;
        }
        let word = self.nth_text(word_at);
        let others = traffic::statements_of(kind);
        if let Some(known) = others.iter().find(|known| **known == word) {
            self.other_statement(known, others);
        } else if let Some(known) = AUTH.into_iter().find(|known| *known == word) {
            self.check_home(word, kind);
            self.auth_statement(known);
        } else if let Some((home, home_words)) = traffic::home_of(word) {
            self.mistake(errors::misplaced(self.place(), word, home_words));
            let words = traffic::statements_of(home);
            self.other_statement(words.iter().find(|known| **known == word).unwrap_or(&""), words);
        } else if kind == "auth"
            && let Some(meant) = self.near(word_at, &AUTH)
        {
            self.auth_statement(meant);
        } else if let Some(meant) = self.near(word_at, others) {
            self.other_statement(meant, others);
        } else {
            return false;
        }
        true
    }

    /// `mode` and `let` stand in every policy; the other statements of `auth` in `auth` only.
    fn check_home(&mut self, word: &str, kind: &str) {
        if kind != "auth" && !ANYWHERE.contains(&word) {
            self.mistake(errors::misplaced(self.place(), word, "`auth` policies"));
        }
    }

    fn auth_statement(&mut self, word: &'static str) {
        let can_have_label = matches!(word, "allow" | "deny");
        if self.at_label() && !can_have_label {
            self.mistake(errors::label_not_possible(self.place(), word));
            self.start(SyntaxKind::Error);
            self.label();
            self.finish_node();
        }
        match word {
            "allow" | "deny" => self.rule(),
            "exempt" => self.exempt(),
            "otherwise" => self.otherwise(),
            "plaintext" => self.plaintext(),
            "mode" => self.mode(),
            _ => self.let_item(),
        }
    }

    /// `"mode" ( "enforce" [PCT ["by" "source"]] | "shadow" ["until" DATE] | "off" )`
    fn mode(&mut self) {
        self.start(SyntaxKind::Mode);
        self.eat_one_of(&["mode"]);
        match self.eat_one_of(&["enforce", "shadow", "off"]) {
            Some("enforce") => {
                if self.at(SyntaxKind::Percent) {
                    self.percent();
                    if self.eat_word("by") {
                        self.expect_word("source");
                    }
                }
            }
            Some("shadow") => {
                if self.eat_word("until") {
                    self.expect(SyntaxKind::Date);
                }
            }
            Some(_) => {}
            None => {
                self.missing("`enforce`, `shadow` or `off`");
            }
        }
        self.finish_node();
    }

    pub(super) fn percent(&mut self) {
        if crate::lex::literal::percent_millionths(self.nth_text(0)).is_none() {
            self.mistake(errors::percentage(self.place(), self.nth_text(0)));
        }
        self.take();
    }

    /// `"prove" STRING "on" target {"," target} "{" … "}"`
    fn prove(&mut self) {
        self.start(SyntaxKind::Prove);
        self.eat_one_of(&["prove"]);
        self.expect(SyntaxKind::String);
        self.targets();
        let expected = "a claim: `never`, `always`, `unchanged` or `cost`";
        self.block(expected, &[&traffic::CLAIMS], Self::at_claim, Self::claim);
        self.finish_node();
    }

    /// A target, such as `service shop/orders` or `workload shop { app: "web" }`.
    pub(super) fn target(&mut self) {
        self.start(SyntaxKind::Target);
        match self.eat_one_of(&TARGETS) {
            Some("mesh") => {}
            Some("namespace") => {
                self.expect(SyntaxKind::Name);
            }
            Some("service" | "gateway") => self.reference(),
            Some("route") => {
                self.reference();
                if self.expect(SyntaxKind::Colon) {
                    self.expect(SyntaxKind::Name);
                }
            }
            Some(_) => {
                self.expect(SyntaxKind::Name);
                self.labels();
            }
            None => {
                self.missing("`mesh`, `namespace`, `service`, `workload`, `gateway` or `route`");
            }
        }
        self.eat_one_of(&["inbound", "outbound"]);
        self.finish_node();
    }

    /// `"{" NAME ":" STRING {"," NAME ":" STRING} "}"`
    fn labels(&mut self) {
        let opened = self.open(SyntaxKind::LeftBrace);
        if opened.is_none() {
            return;
        }
        while self.at(SyntaxKind::Name) {
            self.start(SyntaxKind::Label);
            self.take();
            let _ = self.expect(SyntaxKind::Colon) && self.expect(SyntaxKind::String);
            self.finish_node();
            self.skip_until(|parser| parser.at(SyntaxKind::Comma) || parser.at(SyntaxKind::LeftBrace));
            if !self.eat(SyntaxKind::Comma) {
                break;
            }
        }
        self.close(SyntaxKind::RightBrace, opened);
    }

    /// `NAME "/" (NAME | "*")`
    pub(super) fn reference(&mut self) {
        self.start(SyntaxKind::Ref);
        self.wish(Wish::Service);
        if self.at(SyntaxKind::Name) && self.nth(1) == SyntaxKind::Slash {
            self.take();
            self.take();
            if !self.eat(SyntaxKind::Name) && !self.eat(SyntaxKind::Star) {
                self.missing("a name or `*`");
            }
        } else if self.at(SyntaxKind::Name) {
            self.mistake(errors::reference_without_namespace(self.place(), self.nth_text(0)));
            self.take();
        } else {
            self.missing("`namespace/name`");
        }
        self.finish_node();
    }
}
