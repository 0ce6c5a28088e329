//! The gRPC status of a denial, for clients that speak gRPC.
//!
//! Such a client looks at no status of HTTP: Envoy answers it with 200, a status of gRPC, and the text of the denial as
//! its message. What Envoy makes of a status by itself is right for most (401 is `UNAUTHENTICATED`, 403 is
//! `PERMISSION_DENIED`, 404 is `UNIMPLEMENTED`, 503 is `UNAVAILABLE`); for some it is what a service says that is broken
//! or gone (400 is `INTERNAL`, 429 is `UNAVAILABLE`), on which clients and their operators act wrongly. These are stated.

use super::code::{Local, Operand, Value};

/// Whoever asks so is never answered: the request has to be another one.
const INVALID_ARGUMENT: i32 = 3;
/// Whoever asks has had, or wants, too much.
const RESOURCE_EXHAUSTED: i32 = 8;
/// Says that Envoy is to choose.
const NOT_STATED: i32 = -1;

/// The statuses of HTTP for which Envoy's own choice is wrong, each with that of gRPC.
const STATED: [(i32, i32); 4] = [
    (400, INVALID_ARGUMENT),
    (413, RESOURCE_EXHAUSTED),
    (429, RESOURCE_EXHAUSTED),
    (431, RESOURCE_EXHAUSTED),
];

/// The gRPC status for a status of HTTP.
pub(super) fn status_of(http: Local) -> Value {
    let other = Value::from(NOT_STATED);
    STATED.iter().fold(other, |other, (status, grpc)| Value::from(*grpc).when(http.eq(*status), other))
}
