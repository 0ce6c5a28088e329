//! `chancery doctor`: looks at everything that a mesh stands on, and says what is wrong and what to do about it. Nothing is
//! changed by looking.

mod control_plane;
mod machine;
mod mesh;
mod sidecar;

use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::output::OutputArguments;
use crate::cli::terminal;
use crate::mesh::words::visible;
use clap::{Args, Subcommand};
use serde::Serialize;

/// Arguments of `chancery doctor`.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes: 0 nothing is wrong, though there may be warnings; 1 something is.\n\n\
    Examples:\n  chancery doctor\n  chancery doctor -o json\n  \
    chancery doctor sidecar --service shop/orders --token-file orders.token \\\n    \
    --inbound 8080:127.0.0.1:9000\n  \
    chancery doctor control-plane --data-dir /var/lib/chancery"
)]
pub struct Arguments {
    #[command(subcommand)]
    of: Option<Of>,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// Look at the machine of a sidecar: give the options that `chancery sidecar` gets there
    Sidecar(Box<crate::cli::sidecar::Arguments>),
    /// Look at the machine of a control plane: give the options that `chancery control-plane` gets there
    ControlPlane(Box<crate::cli::control_plane::Arguments>),
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at, such as `clock`.
    of: &'static str,
    state: State,
    /// What was seen.
    seen: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(of: &'static str, seen: impl Into<String>) -> Self {
        Self { of, state: State::Ok, seen: seen.into(), remedy: None }
    }

    fn warning(of: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { of, state: State::Warning, seen: seen.into(), remedy: Some(remedy.into()) }
    }

    fn wrong(of: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { of, state: State::Wrong, seen: seen.into(), remedy: Some(remedy.into()) }
    }

    fn of_failure(of: &'static str, failure: Failure) -> Self {
        Self { of, state: State::Wrong, seen: failure.message, remedy: failure.help }
    }
}

/// Looks, and prints what was seen.
///
/// # Errors
/// When it cannot be printed.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let findings = match &arguments.of {
        None => mesh::look(global).await,
        Some(Of::Sidecar(options)) => sidecar::look(options).await,
        Some(Of::ControlPlane(options)) => control_plane::look(options).await,
    };
    terminal::print_words(&arguments.output.render(&findings, text)?)?;
    let is_wrong = findings.iter().any(|finding| finding.state == State::Wrong);
    Ok(if is_wrong { Exit::Failed } else { Exit::Well })
}

fn text(findings: &Vec<Finding>) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = match finding.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Wrong => "WRONG",
        };
        text += &format!("{word:<8} {:<14} {}\n", finding.of, visible(&finding.seen));
        if let Some(remedy) = &finding.remedy {
            text += &format!("{:23} {}\n", "", visible(remedy));
        }
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    text + &format!("\n{} wrong, {} to look at\n", count(State::Wrong), count(State::Warning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_stands_with_its_remedy() {
        let findings = vec![
            Finding::ok("clock", "as that of the control plane"),
            Finding::warning("token", "others can read it", "chmod 600 orders.token"),
            Finding::wrong("port", "127.0.0.1:8080 is in use", "end what has it"),
        ];
        expect_test::expect![[r"
            ok       clock          as that of the control plane
            warning  token          others can read it
                                    chmod 600 orders.token
            WRONG    port           127.0.0.1:8080 is in use
                                    end what has it

            1 wrong, 1 to look at
        "]]
        .assert_eq(&text(&findings));
    }
}
