//! The callback and the allocator: what the host calls.

use super::answer::ANSWER;
use super::calls::STEER;
use super::code::{Body, I32, I64, Local, Operand, Value};
use super::cost::Linear;
use super::emitter::Emitter;
use super::headers::{CHANGE_HEADERS, RESPONSE_HEADERS};
use super::limits::{LIMITS, TAKE};
use super::log::{LOG, ON_LOG};
use super::memory::ARENA_BYTES;
use super::parts::Part;
use super::refusal::REFUSAL;
use super::scan::SCAN;
use super::siphash::ON_CONFIGURE;
use super::start;
use crate::checked::Message;
use crate::plan::Plan;
use chancery_sdk_abi::{VERSION_MARKER, guest_exports};

/// The allocator for the host and for the functions.
pub(super) const MALLOC: Part = Part::new("malloc", |emitter, _| emitter.write_malloc());
/// Forgets the request before.
pub(super) const RESET: Part = Part::new("reset", |emitter, _| emitter.write_reset());

/// The callback in which a request is decided.
const REQUEST_HEADERS: Part = Part::new("request headers", |emitter, _| emitter.write_request_headers());
/// Never called; its name is the version of the contract.
const VERSION: Part = Part::new("version", |_, _| Body::new(&[], &[]));

/// What the host calls, by the name under which it looks for it. A callback that a program has no use for
/// is not there, for each one costs a request a crossing.
pub(super) fn exports(plan: &Plan) -> Vec<(&'static str, Part)> {
    let mut exports = vec![
        (VERSION_MARKER, VERSION),
        (guest_exports::MALLOC.name, MALLOC),
        (guest_exports::ON_REQUEST_HEADERS.name, REQUEST_HEADERS),
    ];
    if plan.headers.as_ref().is_some_and(|headers| headers.changes(Message::Response)) {
        exports.push((guest_exports::ON_RESPONSE_HEADERS.name, RESPONSE_HEADERS));
    }
    if start::is_needed(plan) {
        exports.push((guest_exports::ON_VM_START.name, start::ON_VM_START));
    }
    if let Some(log) = &plan.log {
        exports.extend(log.waits().then_some((guest_exports::ON_LOG.name, ON_LOG)));
        exports.extend(log.hashes().then_some((guest_exports::ON_CONFIGURE.name, ON_CONFIGURE)));
    }
    exports
}

/// The global that holds the answer to a request that cannot be judged, 0 while it can.
const FAULT: &str = "fault";
/// The global that holds where the free part of the arena begins.
const FREE: &str = "free";

impl Emitter<'_> {
    /// ```text
    /// proxy_on_request_headers(context, headers, end_of_stream):
    ///     forget the request before; scan
    ///     answer = refusal, if there is one; else decide(enforced)
    ///     if something could not be read or had no room: answer = that
    ///     shadow = decide(all), if there are shadow policies
    ///     if one of them lets the request pass: look at limits
    ///     if the answer lets it pass: answer = limit without a token, if there is one; else take tokens
    ///     the same for shadow; if it says something else: report it
    ///     if the answer lets it pass: change headers
    ///     say what is logged, if log policies speak of the request
    ///     in a caller's sidecar: steer, if it passes
    ///     say the answer
    /// ```
    pub(super) fn write_request_headers(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32, I32], &[I32]);
        let end_of_stream = b.param(2);
        b.call(self.part(RESET), &[], &[]);
        if self.asked.contains(&crate::checked::Attribute::Size) {
            let kept = self.end_of_stream();
            b.set_global(kept, end_of_stream);
        }
        b.call(self.part(SCAN), &[], &[]);
        let fault = self.fault();
        let (answer, judged) = (b.local(I32), b.local(I32));
        let logs = self.plan.log.is_some();
        let refusal = self.part(REFUSAL);
        let strand = self.plan.auth.strand;
        let decide = self.decide(strand);
        let otherwise = self.answers.otherwise;
        b.if_(Value::from(fault).eqz(), |b| {
            b.set(answer, Value::call(refusal, &[], I32));
            b.if_(answer.eqz(), |b| {
                if logs {
                    b.set(judged, 1);
                }
                let mode = self.mode_enforced(strand);
                b.set(answer, Value::call(decide, &[mode, otherwise.into()], I32));
                match (self.answers.shadow_otherwise, self.plan.traffic.is_some()) {
                    (Some(otherwise), counts) => self.with_shadow(b, answer, otherwise, counts),
                    (None, true) => {
                        let passes = self.passes(answer);
                        b.if_(passes, |b| {
                            b.call(self.part(LIMITS), &[], &[]);
                            self.count(b, answer);
                        });
                    }
                    (None, false) => {}
                }
            });
        });
        if self.plan.headers.is_some() {
            b.if_(Value::from(fault).eqz(), |b| {
                let passes = self.passes(answer);
                b.if_(passes, |b| b.call_over(self.part(CHANGE_HEADERS), &[], &[], Linear::default()));
            });
        }
        b.if_(fault, |b| {
            b.set(answer, fault);
            if logs {
                b.set(judged, 0);
            }
        });
        if logs {
            let log = self.part(LOG);
            b.call(log, &[answer.into(), judged.into()], &[]);
        }
        if self.plan.calls.is_some() {
            let says = self.plan.decides_beside_calls();
            let passes = self.passes(answer);
            b.if_(passes, |b| {
                if says {
                    b.drop(Value::call(self.part(ANSWER), &[answer.into()], I32));
                }
                b.return_value(Value::call(self.part(STEER), &[], I32));
            });
        }
        b.push(Value::call(self.part(ANSWER), &[answer.into()], I32));
        b
    }

    /// Counts a request, and reports what the shadow policies would change, unless it cannot be judged.
    fn with_shadow(&mut self, b: &mut Body, answer: Local, otherwise: u32, counts: bool) {
        let fault = self.fault();
        let strand = self.plan.auth.strand;
        let decide = self.decide(strand);
        b.if_(Value::from(fault).eqz(), |b| {
            let mode = self.mode_all(strand);
            let shadow = b.let_(Value::call(decide, &[mode, otherwise.into()], I32));
            let unknown = b.let_(fault);
            // What only the shadow policies needed could not be read: the decision stands.
            b.set_global(fault, 0);
            if counts {
                let (passes, passes_shadow) = (self.passes(answer), self.passes(shadow));
                b.if_(passes | passes_shadow, |b| b.call(self.part(LIMITS), &[], &[]));
                let passes = self.passes(answer);
                b.if_(passes, |b| self.count(b, answer));
                let passes_shadow = self.passes(shadow);
                b.if_(passes_shadow, |b| self.count_shadow(b, answer, shadow));
            }
            b.if_(unknown.eqz(), |b| self.say_shadow(b, answer, shadow));
            if self.plan.headers.is_some() {
                // What could not be read may be what an operation on headers depends on.
                b.set_global(fault, unknown);
            }
        });
    }

    /// Takes a token from each bucket of the enforced limits; a limit without one answers.
    fn count(&mut self, b: &mut Body, answer: Local) {
        let (refusing, take) = (self.refusing(), self.part(TAKE));
        let refused = b.let_(refusing);
        b.if_(refused.eqz(), |b| b.set(refused, Value::call(take, &[0.into()], I32)));
        b.if_(refused, |b| b.set(answer, refused));
    }

    /// The same of the shadow decision and the limits of shadow policies, from which only a request takes that passes.
    fn count_shadow(&mut self, b: &mut Body, answer: Local, shadow: Local) {
        let (refusing, take) = (self.refusing_in_shadow(), self.part(TAKE));
        let refused = b.let_(refusing);
        let passes = self.passes(answer);
        b.if_(refused.eqz() & passes, |b| b.set(refused, Value::call(take, &[1.into()], I32)));
        b.if_(refused, |b| b.set(shadow, refused));
    }

    /// Whether the headers end the request.
    pub(super) fn end_of_stream(&mut self) -> super::code::Global {
        self.global("end of stream", I32)
    }

    /// The answer to a request that cannot be judged, 0 while it can.
    pub(super) fn fault(&mut self) -> super::code::Global {
        self.flag(FAULT, I32)
    }

    /// Where the free part of the arena begins.
    pub(super) fn free(&mut self) -> super::code::Global {
        // Before the first request nothing is taken.
        self.pointer(FREE)
    }

    /// ```text
    /// malloc(bytes): the next bytes of the arena; if there are too few, 0, and the request is too large
    /// ```
    pub(super) fn write_malloc(&mut self) -> Body {
        let (start, free, fault) = (self.arena_start(), self.free(), self.fault());
        let mut b = Body::new(&[I32], &[I32]);
        let bytes = b.param(0);
        let taken = b.let_(Value::from(free));
        let room = Value::from(start) + ARENA_BYTES - taken;
        b.if_(bytes.gt_u(room), |b| {
            b.set_global(fault, self.answers.too_large);
            b.return_value(0);
        });
        b.set_global(free, taken + bytes);
        b.push(taken);
        b
    }

    /// Forgets the request before: empties the arena, slots, classes and flags.
    pub(super) fn write_reset(&mut self) -> Body {
        let (start, free) = (self.arena_start(), self.free());
        let mut b = Body::new(&[], &[]);
        b.set_global(free, start);
        for flag in self.globals.flags().to_vec() {
            let zero = if flag.ty == I64 { Value::from(0_i64) } else { Value::from(0) };
            b.set_global(flag, zero);
        }
        let (from, to) = self.layout.cleared();
        let unrolled_max = if self.is_large() { UNROLLED_BYTES_MAX } else { UNROLLED_BYTES_MAX_OF_SMALL };
        if to - from <= unrolled_max {
            for address in (from..to).step_by(8) {
                b.store64(0, address, 0_i64);
            }
        } else {
            b.clear(from, to - from);
        }
        b
    }
}

/// So many bytes are cleared by single stores, which take more room than a call of the host's and less time.
const UNROLLED_BYTES_MAX: u32 = 512;
/// The same in a small module.
const UNROLLED_BYTES_MAX_OF_SMALL: u32 = 64;
