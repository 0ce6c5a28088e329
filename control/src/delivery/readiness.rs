//! Finds out to which replicas requests are sent, and keeps it in the desired state.
//!
//! ```text
//! sidecar: stream, acknowledgements, whether its application answers --> board --abilities--> here --> store
//!                                                                    callers <-- endpoints <-- reconcile <--'
//! ```
//!
//! A replica becomes an endpoint when its sidecar has taken its configuration and, if it says that it looks, its
//! application answers. It stops being one when it says that the application does not; never because it says nothing:
//! who is away may serve well, and is the affair of [`liveness`](super::liveness). What was found out is kept on disk, so
//! that a control plane that has just started sends nobody to a replica that was known to be dead, and takes none away.

use crate::delivery::acks::{Ability, AckBoard};
use crate::delivery::xds::Application;
use crate::mesh::model::{ProxyId, ProxyRegistration, Readiness};
use crate::mesh::store::{Actor, Change, ReadinessChange, Store};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a replica stays what it became, at least: so that one that changes all the time costs no more than this.
const CHANGE_PAUSE: Duration = Duration::from_secs(1);
/// How long changes are left to gather, to be written together.
const GATHERED: Duration = Duration::from_millis(10);
/// When it is tried again what could not be written, or had to wait.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// The task that says how ready replicas are.
pub(crate) struct ReadinessKeeper {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) board: Arc<AckBoard>,
}

impl ReadinessKeeper {
    /// Follows the board until it is dropped.
    pub(crate) async fn run(self) {
        let mut news = self.board.watch_abilities();
        let mut waiting: BTreeMap<ProxyId, Ability> = BTreeMap::new();
        let mut changed_at: BTreeMap<ProxyId, Instant> = BTreeMap::new();
        loop {
            news.mark_unchanged();
            waiting.extend(self.board.take_abilities());
            changed_at.retain(|_, at| at.elapsed() < CHANGE_PAUSE);
            let may_change = |id: &ProxyId| !changed_at.contains_key(id);
            let ready = waiting.extract_if(.., |id, _| may_change(id)).collect();
            match self.keep(&ready).await {
                Ok(changed) => changed_at.extend(changed.into_iter().map(|id| (id, Instant::now()))),
                // What has become of them meanwhile counts more.
                Err(()) => waiting = ready.into_iter().chain(waiting).collect(),
            }
            if waiting.is_empty() {
                if news.changed().await.is_err() {
                    return;
                }
                sleep(GATHERED).await;
            } else {
                sleep(TRY_AGAIN).await;
            }
        }
    }

    /// Writes down what changed; gives whose readiness did.
    async fn keep(&self, abilities: &BTreeMap<ProxyId, Ability>) -> Result<Vec<ProxyId>, ()> {
        let state = self.store.watch().borrow().clone();
        let now = Timestamp::now();
        let change = |(id, ability): (&ProxyId, &Ability)| {
            let seen = state.proxies.get(id)?;
            let now = becomes(seen, ability, now)?;
            Some(ReadinessChange { seen: Arc::clone(seen), now })
        };
        let changes: Vec<ReadinessChange> = abilities.iter().filter_map(change).collect();
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        for ReadinessChange { seen, now } in &changes {
            match now {
                Readiness::Ready => tracing::info!(proxy = seen.id.0, "ready: others are sent to it"),
                Readiness::Silent { .. } => {
                    tracing::warn!(
                        proxy = seen.id.0,
                        "its application does not answer: others are sent to replicas that are ready"
                    );
                }
                Readiness::Starting => {}
            }
        }
        let ids = changes.iter().map(|change| change.seen.id.clone()).collect();
        let by = Actor { name: "control plane".to_owned(), at: now };
        match self.store.commit(Change::Readiness(changes), by).await {
            Ok(_) => Ok(ids),
            Err(error) => {
                tracing::error!(%error, "how ready replicas are cannot be kept; tried again");
                Err(())
            }
        }
    }
}

/// What a replica becomes that is able to this; `None` if it stays what it is.
fn becomes(replica: &ProxyRegistration, ability: &Ability, now: Timestamp) -> Option<Readiness> {
    replica.inbound?;
    let is_looked_at = replica.check.is_some();
    let answers = !is_looked_at || ability.application == Some(Application::Answers);
    let is_silent = is_looked_at && matches!(ability.application, Some(Application::Silent { .. }));
    match replica.readiness {
        Readiness::Starting if ability.can_serve && answers => Some(Readiness::Ready),
        Readiness::Silent { .. } if answers => Some(Readiness::Ready),
        Readiness::Ready if is_silent => Some(Readiness::Silent { since: now }),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;
    use crate::mesh::model::{Inbound, Protocol};
    use crate::mesh::store::conformance::proxy;
    use Readiness::{Ready, Starting};

    const SINCE: Timestamp = Timestamp::UNIX_EPOCH;
    const SILENT: Readiness = Readiness::Silent { since: SINCE };

    fn replica(readiness: Readiness, check: Option<&str>) -> ProxyRegistration {
        let address = ([127, 0, 0, 1], 8080).into();
        ProxyRegistration {
            inbound: Some(Inbound {
                listen: address,
                advertised: address,
                application: address,
                protocol: Protocol::Http1,
                probes: None,
            }),
            check: check.map(str::to_owned),
            readiness,
            ..(*proxy("shop/orders/1")).clone()
        }
    }

    #[test]
    fn a_replica_is_ready_when_all_that_it_needs_is_there() {
        let silent = || Application::Silent { reason: "connection refused".into() };
        let tcp = Some("tcp");
        let rows = [
            (Starting, tcp, false, Some(Application::Answers), None),
            (Starting, tcp, true, None, None),
            (Starting, tcp, true, Some(silent()), None),
            (Starting, tcp, true, Some(Application::Answers), Some(Ready)),
            (Starting, None, true, None, Some(Ready)),
            (Starting, None, false, None, None),
            (Ready, tcp, false, None, None),
            (Ready, tcp, true, Some(silent()), Some(SILENT)),
            (Ready, None, true, Some(silent()), None),
            (SILENT, tcp, true, None, None),
            (SILENT, tcp, true, Some(silent()), None),
            (SILENT, tcp, false, Some(Application::Answers), Some(Ready)),
            (SILENT, None, true, None, Some(Ready)),
        ];
        for (readiness, check, can_serve, application, expected) in rows {
            let ability = Ability { can_serve, application };
            let becomes = becomes(&replica(readiness, check), &ability, SINCE);
            assert_eq!(becomes, expected, "{readiness:?} {check:?} {ability:?}");
        }
        let client = ProxyRegistration { inbound: None, ..replica(Starting, None) };
        assert_eq!(becomes(&client, &Ability { can_serve: true, application: None }, SINCE), None);
    }

    #[test]
    fn who_is_stated_anew_stays_as_ready_as_it_was_unless_it_is_elsewhere() {
        let ready = replica(Ready, None);
        let stated = replica(Starting, Some("tcp"));
        assert_eq!(stated.after(Some(&ready)).readiness, Ready);
        let mut elsewhere = stated.clone();
        elsewhere.inbound.as_mut().unwrap().advertised.set_port(8081);
        assert_eq!(elsewhere.after(Some(&ready)).readiness, Starting);
        assert_eq!(ready.after(None).readiness, Starting, "nobody says of itself that it is ready");
    }
}
