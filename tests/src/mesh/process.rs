//! A process of the command under test, with all that it prints.

use super::clock::Clock;
use super::{LOOK_AGAIN, PATIENCE};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{PipeReader, Write as _};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How many lines of the log a failure shows.
const LINES_SHOWN: usize = 40;

/// With what a pipe that nobody reads is filled from the start: nearly all that Linux lets it hold.
const UNREAD_BYTES: usize = 60 * 1024;

/// What becomes of what a process logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Log {
    /// It is read.
    #[default]
    Kept,
    /// It goes into a pipe that nobody reads, and in which is hardly any room left.
    Unread,
    /// It goes to a disk without room.
    DiskFull,
}

/// A running process. It is killed when this is dropped, and dies with the test in any case.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    readers: JoinSet<()>,
    unread: Option<PipeReader>,
}

impl Process {
    /// Starts the command with these arguments.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, chancery: &Path, arguments: &[String]) -> Result<Self> {
        Self::start_with(name, chancery, arguments, Log::Kept, None)
    }

    /// As [`Process::start`], with something wrong with the log, or with a clock of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_with(
        name: &str,
        chancery: &Path,
        arguments: &[String],
        log: Log,
        clock: Option<&Clock>,
    ) -> Result<Self> {
        // Whoever runs the tests may ignore SIGHUP, as `nohup` does; what they start must not.
        let mut command = Command::new("env");
        command.arg("--default-signal=HUP").arg(chancery).args([
            "envoy",
            "exec",
            "--parent",
            &std::process::id().to_string(),
            "--",
        ]);
        command.arg(chancery).args(arguments).env_remove("CHANCERY_LOG");
        command.envs(clock.iter().flat_map(|clock| clock.environment()));
        let mut unread = None;
        let stderr = match log {
            Log::Kept => Stdio::piped(),
            Log::Unread => {
                let (reader, mut writer) = std::io::pipe()?;
                writer.write_all(&[b'\n'; UNREAD_BYTES])?;
                unread = Some(reader);
                writer.into()
            }
            Log::DiskFull => File::options().write(true).open("/dev/full")?.into(),
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("the {name} cannot be started"))?;
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let mut readers = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            readers.spawn(keep(stdout, lines.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.spawn(keep(stderr, lines.clone()));
        }
        Ok(Self { name: name.to_owned(), child, lines, readers, unread })
    }

    /// Goes away from a log that nobody read.
    pub fn close_log(&mut self) {
        self.unread = None;
    }

    /// Its id.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().with_context(|| format!("the {} has ended", self.name))
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// What of the printed lines is of interest.
    pub fn lines<T>(&self, interest: impl Fn(&str) -> Option<T>) -> Vec<T> {
        lock(&self.lines).iter().filter_map(|line| interest(line)).collect()
    }

    /// The printed lines that were not taken before. Nothing else sees them any more.
    #[must_use]
    pub fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.lines))
    }

    /// What of the lines behind so many is of interest, and how many lines there are.
    pub fn lines_behind<T>(&self, lines: usize, interest: impl Fn(&str) -> Option<T>) -> (Vec<T>, usize) {
        let all = lock(&self.lines);
        (all.iter().skip(lines).filter_map(|line| interest(line)).collect(), all.len())
    }

    /// Waits until something of interest is printed.
    ///
    /// # Errors
    /// When it is not in time, or the process ends.
    pub async fn until_line<T>(&mut self, interest: impl Fn(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let has_ended = self.ended()?;
            if let Some(found) = self.lines(&interest).into_iter().next() {
                return Ok(found);
            }
            if let Some(status) = has_ended {
                bail!("the {} ended ({status}):\n{}", self.name, self.last_lines());
            }
            if Instant::now() > deadline {
                bail!("the {} does not print it:\n{}", self.name, self.last_lines());
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Tells it to end, as a supervisor does.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn terminate(&self) -> Result<()> {
        signal("TERM", self.pid()?).await
    }

    /// Waits until it has ended and everything that it printed is read.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn until_ended(&mut self) -> Result<ExitStatus> {
        let status = timeout(PATIENCE, self.child.wait()).await;
        let status = status.with_context(|| format!("the {} does not end", self.name))??;
        while self.readers.join_next().await.is_some() {}
        Ok(status)
    }

    /// Ends it without giving it a chance to do anything.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// The end of what it printed.
    #[must_use]
    pub fn last_lines(&self) -> String {
        let lines = lock(&self.lines);
        let first = lines.len().saturating_sub(LINES_SHOWN);
        lines.iter().skip(first).map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the test runner shows it with the failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the {} printed last:\n{}", self.name, self.last_lines());
        }
    }
}

/// Sends a signal to a process.
///
/// # Errors
/// When it is not there.
pub async fn signal(name: &str, pid: u32) -> Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().await?;
    if !status.success() {
        bail!("no signal reaches process {pid}");
    }
    Ok(())
}

/// Whether a process of this id is there and not dead.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(_, state)| state != "Z" && state != "X")
}

/// The processes whose parent this one is.
///
/// # Errors
/// When the system does not tell.
pub fn children(parent: u32) -> Result<Vec<u32>> {
    let entries = std::fs::read_dir("/proc")?;
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    Ok(ids.filter(|id| is_alive(*id) && stat(*id).is_some_and(|(of, _)| of == parent)).collect())
}

/// Parent and state of a process.
fn stat(pid: u32) -> Option<(u32, String)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may have spaces and parentheses.
    let mut words = text.rsplit_once(')')?.1.split_whitespace();
    let state = words.next()?.to_owned();
    Some((words.next()?.parse().ok()?, state))
}

async fn keep(stream: impl AsyncRead + Unpin, into: Arc<Mutex<Vec<String>>>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        lock(&into).push(line);
    }
}

fn lock(lines: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
