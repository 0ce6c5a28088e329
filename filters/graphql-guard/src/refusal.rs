//! Why a request does not pass, and what the client is told.

use crate::lexer::What;
use chancery_sdk::Answer;
use serde::Serialize;

/// Why a request does not pass; each has a counter of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no GraphQL request, or one that can be read in two ways.
    Malformed,
    /// The document is none.
    Syntax,
    /// The document has too many tokens.
    Tokens,
    /// Its fields are too deep in each other.
    Depth,
    /// It costs too much.
    Cost,
    /// It has too many aliases.
    Aliases,
    /// It has too many directives.
    Directives,
    /// It has too many fragments, or one that is in itself or not there.
    Fragments,
    /// There are too many requests in one.
    Batch,
    /// The service's schema is asked for.
    Introspection,
    /// It is none of the operations that are allowed.
    NotAllowed,
    /// It has no document, and its hash is none that is allowed.
    NoDocument,
    /// It is of a method that is not for this.
    Method,
    /// It would become another protocol.
    Upgrade,
    /// It is not JSON by its headers.
    ContentType,
    /// Its body is too long.
    TooLong,
}

/// What a client reads: the form of errors in GraphQL.
#[derive(Serialize)]
struct Told {
    errors: [ToldError; 1],
}

#[derive(Serialize)]
struct ToldError {
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    locations: Option<[Location; 1]>,
    extensions: Extensions,
}

#[derive(Serialize)]
struct Extensions {
    code: &'static str,
}

/// Where in a document, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Location {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

impl Location {
    /// Where so many bytes stand before.
    #[must_use]
    pub fn of(text: &str, at: usize) -> Self {
        let before = text.get(..text.floor_char_boundary(at)).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line, column }
    }
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 16] = [
        Self::Malformed,
        Self::Syntax,
        Self::Tokens,
        Self::Depth,
        Self::Cost,
        Self::Aliases,
        Self::Directives,
        Self::Fragments,
        Self::Batch,
        Self::Introspection,
        Self::NotAllowed,
        Self::NoDocument,
        Self::Method,
        Self::Upgrade,
        Self::ContentType,
        Self::TooLong,
    ];

    /// Its name in metrics and logs, and what the client is told as the code.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Syntax => "syntax",
            Self::Tokens => "tokens",
            Self::Depth => "depth",
            Self::Cost => "cost",
            Self::Aliases => "aliases",
            Self::Directives => "directives",
            Self::Fragments => "fragments",
            Self::Batch => "batch",
            Self::Introspection => "introspection",
            Self::NotAllowed => "not-allowed",
            Self::NoDocument => "no-document",
            Self::Method => "method",
            Self::Upgrade => "upgrade",
            Self::ContentType => "content-type",
            Self::TooLong => "too-long",
        }
    }

    /// What is wrong with a document.
    #[must_use]
    pub fn of(what: What) -> Self {
        match what {
            What::Syntax => Self::Syntax,
            What::Tokens => Self::Tokens,
            What::Nesting => Self::Depth,
        }
    }

    /// The status of its answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Introspection | Self::NotAllowed | Self::NoDocument | Self::Upgrade => 403,
            Self::Method => 405,
            Self::TooLong => 413,
            Self::ContentType => 415,
            _ => 400,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Malformed => "this is no GraphQL request, or one that can be read in two ways",
            Self::Syntax => "something else is expected in the document",
            Self::Tokens => "the document is too long",
            Self::Depth => "the document's fields are too deep in each other",
            Self::Cost => "the request asks for too much",
            Self::Aliases => "the document has too many aliases",
            Self::Directives => "the document has too many directives",
            Self::Fragments => "the document has too many fragments, or one that is in itself or missing",
            Self::Batch => "there are too many requests in one",
            Self::Introspection => "the schema cannot be asked for here",
            Self::NotAllowed => "this operation is not allowed here",
            Self::NoDocument => "the document is needed",
            Self::Method => "queries are sent by GET or POST, everything else by POST",
            Self::Upgrade => "other protocols are not spoken here",
            Self::ContentType => "the body must be application/json, in UTF-8 and not compressed",
            Self::TooLong => "the body is too long",
        }
    }

    /// What the client is told.
    #[must_use]
    pub fn answer(self, location: Option<Location>) -> Answer {
        let extensions = Extensions { code: self.name() };
        let error =
            ToldError { message: self.message(), locations: location.map(|location| [location]), extensions };
        // Texts of ours and numbers: there is nothing that could not be written.
        let body = serde_json::to_vec(&Told { errors: [error] }).unwrap_or_default();
        let answer = Answer::new(self.status()).header("content-type", "application/json").body(body);
        if self == Self::Method { answer.header("allow", "GET, POST") } else { answer }
    }
}
