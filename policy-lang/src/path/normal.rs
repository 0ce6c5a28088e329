//! What Envoy makes of the bytes that a client sends as a path, before any filter sees them.
//!
//! This is a model of Envoy 1.40 with the options of `docs/embedding.md`, byte for byte; a test compares
//! the two. It only says what is shown to a filter; what of that is refused, the filter decides.

use super::{Refusal, hex_byte};

/// The `:path` (with its query) that a filter is shown when a client sends `raw` to an Envoy with
/// `normalize_path`, `merge_slashes` and `path_with_escaped_slashes_action: REJECT_REQUEST`.
///
/// # Errors
/// When Envoy refuses it, so that no filter sees it.
pub fn normalise(raw: &[u8]) -> Result<Vec<u8>, Refusal> {
    let path = super::without_query(raw);
    let query = raw.get(path.len()..).unwrap_or_default();
    if !path.starts_with(b"/") {
        return Err(Refusal::NotAbsolute);
    }
    if raw.iter().any(|byte| *byte <= b' ' || *byte == b'#' || *byte == 0x7f) {
        return Err(Refusal::Character);
    }
    let is_slash = |piece: &[u8]| matches!(hex_byte(piece), Some(b'/' | b'\\'));
    if path.split(|byte| *byte == b'%').skip(1).any(is_slash) {
        return Err(Refusal::EscapedSlash);
    }
    let mut normal = merge_slashes(&Resolution::of(&without_dot_parameters(path))?);
    normal.extend_from_slice(query);
    Ok(normal)
}

/// `/..;x` made `/..`, and `/.;x` made `/.`; only where the dots stand plain.
fn without_dot_parameters(path: &[u8]) -> Vec<u8> {
    let shortened = path.split(|byte| *byte == b'/').map(|segment| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        if name == b"." || name == b".." { name } else { segment }
    });
    shortened.collect::<Vec<_>>().join(&b'/')
}

/// A path that is being resolved: dots, escapes of bytes that need none, and bytes that need one.
struct Resolution<'a> {
    path: &'a [u8],
    /// Where in the path.
    at: usize,
    out: Vec<u8>,
    /// Where in `out` the last `%` stands that began no escape.
    broken: Option<usize>,
}

impl<'a> Resolution<'a> {
    fn of(path: &'a [u8]) -> Result<Vec<u8>, Refusal> {
        let mut resolution = Self { path, at: 0, out: Vec::new(), broken: None };
        while let Some(byte) = path.get(resolution.at).copied() {
            if resolution.dot_length(resolution.at) > 0 {
                resolution.dots();
            } else if byte == b'%' {
                resolution.escape()?;
            } else {
                resolution.at += 1;
                match byte {
                    b'\\' => resolution.out.push(b'/'),
                    byte if is_escaped(byte) => resolution.out.extend(format!("%{byte:02X}").into_bytes()),
                    byte => resolution.out.push(byte),
                }
            }
        }
        Ok(resolution.out)
    }

    /// How many bytes say a dot there: 1, or 3 for `%2e`.
    fn dot_length(&self, at: usize) -> usize {
        match self.path.get(at..).unwrap_or_default() {
            [b'.', ..] => 1,
            [b'%', b'2', b'e' | b'E', ..] => 3,
            _ => 0,
        }
    }

    /// Takes a dot that stands next: with what follows a segment `.` or `..`, or a dot like any other byte.
    fn dots(&mut self) {
        let first_end = self.at + self.dot_length(self.at);
        let second_end = first_end + self.dot_length(first_end);
        // Behind the segment: nothing, or a slash, which is taken too.
        let segment_end = |end: usize| match self.path.get(end) {
            None => Some(end),
            Some(b'/' | b'\\') => Some(end + 1),
            Some(_) => None,
        };
        if self.out.last() != Some(&b'/') {
            self.out.push(b'.');
            self.at = first_end;
        } else if let Some(end) = segment_end(first_end) {
            self.at = end;
        } else if second_end > first_end
            && let Some(end) = segment_end(second_end)
        {
            self.at = end;
            self.leave_segment();
        } else {
            self.out.push(b'.');
            self.at = first_end;
        }
    }

    /// Takes back the last segment; the root stays.
    fn leave_segment(&mut self) {
        let inner = self.out.get(..self.out.len().saturating_sub(1)).unwrap_or_default();
        let end = inner.iter().rposition(|byte| *byte == b'/').map_or(1, |slash| slash + 1);
        self.out.truncate(end);
        self.broken = self.broken.filter(|broken| *broken < end);
    }

    /// Takes a `%`.
    fn escape(&mut self) -> Result<(), Refusal> {
        let digits = self.path.get(self.at + 1..).unwrap_or_default();
        match hex_byte(digits) {
            None => {
                self.broken = Some(self.out.len());
                self.out.push(b'%');
                self.at += 1;
            }
            Some(0) => return Err(Refusal::EscapedNul),
            Some(byte) if is_unreserved(byte) => {
                self.out.push(byte);
                self.at += 3;
                self.mend_broken(byte);
            }
            Some(_) => {
                self.out.extend(self.path.get(self.at..self.at + 3).unwrap_or_default());
                self.at += 3;
            }
        }
        Ok(())
    }

    /// Where undoing an escape has made one out of a `%` before it, that `%` becomes `%25`.
    fn mend_broken(&mut self, unescaped: u8) {
        let Some(broken) = self.broken else { return };
        let behind = self.out.get(broken + 1..).unwrap_or_default();
        match *behind {
            [only] => {
                let Some(next) = self.path.get(self.at).copied().filter(u8::is_ascii) else { return };
                if hex_byte(&[only, next]).is_some() {
                    self.out.truncate(broken);
                    self.out.extend([b'%', b'2', b'5', unescaped]);
                }
            }
            [first, second] if hex_byte(&[first, second]).is_some() => {
                self.out.truncate(broken);
                self.out.extend([b'%', b'2', b'5', first, unescaped]);
            }
            _ => {}
        }
    }
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

/// The plain bytes that Envoy escapes.
fn is_escaped(byte: u8) -> bool {
    byte <= b' ' || byte >= 0x7f || matches!(byte, b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
}

/// Letters, digits, `-`, `.`, `_`, `~`: bytes whose escapes Envoy undoes.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &[u8], expected: Result<&str, Refusal>) {
        let found = normalise(raw).map(|path| String::from_utf8_lossy(&path).into_owned());
        assert_eq!(found, expected.map(str::to_owned), "{}", raw.escape_ascii());
    }

    #[test]
    fn a_path_is_made_what_envoy_makes_of_it() {
        for raw in [
            "/b",
            "/a/../b",
            "/../../b",
            "/%2e%2e/b",
            "/a/%2e%2E/b",
            "/./b",
            "/%62",
            "/a/..;x=1/b",
            "/.;/b",
            "/%zz/../b",
            "//b",
            "/a//../../b",
            "/a\\..\\b",
            "/a/..;\\x/b",
            "/a/..;%00/b",
        ] {
            check(raw.as_bytes(), Ok("/b"));
        }
        for (raw, shown) in [
            ("/a//b/", "/a/b/"),
            ("/%41bc", "/Abc"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/..", "/"),
            ("/%c3%A9%3b%20", "/%c3%A9%3b%20"),
            ("/a;x=1/b", "/a;x=1/b"),
            ("/a?b=/../c%2f\\%", "/a?b=/../c%2f\\%"),
            ("/a|\"<b>^`{c}'[]", "/a%7C%22%3Cb%3E%5E%60%7Bc%7D'[]"),
            ("/a/..;x", "/"),
            ("/é", "/%C3%A9"),
            // A dot that was escaped, with a parameter: it is unescaped and stays.
            ("/%2e%2e;x", "/..;x"),
            ("/a/%2e%2e;/b", "/a/..;/b"),
            ("/a/%2E;/b", "/a/.;/b"),
            ("/a/.%2e;x=1/b", "/a/..;x=1/b"),
            ("/a/%2e;/..;", "/a/"),
            ("/a/..%3b", "/a/..%3b"),
            // An escape that came to be by undoing another one.
            ("/%4%30", "/%2540"),
            ("/%%34%31", "/%2541"),
            ("/%%34g", "/%4g"),
            ("/%%341", "/%2541"),
            ("/%2%66", "/%252f"),
            ("/%zz%2", "/%zz%2"),
            ("/%2500", "/%2500"),
            ("//", "//"),
            ("/\\.", "//"),
        ] {
            check(raw.as_bytes(), Ok(shown));
        }
        check(b"/\xff", Ok("/%FF"));
    }

    #[test]
    fn what_envoy_refuses_is_refused() {
        for raw in ["/a%2fb", "/a%2Fb", "/a%5cb", "/a%5C/../b", "/..;%2f"] {
            check(raw.as_bytes(), Err(Refusal::EscapedSlash));
        }
        check(b"/%00", Err(Refusal::EscapedNul));
        check(b"/%00/../b", Err(Refusal::EscapedNul));
        for raw in ["/a b", "/a#b", "/a?b#", "/\t", "/a\x7f", "/a\0"] {
            check(raw.as_bytes(), Err(Refusal::Character));
        }
        for raw in ["", "*", "a/b", "?a", "http://a/b"] {
            check(raw.as_bytes(), Err(Refusal::NotAbsolute));
        }
    }
}
