//! Accepting connections: TLS, who is at the other end, HTTP, and an orderly end.

use crate::mesh::identity::{PeerIdentity, tls};
use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use jiff::Timestamp;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// The most connections at a time.
const CONNECTIONS_MAX: usize = 16_384;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the headers of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an idle HTTP/2 connection is asked whether it is still there, and how long it has to answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// The most requests that one HTTP/2 connection makes at a time.
const STREAMS_MAX: u32 = 128;
/// How long to wait after the system refused to accept, so that a lack of file descriptors burns no CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves a router on all connections of a listener.
#[derive(Clone)]
pub(super) struct Connections {
    pub(super) tls: Arc<ServerConfig>,
    pub(super) router: Router,
    pub(super) trust_domain: Arc<str>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Connections {
    /// Accepts until told to stop.
    pub(super) async fn serve(self, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = accept(&listener, &room) => accepted,
            };
            match accepted {
                Ok((stream, from, permit)) => {
                    let this = self.clone();
                    self.tasks.spawn(async move {
                        this.connection(stream, from).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(self, stream: TcpStream, from: SocketAddr) {
        // Small answers must not wait for each other; that it fails says that the peer is gone.
        let _gone = stream.set_nodelay(true);
        let handshake = TlsAcceptor::from(Arc::clone(&self.tls)).accept(stream);
        let stream = tokio::select! {
            () = self.stop.cancelled() => return,
            result = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake) => match result {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::debug!(%from, %error, "a TLS handshake failed");
                    return;
                }
                Err(_) => {
                    tracing::debug!(%from, "a TLS handshake took too long");
                    return;
                }
            },
        };
        let chain = stream.get_ref().1.peer_certificates();
        let peer = chain.and_then(|chain| tls::peer_identity(chain, &self.trust_domain));
        self.http(TokioIo::new(stream), peer, from).await;
    }

    async fn http(
        self,
        io: TokioIo<tokio_rustls::server::TlsStream<TcpStream>>,
        peer: Option<PeerIdentity>,
        from: SocketAddr,
    ) {
        let router = self.router;
        let expires_at = peer.as_ref().map(|peer| peer.expires_at);
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            if let Some(peer) = &peer {
                request.extensions_mut().insert(peer.clone());
            }
            router.clone().oneshot(request)
        });
        let builder = http_builder();
        let connection = builder.serve_connection(io, service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = end_of(expires_at) => {
                tracing::debug!(%from, "a connection ended with the certificate that opened it");
                return;
            }
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%from, %error, "a connection broke");
        }
    }
}

/// Waits until a certificate ends, or for ever if there is none. A stream that was opened with an
/// identity must not outlive it; a sidecar has a younger one by then, and comes back with that.
async fn end_of(expires_at: Option<Timestamp>) {
    match expires_at {
        None => std::future::pending().await,
        Some(at) => {
            let left = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
            tokio::time::sleep(left).await;
        }
    }
}

fn http_builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX);
    builder
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, from) = listener.accept().await?;
    Ok((stream, from, permit))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::mesh::identity::authority::{Authority, LIFETIME_DEFAULT};
    use crate::mesh::identity::{Vault, spiffe};
    use crate::mesh::store::redb::RedbStore;
    use jiff::SignedDuration;
    use rcgen::{CertificateParams, KeyPair};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, timeout};
    use tokio_rustls::TlsConnector;

    /// How long the test's certificate still lives; certificates end on whole seconds.
    const LIFE: SignedDuration = SignedDuration::from_secs(2);

    #[tokio::test]
    async fn a_connection_ends_with_the_certificate_that_opened_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&directory.path().join("state.redb"), None).await.unwrap();
        let vault = Vault::from_key(&[5; 32]).unwrap();
        let made = Timestamp::now() - LIFETIME_DEFAULT + LIFE;
        let authority = Authority::open(&store, &vault, LIFETIME_DEFAULT, made).await.unwrap();
        let authority = Arc::new(authority);

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let connections = Connections {
            tls: Arc::new(tls::server_config(authority.clone(), vec!["localhost".to_owned()]).unwrap()),
            router: Router::new().fallback(async || "here"),
            trust_domain: authority.trust_domain().into(),
            stop: stop.clone(),
            tasks: TaskTracker::new(),
        };
        let serving = tokio::spawn(connections.serve(listener));

        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let orders = spiffe::parse_service("shop/orders").unwrap();
        let chain = authority.sign_csr(&csr, &orders, "1", made).unwrap().chain_pem;
        let identity = Some((chain.as_str(), key.serialize_pem()));
        let identity = identity.as_ref().map(|(chain, key)| (*chain, key.as_str()));
        let config = tls::client_config(authority.root_pem(), identity).unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");

        let begun = Instant::now();
        let mut rest = Vec::new();
        // How it ends (orderly or not) does not matter; that it ends does.
        drop(timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.unwrap());
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        stop.cancel();
        serving.await.unwrap();
    }
}
