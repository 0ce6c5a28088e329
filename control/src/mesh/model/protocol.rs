//! What an application speaks behind its sidecar, and the names by which people say so.
//!
//! What an application speaks is stated and not found out: without TLS nothing is agreed upon, and an application that
//! is asked in the wrong protocol says nothing that can be relied on. Between sidecars everything is HTTP/2, so what a
//! client speaks says nothing of it either.

use std::fmt;
use std::str::FromStr;

/// What an application speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, known beforehand (RFC 9113, section 3.3): what gRPC speaks.
    H2c,
}

/// The names; of several for the same the first is shown.
const NAMES: [(&str, Protocol); 3] =
    [("http1", Protocol::Http1), ("h2c", Protocol::H2c), ("grpc", Protocol::H2c)];

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, protocol)| protocol == self).map_or("", |(name, _)| *name);
        f.write_str(name)
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, protocol)| *protocol).ok_or_else(|| {
            let names = NAMES.map(|(name, _)| format!("`{name}`")).join(", ");
            format!("`{text}` is not what an application speaks: write one of {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_written_as_it_is_shown() {
        for protocol in [Protocol::Http1, Protocol::H2c] {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert_eq!("grpc".parse(), Ok(Protocol::H2c));
        for text in ["", "H2C", "http", "http2", "auto", "h2c "] {
            let refused = text.parse::<Protocol>().err().unwrap_or_default();
            assert!(refused.contains("`http1`, `h2c`, `grpc`"), "{text}: {refused}");
        }
    }
}
