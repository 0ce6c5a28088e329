//! Media types: which bodies a filter looks at, by `content-type` and `content-encoding`.

use crate::{ConfigError, HeaderMap};

/// A list of media types as an operator states it: `application/json`, `application/*+json`, `text/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaTypes(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// `application/`
    kind: String,
    /// What stands behind the slash: the whole of it, or how it ends where the pattern has a star.
    subtype: String,
    has_star: bool,
}

/// What the headers of a message say about its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// One of the list, in UTF-8, as it is.
    Listed,
    /// One of the list, but `content-encoding` says that it is compressed, or something else than `identity`.
    Encoded,
    /// None of the list, in other letters than UTF-8, unstated, or stated several times.
    Other,
}

impl MediaTypes {
    /// Reads the list that stands at a place of a configuration.
    ///
    /// # Errors
    /// Where one is no media type.
    pub fn read(place: &str, list: &[String]) -> Result<Self, ConfigError> {
        let patterns = list.iter().enumerate().map(|(at, text)| {
            Pattern::read(text).ok_or_else(|| {
                let reason = format!("`{text}` is none of the forms `a/b`, `a/*` and `a/*+b`");
                ConfigError::at(format!("{place}[{at}]"), reason)
            })
        });
        Ok(Self(patterns.collect::<Result<_, _>>()?))
    }

    /// What the headers say about the body.
    #[must_use]
    pub fn kind(&self, headers: &HeaderMap) -> BodyKind {
        let Ok(Some(stated)) = headers.only("content-type") else { return BodyKind::Other };
        if !self.lists(stated) {
            return BodyKind::Other;
        }
        let is_plain = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"identity");
        if headers.values("content-encoding").all(is_plain) { BodyKind::Listed } else { BodyKind::Encoded }
    }

    /// Whether a value of `content-type` is in the list, and its letters are UTF-8.
    fn lists(&self, stated: &[u8]) -> bool {
        let Ok(stated) = std::str::from_utf8(stated) else { return false };
        let mut parts = stated.split(';');
        let media_type = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_utf8 = |parameter: &str| match parameter.trim().split_once('=') {
            Some((name, value)) if name.trim_end().eq_ignore_ascii_case("charset") => {
                let value = value.trim().trim_matches('"');
                ["utf-8", "utf8", "us-ascii"].iter().any(|usual| value.eq_ignore_ascii_case(usual))
            }
            _ => true,
        };
        parts.all(is_utf8) && self.0.iter().any(|pattern| pattern.is_of(&media_type))
    }
}

impl Pattern {
    fn read(text: &str) -> Option<Self> {
        let is_name = |text: &str| {
            let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
            text.bytes().all(is_usual)
        };
        let (kind, subtype) = text.split_once('/')?;
        let (subtype, has_star) = match subtype.strip_prefix('*') {
            Some(rest) if rest.is_empty() || rest.starts_with('+') => (rest, true),
            Some(_) => return None,
            None => (subtype, false),
        };
        let is_whole = !kind.is_empty() && (has_star || !subtype.is_empty());
        (is_whole && is_name(kind) && is_name(subtype)).then(|| Self {
            kind: format!("{}/", kind.to_ascii_lowercase()),
            subtype: subtype.to_ascii_lowercase(),
            has_star,
        })
    }

    fn is_of(&self, media_type: &str) -> bool {
        let Some(subtype) = media_type.strip_prefix(&self.kind) else { return false };
        if self.has_star { subtype.ends_with(&self.subtype) } else { subtype == self.subtype }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(headers: &[(&str, &str)]) -> BodyKind {
        let list = ["application/json", "application/*+json", "text/*"].map(str::to_owned);
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        match MediaTypes::read("content_types", &list) {
            Ok(types) => types.kind(&HeaderMap::new(headers.collect())),
            Err(error) => unreachable!("{error}"),
        }
    }

    #[test]
    fn a_body_is_known_by_its_headers() {
        for listed in [
            "application/json",
            "Application/JSON ; charset=UTF-8",
            "application/problem+json",
            "text/plain; charset=\"us-ascii\"; format=flowed",
        ] {
            assert_eq!(kind(&[("content-type", listed)]), BodyKind::Listed, "{listed}");
        }
        for other in ["application/jsonl", "application/json; charset=utf-16", "", "image/png"] {
            assert_eq!(kind(&[("content-type", other)]), BodyKind::Other, "{other}");
        }
        let json = ("content-type", "application/json");
        assert_eq!(kind(&[]), BodyKind::Other);
        assert_eq!(kind(&[json, json]), BodyKind::Other);
        assert_eq!(kind(&[json, ("content-encoding", "identity")]), BodyKind::Listed);
        assert_eq!(kind(&[json, ("content-encoding", "gzip")]), BodyKind::Encoded);
        let both = [json, ("content-encoding", "identity"), ("content-encoding", "br")];
        assert_eq!(kind(&both), BodyKind::Encoded);
    }

    #[test]
    fn what_is_no_media_type_is_refused_with_its_place() {
        for wrong in ["json", "/json", "application/", "a/*b", "a b/c", "*/*"] {
            let read = MediaTypes::read("content_types", &["a/b".to_owned(), wrong.to_owned()]);
            let words = read.map_err(|error| error.to_string());
            let reason =
                format!("`content_types[1]`: `{wrong}` is none of the forms `a/b`, `a/*` and `a/*+b`");
            assert_eq!(words, Err(reason));
        }
    }
}
