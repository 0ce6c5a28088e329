//! The hash tables of a module: strings of a space, and the number that each stands for.
//!
//! A *space* is what the strings mean: header names, the values of one header, the segments behind
//! one state of a path. A string that is found is compared byte by byte, so that a collision of
//! hashes decides nothing. The strings are the policy's own; nobody who sends a request can lengthen
//! a chain.
//!
//! There are two tables. Strings of 1 to 8 bytes, which most are, stand in their entry as one word
//! and are compared with one instruction; the entry of any other has the address of its bytes.

use super::code::{Body, I32, Local, Operand, Value};
use super::cost::Linear;
use super::data::Data;
use super::emitter::Emitter;
use super::parts::Part;
use crate::bug::{Bug, OrBug as _, number};

/// Looks a string up.
pub(super) const LOOKUP: Part = Part::new("lookup", |emitter, _| emitter.write_lookup());
/// Looks a string up that is not short.
pub(super) const LOOKUP_LONG: Part = Part::new("lookup long", |emitter, _| emitter.write_lookup_long());
/// Compares two strings of one length.
pub(super) const EQUAL: Part = Part::new("equal", |emitter, _| emitter.write_equal());

/// What strings are multiplied with, or odd multiples of it.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
/// So many multipliers are tried for a table of few keys, so many hashes computed for any.
const MULTIPLIERS_MAX: usize = 64;
const HASHES_MAX: usize = 1 << 16;
/// A table of so many keys has fewer empty places.
const FEW_KEYS_MAX: usize = 64;
/// Strings of up to so many bytes are short.
const SHORT_BYTES_MAX: usize = 8;
/// Bytes of an entry of both tables.
const ENTRY_BYTES: usize = 16;

// An entry of a short string: its bytes as a word, the missing ones in front; space and length, of which `LENGTH_BITS` are the
// length, 0 for an empty entry; the number.
const SHORT_META: u32 = 8;
const SHORT_NUMBER: u32 = 12;
const LENGTH_BITS: u32 = 4;

// An entry of a long string: its address, 0 for an empty entry; the number; length and space.
const LONG_NUMBER: u32 = 4;
const LONG_META: u32 = 8;

/// The strings under construction.
#[derive(Debug, Default)]
pub(super) struct Keys {
    short: Vec<Key>,
    long: Vec<Key>,
    spaces: u32,
}

#[derive(Debug)]
struct Key {
    space: u32,
    text: Vec<u8>,
    number: u32,
}

/// Where the finished tables lie.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tables {
    short: Table,
    /// `None` if there is no long string.
    long: Option<Table>,
    /// The most entries that one look-up compares.
    chain_max: u32,
    /// How long the longest string is, if one is not short.
    pub(super) bytes_max: u32,
}

/// One table.
#[derive(Clone, Copy, Debug, Default)]
struct Table {
    address: u32,
    capacity: u32,
    multiplier: u64,
}

impl Keys {
    /// So many new spaces, numbered from the result on; never 0.
    pub(super) fn spaces(&mut self, count: u32) -> u32 {
        let first = self.spaces + 1;
        self.spaces += count;
        first
    }

    /// Adds a string; its number must not be 0.
    pub(super) fn add(&mut self, space: u32, text: impl AsRef<[u8]>, number: u32) {
        let text = text.as_ref().to_vec();
        let is_short = (1..=SHORT_BYTES_MAX).contains(&text.len());
        let keys = if is_short { &mut self.short } else { &mut self.long };
        keys.push(Key { space, text, number });
    }

    /// Lays the tables out.
    pub(super) fn finish(&self, data: &mut Data) -> Result<Tables, Bug> {
        let (short, short_chain) = lay_out(&self.short, data, Key::short_hash, |key, _| {
            let [low, high] = halves(high_word(&key.text));
            Ok([low, high, short_meta(key.space, key.text.len()), key.number])
        })?;
        let (long, long_chain) = lay_out(&self.long, data, Key::long_hash, |key, data| {
            Ok([data.string(&key.text), key.number, number(key.text.len())?, key.space])
        })?;
        let longest = self.long.iter().map(|key| key.text.len()).max().unwrap_or_default();
        let long = (!self.long.is_empty()).then_some(long);
        Ok(Tables { short, long, chain_max: short_chain.max(long_chain), bytes_max: number(longest)? })
    }
}

impl Key {
    /// The same hash as the generated function computes of a short string.
    fn short_hash(&self, multiplier: u64) -> u64 {
        let meta = short_meta(self.space, self.text.len());
        (high_word(&self.text) ^ u64::from(meta)).wrapping_mul(multiplier)
    }

    /// The same hash as the generated function computes of a long string.
    fn long_hash(&self, multiplier: u64) -> u64 {
        let meta = self.text.len() as u64 | u64::from(self.space) << 32;
        self.text.chunks(8).fold(meta.wrapping_mul(multiplier), |hash, chunk| {
            let hash = (hash ^ word(chunk)).wrapping_mul(multiplier);
            hash ^ (hash >> 32)
        })
    }
}

/// A table of entries at their hashes, and its longest chain: whoever sends a request can ask for the longest one
/// again and again.
fn lay_out(
    keys: &[Key],
    data: &mut Data,
    hash: fn(&Key, u64) -> u64,
    entry: fn(&Key, &mut Data) -> Result<[u32; 4], Bug>,
) -> Result<(Table, u32), Bug> {
    let Placed { places, multiplier, chain_max, .. } = place_best(keys, hash)?;
    let mut bytes = Vec::with_capacity(places.len() * ENTRY_BYTES);
    for place in &places {
        let words = place.map_or(Ok([0; 4]), |key| entry(key, data))?;
        bytes.extend(words.into_iter().flat_map(u32::to_le_bytes));
    }
    let capacity = number(places.len())?;
    Ok((Table { address: data.table(&bytes), capacity, multiplier }, chain_max))
}

/// Where the keys of a table stand.
struct Placed<'a> {
    places: Vec<Option<&'a Key>>,
    multiplier: u64,
    /// The most entries that a look-up compares.
    chain_max: u32,
    /// How many entries are compared if each key is looked up.
    compared: u32,
}

/// The keys by the multiplier with which the longest chain is the shortest, and then all of them together.
fn place_best(keys: &[Key], hash: fn(&Key, u64) -> u64) -> Result<Placed<'_>, Bug> {
    let mut best = place(keys, hash, MULTIPLIER)?;
    for at in 1..(HASHES_MAX / keys.len().max(1)).min(MULTIPLIERS_MAX) as u64 {
        // Odd, so that nothing of a string is lost.
        let other = place(keys, hash, MULTIPLIER.wrapping_mul(2 * at + 1))?;
        if (other.chain_max, other.compared) < (best.chain_max, best.compared) {
            best = other;
        }
    }
    Ok(best)
}

/// Each key at its hash, or at the next free place behind it.
fn place(keys: &[Key], hash: fn(&Key, u64) -> u64, multiplier: u64) -> Result<Placed<'_>, Bug> {
    // Places stay empty, so that chains are short; fewer where a good multiplier is found for so few keys.
    let empty = if keys.len() <= FEW_KEYS_MAX { keys.len() / 2 } else { keys.len() };
    let capacity = keys.len() + empty + 1;
    let mut placed = Placed { places: vec![None; capacity], multiplier, chain_max: 1, compared: 0 };
    for key in keys {
        let mut at = (((hash(key, multiplier) >> 32) * capacity as u64) >> 32) as usize;
        let mut chain = 1;
        while placed.places.get(at).is_some_and(Option::is_some) {
            at = (at + 1) % capacity;
            chain += 1;
        }
        placed.chain_max = placed.chain_max.max(chain);
        placed.compared += chain;
        *placed.places.get_mut(at).or_bug("a table has room for all its keys")? = Some(key);
    }
    Ok(placed)
}

/// Up to 8 bytes as a word, the missing ones 0.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (byte, value) in word.iter_mut().zip(bytes) {
        *byte = *value;
    }
    u64::from_le_bytes(word)
}

/// Up to 8 bytes as a word, the missing ones 0 and in front.
fn high_word(bytes: &[u8]) -> u64 {
    let missing = SHORT_BYTES_MAX.saturating_sub(bytes.len()) as u32;
    word(bytes).checked_shl(u8::BITS * missing).unwrap_or_default()
}

fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

fn short_meta(space: u32, length: usize) -> u32 {
    space << LENGTH_BITS | length as u32
}

impl Emitter<'_> {
    /// `lookup(space, text)`: the number of the string in the space, 0 if it is not there.
    pub(super) fn lookup(
        &mut self,
        space: impl Into<Value>,
        text: impl Into<Value>,
        length: impl Into<Value>,
    ) -> Value {
        // What it takes does not grow with the text, but with the longest string of the tables.
        self.lookup_within(space, text, length, self.keys.bytes_max)
    }

    /// The same of a text that is no longer than this, or longer than the longest string of the tables.
    pub(super) fn lookup_within(
        &mut self,
        space: impl Into<Value>,
        text: impl Into<Value>,
        length: impl Into<Value>,
        bytes_max: u32,
    ) -> Value {
        let function = self.part(LOOKUP);
        let over = Linear::constant(bytes_max.min(self.keys.bytes_max).into());
        Value::call_over(function, &[space.into(), text.into(), length.into()], I32, over)
    }

    /// ```text
    /// lookup(space, text, length):
    ///     1 to 8 bytes: hash the word
    ///         from the entry at hash on: 0 if it is empty; its number if it has this word and space
    ///     else: see lookup_long
    /// ```
    pub(super) fn write_lookup(&mut self) -> Body {
        let table = self.keys.short;
        let mut b = Body::new(&[I32, I32, I32], &[I32]);
        let (space, text, length) = (b.param(0), b.param(1), b.param(2));
        b.if_((length - 1).ge_u(SHORT_BYTES_MAX as u32), |b| match self.keys.long {
            None => b.return_value(0),
            Some(_) => {
                let long = self.part(LOOKUP_LONG);
                let arguments = [space.into(), text.into(), length.into()];
                b.return_value(Value::call(long, &arguments, I32));
            }
        });
        let meta = b.let_((space << LENGTH_BITS) | length);
        // What is read behind the string is shifted out; of the distance the low six bits count.
        let missing = (Value::from(0) - length) << 3;
        let word = b.let_(text.load64(0) << missing.extend());
        let hash = (word ^ meta.extend()) * table.multiplier;
        let entry = b.let_(first_entry(hash, table));
        b.while_times(self.keys.chain_max.into(), entry.load32(SHORT_META), |b, _| {
            b.if_(entry.load64(0).eq(word) & entry.load32(SHORT_META).eq(meta), |b| {
                b.return_value(entry.load32(SHORT_NUMBER));
            });
            next_entry(b, entry, table);
        });
        b.push(0);
        b
    }

    /// ```text
    /// lookup_long(space, text, length):
    ///     hash length, space and text, 8 bytes at a time
    ///     from the entry at hash on: 0 if it is empty; its number if it is this string
    /// ```
    pub(super) fn write_lookup_long(&mut self) -> Body {
        let found = self.keys.long.or_bug("long strings are looked up where there are some");
        let table = self.sound(found, Table::default());
        let mut b = Body::new(&[I32, I32, I32], &[I32]);
        let (space, text, length) = (b.param(0), b.param(1), b.param(2));
        // A text that is longer than all known ones is not even hashed, for its sender chose it.
        b.if_(length.gt_u(self.keys.bytes_max), |b| b.return_value(0));
        self.find_long(&mut b, table, (space, text, length));
        b.push(0);
        b
    }

    /// Returns the number of a string if the table has it in the space.
    fn find_long(&mut self, b: &mut Body, table: Table, (space, text, length): (Local, Local, Local)) {
        let meta = b.let_(length.extend() | (space.extend() << 32_i64));
        // In a variable it takes less room.
        let multiplier = b.let_(table.multiplier);
        let hash = b.let_(meta * multiplier);
        let at = b.let_(text);
        let left = b.let_(length);
        let mix = |b: &mut Body, word: Value| {
            b.set(hash, (hash ^ word) * multiplier);
            b.set(hash, hash ^ (hash >> 32_i64));
        };
        b.while_words(left.ge_u(8), |b, _| {
            mix(b, at.load64(0));
            b.set(at, at + 8);
            b.set(left, left - 8);
        });
        b.if_(left, |b| mix(b, at.load64(0) & low_bytes(left.extend())));
        let entry = b.let_(first_entry(hash.into(), table));
        let equal = self.part(EQUAL);
        b.while_times(self.keys.chain_max.into(), entry.load32(0), |b, _| {
            b.if_(entry.load64(LONG_META).eq(meta), |b| {
                let same = Value::call(equal, &[entry.load32(0), text.into(), length.into()], I32);
                b.if_(same, |b| b.return_value(entry.load32(LONG_NUMBER)));
            });
            next_entry(b, entry, table);
        });
    }

    /// `equal(a, b, length)`, a word at a time.
    pub(super) fn write_equal(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32, I32], &[I32]);
        let (one, other, left) = (b.param(0), b.param(1), b.param(2));
        b.while_words(left.ge_u(8), |b, _| {
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

/// Where the chain of a hash begins.
fn first_entry(hash: Value, table: Table) -> Value {
    let index = (((hash >> 32_i64) * i64::from(table.capacity)) >> 32_i64).wrap();
    index * ENTRY_BYTES as i32 + table.address
}

/// Moves on to the next entry, from the last one to the first.
fn next_entry(b: &mut Body, entry: Local, table: Table) {
    b.set(entry, entry + ENTRY_BYTES as i32);
    let end = table.address + table.capacity * ENTRY_BYTES as u32;
    b.if_(entry.eq(end), |b| b.set(entry, table.address));
}

/// A mask of the lowest 1 to 7 bytes.
pub(super) fn low_bytes(count: Value) -> Value {
    (Value::from(-1_i64) << (count << 3_i64)) ^ -1_i64
}
