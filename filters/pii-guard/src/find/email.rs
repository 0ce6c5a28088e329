//! Addresses of electronic mail, as people have them: no quotation marks, no comments, a domain with a point.

use super::Text;

/// Bytes before the `@` (RFC 5321).
const LOCAL_BYTES_MAX: usize = 64;
/// Bytes behind it.
const DOMAIN_BYTES_MAX: usize = 255;
/// Letters that the last part of a domain has at least.
const LAST_LABEL_BYTES_MIN: usize = 2;

/// The address around an `@`.
pub(crate) fn around(text: Text<'_>, at: usize, from: usize) -> Option<(usize, usize)> {
    let earliest = from.max(at.saturating_sub(LOCAL_BYTES_MAX));
    let local = text.bytes.get(earliest..at)?;
    let length = local.iter().rev().take_while(|byte| is_of_local(**byte)).count();
    let mut start = at - length;
    // No character is cut in two.
    while text.at(start).is_some_and(is_inside_character) {
        start += 1;
    }
    let rest = text.bytes.get(at + 1..)?;
    let domain = rest.get(..rest.len().min(DOMAIN_BYTES_MAX)).unwrap_or_default();
    let mut length = domain.iter().take_while(|byte| is_of_domain(**byte)).count();
    while rest.get(length).copied().is_some_and(is_inside_character) {
        length -= 1;
    }
    let domain = domain.get(..length).unwrap_or_default();
    // A sentence may end behind it.
    let domain = trimmed(domain);
    let point = domain.iter().rposition(|byte| *byte == b'.')?;
    let is_whole = start < at && point > 0 && domain.len() - point > LAST_LABEL_BYTES_MIN;
    is_whole.then(|| (start, at + 1 + domain.len()))
}

fn trimmed(mut domain: &[u8]) -> &[u8] {
    while let Some((b'.' | b'-', rest)) = domain.split_last() {
        domain = rest;
    }
    domain
}

/// Whether a byte is not the first of its character.
fn is_inside_character(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

/// Letters of other alphabets are more bytes than one, all of them beyond ASCII.
fn is_of_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte)
}

fn is_of_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'.' | b'-')
}
