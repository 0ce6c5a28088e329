//! What a module says when something decides: the rule's id, a status, a body, a counter.

use crate::bug::{Bug, OrBug as _};
use crate::checked::{Effect, Limit, Respond, Rule};
use crate::decision::{DEFAULT_DENY, Outcome};
use crate::eval::DENIED_STATUS;
use crate::linked::{LinkedOtherwise, LinkedProgram};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is said of one decision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Answer {
    /// How it was decided.
    pub outcome: Outcome,
    /// By which rule.
    pub rule: Arc<str>,
    /// The answer to a denied request; `None` if it is allowed.
    pub respond: Option<Respond>,
}

/// All answers of a program, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The answers, sorted.
    pub list: Vec<Answer>,
    /// The index of the one when no rule matches.
    pub otherwise: u32,
    /// The index of the one when no rule of any mode matches, if there are shadow policies.
    pub shadow_otherwise: Option<u32>,
    numbers: BTreeMap<Answer, u32>,
}

impl Answers {
    /// The answers of the policies of a program.
    pub(super) fn new(program: &LinkedProgram) -> Result<Self, Bug> {
        let auth = &program.auth;
        let otherwise = of_otherwise(&auth.otherwise);
        let shadow = auth.shadow_otherwise.as_ref().map(of_otherwise);
        let mut numbers: BTreeMap<Answer, u32> =
            auth.rules.iter().map(|linked| (of_rule(&linked.rule), 0)).collect();
        numbers.insert(otherwise.clone(), 0);
        numbers.extend(shadow.iter().map(|answer| (answer.clone(), 0)));
        numbers.extend(program.traffic.limits.iter().map(|linked| (of_limit(&linked.limit), 0)));
        for (number, slot) in (0..).zip(numbers.values_mut()) {
            *slot = number;
        }
        let list = numbers.keys().cloned().collect();
        let number = |answer: &Answer| numbers.get(answer).copied().or_bug("each answer is numbered");
        Ok(Self {
            list,
            otherwise: number(&otherwise)?,
            shadow_otherwise: shadow.as_ref().map(number).transpose()?,
            numbers,
        })
    }

    /// The index of the answer when a rule decides.
    pub(super) fn of_rule(&self, rule: &Rule) -> Result<u32, Bug> {
        self.numbers.get(&of_rule(rule)).copied().or_bug("each rule of the program has an answer")
    }

    /// The index of the answer when no token of a limit is left.
    pub(super) fn of_limit(&self, limit: &Limit) -> Result<u32, Bug> {
        self.numbers.get(&of_limit(limit)).copied().or_bug("each limit of the program has an answer")
    }
}

fn of_limit(limit: &Limit) -> Answer {
    Answer { outcome: Outcome::Limited, rule: limit.id.clone(), respond: Some(limit.respond.clone()) }
}

fn of_rule(rule: &Rule) -> Answer {
    let (outcome, respond) = match rule.effect {
        Effect::Exempt => (Outcome::Exempt, None),
        Effect::Deny => (Outcome::Denied, Some(stated(rule.respond.as_ref()))),
        Effect::Allow => (Outcome::Allowed, None),
    };
    Answer { outcome, rule: rule.id.clone(), respond }
}

fn of_otherwise(otherwise: &LinkedOtherwise) -> Answer {
    let (outcome, respond) = match otherwise.allow {
        true => (Outcome::OtherwiseAllowed, None),
        false if otherwise.rule.as_ref() == DEFAULT_DENY => (Outcome::DefaultDenied, Some(stated(None))),
        false => (Outcome::OtherwiseDenied, Some(stated(otherwise.respond.as_ref()))),
    };
    Answer { outcome, rule: otherwise.rule.clone(), respond }
}

/// The stated answer, or 403 without a body.
fn stated(respond: Option<&Respond>) -> Respond {
    respond.cloned().unwrap_or(Respond { status: DENIED_STATUS, body: String::new() })
}
