//! `DestinationRule`: how callers treat the replicas of a service, and what its subsets are.

use super::super::fields::{Fields, Notes};
use super::super::manifest::Manifest;
use super::super::text::{Names, Policy, name, string};
use super::super::values;
use super::{namespace_of, service_of};
use std::collections::BTreeMap;

/// The versions that subsets are: by service and the subset's name.
#[derive(Debug, Default)]
pub(super) struct Subsets(BTreeMap<(String, String), String>);

impl Subsets {
    /// Reads all `DestinationRule`s, for routes name what stands in others.
    pub(super) fn of(manifests: &[Manifest], notes: &Notes) -> Self {
        let mut subsets = Self::default();
        for manifest in manifests.iter().filter(|manifest| manifest.kind == "DestinationRule") {
            // Fields are noted where its policies are made; here only subsets are read.
            let silent = Notes::default();
            let Some(mut spec) = manifest.spec(&silent) else { continue };
            let host = spec.text("host").unwrap_or_default();
            let Some(service) = service_of(&host, namespace_of(manifest)) else { continue };
            for item in spec.list("subsets") {
                let Some(mut fields) = item.fields() else { continue };
                let Some(subset) = fields.text("name") else { continue };
                let labels: Vec<(String, Option<String>)> =
                    fields.fields("labels").map_or_else(Vec::new, |mut labels| {
                        labels.rest().into_iter().map(|(label, value)| (label, value.text())).collect()
                    });
                let version = match labels.as_slice() {
                    [(label, Some(version))] if label == "version" && name(version) == *version => {
                        version.clone()
                    }
                    _ => {
                        let place = manifest.at(&format!("{}.labels", item.place.field), notes);
                        let version = name(&subset);
                        place.note(format!("replicas are told apart by the label `version` here: give those of this subset `version={version}`"));
                        version
                    }
                };
                subsets.0.insert((service.clone(), subset), version);
            }
        }
        subsets
    }

    /// The version of a subset.
    pub(super) fn version(&self, service: &str, subset: &str) -> Option<&str> {
        self.0.get(&(service.to_owned(), subset.to_owned())).map(String::as_str)
    }
}

pub(super) fn policies(manifest: &Manifest, notes: &Notes, names: &mut Names) -> Vec<Policy> {
    let Some(mut spec) = manifest.spec(notes) else { return Vec::new() };
    let host = spec.text("host").unwrap_or_default();
    spec.ignore("exportTo");
    for item in spec.list("subsets") {
        if let Some(mut subset) = item.fields() {
            subset.ignore("name");
            subset.ignore("labels");
        }
    }
    let statements = spec.fields("trafficPolicy").map_or_else(Vec::new, |mut policy| settings(&mut policy));
    let Some(service) = service_of(&host, namespace_of(manifest)) else {
        spec.at("host").note(format!("the resource is not carried over: `{host}` is no service of the mesh"));
        return Vec::new();
    };
    if statements.is_empty() {
        return Vec::new();
    }
    let comments = vec![manifest.origin()];
    let target = format!("service {service}");
    vec![Policy { kind: "traffic", name: names.give(&manifest.name), target, comments, statements }]
}

fn settings(policy: &mut Fields<'_>) -> Vec<String> {
    let connections = policy.fields("connectionPool").and_then(|mut pool| connections(&mut pool));
    let eject = policy.fields("outlierDetection").and_then(|mut detection| eject(&mut detection));
    let balance = policy.fields("loadBalancer").and_then(|mut balancer| balance(&mut balancer));
    if let Some(mut tls) = policy.fields("tls") {
        let mode = tls.text("mode").unwrap_or_default();
        if mode != "ISTIO_MUTUAL" {
            tls.at("mode").note("it is not carried over: between sidecars there is always mutual TLS");
        }
    }
    [connections, eject, balance].into_iter().flatten().collect()
}

fn connections(pool: &mut Fields<'_>) -> Option<String> {
    let at_most = pool.fields("tcp").and_then(|mut tcp| tcp.count("maxConnections"));
    let mut http = pool.fields("http");
    let mut number = |field: &str| http.as_mut().and_then(|http| http.count(field));
    values::connections(at_most, number("http1MaxPendingRequests"), number("http2MaxRequests"))
}

fn eject(detection: &mut Fields<'_>) -> Option<String> {
    let after = detection.count("consecutive5xxErrors").or_else(|| detection.count("consecutiveErrors"));
    values::eject(after, detection.text("baseEjectionTime"), detection.count("maxEjectionPercent"))
}

fn balance(balancer: &mut Fields<'_>) -> Option<String> {
    if let Some(simple) = balancer.text("simple") {
        return match simple.as_str() {
            "ROUND_ROBIN" => Some("balance round_robin".to_owned()),
            "LEAST_CONN" | "LEAST_REQUEST" => Some("balance least_request".to_owned()),
            "RANDOM" => Some("balance random".to_owned()),
            "UNSPECIFIED" => None,
            other => {
                balancer.at("simple").note(format!("`{other}` is not carried over"));
                None
            }
        };
    }
    let mut hash = balancer.fields("consistentHash")?;
    let way = if hash.fields("maglev").is_some() { "maglev" } else { "ring_hash" };
    hash.ignore("ringHash");
    let header = hash.text("httpHeaderName")?;
    Some(format!("balance {way} by headers[{}]", string(&header.to_ascii_lowercase())))
}
