//! `chancery shadow`: what a policy in shadow mode would have decided otherwise.

use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::logs;
use crate::cli::output::OutputArguments;
use crate::cli::report::count;
use crate::cli::terminal;
use crate::mesh::words::visible;
use crate::server::api::client::{Client, escape};
use crate::server::api::logs::LoggedLine;
use crate::server::api::shadow::{ShadowResponse, Would};
use clap::Args;
use serde::Serialize;
use std::time::Duration;
use tokio::time::timeout;

/// Arguments of `chancery shadow`.
#[derive(Args, Debug)]
#[command(
    after_help = "The sidecars count each request of which the policies decide otherwise than they would with\n\
    this one enforced. They begin anew when the policies of their service change, and tell within\n\
    seconds. Examples are lines of logs, redacted as those are, of requests that come while this\n\
    command waits for them.\n\n\
    Exit codes: 0 it is in shadow mode, whatever was counted; 3 there is no such policy, or it is\n\
    not in shadow mode.\n\n\
    Examples:\n  chancery shadow strict\n  chancery shadow strict --examples 5 --for 30s\n  \
    chancery shadow strict -o json | jq '.rules[] | select(.would == \"deny\")'"
)]
pub struct Arguments {
    /// The policy
    policy: String,
    /// Wait for so many examples, too
    #[arg(long, value_name = "N", default_value_t = 0)]
    examples: usize,
    /// How long to wait for examples at most
    #[arg(long = "for", value_name = "DURATION", default_value = "10s", value_parser = crate::cli::durations::parse_some)]
    lasts: Duration,
    #[command(flatten)]
    output: OutputArguments,
}

/// What is printed.
#[derive(Serialize)]
struct Shadow {
    #[serde(flatten)]
    counted: ShadowResponse,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    examples: Vec<LoggedLine>,
}

/// Shows counts, and examples if they are wanted.
///
/// # Errors
/// If the control plane does not answer, or refuses.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let client = context::find(global)?.client()?;
    let path = format!("/v1/policies/{}/shadow", escape(&arguments.policy));
    // What is wrong is said before anybody waits.
    let mut counted: ShadowResponse = client.get(&path).await?;
    let mut examples = Vec::new();
    if arguments.examples > 0 {
        let waiting = collect(&client, arguments, &mut examples);
        if let Ok(outcome) = timeout(arguments.lasts, waiting).await {
            outcome?;
        }
        counted = client.get(&path).await?;
    }
    let shadow = Shadow { counted, examples };
    terminal::print_words(&arguments.output.render(&shadow, |shadow| text(shadow, arguments.examples))?)?;
    Ok(Exit::Well)
}

async fn collect(
    client: &Client,
    arguments: &Arguments,
    examples: &mut Vec<LoggedLine>,
) -> Result<(), Failure> {
    let mut lines =
        client.lines(&format!("/v1/logs?shadow=true&policy={}", escape(&arguments.policy))).await?;
    while examples.len() < arguments.examples {
        let Some(line) = lines.next().await? else { return Ok(()) };
        let line: LoggedLine = serde_json::from_str(&line)
            .map_err(|error| Failure::failed(format!("a line cannot be read: {error}")))?;
        if line.entry.is_some() {
            examples.push(line);
        }
    }
    Ok(())
}

fn text(shadow: &Shadow, wanted: usize) -> String {
    let ShadowResponse { policy, sidecars, rules } = &shadow.counted;
    let sidecars = count(*sidecars, "sidecar counts", "sidecars count");
    let policy = visible(policy);
    let mut text = if rules.is_empty() {
        format!("policy {policy} would have decided nothing otherwise so far; {sidecars}\n")
    } else {
        let would = |would| match would {
            Would::Allow => "allow",
            Would::Deny => "deny",
        };
        let row = |rule: &crate::server::api::shadow::ShadowRule| {
            vec![
                rule.rule.clone(),
                would(rule.would).to_owned(),
                rule.requests.to_string(),
                rule.sidecars.to_string(),
            ]
        };
        let rows: Vec<_> = rules.iter().map(row).collect();
        let table = terminal::table(&["RULE", "WOULD", "REQUESTS", "SIDECARS"], &rows);
        format!("policy {policy} would have decided otherwise; {sidecars}\n\n{table}")
    };
    if wanted > 0 {
        text.push_str(if shadow.examples.is_empty() { "\nno example came\n" } else { "\nexamples:\n" });
        shadow.examples.iter().for_each(|line| {
            text.push_str("  ");
            text.push_str(&logs::words(line));
            text.push('\n');
        });
    }
    text
}
