//! The filter natively, without Envoy: `cargo test`.

use chancery_sdk::testing::Plugin;
use my_filter::MyFilter;

#[test]
fn a_handshake_passes_once_its_beginning_is_there() {
    let plugin = Plugin::<MyFilter>::start_tcp("").unwrap();
    let mut connection = plugin.connection();
    assert!(!connection.client_sends([0x16], false));
    assert!(connection.client_sends([0x03, 0x01], false));
    assert!(connection.client_sends(*b"anything", false));
    assert_eq!(connection.upstream(), *b"\x16\x03\x01anything");
}

#[test]
fn what_is_no_handshake_is_closed_and_counted() {
    let plugin = Plugin::<MyFilter>::start_tcp("").unwrap();
    let mut connection = plugin.connection();
    connection.client_sends(*b"GET / HTTP/1.1\r\n", false);
    assert!(connection.is_closed());
    assert_eq!(plugin.metric("my-filter.closed"), 1);
}
