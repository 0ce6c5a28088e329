//! Room for newcomers: how many sidecars there may be of the mesh, of a service and of a token.
//!
//! Several are registered at a time, and each is counted from before it is written down until it stands in the
//! state, so that the limits are exact. Counting costs the same however many there are.

use super::ApiError;
use super::rates::REGISTERING_MAX;
use crate::delivery::acks::AckBoard;
use crate::mesh::model::{DesiredState, ProxyId, ProxyRegistration};
use axum::http::StatusCode;
use chancery_policy_lang::checked::ServiceRef;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The most sidecars of the mesh, of one service, and that joined with one token.
const PROXIES_MAX: usize = 20_000;
const PROXIES_OF_SERVICE_MAX: usize = 2_000;
const PROXIES_OF_TOKEN_MAX: usize = 1_000;
/// The most sidecars that joined with one token and have no stream: each costs work, and none serves anybody.
const PROXIES_AWAY_OF_TOKEN_MAX: usize = 100;
/// When a sidecar for which there is no room comes again: those that are gone are forgotten by then.
const FULL_WAIT: Duration = Duration::from_secs(30);

/// The sidecars that are being registered: a few at a time.
#[derive(Debug, Default)]
pub struct Room {
    newcomers: Mutex<Newcomers>,
}

#[derive(Debug, Default)]
struct Newcomers {
    last: u64,
    /// At most [`REGISTERING_MAX`].
    of: BTreeMap<u64, Arc<ProxyRegistration>>,
}

/// A place that is kept while the value lives: until the sidecar stands in the state, or will not.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    room: &'a Room,
    number: u64,
}

/// How many there are, a newcomer that is being registered included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    of_mesh: usize,
    of_service: usize,
    of_token: usize,
    /// Those of the token without a stream.
    away: usize,
}

impl Room {
    /// Keeps a place for a sidecar; one that is registered already, with the same token, needs none.
    ///
    /// # Errors
    /// If there is no room.
    pub(super) fn reserve(
        &self,
        newcomer: &Arc<ProxyRegistration>,
        states: &watch::Receiver<Arc<DesiredState>>,
        board: &AckBoard,
        now: Timestamp,
    ) -> Result<Reserved<'_>, ApiError> {
        let mut newcomers = self.lock();
        // After the lock: who has given its place back by now stands in the state.
        let state = states.borrow().clone();
        let known = state.proxies.get(&newcomer.id);
        let is_new = known.is_none();
        if known.is_none_or(|known| known.token != newcomer.token) {
            let mut counts = newcomers.counts(newcomer, &state, board);
            if counts.away >= PROXIES_AWAY_OF_TOKEN_MAX {
                counts.away = counts.away.saturating_sub(returning(newcomer, &state, board, now));
            }
            check(&newcomer.service, counts, is_new, newcomer.token.is_some())?;
        }
        newcomers.last += 1;
        let number = newcomers.last;
        newcomers.of.insert(number, Arc::clone(newcomer));
        debug_assert!(newcomers.of.len() <= REGISTERING_MAX, "more sidecars register than may");
        Ok(Reserved { room: self, number })
    }

    fn lock(&self) -> MutexGuard<'_, Newcomers> {
        self.newcomers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Newcomers {
    /// Who is there beside this one.
    fn counts(&self, one: &ProxyRegistration, state: &DesiredState, board: &AckBoard) -> Counts {
        let others = |is_counted: &dyn Fn(&ProxyRegistration) -> bool| {
            let is_new = |other: &&Arc<ProxyRegistration>| {
                let written = state.proxies.get(&other.id);
                other.id != one.id && !written.is_some_and(|written| is_counted(written)) && is_counted(other)
            };
            // Two of one id are one.
            let ids: std::collections::BTreeSet<_> =
                self.of.values().filter(is_new).map(|of| &of.id).collect();
            ids.len()
        };
        let (of_token, with_stream) = match &one.token {
            Some(token) => (
                state.headcount.of_token(token) + others(&|other| other.token.as_ref() == Some(token)),
                board.connected_with(token),
            ),
            None => (0, 0),
        };
        Counts {
            of_mesh: state.proxies.len() + others(&|_| true),
            of_service: state.headcount.of_service(&one.service)
                + others(&|other| other.service == one.service),
            of_token,
            away: of_token.saturating_sub(with_stream),
        }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.room.lock().of.remove(&self.number);
    }
}

/// How many with the token of a newcomer have no stream and may be on their way back to one.
fn returning(newcomer: &ProxyRegistration, state: &DesiredState, board: &AckBoard, now: Timestamp) -> usize {
    // A token is for one service.
    let ServiceRef { namespace, name } = &newcomer.service;
    let of_service = state.proxies.range(ProxyId(format!("{namespace}/{name}/"))..);
    let of_service = of_service.take_while(|(_, other)| other.service == newcomer.service);
    let of_token = of_service.filter(|(_, other)| other.token == newcomer.token);
    board.returning(of_token.map(|(id, _)| id), now)
}

/// Refuses one more where there are as many as may be. Who only changes its token takes no more of the mesh.
fn check(service: &ServiceRef, counts: Counts, is_new: bool, has_token: bool) -> Result<(), ApiError> {
    let ServiceRef { namespace, name } = service;
    let (of, count, max) = if has_token && counts.away >= PROXIES_AWAY_OF_TOKEN_MAX {
        ("this token without a stream".to_owned(), counts.away, PROXIES_AWAY_OF_TOKEN_MAX)
    } else if has_token && counts.of_token >= PROXIES_OF_TOKEN_MAX {
        ("this token".to_owned(), counts.of_token, PROXIES_OF_TOKEN_MAX)
    } else if is_new && counts.of_service >= PROXIES_OF_SERVICE_MAX {
        (format!("service {namespace}/{name}"), counts.of_service, PROXIES_OF_SERVICE_MAX)
    } else if is_new && counts.of_mesh >= PROXIES_MAX {
        ("this mesh".to_owned(), counts.of_mesh, PROXIES_MAX)
    } else {
        return Ok(());
    };
    let message = format!("there are {count} sidecars of {of} already; {max} are allowed");
    Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too-many-proxies", message)
        .help("stop some; one that is gone is forgotten after a while (`--leave-after` of the control plane)")
        .retry_after(FULL_WAIT))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;
    use crate::mesh::model::Readiness;
    use jiff::SignedDuration;
    use tokio_util::sync::CancellationToken;

    fn replica(number: usize, token: &str) -> Arc<ProxyRegistration> {
        Arc::new(ProxyRegistration {
            check: None,
            readiness: Readiness::Starting,
            id: ProxyId(format!("shop/orders/{number}")),
            service: ServiceRef { namespace: "shop".to_owned(), name: "orders".to_owned() },
            labels: Arc::default(),
            inbound: None,
            outbounds: Vec::new(),
            token: Some(token.to_owned()),
        })
    }

    #[test]
    fn who_is_being_registered_counts_once_and_who_is_registered_needs_no_room() {
        let (room, board, now) = (Room::default(), AckBoard::default(), Timestamp::UNIX_EPOCH);
        let (sender, states) = watch::channel(Arc::<DesiredState>::default());
        let register = |of: &Arc<ProxyRegistration>| {
            sender.send_modify(|state| Arc::make_mut(state).register(Arc::clone(of)));
        };
        for number in 0..PROXIES_AWAY_OF_TOKEN_MAX - 1 {
            register(&replica(number, "7f"));
        }
        let (last, late) = (replica(1_000, "7f"), replica(1_001, "7f"));
        let reserved = room.reserve(&last, &states, &board, now).unwrap();
        let refused = room.reserve(&late, &states, &board, now).unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.body.code.as_str()), (429, "too-many-proxies"));
        assert!(refused.body.message.starts_with("there are 100 sidecars of this token without a stream"));
        drop(reserved);
        let reserved = room.reserve(&late, &states, &board, now).unwrap();
        register(&late);
        // It stands in the state and in the room: that is one.
        assert_eq!(room.lock().counts(&replica(1_002, "7f"), &states.borrow(), &board).away, 100);
        drop(reserved);
        assert!(room.reserve(&last, &states, &board, now).is_err());
        drop(room.reserve(&late, &states, &board, now).unwrap());
        drop(room.reserve(&replica(1_003, "8a"), &states, &board, now).unwrap());
        let moved = room.reserve(&replica(1_001, "8a"), &states, &board, now).unwrap();
        drop(moved);

        // Who has a stream is not away.
        let ticket = board.open(&late.id, now, &CancellationToken::new());
        board.note_token(&late.id, Some("7f"));
        drop(room.reserve(&last, &states, &board, now).unwrap());
        board.close(&ticket, now);
        drop(room.reserve(&last, &states, &board, now).unwrap());
        let later = now + SignedDuration::from_secs(10);
        assert!(room.reserve(&last, &states, &board, later).is_err(), "it does not come back");
    }
}
