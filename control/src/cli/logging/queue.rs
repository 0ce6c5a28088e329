//! The lines of the log on their way to where they are read, so that nothing ever waits for the reader.
//!
//! ```text
//! any task --offer--> [ at most BYTES_WAITING_MAX ] --one thread--> standard error
//!                \--- no room: counted ---\              \--- cannot be written: counted
//!                                          '---> "n log lines were lost", once it goes on
//! ```
//!
//! A reader that went away, a full disk and a pipe that nobody reads cost lines of the log and nothing
//! else. The thread waits in `write` as long as it likes; whoever logs never does.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of lines that wait to be written. What is more is lost.
const BYTES_WAITING_MAX: usize = 4 * 1024 * 1024;
/// What the place of a line in the queue counts for, so that a flood of empty lines is bounded too.
const LINE_OVERHEAD_BYTES: usize = 64;
/// How often it is said, at most, that lines were lost.
const NOTICE_EVERY: Duration = Duration::from_secs(1);
/// How long to wait for a descriptor that does not block and takes nothing at present.
const RETRY_EVERY: Duration = Duration::from_millis(20);

thread_local! {
    /// Whether this thread says that lines were lost, which must not be lost itself.
    static IS_NOTICE: Cell<bool> = const { Cell::new(false) };
}

/// A queue of lines and the thread that writes them. Its clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when a line comes.
    filled: Condvar,
    /// Told when nothing waits any more.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines that were lost and of which nothing was said yet.
    lost: u64,
    /// Whether the thread has a line in hand.
    is_writing: bool,
}

impl Queue {
    /// A queue whose lines a new thread writes to `target`. After lines were lost and one was written
    /// again, `say_lost` is called with their number; what it logs always finds room.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(
        target: impl Write + Send + 'static,
        say_lost: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Self::default();
        let shared = queue.shared.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_lines(target, &say_lost))?;
        Ok(queue)
    }

    /// Takes a line, or counts it as lost when there is no room.
    pub(super) fn offer(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        let cost = cost(line);
        if state.bytes.saturating_add(cost) > BYTES_WAITING_MAX && !IS_NOTICE.get() {
            state.lost = state.lost.saturating_add(1);
            return;
        }
        state.bytes = state.bytes.saturating_add(cost);
        state.lines.push_back(line.to_vec());
        drop(state);
        self.shared.filled.notify_one();
    }

    /// Waits until everything is written, but not for long: who does not read now never will.
    pub(super) fn until_written(&self, patience: Duration) {
        let state = self.shared.lock();
        let waits = |state: &mut State| state.is_writing || !state.lines.is_empty();
        let outcome = self.shared.emptied.wait_timeout_while(state, patience, waits);
        drop(outcome.unwrap_or_else(PoisonError::into_inner));
    }
}

/// As what `tracing` writes to: each call gives a whole line, and none fails.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.offer(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lines(&self, mut target: impl Write, say_lost: &impl Fn(u64)) {
        let mut noticed_at: Option<Instant> = None;
        // Whether the end of a line is missing in the target, because its rest was lost.
        let mut is_torn = false;
        loop {
            let line = self.next_line();
            let torn_end: &[u8] = if is_torn { b"\n" } else { b"" };
            let written = write_whole(&mut target, torn_end).and_then(|_| write_whole(&mut target, &line));
            let mut state = self.lock();
            state.is_writing = false;
            match written {
                Ok(()) => is_torn = false,
                Err(part) => {
                    is_torn |= part > 0;
                    state.lost = state.lost.saturating_add(1);
                }
            }
            let is_due = noticed_at.is_none_or(|at| at.elapsed() >= NOTICE_EVERY || state.lines.is_empty());
            let lost = if written.is_ok() && is_due { std::mem::take(&mut state.lost) } else { 0 };
            let is_empty = state.lines.is_empty() && lost == 0;
            drop(state);
            if lost > 0 {
                noticed_at = Some(Instant::now());
                IS_NOTICE.set(true);
                say_lost(lost);
                IS_NOTICE.set(false);
            }
            if is_empty {
                self.emptied.notify_all();
            }
        }
    }

    fn next_line(&self) -> Vec<u8> {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.bytes = state.bytes.saturating_sub(cost(&line));
                state.is_writing = true;
                return line;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Writes all of it, however long that takes.
///
/// # Errors
/// How many bytes were written before it failed.
fn write_whole(target: &mut impl Write, bytes: &[u8]) -> Result<(), usize> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match target.write(rest) {
            Ok(0) => return Err(done),
            Ok(count) => done = done.saturating_add(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Whoever started the process may have made the descriptor so.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_EVERY),
            Err(_) => return Err(done),
        }
    }
    Ok(())
}

fn cost(line: &[u8]) -> usize {
    line.len().saturating_add(LINE_OVERHEAD_BYTES)
}

#[cfg(test)]
mod tests;
