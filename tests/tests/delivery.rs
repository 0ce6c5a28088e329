//! Delivery over delta ADS to a real Envoy, with snapshots made by hand.
//!
//! One Envoy plays both sides: its outbound listener leads through mTLS to its own inbound listener,
//! which has the policy, and from there to a small application.

mod application;
mod modules;
mod proxy;

use chancery_control::delivery::envoy::ConnectionLife;
use chancery_control::delivery::envoy::{evicted, extension};
use chancery_control::delivery::reconcile::{Reconciler, Tools};
use chancery_control::delivery::snapshot::ResourceType;
use chancery_control::mesh::identity::evictions::EVICTIONS_MAX;
use chancery_control::mesh::model::Revision;
use chancery_control::policies::programs::Programs;
use chancery_policy_lang::log::LogKey;
use modules::{answering, garbage, silent};
use proxy::Proxy;
use reqwest::StatusCode;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_is_swapped_and_a_bad_one_leaves_the_old_one_in_force() {
    let proxy = Proxy::start().await;

    proxy.give(1, proxy.resources(extension::unrestricted()));
    proxy.until(|status| status.applied == Some(Revision(1))).await;
    proxy.get_until("/", StatusCode::OK).await;

    let deny = extension::policy(&answering(403), LogKey::default());
    proxy.give(2, proxy.resources(deny.clone()));
    proxy.until(|status| status.applied == Some(Revision(2))).await;
    proxy.get_until("/", StatusCode::FORBIDDEN).await;

    // Refused; the status says what and why, and the old policy goes on.
    proxy.give(3, proxy.resources(extension::policy(&garbage(), LogKey::default())));
    let status = proxy.until(|status| !status.refused.is_empty()).await;
    let refused = status.refused.first().unwrap();
    assert_eq!(refused.name, "writ-inbound");
    assert_eq!(refused.policies.to_vec(), ["garbage".to_owned()]);
    assert!(refused.message.contains("Unable to create Wasm plugin writ-inbound/"), "{}", refused.message);
    proxy.until_admin("/config_dump?resource=ecds_filters", |dump| dump.contains(&deny.version)).await;
    assert_eq!(status.applied, Some(Revision(2)));
    assert_eq!(proxy.get("/").await.unwrap(), StatusCode::FORBIDDEN);

    // A later revision with the same bad policy is not tried again.
    proxy.give(4, proxy.resources(extension::policy(&garbage(), LogKey::default())));
    let status = proxy.until(|status| status.offered == Revision(4)).await;
    assert_eq!((status.applied, status.refused.len()), (Some(Revision(2)), 1));

    // Forward to a good one, and back to an earlier one.
    proxy.give(5, proxy.resources(extension::policy(&silent(), LogKey::default())));
    proxy.until(|status| status.applied == Some(Revision(5))).await;
    proxy.get_until("/", StatusCode::OK).await;
    proxy.give(6, proxy.resources(deny));
    let status = proxy.until(|status| status.applied == Some(Revision(6))).await;
    assert_eq!(status.refused, []);
    proxy.get_until("/", StatusCode::FORBIDDEN).await;

    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_and_clusters_come_and_go() {
    let proxy = Proxy::start().await;

    proxy.give(1, proxy.resources(extension::unrestricted()));
    proxy.until(|status| status.applied == Some(Revision(1))).await;
    proxy.get_until("/", StatusCode::OK).await;

    // Without the outbound nothing listens there; the rest stays.
    proxy.give(2, proxy.inbound_resources(extension::unrestricted()));
    proxy.until(|status| status.applied == Some(Revision(2))).await;
    proxy.until_admin("/clusters", |clusters| !clusters.contains("mesh/shop/orders")).await;
    proxy.until_closed().await;

    // And back.
    proxy.give(3, proxy.resources(extension::unrestricted()));
    proxy.until(|status| status.applied == Some(Revision(3))).await;
    proxy.get_until("/", StatusCode::OK).await;

    // A changed cluster is warm as soon as it has its endpoints, which it does not ask for again.
    let begun = std::time::Instant::now();
    proxy.give(4, proxy.resources_with_other_trust_domain_upstream());
    proxy.until(|status| status.applied == Some(Revision(4))).await;
    proxy.get_until("/", StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(begun.elapsed().as_secs() < 10, "warming took {:?}", begun.elapsed());

    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_policy_goes_away_everything_is_denied() {
    let proxy = Proxy::start().await;
    let mut resources = proxy.resources(extension::unrestricted());
    proxy.give(1, resources.clone());
    proxy.until(|status| status.applied == Some(Revision(1))).await;
    proxy.get_until("/", StatusCode::OK).await;
    resources.retain(|resource| resource.kind != ResourceType::Extension);
    proxy.give(2, resources);
    proxy.until(|status| status.applied == Some(Revision(2))).await;
    proxy.get_until("/", StatusCode::FORBIDDEN).await;
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_most_evictions_are_taken_and_shut_out_nobody_else() {
    let proxy = Proxy::start().await;
    let serials: Vec<_> = (0..EVICTIONS_MAX as u128)
        .map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes())
        .collect();
    let most = evicted::resource(&serials);
    let mut resources = proxy.resources(extension::unrestricted());
    resources.retain(|resource| resource.name != most.name);
    resources.push(most);
    proxy.give(1, resources);
    proxy.until(|status| status.applied == Some(Revision(1))).await;
    proxy.get_until("/", StatusCode::OK).await;
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_comes_back_is_sent_only_what_it_lacks() {
    let mut proxy = Proxy::start().await;
    proxy.give(1, proxy.resources(extension::policy(&answering(403), LogKey::default())));
    proxy.until(|status| status.applied == Some(Revision(1))).await;
    proxy.get_until("/", StatusCode::FORBIDDEN).await;

    // With the control plane gone, all goes on.
    proxy.stop_control_plane().await;
    assert_eq!(proxy.get("/").await.unwrap(), StatusCode::FORBIDDEN);

    proxy.start_control_plane(2, proxy.resources(extension::policy(&silent(), LogKey::default()))).await;
    proxy.until(|status| status.applied == Some(Revision(2))).await;
    proxy.get_until("/", StatusCode::OK).await;
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_refused_is_known_after_a_restart_of_the_control_plane() {
    let mut proxy = Proxy::start().await;
    proxy.give(1, proxy.resources(extension::policy(&answering(403), LogKey::default())));
    proxy.until(|status| status.applied == Some(Revision(1))).await;
    proxy.give(2, proxy.resources(extension::policy(&garbage(), LogKey::default())));
    proxy.until(|status| !status.refused.is_empty()).await;
    proxy.stop_control_plane().await;

    // Sent again, it would be acknowledged.
    proxy.start_control_plane(3, proxy.resources(extension::policy(&garbage(), LogKey::default()))).await;
    let status = proxy.until(|status| status.offered == Revision(3)).await;
    assert_eq!((status.applied, status.refused.len()), (None, 1));
    proxy.give(4, proxy.resources(extension::policy(&silent(), LogKey::default())));
    let status = proxy.until(|status| status.applied == Some(Revision(4))).await;
    assert_eq!(status.refused, []);
    proxy.get_until("/", StatusCode::OK).await;
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_become_the_decisions_of_the_proxy() {
    let proxy = Proxy::start().await;
    let mut reconciler = Reconciler::new(Tools {
        in_force: Arc::default(),
        life: ConnectionLife::default(),
        programs: Arc::new(Programs::new().unwrap()),
        evicted: watch::channel(Arc::default()).1,
        log_key: LogKey::default(),
        stop: CancellationToken::new(),
    });
    let mut apply = |revision, text: &str| {
        proxy.give_fleet(&reconciler.take_in(&Arc::new(proxy.desired(revision, text))))
    };
    apply(
        1,
        "auth orders on service shop/orders {
             read: allow GET /api/** from service shop/orders
             no-secrets: deny GET /api/secret/** from anyone
         }",
    );
    proxy.until(|status| status.applied == Some(Revision(1))).await;
    proxy.get_until("/api/items", StatusCode::OK).await;
    assert_eq!(proxy.get("/api/secret/7").await.unwrap(), StatusCode::FORBIDDEN);
    assert_eq!(proxy.get("/other").await.unwrap(), StatusCode::FORBIDDEN);
    assert_eq!(proxy.get("/api/a%2fb").await.unwrap(), StatusCode::BAD_REQUEST);
    // The outbound side refused the escaped slash: seven lines, three of them inbound.
    let log = proxy.access_log(7).await;
    let inbound = log.iter().filter(|line| line["direction"] == "inbound");
    let rules: Vec<_> = inbound.map(|line| line.get("rule").and_then(|rule| rule.as_str())).collect();
    assert_eq!(rules, [Some("orders/read"), Some("orders/no-secrets"), Some("default-deny")]);
    let first = log.iter().find(|line| line["direction"] == "inbound").unwrap();
    assert_eq!(first["principal"], "spiffe://mesh.test/ns/shop/sa/orders");
    assert_eq!(
        (&first["method"], &first["path"], &first["code"]),
        (&"GET".into(), &"/api/items".into(), &200.into())
    );

    apply(2, "auth orders on service shop/orders { otherwise allow }");
    proxy.until(|status| status.applied == Some(Revision(2))).await;
    proxy.get_until("/other", StatusCode::OK).await;
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_cannot_be_bound_is_named_and_the_others_are_taken() {
    let proxy = Proxy::start().await;
    let taken = std::net::TcpListener::bind(proxy.outbound()).unwrap();
    proxy.give(1, proxy.resources(extension::unrestricted()));
    let status = proxy.until(|status| !status.refused.is_empty()).await;
    proxy.until_admin("/listeners", |listeners| listeners.contains("inbound::")).await;
    let refused = status.refused.first().unwrap();
    assert_eq!((refused.kind, refused.name.as_str()), (ResourceType::Listener, "outbound/shop/orders"));
    assert!(refused.message.contains("Address already in use"), "{}", refused.message);
    assert_eq!(status.refused.len(), 1);
    // What it cannot listen at keeps no policy from being in force.
    proxy.until(|status| status.applied == Some(Revision(1))).await;
    drop(taken);
    proxy.stop().await;
}
