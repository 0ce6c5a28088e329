//! What counting costs: code of four shapes as it is, and counted in each way, in the wasmtime host.
//!
//! `cargo bench -p chancery-sdk-admission`. With a folder as argument the modules are also written there, with an
//! export `run: (i32) -> i32`, to be measured in another engine.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints what it measured, and fails by panicking"
)]

use chancery_sdk_admission::{Counting, Terms, admit};
use chancery_sdk_host::{HeaderMap, Host, Limits, PluginConfiguration, Properties};
use std::time::{Duration, Instant};

/// How often each is run; the fastest run counts.
const ROUNDS: usize = 9;

/// Bodies of `$work (param $rounds i32) (result i32)`, with the rounds that take some milliseconds.
const SHAPES: [(&str, &str, u32); 4] = [
    (
        "calls",
        r#"(func $fibonacci (param $n i32) (result i32)
            (if (result i32) (i32.lt_s (local.get $n) (i32.const 2)) (then (local.get $n))
            (else (i32.add (call $fibonacci (i32.sub (local.get $n) (i32.const 1)))
                           (call $fibonacci (i32.sub (local.get $n) (i32.const 2)))))))
        (func $work (param $rounds i32) (result i32) (call $fibonacci (local.get $rounds)))"#,
        25,
    ),
    (
        "tight loop",
        r#"(func $work (param $rounds i32) (result i32) (local $hash i32) (local $at i32)
            (loop $next
                (local.set $hash (i32.mul (i32.const 16777619)
                    (i32.xor (local.get $hash) (i32.load8_u (i32.and (local.get $at) (i32.const 65535))))))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $at) (local.get $rounds))))
            (local.get $hash))"#,
        2_000_000,
    ),
    (
        "branches",
        r#"(func $work (param $rounds i32) (result i32) (local $sum i32) (local $x i32)
            (local.set $x (i32.const 2463534242))
            (loop $next
                (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 13))))
                (local.set $x (i32.xor (local.get $x) (i32.shr_u (local.get $x) (i32.const 17))))
                (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 5))))
                (if (i32.and (local.get $x) (i32.const 1))
                    (then (local.set $sum (i32.add (local.get $sum) (i32.const 3))))
                    (else (local.set $sum (i32.xor (local.get $sum) (i32.const 5)))))
                (if (i32.and (local.get $x) (i32.const 2))
                    (then (local.set $sum (i32.sub (local.get $sum) (i32.const 7)))))
                (if (i32.eq (i32.and (local.get $x) (i32.const 12)) (i32.const 12))
                    (then (local.set $sum (i32.rotl (local.get $sum) (i32.const 1)))))
                (br_if $next (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
            (local.get $sum))"#,
        500_000,
    ),
    (
        "state machine",
        r#"(func $work (param $rounds i32) (result i32) (local $state i32) (local $sum i32)
            (block $done (loop $next
                (br_if $done (i32.eqz (local.get $rounds)))
                (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
                (block $c (block $b (block $a
                    (br_table $a $b $c $c (local.get $state)))
                    (local.set $sum (i32.add (local.get $sum) (local.get $rounds)))
                    (local.set $state (i32.and (local.get $sum) (i32.const 1)))
                    (br $next))
                    (local.set $sum (i32.xor (local.get $sum) (local.get $rounds)))
                    (local.set $state (i32.add (i32.const 1) (i32.and (local.get $sum) (i32.const 1))))
                    (br $next))
                (local.set $state (i32.const 0))
                (br $next)))
            (local.get $sum))"#,
        500_000,
    ),
];

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    println!("{:<15} {:>12} {:>8} {:>11}", "shape", "as it is", "blocks", "loop heads");
    for (name, work, rounds) in SHAPES {
        let bytes = wat::parse_str(module(work, rounds)).unwrap();
        let [in_blocks, at_heads] = [Counting::Blocks, Counting::LoopHeads].map(|counting| {
            let terms = Terms { callback_budget: 1 << 40, counting, ..Terms::default() };
            admit(&bytes, &terms).module.unwrap().bytes
        });
        let [plain, blocks, heads] = [&bytes, &in_blocks, &at_heads].map(|bytes| fastest(bytes));
        let ratio = |time: Duration| time.as_secs_f64() / plain.as_secs_f64();
        println!(
            "{name:<15} {:>9.2} ms {:>8.2} {:>11.2}",
            plain.as_secs_f64() * 1e3,
            ratio(blocks),
            ratio(heads)
        );
        if let Some(folder) = &folder {
            let name = name.replace(' ', "-");
            for (kind, bytes) in [("plain", &bytes), ("blocks", &in_blocks), ("heads", &at_heads)] {
                std::fs::write(format!("{folder}/{name}.{kind}.wasm"), bytes).unwrap();
            }
        }
    }
}

fn module(work: &str, rounds: u32) -> String {
    format!(
        r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 1024)) {work}
        (export "run" (func $work))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (drop (call $work (i32.const {rounds}))) (i32.const 0)))"#
    )
}

/// The fastest run of the callback.
fn fastest(bytes: &[u8]) -> Duration {
    let limits = Limits { callback_fuel: u64::MAX >> 1, ..Limits::default() };
    let mut plugin =
        Host::new(limits).unwrap().load(bytes).unwrap().start(PluginConfiguration::default()).unwrap();
    let run = |_| {
        let mut stream = plugin.open(Properties::new()).unwrap();
        let begun = Instant::now();
        stream.on_request_headers(HeaderMap::new(), true).unwrap();
        begun.elapsed()
    };
    (0..ROUNDS).map(run).min().unwrap_or_default()
}
