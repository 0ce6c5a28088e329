//! How the demo tells what it does: steps with the time since the beginning, and what belongs to a step below it.

use crate::cli::terminal;
use std::time::Instant;

/// Before what belongs to a step.
const INDENT: &str = "          ";

/// Who tells.
#[derive(Clone, Copy, Debug)]
pub struct Teller {
    began: Instant,
}

impl Teller {
    /// Begins to count the time.
    #[must_use]
    pub fn start() -> Self {
        Self { began: Instant::now() }
    }

    /// A line with the time since the beginning.
    pub fn step(&self, text: &str) {
        self.say(&format!("[{:5.1} s] {text}", self.began.elapsed().as_secs_f64()));
    }

    /// Lines that belong to the step before.
    pub fn below(&self, text: &str) {
        for line in text.lines() {
            self.say(&format!("{INDENT}{line}"));
        }
    }

    /// What came back, with a mark if that is not what was told. Gives whether it is.
    pub fn came_back(&self, holds: bool, text: &str) -> bool {
        self.step(&format!("{text}{}", if holds { "" } else { "  WRONG" }));
        holds
    }

    /// Text as it is.
    pub fn say(&self, text: &str) {
        if let Err(error) = terminal::print_line(text) {
            tracing::debug!(%error, "nobody reads what the demo says");
        }
    }
}
