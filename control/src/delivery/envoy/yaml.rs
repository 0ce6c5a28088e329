//! Snapshots as text: what a proxy is given, as YAML with Envoy's own names.
//!
//! Made from the encoded messages, so it shows what is sent and not what was meant. Private keys
//! are left out; other bytes are shown as their size and digest.

use super::schema::{Kind, MESSAGES, Message};
use super::wire::{Content, fields};
use crate::delivery::snapshot::{Resource, ResourceType, Snapshot};
use prost::Message as _;
use prost_types::value::Kind as JsonKind;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use sha2::{Digest as _, Sha256};

/// What type URLs begin with.
const TYPE_PREFIX: &str = "type.googleapis.com/";

/// The snapshot as YAML.
///
/// # Errors
/// If the text cannot be written, which no snapshot is known to cause.
pub fn of_snapshot(snapshot: &Snapshot) -> Result<String, serde_saphyr::ser::Error> {
    let mut entries = vec![("revision".to_owned(), Node::Number(snapshot.revision.0.into()))];
    if !snapshot.problems.is_empty() {
        entries.push(("problems".to_owned(), texts(&snapshot.problems)));
    }
    for kind in ResourceType::ALL {
        let resources: Vec<Node> = snapshot.of(kind).values().map(|resource| of_resource(resource)).collect();
        if !resources.is_empty() {
            entries.push((kind.as_str().to_owned(), Node::List(resources)));
        }
    }
    serde_saphyr::to_string(&Node::Map(entries))
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

fn of_resource(resource: &Resource) -> Node {
    let mut entries = vec![
        ("name".to_owned(), Node::Text(resource.name.clone())),
        ("version".to_owned(), Node::Text(resource.version.clone())),
    ];
    if !resource.policies.is_empty() {
        entries.push(("policies".to_owned(), texts(&resource.policies)));
    }
    entries.push(("resource".to_owned(), of_any(resource.kind.type_url(), &resource.body)));
    Node::Map(entries)
}

fn texts(texts: &[String]) -> Node {
    Node::List(texts.iter().cloned().map(Node::Text).collect())
}

/// A message as its type URL and its fields.
fn of_any(type_url: &str, body: &[u8]) -> Node {
    let mut entries = vec![("@type".to_owned(), Node::Text(type_url.to_owned()))];
    let name = type_url.strip_prefix(TYPE_PREFIX).unwrap_or(type_url);
    match MESSAGES.iter().find(|message| message.name == name) {
        Some(message) => entries.extend(of_fields(message, body)),
        None => entries.push(("unknown_type".to_owned(), of_bytes(body))),
    }
    Node::Map(entries)
}

fn of_fields(message: &Message, body: &[u8]) -> Vec<(String, Node)> {
    let Some(fields) = fields(body) else {
        return vec![("malformed".to_owned(), of_bytes(body))];
    };
    let mut entries: Vec<(String, Node)> = Vec::new();
    for (number, content) in fields {
        let known = message.fields.iter().find(|(known, _, _)| *known == number);
        let Some((_, name, kind)) = known else {
            entries.push((format!("unknown_field_{number}"), of_unknown(content)));
            continue;
        };
        let node = match kind {
            Kind::Many(kind) => Node::List(vec![of_content(kind, content)]),
            kind => of_content(kind, content),
        };
        let earlier = entries.iter_mut().find(|(earlier, _)| earlier == name);
        match (earlier.map(|(_, earlier)| earlier), node) {
            (Some(Node::List(list)), Node::List(more)) => list.extend(more),
            (Some(Node::Map(map)), Node::Map(more)) => map.extend(more),
            (_, node) => entries.push(((*name).to_owned(), node)),
        }
    }
    entries
}

fn of_content(kind: &Kind, content: Content<'_>) -> Node {
    match (kind, content) {
        (Kind::Bool, Content::Varint(value)) => Node::Bool(value != 0),
        (Kind::Number, Content::Varint(value)) => Node::Number(value.into()),
        (Kind::Enum(names), Content::Varint(value)) => {
            let name = usize::try_from(value).ok().and_then(|at| names.get(at));
            name.map_or(Node::Number(value.into()), |name| Node::Text((*name).to_owned()))
        }
        (Kind::Text, Content::Bytes(text)) => Node::Text(String::from_utf8_lossy(text).into_owned()),
        (Kind::Hidden, Content::Bytes(_)) => Node::Text("not shown".to_owned()),
        (Kind::Message(message), Content::Bytes(body)) => Node::Map(of_fields(message, body)),
        (Kind::Boxed(kind), Content::Bytes(body)) => of_boxed(kind, body),
        (Kind::Duration, Content::Bytes(body)) => of_duration(body),
        (Kind::Any, Content::Bytes(body)) => match prost_types::Any::decode(body) {
            Ok(any) => of_any(&any.type_url, &any.value),
            Err(_) => of_unknown(content),
        },
        (Kind::AnyMap, Content::Bytes(body)) => Node::Map(of_map_entry(body).into_iter().collect()),
        (Kind::Struct, Content::Bytes(body)) => of_struct(body),
        (_, content) => of_unknown(content),
    }
}

/// A message whose field 1 is the value; absent is 0 or false.
fn of_boxed(kind: &Kind, body: &[u8]) -> Node {
    let fields = fields(body).unwrap_or_default();
    let value =
        fields.iter().find(|(number, _)| *number == 1).map_or(Content::Varint(0), |(_, value)| *value);
    of_content(kind, value)
}

fn of_duration(body: &[u8]) -> Node {
    match prost_types::Duration::decode(body) {
        Ok(duration) => Node::Text(duration.to_string()),
        Err(_) => of_bytes(body),
    }
}

/// Key 1, value 2.
fn of_map_entry(body: &[u8]) -> Option<(String, Node)> {
    let fields = fields(body)?;
    let find = |wanted: u32| fields.iter().find(|(number, _)| *number == wanted).map(|(_, content)| *content);
    let Content::Bytes(key) = find(1)? else { return None };
    Some((String::from_utf8_lossy(key).into_owned(), of_content(&Kind::Any, find(2)?)))
}

fn of_struct(body: &[u8]) -> Node {
    let Ok(json) = prost_types::Struct::decode(body) else { return of_bytes(body) };
    let text = |value: prost_types::Value| match value.kind {
        Some(JsonKind::StringValue(text)) => Node::Text(text),
        other => Node::Text(format!("{other:?}")),
    };
    Node::Map(json.fields.into_iter().map(|(name, value)| (name, text(value))).collect())
}

fn of_unknown(content: Content<'_>) -> Node {
    match content {
        Content::Varint(value) => Node::Number(value.into()),
        Content::Bytes(bytes) => of_bytes(bytes),
    }
}

fn of_bytes(bytes: &[u8]) -> Node {
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Node::Text(format!("{} bytes, sha256 {digest}", bytes.len()))
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
