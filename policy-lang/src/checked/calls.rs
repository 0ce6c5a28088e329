//! What callers' sidecars do with requests to the target of a `traffic` policy.

use super::{Guard, ServiceRef, Settings};
use crate::source::Span;
use std::sync::Arc;

/// The statements of a `traffic` policy that callers' sidecars carry out, each kind in the order of the text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calls {
    /// `route` and `redirect`: of those that match the first one of a policy is followed.
    pub ways: Vec<Choice<Way>>,
    /// `rewrite`, likewise.
    pub rewrites: Vec<Choice<Template>>,
    /// `mirror`, likewise.
    pub mirrors: Vec<Choice<Mirror>>,
    /// `timeout` without `at_most`.
    pub timeouts: Vec<Choice<Milliseconds>>,
    /// `timeout at_most`.
    pub ceilings: Vec<Choice<Milliseconds>>,
    /// `retry`.
    pub retries: Vec<Choice<Retry>>,
    /// `fault`.
    pub faults: Vec<Choice<Fault>>,
    /// What is said of replicas as a whole.
    pub settings: Box<Settings>,
}

/// A statement that speaks of requests: what becomes of those that its guard matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice<T> {
    /// `policy/name`, or for a statement without a name `policy/word-hhhhhh`, as of rules.
    pub id: Arc<str>,
    /// The requests that it speaks of.
    pub guard: Guard,
    /// What becomes of them.
    pub does: T,
    /// The whole statement.
    pub span: Span,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// To one of these, by their weights.
    Route(Vec<Weighted>),
    /// Back to the client, with another place to ask.
    Redirect {
        /// What the header `location` says.
        location: Template,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
}

/// A destination and its share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weighted {
    /// Where.
    pub to: Destination,
    /// In millionths; those of all destinations of a route are a million together.
    pub share: u32,
}

/// A service, or the replicas of one that have a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// The service.
    pub service: ServiceRef,
    /// What the label `version` of the replicas is; `None` stands for all.
    pub version: Option<String>,
}

/// A text with segments of the request's path in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Template {
    /// The pieces, one behind the other.
    pub pieces: Vec<Piece>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// This text.
    Text(String),
    /// The segment of the path with this number, from 0, as it was sent.
    Segment(u16),
    /// The path behind so many segments, with the slash that it begins with; empty if nothing is there.
    Rest(u16),
}

/// A duration in milliseconds, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Milliseconds(pub u32);

/// `mirror SHARE -> …`: copies of requests are sent there too, and what is answered is not waited for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mirror {
    /// Which share of the requests, in millionths.
    pub share: u32,
    /// Where.
    pub to: Destination,
}

/// `retry TIMES on …`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retry {
    /// How often at most, beside the first try.
    pub times: u32,
    /// On what; sorted, each once.
    pub on: Vec<Cause>,
    /// How long one try may take.
    pub each: Option<Milliseconds>,
    /// The pause before the first retry; each later one may be twice as long.
    pub backoff: Option<Milliseconds>,
}

/// Why a request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// `connect`: the replica could not be connected to.
    Connect,
    /// `refused`: the replica said that it has not begun with the request.
    Refused,
    /// `reset`: the connection broke, or a try took too long.
    Reset,
    /// `5xx`: the answer is 500 or above, or there is none.
    ServerError,
    /// `gateway-error`: the answer is 502, 503 or 504, or there is none.
    GatewayError,
}

/// `fault SHARE …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Which share of the requests, in millionths.
    pub share: u32,
    /// What happens to them.
    pub kind: FaultKind,
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The request waits before it is sent.
    Delay(Milliseconds),
    /// The request is not sent, but answered with this status.
    Abort(u16),
}

impl Calls {
    /// Whether nothing is stated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids().next().is_none()
    }

    /// Whether nothing is stated of requests.
    #[must_use]
    pub fn says_nothing_of_requests(&self) -> bool {
        self.guards().next().is_none()
    }

    /// The ids of all statements.
    pub fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.guards().map(|(_, id, _)| id).chain(self.settings.ids())
    }

    /// Where requests and copies of them are sent, each with the place of the statement that says so.
    pub fn destinations(&self) -> impl Iterator<Item = (&Destination, Span)> {
        let routed = self.ways.iter().flat_map(|choice| {
            let weighted = match &choice.does {
                Way::Route(weighted) => weighted.as_slice(),
                Way::Redirect { .. } => &[],
            };
            weighted.iter().map(|weighted| (&weighted.to, choice.span))
        });
        routed.chain(self.mirrors.iter().map(|choice| (&choice.does.to, choice.span)))
    }

    /// The requests that the statements speak of, each with the statement's id and place.
    pub fn guards(&self) -> impl Iterator<Item = (&Guard, &Arc<str>, Span)> {
        let Self { ways, rewrites, mirrors, timeouts, ceilings, retries, faults, settings: _ } = self;
        let ways = ways.iter().map(Choice::guarded);
        let rewrites = rewrites.iter().map(Choice::guarded);
        let mirrors = mirrors.iter().map(Choice::guarded);
        let times = timeouts.iter().chain(ceilings).map(Choice::guarded);
        let retries = retries.iter().map(Choice::guarded);
        let faults = faults.iter().map(Choice::guarded);
        ways.chain(rewrites).chain(mirrors).chain(times).chain(retries).chain(faults)
    }
}

impl<T> Choice<T> {
    fn guarded(&self) -> (&Guard, &Arc<str>, Span) {
        (&self.guard, &self.id, self.span)
    }
}

impl Cause {
    /// All, each with the word in which they are written.
    pub const ALL: [(&'static str, Self); 5] = [
        ("connect", Self::Connect),
        ("refused", Self::Refused),
        ("reset", Self::Reset),
        ("5xx", Self::ServerError),
        ("gateway-error", Self::GatewayError),
    ];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::ServerError => "5xx",
            Self::GatewayError => "gateway-error",
        }
    }
}

impl std::fmt::Display for Destination {
    /// `namespace/name`, with `@version` if there is one.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.service.namespace, self.service.name)?;
        match &self.version {
            Some(version) => write!(out, "@{version}"),
            None => Ok(()),
        }
    }
}

/// Where the request of a test must go.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedWay {
    /// Where.
    pub kind: ExpectedWayKind,
    /// Its place.
    pub span: Span,
}

/// `to service …` or `to "…"`.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpectedWayKind {
    /// To a service, or a version of one: it is one of those to which the request may go.
    To(Destination),
    /// Back to the client, which is sent to this location.
    Redirected(String),
}
