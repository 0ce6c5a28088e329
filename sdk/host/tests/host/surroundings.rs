//! Properties, configuration, metrics, shared data, time and randomness.

use super::*;
use chancery_sdk_host::PropertyValue;

/// Asks for properties given as WAT strings, and logs status and value of each.
fn ask(paths: &[&str]) -> String {
    let mut text = String::new();
    let mut at = 100;
    let mut calls = String::new();
    for path in paths {
        let length = path.replace("\\00", "0").len();
        text.push_str(&format!(r#"(data (i32.const {at}) "{path}")"#));
        calls.push_str(&format!(
            "(i64.store (i32.const 0) (i64.const 0))
            (call $log_status (call $get_property (i32.const {at}) (i32.const {length}) (i32.const 0) (i32.const 4)))
            (call $log_result)"
        ));
        at += 100;
    }
    format!(
        r#"{text} (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {calls} (i32.const 0))"#
    )
}

#[test]
fn properties_come_from_the_table_and_from_the_headers() {
    let paths = [
        "source\\00address",
        "connection\\00mtls",
        "request\\00url_path",
        "request\\00query",
        "request\\00headers\\00x-twice",
        "request\\00method\\00",
        "source",
        "request",
        "nothing",
        "plugin_name",
    ];
    let mut plugin = start(&ask(&paths)).unwrap();
    let mut properties = Properties::new();
    properties.set(&["source", "address"], "127.0.0.1:5".into());
    properties.set(&["connection", "mtls"], PropertyValue::Bool(true));
    let expected = [
        ("0", "127.0.0.1:5"),
        ("0", "\u{1}"),
        ("0", "/a"),
        ("0", "b=c"),
        ("0", "one,two"),
        ("0", "GET"),
        ("3", ""),
        ("3", ""),
        ("1", ""),
        ("0", ""),
    ];
    let expected: Vec<&str> = expected.into_iter().flat_map(|(status, value)| [status, value]).collect();
    assert_eq!(log_of_request(&mut plugin, properties), expected);
}

#[test]
fn a_property_of_the_table_hides_what_the_headers_say() {
    let mut plugin = start(&ask(&["request\\00path"])).unwrap();
    let mut properties = Properties::new();
    properties.set(&["request", "path"], "/other".into());
    assert_eq!(log_of_request(&mut plugin, properties), ["0", "/other"]);
}

const CONFIGURABLE: &str = r#"
    (func $read (param $buffer i32)
        (call $log_status (call $buffer (local.get $buffer) (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 4)))
        (call $log_result))
    (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (call $read (i32.const 6)) (i32.const 1))
    (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $read (i32.const 7)) (local.get 1))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (i64.store (i32.const 0) (i64.const 0)) (call $read (i32.const 7)) (i32.const 0))"#;

#[test]
fn configurations_are_read_while_starting_and_may_be_refused() {
    let loaded = host().load(&module(CONFIGURABLE)).unwrap();
    let configuration = PluginConfiguration {
        vm_configuration: b"vm".to_vec(),
        configuration: b"plugin".to_vec(),
        ..PluginConfiguration::default()
    };
    let mut plugin = loaded.start(configuration).unwrap();
    assert_eq!(messages(&mut plugin), ["0", "vm", "0", "plugin"]);
    assert_eq!(log_of_request(&mut plugin, Properties::new()), ["1", ""]);
    let refusal = error_of(loaded.start(PluginConfiguration::default()));
    assert_eq!(refusal, "`proxy_on_configure` did not accept the configuration");
}

#[test]
fn the_last_error_in_the_log_says_why_a_configuration_is_refused() {
    let refusing = r#"(data (i32.const 100) "no keysnot yet")
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $log (i32.const 4) (i32.const 100) (i32.const 7)))
            (drop (call $log (i32.const 2) (i32.const 107) (i32.const 7)))
            (i32.const 0))"#;
    let refusal = error_of(start(refusing));
    assert_eq!(refusal, "`proxy_on_configure` did not accept the configuration: no keys");
}

#[test]
fn metrics_are_counted_by_name() {
    let mut plugin = start(
        r#"(data (i32.const 100) "requests")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $log_status (call $define (i32.const 0) (i32.const 100) (i32.const 8) (i32.const 16)))
            (call $log_status (call $increment (i32.load (i32.const 16)) (i64.const 2)))
            (call $log_status (call $increment (i32.load (i32.const 16)) (i64.const -1)))
            (call $log_status (call $increment (i32.const 400) (i64.const 1)))
            (call $log_status (call $get_metric (i32.load (i32.const 16)) (i32.const 24)))
            (call $log_status (i32.load (i32.const 24)))
            (call $log_status (call $define (i32.const 3) (i32.const 100) (i32.const 8) (i32.const 16)))
            (i32.const 0))"#,
    )
    .unwrap();
    assert_eq!(log_of_request(&mut plugin, Properties::new()), ["0", "0", "2", "1", "0", "2", "2"]);
    log_of_request(&mut plugin, Properties::new());
    assert_eq!(plugin.metrics().value("requests"), 4);
    plugin.reset_metrics();
    assert_eq!(plugin.metrics().value("requests"), 0);
}

const SHARING: &str = r#"(data (i32.const 100) "key" "v")
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (i64.store (i32.const 0) (i64.const 0))
        (call $log_status (call $get_shared (i32.const 100) (i32.const 3) (i32.const 0) (i32.const 4) (i32.const 16)))
        (call $log_result)
        (call $log_status (call $set_shared (i32.const 100) (i32.const 3) (i32.const 103) (i32.const 1) (i32.const 99)))
        (i32.const 0))"#;

#[test]
fn shared_data_is_seen_by_the_vms_of_one_id_and_guarded_by_its_version() {
    let loaded = host().load(&module(SHARING)).unwrap();
    let with_id = |id: &str| {
        let configuration = PluginConfiguration { vm_id: id.to_owned(), ..PluginConfiguration::default() };
        loaded.start(configuration).unwrap()
    };
    let mut first = with_id("one");
    assert_eq!(log_of_request(&mut first, Properties::new()), ["1", "", "0"]);
    assert_eq!(log_of_request(&mut with_id("one"), Properties::new()), ["0", "v", "8"]);
    assert_eq!(log_of_request(&mut with_id("two"), Properties::new()), ["1", "", "0"]);
    // The data goes with the last VM of its id.
    drop(first);
    assert_eq!(log_of_request(&mut with_id("one"), Properties::new()), ["1", "", "0"]);
}

#[test]
fn time_randomness_and_environment_are_those_that_were_given() {
    let text = r#"
        (func $bytes (param $pointer i32) (param $length i32)
            (drop (call $log (i32.const 2) (local.get $pointer) (local.get $length))))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (drop (call $time (i32.const 16)))
            (call $bytes (i32.const 16) (i32.const 8))
            (call $log_status (call $random (i32.const 200) (i32.const 16)))
            (call $bytes (i32.const 200) (i32.const 16))
            (call $log_status (call $environ_sizes (i32.const 24) (i32.const 28)))
            (call $log_status (call $environ (i32.const 300) (i32.const 400)))
            (call $bytes (i32.load (i32.const 304)) (i32.const 4))
            (call $bytes (i32.const 400) (i32.load (i32.const 28)))
            (i32.const 0))"#;
    let loaded = host().load(&module(text)).unwrap();
    let run = |random_seed| {
        let environment = [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())].into();
        let configuration =
            PluginConfiguration { environment, random_seed, ..PluginConfiguration::default() };
        let mut plugin = loaded.start(configuration).unwrap();
        plugin.set_time_ns(0x4142_4344_4546_4748);
        log_of_request(&mut plugin, Properties::new())
    };
    let log = run(1);
    assert_eq!(log[0], "HGFEDCBA");
    assert_eq!(log[3..], ["0", "0", "B=2\0", "A=1\0B=2\0"]);
    assert_eq!(run(1), log);
    assert_ne!(run(2)[2], log[2]);
}

#[test]
fn output_goes_to_the_log() {
    let mut plugin = start(
        r#"(data (i32.const 100) "hello ") (data (i32.const 110) "world")
        (data (i32.const 200) "\64\00\00\00\06\00\00\00\6e\00\00\00\05\00\00\00")
        (func (export "_initialize")
            (drop (call $fd_write (i32.const 1) (i32.const 200) (i32.const 2) (i32.const 16)))
            (call $log_status (i32.load (i32.const 16)))
            (call $log_status (call $fd_write (i32.const 3) (i32.const 200) (i32.const 2) (i32.const 16))))"#,
    )
    .unwrap();
    assert_eq!(messages(&mut plugin), ["hello world", ";", "8"]);
}

#[test]
fn a_call_of_a_cluster_that_is_not_there_is_a_bad_argument() {
    let mut plugin = start(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $log_status (call $http (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
            (i32.const 0))"#,
    )
    .unwrap();
    assert_eq!(log_of_request(&mut plugin, Properties::new()), ["2"]);
}

#[test]
fn another_context_can_be_made_effective_if_it_is_there() {
    let mut plugin = start(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $log_status (call $effective (i32.const 1)))
            (call $log_status (call $set_property (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)))
            (call $log_status (call $effective (i32.const 99)))
            (i32.const 0))"#,
    )
    .unwrap();
    assert_eq!(log_of_request(&mut plugin, Properties::new()), ["0", "1", "2"]);
}
