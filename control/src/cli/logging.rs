//! Where `tracing` goes: standard error, as text or as JSON lines, by way of a queue.
//!
//! Logging never fails, never waits and never ends a task; see `queue`.

mod queue;

use crate::cli::exit::Failure;
use crate::mesh::words::{visible, visible_but};
use queue::Queue;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// How long the end of the process waits for log lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The queue of this process.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error. A second call in one process is without effect, so that tests
/// may run several commands.
///
/// # Errors
/// If the filter is not in the syntax of `tracing` (`info`, `chancery_control::delivery::xds=debug,warn`).
pub fn start(filter: &str, format: LogFormat) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::bad_input(format!("the log filter `{filter}` is not valid: {error}")).help(
            "write a level such as `info`, or levels by module such as `chancery_control::delivery::xds=debug,warn`",
        )
    })?;
    let queue = match QUEUE.get() {
        Some(queue) => queue.clone(),
        None => {
            let queue = start_queue()?;
            QUEUE.get_or_init(|| queue).clone()
        }
    };
    let has_colours = io::stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false).with_ansi(has_colours);
    let already_started = match format {
        LogFormat::Text => {
            let writer = move || OneLine { queue: queue.clone(), has_colours };
            builder.with_target(false).with_writer(writer).finish().try_init()
        }
        LogFormat::Json => builder.json().with_writer(move || queue.clone()).finish().try_init(),
    };
    drop(already_started);
    // The one that is there writes to standard error itself, and waits for its reader.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(())
}

/// Writes a text as the last word of the process, and waits a moment for it and for what was logged
/// before. Unlike [`crate::cli::terminal::print_error`] it does not wait for a reader who does not read.
pub fn finish(last_word: Option<&str>) {
    match (QUEUE.get(), last_word) {
        (Some(queue), _) => {
            last_word.iter().for_each(|text| queue.offer(format!("{text}\n").as_bytes()));
            queue.until_written(FLUSH_TIMEOUT);
        }
        (None, Some(text)) => crate::cli::terminal::print_error(text),
        (None, None) => {}
    }
}

/// Lines of text for people: fields are words of others, which must neither begin another line nor act on the
/// terminal that shows it.
struct OneLine {
    queue: Queue,
    has_colours: bool,
}

impl Write for OneLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.offer(one_line(line, self.has_colours).as_bytes());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line without anything in it that acts. The escapes of colours are `tracing`'s own, which escapes those in
/// fields.
fn one_line(line: &[u8], has_colours: bool) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = if has_colours { visible_but(text, '\x1b') } else { visible(text) };
    format!("{text}\n")
}

fn start_queue() -> io::Result<Queue> {
    // Not by way of `std::io::stderr`: a thread that waits in a write would hold its lock.
    let target = match io::stderr().as_fd().try_clone_to_owned() {
        Ok(descriptor) => File::from(descriptor),
        Err(_) => File::options().write(true).open("/dev/null")?,
    };
    Queue::start(target, |lost| {
        tracing::warn!(lost, "log lines were lost: standard error was not read, or could not be written");
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_cannot_forge_a_line_of_the_log() {
        let line = one_line(b"INFO refused words=a\n2026 INFO forged\xe2\x80\xae \x1b[2J\n", false);
        assert_eq!(line, "INFO refused words=a\\n2026 INFO forged\\u{202e} \\u{1b}[2J\n");
        assert_eq!(one_line(b"\x1b[2mINFO\x1b[0m a\nb\n", true), "\x1b[2mINFO\x1b[0m a\\nb\n");
    }
}
