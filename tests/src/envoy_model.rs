//! The model of Envoy, compared with Envoy.
//!
//! What a policy decides depends on what Envoy makes of a request before any filter sees it; the tools
//! believe `request::received`. Here odd requests go out byte by byte to a real Envoy that is
//! configured as a sidecar of the mesh is, and three things must be the same: whether Envoy refuses the
//! request by itself, what it shows to a filter, and what is decided by which rule.
//!
//! ```text
//! seed -> RawRequest -+-- bytes ---> Envoy: dump, module ---> Seen, Verdict -----------------+
//!                     +-- received -> Request -+-> eval, explain -----------------> Verdict -+-> equal?
//!                                              +-> module in sdk/host ------------> Verdict -+
//! ```

mod generate;
mod http1;
mod http2;
mod odd;
mod opinion;
mod policy;
mod proxy;
mod report;
mod shrink;

pub use generate::request;
pub use opinion::{Opinions, Seen, Verdict};
pub use policy::{POLICY, program};
pub use proxy::Proxy;
pub use report::literal;

use crate::random::Random;
use anyhow::Result;
use chancery_policy_lang::request::RawRequest;
use std::collections::BTreeMap;

/// A request about which somebody says something else, as small as possible.
#[derive(Clone, Debug)]
pub struct Difference {
    /// What was sent.
    pub request: RawRequest,
    /// What everybody says of it.
    pub opinions: Opinions,
}

/// What was compared.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many requests were decided so; refusals of Envoy have a name of their own.
    pub verdicts: BTreeMap<String, usize>,
    /// The differences, in order.
    pub differences: Vec<Difference>,
}

/// Compares so many generated requests, until there are enough differences.
///
/// # Errors
/// When somebody could not be asked.
pub fn compare(proxy: &mut Proxy, seed: u64, requests: usize, differences_max: usize) -> Result<Summary> {
    let mut random = Random::new(seed);
    let mut summary = Summary::default();
    for _ in 0..requests {
        let request = request(&mut random);
        let opinions = proxy.ask(&request)?;
        *summary.verdicts.entry(opinions.envoy.name().to_owned()).or_default() += 1;
        if opinions.differ() {
            summary.differences.push(shrink::shrink(proxy, request, opinions)?);
            if summary.differences.len() >= differences_max {
                break;
            }
        }
    }
    Ok(summary)
}
