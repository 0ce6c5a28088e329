//! The statements of `auth` policies, and the matches, peers, conditions and answers in them.

use super::errors;
use super::parser::Parser;
use super::wishes::Wish;
use crate::lex::literal;
use crate::syntax::SyntaxKind;

/// The words that say what a caller is.
const PEERS: [&str; 7] = ["service", "namespace", "ip", "spiffe", "jwt", "apikey", "anyone"];

/// The words that the parts of a rule behind its methods and paths begin with.
const CLAUSES: [&str; 4] = ["from", "when", "unless", "respond"];

/// Methods that are recognised in small letters, to say that they are written in capitals.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];

impl Parser<'_> {
    /// `[NAME ":"] ("allow" | "deny") match {cond} [respond]`
    pub(super) fn rule(&mut self) {
        self.start(SyntaxKind::Rule);
        self.label();
        self.eat_one_of(&["allow", "deny"]);
        self.matcher();
        self.clauses();
        self.finish_node();
    }

    /// `"exempt" match`; conditions are read too, for the checker to refuse.
    pub(super) fn exempt(&mut self) {
        self.start(SyntaxKind::Exempt);
        self.eat_one_of(&["exempt"]);
        self.matcher();
        self.clauses();
        self.finish_node();
    }

    /// `"otherwise" ("allow" | "deny" [respond])`
    pub(super) fn otherwise(&mut self) {
        self.start(SyntaxKind::Otherwise);
        self.eat_one_of(&["otherwise"]);
        if self.eat_one_of(&["allow", "deny"]).is_none() {
            self.missing("`allow` or `deny`");
        }
        if self.ahead_one_of(&CLAUSES) == Some("respond") {
            self.respond();
        }
        self.finish_node();
    }

    /// `"plaintext" ("allow" | "deny")`
    pub(super) fn plaintext(&mut self) {
        self.start(SyntaxKind::Plaintext);
        self.eat_one_of(&["plaintext"]);
        if self.eat_one_of(&["allow", "deny"]).is_none() {
            self.missing("`allow` or `deny`");
        }
        self.finish_node();
    }

    /// `NAME ":"`, if it is there.
    pub(super) fn label(&mut self) {
        if self.at_label() {
            self.take();
            self.take();
        }
    }

    pub(super) fn at_label(&self) -> bool {
        self.at(SyntaxKind::Name) && self.nth(1) == SyntaxKind::Colon
    }

    /// Whether a match begins here that says anything.
    pub(super) fn at_matcher(&self) -> bool {
        self.at_method() || self.at_pattern() || self.ahead_one_of(&CLAUSES) == Some("from")
    }

    /// `[METHOD {"," METHOD}] [pattern {"," pattern}] ["from" peer {"," peer}]`
    pub(super) fn matcher(&mut self) {
        self.start(SyntaxKind::Match);
        if self.at_method() {
            self.method();
            while self.at(SyntaxKind::Comma) {
                self.take();
                if !self.at_method() {
                    self.missing("a method");
                    break;
                }
                self.method();
            }
        }
        if self.at_pattern() {
            self.pattern();
            while self.at(SyntaxKind::Comma) {
                self.take();
                if !self.at_pattern() {
                    self.missing("a path");
                    break;
                }
                self.pattern();
            }
        }
        if self.ahead_one_of(&CLAUSES) == Some("from") {
            self.from();
        }
        self.finish_node();
    }

    fn from(&mut self) {
        self.eat_one_of(&["from"]);
        self.peer();
        while self.eat(SyntaxKind::Comma) {
            self.peer();
        }
    }

    /// Whether the next token is a method, perhaps in small letters.
    pub(super) fn at_method(&self) -> bool {
        self.wish(Wish::Method);
        let text = self.nth_text(0);
        self.at(SyntaxKind::Name)
            && self.nth(1) != SyntaxKind::Colon
            && (is_capital(text) || METHODS.iter().any(|method| method.eq_ignore_ascii_case(text)))
    }

    pub(super) fn method(&mut self) {
        if !is_capital(self.nth_text(0)) {
            self.mistake(errors::method_spelling(self.place(), self.nth_text(0)));
        }
        self.take_as(SyntaxKind::Method);
    }

    /// The same in a request, where a client may write it otherwise.
    pub(super) fn method_of_request(&mut self) {
        if !is_capital(self.nth_text(0)) {
            self.mistake(errors::method_of_request(self.place(), self.nth_text(0)));
        }
        self.take_as(SyntaxKind::Method);
    }

    fn at_pattern(&self) -> bool {
        self.wish(Wish::Path);
        self.at(SyntaxKind::Path) || self.at(SyntaxKind::String)
    }

    /// `PATH | STRING`: its shape is checked, `**` and `*` above all.
    fn pattern(&mut self) {
        let place = self.place();
        let is_string = self.at(SyntaxKind::String);
        let text = if is_string { literal::string(self.nth_text(0)) } else { self.nth_text(0).to_owned() };
        match (text.split_once('?'), text.strip_prefix('/')) {
            (Some((path, _)), _) => self.mistake(errors::query_in_pattern(place, path)),
            (None, None) => self.mistake(errors::no_slash_in_pattern(place)),
            (None, Some(path)) if !is_string && path.ends_with(';') => {
                self.mistake(errors::semicolon_in_pattern(place, &text));
            }
            (None, Some(segments)) => {
                let mut start = place.start + 1;
                let count = segments.split('/').count();
                for (at, segment) in segments.split('/').enumerate() {
                    let inside = crate::source::Span { start, end: start + segment.len() as u32, ..place };
                    start = inside.end + 1;
                    // A string has escapes, so only the whole of it is a place for certain.
                    let here = if is_string { place } else { inside };
                    if segment == "**" && at + 1 < count {
                        self.mistake(errors::rest_not_last(here));
                    } else if !matches!(segment, "*" | "**")
                        && !is_capture(segment)
                        && segment.contains(['*', '{', '}'])
                    {
                        self.mistake(errors::star_in_segment(here, segment));
                    }
                }
            }
        }
        self.take();
    }

    /// `"service" ref | "namespace" NAME | "ip" CIDR | …`
    pub(super) fn peer(&mut self) {
        self.start(SyntaxKind::Peer);
        let is_bare = match self.nth(0) {
            SyntaxKind::Name => !PEERS.contains(&self.nth_text(0)) && self.nth(1) == SyntaxKind::Slash,
            SyntaxKind::Ip | SyntaxKind::Cidr => true,
            _ => false,
        };
        if is_bare {
            self.mistake(errors::peer_without_kind(self.place(), self.nth_text(0)));
            if self.at(SyntaxKind::Name) {
                self.reference()
            } else {
                self.take()
            }
            self.finish_node();
            return;
        }
        match self.eat_one_of(&PEERS) {
            Some("service") => self.reference(),
            Some("namespace" | "jwt" | "apikey") => {
                self.expect(SyntaxKind::Name);
            }
            Some("ip") => self.address_or_range(),
            Some("spiffe") => {
                self.expect(SyntaxKind::String);
            }
            Some(_) => {}
            None => {
                self.missing("a caller: `service`, `namespace`, `ip`, `spiffe`, `jwt`, `apikey` or `anyone`");
            }
        }
        self.finish_node();
    }

    fn address_or_range(&mut self) {
        if !self.eat(SyntaxKind::Ip) && !self.eat(SyntaxKind::Cidr) {
            self.missing("an IP address or range such as `10.0.0.0/8`");
        }
    }

    /// `{cond} [respond]`
    fn clauses(&mut self) {
        let mut responded = false;
        loop {
            match self.ahead_one_of(&CLAUSES) {
                Some(word @ ("when" | "unless")) => {
                    if responded {
                        self.mistake(errors::order(self.place(), word, "`respond`"));
                    }
                    self.condition();
                }
                Some("respond") if !responded => {
                    self.respond();
                    responded = true;
                }
                Some("from") => {
                    self.mistake(errors::order(self.place(), "from", "the conditions"));
                    self.start(SyntaxKind::Error);
                    self.from();
                    self.finish_node();
                }
                _ => return,
            }
        }
    }

    /// `("when" | "unless") cel`
    pub(super) fn condition(&mut self) {
        self.start(SyntaxKind::Condition);
        self.eat_one_of(&["when", "unless"]);
        self.expr();
        self.finish_node();
    }

    /// `"respond" INT [STRING]`
    pub(super) fn respond(&mut self) {
        self.start(SyntaxKind::Respond);
        self.eat_one_of(&["respond"]);
        if !self.eat(SyntaxKind::Int) {
            self.missing("a status such as `403`");
        }
        self.eat(SyntaxKind::String);
        self.finish_node();
    }
}

/// `{name}`
fn is_capture(segment: &str) -> bool {
    let name = segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}'));
    name.is_some_and(|name| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        !name.starts_with(|first: char| first.is_ascii_digit() || first == '-')
            && !name.is_empty()
            && name.bytes().all(is_allowed)
    })
}

/// Whether a name is in capitals, as methods are; digits, `-` and `_` may stand in it.
fn is_capital(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
}
