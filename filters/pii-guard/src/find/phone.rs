//! Telephone numbers in the international form, `+49 30 123456`, and in that of North America, `(212) 555-0123`.
//!
//! Numbers without a plus and without the American form look like any other number, and are not found.

use super::Text;

/// Digits of an international number (E.164); those of shorter ones are in too many other things.
const DIGITS: std::ops::RangeInclusive<usize> = 8..=15;
/// Separators between two digits of an international number.
const SEPARATORS_MAX: usize = 3;
/// How the digits of an American number are grouped.
const AMERICAN: [usize; 3] = [3, 3, 4];

/// The number to which the first of several digits belongs.
pub(crate) fn around(text: Text<'_>, at: usize) -> Option<(usize, usize)> {
    let start = at.checked_sub(1);
    match start.and_then(|start| text.at(start)) {
        Some(b'+') => international(text, at).map(|end| (at - 1, end)),
        Some(b'(') => american(text, at, true).map(|end| (at - 1, end)),
        _ if Text::is_word(text.before(at)) => None,
        _ => american(text, at, false).map(|end| (at, end)),
    }
}

/// Where the international number ends whose first digit stands here: the last of its groups after which it has enough digits.
fn international(text: Text<'_>, start: usize) -> Option<usize> {
    let mut count = 0;
    let mut at = start;
    let mut longest = None;
    while count < *DIGITS.end() {
        if !Text::is_digit(text.at(at)) {
            at += separators_between_digits(text, at)?;
        }
        count += 1;
        at += 1;
        let is_end_of_group = !Text::is_digit(text.at(at));
        if is_end_of_group && DIGITS.contains(&count) {
            longest = Some(at);
        }
        if is_end_of_group && separators_between_digits(text, at).is_none() {
            break;
        }
    }
    longest
}

/// How many separators stand before the next digit; one to three may: `(0)30`, `30-1`, `30 / 1`.
fn separators_between_digits(text: Text<'_>, at: usize) -> Option<usize> {
    let is_separator = |place: usize| text.at(place).is_some_and(|byte| b" -./()".contains(&byte));
    let count = (0..SEPARATORS_MAX).take_while(|more| is_separator(at + more)).count();
    (count > 0 && Text::is_digit(text.at(at + count))).then_some(count)
}

/// Where the American number ends whose first digit stands here.
fn american(text: Text<'_>, start: usize, in_parentheses: bool) -> Option<usize> {
    let mut at = start;
    for (group, length) in AMERICAN.into_iter().enumerate() {
        if group > 0 {
            at += separators(text, at, group == 1 && in_parentheses)?;
        }
        for _ in 0..length {
            if !Text::is_digit(text.at(at)) {
                return None;
            }
            at += 1;
        }
    }
    (!Text::is_word(text.at(at))).then_some(at)
}

/// How many bytes stand between two groups: `-`, `.` or a space; `)` with or without a space.
fn separators(text: Text<'_>, at: usize, closes: bool) -> Option<usize> {
    match (closes, text.at(at)?, text.at(at + 1)) {
        (true, b')', Some(b' ')) => Some(2),
        (true, b')', _) => Some(1),
        (false, b'-' | b'.' | b' ', _) => Some(1),
        _ => None,
    }
}
