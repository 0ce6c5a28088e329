//! References: `oci://host/name:tag` and `oci://host/name@sha256:digest`.

use crate::Digest;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The scheme of a reference.
pub const SCHEME: &str = "oci://";
/// The longest reference, in bytes.
const REFERENCE_BYTES_MAX: usize = 1024;
/// The longest name of a repository, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// The longest tag, in bytes.
const TAG_BYTES_MAX: usize = 128;

/// Which manifest of a registry is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Host and port of the registry.
    pub host: String,
    /// The name of the repository.
    pub name: String,
    /// Which version of it.
    pub version: Version,
}

/// Which manifest of a repository is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// Whatever the tag stands for now.
    Tag(String),
    /// This one.
    Digest(Digest),
}

/// Words that are no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a reference to a module in a registry: {detail}", .words.escape_debug())]
pub struct ReferenceError {
    /// What was written.
    pub words: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Reference {
    /// Whether the registry is on this machine, where nobody listens to what is said in the clear.
    #[must_use]
    pub fn is_local(&self) -> bool {
        is_local(&self.host)
    }
}

/// Whether a host, which may have a port, is this machine.
#[must_use]
pub fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(words: &str) -> Result<Self, ReferenceError> {
        let wrong = |detail: &str| ReferenceError {
            words: words.chars().take(REFERENCE_BYTES_MAX).collect(),
            detail: detail.to_owned(),
        };
        if words.len() > REFERENCE_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        let rest = words.strip_prefix(SCHEME).ok_or_else(|| wrong("it does not begin with `oci://`"))?;
        let (host, rest) = rest.split_once('/').ok_or_else(|| wrong("it names no repository"))?;
        if !is_host(host) {
            return Err(wrong("its host is none"));
        }
        let (name, version) = match rest.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse().map_err(|_| wrong("its digest is no SHA-256"))?;
                // What a tag says beside a digest does not count.
                let name = name.split_once(':').map_or(name, |(name, _)| name);
                (name, Version::Digest(digest))
            }
            None => {
                let (name, tag) =
                    rest.split_once(':').ok_or_else(|| wrong("it has neither a tag nor a digest"))?;
                if !is_tag(tag) {
                    return Err(wrong("its tag is none"));
                }
                (name, Version::Tag(tag.to_owned()))
            }
        };
        if !is_name(name) {
            return Err(wrong(
                "its repository is none: lower-case letters and digits, with `.`, `_`, `-` and `/` between them",
            ));
        }
        Ok(Self { host: host.to_owned(), name: name.to_owned(), version })
    }
}

fn is_host(host: &str) -> bool {
    if let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse::<Ipv6Addr>().is_ok() && is_port;
    }
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// As the distribution specification has it.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let is_end =
            |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let separators = part.split(|at: char| at.is_ascii_lowercase() || at.is_ascii_digit());
        let is_separator =
            |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
        is_end(part.bytes().next())
            && is_end(part.bytes().next_back())
            && separators.into_iter().all(is_separator)
    };
    name.len() <= NAME_BYTES_MAX && name.split('/').all(is_part)
}

fn is_tag(tag: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let begins = tag.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric() || first == b'_');
    begins && tag.len() <= TAG_BYTES_MAX && tag.bytes().all(is_fit)
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, name, version } = self;
        let before = if matches!(version, Version::Tag(_)) { ':' } else { '@' };
        write!(formatter, "{host}/{name}{before}{version}")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => formatter.write_str(tag),
            Self::Digest(digest) => digest.fmt(formatter),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_and_written_again() {
        let digest = Digest::of(b"a");
        for words in [
            "ghcr.io/acme/pii-guard:1.2.0",
            "localhost:5000/a:b",
            "[::1]:5000/a/b__c/d.e---f:_x",
            &format!("registry.example/acme/guard@{digest}"),
        ] {
            let reference: Reference = format!("oci://{words}").parse().unwrap();
            assert_eq!(reference.to_string(), *words);
        }
        let both: Reference = format!("oci://r.example/a:1@{digest}").parse().unwrap();
        assert_eq!(both.version, Version::Digest(digest));
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let long = format!("oci://a/{}:b", "a".repeat(300));
        for words in [
            "",
            "ghcr.io/a:b",
            "oci://",
            "oci://a",
            "oci://a/",
            "oci://a/b",
            "oci:///b:c",
            "oci://a/b:",
            "oci://a/B:c",
            "oci://a/b@sha256:12",
            "oci://a/b@md5:12",
            "oci://a/../b:c",
            "oci://a//b:c",
            "oci://a/b/:c",
            "oci://a/b?c:d",
            "oci://u:p@host/b:c",
            "oci://a:0/b:c",
            "oci://a:99999/b:c",
            "oci://[::g]/b:c",
            "oci://a b/c:d",
            "oci://a/b:c\n",
            "oci://a/b___c:d",
            "oci://a/b-:c",
            "https://a/b:c",
            &long,
        ] {
            assert!(words.parse::<Reference>().is_err(), "{words}");
        }
    }

    #[test]
    fn only_this_machine_is_local() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:80", "[::1]:5000", "127.9.9.9"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["localhost.example", "127.0.0.1.example:80", "10.0.0.1", "[::2]:1", "ghcr.io", ""] {
            assert!(!is_local(host), "{host}");
        }
    }
}
