//! A bounded number of connections, shared by owners of whom none can take the room of the others.
//!
//! An owner beyond its share loses the oldest of its own connections. In a pool that is full, the owner with the
//! most loses one; where all have but one, the pool's rule says whether the oldest of all goes or the newcomer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// How much room a pool has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Connections of all owners together.
    pub(super) all: usize,
    /// Connections of one owner.
    pub(super) share: usize,
    /// Whether a newcomer gets the place of the oldest where each owner has but one connection. It does among
    /// strangers, who need theirs for a moment only.
    pub(super) crowds_out: bool,
}

/// Connections by their owner.
#[derive(Debug)]
pub(super) struct Pool<K> {
    room: Room,
    held: Mutex<Held<K>>,
}

#[derive(Debug)]
struct Held<K> {
    by_owner: BTreeMap<K, BTreeMap<u64, CancellationToken>>,
    count: usize,
    next: u64,
}

/// The room of one connection; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat<K: Ord> {
    pool: Arc<Pool<K>>,
    owner: K,
    number: u64,
}

impl<K: Ord + Clone> Pool<K> {
    pub(super) fn new(room: Room) -> Arc<Self> {
        Arc::new(Self { room, held: Mutex::default() })
    }

    /// Seats a connection, which `end` ends when others need the room more; `None` if there is no room for it.
    pub(super) fn enter(self: &Arc<Self>, owner: K, end: CancellationToken) -> Option<Seat<K>> {
        let mut held = self.lock();
        if held.of(&owner) >= self.room.share {
            held.end_oldest_of(&owner);
        }
        if held.count >= self.room.all {
            let (largest, count) = held.largest()?;
            if count <= 1 && !self.room.crowds_out {
                return None;
            }
            held.end_oldest_of(&largest);
        }
        let number = held.next;
        held.next += 1;
        held.count += 1;
        held.by_owner.entry(owner.clone()).or_default().insert(number, end);
        Some(Seat { pool: Arc::clone(self), owner, number })
    }

    /// Ends all connections of an owner.
    pub(super) fn end_all_of(&self, owner: &K) {
        let mut held = self.lock();
        while held.of(owner) > 0 {
            held.end_oldest_of(owner);
        }
    }
}

impl<K> Pool<K> {
    fn lock(&self) -> MutexGuard<'_, Held<K>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Default for Held<K> {
    fn default() -> Self {
        Self { by_owner: BTreeMap::new(), count: 0, next: 0 }
    }
}

impl<K: Ord> Held<K> {
    fn of(&self, owner: &K) -> usize {
        self.by_owner.get(owner).map_or(0, BTreeMap::len)
    }

    /// The owner with the most connections, of several the one that has had its oldest for the longest.
    fn largest(&self) -> Option<(K, usize)>
    where
        K: Clone,
    {
        let rank = |(_, seats): &(&K, &BTreeMap<u64, CancellationToken>)| {
            (seats.len(), std::cmp::Reverse(seats.keys().next().copied()))
        };
        self.by_owner.iter().max_by_key(rank).map(|(owner, seats)| (owner.clone(), seats.len()))
    }

    fn end_oldest_of(&mut self, owner: &K) {
        let oldest = self.by_owner.get_mut(owner).and_then(BTreeMap::pop_first);
        if let Some((_, end)) = oldest {
            end.cancel();
            self.count -= 1;
            self.forget_empty(owner);
        }
    }

    fn leave(&mut self, owner: &K, number: u64) {
        let left = self.by_owner.get_mut(owner).and_then(|seats| seats.remove(&number));
        if left.is_some() {
            self.count -= 1;
            self.forget_empty(owner);
        }
    }

    fn forget_empty(&mut self, owner: &K) {
        if self.of(owner) == 0 {
            self.by_owner.remove(owner);
        }
    }
}

impl<K: Ord> Drop for Seat<K> {
    fn drop(&mut self) {
        self.pool.lock().leave(&self.owner, self.number);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn pool(all: usize, share: usize, crowds_out: bool) -> Arc<Pool<&'static str>> {
        Pool::new(Room { all, share, crowds_out })
    }

    fn enter(
        pool: &Arc<Pool<&'static str>>,
        owner: &'static str,
    ) -> Option<(Seat<&'static str>, CancellationToken)> {
        let end = CancellationToken::new();
        pool.enter(owner, end.clone()).map(|seat| (seat, end))
    }

    #[test]
    fn who_is_beyond_the_share_loses_the_oldest_of_its_own() {
        let pool = pool(9, 2, true);
        let other = enter(&pool, "other").unwrap();
        let [first, second, third] = [(); 3].map(|()| enter(&pool, "flood").unwrap());
        let ended = [&other, &first, &second, &third].map(|(_, end)| end.is_cancelled());
        assert_eq!(ended, [false, true, false, false]);
    }

    #[test]
    fn of_a_full_pool_the_one_with_the_most_loses_one() {
        let pool = pool(4, 4, true);
        let others = ["a", "b"].map(|owner| enter(&pool, owner).unwrap());
        let flood = [(); 2].map(|()| enter(&pool, "flood").unwrap());
        let newcomer = enter(&pool, "c").unwrap();
        assert!(others.iter().all(|(_, end)| !end.is_cancelled()) && !newcomer.1.is_cancelled());
        assert_eq!(flood.map(|(_, end)| end.is_cancelled()), [true, false]);
    }

    #[test]
    fn where_all_have_one_the_rule_of_the_pool_says_who_goes() {
        let strangers = pool(2, 2, true);
        let [a, b] = ["z", "b"].map(|owner| enter(&strangers, owner).unwrap());
        assert!(enter(&strangers, "c").is_some());
        assert_eq!((a.1.is_cancelled(), b.1.is_cancelled()), (true, false), "the oldest");
        let members = pool(2, 2, false);
        let seats = ["a", "b"].map(|owner| enter(&members, owner).unwrap());
        assert!(enter(&members, "c").is_none(), "nobody is thrown out for a newcomer");
        drop(seats);
        assert!(enter(&members, "c").is_some());
        assert_eq!(members.lock().count, 0);
    }

    #[test]
    fn all_of_one_owner_can_be_ended() {
        let pool = pool(9, 9, false);
        let [one, two] = [(); 2].map(|()| enter(&pool, "a").unwrap());
        let other = enter(&pool, "b").unwrap();
        pool.end_all_of(&"a");
        assert_eq!([&one, &two, &other].map(|(_, end)| end.is_cancelled()), [true, true, false]);
        drop((one, two));
        assert_eq!(pool.lock().count, 1, "an ended connection is not counted twice");
    }
}
