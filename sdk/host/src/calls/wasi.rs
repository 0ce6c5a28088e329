//! The part of WASI that toolchains import. Answers are WASI's error numbers, not statuses.

use super::answer;
use crate::abi::limits::RANDOM_BYTES_MAX;
use crate::abi::{Function, LogLevel, Status, host_calls::wasi as c};
use crate::guest::{Answer, Guest, Permission, Stop};
use crate::state::State;
use wasmtime::{Caller, Linker};

/// Error numbers of WASI.
mod errno {
    pub(super) const OK: i32 = 0;
    pub(super) const BAD_FILE: i32 = 8;
    pub(super) const NO_DIRECTORY: i32 = 20;
    pub(super) const FAULT: i32 = 21;
    pub(super) const INVALID: i32 = 28;
    pub(super) const NO_ENTRY: i32 = 44;
    pub(super) const NO_SYSTEM_CALL: i32 = 52;
    pub(super) const NOT_SUPPORTED: i32 = 58;
}

/// Standard output and standard error: all files there are.
const STDOUT: i32 = 1;
const STDERR: i32 = 2;
/// `fd_write` gathers from at most so many places.
const VECTORS_MAX: i32 = 1024;
/// The right to write, in a description of a file.
const RIGHT_WRITE: u64 = 64;

/// What a call of WASI gives: an error number.
type Errno = Result<i32, Stop>;

/// Offers one call: as `offer!` of the parent, with an error number in the place of a status. The handler gets what it is
/// said to get of the parameters.
macro_rules! offer {
    ($linker:expr, $module:expr, $function:expr, $permission:ident, $handler:ident($($passed:ident),*), ($($argument:ident: $type:ty),*)) => {
        $linker.func_wrap(
            $module,
            $function.name,
            |caller: Caller<'_, State>, $($argument: $type),*| -> wasmtime::Result<i32> {
                respond(caller, $function, Permission::$permission, |guest| $handler(guest, $($passed),*))
            },
        )?
    };
}

/// Offers a call that always gives one error number.
macro_rules! refuse {
    ($linker:expr, $module:expr, $function:expr, $permission:ident, $errno:expr, ($($argument:ident: $type:ty),*)) => {
        $linker.func_wrap(
            $module,
            $function.name,
            |caller: Caller<'_, State>, $($argument: $type),*| -> wasmtime::Result<i32> {
                respond(caller, $function, Permission::$permission, |_| Ok($errno))
            },
        )?
    };
}

#[rustfmt::skip]
pub(super) fn offer(l: &mut Linker<State>, module: &str) -> wasmtime::Result<()> {
    offer!(l, module, c::FD_WRITE, Always, fd_write(fd, vectors, count, to), (fd: i32, vectors: i32, count: i32, to: i32));
    offer!(l, module, c::CLOCK_TIME_GET, Always, clock_time_get(clock, to), (clock: i32, _precision: i64, to: i32));
    offer!(l, module, c::RANDOM_GET, Start, random_get(to, length), (to: i32, length: i32));
    offer!(l, module, c::FD_FDSTAT_GET, Start, fd_fdstat_get(fd, to), (fd: i32, to: i32));
    offer!(l, module, c::ENVIRON_GET, Start, environ_get(pointers, bytes), (pointers: i32, bytes: i32));
    offer!(l, module, c::ENVIRON_SIZES_GET, Start, environ_sizes_get(count, bytes), (count: i32, bytes: i32));
    offer!(l, module, c::ARGS_SIZES_GET, Start, args_sizes_get(count, bytes), (count: i32, bytes: i32));
    refuse!(l, module, c::ARGS_GET, Start, errno::OK, (_a: i32, _b: i32));
    refuse!(l, module, c::SCHED_YIELD, Start, errno::OK, ());
    refuse!(l, module, c::FD_READ, Start, errno::NO_SYSTEM_CALL, (_a: i32, _b: i32, _c: i32, _d: i32));
    refuse!(l, module, c::FD_SEEK, Start, errno::OK, (_a: i32, _b: i64, _c: i32, _d: i32));
    refuse!(l, module, c::FD_CLOSE, Start, errno::OK, (_a: i32));
    refuse!(l, module, c::FD_FDSTAT_SET_FLAGS, Start, errno::NO_SYSTEM_CALL, (_a: i32, _b: i32));
    refuse!(l, module, c::FD_PRESTAT_GET, Start, errno::BAD_FILE, (_a: i32, _b: i32));
    refuse!(l, module, c::FD_PRESTAT_DIR_NAME, Start, errno::NO_SYSTEM_CALL, (_a: i32, _b: i32, _c: i32));
    refuse!(l, module, c::FD_FILESTAT_GET, Start, errno::BAD_FILE, (_a: i32, _b: i32));
    refuse!(l, module, c::FD_ADVISE, Start, errno::OK, (_a: i32, _b: i64, _c: i64, _d: i32));
    refuse!(l, module, c::FD_PREAD, Start, errno::NO_SYSTEM_CALL, (_a: i32, _b: i32, _c: i32, _d: i64, _e: i32));
    refuse!(l, module, c::PATH_OPEN, Start, errno::NO_ENTRY, (_a: i32, _b: i32, _c: i32, _d: i32, _e: i32, _f: i64, _g: i64, _h: i32, _i: i32));
    refuse!(l, module, c::PATH_FILESTAT_GET, Start, errno::NOT_SUPPORTED, (_a: i32, _b: i32, _c: i32, _d: i32, _e: i32));
    refuse!(l, module, c::PATH_CREATE_DIRECTORY, Start, errno::NOT_SUPPORTED, (_a: i32, _b: i32, _c: i32));
    refuse!(l, module, c::PATH_FILESTAT_SET_TIMES, Start, errno::NOT_SUPPORTED, (_a: i32, _b: i32, _c: i32, _d: i32, _e: i64, _f: i64, _g: i32));
    refuse!(l, module, c::PATH_REMOVE_DIRECTORY, Start, errno::NOT_SUPPORTED, (_a: i32, _b: i32, _c: i32));
    refuse!(l, module, c::PATH_RENAME, Start, errno::NOT_SUPPORTED, (_a: i32, _b: i32, _c: i32, _d: i32, _e: i32, _f: i32));
    refuse!(l, module, c::PATH_UNLINK_FILE, Start, errno::NOT_SUPPORTED, (_a: i32, _b: i32, _c: i32));
    refuse!(l, module, c::SOCK_SHUTDOWN, Start, errno::NOT_SUPPORTED, (_a: i32, _b: i32));
    offer!(l, module, c::CLOCK_RES_GET, Start, clock_res_get(clock, to), (clock: i32, to: i32));
    offer!(l, module, c::FD_ALLOCATE, Start, standard_stream(fd), (fd: i32, _a: i64, _b: i64));
    offer!(l, module, c::FD_DATASYNC, Start, standard_stream(fd), (fd: i32));
    offer!(l, module, c::FD_SYNC, Start, standard_stream(fd), (fd: i32));
    offer!(l, module, c::FD_FDSTAT_SET_RIGHTS, Start, standard_stream(fd), (fd: i32, _a: i64, _b: i64));
    offer!(l, module, c::FD_FILESTAT_SET_SIZE, Start, standard_stream(fd), (fd: i32, _a: i64));
    offer!(l, module, c::FD_FILESTAT_SET_TIMES, Start, standard_stream(fd), (fd: i32, _a: i64, _b: i64, _c: i32));
    offer!(l, module, c::FD_PWRITE, Start, fd_write(fd, vectors, count, to), (fd: i32, vectors: i32, count: i32, _offset: i64, to: i32));
    offer!(l, module, c::FD_READDIR, Start, fd_readdir(to), (_a: i32, _b: i32, _c: i32, _d: i64, to: i32));
    offer!(l, module, c::FD_RENUMBER, Start, fd_renumber(fd, to), (fd: i32, to: i32));
    offer!(l, module, c::FD_TELL, Start, fd_tell(fd, to), (fd: i32, to: i32));
    offer!(l, module, c::PATH_READLINK, Start, path_readlink(to), (_a: i32, _b: i32, _c: i32, _d: i32, _e: i32, to: i32));
    offer!(l, module, c::SOCK_ACCEPT, Start, sock_accept(to), (_a: i32, _b: i32, to: i32));
    offer!(l, module, c::SOCK_RECV, Start, sock_recv(to, flags_to), (_a: i32, _b: i32, _c: i32, _d: i32, to: i32, flags_to: i32));
    offer!(l, module, c::SOCK_SEND, Start, sock_send(to), (_a: i32, _b: i32, _c: i32, _d: i32, to: i32));
    offer!(l, module, c::POLL_ONEOFF, Always, poll_oneoff(to), (_a: i32, _b: i32, _c: i32, to: i32));
    l.func_wrap(module, c::PROC_EXIT.name, |caller: Caller<'_, State>, code: i32| -> wasmtime::Result<()> {
        answer(caller, c::PROC_EXIT, Permission::Start, |guest| proc_exit(guest, code)).map(|_| ())
    })?;
    Ok(())
}

fn respond(
    caller: Caller<'_, State>,
    function: Function,
    permission: Permission,
    call: impl FnOnce(&mut Guest<'_>) -> Errno,
) -> wasmtime::Result<i32> {
    let outcome = Guest::enter(caller, function, permission).and_then(|mut guest| call(&mut guest));
    match outcome {
        Ok(errno) => Ok(errno),
        // All that a helper of `Guest` refuses here is memory.
        Err(Stop::Status(_)) => Ok(errno::FAULT),
        Err(Stop::Fault(error)) => Err(error),
    }
}

fn fd_write(guest: &mut Guest<'_>, fd: i32, vectors: i32, count: i32, to: i32) -> Errno {
    let level = match fd {
        STDOUT => LogLevel::Info,
        STDERR => LogLevel::Error,
        _ => return Ok(errno::BAD_FILE),
    };
    if !(0..=VECTORS_MAX).contains(&count) {
        return Ok(errno::INVALID);
    }
    let mut message = Vec::new();
    for number in 0..count {
        let vector = vectors.wrapping_add(number * 8);
        let pointer = guest.read_u32(vector)?;
        let length = guest.read_u32(vector.wrapping_add(4))?;
        message.extend(guest.read(pointer.cast_signed(), length.cast_signed())?);
    }
    let written = u32::try_from(message.len()).map_err(|_| Status::InternalFailure)?;
    let state = guest.state();
    state.log.write(level, state.context, &message);
    guest.write_u32(to, written)?;
    Ok(errno::OK)
}

/// Both clocks tell the time that the host was given.
fn clock_time_get(guest: &mut Guest<'_>, clock: i32, to: i32) -> Errno {
    if !(0..=1).contains(&clock) {
        return Ok(errno::NOT_SUPPORTED);
    }
    let time_ns = guest.state().time_ns;
    guest.write_u64(to, time_ns)?;
    Ok(errno::OK)
}

fn random_get(guest: &mut Guest<'_>, to: i32, length: i32) -> Errno {
    let length = length.cast_unsigned() as usize;
    if length > RANDOM_BYTES_MAX {
        return Ok(errno::INVALID);
    }
    let mut bytes = vec![0; length];
    guest.state().random.fill(&mut bytes);
    guest.write(to, &bytes)?;
    Ok(errno::OK)
}

/// 24 bytes: no flags, the right to write, no inherited rights.
fn fd_fdstat_get(guest: &mut Guest<'_>, fd: i32, to: i32) -> Errno {
    if !is_standard(fd) {
        return Ok(errno::BAD_FILE);
    }
    let words = [0, RIGHT_WRITE, 0].map(u64::to_le_bytes);
    guest.write(to, words.as_flattened())?;
    Ok(errno::OK)
}

fn environ_sizes_get(guest: &mut Guest<'_>, count_to: i32, bytes_to: i32) -> Errno {
    let variables = environment(guest);
    let bytes: usize = variables.iter().map(Vec::len).sum();
    guest.write_u32(count_to, u32::try_from(variables.len()).map_err(|_| Status::InternalFailure)?)?;
    guest.write_u32(bytes_to, u32::try_from(bytes).map_err(|_| Status::InternalFailure)?)?;
    Ok(errno::OK)
}

fn environ_get(guest: &mut Guest<'_>, pointers_to: i32, bytes_to: i32) -> Errno {
    let (mut pointer, mut at) = (pointers_to, bytes_to);
    for variable in environment(guest) {
        guest.write_u32(pointer, at.cast_unsigned())?;
        guest.write(at, &variable)?;
        pointer = pointer.wrapping_add(4);
        at = at.wrapping_add(i32::try_from(variable.len()).map_err(|_| Status::InternalFailure)?);
    }
    Ok(errno::OK)
}

/// `NAME=VALUE` with a closing zero byte each.
fn environment(guest: &mut Guest<'_>) -> Vec<Vec<u8>> {
    let variables = guest.state().configuration.environment.iter();
    variables.map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn args_sizes_get(guest: &mut Guest<'_>, count_to: i32, bytes_to: i32) -> Errno {
    guest.write_u32(count_to, 0)?;
    guest.write_u32(bytes_to, 0)?;
    Ok(errno::OK)
}

/// The module goes on, as in Envoy, which says it in a log of its own.
fn proc_exit(guest: &mut Guest<'_>, code: i32) -> Answer {
    let state = guest.state();
    state.log.write(LogLevel::Trace, state.context, format!("proc_exit({code})").as_bytes());
    Ok(())
}

/// Go's scheduler asks for events, and wants success; there are none.
fn poll_oneoff(guest: &mut Guest<'_>, to: i32) -> Errno {
    guest.write_u32(to, 0)?;
    Ok(errno::OK)
}

fn clock_res_get(guest: &mut Guest<'_>, clock: i32, to: i32) -> Errno {
    if !(0..=1).contains(&clock) {
        return Ok(errno::NOT_SUPPORTED);
    }
    guest.write_u64(to, 1)?;
    Ok(errno::OK)
}

/// What does nothing and is allowed on standard output and standard error.
fn standard_stream(_guest: &mut Guest<'_>, fd: i32) -> Errno {
    Ok(if is_standard(fd) { errno::OK } else { errno::BAD_FILE })
}

fn is_standard(fd: i32) -> bool {
    [STDOUT, STDERR].contains(&fd)
}

fn fd_readdir(guest: &mut Guest<'_>, to: i32) -> Errno {
    guest.write_u32(to, 0)?;
    Ok(errno::NO_DIRECTORY)
}

fn fd_renumber(_guest: &mut Guest<'_>, fd: i32, to: i32) -> Errno {
    Ok(if is_standard(fd) && is_standard(to) { errno::NOT_SUPPORTED } else { errno::BAD_FILE })
}

fn fd_tell(guest: &mut Guest<'_>, fd: i32, to: i32) -> Errno {
    if !is_standard(fd) {
        return Ok(errno::BAD_FILE);
    }
    guest.write_u64(to, 0)?;
    Ok(errno::OK)
}

fn path_readlink(guest: &mut Guest<'_>, to: i32) -> Errno {
    guest.write_u32(to, 0)?;
    Ok(errno::NOT_SUPPORTED)
}

/// Eight bytes, as Envoy writes them.
fn sock_accept(guest: &mut Guest<'_>, to: i32) -> Errno {
    guest.write_u64(to, 0)?;
    Ok(errno::NOT_SUPPORTED)
}

fn sock_recv(guest: &mut Guest<'_>, to: i32, flags_to: i32) -> Errno {
    guest.write_u32(to, 0)?;
    guest.write(flags_to, &0_u16.to_le_bytes())?;
    Ok(errno::NOT_SUPPORTED)
}

fn sock_send(guest: &mut Guest<'_>, to: i32) -> Errno {
    guest.write_u32(to, 0)?;
    Ok(errno::NOT_SUPPORTED)
}
