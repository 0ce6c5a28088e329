//! What a connection has proven: nothing yet, a token, or a certificate; and how long it may stay for that.

use super::pool::{Busy, Pool, Room, Seat};
use crate::mesh::identity::PeerIdentity;
use crate::mesh::model::ProxyId;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// The most connections at a time that have proven nothing, and of these from one address.
const STRANGERS_MAX: usize = 1024;
const STRANGERS_SHARE: usize = 128;
/// The most connections at a time that have shown a token, and of these with one token.
const BEARERS_MAX: usize = 2048;
const BEARERS_SHARE: usize = 256;
/// The most connections at a time with a certificate, and of these of one sidecar.
const MEMBERS_MAX: usize = 16_384;
const MEMBERS_SHARE: usize = 16;
/// How long a connection may take, from its first packet, to show a certificate or a token that is good: the
/// handshake, the headers and, where the token stands in it, the body.
const STRANGER_PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection keeps its place among strangers while hands are shaken, from newcomers of its own address and
/// of others. Whoever waits longer has given up by then.
const HANDSHAKES: Busy = Busy { from_own: Duration::from_secs(1), from_equals: Duration::from_secs(4) };
/// How long a connection with a token stays without a request.
const BEARER_IDLE: Duration = Duration::from_secs(300);
/// The most significant bits of an IPv6 address that say whose it is: a customer gets at least so much.
const NETWORK_BITS_V6: u32 = 64;

/// How long connections may stay.
#[derive(Clone, Copy, Debug)]
struct Patience {
    stranger: Duration,
    bearer_idle: Duration,
}

/// The three kinds of connections, each with room of its own.
#[derive(Debug)]
pub(crate) struct Pools {
    patience: Patience,
    strangers: Arc<Pool<IpAddr>>,
    bearers: Arc<Pool<String>>,
    members: Arc<Pool<ProxyId>>,
}

/// Ends connections of sidecars that must not stay.
#[derive(Clone, Debug)]
pub struct Ender(Arc<Pools>);

/// What one connection has proven. Stands in the extensions of each of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pools: Arc<Pools>,
    seat: Mutex<AnySeat>,
    since: Instant,
    /// Cancelled when others need the room more.
    end: CancellationToken,
    /// Whether a token or a certificate has been seen, and what goes on since.
    use_of: watch::Sender<Use>,
    /// A stranger's requests with a body are read one after the other.
    turn: Semaphore,
}

/// A seat itself is of little interest, only that it is held.
#[derive(Debug)]
enum AnySeat {
    Stranger { seat: Seat<IpAddr> },
    Bearer { token: String, _seat: Seat<String> },
    Member { _seat: Seat<ProxyId> },
    None,
}

#[derive(Clone, Copy, Debug)]
struct Use {
    is_known: bool,
    requests: usize,
    last: Instant,
}

/// Counts a request of a connection while it is being answered.
#[derive(Debug)]
pub(super) struct Asking(Standing);

impl Pools {
    /// Pools for a process that may have so many open files.
    pub(crate) fn within(descriptors: usize) -> Arc<Self> {
        Self::patient(descriptors, Patience { stranger: STRANGER_PATIENCE, bearer_idle: BEARER_IDLE })
    }

    /// Ends connections in these pools.
    pub(crate) fn ender(self: &Arc<Self>) -> Ender {
        Ender(Arc::clone(self))
    }

    fn patient(descriptors: usize, patience: Patience) -> Arc<Self> {
        let room = |max: usize, part: usize, share: usize, crowds_out| {
            let all = max.min(descriptors / part).max(1);
            Room { all, share: share.min((all / 2).max(1)), crowds_out, busy: None }
        };
        let strangers = Room { busy: Some(HANDSHAKES), ..room(STRANGERS_MAX, 8, STRANGERS_SHARE, true) };
        Arc::new(Self {
            patience,
            strangers: Pool::new(strangers),
            bearers: Pool::new(room(BEARERS_MAX, 8, BEARERS_SHARE, true)),
            members: Pool::new(room(MEMBERS_MAX, 2, MEMBERS_SHARE, false)),
        })
    }
}

impl Ender {
    /// Ends all connections of a sidecar.
    pub(crate) fn end(&self, proxy: &ProxyId) {
        self.0.members.end_all_of(proxy);
    }
}

impl Standing {
    /// The standing of a new connection; `None` if there is no room for it.
    pub(super) fn new(pools: &Arc<Pools>, from: IpAddr) -> Option<Self> {
        let (end, since) = (CancellationToken::new(), Instant::now());
        let seat = pools.strangers.enter(network_of(from), end.clone(), since)?;
        let inner = Inner {
            pools: Arc::clone(pools),
            seat: Mutex::new(AnySeat::Stranger { seat }),
            since,
            end,
            use_of: watch::Sender::new(Use { is_known: false, requests: 0, last: since }),
            turn: Semaphore::new(1),
        };
        Some(Self { inner: Arc::new(inner) })
    }

    /// Hands are shaken, and the connection has shown no certificate.
    pub(super) fn is_stranger(&self) {
        if let AnySeat::Stranger { seat } = &*self.inner.seat() {
            seat.settle();
        }
    }

    /// The connection has shown a certificate of the mesh; says whether there is room for it.
    pub(super) fn is_member(&self, peer: &PeerIdentity) -> bool {
        let inner = &self.inner;
        match inner.pools.members.enter(peer.proxy.clone(), inner.end.clone(), Instant::now()) {
            Some(seat) => {
                *inner.seat() = AnySeat::Member { _seat: seat };
                inner.note_known();
                true
            }
            None => false,
        }
    }

    /// The connection has shown a good token, known by this id.
    pub(crate) fn recognise(&self, token: &str) {
        let inner = &self.inner;
        let mut seat = inner.seat();
        let is_new = match &*seat {
            AnySeat::Member { .. } => false,
            AnySeat::Bearer { token: before, .. } => before != token,
            AnySeat::Stranger { .. } | AnySeat::None => true,
        };
        if is_new {
            // Its old seat goes first: the connection must not crowd itself out.
            *seat = AnySeat::None;
            if let Some(new) = inner.pools.bearers.enter(token.to_owned(), inner.end.clone(), Instant::now())
            {
                *seat = AnySeat::Bearer { token: token.to_owned(), _seat: new };
            }
        }
        drop(seat);
        inner.note_known();
    }

    /// Waits until no other request of this connection is being read, if it has proven nothing yet.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        if self.inner.use_of.borrow().is_known {
            return None;
        }
        // The semaphore is never closed.
        self.inner.turn.acquire().await.ok()
    }

    /// Counts a request for as long as the value lives.
    pub(super) fn ask(&self) -> Asking {
        self.inner.use_of.send_modify(|now| now.requests += 1);
        Asking(self.clone())
    }

    /// Whether the connection has shown a certificate or a token.
    pub(super) fn is_known(&self) -> bool {
        self.inner.use_of.borrow().is_known
    }

    /// Waits until others need the room of this connection more.
    pub(super) async fn crowded_out(&self) {
        self.inner.end.cancelled().await;
    }

    /// Waits until the connection has been here for longer than what it has proven allows.
    pub(super) async fn overdue(&self) {
        let Patience { stranger, bearer_idle } = self.inner.pools.patience;
        let mut changes = self.inner.use_of.subscribe();
        let known = changes.wait_for(|now| now.is_known);
        tokio::select! {
            () = sleep_until(self.inner.since + stranger) => return,
            _ = known => {}
        }
        if matches!(*self.inner.seat(), AnySeat::Member { .. }) {
            return std::future::pending().await;
        }
        loop {
            let now = *self.inner.use_of.borrow();
            let idle = if now.requests == 0 { now.last.elapsed() } else { Duration::ZERO };
            if idle >= bearer_idle {
                return;
            }
            sleep(bearer_idle.saturating_sub(idle)).await;
        }
    }
}

impl Inner {
    fn seat(&self) -> MutexGuard<'_, AnySeat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_known(&self) {
        self.use_of.send_if_modified(|now| !std::mem::replace(&mut now.is_known, true));
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.inner.use_of.send_modify(|now| {
            now.requests = now.requests.saturating_sub(1);
            now.last = Instant::now();
        });
    }
}

/// Whose an address is: that of a machine, or a customer's network.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let host_bits = 128 - NETWORK_BITS_V6;
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> host_bits << host_bits))
        }
        address => address,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_network_is_all_of_it() {
        let network = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("10.0.0.7"), "10.0.0.7");
        assert_eq!(network("::ffff:10.0.0.7"), "10.0.0.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[tokio::test]
    async fn who_proves_nothing_stays_a_moment_and_who_shows_a_token_while_it_asks() {
        let millis = Duration::from_millis;
        let pools = Pools::patient(4096, Patience { stranger: millis(100), bearer_idle: millis(200) });
        let begun = Instant::now();
        let stranger = Standing::new(&pools, "10.0.0.7".parse().unwrap()).unwrap();
        stranger.overdue().await;
        assert!(begun.elapsed() >= millis(100), "{:?}", begun.elapsed());

        let bearer = Standing::new(&pools, "10.0.0.7".parse().unwrap()).unwrap();
        let asking = bearer.ask();
        bearer.recognise("7f");
        let leaving = tokio::time::timeout(millis(500), bearer.overdue());
        assert!(leaving.await.is_err(), "it is being answered");
        drop(asking);
        let ended = tokio::time::timeout(Duration::from_secs(10), bearer.overdue());
        assert!(ended.await.is_ok(), "it asks nothing any more");
    }

    #[test]
    fn with_few_descriptors_each_kind_has_fewer() {
        let pools = Pools::within(256);
        let address = |at: u8| IpAddr::from([10, 0, 0, at]);
        let enter = |at: u8| Standing::new(&pools, address(at));
        let strangers: Vec<_> = (0..40).filter_map(enter).collect();
        assert_eq!(strangers.len(), 256 / 8, "all shake hands");
        strangers.iter().for_each(Standing::is_stranger);
        let newcomers: Vec<_> = (40..48).filter_map(enter).collect();
        let ended = strangers.iter().filter(|standing| standing.inner.end.is_cancelled()).count();
        assert_eq!((newcomers.len(), ended), (8, 8), "who is idle makes room");
    }
}
