//! What a replica's Envoy says to pages of other origins (CORS), by what policies state.

use chancery_policy_lang::checked::{CorsRules, Origin};
use chancery_policy_lang::request::{Headers, Request};

/// What is said to a page that may ask.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// Whether the page asks for leave only, so that the sidecar answers by itself.
    pub(super) is_preflight: bool,
    /// The headers that the answer has, whatever it had of these names.
    pub(super) headers: Headers,
}

/// What is said to the page that asks, if one asks that may.
pub(super) fn said(rules: Option<&CorsRules>, request: &Request) -> Option<Said> {
    let rules = rules?;
    let origin = request.header("origin")?;
    let text = String::from_utf8_lossy(&origin).into_owned();
    if !rules.origins.iter().any(|known| is_of(known, &text)) {
        return None;
    }
    let wishes = request.header("access-control-request-method").is_some_and(|method| !method.is_empty());
    let is_preflight = request.method == b"OPTIONS" && wishes;
    let list = |names: &std::collections::BTreeSet<String>| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.join(",")
    };
    let mut headers: Headers = vec![(b"access-control-allow-origin".to_vec(), origin)];
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            headers.push((name.into(), value.into()));
        }
    };
    let credentials = if rules.credentials { "true".to_owned() } else { String::new() };
    add("access-control-allow-credentials", credentials);
    add("access-control-expose-headers", list(&rules.exposed));
    if is_preflight {
        add("access-control-allow-methods", list(&rules.methods));
        add("access-control-allow-headers", list(&rules.headers));
        add("access-control-max-age", rules.age_s.map(|age| age.to_string()).unwrap_or_default());
    }
    Some(Said { is_preflight, headers })
}

fn is_of(known: &Origin, origin: &str) -> bool {
    match known {
        Origin::Any => true,
        Origin::Exact(exact) => exact == origin,
        Origin::Below { scheme, parent } => {
            let host =
                origin.strip_prefix(scheme.as_str()).and_then(|rest| rest.strip_suffix(parent.as_str()));
            let is_label = |label: &str| {
                let is_letter =
                    |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
                !label.is_empty() && label.bytes().all(is_letter)
            };
            host.is_some_and(|host| host.split('.').all(is_label))
        }
    }
}
