//! Which pages of other origins may ask (CORS), as `traffic` policies state it.

use crate::source::Span;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// `cors origins …`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cors {
    /// `policy/name`, or for a statement without a name `policy/cors-hhhhhh`, as of rules.
    pub id: Arc<str>,
    /// What it says.
    pub rules: CorsRules,
    /// The whole statement.
    pub span: Span,
}

/// What pages of other origins may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CorsRules {
    /// The origins whose pages may ask; at least one.
    pub origins: BTreeSet<Origin>,
    /// The methods that a page may use beside those that any page may: `GET`, `HEAD` and `POST`.
    pub methods: BTreeSet<String>,
    /// The headers that a page may send beside those that any page may, in lower case.
    pub headers: BTreeSet<String>,
    /// The headers of an answer that a page may see beside those that any page may, in lower case.
    pub exposed: BTreeSet<String>,
    /// Whether a browser may send cookies and the like.
    pub credentials: bool,
    /// How long a browser may remember this, in seconds.
    pub age_s: Option<u32>,
}

/// Origins of pages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// `*`
    Any,
    /// `https://a.example`, with a port if it is not the scheme's own.
    Exact(String),
    /// `https://*.a.example`: any host below that one.
    Below {
        /// Up to the host: `https://`.
        scheme: String,
        /// With a dot in front, and a port if there is one: `.a.example`.
        parent: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(origin) => f.write_str(origin),
            Self::Below { scheme, parent } => write!(f, "{scheme}*{parent}"),
        }
    }
}

impl fmt::Display for CorsRules {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins: Vec<String> =
            self.origins.iter().map(|origin| format!("{:?}", origin.to_string())).collect();
        write!(f, "cors origins {}", origins.join(", "))?;
        for (word, names) in
            [("methods", &self.methods), ("headers", &self.headers), ("expose", &self.exposed)]
        {
            if !names.is_empty() {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                write!(f, " {word} {}", names.join(", "))?;
            }
        }
        if self.credentials {
            f.write_str(" credentials")?;
        }
        self.age_s.map_or(Ok(()), |age| write!(f, " age {age}s"))
    }
}
