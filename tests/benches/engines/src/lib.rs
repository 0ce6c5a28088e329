//! What the benchmark `engines` compares: one set of rules as text of each policy language, and each
//! engine made ready to decide prepared requests.
//!
//! ```text
//! Workload --text--> ours (bare, sdk/host), cel, cedar-policy, regorus --decide(request)--> bool
//!     \--requests--> in the native form of each engine, made before anything is timed
//! ```

pub mod cedar;
pub mod cel;
pub mod ours;
pub mod rego;
pub mod workload;

/// An engine with a policy and requests in its own form.
pub trait Engine {
    /// Its name in the table.
    fn name(&self) -> &'static str;
    /// Whether the request of this number is allowed.
    fn decide(&mut self, request: usize) -> anyhow::Result<bool>;
}
