//! Decides what becomes of a rollout; pure, the time comes with each look.

use super::members::{Member, Stand};
use super::traffic::Traffic;
use crate::delivery::envoy::filter::policy_of_plugin;
use crate::mesh::model::rollout::Share;
use crate::mesh::model::{Phase, ProxyId, Rollout};
use std::collections::BTreeSet;
use std::time::Instant;

/// The most sidecars that are named where something is wrong.
const NAMED_MAX: usize = 100;
/// So many answers 5xx at least are more than chance.
const ERRORS_MIN: u64 = 3;
/// So many times as often as elsewhere a filter may fail.
const USUAL_TIMES: u64 = 2;

/// What is seen of a rollout at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// When.
    pub now: Instant,
    /// How many sidecars the revision changes.
    pub changed: usize,
    /// Those that it has reached.
    pub members: &'a [Member],
    /// What those answered that it has reached, and those that it changes and has not.
    pub traffic: &'a Traffic,
}

/// What is to become of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Wait,
    /// The next stage, or the end after the last one.
    GoOn,
    /// The end: it changes nobody.
    Finish,
    /// Something is wrong.
    Undo {
        /// One sentence.
        reason: String,
        /// The policies to blame.
        policies: Vec<String>,
        /// The sidecars at which it shows.
        proxies: Vec<ProxyId>,
    },
}

/// What is remembered from look to look.
#[derive(Debug, Default)]
pub struct Judge {
    stage: Option<Watched>,
}

/// A stage that is watched.
#[derive(Clone, Copy, Debug)]
struct Watched {
    stage: Option<usize>,
    /// Since when.
    since: Instant,
    /// Since when all have it and nothing is wrong.
    clean_since: Option<Instant>,
}

impl Judge {
    /// Looks once.
    pub fn judge(&mut self, rollout: &Rollout, look: &Look<'_>) -> Verdict {
        if let Some(undo) = refused(rollout, look.members).or_else(|| failing(rollout, look.traffic)) {
            return undo;
        }
        if look.changed == 0 {
            return if rollout.phase == Phase::Paused { Verdict::Wait } else { Verdict::Finish };
        }
        let stage = rollout.reached.map(|reached| reached.stage);
        let now = look.now;
        let watched = match self.stage.filter(|watched| watched.stage == stage) {
            Some(watched) => watched,
            None => Watched { stage, since: now, clean_since: None },
        };
        let awaits_absent = now.duration_since(watched.since) < rollout.plan.absent_wait;
        let is_open = |member: &&Member| match member.stand {
            Stand::Has | Stand::Faulty(_) => false,
            Stand::Waiting => true,
            Stand::Away => awaits_absent,
        };
        let is_clean = !look.members.iter().any(|member| is_open(&member));
        let clean_since = is_clean.then(|| watched.clean_since.unwrap_or(now));
        self.stage = Some(Watched { clean_since, ..watched });
        let is_soaked = clean_since.is_some_and(|since| now.duration_since(since) >= rollout.plan.soak);
        let has_soaked = is_soaked || (is_clean && look.members.is_empty());
        match rollout.phase {
            Phase::Running if has_soaked => Verdict::GoOn,
            _ => Verdict::Wait,
        }
    }
}

/// What is answered worse than elsewhere, if anything is.
fn failing(rollout: &Rollout, traffic: &Traffic) -> Option<Verdict> {
    let Traffic { reached, others, worst } = traffic;
    let stage = rollout.reached.map_or(0, |reached| reached.stage + 1);
    let undo = |reason: String, policies: BTreeSet<&str>| {
        let policies = policies.into_iter().map(str::to_owned).collect();
        let proxies = worst.iter().take(NAMED_MAX).cloned().collect();
        Some(Verdict::Undo { reason, policies, proxies })
    };
    let failed = (reached.failed(), reached.requests);
    // A filter that always failed now and then is not to blame for it.
    let usual = (others.failed().saturating_mul(USUAL_TIMES), others.requests);
    if Share::NONE.is_exceeded(failed, usual) {
        let policies: BTreeSet<&str> =
            reached.failures.keys().filter_map(|name| policy_of_plugin(name)).collect();
        let filters = reached.failures.keys().map(|name| match policy_of_plugin(name) {
            Some(policy) => format!("the filter of policy `{policy}`"),
            None => format!("the module `{name}`"),
        });
        let filters: BTreeSet<String> = filters.collect();
        let filters: Vec<String> = filters.into_iter().collect();
        let reason = format!(
            "in stage {stage} {} failed {} times in {} requests",
            filters.join(", "),
            reached.failed(),
            reached.requests
        );
        return undo(reason, policies);
    }
    let limit = rollout.plan.errors_max;
    if reached.errors >= ERRORS_MIN
        && limit.is_exceeded((reached.errors, reached.requests), (others.errors, others.requests))
    {
        let reason = format!(
            "in stage {stage} {} of {} requests were answered with 5xx, elsewhere {} of {}: more than {limit} above",
            reached.errors, reached.requests, others.errors, others.requests
        );
        return undo(reason, BTreeSet::new());
    }
    None
}

/// What is refused, if anything is.
fn refused(rollout: &Rollout, members: &[Member]) -> Option<Verdict> {
    let faulty = members.iter().filter_map(|member| match &member.stand {
        Stand::Faulty(fault) => Some((&member.id, fault)),
        _ => None,
    });
    let faulty: Vec<_> = faulty.collect();
    let (first, fault) = faulty.first()?;
    let policies: BTreeSet<String> = faulty.iter().flat_map(|(_, fault)| fault.policies.clone()).collect();
    let proxies = faulty.iter().take(NAMED_MAX).map(|(id, _)| (*id).clone()).collect();
    let stage = rollout.reached.map_or(0, |reached| reached.stage + 1);
    let reason = format!("in stage {stage} {first} {}", fault.reason);
    Some(Verdict::Undo { reason, policies: policies.into_iter().collect(), proxies })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;
    use crate::delivery::rollout::Fault;
    use crate::delivery::xds::Counts;
    use crate::mesh::model::Revision;
    use crate::mesh::model::rollout::{RolloutPlan, Share, Stage, StageReached};
    use jiff::Timestamp;
    use std::time::Duration;

    fn rollout(stage: Option<usize>) -> Rollout {
        let share = |text| Stage::Share(Share::parse(text).unwrap());
        let since = Timestamp::UNIX_EPOCH;
        Rollout {
            from: Revision(1),
            to: Revision(2),
            plan: RolloutPlan {
                stages: vec![share("5%"), share("100%")],
                soak: Duration::from_secs(30),
                absent_wait: Duration::from_secs(60),
                errors_max: Share::ALL,
            },
            begun: since,
            reached: stage.map(|stage| StageReached { stage, bound: Some(0), since }),
            phase: Phase::Running,
            stable: None,
        }
    }

    fn members(stands: &[Stand]) -> Vec<Member> {
        let member = |(at, stand): (usize, &Stand)| Member {
            id: ProxyId(format!("shop/orders/{at}")),
            stand: stand.clone(),
        };
        stands.iter().enumerate().map(member).collect()
    }

    /// What is decided at these seconds, where the members stand so.
    fn course(rollout: &Rollout, looks: &[(u64, &[Stand])]) -> Vec<Verdict> {
        let (mut judge, start) = (Judge::default(), Instant::now());
        let verdict = |(second, stands): &(u64, &[Stand])| {
            let members = members(stands);
            let traffic = Traffic::default();
            let now = start + Duration::from_secs(*second);
            let look = Look { now, changed: 9, members: &members, traffic: &traffic };
            judge.judge(rollout, &look)
        };
        looks.iter().map(verdict).collect()
    }

    use Stand::{Away, Has, Waiting};
    use Verdict::{GoOn, Wait};

    #[test]
    fn a_stage_is_over_when_all_have_it_and_it_has_soaked() {
        assert_eq!(course(&rollout(None), &[(0, &[])]), [GoOn], "the first stage begins at once");
        let looks: [(u64, &[Stand]); 5] = [
            (0, &[Has, Waiting]),
            (10, &[Has, Has]),
            (39, &[Has, Has]),
            (40, &[Has, Has]),
            (400, &[Has, Has]),
        ];
        assert_eq!(course(&rollout(Some(0)), &looks), [Wait, Wait, Wait, GoOn, GoOn]);
        let looks: [(u64, &[Stand]); 4] = [(0, &[Has]), (20, &[Waiting]), (35, &[Has]), (64, &[Has])];
        assert_eq!(course(&rollout(Some(0)), &looks), [Wait, Wait, Wait, Wait], "it soaks anew");
    }

    #[test]
    fn who_is_away_is_waited_for_only_so_long() {
        let looks: [(u64, &[Stand]); 4] =
            [(0, &[Has, Away]), (59, &[Has, Away]), (60, &[Has, Away]), (90, &[Has, Away])];
        assert_eq!(course(&rollout(Some(0)), &looks), [Wait, Wait, Wait, GoOn]);
        let silent: [(u64, &[Stand]); 2] = [(0, &[Waiting]), (3600, &[Waiting])];
        assert_eq!(course(&rollout(Some(0)), &silent), [Wait, Wait], "who is there has to answer");
    }

    #[test]
    fn a_paused_rollout_stays_and_is_watched_all_the_same() {
        let paused = Rollout { phase: Phase::Paused, ..rollout(Some(0)) };
        let fault = Fault { reason: "refuses it".to_owned(), policies: ["orders".to_owned()].into() };
        let looks: [(u64, &[Stand]); 3] = [(0, &[Has]), (90, &[Has]), (91, &[Has, Stand::Faulty(fault)])];
        let undo = Verdict::Undo {
            reason: "in stage 1 shop/orders/1 refuses it".to_owned(),
            policies: vec!["orders".to_owned()],
            proxies: vec![ProxyId("shop/orders/1".to_owned())],
        };
        assert_eq!(course(&paused, &looks), [Wait, Wait, undo]);
    }

    #[test]
    fn answers_that_are_worse_than_elsewhere_take_it_back() {
        let counts = |requests, errors, failures: &[(&str, u64)]| {
            let failures = failures.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
            Counts { requests, errors, failures, ..Counts::default() }
        };
        let rollout = Rollout {
            plan: RolloutPlan { errors_max: Share::parse("1%").unwrap(), ..rollout(Some(0)).plan },
            ..rollout(Some(0))
        };
        let reason = |reached: Counts, others: Counts| {
            let worst = vec![ProxyId("shop/orders/1".to_owned())];
            let traffic = Traffic { reached, others, worst };
            let look = Look { now: Instant::now(), changed: 9, members: &[], traffic: &traffic };
            match Judge::default().judge(&rollout, &look) {
                Verdict::Undo { reason, proxies, .. } if proxies.len() == 1 => reason,
                other => format!("{other:?}"),
            }
        };
        assert_eq!(reason(counts(100, 0, &[]), counts(0, 0, &[])), "GoOn");
        assert_eq!(reason(counts(10, 2, &[]), counts(100, 0, &[])), "GoOn", "so few may be chance");
        assert_eq!(reason(counts(100, 6, &[]), counts(100, 5, &[])), "GoOn", "it is so elsewhere");
        assert_eq!(
            reason(counts(100, 7, &[]), counts(100, 5, &[])),
            "in stage 1 7 of 100 requests were answered with 5xx, elsewhere 5 of 100: more than 1% above"
        );
        let failed = counts(300, 0, &[("filter-inbound/pii/1a2b", 1)]);
        assert_eq!(
            reason(failed.clone(), counts(9000, 0, &[])),
            "in stage 1 the filter of policy `pii` failed 1 times in 300 requests"
        );
        assert_eq!(reason(failed, counts(900, 0, &[("old", 2)])), "GoOn", "filters failed before");
    }

    #[test]
    fn what_changes_nobody_is_over_at_once() {
        let look = Look { now: Instant::now(), changed: 0, members: &[], traffic: &Traffic::default() };
        assert_eq!(Judge::default().judge(&rollout(None), &look), Verdict::Finish);
    }
}
