//! The values of literals, from their text.
//!
//! Functions give `None` for text that is not a well-formed literal; the lexer uses them to find such
//! literals and says so, so that later stages need not. [`string`] always gives a value.

/// Milliseconds of the units of durations.
const DURATION_UNITS: [(&str, i64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
/// Bytes of the units of sizes.
const SIZE_UNITS: [(&str, i64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
/// Seconds of the units of rates.
const RATE_UNITS: [(&str, u32); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];

/// What is wrong with an escape in a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEscape {
    /// Byte offset of its backslash in the token.
    pub start: usize,
    /// Byte offset behind it.
    pub end: usize,
}

/// A number, `12` or `0x1f`, up to 2^63 - 1.
#[must_use]
pub fn int(text: &str) -> Option<i64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The number 2^63, which is there with a `-` before it only: the least number.
#[must_use]
pub fn is_least_without_sign(text: &str) -> bool {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number == Ok(1 << 63)
}

/// A size such as `64KiB`, in bytes.
#[must_use]
pub fn size_bytes(text: &str) -> Option<i64> {
    let (number, unit) = split_unit(text);
    let (_, bytes) = SIZE_UNITS.into_iter().find(|(name, _)| *name == unit)?;
    int(number)?.checked_mul(bytes)
}

/// A duration such as `250ms`, in milliseconds.
#[must_use]
pub fn duration_ms(text: &str) -> Option<i64> {
    let (number, unit) = split_unit(text);
    let (_, ms) = DURATION_UNITS.into_iter().find(|(name, _)| *name == unit)?;
    int(number)?.checked_mul(ms)
}

/// A rate such as `100/s`: how often, in how many seconds.
#[must_use]
pub fn rate(text: &str) -> Option<(i64, u32)> {
    let (number, unit) = text.split_once('/')?;
    let (_, seconds) = RATE_UNITS.into_iter().find(|(name, _)| *name == unit)?;
    Some((int(number)?, seconds))
}

/// A percentage such as `0.1%`, in millionths; at most four digits behind the point, at most 100 %.
#[must_use]
pub fn percent_millionths(text: &str) -> Option<u32> {
    const DIGITS: usize = 4;
    let number = text.strip_suffix('%')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > DIGITS {
        return None;
    }
    let millionths: u32 = format!("{whole}{fraction:0<DIGITS$}").parse().ok()?;
    (millionths <= 1_000_000).then_some(millionths)
}

/// Whether text is a date of the calendar, `YYYY-MM-DD`.
#[must_use]
pub fn is_date(text: &str) -> bool {
    let mut parts = text.split('-').map(str::parse::<u32>);
    let (Some(Ok(year)), Some(Ok(month)), Some(Ok(day))) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// The value of a string token: its escapes replaced, unless it is raw (`r"…"`). An escape that is
/// not well formed is left out; a missing closing quote does not matter.
#[must_use]
pub fn string(token: &str) -> String {
    let mut value = String::with_capacity(token.len());
    read_string(token, &mut value);
    value
}

/// The escapes of a string token that are not well formed.
#[must_use]
pub fn bad_escapes(token: &str) -> Vec<BadEscape> {
    read_string(token, &mut String::new())
}

fn read_string(token: &str, value: &mut String) -> Vec<BadEscape> {
    let raw = token.starts_with('r');
    let mut characters = token.char_indices().skip(usize::from(raw));
    let Some((_, quote)) = characters.next() else { return Vec::new() };
    let mut bad = Vec::new();
    while let Some((start, character)) = characters.next() {
        if character == quote {
            break;
        }
        if character != '\\' || raw {
            value.push(character);
            continue;
        }
        let mut end = start + 1;
        let mut next = || {
            let (at, character) = characters.next()?;
            end = at + character.len_utf8();
            Some(character)
        };
        match escape(&mut next) {
            Some(character) => value.push(character),
            None => bad.push(BadEscape { start, end }),
        }
    }
    bad
}

/// The character of an escape whose backslash has been read.
fn escape(next: &mut impl FnMut() -> Option<char>) -> Option<char> {
    let digits = match next()? {
        'n' => return Some('\n'),
        'r' => return Some('\r'),
        't' => return Some('\t'),
        quoted @ ('\\' | '"' | '\'') => return Some(quoted),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let mut code = 0_u32;
    for _ in 0..digits {
        code = code.checked_mul(16)? | next()?.to_digit(16)?;
    }
    char::from_u32(code)
}

/// The digits in front, and the rest.
pub(super) fn split_unit(text: &str) -> (&str, &str) {
    text.split_at_checked(text.bytes().take_while(u8::is_ascii_digit).count()).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_units_have_values() {
        assert_eq!(int("12"), Some(12));
        assert_eq!(int("0x1F"), Some(31));
        assert_eq!(int("9223372036854775807"), Some(i64::MAX));
        assert_eq!(int("9223372036854775808"), None);
        assert_eq!(size_bytes("64KiB"), Some(65_536));
        assert_eq!(size_bytes("9223372036854775807GiB"), None);
        assert_eq!(duration_ms("2m"), Some(120_000));
        assert_eq!(rate("100/s"), Some((100, 1)));
        assert_eq!(percent_millionths("0.1%"), Some(1_000));
        assert_eq!(percent_millionths("100%"), Some(1_000_000));
        assert_eq!(percent_millionths("100.1%"), None);
        assert_eq!(percent_millionths("0.00001%"), None);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert!(is_date("2028-02-29"));
        assert!(!is_date("2027-02-29"));
        assert!(!is_date("2027-13-01"));
        assert!(!is_date("2027-01-00"));
    }

    #[test]
    fn escapes_are_replaced_and_bad_ones_found() {
        assert_eq!(string(r#""a\"b\\c\n\x41\u00e9\U0001F600""#), "a\"b\\c\nAé😀");
        assert_eq!(string(r#"r"\d+""#), r"\d+");
        assert_eq!(string("'it is \"so\"'"), "it is \"so\"");
        assert_eq!(bad_escapes(r#""a\qb""#), [BadEscape { start: 2, end: 4 }]);
        assert_eq!(bad_escapes(r#""\uD800""#), [BadEscape { start: 1, end: 7 }]);
        assert_eq!(bad_escapes("\"\\"), [BadEscape { start: 1, end: 2 }]);
        assert_eq!(string("\"open"), "open");
    }
}
