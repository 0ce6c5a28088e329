//! What happened in an exchange, written down: to be compared, shown, and replayed.

use super::{Outcome, Reply};
use crate::host::Pairs;
use std::fmt;

/// What a filter is shown. `ends` says that nothing of the message follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request begins.
    RequestHeaders {
        /// Its headers.
        headers: Pairs,
        /// Whether it has no body.
        ends: bool,
    },
    /// A piece of its body.
    RequestBody {
        /// The bytes.
        bytes: Vec<u8>,
        /// Whether it is the last.
        ends: bool,
    },
    /// Its trailers.
    RequestTrailers {
        /// The trailers.
        trailers: Pairs,
    },
    /// A response begins.
    ResponseHeaders {
        /// Its headers.
        headers: Pairs,
        /// Whether it has no body.
        ends: bool,
    },
    /// A piece of its body.
    ResponseBody {
        /// The bytes.
        bytes: Vec<u8>,
        /// Whether it is the last.
        ends: bool,
    },
    /// Its trailers.
    ResponseTrailers {
        /// The trailers.
        trailers: Pairs,
    },
    /// A call has ended.
    Called {
        /// Its number.
        id: u32,
        /// What came; `None` if nothing did.
        reply: Option<Reply>,
    },
    /// All is over.
    Finished,
}

/// An event, what the filter did, and what became of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was shown.
    pub event: Event,
    /// What the filter did, one line for each host call that changes something.
    pub done: Vec<String>,
    /// What became of the message.
    pub outcome: Outcome,
}

/// The steps of one exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// In order.
    pub steps: Vec<Step>,
}

impl fmt::Display for Recording {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(formatter, "-> {}", step.event)?;
            for line in &step.done {
                writeln!(formatter, "   {line}")?;
            }
            writeln!(formatter, "<- {}", step.outcome)?;
        }
        Ok(())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |ends: &bool| if *ends { ", the end" } else { "" };
        match self {
            Self::RequestHeaders { headers, ends } => {
                write!(formatter, "request{}{}", Shown(headers), end(ends))
            }
            Self::ResponseHeaders { headers, ends } => {
                write!(formatter, "response{}{}", Shown(headers), end(ends))
            }
            Self::RequestBody { bytes, ends } => {
                write!(formatter, "request body `{}`{}", bytes.escape_ascii(), end(ends))
            }
            Self::ResponseBody { bytes, ends } => {
                write!(formatter, "response body `{}`{}", bytes.escape_ascii(), end(ends))
            }
            Self::RequestTrailers { trailers } => write!(formatter, "request trailers{}", Shown(trailers)),
            Self::ResponseTrailers { trailers } => write!(formatter, "response trailers{}", Shown(trailers)),
            Self::Called { id, reply: Some(reply) } => write!(
                formatter,
                "call {id} answered{} `{}`",
                Shown(&reply.headers),
                reply.body.escape_ascii()
            ),
            Self::Called { id, reply: None } => write!(formatter, "call {id} failed"),
            Self::Finished => formatter.write_str("finished"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WentOn => formatter.write_str("went on"),
            Self::Held => formatter.write_str("held"),
            Self::Answered(answer) => write!(formatter, "answered {}", answer.status()),
        }
    }
}

/// Headers on one line.
struct Shown<'pairs>(&'pairs Pairs);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            let before = if at == 0 { " " } else { ", " };
            write!(formatter, "{before}{name}: {}", value.escape_ascii())?;
        }
        Ok(())
    }
}
