//! The sidecar launcher: joins the mesh, runs Envoy with what the control plane says, and takes leave.
//!
//! ```text
//!  membership --- join, renew, leave (HTTPS) -----------------------------+
//!      | identity                                                        v
//!      v                                                           control plane
//!    relay ------- configuration, message by message (gRPC, mTLS) --------^
//!      ^  \--- last good configuration ---> disk
//!      | ads.sock                    admin.sock
//!    Envoy <--- process (starts, restarts, stops) --- readiness (HTTP)
//!      |
//!  application <--- looked at, and what was found is said by the relay
//! ```
//!
//! Decisions stand in modules without sockets ([`backoff`], [`last_good`], [`log_lines`],
//! [`settings`]); this file ties the tasks together and owns every one of them.

pub mod admin;
pub mod application;
pub mod backoff;
pub mod bootstrap;
pub mod closed;
pub mod control_plane;
pub mod envoy_binary;
pub mod errors;
pub mod identity;
pub mod last_good;
pub mod log_lines;
pub mod membership;
pub mod plaintext;
pub mod process;
pub mod readiness;
pub mod relay;
pub mod settings;
pub mod sinks;
pub mod state;
pub mod tail;

pub use errors::SidecarError;
pub use settings::{EnvoySettings, Settings};

use admin::Admin;
use identity::Identity;
use last_good::{LastGood, LastGoodFile};
use membership::Membership;
use process::Supervisor;
use readiness::{Readiness, Sources};
use relay::{Relay, Ties};
use sinks::{Origin, Sinks};
use state::StateDirectory;
use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the control plane may take to hear that the sidecar goes.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long other sidecars get to learn of it before connections are expected to end.
const LEAVE_PAUSE: Duration = Duration::from_millis(500);
/// How often the remaining connections are counted.
const DRAIN_POLL_EVERY: Duration = Duration::from_millis(100);
/// How long tasks may take to end after they were told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How a sidecar is told to end.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// It leaves the mesh and lets connections end.
    pub leave: CancellationToken,
    /// It does not wait for them any more.
    pub hurry: CancellationToken,
}

/// Runs a sidecar until it is told to end. `started` hears where the
/// readiness endpoint is.
///
/// # Errors
/// When something is missing that will not come by waiting: a directory, a good token, an Envoy.
pub async fn run(
    settings: Settings,
    stop: Stop,
    started: impl FnOnce(SocketAddr),
) -> Result<(), SidecarError> {
    let state = StateDirectory::open(&settings.data_dir)?;
    let readiness = Readiness::bind(settings.readiness).await?;
    started(readiness.address);
    let sinks = open_sinks(&settings, &state)?;
    let membership = Membership::new(&settings, &state);
    let register = Arc::new(Notify::new());
    let identity = match membership.recall()? {
        Some(identity) => {
            tracing::info!(proxy = identity.proxy_id, "was a member of the mesh before");
            // It may have changed since, or been forgotten.
            register.notify_one();
            identity
        }
        None => tokio::select! {
            joined = membership.join() => joined?,
            () = stop.leave.cancelled() => return Ok(()),
        },
    };
    let (identity, _) = watch::channel(Arc::new(identity));
    let (leaving, end) = (CancellationToken::new(), CancellationToken::new());
    let tasks = TaskTracker::new();
    let (found, application) = watch::channel(None);
    if let Some(looking) = settings.looking.clone() {
        tasks.spawn(end.clone().run_until_cancelled_owned(looking.run(found)));
    }
    let ties = Ties {
        identity: identity.subscribe(),
        register: register.clone(),
        application: application.clone(),
        tail: sinks.tail(),
        leaving: leaving.clone(),
        stop: end.clone(),
        tasks: tasks.clone(),
    };
    let relay = Relay::new(read_last_good(&state.last_good()), ties);
    let admin = Admin::new(state.admin_socket());
    let (trouble, _) = watch::channel(None);
    let sources = Sources {
        admin: admin.clone(),
        relay: relay.status(),
        identity: identity.subscribe(),
        trouble: trouble.subscribe(),
        application,
        leaving: leaving.clone(),
        sinks: sinks.clone(),
    };
    tasks.spawn(serve_relay(listen(&state.ads_socket())?, relay.clone(), end.clone()));
    tasks.spawn(log_failure("the readiness endpoint", readiness.serve(sources, end.clone())));
    tasks.spawn(keep_last_good(relay.clone(), state.last_good(), end.clone()));
    write_bootstrap(&settings, &state, &identity.borrow())?;

    let evicted = Arc::new(Notify::new());
    let supervisor = Supervisor {
        // Its connections were opened with a certificate that nobody takes any more.
        anew: evicted.clone(),
        envoy: settings.envoy.clone(),
        bootstrap: state.bootstrap(),
        drain_time: settings.drain_time,
        sinks: sinks.clone(),
    };
    let callers = sinks.plaintext();
    let stop_envoy = CancellationToken::new();
    let mut envoy = std::pin::pin!(supervisor.run(&stop_envoy));
    let outcome = tokio::select! {
        outcome = &mut envoy => outcome,
        () = membership.keep(&identity, &register, (&evicted, &trouble)) => Ok(()),
        () = relay.keep_open(&admin) => Ok(()),
        () = relay.keep_count(&admin, &callers) => Ok(()),
        () = stop.leave.cancelled() => {
            leaving.cancel();
            let member = identity.borrow().clone();
            // Envoy is still looked after while it drains.
            tokio::select! {
                outcome = &mut envoy => outcome,
                () = leave_and_drain(membership.leave(&member), &admin, settings.drain_time) => {
                    stop_envoy.cancel();
                    envoy.await
                }
                () = stop.hurry.cancelled() => {
                    tracing::warn!("told to stop again: not waiting for connections to end");
                    stop_envoy.cancel();
                    envoy.await
                }
            }
        }
    };
    sinks.close().await;
    end.cancel();
    tasks.close();
    if timeout(STOP_TIMEOUT, tasks.wait()).await.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
    outcome
}

/// Tells the control plane, then Envoy, and waits until the clients are gone or `drain_time` is over.
async fn leave_and_drain(
    leave: impl Future<Output = Result<(), SidecarError>>,
    admin: &Admin,
    drain_time: Duration,
) {
    tracing::info!("leaving the mesh");
    match timeout(LEAVE_TIMEOUT, leave).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("the control plane does not know that this sidecar leaves: {error}"),
        Err(_) => {
            tracing::warn!("the control plane does not answer, and does not know that this sidecar leaves")
        }
    }
    let until = Instant::now() + drain_time;
    if let Err(error) = admin.drain().await {
        tracing::warn!("Envoy does not drain: {error}");
        return;
    }
    sleep(LEAVE_PAUSE.min(drain_time)).await;
    while Instant::now() < until {
        match admin.downstream_connections().await {
            Ok(0) => return,
            Ok(open) => tracing::debug!(open, "waiting for connections to end"),
            Err(error) => {
                tracing::warn!("{error}");
                return;
            }
        }
        sleep(DRAIN_POLL_EVERY).await;
    }
}

/// The sinks of logs; their folder is made if it is not there.
fn open_sinks(settings: &Settings, state: &StateDirectory) -> Result<Sinks, SidecarError> {
    let folder = settings.log_dir.clone().unwrap_or_else(|| state.logs());
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|source| SidecarError::LogDirectory { path: folder.clone(), source })?;
    let origin = Origin {
        namespace: settings.service.namespace.clone(),
        service: settings.service.name.clone(),
        instance: settings.instance.clone(),
    };
    Ok(Sinks::new(folder, origin, settings.log_ca.clone()))
}

fn write_bootstrap(
    settings: &Settings,
    state: &StateDirectory,
    identity: &Identity,
) -> Result<(), SidecarError> {
    let text = bootstrap::Bootstrap {
        proxy_id: &identity.proxy_id,
        service: &format!("{}/{}", settings.service.namespace, settings.service.name),
        ads_socket: &state.ads_socket(),
        admin_socket: &state.admin_socket(),
    };
    let path = state.bootstrap();
    state::write(&path, text.to_json().as_bytes())
        .map_err(|source| SidecarError::DataDirectory { path, source })
}

/// Binds the socket; one that an earlier sidecar left is removed, for the directory is locked.
fn listen(path: &Path) -> Result<UnixListener, SidecarError> {
    let failed = |source| SidecarError::Listen { address: path.display().to_string(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    UnixListener::bind(path).map_err(failed)
}

async fn serve_relay(listener: UnixListener, relay: Relay, stop: CancellationToken) {
    let server = tonic::transport::Server::builder()
        .add_service(relay.into_service())
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop.cancelled_owned());
    log_failure("the socket for Envoy", server).await;
}

async fn log_failure<E: std::fmt::Display>(what: &str, task: impl Future<Output = Result<(), E>>) {
    if let Err(error) = task.await {
        tracing::error!("{what} broke: {error}");
    }
}

/// A copy that cannot be read is as good as none; Envoy then waits for the control plane.
fn read_last_good(path: &Path) -> LastGood {
    let read = state::read_json::<LastGoodFile>(path).map_err(|error| error.to_string());
    let last_good = read.and_then(|file| file.map(LastGood::try_from).transpose());
    last_good
        .unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), error, "the last good configuration cannot be read");
            None
        })
        .unwrap_or_default()
}

/// Writes the last good configuration whenever it changes; of several changes while the disk is
/// busy, the last.
async fn keep_last_good(relay: Relay, path: std::path::PathBuf, stop: CancellationToken) {
    let mut changes = relay.changes();
    loop {
        let is_last = tokio::select! {
            changed = changes.changed() => changed.is_err(),
            () = stop.cancelled() => true,
        };
        if is_last && !changes.has_changed().unwrap_or(false) {
            return;
        }
        changes.mark_unchanged();
        let (file, target) = (relay.last_good().to_file(), path.clone());
        let written = tokio::task::spawn_blocking(move || state::write_json(&target, &file)).await;
        match written.map_err(std::io::Error::other).and_then(|outcome| outcome) {
            Ok(()) if is_last => return,
            Ok(()) => {}
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the last good configuration cannot be written")
            }
        }
    }
}
