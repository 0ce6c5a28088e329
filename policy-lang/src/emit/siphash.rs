//! Hashes of values in logs: SipHash-2-4 of 128 bits under the key of the mesh. The definition is
//! `log::LogKey::hash`.
//!
//! The key is the plugin's configuration: [`LOG_KEY_BYTES`] bytes. Without it nothing is hashed, and a value is masked.

use super::code::{Body, Global, I32, I64, Local, Operand, Value};
use super::emitter::Emitter;
use super::json::hex_digit;
use super::memory::{ADDRESS_GROUPS, OUT, OUT_LENGTH};
use super::parts::Part;
use crate::log::{LOG_KEY_BYTES, MASK};
use chancery_sdk_abi::{BufferType, host_calls};

/// Writes the hash of a text in quotes.
pub(super) const SHOW_HASH: Part = Part::new("show hash", |emitter, _| emitter.write_show_hash());
/// The callback in which the key comes.
pub(super) const ON_CONFIGURE: Part = Part::new("on configure", |emitter, _| emitter.write_on_configure());

/// What the words of the state begin with, each under a half of the key (Aumasson and Bernstein, 2012).
pub(super) const INITIAL: [i64; 4] =
    [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573];
/// Rounds for each word.
const ROUNDS: u64 = 2;
/// Rounds behind the last word, for each half of the hash.
const FINAL_ROUNDS: u64 = 4;
/// Digits of a hash.
const DIGITS: u32 = 32;

impl Emitter<'_> {
    /// The halves of the key, and whether there is one. They go on from request to request.
    fn log_key(&mut self) -> (Global, Global, Global) {
        (self.global("key low", I64), self.global("key high", I64), self.global("key known", I32))
    }

    /// ```text
    /// proxy_on_configure(root, size):
    ///     keep the key, if the configuration is one; 1
    /// ```
    fn write_on_configure(&mut self) -> Body {
        let (low, high, known) = self.log_key();
        let start = self.arena_start();
        let mut b = Body::new(&[I32, I32], &[I32]);
        let size = b.param(1);
        let wanted = LOG_KEY_BYTES as u32;
        b.if_(size.eq(wanted), |b| {
            b.store64(0, OUT, 0_i64);
            let buffer = BufferType::PluginConfiguration.number();
            let arguments = [buffer.into(), 0.into(), wanted.into(), OUT.into(), OUT_LENGTH.into()];
            let status = self.host(host_calls::GET_BUFFER_BYTES, &arguments);
            let status = b.let_(status);
            let at = b.let_(Value::from(0).load32(OUT));
            let is_key = Value::from(0).load32(OUT_LENGTH).eq(wanted);
            let in_arena = (at - start).le_u(super::memory::ARENA_BYTES - wanted);
            b.if_(status.eqz() & is_key & in_arena, |b| {
                b.set_global(low, at.load64(0));
                b.set_global(high, at.load64(8));
                b.set_global(known, 1);
            });
        });
        b.push(1);
        b
    }

    /// ```text
    /// show_hash(at, length):
    ///     "***" without a key, else 32 digits
    /// ```
    fn write_show_hash(&mut self) -> Body {
        let (low, high, known) = self.log_key();
        let mut b = Body::new(&[I32, I32], &[]);
        let (at, length) = (b.param(0), b.param(1));
        b.if_(Value::from(known).eqz(), |b| {
            self.show(b, &format!("\"{MASK}\""));
            b.return_();
        });
        let whole = b.let_(length);
        let v = [
            b.let_(Value::from(low) ^ INITIAL[0]),
            b.let_(Value::from(high) ^ (INITIAL[1] ^ 0xee)),
            b.let_(Value::from(low) ^ INITIAL[2]),
            b.let_(Value::from(high) ^ INITIAL[3]),
        ];
        absorb(&mut b, v, (at, length), whole, ROUNDS);
        let [v0, v1, v2, v3] = v;
        let digits = self.data.table(&[0; DIGITS as usize + 2]);
        b.store8(0, digits, i32::from(b'"'));
        b.store8(0, digits + DIGITS + 1, i32::from(b'"'));
        let to = b.let_(digits + 1);
        for (changed, mark) in [(v2, 0xee_i64), (v1, 0xdd)] {
            b.set(changed, changed ^ mark);
            (0..FINAL_ROUNDS).for_each(|_| sip_round(&mut b, v));
            b.store64(0, ADDRESS_GROUPS, v0 ^ v1 ^ v2 ^ v3);
            let byte = b.local(I32);
            for offset in 0..8 {
                b.set(byte, Value::from(0).load8(ADDRESS_GROUPS + offset));
                b.store8(to, 2 * offset, hex_digit(byte >> 4));
                b.store8(to, 2 * offset + 1, hex_digit(byte & 15));
            }
            b.set(to, to + 16);
        }
        self.show_bytes(&mut b, digits, DIGITS + 2, DIGITS + 2);
        b
    }
}

/// Takes a text of `whole` bytes into a state, with `rounds` for each word; `at` and `length` are used up.
pub(super) fn absorb(b: &mut Body, v: [Local; 4], (at, length): (Local, Local), whole: Local, rounds: u64) {
    let word = b.local(I64);
    b.while_words(length.ge_u(8), |b, _| {
        b.set(word, at.load64(0));
        compress(b, v, word, rounds);
        b.set(at, at + 8);
        b.set(length, length - 8);
    });
    let mask = (Value::from(1_i64) << (length.extend() << 3_i64)) - 1_i64;
    b.set(word, (at.load64(0) & mask) | (whole.extend() << 56_i64));
    compress(b, v, word, rounds);
}

fn compress(b: &mut Body, v: [Local; 4], word: Local, rounds: u64) {
    let [v0, _, _, v3] = v;
    b.set(v3, v3 ^ word);
    (0..rounds).for_each(|_| sip_round(b, v));
    b.set(v0, v0 ^ word);
}

/// A round of SipHash (Aumasson and Bernstein, 2012).
pub(super) fn sip_round(b: &mut Body, [v0, v1, v2, v3]: [Local; 4]) {
    b.set(v0, v0 + v1);
    b.set(v1, v1.rotl(13) ^ v0);
    b.set(v0, v0.rotl(32));
    b.set(v2, v2 + v3);
    b.set(v3, v3.rotl(16) ^ v2);
    b.set(v0, v0 + v3);
    b.set(v3, v3.rotl(21) ^ v0);
    b.set(v2, v2 + v1);
    b.set(v1, v1.rotl(17) ^ v2);
    b.set(v2, v2.rotl(32));
}
