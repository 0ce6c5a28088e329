//! Who calls is what the verified certificate says, whatever else a client says.

use super::{Shop, check, row};
use chancery_tests::mesh::stranger::{self, Certificate};
use chancery_tests::mesh::wire::Request;

const POLICY: &str = r#"
auth orders on service shop/orders {
  read:   allow GET /orders/** from service shop/frontend
  paid:   allow POST /paid from service pay/ledger
  office: allow GET /office from ip 203.0.113.0/24
  secure: allow GET /secure when request.scheme == "https" && source.mtls
  otherwise deny respond 403 "not for you"
}
"#;

const LEDGER: &str = "spiffe://chancery.local/ns/pay/sa/ledger";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_are_known_by_their_certificates_and_by_nothing_that_a_client_says() {
    let shop = Shop::start().await;
    shop.mesh.apply(POLICY).await.unwrap();
    let Shop { frontend, orders, ledger, .. } = &shop;

    let get = |path: &str| Request::get(path);
    let paid = || Request::new("POST", "/paid");
    let forged = [
        (
            "x-forwarded-client-cert",
            "By=spiffe://x;Hash=0;Subject=\"\";URI=spiffe://chancery.local/ns/pay/sa/ledger",
        ),
        ("x-spiffe-id", LEDGER),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-real-ip", "203.0.113.7"),
        ("x-envoy-external-address", "203.0.113.7"),
        ("forwarded", "for=203.0.113.7"),
        ("x-envoy-internal", "true"),
        ("x-source-service", "pay/ledger"),
    ];
    let by_frontend = check(
        frontend,
        orders,
        &[
            row(get("/orders/7"), 200, "orders/read"),
            row(get("/secure"), 200, "orders/secure"),
            row(paid(), 403, "orders/otherwise"),
            row(paid().headers(&forged), 403, "orders/otherwise"),
            row(get("/office"), 403, "orders/otherwise"),
            row(get("/office").headers(&forged), 403, "orders/otherwise"),
            row(get("/orders/7").headers(&forged), 200, "orders/read"),
        ],
    )
    .await;
    check(ledger, orders, &[row(paid(), 200, "orders/paid"), row(get("/orders/7"), 403, "orders/otherwise")])
        .await;
    assert_eq!(by_frontend[2].body, "not for you");

    // The application is told the verified caller and no other, and not where it claims to be.
    let asked = by_frontend.last().unwrap().asked();
    let told = asked.pointer("/headers/x-forwarded-client-cert/0").unwrap().as_str().unwrap();
    assert!(told.contains("URI=spiffe://chancery.local/ns/shop/sa/frontend"), "{asked:#}");
    assert!(!asked["headers"]["x-forwarded-client-cert"].to_string().contains(LEDGER), "{asked:#}");
    // The log too names the verified caller.
    let entry = orders.entries().into_iter().next().unwrap();
    assert_eq!(entry["principal"], "spiffe://chancery.local/ns/shop/sa/frontend");

    // The same through the sidecar of the caller, whose application may say what it likes.
    for (request, status) in [(get("/orders/7"), 200), (paid().headers(&forged), 403)] {
        assert_eq!(frontend.call("shop/orders", &request).await.unwrap().status, status);
    }
    assert_eq!(ledger.call("shop/orders", &paid()).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_talks_to_a_service_without_a_certificate_of_the_mesh() {
    let shop = Shop::start().await;
    // Without a policy everyone in the mesh may ask, and still nobody else.
    let Shop { frontend, orders, .. } = &shop;
    let inbound = orders.inbound().unwrap();
    let request = Request::get("/orders/7");
    assert_eq!(frontend.ask(orders, &request).await.unwrap().status, 200);
    let served = orders.stat("http.inbound.downstream_rq_total").await.unwrap();

    let plainly = stranger::ask_plainly(inbound, &request).await;
    assert!(plainly.is_err(), "{plainly:?}");
    let nameless = stranger::ask(inbound, None, &request).await;
    assert!(nameless.is_err(), "{nameless:?}");
    let foreign = Certificate::foreign("spiffe://chancery.local/ns/shop/sa/frontend").unwrap();
    let foreigner = stranger::ask(inbound, Some(&foreign), &request).await;
    assert!(foreigner.is_err(), "{foreigner:?}");
    // The right chain without its key is worth nothing.
    let thief = Certificate {
        chain_pem: frontend.identity().unwrap().certificate_pem + &foreign.chain_pem,
        key_pem: foreign.key_pem.clone(),
    };
    assert!(stranger::ask(inbound, Some(&thief), &request).await.is_err());

    assert_eq!(orders.stat("ssl.fail_verify_no_cert").await.unwrap(), 1);
    assert_eq!(orders.stat("ssl.fail_verify_error").await.unwrap(), 1);
    assert_eq!(orders.stat("http.inbound.downstream_rq_total").await.unwrap(), served);
    assert_eq!(frontend.ask(orders, &request).await.unwrap().status, 200);
}
