//! Where lines of logs go.

use crate::source::Span;
use std::sync::Arc;

/// Where a sink lets lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// The place.
    pub goal: Goal,
    /// The statement that says so.
    pub span: Span,
}

/// A place where lines of logs go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Goal {
    /// The log of the sidecar.
    Stdout,
    /// A file of this name, in the folder of the sidecar for logs.
    File(Arc<str>),
    /// A receiver of OTLP over gRPC: `HOST:PORT` without TLS, `https://HOST:PORT` with it.
    Otlp(Arc<str>),
}
