//! `MeshTimeout`, `MeshRetry` and `MeshCircuitBreaker`: what callers do.

use super::super::fields::{Fields, Notes};
use super::super::manifest::Manifest;
use super::super::matching::Matching;
use super::super::text::{Names, Policy};
use super::super::values::{self, duration, milliseconds};
use super::{Target, entries, note_workload};

pub(super) fn timeouts(manifest: &Manifest, notes: &Notes, names: &mut Names) -> Vec<Policy> {
    of_callers(manifest, notes, names, |default, callers| {
        let time = default.fields("http").and_then(|mut http| http.text("requestTimeout"));
        let time = time.and_then(|time| milliseconds(&time));
        time.map(|time| format!("timeout {}{}", duration(time), callers.with_for())).into_iter().collect()
    })
}

pub(super) fn retries(manifest: &Manifest, notes: &Notes, names: &mut Names) -> Vec<Policy> {
    of_callers(manifest, notes, names, |default, callers| {
        let retry = default.fields("http").and_then(|mut http| retry(&mut http));
        retry.map(|retry| format!("{retry}{}", callers.with_for())).into_iter().collect()
    })
}

pub(super) fn circuit_breakers(manifest: &Manifest, notes: &Notes, names: &mut Names) -> Vec<Policy> {
    of_callers(manifest, notes, names, |default, callers| {
        if !callers.is_all() {
            default.place.note("it is for all callers here: how replicas are treated is not said of some");
        }
        let connections = default.fields("connectionLimits").and_then(|mut limits| connections(&mut limits));
        let eject = default.fields("outlierDetection").and_then(|mut detection| eject(&mut detection));
        [connections, eject].into_iter().flatten().collect()
    })
}

/// A policy for each service or group of services that `to` names, with what is said of these callers.
fn of_callers(
    manifest: &Manifest,
    notes: &Notes,
    names: &mut Names,
    statements: fn(&mut Fields<'_>, &Matching) -> Vec<String>,
) -> Vec<Policy> {
    let Some(mut spec) = manifest.spec(notes) else { return Vec::new() };
    let callers = Target::of(&mut spec, manifest);
    let mut policies = Vec::new();
    for (target, mut default) in entries(&mut spec, "to", manifest) {
        let callers = callers.as_ref().and_then(Target::callers);
        let Some(callers) = callers.filter(|_| !matches!(target, Target::Workload(_))) else {
            note_workload(&target, &default.place);
            default.place.note("it is not carried over: it is for callers with labels");
            continue;
        };
        let statements = statements(&mut default, &Matching { callers, ..Matching::default() });
        if statements.is_empty() {
            continue;
        }
        let comments = vec![manifest.origin()];
        policies.push(Policy {
            kind: "traffic",
            name: names.give(&manifest.name),
            target: target.written(),
            comments,
            statements,
        });
    }
    policies
}

fn retry(http: &mut Fields<'_>) -> Option<String> {
    let attempts = http.count("numRetries").filter(|attempts| *attempts > 0)?;
    let mut causes: Vec<&str> = Vec::new();
    let said = http.texts("retryOn");
    if said.is_empty() {
        causes.extend(["gateway-error", "connect", "refused"]);
    }
    for cause in said {
        match cause.as_str() {
            "5xx" | "5XX" => causes.push("5xx"),
            "GatewayError" => causes.push("gateway-error"),
            "Reset" => causes.push("reset"),
            "ConnectFailure" => causes.push("connect"),
            "RefusedStream" => causes.push("refused"),
            other => {
                http.at("retryOn").note(format!("`{other}` is not carried over: there is no such cause here"))
            }
        }
    }
    let each = http.text("perTryTimeout").and_then(|time| milliseconds(&time));
    let each = each.map_or_else(String::new, |time| format!(" each {}", duration(time)));
    let pause = http.fields("backOff").and_then(|mut backoff| backoff.text("baseInterval"));
    let pause = pause.and_then(|time| milliseconds(&time));
    let pause = pause.map_or_else(String::new, |time| format!(" backoff {}", duration(time)));
    (!causes.is_empty()).then(|| format!("retry {attempts} on {}{each}{pause}", causes.join(", ")))
}

fn connections(limits: &mut Fields<'_>) -> Option<String> {
    let (at_most, pending) = (limits.count("maxConnections"), limits.count("maxPendingRequests"));
    values::connections(at_most, pending, limits.count("maxRequests"))
}

fn eject(detection: &mut Fields<'_>) -> Option<String> {
    let is_off = detection.text("disabled").is_some_and(|text| text == "true");
    let (time, share) = (detection.text("baseEjectionTime"), detection.count("maxEjectionPercent"));
    let mut detectors = detection.fields("detectors");
    let failures = detectors.as_mut().and_then(|detectors| detectors.fields("totalFailures"));
    let after = failures.and_then(|mut failures| failures.count("consecutive"));
    values::eject(after, time, share).filter(|_| !is_off)
}
