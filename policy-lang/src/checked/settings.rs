//! How callers' sidecars treat the replicas of a service as a whole.

use super::Milliseconds;
use crate::source::Span;
use std::sync::Arc;

/// The statements of a `traffic` policy about the replicas of its targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// `connections`.
    pub pools: Vec<Setting<Pool>>,
    /// `eject`.
    pub ejections: Vec<Setting<Ejection>>,
    /// `health`.
    pub checks: Vec<Setting<HealthCheck>>,
    /// `balance`.
    pub balances: Vec<Setting<Balance>>,
}

/// A statement about the replicas of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting<T> {
    /// `policy/word-hhhhhh`, as of rules without a name.
    pub id: Arc<str>,
    /// What it says.
    pub does: T,
    /// The whole statement.
    pub span: Span,
}

/// How much of a service a caller's sidecar may use at a time; more is answered with 503.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pool {
    /// Connections.
    pub connections: u32,
    /// Requests that wait for a connection.
    pub pending: Option<u32>,
    /// Requests under way.
    pub requests: Option<u32>,
    /// Retries, in millionths of the requests that are under way.
    pub retries: Option<u32>,
}

/// When a replica is left alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ejection {
    /// After so many answers of 500 and above in a row.
    pub errors: u32,
    /// For so long; each time longer.
    pub time: Milliseconds,
    /// At most this share of the replicas at a time, in millionths.
    pub at_most: u32,
}

/// How callers look whether a replica is well.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HealthCheck {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// How often.
    pub every: Milliseconds,
    /// How long an answer may take.
    pub timeout: Milliseconds,
    /// After how many bad answers in a row a replica gets nothing any more.
    pub fall: u32,
    /// After how many good ones it does again.
    pub rise: u32,
}

/// Which replica a request goes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Balance {
    /// `round_robin`
    RoundRobin,
    /// `least_request`
    LeastRequest,
    /// `random`
    Random,
    /// `ring_hash by headers["x"]`
    RingHash(Arc<str>),
    /// `maglev by headers["x"]`
    Maglev(Arc<str>),
}

impl Settings {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids().next().is_none()
    }

    /// The ids of the statements.
    pub fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.known_by().map(|(id, _)| id)
    }

    /// The ids and places of all statements.
    pub fn known_by(&self) -> impl Iterator<Item = (&Arc<str>, Span)> {
        let Self { pools, ejections, checks, balances } = self;
        let pools = pools.iter().map(|setting| (&setting.id, setting.span));
        let ejections = ejections.iter().map(|setting| (&setting.id, setting.span));
        let checks = checks.iter().map(|setting| (&setting.id, setting.span));
        let balances = balances.iter().map(|setting| (&setting.id, setting.span));
        pools.chain(ejections).chain(checks).chain(balances)
    }

    /// The word and the place of each statement.
    pub fn places(&self) -> impl Iterator<Item = (&'static str, Span)> {
        let Self { pools, ejections, checks, balances } = self;
        let pools = pools.iter().map(|setting| ("connections", setting.span));
        let ejections = ejections.iter().map(|setting| ("eject", setting.span));
        let checks = checks.iter().map(|setting| ("health", setting.span));
        let balances = balances.iter().map(|setting| ("balance", setting.span));
        pools.chain(ejections).chain(checks).chain(balances)
    }
}

impl std::fmt::Display for Pool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "at_most {}", self.connections)?;
        for (word, number) in [("pending", self.pending), ("requests", self.requests)] {
            if let Some(number) = number {
                write!(out, " {word} {number}")?;
            }
        }
        match self.retries {
            Some(share) => write!(out, " retries {}", crate::check::share_text(share)),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Ejection {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { errors, time, at_most } = self;
        write!(out, "after {errors} errors for {}ms at_most {}", time.0, crate::check::share_text(*at_most))
    }
}

impl std::fmt::Display for HealthCheck {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { method, path, every, timeout, fall, rise } = self;
        write!(out, "{method} {path} every {}ms timeout {}ms fall {fall} rise {rise}", every.0, timeout.0)
    }
}

impl std::fmt::Display for Balance {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RoundRobin => out.write_str("round_robin"),
            Self::LeastRequest => out.write_str("least_request"),
            Self::Random => out.write_str("random"),
            Self::RingHash(header) => write!(out, "ring_hash by headers[{header:?}]"),
            Self::Maglev(header) => write!(out, "maglev by headers[{header:?}]"),
        }
    }
}
