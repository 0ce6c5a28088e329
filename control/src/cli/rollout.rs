//! `chancery rollout`: how far the delivery of a revision in stages is, holding it, and taking it back.

use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::output::OutputArguments;
use crate::cli::report::count;
use crate::cli::terminal;
use crate::mesh::words::visible;
use crate::server::api::client::Client;
use crate::server::api::types::{
    AnsweredBody, RolloutBody, RolloutProxyBody, RolloutResponse, RolloutState, UndoneBody,
};
use clap::{Args, Subcommand};
use std::time::Duration;
use tokio::time::sleep;

/// How often is looked with `--watch`.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How many sidecars are named in a line.
const NAMED_MAX: usize = 10;

/// Arguments of `chancery rollout`.
#[derive(Args, Debug)]
#[command(
    after_help = "A rollout begins with `chancery apply --stages 5%,50%,100%`. While it is under way, the policies\n\
    cannot be changed otherwise. If a sidecar refuses what it is given, or if more answers are 5xx\n\
    where it is than elsewhere, it is taken back by itself.\n\n\
    Examples:\n  chancery rollout status\n  chancery rollout status --watch\n  chancery rollout undo"
)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show its stage, who has which revision, and what is wrong
    #[command(
        after_help = "Exit codes: 0 none is under way, and the newest was not taken back; 3 the newest was taken\n\
        back; 4 one is under way."
    )]
    Status {
        /// Print a line whenever it changes, until it is over
        #[arg(short, long)]
        watch: bool,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Hold it in its stage; what is wrong still takes it back
    Pause {
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Let it go on
    Resume {
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Take it back: the policies before it are in force again, as a new revision
    Undo {
        #[command(flatten)]
        output: OutputArguments,
    },
}

/// Shows or changes it.
///
/// # Errors
/// If the control plane does not answer, or refuses because none is under way.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let client = context::find(global)?.client()?;
    match arguments.what {
        What::Status { watch: true, output } => watch(&client, output).await,
        What::Status { watch: false, output } => {
            let response: RolloutResponse = client.get("/v1/rollout").await?;
            terminal::print_words(&output.render(&response, render)?)?;
            Ok(verdict(&response))
        }
        What::Pause { output } => change(&client, "pause", output).await,
        What::Resume { output } => change(&client, "resume", output).await,
        What::Undo { output } => change(&client, "undo", output).await,
    }
}

async fn change(client: &Client, how: &str, output: OutputArguments) -> CommandResult {
    let response: RolloutResponse = client.post(&format!("/v1/rollout/{how}"), &()).await?;
    terminal::print_words(&output.render(&response, |response| {
        response.rollout.as_ref().map(|rollout| format!("{}\n", line(rollout))).unwrap_or_default()
    })?)?;
    Ok(Exit::Well)
}

/// Says how far it is whenever that changes, until it is over.
async fn watch(client: &Client, output: OutputArguments) -> CommandResult {
    let mut shown = String::new();
    loop {
        let response: RolloutResponse = client.get("/v1/rollout").await?;
        let text = match (&response.rollout, output.is_json()) {
            (_, true) => format!(
                "{}\n",
                serde_json::to_string(&response).map_err(|error| Failure::failed(error.to_string()))?
            ),
            (Some(rollout), false) => format!("{}\n", line(rollout)),
            (None, false) => render(&response),
        };
        if text != shown {
            terminal::print_words(&text)?;
            shown = text;
        }
        match verdict(&response) {
            Exit::Unacknowledged => sleep(LOOK_INTERVAL).await,
            over => return Ok(over),
        }
    }
}

/// What the exit code says.
fn verdict(response: &RolloutResponse) -> Exit {
    match response.rollout.as_ref().map(|rollout| rollout.state) {
        None | Some(RolloutState::Done) => Exit::Well,
        Some(RolloutState::Running | RolloutState::Paused) => Exit::Unacknowledged,
        Some(RolloutState::Undone) => Exit::Refused,
    }
}

/// How far a rollout is, in one line.
pub(super) fn line(rollout: &RolloutBody) -> String {
    let RolloutBody { from, to, .. } = rollout;
    if let Some(UndoneBody { revision, reason, .. }) = &rollout.undone {
        let reason = visible(reason);
        return format!(
            "the rollout of revision {to} was taken back, revision {revision} is in force: {reason}"
        );
    }
    if rollout.state == RolloutState::Done {
        return format!("the rollout of revision {to} is over: all have it");
    }
    let stage =
        match rollout.stage.and_then(|stage| Some((stage, rollout.stages.get(stage.checked_sub(1)?)?))) {
            Some((stage, whom)) => format!("stage {stage} of {} ({whom})", rollout.stages.len()),
            None => "before its first stage".to_owned(),
        };
    let paused = if rollout.state == RolloutState::Paused { ", paused" } else { "" };
    let changes = count(rollout.changes, "sidecar that it changes has", "sidecars that it changes have");
    let mut text = format!(
        "rollout of revision {to}: {stage}{paused}; {} of {changes} it, others have revision {from}",
        rollout.acknowledged
    );
    for (who, what) in [(&rollout.waiting, "not answered"), (&rollout.away, "away")] {
        if !who.is_empty() {
            text.push_str(&format!("; {what}: {}", names(who)));
        }
    }
    text
}

fn names(ids: &[String]) -> String {
    let shown: Vec<_> = ids.iter().take(NAMED_MAX).map(|id| visible(id)).collect();
    match ids.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn render(response: &RolloutResponse) -> String {
    let Some(rollout) = &response.rollout else {
        return "nothing was rolled out in stages yet; begin with `chancery apply --stages 5%,50%,100%`\n"
            .to_owned();
    };
    let mut text = format!("{}\n", line(rollout));
    if let Some(UndoneBody { policies, proxies, .. }) = &rollout.undone {
        if !policies.is_empty() {
            text.push_str(&format!("policies: {}\n", policies.join(", ")));
        }
        if !proxies.is_empty() {
            text.push_str(&format!("seen at: {}\n", names(proxies)));
        }
    }
    for (answered, who) in [(&rollout.answered, "where it is"), (&rollout.answered_elsewhere, "elsewhere")] {
        if let Some(AnsweredBody { requests, errors, failures }) = answered
            && *requests > 0
        {
            text.push_str(&format!(
                "{who}: {requests} requests answered, {errors} with 5xx; filters failed {failures} times\n"
            ));
        }
    }
    if !rollout.proxies.is_empty() {
        let row = |proxy: &RolloutProxyBody| {
            vec![proxy.id.clone(), proxy.revision.to_string(), proxy.state.clone()]
        };
        let rows: Vec<_> = rollout.proxies.iter().map(row).collect();
        text.push('\n');
        text.push_str(&terminal::table(&["PROXY", "REVISION", "STATE"], &rows));
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli) fn rollout(state: RolloutState) -> RolloutBody {
        RolloutBody {
            from: 6,
            to: 7,
            state,
            begun: "2026-11-28T03:00:00Z".to_owned(),
            stages: ["5%", "50%", "100%"].map(str::to_owned).to_vec(),
            stage: Some(1),
            since: None,
            soak_ms: 30_000,
            max_5xx: "1%".to_owned(),
            changes: 3,
            reached: 2,
            acknowledged: 1,
            waiting: vec!["shop/orders/2".to_owned()],
            away: Vec::new(),
            answered: None,
            answered_elsewhere: None,
            undone: None,
            proxies: Vec::new(),
        }
    }

    fn shown(rollout: RolloutBody) -> (String, Exit) {
        let response = RolloutResponse { revision: 8, rollout: Some(rollout) };
        (render(&response), verdict(&response))
    }

    #[test]
    fn how_far_it_is_and_who_has_what_is_said() {
        let proxy = |id: &str, revision, state: &str| RolloutProxyBody {
            id: id.to_owned(),
            revision,
            state: state.to_owned(),
        };
        let proxies = vec![
            proxy("shop/orders/1", 7, "has it"),
            proxy("shop/orders/2", 7, "waiting"),
            proxy("shop/orders/3", 6, "has it"),
        ];
        let answered = Some(AnsweredBody { requests: 120, errors: 1, failures: 0 });
        let (text, exit) = shown(RolloutBody { answered, proxies, ..rollout(RolloutState::Running) });
        assert_eq!(exit, Exit::Unacknowledged);
        expect_test::expect![[r"
            rollout of revision 7: stage 1 of 3 (5%); 1 of 3 sidecars that it changes have it, others have revision 6; not answered: shop/orders/2
            where it is: 120 requests answered, 1 with 5xx; filters failed 0 times

            PROXY          REVISION  STATE
            shop/orders/1  7         has it
            shop/orders/2  7         waiting
            shop/orders/3  6         has it
        "]]
        .assert_eq(&text);
    }

    #[test]
    fn why_it_was_taken_back_is_said() {
        let undone = Some(UndoneBody {
            revision: 8,
            reason: "in stage 1 shop/orders/1 refuses extension `writ-inbound`: no\x1b[2J".to_owned(),
            policies: vec!["orders".to_owned()],
            proxies: vec!["shop/orders/1".to_owned()],
        });
        let (text, exit) = shown(RolloutBody { undone, ..rollout(RolloutState::Undone) });
        assert_eq!(exit, Exit::Refused);
        expect_test::expect![[r"
            the rollout of revision 7 was taken back, revision 8 is in force: in stage 1 shop/orders/1 refuses extension `writ-inbound`: no\u{1b}[2J
            policies: orders
            seen at: shop/orders/1
        "]]
        .assert_eq(&text);
    }

    #[test]
    fn what_is_over_or_never_was_gives_0() {
        let (text, exit) = shown(rollout(RolloutState::Done));
        assert_eq!((text.as_str(), exit), ("the rollout of revision 7 is over: all have it\n", Exit::Well));
        assert_eq!(verdict(&RolloutResponse { revision: 0, rollout: None }), Exit::Well);
    }
}
