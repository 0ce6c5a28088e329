//! Limits: buckets in the data that the workers of a proxy share, each changed by compare-and-swap.
//!
//! The definition is `eval::Buckets`. A bucket says when it will be full again, and the hash of what it is for. Its
//! name is the hash of its limit's id or, where the limit has keys, the number of one of [`SLOTS`] places, by a keyed
//! hash of their values: a client that chooses values cannot know which are neighbours. A place that another bucket
//! has is left to it while that is not full, and one of the next [`NEIGHBOURS`] is taken.
//!
//! Reading what workers share is what a limit costs most, so a worker knows by itself what it need not read. When a bucket
//! that is large gives a token, it gives some more, which the worker keeps (*in hand*) for the requests that follow: so
//! few, that those in hand of a few workers are less than a hundredth of the bucket. And when a bucket has no token, it has
//! none before a certain time, whatever others do.
//!
//! ```text
//! limits():            look at the bucket of each limit that matches, once; keep what the first without a token says
//! take(shadow):        take a token from each, or say what the first says of which somebody took the last meanwhile
//! ```

use super::code::{Body, I32, I64, Local, Operand, Value};
use super::condition::{Bound, Place, Text, presence};
use super::cost::Linear;
use super::data::Data;
use super::emitter::Emitter;
use super::memory::{ADDRESS_GROUPS, OUT, OUT_LENGTH};
use super::parts::Part;
use super::siphash::{INITIAL, absorb, sip_round};
use super::source::SOMEWHERE;
use crate::bug::{Bug, OrBug as _, number};
use crate::checked::Expr;
use crate::literals::expression_text;
use crate::module::{CLOCK_SLACK_NS, SLOTS};
use crate::plan::{LimitPlan, TrafficPlan};
use chancery_sdk_abi::{Status, host_calls};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Looks at the buckets of all limits that match.
pub(super) const LIMITS: Part = Part::new("limits", |emitter, _| emitter.write_limits());
/// Takes a token from each bucket that was looked at.
pub(super) const TAKE: Part = Part::new("take", |emitter, _| emitter.write_take());
/// Looks at the bucket of a limit that matches.
pub(super) const NOTE: Part = Part::new("note", |emitter, _| emitter.write_note());
/// Whether there is a token in a bucket that was noted.
const LOOK: Part = Part::new("look", |emitter, _| emitter.write_look());
/// The name of the bucket of a limit with keys.
const NAME: Part = Part::new("bucket name", |emitter, _| emitter.write_name());
/// The hash of the values of a list of keys.
const KEYS: Part = Part::new("keys", |emitter, list| emitter.write_keys(list));
/// The hash of a text (SipHash-1-3), under the proxy's seed and what was hashed before.
const HASH: Part = Part::new("hash", |emitter, _| emitter.write_hash());
/// Learns the proxy's seed.
const SEED: Part = Part::new("seed", |emitter, _| emitter.write_seed());

// A limit's record: the steps and the time of filling in ns, the hash of its id, its answer, the number of its list
// of keys plus 1, the round in which it was noted last, whether its policy is in shadow mode, and by how many ns a bucket
// may be full later than one that was emptied now; how many tokens are taken in hand at once; what is known of its
// bucket, if it has no keys.
pub(super) const RECORD_STEP: u32 = 0;
pub(super) const RECORD_FILLING: u32 = 8;
const RECORD_HASH: u32 = 16;
const RECORD_ANSWER: u32 = 24;
const RECORD_KEYS: u32 = 28;
const RECORD_ROUND: u32 = 32;
const RECORD_SHADOW: u32 = 36;
pub(super) const RECORD_SLACK: u32 = 40;
pub(super) const RECORD_IN_HAND: u32 = 48;
const RECORD_KNOWN: u32 = 56;

// What a worker knows of a bucket: the hash of what it counts, until when it has no token or, if some are in hand,
// until when these are kept from others, and how many are in hand.
const KNOWN_HASH: u32 = 0;
const KNOWN_UNTIL: u32 = 8;
const KNOWN_IN_HAND: u32 = 16;
const KNOWN_BYTES: u32 = 24;
/// Of how many buckets with keys a worker knows something.
const KNOWN_MAX: u32 = 1 << 10;
/// Of a full bucket, a worker takes one of so many in hand.
const IN_HAND_OF: u32 = 512;

// What is noted of a limit that matches: the bucket as it is if a token is taken (when it is full, and what it is for),
// its name and the length of that, the limit's record, the version of the bucket, what the worker knows of it (or 0), the
// hash of what is counted, whether a token in hand is taken, and how many are taken in hand.
const NOTED_FULL_AT: u32 = 0;
const NOTED_IS_FOR: u32 = 8;
const NOTED_NAME: u32 = 16;
const NOTED_LENGTH: u32 = 24;
const NOTED_RECORD: u32 = 28;
const NOTED_VERSION: u32 = 32;
const NOTED_KNOWN: u32 = 36;
const NOTED_HASH: u32 = 40;
const NOTED_FROM_HAND: u32 = 48;
const NOTED_MORE: u32 = 52;
const NOTED_BYTES: u32 = 56;

/// Bytes of the name of a bucket without keys.
const ID_BYTES: u32 = 8;
/// Bytes of the name of a slot.
const SLOT_BYTES: u32 = 2;
/// Bytes of a bucket: when it is full, and the hash of what it is for.
const BUCKET_BYTES: u32 = 16;
const BUCKET_IS_FOR: u32 = 8;
/// How many places a bucket of a limit with keys can have.
const NEIGHBOURS: u32 = 4;
/// A version that is never given: what is set under it is set only if nothing is there.
const NO_VERSION: i32 = -1;
/// How often somebody else may be faster; then the request is refused. With each of these times another request
/// got a token.
const TRIES: u64 = 24;
/// What distinguishes an absent value from an empty one.
const ABSENT: i64 = 0x61_6273_656e_7421;
/// Under this name lies the seed.
const SEED_NAME: &str = "seed";
const SEED_BYTES: u32 = 16;

/// Where the records of limits lie.
#[derive(Debug, Default)]
pub(super) struct LimitRecords {
    /// By index of the limit.
    pub(super) addresses: Vec<u32>,
    /// The records of those that replicas share, each with its place among what its VM is told.
    pub(super) shared: Vec<(u32, u32)>,
    /// Where limits that match are noted.
    noted: u32,
    /// What the worker knows of buckets with keys.
    known: u32,
    /// The distinct lists of keys.
    keys: Vec<Vec<Arc<Expr>>>,
    /// Their numbers plus 1, by the normal forms of the keys.
    numbers: BTreeMap<Vec<String>, u32>,
}

impl LimitRecords {
    /// Lays out the limits of a plan; their answers have these records.
    pub(super) fn new(plan: Option<&TrafficPlan>, answers: &[u32], data: &mut Data) -> Result<Self, Bug> {
        let mut this = Self::default();
        for limit in plan.iter().flat_map(|plan| &plan.limits) {
            let keys = this.key_list(limit)?;
            let answer = answers.get(limit.answer as usize).copied().or_bug("each answer has a record")?;
            let mut record = Vec::new();
            record.extend(limit.step_ns.to_le_bytes());
            record.extend(limit.filling_ns.to_le_bytes());
            record.extend(hash_of_id(&limit.id));
            record.extend(answer.to_le_bytes());
            record.extend(keys.to_le_bytes());
            record.extend(0_u32.to_le_bytes());
            record.extend(u32::from(limit.shadow).to_le_bytes());
            record.extend(CLOCK_SLACK_NS.to_le_bytes());
            record.extend(u64::from(limit.burst / IN_HAND_OF).to_le_bytes());
            record.extend([0; KNOWN_BYTES as usize]);
            let address = data.record(&record);
            this.addresses.push(address);
            this.shared.extend(limit.share.map(|share| (address, share)));
        }
        if !this.addresses.is_empty() {
            this.noted = data.table(&vec![0; this.addresses.len() * NOTED_BYTES as usize]);
        }
        if this.have_keys() {
            this.known = data.table(&[0; (KNOWN_MAX * KNOWN_BYTES) as usize]);
        }
        Ok(this)
    }

    /// The number of a limit's list of keys plus 1; 0 without keys.
    fn key_list(&mut self, limit: &LimitPlan) -> Result<u32, Bug> {
        if limit.keys.is_empty() {
            return Ok(0);
        }
        let texts: Vec<String> = limit.keys.iter().map(|key| expression_text(key)).collect();
        if let Some(known) = self.numbers.get(&texts) {
            return Ok(*known);
        }
        self.keys.push(limit.keys.clone());
        let fresh = number(self.keys.len())?;
        self.numbers.insert(texts, fresh);
        Ok(fresh)
    }

    /// Whether replicas share any limit.
    pub(super) fn are_shared(&self) -> bool {
        !self.shared.is_empty()
    }

    /// Whether requests are told apart by any limit.
    pub(super) fn have_keys(&self) -> bool {
        !self.keys.is_empty()
    }
}

/// The first bytes of the SHA-256 of an id: the name of its bucket, which outlives the module.
fn hash_of_id(id: &str) -> [u8; ID_BYTES as usize] {
    let digest = Sha256::digest(id.as_bytes());
    let mut hash = [0; ID_BYTES as usize];
    hash.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    hash
}

impl Emitter<'_> {
    /// What the first enforced limit without a token says, once [`LIMITS`] has run; else 0.
    pub(super) fn refusing(&mut self) -> super::code::Global {
        self.flag("refusing", I32)
    }

    /// The same of all limits, those of shadow policies too.
    pub(super) fn refusing_in_shadow(&mut self) -> super::code::Global {
        self.flag("refusing in shadow", I32)
    }

    /// How many limits are noted.
    fn noted(&mut self) -> super::code::Global {
        self.flag("noted", I32)
    }

    /// The time, in ns; read when it is first needed.
    fn now(&mut self) -> super::code::Global {
        self.flag("now", I64)
    }

    /// How many requests were counted by limits. It goes on from request to request.
    fn round(&mut self) -> super::code::Global {
        self.global("round", I32)
    }

    /// ```text
    /// limits():
    ///     a new round; read the time; note each limit that matches
    /// ```
    fn write_limits(&mut self) -> Body {
        let (round, now) = (self.round(), self.now());
        let mut b = Body::new(&[], &[]);
        b.set_global(round, Value::from(round) + 1);
        let status = self.host(host_calls::GET_CURRENT_TIME_NANOSECONDS, &[OUT.into()]);
        b.drop(status);
        b.set_global(now, Value::from(0).load64(OUT));
        let strand = self.plan.traffic.as_ref().map(|traffic| traffic.strand).or_bug("limits have a strand");
        let strand = self.sound(strand, 0);
        let all = self.decide_all(strand);
        b.call_over(all, &[], &[], Linear::default());
        b
    }

    /// ```text
    /// note(limit):
    ///     unless it was noted in this round:
    ///         note its bucket; if it has no token: keep what the limit says, if it is the first
    /// ```
    fn write_note(&mut self) -> Body {
        let (round, noted) = (self.round(), self.noted());
        let (refusing, in_shadow) = (self.refusing(), self.refusing_in_shadow());
        let (first, has_keys) = (self.limits.noted, self.limits.have_keys());
        let (look, now, known_at) = (self.part(LOOK), self.now(), self.limits.known);
        let mut b = Body::new(&[I32], &[]);
        let record = b.param(0);
        b.if_(record.load32(RECORD_ROUND).eq(round), |b| b.return_());
        b.store32(record, RECORD_ROUND, round);
        let place = b.let_(Value::from(noted) * NOTED_BYTES + first);
        b.set_global(noted, Value::from(noted) + 1);
        b.store32(place, NOTED_RECORD, record);
        b.store64(place, NOTED_HASH, record.load64(RECORD_HASH));
        b.store64(place, NOTED_NAME, record.load64(RECORD_HASH));
        b.store32(place, NOTED_LENGTH, ID_BYTES);
        let known = b.let_(record + RECORD_KNOWN);
        if has_keys {
            let name = self.part(NAME);
            b.if_(record.load32(RECORD_KEYS), |b| {
                let arguments = [record.load32(RECORD_KEYS), record.load64(RECORD_HASH)];
                let hash = Value::call_over(name, &arguments, I64, Linear::default());
                let hash = b.let_(hash);
                b.store64(place, NOTED_HASH, hash);
                b.store32(place, NOTED_LENGTH, SLOT_BYTES);
                b.set(known, (hash.wrap() & (KNOWN_MAX - 1)) * KNOWN_BYTES + known_at);
            });
        }
        b.if_(known.load64(KNOWN_HASH).ne(place.load64(NOTED_HASH)), |b| {
            let is_kept =
                Value::from(now).lt_s(known.load64(KNOWN_UNTIL)) & known.load32(KNOWN_IN_HAND).ne(0);
            b.if_else(
                is_kept,
                |b| b.set(known, 0),
                |b| {
                    b.store64(known, KNOWN_HASH, place.load64(NOTED_HASH));
                    b.store64(known, KNOWN_UNTIL, 0_i64);
                    b.store32(known, KNOWN_IN_HAND, 0);
                },
            );
        });
        b.store32(place, NOTED_KNOWN, known);
        b.if_(Value::call_over(look, &[place.into()], I32, Linear::default()).eqz(), |b| {
            let answer = b.let_(record.load32(RECORD_ANSWER));
            b.if_(Value::from(in_shadow).eqz(), |b| b.set_global(in_shadow, answer));
            b.if_(record.load32(RECORD_SHADOW).eqz() & Value::from(refusing).eqz(), |b| {
                b.set_global(refusing, answer);
            });
        });
        b
    }

    /// ```text
    /// look(noted):
    ///     a token in hand: yes; a time without one: no
    ///     find the bucket: for each place that it can have:
    ///         nothing there: this one, unless a place before can be had
    ///         it is there: this one
    ///         another is there: this one if that is full and no place before can be had
    ///     if there is none: the first, and what it has, for both
    ///     whether the bucket has a token; keep its version, and when it is full if one is taken, and some in hand
    ///     if it has none: know until when
    /// ```
    fn write_look(&mut self) -> Body {
        let now = self.now();
        let start = self.arena_start();
        let mut b = Body::new(&[I32], &[I32]);
        let place = b.param(0);
        let record = b.let_(place.load32(NOTED_RECORD));
        let hash = b.let_(place.load64(NOTED_HASH));
        let known = b.let_(place.load32(NOTED_KNOWN));
        b.store32(place, NOTED_FROM_HAND, 0);
        b.store32(place, NOTED_MORE, 0);
        b.if_(known, |b| {
            b.if_(known.load32(KNOWN_IN_HAND), |b| {
                b.store32(place, NOTED_FROM_HAND, 1);
                b.return_value(1);
            });
            // As with buckets, what is farther away is of before the clock was put back.
            let waits = known.load64(KNOWN_UNTIL) - now;
            let waits = b.let_(waits);
            let is_near = waits.le_s(record.load64(RECORD_STEP) + record.load64(RECORD_SLACK));
            b.if_(waits.gt_s(0_i64) & is_near, |b| b.return_value(0));
        });
        let has_keys = b.let_(record.load32(RECORD_KEYS));
        let chosen = Chosen {
            known: b.local(I32),
            full_at: b.local(I64),
            is_for: b.local(I64),
            name: b.local(I64),
            version: b.local(I32),
        };
        let (name, full_at, is_for) = (b.let_(hash), b.local(I64), b.local(I64));
        let left = b.let_(Value::from(NEIGHBOURS).when(has_keys, 1));
        let is_first = b.let_(1);
        b.while_times(NEIGHBOURS.into(), left, |b, found| {
            b.if_(has_keys, |b| b.set(name, name & i64::from(SLOTS - 1)));
            b.store64(place, NOTED_NAME, name);
            b.store32(0, OUT_LENGTH, 0);
            let arguments = [
                place + NOTED_NAME,
                place.load32(NOTED_LENGTH),
                OUT.into(),
                OUT_LENGTH.into(),
                place + NOTED_VERSION,
            ];
            let status = self.host(host_calls::GET_SHARED_DATA, &arguments);
            let status = b.let_(status);
            let at = b.let_(Value::from(0).load32(OUT));
            let is_bucket = Value::from(0).load32(OUT_LENGTH).eq(BUCKET_BYTES);
            let in_arena = (at - start).le_u(super::memory::ARENA_BYTES - BUCKET_BYTES);
            b.if_(status, |b| b.store32(place, NOTED_VERSION, NO_VERSION));
            // What is there and is no bucket is as good as nothing.
            b.if_((status.eqz() & is_bucket & in_arena).eqz(), |b| {
                b.set(full_at, now);
                b.if_(chosen.known.eqz(), |b| chosen.choose(b, place, (full_at, hash, name)));
                b.br(found);
            });
            b.set(full_at, at.load64(0));
            b.set(is_for, at.load64(BUCKET_IS_FOR));
            b.if_(is_for.eq(hash), |b| {
                chosen.choose(b, place, (full_at, hash, name));
                b.br(found);
            });
            b.if_(full_at.le_s(now) & chosen.known.eqz(), |b| chosen.choose(b, place, (full_at, hash, name)));
            // While no other place is known, the first counts for both.
            b.if_(Value::from(is_first) & chosen.known.eqz(), |b| {
                chosen.choose(b, place, (full_at, is_for, name));
                b.set(chosen.known, 0);
            });
            b.set(is_first, 0);
            b.set(name, name + 1_i64);
            b.set(left, left - 1);
        });
        b.store64(place, NOTED_NAME, chosen.name);
        b.store32(place, NOTED_VERSION, chosen.version);
        b.store64(place, NOTED_IS_FOR, chosen.is_for);
        let full_at = chosen.full_at;
        let empty = b.let_(record.load64(RECORD_FILLING) + now);
        b.if_(full_at.lt_s(now), |b| b.set(full_at, now));
        b.if_(full_at.gt_s(empty), |b| {
            let is_of_before = (full_at - empty).gt_s(record.load64(RECORD_SLACK));
            b.set(full_at, Value::from(now).when(is_of_before, empty));
        });
        b.set(full_at, full_at + record.load64(RECORD_STEP));
        b.if_(known, |b| {
            b.if_else(
                full_at.gt_s(empty),
                // Of a bucket that is shared with another, it is not known.
                |b| {
                    b.if_(chosen.known, |b| {
                        b.store64(known, KNOWN_UNTIL, full_at - record.load64(RECORD_FILLING));
                    });
                },
                |b| {
                    // It may have been emptied at a time that the clock has been put back behind since.
                    b.store64(known, KNOWN_UNTIL, 0_i64);
                    let more = b.let_(record.load64(RECORD_IN_HAND));
                    let after = b.let_(full_at + more * record.load64(RECORD_STEP));
                    b.if_(more.ne(0_i64) & after.le_s(empty), |b| {
                        b.store32(place, NOTED_MORE, more.wrap());
                        b.set(full_at, after);
                    });
                },
            );
        });
        b.store64(place, NOTED_FULL_AT, full_at);
        b.push(full_at.le_s(empty));
        b
    }

    /// ```text
    /// take(shadow):
    ///     for each noted limit of an enforced policy, or for each of a shadow policy:
    ///         from those in hand; or while somebody else changes its bucket: look again; without a token: what the
    ///             limit says; then some are in hand
    ///     0
    /// ```
    fn write_take(&mut self) -> Body {
        let (noted, now) = (self.noted(), self.now());
        let first = self.limits.noted;
        let strand = self.plan.traffic.as_ref().map(|traffic| traffic.strand).unwrap_or_default();
        let most = self.matches_max(strand);
        let look = self.part(LOOK);
        let mut b = Body::new(&[I32], &[I32]);
        let shadow = b.param(0);
        let place = b.let_(first);
        let end = b.let_(Value::from(noted) * NOTED_BYTES + first);
        let (status, tries, record, known) = (b.local(I32), b.local(I32), b.local(I32), b.local(I32));
        b.while_times(most, place.lt_u(end), |b, _| {
            b.set(record, place.load32(NOTED_RECORD));
            b.if_(record.load32(RECORD_SHADOW).eq(shadow), |b| {
                b.set(known, place.load32(NOTED_KNOWN));
                b.set(tries, 0);
                b.set(status, Status::CasMismatch.number());
                b.if_(place.load32(NOTED_FROM_HAND), |b| {
                    b.set(status, 0);
                    // Another limit of this request may have taken the place of what is known.
                    b.if_(is_known(known, place) & known.load32(KNOWN_IN_HAND).ne(0), |b| {
                        let left = b.let_(known.load32(KNOWN_IN_HAND) - 1);
                        b.store32(known, KNOWN_IN_HAND, left);
                        // With none in hand, the time would say that there is none at all.
                        b.if_(left.eqz(), |b| b.store64(known, KNOWN_UNTIL, 0_i64));
                    });
                });
                b.while_times(TRIES, status.eq(Status::CasMismatch.number()), |b, _| {
                    let arguments = [
                        place + NOTED_NAME,
                        place.load32(NOTED_LENGTH),
                        place + NOTED_FULL_AT,
                        BUCKET_BYTES.into(),
                        place.load32(NOTED_VERSION),
                    ];
                    let set = self.host(host_calls::SET_SHARED_DATA, &arguments);
                    b.set(status, set);
                    b.set(tries, tries + 1);
                    b.if_(status, |b| {
                        let is_lost = status.ne(Status::CasMismatch.number()) | tries.gt_u(TRIES as u32 - 1);
                        b.if_(is_lost, |b| b.return_value(record.load32(RECORD_ANSWER)));
                        let has_token = Value::call_over(look, &[place.into()], I32, Linear::default());
                        b.if_(has_token.eqz(), |b| b.return_value(record.load32(RECORD_ANSWER)));
                    });
                });
                b.if_(place.load32(NOTED_MORE), |b| {
                    b.if_(is_known(known, place), |b| {
                        b.store32(known, KNOWN_IN_HAND, place.load32(NOTED_MORE));
                        b.store64(known, KNOWN_UNTIL, record.load64(RECORD_FILLING) + now);
                    });
                });
            });
            b.set(place, place + NOTED_BYTES);
        });
        b.push(0);
        b
    }

    /// ```text
    /// bucket_name(list, hash):
    ///     the hash of the values of the list's keys, on top of a hash
    /// ```
    fn write_name(&mut self) -> Body {
        let mut b = Body::new(&[I32, I64], &[I64]);
        let seed = self.part(SEED);
        b.call_over(seed, &[], &[], Linear::default());
        let (list, hash) = (b.param(0), b.param(1));
        let count = self.limits.keys.len();
        let count = self.number(count);
        self.choose_keys(&mut b, (list, hash), 1, count);
        b.push(hash);
        b
    }

    /// Sets the hash by the list of this number, which is one of these.
    fn choose_keys(&mut self, b: &mut Body, (list, hash): (Local, Local), first: u32, last: u32) {
        if first == last {
            let keys = self.part(KEYS.numbered(first));
            b.set(hash, Value::call_over(keys, &[hash.into()], I64, Linear::default()));
            return;
        }
        let middle = first.midpoint(last);
        b.choose(list.le_u(middle), |b, is_first| {
            let (first, last) = if is_first { (first, middle) } else { (middle + 1, last) };
            self.choose_keys(b, (list, hash), first, last);
        });
    }

    /// ```text
    /// keys(hash):
    ///     for each key of the list: hash = hash of its value, on top of it
    /// ```
    fn write_keys(&mut self, list: u32) -> Body {
        let found = self.limits.keys.get(list as usize - 1).cloned().or_bug("each list of keys exists");
        let keys = self.sound(found, Vec::new());
        let mut b = Body::new(&[I64], &[I64]);
        let hash = b.param(0);
        for key in &keys {
            let place = self.value(&mut b, key, &mut Bound::new());
            self.hash_value(&mut b, hash, place);
        }
        b.push(hash);
        b
    }

    fn hash_value(&mut self, b: &mut Body, hash: Local, place: Place) {
        let present = presence(b, place);
        b.set(hash, hash ^ Value::from(0_i64).when(present, ABSENT));
        let part = self.part(HASH);
        let (at, length, size) = match place {
            Place::Text(Text { at, length, size, .. }) => {
                let at = at.when(present, SOMEWHERE);
                (at, Value::from(length).when(present, 0), self.sized(size))
            }
            Place::Bool(value, _) => {
                b.store64(0, ADDRESS_GROUPS, value.extend());
                (ADDRESS_GROUPS.into(), 8.into(), Linear::constant(8))
            }
            Place::Int(value, _) => {
                b.store64(0, ADDRESS_GROUPS, value);
                (ADDRESS_GROUPS.into(), 8.into(), Linear::constant(8))
            }
            Place::Ip(high, low) => {
                b.store64(0, ADDRESS_GROUPS, high);
                b.store64(0, ADDRESS_GROUPS + 8, low);
                (ADDRESS_GROUPS.into(), 16.into(), Linear::constant(16))
            }
            Place::List(_) => {
                self.sound(Err(Bug::new("no list is a key")), ());
                return;
            }
        };
        b.set(hash, Value::call_over(part, &[hash.into(), at, length], I64, size));
    }

    /// ```text
    /// seed():
    ///     once a module: what the first worker drew, which all share
    /// ```
    fn write_seed(&mut self) -> Body {
        // Both go on from request to request.
        let known = self.global("seed known", I32);
        let (low, high) = self.seeds();
        let drawn = self.data.table(&[0; SEED_BYTES as usize]);
        let version = self.data.table(&[0; 4]);
        let (name, length) = self.string(SEED_NAME);
        let start = self.arena_start();
        let mut b = Body::new(&[], &[]);
        b.if_(known, |b| b.return_());
        let status = self.host(host_calls::wasi::RANDOM_GET, &[drawn.into(), SEED_BYTES.into()]);
        b.drop(status);
        let arguments = [name.into(), length.into(), drawn.into(), SEED_BYTES.into(), NO_VERSION.into()];
        let status = self.host(host_calls::SET_SHARED_DATA, &arguments);
        b.drop(status);
        b.store32(0, OUT_LENGTH, 0);
        let arguments = [name.into(), length.into(), OUT.into(), OUT_LENGTH.into(), version.into()];
        let status = self.host(host_calls::GET_SHARED_DATA, &arguments);
        let at = b.let_(drawn);
        b.if_(status.eqz(), |b| {
            let shared = b.let_(Value::from(0).load32(OUT));
            let is_seed = Value::from(0).load32(OUT_LENGTH).eq(SEED_BYTES);
            let in_arena = (shared - start).le_u(super::memory::ARENA_BYTES - SEED_BYTES);
            b.if_(is_seed & in_arena, |b| b.set(at, shared));
        });
        b.set_global(low, at.load64(0));
        b.set_global(high, at.load64(8));
        b.set_global(known, 1);
        b
    }

    /// The halves of the seed, once [`SEED`] has run.
    fn seeds(&mut self) -> (super::code::Global, super::code::Global) {
        (self.global("seed low", I64), self.global("seed high", I64))
    }

    /// `hash(hash, text, length)`: SipHash-1-3 of the text under the seed and a hash.
    fn write_hash(&mut self) -> Body {
        let (low, high) = self.seeds();
        let mut b = Body::new(&[I64, I32, I32], &[I64]);
        let (hash, at, length) = (b.param(0), b.param(1), b.param(2));
        let whole = b.let_(length);
        let key = b.let_(hash ^ low);
        let v = [
            b.let_(key ^ INITIAL[0]),
            b.let_(Value::from(high) ^ INITIAL[1]),
            b.let_(key ^ INITIAL[2]),
            b.let_(Value::from(high) ^ INITIAL[3]),
        ];
        absorb(&mut b, v, (at, length), whole, ROUNDS);
        let [v0, v1, v2, v3] = v;
        b.set(v2, v2 ^ 0xff_i64);
        let rounds = b.let_(FINAL_ROUNDS as u32);
        b.while_times(FINAL_ROUNDS, rounds, |b, _| {
            sip_round(b, v);
            b.set(rounds, rounds - 1);
        });
        b.push(v0 ^ v1 ^ v2 ^ v3);
        b
    }
}

/// Whether what is known is of the bucket that was noted.
fn is_known(known: Local, noted: Local) -> Value {
    known.load64(KNOWN_HASH).eq(noted.load64(NOTED_HASH))
}

/// The place of a bucket that was found.
#[derive(Clone, Copy)]
struct Chosen {
    known: Local,
    full_at: Local,
    is_for: Local,
    name: Local,
    version: Local,
}

impl Chosen {
    /// Chooses a place: when its bucket is full, what that is for, and the place's name; its version is noted.
    fn choose(self, b: &mut Body, place: Local, (full_at, is_for, name): (Local, Local, Local)) {
        b.set(self.known, 1);
        b.set(self.full_at, full_at);
        b.set(self.is_for, is_for);
        b.set(self.name, name);
        b.set(self.version, place.load32(NOTED_VERSION));
    }
}

/// Rounds of SipHash-1-3 for each word.
const ROUNDS: u64 = 1;
/// Rounds behind the last word of SipHash-1-3.
const FINAL_ROUNDS: u64 = 3;
