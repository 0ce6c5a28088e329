//! The control plane as a running server: one TLS port for the REST API and for xDS.
//!
//! ```text
//! accept --> TLS handshake --> who is it (PeerIdentity)? --> HTTP/1.1 or HTTP/2 --> router
//!                                                                 |- /v1/...   REST
//!                                                                 '- /envoy... xDS
//! ```

pub mod api;
mod connections;
pub mod context;
mod descriptors;
mod options;
#[cfg(test)]
mod tests;

pub use connections::Ender;
pub use options::ServerOptions;

use crate::delivery::acks::{AckBoard, refusals};
use crate::delivery::envoy::ConnectionLife;
use crate::delivery::fleet::Fleet;
use crate::delivery::followers::Followers;
use crate::delivery::liveness::Liveness;
use crate::delivery::readiness::ReadinessKeeper;
use crate::delivery::reconcile::{self, Tools};
use crate::delivery::rollout::{RolloutDriver, Traffic};
use crate::delivery::xds::XdsServer;
use crate::mesh::identity::{Authority, Evictions, IdentityError, Role, TokenError, Tokens, Vault, tls};
use crate::mesh::store::redb::{RedbStore, StoreTerms};
use crate::mesh::store::{Actor, Store, StoreError};
use crate::policies::filters::modules::Modules;
use crate::policies::in_force::Current;
use crate::policies::programs::Programs;
use api::{Api, Pushes};
use connections::{Connections, Pools};
use context::{ADMIN_CONTEXT, Context};
use jiff::Timestamp;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The store's file in the data directory.
pub const STORE_FILE: &str = "state.redb";
/// The key file in the data directory, unless the operator puts it elsewhere.
pub const KEY_FILE: &str = "secret.key";
/// The bit of a mode by which everybody can write.
const WRITABLE_BY_OTHERS: u32 = 0o002;
/// How long a stop waits for requests that are being answered.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A control plane that serves. Dropping it leaves its tasks running: call [`Server::stop`].
pub struct Server {
    address: SocketAddr,
    context: Context,
    context_path: PathBuf,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Why a control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be made or written.
    #[error("the data directory `{}` cannot be used: {source}", .path.display())]
    DataDirectory {
        /// The directory or a file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can write into the data directory.
    #[error(
        "everybody can write into the data directory `{}` (mode {mode:03o}), and what is in it speaks for the mesh",
        .path.display()
    )]
    OpenDirectory {
        /// The directory.
        path: PathBuf,
        /// Who may do what in it.
        mode: u32,
    },
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A stated name, address or trust domain is none.
    #[error("{0}")]
    Options(String),
    /// WebAssembly cannot be run on this machine.
    #[error("the host that tries policies out cannot be made: {0}")]
    Host(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The authority.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The admin's token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Server {
    /// Opens the data directory, makes in it what is missing, and serves.
    ///
    /// # Errors
    /// If any of it is not possible; nothing is served then.
    pub async fn start(options: ServerOptions) -> Result<Self, StartError> {
        options.check()?;
        make_data_directory(&options.data_dir)?;
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|source| StartError::Listen { address: options.listen, source })?;
        let address =
            listener.local_addr().map_err(|source| StartError::Listen { address: options.listen, source })?;
        let url = options.url(address);
        let now = Timestamp::now();

        let store_path = options.data_dir.join(STORE_FILE);
        let terms = StoreTerms {
            trust_domain: options.trust_domain.clone(),
            may_create: !is_used(&options.data_dir),
            is_restored: options.is_restored,
        };
        let store: Arc<dyn Store> = Arc::new(RedbStore::open_with(&store_path, terms).await?);
        let key_file = options.key_file.clone().unwrap_or_else(|| options.data_dir.join(KEY_FILE));
        let vault = Arc::new(Vault::open(&key_file, !Authority::exists(&*store).await?)?);
        let authority = Arc::new(Authority::open(&*store, &vault, options.certificate_lifetime, now).await?);
        let evictions = Evictions::open(Arc::clone(&store), Arc::clone(&authority), now).await?;
        let pools = Pools::within(descriptors::raise());
        let log_key = vault.log_key();
        let tokens = Tokens::new(Arc::clone(&store), vault, Arc::clone(&authority));
        let context_path = options.data_dir.join(ADMIN_CONTEXT);
        let context = admin_context(&context_path, &url, &authority, &tokens, now).await?;
        let tls = tls::server_config(Arc::clone(&authority), options.certificate_names(address))?;

        let programs = Programs::new().map_err(|error| StartError::Host(error.to_string()))?;
        let programs = programs.with_modules(stored_modules(&store));
        let (programs, in_force) = (Arc::new(programs), Arc::<Current>::default());
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let board = Arc::new(AckBoard::default());
        refusals::restore(&*store, &board).await?;
        board.await_return(store.watch().borrow().proxies.keys(), now);
        let fleet = Arc::<Fleet>::default();
        let traffic = watch::Sender::default();
        let told = traffic.subscribe();
        let delivery = Delivery { store: &store, board: &board, fleet: &fleet, tasks: &tasks, traffic };
        let life = ConnectionLife::of_certificates(options.certificate_lifetime.as_secs())
            .quiet_for(options.quiet_streams);
        let tools = Tools {
            in_force: in_force.clone(),
            programs: programs.clone(),
            life,
            evicted: evictions.serials(),
            log_key,
            stop: stop.clone(),
        };
        delivery.start(tools, options.leave_after);
        let followers = Arc::<Followers>::default();
        tasks.spawn(close_followers(followers.clone(), stop.clone()));
        let xds = XdsServer::new(fleet.clone(), board.clone(), store.watch(), stop.clone(), tasks.clone())
            .refusing(Arc::clone(&evictions))
            .followed_by(followers.clone());
        let api = Api {
            store,
            tokens,
            authority: Arc::clone(&authority),
            evictions,
            ender: pools.ender(),
            board,
            followers,
            places: Arc::default(),
            room: Arc::default(),
            rates: Arc::default(),
            pushes: Arc::new(Pushes::on(options.filters.clone())),
            turn: Arc::default(),
            fleet,
            in_force,
            programs,
            traffic: told,
            rollout_stages: options.rollout_stages.into(),
            url: url.as_str().into(),
        };
        let router = api::router(api).route_service(XDS_PATH, xds.into_service());
        let trust_domain = authority.trust_domain();
        let parts = (stop.clone(), tasks.clone());
        let connections = Connections::new(Arc::new(tls), router, trust_domain, pools, parts);
        tasks.spawn(connections.serve(listener));
        tracing::info!(url, data_dir = %options.data_dir.display(), "control plane serves");
        Ok(Self { address, context, context_path, stop, tasks })
    }

    /// The address that it listens at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The admin's context.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The file that the admin's context is in.
    #[must_use]
    pub fn context_path(&self) -> &Path {
        &self.context_path
    }

    /// Stops serving: no new connections, streams end, requests under way are answered. After
    /// 10 seconds what is left is left alone; what was acknowledged is on disk anyway.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "stopped before everything had ended");
        }
    }
}

/// Ends what people follow when the control plane stops, so that their connections end, too.
async fn close_followers(followers: Arc<Followers>, stop: CancellationToken) {
    stop.cancelled().await;
    followers.close();
}

/// The modules of filters that the store keeps.
fn stored_modules(store: &Arc<dyn Store>) -> Modules {
    let runtime = tokio::runtime::Handle::current();
    // What still computes when the control plane stops does not keep the store open.
    let store = Arc::downgrade(store);
    // Whoever asks for one is on a thread that may wait.
    Modules::read_by(move |digest| {
        let store = store.upgrade().ok_or("the control plane stops")?;
        runtime.block_on(store.blob(digest)).map_err(|error| error.to_string())
    })
}

/// What follows the desired state, and what it works on.
struct Delivery<'a> {
    store: &'a Arc<dyn Store>,
    board: &'a Arc<AckBoard>,
    fleet: &'a Arc<Fleet>,
    tasks: &'a TaskTracker,
    traffic: watch::Sender<Traffic>,
}

impl Delivery<'_> {
    /// Starts reconciliation, the removal of proxies that have had no stream for `leave_after`, finding out who is ready, and the record of what
    /// proxies refused. The tasks run until the tools' `stop`.
    fn start(self, tools: Tools, leave_after: Duration) {
        let Self { store, board, fleet, tasks, traffic } = self;
        let stop = tools.stop.clone();
        let liveness =
            Liveness { store: store.clone(), board: board.clone(), fleet: fleet.clone(), leave_after };
        let following = reconcile::follow(tools, store.watch(), fleet.clone(), board.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(following));
        let readiness = ReadinessKeeper { store: store.clone(), board: board.clone() };
        let driver =
            RolloutDriver { store: store.clone(), board: board.clone(), fleet: fleet.clone(), traffic };
        tasks.spawn(stop.clone().run_until_cancelled_owned(driver.run()));
        tasks.spawn(stop.clone().run_until_cancelled_owned(liveness.run()));
        tasks.spawn(stop.clone().run_until_cancelled_owned(readiness.run()));
        tasks.spawn(refusals::keep(store.clone(), board.clone(), stop));
    }
}

/// Where Envoy looks for the aggregated discovery service.
const XDS_PATH: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/{*method}";

fn make_data_directory(path: &Path) -> Result<(), StartError> {
    let failed = |source| StartError::DataDirectory { path: path.to_owned(), source };
    if fs::metadata(path).is_ok_and(|there| !there.is_dir()) {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    // Whoever can write into it could put other data in the place of this. A group may share it: orchestrators do it so.
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(StartError::OpenDirectory { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Whether a control plane has begun in this directory before. The store is made first, so it has to be there then.
fn is_used(data_dir: &Path) -> bool {
    [KEY_FILE, ADMIN_CONTEXT].iter().any(|name| data_dir.join(name).exists())
}

/// The context in the data directory, with the URL and root of today. The token stays the same as
/// long as it is good, for it may have been copied elsewhere.
async fn admin_context(
    path: &Path,
    url: &str,
    authority: &Authority,
    tokens: &Tokens,
    now: Timestamp,
) -> Result<Context, StartError> {
    let known = Context::read(path).ok();
    let token = match &known {
        Some(known) => tokens.check_role(&known.token, now).await.ok().map(|_| known.token.clone()),
        None => None,
    };
    let token = match token {
        Some(token) => token,
        None => {
            let by = Actor { name: "control plane".to_owned(), at: now };
            tokens.issue_role(Role::Admin, None, by).await?.text
        }
    };
    let context = Context { url: url.to_owned(), ca_pem: authority.root_pem().to_owned(), token };
    if known.as_ref() != Some(&context) {
        context.write(path).map_err(|source| StartError::DataDirectory { path: path.to_owned(), source })?;
    }
    Ok(context)
}
