//! `/metrics`: how the mesh is, as Prometheus reads it. Whoever may read may scrape, with a reader's token.
//!
//! Labels are names of services and words of this file alone, so that there are as many series as services, whatever happens.

use super::Api;
use super::proxies::proxies;
use super::types::{ProxyBody, ReadinessState};
use crate::mesh::model::Phase;
use crate::mesh::store::Health;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The form in which Prometheus reads metrics.
const METRICS_TYPE: &str = "text/plain; version=0.0.4";
/// Services that have series of their own; those beyond, by name, are summed up in the series of `_other/_other`.
const SERVICES_MAX: usize = 1000;
/// The service that stands for those beyond the limit; no service can be called so.
const OTHERS: &str = "_other/_other";

/// How many sidecars of a service are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sidecars {
    registered: u64,
    connected: u64,
    ready: u64,
    behind: u64,
    refusing: u64,
}

/// All metrics.
pub(super) async fn metrics(State(api): State<Api>) -> ([(HeaderName, &'static str); 1], String) {
    let desired = api.store.watch().borrow().clone();
    let is_writable = !matches!(&*api.store.health().borrow(), Health::Failing { .. });
    let built = api.fleet.revision().map_or(0, |revision| revision.0);
    let (running, undone) = match desired.rollout.as_ref().map(|rollout| &rollout.phase) {
        Some(Phase::Running | Phase::Paused) => (1, 0),
        Some(Phase::Undone { .. }) => (0, 1),
        _ => (0, 0),
    };
    let mut text = String::new();
    let version = env!("CARGO_PKG_VERSION");
    gauge(&mut text, "build_info", "The version that runs.", &[(format!("version=\"{version}\""), 1)]);
    for (name, help, value) in [
        ("revision", "The newest revision of the policies.", desired.revision.0),
        ("revision_built", "The revision that the configurations of sidecars were made of.", built),
        ("policies", "Policies in force.", desired.policies.len() as u64),
        ("filters", "Versions of filters that can be used.", desired.filters.len() as u64),
        ("store_writable", "Whether changes are taken.", u64::from(is_writable)),
        ("rollout_running", "Whether a revision is on its way in stages.", running),
        ("rollout_undone", "Whether the newest rollout was taken back.", undone),
    ] {
        gauge(&mut text, name, help, &[(String::new(), value)]);
    }
    services(&mut text, &count(&proxies(&api), desired.revision.0));
    ([(CONTENT_TYPE, METRICS_TYPE)], text)
}

fn count(proxies: &[ProxyBody], revision: u64) -> BTreeMap<String, Sidecars> {
    let mut services: BTreeMap<String, Sidecars> = BTreeMap::new();
    for proxy in proxies {
        let is_known = services.contains_key(&proxy.service);
        let name = if is_known || services.len() < SERVICES_MAX { proxy.service.as_str() } else { OTHERS };
        let of = services.entry(name.to_owned()).or_default();
        let is_ready =
            proxy.readiness.as_ref().is_some_and(|readiness| readiness.state == ReadinessState::Ready);
        of.registered += 1;
        of.connected += u64::from(proxy.connected);
        of.ready += u64::from(proxy.connected && is_ready);
        of.behind += u64::from(proxy.connected && proxy.revision < Some(revision));
        of.refusing += u64::from(!proxy.rejections.is_empty() || !proxy.problems.is_empty());
    }
    services
}

/// A number of a service's sidecars.
type Of = fn(&Sidecars) -> u64;

fn services(text: &mut String, services: &BTreeMap<String, Sidecars>) {
    let of: [(&str, &str, Of); 5] = [
        ("sidecars_registered", "Sidecars that joined and have not left.", |of| of.registered),
        ("sidecars_connected", "Those of them that have a stream.", |of| of.connected),
        ("sidecars_ready", "Those that are connected and get requests.", |of| of.ready),
        (
            "sidecars_behind",
            "Those that are connected and have not acknowledged the newest revision.",
            |of| of.behind,
        ),
        ("sidecars_refusing", "Those that refuse a part of it, or cannot be given it.", |of| of.refusing),
    ];
    for (name, help, value) in of {
        let series = services.iter().map(|(service, of)| {
            let (namespace, service) = service.split_once('/').unwrap_or(("", service));
            (format!("namespace=\"{namespace}\",service=\"{service}\""), value(of))
        });
        gauge(text, name, help, &series.collect::<Vec<_>>());
    }
}

/// Writing to a string does not fail. Neither names of services nor versions have anything to escape.
fn gauge(text: &mut String, name: &str, help: &str, series: &[(String, u64)]) {
    let _ = write!(text, "# HELP chancery_{name} {help}\n# TYPE chancery_{name} gauge\n");
    for (labels, value) in series {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(text, "chancery_{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::api::types::ReadinessBody;

    fn proxy(service: &str, instance: usize) -> ProxyBody {
        ProxyBody {
            id: format!("{service}/{instance}"),
            service: service.to_owned(),
            labels: BTreeMap::new(),
            inbound: None,
            outbounds: Vec::new(),
            connected: true,
            revision: Some(3),
            offered: Some(3),
            rejections: Vec::new(),
            readiness: Some(ReadinessBody { state: ReadinessState::Ready, since: None, reason: None }),
            problems: Vec::new(),
        }
    }

    #[test]
    fn services_that_differ_have_series_that_differ() {
        let away = ProxyBody { connected: false, ..proxy("a-b/c", 2) };
        let behind = ProxyBody { revision: Some(2), problems: vec!["no".to_owned()], ..proxy("a/b-c", 1) };
        let counted = count(&[proxy("a-b/c", 1), away, behind], 3);
        let expected = Sidecars { registered: 2, connected: 1, ready: 1, behind: 0, refusing: 0 };
        assert_eq!(counted.get("a-b/c"), Some(&expected));
        let mut text = String::new();
        services(&mut text, &counted);
        for line in [
            "# TYPE chancery_sidecars_connected gauge\n",
            "chancery_sidecars_connected{namespace=\"a-b\",service=\"c\"} 1\n",
            "chancery_sidecars_behind{namespace=\"a\",service=\"b-c\"} 1\n",
            "chancery_sidecars_refusing{namespace=\"a\",service=\"b-c\"} 1\n",
        ] {
            assert!(text.contains(line), "no {line} in {text}");
        }
    }

    #[test]
    fn there_are_no_more_series_than_named() {
        let many: Vec<ProxyBody> =
            (0..SERVICES_MAX + 7).map(|number| proxy(&format!("a/{number}"), 0)).collect();
        let counted = count(&many, 3);
        assert_eq!(counted.len(), SERVICES_MAX + 1);
        assert_eq!(counted.get(OTHERS).map(|others| others.registered), Some(7));
    }
}
