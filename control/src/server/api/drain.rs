//! Reads what a refusal left unread of a request, so that the refusal arrives.
//!
//! Over HTTP/2 an answer that is given before the request has come whole resets the stream, and a
//! client that is still sending may see the reset instead of the answer.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;

/// How much of a refused request is still read.
const BYTES_MAX: usize = 1024 * 1024;
/// How long it may take to come.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Holds a refusal back until the request is read, within bounds.
pub(super) async fn before_refusal(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = Shared(Arc::new(Mutex::new(body)));
    let response = next.run(Request::from_parts(parts, Body::new(body.clone()))).await;
    if response.status().is_client_error() {
        // The bounds are for the sender; the refusal goes out in any case.
        let _is_late = timeout(TIMEOUT, drain(body)).await;
    }
    response
}

async fn drain(mut body: Shared) {
    let mut bytes = 0;
    while bytes < BYTES_MAX && !body.is_end_stream() {
        let Some(Ok(frame)) = body.frame().await else { return };
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// A body that outlives the handler that it is given to.
#[derive(Clone)]
struct Shared(Arc<Mutex<Body>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.lock()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::middleware::from_fn;
    use tower::ServiceExt;

    /// Whether all of a request was read by a service that answers without reading it.
    async fn is_read(answer: StatusCode) -> bool {
        let router = Router::new().fallback(async move || answer).layer(from_fn(before_refusal));
        let body = Shared(Arc::new(Mutex::new(Body::from("policies"))));
        let response = router.oneshot(Request::new(Body::new(body.clone()))).await.unwrap();
        assert_eq!(response.status(), answer);
        body.is_end_stream()
    }

    #[tokio::test]
    async fn a_refused_request_is_read_to_its_end() {
        assert!(is_read(StatusCode::UNAUTHORIZED).await);
        assert!(!is_read(StatusCode::OK).await);
    }
}
