//! Peers that want to be in the way of a control plane: connections that ask nothing, bodies that never end, and
//! more sidecars than anybody runs.

use anyhow::{Context as _, Result, anyhow};
use chancery_control::mesh::identity::tls;
use chancery_control::server::api::client::{Client, ClientError, Credentials};
use chancery_control::server::api::types::{
    IdentityResponse, InboundBody, JoinRequest, ProxyStatement, TokenRequest, TokenResponse,
};
use chancery_control::server::context::Context;
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::Request;
use hyper::body::{Bytes, Frame};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::StreamExt as _;

/// Streams of each connection with [`Strangers::with_endless_bodies`].
const ENDLESS_BODIES: usize = 100;
/// How much of each body is sent: nearly as much as the largest that is read.
const SENT_BYTES: usize = 120 * 1024;
/// Sidecars that join at a time in a [`flood_of_joins`].
const JOINING: usize = 8;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Connections of nobody in particular, held open from this side while the value lives.
#[derive(Debug, Default)]
pub struct Strangers {
    connections: JoinSet<()>,
    requests: JoinSet<()>,
    senders: Vec<SendRequest<Body>>,
}

impl Strangers {
    /// Opens HTTP/2 connections that answer every ping and ask nothing. What is refused is left out.
    ///
    /// # Errors
    /// When the context has no usable root certificate.
    pub async fn idle(context: &Context, count: usize) -> Result<Self> {
        let mut strangers = Self::default();
        for _ in 0..count {
            if let Ok(sender) = strangers.connect(context).await {
                strangers.senders.push(sender);
            }
        }
        Ok(strangers)
    }

    /// Opens connections with many requests to join on each, of which each sends much and never ends.
    ///
    /// # Errors
    /// As [`Strangers::idle`].
    pub async fn with_endless_bodies(context: &Context, count: usize) -> Result<Self> {
        let mut strangers = Self::default();
        for _ in 0..count {
            let Ok(sender) = strangers.connect(context).await else { continue };
            for _ in 0..ENDLESS_BODIES {
                let request = endless(&context.url)?;
                let mut sender = sender.clone();
                strangers.requests.spawn(async move {
                    if sender.ready().await.is_ok() {
                        drop(sender.send_request(request).await);
                    }
                });
            }
            strangers.senders.push(sender);
        }
        Ok(strangers)
    }

    /// How many connections the other side still holds.
    pub fn held(&mut self) -> usize {
        while self.connections.try_join_next().is_some() {}
        self.connections.len()
    }

    async fn connect(&mut self, context: &Context) -> Result<SendRequest<Body>> {
        let stream = connect(context, &[b"h2"]).await?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        self.connections.spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}

/// A TLS connection without a certificate.
///
/// # Errors
/// When the other side does not want it.
pub async fn connect(context: &Context, protocols: &[&[u8]]) -> Result<TlsStream<TcpStream>> {
    let mut config = tls::client_config(&context.ca_pem, None)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(address(context)?).await?;
    Ok(TlsConnector::from(Arc::new(config)).connect("127.0.0.1".try_into()?, stream).await?)
}

/// Where a control plane on this machine listens.
///
/// # Errors
/// When it is named otherwise than by its address.
pub fn address(context: &Context) -> Result<SocketAddr> {
    let authority = context.url.strip_prefix("https://").context("no https")?;
    authority.parse().map_err(|error| anyhow!("{authority}: {error}"))
}

/// Joins this many times with one token, each time as another replica with a label of its own; gives how many
/// were let in, and the code by which the last of the others was refused.
///
/// # Errors
/// When there is no token to be had, or the control plane does not answer.
pub async fn flood_of_joins(
    context: &Context,
    service: &str,
    count: usize,
) -> Result<(usize, Option<String>)> {
    joins(context, service, &join_token(context, service).await?, 0..count).await
}

/// A token with which sidecars of a service join.
///
/// # Errors
/// When there is none to be had.
pub async fn join_token(context: &Context, service: &str) -> Result<String> {
    let request = TokenRequest::Join { service: service.to_owned(), lifetime_seconds: None };
    Ok(context.client()?.post::<TokenResponse>("/v1/tokens", &request).await?.token)
}

/// As [`flood_of_joins`], with this token and as the replicas with these numbers.
///
/// # Errors
/// When the control plane does not answer.
pub async fn joins(
    context: &Context,
    service: &str,
    token: &str,
    numbers: Range<usize>,
) -> Result<(usize, Option<String>)> {
    let csr_pem = CertificateParams::default().serialize_request(&KeyPair::generate()?)?.pem()?;
    let mut joining = JoinSet::new();
    for first in numbers.clone().take(JOINING) {
        let client = Client::new(&context.url, &context.ca_pem, Credentials::None)?;
        let (token, csr_pem, service) = (token.to_owned(), csr_pem.clone(), service.to_owned());
        let numbers = (first..numbers.end).step_by(JOINING);
        joining.spawn(async move {
            let (mut let_in, mut refused) = (0, None);
            for number in numbers {
                let proxy = replica(number)?;
                let (token, csr_pem) = (token.clone(), csr_pem.clone());
                let request = JoinRequest { token, service: service.clone(), csr_pem, proxy };
                match client.post::<IdentityResponse>("/v1/join", &request).await {
                    Ok(_) => let_in += 1,
                    Err(ClientError::Refused { body, .. }) => refused = Some(body.code),
                    Err(other) => return Err(other.into()),
                }
            }
            anyhow::Ok((let_in, refused))
        });
    }
    let (mut let_in, mut refused) = (0, None);
    for outcome in joining.join_all().await {
        let (more, code) = outcome?;
        let_in += more;
        refused = code.or(refused);
    }
    Ok((let_in, refused))
}

/// What a replica states: an address and a label that no other one has.
fn replica(number: usize) -> Result<ProxyStatement> {
    let [.., a, b] = u32::try_from(number)?.to_be_bytes();
    Ok(ProxyStatement {
        instance: Some(format!("i{number}")),
        labels: [("version".to_owned(), format!("v{number}"))].into(),
        inbound: Some(InboundBody {
            listen: format!("127.1.{a}.{b}:8080").parse()?,
            advertised: None,
            application: "127.0.0.1:9000".parse()?,
            protocol: None,
            probes: None,
            check: None,
        }),
        outbounds: Vec::new(),
    })
}

/// A request to join of which the end never comes.
fn endless(url: &str) -> Result<Request<Body>> {
    let sent = tokio_stream::once(Ok(Frame::data(Bytes::from(vec![b' '; SENT_BYTES]))));
    let body = StreamBody::new(sent.chain(tokio_stream::pending())).boxed_unsync();
    let request = Request::post(format!("{url}/v1/join")).header("content-type", "application/json");
    Ok(request.body(body)?)
}
