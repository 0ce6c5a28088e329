//! The filter's configuration: what the operator writes, and what the filter works with.

use crate::find::{Kind, Kinds};
use crate::rules::{NAME_BYTES_MAX, PATHS_MAX, Path, Rules};
use chancery_sdk::ConfigError;
use chancery_sdk::media::MediaTypes;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Bytes of a message that is held, and of a piece of one that is not, for which a callback's budget is enough.
pub const BYTES_MAX: usize = 128 << 10;
/// Members that a configuration may name.
const MEMBERS_MAX: usize = 256;
/// Bytes of a mask.
const MASK_BYTES_MAX: usize = 64;
/// Digits of a card that may be left.
const CARD_DIGITS_KEPT_MAX: usize = 4;

/// What the operator writes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    directions: Vec<Direction>,
    find: BTreeMap<String, Action>,
    members: BTreeMap<String, Action>,
    paths: BTreeMap<String, Action>,
    mask: String,
    card_digits_kept: usize,
    content_types: Vec<String>,
    text_types: Vec<String>,
    compressed: Compressed,
    bytes_max: usize,
}

/// What is done with something personal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Other words stand in its place.
    Mask,
    /// The message does not go on.
    Block,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Request,
    Response,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compressed {
    Refuse,
    Pass,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directions: vec![Direction::Request, Direction::Response],
            find: BTreeMap::new(),
            members: BTreeMap::new(),
            paths: BTreeMap::new(),
            mask: "***".to_owned(),
            card_digits_kept: 0,
            content_types: ["application/json", "application/*+json"].map(str::to_owned).to_vec(),
            text_types: Vec::new(),
            compressed: Compressed::Refuse,
            bytes_max: BYTES_MAX,
        }
    }
}

/// What the filter works with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) looks_at_requests: bool,
    pub(crate) looks_at_responses: bool,
    pub(crate) rules: Rules,
    pub(crate) content_types: MediaTypes,
    pub(crate) text_types: MediaTypes,
    pub(crate) passes_compressed: bool,
    /// Whether a message is held until all of it was looked at: what is blocked must not go on in part.
    pub(crate) holds: bool,
    pub(crate) bytes_max: usize,
}

impl TryFrom<Config> for Settings {
    type Error = ConfigError;

    fn try_from(config: Config) -> Result<Self, ConfigError> {
        let actions = || config.find.values().chain(config.members.values()).chain(config.paths.values());
        let reason = "nothing is looked for; state `find`, `members` or `paths`";
        actions().next().ok_or_else(|| ConfigError::at("", reason))?;
        if config.directions.is_empty() {
            return Err(ConfigError::at("directions", "must have `request`, `response` or both"));
        }
        if !(1..=BYTES_MAX).contains(&config.bytes_max) {
            return Err(ConfigError::at("bytes_max", format!("must be from 1 to {BYTES_MAX}")));
        }
        let holds = actions().any(|action| *action == Action::Block);
        Ok(Self {
            looks_at_requests: config.directions.contains(&Direction::Request),
            looks_at_responses: config.directions.contains(&Direction::Response),
            content_types: MediaTypes::read("content_types", &config.content_types)?,
            text_types: MediaTypes::read("text_types", &config.text_types)?,
            passes_compressed: config.compressed == Compressed::Pass,
            holds,
            bytes_max: config.bytes_max,
            rules: rules(config)?,
        })
    }
}

fn rules(config: Config) -> Result<Rules, ConfigError> {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if config.mask.len() > MASK_BYTES_MAX || !config.mask.bytes().all(is_plain) {
        let reason = format!("must be at most {MASK_BYTES_MAX} visible ASCII letters, without `\"` and `\\`");
        return Err(ConfigError::at("mask", reason));
    }
    if config.card_digits_kept > CARD_DIGITS_KEPT_MAX {
        return Err(ConfigError::at("card_digits_kept", format!("must be from 0 to {CARD_DIGITS_KEPT_MAX}")));
    }
    if config.members.len() > MEMBERS_MAX {
        return Err(ConfigError::at("members", format!("names more than {MEMBERS_MAX} members")));
    }
    if config.paths.len() > PATHS_MAX {
        return Err(ConfigError::at("paths", format!("has more than {PATHS_MAX} paths")));
    }
    let kinds = config.find.into_iter().map(|(name, action)| match Kind::named(&name) {
        Some(kind) => Ok((kind, action)),
        None => {
            let names = Kind::ALL.map(|kind| format!("`{}`", kind.name())).join(", ");
            Err(ConfigError::at(format!("find.{name}"), format!("is no kind; there are {names}")))
        }
    });
    let actions: BTreeMap<Kind, Action> = kinds.collect::<Result<_, _>>()?;
    let members = config.members.into_iter().map(|(name, action)| {
        if (1..=NAME_BYTES_MAX).contains(&name.len()) {
            Ok((name.to_lowercase(), action))
        } else {
            let reason = format!("a name must have from 1 to {NAME_BYTES_MAX} bytes");
            Err(ConfigError::at("members", reason))
        }
    });
    let paths = config.paths.into_iter().map(|(text, action)| path(&text, action));
    Ok(Rules {
        kinds: actions.keys().fold(Kinds::default(), |kinds, kind| kinds.with(*kind)),
        actions,
        members: members.collect::<Result<_, _>>()?,
        paths: paths.collect::<Result<_, _>>()?,
        mask: config.mask,
        card_digits_kept: config.card_digits_kept,
    })
}

/// A path is a JSON Pointer (RFC 6901) in which `*` is any name and any index.
fn path(text: &str, action: Action) -> Result<Path, ConfigError> {
    let wrong = |reason: &str| ConfigError::at(format!("paths.{text}"), reason);
    let rest = text.strip_prefix('/').ok_or_else(|| wrong("must begin with `/`"))?;
    let segment = |segment: &str| {
        let name = segment.replace("~1", "/").replace("~0", "~");
        if name.len() > NAME_BYTES_MAX {
            return Err(wrong(&format!("has a name of more than {NAME_BYTES_MAX} bytes")));
        }
        Ok((segment != "*").then_some(name))
    };
    Ok(Path { segments: rest.split('/').map(segment).collect::<Result<_, _>>()?, action })
}
