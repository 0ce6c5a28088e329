//! How often one token or one sidecar may ask, and how many may join at a time.
//!
//! Whoever asks more is answered with 429 and told when to come again; nobody else is slowed down by it.

use super::ApiError;
use crate::mesh::model::ProxyId;
use axum::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often sidecars join with one token: at once, and a second from then on.
pub const JOINS_AT_ONCE: NonZeroU32 = number(200);
/// See [`JOINS_AT_ONCE`].
pub const JOINS_A_SECOND: NonZeroU32 = number(20);
/// How often one sidecar renews its certificate: at once, and a second from then on.
pub const RENEWALS_AT_ONCE: NonZeroU32 = number(10);
/// See [`RENEWALS_AT_ONCE`].
pub const RENEWALS_A_SECOND: NonZeroU32 = number(1);
/// How often the API is asked with one token: at once, and a second from then on.
pub const REQUESTS_AT_ONCE: NonZeroU32 = number(1_000);
/// See [`REQUESTS_AT_ONCE`].
pub const REQUESTS_A_SECOND: NonZeroU32 = number(200);
/// How many sidecars are registered at a time, so that the changes of people never wait for many of them.
pub(super) const REGISTERING_MAX: usize = 4;
/// How many more wait for it.
const REGISTERING_WAITING_MAX: usize = 256;
/// When those come again for whom there was no room to wait.
const WAIT_FULL: Duration = Duration::from_secs(1);
/// From how many on, those who have not asked for a while are forgotten.
const KEYS_MAX: usize = 10_000;

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock>;

/// Who has asked how often of late.
#[derive(Debug)]
pub struct Rates {
    joins: Limiter<String>,
    renewals: Limiter<ProxyId>,
    requests: Limiter<String>,
    registering: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Rates {
    fn default() -> Self {
        let limiter = |at_once, a_second| Quota::per_second(a_second).allow_burst(at_once);
        Self {
            joins: RateLimiter::hashmap(limiter(JOINS_AT_ONCE, JOINS_A_SECOND)),
            renewals: RateLimiter::hashmap(limiter(RENEWALS_AT_ONCE, RENEWALS_A_SECOND)),
            requests: RateLimiter::hashmap(limiter(REQUESTS_AT_ONCE, REQUESTS_A_SECOND)),
            registering: Arc::new(Semaphore::new(REGISTERING_MAX)),
            waiting: Arc::new(Semaphore::new(REGISTERING_WAITING_MAX)),
        }
    }
}

impl Rates {
    /// Counts a join with a token, known by its id.
    pub(super) fn join(&self, token: &str) -> Result<(), ApiError> {
        let wait = count(&self.joins, token.to_owned());
        wait.map_err(|wait| too_often(format!("too many sidecars join with token {token}"), wait))
    }

    /// Counts a renewal of a sidecar.
    pub(super) fn renewal(&self, proxy: &ProxyId) -> Result<(), ApiError> {
        let wait = count(&self.renewals, proxy.clone());
        wait.map_err(|wait| too_often(format!("proxy `{proxy}` renews its certificate too often"), wait))
    }

    /// Counts a request with a role token, known by its id.
    pub(super) fn request(&self, token: &str) -> Result<(), ApiError> {
        let wait = count(&self.requests, token.to_owned());
        wait.map_err(|wait| too_often(format!("too many requests come with token {token}"), wait))
    }

    /// Waits until a sidecar may be registered, which it may while the value lives.
    pub(super) async fn registering(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let full = || too_often("too many sidecars join at a time".to_owned(), WAIT_FULL);
        let _waits = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| full())?;
        Arc::clone(&self.registering).acquire_owned().await.map_err(|_| full())
    }
}

/// Counts one more; if there were too many, says how long to wait.
fn count<K: Hash + Eq + Clone>(limiter: &Limiter<K>, key: K) -> Result<(), Duration> {
    if limiter.len() > KEYS_MAX {
        limiter.retain_recent();
    }
    limiter.check_key(&key).map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
}

fn too_often(message: String, wait: Duration) -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too-often", message)
        .help("come again later; the answer says in `retry-after` when")
        .retry_after(wait)
}

const fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(number - 1)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn one_token_has_its_rate_and_takes_nothing_from_another() {
        let rates = Rates::default();
        let let_in = (0..1000).filter(|_| rates.join("flood").is_ok()).count();
        assert!((200..250).contains(&let_in), "{let_in}");
        let refused = rates.join("flood").unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.body.code.as_str()), (429, "too-often"));
        assert!(refused.retry_after.unwrap() <= Duration::from_secs(1));
        rates.join("another").unwrap();
    }

    #[tokio::test]
    async fn who_finds_no_room_to_wait_is_told_to_come_again() {
        let rates = Arc::new(Rates::default());
        let mut held = Vec::new();
        for _ in 0..REGISTERING_MAX {
            held.push(rates.registering().await.unwrap());
        }
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..REGISTERING_WAITING_MAX {
            let rates = Arc::clone(&rates);
            waiting.spawn(async move { rates.registering().await.map(drop) });
        }
        while rates.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(rates.registering().await.unwrap_err().body.code, "too-often");
        drop(held);
        assert!(waiting.join_all().await.iter().all(Result::is_ok));
    }
}
