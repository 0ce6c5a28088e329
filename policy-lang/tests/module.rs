//! Compiled modules decide as the evaluator does: policies and requests run through both.
//!
//! The module runs in the project's own proxy-wasm host, on the very bytes that would ship; what
//! it says is compared with [`chancery_policy_lang::eval::evaluate`]: verdict, status, body, rule,
//! shadow report and counters.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]
#![expect(clippy::panic, reason = "a test says what is wrong by panicking")]

#[path = "module/addresses.rs"]
mod addresses;
#[path = "module/answers.rs"]
mod answers;
#[path = "module/conditions.rs"]
mod conditions;
#[path = "module/cost.rs"]
mod cost;
#[path = "module/generated.rs"]
mod generated;
#[path = "module/headers.rs"]
mod headers;
#[path = "module/hostile.rs"]
mod hostile;
#[path = "module/in_hand.rs"]
mod in_hand;
#[path = "module/limits.rs"]
mod limits;
#[path = "module/logs.rs"]
mod logs;
#[path = "module/order.rs"]
mod order;
#[path = "module/rules.rs"]
mod rules;
#[path = "module/run.rs"]
mod run;
#[path = "module/shares.rs"]
mod shares;
#[path = "module/sizes.rs"]
mod sizes;
