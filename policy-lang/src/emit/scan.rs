//! The scan: all headers in one host call, and where the asked ones lie.

use super::code::{Body, I32, Label, Local, Operand, Value};
use super::emitter::Emitter;
use super::entry::MALLOC;
use super::keys::Keys;
use super::memory::{ARENA_BYTES, OUT, OUT_LENGTH};
use super::parts::Part;
use chancery_sdk_abi::{MapType, host_calls};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Finds the headers.
pub(super) const SCAN: Part = Part::new("scan", |emitter, _| emitter.write_scan());

/// Two lengths.
const ENTRY_BYTES: u32 = 8;

/// Adds the names of headers, each with the address of its slot; gives their space.
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
            let offset = pairs - self.arena_start();
            b.br_if(unreadable, offset.gt_u(ARENA_BYTES));
            let room = Value::from(self.arena_start()) + ARENA_BYTES - pairs;
            b.br_if(unreadable, length.gt_u(room));
            b.br_if(unreadable, length.lt_u(4));
            let count = b.let_(pairs.load32(0));
            b.br_if(unreadable, count.gt_u((length - 4) >> 3));
            let entry = b.let_(pairs + 4);
            let entries_end = b.let_(entry + count * ENTRY_BYTES);
            let key = b.let_(entries_end);
            let end = b.let_(pairs + length);
            b.while_(entry.lt_u(entries_end), |b, _| self.scan_pair(b, entry, key, end, unreadable));
            b.return_();
        });
        let fault = self.fault();
        // A host that found no room has set the fault already.
        b.if_(Value::from(fault).eqz(), |b| b.set_global(fault, self.answers.unreadable));
        b
    }

    fn scan_pair(&mut self, b: &mut Body, entry: Local, key: Local, end: Local, unreadable: Label) {
        let key_length = b.let_(entry.load32(0));
        let value_length = b.let_(entry.load32(4));
        b.br_if(unreadable, key_length.ge_u(end - key));
        let value = b.let_(key + key_length + 1);
        b.br_if(unreadable, value_length.ge_u(end - value));
        // Lengths that differ by 64 share a bit of the mask; the look-up tells them apart.
        let mask = self.layout.slots.keys().fold(0_u64, |mask, name| mask | 1 << (name.len() % 64));
        let bit = key_length.extend();
        b.if_(((Value::from(mask) >> bit) & 1_i64).wrap(), |b| {
            let slot = self.lookup(self.names, key, key_length);
            let slot = b.let_(slot);
            b.if_(slot, |b| {
                let (text, length) = (b.let_(value), b.let_(value_length));
                trim_blanks(b, text, length);
                self.fill_slot(b, slot, text, length);
            });
        });
        b.set(key, value + value_length + 1);
        b.set(entry, entry + ENTRY_BYTES);
    }

    /// Puts a value into a slot, or joins it with the one that is there: where that ends the used
    /// part of the arena, it is extended, else it is copied.
    fn fill_slot(&mut self, b: &mut Body, slot: Local, value: Local, length: Local) {
        let before = b.let_(slot.load32(0));
        let before_length = b.let_(slot.load32(4));
        let malloc = self.part(MALLOC);
        let free = self.free();
        b.if_else(
            before.eqz(),
            |b| {
                b.store32(slot, 0, value);
                b.store32(slot, 4, length);
            },
            |b| {
                let bytes = b.let_(length + 1);
                let is_last = b.let_((before + before_length).eq(free));
                b.if_(is_last.eqz(), |b| b.set(bytes, bytes + before_length));
                let joined = b.let_(Value::call(malloc, &[bytes.into()], I32));
                b.if_(joined, |b| {
                    b.if_(is_last.eqz(), |b| {
                        b.copy(joined, before, before_length);
                        b.store32(slot, 0, joined);
                        b.set(joined, joined + before_length);
                    });
                    b.store8(joined, 0, i32::from(b','));
                    b.copy(joined + 1, value, length);
                    b.store32(slot, 4, before_length + length + 1);
                });
            },
        );
    }
}

/// Takes the blanks around a text away, as `request::trim` does.
fn trim_blanks(b: &mut Body, text: Local, length: Local) {
    b.while_(length, |b, out| {
        b.br_if(out, (text + length - 1).load8(0).gt_u(i32::from(b' ')));
        b.set(length, length - 1);
    });
    b.while_(length, |b, out| {
        b.br_if(out, text.load8(0).gt_u(i32::from(b' ')));
        b.set(text, text + 1);
        b.set(length, length - 1);
    });
}
