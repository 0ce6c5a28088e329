//! How the sidecars stand that a rollout has reached: who has it, who does not answer, who refuses it.

use crate::delivery::acks::{AckBoard, ProxyStatus, Refused};
use crate::delivery::fleet::Split;
use crate::delivery::snapshot::Snapshot;
use crate::mesh::model::{ProxyId, Revision};
use std::collections::BTreeSet;

/// A sidecar that a rollout has reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: ProxyId,
    /// How it stands to the revision.
    pub stand: Stand,
}

/// How a sidecar stands to a revision that is rolled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It has all of it, or all but what it refused before, too.
    Has,
    /// It has not answered.
    Waiting,
    /// It has no stream.
    Away,
    /// It refuses what it was given, or could not be given it.
    Faulty(Fault),
}

/// What is wrong at a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One sentence without the sidecar's name.
    pub reason: String,
    /// The policies to blame, as far as that is known.
    pub policies: BTreeSet<String>,
}

/// The sidecars that a rollout has reached, by id.
#[must_use]
pub fn members(split: &Split, board: &AckBoard) -> Vec<Member> {
    let mut statuses = board.statuses_of(split.reached.iter());
    let member = |id: &ProxyId| {
        let stable = split.stable.get(id);
        let stand = match statuses.remove(id) {
            Some(status) => stand(&status, stable.map(|stable| &**stable), split.to),
            None => Stand::Away,
        };
        Member { id: id.clone(), stand }
    };
    split.reached.iter().map(member).collect()
}

fn stand(status: &ProxyStatus, stable: Option<&Snapshot>, to: Revision) -> Stand {
    if !status.is_connected {
        return Stand::Away;
    }
    if status.expected != Some(status.offered) || status.offered < to {
        return Stand::Waiting;
    }
    let known = |refused: &&Refused| {
        let before = stable.and_then(|stable| stable.of(refused.kind).get(&refused.name));
        before.is_some_and(|before| before.version == refused.version)
    };
    if let Some(refused) = status.refused.iter().find(|refused| !known(refused)) {
        let reason = format!("refuses {} `{}`: {}", refused.kind.noun(), refused.name, refused.message);
        return Stand::Faulty(Fault { reason, policies: refused.policies.iter().cloned().collect() });
    }
    let earlier = stable.map(|stable| &stable.problems);
    let is_new = |problem: &&String| earlier.is_none_or(|earlier| !earlier.contains(problem));
    if let Some(problem) = status.problems.iter().find(is_new) {
        let reason = format!("cannot be given it: {problem}");
        return Stand::Faulty(Fault { reason, policies: BTreeSet::new() });
    }
    let has_answered =
        status.applied >= Some(to) || !status.refused.is_empty() || !status.problems.is_empty();
    if has_answered { Stand::Has } else { Stand::Waiting }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::fleet::FleetChange;
    use crate::delivery::snapshot::{Resource, ResourceType};
    use crate::delivery::xds::conversation::{Progress, Refusal};
    use jiff::Timestamp;
    use std::sync::Arc;
    use tokio_util::sync::CancellationToken;

    fn resource(name: &str, body: &str) -> Arc<Resource> {
        Arc::new(Resource::new(ResourceType::Extension, name, body.as_bytes(), ["orders".to_owned()]))
    }

    fn snapshot(revision: u64, resource: Arc<Resource>) -> Arc<Snapshot> {
        Arc::new(Snapshot::new(Revision(revision), [resource]))
    }

    /// How a sidecar stands that was given a candidate in the place of a stable snapshot and says this of it.
    fn stands(progress: impl FnOnce(&Arc<Resource>, &Arc<Resource>) -> Progress) -> Stand {
        let id = ProxyId("shop/orders/1".to_owned());
        let (old, new) = (resource("writ-inbound", "old"), resource("writ-inbound", "new"));
        let board = AckBoard::default();
        let given = [(id.clone(), snapshot(2, new.clone()))].into();
        board.expect(&FleetChange { revision: Revision(2), given, ..FleetChange::default() });
        let ticket = board.open(&id, Timestamp::UNIX_EPOCH, &CancellationToken::new());
        board.note(&ticket, &[], progress(&old, &new));
        let split = Split {
            from: Revision(1),
            to: Revision(2),
            stable: [(id.clone(), snapshot(1, old))].into_iter().collect(),
            reached: [id].into_iter().collect(),
        };
        members(&split, &board).pop().map_or(Stand::Away, |member| member.stand)
    }

    fn refuses(resource: &Arc<Resource>) -> Progress {
        let refusal =
            Refusal { resource: resource.clone(), message: "bad module".into(), keeps_earlier: true };
        Progress { revision: Revision(2), refused: vec![refusal], ..Progress::default() }
    }

    #[test]
    fn what_a_sidecar_says_of_the_candidate_is_told_from_what_it_said_before() {
        let at = |revision| Progress { revision: Revision(revision), ..Progress::default() };
        assert_eq!(stands(|_, _| at(1)), Stand::Waiting, "it has not been given it");
        assert_eq!(stands(|_, _| at(2)), Stand::Waiting);
        assert_eq!(stands(|_, _| Progress { is_settled: true, ..at(2) }), Stand::Has);
        let fault = |reason: &str, policies: &[&str]| {
            let policies = policies.iter().map(|&name| name.to_owned()).collect();
            Stand::Faulty(Fault { reason: reason.to_owned(), policies })
        };
        let refused = fault("refuses extension `writ-inbound`: bad module", &["orders"]);
        assert_eq!(stands(|_, new| refuses(new)), refused);
        assert_eq!(stands(|old, _| refuses(old)), Stand::Has, "that is no news");
        let problem = Progress { problems: ["E601: they contradict".to_owned()].into(), ..at(2) };
        assert_eq!(stands(|_, _| problem), fault("cannot be given it: E601: they contradict", &[]));
    }
}
