//! Paying from the budget, and the functions around it: wrappers that fill it and the guard of the allocator.

use super::additions::{Additions, Wrapped};
use crate::Terms;
use wasm_encoder::{BlockType, Function, InstructionSink, ValType};

/// What giving memory to the host costs, beside its bytes.
const ALLOCATION_COST: u64 = 500;
/// Bytes that are moved in the time of one unit, as a power of two.
const BYTES_OF_UNIT_LOG2: i64 = 3;
/// Bytes of a page, as a power of two.
const PAGE_BYTES_LOG2: i64 = 16;

/// What happens at a payment when nothing is left.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Check {
    /// Nothing: it is asked soon.
    No,
    /// The callback ends here.
    Here,
    /// The callback ends at the end of the function, to which this branch leads.
    Branch(u32),
}

/// Subtracts a cost, and ends the callback if it is asked for and nothing is left.
pub(crate) fn pay(code: &mut InstructionSink<'_>, additions: &Additions, cost: u64, check: Check) {
    code.global_get(additions.left).i64_const(cost.cast_signed()).i64_sub().global_set(additions.left);
    end_if_used_up(code, additions, check);
}

fn end_if_used_up(code: &mut InstructionSink<'_>, additions: &Additions, check: Check) {
    let mut ask = || {
        code.global_get(additions.left).i64_const(0).i64_lt_s();
    };
    match check {
        Check::No => {}
        Check::Here => {
            ask();
            code.if_(BlockType::Empty).call(additions.out_of_budget).end();
        }
        Check::Branch(depth) => {
            ask();
            code.br_if(depth);
        }
    }
}

/// Pays for the bytes whose number is on the stack, and leaves it there.
pub(crate) fn pay_length_on_stack(code: &mut InstructionSink<'_>, additions: &Additions, local: u32) {
    code.local_tee(local).local_get(local).call(additions.pay_bytes);
}

/// A function that ends the callback. Its name says why.
pub(crate) fn trap() -> Function {
    let mut function = Function::new([]);
    function.instructions().unreachable().end();
    function
}

/// `(i32) -> ()`: pays for so many bytes.
pub(crate) fn pay_bytes(additions: &Additions) -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    code.global_get(additions.left).local_get(0).i64_extend_i32_u();
    code.i64_const(BYTES_OF_UNIT_LOG2).i64_shr_u().i64_sub().global_set(additions.left);
    end_if_used_up(&mut code, additions, Check::Here);
    code.end();
    function
}

/// What the host calls in the place of an export.
pub(crate) fn wrapper(additions: &Additions, wrapped: &Wrapped, terms: &Terms) -> Function {
    if wrapped.is_allocator() {
        return allocator(additions, wrapped);
    }
    let budget = if wrapped.is_of_the_start() { terms.start_budget } else { terms.callback_budget };
    callback(additions, wrapped, budget)
}

/// Fills the budget and calls the function. A callback that the host makes in the middle of another one is paid from
/// that one's budget.
fn callback(additions: &Additions, wrapped: &Wrapped, budget: u64) -> Function {
    let parameters = u32::try_from(wrapped.contract.signature.params.len()).unwrap_or(u32::MAX);
    let nested = parameters;
    let mut function = Function::new([(1, ValType::I32)]);
    let mut code = function.instructions();
    code.global_get(additions.running).local_tee(nested).i32_eqz().if_(BlockType::Empty);
    code.i32_const(1).global_set(additions.running);
    code.i32_const(i32::from(wrapped.is_after_its_stream())).global_set(additions.over);
    code.i32_const(i32::from(wrapped.is_before_the_answer())).global_set(additions.early);
    code.i64_const(budget.cast_signed()).global_set(additions.left);
    code.end();
    (0..parameters).for_each(|parameter| {
        code.local_get(parameter);
    });
    code.call(wrapped.function);
    code.local_get(nested).global_set(additions.running);
    code.end();
    function
}

/// Calls the allocator, and ends the callback if what it gave is not inside the memory: a host that writes there crashes.
fn allocator(additions: &Additions, wrapped: &Wrapped) -> Function {
    let (size, pointer) = (0, 1);
    let mut function = Function::new([(1, ValType::I32)]);
    let mut code = function.instructions();
    pay(&mut code, additions, ALLOCATION_COST, Check::No);
    code.local_get(size).call(additions.pay_bytes);
    code.local_get(size).call(wrapped.function).local_tee(pointer).i32_eqz();
    code.local_get(pointer).i64_extend_i32_u().local_get(size).i64_extend_i32_u().i64_add();
    code.memory_size(0).i64_extend_i32_u().i64_const(PAGE_BYTES_LOG2).i64_shl().i64_gt_u();
    code.i32_or().if_(BlockType::Empty).call(additions.bad_allocation).end();
    code.local_get(pointer).end();
    function
}
