//! The configuration of a filter: JSON into the filter's own type, and what the operator reads when that fails.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// What is read when an operator states no configuration.
const UNSTATED: &[u8] = b"{}";

/// The configuration of a filter that has nothing to configure: `{}`, or nothing at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Why a configuration is not accepted, in words for the operator: the place, a colon, what is wrong there.
///
/// The SDK writes it to the log and lets the proxy refuse the configuration, so that the last good one keeps serving.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    place: String,
    reason: String,
}

impl ConfigError {
    /// Something wrong at a place such as `keys[0].secret`. The reason has a small first letter and no final period.
    #[must_use]
    pub fn at(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() || self.place == "." {
            formatter.write_str(&self.reason)
        } else {
            write!(formatter, "`{}`: {}", self.place, self.reason)
        }
    }
}

/// Reads a configuration.
///
/// # Errors
/// Where it is not JSON, or not of the type: the place in it and serde's words, with line and column.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ConfigError> {
    let stated = if bytes.trim_ascii().is_empty() { UNSTATED } else { bytes };
    let mut json = serde_json::Deserializer::from_slice(stated);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        // Text that is no JSON has no places, but lines and columns.
        let place = if error.inner().is_data() { error.path().to_string() } else { String::new() };
        ConfigError::at(place, error.inner().to_string())
    })?;
    json.end().map_err(|error| ConfigError::at("", error.to_string()))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        keys: Vec<Key>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Key {
        id: String,
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(
            parse::<Sample>(text.as_bytes()).map_err(|error| error.to_string()),
            Err(expected.to_owned())
        );
    }

    #[test]
    fn an_error_names_its_place() {
        check(
            r#"{"keys": [{"id": "a"}, {"id": 3}]}"#,
            "`keys[1].id`: invalid type: integer `3`, expected a string at line 1 column 31",
        );
        check(
            r#"{"keys": [{"ld": "a"}]}"#,
            "`keys[0].ld`: unknown field `ld`, expected `id` at line 1 column 15",
        );
        check("", "missing field `keys` at line 1 column 2");
        check("{", "EOF while parsing an object at line 1 column 1");
        check(r#"{"keys": []} x"#, "trailing characters at line 1 column 14");
    }

    #[test]
    fn nothing_is_read_as_an_empty_object() {
        assert_eq!(parse(b" \n"), Ok(NoConfig {}));
        assert_eq!(parse(b"{}"), Ok(NoConfig {}));
        assert!(parse::<NoConfig>(b"[1]").is_err());
    }
}
