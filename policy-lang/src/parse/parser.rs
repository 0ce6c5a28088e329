//! The machine that the productions drive: tokens in, tree and diagnostics out.
//!
//! Words are asked for by their text ([`Parser::at_word`]); taking one as a keyword makes it a
//! [`SyntaxKind::Keyword`] in the tree. White space and comments go into the tree before the token or
//! node that follows them, so a node begins and ends with tokens of its own.

use super::wishes::{Wish, Wishes};
use super::{DIAGNOSTICS_MAX, Parsed, ROOT, errors};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::near::nearest;
use crate::lex::{self, Token};
use crate::source::{FileId, Span};
use crate::syntax::{SyntaxKind, SyntaxTree};
use rowan::{Checkpoint, GreenNodeBuilder};

/// How many mistakes are kept until all are sorted: those of the lexer, and as many of the parser.
const FOUND_MAX: usize = 2 * DIAGNOSTICS_MAX;

pub(super) struct Parser<'t> {
    file: FileId,
    text: &'t str,
    /// The tokens still to come, the next one last, so that a token can be replaced by several.
    tokens: Vec<Token>,
    /// Those of them that are not trivia, so that looking ahead takes no time however long a comment is.
    significant: Vec<Token>,
    builder: GreenNodeBuilder<'static>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Where the last mistake was said to be: of several at one place only the first is told.
    last_mistake: Option<u32>,
    /// Where the last token that was taken ends.
    taken_end: u32,
    /// Brackets opened in the current expression.
    pub(super) brackets: u32,
    /// Expressions that are being parsed, one in the other.
    pub(super) nesting: u32,
    /// What was looked for at the end of the text, if somebody wants to know.
    wishes: Option<Wishes>,
}

impl<'t> Parser<'t> {
    pub(super) fn new(file: FileId, text: &'t str) -> Self {
        Self::of_tokens(file, text, lex::lex(file, text))
    }

    /// A parser of a request alone.
    pub(super) fn of_request(file: FileId, text: &'t str) -> Self {
        Self::of_tokens(file, text, lex::lex_request(file, text))
    }

    fn of_tokens(file: FileId, text: &'t str, lexed: lex::Lexed) -> Self {
        let mut tokens = lexed.tokens;
        tokens.reverse();
        let significant = tokens.iter().filter(|token| !token.kind.is_trivia()).copied().collect();
        let mut builder = GreenNodeBuilder::new();
        builder.start_node(ROOT.into());
        Self {
            file,
            text,
            tokens,
            significant,
            builder,
            diagnostics: lexed.diagnostics,
            last_mistake: None,
            taken_end: 0,
            brackets: 0,
            nesting: 0,
            wishes: None,
        }
    }

    /// The same, which takes down what it looks for at the end of the text.
    pub(super) fn wishing(self) -> Self {
        Self { wishes: Some(Wishes::default()), ..self }
    }

    /// What it looked for there.
    pub(super) fn wishes(self) -> Wishes {
        self.wishes.unwrap_or_default()
    }

    /// Takes whatever is left and gives the tree.
    pub(super) fn finish(mut self) -> Parsed {
        while self.tokens.last().is_some() {
            self.take_raw(None);
        }
        self.builder.finish_node();
        // A mistake of the lexer and one of the parser may meet; the reader wants the order of the text.
        self.diagnostics.sort_by_key(|diagnostic| diagnostic.primary.span.start);
        self.diagnostics.truncate(DIAGNOSTICS_MAX);
        Parsed { tree: SyntaxTree::new(self.file, self.builder.finish()), diagnostics: self.diagnostics }
    }

    // Looking.

    /// The `n`th token from here that is not trivia.
    fn ahead(&self, n: usize) -> Option<Token> {
        self.significant.iter().rev().nth(n).copied()
    }

    pub(super) fn nth(&self, n: usize) -> SyntaxKind {
        self.ahead(n).map_or(SyntaxKind::EndOfFile, |token| token.kind)
    }

    pub(super) fn nth_text(&self, n: usize) -> &'t str {
        self.ahead(n).map_or("", |token| self.text_of(token))
    }

    pub(super) fn nth_is_word(&self, n: usize, word: &str) -> bool {
        self.nth(n) == SyntaxKind::Name && self.nth_text(n) == word
    }

    pub(super) fn at(&self, kind: SyntaxKind) -> bool {
        self.nth(0) == kind
    }

    /// Whether the next token is this keyword. With a colon behind it, it is the label of what follows, whatever may go
    /// on with this word.
    pub(super) fn at_word(&self, word: &'static str) -> bool {
        self.wish(Wish::Word(word));
        self.nth_is_word(0, word) && self.nth(1) != SyntaxKind::Colon
    }

    /// The next token's text if it is a word that one of these says.
    pub(super) fn at_any_word(&self, words: &[&'static str]) -> bool {
        self.wish_words(words);
        self.at(SyntaxKind::Name) && words.contains(&self.nth_text(0))
    }

    pub(super) fn at_end(&self) -> bool {
        self.at(SyntaxKind::EndOfFile)
    }

    /// Takes down that this could stand here, if here is the end of the text and nothing is wrong so far.
    pub(super) fn wish(&self, wish: Wish) {
        if let Some(wishes) = &self.wishes
            && self.at_end()
            && self.last_mistake != Some(self.taken_end)
        {
            wishes.add(wish);
        }
    }

    /// The same for words.
    pub(super) fn wish_words(&self, words: &[&'static str]) {
        for word in words {
            self.wish(Wish::Word(word));
        }
    }

    fn text_of(&self, token: Token) -> &'t str {
        self.text.get(token.start as usize..token.end as usize).unwrap_or("")
    }

    /// The place of the next token; at the end of the file, the end of what was taken last.
    pub(super) fn place(&self) -> Span {
        match self.ahead(0) {
            Some(token) => Span { file: self.file, start: token.start, end: token.end },
            None => self.taken_place(),
        }
    }

    /// The empty place behind what was taken last.
    pub(super) fn taken_place(&self) -> Span {
        Span { file: self.file, start: self.taken_end, end: self.taken_end }
    }

    // Taking.

    fn take_raw(&mut self, kind: Option<SyntaxKind>) {
        if let Some(token) = self.tokens.pop() {
            let text = self.text_of(token);
            self.builder.token(kind.unwrap_or(token.kind).into(), text);
            if !token.kind.is_trivia() {
                self.significant.pop();
                self.taken_end = token.end;
            }
        }
    }

    fn take_trivia(&mut self) {
        while self.tokens.last().is_some_and(|token| token.kind.is_trivia()) {
            self.take_raw(None);
        }
    }

    pub(super) fn take(&mut self) {
        self.take_trivia();
        self.take_raw(None);
    }

    pub(super) fn take_as(&mut self, kind: SyntaxKind) {
        self.take_trivia();
        self.take_raw(Some(kind));
    }

    pub(super) fn eat(&mut self, kind: SyntaxKind) -> bool {
        let there = self.at(kind);
        if there {
            self.take();
        }
        there
    }

    /// Takes a keyword, if the next token is this word.
    pub(super) fn eat_word(&mut self, word: &'static str) -> bool {
        let there = self.at_word(word);
        if there {
            self.take_as(SyntaxKind::Keyword);
        }
        there
    }

    /// Takes a token of a kind or says that it is missing.
    pub(super) fn expect(&mut self, kind: SyntaxKind) -> bool {
        self.eat(kind) || self.missing(kind.words())
    }

    /// Takes a keyword or says that it is missing; a word that is near to it is taken for it.
    pub(super) fn expect_word(&mut self, word: &'static str) -> bool {
        self.eat_word(word) || self.eat_near(&[word]).is_some() || self.missing(&format!("`{word}`"))
    }

    /// Takes one of several keywords, also if it is misspelt, and gives the one that was meant.
    pub(super) fn eat_one_of(&mut self, words: &[&'static str]) -> Option<&'static str> {
        match words.iter().copied().find(|word| self.at_word(word)) {
            Some(word) => {
                self.take_as(SyntaxKind::Keyword);
                Some(word)
            }
            None => self.eat_near(words),
        }
    }

    /// Takes a word that is no keyword but near to one of these, says so, and gives what was meant.
    pub(super) fn eat_near(&mut self, words: &[&'static str]) -> Option<&'static str> {
        if !self.at(SyntaxKind::Name) {
            return None;
        }
        let meant = self.near(0, words)?;
        self.mistake(errors::misspelt(self.place(), self.nth_text(0), meant));
        self.take_as(SyntaxKind::Keyword);
        Some(meant)
    }

    /// Which of several keywords comes next, also if it is misspelt; a word that begins a statement or an
    /// item is not taken for another one.
    pub(super) fn ahead_one_of(&self, words: &[&'static str]) -> Option<&'static str> {
        self.wish_words(words);
        if !self.at(SyntaxKind::Name) {
            return None;
        }
        let exact = words.iter().copied().find(|word| self.at_word(word));
        exact.or_else(|| {
            let begins_other = self.at_label() || self.at_statement() || self.at_item();
            if begins_other { None } else { self.near(0, words) }
        })
    }

    /// The keyword that the `n`th token is near to.
    pub(super) fn near(&self, n: usize, words: &[&'static str]) -> Option<&'static str> {
        nearest(self.nth_text(n), words.iter().copied())
    }

    /// Takes `{`, and gives its place for [`Self::close`].
    pub(super) fn open(&mut self, kind: SyntaxKind) -> Option<Span> {
        let place = self.place();
        self.expect(kind).then_some(place)
    }

    /// Takes a closing bracket or says that the one at `opened` is not closed.
    pub(super) fn close(&mut self, kind: SyntaxKind, opened: Option<Span>) {
        if self.eat(kind) {
            return;
        }
        match opened {
            Some(opened) if self.at_end() || self.at_item() => {
                let end = self.taken_place();
                self.mistake(errors::not_closed(opened, end, kind));
            }
            _ => {
                self.missing(kind.words());
            }
        }
    }

    /// Everything to the end of the text must have been read.
    pub(super) fn expect_end(&mut self, expected: &str) {
        if !self.at_end() {
            self.missing(expected);
            self.start(SyntaxKind::Error);
            while !self.at_end() {
                self.take();
            }
            self.finish_node();
        }
    }

    /// Replaces the next token, a path, percentage or rate that stands where an operator is wanted, by
    /// the operator and operands that it is made of there.
    pub(super) fn split(&mut self) {
        self.take_trivia();
        let Some(token) = self.tokens.pop() else { return };
        self.significant.pop();
        let text = self.text_of(token);
        let cut = match token.kind {
            SyntaxKind::Path => 1,
            _ => text.bytes().take_while(u8::is_ascii_digit).count(),
        };
        let (head, tail) = text.split_at_checked(cut).unwrap_or((text, ""));
        let middle = token.start + head.len() as u32;
        let head_kind = if token.kind == SyntaxKind::Path { SyntaxKind::Slash } else { SyntaxKind::Int };
        let tail = lex::lex_piece(self.file, tail, middle, head_kind);
        let room = FOUND_MAX.saturating_sub(self.diagnostics.len());
        self.diagnostics.extend(tail.diagnostics.into_iter().take(room));
        let head = Token { kind: head_kind, start: token.start, end: middle };
        let pieces = tail.tokens.into_iter().rev().chain([head]);
        for piece in pieces {
            self.tokens.push(piece);
            if !piece.kind.is_trivia() {
                self.significant.push(piece);
            }
        }
    }

    // Building.

    pub(super) fn start(&mut self, kind: SyntaxKind) {
        self.take_trivia();
        self.builder.start_node(kind.into());
    }

    pub(super) fn checkpoint(&mut self) -> Checkpoint {
        self.take_trivia();
        self.builder.checkpoint()
    }

    pub(super) fn start_at(&mut self, checkpoint: Checkpoint, kind: SyntaxKind) {
        self.builder.start_node_at(checkpoint, kind.into());
    }

    pub(super) fn finish_node(&mut self) {
        self.builder.finish_node();
    }

    // Telling.

    /// Tells a mistake at the next token, unless one was told there already.
    pub(super) fn mistake(&mut self, diagnostic: Diagnostic) {
        let here = self.place().start;
        if self.last_mistake != Some(here) {
            // Mistakes are found in the order of the text, so those that are kept are the first ones.
            if self.diagnostics.len() < FOUND_MAX {
                self.diagnostics.push(diagnostic);
            }
            self.last_mistake = Some(here);
        }
    }

    /// Says that something else was expected at the next token, or, if that is on a later line, at the
    /// end of this one; always false, for `or` chains.
    pub(super) fn missing(&mut self, expected: &str) -> bool {
        let between = self.text.get(self.taken_end as usize..self.place().start as usize).unwrap_or("");
        if self.taken_end > 0 && !self.at_end() && between.contains('\n') {
            self.mistake(errors::expected_on_line(self.taken_place(), expected));
        } else {
            self.unexpected(expected);
        }
        false
    }

    /// Says that what comes next is not what stands here.
    pub(super) fn unexpected(&mut self, expected: &str) {
        if self.at(SyntaxKind::Unknown) {
            // The lexer has spoken of it.
            return self.silence();
        }
        self.mistake(errors::expected(self.place(), expected, self.nth(0), self.nth_text(0)));
    }

    /// Tells no further mistake at the next token.
    pub(super) fn silence(&mut self) {
        self.last_mistake = Some(self.place().start);
    }

    /// Takes all of the file as one error, about which nothing else is said, not even by the lexer.
    pub(super) fn give_up(&mut self, diagnostic: Diagnostic) {
        self.diagnostics = vec![diagnostic];
        self.silence();
        self.start(SyntaxKind::Error);
        while !self.at_end() {
            self.take();
        }
        self.finish_node();
    }

    /// Puts tokens into an error node until `stop`, a closing brace that closes nothing in it, or the
    /// end. Takes at least nothing: the caller must make sure of progress.
    pub(super) fn skip_until(&mut self, stop: impl Fn(&Self) -> bool) {
        let mut started = false;
        let mut depth = 0_u32;
        while !self.at_end() && !(depth == 0 && (self.at(SyntaxKind::RightBrace) || stop(self))) {
            if !started {
                self.start(SyntaxKind::Error);
                started = true;
            }
            match self.nth(0) {
                SyntaxKind::LeftBrace => depth += 1,
                SyntaxKind::RightBrace => depth -= 1,
                _ => {}
            }
            self.take();
        }
        if started {
            self.finish_node();
        }
    }
}
