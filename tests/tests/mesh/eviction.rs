//! A sidecar that is shut out is refused everywhere within seconds; with a good token it may come back as a new one.

use crate::command_line::transcript::CHANCERY;
use chancery_tests::mesh::stranger::{self, Certificate};
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const POLICY: &str = "auth orders on service shop/orders {
  all: allow GET from service shop/frontend
  own: allow GET from service shop/orders
}
";

/// Within what time every Envoy refuses the certificate; far more than it takes.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_of_an_evicted_sidecar_is_refused_by_every_envoy() {
    let mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
    let members = ["frontend", "orders"].map(|name| Member::new(&format!("shop/{name}"), name).unwrap());
    let [frontend, orders] = mesh.join(members).await.unwrap();
    mesh.apply(POLICY).await.unwrap();
    let stolen = frontend.identity().unwrap();
    let stolen = Certificate { chain_pem: stolen.certificate_pem, key_pem: stolen.key_pem };
    let to = orders.inbound().unwrap();
    let request = Request::get("/orders/7");
    let ask = async || stranger::ask(to, Some(&stolen), &request).await;
    assert_eq!(ask().await.unwrap().status, 200);
    let other = orders.identity().unwrap();
    let other = Certificate { chain_pem: other.certificate_pem, key_pem: other.key_pem };
    let mut opened = stranger::connect_h2(to, &stolen).await.unwrap();
    let mut of_another = stranger::connect_h2(to, &other).await.unwrap();
    assert_eq!(opened.get("/orders/7").await.unwrap(), 200);
    assert_eq!(of_another.get("/orders/7").await.unwrap(), 200);
    let envoy = frontend.envoy().unwrap();

    let evicted = mesh.run(&["proxies", "evict", &frontend.id()]).await.unwrap();
    let said = String::from_utf8_lossy(&evicted.stdout);
    assert_eq!(said, "proxy shop/frontend/frontend evicted\n", "{evicted:?}");
    let begun = Instant::now();
    while ask().await.is_ok() {
        assert!(begun.elapsed() < REFUSED_WITHIN, "its certificate is still good");
        sleep(LOOK_AGAIN).await;
    }
    // On a connection that is open, TLS looks at nothing any more.
    while opened.get("/orders/7").await.unwrap() == 200 {
        assert!(begun.elapsed() < REFUSED_WITHIN, "its connection is still good");
        sleep(LOOK_AGAIN).await;
    }
    let is_evicted = |entry: &Value| entry["details"].as_str().is_some_and(|of| of.contains("evicted"));
    while !orders.entries().iter().any(is_evicted) {
        assert!(begun.elapsed() < PATIENCE, "the log does not say why");
        sleep(LOOK_AGAIN).await;
    }

    // Its token is still good: it joins anew, with a certificate that nobody has revoked.
    let begun = Instant::now();
    while !frontend.ask(&orders, &request).await.is_ok_and(|answer| answer.status == 200) {
        assert!(begun.elapsed() < PATIENCE, "it does not come back");
        sleep(LOOK_AGAIN).await;
    }
    assert!(ask().await.is_err(), "the old certificate stays revoked");
    assert_eq!(opened.get("/orders/7").await.unwrap(), 403, "and so do the connections that it opened");
    assert_eq!(of_another.get("/orders/7").await.unwrap(), 200, "who was not evicted keeps its connection");
    assert_ne!(frontend.envoy().unwrap(), envoy, "its own connections are new ones");
    let audit = mesh.run(&["get", "audit", "--json-lines"]).await.unwrap();
    let audit = String::from_utf8_lossy(&audit.stdout);
    assert!(audit.lines().any(|line| line.contains("evicted/shop/frontend/frontend/0")), "{audit}");
}
