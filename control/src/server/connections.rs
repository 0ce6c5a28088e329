//! Accepting connections: TLS, who is at the other end, HTTP, and an orderly end.
//!
//! ```text
//! accept --> stranger --- certificate of the mesh ---> member   until the certificate ends (one that is out of
//!               |                                                its time leaves a stranger what it is)
//!               |  '----- token, with a request -----> bearer   until it asks nothing for long
//!               '-- nothing for 10 s, or others need the room: ended
//! ```
//!
//! Each of the three has room of its own ([`standing`]), so that strangers keep nobody out, and a stranger gets
//! little memory: few streams, small windows, one body at a time.

mod pool;
mod standing;

pub use standing::Ender;
pub(super) use standing::{Pools, Standing};

use crate::mesh::identity::{PeerIdentity, Timeliness, UntimelyPeer, tls};
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
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the headers of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an idle HTTP/2 connection is asked whether it is still there, and how long it has to answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// The most requests that one HTTP/2 connection makes at a time: of a sidecar, and of anybody else.
const MEMBER_STREAMS_MAX: u32 = 128;
const STREAMS_MAX: u32 = 16;
/// How much a peer without a certificate may send before it is read: on a stream, and on all of a connection.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const WINDOW_BYTES: u32 = 128 * 1024;
/// The largest head of a request, and how much of an answer waits for a peer without a certificate.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
const BUFFER_BYTES: usize = 64 * 1024;
/// How long requests under way may take when a connection is ended.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long to wait after the system refused to accept, so that a lack of file descriptors burns no CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
enum Peer {
    /// A sidecar, by a good certificate.
    Member(PeerIdentity),
    /// A sidecar whose certificate is out of its time: a stranger that may have it renewed.
    Untimely(UntimelyPeer),
    /// Nobody in particular yet.
    Stranger,
}

impl Peer {
    fn of(identity: Option<PeerIdentity>, now: Timestamp) -> Self {
        match identity {
            Some(peer) if peer.validity.at(now) == Timeliness::Good => Self::Member(peer),
            Some(peer) => Self::Untimely(UntimelyPeer(peer)),
            None => Self::Stranger,
        }
    }
}

/// Serves a router on all connections of a listener.
#[derive(Clone)]
pub(super) struct Connections {
    tls: Arc<ServerConfig>,
    router: Router,
    trust_domain: Arc<str>,
    pools: Arc<Pools>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Connections {
    /// Connections of a mesh, on which `router` is served until `stop`.
    pub(super) fn new(
        tls: Arc<ServerConfig>,
        router: Router,
        trust_domain: &str,
        pools: Arc<Pools>,
        (stop, tasks): (CancellationToken, TaskTracker),
    ) -> Self {
        Self { tls, router, trust_domain: trust_domain.into(), pools, stop, tasks }
    }

    /// Accepts until told to stop.
    pub(super) async fn serve(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => self.take(stream, from),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn take(&self, stream: TcpStream, from: SocketAddr) {
        let Some(standing) = Standing::new(&self.pools, from.ip()) else { return };
        let this = self.clone();
        self.tasks.spawn(async move {
            let crowded = standing.clone();
            tokio::select! {
                () = crowded.crowded_out() => tracing::debug!(%from, "a connection made room for others"),
                () = this.connection(stream, from, standing) => {}
            }
        });
    }

    async fn connection(self, stream: TcpStream, from: SocketAddr, standing: Standing) {
        // In boxes: the room for a handshake is needed for a moment, and a connection is there for days.
        let Some(stream) = Box::pin(self.handshake(stream, from)).await else { return };
        let chain = stream.get_ref().1.peer_certificates();
        let peer = chain.and_then(|chain| tls::peer_identity(chain, &self.trust_domain));
        let peer = Peer::of(peer, Timestamp::now());
        match &peer {
            Peer::Member(peer) if !standing.is_member(peer) => {
                tracing::warn!(%from, proxy = %peer.proxy, "no room for the connection of a sidecar");
            }
            known => {
                if !matches!(known, Peer::Member(_)) {
                    standing.is_stranger();
                }
                self.http(TokioIo::new(stream), peer, from, standing).await;
            }
        }
    }

    async fn handshake(&self, stream: TcpStream, from: SocketAddr) -> Option<Box<TlsStream<TcpStream>>> {
        // Small answers must not wait for each other; that it fails says that the peer is gone.
        let _gone = stream.set_nodelay(true);
        let handshake = TlsAcceptor::from(Arc::clone(&self.tls)).accept(stream);
        tokio::select! {
            () = self.stop.cancelled() => None,
            result = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake) => match result {
                Ok(Ok(stream)) => Some(Box::new(stream)),
                Ok(Err(error)) => {
                    tracing::debug!(%from, %error, "a TLS handshake failed");
                    None
                }
                Err(_) => {
                    tracing::debug!(%from, "a TLS handshake took too long");
                    None
                }
            },
        }
    }

    async fn http(
        self,
        io: TokioIo<Box<TlsStream<TcpStream>>>,
        peer: Peer,
        from: SocketAddr,
        standing: Standing,
    ) {
        let router = self.router;
        let expires_at = match &peer {
            Peer::Member(peer) => Some(peer.validity.ends_at),
            Peer::Untimely(_) | Peer::Stranger => None,
        };
        let builder = http_builder(matches!(peer, Peer::Member(_)));
        let of_requests = standing.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            match &peer {
                Peer::Member(peer) => _ = request.extensions_mut().insert(peer.clone()),
                Peer::Untimely(peer) => _ = request.extensions_mut().insert(peer.clone()),
                Peer::Stranger => {}
            }
            request.extensions_mut().insert(of_requests.clone());
            let asking = of_requests.ask();
            let answer = router.clone().oneshot(request);
            async move {
                let answer = answer.await;
                drop(asking);
                answer
            }
        });
        let connection = builder.serve_connection(io, service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = end_of(expires_at) => {
                tracing::debug!(%from, "a connection ended with the certificate that opened it");
                return;
            }
            () = standing.overdue() => {
                tracing::debug!(%from, "a connection ended that has shown nothing, or asked nothing, for too long");
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
            }
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                // What a stranger has begun may never end.
                if standing.is_known() {
                    connection.await
                } else {
                    tokio::time::timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
                }
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

fn http_builder(is_member: bool) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(MEMBER_STREAMS_MAX);
    if !is_member {
        builder.http1().max_buf_size(BUFFER_BYTES);
        builder
            .http2()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_send_buf_size(BUFFER_BYTES)
            .max_concurrent_streams(STREAMS_MAX);
    }
    builder
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
        let connections = Connections::new(
            Arc::new(tls::server_config(authority.clone(), vec!["localhost".to_owned()]).unwrap()),
            Router::new().fallback(async || "here"),
            authority.trust_domain(),
            Pools::within(1024),
            (stop.clone(), TaskTracker::new()),
        );
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
