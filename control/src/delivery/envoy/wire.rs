//! The fields of an encoded protobuf message, without knowing its type.

use prost::encoding::{WireType, decode_key, decode_varint};

/// What a field holds on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// A number, a bool or a value of an enumeration.
    Varint(u64),
    /// Text, bytes, or a message.
    Bytes(&'a [u8]),
}

/// The fields of a message, in the order of the bytes; `None` if these are none. Numbers of fixed
/// size are not among what is written here, and taken for an error.
pub(super) fn fields(mut bytes: &[u8]) -> Option<Vec<(u32, Content<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (number, wire_type) = decode_key(&mut bytes).ok()?;
        let content = match wire_type {
            WireType::Varint => Content::Varint(decode_varint(&mut bytes).ok()?),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut bytes).ok()?).ok()?;
                let (content, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Content::Bytes(content)
            }
            _ => return None,
        };
        fields.push((number, content));
    }
    Some(fields)
}
