//! Linked programs: all policies that concern one workload in one direction, combined. Made by `link`.

mod calls;
mod headers;
mod log;

pub use calls::{LinkedCalls, Ordered};
pub use headers::{LinkedHeader, Rank};
pub use log::{LinkedField, LinkedLog};

use crate::checked::{Attribute, Cors, Direction, Limit, Respond, Rule, ServiceRef};
use crate::decision::UNRESTRICTED;
use crate::literals::{asked_by, attributes_of, header_of};
use crate::module::{BYTES_SEEN_MAX, QUERY_PARAMETERS_MAX};
use crate::request::{ALWAYS_READ, Refusal, Request, trim};
use std::collections::{BTreeMap, BTreeSet};
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

impl Workload {
    /// A replica of a service of which no label is known.
    #[must_use]
    pub fn of_service(service: &ServiceRef, trust_domain: &str) -> Self {
        Self {
            namespace: service.namespace.clone(),
            service: service.name.clone(),
            labels: BTreeMap::new(),
            trust_domain: trust_domain.to_owned(),
        }
    }
}

/// A program: what one proxy decides in one direction. What kinds of policies state of requests stands
/// beside each other in it, each in a part of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkedProgram {
    /// The workload that requests go to.
    pub workload: Workload,
    /// In whose sidecar: that of this workload, or those of its callers.
    pub direction: Direction,
    /// The identity of the only caller whose sidecar has the program; `None`: callers show theirs.
    pub sender: Option<Arc<str>>,
    /// Who may call what.
    pub auth: LinkedAuth,
    /// What becomes of those who may.
    pub traffic: LinkedTraffic,
    /// What is logged; `None` if no `log` policy concerns the workload: every request, as the sidecar does it.
    pub log: Option<LinkedLog>,
    /// What a caller's sidecar does with requests that pass: only in programs of
    /// [`link_calls`](crate::link::link_calls), whose other parts are what the caller's `outbound` policies say.
    pub calls: LinkedCalls,
    /// Names of the policies linked in, sorted.
    pub policies: Vec<String>,
}

impl LinkedProgram {
    /// The program of a workload of which no policy says anything.
    #[must_use]
    pub fn unrestricted(workload: Workload) -> Self {
        let auth = LinkedAuth {
            rules: Vec::new(),
            otherwise: LinkedOtherwise::unrestricted(),
            shadow_otherwise: None,
        };
        Self {
            workload,
            direction: Direction::Inbound,
            sender: None,
            auth,
            traffic: LinkedTraffic::default(),
            calls: LinkedCalls::default(),
            log: None,
            policies: Vec::new(),
        }
    }

    /// The program without where requests go.
    #[must_use]
    pub fn without_calls(&self) -> Self {
        Self { calls: LinkedCalls::default(), ..self.clone() }
    }

    /// The program with nothing but where requests go.
    #[must_use]
    pub fn calls_alone(&self) -> Self {
        Self {
            direction: self.direction,
            sender: self.sender.clone(),
            calls: self.calls.clone(),
            policies: self.policies.clone(),
            ..Self::unrestricted(self.workload.clone())
        }
    }

    /// How many bytes of a request the policies look at: each value of a header that they ask for, or that
    /// is looked at in any case, with one byte more for each.
    #[must_use]
    pub fn bytes_seen(&self, request: &Request) -> u64 {
        let asked = self.asked();
        let mut names: BTreeSet<Arc<str>> = asked.iter().filter_map(header_of).collect();
        names.extend(ALWAYS_READ.map(Arc::from));
        let of = |name: &str, value: &[u8]| if names.contains(name) { value.len() as u64 + 1 } else { 0 };
        let pseudo = of(":method", &request.method)
            + of(":path", &request.path)
            + of(":authority", &request.authority)
            + of(":scheme", &request.scheme);
        let others = request.headers.iter().map(|(name, value)| match std::str::from_utf8(name) {
            Ok(name) => of(name, value),
            // No policy can ask for such a name.
            Err(_) => 0,
        });
        others.fold(pseudo, u64::saturating_add)
    }

    /// Whether something is to be decided of each request, so that a module is needed.
    #[must_use]
    pub fn decides(&self) -> bool {
        self.calls.decides() || self.decides_beside_calls()
    }

    /// Whether that is so of what is said beside where requests go.
    #[must_use]
    pub fn decides_beside_calls(&self) -> bool {
        let LinkedAuth { rules, otherwise, shadow_otherwise } = &self.auth;
        let says = |otherwise: &LinkedOtherwise| &*otherwise.rule != UNRESTRICTED;
        let who = !rules.is_empty() || says(otherwise) || shadow_otherwise.as_ref().is_some_and(says);
        who || self.has_limits() || !self.traffic.headers.is_empty() || self.log.is_some()
    }

    /// Whether what is decided of a request depends on the requests before it.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        !self.traffic.limits.is_empty()
    }

    /// Why a request is refused before any rule is asked, if it is: it is too long to be judged, or has no single
    /// meaning.
    #[must_use]
    pub fn refusal(&self, request: &Request) -> Option<Refusal> {
        if self.is_too_large(request) { Some(Refusal::TooLarge) } else { request.refusal() }
    }

    /// Whether a request is larger than policies look at.
    fn is_too_large(&self, request: &Request) -> bool {
        if self.bytes_seen(request) > BYTES_SEEN_MAX {
            return true;
        }
        let asks_query = self.asked().iter().any(|attribute| matches!(attribute, Attribute::Query(_)));
        let separators = || {
            let query = crate::path::query(trim(&request.path)).unwrap_or_default();
            query.iter().filter(|byte| **byte == b'&').count()
        };
        asks_query && separators() >= QUERY_PARAMETERS_MAX
    }

    fn asked(&self) -> BTreeSet<Attribute> {
        let mut asked = BTreeSet::new();
        for linked in &self.auth.rules {
            asked_by(&linked.rule.guard, &mut asked);
        }
        for linked in &self.traffic.limits {
            asked_by(&linked.limit.guard, &mut asked);
            linked.limit.keys.iter().for_each(|key| attributes_of(key, &mut asked));
        }
        // Those of shadow policies are never done.
        for linked in self.traffic.headers.iter().filter(|linked| !linked.shadow) {
            asked_by(&linked.statement.guard, &mut asked);
            let expressions = linked.statement.change.value().into_iter().chain(&linked.statement.late);
            expressions.for_each(|value| attributes_of(value, &mut asked));
        }
        if let Some(log) = &self.log {
            log.asked(&mut asked);
        }
        self.calls.guards().for_each(|guard| asked_by(guard, &mut asked));
        asked
    }
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

/// What the `traffic` policies of a program say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkedTraffic {
    /// All limits that concern the workload, folded for it, in an order that depends on their content only.
    /// Of those that refuse a request the first is the one that is named and whose answer is given. As with
    /// rules, several entries may stand for one limit.
    pub limits: Vec<LinkedLimit>,
    /// All operations on headers that concern the workload, in an order that depends on their content only. As
    /// with rules, several entries may stand for one statement.
    pub headers: Vec<LinkedHeader>,
    /// What is stated of pages of other origins, by the enforced policies of the narrowest scope; `None` if nothing is.
    pub cors: Option<Arc<Cors>>,
}

/// A limit in a program.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkedLimit {
    /// The limit; `target.*` is folded in it as in rules.
    pub limit: Arc<Limit>,
    /// Whether its policy is in shadow mode.
    pub shadow: bool,
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

impl LinkedOtherwise {
    /// What holds where no policy says who may call: everybody.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self { rule: UNRESTRICTED.into(), allow: true, respond: None }
    }
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
