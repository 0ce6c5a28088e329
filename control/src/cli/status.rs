//! `chancery status`: whether everyone is on a revision, and if not, who and why.

use super::proxies::{state, unready};
use super::rollout::line;
use super::wait::names;
use crate::cli::context;
use crate::cli::durations;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::report::count;
use crate::cli::terminal;
use crate::mesh::words::visible;
use crate::server::api::types::{
    NowhereBody, PlaintextBody, PlaintextCaller, Progress, ProxyBody, ReadinessState, Rejection,
    StatusResponse,
};
use clap::Args;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Arguments of `chancery status`.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 every registered sidecar is connected and has acknowledged the revision;\n\
    3 one refuses a part of it, or cannot open a listener; 4 some are away, or have not answered yet.\n\n\
    Examples:\n  chancery status\n  chancery status --revision 12 --json\n  \
    chancery status --wait --sidecars 2     # in a script that has just started two"
)]
pub struct Arguments {
    /// The revision that is asked about [default: the newest]
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
    /// Wait until the control plane answers, and every registered sidecar is connected, has acknowledged the
    /// revision and is ready; what is so when time runs out is shown
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = durations::parse)]
    #[arg(requires = "wait")]
    timeout: Duration,
    /// How many sidecars to wait for, at least
    #[arg(long, value_name = "N", default_value_t = 0, requires = "wait")]
    sidecars: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How long between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Prints the status.
///
/// # Errors
/// If the control plane does not answer, or refuses.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let deadline = Instant::now() + arguments.timeout;
    let status = loop {
        let is_late = !arguments.wait || Instant::now() >= deadline;
        match ask(arguments, global).await {
            Ok(status) if is_late || arguments.is_settled(&status) => break status,
            Err(failure) if is_late || !is_to_come(&failure) => return Err(failure),
            _ => sleep(LOOK_AGAIN).await,
        }
    };
    if arguments.json {
        let text =
            serde_json::to_string_pretty(&status).map_err(|error| Failure::failed(error.to_string()))?;
        terminal::print_line(&text)?;
    } else {
        terminal::print_words(&render(&status))?;
    }
    match verdict(&status) {
        Exit::Well if arguments.wait && !arguments.is_settled(&status) => Ok(Exit::Unacknowledged),
        exit => Ok(exit),
    }
}

async fn ask(arguments: &Arguments, global: &Global) -> Result<StatusResponse, Failure> {
    let path = match arguments.revision {
        Some(revision) => format!("/v1/status?revision={revision}"),
        None => "/v1/status".to_owned(),
    };
    Ok(context::find(global)?.client()?.get(&path).await?)
}

/// Whether a control plane that has just been started may answer otherwise in a moment: it is not there yet, or has not
/// written its context.
fn is_to_come(failure: &Failure) -> bool {
    failure.exit == Exit::Failed || failure.message.starts_with(context::NO_CONTEXT)
}

impl Arguments {
    fn is_settled(&self, status: &StatusResponse) -> bool {
        let is_ready = |proxy: &ProxyBody| {
            proxy.readiness.as_ref().is_none_or(|readiness| readiness.state == ReadinessState::Ready)
        };
        let is_refused = verdict(status) == Exit::Refused;
        let is_well = verdict(status) == Exit::Well && status.proxies.iter().all(is_ready);
        is_refused || (is_well && status.connected >= self.sidecars)
    }
}

/// What the exit code says of a status.
fn verdict(status: &StatusResponse) -> Exit {
    let is_any = |wanted| status.proxies.iter().any(|proxy| proxy.progress(status.revision) == wanted);
    let is_hindered = |proxy: &ProxyBody| proxy.connected && !proxy.rejections.is_empty();
    if is_any(Progress::Refused) || status.proxies.iter().any(is_hindered) {
        Exit::Refused
    } else if is_any(Progress::Waiting) || status.away > 0 {
        Exit::Unacknowledged
    } else {
        Exit::Well
    }
}

/// `3/4 sidecars on revision 12, 1 away`: of those that are registered.
pub(super) fn summary(status: &StatusResponse) -> String {
    let registered = status.connected + status.away;
    let noun = if registered == 1 { "sidecar" } else { "sidecars" };
    let away = if status.away == 0 { String::new() } else { format!(", {} away", status.away) };
    format!("{}/{registered} {noun} on revision {}{away}", status.on_revision, status.revision)
}

fn render(status: &StatusResponse) -> String {
    let policies = count(status.policies, "policy", "policies");
    let mut text = format!("{}; {policies}; trust domain {}\n", summary(status), status.trust_domain);
    if let Some(rollout) = &status.rollout {
        text.push_str(&format!("{}\n", line(rollout)));
    }
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
        text.push_str(&unready(proxy));
    }
    for NowhereBody { destination, policies } in &status.nowhere {
        let who = match policies.as_slice() {
            [only] => format!("policy {only} sends"),
            several => format!("policies {} send", several.join(", ")),
        };
        text.push_str(&format!(
            "\nno sidecar of {} has joined, to which {} requests: they are answered with 503\n",
            visible(destination),
            visible(&who)
        ));
    }
    status.plaintext.iter().for_each(|open| text.push_str(&plaintext(open)));
    let away: Vec<&ProxyBody> = status.proxies.iter().filter(|proxy| !proxy.connected).collect();
    if !away.is_empty() {
        text.push_str(&format!(
            "\naway: {}\n  Nobody knows by what they decide. They count until they are back, leave, or are evicted \
             or\n  forgotten: `chancery proxies evict ID`, `chancery proxies forget ID`.\n",
            names(&away)
        ));
    }
    text
}

/// Who is let in without TLS, and who still comes so.
fn plaintext(open: &PlaintextBody) -> String {
    let PlaintextBody { service, policies, callers, unheard } = open;
    let mut text = format!(
        "\n{} takes callers without TLS, by {} {}: ",
        visible(service),
        if policies.len() == 1 { "policy" } else { "policies" },
        visible(&policies.join(", "))
    );
    if callers.is_empty() {
        text.push_str("none came within the last hour\n");
    } else {
        text.push_str("within the last hour there came\n");
        let rows = callers.iter().map(|PlaintextCaller { address, service, requests }| {
            let who = service.as_ref().map(|service| format!(" (where {} is)", visible(service)));
            format!(
                "  {}{}: {}\n",
                visible(address),
                who.unwrap_or_default(),
                count(usize::try_from(*requests).unwrap_or(usize::MAX), "request", "requests")
            )
        });
        text.extend(rows);
    }
    if *unheard > 0 {
        let of = count(*unheard, "sidecar has", "sidecars have");
        text.push_str(&format!("  {of} not said who calls\n"));
    }
    text
}

/// What a sidecar refuses, by which policy, in its own words.
pub(super) fn refusals(proxy: &ProxyBody) -> String {
    let mut text = String::new();
    for rejection in &proxy.rejections {
        let said = said(rejection);
        text.push_str(&format!("\n{}: {said}:\n  {}\n", proxy.id, visible(&rejection.message)));
    }
    for problem in &proxy.problems {
        text.push_str(&format!("\n{}: {}\n", proxy.id, visible(problem)));
    }
    text
}

fn said(rejection: &Rejection) -> String {
    let what = format!("{} `{}`", rejection.resource_type, visible(&rejection.resource));
    let kept = if rejection.keeps_earlier { "keeps the last good one" } else { "has none of this name" };
    if rejection.is_closed_listener() {
        format!("cannot open {what}, and tries again until it can")
    } else if rejection.is_listener_alone() {
        format!("cannot open the new {what}, and serves with the last good one until it can")
    } else if rejection.policies.is_empty() {
        format!("refuses {what} and {kept}")
    } else {
        let noun = if rejection.policies.len() == 1 { "policy" } else { "policies" };
        let policies = format!("{noun} {}", rejection.policies.join(", "));
        let statements = match rejection.statements.as_slice() {
            [] => String::new(),
            stated => format!(" ({})", visible(&stated.join(", "))),
        };
        format!("refuses {what} of {policies}{statements} and {kept}")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    pub(in crate::cli) fn proxy(id: &str, revision: u64) -> ProxyBody {
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
            readiness: None,
            problems: Vec::new(),
        }
    }

    pub(in crate::cli) fn status(proxies: Vec<ProxyBody>) -> StatusResponse {
        let on_revision =
            proxies.iter().filter(|proxy| proxy.connected && proxy.revision == Some(12)).count();
        let connected = proxies.iter().filter(|proxy| proxy.connected).count();
        let away = proxies.len() - connected;
        let trust_domain = "chancery.local".to_owned();
        StatusResponse {
            revision: 12,
            trust_domain,
            policies: 2,
            on_revision,
            connected,
            away,
            proxies,
            rollout: None,
            nowhere: Vec::new(),
            plaintext: Vec::new(),
        }
    }

    #[test]
    fn a_refusal_is_shown_with_policy_place_and_words() {
        let rejection = Rejection {
            resource_type: "listener".to_owned(),
            resource: "inbound".to_owned(),
            policies: vec!["orders".to_owned()],
            statements: vec!["orders/eject-1a2b3c".to_owned()],
            message: "duplicate address\n\x1b]0;pwned\x07".to_owned(),
            keeps_earlier: true,
        };
        let status = status(vec![
            proxy("shop/cart/1", 12),
            ProxyBody { rejections: vec![rejection], ..proxy("shop/orders/1", 11) },
            ProxyBody { connected: false, ..proxy("shop/orders/2", 12) },
        ]);
        assert_eq!(verdict(&status), Exit::Refused);
        expect_test::expect![[r"
            1/3 sidecars on revision 12, 1 away; 2 policies; trust domain chancery.local

            PROXY          STATE      REVISION
            shop/cart/1    connected  12
            shop/orders/1  refuses    11
            shop/orders/2  away       12

            shop/orders/1: refuses listener `inbound` of policy orders (orders/eject-1a2b3c) and keeps the last good one:
              duplicate address\n\u{1b}]0;pwned\u{7}

            away: shop/orders/2
              Nobody knows by what they decide. They count until they are back, leave, or are evicted or
              forgotten: `chancery proxies evict ID`, `chancery proxies forget ID`.
        "]]
        .assert_eq(&render(&status));
    }

    #[test]
    fn where_requests_are_sent_and_nobody_is_is_said() {
        let nowhere = |destination: &str, policies: &[&str]| NowhereBody {
            destination: destination.to_owned(),
            policies: policies.iter().map(|&name| name.to_owned()).collect(),
        };
        let nowhere = vec![nowhere("shop/gone", &["canary"]), nowhere("shop/a@v9", &["canary", "split"])];
        let status = StatusResponse { nowhere, ..status(Vec::new()) };
        assert_eq!(verdict(&status), Exit::Well, "it is allowed");
        expect_test::expect![[r"
            0/0 sidecars on revision 12; 2 policies; trust domain chancery.local

            no sidecar of shop/gone has joined, to which policy canary sends requests: they are answered with 503

            no sidecar of shop/a@v9 has joined, to which policies canary, split send requests: they are answered with 503
        "]]
        .assert_eq(&render(&status));
    }

    #[test]
    fn who_still_speaks_plaintext_is_said() {
        let caller = |address: &str, service: Option<&str>, requests| PlaintextCaller {
            address: address.to_owned(),
            service: service.map(str::to_owned),
            requests,
        };
        let open = |service: &str, callers, unheard| PlaintextBody {
            service: service.to_owned(),
            policies: vec!["migrate".to_owned()],
            callers,
            unheard,
        };
        let callers = vec![caller("10.0.0.7", Some("shop/cart"), 1), caller("10.0.0.9", None, 1200)];
        let plaintext = vec![open("shop/orders", callers, 1), open("shop/stock", Vec::new(), 0)];
        let status = StatusResponse { plaintext, ..status(Vec::new()) };
        assert_eq!(verdict(&status), Exit::Well, "it is stated");
        expect_test::expect![[r#"
            0/0 sidecars on revision 12; 2 policies; trust domain chancery.local

            shop/orders takes callers without TLS, by policy migrate: within the last hour there came
              10.0.0.7 (where shop/cart is): 1 request
              10.0.0.9: 1200 requests
              1 sidecar has not said who calls

            shop/stock takes callers without TLS, by policy migrate: none came within the last hour
        "#]]
        .assert_eq(&render(&status));
    }

    #[test]
    fn a_port_that_is_taken_is_blamed_on_no_policy() {
        let rejection = |keeps_earlier| Rejection {
            resource_type: "listener".to_owned(),
            resource: "inbound".to_owned(),
            policies: Vec::new(),
            statements: Vec::new(),
            message: "Address already in use".to_owned(),
            keeps_earlier,
        };
        let with = |keeps_earlier| ProxyBody {
            rejections: vec![rejection(keeps_earlier)],
            ..proxy("shop/orders/1", 12)
        };
        assert_eq!((with(false).progress(12), state(&with(false))), (Progress::Applied, "cannot listen"));
        assert_eq!((with(true).progress(12), state(&with(true))), (Progress::Refused, "cannot listen"));
        let text = [refusals(&with(false)), refusals(&with(true))].concat();
        expect_test::expect![[r"

            shop/orders/1: cannot open listener `inbound`, and tries again until it can:
              Address already in use

            shop/orders/1: cannot open the new listener `inbound`, and serves with the last good one until it can:
              Address already in use
        "]]
        .assert_eq(&text);
    }

    #[test]
    fn the_exit_code_tells_waiting_from_done() {
        assert_eq!(verdict(&status(vec![proxy("a/b/1", 12)])), Exit::Well);
        assert_eq!(verdict(&status(vec![proxy("a/b/1", 11)])), Exit::Unacknowledged);
        let away = ProxyBody { connected: false, ..proxy("a/b/1", 12) };
        assert_eq!(verdict(&status(vec![proxy("a/b/2", 12), away])), Exit::Unacknowledged);
        assert_eq!(verdict(&status(vec![])), Exit::Well);
    }
}
