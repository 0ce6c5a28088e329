//! The statements of `traffic`, `log` and `filter` policies, and the claims of proofs.
//!
//! Each becomes a node of one kind, [`SyntaxKind::Statement`], that begins with its label or keyword.

use super::errors;
use super::parser::Parser;
use super::wishes::Wish;
use crate::syntax::SyntaxKind;

/// The statements of `traffic` policies.
const TRAFFIC: [&str; 16] = [
    "route",
    "redirect",
    "rewrite",
    "timeout",
    "retry",
    "limit",
    "fault",
    "set",
    "add",
    "remove",
    "mirror",
    "connections",
    "eject",
    "health",
    "balance",
    "cors",
];
/// Those of them that may have a label.
const LABELLED: [&str; 9] =
    ["route", "redirect", "rewrite", "limit", "fault", "set", "add", "remove", "cors"];
/// The statements of `log` policies.
const LOG: [&str; 4] = ["sample", "fields", "redact", "send"];
/// The statements of `filter` policies.
const FILTER: [&str; 5] = ["use", "phase", "config", "on", "may"];
/// The claims of proofs.
pub(super) const CLAIMS: [&str; 4] = ["never", "always", "unchanged", "cost"];
/// The ways to balance load.
const WAYS_TO_BALANCE: [&str; 5] = ["round_robin", "least_request", "random", "ring_hash", "maglev"];

/// The statements, beside `mode` and `let`, of a kind of policy that is not `auth`.
pub(super) fn statements_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "traffic" => &TRAFFIC,
        "log" => &LOG,
        "filter" => &FILTER,
        _ => &[],
    }
}

/// The kind of policy, not `auth`, that has a statement of this name; its words for people.
pub(super) fn home_of(word: &str) -> Option<(&'static str, &'static str)> {
    [("traffic", "`traffic` policies"), ("log", "`log` policies"), ("filter", "`filter` policies")]
        .into_iter()
        .find(|(kind, _)| statements_of(kind).contains(&word))
}

impl Parser<'_> {
    /// A statement whose keyword, behind a label perhaps, was recognised as `word`.
    pub(super) fn other_statement(&mut self, word: &'static str, words: &'static [&'static str]) {
        if self.at_label() && !LABELLED.contains(&word) {
            self.mistake(errors::label_not_possible(self.place(), word));
        }
        self.start(SyntaxKind::Statement);
        self.label();
        self.eat_one_of(words);
        match word {
            "route" => self.route(),
            "redirect" => self.redirect(),
            "rewrite" => self.rewrite(),
            "timeout" => self.timeout(),
            "retry" => self.retry(),
            "limit" => self.limit(),
            "fault" => self.fault(),
            "set" | "add" | "remove" => self.header_operation(),
            "mirror" => self.mirror(),
            "connections" => self.connections(),
            "eject" => self.eject(),
            "health" => self.health(),
            "balance" => self.balance(),
            "cors" => self.cors(),
            "sample" => self.sample(),
            "fields" => self.log_fields(),
            "redact" => self.redact(),
            "send" => {
                let _ = self.expect_word("to") && {
                    self.wish(Wish::Sink);
                    self.expect(SyntaxKind::Name)
                };
            }
            _ => self.filter_statement(word),
        }
        self.finish_node();
    }

    pub(super) fn at_claim(&self) -> bool {
        self.at_any_word(&CLAIMS)
    }

    /// A claim of a proof, if one begins here.
    pub(super) fn claim(&mut self) -> bool {
        let Some(meant) = self.ahead_one_of(&CLAIMS) else { return false };
        self.start(SyntaxKind::Statement);
        self.eat_one_of(&CLAIMS);
        match meant {
            "unchanged" => {
                let _ = self.expect_word("since") && self.expect(SyntaxKind::String);
                while self.eat_word("except") {
                    self.matcher();
                    self.conditions();
                }
            }
            "cost" => {
                let _ = self.expect(SyntaxKind::LessOrEqual)
                    && self.expect(SyntaxKind::Int)
                    && self.expect_word("ops");
            }
            _ => {
                if self.eat_one_of(&["allow", "deny"]).is_none() {
                    self.missing("`allow` or `deny`");
                }
                self.matcher();
                self.conditions();
            }
        }
        self.finish_node();
        true
    }

    fn conditions(&mut self) {
        while self.at_word("when") || self.at_word("unless") {
            self.condition();
        }
    }

    /// `["for" match] {cond}`
    fn for_and_conditions(&mut self) {
        let at = self.place();
        if self.eat_word("for") {
            if !self.at_matcher() {
                self.mistake(errors::nothing_behind_for(at));
            }
            self.matcher();
        }
        self.conditions();
    }

    /// `match {cond} "->"`
    fn match_and_arrow(&mut self) -> bool {
        self.matcher();
        self.conditions();
        self.expect(SyntaxKind::Arrow)
    }

    /// `… "->" dest {"," dest}`
    fn route(&mut self) {
        if self.match_and_arrow() {
            self.destination();
            while self.eat(SyntaxKind::Comma) {
                self.destination();
            }
        }
    }

    /// `"service" ref ["@" NAME] [PCT]`
    fn destination(&mut self) {
        self.start(SyntaxKind::Destination);
        if self.expect_word("service") {
            self.reference();
            if self.eat(SyntaxKind::At) {
                self.expect(SyntaxKind::Name);
            }
            if self.at(SyntaxKind::Percent) {
                self.percent();
            }
        }
        self.finish_node();
    }

    /// `… "->" STRING [INT]`
    fn redirect(&mut self) {
        if self.match_and_arrow() && self.expect(SyntaxKind::String) {
            self.eat(SyntaxKind::Int);
        }
    }

    /// `… "->" PATH`
    fn rewrite(&mut self) {
        let _ = self.match_and_arrow() && self.expect(SyntaxKind::Path);
    }

    /// `["at_most"] DUR [for] {cond}`
    fn timeout(&mut self) {
        self.eat_word("at_most");
        self.expect(SyntaxKind::Duration);
        self.for_and_conditions();
    }

    /// `INT "on" RCOND {"," RCOND} ["each" DUR] ["backoff" DUR] [for] {cond}`
    fn retry(&mut self) {
        self.expect(SyntaxKind::Int);
        if self.expect_word("on") {
            self.expect(SyntaxKind::Name);
            while self.eat(SyntaxKind::Comma) {
                self.expect(SyntaxKind::Name);
            }
        }
        self.optional("each", SyntaxKind::Duration);
        self.optional("backoff", SyntaxKind::Duration);
        self.for_and_conditions();
    }

    /// A keyword and a literal behind it, if the keyword is there.
    fn optional(&mut self, word: &'static str, kind: SyntaxKind) {
        if self.eat_word(word) {
            if kind == SyntaxKind::Percent && self.at(kind) {
                self.percent();
            } else {
                self.expect(kind);
            }
        }
    }

    fn expect_percent(&mut self) {
        if self.at(SyntaxKind::Percent) {
            self.percent();
        } else {
            self.missing(SyntaxKind::Percent.words());
        }
    }

    /// `RATE ["burst" INT] ["per" key {"," key}] ["shared"] [for] {cond} [respond]`
    fn limit(&mut self) {
        self.expect(SyntaxKind::Rate);
        self.optional("burst", SyntaxKind::Int);
        if self.eat_word("per") {
            self.expr();
            while self.eat(SyntaxKind::Comma) {
                self.expr();
            }
        }
        self.eat_word("shared");
        self.for_and_conditions();
        if self.at_word("respond") {
            self.respond();
        }
    }

    /// `PCT ("delay" DUR | "abort" INT) [for] {cond}`
    fn fault(&mut self) {
        self.expect_percent();
        match self.eat_one_of(&["delay", "abort"]) {
            Some("delay") => self.expect(SyntaxKind::Duration),
            Some(_) => self.expect(SyntaxKind::Int),
            None => self.missing("`delay` or `abort`"),
        };
        self.for_and_conditions();
    }

    /// `("request" | "response") "header" (NAME | STRING) ["=" cel] [for] {cond}`
    fn header_operation(&mut self) {
        if self.eat_one_of(&["request", "response"]).is_none() {
            self.missing("`request` or `response`");
        }
        if self.expect_word("header")
            && (self.eat(SyntaxKind::String) || self.expect(SyntaxKind::Name))
            && self.eat(SyntaxKind::Assign)
        {
            self.expr();
        }
        self.for_and_conditions();
    }

    /// `PCT "->" dest [for] {cond}`
    fn mirror(&mut self) {
        self.expect_percent();
        if self.expect(SyntaxKind::Arrow) {
            self.destination();
        }
        self.for_and_conditions();
    }

    /// `"at_most" INT ["pending" INT] ["requests" INT] ["retries" PCT]`
    fn connections(&mut self) {
        let _ = self.expect_word("at_most") && self.expect(SyntaxKind::Int);
        self.optional("pending", SyntaxKind::Int);
        self.optional("requests", SyntaxKind::Int);
        self.optional("retries", SyntaxKind::Percent);
    }

    /// `"after" INT "errors" "for" DUR ["at_most" PCT]`
    fn eject(&mut self) {
        let _ = self.expect_word("after")
            && self.expect(SyntaxKind::Int)
            && self.expect_word("errors")
            && self.expect_word("for")
            && self.expect(SyntaxKind::Duration);
        self.optional("at_most", SyntaxKind::Percent);
    }

    /// `METHOD PATH "every" DUR ["timeout" DUR] ["fall" INT] ["rise" INT]`
    fn health(&mut self) {
        if self.at_method() {
            self.method();
        } else {
            self.missing("a method such as `GET`");
        }
        let _ =
            self.expect(SyntaxKind::Path) && self.expect_word("every") && self.expect(SyntaxKind::Duration);
        self.optional("timeout", SyntaxKind::Duration);
        self.optional("fall", SyntaxKind::Int);
        self.optional("rise", SyntaxKind::Int);
    }

    /// `"round_robin" | … | ("ring_hash" | "maglev") "by" key`
    fn balance(&mut self) {
        match self.eat_one_of(&WAYS_TO_BALANCE) {
            Some("ring_hash" | "maglev") => {
                if self.expect_word("by") {
                    self.expr();
                }
            }
            Some(_) => {}
            None => {
                self.missing("`round_robin`, `least_request`, `random`, `ring_hash` or `maglev`");
            }
        }
    }

    /// `"origins" STRING {"," STRING} ["methods" METHOD {"," METHOD}] ["headers" name {"," name}]
    /// ["expose" name {"," name}] ["credentials"] ["age" DUR]`
    fn cors(&mut self) {
        if self.expect_word("origins") {
            self.list_of(|parser| parser.expect(SyntaxKind::String));
        }
        if self.eat_word("methods") {
            self.list_of(|parser| parser.expect(SyntaxKind::Name));
        }
        for word in ["headers", "expose"] {
            if self.eat_word(word) {
                self.list_of(|parser| parser.eat(SyntaxKind::String) || parser.expect(SyntaxKind::Name));
            }
        }
        self.eat_word("credentials");
        self.optional("age", SyntaxKind::Duration);
    }

    /// One thing or several, with commas between.
    fn list_of(&mut self, mut one: impl FnMut(&mut Self) -> bool) {
        while one(self) && self.eat(SyntaxKind::Comma) {}
    }

    /// `PCT ["denied" | "allowed"] [for] {cond}`
    fn sample(&mut self) {
        self.expect_percent();
        if !self.eat_word("denied") {
            self.eat_word("allowed");
        }
        self.for_and_conditions();
    }

    /// `cel ["as" NAME] {"," cel ["as" NAME]}`
    fn log_fields(&mut self) {
        loop {
            self.expr();
            self.optional("as", SyntaxKind::Name);
            if !self.eat(SyntaxKind::Comma) {
                return;
            }
        }
    }

    /// `cel {"," cel} "with" ("hash" | "drop" | "mask")`
    fn redact(&mut self) {
        self.expr();
        while self.eat(SyntaxKind::Comma) {
            self.expr();
        }
        if self.expect_word("with") && self.eat_one_of(&["hash", "drop", "mask"]).is_none() {
            self.missing("`hash`, `drop` or `mask`");
        }
    }

    /// `NAME STRING` of `use`, and what stands behind `phase`, `config`, `on` and `may`.
    fn filter_statement(&mut self, word: &str) {
        match word {
            "use" => {
                let _ = self.expect(SyntaxKind::Name) && self.expect(SyntaxKind::String);
            }
            "phase" => match self.eat_one_of(&["before", "after", "last"]) {
                Some("last") => {}
                Some(_) => {
                    self.expect_word("auth");
                }
                None => {
                    self.missing("`before auth`, `after auth` or `last`");
                }
            },
            "config" => self.json_object(),
            "on" => {
                if self.expect_word("failure") && self.eat_one_of(&["deny", "allow"]).is_none() {
                    self.missing("`deny` or `allow`");
                }
            }
            _ => match self.eat_one_of(&["call", "read", "change", "share"]) {
                Some("call") => self.reference(),
                Some("share") => {
                    self.expect_word("data");
                }
                Some(_) => {
                    self.expect_word("body");
                }
                None => {
                    self.missing("`call`, `read`, `change` or `share`");
                }
            },
        }
    }
}
