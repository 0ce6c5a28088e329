//! Plans: what a module decides and how, as plain data. Made by `lower`, read by `classify` and after.
//!
//! Every statement that speaks of requests is a guard that stands in a *strand*. A strand answers either
//! which guard is the first that matches or which ones do, by an index. What an index means is known to
//! the strand's owner alone: classes and tables handle guards of all kinds alike.

mod headers;
mod kept;
mod log;

pub use headers::{HeaderOperation, HeaderPlace, HeadersPlan};
pub use kept::Kept;
pub use log::{FieldPlan, FieldValue, LaterPlan, LogPlan, SamplesPlan};

use crate::checked::{
    Attribute, Choice, CorsRules, Direction, Expr, Fault, Guard, Milliseconds, Mirror, Retry, Template, Way,
};
use crate::decision::UNRESTRICTED;
use crate::literals::{asked_by, attributes_of};
use crate::lower::Answers;
use crate::module::Share;
use crate::source::Span;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a module decides for one workload and direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Of which requests.
    pub direction: Direction,
    /// The SPIFFE trust domain whose identities are services.
    pub trust_domain: String,
    /// The questions that are asked of a request, one for each place in this list.
    pub strands: Vec<Strand>,
    /// What the auth policies make of the answers.
    pub auth: AuthPlan,
    /// What the traffic policies make of them; `None` if they have no limits.
    pub traffic: Option<TrafficPlan>,
    /// What they make of headers; `None` if they change none.
    pub headers: Option<HeadersPlan>,
    /// What the log policies make of them; `None` if there are none.
    pub log: Option<LogPlan>,
    /// What a caller's sidecar makes of them; `None` if it decides nothing.
    pub calls: Option<CallPlan>,
    /// What the proxy is to say to pages of other origins.
    pub cors: Option<CorsRules>,
    /// Names of the policies, sorted.
    pub policies: Vec<String>,
}

impl Plan {
    /// Whether there is anything to be done: else each request passes as it is, and nothing is said of it but that.
    #[must_use]
    pub fn does_something(&self) -> bool {
        self.strands.iter().any(|strand| !strand.entries.is_empty()) || self.says_what_nothing_matches()
    }

    /// Whether something is to be said of a request beside where it goes.
    pub(crate) fn decides_beside_calls(&self) -> bool {
        let has_rules = self.strands.get(self.auth.strand).is_some_and(|strand| !strand.entries.is_empty());
        has_rules || self.traffic.is_some() || self.headers.is_some() || self.says_what_nothing_matches()
    }

    /// Whether something is to be said of requests that no guard matches.
    fn says_what_nothing_matches(&self) -> bool {
        let answers = &self.auth.answers;
        let says = |index: u32| {
            let answer = answers.list.get(index as usize);
            answer.is_none_or(|answer| &*answer.rule != UNRESTRICTED)
        };
        says(answers.otherwise) || answers.shadow_otherwise.is_some_and(says) || self.log.is_some()
    }

    /// Everything that the guards ask about.
    pub(crate) fn asked(&self) -> BTreeSet<Attribute> {
        let mut asked = BTreeSet::new();
        for entry in self.strands.iter().flat_map(|strand| &strand.entries) {
            asked_by(&entry.guard, &mut asked);
        }
        self.computed().for_each(|expr| attributes_of(expr, &mut asked));
        for field in self.log.iter().flat_map(|log| &log.fields) {
            match &field.value {
                FieldValue::Path => drop(asked.insert(Attribute::Path)),
                FieldValue::Text(attribute) => drop(asked.insert(attribute.clone())),
                FieldValue::Computed(_) | FieldValue::Rule | FieldValue::Decision => {}
            }
        }
        asked
    }

    /// What is computed beside conditions: the keys of all limits, the values of headers, and what is logged.
    pub(crate) fn computed(&self) -> impl Iterator<Item = &Arc<Expr>> {
        let limits = self.traffic.iter().flat_map(|traffic| &traffic.limits);
        let keys = limits.flat_map(|limit| &limit.keys);
        keys.chain(self.headers.iter().flat_map(HeadersPlan::expressions))
            .chain(self.log.iter().flat_map(LogPlan::expressions))
    }
}

/// Guards of one purpose.
#[derive(Clone, Debug, PartialEq)]
pub struct Strand {
    /// What it is for, in dumps.
    pub name: &'static str,
    /// What it answers.
    pub pick: Pick,
    /// The guards in the order in which they are asked.
    pub entries: Vec<Entry>,
}

/// What a strand answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// The index of the first entry whose guard matches, if there is one.
    First,
    /// The indexes of all entries whose guards match.
    All,
}

/// A guard in a strand.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it matches. Its paths have their `*` at the same depths, and its peers are of one kind.
    pub guard: Arc<Guard>,
    /// Whether its policy is in shadow mode: it counts only where shadow policies do.
    pub shadow: bool,
    /// What is picked when it matches.
    pub index: u32,
    /// The statement that it comes from.
    pub span: Span,
}

/// What the auth policies decide: the strand `strand` picks an answer by its index in `answers`.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthPlan {
    /// The place of the strand.
    pub strand: usize,
    /// What is said.
    pub answers: Answers,
}

/// What the traffic policies decide: the strand `strand` picks limits by their indexes in `limits`.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficPlan {
    /// The place of the strand.
    pub strand: usize,
    /// The limits.
    pub limits: Vec<LimitPlan>,
    /// Over which replicas limits are shared, each once.
    pub shares: Vec<Share>,
}

/// What a caller's sidecar decides, each by a strand of its own, if there are such statements.
#[derive(Clone, Debug, PartialEq)]
pub struct CallPlan {
    /// Where a request goes.
    pub ways: Option<ChoicePlan<Way>>,
    /// Under which path.
    pub rewrites: Option<ChoicePlan<Template>>,
    /// Where a copy goes.
    pub mirrors: Option<ChoicePlan<Mirror>>,
    /// How long an answer may take.
    pub timeouts: Option<ChoicePlan<Milliseconds>>,
    /// How long it may take at most.
    pub ceilings: Option<ChoicePlan<Milliseconds>>,
    /// When it is sent again.
    pub retries: Option<ChoicePlan<Retry>>,
    /// What is done to it, by a strand that picks all.
    pub faults: Option<ChoicePlan<Fault>>,
    /// How long an answer may take if none of the timeouts matches.
    pub timeout_otherwise: Option<Arc<Choice<Milliseconds>>>,
    /// How long it may take at most if none of the ceilings matches.
    pub ceiling_otherwise: Option<Arc<Choice<Milliseconds>>>,
    /// How long an answer may take where nothing else is decided.
    pub fixed_timeout: Option<Milliseconds>,
}

/// What a strand of a caller's sidecar picks.
#[derive(Clone, Debug, PartialEq)]
pub struct ChoicePlan<T> {
    /// The place of the strand.
    pub strand: usize,
    /// The statements, by index.
    pub choices: Vec<Arc<Choice<T>>>,
}

/// A limit.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitPlan {
    /// Its id.
    pub id: Arc<str>,
    /// How long a bucket takes for a token, in ns.
    pub step_ns: u64,
    /// How long an empty bucket takes to be full, in ns; less than 2^56.
    pub filling_ns: u64,
    /// How many tokens a full one has.
    pub burst: u32,
    /// By what requests are told apart.
    pub keys: Vec<Arc<Expr>>,
    /// Of a limit that replicas share, by its place in [`TrafficPlan::shares`].
    pub share: Option<u32>,
    /// The index of the answer to a request for which no token is left.
    pub answer: u32,
    /// Whether its policy is in shadow mode.
    pub shadow: bool,
}
