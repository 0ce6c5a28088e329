//! Runs Envoy as a child: starts it, passes on what it prints, starts it again when it dies, stops it.
//!
//! Envoy is in a process group of its own, so that Ctrl-C in a terminal reaches the sidecar alone,
//! which then drains first. It dies with the sidecar, however that ends: it is started through
//! `chancery envoy exec`, which asks the kernel for that and then becomes Envoy.

use super::backoff::{self, Backoff};
use super::errors::SidecarError;
use super::log_lines::{self, LogReader};
use super::settings::EnvoySettings;
use super::sinks::Sinks;
use crate::delivery::xds::PLAINTEXT_LINE;
use chancery_policy_lang::sinks::read;
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Level;

/// The program itself, even if its file was replaced meanwhile.
const OWN_EXECUTABLE: &str = "/proc/self/exe";
/// How soon, and how seldom, an Envoy that died is started again.
const RESTART_BASE: Duration = Duration::from_millis(200);
const RESTART_MAX: Duration = Duration::from_secs(30);
/// After this long an Envoy counts as having run well.
const RAN_WELL: Duration = Duration::from_secs(60);
/// How long Envoy may take to end when it is told to, before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long access log entries may wait to be written.
const ACCESS_LOG_FLUSH: Duration = Duration::from_millis(200);
/// How much of a line is passed on.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// An Envoy to be run.
#[derive(Clone, Debug)]
pub struct Supervisor {
    /// The binary and how to run it.
    pub envoy: EnvoySettings,
    /// The file to start it with.
    pub bootstrap: PathBuf,
    /// How long it takes to take leave of its clients.
    pub drain_time: Duration,
    /// Where lines of logs go.
    pub sinks: Sinks,
    /// Asks for an Envoy that knows nothing of the one before.
    pub anew: Arc<Notify>,
}

impl Supervisor {
    /// Runs Envoy until `stop`, and starts it again when it dies.
    ///
    /// # Errors
    /// When it cannot be started at all.
    pub async fn run(&self, stop: &CancellationToken) -> Result<(), SidecarError> {
        let mut backoff = Backoff::new(RESTART_BASE, RESTART_MAX);
        loop {
            let started = Instant::now();
            let mut child = self.start()?;
            let lines = pass_on_lines(&mut child, &self.sinks);
            tokio::select! {
                status = child.wait() => {
                    lines.join_all().await;
                    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    if started.elapsed() >= RAN_WELL {
                        backoff.reset();
                    }
                    let delay = backoff.next(backoff::random());
                    tracing::error!("Envoy died ({status}): starting it again in {delay:.1?}");
                    tokio::select! {
                        () = sleep(delay) => {}
                        () = stop.cancelled() => return Ok(()),
                    }
                }
                () = self.anew.notified() => {
                    tracing::info!("starting Envoy anew");
                    terminate(&mut child).await;
                    lines.join_all().await;
                }
                () = stop.cancelled() => {
                    terminate(&mut child).await;
                    lines.join_all().await;
                    return Ok(());
                }
            }
        }
    }

    fn start(&self) -> Result<Child, SidecarError> {
        let mut command = Command::new(OWN_EXECUTABLE);
        command.args(["envoy", "exec", "--parent"]).arg(std::process::id().to_string()).arg("--");
        command.arg(&self.envoy.path).args(self.arguments());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let child = command.spawn();
        let child = child.map_err(|source| SidecarError::Start { path: self.envoy.path.clone(), source })?;
        tracing::info!(pid = child.id(), path = %self.envoy.path.display(), "started Envoy");
        Ok(child)
    }

    fn arguments(&self) -> Vec<String> {
        let option = |name: &str, value: String| [name.to_owned(), value];
        let mut arguments = vec!["--disable-hot-restart".to_owned()];
        arguments.extend(option("--config-path", self.bootstrap.display().to_string()));
        arguments.extend(option("--concurrency", self.envoy.concurrency.to_string()));
        arguments.extend(option("--log-level", self.envoy.log_level.clone()));
        arguments.extend(option("--log-format", log_lines::FORMAT.to_owned()));
        arguments.extend(option("--drain-time-s", self.drain_time.as_secs().max(1).to_string()));
        arguments.extend(option("--drain-strategy", "immediate".to_owned()));
        arguments.extend(option("--file-flush-interval-msec", ACCESS_LOG_FLUSH.as_millis().to_string()));
        arguments
    }
}

/// Tells Envoy to end, and kills it if it does not.
async fn terminate(child: &mut Child) {
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)) {
        if let Err(error) = kill_process(pid, Signal::TERM) {
            tracing::debug!(%error, "Envoy is gone already");
        }
        if timeout(STOP_TIMEOUT, child.wait()).await.is_ok() {
            return;
        }
    }
    tracing::warn!("Envoy does not end: killing it");
    if let Err(error) = child.kill().await {
        tracing::error!(%error, "Envoy cannot be killed");
    }
}

/// Reads both streams of Envoy until it closes them.
fn pass_on_lines(child: &mut Child, sinks: &Sinks) -> JoinSet<()> {
    let mut readers = JoinSet::new();
    if let Some(stdout) = child.stdout.take() {
        let (sinks, callers) = (sinks.clone(), sinks.plaintext());
        readers.spawn(each_line(stdout, move |line| {
            if let Some(address) = line.strip_prefix(PLAINTEXT_LINE) {
                callers.take(address, Instant::now());
                return;
            }
            match read(line) {
                Some((goals, entry)) if sinks.hand_on(&goals, entry) => {
                    tracing::info!(target: "access", "{entry}")
                }
                Some(_) => {}
                None => tracing::info!(target: "envoy", "{line}"),
            }
        }));
    }
    if let Some(stderr) = child.stderr.take() {
        let mut reader = LogReader::default();
        readers.spawn(each_line(stderr, move |line| {
            let line = reader.read(line);
            let (component, message) = (line.component, line.message);
            match line.level {
                Level::ERROR => tracing::error!(target: "envoy", component, "{message}"),
                Level::WARN => tracing::warn!(target: "envoy", component, "{message}"),
                Level::INFO => tracing::info!(target: "envoy", component, "{message}"),
                Level::DEBUG => tracing::debug!(target: "envoy", component, "{message}"),
                Level::TRACE => tracing::trace!(target: "envoy", component, "{message}"),
            }
        }));
    }
    readers
}

/// Hands on each line, cut off at [`LINE_BYTES_MAX`].
pub(crate) async fn each_line(stream: impl AsyncRead + Unpin, mut take: impl FnMut(&str)) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        let buffer = match reader.fill_buf().await {
            Ok([]) => break,
            Ok(buffer) => buffer,
            Err(error) => {
                tracing::warn!(%error, "what Envoy prints cannot be read");
                break;
            }
        };
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
        let room = LINE_BYTES_MAX.saturating_sub(line.len());
        line.extend(part.iter().take(room));
        let consumed = part.len() + usize::from(end.is_some());
        reader.consume(consumed);
        if end.is_some() {
            take(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    }
    if !line.is_empty() {
        take(String::from_utf8_lossy(&line).trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_handed_on_whole_and_endless_ones_are_cut_off() {
        let endless = "x".repeat(LINE_BYTES_MAX + 1000);
        let text = format!("one\r\n\n{endless}\nlast");
        let mut lines = Vec::new();
        each_line(text.as_bytes(), |line| lines.push(line.to_owned())).await;
        let lengths: Vec<usize> = lines.iter().map(String::len).collect();
        assert_eq!(lengths, [3, 0, LINE_BYTES_MAX, 4]);
        assert_eq!(lines.last().map(String::as_str), Some("last"));
    }
}
