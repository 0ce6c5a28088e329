//! What is said of a request: by Envoy, the evaluator, the module in the host, and `explain`.

use anyhow::{Context, Result, bail};
use chancery_control::policies::policy_runner::{PolicyRunner, Ran, RunError};
use chancery_policy_lang::decision::Decision;
use chancery_policy_lang::eval::evaluate;
use chancery_policy_lang::explain::{Explanation, explain};
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::request::{RawRequest, Request, received};

/// Headers whose values Envoy makes, not the client. Where they stand among the others does not matter.
const MADE_BY_ENVOY: [&str; 3] = [REQUEST_ID, "x-forwarded-proto", "x-envoy-external-address"];
/// The one of them whose value is random.
const REQUEST_ID: &str = "x-request-id";

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// No filter sees it; in whose words.
    Refused(String),
    /// The module answers it.
    Denied {
        /// The rule, or what stands in its place.
        rule: String,
        /// The status of the answer.
        status: u16,
    },
    /// It passes.
    Allowed {
        /// The rule.
        rule: String,
    },
    /// Nothing that could be: somebody contradicts itself.
    Broken(String),
}

/// A request as a filter sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    protocol: Vec<u8>,
    /// Method, scheme, authority and path, as far as they are there.
    pseudo: Vec<(Vec<u8>, Vec<u8>)>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What everybody says of a request.
#[derive(Clone, Debug)]
pub struct Opinions {
    /// Envoy, with the module in it.
    pub envoy: Verdict,
    /// What Envoy shows to a filter.
    pub seen: Option<Seen>,
    /// What the model believes that it shows.
    pub believed: Option<Seen>,
    /// The definition of the language, on what the model believes.
    pub evaluator: Verdict,
    /// The module in the host of the tools.
    pub host: Verdict,
    /// The explanation.
    pub explained: Verdict,
}

/// A kind of difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Whether evaluator, host and explanation decide otherwise than Envoy.
    differs: [bool; 3],
    /// In which words Envoy and the model refuse, if they do.
    refused: [Option<String>; 2],
    /// Whether pseudo-headers and headers are as believed, if a filter sees the request.
    parts: Option<(bool, bool)>,
}

impl Opinions {
    pub(super) fn gather(
        envoy: Verdict,
        seen: Option<Seen>,
        request: &RawRequest,
        program: &LinkedProgram,
        runner: &mut PolicyRunner,
    ) -> Result<Self> {
        let request = match received(request.clone()) {
            Ok(request) => request,
            Err(refusal) => {
                let refused = Verdict::Refused(refusal.rule().to_owned());
                return Ok(Self {
                    envoy,
                    seen,
                    believed: None,
                    evaluator: refused.clone(),
                    host: refused.clone(),
                    explained: refused,
                });
            }
        };
        Ok(Self {
            envoy,
            seen,
            believed: Some(Seen::of(&request)),
            evaluator: Verdict::of(&evaluate(program, &request)),
            host: Verdict::of_run(runner.run(&request, 0)),
            explained: Verdict::of_explanation(&explain(program, &request)),
        })
    }

    /// Whether somebody says something else than the others.
    #[must_use]
    pub fn differ(&self) -> bool {
        self.kind().is_some()
    }

    /// What kind of difference there is. One that is made smaller shall not become another one.
    pub(super) fn kind(&self) -> Option<Kind> {
        let others = [&self.evaluator, &self.host, &self.explained];
        let differs = others.map(|other| !self.envoy.is_same(other));
        if self.seen == self.believed && differs == [false; 3] {
            return None;
        }
        let refused = |verdict: &Verdict| match verdict {
            Verdict::Refused(words) => Some(words.clone()),
            _ => None,
        };
        let parts = match (&self.seen, &self.believed) {
            (Some(seen), Some(believed)) => {
                Some((seen.pseudo == believed.pseudo, seen.headers == believed.headers))
            }
            _ => None,
        };
        Some(Kind { differs, refused: [refused(&self.envoy), refused(&self.evaluator)], parts })
    }
}

impl Verdict {
    /// The rule, or a name for what no filter sees.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Refused(_) => "(refused by Envoy)",
            Self::Denied { rule, .. } | Self::Allowed { rule } => rule,
            Self::Broken(_) => "(broken)",
        }
    }

    /// Whether it says the same; the words of a refusal do not matter.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Refused(_), Self::Refused(_)) => true,
            (Self::Denied { rule: a, status: x }, Self::Denied { rule: b, status: y }) => a == b && x == y,
            (Self::Allowed { rule: a }, Self::Allowed { rule: b }) => a == b,
            _ => false,
        }
    }

    fn of(decision: &Decision) -> Self {
        let rule = decision.rule.to_string();
        match &decision.respond {
            Some(respond) => Self::Denied { rule, status: respond.status },
            None => Self::Allowed { rule },
        }
    }

    fn of_run(ran: Result<Ran, RunError>) -> Self {
        match ran {
            Ok(Ran { rule, respond: Some(respond), .. }) => Self::Denied { rule, status: respond.status },
            Ok(Ran { rule, respond: None, .. }) => Self::Allowed { rule },
            Err(error) => Self::Broken(error.to_string()),
        }
    }

    /// The explanation's decision, if what it says of the rules agrees with it.
    fn of_explanation(explanation: &Explanation) -> Self {
        let decided = &explanation.decision.rule;
        match explanation.rules.iter().find(|finding| finding.rule == *decided) {
            Some(finding) if !finding.matches() => {
                Self::Broken(format!("explain decides by `{decided}` and says that it does not match"))
            }
            _ => Self::of(&explanation.decision),
        }
    }
}

impl Seen {
    /// Reads what the filter wrote down: the protocol, then names and values in hexadecimal digits.
    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(text)?;
        let mut words = text.split(' ');
        let protocol = words.next().unwrap_or_default().as_bytes().to_vec();
        let mut fields = Vec::new();
        for word in words {
            let (name, value) = word.split_once('=').context("a field has no value")?;
            fields.push((from_hex(name)?, from_hex(value)?));
        }
        Ok(Self::new(protocol, fields))
    }

    fn of(request: &Request) -> Self {
        let pseudo: [(&[u8], &[u8]); 4] = [
            (b":authority", &request.authority),
            (b":path", &request.path),
            (b":method", &request.method),
            (b":scheme", &request.scheme),
        ];
        let pseudo = pseudo.map(|(name, value)| (name.to_vec(), value.to_vec()));
        // An absent path and an empty one are the same to a policy.
        let pseudo = pseudo.into_iter().filter(|(name, value)| name != b":path" || !value.is_empty());
        Self::new(request.protocol.clone(), pseudo.chain(request.headers.iter().cloned()).collect())
    }

    fn new(protocol: Vec<u8>, fields: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        let (mut pseudo, headers): (Vec<_>, Vec<_>) =
            fields.into_iter().partition(|(name, _)| name.starts_with(b":"));
        pseudo.sort();
        let is_made = |name: &[u8]| MADE_BY_ENVOY.iter().any(|made| made.as_bytes() == name);
        let (mut made, mut headers): (Vec<_>, Vec<_>) =
            headers.into_iter().partition(|(name, _)| is_made(name));
        made.sort();
        for (name, value) in &mut made {
            if name == REQUEST_ID.as_bytes() {
                value.clear();
            }
        }
        headers.extend(made);
        Self { protocol, pseudo, headers }
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.protocol.escape_ascii())?;
        for (name, value) in self.pseudo.iter().chain(&self.headers) {
            write!(out, " | {}={}", name.escape_ascii(), value.escape_ascii())?;
        }
        Ok(())
    }
}

fn from_hex(digits: &str) -> Result<Vec<u8>> {
    if digits.len() % 2 == 1 {
        bail!("an odd number of digits: {digits}");
    }
    let pairs =
        digits.as_bytes().chunks(2).map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    pairs.collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]
mod tests {
    use super::*;

    #[test]
    fn what_a_filter_sees_can_be_read() {
        let seen = Seen::parse(b"HTTP/2 3a70617468=2f 782d726571756573742d6964=31 78=ff 78=").unwrap();
        assert_eq!(seen.to_string(), "HTTP/2 | :path=/ | x=\\xff | x= | x-request-id=");
        assert!(Seen::parse(b"HTTP/2 3a=3").is_err());
    }

    #[test]
    fn a_refusal_is_one_in_any_words() {
        let refused = |words: &str| Verdict::Refused(words.to_owned());
        assert!(refused("a").is_same(&refused("b")));
        assert!(!refused("a").is_same(&Verdict::Allowed { rule: "a".to_owned() }));
    }
}
