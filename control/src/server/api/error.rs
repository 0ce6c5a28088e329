//! What the API says when it does not do what was asked: a status, and an [`ErrorBody`].

use super::types::{DiagnosticBody, ErrorBody, FailedTestBody};
use crate::mesh::identity::evictions::EvictionError;
use crate::mesh::identity::{IdentityError, TokenError};
use crate::mesh::store::StoreError;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::time::Duration;

/// An answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// What is wrong and what to do.
    pub body: Box<ErrorBody>,
    /// When to come again, if that alone helps.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// An error with a stable code, in words that name the place.
    #[must_use]
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let body = ErrorBody {
            code: code.to_owned(),
            message: message.into(),
            help: None,
            diagnostics: Vec::new(),
            failed_tests: Vec::new(),
            findings: Vec::new(),
        };
        Self { status, body: Box::new(body), retry_after: None }
    }

    /// The request is wrong.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", message)
    }

    /// Names the remedy.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.body.help = Some(text.into());
        self
    }

    /// Says when to come again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds findings in policies.
    #[must_use]
    pub fn diagnostics(mut self, diagnostics: Vec<DiagnosticBody>) -> Self {
        self.body.diagnostics = diagnostics;
        self
    }

    /// Adds tests that fail.
    #[must_use]
    pub fn failed_tests(mut self, failed: Vec<FailedTestBody>) -> Self {
        self.body.failed_tests = failed;
        self
    }

    /// What is our fault is told to the operator in the log, and to the caller without details.
    pub(super) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed inside the control plane");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the control plane could not do this")
            .help("its log says why; nothing was changed")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer realm=\"chancery\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(wait) = self.retry_after {
            // Whole seconds, and never so few that it would be too early.
            response.headers_mut().insert(header::RETRY_AFTER, (wait.as_secs() + 1).into());
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Conflict { .. } => {
                Self::new(StatusCode::CONFLICT, "conflict", message).help("do it again")
            }
            StoreError::NoSuchPolicy(_) => Self::new(StatusCode::NOT_FOUND, "unknown-policy", message)
                .help("list the policies with `chancery get policy`"),
            StoreError::NoSuchProxy(_) => Self::new(StatusCode::NOT_FOUND, "unknown-proxy", message)
                .help("list the proxies with `chancery proxies`"),
            StoreError::Disk { .. } => {
                tracing::error!(error = message, "the store cannot be written");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store", "the control plane cannot write its data")
                    .help("its log says why; nothing of this request was kept")
            }
            StoreError::NoSuchRevision { .. } => {
                Self::new(StatusCode::NOT_FOUND, "unknown-revision", message)
                    .help("list the revisions with `chancery history`")
            }
            StoreError::NoSuchFilter(_) => Self::new(StatusCode::NOT_FOUND, "unknown-filter", message)
                .help("list the filters with `chancery filter list`"),
            StoreError::FilterMissing { .. } => Self::new(StatusCode::CONFLICT, "unknown-filter", message)
                .help("push it first, with `chancery filter push`"),
            StoreError::FilterTaken { .. } | StoreError::FilterOnOtherTerms(_) => {
                Self::new(StatusCode::CONFLICT, "filter-taken", message).help("push it as another version")
            }
            StoreError::FilterInUse { .. } => Self::new(StatusCode::CONFLICT, "filter-in-use", message)
                .help("let them use another version first, or delete them"),
            StoreError::NoRoomForFilter(_) => Self::new(StatusCode::CONFLICT, "too-many-filters", message)
                .help("delete versions that nobody uses: `chancery filter delete`"),
            StoreError::RolloutUnderWay { .. } => Self::new(
                StatusCode::CONFLICT,
                "rollout-under-way",
                message,
            )
            .help(
                "look with `chancery rollout status`; wait until it is over, or take it back with `chancery \
                     rollout undo`",
            ),
            StoreError::RolloutMoved(_) => Self::new(StatusCode::CONFLICT, "no-such-rollout", message)
                .help("look with `chancery rollout status`"),
            StoreError::InUse(_)
            | StoreError::Corrupt { .. }
            | StoreError::Missing(_)
            | StoreError::Copied(_)
            | StoreError::OtherTrustDomain { .. }
            | StoreError::Stopped(_) => Self::internal(&message),
        }
    }
}

impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::BadCsr(_) => Self::new(StatusCode::BAD_REQUEST, "bad-csr", error.to_string())
                .help("send a PKCS #10 request in PEM, signed by an ECDSA key on the curve P-256"),
            IdentityError::OtherKey => Self::new(StatusCode::BAD_REQUEST, "other-key", error.to_string())
                .help("ask for the same key again; with another one, join again with a token"),
            IdentityError::Clock { .. } => {
                tracing::error!(%error, "set the clock of this machine");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "clock", error.to_string())
                    .help("set the clock of the machine on which the control plane runs")
            }
            IdentityError::Store(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}

impl From<EvictionError> for ApiError {
    fn from(error: EvictionError) -> Self {
        match error {
            EvictionError::Full => Self::new(StatusCode::CONFLICT, "too-many-evictions", error.to_string())
                .help("deny the service in a policy"),
            EvictionError::Identity(error) => error.into(),
        }
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        let code = error.code();
        match error {
            TokenError::Identity(error) => error.into(),
            TokenError::Record(_) => Self::internal(&error),
            TokenError::OtherService { .. } | TokenError::ForeignMesh { .. } => {
                Self::new(StatusCode::FORBIDDEN, code, error.to_string())
            }
            _ => Self::new(StatusCode::UNAUTHORIZED, code, error.to_string()),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::BytesRejection(rejection) => rejection.into(),
            JsonRejection::MissingJsonContentType(_) => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not-json",
                "the request has no `content-type: application/json`",
            )
            .help("send JSON and say so"),
            other => Self::new(StatusCode::BAD_REQUEST, "bad-json", other.body_text())
                .help("the shapes of all requests are in /v1/openapi.json"),
        }
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the body of the request is too large")
                .help("send fewer files at a time")
        } else {
            Self::bad_request("the body of the request did not arrive whole").help("send it again")
        }
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text()).help("the parameters are described in /v1/openapi.json")
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text()).help("the paths are described in /v1/openapi.json")
    }
}
