//! A dry run with sidecars connected says whom it would concern, and nobody hears of it.

use super::Shop;
use chancery_control::server::api::types::{ApplyOutcome, ApplyResponse};
use chancery_tests::mesh::Sidecar;
use chancery_tests::mesh::wire::Request;
use std::time::Duration;
use tokio::time::sleep;

/// How long it is watched that nothing is delivered; a change takes a fraction of it.
const WATCHED: Duration = Duration::from_secs(2);

const BEFORE: &str = "auth orders on service shop/orders {\n  read: allow GET\n}\n";
const AFTER: &str = "auth orders on service shop/orders {\n  read: allow GET, POST\n}\n";

/// How often the Envoy of a sidecar was given a policy.
async fn deliveries(sidecar: &Sidecar) -> u64 {
    sidecar.stat("extension_config_discovery.http_filter.writ-inbound.config_reload").await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_says_whom_it_concerns_and_delivers_nothing() {
    let shop = Shop::start().await;
    let file = shop.mesh.folder().join("orders.writ");
    let file = file.to_str().unwrap();
    let apply = async |text: &str, options: &[&str]| {
        std::fs::write(file, text).unwrap();
        let arguments = [&["apply", "-f", file, "-o", "json"][..], options].concat();
        let output = shop.mesh.run(&arguments).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        // Behind it stands what was waited for.
        let mut values = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<ApplyResponse>();
        values.next().unwrap().unwrap()
    };
    let call = async |method: &str| {
        shop.frontend.call("shop/orders", &Request::new(method, "/x")).await.unwrap().status
    };
    let first = apply(BEFORE, &["--wait"]).await;
    let sidecars = [&shop.frontend, &shop.orders, &shop.orders_2, &shop.ledger];
    let mut before = Vec::new();
    for sidecar in sidecars {
        before.push(deliveries(sidecar).await);
    }

    let dry = apply(AFTER, &["--dry-run"]).await;
    assert!(dry.dry_run && dry.revision == first.revision, "{dry:#?}");
    assert_eq!(dry.sidecars, ["shop/orders/orders-1", "shop/orders/orders-2"]);
    let [policy] = dry.policies.as_slice() else { unreachable!("{dry:#?}") };
    assert_eq!(policy.outcome, ApplyOutcome::Changed);
    let [document] = dry.documents.as_slice() else { unreachable!("{dry:#?}") };
    assert!(document.unified.contains("-  read: allow GET\n+  read: allow GET, POST\n"), "{dry:#?}");

    sleep(WATCHED).await;
    let status = shop.mesh.status(None).await.unwrap();
    assert_eq!((status.revision, status.on_revision), (first.revision, 4));
    for (sidecar, before) in sidecars.into_iter().zip(&before) {
        assert_eq!(deliveries(sidecar).await, *before, "{}", sidecar.id());
    }
    assert_eq!((call("GET").await, call("POST").await), (200, 403));

    // What is applied is what was said.
    let applied = apply(AFTER, &["--wait"]).await;
    assert_eq!((applied.revision, applied.sidecars), (first.revision + 1, dry.sidecars));
    let mut changed = Vec::new();
    for (sidecar, before) in sidecars.into_iter().zip(before) {
        if deliveries(sidecar).await > before {
            changed.push(sidecar.id());
        }
    }
    assert_eq!(changed, ["shop/orders/orders-1", "shop/orders/orders-2"]);
    sleep(Duration::from_millis(200)).await;
    assert_eq!((call("GET").await, call("POST").await), (200, 200));
}
