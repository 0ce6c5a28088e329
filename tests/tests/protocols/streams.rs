//! Answers that go on for long: events that are pushed with long pauses between them.

use super::Pair;
use super::script::{Scripted, Talker};
use chancery_tests::mesh::Sidecar;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a stream may be quiet in a test.
const IDLE: Duration = Duration::from_secs(2);
/// A pause that is shorter, and one that is longer.
const SHORT_PAUSE: Duration = Duration::from_millis(1200);
const LONG_PAUSE: Duration = Duration::from_secs(20);

/// An application that pushes an event after each pause of so many milliseconds that the query names.
async fn events() -> Scripted {
    Scripted::start(async |mut talker: Talker| {
        let head = talker.head().await?;
        let pauses = head.split_once('?')?.1.split(' ').next()?.to_owned();
        talker
            .say("HTTP/1.1 200 OK\ncontent-type: text/event-stream\ntransfer-encoding: chunked\n\n")
            .await?;
        for pause in pauses.split(',') {
            sleep(Duration::from_millis(pause.parse().ok()?)).await;
            talker.say_chunk(format!("data: {pause}\n\n").as_bytes()).await?;
        }
        talker.say("0\n\n").await
    })
    .await
}

async fn ask(pair: &Pair, pauses: &[Duration]) -> Talker {
    let pauses = pauses.iter().map(|pause| pause.as_millis().to_string()).collect::<Vec<_>>().join(",");
    let mut client = Talker::connect(pair.outbound()).await;
    client.say(&format!("GET /events?{pauses} HTTP/1.1\nhost: shop.test\n\n")).await.unwrap();
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200 "));
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_may_be_quiet_for_as_long_as_the_operator_says() {
    let application = events().await;
    let pair = Pair::start_with(application.name(), &["--stream-idle", "2s"]).await;
    let mut client = ask(&pair, &[Duration::ZERO, SHORT_PAUSE, SHORT_PAUSE, SHORT_PAUSE]).await;
    for _ in 0..4 {
        assert!(!client.chunk().await.unwrap().is_empty(), "an event comes when it is pushed");
    }
    assert!(client.chunk().await.unwrap().is_empty());

    let mut client = ask(&pair, &[Duration::ZERO, LONG_PAUSE]).await;
    assert!(!client.chunk().await.unwrap().is_empty());
    let begun = Instant::now();
    assert_eq!(client.chunk().await, None, "it is ended");
    let took = begun.elapsed();
    assert!(took > IDLE / 2 && took < LONG_PAUSE / 2, "{took:?}");
}

/// The times for which streams may be quiet, by listener.
async fn idle(sidecar: &Sidecar) -> Vec<String> {
    let dump = sidecar.admin("/config_dump?resource=dynamic_listeners").await.unwrap();
    let dump: Value = serde_json::from_str(&dump).unwrap();
    let mut found = Vec::new();
    collect(&dump, &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("stream_idle_timeout").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_may_be_quiet_for_an_hour_or_for_ever() {
    for (options, expected) in [(&[][..], "3600s"), (&["--stream-idle", "0s"][..], "0s")] {
        let pair = Pair::start_with(None, options).await;
        assert_eq!(idle(&pair.frontend).await, [expected, expected], "in and out");
        assert_eq!(idle(&pair.orders).await, [expected]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_when_its_connection_is_too_old_for_others() {
    let application = events().await;
    // Connections are used for two seconds, and take five more for their leave.
    let pair = Pair::start_with(application.name(), &["--certificate-lifetime", "20s"]).await;
    let pauses = [Duration::from_secs(1); 12];
    let mut client = ask(&pair, &pauses).await;
    for number in 0..pauses.len() {
        assert!(client.chunk().await.is_some_and(|event| !event.is_empty()), "event {number} is missing");
    }
    assert!(client.chunk().await.unwrap().is_empty());
    // Whichever end was first to say so.
    let mut ended = 0;
    for reason in ["upstream_cx_max_duration_reached", "upstream_cx_close_notify"] {
        ended += pair.frontend.stat(&format!("cluster.mesh/shop/orders.{reason}")).await.unwrap();
    }
    assert!(ended > 0, "no connection was too old");
}
