//! What becomes of headers: what a module made of them, and what it must make of them.

use chancery_policy_lang::eval::{Change, Response, header_changes};
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::request::{Headers, Request};
use chancery_sdk_host::HeaderMap;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The headers of a request, and of the answer to it, that are not as they came.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Of the request.
    pub request: Differences,
    /// Of the answer.
    pub response: Differences,
}

/// By name, all values in order that a header has in the end, of those that had others before.
pub type Differences = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

/// The headers of the answer that an application gives when a module is run and nothing else is said.
const ANSWER: [(&str, &str); 5] = [
    ("content-type", "text/plain"),
    ("server", "application"),
    ("set-cookie", "a=1"),
    ("set-cookie", "b=2"),
    ("x-tenant", "of the application"),
];

/// The answer that an application gives when a module is run and nothing else is said.
#[must_use]
pub fn answer() -> Response {
    let headers = ANSWER.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    Response { code: 200, attempts: 1, headers: headers.into(), ..Response::default() }
}

impl Changed {
    /// What a program must make of the headers of a request that it lets pass, and of this answer to it.
    #[must_use]
    pub fn by(program: &LinkedProgram, request: &Request, response: &Response) -> Self {
        let changes = header_changes(program, request, response);
        let applied = |before: &Headers, changes: &[Change]| {
            let mut after = before.clone();
            changes.iter().for_each(|change| change.apply(&mut after));
            differences(before, &after)
        };
        Self {
            request: applied(&request.headers, &changes.request),
            response: applied(&response.headers, &changes.response),
        }
    }

    /// What came of both messages.
    pub(super) fn of_maps(request: [&HeaderMap; 2], response: [&HeaderMap; 2]) -> Self {
        let of = |[before, after]: [&HeaderMap; 2]| differences(before.entries(), after.entries());
        Self { request: of(request), response: of(response) }
    }
}

/// The headers of which the values are not the same, with those that they have in the end.
fn differences(before: &[(Vec<u8>, Vec<u8>)], after: &[(Vec<u8>, Vec<u8>)]) -> Differences {
    let of = |headers: &[(Vec<u8>, Vec<u8>)]| {
        let mut values: Differences = BTreeMap::new();
        for (name, value) in headers {
            values.entry(name.clone()).or_default().push(value.clone());
        }
        values
    };
    let (before, mut after) = (of(before), of(after));
    let names: BTreeSet<Vec<u8>> = before.keys().chain(after.keys()).cloned().collect();
    let differ = |name: &Vec<u8>| before.get(name) != after.get(name);
    let names: Vec<Vec<u8>> = names.into_iter().filter(|name| differ(name)).collect();
    let with_values = |name: Vec<u8>| {
        let values = after.remove(&name).unwrap_or_default();
        (name, values)
    };
    names.into_iter().map(with_values).collect()
}

impl fmt::Debug for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |differences: &Differences| -> Vec<String> {
            let line = |(name, values): (&Vec<u8>, &Vec<Vec<u8>>)| {
                let values: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
                format!("{} = {values:?}", String::from_utf8_lossy(name))
            };
            differences.iter().map(line).collect()
        };
        f.debug_struct("Changed")
            .field("request", &shown(&self.request))
            .field("response", &shown(&self.response))
            .finish()
    }
}
