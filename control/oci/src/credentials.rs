//! What registries are shown: a file as `docker login` writes it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// Name and password for registries, by host.
#[derive(Clone, Default)]
pub struct Credentials(BTreeMap<String, Login>);

/// Name and password.
#[derive(Clone)]
pub struct Login {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
}

impl Credentials {
    /// Those of a text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        // The error of the parser quotes nothing of the text but its place.
        let document: Document = serde_json::from_slice(text)
            .map_err(|error| format!("line {}, column {}", error.line(), error.column()))?;
        let mut logins = BTreeMap::new();
        for (host, entry) in document.auths {
            let Some(auth) = entry.auth.filter(|auth| !auth.is_empty()) else { continue };
            let login = login(&auth).ok_or_else(|| {
                format!("`auth` of {} is no name and password in base64", host.escape_debug())
            })?;
            logins.insert(host_of(&host).to_owned(), login);
        }
        Ok(Self(logins))
    }

    /// What a registry is shown.
    #[must_use]
    pub fn of(&self, host: &str) -> Option<&Login> {
        self.0.get(host)
    }
}

fn login(auth: &str) -> Option<Login> {
    let text = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some(Login { name: name.to_owned(), password: password.trim_end_matches('\0').to_owned() })
}

/// Some tools write a URL.
fn host_of(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    rest.split_once('/').map_or(rest, |(host, _)| host)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn what_docker_writes_is_read_and_never_shown() {
        let auth = STANDARD.encode("me:s3:cret");
        let text = format!(
            r#"{{"auths": {{"https://ghcr.io/v1/": {{"auth": "{auth}"}}, "empty.example": {{}}}}, "credsStore": "x"}}"#
        );
        let credentials = Credentials::parse(text.as_bytes()).unwrap();
        let login = credentials.of("ghcr.io").unwrap();
        assert_eq!((login.name.as_str(), login.password.as_str()), ("me", "s3:cret"));
        assert!(credentials.of("empty.example").is_none() && credentials.of("other.example").is_none());
        assert_eq!(format!("{credentials:?}"), r#"{"ghcr.io"}"#);
        let wrong = Credentials::parse(br#"{"auths": {"a": {"auth": "s3cret!"}}}"#).unwrap_err();
        assert!(!wrong.contains("s3cret"), "{wrong}");
        assert!(Credentials::parse(br#"{"auths": "s3cret"}"#).is_err_and(|error| !error.contains("s3cret")));
    }
}
