//! Linked programs: all policies that concern one workload in one direction, combined. Made by `link`.

use crate::checked::{Direction, Respond, Rule};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The workload that a program is linked for; everything that `target.*` and scopes depend on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// The namespace.
    pub namespace: String,
    /// The service.
    pub service: String,
    /// Labels of the workload.
    pub labels: BTreeMap<String, String>,
    /// The SPIFFE trust domain whose identities are services, such as `chancery.local`.
    pub trust_domain: String,
}

/// A program: what one proxy decides in one direction. What kinds of policies state of requests stands
/// beside each other in it, each in a part of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkedProgram {
    /// For whom.
    pub workload: Workload,
    /// For which of its requests.
    pub direction: Direction,
    /// Who may call what.
    pub auth: LinkedAuth,
    /// Names of the policies linked in, sorted.
    pub policies: Vec<String>,
}

/// What the `auth` policies of a program say.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkedAuth {
    /// All rules that concern the workload, folded for it, in **decision order**: by effect, then by
    /// an order that depends on the rules' content only. Among the matching rules of the deciding
    /// effect, the first is the one that is named and whose answer is given. A rule whose paths
    /// have `*` at different depths, or whose peers are of several kinds, stands as several entries
    /// of one id, any of which may match.
    pub rules: Vec<LinkedRule>,
    /// What happens when no rule matches, by the enforced policies.
    pub otherwise: LinkedOtherwise,
    /// The same with the shadow policies enforced too; `None` if no shadow policy concerns the workload.
    pub shadow_otherwise: Option<LinkedOtherwise>,
}

/// A rule in a program.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkedRule {
    /// The rule; `target.*` is folded to constants in its condition, except labels that the workload
    /// lacks, which are absent.
    pub rule: Arc<Rule>,
    /// Whether its policy is in shadow mode.
    pub shadow: bool,
}

/// The answer when no rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedOtherwise {
    /// `policy/otherwise`, [`crate::decision::DEFAULT_DENY`] or [`crate::decision::UNRESTRICTED`].
    pub rule: Arc<str>,
    /// Whether it allows.
    pub allow: bool,
    /// The answer to a denied request; `None` is 403 without a body.
    pub respond: Option<Respond>,
}
