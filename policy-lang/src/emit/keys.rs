//! The one hash table of a module: strings of a space, and the number that each stands for.
//!
//! A *space* is what the strings mean: header names, the values of one header, the segments behind
//! one state of a path. A string that is found is compared byte by byte, so that a collision of
//! hashes decides nothing. The strings are the policy's own; nobody who sends a request can lengthen
//! a chain.

use super::code::{Body, I32, Operand, Value};
use super::data::Data;
use super::module::{Emitter, Part};

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
/// Bytes of an entry: address, number, length, space.
const ENTRY_BYTES: usize = 16;

/// The strings under construction.
#[derive(Debug, Default)]
pub(super) struct Keys {
    entries: Vec<Key>,
    spaces: u32,
}

#[derive(Debug)]
struct Key {
    space: u32,
    text: Vec<u8>,
    number: u32,
}

/// Where the finished table lies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Table {
    address: u32,
    capacity: u32,
    /// The most entries that one look-up compares.
    pub(super) chain_max: u32,
}

impl Keys {
    /// So many new spaces, numbered from the result on.
    pub(super) fn spaces(&mut self, count: u32) -> u32 {
        let first = self.spaces + 1;
        self.spaces += count;
        first
    }

    /// Adds a string; its number must not be 0.
    pub(super) fn add(&mut self, space: u32, text: impl AsRef<[u8]>, number: u32) {
        self.entries.push(Key { space, text: text.as_ref().to_vec(), number });
    }

    /// Lays the table out.
    pub(super) fn finish(&self, data: &mut Data) -> Table {
        let capacity = self.entries.len() + self.entries.len() / 3 + 1;
        let mut slots: Vec<Option<&Key>> = vec![None; capacity];
        let mut chain_max = 1;
        for key in &self.entries {
            let mut at = index(hash(key.space, &key.text), capacity);
            let mut chain = 1;
            while slots.get(at).is_some_and(Option::is_some) {
                at = (at + 1) % capacity;
                chain += 1;
            }
            chain_max = chain_max.max(chain);
            if let Some(slot) = slots.get_mut(at) {
                *slot = Some(key);
            }
        }
        let mut bytes = Vec::with_capacity(capacity * ENTRY_BYTES);
        for slot in slots {
            let entry = slot.map_or([0; 4], |key| {
                let length = u32::try_from(key.text.len()).unwrap_or(u32::MAX);
                [data.string(&key.text), key.number, length, key.space]
            });
            bytes.extend(entry.into_iter().flat_map(u32::to_le_bytes));
        }
        let capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
        Table { address: data.table(&bytes), capacity, chain_max }
    }
}

/// The same hash as the generated function computes.
fn hash(space: u32, text: &[u8]) -> u64 {
    let mut hash = (text.len() as u64 | u64::from(space) << 32).wrapping_mul(MULTIPLIER);
    for chunk in text.chunks(8) {
        let mut word = [0; 8];
        for (byte, value) in word.iter_mut().zip(chunk) {
            *byte = *value;
        }
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
        hash ^= hash >> 32;
    }
    hash
}

fn index(hash: u64, capacity: usize) -> usize {
    (((hash >> 32) * capacity as u64) >> 32) as usize
}

impl Emitter<'_> {
    /// `lookup(space, text)`: the number of the string in the space, 0 if it is not there.
    pub(super) fn lookup(
        &mut self,
        space: impl Into<Value>,
        text: impl Into<Value>,
        length: impl Into<Value>,
    ) -> Value {
        let function = self.part(Part::Lookup);
        Value::call(function, &[space.into(), text.into(), length.into()], I32)
    }

    /// ```text
    /// lookup(space, text, length):
    ///     hash length, space and text, 8 bytes at a time
    ///     from the entry at hash on: 0 if it is empty; its number if it is this string
    /// ```
    pub(super) fn write_lookup(&mut self) -> Body {
        let table = self.keys_table;
        let mut b = Body::new(&[I32, I32, I32], &[I32]);
        let (space, text, length) = (b.param(0), b.param(1), b.param(2));
        let key = b.let_(length.extend() | (space.extend() << 32_i64));
        let hash = b.let_(key * MULTIPLIER);
        let at = b.let_(text);
        let left = b.let_(length);
        let mix = |b: &mut Body, word: Value| {
            b.set(hash, (hash ^ word) * MULTIPLIER);
            b.set(hash, hash ^ (hash >> 32_i64));
        };
        b.while_(left.ge_u(8), |b, _| {
            mix(b, at.load64(0));
            b.set(at, at + 8);
            b.set(left, left - 8);
        });
        b.if_(left, |b| mix(b, at.load64(0) & low_bytes(left.extend())));
        let index = (((hash >> 32_i64) * i64::from(table.capacity)) >> 32_i64).wrap();
        let entry = b.let_(index * ENTRY_BYTES as i32 + table.address);
        let equal = self.part(Part::Equal);
        b.while_(entry.load32(0), |b, _| {
            b.if_(entry.load64(8).eq(key), |b| {
                let same = Value::call(equal, &[entry.load32(0), text.into(), length.into()], I32);
                b.if_(same, |b| b.return_value(entry.load32(4)));
            });
            b.set(entry, entry + ENTRY_BYTES as i32);
            let end = table.address + table.capacity * ENTRY_BYTES as u32;
            b.if_(entry.eq(end), |b| b.set(entry, table.address));
        });
        b.push(0);
        b
    }

    /// `equal(a, b, length)`, a word at a time.
    pub(super) fn write_equal(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32, I32], &[I32]);
        let (one, other, left) = (b.param(0), b.param(1), b.param(2));
        b.while_(left.ge_u(8), |b, _| {
            b.if_(one.load64(0).ne(other.load64(0)), |b| b.return_value(0));
            b.set(one, one + 8);
            b.set(other, other + 8);
            b.set(left, left - 8);
        });
        b.if_(left.eqz(), |b| b.return_value(1));
        b.push(((one.load64(0) ^ other.load64(0)) & low_bytes(left.extend())).eqz());
        b
    }
}

/// A mask of the lowest 1 to 7 bytes.
fn low_bytes(count: Value) -> Value {
    (Value::from(-1_i64) << (count << 3_i64)) ^ -1_i64
}
