//! Runs a program to its end within a time limit and keeps what it printed.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often the program is looked at.
const POLL_EVERY: Duration = Duration::from_millis(10);
/// How often the caller hears that it still runs.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// How much of each stream is kept; the rest is read and thrown away.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024;
/// How often a start is tried anew while the file counts as being written: a process that another
/// thread has forked may hold it open for the moment until it becomes its own program.
const BUSY_TRIES: usize = 50;

/// What a program left behind.
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs `command` without input. `waiting` hears now and then how long it has taken so far.
///
/// # Errors
/// When it cannot be started, or did not end within `timeout` (it is killed then).
pub(super) fn run(
    command: &mut Command,
    timeout: Duration,
    waiting: &mut dyn FnMut(Duration),
) -> io::Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(command)?;
    // Both pipes are emptied while it runs, or a talkative program would wait for ever.
    let stdout = child.stdout.take().map(drain);
    let stderr = child.stderr.take().map(drain);
    let started = Instant::now();
    let mut told_at = started;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > timeout {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it did not end within {} s", timeout.as_secs()),
            ));
        }
        if told_at.elapsed() >= TELL_EVERY {
            told_at = Instant::now();
            waiting(started.elapsed());
        }
        std::thread::sleep(POLL_EVERY);
    };
    let text = |drained: Option<std::thread::JoinHandle<String>>| {
        drained.and_then(|thread| thread.join().ok()).unwrap_or_default()
    };
    Ok(Output { status, stdout: text(stdout), stderr: text(stderr) })
}

fn spawn(command: &mut Command) -> io::Result<Child> {
    for _ in 0..BUSY_TRIES {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::sleep(POLL_EVERY),
            outcome => return outcome,
        }
    }
    command.spawn()
}

fn drain(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        // A stream that breaks has simply ended: what was read of it is what there is.
        let whole = stream.by_ref().take(OUTPUT_BYTES_MAX).read_to_end(&mut kept).is_ok();
        if whole {
            let _ = io::copy(&mut stream, &mut io::sink());
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
}
