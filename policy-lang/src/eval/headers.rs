//! What becomes of the headers of a request that passes, and of those of the answer to it.
//!
//! Of the operations on one header whose guards match the request, and whose conditions hold of the answer, the one of
//! the narrowest scope is done. All look at the request as it came, and at the answer as the application gave it. A value that no header can have, for it has a line break or another control character,
//! counts as absent: to `set` a header to an absent value is to remove it, to `add` one is nothing.

use super::expression::{Computed, Known, Scope, constant};
use super::{Response, guard_matches};
use crate::checked::{Expr, HeaderChange, Message, Value};
use crate::linked::{LinkedHeader, LinkedProgram, Rank};
use crate::request::{Headers, Request, trim};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What becomes of headers, each one once, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Of the request, as the application gets it.
    pub request: Vec<Change>,
    /// Of the answer, as the caller gets it.
    pub response: Vec<Change>,
}

/// What becomes of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The statement that says so; of several that say the same the first by its id.
    pub by: Arc<str>,
    /// The header, in lower case.
    pub header: Arc<str>,
    /// What.
    pub what: What,
}

/// What a header becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It has this value and no other.
    Set(Vec<u8>),
    /// It has this value too, behind those that it has.
    Added(Vec<u8>),
    /// It is gone.
    Removed,
}

/// What a program makes of the headers of a request that it lets pass, and of this answer to it.
#[must_use]
pub fn header_changes(program: &LinkedProgram, request: &Request, response: &Response) -> Changes {
    let known = Known { decision: None, response: Some(response) };
    let mut scope = Scope::new(request, &program.workload).knowing(known);
    let mut done: BTreeMap<_, (Rank, &LinkedHeader)> = BTreeMap::new();
    for linked in program.traffic.headers.iter().filter(|linked| !linked.shadow) {
        if !is_for(linked, program, request, response) {
            continue;
        }
        let rank = linked.rank();
        let is_first = |(known, before): &(Rank, &LinkedHeader)| {
            rank > *known || (rank == *known && linked.statement.id < before.statement.id)
        };
        if done.get(&rank.place).is_none_or(is_first) {
            done.insert(rank.place.clone(), (rank, linked));
        }
    }
    let mut changes = Changes::default();
    for ((message, header), (_, linked)) in done {
        let value = linked.statement.change.value().and_then(|value| text(scope.value(value)?));
        let what = match (&linked.statement.change, value) {
            (HeaderChange::Set(_), Some(value)) => What::Set(value),
            (HeaderChange::Add(_), Some(value)) => What::Added(value),
            (HeaderChange::Add(_), None) => continue,
            (HeaderChange::Set(_) | HeaderChange::Remove, _) => What::Removed,
        };
        if message == Message::Response && response.code == 0 {
            // There is none.
            continue;
        }
        let list = match message {
            Message::Request => &mut changes.request,
            Message::Response => &mut changes.response,
        };
        list.push(Change { by: linked.statement.id.clone(), header, what });
    }
    changes
}

/// Whether an operation is for a request and this answer to it, whatever others are.
#[must_use]
pub fn is_for(
    linked: &LinkedHeader,
    program: &LinkedProgram,
    request: &Request,
    response: &Response,
) -> bool {
    let known = Known { decision: None, response: Some(response) };
    let holds = |late: &Expr| Scope::new(request, &program.workload).knowing(known).holds(late);
    guard_matches(&linked.statement.guard, &program.workload, request)
        && linked.statement.late.as_ref().is_none_or(|late| holds(late))
}

impl Change {
    /// Does this to headers.
    pub fn apply(&self, headers: &mut Headers) {
        let name = self.header.as_bytes();
        if !matches!(self.what, What::Added(_)) {
            headers.retain(|(known, _)| known != name);
        }
        match &self.what {
            What::Set(value) | What::Added(value) => headers.push((name.to_vec(), value.clone())),
            What::Removed => {}
        }
    }
}

/// A value as a header has it.
fn text(value: Computed) -> Option<Vec<u8>> {
    match value {
        Computed::Bool(value) => Some(value.to_string().into_bytes()),
        Computed::Int(value) => Some(value.to_string().into_bytes()),
        Computed::String(bytes) => fit_for_header(&bytes),
        Computed::Ip(_) | Computed::List(_) => None,
    }
}

/// A constant as a header has it; `None` if none can.
pub(crate) fn text_of_constant(value: &Value) -> Option<Vec<u8>> {
    text(constant(value))
}

/// A text as a header has it, without white space around it; `None` if none can.
#[must_use]
pub(crate) fn fit_for_header(text: &[u8]) -> Option<Vec<u8>> {
    let is_fit = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    text.iter().all(is_fit).then(|| trim(text).to_vec())
}
