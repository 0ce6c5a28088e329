//! What is shown of a difference: the request as a Rust expression that can be put among the fixed
//! ones, as it goes out, and what everybody says.

use super::opinion::{Opinions, Verdict};
use super::{Difference, http1, http2};
use chancery_policy_lang::request::{Protocol, RawRequest};
use std::fmt;

/// Bytes of a value that are shown; the values of some requests are very long.
const BYTES_SHOWN_MAX: usize = 400;

/// A request as a Rust expression.
#[must_use]
pub fn literal(request: &RawRequest) -> String {
    let mut text = String::from("RawRequest {\n");
    let mut line = |name: &str, value: String| text.push_str(&format!("    {name}: {value},\n"));
    line("protocol", format!("Protocol::{:?}", request.protocol));
    line("method", bytes(&request.method));
    line("path", bytes(&request.path));
    line(
        "authority",
        request.authority.as_ref().map_or("None".to_owned(), |host| format!("Some({})", bytes(host))),
    );
    line("hosts", list(request.hosts.iter().map(|host| bytes(host))));
    line("scheme", bytes(&request.scheme));
    line(
        "headers",
        list(request.headers.iter().map(|(name, value)| format!("({}, {})", bytes(name), bytes(value)))),
    );
    line("has_body", request.has_body.to_string());
    text + "    ..RawRequest::default()\n}"
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("vec![{}]", items.collect::<Vec<_>>().join(", "))
}

fn bytes(bytes: &[u8]) -> String {
    if bytes.len() > BYTES_SHOWN_MAX && bytes.iter().all(|byte| Some(byte) == bytes.first()) {
        return format!("vec![{}; {}]", bytes.first().copied().unwrap_or_default(), bytes.len());
    }
    format!("b\"{}\".to_vec()", bytes.escape_ascii())
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "--- request\n{}", literal(&self.request))?;
        match self.request.protocol {
            Protocol::Http1 => writeln!(out, "--- bytes\n\"{}\"", http1::head(&self.request).escape_ascii())?,
            Protocol::Http2 => {
                writeln!(out, "--- fields")?;
                for (name, value) in http2::fields(&self.request) {
                    writeln!(out, "{}: {}", name.escape_ascii(), value.escape_ascii())?;
                }
            }
        }
        write!(out, "{}", self.opinions)
    }
}

impl fmt::Display for Opinions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen =
            |seen: &Option<super::Seen>| seen.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        writeln!(out, "--- seen by a filter\n  Envoy     {}", seen(&self.seen))?;
        writeln!(out, "  model     {}", seen(&self.believed))?;
        writeln!(out, "--- decided\n  Envoy     {}", self.envoy)?;
        writeln!(out, "  evaluator {}", self.evaluator)?;
        writeln!(out, "  host      {}", self.host)?;
        writeln!(out, "  explain   {}", self.explained)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(words) => write!(out, "refused by Envoy: {words}"),
            Self::Denied { rule, status } => write!(out, "denied with {status} by {rule}"),
            Self::Allowed { rule } => write!(out, "allowed by {rule}"),
            Self::Broken(error) => write!(out, "broken: {error}"),
        }
    }
}
