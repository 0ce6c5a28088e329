//! Istio's resources.
//!
//! In Istio a request passes if no `DENY` matches, and, where any `ALLOW` concerns the workload, one of those matches. Here
//! the same is said by rules of all policies together and the `otherwise` of the narrowest scope that states one.

mod authorization;
mod destinations;
mod peers;
mod routes;

use super::Translation;
use super::fields::{Fields, Notes};
use super::manifest::Manifest;
use super::text::{Names, Policy};
use super::values::{DEFAULT_NAMESPACE, service};
use destinations::Subsets;

/// The namespace whose policies hold in all of them.
const ROOT_NAMESPACE: &str = "istio-system";

pub(super) fn policies(manifests: &[Manifest], notes: &Notes, names: &mut Names) -> Vec<Policy> {
    let subsets = Subsets::of(manifests, notes);
    let mut policies = authorization::default_of(manifests, names);
    for manifest in manifests {
        let translate: Translation = match manifest.kind.as_str() {
            "AuthorizationPolicy" => authorization::policies,
            "PeerAuthentication" => peer_authentication,
            "DestinationRule" => destinations::policies,
            "VirtualService" => {
                policies.extend(routes::policies(manifest, &subsets, notes, names));
                continue;
            }
            _ => {
                manifest
                    .at("", notes)
                    .note("it is not carried over: resources of this kind are not known here");
                continue;
            }
        };
        policies.extend(translate(manifest, notes, names));
    }
    policies
}

/// Mutual TLS is required of everyone here, so `STRICT` says nothing new, and the others cannot be said.
fn peer_authentication(manifest: &Manifest, notes: &Notes, _: &mut Names) -> Vec<Policy> {
    let Some(mut spec) = manifest.spec(notes) else { return Vec::new() };
    spec.ignore("selector");
    if let Some(mut mtls) = spec.fields("mtls") {
        check_mode(&mut mtls);
    }
    if let Some(mut ports) = spec.fields("portLevelMtls") {
        for (_, item) in ports.rest() {
            item.fields().as_mut().map(check_mode);
        }
    }
    Vec::new()
}

fn check_mode(mtls: &mut Fields<'_>) {
    let mode = mtls.text("mode").unwrap_or_default();
    if !matches!(mode.as_str(), "" | "STRICT" | "UNSET") {
        // A policy that said so and nothing else would deny whatever no other one allows.
        let what = "it is not carried over: sidecars speak mutual TLS, and take callers without it where an `auth` policy says so";
        mtls.at("mode").note(format!(
            "{what}; for `{mode}` write `plaintext allow` into those of the services that need it"
        ));
    }
}

/// The service of the mesh that a host names, seen from a namespace; `None` if it is none.
fn service_of(host: &str, namespace: &str) -> Option<String> {
    let mut parts = host.split('.');
    let name = parts.next().filter(|name| !name.is_empty() && *name != "*")?;
    match (parts.next(), parts.next()) {
        (None, _) => Some(service(namespace, name)),
        (Some(namespace), Some("svc")) => Some(service(namespace, name)),
        (Some(_), _) => None,
    }
}

/// The namespace of a resource.
fn namespace_of(manifest: &Manifest) -> &str {
    manifest.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)
}
