//! Where `tracing` goes: standard error, as text or as JSON lines.

use crate::exit::Failure;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

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
/// If the filter is not in the syntax of `tracing` (`info`, `chancery_control::xds=debug,warn`).
pub fn start(filter: &str, format: LogFormat) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::bad_input(format!("the log filter `{filter}` is not valid: {error}")).help(
            "write a level such as `info`, or levels by module such as `chancery_control::xds=debug,warn`",
        )
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let already_started = match format {
        LogFormat::Text => builder.with_target(false).finish().try_init(),
        LogFormat::Json => builder.json().finish().try_init(),
    };
    drop(already_started);
    Ok(())
}
