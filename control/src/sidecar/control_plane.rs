//! What a sidecar asks of the control plane: to join, to renew, to leave, and for its stream of
//! configuration. All of it over TLS, verified by the root certificate in the token.

use super::errors::SidecarError;
use super::identity::Identity;
use crate::api::types::{ErrorBody, IdentityResponse, JoinRequest, ProxyStatement, RenewRequest};
use crate::identity::tls;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use reqwest::StatusCode;
use serde::Serialize;
use std::error::Error;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent stream is probed, so that a control plane that vanished is noticed.
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest message of configuration that is taken.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Requests of Envoy that wait for the socket.
const REQUESTS_WAITING_MAX: usize = 16;
/// How much of an answer that is not understood is shown.
const SHOWN_CHARS_MAX: usize = 200;

/// A stream of configuration from the control plane.
#[derive(Debug)]
pub struct Stream {
    /// What Envoy says.
    pub requests: mpsc::Sender<DeltaDiscoveryRequest>,
    /// What it is told.
    pub responses: Streaming<DeltaDiscoveryResponse>,
}

/// Joins the mesh with a token.
///
/// # Errors
/// [`SidecarError::Refused`] when the token is not good; [`SidecarError::Unreachable`] otherwise.
pub async fn join(
    url: &str,
    root_pem: &str,
    request: &JoinRequest,
) -> Result<IdentityResponse, SidecarError> {
    let answer = post(url, root_pem, None, "/v1/join", request).await?;
    understand(url, answer).await
}

/// Gets a new certificate for an identity that has one, and registers the sidecar anew.
///
/// # Errors
/// As [`join`].
pub async fn renew(
    identity: &Identity,
    csr_pem: String,
    proxy: ProxyStatement,
) -> Result<IdentityResponse, SidecarError> {
    let request = RenewRequest { csr_pem, proxy };
    let answer = post(&identity.url, &identity.root_pem, Some(identity), "/v1/renew", &request).await?;
    understand(&identity.url, answer).await
}

/// Says that the sidecar goes, so that nobody is sent to it any more.
///
/// # Errors
/// As [`join`].
pub async fn leave(identity: &Identity) -> Result<(), SidecarError> {
    let nothing = serde_json::json!({});
    post(&identity.url, &identity.root_pem, Some(identity), "/v1/leave", &nothing).await.map(drop)
}

/// Opens a stream of configuration.
///
/// # Errors
/// [`SidecarError::Unreachable`] when there is no connection, and for every refusal of the stream:
/// what a refusal means shows when it is tried again with a renewed certificate.
pub async fn open_stream(identity: &Identity) -> Result<Stream, SidecarError> {
    let failed = |error: &dyn Error| unreachable(&identity.url, chain(error));
    let channel = endpoint(identity)
        .and_then(|endpoint| endpoint.tls_config(tls_config(identity)))
        .map_err(|e| failed(&e))?;
    let channel = channel.connect().await.map_err(|e| failed(&e))?;
    let mut client =
        AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let (requests, receiver) = mpsc::channel(REQUESTS_WAITING_MAX);
    let call = client.delta_aggregated_resources(ReceiverStream::new(receiver));
    match tokio::time::timeout(ANSWER_TIMEOUT, call).await {
        Ok(Ok(response)) => Ok(Stream { requests, responses: response.into_inner() }),
        Ok(Err(status)) => Err(unreachable(&identity.url, status.message().to_owned())),
        Err(_) => Err(unreachable(&identity.url, "it does not answer".to_owned())),
    }
}

fn endpoint(identity: &Identity) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(identity.url.clone())?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(PROBE_EVERY)
        .keep_alive_timeout(PROBE_TIMEOUT)
        .keep_alive_while_idle(true))
}

fn tls_config(identity: &Identity) -> ClientTlsConfig {
    ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&identity.root_pem))
        .identity(tonic::transport::Identity::from_pem(&identity.certificate_pem, &identity.key_pem))
}

async fn post(
    url: &str,
    root_pem: &str,
    identity: Option<&Identity>,
    path: &str,
    body: &impl Serialize,
) -> Result<reqwest::Response, SidecarError> {
    let pair = identity.map(|identity| (identity.certificate_pem.as_str(), identity.key_pem.as_str()));
    let tls = tls::client_config(root_pem, pair).map_err(|e| SidecarError::Identity(e.to_string()))?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT)
        .no_proxy()
        .build()
        .map_err(|e| unreachable(url, chain(&e)))?;
    let address = format!("{}{path}", url.trim_end_matches('/'));
    let answer = client.post(address).json(body).send().await;
    let answer = answer.map_err(|e| unreachable(url, chain(&e)))?;
    if answer.status().is_success() { Ok(answer) } else { Err(refusal(url, answer).await) }
}

async fn understand(url: &str, answer: reqwest::Response) -> Result<IdentityResponse, SidecarError> {
    answer.json().await.map_err(|e| unreachable(url, chain(&e)))
}

/// What an answer that is no success means. Only what will be the same next time is a refusal.
async fn refusal(url: &str, answer: reqwest::Response) -> SidecarError {
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    let is_passing = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    let body = serde_json::from_str::<ErrorBody>(&text);
    match body {
        Ok(body) if status.is_client_error() && !is_passing => {
            SidecarError::Refused { code: body.code, message: body.message, help: body.help }
        }
        Ok(body) => unreachable(url, body.message),
        Err(_) => {
            let shown: String = text.trim().chars().take(SHOWN_CHARS_MAX).collect();
            unreachable(url, format!("it answered {status}: {shown}"))
        }
    }
}

fn unreachable(url: &str, problem: String) -> SidecarError {
    SidecarError::Unreachable { url: url.to_owned(), problem }
}

/// An error with all its causes: the outer ones say only that "a transport error" happened.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}
