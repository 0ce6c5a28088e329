//! `chancery logs`: lines of the sidecars' logs, as they come.

use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::output::OutputArguments;
use crate::cli::terminal;
use crate::mesh::identity::spiffe;
use crate::mesh::words::visible;
use crate::server::api::client::escape;
use crate::server::api::logs::LoggedLine;
use clap::Args;
use std::time::Duration;
use tokio::time::timeout;

/// Arguments of `chancery logs`.
#[derive(Args, Debug)]
#[command(
    after_help = "Lines are what the sidecars log, with what `log` policies redact; a request that those do not\n\
    log is not shown. Nobody keeps them for this command: it shows what happens from now on, and asks\n\
    sidecars only while it runs. What is too much is left out, and counted. A reader may.\n\n\
    Exit codes: 0 told to stop, or all that was wanted has come; 1 the control plane went away;\n\
    3 it refuses.\n\n\
    Examples:\n  chancery logs --follow --denied\n  \
    chancery logs --follow --on service shop/orders --policy orders\n  \
    chancery logs --follow --denied --count 1 --for 1m -o json | jq .entry.rule"
)]
pub struct Arguments {
    /// Show lines as they come
    #[arg(short, long, required = true)]
    follow: bool,
    /// Only requests that were denied, refused or limited
    #[arg(long)]
    denied: bool,
    /// Only requests of which a policy in shadow mode says something else
    #[arg(long)]
    shadow: bool,
    /// Whose sidecars: `mesh`, `namespace NAMESPACE` or `service NAMESPACE/NAME`; all unless stated
    #[arg(long, num_args = 1..=2, value_names = ["KIND", "NAME"])]
    on: Vec<String>,
    /// Only requests that a statement of this policy decided, or would have in shadow mode
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Only requests that this statement decided: `POLICY/NAME`, or its name
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// Stop after so many lines
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Stop after so long, such as `30s` or `5m`
    #[arg(long = "for", value_name = "DURATION", value_parser = crate::cli::durations::parse)]
    lasts: Option<Duration>,
    #[command(flatten)]
    output: OutputArguments,
}

/// Shows lines until it is told to stop.
///
/// # Errors
/// If the control plane does not answer, refuses, or goes away.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let path = path(arguments)?;
    let client = context::find(global)?.client()?;
    let showing = async {
        let mut lines = client.lines(&path).await?;
        let mut left = arguments.count.unwrap_or(u64::MAX);
        while left > 0 {
            let Some(line) = lines.next().await? else {
                return Err(Failure::failed("the control plane has ended the answer")
                    .help("it may have been stopped: run the command again when it is back"));
            };
            match show(&line, arguments.output)? {
                Shown::Entry => left -= 1,
                Shown::Note => {}
                Shown::Nobody => break,
            }
        }
        Ok(Exit::Well)
    };
    let bounded = async {
        match arguments.lasts {
            Some(lasts) => timeout(lasts, showing).await.unwrap_or(Ok(Exit::Well)),
            None => showing.await,
        }
    };
    tokio::select! {
        outcome = bounded => outcome,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted.map(|()| Exit::Well)?),
    }
}

fn path(arguments: &Arguments) -> Result<String, Failure> {
    let on = match arguments.on.as_slice() {
        [] => "mesh".to_owned(),
        [mesh] if mesh == "mesh" => "mesh".to_owned(),
        [kind, name] if kind == "namespace" && spiffe::is_name(name) => format!("{kind}/{name}"),
        [kind, name] if kind == "service" => {
            spiffe::parse_service(name).map_err(Failure::bad_input)?;
            format!("{kind}/{name}")
        }
        other => {
            return Err(Failure::bad_input(format!("`--on {}` is not supported", other.join(" ")))
                .help("write `--on mesh`, `--on namespace NAMESPACE` or `--on service NAMESPACE/NAME`"));
        }
    };
    let mut path = format!("/v1/logs?on={}", escape(&on));
    for (name, is_wanted) in [("denied", arguments.denied), ("shadow", arguments.shadow)] {
        if is_wanted {
            path.push_str(&format!("&{name}=true"));
        }
    }
    for (name, value) in [("policy", &arguments.policy), ("rule", &arguments.rule)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", escape(value)));
        }
    }
    Ok(path)
}

/// What became of a line of the answer.
enum Shown {
    /// It is one of a log.
    Entry,
    /// It says that some are not shown.
    Note,
    /// Nobody reads any more.
    Nobody,
}

fn show(text: &str, output: OutputArguments) -> Result<Shown, Failure> {
    let odd = |error: serde_json::Error| Failure::failed(format!("a line cannot be read: {error}"));
    let line: LoggedLine = serde_json::from_str(text).map_err(odd)?;
    let is_entry = line.entry.is_some();
    let is_read = if output.is_json() {
        terminal::print_on(&format!("{text}\n"))?
    } else if is_entry {
        terminal::print_on(&format!("{}\n", words(&line)))?
    } else {
        terminal::print_words_aside(&format!("{}\n", words(&line)));
        true
    };
    Ok(match (is_read, is_entry) {
        (false, _) => Shown::Nobody,
        (true, true) => Shown::Entry,
        (true, false) => Shown::Note,
    })
}

/// A line for people: when, who to whom, what, how it was answered, and what decided.
pub(super) fn words(line: &LoggedLine) -> String {
    let proxy = line.proxy.as_deref().unwrap_or("several sidecars");
    let Some(entry) = &line.entry else {
        let count = line.not_shown.unwrap_or_default();
        return format!("({count} entries of {} not shown: too many at a time)", visible(proxy));
    };
    let field = |name: &str| match entry.get(name) {
        Some(serde_json::Value::String(text)) if !text.is_empty() => visible(text).into_owned(),
        Some(serde_json::Value::Number(number)) => number.to_string(),
        _ => "-".to_owned(),
    };
    let own = proxy.rsplit_once('/').map_or(proxy, |(service, _)| service);
    let source = match field("principal") {
        _ if field("direction") == "outbound" => visible(own).into_owned(),
        principal => service_of(&principal).unwrap_or(principal),
    };
    let decision = match (field("decision"), field("rule")) {
        (decision, rule) if decision == "-" => format!("by {rule}"),
        (decision, rule) => format!("{decision} by {rule}"),
    };
    let shadow = match field("shadow") {
        shadow if shadow == "-" => String::new(),
        shadow => format!(" (shadow: {shadow})"),
    };
    format!(
        "{} {source} -> {} {} {} {} {decision}{shadow}",
        field("time"),
        field("target"),
        field("method"),
        field("path"),
        field("code"),
    )
}

/// `shop/web` of `spiffe://TRUST-DOMAIN/ns/shop/sa/web`.
fn service_of(principal: &str) -> Option<String> {
    let (_, path) = principal.strip_prefix("spiffe://")?.split_once("/ns/")?;
    let (namespace, service) = path.split_once("/sa/")?;
    Some(format!("{namespace}/{service}"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_asked_what_and_what_decided() {
        let line = |text: &str| words(&serde_json::from_str(text).unwrap());
        let denied = r#"{"proxy":"shop/orders/1","entry":{"time":"2026-11-28T08:00:00.000Z","direction":"inbound",
            "target":"shop/orders","code":403,"principal":"spiffe://chancery.local/ns/shop/sa/web","method":"GET",
            "path":"/api/\u001b[2J","rule":"orders/otherwise","decision":"otherwise-denied","shadow":"strict/no"}}"#;
        assert_eq!(
            line(denied),
            "2026-11-28T08:00:00.000Z shop/web -> shop/orders GET /api/\\u{1b}[2J 403 otherwise-denied by \
             orders/otherwise (shadow: strict/no)"
        );
        let sent =
            r#"{"proxy":"shop/web/1","entry":{"direction":"outbound","target":"shop/orders","code":503}}"#;
        assert_eq!(line(sent), "- shop/web -> shop/orders - - 503 by -");
        assert_eq!(
            line(r#"{"proxy":"shop/web/1","not_shown":17}"#),
            "(17 entries of shop/web/1 not shown: too many at a time)"
        );
    }
}
