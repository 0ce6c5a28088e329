//! Waiting until every registered sidecar has answered to a revision, with progress; what `--wait` does.
//!
//! A program that reads the answer as JSON reads one document: how far it is is then said on standard error.

use super::rollout::line;
use super::status::{refusals, summary};
use crate::cli::durations;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::OutputArguments;
use crate::cli::report::count;
use crate::cli::terminal;
use crate::mesh::words::visible;
use crate::server::api::client::Client;
use crate::server::api::types::{Progress, ProxyBody, Rejection, RolloutBody, RolloutState, StatusResponse};
use clap::Args;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the control plane holds its answer back while sidecars have not answered; then there is news to print.
const HELD_BACK: Duration = Duration::from_secs(1);
/// How many sidecars are named.
const NAMED_MAX: usize = 10;

/// Options of commands that change what sidecars do.
#[derive(Args, Debug)]
pub struct WaitArguments {
    /// Wait until every registered sidecar that it changes has acknowledged it, those that are away too;
    /// else the exit code is 4
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
/// Refused if a sidecar refuses the revision, unacknowledged if time runs out while one is away or has not answered,
/// failed if the control plane goes away.
pub(super) async fn wait(
    client: &Client,
    revision: u64,
    arguments: &WaitArguments,
    output: OutputArguments,
) -> Result<Exit, Failure> {
    if !arguments.wait {
        return Ok(Exit::Well);
    }
    let deadline = Instant::now() + arguments.timeout;
    let mut shown = String::new();
    loop {
        let wait = HELD_BACK.as_secs();
        let path = format!("/v1/status?revision={revision}&wait={wait}&proxies=behind");
        let status: StatusResponse = client.get(&path).await?;
        let standing = Standing::of(&status);
        if let Some(failure) = taken_back(&status) {
            return Err(failure);
        }
        let line = format!("{}{}{}", summary(&status), stage(&status), standing.missing());
        if line != shown {
            say(output, &format!("{line}\n"))?;
            shown = line;
        }
        if standing.away.is_empty() && standing.waiting.is_empty() {
            match under_way(&status) {
                None => return standing.finish(&status, output),
                // All have it, and it soaks: what is wrong now takes it back.
                Some(_) => sleep(HELD_BACK).await,
            }
        }
        if Instant::now() >= deadline {
            say(output, &standing.refusals())?;
            return Err(standing.late(&status, arguments.timeout));
        }
    }
}

/// That the revision was rolled out and taken back, if it was.
fn taken_back(status: &StatusResponse) -> Option<Failure> {
    let rollout = status.rollout.as_ref().filter(|rollout| rollout.to == status.revision)?;
    rollout.undone.as_ref()?;
    Some(
        Failure::refused(line(rollout))
            .help("correct the policy and apply it again; `chancery rollout status` says where it showed"),
    )
}

/// The rollout of the revision, while it is under way.
fn under_way(status: &StatusResponse) -> Option<&RolloutBody> {
    let rollout = status.rollout.as_ref().filter(|rollout| rollout.to == status.revision)?;
    matches!(rollout.state, RolloutState::Running | RolloutState::Paused).then_some(rollout)
}

/// The stage that a rollout is in, if one is under way.
fn stage(status: &StatusResponse) -> String {
    match under_way(status) {
        Some(RolloutBody { stage: Some(stage), stages, .. }) => {
            format!("; stage {stage} of {}", stages.len())
        }
        _ => String::new(),
    }
}

/// Says how far it is.
fn say(output: OutputArguments, text: &str) -> Result<(), Failure> {
    if output.is_json() {
        terminal::print_words_aside(text);
        return Ok(());
    }
    Ok(terminal::print_words(text)?)
}

/// The sidecars that do not have a revision, by how they stand to it.
struct Standing<'a> {
    away: Vec<&'a ProxyBody>,
    waiting: Vec<&'a ProxyBody>,
    refusing: Vec<&'a ProxyBody>,
}

impl<'a> Standing<'a> {
    fn of(status: &'a StatusResponse) -> Self {
        let those =
            |wanted| status.proxies.iter().filter(|of| of.progress(status.revision) == wanted).collect();
        Self {
            away: those(Progress::Away),
            waiting: those(Progress::Waiting),
            refusing: those(Progress::Refused),
        }
    }

    /// Who is away, if anybody is that should have it.
    fn missing(&self) -> String {
        if self.away.is_empty() { String::new() } else { format!("; away: {}", names(&self.away)) }
    }

    fn finish(&self, status: &StatusResponse, output: OutputArguments) -> Result<Exit, Failure> {
        if self.refusing.is_empty() {
            if status.away > 0 {
                let away = count(status.away, "sidecar is", "sidecars are");
                terminal::print_error(&format!("note: {away} away, for which this changes nothing"));
            }
            return Ok(Exit::Well);
        }
        say(output, &self.refusals())?;
        let failure = Failure::refused(format!("revision {} is not in force everywhere", status.revision));
        let is_address = |proxy: &&ProxyBody| {
            proxy.problems.is_empty() && proxy.rejections.iter().all(Rejection::is_listener_alone)
        };
        Err(failure.help(if self.refusing.iter().all(is_address) {
            "free the address that is in use, or give the sidecar another one; it tries again by itself"
        } else {
            "what was refused keeps its last good version; correct the policy and apply it again"
        }))
    }

    /// That time ran out, and what to do.
    fn late(&self, status: &StatusResponse, timeout: Duration) -> Failure {
        let mut who = Vec::new();
        if !self.away.is_empty() {
            let (verb, pronoun) = if self.away.len() == 1 { ("is", "it") } else { ("are", "they") };
            who.push(format!("{} {verb} away and may serve with what {pronoun} had", names(&self.away)));
        }
        if !self.waiting.is_empty() {
            who.push(format!("{} did not acknowledge it", names(&self.waiting)));
        }
        if !self.refusing.is_empty() {
            who.push(format!("{} refused it", names(&self.refusing)));
        }
        if let Some(rollout) = under_way(status) {
            who.push(line(rollout));
        }
        let revision = status.revision;
        let message =
            format!("after {timeout:?} revision {revision} is not in force everywhere: {}", who.join("; "));
        let failure = if self.refusing.is_empty() {
            Failure::unacknowledged(message)
        } else {
            Failure::refused(message)
        };
        failure.help(
            "it stays applied: look again with `chancery status`; of those that are away, shut out who must not \
             serve with what it had (`chancery proxies evict ID`), and forget who is gone for good (`chancery \
             proxies forget ID`)",
        )
    }

    fn refusals(&self) -> String {
        self.refusing.iter().copied().map(refusals).collect()
    }
}

/// Who, as far as that can be read.
pub(super) fn names(proxies: &[&ProxyBody]) -> String {
    let shown: Vec<_> = proxies.iter().take(NAMED_MAX).map(|proxy| visible(&proxy.id)).collect();
    match proxies.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::tests::{proxy, status};
    use super::*;

    #[test]
    fn who_is_away_counts_unless_it_has_the_revision() {
        let away = |id: &str, revision| ProxyBody { connected: false, ..proxy(id, revision) };
        let status =
            status(vec![proxy("a/b/1", 12), proxy("a/b/2", 11), away("a/b/3", 11), away("a/b/4", 12)]);
        let standing = Standing::of(&status);
        assert_eq!((names(&standing.away), names(&standing.waiting)), ("a/b/3".into(), "a/b/2".into()));
        let late = standing.late(&status, Duration::from_secs(5));
        assert_eq!(late.exit, Exit::Unacknowledged);
        assert_eq!(
            late.message,
            "after 5s revision 12 is not in force everywhere: a/b/3 is away and may serve with what it had; \
             a/b/2 did not acknowledge it"
        );
        assert!(late.help.is_some_and(|help| help.contains("evict") && help.contains("forget")));
    }
}
