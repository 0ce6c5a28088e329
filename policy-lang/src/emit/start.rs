//! The start of a VM: counters that go on from the module before, and what is told of replicas.
//!
//! Envoy forgets a counter when the last VM that has it ends. A module that replaces another one starts before that, and has
//! the counters of its limits, routes and faults at once; so they go on.

use super::code::{Body, I32, Operand, Value};
use super::emitter::Emitter;
use super::parts::Part;
use crate::plan::Plan;

/// The callback in which a VM starts.
pub(super) const ON_VM_START: Part = Part::new("on vm start", |emitter, _| emitter.write_on_vm_start());
/// Defines a counter.
const DEFINE: Part = Part::new("define", |emitter, _| emitter.write_define());

/// So many counters a module has from the beginning. Those of others begin anew with each module, when they first count.
const COUNTERS_MAX: usize = 1_024;
/// Bytes of an address.
const ADDRESS_BYTES: u32 = 4;

/// Whether there is anything to be done.
pub(super) fn is_needed(plan: &Plan) -> bool {
    let leads = plan.calls.as_ref().is_some_and(|calls| calls.ways.is_some() || calls.faults.is_some());
    plan.traffic.is_some() || leads
}

impl Emitter<'_> {
    /// ```text
    /// proxy_on_vm_start(root, size):
    ///     define the counters of limits, routes and faults; take in the numbers of replicas; 1
    /// ```
    fn write_on_vm_start(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32], &[I32]);
        let counters = self.lasting_counters();
        if !counters.is_empty() {
            let define = self.part(DEFINE);
            let bytes: Vec<u8> = counters.iter().flat_map(|address| address.to_le_bytes()).collect();
            let counter = b.let_(self.data.table(&bytes));
            let left = self.number(counters.len());
            let left = b.let_(left);
            b.while_times(COUNTERS_MAX as u64, left, |b, _| {
                b.call(define, &[counter.load32(0)], &[]);
                b.set(counter, counter + ADDRESS_BYTES);
                b.set(left, left - 1);
            });
        }
        if self.limits.are_shared() {
            let size = b.param(1);
            self.take_in_replicas(&mut b, size);
        }
        b.push(Value::from(1));
        b
    }

    fn write_define(&mut self) -> Body {
        let mut b = Body::new(&[I32], &[]);
        let counter = b.param(0);
        self.define(&mut b, counter);
        b
    }

    /// The records of the counters that go on.
    fn lasting_counters(&self) -> Vec<u32> {
        let limits = self.plan.traffic.iter().flat_map(|traffic| &traffic.limits);
        let of_limits = limits.filter_map(|limit| self.answers.addresses.get(limit.answer as usize).copied());
        let calls = self.plan.calls.as_ref();
        let ways = calls.and_then(|calls| calls.ways.as_ref()).map(|ways| ways.strand);
        let faults = calls.and_then(|calls| calls.faults.as_ref()).map(|faults| faults.strand);
        let counting = [ways, faults];
        let strands = self.calls.of_strands.iter();
        let of_calls = strands.filter(|(strand, _)| counting.contains(&Some(*strand)));
        of_limits
            .chain(of_calls.flat_map(|(_, records)| records.iter().copied()))
            .take(COUNTERS_MAX)
            .collect()
    }
}
