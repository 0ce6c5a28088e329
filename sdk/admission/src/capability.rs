//! Capabilities: what a module may do beyond reading and changing headers, and which host calls and callbacks that is.
//!
//! The words are those of `may` in a `filter` policy. What is not listed here needs no permission: it concerns the
//! stream at hand, the module's own state, its log, its metrics and the clock.

use crate::outline::{ExternKind, Outline};
use chancery_sdk_abi::guest_exports as export;
use chancery_sdk_abi::{Function, guest_exports, host_calls as call};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Something that a module may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Call services over HTTP and gRPC.
    Call,
    /// See bodies, and the bytes of connections.
    ReadBody,
    /// Change them, too.
    ChangeBody,
    /// Keep data that all workers share, and queues.
    ShareData,
    /// Write filter state, by which policies and routes are told what was decided. No policy allows it.
    SetState,
    /// Call functions that Envoy has beside the contract, which reach that state, too. No policy allows it.
    CallProxy,
}

/// Words that are no capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCapability(pub String);

const CALL: &[Function] = &[
    call::HTTP_CALL,
    call::GRPC_CALL,
    call::GRPC_STREAM,
    call::GRPC_SEND,
    call::GRPC_CLOSE,
    call::GRPC_CANCEL,
    export::ON_HTTP_CALL_RESPONSE,
    export::ON_GRPC_RECEIVE_INITIAL_METADATA,
    export::ON_GRPC_RECEIVE,
    export::ON_GRPC_RECEIVE_TRAILING_METADATA,
    export::ON_GRPC_CLOSE,
];
const READ_BODY: &[Function] = &[
    export::ON_REQUEST_BODY,
    export::ON_RESPONSE_BODY,
    export::ON_DOWNSTREAM_DATA,
    export::ON_UPSTREAM_DATA,
];
const CHANGE_BODY: &[Function] = &[call::SET_BUFFER_BYTES];
const SHARE_DATA: &[Function] = &[
    call::GET_SHARED_DATA,
    call::SET_SHARED_DATA,
    call::REGISTER_SHARED_QUEUE,
    call::RESOLVE_SHARED_QUEUE,
    call::ENQUEUE_SHARED_QUEUE,
    call::DEQUEUE_SHARED_QUEUE,
    export::ON_QUEUE_READY,
];
const SET_STATE: &[Function] = &[call::SET_PROPERTY];
const CALL_PROXY: &[Function] = &[call::CALL_FOREIGN_FUNCTION, export::ON_FOREIGN_FUNCTION];

impl Capability {
    /// Every capability.
    pub const ALL: &[Self] =
        &[Self::Call, Self::ReadBody, Self::ChangeBody, Self::ShareData, Self::SetState, Self::CallProxy];

    /// The words behind `may`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::ReadBody => "read body",
            Self::ChangeBody => "change body",
            Self::ShareData => "share data",
            Self::SetState => "set state",
            Self::CallProxy => "call proxy",
        }
    }

    /// Whether a policy can allow it.
    #[must_use]
    pub const fn can_be_allowed(self) -> bool {
        !matches!(self, Self::SetState | Self::CallProxy)
    }

    /// The host calls and callbacks that it is.
    #[must_use]
    pub const fn functions(self) -> &'static [Function] {
        match self {
            Self::Call => CALL,
            Self::ReadBody => READ_BODY,
            Self::ChangeBody => CHANGE_BODY,
            Self::ShareData => SHARE_DATA,
            Self::SetState => SET_STATE,
            Self::CallProxy => CALL_PROXY,
        }
    }

    /// What has to be declared for a host call or callback; `None` if every module may.
    #[must_use]
    pub fn of(function: Function) -> Option<Self> {
        Self::ALL.iter().copied().find(|capability| capability.functions().contains(&function))
    }

    /// Whether what was declared allows it. Who may change bodies may read them. Where nothing was declared, for it was
    /// not asked, all is allowed that a policy can allow.
    #[must_use]
    pub fn is_allowed(self, may: Option<&BTreeSet<Self>>) -> bool {
        let Some(may) = may else { return self.can_be_allowed() };
        may.contains(&self) || (self == Self::ReadBody && may.contains(&Self::ChangeBody))
    }

    /// Whether a host call or callback is cut off.
    #[must_use]
    pub(crate) fn withholds(function: Function, may: Option<&BTreeSet<Self>>) -> bool {
        Self::of(function).is_some_and(|capability| !capability.is_allowed(may))
    }
}

impl FromStr for Capability {
    type Err = UnknownCapability;

    fn from_str(words: &str) -> Result<Self, UnknownCapability> {
        let known = Self::ALL.iter().copied().find(|capability| capability.as_str() == words);
        known.ok_or_else(|| UnknownCapability(words.to_owned()))
    }
}

impl fmt::Display for UnknownCapability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<_> = Capability::ALL.iter().filter(|known| known.can_be_allowed()).collect();
        write!(formatter, "there is no capability `{}`; there are", self.0.escape_debug())?;
        known.iter().enumerate().try_for_each(|(at, known)| {
            let before = if at == 0 { "" } else { "," };
            write!(formatter, "{before} `{known}`")
        })
    }
}

impl std::error::Error for UnknownCapability {}

impl fmt::Display for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The names that Envoy's capability restriction has to list for a module that was found well: the host calls that it
/// imports and the callbacks that it exports, without those that are cut off.
pub(crate) fn allowed(outline: &Outline, may: Option<&BTreeSet<Capability>>) -> BTreeSet<String> {
    let imports = outline.imports.iter().map(|import| import.name.clone());
    let exports = outline.exports.iter().filter(|export| export.kind == ExternKind::Function);
    // The allocator and constructors cannot be restricted, and have no such names.
    let is_callback = |name: &String| name.starts_with("proxy_") && guest_exports::find(name).is_some();
    let callbacks = exports.map(|export| export.name.clone()).filter(is_callback);
    // Never empty: a module without imports and callbacks would be allowed everything.
    let all = imports.chain(callbacks).chain([call::LOG.name.to_owned()]);
    let contract = |name: &str| call::find(name).or_else(|| guest_exports::find(name));
    all.filter(|name| !contract(name).is_some_and(|function| Capability::withholds(function, may))).collect()
}
