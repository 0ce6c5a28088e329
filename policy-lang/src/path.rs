//! Paths: the one form in which policies see them, and the patterns that match them.
//!
//! A path is seen without its query, as slash-separated segments of bytes. [`is_canonical`] says
//! which paths have a single meaning; a request with any other path is refused before a rule is
//! asked. [`canonicalise`] does for the tools what Envoy does before the module sees a request.

mod canonical;

pub(crate) use canonical::hex_byte;
pub use canonical::{Refusal, canonicalise, is_canonical};

use crate::checked::{PathPattern, Segment};

/// The path in front of the first `?`.
#[must_use]
pub fn without_query(path: &[u8]) -> &[u8] {
    path.split(|byte| *byte == b'?').next().unwrap_or_default()
}

/// The query behind the first `?`; `None` if there is no `?`.
#[must_use]
pub fn query(path: &[u8]) -> Option<&[u8]> {
    let at = path.iter().position(|byte| *byte == b'?')?;
    path.get(at + 1..)
}

/// The segments of a path without query: `/` is one empty segment, `/a/` is `a` and an empty one.
/// A path that does not begin with `/` has none.
pub fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.strip_prefix(b"/").into_iter().flat_map(|rest| rest.split(|byte| *byte == b'/'))
}

impl PathPattern {
    /// Whether the pattern matches a path without query, byte by byte.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        if !path.starts_with(b"/") {
            return false;
        }
        let mut actual = segments(path);
        for expected in &self.segments {
            match actual.next() {
                Some(segment) if expected.matches(segment) => {}
                _ => return false,
            }
        }
        self.rest || actual.next().is_none()
    }
}

impl Segment {
    /// Whether it matches one segment of a path.
    #[must_use]
    pub fn matches(&self, segment: &[u8]) -> bool {
        match self {
            Self::Literal(literal) => literal.as_bytes() == segment,
            Self::Any => !segment.is_empty(),
        }
    }
}

impl std::fmt::Display for PathPattern {
    /// The pattern as it is written; a capture shows as `*`.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => write!(out, "/{literal}")?,
                Segment::Any => out.write_str("/*")?,
            }
        }
        if self.rest { out.write_str("/**") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Segment {
        Segment::Literal(text.to_owned())
    }

    fn check(segments: &[Segment], rest: bool, yes: &[&str], no: &[&str]) {
        let pattern = PathPattern { segments: segments.to_vec(), rest };
        for path in yes {
            assert!(pattern.matches(path.as_bytes()), "{pattern} should match {path}");
        }
        for path in no {
            assert!(!pattern.matches(path.as_bytes()), "{pattern} should not match {path}");
        }
    }

    #[test]
    fn a_pattern_matches_whole_segments() {
        check(&[literal("")], false, &["/"], &["", "/a", "//"]);
        check(&[literal("a")], false, &["/a"], &["/", "/a/", "/ab", "/A", "a"]);
        check(&[literal("a"), literal("")], false, &["/a/"], &["/a", "/a/b"]);
        check(&[literal("a"), Segment::Any], false, &["/a/b", "/a/;"], &["/a", "/a/", "/a/b/"]);
    }

    #[test]
    fn a_rest_matches_none_or_more_segments() {
        check(&[], true, &["/", "/a", "/a/b/"], &["", "*"]);
        check(&[literal("a")], true, &["/a", "/a/", "/a/b/c"], &["/", "/ab", "/b/a"]);
        check(&[Segment::Any], true, &["/a", "/a/", "/a/b"], &["/"]);
    }

    #[test]
    fn the_query_is_no_part_of_the_path() {
        assert_eq!(without_query(b"/a?b?c"), b"/a");
        assert_eq!(query(b"/a?b?c"), Some(&b"b?c"[..]));
        assert_eq!(query(b"/a"), None);
    }
}
