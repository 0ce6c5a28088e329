//! Snapshots as text: what a proxy is given, as YAML with Envoy's own names.
//!
//! Made from the encoded messages, so it shows what is sent and not what was meant. Private keys
//! are left out; other bytes are shown as their size and digest.

use super::descriptors::{SECRET, SENSITIVE, pool};
use crate::delivery::snapshot::{Resource, ResourceType, Snapshot};
use crate::mesh::model::hex;
use prost_reflect::{
    DescriptorError, DescriptorPool, DynamicMessage, FieldDescriptor, MapKey, MessageDescriptor,
    ReflectMessage as _, Value,
};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use sha2::{Digest as _, Sha256};

/// What type URLs begin with.
const TYPE_PREFIX: &str = "type.googleapis.com/";

/// Why a snapshot cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// The names of Envoy's messages are not to be had.
    #[error("the descriptors of Envoy's messages are damaged: {0}")]
    Descriptors(#[from] &'static DescriptorError),
    /// The text cannot be written.
    #[error(transparent)]
    Text(#[from] serde_saphyr::ser::Error),
}

/// The snapshot as YAML.
///
/// # Errors
/// If the descriptors are damaged or the text cannot be written, which no snapshot is known to cause.
pub fn of_snapshot(snapshot: &Snapshot) -> Result<String, YamlError> {
    let pool = pool()?;
    let mut entries = vec![("revision".to_owned(), Node::Number(snapshot.revision.0.into()))];
    if !snapshot.problems.is_empty() {
        entries.push(("problems".to_owned(), texts(&snapshot.problems)));
    }
    for kind in ResourceType::ALL {
        let resources: Vec<Node> =
            snapshot.of(kind).iter().map(|resource| of_resource(pool, resource)).collect();
        if !resources.is_empty() {
            entries.push((kind.as_str().to_owned(), Node::List(resources)));
        }
    }
    Ok(serde_saphyr::to_string(&Node::Map(entries))?)
}

/// A tree of text whose maps keep their order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Bool(bool),
    Number(i128),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

fn of_resource(pool: &DescriptorPool, resource: &Resource) -> Node {
    let mut entries = vec![
        ("name".to_owned(), Node::Text(resource.name.clone())),
        ("version".to_owned(), Node::Text(resource.version.clone())),
    ];
    if !resource.policies.is_empty() {
        entries.push(("policies".to_owned(), texts(&resource.policies)));
    }
    if !resource.statements.is_empty() {
        let statements = resource.statements.iter().map(|id| Node::Text(id.to_string())).collect();
        entries.push(("statements".to_owned(), Node::List(statements)));
    }
    entries.push(("resource".to_owned(), of_any(pool, resource.kind.type_url(), &resource.body)));
    Node::Map(entries)
}

fn texts(texts: &[String]) -> Node {
    Node::List(texts.iter().cloned().map(Node::Text).collect())
}

/// A message as its type URL and its fields.
fn of_any(pool: &DescriptorPool, type_url: &str, body: &[u8]) -> Node {
    let mut entries = vec![("@type".to_owned(), Node::Text(type_url.to_owned()))];
    let name = type_url.strip_prefix(TYPE_PREFIX).unwrap_or(type_url);
    match pool.get_message_by_name(name) {
        None => entries.push(("unknown_type".to_owned(), of_bytes(body))),
        Some(descriptor) => match DynamicMessage::decode(descriptor, body) {
            Ok(message) => match of_message(pool, &message) {
                Node::Map(fields) => entries.extend(fields),
                value => entries.push(("value".to_owned(), value)),
            },
            Err(_) => entries.push(("malformed".to_owned(), of_bytes(body))),
        },
    }
    Node::Map(entries)
}

/// A message: those that stand for a value of another kind as that value, all others as their fields.
fn of_message(pool: &DescriptorPool, message: &DynamicMessage) -> Node {
    let descriptor = message.descriptor();
    let entries = || of_fields(pool, message);
    match descriptor.full_name() {
        "google.protobuf.Any" => match message.transcode_to::<prost_types::Any>() {
            Ok(any) => of_any(pool, &any.type_url, &any.value),
            Err(_) => Node::Map(entries()),
        },
        "google.protobuf.Duration" => match message.transcode_to::<prost_types::Duration>() {
            Ok(duration) => Node::Text(duration.to_string()),
            Err(_) => Node::Map(entries()),
        },
        name if BOXES.contains(&name) => match descriptor.get_field_by_name("value") {
            Some(field) => of_value(pool, &field, &message.get_field(&field)),
            None => Node::Map(entries()),
        },
        "google.protobuf.Struct" => match entries().pop() {
            Some((_, fields)) => fields,
            None => Node::Map(Vec::new()),
        },
        "google.protobuf.Value" | "google.protobuf.ListValue" => match entries().pop() {
            Some((_, value)) => value,
            None => Node::Text("null".to_owned()),
        },
        _ => Node::Map(entries()),
    }
}

/// Messages of one field that tell 0 and false from absent.
const BOXES: [&str; 9] = [
    "google.protobuf.BoolValue",
    "google.protobuf.BytesValue",
    "google.protobuf.DoubleValue",
    "google.protobuf.FloatValue",
    "google.protobuf.Int32Value",
    "google.protobuf.Int64Value",
    "google.protobuf.StringValue",
    "google.protobuf.UInt32Value",
    "google.protobuf.UInt64Value",
];

/// The fields that are set, in the order of their numbers, and what has no name.
fn of_fields(pool: &DescriptorPool, message: &DynamicMessage) -> Vec<(String, Node)> {
    let known = message.fields().map(|(field, value)| {
        let secret = SENSITIVE.iter().chain(SECRET).any(|secret| *secret == field.full_name());
        let node = match replicas(&field, value) {
            _ if secret => Node::Text("not shown".to_owned()),
            Some(replicas) => Node::Text(replicas),
            None => of_value(pool, &field, value),
        };
        (field.name().to_owned(), node)
    });
    let unknown = message.unknown_fields().map(|field| {
        let mut bytes = Vec::new();
        field.encode(&mut bytes);
        (format!("unknown_field_{}", field.number()), of_bytes(&bytes))
    });
    known.chain(unknown).collect()
}

/// What a module is told of replicas, in words.
fn replicas(field: &FieldDescriptor, value: &Value) -> Option<String> {
    if field.full_name() != VM_CONFIGURATION {
        return None;
    }
    let any = value.as_message()?.transcode_to::<prost_types::Any>().ok()?;
    let told = any.to_msg::<Vec<u8>>().ok()?;
    let (numbers, []) = told.as_chunks() else { return None };
    let numbers: Vec<String> = numbers.iter().map(|bytes| u32::from_le_bytes(*bytes).to_string()).collect();
    Some(format!("limits are shared by {} replicas", numbers.join(", ")))
}

/// Of a VM: the field with how many replicas share limits.
const VM_CONFIGURATION: &str = "envoy.extensions.wasm.v3.VmConfig.configuration";

fn of_value(pool: &DescriptorPool, field: &FieldDescriptor, value: &Value) -> Node {
    match value {
        Value::Bool(value) => Node::Bool(*value),
        Value::I32(value) => Node::Number((*value).into()),
        Value::I64(value) => Node::Number((*value).into()),
        Value::U32(value) => Node::Number((*value).into()),
        Value::U64(value) => Node::Number((*value).into()),
        Value::F32(value) => Node::Text(value.to_string()),
        Value::F64(value) => Node::Text(value.to_string()),
        Value::String(text) => Node::Text(text.clone()),
        Value::Bytes(bytes) => of_bytes(bytes),
        Value::EnumNumber(number) => {
            let kind = field.kind();
            let value = kind.as_enum().and_then(|numbers| numbers.get_value(*number));
            value.map_or(Node::Number((*number).into()), |value| Node::Text(value.name().to_owned()))
        }
        Value::Message(message) => of_message(pool, message),
        Value::List(values) => Node::List(values.iter().map(|value| of_value(pool, field, value)).collect()),
        Value::Map(values) => {
            let kind = field.kind();
            let entry = kind.as_message().map(MessageDescriptor::map_entry_value_field);
            let field = entry.as_ref().unwrap_or(field);
            let mut entries: Vec<(String, Node)> =
                values.iter().map(|(key, value)| (key_text(key), of_value(pool, field, value))).collect();
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            Node::Map(entries)
        }
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(value) => value.to_string(),
        MapKey::I32(value) => value.to_string(),
        MapKey::I64(value) => value.to_string(),
        MapKey::U32(value) => value.to_string(),
        MapKey::U64(value) => value.to_string(),
        MapKey::String(text) => text.clone(),
    }
}

fn of_bytes(bytes: &[u8]) -> Node {
    Node::Text(format!("{} bytes, sha256 {}", bytes.len(), hex(&Sha256::digest(bytes))))
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => serializer.serialize_i128(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(nodes) => {
                let mut list = serializer.serialize_seq(Some(nodes.len()))?;
                for node in nodes {
                    list.serialize_element(node)?;
                }
                list.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (name, node) in entries {
                    map.serialize_entry(name, node)?;
                }
                map.end()
            }
        }
    }
}
