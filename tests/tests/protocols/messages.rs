//! What else a message of HTTP/1.1 has: interim answers, trailers, bodies of any size, too many headers; and
//! applications that end a connection.

use super::Pair;
use super::script::{Scripted, Talker};
use chancery_tests::mesh::wire::Request;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A body that nobody may keep in memory.
const LARGE_BYTES: usize = 100 * 1024 * 1024;
/// What is written and read at once.
const PIECE_BYTES: usize = 1024 * 1024;
/// By how much an Envoy may grow while such a body passes: a window of HTTP/2, and some buffers.
const ENVOY_GROWTH_MAX: u64 = 40 * 1024 * 1024;
/// How long an application waits for the next request on a connection, and a pause after which it does no more. It is what
/// the least patient of those do that are widely used, less a little.
const APPLICATION_PATIENCE: Duration = Duration::from_millis(1800);
const PAUSE: Duration = Duration::from_millis(2000);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_reach_the_client() {
    let application = Scripted::start(async |mut talker: Talker| {
        while let Some(head) = talker.head().await {
            if head.to_ascii_lowercase().contains("expect: 100-continue") {
                talker.say("HTTP/1.1 100 Continue\n\n").await?;
                talker.exactly(4).await?;
            } else {
                talker.say("HTTP/1.1 103 Early Hints\nlink: </style.css>\n\n").await?;
            }
            talker.say("HTTP/1.1 200 OK\ncontent-length: 2\n\nok").await?;
        }
        Some(())
    })
    .await;
    let pair = Pair::start(application.name()).await;
    pair.mesh
        .apply("auth orders on service shop/orders {\n  get: allow GET\n  put: allow PUT /open\n}\n")
        .await
        .unwrap();
    let mut client = Talker::connect(pair.outbound()).await;
    client.say("GET / HTTP/1.1\nhost: shop.test\n\n").await.unwrap();
    let hints = client.head().await.unwrap();
    assert!(hints.starts_with("HTTP/1.1 103 ") && hints.contains("</style.css>"), "{hints}");
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    client.exactly(2).await.unwrap();

    // It is the application that wants the body. Before that nothing of it is sent, and a denial comes instead.
    let put = |path: &str| {
        format!("PUT {path} HTTP/1.1\nhost: shop.test\nexpect: 100-continue\ncontent-length: 4\n\n")
    };
    client.say(&put("/open")).await.unwrap();
    let wanted = client.head().await.unwrap();
    assert!(wanted.starts_with("HTTP/1.1 100 "), "{wanted}");
    client.send(b"body").await.unwrap();
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut client = Talker::connect(pair.outbound()).await;
    client.say(&put("/closed")).await.unwrap();
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_pass_both_ways() {
    let application = Scripted::start(async |mut talker: Talker| {
        while talker.head().await.is_some() {
            while !talker.chunk().await?.is_empty() {}
            let trailers = talker.head().await?;
            let sum =
                trailers.lines().find_map(|line| line.strip_prefix("x-sum: ")).unwrap_or("none").to_owned();
            talker.say("HTTP/1.1 200 OK\ntransfer-encoding: chunked\ntrailer: x-echo\n\n").await?;
            talker.say_chunk(b"ok").await?;
            talker.say(&format!("0\nx-echo: {sum}\n\n")).await?;
        }
        Some(())
    })
    .await;
    let pair = Pair::start(application.name()).await;
    let mut client = Talker::connect(pair.outbound()).await;
    client
        .say("POST / HTTP/1.1\nhost: shop.test\nte: trailers\ntransfer-encoding: chunked\ntrailer: x-sum\n\n")
        .await
        .unwrap();
    client.say_chunk(b"body").await.unwrap();
    client.say("0\nx-sum: 4711\n\n").await.unwrap();
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200 "));
    while !client.chunk().await.unwrap().is_empty() {}
    assert_eq!(client.head().await.unwrap(), "x-echo: 4711\n\n");
}

/// The bytes that the Envoy of the two has allocated that has more.
async fn allocated(pair: &Pair) -> u64 {
    let mut most = 0;
    for sidecar in [&pair.frontend, &pair.orders] {
        let said: Value = serde_json::from_str(&sidecar.admin("/memory").await.unwrap()).unwrap();
        let bytes: u64 = said["allocated"].as_str().and_then(|bytes| bytes.parse().ok()).unwrap();
        most = most.max(bytes);
    }
    most
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_pass_without_being_kept() {
    // Says back each piece once it is there.
    let application = Scripted::start(async |mut talker: Talker| {
        talker.head().await?;
        talker.say(&format!("HTTP/1.1 200 OK\ncontent-length: {LARGE_BYTES}\n\n")).await?;
        for _ in 0..LARGE_BYTES / PIECE_BYTES {
            let piece = talker.exactly(PIECE_BYTES).await?;
            talker.send(&piece).await?;
        }
        Some(())
    })
    .await;
    let pair = Pair::start(application.name()).await;
    let mut client = Talker::connect(pair.outbound()).await;
    client
        .say(&format!("POST / HTTP/1.1\nhost: shop.test\ncontent-length: {LARGE_BYTES}\n\n"))
        .await
        .unwrap();
    let before = allocated(&pair).await;
    let mut allocated_max = 0;
    for number in 0..LARGE_BYTES / PIECE_BYTES {
        let piece = vec![u8::try_from(number % 251).unwrap(); PIECE_BYTES];
        client.send(&piece).await.unwrap();
        if number == 0 {
            assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200 "));
        }
        assert!(client.exactly(PIECE_BYTES).await.unwrap() == piece, "piece {number} is another one");
        if number % 10 == 9 {
            allocated_max = allocated_max.max(allocated(&pair).await);
        }
    }
    assert!(allocated_max < before + ENVOY_GROWTH_MAX, "{before} bytes grew to {allocated_max}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_answer_waits_for_a_client_that_reads_slowly() {
    let application = Scripted::start(async |mut talker: Talker| {
        talker.head().await?;
        talker.say(&format!("HTTP/1.1 200 OK\ncontent-length: {LARGE_BYTES}\n\n")).await?;
        for _ in 0..LARGE_BYTES / PIECE_BYTES {
            talker.send(&vec![7; PIECE_BYTES]).await?;
        }
        Some(())
    })
    .await;
    let pair = Pair::start(application.name()).await;
    let before = allocated(&pair).await;
    let mut client = Talker::connect(pair.outbound()).await;
    client.say("GET / HTTP/1.1\nhost: shop.test\n\n").await.unwrap();
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200 "));
    sleep(Duration::from_secs(2)).await;
    let after = allocated(&pair).await;
    assert!(after < before + ENVOY_GROWTH_MAX, "{before} bytes grew to {after}");
    for _ in 0..LARGE_BYTES / PIECE_BYTES {
        client.exactly(PIECE_BYTES).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_headers_are_answered_by_the_first_sidecar() {
    let pair = Pair::start(None).await;
    let many = (0..91).fold(Request::get("/"), |request, number| request.header(&format!("x-{number}"), "v"));
    let long = Request::get("/").header("x-long", &"v".repeat(61 * 1024));
    for request in [many, long] {
        let answer = pair.frontend.call("shop/orders", &request).await.unwrap();
        assert_eq!(answer.status, 431);
        assert_eq!(answer.body, "Request Header Fields Too Large");
    }
    assert_eq!(pair.orders.entries().len(), 0);
    assert_eq!(pair.frontend.call("shop/orders", &Request::get("/")).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_ends_idle_connections_costs_no_request() {
    // What a request meets that is sent in the moment in which the application lets go: it is read by nobody.
    let application = Scripted::start(async |mut talker: Talker| {
        let mut idle_since = None;
        while talker.head().await.is_some() {
            if idle_since.is_some_and(|since: Instant| since.elapsed() > APPLICATION_PATIENCE) {
                return None;
            }
            talker.say("HTTP/1.1 200 OK\ncontent-length: 2\n\nok").await?;
            idle_since = Some(Instant::now());
        }
        Some(())
    })
    .await;
    let pair = Pair::start(application.name()).await;
    for _ in 0..4 {
        let answer = pair.frontend.call("shop/orders", &Request::new("POST", "/")).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        sleep(PAUSE).await;
    }
}
