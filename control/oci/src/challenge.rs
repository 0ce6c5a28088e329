//! Challenges: what a registry wants to be shown, as it says it in `www-authenticate` (RFC 9110, RFC 6750).

/// Bytes of a challenge that are read.
const CHALLENGE_BYTES_MAX: usize = 8 * 1024;
/// Parameters of a challenge.
const PARAMETERS_MAX: usize = 32;

/// What a registry wants to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password.
    Basic,
    /// A token that somebody else gives.
    Bearer {
        /// Who gives it: a URL.
        realm: String,
        /// For whom the token is to be.
        service: Option<String>,
        /// For what.
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads one challenge; `None` if it is none that can be met.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if text.len() > CHALLENGE_BYTES_MAX {
            return None;
        }
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest)?;
        let value = |name: &str| {
            let found = parameters.iter().find(|(of, _)| of.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        Some(Self::Bearer { realm: value("realm")?, service: value("service"), scope: value("scope") })
    }
}

/// `name="value", name=value`
fn parameters(mut text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        if text.is_empty() {
            return Some(found);
        }
        if found.len() == PARAMETERS_MAX {
            return None;
        }
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = match rest.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find([',', ' ']).unwrap_or(rest.len());
                let (value, rest) = rest.split_at_checked(end)?;
                (value.to_owned(), rest)
            }
        };
        found.push((name.trim().to_owned(), value));
        text = rest;
    }
}

/// The text until the closing quote, and what is behind it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Some(Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) })
    }

    #[test]
    fn challenges_are_read() {
        assert_eq!(Challenge::read("Basic realm=\"x\""), Some(Challenge::Basic));
        let usual =
            r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a/b:pull,push""#;
        let expected = bearer("https://ghcr.io/token", Some("ghcr.io"), Some("repository:a/b:pull,push"));
        assert_eq!(Challenge::read(usual), expected);
        assert_eq!(Challenge::read("bearer Realm=a ,  x = \"\\\"\" "), bearer("a", None, None));
    }

    #[test]
    fn what_is_no_challenge_is_none() {
        let many = format!("Bearer realm=a{}", ",b=c".repeat(100));
        let long = format!("Bearer realm=\"{}\"", "a".repeat(10_000));
        for text in [
            "",
            "Digest realm=a",
            "Bearer",
            "Bearer service=a",
            "Bearer realm=\"a",
            "Bearer realm=\"a\\",
            "Bearer a",
            &many,
            &long,
        ] {
            assert_eq!(Challenge::read(text), None, "{text}");
        }
    }
}
