//! What becomes of a request in the sidecar of its caller, before the target's sees it.

use super::Policies;
use chancery_policy_lang::Span;
use chancery_policy_lang::check::{fault_text, mirror_text, retry_text, share_text};
use chancery_policy_lang::checked::Way;
use chancery_policy_lang::eval::Course;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

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
