//! `test` blocks and requests.

use super::errors;
use super::parser::Parser;
use super::wishes::Wish;
use crate::syntax::SyntaxKind;

/// The words that the parts of a request and what follows it begin with.
const PARTS: [&str; 5] = ["from", "to", "with", "within", "expect"];

impl Parser<'_> {
    /// `"test" STRING "for" NAME {"," NAME} "{" { given } "}"`
    pub(super) fn test(&mut self) {
        self.start(SyntaxKind::Test);
        self.eat_one_of(&["test"]);
        if !self.eat(SyntaxKind::String) {
            self.missing("the test's title, a string");
        }
        if self.expect_word("for") {
            self.policy_name();
            while self.eat(SyntaxKind::Comma) {
                self.policy_name();
            }
        }
        self.block("a `given`", &[&["given"]], Self::at_given, |parser| {
            let is_given = parser.at_given();
            if is_given {
                parser.given();
            }
            is_given
        });
        self.finish_node();
    }

    fn policy_name(&mut self) {
        self.wish(Wish::Policy);
        self.expect(SyntaxKind::Name);
    }

    fn at_given(&self) -> bool {
        self.at(SyntaxKind::Name) && (self.at_word("given") || self.near(0, &["given"]).is_some())
    }

    /// `"given" [INT "x"] req ["within" DUR] "expect" expect {"," expect}`
    fn given(&mut self) {
        self.start(SyntaxKind::Given);
        self.eat_one_of(&["given"]);
        if self.eat(SyntaxKind::Int) {
            self.expect_word("x");
        }
        self.request();
        if self.eat_word("within") {
            self.expect(SyntaxKind::Duration);
        }
        if self.expect_word("expect") {
            self.expectation();
            while self.eat(SyntaxKind::Comma) {
                self.expectation();
            }
        }
        self.finish_node();
    }

    /// `(METHOD | STRING) (PATH | STRING) ["from" peer] ["to" "service" ref] { with }`
    pub(super) fn request(&mut self) {
        self.start(SyntaxKind::Request);
        if self.at(SyntaxKind::String) {
            self.take_as(SyntaxKind::Method);
        } else if self.at_method() {
            self.method_of_request();
        } else {
            self.missing("a method such as `GET`, or one in a string");
        }
        if !self.eat(SyntaxKind::String) && !self.eat(SyntaxKind::Path) {
            self.missing_target();
        }
        if self.ahead_one_of(&PARTS) == Some("from") {
            self.eat_one_of(&["from"]);
            self.peer();
        }
        if self.ahead_one_of(&PARTS) == Some("to") {
            self.eat_one_of(&["to"]);
            self.expect_word("service");
            self.reference();
        }
        while self.ahead_one_of(&PARTS) == Some("with") {
            self.with();
        }
        self.finish_node();
    }

    /// Says that the path is missing. What stands there may be another target of a request.
    fn missing_target(&mut self) {
        let is_url = self.at(SyntaxKind::Name) && self.nth(1) == SyntaxKind::Colon;
        if !self.at(SyntaxKind::Star) && !is_url {
            self.missing(SyntaxKind::Path.words());
            return;
        }
        self.mistake(errors::target_of_request(self.place()));
        self.start(SyntaxKind::Error);
        self.take();
        self.finish_node();
        if is_url {
            self.skip_until(|parser| parser.at_any_word(&PARTS));
        }
    }

    /// `"with" ( "jwt" NAME obj | "header" (NAME | STRING) "=" STRING | "host" STRING | "ip" IP
    /// | "response" (INT ["after" DUR] | "header" (NAME | STRING) "=" STRING | "size" INT | "flags" STRING {"," STRING})
    /// | "upstream" STRING ["attempts" INT] ["failure" STRING] )`
    fn with(&mut self) {
        self.start(SyntaxKind::With);
        self.eat_one_of(&["with"]);
        match self.eat_one_of(&["jwt", "header", "host", "ip", "response", "upstream"]) {
            Some("jwt") => {
                if self.expect(SyntaxKind::Name) {
                    self.object();
                }
            }
            Some("header") => self.header_value(),
            Some("ip") => {
                self.expect(SyntaxKind::Ip);
            }
            Some("host") => {
                self.expect(SyntaxKind::String);
            }
            Some("upstream") => {
                self.expect(SyntaxKind::String);
                if self.eat_word("attempts") {
                    self.expect(SyntaxKind::Int);
                }
                if self.eat_word("failure") {
                    self.expect(SyntaxKind::String);
                }
            }
            Some(_) if self.eat_word("header") => self.header_value(),
            Some(_) if self.eat_word("size") => {
                self.expect(SyntaxKind::Int);
            }
            Some(_) if self.eat_word("flags") => {
                self.expect(SyntaxKind::String);
                while self.eat(SyntaxKind::Comma) && self.expect(SyntaxKind::String) {}
            }
            Some(_) => {
                self.expect(SyntaxKind::Int);
                if self.eat_word("after") {
                    self.expect(SyntaxKind::Duration);
                }
            }
            None => {
                self.missing("`header`, `host`, `ip`, `jwt`, `response` or `upstream`");
            }
        }
        self.finish_node();
    }

    /// `(NAME | STRING) "=" STRING`
    fn header_value(&mut self) {
        let _ = (self.eat(SyntaxKind::String) || self.expect(SyntaxKind::Name))
            && self.expect(SyntaxKind::Assign)
            && self.expect(SyntaxKind::String);
    }

    /// `[INT] ("allow" | "deny") [INT] ["by" NAME] | [INT] "limited" [INT] | ["response"] "header" NAME "=" STRING
    /// | "not" ["response"] "header" NAME | …`
    fn expectation(&mut self) {
        self.start(SyntaxKind::Expect);
        self.eat(SyntaxKind::Int);
        let is_negated = self.eat_word("not");
        match self.eat_one_of(&["allow", "deny", "limited", "to", "logged", "header", "response"]) {
            Some("allow" | "deny" | "limited") if !is_negated => {
                self.eat(SyntaxKind::Int);
                if self.eat_word("by") {
                    self.rule_name();
                }
            }
            Some("to") if !is_negated => {
                if !self.eat(SyntaxKind::String) && self.expect_word("service") {
                    self.reference();
                    if self.eat(SyntaxKind::At) {
                        self.expect(SyntaxKind::Name);
                    }
                }
            }
            Some("header") => self.expected_header(is_negated),
            Some("response") => {
                if self.expect_word("header") {
                    self.expected_header(is_negated);
                }
            }
            Some("logged") => {}
            _ => {
                self.missing(if is_negated { "`logged` or `header`" } else { "`allow` or `deny`" });
            }
        }
        self.finish_node();
    }

    /// `(NAME | STRING) "=" STRING`, or the name alone of one that is not expected.
    fn expected_header(&mut self, is_negated: bool) {
        if is_negated {
            let _ = self.eat(SyntaxKind::String) || self.expect(SyntaxKind::Name);
        } else {
            self.header_value();
        }
    }

    /// `NAME ["/" NAME]`
    fn rule_name(&mut self) {
        self.start(SyntaxKind::RuleName);
        self.wish(Wish::Rule);
        if self.expect(SyntaxKind::Name) && self.eat(SyntaxKind::Slash) {
            self.expect(SyntaxKind::Name);
        }
        self.finish_node();
    }
}
