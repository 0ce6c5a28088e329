//! Properties: what a module can ask about the request, the connection and the proxy.
//!
//! A path is a list of segments; on the wire they are separated by one zero byte, so a segment may
//! hold dots. Values have Envoy's wire forms, which carry no type: the module must know it.

use crate::abi::{Status, pairs};
use std::collections::BTreeMap;

/// The value of a property.
#[derive(Clone, Debug, PartialEq)]
pub enum PropertyValue {
    /// A string or bytes, as they are.
    Bytes(Vec<u8>),
    /// 8 bytes
    Int(i64),
    /// 8 bytes
    Uint(u64),
    /// 8 bytes, IEEE 754
    Double(f64),
    /// 1 byte
    Bool(bool),
    /// Nanoseconds since 1970: 8 bytes
    Timestamp(i64),
    /// Nanoseconds: 8 bytes
    Duration(i64),
    /// Pairs of key and encoded value; an element is asked for by a further segment.
    Map(BTreeMap<Vec<u8>, PropertyValue>),
    /// Pairs of encoded value and nothing; an element is asked for by its decimal index.
    List(Vec<PropertyValue>),
}

/// A table of properties.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    values: BTreeMap<Vec<u8>, PropertyValue>,
}

impl Properties {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the property of a path such as `["source", "address"]`.
    pub fn set(&mut self, path: &[&str], value: PropertyValue) {
        self.values.insert(path.join("\0").into_bytes(), value);
    }

    /// Removes the property of a path, so that a module gets `NOT_FOUND`.
    pub fn remove(&mut self, path: &[&str]) {
        self.values.remove(path.join("\0").as_bytes());
    }

    /// The value at a path (segments separated by a zero byte), itself or as part of a map or list.
    #[must_use]
    pub fn find(&self, path: &[u8]) -> Option<&PropertyValue> {
        if let Some(value) = self.values.get(path) {
            return Some(value);
        }
        let zeros = path.iter().enumerate().rev().filter(|(_, byte)| **byte == 0);
        for (at, _) in zeros {
            let (prefix, rest) = path.split_at_checked(at)?;
            if let Some(value) = self.values.get(prefix) {
                return value.descend(rest.get(1..)?);
            }
        }
        None
    }

    /// Whether this single segment is not a property but has properties below it. Envoy answers
    /// such a question with a serialisation failure.
    #[must_use]
    pub fn has_below(&self, root: &[u8]) -> bool {
        let prefix = [root, b"\0"].concat();
        self.values.range(prefix.clone()..).next().is_some_and(|(path, _)| path.starts_with(&prefix))
    }
}

impl PropertyValue {
    /// The wire form.
    pub fn encode(&self) -> Result<Vec<u8>, Status> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::Int(number) | Self::Timestamp(number) | Self::Duration(number) => {
                Ok(number.to_le_bytes().to_vec())
            }
            Self::Uint(number) => Ok(number.to_le_bytes().to_vec()),
            Self::Double(number) => Ok(number.to_le_bytes().to_vec()),
            Self::Bool(value) => Ok(vec![u8::from(*value)]),
            Self::Map(map) => {
                let pairs = map.iter().map(|(key, value)| Ok((key.clone(), value.encode()?)));
                encode_pairs(pairs.collect::<Result<_, Status>>()?)
            }
            Self::List(list) => {
                let pairs = list.iter().map(|value| Ok((value.encode()?, Vec::new())));
                encode_pairs(pairs.collect::<Result<_, Status>>()?)
            }
        }
    }

    fn descend(&self, path: &[u8]) -> Option<&Self> {
        let end = path.iter().position(|byte| *byte == 0);
        let (segment, rest) = match end {
            Some(end) => (path.get(..end)?, path.get(end + 1..)),
            None => (path, None),
        };
        let element = match self {
            Self::Map(map) => map.get(segment)?,
            Self::List(list) => list.get(std::str::from_utf8(segment).ok()?.parse::<usize>().ok()?)?,
            _ => return None,
        };
        match rest {
            Some(rest) => element.descend(rest),
            None => Some(element),
        }
    }
}

impl From<&str> for PropertyValue {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

fn encode_pairs(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Vec<u8>, Status> {
    pairs::encode(&pairs).map_err(|_| Status::SerializationFailure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Properties {
        let mut properties = Properties::new();
        properties.set(&["source", "address"], "127.0.0.1:80".into());
        let labels = [(b"app.kind".to_vec(), PropertyValue::Int(-2))].into();
        properties.set(&["xds", "node", "metadata"], PropertyValue::Map(labels));
        properties.set(&["list"], PropertyValue::List(vec![PropertyValue::Bool(true)]));
        properties
    }

    #[test]
    fn a_path_leads_into_maps_and_lists() {
        let properties = sample();
        assert_eq!(properties.find(b"source\0address"), Some(&"127.0.0.1:80".into()));
        assert_eq!(properties.find(b"xds\0node\0metadata\0app.kind"), Some(&PropertyValue::Int(-2)));
        assert_eq!(properties.find(b"list\x000"), Some(&PropertyValue::Bool(true)));
        assert_eq!(properties.find(b"list\x001"), None);
        assert_eq!(properties.find(b"source\0address\0x"), None);
        assert_eq!(properties.find(b"source"), None);
        assert!(properties.has_below(b"source"));
        assert!(!properties.has_below(b"sourc"));
    }

    #[test]
    fn values_have_the_wire_forms_of_envoy() {
        assert_eq!(PropertyValue::Int(-2).encode(), Ok(vec![254, 255, 255, 255, 255, 255, 255, 255]));
        assert_eq!(PropertyValue::Bool(true).encode(), Ok(vec![1]));
        let list = PropertyValue::List(vec!["ab".into()]);
        assert_eq!(list.encode(), Ok(b"\x01\0\0\0\x02\0\0\0\0\0\0\0ab\0\0".to_vec()));
    }
}
