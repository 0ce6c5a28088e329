//! From what an operator writes to nodes; what is not supported is named with its place.

use super::pattern::Pattern;
use super::{Additional, Member, NODES_MAX, Node, NodeId, OneOf, REQUIRED_MAX, Schema, Types};
use chancery_sdk::ConfigError;
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;

/// Keywords that say nothing of what is valid.
const ANNOTATIONS: &[&str] = &[
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
];
/// The keywords that have a meaning here.
const SUPPORTED: &str = "type, enum, const, properties, required, additionalProperties, minProperties, \
    maxProperties, items, minItems, maxItems, minLength, maxLength, pattern, minimum, maximum, exclusiveMinimum, \
    exclusiveMaximum, $ref and $defs";
/// How a reference to one of `$defs` begins.
const DEFINITION: &str = "#/$defs/";
/// The member in which the root has what can be referred to.
const DEFINITIONS: &str = "$defs";

/// Compiles a schema that stands at a place of the configuration.
///
/// # Errors
/// Where it is no schema, or has a keyword that is not supported.
pub fn compile(place: &str, schema: &Value) -> Result<Schema, ConfigError> {
    let mut compiler = Compiler { nodes: vec![Node::any()], definitions: BTreeMap::new(), dfa_bytes: 0 };
    let definitions = schema.get(DEFINITIONS).and_then(Value::as_object);
    for name in definitions.into_iter().flat_map(Map::keys) {
        let id = compiler.reserve(place)?;
        compiler.definitions.insert(name.clone(), id);
    }
    for (name, definition) in definitions.into_iter().flatten() {
        let place = format!("{place}.{DEFINITIONS}.{name}");
        if definition.get("$ref").is_some() {
            return Err(ConfigError::at(place, "is a reference itself; state the schema here"));
        }
        let node = compiler.node(&place, definition, false)?;
        if let Some(id) = compiler.definitions.get(name).copied() {
            compiler.set(id, node);
        }
    }
    if schema.get("$ref").is_some() {
        return Err(ConfigError::at(place, "the schema of the whole body is a reference; state it here"));
    }
    let root = compiler.node(place, schema, true)?;
    compiler.set(Schema::ROOT, root);
    Ok(Schema { nodes: compiler.nodes })
}

struct Compiler {
    nodes: Vec<Node>,
    definitions: BTreeMap<String, NodeId>,
    /// What all patterns take so far.
    dfa_bytes: usize,
}

impl Compiler {
    fn reserve(&mut self, place: &str) -> Result<NodeId, ConfigError> {
        if self.nodes.len() >= NODES_MAX {
            return Err(ConfigError::at(
                place,
                format!("there are more than {NODES_MAX} schemas in this one"),
            ));
        }
        self.nodes.push(Node::any());
        Ok(self.nodes.len() - 1)
    }

    fn set(&mut self, id: NodeId, node: Node) {
        if let Some(place) = self.nodes.get_mut(id) {
            *place = node;
        }
    }

    /// The number of a schema within another; of a reference, that of what it refers to.
    fn id(&mut self, place: &str, schema: &Value) -> Result<NodeId, ConfigError> {
        if let Some(reference) = schema.get("$ref") {
            return self.reference(place, schema, reference);
        }
        let id = self.reserve(place)?;
        let node = self.node(place, schema, false)?;
        self.set(id, node);
        Ok(id)
    }

    fn reference(&self, place: &str, schema: &Value, reference: &Value) -> Result<NodeId, ConfigError> {
        let is_other = |keyword: &&String| *keyword != "$ref" && !ANNOTATIONS.contains(&keyword.as_str());
        if let Some(other) = schema.as_object().and_then(|object| object.keys().find(is_other)) {
            return Err(ConfigError::at(
                format!("{place}.{other}"),
                "stands beside `$ref`, which must be alone",
            ));
        }
        let text = reference.as_str().unwrap_or_default();
        let known = match text.strip_prefix(DEFINITION) {
            Some(name) => self.definitions.get(name).copied(),
            None => (text == "#").then_some(Schema::ROOT),
        };
        known.ok_or_else(|| {
            let reason = format!("{reference} is neither `#` nor `{DEFINITION}` and a name that is there");
            ConfigError::at(format!("{place}.$ref"), reason)
        })
    }

    fn node(&mut self, place: &str, schema: &Value, is_root: bool) -> Result<Node, ConfigError> {
        let mut node = Node::any();
        let keywords = match schema {
            Value::Bool(true) => return Ok(node),
            Value::Bool(false) => {
                node.types = Types::NONE;
                return Ok(node);
            }
            Value::Object(keywords) => keywords,
            _ => return Err(ConfigError::at(place, "a schema is an object, `true` or `false`")),
        };
        for (keyword, value) in keywords {
            let at = format!("{place}.{keyword}");
            let is_annotation = ANNOTATIONS.contains(&keyword.as_str());
            if is_annotation || (is_root && keyword == DEFINITIONS) {
                continue;
            }
            self.keyword(&at, keyword, value, &mut node)?;
        }
        Ok(node)
    }

    fn keyword(
        &mut self,
        at: &str,
        keyword: &str,
        value: &Value,
        node: &mut Node,
    ) -> Result<(), ConfigError> {
        match keyword {
            "type" => node.types = types(at, value)?,
            "enum" => node.one_of = Some(OneOf { keyword: "enum", values: values(at, value)? }),
            "const" => node.one_of = Some(OneOf { keyword: "const", values: vec![value.clone()] }),
            "properties" => self.properties(at, value, node)?,
            "required" => required(at, value, node)?,
            "additionalProperties" => {
                node.additional = match value {
                    Value::Bool(true) => Additional::Any,
                    Value::Bool(false) => Additional::None,
                    schema => Additional::Of(self.id(at, schema)?),
                }
            }
            "items" => node.items = Some(self.id(at, value)?),
            "minProperties" => node.member_count.min = count(at, value)?,
            "maxProperties" => node.member_count.max = count(at, value)?,
            "minItems" => node.item_count.min = count(at, value)?,
            "maxItems" => node.item_count.max = count(at, value)?,
            "minLength" => node.length.min = count(at, value)?,
            "maxLength" => node.length.max = count(at, value)?,
            "pattern" => node.pattern = Some(self.pattern(at, value)?),
            "minimum" => node.numbers.minimum = Some(number(at, value)?),
            "maximum" => node.numbers.maximum = Some(number(at, value)?),
            "exclusiveMinimum" => node.numbers.exclusive_minimum = Some(number(at, value)?),
            "exclusiveMaximum" => node.numbers.exclusive_maximum = Some(number(at, value)?),
            _ => {
                let reason = format!("the keyword `{keyword}` is not supported here; there are {SUPPORTED}");
                return Err(ConfigError::at(at, reason));
            }
        }
        Ok(())
    }

    fn properties(&mut self, at: &str, value: &Value, node: &mut Node) -> Result<(), ConfigError> {
        let properties =
            value.as_object().ok_or_else(|| ConfigError::at(at, "must be an object of schemas"))?;
        for (name, schema) in properties {
            let id = self.id(&format!("{at}.{name}"), schema)?;
            node.members.entry(name.clone()).or_default().node = Some(id);
        }
        Ok(())
    }

    fn pattern(&mut self, at: &str, value: &Value) -> Result<Pattern, ConfigError> {
        let text = value.as_str().ok_or_else(|| ConfigError::at(at, "must be a text"))?;
        let pattern = Pattern::compile(text).map_err(|reason| ConfigError::at(at, reason))?;
        self.dfa_bytes += pattern.bytes();
        if self.dfa_bytes > super::pattern::ALL_BYTES_MAX {
            return Err(ConfigError::at(at, "with this pattern, all of them are too large"));
        }
        Ok(pattern)
    }
}

fn types(at: &str, value: &Value) -> Result<Types, ConfigError> {
    let one = |value: &Value| {
        value.as_str().and_then(Types::named).ok_or_else(|| {
            let reason = format!(
                "{value} is none of \"null\", \"boolean\", \"object\", \"array\", \"number\", \"integer\" and \"string\""
            );
            ConfigError::at(at, reason)
        })
    };
    match value {
        Value::Array(list) if !list.is_empty() => {
            list.iter().try_fold(Types::NONE, |types, value| Ok(types.and(one(value)?)))
        }
        value => one(value),
    }
}

fn values(at: &str, value: &Value) -> Result<Vec<Value>, ConfigError> {
    match value {
        Value::Array(list) if !list.is_empty() => Ok(list.clone()),
        _ => Err(ConfigError::at(at, "must be a list of values that are allowed")),
    }
}

fn required(at: &str, value: &Value, node: &mut Node) -> Result<(), ConfigError> {
    let names = value.as_array().map(|list| list.iter().map(|name| name.as_str().map(str::to_owned)));
    let names: Option<Vec<String>> = names.and_then(Iterator::collect);
    let names = names.ok_or_else(|| ConfigError::at(at, "must be a list of names"))?;
    if names.len() > REQUIRED_MAX {
        return Err(ConfigError::at(at, format!("names more than {REQUIRED_MAX} members")));
    }
    for (bit, name) in names.iter().enumerate() {
        node.members.entry(name.clone()).or_default().required = Some(bit);
    }
    // A name that stands there twice has the bit of the second.
    let bit_of = |name: &String| node.members.get(name).and_then(|member: &Member| member.required);
    let is_twice = names.iter().enumerate().find(|(bit, name)| bit_of(name) != Some(*bit));
    if let Some((_, name)) = is_twice {
        return Err(ConfigError::at(at, format!("names `{name}` twice")));
    }
    node.required = names;
    Ok(())
}

fn count(at: &str, value: &Value) -> Result<usize, ConfigError> {
    let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| ConfigError::at(at, "must be a whole number, and not less than 0"))
}

fn number(at: &str, value: &Value) -> Result<Number, ConfigError> {
    value.as_number().cloned().ok_or_else(|| ConfigError::at(at, "must be a number"))
}
