//! Generated policies and requests through a real pair of Envoys, compared with the evaluator.
//!
//! ```text
//! seed -+-> Sketch -> text --- applied ---> control plane ---> sidecars
//!       |     \--> programs of callers and replicas ------------------------+
//!       \-> RawRequest -> caller's Envoy -> replica's Envoy -> application  |
//!                \            |  \               |                 |        |
//!                 \--> Course |   reply          lines             heard    |
//!                             line: which replica                           |
//!                              \-------------------> what each of them must be
//! ```
//!
//! Two services call `shop/orders`, of which there are two versions. Requests follow each other, so that lines and what
//! an application heard can be told apart by their order. Which replica a request went to, where several are allowed,
//! the caller's line says; all else is foretold. What nobody can foretell is not generated (by `steady`), or such
//! requests are not made: a second try that may go to either of two replicas. Of routes by weight the sums over all
//! requests are compared with the shares. Requests that a caller's Envoy refuses by itself are made, too.

mod called;
mod expected;
mod fate;
mod followed;
mod pages;
mod run;
mod shares;
mod shown;

pub use run::{Extent, Summary, compare};

use crate::differential::Sketch;
use anyhow::{Result, ensure};

/// What requests have that is other each time, and what stands in its place.
const UNSTEADY: [(&str, &str); 12] = [
    ("x-request-id", "x-b"),
    ("request.id", "headers[\"x-a\"]"),
    ("source.port", "request.size"),
    ("response.duration", "response.code"),
    ("response.size", "response.code"),
    ("response.flags", "[\"none\"]"),
    ("upstream.address", "response.headers[\"x-a\"]"),
    ("upstream.failure", "response.headers[\"x-b\"]"),
    ("upstream.attempts", "response.code"),
    // A bucket must not fill within a comparison.
    ("limit 1/m", "limit 1/h"),
    ("sample 50%", "sample 100%"),
    ("limit 40/d", "limit 1/h"),
];

/// The text of a sketch, of which two runs say the same. Policies have names of this set of policies, for the buckets
/// of limits outlive a module.
fn steady(sketch: &Sketch, set: usize) -> String {
    let mut sketch = sketch.clone();
    for policy in &mut sketch.policies {
        policy.name = format!("{}-{set}", policy.name);
    }
    UNSTEADY.iter().fold(sketch.text(), |text, (from, to)| text.replace(from, to))
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, expected: &T) -> Result<()> {
    ensure!(got == expected, "{what} is {got:?}, not {expected:?}");
    Ok(())
}
