//! The filter's configuration: what the operator writes, and what the filter works with.

use crate::measure::Prices;
use crate::transport;
use chancery_sdk::ConfigError;
use chancery_sdk::media::MediaTypes;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that a body may have, whatever is stated: what a callback's budget is enough for, of the dearest body.
pub const BYTES_MAX: usize = 32 << 10;
/// Tokens that all documents of a message may have, whatever is stated: together with the bytes what the budget is enough for.
pub const TOKENS_MAX: usize = 10_000;
/// What each of the other numbers may be, whatever is stated.
const NUMBER_MAX: u64 = 1_000_000_000;
/// Fields in each other, whatever is stated.
const DEPTH_MAX: usize = 90;
/// Digits of a hash.
const HASH_DIGITS: usize = 64;
/// How a hash is told from a name.
const HASH: &str = "sha256:";

/// What the operator writes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    paths: Vec<String>,
    bytes_max: usize,
    tokens_max: usize,
    depth_max: usize,
    cost_max: u64,
    weight: u64,
    weights: BTreeMap<String, u64>,
    list_arguments: Vec<String>,
    list_sizes: BTreeMap<String, u64>,
    aliases_max: usize,
    directives_max: usize,
    fragments_max: usize,
    batch_max: usize,
    introspection: Choice,
    upgrades: Choice,
    allowed: Vec<String>,
}

/// What becomes of something.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Choice {
    Refuse,
    Pass,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            paths: vec!["/graphql".to_owned()],
            bytes_max: 16 << 10,
            tokens_max: 2_000,
            depth_max: 10,
            cost_max: 1_000,
            weight: 1,
            weights: BTreeMap::new(),
            list_arguments: ["first", "last", "limit"].map(str::to_owned).to_vec(),
            list_sizes: BTreeMap::new(),
            aliases_max: 20,
            directives_max: 20,
            fragments_max: 20,
            batch_max: 1,
            introspection: Choice::Refuse,
            upgrades: Choice::Refuse,
            allowed: Vec::new(),
        }
    }
}

/// What the filter works with.
#[derive(Debug)]
pub(crate) struct Settings {
    paths: BTreeSet<String>,
    pub(crate) content_types: MediaTypes,
    pub(crate) bytes_max: usize,
    pub(crate) tokens_max: usize,
    pub(crate) depth_max: usize,
    pub(crate) cost_max: u64,
    pub(crate) prices: Prices,
    pub(crate) aliases_max: usize,
    pub(crate) directives_max: usize,
    pub(crate) fragments_max: usize,
    pub(crate) batch_max: usize,
    pub(crate) has_introspection: bool,
    pub(crate) passes_upgrades: bool,
    /// `None` if all operations are allowed.
    pub(crate) allowed: Option<Allowed>,
}

/// The operations that are allowed.
#[derive(Debug, Default)]
pub(crate) struct Allowed {
    pub(crate) names: BTreeSet<String>,
    pub(crate) hashes: BTreeSet<String>,
}

impl TryFrom<Config> for Settings {
    type Error = ConfigError;

    fn try_from(config: Config) -> Result<Self, ConfigError> {
        let within = |place: &str, number: u64, least: u64, most: u64| {
            let reason = || ConfigError::at(place, format!("must be from {least} to {most}"));
            (least..=most).contains(&number).then_some(()).ok_or_else(reason)
        };
        within("bytes_max", config.bytes_max as u64, 1, BYTES_MAX as u64)?;
        within("tokens_max", config.tokens_max as u64, 1, TOKENS_MAX as u64)?;
        within("depth_max", config.depth_max as u64, 1, DEPTH_MAX as u64)?;
        let whole = [
            ("cost_max", config.cost_max, 1),
            ("weight", config.weight, 0),
            ("aliases_max", config.aliases_max as u64, 0),
            ("directives_max", config.directives_max as u64, 0),
            ("fragments_max", config.fragments_max as u64, 0),
            ("batch_max", config.batch_max as u64, 1),
        ];
        for (place, number, least) in whole {
            within(place, number, least, NUMBER_MAX)?;
        }
        for (place, numbers) in [("weights", &config.weights), ("list_sizes", &config.list_sizes)] {
            for (name, number) in numbers {
                within(&format!("{place}.{name}"), *number, 0, NUMBER_MAX)?;
            }
        }
        if config.paths.is_empty() {
            return Err(ConfigError::at("paths", "must have a path; nothing is looked at"));
        }
        let wrong = config.paths.iter().position(|path| !path.starts_with('/') || path.contains(['?', '#']));
        if let Some(at) = wrong {
            return Err(ConfigError::at(format!("paths[{at}]"), "must be a path that begins with `/`"));
        }
        Ok(Self {
            paths: config.paths.iter().map(|path| transport::normal(path)).collect(),
            content_types: MediaTypes::read("content_types", &["application/json".to_owned()])?,
            bytes_max: config.bytes_max,
            tokens_max: config.tokens_max,
            depth_max: config.depth_max,
            cost_max: config.cost_max,
            prices: Prices {
                weight: config.weight,
                weights: config.weights,
                list_sizes: config.list_sizes,
                sizes: config.list_arguments,
            },
            aliases_max: config.aliases_max,
            directives_max: config.directives_max,
            fragments_max: config.fragments_max,
            batch_max: config.batch_max,
            has_introspection: config.introspection == Choice::Pass,
            passes_upgrades: config.upgrades == Choice::Pass,
            allowed: if config.allowed.is_empty() { None } else { Some(allowed(&config.allowed)?) },
        })
    }
}

impl Settings {
    /// Whether requests to a path are looked at.
    pub(crate) fn is_of(&self, path: &str) -> bool {
        self.paths.contains(&transport::normal(path))
    }
}

fn allowed(entries: &[String]) -> Result<Allowed, ConfigError> {
    let mut allowed = Allowed::default();
    for (at, entry) in entries.iter().enumerate() {
        let is_name = |text: &str| {
            let begins = text.bytes().next().is_some_and(|byte| byte == b'_' || byte.is_ascii_alphabetic());
            begins && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
        };
        match entry.strip_prefix(HASH) {
            Some(hash) if hash.len() == HASH_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                allowed.hashes.insert(hash.to_ascii_lowercase());
            }
            None if is_name(entry) => {
                allowed.names.insert(entry.clone());
            }
            _ => {
                let reason =
                    format!("`{entry}` is neither the name of an operation nor `{HASH}` and 64 digits");
                return Err(ConfigError::at(format!("allowed[{at}]"), reason));
            }
        }
    }
    Ok(allowed)
}
