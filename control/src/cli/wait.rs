//! Waiting until every connected sidecar has answered to a revision, with progress; what `--wait` does.

use super::status::{refusals, summary};
use crate::cli::durations;
use crate::cli::exit::{Exit, Failure};
use crate::cli::terminal;
use crate::server::api::client::Client;
use crate::server::api::types::{ProxyBody, StatusResponse};
use clap::Args;
use std::time::Duration;
use tokio::time::Instant;

/// How long the control plane holds its answer back while sidecars have not answered; then there is news to print.
const HELD_BACK: Duration = Duration::from_secs(1);

/// Options of commands that change what sidecars do.
#[derive(Args, Debug)]
pub struct WaitArguments {
    /// Wait until every connected sidecar has acknowledged it
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = durations::parse)]
    #[arg(requires = "wait")]
    timeout: Duration,
}

/// Waits if that is asked for; prints how far it is whenever that changes.
///
/// # Errors
/// Refused if a sidecar refuses the revision, failed if time runs out or the control plane goes away.
pub(super) async fn wait(client: &Client, revision: u64, arguments: &WaitArguments) -> Result<Exit, Failure> {
    if !arguments.wait {
        return Ok(Exit::Well);
    }
    let deadline = Instant::now() + arguments.timeout;
    let mut shown = String::new();
    loop {
        let wait = HELD_BACK.as_secs();
        let path = format!("/v1/status?revision={revision}&wait={wait}&proxies=behind");
        let status: StatusResponse = client.get(&path).await?;
        let line = summary(&status);
        if line != shown {
            terminal::print_line(&line)?;
            shown = line;
        }
        let connected = || status.proxies.iter().filter(|proxy| proxy.connected);
        let waiting: Vec<_> =
            connected().filter(|proxy| progress(proxy, revision) == Progress::Waiting).collect();
        if waiting.is_empty() {
            return finish(
                connected().filter(|proxy| progress(proxy, revision) == Progress::Refused),
                revision,
            );
        }
        if Instant::now() >= deadline {
            let names: Vec<_> = waiting.iter().map(|proxy| proxy.id.as_str()).collect();
            return Err(Failure::failed(format!(
                "after {:?} these sidecars have not acknowledged revision {revision}: {}",
                arguments.timeout,
                names.join(", ")
            ))
            .help("it stays applied; look again with `chancery status`"));
        }
    }
}

/// How a sidecar stands to a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It acknowledged all of it, except listeners that it cannot open.
    Applied,
    /// It has not answered.
    Waiting,
    /// It refuses a part of it that policies shaped, or could not be given it.
    Refused,
}

/// How a sidecar stands to a revision.
pub(super) fn progress(proxy: &ProxyBody, revision: u64) -> Progress {
    if proxy.offered < Some(revision) {
        Progress::Waiting
    } else if !proxy.problems.is_empty() || proxy.rejections.iter().any(|of| !of.policies.is_empty()) {
        Progress::Refused
    } else if proxy.revision >= Some(revision) {
        Progress::Applied
    } else {
        Progress::Waiting
    }
}

fn finish<'a>(refusing: impl Iterator<Item = &'a ProxyBody>, revision: u64) -> Result<Exit, Failure> {
    let said: String = refusing.map(refusals).collect();
    if said.is_empty() {
        return Ok(Exit::Well);
    }
    terminal::print_words(&said)?;
    Err(Failure::refused(format!("revision {revision} is not in force everywhere"))
        .help("what was refused keeps its last good version; correct the policy and apply it again"))
}
