//! Extractors whose refusals are [`ApiError`]s: JSON bodies, query parameters, path parameters.

use super::error::ApiError;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

/// How long the body of a request may take to come. Who has shown neither a certificate nor a token has less time,
/// for the whole connection.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// A JSON body, in a request and in an answer.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

/// Query parameters.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

/// Parts of the path.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match timeout(BODY_TIMEOUT, axum::Json::from_request(request, state)).await {
            Ok(read) => Ok(Self(read?.0)),
            Err(_) => Err(too_slow()),
        }
    }
}

fn too_slow() -> ApiError {
    let message = format!("the body of the request did not come within {} seconds", BODY_TIMEOUT.as_secs());
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "too-slow", message)
        .help("send it again, or send less at a time")
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let axum::extract::Query(value) = axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(value))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let axum::extract::Path(value) = axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(value))
    }
}
