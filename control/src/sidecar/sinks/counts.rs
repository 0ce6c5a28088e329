//! What happened to the lines that were handed to a sink, and the text in which Prometheus reads that.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often at most it is said that something is wrong with a sink.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// Of one sink.
#[derive(Debug, Default)]
pub struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    /// Bytes that wait.
    waiting: AtomicUsize,
    said: Mutex<Option<Instant>>,
}

impl Counts {
    /// How many lines were written.
    #[must_use]
    pub fn lines_written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// How many lines are lost.
    #[must_use]
    pub fn lines_dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn written(&self, lines: usize) {
        self.written.fetch_add(lines as u64, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self, lines: usize) {
        self.dropped.fetch_add(lines as u64, Ordering::Relaxed);
    }

    /// Counts bytes as waiting, unless that would be too many.
    pub(super) fn take_in(&self, bytes: usize, most: usize) -> bool {
        let more = |waiting: usize| waiting.checked_add(bytes).filter(|all| *all <= most);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(super) fn taken_out(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Says what is wrong, unless something was said just now.
    pub(super) fn say(&self, sink: &str, problem: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            *said = Some(Instant::now());
            tracing::warn!(
                sink,
                dropped = self.lines_dropped(),
                "lines of logs do not reach their sink: {problem}"
            );
        }
    }
}

/// The counts of sinks as Prometheus reads them.
#[must_use]
pub fn metrics(counts: &BTreeMap<String, Arc<Counts>>) -> String {
    let mut text = "# HELP chancery_sink_lines_total Lines of logs that were handed to a sink, by what became of them.\n\
                    # TYPE chancery_sink_lines_total counter\n"
        .to_owned();
    // Writing to a string does not fail. Neither names of files nor addresses have anything to escape.
    for (sink, of) in counts {
        for (outcome, lines) in [("written", of.lines_written()), ("dropped", of.lines_dropped())] {
            let _ =
                writeln!(text, "chancery_sink_lines_total{{sink=\"{sink}\",outcome=\"{outcome}\"}} {lines}");
        }
    }
    text.push_str(
        "# HELP chancery_sink_waiting_bytes Bytes of lines that wait for a sink.\n\
         # TYPE chancery_sink_waiting_bytes gauge\n",
    );
    for (sink, of) in counts {
        let waiting = of.waiting.load(Ordering::Relaxed);
        let _ = writeln!(text, "chancery_sink_waiting_bytes{{sink=\"{sink}\"}} {waiting}");
    }
    text
}
