//! `test` blocks.

use super::{ExpectedWay, Message, ServiceRef};
use crate::source::Span;

/// A `test` block.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedTest {
    /// Its title.
    pub name: String,
    /// The policies under test, by name.
    pub policies: Vec<String>,
    /// Between whom the requests go, if the policy that is named first is of those that leave its target.
    pub leaving: Option<Leaving>,
    /// `given … expect …`, in order.
    pub cases: Vec<TestCase>,
    /// The whole block.
    pub span: Span,
}

/// Who sends the requests of a test, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leaving {
    /// The service that sends them.
    pub sender: ServiceRef,
    /// The service that they are sent to.
    pub to: ServiceRef,
}

/// No case begins later, in ns since 1970: in the year 2116.
const LAST_NS: u64 = 1 << 62;

impl TestCase {
    /// When the next case begins if this one begins then, in ns.
    #[must_use]
    pub fn end_ns(&self, begun_ns: u64) -> u64 {
        begun_ns.saturating_add(self.within_ms.saturating_mul(1_000_000)).min(LAST_NS)
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It passes.
    Allow,
    /// No rule allows it, or it is refused before any rule is asked.
    Deny,
    /// The rules let it pass, and it is more than a limit lets pass.
    Limited,
}

impl Verdict {
    /// The word in tests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Limited => "limited",
        }
    }
}

/// `given REQUEST expect …`.
#[derive(Clone, Debug, PartialEq)]
pub struct TestCase {
    /// How often the request is made, all at one time.
    pub repeat: u32,
    /// How long after that the next case begins, in ms.
    pub within_ms: u64,
    /// The request.
    pub request: crate::request::RawRequest,
    /// What the application answers if a request passes, and what becomes of that.
    pub response: crate::eval::Response,
    /// All of which must hold: one with a count of so many requests exactly, others of every one.
    pub expect: Vec<Expectation>,
    /// All of which must hold of every request, which must pass.
    pub headers: Vec<HeaderExpectation>,
    /// Whether each request is to be logged, or none; `None` if nothing is said of that.
    pub logged: Option<bool>,
    /// Where the request must go.
    pub ways: Vec<ExpectedWay>,
    /// From `given` to the end of the last expectation.
    pub span: Span,
}

/// `expect [response] header NAME = "value"`, or `not [response] header NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderExpectation {
    /// Of which message: of the request as the application gets it, or of the answer as the caller gets it.
    pub message: Message,
    /// The header, in lower case.
    pub header: String,
    /// All values that it has, joined with `,`; `None` if it is not there.
    pub value: Option<Vec<u8>>,
    /// Its place.
    pub span: Span,
}

/// `expect [COUNT] allow|deny|limited [STATUS] [by NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Of how many of the requests it is expected; `None`: of all.
    pub count: Option<u32>,
    /// What becomes of them.
    pub verdict: Verdict,
    /// The status of the answer, if stated.
    pub status: Option<u16>,
    /// The rule, without the policy's name or with it, if stated.
    pub by: Option<String>,
    /// Its place.
    pub span: Span,
}
