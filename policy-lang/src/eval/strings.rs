//! Functions of strings, over bytes.
//!
//! A string is UTF-8 as a rule, but a header may hold any bytes, so each function is total over
//! bytes. A *character* is a byte that does not continue one (not `10xxxxxx`): for UTF-8 that
//! counts code points.

/// The bytes that `trim` and list splitting remove: ASCII white space.
const WHITE_SPACE: &[u8] = b" \t\n\x0b\x0c\r";

/// How many characters.
pub(super) fn size(text: &[u8]) -> i64 {
    to_i64(text.iter().filter(|byte| starts_character(**byte)).count())
}

/// Whether `needle` stands anywhere; the empty needle always does.
pub(super) fn contains(text: &[u8], needle: &[u8]) -> bool {
    position(text, needle).is_some()
}

/// Without white space at both ends.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !WHITE_SPACE.contains(byte);
    let start = text.iter().position(is_text).unwrap_or(text.len());
    let end = text.iter().rposition(is_text).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

/// The number of characters before the first occurrence; -1 if there is none.
pub(super) fn index_of(text: &[u8], needle: &[u8]) -> i64 {
    position(text, needle).map_or(-1, |at| size(text.get(..at).unwrap_or_default()))
}

/// The characters from `start` up to and without `end`. Positions below 0 count as 0, positions
/// behind the end as the end; empty if `end` does not lie behind `start`.
pub(super) fn substring(text: &[u8], start: i64, end: i64) -> &[u8] {
    text.get(offset(text, start)..offset(text, end)).unwrap_or_default()
}

/// The elements between commas, without white space around them.
pub(super) fn split_list(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b',').map(trim)
}

/// The byte offset of a character: 0 for 0 and below, the length for positions behind the end.
fn offset(text: &[u8], character: i64) -> usize {
    let Some(wanted) = usize::try_from(character).ok().filter(|wanted| *wanted > 0) else { return 0 };
    let starts = text.iter().enumerate().filter(|(_, byte)| starts_character(**byte));
    starts.map(|(at, _)| at).nth(wanted).unwrap_or(text.len())
}

/// Where the needle stands first, by the method of Knuth, Morris and Pratt, whose steps grow with the sum of
/// the lengths only.
fn position(text: &[u8], needle: &[u8]) -> Option<usize> {
    // For each beginning of the needle, how long the longest shorter beginning is that it ends with.
    let mut borders: Vec<usize> = Vec::with_capacity(needle.len());
    let longest = |borders: &[usize], mut length: usize, byte: u8| loop {
        if needle.get(length) == Some(&byte) {
            return length + 1;
        }
        match length.checked_sub(1).and_then(|last| borders.get(last)) {
            Some(shorter) => length = *shorter,
            None => return 0,
        }
    };
    for (at, byte) in needle.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|last| borders.get(last)).copied();
        borders.push(before.map_or(0, |before| longest(&borders, before, *byte)));
    }
    if needle.is_empty() {
        return Some(0);
    }
    let mut matched = 0;
    for (at, byte) in text.iter().enumerate() {
        matched = longest(&borders, matched, *byte);
        if matched == needle.len() {
            return Some(at + 1 - needle.len());
        }
    }
    None
}

fn starts_character(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_occurrence_is_found() {
        for text in ["", "a", "aabaaab", "abababac", "xaaaaab"] {
            for needle in ["", "a", "ab", "aaab", "ababac", "aaaab", "b", "abababacx"] {
                assert_eq!(
                    position(text.as_bytes(), needle.as_bytes()),
                    text.find(needle),
                    "{needle} in {text}"
                );
            }
        }
    }

    #[test]
    fn positions_count_characters() {
        let text = "aé€b".as_bytes();
        assert_eq!(size(text), 4);
        assert_eq!(index_of(text, "€".as_bytes()), 2);
        assert_eq!(index_of(text, b""), 0);
        assert_eq!(index_of(text, b"x"), -1);
        assert_eq!(substring(text, 1, 3), "é€".as_bytes());
        assert_eq!(substring(text, 3, 4), b"b");
    }

    #[test]
    fn a_substring_is_clamped() {
        assert_eq!(substring(b"abc", -5, 2), b"ab");
        assert_eq!(substring(b"abc", 1, i64::MAX), b"bc");
        assert_eq!(substring(b"abc", 2, 1), b"");
        assert_eq!(substring(b"abc", i64::MIN, i64::MIN), b"");
        assert_eq!(substring(b"", 0, 1), b"");
        // Bytes that continue no character belong to what stands before them.
        assert_eq!(substring(b"\x80\x80a\x80b", 0, 1), b"\x80\x80a\x80");
    }

    #[test]
    fn trimming_removes_ascii_white_space_only() {
        assert_eq!(trim(b" \t\r\n\x0b\x0ca b\x00 "), b"a b\x00");
        assert_eq!(trim("\u{a0}a".as_bytes()), "\u{a0}a".as_bytes());
        assert_eq!(trim(b"  "), b"");
        assert_eq!(split_list(b"a, b ,,c").collect::<Vec<_>>(), [&b"a"[..], b"b", b"", b"c"]);
    }
}
