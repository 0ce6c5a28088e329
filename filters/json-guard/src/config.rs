//! The filter's configuration: what the operator writes, and what the filter works with.

use crate::schema::{self, Schema};
use chancery_sdk::json::Limits;
use chancery_sdk::media::MediaTypes;
use chancery_sdk::{ConfigError, HeaderMap};
use serde::Deserialize;
use serde_json::Value;

/// Bytes that a body may have, whatever is stated: what a callback's budget is enough for, of the dearest body.
pub const BYTES_MAX: usize = 48 << 10;
/// Values that a body may have, whatever is stated: together with the bytes what the budget is enough for.
pub const VALUES_MAX: usize = 5_000;
/// Containers in each other that a body may have, whatever is stated: no further may the reader of `enum` go.
const DEPTH_MAX: usize = 100;
/// Schemas that a configuration may have.
const SCHEMAS_MAX: usize = 256;

/// What the operator writes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    bytes_max: usize,
    values_max: usize,
    depth_max: usize,
    members_max: usize,
    items_max: usize,
    name_bytes_max: usize,
    text_bytes_max: usize,
    number_bytes_max: usize,
    repeated_members: Choice,
    content_types: Vec<String>,
    other_content_types: Choice,
    compressed: Choice,
    without_schema: Choice,
    schemas: Vec<Entry>,
}

/// What becomes of something.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Choice {
    Refuse,
    Pass,
}

/// A schema, and of which requests it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: String,
    #[serde(default = "methods")]
    methods: Vec<String>,
    schema: Value,
}

fn methods() -> Vec<String> {
    ["POST", "PUT", "PATCH"].map(str::to_owned).to_vec()
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bytes_max: 48 << 10,
            values_max: 2_000,
            depth_max: 32,
            members_max: 1_000,
            items_max: 10_000,
            name_bytes_max: 256,
            text_bytes_max: 48 << 10,
            number_bytes_max: 64,
            repeated_members: Choice::Refuse,
            content_types: ["application/json", "application/*+json"].map(str::to_owned).to_vec(),
            other_content_types: Choice::Refuse,
            compressed: Choice::Refuse,
            without_schema: Choice::Pass,
            schemas: Vec::new(),
        }
    }
}

/// What the filter works with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) bytes_max: usize,
    pub(crate) limits: Limits,
    pub(crate) may_repeat_members: bool,
    pub(crate) content_types: MediaTypes,
    pub(crate) passes_other_content_types: bool,
    pub(crate) passes_compressed: bool,
    pub(crate) passes_without_schema: bool,
    routes: Vec<Route>,
}

/// A schema, and of which requests it is.
#[derive(Debug)]
struct Route {
    methods: Vec<String>,
    /// Its segments; `*` is any one.
    path: Vec<String>,
    /// Whether any further segments may follow.
    is_prefix: bool,
    schema: Schema,
}

impl TryFrom<Config> for Settings {
    type Error = ConfigError;

    fn try_from(config: Config) -> Result<Self, ConfigError> {
        within("bytes_max", config.bytes_max, BYTES_MAX)?;
        within("values_max", config.values_max, VALUES_MAX)?;
        within("depth_max", config.depth_max, DEPTH_MAX)?;
        let others = [
            ("members_max", config.members_max),
            ("items_max", config.items_max),
            ("name_bytes_max", config.name_bytes_max),
            ("text_bytes_max", config.text_bytes_max),
            ("number_bytes_max", config.number_bytes_max),
        ];
        for (place, number) in others {
            within(place, number, BYTES_MAX)?;
        }
        if config.schemas.len() > SCHEMAS_MAX {
            return Err(ConfigError::at("schemas", format!("has more than {SCHEMAS_MAX} entries")));
        }
        let routes = config.schemas.iter().enumerate().map(|(at, entry)| route(at, entry));
        Ok(Self {
            bytes_max: config.bytes_max,
            limits: Limits {
                values_max: config.values_max,
                depth_max: config.depth_max,
                members_max: config.members_max,
                items_max: config.items_max,
                name_bytes_max: config.name_bytes_max,
                text_bytes_max: config.text_bytes_max,
                number_bytes_max: config.number_bytes_max,
            },
            may_repeat_members: config.repeated_members == Choice::Pass,
            content_types: MediaTypes::read("content_types", &config.content_types)?,
            passes_other_content_types: config.other_content_types == Choice::Pass,
            passes_compressed: config.compressed == Choice::Pass,
            passes_without_schema: config.without_schema == Choice::Pass,
            routes: routes.collect::<Result<_, _>>()?,
        })
    }
}

impl Settings {
    /// Which schema a request's body must have, by its number; the first whose method and path are those of the request.
    pub(crate) fn route(&self, headers: &HeaderMap) -> Option<usize> {
        let text = |name: &str| headers.first(name).and_then(|value| std::str::from_utf8(value).ok());
        let method = text(":method")?;
        let path = text(":path")?.split(['?', '#']).next()?;
        let segments: Vec<String> = path.split('/').skip(1).map(decoded).collect();
        self.routes.iter().position(|route| route.is_of(method, &segments))
    }

    /// The schema of a number that [`route`](Self::route) gave.
    pub(crate) fn schema(&self, route: Option<usize>) -> Option<&Schema> {
        self.routes.get(route?).map(|route| &route.schema)
    }
}

impl Route {
    fn is_of(&self, method: &str, segments: &[String]) -> bool {
        let length_fits =
            segments.len() == self.path.len() || (self.is_prefix && segments.len() > self.path.len());
        let fits = |(wanted, segment): (&String, &String)| wanted == "*" || wanted == segment;
        length_fits
            && self.methods.iter().any(|wanted| wanted == method)
            && self.path.iter().zip(segments).all(fits)
    }
}

fn within(place: &str, number: usize, most: usize) -> Result<(), ConfigError> {
    let reason = || ConfigError::at(place, format!("must be from 1 to {most}"));
    (1..=most).contains(&number).then_some(()).ok_or_else(reason)
}

fn route(at: usize, entry: &Entry) -> Result<Route, ConfigError> {
    let wrong = |field: &str, reason: &str| Err(ConfigError::at(format!("schemas[{at}].{field}"), reason));
    let Some(path) = entry.path.strip_prefix('/') else {
        return wrong("path", "must begin with `/`");
    };
    if path.contains(['?', '#']) {
        return wrong("path", "must be a path alone, without a query");
    }
    let (path, is_prefix) = match path.strip_suffix("**") {
        Some("") => (None, true),
        Some(prefix) => match prefix.strip_suffix('/') {
            Some(prefix) => (Some(prefix), true),
            None => return wrong("path", "has `**` that is no segment of its own"),
        },
        None => (Some(path), false),
    };
    let segments: Vec<String> = path.into_iter().flat_map(|path| path.split('/')).map(decoded).collect();
    if segments.iter().any(|segment| segment.contains('*') && segment != "*") {
        return wrong("path", "has a star that is no segment of its own, or `**` before the end");
    }
    if entry.methods.is_empty() || entry.methods.iter().any(String::is_empty) {
        return wrong("methods", "must have the names of methods");
    }
    let schema = schema::compile(&format!("schemas[{at}].schema"), &entry.schema)?;
    Ok(Route { methods: entry.methods.clone(), path: segments, is_prefix, schema })
}

/// A segment of a path as it is meant; bytes that are no UTF-8 are like no segment of the configuration.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) if byte == b'%' => {
                bytes.push(code);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
