//! The filter natively, as several workers of one proxy.

use chancery_sdk::testing::{Exchange, Plugin};
use once::Once;

const CONFIG: &str = r#"{"remember_seconds": 60}"#;

fn begin<'a>(plugin: &'a Plugin<Once>, key: &str) -> (Exchange<'a, Once>, Option<u16>) {
    let mut exchange = plugin.exchange();
    let status = exchange.request(&[(":method", "POST"), ("idempotency-key", key)], "").status();
    (exchange, status)
}

#[test]
fn a_key_is_taken_by_one_request_of_all_workers() {
    let one = Plugin::<Once>::start(CONFIG).unwrap();
    let other = one.start_beside(CONFIG).unwrap();
    let (mut first, status) = begin(&one, "a");
    assert_eq!(status, None);
    assert_eq!(begin(&other, "a").1, Some(409), "it is under way");
    assert_eq!(begin(&other, "b").1, None);
    first.response(&[(":status", "201")], "");
    assert_eq!(begin(&one, "a").1, Some(409), "it was done");
    assert_eq!((one.metric("once.repeated"), other.metric("once.repeated")), (1, 1));
    one.set_unix_seconds(61);
    assert_eq!(begin(&one, "a").1, None, "it is forgotten");
}

#[test]
fn what_failed_may_be_tried_again() {
    let plugin = Plugin::<Once>::start(CONFIG).unwrap();
    let (mut first, _) = begin(&plugin, "a");
    first.response(&[(":status", "503")], "");
    assert_eq!(begin(&plugin, "a").1, None);
    let (mut refused, status) = begin(&plugin, "a");
    assert_eq!(status, Some(409));
    refused.response(&[(":status", "500")], "");
    assert_eq!(begin(&plugin, "a").1, Some(409), "who was refused frees nothing");
}

#[test]
fn a_key_is_one_and_not_long() {
    let plugin = Plugin::<Once>::start(r#"{"remember_seconds": 60, "required": true}"#).unwrap();
    let status = |headers: &[(&str, &str)]| plugin.exchange().request(headers, "").status();
    assert_eq!(status(&[(":method", "POST")]), Some(400));
    assert_eq!(status(&[(":method", "GET")]), None);
    assert_eq!(status(&[(":method", "GET"), ("idempotency-key", "a"), ("idempotency-key", "b")]), Some(400));
    assert_eq!(begin(&plugin, &"x".repeat(129)).1, Some(400));
    assert_eq!(begin(&plugin, &"x".repeat(128)).1, None);
}

#[test]
fn where_all_slots_of_a_key_are_taken_it_is_told_to_wait() {
    let plugin = Plugin::<Once>::start(CONFIG).unwrap();
    let statuses: Vec<_> = (0..20_000).map(|number| begin(&plugin, &number.to_string()).1).collect();
    let first = statuses.iter().filter(|status| status.is_none()).count();
    assert!((7_000..=8_192).contains(&first), "{first}");
    assert!(statuses.iter().all(|status| matches!(status, None | Some(503))));
}
