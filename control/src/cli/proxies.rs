//! `chancery proxies`: the sidecars that joined, shutting them out, and forgetting them.

use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::terminal;
use crate::mesh::model::Protocol;
use crate::mesh::words::visible;
use crate::server::api::client::{Client, escape};
use crate::server::api::types::{
    Done, Evicted, InboundBody, ProxyBody, ProxyList, ReadinessBody, ReadinessState, Rejection,
};
use clap::{Args, Subcommand};

/// Arguments of `chancery proxies`.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  chancery proxies\n  chancery proxies --json | jq -r '.proxies[].id'\n  \
    chancery proxies evict shop/orders/7"
)]
pub struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Shut sidecars out: end their streams, revoke their certificates, refuse renewals
    #[command(
        after_help = "Every sidecar of the mesh refuses an evicted one within seconds: its certificates at new\n\
        connections, and each request on those that are open. What is under way is answered.\n\
        Who has a join token that is in force may join again: revoke it too, with\n\
        `chancery token --revoke ID --with-members`.\n\n\
        Exit codes: 0 all are evicted; 2 an id is none; 3 the control plane refuses.\n\n\
        Examples:\n  chancery proxies evict shop/orders/7\n  \
        chancery proxies evict shop/orders/7 shop/orders/8"
    )]
    Evict {
        /// Ids of sidecars, as `chancery proxies` shows them
        #[arg(required = true, value_name = "NAMESPACE/SERVICE/INSTANCE")]
        ids: Vec<String>,
    },
    /// Forget sidecars that are away for good: nobody waits for them any more
    #[command(
        after_help = "A sidecar that left by itself is forgotten already. One that is away counts for `--wait` and\n\
        `chancery status` until it is back or forgotten. Its certificate stays good: if it comes back, it\n\
        registers again. What must not serve any more is evicted.\n\n\
        Exit codes: 0 all are forgotten; 2 an id is none; 3 one is not registered, or is connected.\n\n\
        Example:\n  chancery proxies forget shop/orders/7"
    )]
    Forget {
        /// Ids of sidecars, as `chancery proxies` shows them
        #[arg(required = true, value_name = "NAMESPACE/SERVICE/INSTANCE")]
        ids: Vec<String>,
    },
}

/// Prints the sidecars.
///
/// # Errors
/// If the control plane does not answer, or refuses.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    match &arguments.what {
        Some(What::Evict { ids }) => return evict(&context::find(global)?.client()?, ids).await,
        Some(What::Forget { ids }) => return forget(&context::find(global)?.client()?, ids).await,
        None => {}
    }
    let list: ProxyList = context::find(global)?.client()?.get("/v1/proxies").await?;
    if arguments.json {
        let text = serde_json::to_string_pretty(&list).map_err(|error| Failure::failed(error.to_string()))?;
        terminal::print_line(&text)?;
    } else if list.proxies.is_empty() {
        terminal::print_line("no sidecar has joined; `chancery token --help` says how one does")?;
    } else {
        let rows: Vec<_> = list.proxies.iter().map(row).collect();
        let mut text = terminal::table(&TITLES, &rows);
        list.proxies.iter().for_each(|proxy| text.push_str(&unready(proxy)));
        terminal::print_words(&text)?;
    }
    Ok(Exit::Well)
}

async fn evict(client: &Client, ids: &[String]) -> CommandResult {
    // All are looked at before the first one goes.
    for path in paths(ids)? {
        say_evicted(&client.delete(&path).await?)?;
    }
    Ok(Exit::Well)
}

async fn forget(client: &Client, ids: &[String]) -> CommandResult {
    for (path, id) in paths(ids)?.into_iter().zip(ids) {
        let Done {} = client.post(&format!("{path}/forget"), &Done {}).await?;
        terminal::print_line(&format!("proxy {} forgotten", visible(id)))?;
    }
    Ok(Exit::Well)
}

/// Where the API has these sidecars.
fn paths(ids: &[String]) -> Result<Vec<String>, Failure> {
    ids.iter().map(|id| path_of(id)).collect()
}

/// Where the API has a sidecar.
///
/// # Errors
/// When it cannot be the id of one.
pub(super) fn path_of(id: &str) -> Result<String, Failure> {
    match id.split('/').collect::<Vec<_>>().as_slice() {
        [namespace, service, instance] => {
            Ok(format!("/v1/proxies/{}/{}/{}", escape(namespace), escape(service), escape(instance)))
        }
        _ => Err(Failure::bad_input(format!("`{id}` is not the id of a sidecar"))
            .help("write NAMESPACE/SERVICE/INSTANCE; `chancery proxies` lists them")),
    }
}

/// Says who was shut out, a line for each.
pub(super) fn say_evicted(gone: &Evicted) -> std::io::Result<()> {
    gone.evicted.iter().try_for_each(|id| terminal::print_line(&format!("proxy {} evicted", visible(id))))
}

/// What the cells of a sidecar's row are.
pub(super) const TITLES: [&str; 5] = ["PROXY", "STATE", "REVISION", "INBOUND", "CALLS"];

/// The row of a sidecar.
pub(super) fn row(proxy: &ProxyBody) -> Vec<String> {
    let calls: Vec<_> = proxy.outbounds.iter().map(|outbound| outbound.service.as_str()).collect();
    vec![
        proxy.id.clone(),
        state(proxy).to_owned(),
        proxy.revision.map_or_else(|| "-".to_owned(), |revision| revision.to_string()),
        proxy.inbound.as_ref().map_or_else(|| "-".to_owned(), inbound),
        if calls.is_empty() { "-".to_owned() } else { calls.join(",") },
    ]
}

/// Where a service is offered, with what its application speaks unless that is HTTP/1.1.
pub(super) fn inbound(inbound: &InboundBody) -> String {
    let address = inbound.advertised.unwrap_or(inbound.listen);
    match inbound.protocol.map_or_else(Protocol::default, Into::into) {
        Protocol::Http1 => address.to_string(),
        protocol => format!("{address}/{protocol}"),
    }
}

/// One word for how a sidecar is.
pub(super) fn state(proxy: &ProxyBody) -> &'static str {
    match proxy {
        ProxyBody { connected: false, .. } => "away",
        ProxyBody { rejections, .. } if rejections.is_empty() && proxy.problems.is_empty() => {
            match proxy.readiness.as_ref().map(|readiness| readiness.state) {
                Some(ReadinessState::Starting) => "starting",
                Some(ReadinessState::NotAnswering) => "not answering",
                Some(ReadinessState::Ready) => "ready",
                None => "connected",
            }
        }
        ProxyBody { rejections, .. } if rejections.is_empty() => "held back",
        ProxyBody { rejections, .. } if rejections.iter().all(Rejection::is_listener_alone) => {
            "cannot listen"
        }
        _ => "refuses",
    }
}

/// Why a sidecar gets no requests though it offers its service; nothing if it gets them.
pub(super) fn unready(proxy: &ProxyBody) -> String {
    let Some(ReadinessBody { state, since, reason }) = &proxy.readiness else { return String::new() };
    let reason = reason.as_deref().map(visible);
    let said = match state {
        ReadinessState::Ready => return String::new(),
        ReadinessState::Starting => {
            format!("gets no requests yet: {}", reason.as_deref().unwrap_or("it is starting"))
        }
        ReadinessState::NotAnswering => {
            let since = since.as_deref().map(|since| format!(" since {since}")).unwrap_or_default();
            let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!(
                "application not answering{since}{reason}; requests go to replicas that are ready, if there is one"
            )
        }
    };
    format!("\n{}: {said}\n", visible(&proxy.id))
}
