//! The routes of a caller's sidecar to a service, as plain data: what Envoy does once it is known which statements hold
//! for a request.
//!
//! A request has a *key* that says so: by its way, its retries and its mirror, 16 hex digits each. Where a program
//! decides nothing of them, all requests have the default. The module writes the key of a request into filter state, and
//! Envoy finds the entry of the key. A key says what its entry does, so that a module and a table which reach a sidecar
//! one after the other never make of one another's keys what neither says.

use crate::check::dump::{mirror_text, retry_text, way_text};
use crate::checked::{Choice, Destination, Milliseconds, Mirror, Retry, Way, Weighted};
use crate::diagnostic::{Code, Diagnostic};
use crate::linked::{LinkedCalls, Ordered};
use crate::source::Span;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Digits of each of the three parts of a key.
pub const PART_DIGITS: usize = 16;
/// A part of a key of which nothing is decided.
pub const NO_PART: &str = "0000000000000000";
/// The most entries of a table: one for each way with each retry and each mirror.
pub const ENTRIES_MAX: usize = 65_536;
/// The most bytes of a table, as they are estimated: a sidecar takes 64 MiB in one message.
pub const TABLE_BYTES_MAX: usize = 48 << 20;
/// What an entry takes beside the names in it: what Envoy is told of a route, with when it tries again.
const ENTRY_BYTES: usize = 640;
/// The most statements of which each of the three parts of an entry is said to be.
const STATED_MAX: usize = 20;

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
    /// Where routes and copies lead, each with the statements that do, sorted.
    pub destinations: BTreeMap<Destination, BTreeSet<Arc<str>>>,
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

impl RouteTable {
    /// What it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let name = |to: &Destination| to.service.namespace.len() + to.service.name.len();
        let of = |entry: &RouteEntry| {
            let stated = entry.stated_by.len() * size_of::<Arc<str>>();
            let to: usize = entry.to.iter().map(|to| size_of::<Weighted>() + name(&to.to)).sum();
            size_of::<RouteEntry>() + 3 * PART_DIGITS + stated + to
        };
        let led = |(to, by): (&Destination, &BTreeSet<Arc<str>>)| {
            size_of::<Destination>() + name(to) + by.len() * size_of::<Arc<str>>()
        };
        of(&self.default)
            + self.entries.values().map(of).sum::<usize>()
            + self.destinations.iter().map(led).sum::<usize>()
    }
}

/// A part of an entry, with its part of the key and who states it.
type Part<T> = (String, Option<T>, Vec<Arc<str>>);

/// The table of what is said to a caller.
///
/// # Errors
/// If it would have more than [`ENTRIES_MAX`] entries, or more than [`TABLE_BYTES_MAX`] bytes.
pub fn table(calls: &LinkedCalls) -> Result<RouteTable, Box<Diagnostic>> {
    let ways = parts(&calls.ways, destinations, part_of_way);
    let retries = parts(&calls.retries, |retry| Some(retry.clone()), part_of_retry);
    let mirrors = parts(&calls.mirrors, |mirror| Some(mirror.clone()), part_of_mirror);
    let count = ways.len().saturating_mul(retries.len()).saturating_mul(mirrors.len());
    if count > ENTRIES_MAX {
        return Err(Box::new(too_many(calls, count)));
    }
    let bytes = table_bytes(&ways, &retries, &mirrors);
    if bytes > TABLE_BYTES_MAX {
        return Err(Box::new(too_large(calls, bytes)));
    }
    let mut table = RouteTable {
        timeout: fixed_timeout(calls),
        destinations: led_to(&ways, &mirrors),
        ..RouteTable::default()
    };
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

/// Where these lead, each with the statements that do.
fn led_to(
    ways: &[Part<Vec<Weighted>>],
    mirrors: &[Part<Mirror>],
) -> BTreeMap<Destination, BTreeSet<Arc<str>>> {
    let routed = ways.iter().flat_map(|(_, to, by)| to.iter().flatten().map(move |to| (&to.to, by)));
    let copied = mirrors.iter().flat_map(|(_, copy, by)| copy.iter().map(move |copy| (&copy.to, by)));
    let mut led: BTreeMap<Destination, BTreeSet<Arc<str>>> = BTreeMap::new();
    for (to, by) in routed.chain(copied) {
        led.entry(to.clone()).or_default().extend(by.iter().cloned());
    }
    led
}

/// What a table of all these together takes, about: each part stands in as many entries as the others go together in.
fn table_bytes(ways: &[Part<Vec<Weighted>>], retries: &[Part<Retry>], mirrors: &[Part<Mirror>]) -> usize {
    let destination = |to: &Destination| {
        let version = to.version.as_ref().map_or(0, String::len);
        to.service.namespace.len() + to.service.name.len() + version
    };
    let stated = |ids: &[Arc<str>]| ids.iter().map(|id| id.len()).sum::<usize>();
    let of_ways: usize = ways
        .iter()
        .map(|(_, to, ids)| stated(ids) + to.iter().flatten().map(|to| destination(&to.to)).sum::<usize>())
        .sum();
    let of_retries: usize = retries.iter().map(|(_, _, ids)| stated(ids)).sum();
    let of_mirrors: usize = mirrors
        .iter()
        .map(|(_, copy, ids)| stated(ids) + copy.as_ref().map_or(0, |copy| destination(&copy.to)))
        .sum();
    let (way_count, retry_count, mirror_count) = (ways.len(), retries.len(), mirrors.len());
    ENTRY_BYTES * way_count * retry_count * mirror_count
        + of_ways * retry_count * mirror_count
        + of_retries * way_count * mirror_count
        + of_mirrors * way_count * retry_count
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
        if entry.1.len() < STATED_MAX && !entry.1.contains(&choice.id) {
            entry.1.push(choice.id.clone());
        }
    }
    let others = by_key.into_iter().map(|(key, (value, stated))| (key, value, stated));
    std::iter::once(default).chain(others).collect()
}

fn too_many(calls: &LinkedCalls, count: usize) -> Diagnostic {
    let message =
        format!("routes, retries and mirrors go together in {count} ways; {ENTRIES_MAX} is the limit");
    Diagnostic::error(TOO_MANY, first_span(calls), message)
        .help("let fewer statements of one of the three speak of some requests only")
}

fn too_large(calls: &LinkedCalls, bytes: usize) -> Diagnostic {
    let message = format!(
        "routes, retries and mirrors together take {} MiB in each caller's sidecar; {} MiB is the limit",
        bytes >> 20,
        TABLE_BYTES_MAX >> 20
    );
    Diagnostic::error(TOO_MANY, first_span(calls), message).help(
        "let fewer statements of one of the three speak of some requests only, or split requests to fewer services",
    )
}

/// Where the first statement stands of which there may be too many.
fn first_span(calls: &LinkedCalls) -> Span {
    let spans = calls.ways.entries.iter().map(|choice| choice.span);
    let spans = spans.chain(calls.retries.entries.iter().map(|choice| choice.span));
    spans.chain(calls.mirrors.entries.iter().map(|choice| choice.span)).min().unwrap_or_default()
}
