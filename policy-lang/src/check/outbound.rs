//! What a policy of requests that leave its target cannot say: it holds in the sidecar of the sender, which knows neither
//! an address of the caller (the application beside it calls) nor the replica that will answer.

use super::calls::place_of;
use super::errors;
use crate::checked::{Attribute, CheckedPolicy, Direction, Expr, Peer};
use crate::diagnostic::Findings;
use crate::literals::{attribute_text, attributes_of};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Says what in a policy cannot hold where requests are sent. A rule that cannot be enforced there is an error.
pub(super) fn check(policy: &CheckedPolicy, findings: &mut Findings) {
    if !policy.targets.iter().any(|scope| scope.direction == Direction::Outbound) {
        return;
    }
    for (guard, span) in policy.guards() {
        if guard.peers.iter().any(|peer| matches!(peer, Peer::Ip(_))) {
            findings.push(errors::address_of_sender(span, "from ip"));
        }
    }
    let fields: Vec<&Arc<Expr>> =
        policy.log().into_iter().flat_map(|log| &log.fields).map(|field| &field.value).collect();
    for expr in policy.expressions() {
        let is_shown = fields.iter().any(|field| Arc::ptr_eq(field, expr));
        unknown_in(expr, is_shown, findings);
    }
    for (word, span) in policy.calls().into_iter().flat_map(|calls| calls.settings.places()) {
        findings.push(errors::setting_of_sender(span, word));
    }
    for limit in policy.limits().iter().filter(|limit| limit.shared) {
        findings.push(errors::shared_of_sender(limit.span));
    }
    if let Some(plaintext) = policy.plaintext() {
        findings.push(errors::plaintext_of_sender(plaintext.span));
    }
    for cors in policy.cors() {
        findings.push(errors::cors_of_sender(cors.span));
    }
}

/// Says of what an expression asks and no sender knows. A line may show the address that Envoy sees.
fn unknown_in(expr: &Arc<Expr>, is_shown: bool, findings: &mut Findings) {
    let mut asked = BTreeSet::new();
    attributes_of(expr, &mut asked);
    for attribute in asked {
        let span = || place_of(expr, &attribute).unwrap_or(expr.span);
        match attribute {
            Attribute::SourceIp | Attribute::SourcePort if !is_shown => {
                findings.push(errors::address_of_sender(span(), &attribute_text(&attribute)));
            }
            Attribute::TargetLabel(_) => {
                findings.push(errors::replica_of_sender(span(), &attribute_text(&attribute)));
            }
            _ => {}
        }
    }
}
