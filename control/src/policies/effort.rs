//! How long work for somebody goes on: until a point in time, and only as long as the answer is waited for.
//!
//! Compiling and trying programs takes seconds when there are many. Whoever does it asks before each one.

use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The bounds of a piece of work.
#[derive(Clone, Debug)]
pub struct Effort {
    until: Option<Instant>,
    given_up: CancellationToken,
}

/// Why work ended before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// Nobody wants the result any more.
    #[error("nobody waits for the answer any more")]
    GivenUp,
    /// The time for it is over.
    #[error("the time for it is over")]
    TimeIsOver,
}

impl Effort {
    /// Until a point in time, or until somebody gives it up.
    #[must_use]
    pub fn until(until: Instant, given_up: CancellationToken) -> Self {
        Self { until: Some(until), given_up }
    }

    /// As long as it takes, unless somebody gives it up.
    #[must_use]
    pub fn unless(given_up: CancellationToken) -> Self {
        Self { until: None, given_up }
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// If not.
    pub fn go_on(&self) -> Result<(), Stopped> {
        if self.given_up.is_cancelled() {
            return Err(Stopped::GivenUp);
        }
        match self.until {
            Some(until) if Instant::now() >= until => Err(Stopped::TimeIsOver),
            _ => Ok(()),
        }
    }

    /// How much time is left, and at most `most`.
    #[must_use]
    pub fn left(&self, most: Duration) -> Duration {
        match self.until {
            Some(until) => until.saturating_duration_since(Instant::now()).min(most),
            None => most,
        }
    }
}
