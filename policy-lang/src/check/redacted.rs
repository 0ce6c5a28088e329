//! Fields of lines that read what is redacted, by their own policy or by one whose scope is as wide or wider: redaction
//! wins, so such a field is never there, or shows less than its author may think.

use super::errors::log as errors;
use crate::checked::{CheckedPolicy, Direction, Mode, Redact, ServiceRef, Target};
use crate::diagnostic::Findings;
use crate::literals::attributes_of;
use crate::log::{is_whole, origin};
use crate::source::Span;
use std::collections::{BTreeMap, BTreeSet};

/// A redaction: how, by which policy, and where that is written, if it is in a file of the set.
struct Redacted<'a> {
    how: Redact,
    by: &'a str,
    span: Option<Span>,
}

/// What is redacted, by origin, where, and in which direction.
type Everything<'a> = BTreeMap<(String, Target, Direction), Redacted<'a>>;

/// Says which fields of these policies show nothing of their values; those beside them stand in no file of the set.
pub(super) fn warn(policies: &[CheckedPolicy], beside: &[&CheckedPolicy], findings: &mut Findings) {
    let mut redacted = Everything::new();
    policies.iter().for_each(|policy| add(policy, true, &mut redacted));
    beside.iter().for_each(|policy| add(policy, false, &mut redacted));
    for policy in policies {
        for field in policy.log().into_iter().flat_map(|log| &log.fields) {
            let mut asked = BTreeSet::new();
            attributes_of(&field.value, &mut asked);
            // What holds at all targets is what holds at the one where the least is redacted.
            let at_each = policy.targets.iter().map(|scope| {
                let places = asked.iter().flat_map(|attribute| {
                    let key = |target| (origin(attribute), target, scope.direction);
                    around(&scope.target).into_iter().map(key)
                });
                places.filter_map(|place| redacted.get(&place)).max_by_key(|found| found.how)
            });
            let least = at_each.min_by_key(|found| found.map(|found| found.how)).flatten();
            let Some(Redacted { how, by, span }) = least else { continue };
            let place = span.ok_or(*by);
            match how {
                Redact::Drop => findings.push(errors::undone_field(field.span, &field.name, place)),
                how if !is_whole(&field.value) => {
                    findings.push(errors::masked_field(field.span, &field.name, *how, place));
                }
                _ => {}
            }
        }
    }
}

fn add<'a>(policy: &'a CheckedPolicy, is_of_set: bool, redacted: &mut Everything<'a>) {
    if policy.mode == Mode::Off {
        return;
    }
    for redaction in policy.log().into_iter().flat_map(|log| &log.redactions) {
        for scope in &policy.targets {
            let key = (origin(&redaction.source), scope.target.clone(), scope.direction);
            let found =
                Redacted { how: redaction.how, by: &policy.name, span: is_of_set.then_some(redaction.span) };
            match redacted.get_mut(&key) {
                Some(known) if known.how >= found.how => {}
                Some(known) => *known = found,
                None => drop(redacted.insert(key, found)),
            }
        }
    }
}

/// A target, and those that cover it by what they are.
fn around(target: &Target) -> Vec<Target> {
    let mut around = vec![target.clone(), Target::Mesh];
    match target {
        Target::Service(service) => {
            let all = ServiceRef { namespace: service.namespace.clone(), name: "*".to_owned() };
            around.extend([Target::Service(all), Target::Namespace(service.namespace.clone())]);
        }
        Target::Workload { namespace, .. } => around.push(Target::Namespace(namespace.clone())),
        Target::Mesh | Target::Namespace(_) => {}
    }
    around
}
