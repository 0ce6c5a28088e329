//! Whether two guards meet on a request.

use crate::checked::{Guard, PathPattern, Peer, Segment};
use crate::literals::expression_text;

/// A request that both guards match, in words: of their conditions, what both ask for. `None` if there is no
/// such request as far as methods, paths and callers tell.
pub(super) fn of(one: &Guard, other: &Guard) -> Option<String> {
    let method = method(one, other)?;
    let path = path(one, other)?;
    let peer = peer(one, other)?;
    let from = peer.map(|peer| format!(" from {peer}")).unwrap_or_default();
    let mut conditions: Vec<String> = [one, other]
        .iter()
        .filter_map(|guard| guard.condition.as_ref())
        .map(|expr| expression_text(expr))
        .collect();
    conditions.dedup();
    let conditions: Vec<String> = conditions.into_iter().map(|text| format!("`{text}`")).collect();
    let when =
        if conditions.is_empty() { String::new() } else { format!(" when {}", conditions.join(" and ")) };
    Some(format!("`{method} {path}{from}`{when}"))
}

fn method(one: &Guard, other: &Guard) -> Option<String> {
    let all = |guard: &Guard| guard.methods.is_empty();
    match (all(one), all(other)) {
        (true, true) => Some("GET".to_owned()),
        (true, false) => other.methods.first().cloned(),
        (false, true) => one.methods.first().cloned(),
        (false, false) => one.methods.intersection(&other.methods).next().cloned(),
    }
}

fn path(one: &Guard, other: &Guard) -> Option<String> {
    let any = [PathPattern { segments: Vec::new(), rest: true }];
    let paths = |guard: &'_ Guard| if guard.paths.is_empty() { any.to_vec() } else { guard.paths.clone() };
    let others = paths(other);
    paths(one).iter().find_map(|path| others.iter().find_map(|other| common_path(path, other)))
}

/// A path that both patterns match.
fn common_path(one: &PathPattern, other: &PathPattern) -> Option<String> {
    let mut segments = Vec::new();
    let longest = one.segments.len().max(other.segments.len());
    for at in 0..longest {
        let segment = match (one.segments.get(at), other.segments.get(at)) {
            (Some(one), Some(other)) => common_segment(one, other)?,
            (Some(only), None) if other.rest => only.clone(),
            (None, Some(only)) if one.rest => only.clone(),
            _ => return None,
        };
        segments.push(segment);
    }
    if segments.is_empty() {
        return Some("/".to_owned());
    }
    let example = |segment: &Segment| match segment {
        Segment::Literal(literal) => format!("/{}", crate::path::encode(literal)),
        Segment::Any => "/a".to_owned(),
    };
    Some(segments.iter().map(example).collect())
}

fn common_segment(one: &Segment, other: &Segment) -> Option<Segment> {
    match (one, other) {
        (Segment::Any, Segment::Any) => Some(Segment::Any),
        (Segment::Any, Segment::Literal(literal)) | (Segment::Literal(literal), Segment::Any) => {
            (!literal.is_empty()).then(|| Segment::Literal(literal.clone()))
        }
        (Segment::Literal(one), Segment::Literal(other)) => {
            (one == other).then(|| Segment::Literal(one.clone()))
        }
    }
}

/// A caller that both take, in words; `Some(None)` if both take all.
fn peer(one: &Guard, other: &Guard) -> Option<Option<String>> {
    let all = |guard: &Guard| guard.peers.is_empty() || guard.peers.contains(&Peer::Anyone);
    match (all(one), all(other)) {
        (true, true) => Some(None),
        (true, false) => Some(other.peers.first().and_then(peer_words)),
        (false, true) => Some(one.peers.first().and_then(peer_words)),
        (false, false) => {
            let pairs = one.peers.iter().flat_map(|one| other.peers.iter().map(move |other| (one, other)));
            let mut common = pairs.filter_map(|(one, other)| common_peer(one, other));
            common.next().map(|peer| peer_words(&peer))
        }
    }
}

fn common_peer(one: &Peer, other: &Peer) -> Option<Peer> {
    let narrower = |wide: &Peer, narrow: &Peer| match (wide, narrow) {
        (Peer::Namespace(wide), Peer::Namespace(narrow)) => wide == narrow,
        (Peer::Namespace(wide), Peer::Service(narrow)) => *wide == narrow.namespace,
        (Peer::Service(wide), Peer::Service(narrow)) => {
            wide.namespace == narrow.namespace && (wide.name == "*" || wide.name == narrow.name)
        }
        (Peer::Spiffe(wide), Peer::Spiffe(narrow)) => wide == narrow,
        // An identity in full may be one of a service.
        (Peer::Spiffe(_), Peer::Service(_) | Peer::Namespace(_)) => true,
        _ => false,
    };
    if narrower(one, other) {
        return Some(other.clone());
    }
    narrower(other, one).then(|| one.clone())
}

fn peer_words(peer: &Peer) -> Option<String> {
    match peer {
        Peer::Service(service) if service.name == "*" => Some(format!("namespace {}", service.namespace)),
        Peer::Service(service) => Some(format!("service {}/{}", service.namespace, service.name)),
        Peer::Namespace(namespace) => Some(format!("namespace {namespace}")),
        Peer::Spiffe(id) => Some(format!("spiffe {id:?}")),
        Peer::Ip(_) | Peer::Anyone => None,
    }
}
