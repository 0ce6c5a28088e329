//! A small service of the demo: answers every request, and says who answered.

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::routing::any;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What stands at the beginning of each answer, so that one of a proxy is not mistaken for it.
pub const GREETING: &str = "this is ";

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

async fn answer(State(name): State<Arc<str>>, method: Method) -> (StatusCode, String) {
    let status = if method == Method::POST { StatusCode::CREATED } else { StatusCode::OK };
    (status, format!("{GREETING}{name}\n"))
}
