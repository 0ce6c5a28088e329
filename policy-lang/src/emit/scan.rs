//! The scan: all headers in one host call, and where the asked ones lie.

use super::code::{Body, I32, Label, Local, Operand, Value};
use super::emitter::Emitter;
use super::entry::MALLOC;
use super::keys::Keys;
use super::memory::{ARENA_BYTES, OUT, OUT_LENGTH, SLOT_LENGTH, SLOT_ROOM};
use super::parts::Part;
use crate::module::{BYTES_SEEN_MAX, QUERY_PARAMETERS_MAX};
use chancery_sdk_abi::{MapType, host_calls};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Finds the headers.
pub(super) const SCAN: Part = Part::new("scan", |emitter, _| emitter.write_scan());

/// Puts a value into a slot, or joins it with the one that is there. What it copies of the values before
/// is paid by them, for it happens when they have doubled.
pub(super) const FILL_SLOT: Part = Part::new("fill slot", |emitter, _| emitter.write_fill_slot());

/// Two lengths.
const ENTRY_BYTES: u32 = 8;

/// Adds names, each with the address of its slot; gives their space.
pub(super) fn add_names(slots: &BTreeMap<Arc<str>, u32>, keys: &mut Keys) -> u32 {
    let space = keys.spaces(1);
    for (name, slot) in slots {
        keys.add(space, name.as_bytes(), *slot);
    }
    space
}

impl Emitter<'_> {
    /// ```text
    /// scan():
    ///     pairs = get_header_map_pairs()          count, (key length, value length)…, key NUL value NUL…
    ///     for each pair, if some name has the length of its key:
    ///         slot = lookup(names, key)
    ///         put the value there, without blanks around it; if one is there already, join them with a comma
    /// ```
    /// Bytes that are no pairs are a fault, and so is a host that gave none of the arena.
    pub(super) fn write_scan(&mut self) -> Body {
        let mut b = Body::new(&[], &[]);
        b.store64(0, OUT, 0_i64);
        let map = MapType::RequestHeaders.number();
        let status =
            self.host(host_calls::GET_HEADER_MAP_PAIRS, &[map.into(), OUT.into(), OUT_LENGTH.into()]);
        let status = b.let_(status);
        let pairs = b.let_(Value::from(0).load32(OUT));
        let length = b.let_(Value::from(0).load32(OUT_LENGTH));
        b.block(|b, unreadable| {
            b.br_if(unreadable, status);
            // They are the first thing in the arena.
            b.br_if(unreadable, pairs.ne(self.arena_start()) | length.gt_u(ARENA_BYTES));
            b.br_if(unreadable, length.lt_u(4));
            let count = b.let_(pairs.load32(0));
            b.br_if(unreadable, count.gt_u((length - 4) >> 3));
            let entry = b.let_(pairs + 4);
            let entries_end = b.let_(entry + count * ENTRY_BYTES);
            let key = b.let_(entries_end);
            let end = b.let_(pairs + length);
            let seen = b.local(I32);
            b.while_pairs(entry.lt_u(entries_end), |b, _| {
                self.scan_pair(b, (entry, key, end), seen, unreadable);
            });
            if !self.layout.query_slots.is_empty() {
                let mut size = self.size_of_path();
                size.add(&self.size_of_query());
                b.on(&size, |b| self.count_parameters(b));
            }
            b.return_();
        });
        let fault = self.fault();
        // A host that found no room has set the fault already.
        b.if_(Value::from(fault).eqz(), |b| b.set_global(fault, self.answers.unreadable));
        b
    }

    /// Refuses a request whose query has too many parameters.
    fn count_parameters(&mut self, b: &mut Body) {
        let slot = self.slot(":path");
        let at = b.let_(Value::from(0).load32(slot));
        let end = b.let_(at + Value::from(0).load32(slot + SLOT_LENGTH));
        let [byte, is_query, separators] = [(); 3].map(|()| b.local(I32));
        b.while_(at.lt_u(end), |b, _| {
            b.set(byte, at.load8(0));
            b.set(is_query, is_query | byte.eq(i32::from(b'?')));
            b.set(separators, separators + (byte.eq(i32::from(b'&')) & is_query));
            b.set(at, at + 1);
        });
        let fault = self.fault();
        b.if_(separators.ge_u(QUERY_PARAMETERS_MAX as u32), |b| {
            b.set_global(fault, self.answers.too_large);
        });
    }

    /// `seen` counts the bytes of values that are asked for; of too many the request is refused.
    fn scan_pair(
        &mut self,
        b: &mut Body,
        (entry, key, end): (Local, Local, Local),
        seen: Local,
        unreadable: Label,
    ) {
        let key_length = b.let_(entry.load32(0));
        let value_length = b.let_(entry.load32(4));
        b.br_if(unreadable, key_length.ge_u(end - key));
        let value = b.let_(key + key_length + 1);
        b.br_if(unreadable, value_length.ge_u(end - value));
        let next = b.let_(value + value_length + 1);
        b.if_(self.may_be_asked(key, key_length), |b| {
            let longest = self.longest_name();
            let slot = self.lookup_within(self.names, key, key_length, longest);
            let slot = b.let_(slot);
            b.if_(slot, |b| {
                b.set(seen, seen + value_length + 1);
                b.if_(seen.gt_u(BYTES_SEEN_MAX as u32), |b| {
                    let fault = self.fault();
                    b.set_global(fault, self.answers.too_large);
                    b.br(unreadable);
                });
                let blanks = self.size_of_blanks();
                b.on(&blanks, |b| trim_blanks(b, value, value_length));
                b.call(self.part(FILL_SLOT), &[slot.into(), value.into(), value_length.into()], &[]);
            });
        });
        b.set(key, next);
        b.set(entry, entry + ENTRY_BYTES);
    }

    /// Whether a name can be one that is asked for, by its length and its last byte. Their sum modulo 64 is a bit;
    /// the look-up tells names apart that share one.
    fn may_be_asked(&mut self, name: Local, length: Local) -> Value {
        let bit = |name: &Arc<str>| name.len() + usize::from(name.bytes().last().unwrap_or_default());
        let mask = self.layout.slots.keys().fold(0_u64, |mask, name| mask | 1 << (bit(name) % 64));
        // In front of a name that is empty something is there to be read, too.
        let last = (name + length - 1).load8(0);
        let known = (Value::from(mask) >> (last + length).extend()).wrap();
        // A longer one is not even hashed, for its sender chose it.
        known & length.le_u(self.longest_name())
    }

    /// How long the longest name is that is asked for.
    fn longest_name(&mut self) -> u32 {
        let longest = self.layout.slots.keys().map(|name| name.len()).max();
        self.number(longest.unwrap_or_default())
    }

    /// ```text
    /// fill_slot(slot, value, length):
    ///     put the value there, or join it with what is there: where there is no room for both,
    ///     in twice the room that both need, so that each byte is copied but a few times; there is always
    ///     room for another byte
    /// ```
    fn write_fill_slot(&mut self) -> Body {
        let malloc = self.part(MALLOC);
        let mut b = Body::new(&[I32, I32, I32], &[]);
        let (slot, value, length) = (b.param(0), b.param(1), b.param(2));
        let before = b.let_(slot.load32(0));
        b.if_(before.eqz(), |b| {
            b.store32(slot, 0, value);
            b.store32(slot, SLOT_LENGTH, length);
            b.return_();
        });
        let before_length = b.let_(slot.load32(SLOT_LENGTH));
        let whole = b.let_(before_length + length + 1);
        b.if_(whole.ge_u(slot.load32(SLOT_ROOM)), |b| {
            let room = b.let_(Value::call(malloc, &[whole << 1], I32));
            b.if_(room.eqz(), |b| b.return_());
            b.copy(room, before, before_length);
            b.set(before, room);
            b.store32(slot, 0, room);
            b.store32(slot, SLOT_ROOM, whole << 1);
        });
        let comma = before + before_length;
        b.store8(comma.clone(), 0, i32::from(b','));
        b.copy(comma + 1, value, length);
        b.store32(slot, SLOT_LENGTH, whole);
        b
    }
}

/// Takes the blanks around a text away, as `request::trim` does.
pub(super) fn trim_blanks(b: &mut Body, text: Local, length: Local) {
    b.in_turn(
        |b| {
            b.while_(length, |b, out| {
                b.br_if(out, (text + length - 1).load8(0).gt_u(i32::from(b' ')));
                b.set(length, length - 1);
            });
        },
        |b| {
            b.while_(length, |b, out| {
                b.br_if(out, text.load8(0).gt_u(i32::from(b' ')));
                b.set(text, text + 1);
                b.set(length, length - 1);
            });
        },
    );
}
