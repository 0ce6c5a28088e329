//! Filters that people bring: modules that others wrote, on their way into sidecars.
//!
//! What a module is, is looked at in `chancery-sdk-admission`; here it is run.

pub mod dry_run;
pub mod errors;
