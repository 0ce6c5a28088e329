//! Pairs: the wire form of header maps between host and module.
//!
//! ```text
//! u32 n | n x (u32 key length, u32 value length) | n x (key, 0x00, value, 0x00)
//! ```
//!
//! All numbers are little-endian; lengths do not count the zero bytes. The form is strict: each
//! zero byte must be there, and no byte may be left over.

use crate::limits::{PAIRS_BYTES_MAX, PAIRS_COUNT_MAX};

/// A key and its value.
pub type Pair<'bytes> = (&'bytes [u8], &'bytes [u8]);

/// Bytes of the leading count.
const COUNT_BYTES: usize = 4;
/// Bytes of one pair's two lengths.
const LENGTHS_BYTES: usize = 8;

/// Why bytes are not pairs, or pairs have no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairsError {
    /// More than [`PAIRS_BYTES_MAX`] bytes, or on encoding more than 32-bit lengths can tell.
    TooLarge,
    /// More than [`PAIRS_COUNT_MAX`] pairs.
    TooMany,
    /// The bytes end before the pairs do.
    Truncated,
    /// Bytes are left behind the last pair.
    LeftOver,
    /// A key or a value is not followed by a zero byte.
    ZeroMissing,
}

/// The wire form of pairs. What a host says to a module is not limited, so only sizes without a
/// 32-bit number are an error ([`PairsError::TooLarge`]).
pub fn encode<K: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(K, V)]) -> Result<Vec<u8>, PairsError> {
    let content: usize = pairs.iter().map(|(key, value)| key.as_ref().len() + value.as_ref().len() + 2).sum();
    let mut bytes = Vec::with_capacity(COUNT_BYTES + pairs.len() * LENGTHS_BYTES + content);
    bytes.extend_from_slice(&length(pairs.len())?);
    for (key, value) in pairs {
        bytes.extend_from_slice(&length(key.as_ref().len())?);
        bytes.extend_from_slice(&length(value.as_ref().len())?);
    }
    for (key, value) in pairs {
        for text in [key.as_ref(), value.as_ref()] {
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
    }
    length(bytes.len())?;
    Ok(bytes)
}

/// The pairs that bytes hold, strictly. Envoy takes bytes for which this is an error as no pairs at
/// all; what to do then is the caller's choice.
pub fn decode(bytes: &[u8]) -> Result<Vec<Pair<'_>>, PairsError> {
    if bytes.len() > PAIRS_BYTES_MAX {
        return Err(PairsError::TooLarge);
    }
    let (count, rest) = take_number(bytes)?;
    if count > PAIRS_COUNT_MAX {
        return Err(PairsError::TooMany);
    }
    let (mut lengths, mut content) =
        rest.split_at_checked(count * LENGTHS_BYTES).ok_or(PairsError::Truncated)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (key_length, rest) = take_number(lengths)?;
        let (value_length, rest) = take_number(rest)?;
        lengths = rest;
        let (key, rest) = take_text(content, key_length)?;
        let (value, rest) = take_text(rest, value_length)?;
        content = rest;
        pairs.push((key, value));
    }
    if content.is_empty() { Ok(pairs) } else { Err(PairsError::LeftOver) }
}

fn length(length: usize) -> Result<[u8; 4], PairsError> {
    u32::try_from(length).map(u32::to_le_bytes).map_err(|_| PairsError::TooLarge)
}

fn take_number(bytes: &[u8]) -> Result<(usize, &[u8]), PairsError> {
    let (number, rest) = bytes.split_first_chunk().ok_or(PairsError::Truncated)?;
    Ok((u32::from_le_bytes(*number) as usize, rest))
}

fn take_text(bytes: &[u8], length: usize) -> Result<(&[u8], &[u8]), PairsError> {
    let (text, rest) = bytes.split_at_checked(length).ok_or(PairsError::Truncated)?;
    match rest.split_first() {
        Some((0, rest)) => Ok((text, rest)),
        Some(_) => Err(PairsError::ZeroMissing),
        None => Err(PairsError::Truncated),
    }
}

impl std::fmt::Display for PairsError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge => write!(formatter, "pairs of more than {PAIRS_BYTES_MAX} bytes"),
            Self::TooMany => write!(formatter, "more than {PAIRS_COUNT_MAX} pairs"),
            Self::Truncated => formatter.write_str("the bytes end inside the pairs"),
            Self::LeftOver => formatter.write_str("bytes are left behind the last pair"),
            Self::ZeroMissing => formatter.write_str("a key or value is not followed by a zero byte"),
        }
    }
}

impl std::error::Error for PairsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<&[(&str, &str)], PairsError>) {
        let expected =
            expected.map(|pairs| pairs.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect());
        assert_eq!(decode(bytes), expected);
    }

    #[test]
    fn pairs_come_back_as_they_went() {
        let pairs: [(&str, &str); 4] = [("a", "b"), (":path", "/x"), ("", ""), ("a", "c")];
        check(&encode(&pairs).unwrap_or_default(), Ok(&pairs));
        check(&[0; 4], Ok(&[]));
        assert_eq!(encode(&[("k", "vw")]).as_deref(), Ok(&b"\x01\0\0\0\x01\0\0\0\x02\0\0\0k\0vw\0"[..]));
    }

    #[test]
    fn bytes_that_are_not_pairs_are_refused() {
        check(b"", Err(PairsError::Truncated));
        check(b"\x01\0\0\0", Err(PairsError::Truncated));
        check(b"\x01\0\0\0\x01\0\0\0\x01\0\0\0k\0v", Err(PairsError::Truncated));
        check(b"\x01\0\0\0\x01\0\0\0\x01\0\0\0k\0vx", Err(PairsError::ZeroMissing));
        check(b"\x01\0\0\0\x01\0\0\0\x01\0\0\0k\0v\0\0", Err(PairsError::LeftOver));
        check(b"\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xffk\0v\0", Err(PairsError::Truncated));
        check(b"\x01\x04\0\0", Err(PairsError::TooMany));
        check(&vec![0; PAIRS_BYTES_MAX + 1], Err(PairsError::TooLarge));
    }

    #[test]
    fn the_most_pairs_are_accepted_and_one_more_is_not() {
        let pairs = vec![("", ""); PAIRS_COUNT_MAX];
        assert_eq!(decode(&encode(&pairs).unwrap_or_default()).map(|pairs| pairs.len()), Ok(PAIRS_COUNT_MAX));
        let pairs = vec![("", ""); PAIRS_COUNT_MAX + 1];
        assert_eq!(decode(&encode(&pairs).unwrap_or_default()), Err(PairsError::TooMany));
    }
}
