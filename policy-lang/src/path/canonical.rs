//! The canonical form of a path: which paths have a single meaning, and how Envoy makes them.
//!
//! Two servers may read `/a%2fb`, `/a//b` or `/a%252fb` differently; a policy that decides on one
//! reading while the upstream takes the other is a bypass. So a path either has one meaning or is
//! refused.

/// Why no canonical form exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// It does not begin with `/`.
    NotAbsolute,
    /// It has `%2f` or `%5c`, an escaped slash or backslash.
    EscapedSlash,
    /// It has `%00`.
    EscapedNul,
    /// It has a `%` without two hex digits behind it.
    BrokenEscape,
    /// It has `%25` with two hex digits behind it: an escape inside an escape.
    DoubleEscape,
}

impl Refusal {
    /// The refusal in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAbsolute => "a path begins with `/`",
            Self::EscapedSlash => "an escaped slash (`%2f`, `%5c`) has no single meaning",
            Self::EscapedNul => "an escaped NUL (`%00`) is refused",
            Self::BrokenEscape => "`%` needs two hex digits behind it",
            Self::DoubleEscape => "an escape inside an escape (`%25` and two hex digits) is refused",
        }
    }
}

/// Whether a path without query has a single meaning: it begins with `/`; no segment is `.` or
/// `..`, and only the last one is empty; it has no `\`, no broken escape, no `%2f`, `%5c` or `%00`,
/// and no `%25` in front of two hex digits.
#[must_use]
pub fn is_canonical(path: &[u8]) -> bool {
    let Some(inner) = path.strip_prefix(b"/") else { return false };
    let mut segments = inner.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if segment == b"." || segment == b".." || (segment.is_empty() && !is_last) {
            return false;
        }
    }
    !path.contains(&b'\\') && escape_refusal(path).is_none()
}

/// The `:path` (with its query) that the module sees when a client sends `raw` to an Envoy with
/// `normalize_path`, `merge_slashes` and `path_with_escaped_slashes_action: REJECT_REQUEST`.
///
/// # Errors
/// When Envoy or the module would refuse it.
pub fn canonicalise(raw: &[u8]) -> Result<Vec<u8>, Refusal> {
    let path = super::without_query(raw);
    let query = raw.get(path.len()..).unwrap_or_default();
    if !path.starts_with(b"/") {
        return Err(Refusal::NotAbsolute);
    }
    if let Some(refusal) = escape_refusal(path) {
        return Err(refusal);
    }
    let mut canonical = merge_slashes(&remove_dots(&unescape(path)));
    canonical.extend_from_slice(query);
    Ok(canonical)
}

/// The first escape that is refused.
fn escape_refusal(path: &[u8]) -> Option<Refusal> {
    let mut pieces = path.split(|byte| *byte == b'%');
    pieces.next();
    for piece in pieces {
        let Some(byte) = hex_byte(piece) else { return Some(Refusal::BrokenEscape) };
        match byte {
            b'/' | b'\\' => return Some(Refusal::EscapedSlash),
            0 => return Some(Refusal::EscapedNul),
            b'%' if piece.get(2..).and_then(hex_byte).is_some() => return Some(Refusal::DoubleEscape),
            _ => {}
        }
    }
    None
}

/// Escapes of unreserved bytes undone and `\` made `/`, as Envoy does; other escapes stay.
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match (*first, hex_byte(behind)) {
            (b'%', Some(byte)) if is_unreserved(byte) => {
                out.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            (b'\\', _) => out.push(b'/'),
            (byte, _) => out.push(byte),
        }
    }
    out
}

/// `.` and `..` segments resolved; a `..` above the root stays at the root.
fn remove_dots(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = super::segments(path).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    kept.pop();
                }
                if is_last {
                    kept.push(b"");
                }
            }
            _ => kept.push(segment),
        }
    }
    let mut out = vec![b'/'];
    out.extend(kept.join(&b'/'));
    out
}

fn merge_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = path.to_vec();
    out.dedup_by(|second, first| *first == b'/' && *second == b'/');
    out
}

/// The byte that two hex digits at the beginning say.
pub(crate) fn hex_byte(digits: &[u8]) -> Option<u8> {
    let high = (*digits.first()? as char).to_digit(16)?;
    let low = (*digits.get(1)? as char).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// Letters, digits, `-`, `.`, `_`, `~`: bytes that mean the same escaped and plain.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: Result<&str, Refusal>) {
        let found = canonicalise(raw.as_bytes());
        assert_eq!(found, expected.map(|path| path.as_bytes().to_vec()), "{raw}");
        if let Ok(path) = found {
            assert!(is_canonical(crate::path::without_query(&path)), "{raw}");
        }
    }

    #[test]
    fn a_path_is_made_what_envoy_makes_of_it() {
        for raw in ["/b", "/a/../b", "/../../b", "/%2e%2e/b", "/a/%2e%2e/b", "/./b", "/%62"] {
            check(raw, Ok("/b"));
        }
        check("//a", Ok("/a"));
        check("/a//b/", Ok("/a/b/"));
        check("/a\\b", Ok("/a/b"));
        check("/%41bc", Ok("/Abc"));
        check("/a/.", Ok("/a/"));
        check("/a/..", Ok("/"));
        check("/..", Ok("/"));
        check("/%c3%a9", Ok("/%c3%a9"));
        check("/a;x=1/b", Ok("/a;x=1/b"));
        check("/a?b=/../c%2f", Ok("/a?b=/../c%2f"));
    }

    #[test]
    fn a_path_with_two_meanings_is_refused() {
        for raw in ["/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb"] {
            check(raw, Err(Refusal::EscapedSlash));
        }
        check("/%00", Err(Refusal::EscapedNul));
        for raw in ["/a%", "/a%z", "/a%zz", "/%2"] {
            check(raw, Err(Refusal::BrokenEscape));
        }
        check("/a%252fb", Err(Refusal::DoubleEscape));
        for raw in ["", "*", "a/b", "?a", "http://a/b"] {
            check(raw, Err(Refusal::NotAbsolute));
        }
    }

    #[test]
    fn only_a_path_with_one_meaning_is_canonical() {
        for path in ["/", "/a", "/a/", "/a.b/..c/...", "/;", "/%25", "/%25z0", "/%c3%a9", "/é", "/%2e"] {
            assert!(is_canonical(path.as_bytes()), "{path}");
        }
        for path in [
            "", "a", "*", "//", "/a//b", "//a", "/.", "/..", "/a/../b", "/a/.", "/a\\b", "/%", "/%2", "/%zz",
            "/%2f", "/%5C", "/%00", "/%2500", "/a%25ff",
        ] {
            assert!(!is_canonical(path.as_bytes()), "{path}");
        }
    }
}
