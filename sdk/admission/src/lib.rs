//! Admission of proxy-wasm modules that somebody else wrote: what is wrong with one, and the same module with bounds.
//!
//! ```text
//! bytes --check--> findings
//!    └────instrument (if nothing refuses it)────> module that ends its callbacks in time
//!                                                    └────limit_calls────> one that calls what a policy says
//! ```
//!
//! Envoy 1.40 trusts a module with its life: some shapes of module crash it, an endless loop hangs a worker or, in
//! `proxy_on_configure`, the main thread. Each such shape is refused here, with the remedy, or defused: the module that
//! comes out counts what it does and ends a callback that goes beyond its budget in a trap, has a memory with a
//! maximum, gives the host no memory that is not there, and makes no answer on a stream that it closed.
//!
//! Pure: bytes in, values out; whoever uses it decides where findings are shown and where modules go.

pub mod capability;
mod check;
mod errors;
pub mod finding;
mod instrument;
pub mod limits;
mod outline;

pub use capability::Capability;
pub use finding::{Code, Finding, Place, Severity};
pub use instrument::{CallsNotLimited, Counting, limit_calls};
pub use limits::Terms;

use std::collections::BTreeSet;

/// What came of a module.
#[derive(Clone, Debug)]
pub struct Admission {
    /// All that is wrong with it or odd about it, in the order of its sections.
    pub findings: Vec<Finding>,
    /// What it could make use of, by its imports and callbacks. Many a module has all of them, whatever it does: SDKs do.
    pub uses: BTreeSet<Capability>,
    /// What of that is cut off: the host calls fail with `INTERNAL_FAILURE`, as where Envoy restricts them, and the
    /// callbacks are not there.
    pub withheld: BTreeSet<Capability>,
    /// The module to run; `None` if a finding refuses it.
    pub module: Option<AdmittedModule>,
}

/// A module that may run in a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmittedModule {
    /// The instrumented module.
    pub bytes: Vec<u8>,
    /// The names for Envoy's capability restriction: the host calls that it may make and the callbacks that may be
    /// made of it. Never empty, since to Envoy none means all.
    pub allowed: BTreeSet<String>,
}

impl Admission {
    /// Whether the module may run.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.module.is_some()
    }
}

/// Checks a module and, if nothing refuses it, instruments it.
///
/// Any bytes give an answer, in time that is linear in their number.
#[must_use]
pub fn admit(bytes: &[u8], terms: &Terms) -> Admission {
    let checked = check::check(bytes, terms);
    let mut findings = checked.findings;
    let is_refused = findings.iter().any(Finding::refuses);
    let may = terms.may.as_ref();
    let is_withheld = |capability: &Capability| !capability.is_allowed(may);
    let withheld = checked.uses.iter().copied().filter(is_withheld).collect();
    let mut admission = Admission { findings: Vec::new(), uses: checked.uses, withheld, module: None };
    if let Some(outline) = checked.outline.filter(|_| !is_refused) {
        match instrument::instrument(bytes, &outline, terms) {
            Ok(bytes) => {
                let allowed = capability::allowed(&outline, may);
                admission.module = Some(AdmittedModule { bytes, allowed });
            }
            Err(finding) => findings.push(finding),
        }
    }
    admission.findings = findings;
    admission
}
