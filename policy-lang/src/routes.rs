//! The routes of a caller's sidecar to a service, as plain data: what Envoy does once it is known which statements hold
//! for a request.
//!
//! A request has a *key* that says so: by its way, its retries and its mirror, 16 hex digits each. Where a program
//! decides nothing of them, all requests have the default. The module writes the key of a request into filter state, and
//! Envoy finds the entry of the key. A key says what its entry does, so that a module and a table which reach a sidecar
//! one after the other never make of one another's keys what neither says.

use crate::check::dump::{mirror_text, retry_text, way_text};
use crate::checked::{Choice, Milliseconds, Mirror, Retry, Way, Weighted};
use crate::diagnostic::{Code, Diagnostic};
use crate::linked::{LinkedCalls, Ordered};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Digits of each of the three parts of a key.
pub const PART_DIGITS: usize = 16;
/// A part of a key of which nothing is decided.
pub const NO_PART: &str = "0000000000000000";
/// The most entries of a table: one for each way with each retry and each mirror.
pub const ENTRIES_MAX: usize = 65_536;

const TOO_MANY: Code = Code("E403");

/// What Envoy does with requests to a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteTable {
    /// With those without a key.
    pub default: RouteEntry,
    /// With the others, by key.
    pub entries: BTreeMap<String, RouteEntry>,
    /// How long an answer may take, where the module says nothing else.
    pub timeout: Option<Milliseconds>,
}

/// What Envoy does with some of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteEntry {
    /// Where they go; empty: to the service that was asked for.
    pub to: Vec<Weighted>,
    /// When they are sent again.
    pub retry: Option<Retry>,
    /// Where copies go.
    pub mirror: Option<Mirror>,
    /// The statements that say so, sorted.
    pub stated_by: Vec<Arc<str>>,
    /// Of the default: the route that leads there, if one does. What else leads somewhere, the module counts.
    pub counted: Option<Arc<str>>,
}

/// A part of an entry, with its part of the key and who states it.
type Part<T> = (String, Option<T>, Vec<Arc<str>>);

/// The table of what is said to a caller.
///
/// # Errors
/// If it would have more than [`ENTRIES_MAX`] entries.
pub fn table(calls: &LinkedCalls) -> Result<RouteTable, Box<Diagnostic>> {
    let ways = parts(&calls.ways, destinations, part_of_way);
    let retries = parts(&calls.retries, |retry| Some(retry.clone()), part_of_retry);
    let mirrors = parts(&calls.mirrors, |mirror| Some(mirror.clone()), part_of_mirror);
    let count = ways.len().saturating_mul(retries.len()).saturating_mul(mirrors.len());
    if count > ENTRIES_MAX {
        return Err(Box::new(too_many(calls, count)));
    }
    let mut table = RouteTable { timeout: fixed_timeout(calls), ..RouteTable::default() };
    for (way, to, stated_way) in &ways {
        for (retry, when, stated_retry) in &retries {
            for (mirror, copy, stated_mirror) in &mirrors {
                let mut stated_by: Vec<Arc<str>> =
                    [stated_way, stated_retry, stated_mirror].into_iter().flatten().cloned().collect();
                stated_by.sort();
                let to = to.clone().unwrap_or_default();
                let entry = RouteEntry {
                    to,
                    retry: when.clone(),
                    mirror: copy.clone(),
                    stated_by,
                    counted: calls
                        .ways
                        .otherwise
                        .as_ref()
                        .filter(|_| *way == NO_PART)
                        .map(|choice| choice.id.clone()),
                };
                if [way, retry, mirror].iter().all(|part| *part == NO_PART) {
                    table.default = entry;
                } else {
                    table.entries.insert(format!("{way}{retry}{mirror}"), entry);
                }
            }
        }
    }
    Ok(table)
}

/// How long an answer may take where nothing else is decided of a request.
#[must_use]
pub fn fixed_timeout(calls: &LinkedCalls) -> Option<Milliseconds> {
    let fixed = [&calls.timeouts, &calls.ceilings].map(|ordered| ordered.otherwise.as_ref());
    fixed.into_iter().flatten().map(|choice| choice.does).min()
}

/// The part of a key that says where a request goes. What answers it has none.
#[must_use]
pub fn part_of_way(way: &Way) -> String {
    match way {
        Way::Route(_) => part(&way_text(way).1),
        Way::Redirect { .. } => NO_PART.to_owned(),
    }
}

/// The part of a key that says when a request is sent again.
#[must_use]
pub fn part_of_retry(retry: &Retry) -> String {
    part(&retry_text(retry))
}

/// The part of a key that says where a copy goes.
#[must_use]
pub fn part_of_mirror(mirror: &Mirror) -> String {
    part(&mirror_text(mirror))
}

/// The first digits of the SHA-256 of a text.
fn part(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(PART_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

fn destinations(way: &Way) -> Option<Vec<Weighted>> {
    match way {
        Way::Route(to) => Some(to.clone()),
        Way::Redirect { .. } => None,
    }
}

/// What can be decided, each once by its part of the key, the default first.
fn parts<D, T>(
    ordered: &Ordered<D>,
    value: impl Fn(&D) -> Option<T>,
    key: impl Fn(&D) -> String,
) -> Vec<Part<T>> {
    let fixed = ordered.otherwise.as_ref();
    let default = (
        NO_PART.to_owned(),
        fixed.and_then(|choice| value(&choice.does)),
        fixed.iter().map(|choice| choice.id.clone()).collect(),
    );
    let mut by_key: BTreeMap<String, (Option<T>, Vec<Arc<str>>)> = BTreeMap::new();
    let deciding = |choice: &&Arc<Choice<D>>| key(&choice.does) != NO_PART;
    for choice in ordered.entries.iter().filter(deciding) {
        let entry = by_key.entry(key(&choice.does)).or_insert_with(|| (value(&choice.does), Vec::new()));
        if !entry.1.contains(&choice.id) {
            entry.1.push(choice.id.clone());
        }
    }
    let others = by_key.into_iter().map(|(key, (value, stated))| (key, value, stated));
    std::iter::once(default).chain(others).collect()
}

fn too_many(calls: &LinkedCalls, count: usize) -> Diagnostic {
    let spans = calls.ways.entries.iter().map(|choice| choice.span);
    let spans = spans.chain(calls.retries.entries.iter().map(|choice| choice.span));
    let span = spans.chain(calls.mirrors.entries.iter().map(|choice| choice.span)).min().unwrap_or_default();
    let message =
        format!("routes, retries and mirrors go together in {count} ways; {ENTRIES_MAX} is the limit");
    Diagnostic::error(TOO_MANY, span, message)
        .help("let fewer statements of one of the three speak of some requests only")
}
