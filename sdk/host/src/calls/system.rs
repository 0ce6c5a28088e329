//! The log, the clock, and the module's own contexts.

use crate::abi::{LogLevel, Status};
use crate::guest::{Answer, Guest};
use crate::state::{ROOT_CONTEXT, Shutdown};

pub(super) fn log(guest: &mut Guest<'_>, level: i32, pointer: i32, length: i32) -> Answer {
    let level = LogLevel::from_number(level).ok_or(Status::BadArgument)?;
    let message = guest.read(pointer, length)?;
    let state = guest.state();
    state.log.write(level, state.context, &message);
    Ok(())
}

pub(super) fn get_log_level(guest: &mut Guest<'_>, to: i32) -> Answer {
    let level = guest.state().log.level;
    guest.write_u32(to, level.number().cast_unsigned())
}

/// The status of the last answer to a call: what a gRPC call ended with, or that an HTTP call failed.
pub(super) fn get_status(guest: &mut Guest<'_>, code_to: i32, pointer_to: i32, length_to: i32) -> Answer {
    let (code, message) = guest.state().callouts.status.clone();
    guest.write_u32(code_to, code)?;
    guest.give(message.as_bytes(), pointer_to, length_to)
}

pub(super) fn get_time(guest: &mut Guest<'_>, to: i32) -> Answer {
    let time_ns = guest.state().time_ns;
    guest.write_u64(to, time_ns)
}

pub(super) fn set_tick_period(guest: &mut Guest<'_>, period_ms: i32) -> Answer {
    guest.state().tick_period_ms = period_ms.cast_unsigned();
    Ok(())
}

pub(super) fn set_effective_context(guest: &mut Guest<'_>, context: i32) -> Answer {
    let context = context.cast_unsigned();
    let state = guest.state();
    if context != ROOT_CONTEXT && !state.streams.contains_key(&context) {
        return Err(Status::BadArgument.into());
    }
    state.context = context;
    Ok(())
}

/// Ends a shutdown of the plugin that `proxy_on_done` put off.
pub(super) fn done(guest: &mut Guest<'_>) -> Answer {
    let shutdown = &mut guest.state().shutdown;
    if *shutdown != Shutdown::PutOff {
        return Err(Status::NotFound.into());
    }
    *shutdown = Shutdown::Done;
    Ok(())
}

/// There is one thread. The answer is a truth value, not a status.
pub(super) fn pthread_equal(_guest: &mut Guest<'_>, left: i32, right: i32) -> Answer {
    // `Ok` is 0, which says that they differ; 1 is the number of `NotFound`.
    if left == right { Err(Status::NotFound.into()) } else { Ok(()) }
}
