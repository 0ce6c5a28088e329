//! GraphQL over HTTP: the requests that a method, a target and a body carry.
//!
//! Servers differ in where they look first, so that what could be read in two ways is refused: a parameter or member that
//! is there twice, or in other letters, and a `POST` with a query in its target.

use crate::json::Json;
use crate::refusal::Refusal;
use std::collections::BTreeMap;

/// One request: a document, which operation of it, and with what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GraphqlRequest {
    /// The document; `None` if the service knows it by its hash.
    pub query: Option<String>,
    /// Which operation.
    pub operation_name: Option<String>,
    /// The variables.
    pub variables: BTreeMap<String, Json>,
    /// The hash by which the service knows the document, as the client says.
    pub hash: Option<String>,
}

/// The members that a request has; others are extensions that nobody here asks about.
const MEMBERS: [&str; 4] = ["query", "operationName", "variables", "extensions"];

/// The path of a target, and what follows it, with the `?` that begins it.
#[must_use]
pub fn split(target: &str) -> (&str, &str) {
    match target.find(['?', '#']) {
        Some(at) => target.split_at_checked(at).unwrap_or((target, "")),
        None => (target, ""),
    }
}

/// A path as services may see it: decoded, in small letters, without empty segments, and without what stands behind `;`.
#[must_use]
pub fn normal(path: &str) -> String {
    let decoded = decoded(path, false).unwrap_or_default().to_lowercase();
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split(['/', '\\']).map(|segment| segment.split(';').next().unwrap_or_default()) {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

/// Whether a target's query has parameters of a request, in whatever letters.
#[must_use]
pub fn has_parameters(query: &str) -> bool {
    parameters(query).is_none_or(|all| {
        all.iter().any(|(name, _)| MEMBERS.iter().any(|member| name.eq_ignore_ascii_case(member)))
    })
}

/// The request in a target's query; `None` if there is none.
///
/// # Errors
/// When it could be read in two ways, or not at all.
pub fn of_target(query: &str) -> Result<Option<GraphqlRequest>, Refusal> {
    // Some services see two parameters where others see one.
    if query.contains(';') && has_parameters(query) {
        return Err(Refusal::Malformed);
    }
    let mut members = BTreeMap::new();
    for (name, text) in parameters(query).ok_or(Refusal::Malformed)? {
        let Some(member) = known(&name)? else { continue };
        let value = match member {
            "variables" | "extensions" if text.is_empty() => Json::Null,
            "variables" | "extensions" => serde_json::from_str(&text).map_err(|_| Refusal::Malformed)?,
            _ => Json::Text(text),
        };
        if members.insert(member.to_owned(), value).is_some() {
            return Err(Refusal::Malformed);
        }
    }
    if members.is_empty() { Ok(None) } else { of_members(members).map(Some) }
}

/// The requests in a body, of which there may be so many.
///
/// # Errors
/// When they could be read in two ways, or not at all, or are too many.
pub fn of_body(body: &[u8], batch_max: usize) -> Result<Vec<GraphqlRequest>, Refusal> {
    match serde_json::from_slice(body).map_err(|_| Refusal::Malformed)? {
        Json::Object(members) => Ok(vec![of_members(members)?]),
        Json::Array(items) if items.len() > batch_max => Err(Refusal::Batch),
        Json::Array(items) if !items.is_empty() => items
            .into_iter()
            .map(|item| match item {
                Json::Object(members) => of_members(members),
                _ => Err(Refusal::Malformed),
            })
            .collect(),
        _ => Err(Refusal::Malformed),
    }
}

/// The member of a name. One that differs in its letters is refused: there are services that take it for the same.
fn known(name: &str) -> Result<Option<&'static str>, Refusal> {
    match MEMBERS.into_iter().find(|member| member.eq_ignore_ascii_case(name)) {
        Some(member) if member == name => Ok(Some(member)),
        Some(_) => Err(Refusal::Malformed),
        None => Ok(None),
    }
}

fn of_members(members: BTreeMap<String, Json>) -> Result<GraphqlRequest, Refusal> {
    let mut request = GraphqlRequest::default();
    for (name, value) in members {
        match (known(&name)?, value) {
            (None, _) | (Some(_), Json::Null) => {}
            (Some("query"), Json::Text(text)) => request.query = Some(text),
            (Some("operationName"), Json::Text(text)) => request.operation_name = Some(text),
            (Some("variables"), Json::Object(variables)) => request.variables = variables,
            (Some("extensions"), Json::Object(extensions)) => request.hash = hash(&extensions),
            _ => return Err(Refusal::Malformed),
        }
    }
    Ok(request)
}

/// The hash of a persisted query.
fn hash(extensions: &BTreeMap<String, Json>) -> Option<String> {
    let Json::Object(persisted) = extensions.get("persistedQuery")? else { return None };
    match persisted.get("sha256Hash")? {
        Json::Text(hash) => Some(hash.to_ascii_lowercase()),
        _ => None,
    }
}

/// Names and values of a query; `None` if something in it is not decoded to UTF-8.
fn parameters(query: &str) -> Option<Vec<(String, String)>> {
    let pairs = query.split(['&', ';']).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name, true)?, decoded(value, true)?))
        })
        .collect()
}

/// Text without `%xx`, and without `+` in a query.
fn decoded(text: &str, has_plus: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        (rest, _) = match (byte, code) {
            (b'%', Some(code)) => (after.get(2..).unwrap_or_default(), bytes.push(code)),
            (b'+', _) if has_plus => (after, bytes.push(b' ')),
            _ => (after, bytes.push(byte)),
        };
    }
    String::from_utf8(bytes).ok()
}
