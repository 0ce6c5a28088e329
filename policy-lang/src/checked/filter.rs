//! Filters: modules of others, and where and on what terms they stand in the way of requests.

use super::ServiceRef;
use crate::source::Span;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// What a `filter` policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterBody {
    /// The module.
    pub attached: Attached,
    /// Its place among the other filters.
    pub phase: FilterPhase,
    /// What it is told when it starts: an object of JSON without white space; `None` if nothing is.
    pub config: Option<Arc<str>>,
    /// What becomes of a request for which it fails, or is not there.
    pub on_failure: OnFailure,
    /// What it may do beside looking at headers and changing them.
    pub may: Grants,
    /// The `use` that names the module.
    pub attached_span: Span,
    /// The `config`, if there is one.
    pub config_span: Option<Span>,
}

/// A module by its name and version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attached {
    /// The name under which it was pushed.
    pub name: Arc<str>,
    /// Which of that name.
    pub version: FilterVersion,
}

/// A version of a module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilterVersion {
    /// Such as `1.2.0`.
    Number(Arc<str>),
    /// The SHA-256 of the module as it was pushed, in 64 small hexadecimal digits.
    Digest(Arc<str>),
}

/// When a filter sees a request. Of the answer it is the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilterPhase {
    /// Before it is known whether the policies allow it.
    BeforeAuth,
    /// When they have.
    AfterAuth,
    /// Behind everything else.
    Last,
}

/// What becomes of a request for which a filter fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnFailure {
    /// It is not let through.
    Deny,
    /// It goes on as if there were no filter.
    Allow,
}

/// What a module may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grants {
    /// The services that it may call.
    pub calls: BTreeSet<ServiceRef>,
    /// Whether it may read bodies.
    pub read_body: bool,
    /// Whether it may change bodies, and so read them.
    pub change_body: bool,
    /// Whether it may keep data that all workers share.
    pub share_data: bool,
}

impl fmt::Display for Attached {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.name, self.version)
    }
}

impl fmt::Display for FilterVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => out.write_str(number),
            Self::Digest(digest) => write!(out, "sha256:{digest}"),
        }
    }
}

impl FilterPhase {
    /// The words behind `phase`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeAuth => "before auth",
            Self::AfterAuth => "after auth",
            Self::Last => "last",
        }
    }
}

impl OnFailure {
    /// The word behind `on failure`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

impl Grants {
    /// What stands behind each `may`, sorted.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let calls = self.calls.iter().map(|service| format!("call {}/{}", service.namespace, service.name));
        let others = [
            (self.change_body, "change body"),
            (self.read_body, "read body"),
            (self.share_data, "share data"),
        ];
        calls
            .chain(others.into_iter().filter(|(is_said, _)| *is_said).map(|(_, word)| word.to_owned()))
            .collect()
    }
}
