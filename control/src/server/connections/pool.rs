//! A bounded number of connections, shared by owners of whom none can take the room of the others.
//!
//! An owner beyond its share loses the oldest of its own connections. In a pool that is full, the owner with the
//! most loses one; where all have but one, the pool's rule says whether the oldest of all goes or the newcomer.
//!
//! A connection may be busy, with a handshake: that waits for us as well as for the peer. When thousands come at once, as
//! after a restart, each newcomer would end the work that is nearest to its end, and none would ever be done. So a busy one
//! goes after those that are not, and keeps its place for a while from newcomers that have no better claim.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
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
    /// How long a busy connection keeps its place from newcomers; `None` if none is busy here.
    pub(super) busy: Option<Busy>,
}

/// How long busy connections keep their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy {
    /// From newcomers of the same owner.
    pub(super) from_own: Duration,
    /// From newcomers of owners that have about as many.
    pub(super) from_equals: Duration,
}

/// Connections by their owner.
#[derive(Debug)]
pub(super) struct Pool<K> {
    room: Room,
    held: Mutex<Held<K>>,
}

#[derive(Debug)]
struct Held<K> {
    by_owner: BTreeMap<K, BTreeMap<u64, Place>>,
    count: usize,
    next: u64,
}

#[derive(Debug)]
struct Place {
    end: CancellationToken,
    since: Instant,
    is_busy: bool,
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
    pub(super) fn enter(self: &Arc<Self>, owner: K, end: CancellationToken, now: Instant) -> Option<Seat<K>> {
        let Room { all, share, crowds_out, busy } = self.room;
        let (from_own, from_equals) = busy.map(|busy| (busy.from_own, busy.from_equals)).unwrap_or_default();
        let mut held = self.lock();
        if held.of(&owner) >= share && !held.end_one_of(&owner, from_own, now) {
            return None;
        }
        if held.count >= all {
            let (largest, count) = held.largest()?;
            let has_many = count > held.of(&owner) + 1;
            let kept = if has_many { Duration::ZERO } else { from_equals };
            if (count <= 1 && !crowds_out) || !held.end_one_of(&largest, kept, now) {
                return None;
            }
        }
        let number = held.next;
        held.next += 1;
        held.count += 1;
        held.by_owner
            .entry(owner.clone())
            .or_default()
            .insert(number, Place { end, since: now, is_busy: busy.is_some() });
        Some(Seat { pool: Arc::clone(self), owner, number })
    }

    /// Ends all connections of an owner.
    pub(super) fn end_all_of(&self, owner: &K) {
        let mut held = self.lock();
        for (_, place) in held.by_owner.remove(owner).into_iter().flatten() {
            place.end.cancel();
            held.count -= 1;
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
        let rank = |(_, seats): &(&K, &BTreeMap<u64, Place>)| {
            (seats.len(), std::cmp::Reverse(seats.keys().next().copied()))
        };
        self.by_owner.iter().max_by_key(rank).map(|(owner, seats)| (owner.clone(), seats.len()))
    }

    /// Ends the oldest connection of an owner that is not busy, or else the oldest if it has been here for as long as
    /// it may keep its place; says whether there was one.
    fn end_one_of(&mut self, owner: &K, kept: Duration, now: Instant) -> bool {
        let Some(places) = self.by_owner.get_mut(owner) else { return false };
        let idle = places.iter().find(|(_, place)| !place.is_busy);
        let over = || places.iter().next().filter(|(_, place)| now.duration_since(place.since) >= kept);
        let Some(number) = idle.or_else(over).map(|(number, _)| *number) else { return false };
        if let Some(place) = places.remove(&number) {
            place.end.cancel();
            self.count -= 1;
        }
        self.forget_empty(owner);
        true
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

impl<K: Ord> Seat<K> {
    /// The connection is not busy any more.
    pub(super) fn settle(&self) {
        let mut held = self.pool.lock();
        let place = held.by_owner.get_mut(&self.owner).and_then(|places| places.get_mut(&self.number));
        if let Some(place) = place {
            place.is_busy = false;
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
        Pool::new(Room { all, share, crowds_out, busy: None })
    }

    fn enter(
        pool: &Arc<Pool<&'static str>>,
        owner: &'static str,
    ) -> Option<(Seat<&'static str>, CancellationToken)> {
        let end = CancellationToken::new();
        pool.enter(owner, end.clone(), Instant::now()).map(|seat| (seat, end))
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

    #[test]
    fn a_handshake_keeps_its_place_for_a_while_from_who_has_no_better_claim() {
        let seconds = Duration::from_secs;
        let busy = Some(Busy { from_own: seconds(1), from_equals: seconds(4) });
        let pool = Pool::new(Room { all: 4, share: 2, crowds_out: true, busy });
        let start = Instant::now();
        let enter = |owner, second| {
            let end = CancellationToken::new();
            pool.enter(owner, end.clone(), start + seconds(second)).map(|seat| (seat, end))
        };
        let (first, second) = (enter("a", 0).unwrap(), enter("a", 0).unwrap());
        assert!(enter("a", 0).is_none(), "what is nearly done is not given up for what has not begun");
        second.0.settle();
        let third = enter("a", 0).unwrap();
        let ended = [&first, &second, &third].map(|(_, end)| end.is_cancelled());
        assert_eq!(ended, [false, true, false], "it was not busy");
        let fourth = enter("a", 1).unwrap();
        assert!(first.1.is_cancelled() && !third.1.is_cancelled(), "it has had its time");

        let others = ["b", "c"].map(|owner| enter(owner, 1).unwrap());
        let newcomer = enter("d", 1).unwrap();
        assert!(
            third.1.is_cancelled() && !fourth.1.is_cancelled(),
            "one of the two of `a`, who has the most"
        );
        assert!(enter("e", 1).is_none(), "all have but one, and are busy");
        assert!(enter("e", 5).is_some());
        assert!(fourth.1.is_cancelled(), "the oldest has had its time");
        drop((others, newcomer));
    }
}
