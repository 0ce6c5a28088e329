//! What a caller's sidecar does with a request: the definition.

use super::guard_matches;
use crate::checked::{Choice, Fault, Guard, Milliseconds, Mirror, Piece, Retry, Template, Way};
use crate::linked::{LinkedProgram, Ordered};
use crate::path;
use crate::request::{Request, trim};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What becomes of a request in its caller's sidecar.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// The faults that match, each once; whether one happens is drawn by its share.
    pub faults: Vec<Arc<Choice<Fault>>>,
    /// Where it goes; `None`: to the service that was asked for.
    pub way: Option<Arc<Choice<Way>>>,
    /// What `location` says, if the way is a redirect.
    pub location: Option<Vec<u8>>,
    /// Under which path it is sent.
    pub rewrite: Option<Arc<Choice<Template>>>,
    /// `:path` with the query, by that.
    pub path: Option<Vec<u8>>,
    /// Where a copy goes.
    pub mirror: Option<Arc<Choice<Mirror>>>,
    /// How long the answer may take.
    pub timeout: Option<Arc<Choice<Milliseconds>>>,
    /// When it is sent again.
    pub retry: Option<Arc<Choice<Retry>>>,
}

/// What a program of callers does with a request; `None` if it is refused, for it has no single meaning.
#[must_use]
pub fn course(program: &LinkedProgram, request: &Request) -> Option<Course> {
    if program.refusal(request).is_some() {
        return None;
    }
    let calls = &program.calls;
    let matches = |guard: &Guard| guard_matches(guard, &program.workload, request);
    let mut seen = BTreeSet::new();
    let faults = calls.faults.iter().filter(|fault| matches(&fault.guard) && seen.insert(fault.id.clone()));
    let faults = faults.cloned().collect();
    let way = first(&calls.ways, &matches);
    let location = way.as_ref().and_then(|way| match &way.does {
        Way::Redirect { location, .. } => Some(with_query(built(location, request), request)),
        Way::Route(_) => None,
    });
    let timeout = first(&calls.timeouts, &matches);
    let ceiling = first(&calls.ceilings, &matches);
    let rewrite = first(&calls.rewrites, &matches);
    Some(Course {
        faults,
        way,
        location,
        path: rewrite.as_ref().map(|rewrite| with_query(built(&rewrite.does, request), request)),
        rewrite,
        mirror: first(&calls.mirrors, &matches),
        timeout: [timeout, ceiling].into_iter().flatten().min_by_key(|choice| choice.does),
        retry: first(&calls.retries, &matches),
    })
}

fn first<T>(ordered: &Ordered<T>, matches: &impl Fn(&Guard) -> bool) -> Option<Arc<Choice<T>>> {
    let matching = ordered.entries.iter().find(|choice| matches(&choice.guard));
    matching.or(ordered.otherwise.as_ref()).cloned()
}

/// The text of a template for a request, with escapes as [`path::encode`] makes them.
fn built(template: &Template, request: &Request) -> Vec<u8> {
    let decoded = request.decoded_path();
    let mut text = Vec::new();
    for piece in &template.pieces {
        match piece {
            Piece::Text(piece) => text.extend(piece.as_bytes()),
            Piece::Segment(number) => {
                let segment = path::segments(&decoded).nth(usize::from(*number)).unwrap_or_default();
                text.extend(path::encode(segment).into_bytes());
            }
            Piece::Rest(number) => {
                for segment in path::segments(&decoded).skip(usize::from(*number)) {
                    text.push(b'/');
                    text.extend(path::encode(segment).into_bytes());
                }
            }
        }
    }
    if text.is_empty() {
        text.push(b'/');
    }
    text
}

/// The text with the query of the request, unless it has one of its own.
fn with_query(mut text: Vec<u8>, request: &Request) -> Vec<u8> {
    if let Some(query) = path::query(trim(&request.path))
        && !text.contains(&b'?')
    {
        text.push(b'?');
        text.extend(query);
    }
    text
}
