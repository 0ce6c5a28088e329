//! Secrets that can be found again, whatever became of them: in every place of a request where a client can put one,
//! in odd forms, all with one word in them; and the search for that word as it is, escaped, in base64 or hexadecimal digits.

use crate::random::Random;
use chancery_policy_lang::request::{Protocol, RawRequest};

/// The word that is in each secret. It is as long as it is so that nothing else has it, and has no letter that base64
/// writes otherwise in URLs.
pub const WORD: &str = "zQ7secret";
/// How often a long secret repeats itself.
const REPEATS: usize = 300;
/// An escape within an escape within an escape is as deep as it is looked.
const ESCAPES_MAX: usize = 3;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Finds [`WORD`].
#[derive(Clone, Debug)]
pub struct Search {
    /// As it is, and in hexadecimal digits; in small letters.
    folded: Vec<String>,
    /// In base64, of which the letters count.
    exact: Vec<String>,
}

impl Default for Search {
    fn default() -> Self {
        let word = WORD.to_ascii_lowercase();
        let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        // Where it begins within three bytes decides how base64 writes it; what it shares with its neighbours is left out.
        let exact = [0, 1, 2].map(|shift: usize| {
            let padded = [vec![0; shift], WORD.as_bytes().to_vec()].concat();
            let whole = padded.len() * 8 / 6;
            let digits: String = base64(&padded).chars().take(whole).collect();
            digits.chars().skip((shift * 8).div_ceil(6)).collect()
        });
        Self { folded: vec![hex(WORD), hex(&word), word], exact: exact.into() }
    }
}

impl Search {
    /// Whether the word is in a text, in any form.
    #[must_use]
    pub fn finds_in(&self, text: &str) -> bool {
        if self.exact.iter().any(|form| text.contains(form.as_str())) {
            return true;
        }
        let mut text = text.to_ascii_lowercase();
        for _ in 0..=ESCAPES_MAX {
            if self.folded.iter().any(|form| text.contains(form.as_str())) {
                return true;
            }
            if !text.contains(['%', '\\']) {
                return false;
            }
            text = unescaped(&text);
        }
        false
    }
}

/// A text without `%41`, `\u0041` and `\x41`, and without the other backslashes.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = match (first, behind) {
            (b'%', digits) => Some(digits),
            (b'\\', [b'u', b'0', b'0', digits @ ..] | [b'x', digits @ ..]) => Some(digits),
            _ => None,
        };
        let byte = digits.and_then(|digits| {
            let (two, behind) = digits.split_at_checked(2)?;
            Some((u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()?, behind))
        });
        rest = match byte {
            Some((byte, behind)) => {
                bytes.push(byte.to_ascii_lowercase());
                behind
            }
            None => {
                if *first != b'\\' {
                    bytes.push(*first);
                }
                behind
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) as usize & 63;
            let is_there = digit <= three.len();
            text.push(if is_there { BASE64.get(index).map_or('=', |byte| char::from(*byte)) } else { '=' });
        }
    }
    text
}

/// A secret as a header may have it.
fn for_header(random: &mut Random) -> Vec<u8> {
    let number = random.below(1_000_000);
    let plain = format!("{WORD}-{number}");
    match random.below(12) {
        0 => escaped(&plain, false, 100, random).into_bytes(),
        1 => escaped(&plain, true, 30, random).into_bytes(),
        2 => format!("\"{plain}\\\" {{\"a\":\"{plain}\"}}\\u00").into_bytes(),
        3 => [b"\xff", plain.as_bytes(), b"\xc3"].concat(),
        4 => plain.repeat(1 + random.below(REPEATS)).into_bytes(),
        5 => format!("Bearer {}", token(&plain)).into_bytes(),
        6 => format!("Basic {}", base64(format!("{number}:{plain}").as_bytes())).into_bytes(),
        7 => format!("{plain},\t{plain}; a={plain}").into_bytes(),
        8 => plain.to_ascii_uppercase().into_bytes(),
        9 => plain.bytes().flat_map(|byte| format!("{byte:02X}").into_bytes()).collect(),
        _ => plain.into_bytes(),
    }
}

/// A JWT with a secret in it; nobody signed it.
fn token(plain: &str) -> String {
    let part = |text: &str| base64(text.as_bytes()).trim_end_matches('=').replace('+', "-").replace('/', "_");
    let head = part("{\"alg\":\"RS256\"}");
    format!("{head}.{}.{}", part(&format!("{{\"sub\":\"{plain}\"}}")), part(plain))
}

/// A secret as a path or a query may have it.
fn for_path(random: &mut Random) -> String {
    let plain = format!("{WORD}-{}", random.below(1_000_000));
    match random.below(6) {
        0 => escaped(&plain, false, 100, random),
        1 => escaped(&plain, true, 30, random),
        2 => plain.repeat(1 + random.below(REPEATS / 10)),
        3 => format!("%22{plain}%22%0a%ff"),
        4 => token(&plain),
        _ => plain,
    }
}

/// With escapes in so many of a hundred places.
fn escaped(text: &str, with_capitals: bool, percent: usize, random: &mut Random) -> String {
    let escape = |byte: u8| match random.chance(percent) {
        true if with_capitals => format!("%{byte:02X}"),
        true => format!("%{byte:02x}"),
        false => char::from(byte).to_string(),
    };
    text.bytes().map(escape).collect()
}

/// Headers in which a client can put a secret.
const HEADERS: [&str; 10] = [
    "authorization",
    "cookie",
    "x-api-key",
    "x-email",
    "x-card",
    "x-request-id",
    "x-forwarded-for",
    "user-agent",
    "referer",
    "x-envoy-original-path",
];

/// A request with secrets in some places; with `in_path` the path has them, too.
#[must_use]
pub fn request(random: &mut Random, in_path: bool) -> RawRequest {
    let mut headers = Vec::new();
    for name in HEADERS {
        if !random.chance(40) {
            continue;
        }
        // Some come twice, and in pieces.
        for _ in 0..=usize::from(random.chance(15)) {
            let value = for_header(random);
            let value = if name == "cookie" { [b"session=".as_slice(), &value].concat() } else { value };
            headers.push((name.as_bytes().to_vec(), value));
        }
    }
    let mut path = random.one_of(&["/orders/1", "/users/7", "/no", "/failing/1/a"]).to_owned();
    if in_path && random.chance(50) {
        // Some that Envoy refuses by itself, and some that has no meaning.
        let behind = random.one_of(&["", "", "", "/a%2Fb", "/%zz", "/../b", "%00"]);
        path = format!("/users/{}{behind}", for_path(random));
    }
    if random.chance(60) {
        let parameters = (0..=random.below(2)).map(|_| {
            let name = random.one_of(&["token", "token", "%74oken", "other"]);
            format!("{name}={}", for_path(random))
        });
        path = format!("{path}?{}", parameters.collect::<Vec<_>>().join("&"));
    }
    let method: &str = random.one_of(&["GET", "GET", "GET", "POST", "DELETE"]);
    RawRequest {
        protocol: Protocol::Http1,
        method: method.as_bytes().to_vec(),
        path: path.into_bytes(),
        authority: None,
        hosts: vec![b"mesh.test".to_vec()],
        scheme: b"http".to_vec(),
        headers,
        ..RawRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_others() {
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
    }

    #[test]
    fn the_word_is_found_in_each_form() {
        let search = Search::default();
        let mut random = Random::new(1);
        for _ in 0..2_000 {
            let text = String::from_utf8_lossy(&for_header(&mut random)).into_owned();
            let quoted = serde_json::Value::from(text.as_str()).to_string();
            let again = serde_json::Value::from(quoted.as_str()).to_string();
            let path = for_path(&mut random);
            for text in [text, quoted, again, path.clone(), format!("{path:?}")] {
                assert!(search.finds_in(&text), "{text}");
            }
        }
        for shift in ["", "a", "ab"] {
            assert!(search.finds_in(&base64(format!("{shift}{WORD}{shift}").as_bytes())));
        }
        for nothing in ["zQ7secre", "secret", "%7a%51%37", "\\u007a\\", "%", "\\u00"] {
            assert!(!search.finds_in(nothing), "{nothing}");
        }
    }
}
