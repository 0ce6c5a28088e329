//! `/healthz` and `/readyz`, for whatever supervises the process.

use super::Api;
use crate::mesh::store::Health;
use axum::extract::State;
use axum::http::StatusCode;
use std::borrow::Cow;

/// Whether the process answers.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// Whether snapshots of the present policies are there, and changes can be made.
pub(super) async fn ready(State(api): State<Api>) -> (StatusCode, Cow<'static, str>) {
    if let Health::Failing { detail } = &*api.store.health().borrow() {
        let text = format!("sidecars are served, but nothing can be changed: {detail}\n");
        return (StatusCode::SERVICE_UNAVAILABLE, text.into());
    }
    let desired = api.store.watch().borrow().revision;
    match api.fleet.revision() {
        Some(built) if built == desired => (StatusCode::OK, "ready\n".into()),
        Some(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the snapshots of the newest revision are being built\n".into())
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, "not yet: the first snapshots are being built\n".into()),
    }
}
