//! `chancery status`: whether everyone is on a revision, and if not, who and why.

use super::proxies::state;
use super::wait::{Progress, progress};
use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::report::count;
use crate::cli::terminal;
use crate::delivery::snapshot::ResourceType;
use crate::mesh::words::visible;
use crate::server::api::types::{ProxyBody, StatusResponse};
use clap::Args;

/// Arguments of `chancery status`.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 everyone connected has acknowledged the revision; 3 a sidecar refuses it;\n\
    1 some have not answered yet.\n\nExamples:\n  chancery status\n  chancery status --revision 12 --json"
)]
pub struct Arguments {
    /// The revision that is asked about [default: the newest]
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the status.
///
/// # Errors
/// If the control plane does not answer, or refuses.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let path = match arguments.revision {
        Some(revision) => format!("/v1/status?revision={revision}"),
        None => "/v1/status".to_owned(),
    };
    let status: StatusResponse = context::find(global)?.client()?.get(&path).await?;
    if arguments.json {
        let text =
            serde_json::to_string_pretty(&status).map_err(|error| Failure::failed(error.to_string()))?;
        terminal::print_line(&text)?;
    } else {
        terminal::print_words(&render(&status))?;
    }
    Ok(verdict(&status))
}

/// What the exit code says of a status.
pub(super) fn verdict(status: &StatusResponse) -> Exit {
    let is_any = |wanted| {
        let mut connected = status.proxies.iter().filter(|proxy| proxy.connected);
        connected.any(|proxy| progress(proxy, status.revision) == wanted)
    };
    let is_hindered = |proxy: &ProxyBody| proxy.connected && !proxy.rejections.is_empty();
    if is_any(Progress::Refused) || status.proxies.iter().any(is_hindered) {
        Exit::Refused
    } else if is_any(Progress::Waiting) {
        Exit::Failed
    } else {
        Exit::Well
    }
}

/// `3/4 sidecars on revision 12`
pub(super) fn summary(status: &StatusResponse) -> String {
    let noun = if status.connected == 1 { "sidecar" } else { "sidecars" };
    format!("{}/{} {noun} on revision {}", status.on_revision, status.connected, status.revision)
}

fn render(status: &StatusResponse) -> String {
    let away = status.proxies.iter().filter(|proxy| !proxy.connected).count();
    let mut text = summary(status);
    if away > 0 {
        text.push_str(&format!(", {away} away"));
    }
    let policies = count(status.policies, "policy", "policies");
    text.push_str(&format!("; {policies}; trust domain {}\n", status.trust_domain));
    if !status.proxies.is_empty() {
        let row = |proxy: &ProxyBody| {
            let revision = proxy.revision.map_or_else(|| "-".to_owned(), |revision| revision.to_string());
            vec![proxy.id.clone(), state(proxy).to_owned(), revision]
        };
        let rows: Vec<_> = status.proxies.iter().map(row).collect();
        text.push('\n');
        text.push_str(&terminal::table(&["PROXY", "STATE", "REVISION"], &rows));
    }
    for proxy in &status.proxies {
        text.push_str(&refusals(proxy));
    }
    text
}

/// What a sidecar refuses, by which policy, in its own words.
pub(super) fn refusals(proxy: &ProxyBody) -> String {
    let mut text = String::new();
    for rejection in &proxy.rejections {
        let what = format!("{} `{}`", rejection.resource_type, visible(&rejection.resource));
        let said = match rejection.policies.as_slice() {
            [] if rejection.resource_type == ResourceType::Listener.as_str() => {
                format!("cannot open {what}, and tries again until it can")
            }
            [] => format!("refuses {what} and keeps the last good one"),
            policies => {
                format!("refuses {what} of policies {} and keeps the last good one", policies.join(", "))
            }
        };
        text.push_str(&format!("\n{}: {said}:\n  {}\n", proxy.id, visible(&rejection.message)));
    }
    for problem in &proxy.problems {
        text.push_str(&format!("\n{}: {}\n", proxy.id, visible(problem)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::api::types::Rejection;
    use std::collections::BTreeMap;

    fn proxy(id: &str, revision: u64) -> ProxyBody {
        ProxyBody {
            id: id.to_owned(),
            service: "shop/orders".to_owned(),
            labels: BTreeMap::new(),
            inbound: None,
            outbounds: Vec::new(),
            connected: true,
            revision: Some(revision),
            offered: Some(12),
            rejections: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn status(proxies: Vec<ProxyBody>) -> StatusResponse {
        let on_revision =
            proxies.iter().filter(|proxy| proxy.connected && proxy.revision == Some(12)).count();
        let connected = proxies.iter().filter(|proxy| proxy.connected).count();
        let trust_domain = "chancery.local".to_owned();
        StatusResponse { revision: 12, trust_domain, policies: 2, on_revision, connected, proxies }
    }

    #[test]
    fn a_refusal_is_shown_with_policy_place_and_words() {
        let rejection = Rejection {
            resource_type: "listener".to_owned(),
            resource: "inbound".to_owned(),
            policies: vec!["orders".to_owned()],
            message: "duplicate address\n\x1b]0;pwned\x07".to_owned(),
        };
        let status = status(vec![
            proxy("shop/cart/1", 12),
            ProxyBody { rejections: vec![rejection], ..proxy("shop/orders/1", 11) },
            ProxyBody { connected: false, ..proxy("shop/orders/2", 12) },
        ]);
        assert_eq!(verdict(&status), Exit::Refused);
        expect_test::expect![[r"
            1/2 sidecars on revision 12, 1 away; 2 policies; trust domain chancery.local

            PROXY          STATE      REVISION
            shop/cart/1    connected  12
            shop/orders/1  refuses    11
            shop/orders/2  away       12

            shop/orders/1: refuses listener `inbound` of policies orders and keeps the last good one:
              duplicate address\n\u{1b}]0;pwned\u{7}
        "]]
        .assert_eq(&render(&status));
    }

    #[test]
    fn the_exit_code_tells_waiting_from_done() {
        assert_eq!(verdict(&status(vec![proxy("a/b/1", 12)])), Exit::Well);
        assert_eq!(verdict(&status(vec![proxy("a/b/1", 11)])), Exit::Failed);
        assert_eq!(verdict(&status(vec![])), Exit::Well);
    }
}
