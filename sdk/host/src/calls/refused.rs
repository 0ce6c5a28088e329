//! Host calls that this host does not offer, and says so: a module may import them, and gets
//! `UNIMPLEMENTED` when it makes them.

use crate::abi::Status;
use crate::guest::{Answer, Guest};

/// Queues, HTTP calls and gRPC need a proxy that goes on while the module waits.
pub(super) fn unimplemented(_guest: &mut Guest<'_>) -> Answer {
    Err(Status::Unimplemented.into())
}
