//! A sidecar that is shut out is refused everywhere within seconds; with a good token it may come back as a new one.

use crate::command_line::transcript::CHANCERY;
use chancery_tests::mesh::stranger::{self, Certificate};
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const POLICY: &str = "auth orders on service shop/orders {\n  all: allow GET from service shop/frontend\n}\n";

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

    let evicted = mesh.run(&["proxies", "evict", &frontend.id()]).await.unwrap();
    let said = String::from_utf8_lossy(&evicted.stdout);
    assert_eq!(said, "proxy shop/frontend/frontend evicted\n", "{evicted:?}");
    let begun = Instant::now();
    while ask().await.is_ok() {
        assert!(begun.elapsed() < REFUSED_WITHIN, "its certificate is still good");
        sleep(LOOK_AGAIN).await;
    }

    // Its token is still good: it joins anew, with a certificate that nobody has revoked.
    let begun = Instant::now();
    while !frontend.ask(&orders, &request).await.is_ok_and(|answer| answer.status == 200) {
        assert!(begun.elapsed() < PATIENCE, "it does not come back");
        sleep(LOOK_AGAIN).await;
    }
    assert!(ask().await.is_err(), "the old certificate stays revoked");
    let audit = mesh.run(&["get", "audit", "--json-lines"]).await.unwrap();
    let audit = String::from_utf8_lossy(&audit.stdout);
    assert!(audit.lines().any(|line| line.contains("evicted/shop/frontend/frontend/0")), "{audit}");
}
