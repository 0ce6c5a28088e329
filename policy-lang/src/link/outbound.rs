//! What the `outbound` policies of a caller say of its requests to a service: who may be asked what, how much of it,
//! which headers it has, and what is logged. It holds in the caller's own sidecar.
//!
//! Who sends is known: `from` and `source.*` are constants. `target.*` is the service that is called.

use super::hidden::may_hide;
use super::{At, auth, headers, is_in_force, limits, log, sinks};
use crate::budget::Budget;
use crate::checked::{Body, CheckedPolicy, TrafficBody};
use crate::diagnostic::Diagnostic;
use crate::linked::{LinkedCalls, LinkedProgram, LinkedTraffic, Workload};
use crate::request::{Request, ServiceIdentity};
use crate::sinks::STDOUT;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A request that a workload sends, of which nothing is known but who sends it.
pub(super) fn request_of(caller: &Workload) -> Request {
    let service =
        crate::checked::ServiceRef { namespace: caller.namespace.clone(), name: caller.service.clone() };
    let mut request = Request::default();
    request.source.principal =
        Some(ServiceIdentity::new(&caller.trust_domain, &service).to_string().into_bytes());
    request.source.mtls = true;
    request
}

/// The identity of who sends a request.
pub(super) fn sender_of(request: &Request) -> Option<Arc<str>> {
    let principal = request.source.principal.as_deref()?;
    std::str::from_utf8(principal).ok().map(Arc::from)
}

/// The program without where requests go; `None` if no policy says anything else. The policies are sorted by name.
pub(super) fn link(
    policies: &[&CheckedPolicy],
    at: At<'_>,
    budget: &mut Budget,
) -> Result<Option<LinkedProgram>, Vec<Diagnostic>> {
    let concerned: Vec<&CheckedPolicy> = policies
        .iter()
        .copied()
        .filter(|policy| is_in_force(policy) && says_more_than_where(policy) && at.reach(policy).is_some())
        .collect();
    if concerned.is_empty() {
        return Ok(None);
    }
    // What the service that is called keeps from its lines, it keeps from those of its callers.
    let hiding: Vec<&CheckedPolicy> =
        policies.iter().copied().filter(|policy| may_hide(policy, at.workload)).collect();
    let goals = sinks::goals(&concerned, policies.iter().copied())?;
    let names = concerned.iter().map(|policy| policy.name.clone());
    let sent_to = goals.keys().filter(|name| &***name != STDOUT).map(|name| name.to_string());
    let names: BTreeSet<String> = names.chain(sent_to).collect();
    Ok(Some(LinkedProgram {
        workload: at.workload.clone(),
        direction: at.direction,
        sender: None,
        auth: auth(&concerned, at, budget)?,
        traffic: LinkedTraffic {
            limits: limits(&concerned, at, budget).map_err(|overrun| vec![overrun.diagnostic()])?,
            headers: headers::headers(&concerned, at, budget)?,
            // Pages ask the service, not its callers.
            cors: None,
        },
        log: log::of_all(&concerned, &hiding, goals, at, budget)?,
        calls: LinkedCalls::default(),
        policies: names.into_iter().collect(),
    }))
}

/// Whether a policy says anything of requests but where they go.
fn says_more_than_where(policy: &CheckedPolicy) -> bool {
    match &policy.body {
        Body::Auth(_) | Body::Log(_) => true,
        Body::Traffic(TrafficBody { limits, headers, .. }) => !limits.is_empty() || !headers.is_empty(),
        Body::Filter(_) | Body::Sink(_) => false,
    }
}
