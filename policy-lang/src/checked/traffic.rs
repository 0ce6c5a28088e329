//! What `traffic` policies say.

use super::{Calls, Cors, Expr, Guard, HeaderStatement, Respond};
use crate::source::Span;
use std::sync::Arc;

/// The statements of a `traffic` policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrafficBody {
    /// All `limit` statements.
    pub limits: Vec<Limit>,
    /// All operations on headers.
    pub headers: Vec<HeaderStatement>,
    /// What callers' sidecars do.
    pub calls: Calls,
    /// What is stated of pages of other origins: one statement at most.
    pub cors: Vec<Cors>,
}

/// `limit RATE …`: a bucket of tokens for each key, of which each request takes one.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// `policy/name`, or for a limit without a name `policy/limit-hhhhhh`, as of rules.
    pub id: Arc<str>,
    /// The requests that it counts.
    pub guard: Guard,
    /// How fast a bucket fills.
    pub rate: Rate,
    /// How many tokens a full bucket has.
    pub burst: u32,
    /// By what requests are told apart, bools, ints, strings and ips: those of which all are equal take from one
    /// bucket; absent values are equal. `per source` is the caller's principal, `per ip` its address.
    pub keys: Vec<Arc<Expr>>,
    /// Whether all replicas of a service take from one bucket; else each has its own.
    pub shared: bool,
    /// The answer to a request for which no token is left.
    pub respond: Respond,
    /// The whole statement.
    pub span: Span,
}

/// A rate of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate {
    /// How many requests, at least 1.
    pub count: u32,
    /// In how many seconds: 1, 60, 3,600 or 86,400.
    pub seconds: u32,
}

impl Limit {
    /// How long an empty bucket takes to be full, in ns; less than 2^56.
    #[must_use]
    pub fn filling_ns(&self) -> u64 {
        self.rate.step_ns() * u64::from(self.burst)
    }
}

impl Rate {
    /// How long a bucket takes for a token, in ns, rounded down.
    #[must_use]
    pub fn step_ns(self) -> u64 {
        u64::from(self.seconds) * 1_000_000_000 / u64::from(self.count.max(1))
    }
}

impl std::fmt::Display for Rate {
    /// As it is written: `100/s`.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = match self.seconds {
            1 => "s",
            60 => "m",
            3_600 => "h",
            _ => "d",
        };
        write!(out, "{}/{unit}", self.count)
    }
}
