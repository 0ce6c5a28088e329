//! A small service of the demo: answers every request, and says who answered; after a while, if it is asked to.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::routing::any;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// What stands at the beginning of each answer, so that one of a proxy is not mistaken for it.
pub const GREETING: &str = "this is ";

/// The header by which an answer is asked for after so many milliseconds.
pub const TAKES_MS: &str = "x-takes-ms";
/// The longest while that a service takes.
const TAKES_MS_MAX: u64 = 1_000;

/// Starts a service on a free port; it runs on `tasks` until `stop`.
///
/// # Errors
/// When there is no free port.
pub async fn start(
    name: &str,
    tasks: &mut JoinSet<io::Result<()>>,
    stop: CancellationToken,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new().fallback(any(answer)).with_state(Arc::<str>::from(name));
    tasks.spawn(
        async move { axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await },
    );
    Ok(address)
}

async fn answer(State(name): State<Arc<str>>, method: Method, headers: HeaderMap) -> (StatusCode, String) {
    let takes_ms = headers.get(TAKES_MS).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(takes_ms) = takes_ms {
        sleep(Duration::from_millis(takes_ms.min(TAKES_MS_MAX))).await;
    }
    let status = if method == Method::POST { StatusCode::CREATED } else { StatusCode::OK };
    (status, format!("{GREETING}{name}\n"))
}
