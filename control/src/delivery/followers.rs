//! Who follows the lines of the sidecars' logs: which lines each wants, and the way there.
//!
//! ```text
//!  API -- follow(scope, wanted) --> Followers -- asked_of(proxy), whenever it changes --> stream of each sidecar
//!   ^                                  |                                                        |
//!   \------------- Following <---------/ <------------------- take(proxy, batch) ---------------/
//! ```
//!
//! Nothing is asked for while nobody follows. A follower that does not read fast enough loses lines, and is told how many.

use super::xds::lines::{Batch, Entry, Wanted};
use crate::mesh::model::ProxyId;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;

/// The most followers at a time.
pub const FOLLOWERS_MAX: usize = 16;
/// The most lines that wait for one of them.
const LINES_WAITING_MAX: usize = 1024;

/// Whose sidecars are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    Mesh,
    /// Those of the services of a namespace.
    Namespace(String),
    /// Those of a service, `NAMESPACE/SERVICE`.
    Service(String),
}

impl Scope {
    fn has(&self, proxy: &ProxyId) -> bool {
        let within = |name: &str| proxy.0.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        match self {
            Self::Mesh => true,
            Self::Namespace(name) | Self::Service(name) => within(name),
        }
    }
}

/// What a follower gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The sidecar that it is of; none if it is of several.
    pub proxy: Option<ProxyId>,
    /// What there is.
    pub what: What,
}

/// A line, or that there were some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// An object of JSON, as text.
    Line(Arc<str>),
    /// So many lines are not shown: there was no room on the way.
    LeftOut(u64),
}

/// All who follow.
#[derive(Debug, Default)]
pub struct Followers {
    inner: Mutex<Inner>,
    /// Counts the changes.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    followers: BTreeMap<u64, Follower>,
    next: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Follower {
    scope: Scope,
    wanted: Wanted,
    lines: mpsc::Sender<Followed>,
    /// Lines for which there was no room.
    missed: u64,
}

impl Followers {
    /// Follows; `None` if so many do already, or the control plane stops.
    #[must_use]
    pub fn follow(self: &Arc<Self>, scope: Scope, wanted: Wanted) -> Option<Following> {
        let mut inner = self.inner();
        if inner.is_closed || inner.followers.len() >= FOLLOWERS_MAX {
            return None;
        }
        let (lines, receiver) = mpsc::channel(LINES_WAITING_MAX);
        let id = inner.next;
        inner.next += 1;
        inner.followers.insert(id, Follower { scope, wanted, lines, missed: 0 });
        drop(inner);
        self.note_change();
        Some(Following { id, lines: receiver, followers: self.clone() })
    }

    /// Ends all, and takes no others.
    pub fn close(&self) {
        let mut inner = self.inner();
        inner.is_closed = true;
        inner.followers.clear();
    }

    /// Counts the changes of what is asked for.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What is asked of a sidecar, sorted.
    #[must_use]
    pub fn asked_of(&self, proxy: &ProxyId) -> Vec<Wanted> {
        let inner = self.inner();
        let concerned = inner.followers.values().filter(|follower| follower.scope.has(proxy));
        let asked: BTreeSet<Wanted> = concerned.map(|follower| follower.wanted.clone()).collect();
        asked.into_iter().collect()
    }

    /// Hands on what a sidecar sent. What is no line of a log is left out: of its bytes nothing is known.
    pub fn take(&self, proxy: &ProxyId, batch: Batch) {
        let mut inner = self.inner();
        let concerned = || |follower: &&mut Follower| follower.scope.has(proxy);
        let of = |what| Followed { proxy: Some(proxy.clone()), what };
        let mut left_out = batch.left_out;
        for line in batch.lines {
            let Some(entry) = Entry::read(&line) else {
                left_out = left_out.saturating_add(1);
                continue;
            };
            let shared: Arc<str> = line.as_str().into();
            let takers = inner.followers.values_mut().filter(concerned());
            for follower in takers.filter(|follower| follower.wanted.takes(&entry)) {
                follower.send(of(What::Line(shared.clone())));
            }
        }
        if left_out > 0 {
            for follower in inner.followers.values_mut().filter(concerned()) {
                follower.send(of(What::LeftOut(left_out)));
            }
        }
    }

    fn note_change(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    fn send(&mut self, followed: Followed) {
        if self.missed > 0 {
            let missed = Followed { proxy: None, what: What::LeftOut(self.missed) };
            if self.lines.try_send(missed).is_ok() {
                self.missed = 0;
            }
        }
        let count = match &followed.what {
            What::Line(_) => 1,
            What::LeftOut(count) => *count,
        };
        if self.lines.try_send(followed).is_err() {
            self.missed = self.missed.saturating_add(count);
        }
    }
}

/// The lines of a follower; dropped, it follows no more.
#[derive(Debug)]
pub struct Following {
    id: u64,
    lines: mpsc::Receiver<Followed>,
    followers: Arc<Followers>,
}

impl Stream for Following {
    type Item = Followed;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Followed>> {
        self.lines.poll_recv(context)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.followers.inner().followers.remove(&self.id);
        self.followers.note_change();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    fn proxy(id: &str) -> ProxyId {
        ProxyId(id.to_owned())
    }

    fn denials() -> Wanted {
        Wanted { denied: true, ..Wanted::default() }
    }

    fn batch(lines: &[&str], left_out: u64) -> Batch {
        Batch { lines: lines.iter().map(|&line| line.to_owned()).collect(), left_out }
    }

    #[test]
    fn only_who_is_followed_is_asked_and_each_follower_gets_its_own() {
        let followers = Arc::<Followers>::default();
        let (orders, cart) = (proxy("shop/orders/1"), proxy("shop/orders-2/1"));
        assert_eq!(followers.asked_of(&orders), []);
        let mut of_orders = followers.follow(Scope::Service("shop/orders".to_owned()), denials()).unwrap();
        assert_eq!((followers.asked_of(&orders), followers.asked_of(&cart)), (vec![denials()], Vec::new()));
        let mut of_shop = followers.follow(Scope::Namespace("shop".to_owned()), Wanted::default()).unwrap();
        assert_eq!(followers.asked_of(&cart), [Wanted::default()]);
        let denied = r#"{"rule":"a/b","decision":"denied"}"#;
        followers.take(&orders, batch(&[denied, r#"{"decision":"allowed"}"#, "no line"], 2));
        let got = |following: &mut Following| {
            std::iter::from_fn(|| following.lines.try_recv().ok()).map(|got| got.what).collect::<Vec<_>>()
        };
        assert_eq!(got(&mut of_orders), [What::Line(denied.into()), What::LeftOut(3)]);
        assert_eq!(got(&mut of_shop).len(), 3);
        drop((of_orders, of_shop));
        assert_eq!(followers.asked_of(&orders), []);
    }

    #[test]
    fn followers_and_what_waits_for_them_have_bounds() {
        let followers = Arc::<Followers>::default();
        let mut all: Vec<_> =
            (0..FOLLOWERS_MAX).map(|_| followers.follow(Scope::Mesh, Wanted::default()).unwrap()).collect();
        assert!(followers.follow(Scope::Mesh, Wanted::default()).is_none());
        let orders = proxy("shop/orders/1");
        for _ in 0..LINES_WAITING_MAX + 5 {
            followers.take(&orders, batch(&["{}"], 0));
        }
        let first = all.first_mut().unwrap();
        while first.lines.try_recv().is_ok() {}
        followers.take(&orders, batch(&["{}"], 0));
        let told = first.lines.try_recv().unwrap();
        assert_eq!(told, Followed { proxy: None, what: What::LeftOut(5) });
        followers.close();
        assert!(followers.follow(Scope::Mesh, Wanted::default()).is_none());
    }
}
