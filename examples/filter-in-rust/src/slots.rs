//! Keys that were seen, in data that all workers share. A proxy never forgets such data, so there is a fixed number of slots, and a
//! key lies in one of the few that its hash names.
//!
//! A slot holds the second until which it is taken, a space, and the key.

use chancery_sdk::{Host, Proxy};

/// Keys that are remembered at a time, at most.
const SLOTS: u64 = 8_192;
/// Slots that a key may lie in.
const PLACES: u64 = 8;

/// A slot that a request has taken.
#[derive(Debug)]
pub struct Slot(String);

/// What became of a key.
#[derive(Debug)]
pub enum Claim {
    /// Nobody had it.
    First(Slot),
    /// A request before had it.
    Repeated,
    /// Its slots are taken by other keys.
    NoRoom,
}

/// Takes a slot for a key until a second, unless the key has one.
pub fn claim<H: Host>(proxy: &Proxy<'_, H>, key: &[u8], now: u64, until: u64) -> Claim {
    let hash = hash(key);
    let names: Vec<String> =
        (0..PLACES).map(|place| format!("once/{}", hash.wrapping_add(place) % SLOTS)).collect();
    let is_there = |name: &String| {
        let slot = proxy.shared(name);
        slot.is_some_and(|slot| holder(&slot.value, now) == Some(key))
    };
    if names.iter().any(is_there) {
        return Claim::Repeated;
    }
    for name in names {
        let mut was = None;
        let taken = proxy.update_shared(&name, |old| {
            was = old.and_then(|old| holder(old, now)).map(<[u8]>::to_vec);
            was.is_none().then(|| [format!("{until} ").as_bytes(), key].concat())
        });
        match was {
            None if taken.is_ok() => return Claim::First(Slot(name)),
            Some(other) if other == key => return Claim::Repeated,
            _ => {}
        }
    }
    Claim::NoRoom
}

/// Gives a slot back.
pub fn free<H: Host>(proxy: &Proxy<'_, H>, slot: &Slot) {
    proxy.set_shared(&slot.0, "");
}

/// The key that a slot holds, if its time is not over.
fn holder(slot: &[u8], now: u64) -> Option<&[u8]> {
    let space = slot.iter().position(|byte| *byte == b' ')?;
    let (until, key) = slot.split_at_checked(space)?;
    let until: u64 = std::str::from_utf8(until).ok()?.parse().ok()?;
    if until > now { key.get(1..) } else { None }
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
