//! The sidecars of the mesh, and the services that they are.

use super::or_none;
use crate::cli::exit::Failure;
use crate::cli::listing::{self, Item, Listing};
use crate::cli::proxies::{TITLES, row};
use crate::server::api::client::Client;
use crate::server::api::types::{ProxyBody, ProxyList, ReadinessState};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

pub(super) async fn proxies(client: &Client) -> Result<Listing, Failure> {
    let list: ProxyList = client.get("/v1/proxies").await?;
    let item = |proxy: &ProxyBody| {
        let offered = proxy.offered.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let labels: Vec<String> =
            proxy.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let application = proxy.inbound.as_ref().map(|inbound| inbound.application.to_string());
        let check = proxy.inbound.as_ref().and_then(|inbound| inbound.check.clone());
        Ok(Item {
            key: proxy.id.clone(),
            cells: (
                row(proxy),
                vec![
                    application.unwrap_or_else(|| "-".to_owned()),
                    check.unwrap_or_else(|| "-".to_owned()),
                    offered,
                    or_none(&labels),
                ],
            ),
            value: listing::tree(proxy)?,
        })
    };
    Ok(Listing {
        titles: (&TITLES, &["APPLICATION", "CHECK", "OFFERED", "LABELS"]),
        items: list.proxies.iter().map(item).collect::<Result<_, Failure>>()?,
        whole: listing::tree(&list)?,
        none: "no sidecar has joined; `chancery token --help` says how one does",
    })
}

/// A service as sidecars make it: those that offer it, and those that call it.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub(crate) struct Service {
    /// Its replicas: sidecars that were started for it.
    pub(crate) replicas: BTreeSet<String>,
    /// Those of them that get requests.
    pub(crate) ready: BTreeSet<String>,
    /// Those of them that have no stream.
    pub(crate) away: BTreeSet<String>,
    /// Services of which sidecars say that they call it.
    pub(crate) callers: BTreeSet<String>,
    /// Services that its replicas call.
    pub(crate) calls: BTreeSet<String>,
}

/// All services that sidecars name.
pub(crate) fn services_of(proxies: &[ProxyBody]) -> BTreeMap<String, Service> {
    let mut services: BTreeMap<String, Service> = BTreeMap::new();
    for proxy in proxies {
        for outbound in &proxy.outbounds {
            services.entry(outbound.service.clone()).or_default().callers.insert(proxy.service.clone());
        }
        let service = services.entry(proxy.service.clone()).or_default();
        service.calls.extend(proxy.outbounds.iter().map(|outbound| outbound.service.clone()));
        service.replicas.insert(proxy.id.clone());
        if !proxy.connected {
            service.away.insert(proxy.id.clone());
        }
        if proxy.readiness.as_ref().is_some_and(|readiness| readiness.state == ReadinessState::Ready) {
            service.ready.insert(proxy.id.clone());
        }
    }
    services
}

pub(super) async fn services(client: &Client) -> Result<Listing, Failure> {
    let list: ProxyList = client.get("/v1/proxies").await?;
    let services = services_of(&list.proxies);
    let words = |names: &BTreeSet<String>| or_none(&names.iter().cloned().collect::<Vec<_>>());
    let item = |(name, service): (&String, &Service)| {
        let counts = [&service.replicas, &service.ready, &service.away].map(|those| those.len().to_string());
        let mut cells = vec![name.clone()];
        cells.extend(counts);
        cells.push(words(&service.callers));
        Ok(Item {
            key: name.clone(),
            cells: (cells, vec![words(&service.calls), words(&service.replicas)]),
            value: listing::tree(service)?,
        })
    };
    Ok(Listing {
        titles: (&["SERVICE", "REPLICAS", "READY", "AWAY", "CALLED BY"], &["CALLS", "SIDECARS"]),
        items: services.iter().map(item).collect::<Result<_, Failure>>()?,
        whole: listing::tree(&BTreeMap::from([("services", &services)]))?,
        none: "no sidecar has joined; `chancery token --help` says how one does",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::status::tests::proxy;
    use crate::server::api::types::{OutboundBody, ReadinessBody};

    #[test]
    fn a_service_is_what_sidecars_say_of_it() {
        let ready = ReadinessBody { state: ReadinessState::Ready, since: None, reason: None };
        let calling =
            OutboundBody { service: "shop/orders".to_owned(), listen: ([127, 0, 0, 1], 7001).into() };
        let proxies = [
            ProxyBody { readiness: Some(ready), ..proxy("shop/orders/1", 12) },
            ProxyBody { connected: false, ..proxy("shop/orders/2", 11) },
            ProxyBody { service: "shop/web".to_owned(), outbounds: vec![calling], ..proxy("shop/web/1", 12) },
        ];
        let services = services_of(&proxies);
        let orders = services.get("shop/orders").map(|orders| {
            (
                orders.replicas.len(),
                orders.ready.len(),
                orders.away.len(),
                orders.callers.contains("shop/web"),
            )
        });
        assert_eq!(orders, Some((2, 1, 1, true)));
        assert_eq!(services.get("shop/web").map(|web| web.calls.len()), Some(1));
    }
}
