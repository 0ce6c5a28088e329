//! Conversations that pass by, and what stays of them.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use super::*;
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::google::rpc::Status;

const KIND: ResourceType = ResourceType::Listener;

fn response(nonce: &str, resources: &[(&str, &str)], removed: &[&str]) -> DeltaDiscoveryResponse {
    let resources = resources.iter().map(|(name, version)| discovery::Resource {
        name: (*name).to_owned(),
        version: (*version).to_owned(),
        resource: Some(Any { type_url: KIND.type_url().to_owned(), value: version.as_bytes().to_vec() }),
        ..Default::default()
    });
    DeltaDiscoveryResponse {
        nonce: nonce.to_owned(),
        resources: resources.collect(),
        removed_resources: removed.iter().map(|&name| name.to_owned()).collect(),
        ..Default::default()
    }
}

fn ack(nonce: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { response_nonce: nonce.to_owned(), ..Default::default() }
}

fn nack(nonce: &str) -> DeltaDiscoveryRequest {
    let status = Status { code: 13, message: "no".to_owned(), details: Vec::new() };
    DeltaDiscoveryRequest { error_detail: Some(status), ..ack(nonce) }
}

/// What is there, as `name=version`.
fn shown(last_good: &LastGood) -> Vec<String> {
    last_good.resources.values().map(|resource| format!("{}={}", resource.name, resource.version)).collect()
}

#[test]
fn only_what_envoy_acknowledged_is_kept() {
    let (mut tracker, mut last_good) = (Tracker::default(), LastGood::default());
    tracker.response(KIND, &response("1", &[("in", "v1"), ("out", "v1")], &[]));
    assert!(!last_good.is_usable());
    assert!(tracker.request(KIND, &ack("1"), &mut last_good));
    tracker.response(KIND, &response("2", &[("in", "v2")], &[]));
    assert!(!tracker.request(KIND, &nack("2"), &mut last_good));
    assert_eq!(shown(&last_good), ["in=v1", "out=v1"]);
    assert!(!tracker.request(KIND, &ack("2"), &mut last_good), "an answer counts once");
    tracker.response(KIND, &response("3", &[], &["out"]));
    assert!(tracker.request(KIND, &ack("3"), &mut last_good));
    assert_eq!(shown(&last_good), ["in=v1"]);
}

#[test]
fn an_acknowledgement_of_what_is_there_already_changes_nothing() {
    let (mut tracker, mut last_good) = (Tracker::default(), LastGood::default());
    for nonce in ["1", "2"] {
        tracker.response(KIND, &response(nonce, &[("in", "v1")], &[]));
    }
    assert!(tracker.request(KIND, &ack("1"), &mut last_good));
    assert!(!tracker.request(KIND, &ack("2"), &mut last_good));
}

#[test]
fn what_a_new_envoy_is_not_given_any_more_is_dropped_once_the_stream_is_quiet() {
    let (mut tracker, mut last_good) = (Tracker::default(), LastGood::default());
    tracker.response(KIND, &response("1", &[("in", "v1"), ("out", "v1")], &[]));
    tracker.request(KIND, &ack("1"), &mut last_good);

    let mut tracker = Tracker::default();
    assert!(!tracker.settle(&mut last_good), "nothing was said yet");
    tracker.response(KIND, &response("1", &[("in", "v2")], &[]));
    assert!(!tracker.settle(&mut last_good), "an answer is due");
    tracker.request(KIND, &ack("1"), &mut last_good);
    assert_eq!(shown(&last_good), ["in=v2", "out=v1"]);
    assert!(tracker.settle(&mut last_good));
    assert_eq!(shown(&last_good), ["in=v2"]);
}

#[test]
fn what_envoy_brings_from_an_earlier_stream_stays() {
    let (mut tracker, mut last_good) = (Tracker::default(), LastGood::default());
    tracker.response(KIND, &response("1", &[("in", "v1")], &[]));
    tracker.request(KIND, &ack("1"), &mut last_good);
    let mut tracker = Tracker::default();
    let held = [("in".to_owned(), "v1".to_owned())].into();
    let first = DeltaDiscoveryRequest { initial_resource_versions: held, ..Default::default() };
    tracker.request(KIND, &first, &mut last_good);
    assert!(!tracker.settle(&mut last_good));
    assert_eq!(shown(&last_good), ["in=v1"]);
}

#[test]
fn the_file_reads_back_as_what_was_written() {
    let (mut tracker, mut last_good) = (Tracker::default(), LastGood::default());
    tracker.response(KIND, &response("1", &[("in", "v1")], &[]));
    tracker.request(KIND, &ack("1"), &mut last_good);
    let text = serde_json::to_string(&last_good.to_file()).unwrap();
    let read: LastGoodFile = serde_json::from_str(&text).unwrap();
    assert_eq!(LastGood::try_from(read).unwrap(), last_good);
}

#[test]
fn a_file_of_another_form_is_refused_in_words() {
    let check = |text: &str, expected: &str| {
        let file: LastGoodFile = serde_json::from_str(text).unwrap();
        let error = LastGood::try_from(file).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    check(r#"{"version": 2, "resources": []}"#, "the form 2");
    check(
        r#"{"version": 1, "resources": [{"type_url": "x", "name": "", "version": "", "body": ""}]}"#,
        "`x` is not a type",
    );
    let url = KIND.type_url();
    check(
        &format!(
            r#"{{"version": 1, "resources": [{{"type_url": "{url}", "name": "in", "version": "", "body": "%"}}]}}"#
        ),
        "in: ",
    );
}
