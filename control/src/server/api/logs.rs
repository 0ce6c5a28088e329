//! `/v1/logs`: lines of the sidecars' logs, as they come, for as long as somebody reads.

use super::extract::Query;
use super::{Api, ApiError};
use crate::delivery::followers::{FOLLOWERS_MAX, Followed, Following, Scope, What};
use crate::delivery::xds::lines::Wanted;
use crate::mesh::identity::spiffe;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::interval;
use tokio_stream::StreamExt as _;

/// How often something is sent though there is no line, so that either side learns when the other one is gone.
pub const EMPTY_LINE_EVERY: Duration = Duration::from_secs(10);
/// When to come again if too many follow.
const COME_AGAIN: Duration = Duration::from_secs(10);
/// The longest name of a policy or statement that is asked for, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Which lines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogsQuery {
    on: Option<String>,
    #[serde(default)]
    denied: bool,
    #[serde(default)]
    shadow: bool,
    policy: Option<String>,
    rule: Option<String>,
}

/// A line of a sidecar's log, or that some are not shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoggedLine {
    /// The sidecar that wrote it; absent if lines of several are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// The line, as the sidecar's sinks get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<serde_json::Map<String, serde_json::Value>>,
    /// How many lines are not shown, for they were too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_shown: Option<u64>,
}

/// Follows.
pub(super) async fn follow(
    State(api): State<Api>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, ApiError> {
    let LogsQuery { on, denied, shadow, policy, rule } = query;
    let scope = on.as_deref().map_or(Ok(Scope::Mesh), scope_of)?;
    if [&policy, &rule].into_iter().flatten().any(|name| name.len() > NAME_BYTES_MAX) {
        return Err(ApiError::bad_request("no policy or rule has so long a name"));
    }
    let wanted = Wanted { denied, shadow, policy, rule };
    let following = api.followers.follow(scope, wanted).ok_or_else(too_many)?;
    let body = Body::from_stream(texts(following));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// What goes over the wire: lines, and now and then an empty one, the first at once.
fn texts(following: Following) -> impl tokio_stream::Stream<Item = Result<Bytes, Infallible>> {
    following
        .timeout_repeating(interval(EMPTY_LINE_EVERY))
        .map(|next| Ok(next.map_or_else(|_| Bytes::from_static(b"\n"), text)))
}

fn text(followed: Followed) -> Bytes {
    let (entry, not_shown) = match followed.what {
        What::Line(line) => match serde_json::from_str(&line) {
            Ok(entry) => (Some(entry), None),
            // It was an object when it was taken, if not one with a name for each field.
            Err(_) => (None, Some(1)),
        },
        What::LeftOut(count) => (None, Some(count)),
    };
    let line = LoggedLine { proxy: followed.proxy.map(|proxy| proxy.0), entry, not_shown };
    // What was read as JSON is written as JSON.
    let mut text = serde_json::to_vec(&line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

fn scope_of(on: &str) -> Result<Scope, ApiError> {
    match on.split_once('/') {
        None if on == "mesh" => Ok(Scope::Mesh),
        Some(("namespace", name)) if spiffe::is_name(name) => Ok(Scope::Namespace(name.to_owned())),
        Some(("service", name)) => match spiffe::parse_service(name) {
            Ok(_) => Ok(Scope::Service(name.to_owned())),
            Err(wrong) => Err(ApiError::bad_request(wrong)),
        },
        _ => Err(ApiError::bad_request(format!("`{on}` says of no sidecars that they are meant"))
            .help("write `mesh`, `namespace/NAMESPACE` or `service/NAMESPACE/NAME`")),
    }
}

fn too_many() -> ApiError {
    let message = format!("no more than {FOLLOWERS_MAX} can follow logs at a time");
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too-many-followers", message)
        .help("end one that nobody reads, or come again")
        .retry_after(COME_AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read() {
        assert_eq!(scope_of("mesh"), Ok(Scope::Mesh));
        assert_eq!(scope_of("namespace/shop"), Ok(Scope::Namespace("shop".to_owned())));
        assert_eq!(scope_of("service/shop/orders"), Ok(Scope::Service("shop/orders".to_owned())));
        for wrong in ["", "shop", "namespace/a/b", "service/shop", "workload/shop", "mesh/"] {
            assert!(scope_of(wrong).is_err(), "{wrong}");
        }
    }
}
