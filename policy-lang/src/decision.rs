//! What a policy says of a request.

use crate::checked::{Respond, Verdict};
use std::sync::Arc;

/// The id that stands where no rule of a policy decided: nothing matched and nothing was stated.
pub const DEFAULT_DENY: &str = "default-deny";
/// The id that stands where only shadow policies concern a target, so that everything is allowed.
pub const UNRESTRICTED: &str = "unrestricted";
/// The id of a refusal because the request has no room in the module's memory (431).
pub const TOO_LARGE: &str = "too-large";
/// The id of a refusal because the proxy did not say what the policy must know, such as the
/// caller's address (403).
pub const UNREADABLE: &str = "unreadable";
/// The status of the answer to a request that is too large.
pub const TOO_LARGE_STATUS: u16 = 431;
/// The id of a refusal because the path has no single meaning (see `path::decode`).
pub const BAD_PATH: &str = "bad-path";
/// The id of a refusal because the method is none, or not written in capital letters.
pub const BAD_METHOD: &str = "bad-method";
/// The id of a refusal because the request names no host, or several.
pub const BAD_HOST: &str = "bad-host";
/// The id of a refusal because a header cannot be one.
pub const BAD_HEADER: &str = "bad-header";
/// The id of a refusal because `content-length` is no size.
pub const BAD_SIZE: &str = "bad-size";

/// The ids that stand where a request is refused before any rule is asked.
pub const REFUSALS: [&str; 7] = [BAD_HEADER, BAD_HOST, BAD_METHOD, BAD_PATH, BAD_SIZE, TOO_LARGE, UNREADABLE];

/// Who decided, and how. *Allowed*, *denied by a rule* and *no rule matched* are distinct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The request is refused before any rule is asked: it has no single meaning (400), is too large
    /// (431), or the proxy did not say what must be known of it (403).
    Refused,
    /// An `exempt` matched.
    Exempt,
    /// A `deny` matched.
    Denied,
    /// An `allow` matched.
    Allowed,
    /// No rule matched; an `otherwise allow` let it pass.
    OtherwiseAllowed,
    /// No rule matched; an `otherwise deny` refused it.
    OtherwiseDenied,
    /// No rule matched and no `otherwise` is stated: denied.
    DefaultDenied,
    /// The rules let it pass, and it is one more than a limit lets pass.
    Limited,
}

/// The decision on one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// How.
    pub outcome: Outcome,
    /// By which rule: `policy/rule`, `policy/otherwise`, [`DEFAULT_DENY`], or one of [`REFUSALS`].
    pub rule: Arc<str>,
    /// The answer to a denied request; `None` when allowed.
    pub respond: Option<Respond>,
    /// What would be decided with the shadow policies enforced too; `None` if none concern the
    /// target or the request was refused. Its own `shadow` is `None`.
    pub shadow: Option<Box<Decision>>,
}

impl Outcome {
    /// Whether the request passes.
    #[must_use]
    pub fn allows(self) -> bool {
        self.verdict() == Verdict::Allow
    }

    /// What tests call it.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Exempt | Self::Allowed | Self::OtherwiseAllowed => Verdict::Allow,
            Self::Refused | Self::Denied | Self::OtherwiseDenied | Self::DefaultDenied => Verdict::Deny,
            Self::Limited => Verdict::Limited,
        }
    }

    /// The word used in counters, logs and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Exempt => "exempt",
            Self::Denied => "denied",
            Self::Allowed => "allowed",
            Self::OtherwiseAllowed => "otherwise-allowed",
            Self::OtherwiseDenied => "otherwise-denied",
            Self::DefaultDenied => "default-denied",
            Self::Limited => "limited",
        }
    }
}
