//! Limits that the replicas of a service share: each has its share of the rate, by the number of replicas that the VM is
//! configured with.
//!
//! Of `n` replicas, each takes `n` times as long for a token, in a bucket that takes as long to be full as the whole one: so it
//! has an `n`-th of the tokens, but room for one at least. A bucket says when it will be full, so that a share of it is as
//! full as the whole, and what is counted goes on when replicas come and go.
//!
//! A VM has one configuration as long as it lives, so that streams of a time before, which keep a VM, keep what it was told.

use super::code::{Body, I32, I64, Local, Operand, Value};
use super::emitter::Emitter;
use super::limits::{RECORD_FILLING, RECORD_IN_HAND, RECORD_SLACK, RECORD_STEP};
use super::memory::{OUT, OUT_LENGTH};
use crate::module::{CLOCK_SLACK_NS, SHARING_MAX};
use chancery_sdk_abi::{BufferType, host_calls};

/// Bytes of a number of replicas.
const NUMBER_BYTES: u32 = 4;
/// In the table of limits that are shared: the record, and how far from the first its number lies.
const ENTRY_OFFSET: u32 = 4;
const ENTRY_BYTES: u32 = 8;
/// That many times as long as a token takes may a bucket be full later than an empty one: replicas that were three and
/// are one had a token that took thrice as long.
const FEWER_STEPS: i64 = 2;

impl Emitter<'_> {
    /// ```text
    /// once, if the configuration has a number for each share:
    ///     each shared limit takes so many times as long for a token, and no less to be full
    /// ```
    pub(super) fn take_in_replicas(&mut self, b: &mut Body, size: Local) {
        let known = self.global("shares known", I32);
        let start = self.arena_start();
        let shared = self.limits.shared.clone();
        let words = shared.iter().flat_map(|(record, share)| [*record, share * NUMBER_BYTES]);
        let table: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        let table = self.data.table(&table);
        let count = self.number(shared.len());
        let shares = self.plan.traffic.as_ref().map_or(0, |traffic| traffic.shares.len());
        let wanted = self.number(shares) * NUMBER_BYTES;
        b.if_(size.eq(wanted) & Value::from(known).eqz(), |b| {
            let buffer = BufferType::VmConfiguration.number();
            let arguments = [buffer.into(), 0.into(), wanted.into(), OUT.into(), OUT_LENGTH.into()];
            b.store64(0, OUT, 0_i64);
            let status = self.host(host_calls::GET_BUFFER_BYTES, &arguments);
            let status = b.let_(status);
            let numbers = b.let_(Value::from(0).load32(OUT));
            let is_whole = Value::from(0).load32(OUT_LENGTH).eq(wanted);
            let in_arena = (numbers - start).le_u(super::memory::ARENA_BYTES - wanted);
            b.if_(status.eqz() & is_whole & in_arena, |b| {
                b.set_global(known, 1);
                let (entry, left) = (b.let_(table), b.let_(count));
                let (record, number, replicas, step) =
                    (b.local(I32), b.local(I32), b.local(I64), b.local(I64));
                b.while_times(count.into(), left, |b, _| {
                    b.set(record, entry.load32(0));
                    b.set(number, (numbers + entry.load32(ENTRY_OFFSET)).load32(0));
                    b.if_(number.eqz(), |b| b.set(number, 1));
                    b.if_(number.gt_u(SHARING_MAX), |b| b.set(number, SHARING_MAX));
                    b.set(replicas, number.extend());
                    b.set(step, record.load64(RECORD_STEP) * replicas);
                    b.store64(record, RECORD_STEP, step);
                    b.if_(record.load64(RECORD_FILLING).lt_s(step), |b| {
                        b.store64(record, RECORD_FILLING, step)
                    });
                    let slack = step * FEWER_STEPS + CLOCK_SLACK_NS.cast_signed();
                    b.store64(record, RECORD_SLACK, slack);
                    // In hand are fewer by as much as there are more who take some.
                    b.store64(record, RECORD_IN_HAND, record.load64(RECORD_IN_HAND).div_s(replicas));
                    b.set(entry, entry + ENTRY_BYTES);
                    b.set(left, left - 1);
                });
            });
        });
    }
}
