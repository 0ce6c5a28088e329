//! Says over HTTP whether the sidecar is ready (200 or 503, with the reason as JSON), and what became of lines of logs.

use super::admin::Admin;
use super::errors::SidecarError;
use super::identity::Identity;
use super::relay::{Link, RelayStatus};
use super::sinks::{self, Sinks};
use crate::delivery::xds::Application;
use crate::mesh::identity::validity::to_seconds;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The form in which Prometheus reads metrics.
const METRICS_TYPE: &str = "text/plain; version=0.0.4";

/// The endpoint, bound but not served yet.
#[derive(Debug)]
pub struct Readiness {
    listener: TcpListener,
    /// Where it is.
    pub address: SocketAddr,
}

/// What readiness depends on.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Envoy.
    pub admin: Admin,
    /// Its configuration.
    pub relay: watch::Receiver<RelayStatus>,
    /// Whether the application answers; `None` while that is not known.
    pub application: watch::Receiver<Option<Application>>,
    /// Its certificate.
    pub identity: watch::Receiver<Arc<Identity>>,
    /// Why the certificate was not renewed, when that was last tried.
    pub trouble: watch::Receiver<Option<String>>,
    /// Whether the sidecar is leaving.
    pub leaving: CancellationToken,
    /// Where lines of logs go, which readiness does not depend on.
    pub sinks: Sinks,
}

impl Readiness {
    /// Binds the endpoint; port 0 takes any that is free.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn bind(address: SocketAddr) -> Result<Self, SidecarError> {
        let failed = |source| SidecarError::Listen { address: address.to_string(), source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Serves `GET /ready` and `GET /metrics` until `stop`.
    ///
    /// # Errors
    /// When the socket breaks.
    pub async fn serve(self, sources: Sources, stop: CancellationToken) -> std::io::Result<()> {
        let router =
            Router::new().route("/ready", get(answer)).route("/metrics", get(metrics)).with_state(sources);
        axum::serve(self.listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
    }
}

/// What became of lines, and what Envoy counts, with labels of policies and statements; without the latter while there is
/// no Envoy.
async fn metrics(State(sources): State<Sources>) -> ([(HeaderName, &'static str); 1], String) {
    let of_envoy = sources.admin.metrics().await;
    if let Err(error) = &of_envoy {
        tracing::warn!("what Envoy counts is missing in metrics: {error}");
    }
    let up = u8::from(of_envoy.is_ok());
    let up = format!(
        "# HELP chancery_envoy_up Whether Envoy says what it counts.\n# TYPE chancery_envoy_up gauge\nchancery_envoy_up {up}\n"
    );
    let text = [sinks::metrics(&sources.sinks.counts()), up, of_envoy.unwrap_or_default()].concat();
    ([(CONTENT_TYPE, METRICS_TYPE)], text)
}

async fn answer(State(sources): State<Sources>) -> (StatusCode, Json<Value>) {
    let status = sources.relay.borrow().clone();
    let is_live = sources.admin.is_live().await;
    let untimely = untimely(&sources.identity.borrow(), &sources.trouble.borrow(), Timestamp::now());
    let reason = reason(&status, untimely, is_live, sources.leaving.is_cancelled());
    let code = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let configuration = match status.link {
        Link::None | Link::Waiting => "none",
        Link::Through => "control-plane",
        Link::StandIn => "last-good",
    };
    // That the sidecar is ready does not depend on it: there are applications that wait for their sidecar.
    let application = match &*sources.application.borrow() {
        None => "unknown".to_owned(),
        Some(Application::Answers) => "answers".to_owned(),
        Some(Application::Silent { reason }) => format!("does not answer: {reason}"),
    };
    let said = json!({
        "ready": reason.is_none(),
        "reason": reason,
        "configuration": configuration,
        "application": application,
    });
    (code, Json(said))
}

/// Why nobody takes the certificate, and what keeps it from being renewed; `None` if it is good.
fn untimely(identity: &Identity, trouble: &Option<String>, now: Timestamp) -> Option<String> {
    let complaint = identity.complaint(now)?;
    let why = trouble.as_deref().unwrap_or("it is being renewed");
    Some(format!(
        "the certificate {complaint}, and the clock of this machine says {}: {why}",
        to_seconds(now)
    ))
}

/// Why the sidecar is not ready; `None` when it is.
fn reason(status: &RelayStatus, untimely: Option<String>, is_live: bool, is_leaving: bool) -> Option<String> {
    let reason = if is_leaving {
        "the sidecar is leaving"
    } else if untimely.is_some() {
        return untimely;
    } else if let Some((name, reason)) = status.closed.first_key_value() {
        return Some(format!("Envoy cannot open the listener {name}, and tries again: {reason}"));
    } else if status.link == Link::Waiting {
        "the control plane is away, and there is no earlier configuration"
    } else if !status.is_configured {
        "Envoy has no configuration yet"
    } else if !is_live {
        "Envoy is not live yet"
    } else {
        return None;
    };
    Some(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_is_ready_when_envoy_is_live_with_a_configuration() {
        let status = |link, is_configured| RelayStatus { link, is_configured, ..RelayStatus::default() };
        let said = |status: RelayStatus, is_live, is_leaving| reason(&status, None, is_live, is_leaving);
        assert_eq!(said(status(Link::Through, true), true, false), None);
        assert_eq!(said(status(Link::StandIn, true), true, false), None);
        assert!(said(status(Link::None, false), true, false).is_some());
        assert!(said(status(Link::Waiting, false), true, false).is_some());
        assert!(said(status(Link::Through, true), false, false).is_some());
        assert!(said(status(Link::Through, true), true, true).is_some());
        let closed = [("inbound".to_owned(), "127.0.0.1:8080 is in use".to_owned())].into();
        let why = said(RelayStatus { closed, ..status(Link::Through, true) }, true, false);
        assert!(why.is_some_and(|why| why.contains("inbound") && why.contains("8080")));
        let over = Some("the certificate ended at noon".to_owned());
        assert_eq!(reason(&status(Link::StandIn, true), over.clone(), true, false), over);
    }
}
