//! `chancery demo`: a whole mesh on this machine, shown at work.

pub mod access;
pub mod application;
pub mod change;
pub mod child;
pub mod client;
pub mod load;
pub mod mesh;
pub mod show;
pub mod story;
pub mod teller;
pub mod traffic;

use crate::cli::envoy::find_or_install;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::signals::cancel_on_signal;
use crate::cli::terminal;
use clap::Args;
use show::Options;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// The most changes of the policy in one run.
const CHANGES_MAX: i64 = 10_000;

/// Arguments of `chancery demo`.
#[derive(Args, Debug)]
#[command(
    after_help = "Starts a control plane, three services and four sidecars on free ports, applies policies,\n\
    sends requests, changes the policy under load, shows a canary, a limit, a line without\n\
    secrets and a retry that hides a killed replica, kills the control plane, and stops everything.\n\n\
    Exit codes: 0 everything held; 1 something did not."
)]
pub struct Arguments {
    /// Let everything go on running, and say what to try next
    #[arg(long)]
    keep: bool,
    /// How often the policy is changed under load
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=CHANGES_MAX))]
    changes: u32,
    /// The Envoy to run [default: $CHANCERY_ENVOY, one on the PATH, or the one that
    /// `chancery envoy install` gets]
    #[arg(long, value_name = "FILE")]
    envoy: Option<PathBuf>,
}

/// Runs the demo.
///
/// # Errors
/// When something could not be tried, or did not hold.
pub async fn run(arguments: &Arguments) -> CommandResult {
    let envoy = find_or_install(arguments.envoy.clone()).await?;
    let stop = CancellationToken::new();
    cancel_on_signal(&stop, &CancellationToken::new())?;
    terminal::print_line(&format!(
        "Envoy {} at {} ({})",
        envoy.version,
        envoy.path.display(),
        envoy.origin.as_str()
    ))?;
    let directory = Directory::make()?;
    let options = Options {
        envoy: envoy.path,
        directory: directory.0.clone(),
        changes: arguments.changes,
        keep: arguments.keep,
    };
    if show::run(&options, &stop).await? {
        Ok(Exit::Well)
    } else {
        Err(Failure::failed("not everything in the demo held"))
    }
}

/// A directory for keys and sockets, which only this user may look into. Removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn make() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("chancery-demo-{}", std::process::id()));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| Failure::failed(format!("cannot make {}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path) {
        terminal::print_error(&format!("cannot remove {}: {error}", path.display()));
    }
}
