//! The filter's configuration: what the operator writes, and what the filter works with.

use crate::signature::Component;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chancery_sdk::ConfigError;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Bytes that a secret must have.
const SECRET_BYTES_MIN: usize = 16;
/// Seconds that a window may have.
const WINDOW_SECONDS_MAX: u64 = 86_400;
/// Bytes that a body may have, whatever is stated.
const BODY_BYTES_MAX: usize = 16 << 20;

/// What the operator writes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    keys: Vec<Key>,
    #[serde(default = "window_seconds")]
    window_seconds: u64,
    #[serde(default = "ahead_seconds")]
    ahead_seconds: u64,
    #[serde(default = "cover")]
    cover: Vec<String>,
    #[serde(default = "body_bytes_max")]
    body_bytes_max: usize,
    #[serde(default)]
    key_header: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    id: String,
    secret_base64: String,
}

fn window_seconds() -> u64 {
    300
}

fn ahead_seconds() -> u64 {
    30
}

fn cover() -> Vec<String> {
    ["@method", "@authority", "@path", "@query"].map(str::to_owned).to_vec()
}

fn body_bytes_max() -> usize {
    1 << 20
}

/// What the filter works with.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Secrets by the names of keys.
    pub(crate) secrets: BTreeMap<String, Vec<u8>>,
    /// How long ago a signature may be made.
    pub(crate) window_seconds: u64,
    /// How far ahead the client's clock may be.
    pub(crate) ahead_seconds: u64,
    /// What each signature must cover.
    pub(crate) cover: Vec<Component>,
    pub(crate) body_bytes_max: usize,
    pub(crate) key_header: Option<String>,
}

impl TryFrom<Config> for Settings {
    type Error = ConfigError;

    fn try_from(config: Config) -> Result<Self, ConfigError> {
        let within = |place: &str, number: u64, least: u64, most: u64| {
            let reason = || ConfigError::at(place, format!("must be from {least} to {most}"));
            (least..=most).contains(&number).then_some(()).ok_or_else(reason)
        };
        within("window_seconds", config.window_seconds, 1, WINDOW_SECONDS_MAX)?;
        within("ahead_seconds", config.ahead_seconds, 0, WINDOW_SECONDS_MAX)?;
        within("body_bytes_max", config.body_bytes_max as u64, 0, BODY_BYTES_MAX as u64)?;
        Ok(Self {
            secrets: secrets(config.keys)?,
            window_seconds: config.window_seconds,
            ahead_seconds: config.ahead_seconds,
            cover: components(&config.cover)?,
            body_bytes_max: config.body_bytes_max,
            key_header: config.key_header.map(header_name).transpose()?,
        })
    }
}

fn secrets(keys: Vec<Key>) -> Result<BTreeMap<String, Vec<u8>>, ConfigError> {
    let mut secrets = BTreeMap::new();
    if keys.is_empty() {
        return Err(ConfigError::at("keys", "must have at least one key"));
    }
    for (at, key) in keys.into_iter().enumerate() {
        let wrong = |field: &str, reason: String| ConfigError::at(format!("keys[{at}].{field}"), reason);
        if key.id.is_empty() || !key.id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("id", "must be of visible ASCII letters, without spaces".to_owned()));
        }
        let secret = STANDARD
            .decode(&key.secret_base64)
            .map_err(|error| wrong("secret_base64", format!("is not base64: {error}")))?;
        if secret.len() < SECRET_BYTES_MIN {
            let reason = format!("has {} bytes; at least {SECRET_BYTES_MIN} are needed", secret.len());
            return Err(wrong("secret_base64", reason));
        }
        if secrets.contains_key(&key.id) {
            return Err(wrong("id", format!("`{}` is the name of another key", key.id)));
        }
        secrets.insert(key.id, secret);
    }
    Ok(secrets)
}

fn components(names: &[String]) -> Result<Vec<Component>, ConfigError> {
    names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            Component::named(name).ok_or_else(|| {
                let reason = format!(
                    "`{name}` is neither a header in small letters nor one of {}",
                    Component::DERIVED
                );
                ConfigError::at(format!("cover[{at}]"), reason)
            })
        })
        .collect()
}

fn header_name(name: String) -> Result<String, ConfigError> {
    match Component::named(&name) {
        Some(Component::Field(_)) => Ok(name),
        _ => Err(ConfigError::at("key_header", format!("`{name}` is not a header in small letters"))),
    }
}
