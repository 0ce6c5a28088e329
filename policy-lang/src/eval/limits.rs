//! Limits: buckets of tokens, of which each request takes one from each that counts it.
//!
//! A bucket is a number: when it will be full again (generic cell rate algorithm). A token is `step` nanoseconds
//! of the way there, and a bucket that has been empty is full after `burst` steps.
//!
//! ```text
//! full_at = clamp(full_at, now, now + burst · step)      a bucket that was never used is full
//! no token is left    if full_at + step > now + burst · step
//! taking one          full_at = full_at + step
//! ```
//!
//! A bucket that cannot be, for the clock was put back since, is full.

use super::expression::{Computed, Scope};
use super::{by_limit, guard_matches};
use crate::checked::Limit;
use crate::decision::Decision;
use crate::linked::{LinkedLimit, LinkedProgram};
use crate::module::CLOCK_SLACK_NS;
use crate::request::Request;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// The buckets of a proxy and direction.
///
/// A module has room for [`SLOTS`](crate::module::SLOTS) buckets of limits with keys, and two may share one there
/// when very many are in use; here each has its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// When each is full again, in ns since 1970.
    full_at: BTreeMap<Bucket, u64>,
}

/// What a bucket is known by: a limit and the values of its keys.
type Bucket = (Arc<str>, Vec<Option<Vec<u8>>>);

/// The limits that count a request, each with its bucket.
pub(super) struct Counting<'a> {
    limits: Vec<(&'a LinkedLimit, Bucket)>,
}

impl<'a> Counting<'a> {
    /// The limits of a program that count a request, each once, in their order.
    pub(super) fn of(program: &'a LinkedProgram, request: &Request) -> Self {
        let mut seen = BTreeSet::new();
        let counts = |linked: &&LinkedLimit| {
            guard_matches(&linked.limit.guard, &program.workload, request)
                && seen.insert(linked.limit.id.clone())
        };
        let counting = program.traffic.limits.iter().filter(counts);
        let limits = counting.map(|linked| (linked, bucket(&linked.limit, program, request))).collect();
        Self { limits }
    }

    /// What the first limit says that has no token left; of shadow policies too if that is asked for.
    pub(super) fn refusal(&self, buckets: &Buckets, now_ns: u64, with_shadow: bool) -> Option<Decision> {
        let mut limits = self.limits.iter().filter(|(linked, _)| with_shadow || !linked.shadow);
        let refusing =
            limits.find(|(linked, bucket)| buckets.without_one(&linked.limit, bucket, now_ns).is_none());
        refusing.map(|(linked, _)| by_limit(&linked.limit))
    }

    /// Takes a token for each limit whose policy is in shadow mode, or for each other one.
    pub(super) fn take(&self, buckets: &mut Buckets, now_ns: u64, shadow: bool) {
        for (linked, bucket) in self.limits.iter().filter(|(linked, _)| linked.shadow == shadow) {
            if let Some(full_at) = buckets.without_one(&linked.limit, bucket, now_ns) {
                buckets.full_at.insert(bucket.clone(), full_at);
            }
        }
    }
}

impl Buckets {
    /// When a bucket will be full again if a token is taken; `None` if none is left.
    fn without_one(&self, limit: &Limit, bucket: &Bucket, now_ns: u64) -> Option<u64> {
        let (step, filling) = (limit.rate.step_ns(), limit.filling_ns());
        let empty = now_ns.saturating_add(filling);
        let known = self
            .full_at
            .get(bucket)
            .copied()
            .filter(|full_at| *full_at <= empty.saturating_add(CLOCK_SLACK_NS));
        let full_at = known.unwrap_or(now_ns).clamp(now_ns, empty);
        let after = full_at.saturating_add(step);
        (after <= empty).then_some(after)
    }
}

fn bucket(limit: &Limit, program: &LinkedProgram, request: &Request) -> Bucket {
    let mut scope = Scope::new(request, &program.workload);
    let value = |key| scope.value(key).map(bytes);
    (limit.id.clone(), limit.keys.iter().map(|key| key.as_ref()).map(value).collect())
}

/// A value as bytes; no two of one type are equal.
fn bytes(value: Computed) -> Vec<u8> {
    match value {
        Computed::Bool(value) => vec![u8::from(value)],
        Computed::Int(value) => value.to_le_bytes().to_vec(),
        Computed::String(bytes) => bytes,
        Computed::Ip(IpAddr::V4(address)) => address.octets().to_vec(),
        Computed::Ip(IpAddr::V6(address)) => address.octets().to_vec(),
        Computed::List(values) => values.concat(),
    }
}
