//! What a sidecar says of itself on its stream: whether its application answers, which listeners are not open, how many
//! requests Envoy has answered, and the lines of its logs that somebody follows.

use super::{End, LOOK_EVERY, Relay, Session, Stream, pass_up};
use crate::delivery::xds::Counts;
use crate::sidecar::admin::Admin;
use crate::sidecar::plaintext::PlaintextCallers;
use crate::sidecar::tail::PASS_ON_EVERY;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};

/// How long counts of requests are left to grow before the control plane is told, unless something went wrong.
const COUNTS_EVERY: Duration = Duration::from_secs(5);

impl Relay {
    /// Looks how many requests Envoy has answered, for the control plane: at once if more went wrong, else now and then.
    /// Ends only by being dropped.
    pub async fn keep_count(&self, admin: &Admin, plaintext: &PlaintextCallers) {
        let mut told_at = Instant::now();
        loop {
            sleep(LOOK_EVERY).await;
            let Ok(counts) = admin.counts().await else { continue };
            let counts = Counts { plaintext: plaintext.counts(std::time::Instant::now()), ..counts };
            let is_due = told_at.elapsed() >= COUNTS_EVERY;
            let is_told = self.shared.counts.send_if_modified(|told| {
                let is_worse = told.errors != counts.errors || told.failures != counts.failures;
                let is_other = told.requests != counts.requests || told.plaintext != counts.plaintext;
                let is_news = is_worse || (is_due && is_other);
                if is_news {
                    *told = counts;
                }
                is_news
            });
            if is_told {
                told_at = Instant::now();
            }
        }
    }
}

impl Session {
    /// Tells the control plane whether the application answers.
    pub(super) async fn report(&mut self, upstream: &Stream) -> End {
        let application = self.application.borrow_and_update().clone();
        match application {
            Some(application) => pass_up(upstream, application.report()).await,
            None => Ok(()),
        }
    }

    /// Tells the control plane which listeners are not open that Envoy accepted, if that is news to it. Of those that
    /// Envoy refused it knows from their refusals.
    pub(super) async fn report_unopened(&mut self, upstream: &Stream) -> End {
        self.status.mark_unchanged();
        let missing = self.shared.closed.lock().unwrap_or_else(PoisonError::into_inner).missing();
        if missing.names == self.told.names {
            return Ok(());
        }
        self.told = missing;
        pass_up(upstream, self.told.report()).await
    }

    /// Forgets who followed: who does is told on each stream anew. Gives the times at which lines are passed on.
    pub(super) fn follow_anew(&self) -> Interval {
        self.shared.tail.want(Vec::new());
        let mut passing_on = interval(PASS_ON_EVERY);
        passing_on.set_missed_tick_behavior(MissedTickBehavior::Delay);
        passing_on
    }

    /// Passes on lines that somebody follows, unless the control plane is slow to listen: nothing waits for them.
    pub(super) fn pass_on_lines(&self, upstream: &Stream) {
        let batch = self.shared.tail.batch();
        if !batch.is_empty() && upstream.requests.try_send(batch.clone().report()).is_err() {
            self.shared.tail.lost(&batch);
        }
    }

    /// Tells the control plane how many requests Envoy has answered.
    pub(super) async fn report_counts(&mut self, upstream: &Stream) -> End {
        let report = self.counts.borrow_and_update().report();
        pass_up(upstream, report).await
    }
}
