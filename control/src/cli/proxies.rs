//! `chancery proxies`: the sidecars that joined.

use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::terminal;
use crate::server::api::types::{ProxyBody, ProxyList};
use clap::Args;

/// Arguments of `chancery proxies`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  chancery proxies\n  chancery proxies --json | jq -r '.proxies[].id'")]
pub struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the sidecars.
///
/// # Errors
/// If the control plane does not answer, or refuses.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let list: ProxyList = context::find(global)?.client()?.get("/v1/proxies").await?;
    if arguments.json {
        let text = serde_json::to_string_pretty(&list).map_err(|error| Failure::failed(error.to_string()))?;
        terminal::print_line(&text)?;
    } else if list.proxies.is_empty() {
        terminal::print_line("no sidecar has joined; `chancery token --help` says how one does")?;
    } else {
        let rows: Vec<_> = list.proxies.iter().map(row).collect();
        terminal::print(&terminal::table(&["PROXY", "STATE", "REVISION", "INBOUND", "CALLS"], &rows))?;
    }
    Ok(Exit::Well)
}

fn row(proxy: &ProxyBody) -> Vec<String> {
    let calls: Vec<_> = proxy.outbounds.iter().map(|outbound| outbound.service.as_str()).collect();
    vec![
        proxy.id.clone(),
        state(proxy).to_owned(),
        proxy.revision.map_or_else(|| "-".to_owned(), |revision| revision.to_string()),
        proxy.inbound.map_or_else(|| "-".to_owned(), |inbound| inbound.listen.to_string()),
        if calls.is_empty() { "-".to_owned() } else { calls.join(",") },
    ]
}

/// One word for how a sidecar is.
pub(super) fn state(proxy: &ProxyBody) -> &'static str {
    match proxy {
        ProxyBody { connected: false, .. } => "away",
        ProxyBody { rejections, .. } if !rejections.is_empty() => "refuses",
        ProxyBody { problems, .. } if !problems.is_empty() => "held back",
        _ => "connected",
    }
}
