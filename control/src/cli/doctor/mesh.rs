//! What an operator's machine can see of a mesh.

use super::machine;
use super::{Finding, State};
use crate::cli::context::{self, DATA_DIRECTORY_DEFAULT};
use crate::cli::exit::Failure;
use crate::cli::get::members::services_of;
use crate::cli::global::Global;
use crate::cli::proxies::state;
use crate::cli::wait::names;
use crate::server::api::client::Client;
use crate::server::api::types::{PlaintextBody, ProxyBody, RolloutState, StatusResponse};
use crate::server::context::ADMIN_CONTEXT;
use serde_json::Value;
use std::path::Path;

/// Looks at the context, the control plane and the members of its mesh.
pub(super) async fn look(global: &Global) -> Vec<Finding> {
    let usual = || Path::new(DATA_DIRECTORY_DEFAULT).join(ADMIN_CONTEXT);
    let path = global.context.clone().unwrap_or_else(usual);
    let context = match context::find(global) {
        Ok(context) => context,
        Err(failure) => return vec![Finding::of_failure("context", failure)],
    };
    let mut findings = vec![machine::private_file("context", &path)];
    findings.extend(machine::clock(&context.url, &context.ca_pem).await);
    let client = match context.client() {
        Ok(client) => client,
        Err(error) => {
            findings.push(Finding::of_failure("context", error.into()));
            return findings;
        }
    };
    let status: StatusResponse = match client.get("/v1/status").await {
        Ok(status) => status,
        Err(error) => {
            findings.push(Finding::of_failure("control plane", error.into()));
            return findings;
        }
    };
    findings.push(Finding::ok(
        "control plane",
        format!("answers at {}, revision {}", context.url, status.revision),
    ));
    findings.push(readiness(&client).await);
    findings.extend(version(&client).await);
    findings.extend(members(&status));
    findings.extend(services(&status));
    findings.extend(status.plaintext.iter().map(plaintext));
    findings.extend(rollout(&status));
    findings
}

/// Whether the door for callers without TLS can be closed.
fn plaintext(open: &PlaintextBody) -> Finding {
    let PlaintextBody { service, policies, callers, unheard } = open;
    let by = policies.join(", ");
    let close = format!("remove `plaintext allow` from {by}, or write `plaintext deny` for {service}");
    if *unheard > 0 {
        Finding::warning(
            "plaintext",
            format!(
                "{service} takes callers without TLS; {unheard} of its sidecars have not said who calls them"
            ),
            "look again when they are back: until then nobody knows whether it can be closed",
        )
    } else if callers.is_empty() {
        Finding::warning(
            "plaintext",
            format!("{service} takes callers without TLS, and none came within the last hour"),
            format!(
                "it can be closed, if its sidecars have run for as long as callers may be quiet: {close}"
            ),
        )
    } else {
        let named = callers.iter().map(|caller| match &caller.service {
            Some(service) => format!("{} ({service})", caller.address),
            None => caller.address.clone(),
        });
        Finding::warning(
            "plaintext",
            format!("{service} takes callers without TLS: {}", named.collect::<Vec<_>>().join(", ")),
            format!("give these a sidecar that calls {service}; then {close}"),
        )
    }
}

/// Whether changes can be made.
async fn readiness(client: &Client) -> Finding {
    match client.get_text("/readyz").await {
        Ok(_) => Finding::ok("store", "takes changes"),
        Err(error) => Finding::of_failure("store", Failure::from(error)),
    }
}

async fn version(client: &Client) -> Option<Finding> {
    let description: Value = client.get("/v1/openapi.json").await.ok()?;
    let there = description.pointer("/info/version")?.as_str()?.to_owned();
    let here = env!("CARGO_PKG_VERSION");
    Some(if there == here {
        Finding::ok("version", format!("{here}, here and there"))
    } else {
        Finding::warning(
            "version",
            format!("this command is {here}, the control plane {there}"),
            "use the command of the control plane's version",
        )
    })
}

/// How the sidecars are.
fn members(status: &StatusResponse) -> Vec<Finding> {
    let those = |is: &dyn Fn(&ProxyBody) -> bool| -> Vec<&ProxyBody> {
        status.proxies.iter().filter(|proxy| is(proxy)).collect()
    };
    let mut findings = Vec::new();
    let away = those(&|proxy| !proxy.connected);
    if !away.is_empty() {
        findings.push(Finding::warning(
            "sidecars",
            format!("away: {}", names(&away)),
            "start them; or `chancery proxies evict` who must not serve, `chancery proxies forget` who is gone for good",
        ));
    }
    let refusing = those(&|proxy| proxy.connected && matches!(state(proxy), "refuses" | "held back"));
    if !refusing.is_empty() {
        findings.push(Finding::wrong(
            "sidecars",
            format!("do not have what the policies say: {}", names(&refusing)),
            "`chancery status` has the policy and the words of each",
        ));
    }
    let closed = those(&|proxy| proxy.connected && state(proxy) == "cannot listen");
    if !closed.is_empty() {
        findings.push(Finding::wrong(
            "sidecars",
            format!("cannot listen: {}", names(&closed)),
            "`chancery doctor sidecar …` on that machine says who has the port",
        ));
    }
    let silent = those(&|proxy| matches!(state(proxy), "not answering" | "starting"));
    if !silent.is_empty() {
        findings.push(Finding::warning(
            "applications",
            format!("do not answer: {}", names(&silent)),
            "start them, or say in --check how to look; `chancery status` says what was seen",
        ));
    }
    let behind = status.connected - status.on_revision.min(status.connected);
    if findings.iter().all(|finding| finding.state != State::Wrong) {
        let seen =
            format!("{} connected, {} on revision {}", status.connected, status.on_revision, status.revision);
        findings.push(if behind == 0 {
            Finding::ok("sidecars", seen)
        } else {
            Finding::warning("sidecars", seen, "the others have not acknowledged it yet: look again")
        });
    }
    findings
}

/// Services that are called, or sent requests to, and nobody is.
fn services(status: &StatusResponse) -> Vec<Finding> {
    let services = services_of(&status.proxies);
    let unknown = services.iter().filter(|(_, service)| service.replicas.is_empty());
    let unknown = unknown.map(|(name, service)| {
        let callers: Vec<&str> = service.callers.iter().map(String::as_str).collect();
        Finding::warning(
            "services",
            format!("{} call {name}, of which no sidecar has joined", callers.join(", ")),
            format!("correct the name in --outbound, or let one in: `chancery token --service {name}`"),
        )
    });
    let nowhere = status.nowhere.iter().map(|nowhere| {
        Finding::warning(
            "services",
            format!(
                "policies {} send requests to {}, where nobody is: they get 503",
                nowhere.policies.join(", "),
                nowhere.destination
            ),
            "correct the policy, or start a sidecar there",
        )
    });
    unknown.chain(nowhere).collect()
}

fn rollout(status: &StatusResponse) -> Option<Finding> {
    let rollout = status.rollout.as_ref()?;
    let told = "`chancery rollout status` says more";
    match rollout.state {
        RolloutState::Paused => {
            Some(Finding::warning("rollout", format!("revision {} is paused", rollout.to), told))
        }
        RolloutState::Undone => {
            let reason = rollout.undone.as_ref().map(|undone| undone.reason.clone()).unwrap_or_default();
            Some(Finding::warning(
                "rollout",
                format!("revision {} was taken back: {reason}", rollout.to),
                told,
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::status::tests::{proxy, status};
    use crate::server::api::types::{NowhereBody, OutboundBody, Rejection};

    fn seen(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|finding| finding.seen.clone()).collect()
    }

    #[test]
    fn a_mesh_that_is_well_says_so() {
        let status = status(vec![proxy("shop/orders/1", 12)]);
        assert_eq!(members(&status), [Finding::ok("sidecars", "1 connected, 1 on revision 12")]);
        assert_eq!(services(&status), []);
        assert_eq!(rollout(&status), None);
    }

    #[test]
    fn each_thing_that_is_wrong_is_named() {
        let rejection = |resource_type: &str, message: &str| Rejection {
            resource_type: resource_type.to_owned(),
            resource: "inbound".to_owned(),
            policies: Vec::new(),
            statements: Vec::new(),
            message: message.to_owned(),
            keeps_earlier: false,
        };
        let refuses = rejection("extension", "no");
        let closed = rejection("listener", "Address already in use");
        let calling = OutboundBody { service: "shop/cart".to_owned(), listen: ([127, 0, 0, 1], 7001).into() };
        let status = StatusResponse {
            nowhere: vec![NowhereBody {
                destination: "shop/gone".to_owned(),
                policies: vec!["canary".to_owned()],
            }],
            ..status(vec![
                ProxyBody { connected: false, ..proxy("shop/orders/1", 12) },
                ProxyBody { rejections: vec![refuses], ..proxy("shop/orders/2", 11) },
                ProxyBody { rejections: vec![closed], ..proxy("shop/orders/3", 12) },
                ProxyBody { outbounds: vec![calling], ..proxy("shop/orders/4", 12) },
            ])
        };
        assert_eq!(
            seen(&members(&status)),
            [
                "away: shop/orders/1",
                "do not have what the policies say: shop/orders/2",
                "cannot listen: shop/orders/3"
            ]
        );
        assert_eq!(
            seen(&services(&status)),
            [
                "shop/orders call shop/cart, of which no sidecar has joined",
                "policies canary send requests to shop/gone, where nobody is: they get 503"
            ]
        );
    }
}
