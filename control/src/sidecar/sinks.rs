//! Hands lines of logs on to the sinks that are named in front of them.
//!
//! ```text
//!  Envoy's standard output -- a line --> Sinks -- if there is room --> queue --> writer of a file (a thread)
//!                                          |                             \----> exporter to a receiver of OTLP (a task)
//!                                          \--> the log of the sidecar
//! ```
//!
//! Whoever hands on never waits: a queue has bounds, and a line for which there is no room is counted and gone. What a
//! policy can say is the name of a file; in which folder that lies is known here alone.

mod counts;
mod file;
mod otlp;

pub use counts::{Counts, metrics};
pub use otlp::Origin;

use super::plaintext::PlaintextCallers;
use super::tail::Tail;
use chancery_policy_lang::checked::Goal;
use chancery_policy_lang::sinks::Goals;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The most lines that wait for one sink.
const LINES_MAX: usize = 16_384;
/// The most bytes of them.
const BYTES_MAX: usize = 8 << 20;
/// The most sinks that are open at a time; for another one, that is closed which was not used the longest.
const OPEN_MAX: usize = 64;
/// How long what waits may take to be written when the sidecar ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The sinks of a sidecar. Copies share them.
#[derive(Clone, Debug)]
pub struct Sinks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    origin: Origin,
    /// The authorities of receivers that are reached over TLS, if not those of the system.
    authorities: Option<PathBuf>,
    open: Mutex<BTreeMap<Goal, Open>>,
    tasks: TaskTracker,
    /// What somebody follows of the lines.
    tail: Arc<Tail>,
    /// Who calls without TLS.
    plaintext: Arc<PlaintextCallers>,
    /// Ends attempts to reach a receiver that is away.
    closing: CancellationToken,
}

/// A sink that is open.
#[derive(Debug)]
struct Open {
    queue: mpsc::Sender<Arc<str>>,
    counts: Arc<Counts>,
    used: Instant,
}

impl Sinks {
    /// None open yet. Files lie in this folder; receivers are told this origin, and those over TLS show certificates of
    /// the authorities in this file, or of those of the system.
    #[must_use]
    pub fn new(folder: PathBuf, origin: Origin, authorities: Option<PathBuf>) -> Self {
        let (tasks, closing, open) = (TaskTracker::new(), CancellationToken::new(), Mutex::default());
        let (tail, plaintext) = (Arc::default(), Arc::default());
        Self {
            shared: Arc::new(Shared { folder, origin, authorities, open, tasks, tail, plaintext, closing }),
        }
    }

    /// What somebody follows of the lines.
    #[must_use]
    pub fn tail(&self) -> Arc<Tail> {
        self.shared.tail.clone()
    }

    /// Who calls without TLS, by lines that go nowhere else.
    #[must_use]
    pub fn plaintext(&self) -> Arc<PlaintextCallers> {
        self.shared.plaintext.clone()
    }

    /// Hands a line on to all of these sinks but the log of the sidecar; whether it is for that one, too.
    pub fn hand_on(&self, goals: &Goals, line: &str) -> bool {
        self.shared.tail.offer(line, Instant::now());
        let mut is_for_log = goals.is_empty();
        let mut shared = None;
        for goal in goals.values() {
            if *goal == Goal::Stdout {
                is_for_log = true;
            } else {
                let line = shared.get_or_insert_with(|| Arc::<str>::from(line));
                self.queue(goal, line.clone());
            }
        }
        is_for_log
    }

    fn queue(&self, goal: &Goal, line: Arc<str>) {
        let mut open = self.open();
        if !open.contains_key(goal) {
            let oldest = open.iter().min_by_key(|(_, open)| open.used).map(|(goal, _)| goal.clone());
            if let Some(oldest) = oldest.filter(|_| open.len() >= OPEN_MAX) {
                open.remove(&oldest);
            }
        }
        let sink = open.entry(goal.clone()).or_insert_with(|| self.shared.open(goal));
        sink.used = Instant::now();
        let bytes = line.len();
        if !sink.counts.take_in(bytes, BYTES_MAX) {
            sink.counts.dropped(1);
        } else if sink.queue.try_send(line).is_err() {
            sink.counts.taken_out(bytes);
            sink.counts.dropped(1);
        }
    }

    /// What happened to lines so far, by sinks.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, Arc<Counts>> {
        self.open().iter().map(|(goal, open)| (goal.to_string(), open.counts.clone())).collect()
    }

    /// Lets what waits be written, for a moment.
    pub async fn close(&self) {
        self.open().clear();
        self.shared.closing.cancel();
        self.shared.tasks.close();
        if timeout(CLOSE_TIMEOUT, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!("some lines of logs were not written in time");
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<Goal, Open>> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn open(&self, goal: &Goal) -> Open {
        let (queue, lines) = mpsc::channel(LINES_MAX);
        let counts = Arc::new(Counts::default());
        match goal {
            Goal::Stdout => {}
            Goal::File(name) => {
                let writer = file::Writer::new(self.folder.join(&**name), counts.clone());
                self.tasks.spawn(writer.run(lines));
            }
            Goal::Otlp(address) => {
                let authorities = self.authorities.clone();
                let exporter = otlp::Exporter::new(address, &self.origin, authorities, counts.clone());
                self.tasks.spawn(exporter.run(lines, self.closing.clone()));
            }
        }
        Open { queue, counts, used: Instant::now() }
    }
}

#[cfg(test)]
mod tests;
