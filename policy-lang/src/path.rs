//! Paths: the one form in which policies see them, and the patterns that match them.
//!
//! ```text
//! what a client sends   /x/../v1//users%3adelete?q
//!     normalise: Envoy      -> /v1/users%3adelete?q    what a filter is shown
//!     decode:    the module -> /v1/users:delete        what rules see, or a refusal
//! ```
//!
//! Rules see a path without its query, as slash-separated segments of bytes whose escapes are undone. A
//! path that could be read in another way is refused before a rule is asked.

mod canonical;
mod normal;

pub use canonical::{Refusal, decode, encode, is_canonical};
pub use normal::normalise;

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

/// The segments of a decoded path: `/` is one empty segment, `/a/` is `a` and an empty one.
/// A path that does not begin with `/` has none.
pub fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.strip_prefix(b"/").into_iter().flat_map(|rest| rest.split(|byte| *byte == b'/'))
}

impl PathPattern {
    /// Whether the pattern matches a decoded path, byte by byte.
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

/// The byte that two hex digits at the beginning say.
pub(crate) fn hex_byte(digits: &[u8]) -> Option<u8> {
    let high = (*digits.first()? as char).to_digit(16)?;
    let low = (*digits.get(1)? as char).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

impl Segment {
    /// Whether it matches one segment of a decoded path.
    #[must_use]
    pub fn matches(&self, segment: &[u8]) -> bool {
        match self {
            Self::Literal(literal) => literal == segment,
            Self::Any => !segment.is_empty(),
        }
    }
}

impl std::fmt::Display for PathPattern {
    /// The pattern as a path token; a capture shows as `*`.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => write!(out, "/{}", encode(literal))?,
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
        Segment::Literal(text.into())
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
