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
    /// It has an escape of a byte that means the same without, such as `%2e`. Envoy undoes these,
    /// so only a path that was not normalised has one.
    NeedlessEscape,
    /// It is two or more slashes and nothing else, which Envoy does not merge to one.
    OnlySlashes,
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
            Self::NeedlessEscape => "an escape of a letter, a digit, `-`, `.`, `_` or `~` was not undone",
            Self::OnlySlashes => "a path of several slashes and nothing else is refused",
        }
    }
}

/// Whether a path without query has a single meaning: it begins with `/`; no segment is `.` or
/// `..`, alone or with parameters (`..;x`), and only the last one is empty; it has no `\`, no broken
/// escape, no `%2f`, `%5c` or `%00`, no escape of a letter, a digit, `-`, `.`, `_` or `~`, and no
/// `%25` in front of two hex digits.
#[must_use]
pub fn is_canonical(path: &[u8]) -> bool {
    let Some(inner) = path.strip_prefix(b"/") else { return false };
    let mut segments = inner.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        if name == b"." || name == b".." || (segment.is_empty() && !is_last) {
            return false;
        }
    }
    !path.contains(&b'\\') && escape_refusals(path).next().is_none()
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
    // What Envoy refuses, it refuses as it was sent; the rest is refused by the module, which sees
    // what Envoy made of it.
    let by_envoy = |refusal: &Refusal| matches!(refusal, Refusal::EscapedSlash | Refusal::EscapedNul);
    if let Some(refusal) = escape_refusals(path).find(by_envoy) {
        return Err(refusal);
    }
    let mut canonical = merge_slashes(&remove_dots(&unescape(path)));
    if let Some(refusal) = escape_refusals(&canonical).next() {
        return Err(refusal);
    }
    if canonical.len() > 1 && canonical.iter().all(|byte| *byte == b'/') {
        return Err(Refusal::OnlySlashes);
    }
    canonical.extend_from_slice(query);
    Ok(canonical)
}

/// The escapes that are refused, in order.
fn escape_refusals(path: &[u8]) -> impl Iterator<Item = Refusal> {
    path.split(|byte| *byte == b'%').skip(1).filter_map(|piece| match hex_byte(piece) {
        None => Some(Refusal::BrokenEscape),
        Some(b'/' | b'\\') => Some(Refusal::EscapedSlash),
        Some(0) => Some(Refusal::EscapedNul),
        Some(byte) if is_unreserved(byte) => Some(Refusal::NeedlessEscape),
        // Behind `%25` the piece goes on up to the next `%`.
        Some(b'%') if piece.get(2..).and_then(hex_byte).is_some() => Some(Refusal::DoubleEscape),
        Some(_) => None,
    })
}

/// Escapes of unreserved bytes undone, `\` made `/`, and some plain bytes escaped, as Envoy does;
/// other escapes stay.
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
            (byte, _) if is_escaped(byte) => out.extend(format!("%{byte:02X}").into_bytes()),
            (byte, _) => out.push(byte),
        }
    }
    out
}

/// `.` and `..` segments resolved, also with parameters behind them (`..;x`), as Envoy does; a `..`
/// above the root stays at the root.
fn remove_dots(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = super::segments(path).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        if name != b"." && name != b".." {
            kept.push(segment);
            continue;
        }
        if name == b".." {
            kept.pop();
        }
        if is_last {
            kept.push(b"");
        }
    }
    let mut out = vec![b'/'];
    out.extend(kept.join(&b'/'));
    out
}

/// Several slashes made one; a path of slashes only is made two, as Envoy does.
fn merge_slashes(path: &[u8]) -> Vec<u8> {
    if path.len() > 1 && path.iter().all(|byte| *byte == b'/') {
        return b"//".to_vec();
    }
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

/// The plain bytes that Envoy escapes.
fn is_escaped(byte: u8) -> bool {
    byte <= b' ' || byte >= 0x7f || matches!(byte, b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
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
        for raw in [
            "/b",
            "/a/../b",
            "/../../b",
            "/%2e%2e/b",
            "/a/%2e%2e/b",
            "/./b",
            "/%62",
            "/a/..;x=1/b",
            "/.;/b",
            "/%zz/../b",
        ] {
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
        check("/a|\"<b>^`{c}'", Ok("/a%7C%22%3Cb%3E%5E%60%7Bc%7D'"));
        check("/a/..;x", Ok("/"));
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
        check("/%2%66", Err(Refusal::EscapedSlash));
        for raw in ["//", "///", "/\\", "//."] {
            check(raw, Err(Refusal::OnlySlashes));
        }
        for raw in ["", "*", "a/b", "?a", "http://a/b"] {
            check(raw, Err(Refusal::NotAbsolute));
        }
    }

    #[test]
    fn only_a_path_with_one_meaning_is_canonical() {
        for path in ["/", "/a", "/a/", "/a.b/..c/...", "/;", "/%25", "/%25z0", "/%c3%a9", "/é", "/a;/..a;x"]
        {
            assert!(is_canonical(path.as_bytes()), "{path}");
        }
        for path in [
            "",
            "a",
            "*",
            "//",
            "/a//b",
            "//a",
            "/.",
            "/..",
            "/a/../b",
            "/a/.",
            "/a\\b",
            "/%",
            "/%2",
            "/%zz",
            "/%2f",
            "/%5C",
            "/%00",
            "/%2500",
            "/a%25ff",
            "/%2e",
            "/a/%2E%2e/b",
            "/%41",
            "/%7E",
            "/a/..;/b",
            "/.;x",
        ] {
            assert!(!is_canonical(path.as_bytes()), "{path}");
        }
    }
}
