//! The machine of a sidecar.

use super::{Finding, machine};
use crate::cli::exit::Failure;
use crate::cli::sidecar::{Arguments, data_dir, inbound_with};
use crate::mesh::identity::join_token::JoinToken;
use crate::server::api::client::{Client, Credentials};
use crate::sidecar::application::Looking;
use crate::sidecar::identity::Identity;
use crate::sidecar::settings::TokenSource;
use crate::sidecar::state;
use jiff::Timestamp;
use std::fs::{File, TryLockError};
use std::path::Path;

/// Looks at what a sidecar with these options stands on.
pub(super) async fn look(options: &Arguments) -> Vec<Finding> {
    let mut findings = Vec::new();
    let data = match data_dir(options) {
        Ok(data) => data,
        Err(failure) => return vec![Finding::of_failure("data", failure)],
    };
    findings.push(machine::private_folder("data", &data));
    let lock = File::open(data.join("lock"));
    let runs = lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)));
    findings
        .push(Finding::ok("process", if runs { "this sidecar runs" } else { "this sidecar does not run" }));
    let identity: Option<Identity> = state::read_json(&state::identity_file(&data)).ok().flatten();
    let token = token(options, identity.is_some(), &mut findings);
    if let Some(identity) = &identity {
        findings.push(certificate(identity));
    }
    let known = identity.as_ref().map(|identity| (identity.url.clone(), identity.root_pem.clone()));
    match known.or_else(|| token.map(|token| (token.url, token.root_pem))) {
        Some((url, root_pem)) => {
            let url = options.control_plane.clone().unwrap_or(url);
            findings.extend(control_plane(&url, &root_pem).await);
        }
        None => findings.push(Finding::wrong(
            "control plane",
            "nothing says where it is",
            "a good token does: `chancery token --service NAMESPACE/NAME -o FILE`",
        )),
    }
    findings.extend(addresses(options, runs).await);
    findings.push(machine::open_files());
    findings.push(machine::envoy(options.envoy.clone(), true).await);
    findings
}

/// The token, if it is one; says what is wrong with it.
fn token(options: &Arguments, has_joined: bool, findings: &mut Vec<Finding>) -> Option<JoinToken> {
    let file = &options.token_file;
    if file == Path::new("-") {
        findings.push(Finding::ok("token", "it will be read from standard input"));
        return None;
    }
    let remedy = format!(
        "make one: chancery token --service {}/{} -o {}",
        options.service.namespace,
        options.service.name,
        file.display()
    );
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if has_joined => {
            findings.push(Finding::warning(
                "token",
                format!("{}: {error}; it has joined before", file.display()),
                remedy,
            ));
            return None;
        }
        Err(error) => {
            findings.push(Finding::wrong("token", format!("{}: {error}", file.display()), remedy));
            return None;
        }
    };
    findings.push(machine::private_file("token", file));
    let token = match JoinToken::parse(&text) {
        Ok(token) => token,
        Err(error) => {
            findings.push(Finding::wrong("token", error.to_string(), remedy));
            return None;
        }
    };
    if token.service != options.service {
        let seen = format!("it is for the service {}/{}", token.service.namespace, token.service.name);
        findings.push(Finding::wrong("token", seen, remedy));
    } else if token.expires_at < Timestamp::now() {
        let seen = format!("it ended at {}", token.expires_at);
        findings.push(if has_joined {
            Finding::ok("token", format!("{seen}; it has joined before, and does not need it"))
        } else {
            Finding::wrong("token", seen, remedy)
        });
    } else {
        findings.push(Finding::ok("token", format!("good until {}", token.expires_at)));
    }
    Some(token)
}

fn certificate(identity: &Identity) -> Finding {
    let now = Timestamp::now();
    match identity.complaint(now) {
        Some(complaint) => Finding::wrong(
            "certificate",
            format!("that of {} {complaint}", identity.proxy_id),
            "set the clock if it is wrong; else it is renewed when the control plane can be reached, for 7 days after its end",
        ),
        None => {
            let left = identity.remaining(now).as_secs() / 60;
            Finding::ok("certificate", format!("{} for {left} more minutes", identity.proxy_id))
        }
    }
}

async fn control_plane(url: &str, root_pem: &str) -> Vec<Finding> {
    let asked = async { Client::new(url, root_pem, Credentials::None)?.get_text("/healthz").await };
    let mut findings = vec![match asked.await {
        Ok(_) => Finding::ok("control plane", format!("answers at {url}")),
        Err(error) => {
            let mut failure = Failure::from(error);
            failure.help = Some(
                "start it, or let this machine reach it; if it has moved, say where with --control-plane HOST:PORT"
                    .to_owned(),
            );
            Finding::of_failure("control plane", failure)
        }
    }];
    findings.extend(machine::clock(url, root_pem).await);
    findings
}

/// The ports of the sidecar, and its application.
async fn addresses(options: &Arguments, runs: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    match inbound_with(options, &TokenSource::File(options.token_file.clone())).await {
        Ok(Some(inbound)) => {
            findings.push(machine::port("inbound", inbound.listen, runs));
            findings.extend(inbound.probes.map(|probes| machine::port("probes", probes, runs)));
            findings.push(Finding::ok("address", format!("others reach it at {}", inbound.advertised)));
            if let Some(check) = options.check.0.clone() {
                let (application, protocol) = (inbound.application, inbound.protocol);
                let looking = Looking { check, application, protocol, every: options.check_every };
                findings.push(match looking.look().await {
                    Ok(()) => Finding::ok("application", format!("answers at {application}")),
                    Err(reason) => Finding::wrong(
                        "application",
                        format!("does not answer at {application}: {reason}"),
                        "start it, or say in --check how to look; until it answers the replica gets no requests",
                    ),
                });
            }
        }
        Ok(None) => {}
        Err(failure) => findings.push(Finding::of_failure("address", failure)),
    }
    for outbound in &options.outbound {
        findings.push(machine::port("outbound", outbound.listen, runs));
    }
    findings
}
