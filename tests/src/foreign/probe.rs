//! A module of generated host calls: each case makes some in each callback, and logs what they gave.
//!
//! `GET /07` is the case 7. What a call gives is its status in decimal, and what it returned besides. Calls whose effect
//! comes later, at a time of Envoy's own, and those that crash it, are not made.

use super::case::Module;
use crate::random::Random;
use anyhow::Result;

/// Its name.
pub const PROBE: &str = "probe";
/// The callbacks, with their parameters behind the context, and how they end.
const CALLBACKS: [(&str, usize, &str); 7] = [
    ("proxy_on_request_headers", 2, "(i32.const 0)"),
    ("proxy_on_request_body", 2, "(i32.eqz (local.get 2))"),
    ("proxy_on_response_headers", 2, "(i32.const 0)"),
    ("proxy_on_response_body", 2, "(i32.eqz (local.get 2))"),
    ("proxy_on_log", 0, ""),
    ("proxy_on_done", 0, "(i32.const 1)"),
    ("proxy_on_delete", 0, ""),
];
/// What calls name: headers, properties, metrics, keys, and bytes that are pairs or are not.
const TEXTS: [&str; 20] = [
    "x-twice",
    "X-New",
    "content-type",
    "x-none",
    "value",
    "",
    "request\\00path",
    "request\\00headers\\00x-twice",
    "request",
    "response\\00code",
    "plugin_name",
    "plugin_root_id\\00",
    "nobody",
    "k",
    "httpbin",
    "\\01\\00\\00\\00\\01\\00\\00\\00\\01\\00\\00\\00k\\00v\\00",
    "\\01\\00\\00\\00\\09\\00\\00\\00",
    "\\0a\\09\\0a\\07nowhere",
    "request\\00query",
    "response",
];
const CALLS_OF_EACH_MAX: usize = 5;
const TEXTS_AT: usize = 1024;
const TEXT_BYTES: usize = 64;

const PRELUDE: &str = r#"
    (memory (export "memory") 32)
    (global $top (mut i32) (i32.const 65536))
    (global $case (mut i32) (i32.const -1))
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param $size i32) (result i32)
        (global.get $top)
        (global.set $top (i32.add (global.get $top) (local.get $size))))
    (func $text (param $at i32) (param $length i32)
        (drop (call $proxy_log (i32.const 2) (local.get $at) (local.get $length))))
    ;; The digits are written from behind, ending at 64.
    (func $say (param $number i32) (local $at i32)
        (local.set $at (i32.const 64))
        (loop $more
            (local.set $at (i32.sub (local.get $at) (i32.const 1)))
            (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
            (local.set $number (i32.div_u (local.get $number) (i32.const 10)))
            (br_if $more (local.get $number)))
        (call $text (local.get $at) (i32.sub (i32.const 64) (local.get $at))))
    ;; A status, and what was returned with it: bytes whose place and length stand at 0.
    (func $said (param $status i32)
        (call $say (local.get $status))
        (if (i32.eqz (local.get $status)) (then
            (call $say (i32.load (i32.const 4)))
            (call $text (i32.load (i32.const 0)) (i32.load (i32.const 4))))))
    ;; The same for a number at 0.
    (func $numbered (param $status i32)
        (call $say (local.get $status))
        (if (i32.eqz (local.get $status)) (then (call $say (i32.load (i32.const 0))))))
    (func $begin
        (global.set $top (i32.const 65536))
        (i64.store (i32.const 0) (i64.const 0)))
    (func $read_case
        (drop (call $proxy_get_header_map_value (i32.const 0) (i32.const 80) (i32.const 5) (i32.const 0) (i32.const 4)))
        (global.set $case (i32.add
            (i32.mul (i32.const 10) (i32.sub (i32.load8_u offset=1 (i32.load (i32.const 0))) (i32.const 48)))
            (i32.sub (i32.load8_u offset=2 (i32.load (i32.const 0))) (i32.const 48)))))
    (data (i32.const 80) ":path")
    (data (i32.const 96) "content-length")
"#;

/// The module of so many cases that follow from a seed, and its text.
///
/// # Errors
/// When the text that was made is not valid: a mistake here.
pub fn module(seed: u64, cases: usize) -> Result<(Module, String)> {
    let mut random = Random::new(seed);
    let mut bodies = vec![String::new(); CALLBACKS.len()];
    for case in 0..cases {
        for (callback, body) in bodies.iter_mut().enumerate() {
            let calls: String =
                (0..random.below(CALLS_OF_EACH_MAX + 1)).map(|_| call(&mut random, callback)).collect();
            body.push_str(&format!("(if (i32.eq (global.get $case) (i32.const {case})) (then {calls}))\n"));
        }
    }
    let mut text = String::from("(module\n");
    text.push_str(&imports());
    text.push_str(PRELUDE);
    for (number, bytes) in TEXTS.iter().enumerate() {
        text.push_str(&format!("(data (i32.const {}) \"{bytes}\")\n", TEXTS_AT + number * TEXT_BYTES));
    }
    for (at, ((name, params, end), body)) in CALLBACKS.iter().zip(&bodies).enumerate() {
        let params_text = "i32 ".repeat(params + 1);
        let result = if end.is_empty() { "" } else { "(result i32)" };
        let shown: String = (1..=*params).map(|at| format!("(call $say (local.get {at}))")).collect();
        let before = match at {
            0 => {
                "(call $begin) (call $read_case) (drop (call $proxy_remove_header_map_value (i32.const 0) (i32.const 96) (i32.const 14)))"
            }
            2 => {
                "(call $begin) (drop (call $proxy_remove_header_map_value (i32.const 2) (i32.const 96) (i32.const 14)))"
            }
            _ => "(call $begin)",
        };
        let at = 200 + at * 32;
        text.push_str(&format!(
            "(data (i32.const {at}) \"{name}\")
             (func (export \"{name}\") (param {params_text}) {result}
                {before} (call $text (i32.const {at}) (i32.const {})) {shown}\n{body}{end})\n",
            name.len()
        ));
    }
    text.push_str(")\n");
    let module = Module {
        name: PROBE.to_owned(),
        bytes: wat::parse_str(&text)?,
        root_id: String::new(),
        configuration: String::new(),
    };
    Ok((module, text))
}

/// Names and numbers of parameters of the host calls that are made; all give a number.
const IMPORTS: [(&str, &str); 29] = [
    ("proxy_log", "i32 i32 i32"),
    ("proxy_get_log_level", "i32"),
    ("proxy_get_status", "i32 i32 i32"),
    ("proxy_get_property", "i32 i32 i32 i32"),
    ("proxy_set_property", "i32 i32 i32 i32"),
    ("proxy_continue_stream", "i32"),
    ("proxy_get_header_map_value", "i32 i32 i32 i32 i32"),
    ("proxy_add_header_map_value", "i32 i32 i32 i32 i32"),
    ("proxy_replace_header_map_value", "i32 i32 i32 i32 i32"),
    ("proxy_remove_header_map_value", "i32 i32 i32"),
    ("proxy_get_header_map_pairs", "i32 i32 i32"),
    ("proxy_set_header_map_pairs", "i32 i32 i32"),
    ("proxy_get_header_map_size", "i32 i32"),
    ("proxy_get_buffer_bytes", "i32 i32 i32 i32 i32"),
    ("proxy_get_buffer_status", "i32 i32 i32"),
    ("proxy_set_buffer_bytes", "i32 i32 i32 i32 i32"),
    ("proxy_http_call", "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32"),
    ("proxy_grpc_send", "i32 i32 i32 i32"),
    ("proxy_grpc_close", "i32"),
    ("proxy_grpc_cancel", "i32"),
    ("proxy_define_metric", "i32 i32 i32 i32"),
    ("proxy_increment_metric", "i32 i64"),
    ("proxy_record_metric", "i32 i64"),
    ("proxy_get_metric", "i32 i32"),
    ("proxy_get_shared_data", "i32 i32 i32 i32 i32"),
    ("proxy_set_shared_data", "i32 i32 i32 i32 i32"),
    ("proxy_resolve_shared_queue", "i32 i32 i32 i32 i32"),
    ("proxy_dequeue_shared_queue", "i32 i32 i32"),
    ("proxy_done", ""),
];
const WASI_IMPORTS: [(&str, &str); 14] = [
    ("fd_read", "i32 i32 i32 i32"),
    ("fd_seek", "i32 i64 i32 i32"),
    ("fd_close", "i32"),
    ("fd_fdstat_get", "i32 i32"),
    ("fd_fdstat_set_flags", "i32 i32"),
    ("fd_prestat_get", "i32 i32"),
    ("fd_prestat_dir_name", "i32 i32 i32"),
    ("args_sizes_get", "i32 i32"),
    ("environ_sizes_get", "i32 i32"),
    ("clock_time_get", "i32 i64 i32"),
    ("random_get", "i32 i32"),
    ("poll_oneoff", "i32 i32 i32 i32"),
    ("path_filestat_get", "i32 i32 i32 i32 i32"),
    ("fd_tell", "i32 i32"),
];

fn imports() -> String {
    let import = |module: &str, (name, params): (&str, &str)| {
        format!("(import \"{module}\" \"{name}\" (func ${name} (param {params}) (result i32)))\n")
    };
    let env = IMPORTS.iter().map(|function| import("env", *function));
    env.chain(WASI_IMPORTS.iter().map(|function| import("wasi_snapshot_preview1", *function))).collect()
}

/// One call and what is logged of it.
fn call(random: &mut Random, callback: usize) -> String {
    let text = |random: &mut Random| {
        let number = random.below(TEXTS.len());
        let length = wat_length(TEXTS.get(number).copied().unwrap_or_default());
        format!("(i32.const {}) (i32.const {length})", TEXTS_AT + number * TEXT_BYTES)
    };
    let name = |random: &mut Random, from: &[usize]| {
        let number = random.one_of(from);
        let length = wat_length(TEXTS.get(number).copied().unwrap_or_default());
        format!("(i32.const {}) (i32.const {length})", TEXTS_AT + number * TEXT_BYTES)
    };
    let number = |random: &mut Random, from: &[i32]| format!("(i32.const {})", random.one_of(from));
    let header = [0, 1, 2, 3];
    let maps = [0, 0, 0, 2, 2, 2, 1, 3, 4, 5, 6, 7, 8];
    let two = "(i32.const 0) (i32.const 4)";
    match random.below(26) {
        0 | 1 => format!("(call $said (call $proxy_get_header_map_value {} {} {two}))", number(random, &maps), name(random, &header)),
        2 | 3 => format!("(call $say (call $proxy_add_header_map_value {} {} {}))", number(random, &maps), name(random, &header), name(random, &[4, 5])),
        4 => format!("(call $say (call $proxy_replace_header_map_value {} {} {}))", number(random, &maps), name(random, &header), name(random, &[4, 5])),
        5 => format!("(call $say (call $proxy_remove_header_map_value {} {}))", number(random, &maps), name(random, &header)),
        6 => format!("(call $numbered (call $proxy_get_header_map_size {} (i32.const 0)))", number(random, &maps)),
        7 => format!("(call $said (call $proxy_get_header_map_pairs {} {two}))", number(random, &[1, 3, 4, 5, 6, 7, 8])),
        8 => format!("(call $say (call $proxy_set_header_map_pairs {} {}))", number(random, &[1, 3, 4, 7, 8]), name(random, &[5, 15, 16])),
        9 | 10 => format!(
            "(call $said (call $proxy_get_buffer_bytes {} {} {} {two}))",
            number(random, &[0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 9]),
            number(random, &[0, 0, 1, 3, 100, -1]),
            number(random, &[0, 2, 100, -1])
        ),
        11 => format!("(call $numbered (call $proxy_get_buffer_status {} {two}))", number(random, &[0, 1, 2, 4, 5, 6, 7, 9])),
        12 | 13 => {
            // Only where the piece is there: Envoy's memory of one that went on is of no use.
            let buffer = if callback == 1 { 0 } else if callback == 3 { 1 } else { 4 };
            format!(
                "(call $say (call $proxy_set_buffer_bytes (i32.const {buffer}) {} {} {}))",
                number(random, &[0, 0, 1, 100]),
                number(random, &[0, 2, 100]),
                name(random, &[4, 5])
            )
        }
        14 => format!("(call $said (call $proxy_get_property {} {two}))", text(random)),
        15 => format!("(call $say (call $proxy_set_property {} {}))", name(random, &[12, 13]), name(random, &[4, 5])),
        16 => format!("(call $numbered (call $proxy_define_metric {} {} (i32.const 0)))", number(random, &[0, 1, 2, 3]), name(random, &[4, 12, 13])),
        17 => format!("(call $say (call $proxy_increment_metric {} (i64.const {})))", number(random, &[0, 4, 5, 6, 7, 8, 9, 12]), random.one_of(&[0, 1, 5])),
        18 => format!("(call $say (call $proxy_record_metric {} (i64.const {})))", number(random, &[0, 4, 5, 6, 7, 8, 9, 12]), random.one_of(&[0, 1, 5])),
        19 => format!("(call $numbered (call $proxy_get_metric {} (i32.const 0)))", number(random, &[0, 4, 5, 6, 7, 8, 9, 12])),
        20 => format!("(call $said (call $proxy_get_shared_data {} {two} (i32.const 8)))", name(random, &[12, 13])),
        21 => format!("(call $say (call $proxy_set_shared_data {} {} {}))", name(random, &[12, 13]), name(random, &[4, 5]), number(random, &[0, 0, 99])),
        22 => format!("(call $numbered (call $proxy_resolve_shared_queue {} {} (i32.const 0)))", name(random, &[5, 12]), name(random, &[13])),
        23 => format!(
            "(call $say (call $proxy_http_call {} {} (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) {} (i32.const 0)))",
            name(random, &[5, 12, 14]),
            name(random, &[5, 15, 16]),
            number(random, &[-1, 0, 10])
        ),
        24 => random.one_of(&[
            "(call $numbered (call $proxy_get_log_level (i32.const 0)))",
            "(call $say (call $proxy_log (i32.const 6) (i32.const 80) (i32.const 5)))",
            "(call $say (call $proxy_log (i32.const 2) (i32.const -1) (i32.const 5)))",
            "(call $say (call $proxy_get_status (i32.const 8) (i32.const 0) (i32.const 4)))",
            "(call $say (call $proxy_done))",
            "(call $say (call $proxy_continue_stream (i32.const 2)))",
            "(call $say (call $proxy_continue_stream (i32.const 9)))",
            "(call $say (call $proxy_dequeue_shared_queue (i32.const 77) (i32.const 0) (i32.const 4)))",
            "(call $say (call $proxy_grpc_send (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))",
            "(call $say (call $proxy_grpc_send (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0)))",
            "(call $say (call $proxy_grpc_close (i32.const 1)))",
            "(call $say (call $proxy_grpc_cancel (i32.const 2)))",
        ]).to_owned(),
        _ => random.one_of(&[
            "(call $say (call $fd_read (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))",
            "(call $say (call $fd_seek (i32.const 1) (i64.const 0) (i32.const 0) (i32.const 0)))",
            "(call $say (call $fd_close (i32.const 1)))",
            "(call $say (call $fd_fdstat_get (i32.const 1) (i32.const 128)))",
            "(call $say (call $fd_fdstat_get (i32.const 3) (i32.const 128)))",
            "(call $say (call $fd_fdstat_set_flags (i32.const 1) (i32.const 0)))",
            "(call $say (call $fd_prestat_get (i32.const 3) (i32.const 0)))",
            "(call $say (call $fd_prestat_dir_name (i32.const 3) (i32.const 0) (i32.const 0)))",
            "(call $numbered (call $args_sizes_get (i32.const 0) (i32.const 4)))",
            "(call $numbered (call $environ_sizes_get (i32.const 0) (i32.const 4)))",
            "(call $say (call $clock_time_get (i32.const 2) (i64.const 0) (i32.const 0)))",
            "(call $say (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 0)))",
            "(call $say (call $random_get (i32.const 0) (i32.const 65537)))",
            "(call $say (call $random_get (i32.const -1) (i32.const 4)))",
            "(call $numbered (call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0)))",
            "(call $say (call $path_filestat_get (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))",
            "(call $say (call $fd_tell (i32.const 1) (i32.const 0)))",
        ]).to_owned(),
    }
}

/// How many bytes a string of the text form is.
fn wat_length(text: &str) -> usize {
    text.len() - text.matches('\\').count() * 2
}
