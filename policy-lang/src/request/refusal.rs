//! Why a request is refused before any rule is asked: it has no single meaning.

use super::{Request, authority};
use crate::checked::Respond;
use crate::decision::{
    BAD_HEADER, BAD_HOST, BAD_METHOD, BAD_PATH, BAD_SIZE, Decision, Outcome, TOO_LARGE, TOO_LARGE_STATUS,
};
use crate::path;

/// The status of the answer to a request without a single meaning.
pub const REFUSED_STATUS: u16 = 400;

/// Why a request has no single meaning, or cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The path.
    Path(path::Refusal),
    /// The method is none, or has small letters.
    Method,
    /// The host is none, or there are several.
    Host,
    /// A header, by its name or by a character of its value, or one that no request may have.
    Header,
    /// The size of the body is no number.
    Size,
    /// There are too many headers, or they are too long.
    TooLarge,
}

impl Refusal {
    /// The id that stands in the place of a rule.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Path(_) => BAD_PATH,
            Self::Method => BAD_METHOD,
            Self::Host => BAD_HOST,
            Self::Header => BAD_HEADER,
            Self::Size => BAD_SIZE,
            Self::TooLarge => TOO_LARGE,
        }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::TooLarge => TOO_LARGE_STATUS,
            _ => REFUSED_STATUS,
        }
    }

    /// The refusal in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path(refusal) => refusal.as_str(),
            Self::Method => "methods are written in capital letters",
            Self::Host => "a request names one host: a name, or an address, and perhaps a port",
            Self::Header => "no request may have such a header",
            Self::Size => "`content-length` is one number below 2^63, and the size of what follows",
            Self::TooLarge => {
                "its headers are too many or too long, the rules read more than 16 KiB of it, or its query has more \
                 than 256 parameters"
            }
        }
    }

    /// The decision on such a request.
    #[must_use]
    pub fn decision(self) -> Decision {
        let respond = Respond { status: self.status(), body: String::new() };
        Decision { outcome: Outcome::Refused, rule: self.rule().into(), respond: Some(respond), shadow: None }
    }
}

impl Request {
    /// Why the request is refused before any rule is asked, if it is.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        // Behind the capitals stand the small letters, and signs that no method has.
        if self.method().iter().any(|byte| *byte >= b'a') {
            return Some(Refusal::Method);
        }
        if let Err(refusal) = path::decode(self.raw_path()) {
            return Some(Refusal::Path(refusal));
        }
        if authority::parse(self.raw_authority()).is_none() {
            return Some(Refusal::Host);
        }
        let length = self.header("content-length");
        length.is_some_and(|length| super::parse_size(&length).is_none()).then_some(Refusal::Size)
    }
}
