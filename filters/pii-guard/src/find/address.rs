//! IP addresses of both versions.

use super::Text;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Bytes of a group that is looked through for what stands next to it.
const GROUP_BYTES_MAX: usize = 5;
/// Bytes of the longest address, `0000:0000:0000:0000:0000:ffff:255.255.255.255`.
const BYTES_MAX: usize = 45;

/// Whether a point or a colon stands next to the digits, or to the letters around them, at a place: no group of an address is longer.
pub(crate) fn may_be(text: Text<'_>, at: usize) -> bool {
    let is_sign = |byte: Option<u8>| matches!(byte, Some(b'.' | b':'));
    let is_group = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
    let behind = (at..at + GROUP_BYTES_MAX).find(|place| !is_group(text.at(*place)));
    let before =
        (0..GROUP_BYTES_MAX).map(|back| text.before(at.saturating_sub(back))).find(|byte| !is_group(*byte));
    behind.is_some_and(|place| is_sign(text.at(place))) || before.is_some_and(is_sign)
}

/// The address to which a digit belongs.
pub(crate) fn around(text: Text<'_>, at: usize) -> Option<(usize, usize)> {
    if !may_be(text, at) {
        return None;
    }
    let before = text.bytes.get(at.saturating_sub(BYTES_MAX)..at).unwrap_or_default();
    let back = before.iter().rev().take_while(|byte| is_of_address(**byte)).count();
    let start = at - back;
    let rest = text.bytes.get(start..).unwrap_or_default();
    let run = rest.iter().take(BYTES_MAX + 2).take_while(|byte| is_of_address(**byte)).count();
    // A sentence may end behind it.
    let run = trimmed(rest.get(..run).unwrap_or_default());
    let count = |wanted: u8| run.iter().filter(|byte| **byte == wanted).count();
    if count(b'.') < 3 && count(b':') < 2 {
        return None;
    }
    let words = std::str::from_utf8(run).ok()?;
    let is_address = words.parse::<Ipv4Addr>().is_ok() || words.parse::<Ipv6Addr>().is_ok();
    let end = start + run.len();
    let stands_alone = !goes_on(text.before(start)) && !Text::is_word(text.at(end));
    (is_address && stands_alone).then_some((start, end))
}

fn trimmed(run: &[u8]) -> &[u8] {
    match run.split_last() {
        Some((b'.', rest)) => rest,
        Some((b':', rest)) if !rest.ends_with(b":") => rest,
        _ => run,
    }
}

fn is_of_address(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':')
}

fn goes_on(byte: Option<u8>) -> bool {
    Text::is_word(byte) || matches!(byte, Some(b'.' | b':'))
}
