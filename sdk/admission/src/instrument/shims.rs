//! Shims of host calls: what each costs, and what is not passed on to a host.

use super::additions::Additions;
use super::budget::{self, Check};
use super::words;
use crate::outline::Import;
use chancery_sdk_abi::host_calls::{self as call, wasi};
use chancery_sdk_abi::{Function as Contract, Status, StreamType};
use wasm_encoder::{BlockType, Function, MemArg, MemArgTarget, ValType};

/// What a host call costs in units, beside the bytes that it moves.
const CALL_COST: u64 = 300;
/// One that writes to a log.
const LOG_COST: u64 = 1_000;
/// One that begins a call of another service.
const CALLOUT_COST: u64 = 20_000;
/// What each vector of a vectored call costs, beside its bytes.
const VECTOR_COST: u64 = 50;

/// Those that do. Where the name of the cluster is, their first two parameters say.
pub(super) const CALLOUTS: [Contract; 3] = [call::HTTP_CALL, call::GRPC_CALL, call::GRPC_STREAM];

/// Host calls whose parameters tell how many bytes the host reads or fills, with the places of those parameters.
/// What the host gives is paid when it allocates.
const LENGTHS: &[(Contract, &[u32])] = &[
    (call::LOG, &[2]),
    (call::GET_PROPERTY, &[1]),
    (call::SET_PROPERTY, &[1, 3]),
    (call::SEND_LOCAL_RESPONSE, &[2, 4, 6]),
    (call::GET_HEADER_MAP_VALUE, &[2]),
    (call::ADD_HEADER_MAP_VALUE, &[2, 4]),
    (call::REPLACE_HEADER_MAP_VALUE, &[2, 4]),
    (call::REMOVE_HEADER_MAP_VALUE, &[2]),
    (call::SET_HEADER_MAP_PAIRS, &[2]),
    (call::SET_BUFFER_BYTES, &[4]),
    (call::HTTP_CALL, &[1, 3, 5, 7]),
    (call::GRPC_CALL, &[1, 3, 5, 7, 9]),
    (call::GRPC_STREAM, &[1, 3, 5, 7]),
    (call::GRPC_SEND, &[2]),
    (call::DEFINE_METRIC, &[2]),
    (call::GET_SHARED_DATA, &[1]),
    (call::SET_SHARED_DATA, &[1, 3]),
    (call::REGISTER_SHARED_QUEUE, &[1]),
    (call::RESOLVE_SHARED_QUEUE, &[1, 3]),
    (call::ENQUEUE_SHARED_QUEUE, &[2]),
    (call::CALL_FOREIGN_FUNCTION, &[1, 3]),
    (wasi::RANDOM_GET, &[1]),
    (wasi::PATH_OPEN, &[3]),
    (wasi::PATH_FILESTAT_GET, &[3]),
];

/// The shim of an import that is cut off: what a host gives that restricts the call.
pub(crate) fn cut_off(additions: &Additions) -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    budget::pay(&mut code, additions, CALL_COST, Check::Here);
    // Every call that can be cut off gives a status.
    code.i32_const(Status::InternalFailure.number()).end();
    function
}

/// The shim of an import with so many parameters.
pub(crate) fn shim(additions: &Additions, import: &Import, index: u32, parameters: u32) -> Function {
    let name = import.name.as_str();
    // Two counters for what is looped over.
    let (at, end) = (parameters, parameters.saturating_add(1));
    let mut function = Function::new([(2, ValType::I32)]);
    let mut code = function.instructions();
    budget::pay(&mut code, additions, cost(name), Check::Here);
    for length in lengths(name) {
        code.local_get(*length).call(additions.pay_bytes);
    }
    if [wasi::FD_WRITE.name, wasi::FD_READ.name].contains(&name) {
        pay_vectors(&mut function, additions, at, end);
    } else if [call::CLOSE_STREAM.name, call::SEND_LOCAL_RESPONSE.name].contains(&name) {
        end_once(&mut function, additions);
    } else if name == call::CONTINUE_STREAM.name {
        refuse_early(&mut function, additions);
    } else if name == call::GET_PROPERTY.name {
        words::only_attributes(&mut function);
    } else if CALLOUTS.iter().any(|callout| callout.name == name) {
        words::only_services(&mut function, at, end);
    }
    let mut code = function.instructions();
    (0..parameters).for_each(|parameter| {
        code.local_get(parameter);
    });
    code.call(index).end();
    function
}

fn cost(name: &str) -> u64 {
    const LOGS: [Contract; 2] = [call::LOG, wasi::FD_WRITE];
    if CALLOUTS.iter().any(|function| function.name == name) {
        CALLOUT_COST
    } else if LOGS.iter().any(|function| function.name == name) {
        LOG_COST
    } else {
        CALL_COST
    }
}

fn lengths(name: &str) -> &'static [u32] {
    LENGTHS.iter().find(|(function, _)| function.name == name).map_or(&[], |(_, lengths)| lengths)
}

/// Pays for the bytes of all vectors (pointer and length each) of `fd_write`. A vector outside the memory ends the
/// callback.
fn pay_vectors(function: &mut Function, additions: &Additions, at: u32, count: u32) {
    const VECTORS: u32 = 1;
    const COUNT: u32 = 2;
    const VECTOR_BYTES: i32 = 8;
    let length = MemArg { offset: 4, align: 0, target: MemArgTarget::default(), ordering: None };
    let mut code = function.instructions();
    code.local_get(VECTORS).local_set(at).local_get(COUNT).local_set(count);
    code.block(BlockType::Empty).loop_(BlockType::Empty);
    code.local_get(count).i32_eqz().br_if(1);
    budget::pay(&mut code, additions, VECTOR_COST, Check::No);
    code.local_get(at).i32_load(length).call(additions.pay_bytes);
    code.local_get(at).i32_const(VECTOR_BYTES).i32_add().local_set(at);
    code.local_get(count).i32_const(1).i32_sub().local_set(count);
    code.br(0).end().end();
}

/// A callback closes or answers a stream once, and none that is over: Envoy 1.40 crashes on whatever comes second, and
/// the module is told that it cannot be.
fn end_once(function: &mut Function, additions: &Additions) {
    let mut code = function.instructions();
    code.global_get(additions.over).if_(BlockType::Empty);
    code.i32_const(Status::BadArgument.number()).return_().end();
    code.i32_const(1).global_set(additions.over);
}

/// Nor does a callback about a request go on with an answer that there is not yet.
fn refuse_early(function: &mut Function, additions: &Additions) {
    let mut code = function.instructions();
    code.global_get(additions.early).local_get(0).i32_const(StreamType::Response.number()).i32_eq();
    code.i32_and().if_(BlockType::Empty);
    code.i32_const(Status::BadArgument.number()).return_().end();
}
