//! Lines of logs: what each has, and how values stand in them. What `log` policies say of a request is one
//! object of JSON on one line, whatever bytes the request has.

use crate::checked::{Attribute, Builtin, Expr, ExprKind};
use crate::literals::attribute_text;
use std::net::IpAddr;

/// The header that has the id of a request.
pub(crate) const ID_HEADER: &str = "x-request-id";

/// The fields of each line that the sidecar knows when the answer is over; `route` and `answered` stand in those of what
/// goes out.
pub const FIELDS_OF_SIDECAR: [&str; 13] = [
    "time",
    "direction",
    "target",
    "revision",
    "route",
    "answered",
    "code",
    "flags",
    "duration",
    "bytes_received",
    "bytes_sent",
    "upstream",
    "shadow",
];
/// The fields of each line that the module says when the request is decided.
pub const FIELDS_OF_MODULE: [&str; 6] = ["method", "path", "principal", "request_id", "rule", "decision"];

/// Those of them that a redaction can name, with what they show.
pub const HIDEABLE: [(&str, Attribute); 4] = [
    ("method", Attribute::Method),
    ("path", Attribute::Path),
    ("principal", Attribute::SourcePrincipal),
    ("request_id", Attribute::Id),
];

/// Whether each line has a field of this name, whatever policies state.
#[must_use]
pub fn is_fixed_field(name: &str) -> bool {
    FIELDS_OF_SIDECAR.contains(&name) || FIELDS_OF_MODULE.contains(&name)
}

/// The most fields that the policies of a workload list together.
pub const FIELDS_MAX: usize = 64;
/// So many bytes of a text are looked at; what stands behind them is not in the line.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// The most bytes of what a module says of a request: with the rest of a line less than the 64 KiB of which a
/// sidecar reads a line.
pub const LINE_BYTES_MAX: usize = 48 << 10;
/// So many bytes of them are kept for keys, numbers and `null`: a text for which there is no more room is `null`.
pub const KEY_BYTES_MAX: usize = (FIELDS_MAX + 8) * 200;
/// The most bytes that a byte of a text takes in JSON.
pub const ESCAPED_BYTES_MAX: usize = 6;

/// The most samples that ask about the answer, of the policies of a workload together.
pub const LATER_MAX: u32 = 64;

/// What stands in the place of a value that is masked.
pub const MASK: &str = "***";

/// The key of a mesh for hashes in its logs: who does not have it cannot try values.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct LogKey(pub [u8; LOG_KEY_BYTES]);

/// Bytes of a [`LogKey`].
pub const LOG_KEY_BYTES: usize = 16;

impl LogKey {
    /// The hash of a value: SipHash-2-4 of 128 bits under the key, in 32 hexadecimal digits.
    #[must_use]
    pub fn hash(self, value: &[u8]) -> String {
        self.sip(value).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn sip(self, value: &[u8]) -> [u8; 16] {
        let half = |at: usize| {
            let bytes = self.0.iter().skip(at).take(8).rev();
            bytes.fold(0_u64, |word, byte| word << 8 | u64::from(*byte))
        };
        let (low, high) = (half(0), half(8));
        let mut v = [
            low ^ 0x736f_6d65_7073_6575,
            high ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            low ^ 0x6c79_6765_6e65_7261,
            high ^ 0x7465_6462_7974_6573,
        ];
        let mut words = value.chunks_exact(8);
        for word in words.by_ref() {
            compress(&mut v, word.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
        let rest = words.remainder().iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        compress(&mut v, rest | (value.len() as u64) << 56);
        let mut digest = [0; 16];
        let (first, second) = digest.split_at_mut(8);
        for (half, mark) in [(first, 0xee), (second, 0xdd)] {
            // The mark of the first half goes into v2, that of the second into v1.
            if mark == 0xee {
                v[2] ^= mark
            } else {
                v[1] ^= mark
            }
            (0..4).for_each(|_| round(&mut v));
            half.copy_from_slice(&(v[0] ^ v[1] ^ v[2] ^ v[3]).to_le_bytes());
        }
        digest
    }
}

impl std::fmt::Debug for LogKey {
    /// Not the key, which is a secret.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("LogKey")
    }
}

fn compress(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}

/// A round of SipHash (Aumasson and Bernstein, 2012).
fn round(v: &mut [u64; 4]) {
    let [mut v0, mut v1, mut v2, mut v3] = *v;
    v0 = v0.wrapping_add(v1);
    v1 = v1.rotate_left(13) ^ v0;
    v0 = v0.rotate_left(32);
    v2 = v2.wrapping_add(v3);
    v3 = v3.rotate_left(16) ^ v2;
    v0 = v0.wrapping_add(v3);
    v3 = v3.rotate_left(21) ^ v0;
    v2 = v2.wrapping_add(v1);
    v1 = v1.rotate_left(17) ^ v2;
    v2 = v2.rotate_left(32);
    *v = [v0, v1, v2, v3];
}

/// An address as text: of IPv4 four numbers, of IPv6 all eight groups.
#[must_use]
pub fn address_text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let groups: Vec<String> = address.segments().iter().map(|group| format!("{group:x}")).collect();
            groups.join(":")
        }
    }
}

/// Where what an attribute tells comes from: of two attributes of one origin, each tells of the other.
pub(crate) fn origin(attribute: &Attribute) -> String {
    match attribute {
        Attribute::PathSegment(_) => attribute_text(&Attribute::Path),
        Attribute::SourceService | Attribute::SourceNamespace => attribute_text(&Attribute::SourcePrincipal),
        Attribute::Port => attribute_text(&Attribute::Host),
        Attribute::Id => attribute_text(&Attribute::Header(ID_HEADER.into())),
        _ => attribute_text(attribute),
    }
}

/// Whether an expression is a value as it stands in a request, but for its type, its case and blanks around it: of a
/// part of one, or of an answer to a question about one, the hash would tell what was hashed, for there are few.
pub(crate) fn is_whole(value: &Expr) -> bool {
    match &value.kind {
        ExprKind::Attribute(_) => true,
        ExprKind::Convert(_, inner) => is_whole(inner),
        ExprKind::Call(Builtin::LowerAscii | Builtin::UpperAscii | Builtin::Trim, arguments) => {
            arguments.iter().all(|argument| is_whole(argument))
        }
        _ => false,
    }
}

/// Adds a text in quotes: what JSON wants escaped is, and each byte that is no part of UTF-8 is U+FFFD.
pub fn quote(text: &[u8], line: &mut Vec<u8>) {
    line.push(b'"');
    let mut rest = text;
    while !rest.is_empty() {
        let (valid, wrong) = match std::str::from_utf8(rest) {
            Ok(_) => (rest.len(), 0),
            Err(error) => {
                let valid = error.valid_up_to();
                (valid, error.error_len().unwrap_or(rest.len() - valid))
            }
        };
        let (text, behind) = rest.split_at_checked(valid).unwrap_or((rest, &[]));
        text.iter().for_each(|byte| escape(*byte, line));
        let (wrong, behind) = behind.split_at_checked(wrong).unwrap_or((behind, &[]));
        wrong.iter().for_each(|_| line.extend(b"\\ufffd"));
        rest = behind;
    }
    line.push(b'"');
}

fn escape(byte: u8, line: &mut Vec<u8>) {
    match byte {
        b'"' | b'\\' => line.extend([b'\\', byte]),
        0..0x20 | 0x7f => line.extend(format!("\\u00{byte:02x}").bytes()),
        _ => line.push(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], quoted: &str) {
        let mut line = Vec::new();
        quote(text, &mut line);
        assert_eq!(String::from_utf8_lossy(&line), quoted);
        assert!(line.len() <= 2 + ESCAPED_BYTES_MAX * text.len());
    }

    #[test]
    fn hashes_are_those_of_siphash() {
        // The first and the last vector of the authors' `vectors_sip128`.
        let key = LogKey(std::array::from_fn(|at| at as u8));
        let bytes: Vec<u8> = (0..63).collect();
        assert_eq!(key.hash(b""), "a3817f04ba25a8e66df67214c7550293");
        assert_eq!(key.hash(b"\0"), "da87c1d86b99af44347659119b22fc45");
        assert_eq!(key.hash(&bytes), "5150d1772f50834a503e069a973fbd7c");
    }

    #[test]
    fn any_bytes_are_a_string_of_json() {
        check(b"", r#""""#);
        check(b"a\"b\\c", r#""a\"b\\c""#);
        check(b"a\nb\x7f\x00", r#""a\u000ab\u007f\u0000""#);
        check("é漢😀".as_bytes(), r#""é漢😀""#);
        check(b"a\xffb\xe2\x82c", r#""a\ufffdb\ufffd\ufffdc""#);
        check(b"\xed\xa0\x80\xc0\x80\xf4\x90\x80\x80", &format!("\"{}\"", "\\ufffd".repeat(9)));
    }
}
