//! What becomes of a request in the sidecar of its caller, before the target's sees it.

use super::{Decided, Policies};
use chancery_policy_lang::Span;
use chancery_policy_lang::check::{fault_text, mirror_text, retry_text, share_text};
use chancery_policy_lang::checked::{FaultKind, Way};
use chancery_policy_lang::eval::Course;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// What becomes of a request that a fault answers.
pub(super) const ABORTED: &str = "aborted";
/// What becomes of a request that is redirected.
pub(super) const REDIRECTED: &str = "redirected";
/// The share of a fault that always happens, in millionths.
const ALWAYS: u32 = 1_000_000;

/// One thing that is done to a request there.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    /// In words.
    does: String,
    /// The statement that says so.
    by: String,
    /// `file:line` of it.
    place: String,
}

/// How a request is answered that never leaves the sidecar; `None` if it does, or by chance.
pub(super) fn answered(policies: Policies<'_>, course: &Course) -> Option<Decided> {
    let aborts = course.faults.iter().find_map(|fault| match fault.does.kind {
        FaultKind::Abort(status) if fault.does.share == ALWAYS => Some((status, &fault.id, fault.span)),
        _ => None,
    });
    let redirects = || match &course.way.as_ref()?.does {
        Way::Redirect { status, .. } => course.way.as_ref().map(|way| (*status, &way.id, way.span)),
        Way::Route(_) => None,
    };
    let of = |outcome, (status, id, span): (u16, &Arc<str>, Span)| Decided {
        allow: false,
        outcome,
        rule: id.to_string(),
        place: Some(policies.sources.location(span)),
        status: Some(status),
        body: None,
    };
    aborts.map(|by| of(ABORTED, by)).or_else(|| redirects().map(|by| of(REDIRECTED, by)))
}

/// All that is done to a request, in the order in which it is done.
pub(super) fn steps(policies: Policies<'_>, course: &Course) -> Vec<Step> {
    let step = |does: String, by: &Arc<str>, span: Span| {
        let place = policies.sources.location(span);
        Step { does, by: by.to_string(), place }
    };
    let mut steps = Vec::new();
    for fault in &course.faults {
        steps.push(step(format!("fault {}", fault_text(&fault.does)), &fault.id, fault.span));
    }
    if let Some(way) = &course.way {
        let does = match (&way.does, &course.location) {
            (Way::Redirect { status, .. }, Some(location)) => {
                format!("redirected with {status} to {}", String::from_utf8_lossy(location))
            }
            (Way::Redirect { status, .. }, None) => format!("redirected with {status}"),
            (Way::Route(to), _) => match to.as_slice() {
                [only] => format!("sent to {}", only.to),
                several => {
                    let each = several
                        .iter()
                        .map(|weighted| format!("{} {}", weighted.to, share_text(weighted.share)));
                    format!("sent to {}", each.collect::<Vec<_>>().join(" or "))
                }
            },
        };
        steps.push(step(does, &way.id, way.span));
    }
    if course.location.is_some() {
        return steps;
    }
    if let (Some(rewrite), Some(path)) = (&course.rewrite, &course.path) {
        steps.push(step(format!("as {}", String::from_utf8_lossy(path)), &rewrite.id, rewrite.span));
    }
    if let Some(timeout) = &course.timeout {
        steps.push(step(
            format!("answered within {} ms, or with 504", timeout.does.0),
            &timeout.id,
            timeout.span,
        ));
    }
    if let Some(retry) = &course.retry {
        steps.push(step(format!("tried again {}", retry_text(&retry.does)), &retry.id, retry.span));
    }
    if let Some(mirror) = &course.mirror {
        steps.push(step(format!("copied, {}", mirror_text(&mirror.does)), &mirror.id, mirror.span));
    }
    steps
}

impl fmt::Display for Step {
    /// `sent to shop/checkout@v2 by checkout/canary (checkout.writ:3)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { does, by, place } = self;
        write!(f, "{does} by {by} ({place})")
    }
}
