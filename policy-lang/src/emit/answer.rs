//! Saying a decision: the rule's id in filter state, a counter, and the local reply of a denial.

use super::code::{Body, I32, Local, Operand, Value};
use super::data::Data;
use super::emitter::Emitter;
use super::memory::OUT;
use super::parts::Part;
use crate::bug::{Bug, OrBug as _, number};
use crate::decision::{TOO_LARGE, UNREADABLE};
use crate::lower::{Answer, Answers};
use chancery_sdk_abi::{Action, MetricType, host_calls, pairs};
use std::collections::BTreeMap;

/// Says the decision.
pub(super) const ANSWER: Part = Part::new("answer", |emitter, _| emitter.write_answer());
/// Counts one.
pub(super) const COUNT: Part = Part::new("count", |emitter, _| emitter.write_count());

/// The word in the counters of requests that cannot be judged.
const REFUSED: &str = "refused";
/// The status of the answer to a request that is larger than the arena.
const TOO_LARGE_STATUS: u32 = 431;
/// The status of the answer to a request of which something cannot be read.
const UNREADABLE_STATUS: u32 = 403;
/// The gRPC status that says there is none.
const NO_GRPC_STATUS: i32 = -1;

// A record is words of 4 bytes at these offsets. Counters are three words each.
const COUNTER: u32 = 0;
const RULE: u32 = 12;
const RULE_LENGTH: u32 = 16;
/// 0: allowed.
const STATUS: u32 = 20;
const BODY: u32 = 24;
const BODY_LENGTH: u32 = 28;
/// From here on only where there are shadow policies.
const SHADOW_COUNTER: u32 = 32;
/// The same number for the same rule id.
const RULE_NUMBER: u32 = 44;

// A counter: name, its length, and its id plus 1 once it is defined.
const NAME: u32 = 0;
const NAME_LENGTH: u32 = 4;
const DEFINED: u32 = 8;

/// Where the records of answers lie.
#[derive(Debug)]
pub(super) struct AnswerRecords {
    /// By index of the answer.
    pub(super) addresses: Vec<u32>,
    pub(super) bad_path: u32,
    pub(super) otherwise: u32,
    pub(super) shadow_otherwise: Option<u32>,
    pub(super) too_large: u32,
    pub(super) unreadable: u32,
    content_type: (u32, u32),
}

impl AnswerRecords {
    /// Lays out the answers of a plan.
    pub(super) fn new(answers: &Answers, data: &mut Data) -> Result<Self, Bug> {
        let has_shadow = answers.shadow_otherwise.is_some();
        let mut writer = Writer { data, has_shadow, rules: BTreeMap::new() };
        let addresses: Vec<u32> =
            answers.list.iter().map(|answer| writer.answer(answer)).collect::<Result<_, Bug>>()?;
        let too_large = writer.record(REFUSED, TOO_LARGE, TOO_LARGE_STATUS, "")?;
        let unreadable = writer.record(REFUSED, UNREADABLE, UNREADABLE_STATUS, "")?;
        let at = |index: u32| addresses.get(index as usize).copied().or_bug("each answer has a record");
        let mut stated = answers.list.iter().filter_map(|answer| answer.respond.as_ref());
        let content_type = if stated.any(|respond| !respond.body.is_empty()) {
            let headers = pairs::encode(&[("content-type", "text/plain")]);
            let headers = headers.ok().or_bug("one short header can be encoded")?;
            (data.string(&headers), number(headers.len())?)
        } else {
            (0, 0)
        };
        Ok(Self {
            bad_path: at(answers.bad_path)?,
            otherwise: at(answers.otherwise)?,
            shadow_otherwise: answers.shadow_otherwise.map(at).transpose()?,
            too_large,
            unreadable,
            content_type,
            addresses,
        })
    }
}

struct Writer<'a> {
    data: &'a mut Data,
    has_shadow: bool,
    rules: BTreeMap<String, u32>,
}

impl Writer<'_> {
    fn answer(&mut self, answer: &Answer) -> Result<u32, Bug> {
        let (status, body) = match &answer.respond {
            Some(respond) => (u32::from(respond.status), respond.body.as_str()),
            None => (0, ""),
        };
        self.record(answer.outcome.as_str(), &answer.rule, status, body)
    }

    fn record(&mut self, outcome: &str, rule: &str, status: u32, body: &str) -> Result<u32, Bug> {
        let length = |text: &str| number(text.len());
        // The name of the counter ends in the rule's id, so that this needs no room of its own.
        let counter = format!("writ.{outcome}.{rule}");
        let name = self.data.string(&counter);
        let body_at = if body.is_empty() { 0 } else { self.data.string(body) };
        let rule_at = name + length(&counter)? - length(rule)?;
        let mut words =
            vec![name, length(&counter)?, 0, rule_at, length(rule)?, status, body_at, length(body)?];
        if self.has_shadow {
            let verdict = if status == 0 { "allowed" } else { "denied" };
            let shadow = format!("writ.shadow-{verdict}.{rule}");
            let fresh = number(self.rules.len())?;
            let rule_number = *self.rules.entry(rule.to_owned()).or_insert(fresh);
            words.extend([self.data.string(&shadow), length(&shadow)?, 0, rule_number]);
        }
        let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        Ok(self.data.table(&bytes))
    }
}

impl Emitter<'_> {
    /// ```text
    /// answer(record):
    ///     set_property("rule", id), if that is wanted; count
    ///     if it is a denial: send_local_response(status, id, body), and pause
    /// ```
    pub(super) fn write_answer(&mut self) -> Body {
        let mut b = Body::new(&[I32], &[I32]);
        let record = b.param(0);
        self.set_property(&mut b, "rule", record);
        let count = self.part(COUNT);
        b.call(count, &[record + COUNTER], &[]);
        let status = b.let_(record.load32(STATUS));
        b.if_(status.eqz(), |b| b.return_value(Action::Continue.number()));
        let body_length = record.load32(BODY_LENGTH);
        let (headers, headers_length) = self.answers.content_type;
        let reply = self.host(
            host_calls::SEND_LOCAL_RESPONSE,
            &[
                status.into(),
                record.load32(RULE),
                record.load32(RULE_LENGTH),
                record.load32(BODY),
                body_length.clone(),
                Value::from(headers).when(body_length.clone(), 0),
                Value::from(headers_length).when(body_length, 0),
                NO_GRPC_STATUS.into(),
            ],
        );
        b.drop(reply);
        b.push(Action::StopIteration.number());
        b
    }

    /// Reports a shadow decision that says something else: another verdict, or another rule.
    pub(super) fn say_shadow(&mut self, b: &mut Body, answer: Local, shadow: Local) {
        let verdicts = answer.load32(STATUS).eqz().ne(shadow.load32(STATUS).eqz());
        let differs = verdicts | answer.load32(RULE_NUMBER).ne(shadow.load32(RULE_NUMBER));
        let count = self.part(COUNT);
        b.if_(differs, |b| {
            self.set_property(b, "shadow", shadow);
            b.call(count, &[shadow + SHADOW_COUNTER], &[]);
        });
    }

    fn set_property(&mut self, b: &mut Body, name: &str, record: Local) {
        if !self.options.rule_in_filter_state {
            return;
        }
        let (address, length) = self.string(name);
        let arguments = [address.into(), length.into(), record.load32(RULE), record.load32(RULE_LENGTH)];
        let status = self.host(host_calls::SET_PROPERTY, &arguments);
        b.drop(status);
    }

    /// ```text
    /// count(counter):
    ///     define it, if that has not been done; without success do nothing
    ///     increment it by 1
    /// ```
    pub(super) fn write_count(&mut self) -> Body {
        let mut b = Body::new(&[I32], &[]);
        let counter = b.param(0);
        b.if_(counter.load32(DEFINED).eqz(), |b| {
            let kind = MetricType::Counter.number();
            let arguments = [kind.into(), counter.load32(NAME), counter.load32(NAME_LENGTH), OUT.into()];
            let status = self.host(host_calls::DEFINE_METRIC, &arguments);
            b.if_(status, |b| b.return_());
            b.store32(counter, DEFINED, Value::from(0).load32(OUT) + 1);
        });
        let id = counter.load32(DEFINED) - 1;
        let status = self.host(host_calls::INCREMENT_METRIC, &[id, 1_i64.into()]);
        b.drop(status);
        b
    }
}
