//! Bank accounts (ISO 13616): a country's letters and length, and the remainder of 97.

use super::Text;

/// How many characters the accounts of a country have.
const LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 \
    DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 \
    KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 \
    PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 \
    VG24 XK20 YE30";
/// Digits of the check.
const MODULUS: u32 = 97;

/// Whether two letters stand before a place.
pub(crate) fn may_begin(text: Text<'_>, digits_at: usize) -> bool {
    let is_letter = |back: usize| {
        let byte = digits_at.checked_sub(back).and_then(|at| text.at(at));
        byte.is_some_and(|byte| byte.is_ascii_alphabetic())
    };
    is_letter(1) && is_letter(2)
}

/// The account whose check digits begin at a place.
pub(crate) fn around(text: Text<'_>, digits_at: usize) -> Option<(usize, usize)> {
    let start = digits_at.checked_sub(2)?;
    let country = [text.at(start)?.to_ascii_uppercase(), text.at(start + 1)?.to_ascii_uppercase()];
    if !country.iter().all(u8::is_ascii_uppercase) || Text::is_word(text.before(start)) {
        return None;
    }
    let length = length_of(country)?;
    let (account, end) = read(text, start, length)?;
    (account.len() == length && !Text::is_word(text.at(end)) && is_valid(&account)).then_some((start, end))
}

fn length_of(country: [u8; 2]) -> Option<usize> {
    let name = std::str::from_utf8(&country).ok()?;
    let (_, rest) = LENGTHS
        .split_ascii_whitespace()
        .filter_map(|entry| entry.split_at_checked(2))
        .find(|(code, _)| *code == name)?;
    rest.parse().ok()
}

/// So many letters and digits, between which single spaces or hyphens may stand, and where they end.
fn read(text: Text<'_>, start: usize, length: usize) -> Option<(Vec<u8>, usize)> {
    let mut account = Vec::with_capacity(length);
    let mut at = start;
    while account.len() < length {
        let byte = text.at(at)?;
        if byte.is_ascii_alphanumeric() {
            account.push(byte.to_ascii_uppercase());
        } else if !matches!(byte, b' ' | b'-') || !Text::is_word(text.at(at + 1)) {
            return None;
        }
        at += 1;
    }
    Some((account, at))
}

/// Country and check digits go behind the rest, a letter counts as a number from 10 on, and the remainder is 1.
fn is_valid(account: &[u8]) -> bool {
    let (front, rest) = account.split_at_checked(4).unwrap_or_default();
    let digits_are_digits = front.iter().skip(2).all(u8::is_ascii_digit);
    let remainder = rest.iter().chain(front).fold(0, |remainder, byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % MODULUS,
        _ => (remainder * 100 + u32::from(byte.saturating_sub(b'A')) + 10) % MODULUS,
    });
    digits_are_digits && remainder == 1
}
