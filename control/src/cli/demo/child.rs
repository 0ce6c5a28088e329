//! A child of the demo: this very program with other arguments. What it logs is kept in a file and
//! handed on line by line. It dies with the demo, however that ends.

use crate::sidecar::process::each_line;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The program itself, even if its file was replaced meanwhile.
const OWN_EXECUTABLE: &str = "/proc/self/exe";
/// Before what a sidecar prints the address of its readiness endpoint.
const READINESS: &str = "readiness ";
/// Lines of the log that an error shows.
const LAST_LINES_MAX: usize = 8;

/// A running child.
#[derive(Debug)]
pub struct Child {
    /// What it is, for messages.
    pub name: String,
    process: tokio::process::Child,
    readers: JoinSet<()>,
    last_lines: Arc<Mutex<VecDeque<String>>>,
    readiness: watch::Receiver<Option<String>>,
}

impl Child {
    /// Starts `chancery ARGUMENTS`. `heard` gets each line that it logs.
    ///
    /// # Errors
    /// When the program cannot be started, or the log file not be written.
    pub fn start(
        name: &str,
        arguments: &[String],
        log: &Path,
        heard: impl Fn(&str) + Send + 'static,
    ) -> io::Result<Self> {
        let mut file = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(OWN_EXECUTABLE);
        command.args(["envoy", "exec", "--parent"]).arg(std::process::id().to_string());
        command.args(["--", OWN_EXECUTABLE]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut process = command.spawn()?;
        let last_lines = Arc::new(Mutex::new(VecDeque::new()));
        let (announce, readiness) = watch::channel(None);
        let mut readers = JoinSet::new();
        if let Some(stdout) = process.stdout.take() {
            readers.spawn(each_line(stdout, move |line| {
                if let Some(url) = line.strip_prefix(READINESS) {
                    announce.send_replace(Some(url.to_owned()));
                }
            }));
        }
        if let Some(stderr) = process.stderr.take() {
            let last_lines = last_lines.clone();
            readers.spawn(each_line(stderr, move |line| {
                if let Err(error) = writeln!(file, "{line}") {
                    tracing::warn!(%error, "a log of the demo cannot be written");
                }
                remember(&last_lines, line);
                heard(line);
            }));
        }
        Ok(Self { name: name.to_owned(), process, readers, last_lines, readiness })
    }

    /// Where it says whether it is ready, once it has said so.
    #[must_use]
    pub fn readiness(&self) -> Option<String> {
        self.readiness.borrow().clone()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// The last lines that it logged.
    #[must_use]
    pub fn last_lines(&self) -> String {
        let lines = self.last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Tells it to end, and kills it when it has not after `patience`.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn stop(&mut self, patience: Duration) -> io::Result<()> {
        if let Some(pid) = self.process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)) {
            kill_process(pid, Signal::TERM)?;
            if timeout(patience, self.process.wait()).await.is_ok() {
                self.readers.join_next().await;
                return Ok(());
            }
            tracing::warn!(name = self.name, "does not end: killing it");
        }
        self.kill().await
    }

    /// Kills it without a warning, as a crash would.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.process.kill().await
    }
}

fn remember(lines: &Mutex<VecDeque<String>>, line: &str) {
    // Access log entries would drown what matters.
    if line.contains(r#""target":"access""#) {
        return;
    }
    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.len() == LAST_LINES_MAX {
        lines.pop_front();
    }
    lines.push_back(line.to_owned());
}
