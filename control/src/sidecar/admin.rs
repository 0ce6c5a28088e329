//! Asks Envoy's administration over its Unix socket.

use super::errors::SidecarError;
use crate::delivery::xds::Counts;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where the statistics stand that are counted: of the listeners for requests of the mesh, and of filters that were
/// made anew after they failed, and of what shadow policies would decide otherwise.
const COUNTS: &str = "/stats?usedonly&filter=^(http\\.(inbound|outbound)[^.]*\\.downstream_rq_(completed|5xx)|wasm\\..*\\.vm_reload_.*|wasmcustom\\.writ\\.shadow-.*)$";

/// What the names of counters of shadow decisions begin with.
const SHADOW: &str = "wasmcustom.writ.shadow-";

/// The administration of one Envoy.
#[derive(Clone, Debug)]
pub struct Admin {
    socket: PathBuf,
}

impl Admin {
    /// The administration that listens on this socket, now or later.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Whether Envoy has all it needs and its listeners are open.
    pub async fn is_live(&self) -> bool {
        matches!(self.ask(Method::GET, "/ready").await, Ok((StatusCode::OK, _)))
    }

    /// Tells Envoy to take leave of its clients: it goes on to serve, and asks them to close.
    ///
    /// # Errors
    /// When Envoy does not answer, or refuses.
    pub async fn drain(&self) -> Result<(), SidecarError> {
        match self.ask(Method::POST, "/drain_listeners?graceful").await? {
            (StatusCode::OK, _) => Ok(()),
            (status, body) => Err(self.failed(format!("{status}: {}", body.trim()))),
        }
    }

    /// The listeners that are open; `None` while some wait for something.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn open_listeners(&self) -> Result<Option<BTreeSet<String>>, SidecarError> {
        let (_, waiting) =
            self.ask(Method::GET, "/stats?filter=^listener_manager.total_listeners_warming$").await?;
        if !waiting.trim_end().ends_with(": 0") {
            return Ok(None);
        }
        let (_, listeners) = self.ask(Method::GET, "/listeners").await?;
        Ok(Some(listener_names(&listeners)))
    }

    /// How many connections of clients are open.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn downstream_connections(&self) -> Result<u64, SidecarError> {
        let path = "/stats?filter=^listener\\..*downstream_cx_active$";
        let (_, body) = self.ask(Method::GET, path).await?;
        Ok(sum_of_stats(&body))
    }

    /// How many requests were answered, and how often filters failed.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn counts(&self) -> Result<Counts, SidecarError> {
        let (_, body) = self.ask(Method::GET, COUNTS).await?;
        Ok(counts_of(&body))
    }

    /// All counters that were counted at, as Prometheus reads them.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn metrics(&self) -> Result<String, SidecarError> {
        match self.ask(Method::GET, "/stats/prometheus?usedonly").await? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(self.failed(status.to_string())),
        }
    }

    async fn ask(&self, method: Method, path: &str) -> Result<(StatusCode, String), SidecarError> {
        match tokio::time::timeout(TIMEOUT, self.exchange(method, path)).await {
            Ok(outcome) => outcome.map_err(|error| self.failed(format!("{error:#}"))),
            Err(_) => Err(self.failed(format!("no answer within {} s", TIMEOUT.as_secs()))),
        }
    }

    async fn exchange(&self, method: Method, path: &str) -> anyhow::Result<(StatusCode, String)> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder().method(method).uri(path).header("host", "envoy");
        let exchange = async {
            let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
            let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
            anyhow::Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        tokio::pin!(exchange);
        tokio::select! {
            outcome = &mut exchange => outcome,
            ended = connection => match ended {
                // The connection may end together with the answer.
                Ok(()) => exchange.await,
                Err(error) => Err(error.into()),
            },
        }
    }

    fn failed(&self, problem: String) -> SidecarError {
        SidecarError::Admin { socket: self.socket.clone(), problem }
    }
}

/// The sum of lines such as `listener.127.0.0.1_8080.downstream_cx_active: 3`; the listener of the
/// administration is not counted, for it is this very question.
fn sum_of_stats(text: &str) -> u64 {
    text.lines()
        .filter(|line| !line.starts_with("listener.admin."))
        .filter_map(|line| line.rsplit_once(": ")?.1.trim().parse::<u64>().ok())
        .fold(0, u64::saturating_add)
}

/// The sums of lines such as `http.inbound.downstream_rq_5xx: 3` and `wasm.pii.vm_reload_success: 1`.
fn counts_of(text: &str) -> Counts {
    let mut counts = Counts::default();
    for (name, number) in text.lines().filter_map(|line| line.rsplit_once(": ")) {
        let Ok(number) = number.trim().parse::<u64>() else { continue };
        if let Some(shadow) = name.strip_prefix(SHADOW) {
            counts.shadows.insert(shadow.to_owned(), number);
        } else if let Some(name) = name.strip_prefix("wasm.") {
            let filter = name.rsplit_once(".vm_reload_").map_or(name, |(filter, _)| filter);
            let failed = counts.failures.entry(filter.to_owned()).or_default();
            *failed = failed.saturating_add(number);
        } else if name.ends_with(".downstream_rq_completed") {
            counts.requests = counts.requests.saturating_add(number);
        } else if name.ends_with(".downstream_rq_5xx") {
            counts.errors = counts.errors.saturating_add(number);
        }
    }
    counts.failures.retain(|_, failed| *failed > 0);
    counts
}

/// The names in lines such as `inbound::127.0.0.1:8080`.
fn listener_names(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| Some(line.split_once("::")?.0.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_named_before_their_address() {
        let names = listener_names("inbound::127.0.0.1:8080\noutbound/shop/cart::[::1]:7001\nodd\n");
        assert_eq!(names, ["inbound", "outbound/shop/cart"].map(str::to_owned).into());
    }

    #[test]
    fn requests_and_failures_are_added_up() {
        let text = "http.inbound.downstream_rq_completed: 10\nhttp.outbound_shop_cart.downstream_rq_completed: 5\n\
            http.inbound.downstream_rq_5xx: 2\nwasm.a.b.vm_reload_success: 1\nwasm.a.b.vm_reload_backoff: 3\n\
            wasm.c.vm_reload_failure: 0\nwasmcustom.writ.shadow-denied.strict/slow: 3\nodd\n";
        let failures = [("a.b".to_owned(), 4)].into();
        let shadows = [("denied.strict/slow".to_owned(), 3)].into();
        assert_eq!(
            counts_of(text),
            Counts { requests: 15, errors: 2, failures, shadows, ..Counts::default() }
        );
    }

    #[test]
    fn connections_of_all_listeners_but_the_administration_are_added_up() {
        let text = "listener.127.0.0.1_8080.downstream_cx_active: 3\n\
            listener.admin.downstream_cx_active: 1\nlistener.[__1]_1.downstream_cx_active: 2\nodd\n";
        assert_eq!(sum_of_stats(text), 5);
        assert_eq!(sum_of_stats(""), 0);
    }
}
