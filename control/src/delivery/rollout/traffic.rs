//! What is answered while a rollout is under way: where it is, and where it is not.
//!
//! A sidecar is counted from when it is first seen, and anew from when it is reached: what it answered before that is of
//! those that the rollout has not reached. So the last stage has something to be compared with, too.

use crate::delivery::fleet::Split;
use crate::delivery::xds::Counts;
use crate::mesh::model::{ProxyId, Revision};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was answered since a rollout began, or since this process looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// By those that it has reached.
    pub reached: Counts,
    /// By those that it changes and has not reached.
    pub others: Counts,
    /// Those that it has reached and that answered with 5xx or whose filters failed, by id.
    pub worst: Vec<ProxyId>,
}

/// What is remembered to count it.
#[derive(Debug, Default)]
pub struct Meter {
    of: Option<Revision>,
    /// From which numbers each sidecar is counted, and whether it was reached then.
    bases: BTreeMap<ProxyId, (bool, Arc<Counts>)>,
    /// What those answered before they were reached that are.
    before: Counts,
}

impl Meter {
    /// Takes in how far the sidecars are that a rollout changes.
    pub fn measure(&mut self, split: &Split, counts: &BTreeMap<ProxyId, Arc<Counts>>) -> Traffic {
        if self.of != Some(split.to) {
            *self = Self { of: Some(split.to), ..Self::default() };
        }
        self.bases.retain(|id, _| counts.contains_key(id));
        let mut traffic = Traffic { others: self.before.clone(), ..Traffic::default() };
        for (id, now) in counts {
            let is_reached = split.reached.contains(id);
            let (was_reached, base) =
                self.bases.entry(id.clone()).or_insert_with(|| (is_reached, now.clone()));
            if is_reached && !*was_reached {
                let before = now.since(base);
                self.before.add(&before);
                traffic.others.add(&before);
                (*was_reached, *base) = (true, now.clone());
            }
            let since = now.since(base);
            if !is_reached {
                traffic.others.add(&since);
                continue;
            }
            if since.errors > 0 || since.failed() > 0 {
                traffic.worst.push(id.clone());
            }
            traffic.reached.add(&since);
        }
        traffic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_is_counted_where_it_is() {
        let ids = ["a", "b", "c"].map(|name| ProxyId(name.to_owned()));
        let split = |reached: usize| Split {
            to: Revision(2),
            stable: ids.iter().map(|id| (id.clone(), Arc::default())).collect(),
            reached: ids.iter().take(reached).cloned().collect(),
            ..Split::default()
        };
        let counts = |each: [(u64, u64); 3]| {
            let counts =
                each.map(|(requests, errors)| Arc::new(Counts { requests, errors, ..Counts::default() }));
            ids.iter().cloned().zip(counts).collect::<BTreeMap<_, _>>()
        };
        let of = |traffic: Traffic| {
            let Traffic { reached, others, worst } = traffic;
            ((reached.requests, reached.errors), (others.requests, others.errors), worst.len())
        };
        let mut meter = Meter::default();
        let mut at = |reached, each| of(meter.measure(&split(reached), &counts(each)));
        assert_eq!(
            at(0, [(100, 50), (100, 50), (100, 0)]),
            ((0, 0), (0, 0), 0),
            "what was before is nobody's"
        );
        assert_eq!(at(0, [(110, 51), (110, 50), (110, 0)]), ((0, 0), (30, 1), 0));
        assert_eq!(at(1, [(110, 51), (110, 50), (110, 0)]), ((0, 0), (30, 1), 0), "it begins anew");
        assert_eq!(at(1, [(115, 55), (120, 50), (120, 0)]), ((5, 4), (50, 1), 1));
        assert_eq!(at(3, [(120, 56), (120, 50), (120, 0)]), ((10, 5), (50, 1), 1), "others are remembered");
        assert_eq!(at(3, [(7, 1), (120, 50), (121, 0)]), ((8, 1), (50, 1), 1), "an Envoy began anew");
    }
}
