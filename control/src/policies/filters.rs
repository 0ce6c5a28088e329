//! Filters that people bring: modules that others wrote, on their way into sidecars.
//!
//! What a module is, is looked at in `chancery-sdk-admission`; here it is run, and who vouches for it is verified.

pub mod admission;
pub mod attached;
pub mod dry_run;
pub mod errors;
pub mod look;
pub mod modules;
pub mod oci;
pub mod ready;
pub mod signature;
pub mod trial;
