//! Staged delivery of a revision: the plan of it, how far it is, and which sidecars have which policies meanwhile.
//!
//! While a rollout is under way there are two sets of policies: the *candidate*, which is the newest revision, and the
//! *stable* one before it. The candidate reaches the sidecars that it changes stage by stage. Who is among them is a
//! pure function of a sidecar's id and labels ([`Rollout::reaches`]), and who was reached stays so as stages grow:
//!
//! ```text
//! place of a sidecar = digest of (revision, id), a number      0 ......... bound ............. 2^64
//!                                                              |-- reached --|-- not yet -----|
//! ```
//!
//! The bound of a stage is chosen once, so that it reaches the stage's share of the sidecars that there are then. A
//! sidecar that joins later moves nobody else.

use super::{Document, Labels, PolicyRecord, ProxyId, Revision};
use imbl::{OrdMap, OrdSet};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// The most stages of a rollout.
pub const STAGES_MAX: usize = 32;

/// A share, in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

/// Whom a stage reaches, beside those of the stages before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Sidecars with a label.
    Labelled {
        /// The label's name.
        name: String,
        /// Its value.
        value: String,
    },
    /// As many of the sidecars that the revision changes, but one at least.
    Share(Share),
}

/// How a revision is to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutPlan {
    /// The stages; the last one reaches all.
    pub stages: Vec<Stage>,
    /// How long nothing may be wrong in a stage before the next one.
    pub soak: Duration,
    /// How long a stage waits for sidecars that are away.
    pub absent_wait: Duration,
    /// By how much the share of answers 5xx of those that have the candidate may be above that of the others.
    pub errors_max: Share,
}

/// Policies and their documents, apart from everything else of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StableSet {
    /// As [`DesiredState::policies`](super::DesiredState::policies).
    pub policies: OrdMap<String, PolicyRecord>,
    /// As [`DesiredState::documents`](super::DesiredState::documents).
    pub documents: OrdMap<String, Arc<Document>>,
    /// As [`DesiredState::standing`](super::DesiredState::standing).
    pub standing: OrdSet<(String, String)>,
}

/// The rollout of a revision, under way or over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// The revision before it: what everybody has who is not reached.
    pub from: Revision,
    /// The revision that is rolled out.
    pub to: Revision,
    /// How.
    pub plan: RolloutPlan,
    /// When it began.
    pub begun: Timestamp,
    /// The stage that it is in; `None` while nobody has it yet.
    pub reached: Option<StageReached>,
    /// Whether it goes on.
    pub phase: Phase,
    /// The policies of `from`, as long as it is under way.
    pub stable: Option<StableSet>,
}

/// A stage that a rollout is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageReached {
    /// Its place in the plan.
    pub stage: usize,
    /// The highest place of a sidecar that it reaches; `None` if it reaches nobody by its place.
    pub bound: Option<u64>,
    /// Since when.
    pub since: Timestamp,
}

/// Whether a rollout goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It does.
    Running,
    /// It stays where it is until somebody lets it go on.
    Paused,
    /// Everybody was reached.
    Done,
    /// It was taken back: the stable policies are in force again, as a revision of their own.
    Undone(Undoing),
}

/// Why a rollout was taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undoing {
    /// The revision that has the stable policies again.
    pub revision: Revision,
    /// One sentence.
    pub reason: String,
    /// The policies to blame, as far as that is known.
    pub policies: Vec<String>,
    /// The sidecars at which it showed.
    pub proxies: Vec<ProxyId>,
}

impl Share {
    /// Nobody.
    pub const NONE: Self = Self(0);
    /// All.
    pub const ALL: Self = Self(10_000);

    /// So many hundredths of a percent, if that is no more than all.
    #[must_use]
    pub fn of_hundredths(hundredths: u16) -> Option<Self> {
        Some(Self(hundredths)).filter(|share| *share <= Self::ALL)
    }

    /// In hundredths of a percent.
    #[must_use]
    pub fn hundredths(self) -> u16 {
        self.0
    }

    /// Reads `5%` or `0.25%`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || part.len() > 2 {
            return None;
        }
        let hundredths: u16 = format!("{part:0<2}").parse().ok()?;
        Self::of_hundredths(whole.parse::<u16>().ok()?.checked_mul(100)?.checked_add(hundredths)?)
    }

    /// So many of a number, but one at least where there is one.
    #[must_use]
    pub fn count_of(self, all: usize) -> usize {
        let all = all as u128;
        let count = (all * u128::from(self.0)).div_ceil(u128::from(Self::ALL.0));
        usize::try_from(count.max(1).min(all)).unwrap_or(usize::MAX)
    }

    /// Whether `part` of `whole` is more than this above `base_part` of `base_whole`; of nothing the share is nothing.
    #[must_use]
    pub fn is_exceeded(self, (part, whole): (u64, u64), (base_part, base_whole): (u64, u64)) -> bool {
        // In millionths, of which a hundredth of a percent has a hundred.
        let millionths = |part: u64, whole: u64| u128::from(part) * 1_000_000 / u128::from(whole.max(1));
        millionths(part, whole) > millionths(base_part, base_whole) + u128::from(self.0) * 100
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        match (part, part % 10) {
            (0, _) => write!(f, "{whole}%"),
            (_, 0) => write!(f, "{whole}.{}%", part / 10),
            _ => write!(f, "{whole}.{part:02}%"),
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Labelled { name, value } => write!(f, "{name}={value}"),
            Self::Share(share) => share.fmt(f),
        }
    }
}

impl RolloutPlan {
    /// What is wrong with it, if anything is: stages must grow, and the last one reach all.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let shares = || {
            self.stages.iter().filter_map(|stage| match stage {
                Stage::Share(share) => Some(*share),
                Stage::Labelled { .. } => None,
            })
        };
        if self.stages.len() > STAGES_MAX {
            return Some(format!(
                "there are {} stages, at most {STAGES_MAX} are possible",
                self.stages.len()
            ));
        }
        if self.stages.iter().skip(1).any(|stage| matches!(stage, Stage::Labelled { .. })) {
            return Some("only the first stage can be that of a label".to_owned());
        }
        if let Some((one, next)) = shares().zip(shares().skip(1)).find(|(one, next)| one >= next) {
            return Some(format!("stage {next} is not more than {one}, the one before"));
        }
        if shares().next() == Some(Share::NONE) {
            return Some("a stage of 0% reaches nobody".to_owned());
        }
        if shares().next_back() != Some(Share::ALL) {
            return Some("the last stage must be 100%".to_owned());
        }
        None
    }
}

impl Rollout {
    /// Whether there are two sets of policies.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Paused)
    }

    /// Whether it was taken back, and this revision did it.
    #[must_use]
    pub fn is_undone_by(&self, revision: Revision) -> bool {
        matches!(&self.phase, Phase::Undone(undoing) if undoing.revision == revision)
    }

    /// The place of a sidecar among all.
    #[must_use]
    pub fn place(&self, id: &ProxyId) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.to.0.to_be_bytes());
        hash.update(&id.0);
        hash.finalize().iter().take(8).fold(0, |place, byte| place << 8 | u64::from(*byte))
    }

    /// Whether a sidecar has the candidate by now, or is to be given it.
    #[must_use]
    pub fn reaches(&self, id: &ProxyId, labels: &Labels) -> bool {
        let Some(reached) = self.reached else { return false };
        let is_labelled = |stage: &Stage| match stage {
            Stage::Labelled { name, value } => labels.get(name) == Some(value),
            Stage::Share(_) => false,
        };
        self.plan.stages.iter().take(reached.stage + 1).any(is_labelled)
            || reached.bound.is_some_and(|bound| self.place(id) <= bound)
    }

    /// The stage after the present one, if there is one.
    #[must_use]
    pub fn next_stage(&self) -> Option<usize> {
        let next = self.reached.map_or(0, |reached| reached.stage + 1);
        (next < self.plan.stages.len()).then_some(next)
    }

    /// The bound of a stage among these sidecars: as many of them as its share says are reached, and all that were.
    #[must_use]
    pub fn bound<'a>(&self, stage: usize, changed: impl Iterator<Item = &'a ProxyId>) -> Option<u64> {
        let before = self.reached.and_then(|reached| reached.bound);
        let bound = match self.plan.stages.get(stage)? {
            Stage::Labelled { .. } => None,
            Stage::Share(Share::ALL) => Some(u64::MAX),
            Stage::Share(share) => {
                let mut places: Vec<u64> = changed.map(|id| self.place(id)).collect();
                places.sort_unstable();
                let last = share.count_of(places.len()).checked_sub(1);
                last.and_then(|last| places.get(last).copied())
            }
        };
        bound.max(before)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    fn plan(stages: &[&str]) -> RolloutPlan {
        let stage = |text: &&str| match text.split_once('=') {
            Some((name, value)) => Stage::Labelled { name: name.to_owned(), value: value.to_owned() },
            None => Stage::Share(Share::parse(text).unwrap()),
        };
        RolloutPlan {
            stages: stages.iter().map(stage).collect(),
            soak: Duration::ZERO,
            absent_wait: Duration::ZERO,
            errors_max: Share::NONE,
        }
    }

    fn rollout(stages: &[&str]) -> Rollout {
        Rollout {
            from: Revision(6),
            to: Revision(7),
            plan: plan(stages),
            begun: Timestamp::UNIX_EPOCH,
            reached: None,
            phase: Phase::Running,
            stable: None,
        }
    }

    fn ids(count: usize) -> Vec<ProxyId> {
        (0..count).map(|number| ProxyId(format!("shop/orders/{number}"))).collect()
    }

    /// Goes to the next stage as it is among these, and gives whom it reaches.
    fn go_on(rollout: &mut Rollout, all: &[ProxyId], labels: &Labels) -> Vec<ProxyId> {
        let stage = rollout.next_stage().unwrap();
        let bound = rollout.bound(stage, all.iter());
        rollout.reached = Some(StageReached { stage, bound, since: Timestamp::UNIX_EPOCH });
        all.iter().filter(|id| rollout.reaches(id, labels)).cloned().collect()
    }

    #[test]
    fn stages_reach_their_share_and_never_take_back() {
        for count in [1, 2, 3, 20, 1000] {
            let (all, labels) = (ids(count), Labels::default());
            let mut rollout = rollout(&["5%", "50%", "100%"]);
            assert!(!all.iter().any(|id| rollout.reaches(id, &labels)), "nobody before the first stage");
            let few = go_on(&mut rollout, &all, &labels);
            let half = go_on(&mut rollout, &all, &labels);
            let whole = go_on(&mut rollout, &all, &labels);
            assert_eq!(
                (few.len(), half.len(), whole.len()),
                ((count * 5).div_ceil(100), count.div_ceil(2), count)
            );
            assert!(few.iter().all(|id| half.contains(id)));
            assert_eq!(rollout.next_stage(), None);
        }
    }

    #[test]
    fn who_joins_later_moves_nobody_else() {
        let labels = Labels::default();
        let mut rollout = rollout(&["10%", "20%", "100%"]);
        let few = go_on(&mut rollout, &ids(50), &labels);
        let more = ids(500);
        let now: Vec<&ProxyId> = more.iter().filter(|id| rollout.reaches(id, &labels)).collect();
        assert!(few.iter().all(|id| now.contains(&id)) && now.len() > few.len());
        // And if many leave, nobody that was reached is lost by the next stage.
        let bound = rollout.reached.unwrap().bound;
        go_on(&mut rollout, &ids(2), &labels);
        assert!(rollout.reached.unwrap().bound >= bound);
    }

    #[test]
    fn a_label_makes_a_stage_of_its_own() {
        let all = ids(10);
        let canary: Labels = Arc::new([("track".to_owned(), "canary".to_owned())].into());
        let mut rollout = rollout(&["track=canary", "50%", "100%"]);
        assert_eq!(go_on(&mut rollout, &all, &canary).len(), 10);
        assert!(!all.iter().any(|id| rollout.reaches(id, &Labels::default())));
        assert_eq!(go_on(&mut rollout, &all, &Labels::default()).len(), 5);
        assert!(all.iter().all(|id| rollout.reaches(id, &canary)), "they stay");
    }

    #[test]
    fn shares_are_read_as_they_are_written() {
        for (text, hundredths) in [("5%", 500), ("0.5%", 50), ("0.25%", 25), ("100%", 10_000), ("0%", 0)] {
            let share = Share::parse(text).unwrap();
            assert_eq!((share.hundredths(), share.to_string()), (hundredths, text.to_owned()));
        }
        for text in ["", "%", "5", "101%", "-1%", "1.234%", "1.%", ".5%", "5 %", "+5%", "99999999%"] {
            assert_eq!(Share::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_share_of_failures_counts_above_that_of_the_others() {
        let one = Share::parse("1%").unwrap();
        assert!(!one.is_exceeded((0, 0), (0, 0)));
        assert!(!one.is_exceeded((1, 100), (0, 0)));
        assert!(one.is_exceeded((2, 100), (0, 0)));
        assert!(!one.is_exceeded((6, 100), (50, 1000)));
        assert!(one.is_exceeded((7, 100), (50, 1000)));
        assert!(one.is_exceeded((u64::MAX, u64::MAX), (0, u64::MAX)), "no overflow");
    }

    #[test]
    fn plans_that_cannot_be_are_refused() {
        let problem = |stages: &[&str]| plan(stages).problem();
        assert_eq!(problem(&["5%", "100%"]), None);
        assert_eq!(problem(&["a=b", "100%"]), None);
        assert_eq!(
            problem(&["50%", "20%", "100%"]).unwrap(),
            "stage 20% is not more than 50%, the one before"
        );
        assert_eq!(problem(&["5%"]).unwrap(), "the last stage must be 100%");
        assert_eq!(problem(&[]).unwrap(), "the last stage must be 100%");
        assert_eq!(problem(&["0%", "100%"]).unwrap(), "a stage of 0% reaches nobody");
        assert_eq!(problem(&["5%", "a=b"]).unwrap(), "only the first stage can be that of a label");
        assert!(problem(&["100%"; 40]).unwrap().contains("at most 32"));
    }
}
