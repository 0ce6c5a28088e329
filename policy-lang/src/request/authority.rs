//! The authority of a request: one host, and perhaps a port.

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    /// In lower case, without dots at its end.
    pub(crate) host: Vec<u8>,
    pub(crate) port: Option<u16>,
}

/// The host and port that an authority says. `None` unless it is letters, digits, `.`, `_` and `-`, or such
/// with colons in brackets (an address, of which no more is asked), and then perhaps a colon with a number
/// up to 65535 or nothing behind it. Dots at the end of a name do not count.
pub(crate) fn parse(authority: &[u8]) -> Option<Authority> {
    let host_end = match authority.strip_prefix(b"[") {
        Some(inner) => inner.iter().position(|byte| *byte == b']')? + 2,
        None => authority.iter().position(|byte| *byte == b':').unwrap_or(authority.len()),
    };
    let (host, behind) = authority.split_at_checked(host_end)?;
    let is_name = |text: &[u8], marks: &[u8]| {
        let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || marks.contains(byte);
        !text.is_empty() && text.iter().all(is_allowed)
    };
    let is_right = match host.strip_prefix(b"[").and_then(|inner| inner.strip_suffix(b"]")) {
        Some(inner) => is_name(inner, b"._-:"),
        None => is_name(host, b"._-"),
    };
    let dots = host.iter().rev().take_while(|byte| **byte == b'.').count();
    let name = host.get(..host.len().saturating_sub(dots)).unwrap_or_default();
    is_right.then_some(Authority { host: name.to_ascii_lowercase(), port: port(behind)? })
}

/// The number behind the colon, if there is one: `Some(None)` without.
fn port(behind: &[u8]) -> Option<Option<u16>> {
    match behind {
        [] | [b':'] => Some(None),
        [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => {
            // Any number of zeros may stand in front.
            let number = digits.iter().try_fold(0_u16, |number, digit| {
                number.checked_mul(10)?.checked_add(u16::from(digit - b'0'))
            });
            number.map(Some)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(authority: &str, expected: Option<(&str, Option<u16>)>) {
        let found = parse(authority.as_bytes());
        let expected = expected.map(|(host, port)| Authority { host: host.as_bytes().to_vec(), port });
        assert_eq!(found, expected, "{authority}");
    }

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        check("Shop.Example:8080", Some(("shop.example", Some(8080))));
        check("shop.example", Some(("shop.example", None)));
        check("shop.example.", Some(("shop.example", None)));
        check("shop.example..", Some(("shop.example", None)));
        check("a..b", Some(("a..b", None)));
        check("..", Some(("", None)));
        check("shop.example.:080", Some(("shop.example", Some(80))));
        check("shop:", Some(("shop", None)));
        check("a_b-c.1:0", Some(("a_b-c.1", Some(0))));
        check("[::1]:80", Some(("[::1]", Some(80))));
        check("[::FFFF:1.2.3.4]", Some(("[::ffff:1.2.3.4]", None)));
        check("127.0.0.1:65535", Some(("127.0.0.1", Some(65535))));
        check("80", Some(("80", None)));
    }

    #[test]
    fn what_is_no_host_or_several_is_refused() {
        for authority in [
            "",
            ":80",
            "a,b",
            "a, b",
            "user@a",
            "a b",
            "a%62",
            "é",
            "*",
            "a~b",
            "a:x",
            "a:-1",
            "a:80:80",
            "a:65536",
            "a:99999999999999999999",
            "::1",
            "[::1",
            "[]",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[a b]",
            "a]",
            "a[::1]",
        ] {
            check(authority, None);
        }
    }
}
