//! What a path means: the bytes that rules see, and which paths have none.
//!
//! Two servers may read `/a%2fb`, `/a//b` or `/a%252fb` differently; a policy that decides on one
//! reading while the upstream takes the other is a bypass. And `/a:b` and `/a%3Ab` are read alike by
//! every server, so they must be one path for a policy too. Hence a path is *decoded*, once, and one
//! that could be read in another way is refused.

use super::hex_byte;

/// Why a path has no single meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// It does not begin with `/`.
    NotAbsolute,
    /// It has a character that no path has as it stands, such as a space or `#`.
    Character,
    /// It has `%2f` or `%5c`, an escaped slash or backslash.
    EscapedSlash,
    /// It has `%00`.
    EscapedNul,
    /// It has a `%` without two hex digits behind it.
    BrokenEscape,
    /// Decoded, it has a `%` with two hex digits behind it: an escape inside an escape.
    DoubleEscape,
    /// It has a `\`, which some servers take for a slash.
    Backslash,
    /// A segment in front of the last one is empty.
    EmptySegment,
    /// Decoded, a segment is `.` or `..`, alone or in front of a `;` or a `?`.
    DotSegment,
}

impl Refusal {
    /// The refusal in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAbsolute => "a path begins with `/`",
            Self::Character => "a path has no space, no control character and no `#` as it stands",
            Self::EscapedSlash => "an escaped slash (`%2F`, `%5C`) has no single meaning",
            Self::EscapedNul => "an escaped NUL (`%00`) is refused",
            Self::BrokenEscape => "`%` needs two hex digits behind it",
            Self::DoubleEscape => "an escape inside an escape (`%25` in front of two hex digits) is refused",
            Self::Backslash => "`\\` is a slash for some and none for others",
            Self::EmptySegment => "two slashes in a row are one for some and two for others",
            Self::DotSegment => {
                "a segment `.` or `..`, also escaped or with `;` behind it, is another path for some"
            }
        }
    }
}

/// The bytes of a path without query that rules see: its escapes undone.
///
/// # Errors
/// When it has no single meaning.
pub fn decode(path: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        match hex_byte(behind) {
            None => return Err(Refusal::BrokenEscape),
            Some(b'/' | b'\\') => return Err(Refusal::EscapedSlash),
            Some(0) => return Err(Refusal::EscapedNul),
            Some(byte) => decoded.push(byte),
        }
        rest = behind.get(2..).unwrap_or_default();
    }
    match decoded_refusal(&decoded) {
        Some(refusal) => Err(refusal),
        None => Ok(decoded),
    }
}

/// Whether a path without query has a single meaning.
#[must_use]
pub fn is_canonical(path: &[u8]) -> bool {
    decode(path).is_ok()
}

/// What keeps a decoded path from having a single meaning.
fn decoded_refusal(path: &[u8]) -> Option<Refusal> {
    let Some(inner) = path.strip_prefix(b"/") else { return Some(Refusal::NotAbsolute) };
    let mut segments = inner.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Some(Refusal::EmptySegment);
        }
        let name = segment.split(|byte| *byte == b';' || *byte == b'?').next().unwrap_or_default();
        if name == b"." || name == b".." {
            return Some(Refusal::DotSegment);
        }
    }
    if path.contains(&b'\\') {
        return Some(Refusal::Backslash);
    }
    let mut escapes = path.split(|byte| *byte == b'%').skip(1);
    // A piece ends at the next `%`, which is no digit.
    escapes.any(|piece| hex_byte(piece).is_some()).then_some(Refusal::DoubleEscape)
}

/// The bytes of a decoded path as a URI: what no path segment has as it stands is escaped, and so is
/// what a pattern would take for a part of itself.
#[must_use]
pub fn encode(decoded: &[u8]) -> String {
    let mut out = String::with_capacity(decoded.len());
    for byte in decoded {
        match byte {
            b'/' => out.push('/'),
            byte if byte.is_ascii_alphanumeric() || b"-._~!$&'+;=:@".contains(byte) => {
                out.push(char::from(*byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_are_one() {
        for (path, meaning) in [
            ("/", "/"),
            ("/a/", "/a/"),
            ("/v1/users:delete", "/v1/users:delete"),
            ("/v1/users%3adelete", "/v1/users:delete"),
            ("/v1/users%3Adelete", "/v1/users:delete"),
            ("/caf%c3%a9", "/café"),
            ("/caf%C3%A9", "/café"),
            ("/Orders%285%29", "/Orders(5)"),
            ("/u/%40admin%20x", "/u/@admin x"),
            ("/%41%7e", "/A~"),
            ("/a;b%3bc%3f%23", "/a;b;c?#"),
            ("/%25", "/%"),
            ("/%25z0/%2", ""),
            ("/%25zz", "/%zz"),
            ("/...", "/..."),
            ("/..a/.b", "/..a/.b"),
        ] {
            let found = decode(path.as_bytes()).unwrap_or_default();
            assert_eq!(String::from_utf8_lossy(&found), meaning, "{path}");
            if !meaning.is_empty() {
                assert_eq!(decode(encode(&found).as_bytes()), Ok(found), "{path}");
            }
        }
    }

    #[test]
    fn a_path_with_two_meanings_is_refused() {
        for (path, refusal) in [
            ("", Refusal::NotAbsolute),
            ("a/b", Refusal::NotAbsolute),
            ("*", Refusal::NotAbsolute),
            ("/a%2fb", Refusal::EscapedSlash),
            ("/a%5Cb", Refusal::EscapedSlash),
            ("/%00", Refusal::EscapedNul),
            ("/%", Refusal::BrokenEscape),
            ("/a%2", Refusal::BrokenEscape),
            ("/%zz", Refusal::BrokenEscape),
            ("/%252f", Refusal::DoubleEscape),
            ("/%25%34%31", Refusal::DoubleEscape),
            ("//", Refusal::EmptySegment),
            ("/a//b", Refusal::EmptySegment),
            ("/.", Refusal::DotSegment),
            ("/a/../b", Refusal::DotSegment),
            ("/a/%2e%2E/b", Refusal::DotSegment),
            ("/a/..;x/b", Refusal::DotSegment),
            ("/a/..%3b/b", Refusal::DotSegment),
            ("/.%3fb", Refusal::DotSegment),
            ("/.;", Refusal::DotSegment),
            ("/a\\b", Refusal::Backslash),
        ] {
            assert_eq!(decode(path.as_bytes()), Err(refusal), "{path}");
        }
    }
}
