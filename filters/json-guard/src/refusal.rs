//! Why a request does not pass, and what the client is told: the place and the rule, never a value.

use crate::validate::{Finding, Problem};
use chancery_sdk::Answer;
use chancery_sdk::json::Fault;
use serde::Serialize;

/// Why a request does not pass; each has a counter of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The body is not JSON.
    NotJson,
    /// An object has a name twice.
    RepeatedMember,
    /// The body has more bytes than allowed.
    TooLong,
    /// It is beyond another limit.
    OverLimit,
    /// It is not as its schema says.
    Schema,
    /// There is no body, and a schema says that there must be one.
    NoBody,
    /// It is of a type that the filter does not look at.
    ContentType,
    /// It is compressed.
    Compressed,
    /// There is no schema for it.
    WithoutSchema,
}

/// What a client reads (RFC 9457).
#[derive(Serialize)]
struct Told<'finding> {
    title: &'finding str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'finding str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    byte: Option<usize>,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 9] = [
        Self::NotJson,
        Self::RepeatedMember,
        Self::TooLong,
        Self::OverLimit,
        Self::Schema,
        Self::NoBody,
        Self::ContentType,
        Self::Compressed,
        Self::WithoutSchema,
    ];

    /// Its name in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotJson => "not-json",
            Self::RepeatedMember => "repeated-member",
            Self::TooLong => "too-long",
            Self::OverLimit => "over-limit",
            Self::Schema => "schema",
            Self::NoBody => "no-body",
            Self::ContentType => "content-type",
            Self::Compressed => "compressed",
            Self::WithoutSchema => "without-schema",
        }
    }

    /// The refusal that a finding leads to.
    #[must_use]
    pub fn of(problem: Problem) -> Self {
        match problem {
            Problem::Keyword(_) => Self::Schema,
            Problem::Twice => Self::RepeatedMember,
            Problem::Fault(
                Fault::Values
                | Fault::Depth
                | Fault::Members
                | Fault::Items
                | Fault::NameBytes
                | Fault::TextBytes
                | Fault::NumberBytes,
            ) => Self::OverLimit,
            Problem::Fault(_) => Self::NotJson,
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::NotJson | Self::RepeatedMember | Self::NoBody => 400,
            Self::WithoutSchema => 403,
            Self::TooLong | Self::OverLimit => 413,
            Self::ContentType | Self::Compressed => 415,
            Self::Schema => 422,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::NotJson => "the body is not JSON",
            Self::RepeatedMember => "an object has two members of one name",
            Self::TooLong => "the body is too long",
            Self::OverLimit => "the body is too large",
            Self::Schema => "the body is not as its schema says",
            Self::NoBody => "a body is needed",
            Self::ContentType => "the body is of another type than is accepted",
            Self::Compressed => "the body must not be compressed",
            Self::WithoutSchema => "no body is accepted here",
        }
    }

    /// What the client is told.
    #[must_use]
    pub fn answer(self, finding: Option<&Finding>) -> Answer {
        let fault = match finding.map(|finding| finding.problem) {
            Some(Problem::Fault(fault)) => Some(fault.to_string()),
            _ => None,
        };
        let told = Told {
            title: fault.as_deref().unwrap_or(self.title()),
            status: self.status(),
            rule: finding.and_then(|finding| match finding.problem {
                Problem::Keyword(keyword) => Some(keyword),
                _ => None,
            }),
            pointer: finding.map(|finding| finding.pointer.as_str()),
            byte: finding.map(|finding| finding.at),
        };
        // A text of ours and numbers: there is nothing that could not be written.
        let body = serde_json::to_vec(&told).unwrap_or_default();
        Answer::new(self.status()).header("content-type", "application/problem+json").body(body)
    }
}
