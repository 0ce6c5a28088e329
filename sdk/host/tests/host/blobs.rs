//! Whatever bytes a module hands to the host, the host goes on. The fuzz target `blobs` does the
//! same without a bound.

use super::*;
use chancery_sdk_host::abi::pairs;
use proptest::prelude::*;

/// Bytes: arbitrary ones, pairs, and pairs with one byte changed.
fn blobs() -> impl Strategy<Value = Vec<u8>> {
    let text = || proptest::collection::vec(any::<u8>(), 0..12);
    let pairs = proptest::collection::vec((text(), text()), 0..6)
        .prop_map(|pairs| pairs::encode(&pairs).unwrap_or_default());
    let damaged =
        (pairs.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut bytes, at, byte)| {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        });
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..64), pairs, damaged]
}

#[test]
fn whatever_a_module_writes_the_host_goes_on() {
    let bytes = wat::parse_str(include_str!("blobs.wat")).unwrap();
    let loaded = host().load(&bytes).unwrap();
    let configuration =
        ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(configuration, |(blob in blobs())| {
        let clusters = chancery_sdk_host::Clusters::All;
        let mut plugin = loaded.start(PluginConfiguration { clusters, ..PluginConfiguration::default() }).unwrap();
        let mut stream = plugin.open(Properties::new()).unwrap();
        stream.on_request_headers(headers(), false).unwrap();
        stream.on_request_body(blob, true).unwrap();
        stream.close().unwrap();
    });
}

#[test]
fn whatever_bytes_are_taken_as_pairs_they_are_refused_or_come_back_the_same() {
    let configuration =
        ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(configuration, |(blob in blobs())| {
        if let Ok(decoded) = pairs::decode(&blob) {
            prop_assert_eq!(pairs::encode(&decoded), Ok(blob.clone()));
        }
    });
}
