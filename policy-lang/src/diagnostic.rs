//! What is said to the author of a policy: data first, rendering apart.
//!
//! A message begins with a small letter, has no final period, puts the author's words in
//! backticks, points at the narrowest span, and its `help` says the remedy.

mod findings;
pub mod near;
pub mod render;

pub use findings::FINDINGS_MAX;
pub(crate) use findings::Findings;

use crate::source::Span;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The policy is not accepted.
    Error,
    /// The policy is accepted; the author should look.
    Warning,
}

/// A stable code such as `E304` or `W201`, documented in `docs/errors.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub &'static str);

/// A place and what is to be said about it; the text may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is said beside the underline.
    pub text: String,
}

/// One finding about a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its stable code.
    pub code: Code,
    /// Whether the policy is refused for it.
    pub severity: Severity,
    /// One line.
    pub message: String,
    /// The main place.
    pub primary: Label,
    /// Further places.
    pub secondary: Vec<Label>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    #[must_use]
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, span, message)
    }

    /// A warning at a place.
    #[must_use]
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, span, message)
    }

    fn new(code: Code, severity: Severity, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            message: visible(message.into()),
            primary: Label { span, text: String::new() },
            secondary: Vec::new(),
            help: None,
        }
    }

    /// Says something beside the main underline.
    #[must_use]
    pub fn labelled(mut self, text: impl Into<String>) -> Self {
        self.primary.text = visible(text.into());
        self
    }

    /// Points at a further place.
    #[must_use]
    pub fn with(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label { span, text: visible(text.into()) });
        self
    }

    /// Names the remedy.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(visible(text.into()));
        self
    }

    /// Whether it refuses the policy.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Text in which every character is seen: what steers a terminal, turns the direction of writing or looks like a
/// space is written as `\u{202e}`.
pub(crate) fn visible(text: String) -> String {
    if text.chars().all(is_visible) {
        return text;
    }
    let shown = |character: char| match is_visible(character) {
        true => character.to_string(),
        false => character.escape_unicode().to_string(),
    };
    text.chars().map(shown).collect()
}

/// Whether a character is seen as what it is. The standard library knows which are controls, formats (among them
/// those that turn the direction of writing), separators and unassigned.
#[must_use]
pub fn is_visible(character: char) -> bool {
    // What must be escaped in a string for its meaning there is seen.
    matches!(character, '"' | '\'' | '\\') || character.escape_debug().len() == 1
}
