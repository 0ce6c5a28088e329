//! Saying a decision: the rule's id in filter state, a counter, and the local reply of a denial.

use super::code::{Body, I32, Local, Operand, Value};
use super::data::Data;
use super::emitter::Emitter;
use super::grpc;
use super::memory::OUT;
use super::parts::Part;
use crate::bug::{Bug, OrBug as _, number};
use crate::decision::{
    BAD_HOST, BAD_METHOD, BAD_PATH, BAD_SIZE, Outcome, TOO_LARGE, TOO_LARGE_STATUS, UNREADABLE,
};
use crate::lower::{Answer, Answers};
use crate::request::REFUSED_STATUS;
use chancery_sdk_abi::{Action, MetricType, host_calls, pairs};
use std::collections::BTreeMap;

/// Says the decision.
pub(super) const ANSWER: Part = Part::new("answer", |emitter, _| emitter.write_answer());
/// Counts one.
pub(super) const COUNT: Part = Part::new("count", |emitter, _| emitter.write_count());

/// The status of the answer to a request of which something cannot be read.
const UNREADABLE_STATUS: u16 = 403;

// A counter: name, its id plus 1 once it is defined, and 2 bytes for the length of the name.
const NAME: u32 = 0;
const DEFINED: u32 = 4;
const NAME_LENGTH: u32 = 8;

// A record is a counter, then 2 bytes each. The rule's id is the end of the counter's name.
const RULE_LENGTH: u32 = 10;
/// 0: allowed.
const STATUS: u32 = 12;

// A wide record goes on: another counter, 4 bytes that are the same for the same rule id, 2 bytes and 4.
const SHADOW_COUNTER: u32 = 14;
const RULE_NUMBER: u32 = 24;
const BODY_LENGTH: u32 = 28;
const BODY: u32 = 30;

/// What the names of counters of decisions begin with.
const COUNTER_PREFIX: &str = "writ.";

/// A counter, at the beginning of a record: `writ.<word>.<id>`.
pub(super) struct Counter;

impl Counter {
    /// How many bytes it takes.
    pub(super) const BYTES: u32 = STATUS;

    /// The bytes of a counter of this word and id.
    pub(super) fn of(word: &str, id: &str, data: &mut Data) -> Result<Vec<u8>, Bug> {
        // Names are limited when a policy is checked.
        let length = |text: &str| u16::try_from(text.len()).ok().or_bug("names are short");
        // The name of the counter ends in the id, so that this needs no room of its own.
        let name = format!("{COUNTER_PREFIX}{word}.{id}");
        let mut record = Record::default();
        record.word(data.string(&name)).word(0).short(length(&name)?).short(length(id)?);
        Ok(record.0)
    }

    /// Where the id of a record lies.
    pub(super) fn rule(record: Local) -> Value {
        record.load32(NAME) + record.load16(NAME_LENGTH) - record.load16(RULE_LENGTH)
    }

    /// How long it is.
    pub(super) fn rule_length(record: Local) -> Value {
        record.load16(RULE_LENGTH)
    }
}

/// Where the answers to requests without a single meaning lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusals {
    pub(super) method: u32,
    pub(super) path: u32,
    pub(super) host: u32,
    pub(super) size: u32,
}

/// Where the records of answers lie.
#[derive(Debug)]
pub(super) struct AnswerRecords {
    /// By index of the answer.
    pub(super) addresses: Vec<u32>,
    pub(super) refusals: Refusals,
    pub(super) otherwise: u32,
    pub(super) shadow_otherwise: Option<u32>,
    pub(super) too_large: u32,
    pub(super) unreadable: u32,
    /// The headers of an answer with a body, and their length; `None` if no answer has one.
    content_type: Option<(u32, u32)>,
}

impl AnswerRecords {
    /// Lays out the answers of a plan.
    pub(super) fn new(answers: &Answers, data: &mut Data) -> Result<Self, Bug> {
        let has_shadow = answers.shadow_otherwise.is_some();
        let mut stated = answers.list.iter().filter_map(|answer| answer.respond.as_ref());
        let has_body = stated.any(|respond| !respond.body.is_empty());
        let is_wide = has_shadow || has_body;
        let mut writer = Writer { data, has_shadow, is_wide, rules: BTreeMap::new() };
        let addresses: Vec<u32> =
            answers.list.iter().map(|answer| writer.answer(answer)).collect::<Result<_, Bug>>()?;
        let refusals = Refusals {
            method: writer.refusal(BAD_METHOD, REFUSED_STATUS)?,
            path: writer.refusal(BAD_PATH, REFUSED_STATUS)?,
            host: writer.refusal(BAD_HOST, REFUSED_STATUS)?,
            size: writer.refusal(BAD_SIZE, REFUSED_STATUS)?,
        };
        let too_large = writer.refusal(TOO_LARGE, TOO_LARGE_STATUS)?;
        let unreadable = writer.refusal(UNREADABLE, UNREADABLE_STATUS)?;
        let at = |index: u32| addresses.get(index as usize).copied().or_bug("each answer has a record");
        let content_type = if has_body {
            let headers = pairs::encode(&[("content-type", "text/plain")]);
            let headers = headers.ok().or_bug("one short header can be encoded")?;
            Some((data.string(&headers), number(headers.len())?))
        } else {
            None
        };
        Ok(Self {
            refusals,
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
    is_wide: bool,
    rules: BTreeMap<String, u32>,
}

impl Writer<'_> {
    fn answer(&mut self, answer: &Answer) -> Result<u32, Bug> {
        let (status, body) = match &answer.respond {
            Some(respond) => (respond.status, respond.body.as_str()),
            None => (0, ""),
        };
        self.record(answer.outcome.as_str(), &answer.rule, status, body)
    }

    fn refusal(&mut self, rule: &str, status: u16) -> Result<u32, Bug> {
        self.record(Outcome::Refused.as_str(), rule, status, "")
    }

    fn record(&mut self, outcome: &str, rule: &str, status: u16, body: &str) -> Result<u32, Bug> {
        // Names and bodies are limited when a policy is checked.
        let length = |text: &str| u16::try_from(text.len()).ok().or_bug("names and bodies are short");
        let mut record = Record(Counter::of(outcome, rule, self.data)?);
        record.short(status);
        if self.is_wide {
            let verdict = if status == 0 { "allowed" } else { "denied" };
            let shadow =
                if self.has_shadow { format!("writ.shadow-{verdict}.{rule}") } else { String::new() };
            let fresh = number(self.rules.len())?;
            let rule_number = *self.rules.entry(rule.to_owned()).or_insert(fresh);
            record.word(self.data.string(&shadow)).word(0).short(length(&shadow)?).word(rule_number);
            record.short(length(body)?).word(self.data.string(body));
        }
        Ok(self.data.record(&record.0))
    }
}

impl Emitter<'_> {
    /// ```text
    /// answer(record):
    ///     set_property("rule", id), if that is wanted; count
    ///     if it is a denial: send_local_response(status, id, body, gRPC status), and pause
    /// ```
    pub(super) fn write_answer(&mut self) -> Body {
        let mut b = Body::new(&[I32], &[I32]);
        let record = b.param(0);
        self.set_property(&mut b, "rule", record);
        let count = self.part(COUNT);
        b.call(count, &[record.into()], &[]);
        let status = b.let_(record.load16(STATUS));
        b.if_(status.eqz(), |b| b.return_value(Action::Continue.number()));
        let nothing = || Value::from(0);
        let (body, body_length, headers, headers_length) = match self.answers.content_type {
            Some((headers, length)) => {
                let body_length = record.load16(BODY_LENGTH);
                let of_body = |value: u32| Value::from(value).when(body_length.clone(), 0);
                (record.load32(BODY), body_length.clone(), of_body(headers), of_body(length))
            }
            None => (nothing(), nothing(), nothing(), nothing()),
        };
        let reply = self.host(
            host_calls::SEND_LOCAL_RESPONSE,
            &[
                status.into(),
                Counter::rule(record),
                Counter::rule_length(record),
                body,
                body_length,
                headers,
                headers_length,
                grpc::status_of(status),
            ],
        );
        b.drop(reply);
        b.push(Action::StopIteration.number());
        b
    }

    /// Whether an answer lets the request pass.
    pub(super) fn passes(&self, answer: Local) -> Value {
        answer.load16(STATUS).eqz()
    }

    /// Reports a shadow decision that says something else: another verdict, or another rule.
    pub(super) fn say_shadow(&mut self, b: &mut Body, answer: Local, shadow: Local) {
        let verdicts = answer.load16(STATUS).eqz().ne(shadow.load16(STATUS).eqz());
        let differs = verdicts | answer.load32(RULE_NUMBER).ne(shadow.load32(RULE_NUMBER));
        let count = self.part(COUNT);
        b.if_(differs, |b| {
            self.set_property(b, "shadow", shadow);
            b.call(count, &[shadow + SHADOW_COUNTER], &[]);
        });
    }

    /// Says the id of a record in filter state, where access logs find it, if that is wanted.
    pub(super) fn set_property(&mut self, b: &mut Body, name: &str, record: Local) {
        if !self.options.rule_in_filter_state {
            return;
        }
        let (address, length) = self.string(name);
        let (rule, rule_length) = (Counter::rule(record), Counter::rule_length(record));
        let arguments = [address.into(), length.into(), rule, rule_length];
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
        self.define(&mut b, counter);
        let id = counter.load32(DEFINED) - 1;
        let status = self.host(host_calls::INCREMENT_METRIC, &[id, 1_i64.into()]);
        b.drop(status);
        b
    }
}

impl Emitter<'_> {
    /// Defines a counter, if that has not been done; without success, the function is over.
    pub(super) fn define(&mut self, b: &mut Body, counter: Local) {
        b.if_(counter.load32(DEFINED).eqz(), |b| {
            let kind = MetricType::Counter.number();
            let arguments = [kind.into(), counter.load32(NAME), counter.load16(NAME_LENGTH), OUT.into()];
            let status = self.host(host_calls::DEFINE_METRIC, &arguments);
            b.if_(status, |b| b.return_());
            b.store32(counter, DEFINED, Value::from(0).load32(OUT) + 1);
        });
    }
}

/// Where the rule's id of a record lies, and its length.
pub(super) fn rule_text(record: Local) -> (Value, Value) {
    (Counter::rule(record), Counter::rule_length(record))
}

/// Where the word for how a record decides lies, and its length: it stands in the name of the counter.
pub(super) fn decision_text(record: Local) -> (Value, Value) {
    let around = (COUNTER_PREFIX.len() + 1) as u32;
    let length = record.load16(NAME_LENGTH) - record.load16(RULE_LENGTH) - around;
    (record.load32(NAME) + COUNTER_PREFIX.len() as u32, length)
}

/// The bytes of a record under construction.
#[derive(Default)]
struct Record(Vec<u8>);

impl Record {
    fn word(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn short(&mut self, value: u16) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }
}
