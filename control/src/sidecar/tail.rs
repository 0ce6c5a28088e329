//! The lines of logs that somebody follows at the control plane, on their way from Envoy's standard output to the stream.
//!
//! ```text
//!  Sinks -- each line --> Tail -- if somebody wants it, and there is room --> queue -- now and then --> relay --> control plane
//! ```
//!
//! While nobody follows, a line costs one look at a flag. Whoever offers a line never waits: one for which there is no
//! room is counted, and gone from here alone.

use crate::delivery::xds::lines::{BATCH_LINES_MAX, Batch, Entry, LINE_BYTES_MAX, Wanted};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most lines that are taken in a second.
const LINES_PER_SECOND_MAX: u32 = 200;
/// The most lines that wait, and the most bytes of them.
const LINES_WAITING_MAX: usize = 512;
const BYTES_WAITING_MAX: usize = 2 << 20;
/// The most bytes of one batch.
const BATCH_BYTES_MAX: usize = 512 << 10;
/// How often lines are passed on.
pub const PASS_ON_EVERY: Duration = Duration::from_millis(250);

/// The lines that wait, and which are wanted.
#[derive(Debug, Default)]
pub struct Tail {
    is_followed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    wanted: Vec<Wanted>,
    waiting: VecDeque<String>,
    waiting_bytes: usize,
    left_out: u64,
    /// When the present second began, and how many lines were taken in it.
    second: Option<Instant>,
    taken: u32,
}

impl Tail {
    /// Which lines are wanted from now on; none if nobody follows.
    pub fn want(&self, wanted: Vec<Wanted>) {
        let mut state = self.state();
        self.is_followed.store(!wanted.is_empty(), Ordering::Relaxed);
        if wanted.is_empty() {
            *state = State::default();
        } else {
            state.wanted = wanted;
        }
    }

    /// Whether somebody follows.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.is_followed.load(Ordering::Relaxed)
    }

    /// Takes a line if it is wanted and there is room.
    pub fn offer(&self, line: &str, now: Instant) {
        if !self.is_followed() {
            return;
        }
        let Some(entry) = Entry::read(line) else { return };
        let mut state = self.state();
        if state.wanted.iter().any(|wanted| wanted.takes(&entry)) {
            state.take(line, now);
        }
    }

    /// The next lines to be passed on.
    #[must_use]
    pub fn batch(&self) -> Batch {
        let mut state = self.state();
        let mut batch = Batch { lines: Vec::new(), left_out: std::mem::take(&mut state.left_out) };
        let mut bytes = 0;
        while batch.lines.len() < BATCH_LINES_MAX && bytes < BATCH_BYTES_MAX {
            let Some(line) = state.waiting.pop_front() else { break };
            state.waiting_bytes -= line.len();
            bytes += line.len();
            batch.lines.push(line);
        }
        batch
    }

    /// A batch could not be passed on.
    pub fn lost(&self, batch: &Batch) {
        let mut state = self.state();
        state.left_out =
            state.left_out.saturating_add(batch.left_out).saturating_add(batch.lines.len() as u64);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, line: &str, now: Instant) {
        let is_new =
            self.second.is_none_or(|second| now.saturating_duration_since(second) >= Duration::from_secs(1));
        if is_new {
            (self.second, self.taken) = (Some(now), 0);
        }
        let has_room = line.len() <= LINE_BYTES_MAX
            && self.taken < LINES_PER_SECOND_MAX
            && self.waiting.len() < LINES_WAITING_MAX
            && self.waiting_bytes + line.len() <= BYTES_WAITING_MAX;
        if has_room {
            self.taken += 1;
            self.waiting_bytes += line.len();
            self.waiting.push_back(line.to_owned());
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: &str = r#"{"rule":"orders/no","decision":"denied"}"#;
    const ALLOWED: &str = r#"{"rule":"orders/read","decision":"allowed"}"#;

    #[test]
    fn lines_are_taken_only_while_somebody_wants_them() {
        let (tail, now) = (Tail::default(), Instant::now());
        tail.offer(DENIED, now);
        assert!(tail.batch().is_empty());
        tail.want(vec![Wanted { denied: true, ..Wanted::default() }]);
        for line in [ALLOWED, DENIED, "not of a log"] {
            tail.offer(line, now);
        }
        assert_eq!(tail.batch(), Batch { lines: vec![DENIED.to_owned()], left_out: 0 });
        tail.offer(DENIED, now);
        tail.want(Vec::new());
        assert!(tail.batch().is_empty() && !tail.is_followed());
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let (tail, now) = (Tail::default(), Instant::now());
        tail.want(vec![Wanted::default()]);
        let long = format!(r#"{{"rule":"{}"}}"#, "x".repeat(LINE_BYTES_MAX));
        tail.offer(&long, now);
        for _ in 0..1000 {
            tail.offer(DENIED, now);
        }
        let (mut lines, mut left_out) = (0, 0);
        loop {
            let batch = tail.batch();
            if batch.is_empty() {
                break;
            }
            assert!(batch.lines.len() <= BATCH_LINES_MAX);
            lines += batch.lines.len() as u64;
            left_out += batch.left_out;
        }
        assert_eq!(
            (lines, left_out),
            (u64::from(LINES_PER_SECOND_MAX), 1001 - u64::from(LINES_PER_SECOND_MAX))
        );
        tail.offer(DENIED, now + Duration::from_secs(1));
        let batch = tail.batch();
        assert_eq!(batch.lines.len(), 1, "the next second has room");
        tail.lost(&batch);
        assert_eq!(tail.batch(), Batch { lines: Vec::new(), left_out: 1 });
    }
}
