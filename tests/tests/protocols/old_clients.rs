//! Clients of HTTP/1.0.

use super::Pair;
use super::script::{Scripted, Talker};
use chancery_tests::mesh::wire::Answer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_http_1_0_are_answered() {
    let pair = Pair::start(None).await;
    pair.mesh
        .apply(
            r#"auth orders on service shop/orders {
                 named: allow GET /named when request.host == "other.test"
                 rest:  allow GET / when request.host == "orders.shop"
               }"#,
        )
        .await
        .unwrap();
    let ask = async |request: &str| {
        let mut talker = Talker::connect(pair.outbound()).await;
        talker.say(request).await.unwrap();
        let answer = talker.rest().await;
        assert!(answer.starts_with("HTTP/1.0 ") && !answer.contains("transfer-encoding"), "{answer}");
        let answer = answer.replacen("HTTP/1.0", "HTTP/1.1", 1);
        Answer::read_from(answer.as_bytes()).await.unwrap()
    };
    // Who names no host asks for the service that it has called.
    let answer = ask("GET / HTTP/1.0\n\n").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.asked()["headers"]["host"][0], "orders.shop");
    assert_eq!(ask("GET /named HTTP/1.0\nHost: other.test\n\n").await.status, 200);
    assert_eq!(ask("GET /named HTTP/1.0\n\n").await.status, 403);
    assert_eq!(pair.rules(3).await, ["orders/rest", "orders/named", "default-deny"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_http_1_0_get_no_chunks() {
    let application = Scripted::start(async |mut talker: Talker| {
        while talker.head().await.is_some() {
            talker.say("HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n").await?;
            talker.say_chunk(b"hello").await?;
            talker.say("0\nx-sum: 1\n\n").await?;
        }
        Some(())
    })
    .await;
    let pair = Pair::start(application.name()).await;
    let mut client = Talker::connect(pair.outbound()).await;
    client.say("GET / HTTP/1.0\n\n").await.unwrap();
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.0 200 ") && answer.ends_with("\r\n\r\nhello"), "{answer}");
}
