//! Numbers of payment cards: 13 to 19 digits, in groups or not, that begin as a brand's do and have the check digit of Luhn.

use super::Text;

/// Digits that a number has.
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Whether a brand's numbers begin with the digit at a place.
pub(crate) fn may_begin(text: Text<'_>, at: usize) -> bool {
    matches!(text.at(at), Some(b'2'..=b'6'))
}

/// The number that begins at a digit before which there is none.
pub(crate) fn at(text: Text<'_>, start: usize) -> Option<(usize, usize)> {
    if !may_begin(text, start) {
        return None;
    }
    let mut digits = [0_u8; *DIGITS.end()];
    let mut count = 0;
    let mut at = start;
    let mut longest = None;
    loop {
        let byte = text.at(at);
        match byte {
            Some(digit) if digit.is_ascii_digit() => {
                let Some(place) = digits.get_mut(count) else { break };
                *place = digit - b'0';
                count += 1;
                at += 1;
                // A group that goes on is no end.
                if !Text::is_digit(text.at(at)) && is_number(digits.get(..count).unwrap_or_default()) {
                    longest = Some((start, at));
                }
            }
            Some(b' ' | b'-') if Text::is_digit(text.at(at + 1)) => at += 1,
            _ => break,
        }
    }
    longest
}

/// Whether these digits are a card's number.
fn is_number(digits: &[u8]) -> bool {
    DIGITS.contains(&digits.len()) && is_of_a_brand(digits) && has_check_digit(digits)
}

/// Whether brands give out numbers that begin so (ISO/IEC 7812), of this length.
fn is_of_a_brand(digits: &[u8]) -> bool {
    let first =
        |count: usize| digits.iter().take(count).fold(0_u32, |sum, digit| sum * 10 + u32::from(*digit));
    match (first(1), digits.len()) {
        // Mastercard; Visa; American Express; JCB, Diners; Maestro, Discover, UnionPay.
        (2, 16) => (2221..=2720).contains(&first(4)),
        (4, 13 | 16 | 19) => true,
        (3, 15) => matches!(first(2), 34 | 37),
        (3, length) => length >= 14 && matches!(first(2), 30 | 35 | 36 | 38 | 39),
        (5 | 6, _) => true,
        _ => false,
    }
}

/// Luhn: every second digit from the right is doubled, and the sum of all digits is a multiple of ten.
fn has_check_digit(digits: &[u8]) -> bool {
    let digits = digits.iter().rev().zip([false, true].into_iter().cycle());
    let sum: u32 = digits
        .map(|(&digit, is_doubled)| match (is_doubled, digit) {
            (true, 5..) => u32::from(digit) * 2 - 9,
            (true, _) => u32::from(digit) * 2,
            (false, _) => u32::from(digit),
        })
        .sum();
    sum.is_multiple_of(10)
}
