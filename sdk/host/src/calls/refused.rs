//! Host calls that this host does not offer, and says so: a module may import them, and gets
//! `UNIMPLEMENTED` when it makes them, or what Envoy says where there is nothing to call.

use crate::abi::Status;
use crate::guest::{Answer, Guest};

/// Queues, HTTP calls and gRPC need a proxy that goes on while the module waits.
pub(super) fn unimplemented(_guest: &mut Guest<'_>) -> Answer {
    Err(Status::Unimplemented.into())
}

/// No foreign function exists here, whatever its name.
pub(super) fn foreign_function(_guest: &mut Guest<'_>) -> Answer {
    Err(Status::NotFound.into())
}
