//! What becomes of requests at the replicas that they came to, in their order.

use super::called::End;
use super::expected::{Replica, Try};
use super::fate::{Place, Sent};
use super::run::{Made, Programs, Summary, Target};
use anyhow::{Context as _, Result};

/// What became of requests at the replicas that they came to.
pub(super) struct Followed<'m> {
    /// Of each target.
    pub(super) replicas: Vec<Replica>,
    /// What came to each of them.
    pub(super) tries: Vec<Vec<(&'m Made, Try)>>,
    /// The targets of the last tries, and which of those that came there each of these is.
    pub(super) finals: Vec<(usize, usize)>,
}

impl<'m> Followed<'m> {
    pub(super) fn of(programs: &Programs, targets: &[Target]) -> Self {
        Self {
            replicas: programs.inbound.iter().cloned().map(Replica::new).collect(),
            tries: targets.iter().map(|_| Vec::new()).collect(),
            finals: Vec::new(),
        }
    }

    /// What becomes of a request at the place that it came to.
    pub(super) fn follow(
        &mut self,
        made: &'m Made,
        sent: &Sent,
        place: Place,
        targets: &[Target],
        summary: &mut Summary,
    ) -> Result<End> {
        let all = attempts(sent, place, targets, &mut self.replicas)?;
        summary.shares.note(&sent.weights, place);
        let count = all.len();
        let (most, is_retried) = sent.tries();
        let is_last = most > 1 && count == most as usize;
        let (_, last) = all.last().context("it is tried")?;
        let (became, end) = match last.status {
            0 => ("cut off", End::CutOff),
            200 if count > 1 => ("saved by a retry", End::Answered),
            200 => ("answered by the application", End::Answered),
            status if is_last && is_retried(status) => ("given up", End::GivenUp),
            _ => ("refused or failed", End::Answered),
        };
        *summary.became.entry(became).or_default() += 1;
        if last.tells_a_page() {
            *summary.became.entry("told a page").or_default() += 1;
        }
        for (number, (target, attempt)) in all.into_iter().enumerate() {
            let list = self.tries.get_mut(target).context("a target")?;
            list.push((made, attempt));
            if number + 1 == count {
                self.finals.push((target, list.len() - 1));
            }
        }
        if sent.is_copied {
            *summary.became.entry("copied").or_default() += 1;
            let copies = targets.iter().position(|target| target.place == Place::Copies);
            let copies = copies.context("each place has a target")?;
            let copy = self.replicas.get_mut(copies).context("a replica")?.take(&sent.request, false)?;
            self.tries.get_mut(copies).context("a target")?.push((made, copy));
        }
        Ok(end)
    }
}

/// The tries of a request, the last of which came to this place.
fn attempts(
    sent: &Sent,
    place: Place,
    targets: &[Target],
    replicas: &mut [Replica],
) -> Result<Vec<(usize, Try)>> {
    let number = targets.iter().position(|target| target.place == place).context("a target")?;
    let replica = replicas.get_mut(number).context("a replica")?;
    let (tries, is_retried) = sent.tries();
    let mut attempts = Vec::new();
    for _ in 0..tries {
        let attempt = replica.take(&sent.request, sent.is_short)?;
        let status = attempt.status;
        attempts.push((number, attempt));
        if !is_retried(status) {
            break;
        }
    }
    Ok(attempts)
}
