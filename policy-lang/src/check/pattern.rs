//! Path patterns and their captures.
//!
//! A pattern is text between slashes as a client would send it: its escapes are undone, as those of a path
//! are before rules see it.

use super::errors;
use super::scope::Captures;
use crate::checked::{PathPattern, Segment};
use crate::diagnostic::{Diagnostic, Findings};
use crate::lex::literal;
use crate::path;
use crate::source::Span;
use crate::syntax::{SyntaxKind, SyntaxToken, SyntaxTree};
use std::collections::BTreeMap;

/// The most segments of a pattern.
pub(crate) const SEGMENTS_MAX: usize = 64;

/// A pattern and at which segment each of its captures stands.
struct Found {
    pattern: PathPattern,
    captures: BTreeMap<String, u16>,
    span: Span,
}

/// The patterns of a match and the captures that its condition may use. `None` if one is wrong.
pub(super) fn check(
    tokens: impl Iterator<Item = SyntaxToken>,
    tree: &SyntaxTree,
    diagnostics: &mut Findings,
) -> Option<(Vec<PathPattern>, Captures)> {
    let mut found = Vec::new();
    let mut all_right = true;
    for token in tokens {
        let text = match token.kind() {
            SyntaxKind::String => literal::string(token.text()),
            _ => token.text().to_owned(),
        };
        match check_one(&text, tree.span(token.text_range())) {
            Ok(pattern) => found.push(pattern),
            Err(diagnostic) => {
                diagnostics.extend(diagnostic.map(|diagnostic| *diagnostic));
                all_right = false;
            }
        }
    }
    let captures = common_captures(&found);
    all_right.then(|| (found.into_iter().map(|found| found.pattern).collect(), captures))
}

/// One pattern; an error without a diagnostic is one that the parser has reported.
fn check_one(text: &str, span: Span) -> Result<Found, Option<Box<Diagnostic>>> {
    if text.contains('?') || !text.starts_with('/') {
        return Err(None);
    }
    let (front, rest) = match text.strip_suffix("/**") {
        Some(front) => (front, true),
        None => (text, false),
    };
    let pieces: Vec<&str> = match front.strip_prefix('/') {
        Some(inner) => inner.split('/').collect(),
        None => Vec::new(),
    };
    if pieces.len() > SEGMENTS_MAX {
        return Err(Some(Box::new(errors::pattern_too_long(span))));
    }
    let mut pattern = PathPattern { segments: Vec::new(), rest };
    let mut captures = BTreeMap::new();
    for (at, piece) in (0_u16..).zip(pieces) {
        let captured = piece.strip_prefix('{').and_then(|piece| piece.strip_suffix('}'));
        let segment = match (piece, captured) {
            (_, Some(name)) => {
                if captures.insert(name.to_owned(), at).is_some() {
                    return Err(Some(Box::new(errors::duplicate_capture(span, name))));
                }
                Segment::Any
            }
            ("*", _) => Segment::Any,
            _ if piece.contains(['*', '{', '}']) => return Err(None),
            _ => match decode_literal(piece.as_bytes()) {
                Ok(literal) => Segment::Literal(literal),
                Err(refusal) => return Err(Some(Box::new(errors::pattern_refused(span, refusal.as_str())))),
            },
        };
        pattern.segments.push(segment);
    }
    check_canonical(&pattern, span).map_err(Some)?;
    Ok(Found { pattern, captures, span })
}

/// The bytes of a literal segment.
fn decode_literal(piece: &[u8]) -> Result<Vec<u8>, path::Refusal> {
    // What its dots and slashes mean depends on the segments around it.
    let decoded = path::decode(&[b"/x", piece].concat())?;
    Ok(decoded.get(2..).unwrap_or_default().to_vec())
}

/// A pattern whose literals could not stand in a path as rules see it would never match.
fn check_canonical(pattern: &PathPattern, span: Span) -> Result<(), Box<Diagnostic>> {
    let behind = if pattern.rest { "/x" } else { "" };
    let example = format!("{}{behind}", PathPattern { rest: false, ..pattern.clone() });
    match path::decode(example.as_bytes()) {
        Ok(_) => Ok(()),
        Err(path::Refusal::EmptySegment | path::Refusal::DotSegment) if has_normal_form(pattern) => {
            Err(Box::new(errors::pattern_not_canonical(span, &normal_form(pattern))))
        }
        Err(refusal) => Err(Box::new(errors::pattern_refused(span, refusal.as_str()))),
    }
}

/// Whether Envoy makes a path out of the pattern that rules see.
fn has_normal_form(pattern: &PathPattern) -> bool {
    path::normalise(pattern.to_string().as_bytes()).is_ok_and(|path| path::is_canonical(&path))
}

/// How Envoy would write the pattern.
fn normal_form(pattern: &PathPattern) -> String {
    let normal = path::normalise(pattern.to_string().as_bytes()).unwrap_or_default();
    String::from_utf8_lossy(&normal).into_owned()
}

fn common_captures(found: &[Found]) -> Captures {
    let mut common = Captures::default();
    for one in found {
        for (name, at) in &one.captures {
            // The first pattern that has it says where it is; so each name is looked for once.
            if common.segments.contains_key(name) || common.uneven.contains_key(name) {
                continue;
            }
            match found.iter().find(|other| other.captures.get(name) != Some(at)) {
                None => {
                    common.segments.insert(name.clone(), *at);
                }
                Some(other) => {
                    common.uneven.insert(name.clone(), other.span);
                }
            }
        }
    }
    common
}
