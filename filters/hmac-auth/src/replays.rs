//! Which signatures were seen: a table in the data that all workers share.
//!
//! A signature is remembered until it would be too old anyway. Envoy has no way to delete a shared value, so there is a fixed
//! number of them, and each drops what is out of date whenever it is written. Only authentic requests come here: who has no
//! key cannot fill the table.

use chancery_sdk::{Host, Proxy};

/// Values of the table; a signature belongs to the one that its first two bytes say.
const SLOTS: u32 = 1024;
/// Signatures that a slot may have at a time.
const ENTRIES_MAX: usize = 256;
/// Bytes of a signature that are kept. They are as good as random.
const KEPT_BYTES: usize = 16;
/// Bytes of an entry: those of the signature, and the second until which it is remembered.
const ENTRY_BYTES: usize = KEPT_BYTES + size_of::<u64>();

/// Whether a signature was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    New,
    Replayed,
    /// Too many at a time to remember this one.
    NoRoom,
}

/// Looks whether a signature was seen, and remembers it if not. Of workers that ask at once, one is told that it is new.
pub(crate) fn remember<H: Host>(proxy: &Proxy<'_, H>, mac: &[u8], now: u64, until: u64) -> Freshness {
    let Some(kept) = mac.first_chunk::<KEPT_BYTES>() else { return Freshness::NoRoom };
    let slot = kept.first_chunk::<2>().map_or(0, |first| u32::from(u16::from_le_bytes(*first)) % SLOTS);
    let mut freshness = Freshness::NoRoom;
    let updated = proxy.update_shared(&format!("hmac-auth/{slot}"), |old| {
        let (result, new) = insert(old.unwrap_or_default(), kept, now, until);
        freshness = result;
        new
    });
    if updated.is_ok() { freshness } else { Freshness::NoRoom }
}

/// A slot with a further entry and without those that are out of date; `None` if nothing changes.
fn insert(slot: &[u8], kept: &[u8; KEPT_BYTES], now: u64, until: u64) -> (Freshness, Option<Vec<u8>>) {
    let mut new = Vec::with_capacity(slot.len() + ENTRY_BYTES);
    let (entries, _) = slot.as_chunks::<ENTRY_BYTES>();
    for entry in entries {
        let remembered = entry.last_chunk::<8>().is_some_and(|until| u64::from_le_bytes(*until) >= now);
        if !remembered {
            continue;
        }
        if entry.starts_with(kept) {
            return (Freshness::Replayed, None);
        }
        new.extend_from_slice(entry);
    }
    if new.len() >= ENTRIES_MAX * ENTRY_BYTES {
        return (Freshness::NoRoom, None);
    }
    new.extend_from_slice(kept);
    new.extend_from_slice(&until.to_le_bytes());
    (Freshness::New, Some(new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(number: usize) -> [u8; KEPT_BYTES] {
        let mut kept = [7; KEPT_BYTES];
        for (place, byte) in kept.iter_mut().zip(number.to_le_bytes()) {
            *place = byte;
        }
        kept
    }

    #[test]
    fn an_entry_is_forgotten_after_its_time_and_not_before() {
        let (first, slot) = insert(&[], &kept(1), 100, 160);
        let slot = slot.unwrap_or_default();
        assert_eq!((first, slot.len()), (Freshness::New, ENTRY_BYTES));
        assert_eq!(insert(&slot, &kept(1), 160, 220), (Freshness::Replayed, None));
        let (again, slot) = insert(&slot, &kept(1), 161, 221);
        assert_eq!((again, slot.map(|slot| slot.len())), (Freshness::New, Some(ENTRY_BYTES)));
    }

    #[test]
    fn a_full_slot_refuses_until_an_entry_is_out_of_date() {
        let mut slot = Vec::new();
        for number in 0..ENTRIES_MAX {
            let until = if number == 0 { 150 } else { 160 };
            slot = insert(&slot, &kept(number), 100, until).1.unwrap_or_default();
        }
        assert_eq!(insert(&slot, &kept(ENTRIES_MAX), 150, 210), (Freshness::NoRoom, None));
        assert_eq!(insert(&slot, &kept(ENTRIES_MAX), 151, 211).0, Freshness::New);
    }
}
