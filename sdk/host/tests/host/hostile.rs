//! Modules that do what they should not: each ends in an error or a status, quickly.

use super::*;

/// Handles the request headers with this body and gives what came of it.
fn run(body: &str) -> Result<Vec<String>, HostError> {
    let text = format!(
        r#"(func $on (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            {body} (i32.const 0))"#
    );
    let mut plugin = start(&text)?;
    plugin.open(Properties::new())?.on_request_headers(headers(), true)?;
    Ok(messages(&mut plugin))
}

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    let error = "`proxy_on_request_headers` did not end within 1000000 instructions";
    assert_eq!(error_of(run("(loop $again (br $again))")), error);
}

#[test]
fn an_endless_row_of_host_calls_is_too_much_work() {
    let error = "`proxy_on_request_headers` made the host move more than 67108864 bytes";
    let call = "(drop (call $log (i32.const 0) (i32.const 0) (i32.const 65536)))";
    assert_eq!(error_of(run(&format!("(loop $again {call} (br $again))"))), error);
}

#[test]
fn endless_recursion_and_unreachable_code_are_traps_with_the_function_named() {
    let unreachable = error_of(run("(unreachable)"));
    assert_eq!(
        unreachable,
        "`proxy_on_request_headers` trapped: wasm trap: wasm `unreachable` instruction executed (in on)"
    );
    let recursion = error_of(run("(drop (call $on (i32.const 0) (i32.const 0) (i32.const 0)))"));
    assert!(
        recursion.starts_with("`proxy_on_request_headers` trapped: wasm trap: call stack exhausted"),
        "{recursion}"
    );
}

#[test]
fn a_plugin_that_failed_says_so_from_then_on() {
    let text = r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (unreachable))"#;
    let mut plugin = start(text).unwrap();
    let mut stream = plugin.open(Properties::new()).unwrap();
    assert!(matches!(stream.on_request_headers(headers(), true), Err(HostError::Trapped { .. })));
    assert!(matches!(stream.on_request_headers(headers(), true), Err(HostError::Failed)));
    assert!(matches!(plugin.open(Properties::new()), Err(HostError::Failed)));
}

#[test]
fn pointers_outside_of_the_memory_are_a_status() {
    for arguments in
        ["i32.const -1) (i32.const 1", "i32.const 131072) (i32.const 1", "i32.const 1) (i32.const -1"]
    {
        let log = run(&format!("(call $log_status (call $log (i32.const 2) ({arguments})))")).unwrap();
        assert_eq!(log, ["6"]);
    }
    // The answer has no place; the map itself was found.
    let log = run("(call $log_status (call $pairs (i32.const 0) (i32.const -4) (i32.const 4)))").unwrap();
    assert_eq!(log, ["6"]);
}

#[test]
fn numbers_without_meaning_are_a_bad_argument() {
    for call in [
        "call $log (i32.const 6) (i32.const 0) (i32.const 0)",
        "call $pairs (i32.const 8) (i32.const 0) (i32.const 4)",
        "call $get (i32.const -1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 4)",
        "call $buffer (i32.const 99) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 4)",
    ] {
        assert_eq!(run(&format!("(call $log_status ({call}))")).unwrap(), ["2"]);
    }
}

/// A module whose allocator has this body, asked for the pairs of the request.
fn with_allocator(body: &str) -> Result<Option<u8>, HostError> {
    let text = format!(
        r#"(module
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) {body})
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (i32.store8 (i32.const 8) (call $pairs (i32.const 0) (i32.const 0) (i32.const 4)))
            (drop (call $log (i32.const 2) (i32.const 8) (i32.const 1)))
            (i32.const 0)))"#
    );
    let mut plugin = host().load(&wat::parse_str(text).unwrap())?.start(PluginConfiguration::default())?;
    plugin.open(Properties::new())?.on_request_headers(headers(), true)?;
    Ok(messages(&mut plugin).last().and_then(|line| line.bytes().next()))
}

#[test]
fn an_allocator_that_gives_no_memory_is_a_status() {
    assert_eq!(with_allocator("(i32.const 1024)").unwrap(), Some(0));
    assert_eq!(with_allocator("(i32.const 0)").unwrap(), Some(6));
    assert_eq!(with_allocator("(i32.const -1)").unwrap(), Some(6));
    assert_eq!(with_allocator("(i32.const 65530)").unwrap(), Some(6));
}

#[test]
fn an_allocator_that_does_not_return_is_an_error() {
    let trapped = error_of(with_allocator("(unreachable)"));
    assert!(trapped.starts_with("`proxy_on_request_headers` trapped"), "{trapped}");
    let endless = error_of(with_allocator("(loop $l (br $l)) (i32.const 0)"));
    assert_eq!(endless, "`proxy_on_request_headers` did not end within 1000000 instructions");
}

#[test]
fn an_allocator_may_log_and_do_nothing_else() {
    let log = "(drop (call $log (i32.const 2) (i32.const 0) (i32.const 0))) (i32.const 1024)";
    assert_eq!(with_allocator(log).unwrap(), Some(0));
    let error = error_of(with_allocator("(call $pairs (i32.const 0) (i32.const 0) (i32.const 4))"));
    assert_eq!(error, "`proxy_on_request_headers` called `proxy_get_header_map_pairs` while allocating");
}

#[test]
fn constructors_may_log_and_do_nothing_else() {
    let error = error_of(start(
        r#"(func (export "_initialize")
            (drop (call $set_property (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))"#,
    ));
    assert_eq!(error, "`_initialize` called `proxy_set_property` while starting");
}

#[test]
fn memory_grows_up_to_the_limit_and_no_further() {
    let log = run("(call $log_status (i32.eq (memory.grow (i32.const 254)) (i32.const 2)))
        (call $log_status (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))")
    .unwrap();
    assert_eq!(log, ["1", "1"]);
}

#[test]
fn filling_memory_again_and_again_costs_fuel_by_the_byte() {
    let fill = "(memory.fill (i32.const 0) (i32.const 0) (i32.const 131072))";
    let error = error_of(run(&format!("(loop $again {fill} (br $again))")));
    assert_eq!(error, "`proxy_on_request_headers` did not end within 1000000 instructions");
}

#[test]
fn a_callback_that_never_ends_while_starting_is_an_error_too() {
    for callback in ["_initialize", "_start"] {
        let error = error_of(start(&format!(r#"(func (export "{callback}") (loop $l (br $l)))"#)));
        assert_eq!(error, format!("`{callback}` did not end within 1000000 instructions"));
    }
}

#[test]
fn the_log_keeps_the_newest_lines_only() {
    let lines = run("(local $i i32)
        (loop $again
            (i32.store8 (i32.const 0) (i32.add (i32.const 48) (i32.rem_u (local.get $i) (i32.const 10))))
            (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $i) (i32.const 3000))))")
    .unwrap();
    assert_eq!(lines.len(), chancery_sdk_host::limits::LOG_LINES_MAX);
    assert_eq!(lines.last().map(String::as_str), Some("9"));
}
