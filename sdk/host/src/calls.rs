//! The host calls, one file per kind of thing that they touch, and the table that offers them.
//!
//! Each is a function of a [`Guest`] and the raw parameters, in the order of the contract.

mod buffers;
mod callouts;
mod first_version;
mod headers;
mod metrics;
mod properties;
mod queues;
mod shared;
mod streams;
mod system;
mod wasi;

use crate::abi::{ENV_MODULE, Function, Status, WASI_MODULES, host_calls};
use crate::guest::{Answer, Guest, Permission, Stop};
use crate::state::State;
use wasmtime::{Caller, Linker};

/// Offers one host call to modules: `offer!(linker, module, FUNCTION, permission, handler(a: i32, …))`.
macro_rules! offer {
    ($linker:expr, $module:expr, $function:expr, $permission:ident, $handler:path, ($($argument:ident: $type:ty),*)) => {
        $linker.func_wrap(
            $module,
            $function.name,
            |caller: Caller<'_, State>, $($argument: $type),*| -> wasmtime::Result<i32> {
                answer(caller, $function, Permission::$permission, |guest| $handler(guest, $($argument),*))
            },
        )?
    };
}

/// Offers every function of the contract, in `env` and under both names of WASI.
pub(crate) fn offer_all(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    offer_env(linker)?;
    for module in WASI_MODULES {
        wasi::offer(linker, module)?;
    }
    Ok(())
}

fn answer(
    caller: Caller<'_, State>,
    function: Function,
    permission: Permission,
    call: impl FnOnce(&mut Guest<'_>) -> Answer,
) -> wasmtime::Result<i32> {
    let mut guest = match Guest::enter(caller, function, permission) {
        Ok(guest) => guest,
        Err(stop) => return finish(Err(stop)),
    };
    finish(call(&mut guest))
}

fn finish(answer: Answer) -> wasmtime::Result<i32> {
    match answer {
        Ok(()) => Ok(Status::Ok.number()),
        Err(Stop::Status(status)) => Ok(status.number()),
        Err(Stop::Fault(error)) => Err(error),
    }
}

#[rustfmt::skip]
fn offer_env(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use host_calls::{self as c, version_0_1_0 as first};
    let l = linker;
    offer!(l, ENV_MODULE, c::LOG, Always, system::log, (level: i32, pointer: i32, length: i32));
    offer!(l, ENV_MODULE, c::GET_LOG_LEVEL, Callback, system::get_log_level, (to: i32));
    offer!(l, ENV_MODULE, c::GET_STATUS, Callback, system::get_status, (code: i32, pointer: i32, length: i32));
    offer!(l, ENV_MODULE, c::GET_CURRENT_TIME_NANOSECONDS, Callback, system::get_time, (to: i32));
    offer!(l, ENV_MODULE, c::SET_TICK_PERIOD_MILLISECONDS, Callback, system::set_tick_period, (ms: i32));
    offer!(l, ENV_MODULE, c::SET_EFFECTIVE_CONTEXT, Callback, system::set_effective_context, (context: i32));
    offer!(l, ENV_MODULE, c::DONE, Callback, system::done, ());
    offer!(l, ENV_MODULE, c::PTHREAD_EQUAL, Always, system::pthread_equal, (a: i32, b: i32));
    l.func_wrap(ENV_MODULE, c::EMSCRIPTEN_NOTIFY_MEMORY_GROWTH.name, |_memory: i32| {})?;

    offer!(l, ENV_MODULE, c::GET_PROPERTY, Callback, properties::get, (path: i32, length: i32, to: i32, length_to: i32));
    offer!(l, ENV_MODULE, c::SET_PROPERTY, Callback, properties::set, (path: i32, length: i32, value: i32, value_length: i32));

    offer!(l, ENV_MODULE, c::GET_HEADER_MAP_VALUE, Callback, headers::get, (map: i32, key: i32, length: i32, to: i32, length_to: i32));
    offer!(l, ENV_MODULE, c::ADD_HEADER_MAP_VALUE, Callback, headers::add, (map: i32, key: i32, length: i32, value: i32, value_length: i32));
    offer!(l, ENV_MODULE, c::REPLACE_HEADER_MAP_VALUE, Callback, headers::replace, (map: i32, key: i32, length: i32, value: i32, value_length: i32));
    offer!(l, ENV_MODULE, c::REMOVE_HEADER_MAP_VALUE, Callback, headers::remove, (map: i32, key: i32, length: i32));
    offer!(l, ENV_MODULE, c::GET_HEADER_MAP_PAIRS, Callback, headers::get_pairs, (map: i32, to: i32, length_to: i32));
    offer!(l, ENV_MODULE, c::SET_HEADER_MAP_PAIRS, Callback, headers::set_pairs, (map: i32, pairs: i32, length: i32));
    offer!(l, ENV_MODULE, c::GET_HEADER_MAP_SIZE, Callback, headers::get_size, (map: i32, to: i32));

    offer!(l, ENV_MODULE, c::GET_BUFFER_BYTES, Callback, buffers::get, (buffer: i32, start: i32, length: i32, to: i32, length_to: i32));
    offer!(l, ENV_MODULE, c::GET_BUFFER_STATUS, Callback, buffers::get_status, (buffer: i32, length_to: i32, flags_to: i32));
    offer!(l, ENV_MODULE, c::SET_BUFFER_BYTES, Callback, buffers::set, (buffer: i32, start: i32, length: i32, bytes: i32, bytes_length: i32));

    offer!(l, ENV_MODULE, c::SEND_LOCAL_RESPONSE, Callback, streams::send_local_response, (status: i32, details: i32, details_length: i32, body: i32, body_length: i32, headers: i32, headers_length: i32, grpc_status: i32));
    offer!(l, ENV_MODULE, c::CONTINUE_STREAM, Callback, streams::continue_stream, (stream: i32));
    offer!(l, ENV_MODULE, c::CLOSE_STREAM, Callback, streams::close_stream, (stream: i32));

    offer!(l, ENV_MODULE, c::DEFINE_METRIC, Callback, metrics::define, (metric_type: i32, name: i32, length: i32, to: i32));
    offer!(l, ENV_MODULE, c::INCREMENT_METRIC, Callback, metrics::increment, (id: i32, difference: i64));
    offer!(l, ENV_MODULE, c::RECORD_METRIC, Callback, metrics::record, (id: i32, value: i64));
    offer!(l, ENV_MODULE, c::GET_METRIC, Callback, metrics::get, (id: i32, to: i32));

    offer!(l, ENV_MODULE, c::GET_SHARED_DATA, Callback, shared::get, (key: i32, length: i32, to: i32, length_to: i32, version_to: i32));
    offer!(l, ENV_MODULE, c::SET_SHARED_DATA, Callback, shared::set, (key: i32, length: i32, value: i32, value_length: i32, version: i32));

    offer!(l, ENV_MODULE, c::REGISTER_SHARED_QUEUE, Callback, queues::register, (name: i32, length: i32, to: i32));
    offer!(l, ENV_MODULE, c::RESOLVE_SHARED_QUEUE, Callback, queues::resolve, (vm_id: i32, vm_id_length: i32, name: i32, length: i32, to: i32));
    offer!(l, ENV_MODULE, c::ENQUEUE_SHARED_QUEUE, Callback, queues::enqueue, (token: i32, item: i32, length: i32));
    offer!(l, ENV_MODULE, c::DEQUEUE_SHARED_QUEUE, Callback, queues::dequeue, (token: i32, to: i32, length_to: i32));

    offer!(l, ENV_MODULE, c::HTTP_CALL, Callback, callouts::http_call, (cluster: i32, cluster_length: i32, headers: i32, headers_length: i32, body: i32, body_length: i32, trailers: i32, trailers_length: i32, timeout_ms: i32, to: i32));
    offer!(l, ENV_MODULE, c::GRPC_CALL, Callback, callouts::grpc_call, (cluster: i32, cluster_length: i32, service: i32, service_length: i32, method: i32, method_length: i32, metadata: i32, metadata_length: i32, message: i32, message_length: i32, timeout_ms: i32, to: i32));
    offer!(l, ENV_MODULE, c::GRPC_STREAM, Callback, callouts::grpc_stream, (cluster: i32, cluster_length: i32, service: i32, service_length: i32, method: i32, method_length: i32, metadata: i32, metadata_length: i32, to: i32));
    offer!(l, ENV_MODULE, c::GRPC_SEND, Callback, callouts::grpc_send, (token: i32, message: i32, length: i32, ends: i32));
    offer!(l, ENV_MODULE, c::GRPC_CLOSE, Callback, callouts::grpc_close, (token: i32));
    offer!(l, ENV_MODULE, c::GRPC_CANCEL, Callback, callouts::grpc_cancel, (token: i32));

    offer!(l, ENV_MODULE, c::CALL_FOREIGN_FUNCTION, Callback, streams::call_foreign_function, (name: i32, length: i32, _argument: i32, _argument_length: i32, _to: i32, _length_to: i32));

    offer!(l, ENV_MODULE, first::GET_CONFIGURATION, Callback, first_version::get_configuration, (to: i32, length_to: i32));
    offer!(l, ENV_MODULE, first::CONTINUE_REQUEST, Callback, first_version::continue_request, ());
    offer!(l, ENV_MODULE, first::CONTINUE_RESPONSE, Callback, first_version::continue_response, ());
    offer!(l, ENV_MODULE, first::CLEAR_ROUTE_CACHE, Callback, first_version::clear_route_cache, ());
    Ok(())
}
