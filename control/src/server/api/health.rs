//! `/healthz` and `/readyz`, for whatever supervises the process.

use super::Api;
use axum::extract::State;
use axum::http::StatusCode;

/// Whether the process answers.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// Whether snapshots of the present policies are there.
pub(super) async fn ready(State(api): State<Api>) -> (StatusCode, &'static str) {
    let desired = api.store.watch().borrow().revision;
    if api.fleet.borrow().revision == desired {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the snapshots of the newest revision are being built\n")
    }
}
