//! Everything that can go wrong when a module is loaded, started or called.

use crate::abi::Function;
use wasmtime::Trap;

/// Why a module cannot be used, or cannot be used any longer.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// wasmtime could not be set up on this machine.
    #[error("the Wasm engine cannot be set up: {0}")]
    Engine(String),
    /// More bytes than [`Limits::module_bytes_max`](crate::Limits::module_bytes_max).
    #[error("the module has {bytes} bytes; at most {bytes_max} are accepted")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What it may have.
        bytes_max: usize,
    },
    /// Not WebAssembly, or not valid.
    #[error("not a valid WebAssembly module: {0}")]
    Invalid(String),
    /// An import that no host offers.
    #[error("the module imports `{module}.{name}`, which no host offers to modules of its version")]
    UnknownImport {
        /// Its module.
        module: String,
        /// Its name.
        name: String,
    },
    /// A known import of another type.
    #[error("the module imports `{module}.{name}` as {got}; it is {}", expected.signature)]
    ImportSignature {
        /// Its module.
        module: String,
        /// Its name.
        name: String,
        /// What the contract says.
        expected: Function,
        /// What the module says.
        got: String,
    },
    /// A callback or allocator of another type.
    #[error("the module exports `{}` as {got}; it must be {}", expected.name, expected.signature)]
    ExportSignature {
        /// What the contract says.
        expected: Function,
        /// What the module says.
        got: String,
    },
    /// No memory is exported as `memory`.
    #[error("the module does not export its memory as `memory`")]
    NoMemory,
    /// The memory is not one that the contract can address.
    #[error("the module's memory cannot be used: {0}")]
    Memory(String),
    /// Neither `malloc` nor `proxy_on_memory_allocate`.
    #[error("the module exports neither `malloc` nor `proxy_on_memory_allocate`: (i32) -> (i32)")]
    NoAllocator,
    /// No marker of a version that Envoy knows.
    #[error("the module does not export the function `proxy_abi_version_0_2_1`{}", other.as_ref().map(|name| format!(", but `{name}`")).unwrap_or_default())]
    NoVersionMarker {
        /// The marker of another version, if there is one.
        other: Option<String>,
    },
    /// A start section, which crashes Envoy when it makes a host call.
    #[error("the module has a start section; put its work into `_initialize`")]
    StartSection,
    /// `proxy_on_vm_start` or `proxy_on_configure` gave 0.
    #[error("`{callback}` did not accept the configuration{}", words.as_ref().map(|words| format!(": {words}")).unwrap_or_default())]
    Refused {
        /// Which.
        callback: &'static str,
        /// The last error that the module logged: what it says of the configuration.
        words: Option<String>,
    },
    /// A callback trapped.
    #[error("`{callback}` trapped: {reason}")]
    Trapped {
        /// Which.
        callback: &'static str,
        /// wasmtime's words, and the functions that were running.
        reason: String,
    },
    /// A callback ran longer than [`Limits::callback_fuel`](crate::Limits::callback_fuel).
    #[error("`{callback}` did not end within {fuel} instructions")]
    OutOfFuel {
        /// Which.
        callback: &'static str,
        /// The limit.
        fuel: u64,
    },
    /// A callback made the host move more than
    /// [`Limits::callback_work_bytes_max`](crate::Limits::callback_work_bytes_max).
    #[error("`{callback}` made the host move more than {bytes_max} bytes")]
    TooMuchWork {
        /// Which.
        callback: &'static str,
        /// The limit.
        bytes_max: u64,
    },
    /// A callback made a host call where it must not: while it starts or allocates.
    #[error("`{callback}` called `{call}` {when}")]
    Restricted {
        /// Which.
        callback: &'static str,
        /// The host call.
        call: &'static str,
        /// `while allocating` or `while starting`.
        when: &'static str,
    },
    /// An earlier callback failed, so the instance's state cannot be trusted.
    #[error("the plugin failed before and cannot be called any more")]
    Failed,
    /// Too many streams are open.
    #[error("{streams_max} streams are open; close some first")]
    TooManyStreams {
        /// The limit.
        streams_max: usize,
    },
    /// The stream was closed, or is of another plugin.
    #[error("stream {0} is not open")]
    NoSuchStream(u32),
}

/// Why a host call ends its callback; travels through wasmtime as an error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFault {
    /// The work limit is reached.
    #[error("too much work for the host")]
    TooMuchWork,
    /// The call is not allowed here.
    #[error("`{call}` was called {when}")]
    Restricted {
        /// The host call.
        call: &'static str,
        /// When.
        when: &'static str,
    },
    /// What we did wrong.
    #[error("a host call was made before the instance was complete")]
    NoInstance,
}

/// Gives the error of a callback that wasmtime ended.
pub(crate) fn from_callback(
    callback: &'static str,
    error: &wasmtime::Error,
    limits: &crate::Limits,
) -> HostError {
    if error.downcast_ref::<Trap>() == Some(&Trap::OutOfFuel) {
        return HostError::OutOfFuel { callback, fuel: limits.callback_fuel };
    }
    match error.downcast_ref::<CallFault>() {
        Some(CallFault::TooMuchWork) => {
            HostError::TooMuchWork { callback, bytes_max: limits.callback_work_bytes_max }
        }
        Some(CallFault::Restricted { call, when }) => HostError::Restricted { callback, call, when },
        Some(CallFault::NoInstance) | None => HostError::Trapped { callback, reason: describe(error) },
    }
}

/// The trap's own words first, then the names of the running functions, innermost first.
fn describe(error: &wasmtime::Error) -> String {
    let mut reason = error.root_cause().to_string();
    if let Some(backtrace) = error.downcast_ref::<wasmtime::WasmBacktrace>() {
        let names: Vec<String> = backtrace
            .frames()
            .iter()
            .map(|frame| frame.func_name().map_or_else(|| format!("#{}", frame.func_index()), str::to_owned))
            .collect();
        if !names.is_empty() {
            reason.push_str(&format!(" (in {})", names.join(" < ")));
        }
    }
    reason
}
