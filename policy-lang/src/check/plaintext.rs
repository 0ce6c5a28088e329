//! Warns of policies that take callers without TLS and let them do what was meant for callers with an identity.

use super::errors::warnings;
use crate::checked::{Attribute, Body, CheckedPolicy, Effect, Mode, Peer, Rule};
use crate::diagnostic::Findings;
use crate::literals::asked_by;
use std::collections::BTreeSet;

/// Looks for allowances that say nothing of the caller, in a policy that takes those without an identity.
pub(super) fn warn(policy: &CheckedPolicy, findings: &mut Findings) {
    let Body::Auth(auth) = &policy.body else { return };
    let Some(plaintext) = auth.plaintext.filter(|plaintext| plaintext.allow) else { return };
    if policy.mode != Mode::Enforce || auth.rules.iter().any(bans_them) {
        return;
    }
    for rule in auth.rules.iter().filter(|rule| rule.effect == Effect::Allow && !asks_who(rule)) {
        let name = rule.id.rsplit('/').next().unwrap_or_default();
        findings.push(warnings::unverified(rule.span, &format!("`{name}`"), plaintext.span));
    }
    if let Some(otherwise) = auth.otherwise.as_ref().filter(|otherwise| otherwise.allow) {
        findings.push(warnings::unverified(otherwise.span, "`otherwise allow`", plaintext.span));
    }
}

/// Whether a rule names callers, or asks about them.
fn asks_who(rule: &Rule) -> bool {
    let names = rule.guard.peers.iter().any(|peer| !matches!(peer, Peer::Anyone));
    names || asked(rule).iter().any(is_of_caller)
}

/// Whether a ban asks about the caller alone, as `deny unless source.mtls` does.
fn bans_them(rule: &Rule) -> bool {
    rule.effect == Effect::Deny
        && rule.guard.methods.is_empty()
        && rule.guard.paths.is_empty()
        && rule.guard.peers.is_empty()
        && asked(rule).contains(&Attribute::SourceMtls)
}

fn asked(rule: &Rule) -> BTreeSet<Attribute> {
    let mut asked = BTreeSet::new();
    asked_by(&rule.guard, &mut asked);
    asked
}

fn is_of_caller(attribute: &Attribute) -> bool {
    matches!(
        attribute,
        Attribute::SourceMtls | Attribute::SourceIp | Attribute::SourcePrincipal | Attribute::Header(_)
    )
}
