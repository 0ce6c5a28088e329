//! Kuma's resources.

mod limits;
mod logs;
mod permission;
mod routes;
mod settings;

use super::Translation;
use super::fields::{Fields, Item, Notes};
use super::manifest::Manifest;
use super::text::{Names, Policy, name, string};
use super::values::{DEFAULT_NAMESPACE, service};

/// The namespace where Kuma's own resources lie, which say nothing of the workloads' namespace.
const SYSTEM_NAMESPACE: &str = "kuma-system";
/// The tag that says which service a replica is of.
const SERVICE_TAG: &str = "kuma.io/service";
/// The tag or label of the namespace.
const NAMESPACE_TAG: &str = "k8s.kuma.io/namespace";

pub(super) fn policies(manifests: &[Manifest], notes: &Notes, names: &mut Names) -> Vec<Policy> {
    let mut policies = Vec::new();
    for manifest in manifests {
        let translate: Translation = match manifest.kind.as_str() {
            "MeshTrafficPermission" => permission::policies,
            "MeshHTTPRoute" => routes::policies,
            "MeshTimeout" => settings::timeouts,
            "MeshRetry" => settings::retries,
            "MeshCircuitBreaker" => settings::circuit_breakers,
            "MeshRateLimit" => limits::policies,
            "MeshAccessLog" => logs::policies,
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

/// Whom a `targetRef` means.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// Everyone.
    Mesh,
    /// The services of a namespace.
    Namespace(String),
    /// `namespace/name`.
    Service(String),
    /// Replicas with labels, as the language writes them.
    Workload(String),
}

impl Target {
    /// `None`, noted, if it is nobody that can be named here. Without a `targetRef` everyone is meant.
    fn of(fields: &mut Fields<'_>, manifest: &Manifest) -> Option<Self> {
        match fields.take("targetRef") {
            Some(item) => Self::read(&item, manifest),
            None => Some(Self::own(manifest)),
        }
    }

    /// What a resource without a `targetRef` is about: the namespace that it lies in, or the mesh.
    fn own(manifest: &Manifest) -> Self {
        match manifest.namespace.as_deref() {
            None | Some(SYSTEM_NAMESPACE) => Self::Mesh,
            Some(namespace) => Self::Namespace(name(namespace)),
        }
    }

    fn read(item: &Item<'_>, manifest: &Manifest) -> Option<Self> {
        let mut reference = item.fields()?;
        let kind = reference.text("kind")?;
        reference.ignore("proxyTypes");
        match kind.as_str() {
            "Mesh" => Some(Self::Mesh),
            "MeshService" => {
                let (called, namespace) = (reference.text("name"), reference.text("namespace"));
                let called = called.map(|called| match namespace {
                    Some(namespace) => service(&namespace, &called),
                    None => service_name(&called, manifest),
                });
                if called.is_none() {
                    reference.place.note("it is not carried over: a service is named by its name here");
                }
                called.map(Self::Service)
            }
            "MeshSubset" => Self::subset(&mut reference.fields("tags")?, manifest),
            "Dataplane" => match reference.fields("labels") {
                Some(mut labels) => Self::labelled(&mut labels, manifest),
                None => Some(Self::own(manifest)),
            },
            other => {
                reference.at("kind").note(format!("it is not carried over: there is no `{other}` here"));
                None
            }
        }
    }

    fn subset(tags: &mut Fields<'_>, manifest: &Manifest) -> Option<Self> {
        if let Some(called) = tags.text(SERVICE_TAG) {
            return Some(Self::Service(service_name(&called, manifest)));
        }
        match tags.text(NAMESPACE_TAG) {
            Some(namespace) => Some(Self::Namespace(name(&namespace))),
            None => Self::labelled(tags, manifest),
        }
    }

    fn labelled(labels: &mut Fields<'_>, manifest: &Manifest) -> Option<Self> {
        let namespace = labels.text(NAMESPACE_TAG).or_else(|| manifest.namespace.clone());
        let namespace = name(&namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()));
        let mut written = Vec::new();
        for (label, value) in labels.rest() {
            let is_name = name(&label) == label;
            match value.text().filter(|_| is_name) {
                Some(value) => written.push(format!("{label}: {}", string(&value))),
                None => {
                    value
                        .place
                        .note("it is not carried over: a label's name has letters, digits, `-` and `_` here");
                    return None;
                }
            }
        }
        Some(match written.as_slice() {
            [] => Self::Namespace(namespace),
            labels => Self::Workload(format!("workload {namespace} {{ {} }}", labels.join(", "))),
        })
    }

    /// As it stands behind `on`.
    fn written(&self) -> String {
        match self {
            Self::Mesh => "mesh".to_owned(),
            Self::Namespace(namespace) => format!("namespace {namespace}"),
            Self::Service(service) => format!("service {service}"),
            Self::Workload(workload) => workload.clone(),
        }
    }

    /// As callers stand behind `from`; `None` for everyone.
    fn callers(&self) -> Option<Vec<super::matching::Caller>> {
        use super::matching::Caller;
        match self {
            Self::Mesh => Some(Vec::new()),
            Self::Namespace(namespace) => Some(vec![Caller::Namespace(namespace.clone())]),
            Self::Service(service) => Some(vec![Caller::Service(service.clone())]),
            Self::Workload(_) => None,
        }
    }
}

/// A name of Kuma: `orders_shop_svc_8080` on Kubernetes, `orders` elsewhere.
fn service_name(called: &str, manifest: &Manifest) -> String {
    let parts: Vec<&str> = called.split('_').collect();
    match parts.as_slice() {
        [service_name, namespace, "svc", _] => service(namespace, service_name),
        _ => {
            let namespace = manifest.namespace.as_deref().filter(|namespace| *namespace != SYSTEM_NAMESPACE);
            service(namespace.unwrap_or(DEFAULT_NAMESPACE), called)
        }
    }
}

/// The entries of a list such as `to`: whom each is about, and what it says.
fn entries<'a>(spec: &mut Fields<'a>, list: &str, manifest: &Manifest) -> Vec<(Target, Fields<'a>)> {
    let mut found = Vec::new();
    for item in spec.list(list) {
        let Some(mut fields) = item.fields() else { continue };
        let Some(target) = Target::of(&mut fields, manifest) else {
            fields.ignore("default");
            continue;
        };
        if let Some(default) = fields.fields("default") {
            found.push((target, default));
        }
    }
    found
}

/// Says that what callers do cannot be told from their own labels.
fn note_workload(target: &Target, place: &super::fields::Place<'_>) {
    if let Target::Workload(_) = target {
        place.note("it is not carried over: statements of callers' sidecars are not for labels of workloads");
    }
}
