//! What a sidecar asks of the control plane: to join, to renew, to leave, and for its stream of
//! configuration. All of it over TLS, verified by the root certificate in the token.

use super::errors::SidecarError;
use super::identity::Identity;
use crate::mesh::identity::validity::to_seconds;
use crate::server::api::client::{Client, ClientError, Credentials, failed_for_its_time};
use crate::server::api::types::{
    Done, IdentityResponse, JoinRequest, LeaveRequest, ProxyStatement, RenewRequest,
};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use jiff::Timestamp;
use reqwest::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status, Streaming};

/// How long a TCP connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a stream may take to come about, TLS and the first answer included. A control plane that
/// hangs takes connections all the same, and meanwhile Envoy waits for its last good configuration.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(4);
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent stream is probed, so that a control plane that vanished is noticed.
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest message of configuration that is taken.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Requests of Envoy that wait for the socket.
const REQUESTS_WAITING_MAX: usize = 16;

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
    post(&Client::new(url, root_pem, Credentials::None)?, "/v1/join", request).await
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
    post(&client(identity)?, "/v1/renew", &RenewRequest { csr_pem, proxy }).await
}

/// Says that the sidecar goes, so that nobody is sent to it any more.
///
/// # Errors
/// As [`join`].
pub async fn leave(identity: &Identity, proxy: ProxyStatement) -> Result<(), SidecarError> {
    let done: Result<Done, _> = post(&client(identity)?, "/v1/leave", &LeaveRequest { proxy }).await;
    done.map(drop)
}

/// Opens a stream of configuration.
///
/// # Errors
/// [`SidecarError::Refused`] when the control plane does not know this sidecar (any more);
/// [`SidecarError::Unreachable`] otherwise, also when it does not answer in time.
pub async fn open_stream(identity: &Identity) -> Result<Stream, SidecarError> {
    let outcome = tokio::time::timeout(OPEN_TIMEOUT, call_for_stream(identity)).await;
    outcome.unwrap_or_else(|_| Err(unreachable(&identity.url, "it does not answer".to_owned())))
}

async fn call_for_stream(identity: &Identity) -> Result<Stream, SidecarError> {
    let channel = connect(identity).await?;
    let mut client =
        AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let (requests, receiver) = mpsc::channel(REQUESTS_WAITING_MAX);
    match client.delta_aggregated_resources(ReceiverStream::new(receiver)).await {
        Ok(response) => Ok(Stream { requests, responses: response.into_inner() }),
        Err(status) if is_stranger(&status) => Err(SidecarError::Refused {
            code: "stream-refused".to_owned(),
            message: format!(
                "{}; the clock of this machine says {}",
                status.message(),
                to_seconds(Timestamp::now())
            ),
            help: None,
        }),
        Err(status) => Err(unreachable(&identity.url, status.message().to_owned())),
    }
}

/// Whether a stream was refused because the sidecar is not registered, or shows no good certificate.
#[must_use]
pub fn is_stranger(status: &Status) -> bool {
    matches!(status.code(), Code::FailedPrecondition | Code::Unauthenticated | Code::PermissionDenied)
}

async fn connect(identity: &Identity) -> Result<Channel, SidecarError> {
    let endpoint = endpoint(identity).and_then(|endpoint| endpoint.tls_config(tls_config(identity)));
    let error = match endpoint {
        Ok(endpoint) => match endpoint.connect().await {
            Ok(channel) => return Ok(channel),
            Err(error) => error,
        },
        Err(error) => error,
    };
    match failed_for_its_time(&identity.url, &identity.root_pem, &error).await {
        Some(of_time) => Err(of_time.into()),
        None => Err(unreachable(&identity.url, chain(&error))),
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

fn client(identity: &Identity) -> Result<Client, SidecarError> {
    let (chain_pem, key_pem) = (identity.certificate_pem.clone(), identity.key_pem.clone());
    let credentials = Credentials::Certificate { chain_pem, key_pem };
    Ok(Client::new(&identity.url, &identity.root_pem, credentials)?)
}

async fn post<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    body: &impl Serialize,
) -> Result<T, SidecarError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, client.post(path, body)).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(unreachable(client.url(), "it does not answer".to_owned())),
    }
}

impl From<ClientError> for SidecarError {
    /// Only what will be the same next time is a refusal.
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused { status, body } if is_final(status) => {
                Self::Refused { code: body.code, message: body.message, help: body.help }
            }
            ClientError::Refused { body, .. } => Self::Busy(body.message),
            error @ ClientError::Clock { .. } => Self::Clock(error.to_string()),
            ClientError::Untrusted { url, detail } => Self::Untrusted { url, problem: detail },
            ClientError::Unreachable { url, detail } | ClientError::Odd { url, detail } => {
                Self::Unreachable { url, problem: detail }
            }
            ClientError::Identity(error) => Self::Identity(error.to_string()),
        }
    }
}

fn is_final(status: StatusCode) -> bool {
    let is_passing = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    status.is_client_error() && !is_passing
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
