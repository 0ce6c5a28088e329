//! A whole mesh on this machine: a control plane and sidecars with real Envoys as processes of the
//! command under test, and small applications behind them.
//!
//! ```text
//!  test --- plain HTTP ---> outbound [sidecar] --- mTLS ---> inbound [sidecar] ---> application
//!       \-- TLS with any certificate, any bytes --------------^
//! ```
//!
//! All ports are free ones, all files lie in a folder of the mesh, every wait has an end. A process
//! dies with its value and with the test, and shows the end of its log when the test fails.

pub mod application;
pub mod client;
pub mod clock;
pub mod load;
pub mod ports;
pub mod process;
pub mod receiver;
pub mod sidecar;
pub mod stranger;
pub mod wire;

pub use sidecar::{Member, Sidecar};

use anyhow::{Context as _, Result, anyhow, bail};
use application::Application;
use chancery_control::server::api::client::Client;
use chancery_control::server::api::types::{
    ApplyRequest, ApplyResponse, DeleteResponse, FileBody, ProxyBody, ReadinessState, StatusResponse,
    TokenRequest, TokenResponse,
};
use chancery_control::server::context::{ADMIN_CONTEXT, Context};
use chancery_control::sidecar::envoy_binary::Search;
use clock::Clock;
use process::{Log, Process};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take; far more than it does on a machine with nothing else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked again.
pub const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long Envoy's workers may lag behind its acknowledgement, which its main thread gives.
const WORKERS_LAG: Duration = Duration::from_millis(100);

/// A running mesh.
#[derive(Debug)]
pub struct Mesh {
    control_plane: Option<Process>,
    listen: SocketAddr,
    chancery: PathBuf,
    envoy: PathBuf,
    folder: TempDir,
    log: Log,
    options: Vec<String>,
    clock: Option<Clock>,
}

impl Mesh {
    /// Starts a control plane with this command.
    ///
    /// # Errors
    /// When there is no Envoy, or the control plane does not start.
    pub async fn start(chancery: &Path) -> Result<Self> {
        Self::start_as(chancery, Log::Kept, &[]).await
    }

    /// As [`Mesh::start`], with further options of the control plane.
    ///
    /// # Errors
    /// As [`Mesh::start`].
    pub async fn start_with(chancery: &Path, options: &[&str]) -> Result<Self> {
        Self::start_as(chancery, Log::Kept, options).await
    }

    /// As [`Mesh::start`], with something wrong with the log of the control plane.
    ///
    /// # Errors
    /// As [`Mesh::start`].
    pub async fn start_logging(chancery: &Path, log: Log) -> Result<Self> {
        Self::start_as(chancery, log, &[]).await
    }

    async fn start_as(chancery: &Path, log: Log, options: &[&str]) -> Result<Self> {
        // Another test may have been first.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let search = || Search::from_environment(None).find_or_install(&mut |_| {});
        let envoy = tokio::task::spawn_blocking(search).await?.context("no Envoy")?;
        let mut mesh = Self {
            control_plane: None,
            listen: ports::free()?,
            chancery: chancery.to_owned(),
            envoy: envoy.path,
            folder: tempfile::tempdir()?,
            log,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            clock: None,
        };
        mesh.start_control_plane().await?;
        Ok(mesh)
    }

    /// Starts the control plane, on the data that it had if it ran before, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn start_control_plane(&mut self) -> Result<()> {
        self.spawn_control_plane()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = match self.context() {
                Ok(_) => self.status(None).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context("the control plane does not answer"));
                }
                Err(_) => sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// As [`Mesh::start_control_plane`], without waiting for an answer.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_control_plane(&mut self) -> Result<()> {
        let data = self.folder.path().join("control-plane");
        let arguments = ["--log-format", "json", "control-plane", "--listen", &self.listen.to_string()];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).into();
        arguments.extend(["--data-dir".to_owned(), data.display().to_string()]);
        arguments.extend(self.options.iter().cloned());
        let clock = self.clock.as_ref();
        let started = Process::start_with("control plane", &self.chancery, &arguments, self.log, clock)?;
        self.control_plane = Some(started);
        Ok(())
    }

    /// Starts the control plane, which was ended, at another port.
    ///
    /// # Errors
    /// When it does not answer there.
    pub async fn move_control_plane(&mut self) -> Result<SocketAddr> {
        self.listen = ports::free()?;
        self.start_control_plane().await?;
        Ok(self.listen)
    }

    /// Lets the control plane go by a clock of its own when it is started the next time.
    ///
    /// # Errors
    /// When there can be none.
    pub fn give_clock(&mut self) -> Result<Clock> {
        Ok(self.clock.insert(Clock::new(self.folder.path(), "control-plane")?).clone())
    }

    /// The process of the control plane.
    ///
    /// # Errors
    /// When there is none.
    pub fn control_plane(&mut self) -> Result<&mut Process> {
        self.control_plane.as_mut().context("no control plane runs")
    }

    /// Ends the control plane without giving it a chance to do anything.
    ///
    /// # Errors
    /// When there is none.
    pub async fn kill_control_plane(&mut self) -> Result<()> {
        self.control_plane.take().context("no control plane runs")?.kill().await
    }

    /// The folder of its files, gone when it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the admin has in hand.
    ///
    /// # Errors
    /// When the control plane has not written it.
    pub fn context(&self) -> Result<Context> {
        Context::read(&self.context_file()).map_err(|failure| anyhow!("{failure}"))
    }

    fn context_file(&self) -> PathBuf {
        self.folder.path().join("control-plane").join(ADMIN_CONTEXT)
    }

    /// A client with the admin's rights.
    ///
    /// # Errors
    /// As [`Mesh::context`].
    pub fn admin(&self) -> Result<Client> {
        self.context()?.client().map_err(|failure| anyhow!("{failure}"))
    }

    /// Runs a command as the admin.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.chancery);
        command.args(arguments).env("CHANCERY_CONTEXT", self.context_file()).env_remove("CHANCERY_LOG");
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await;
        Ok(output.with_context(|| format!("`chancery {}` does not end", arguments.join(" ")))??)
    }

    /// Runs a command as the admin who sits at a terminal, and gives what that shows.
    ///
    /// # Errors
    /// As [`Mesh::run`]; and when this machine has no `script`, which makes the terminal.
    pub async fn run_at_terminal(&self, arguments: &[&str]) -> Result<String> {
        let quote = |word: &str| format!("'{}'", word.replace('\'', "'\\''"));
        let chancery = self.chancery.display().to_string();
        let words: Vec<_> = std::iter::once(chancery.as_str()).chain(arguments.iter().copied()).collect();
        let line = words.into_iter().map(quote).collect::<Vec<_>>().join(" ");
        let mut command = Command::new("script");
        command.args(["--quiet", "--flush", "--command", &line, "/dev/null"]);
        command.env("CHANCERY_CONTEXT", self.context_file()).env_remove("CHANCERY_LOG");
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await.context("the command does not end")?;
        // A terminal makes two characters of the end of a line.
        Ok(String::from_utf8(output.context("no terminal")?.stdout)?.replace("\r\n", "\n"))
    }

    /// A token with which sidecars of a service join, good for so many seconds.
    ///
    /// # Errors
    /// When the control plane refuses.
    pub async fn token(&self, service: &str, lifetime_seconds: Option<u64>) -> Result<String> {
        let request = TokenRequest::Join { service: service.to_owned(), lifetime_seconds };
        let token: TokenResponse = self.admin()?.post("/v1/tokens", &request).await?;
        Ok(token.token)
    }

    /// Starts a sidecar with a token of its service, and an application behind it.
    ///
    /// # Errors
    /// When a port or a process is not to be had.
    pub async fn start_sidecar(&self, member: Member) -> Result<Sidecar> {
        let token = self.token(member.service(), None).await?;
        self.start_sidecar_with(member, &token).await
    }

    /// As [`Mesh::start_sidecar`], with an application that is not up yet.
    ///
    /// # Errors
    /// As [`Mesh::start_sidecar`].
    pub async fn start_sidecar_alone(&self, member: Member) -> Result<Sidecar> {
        let token = self.token(member.service(), None).await?;
        let mut application = Application::start(member.instance()).await?;
        application.stop().await;
        Sidecar::start(&self.chancery, &self.envoy, self.folder.path(), member, application, &token)
    }

    /// Starts a sidecar with a token of any kind.
    ///
    /// # Errors
    /// As [`Mesh::start_sidecar`].
    pub async fn start_sidecar_with(&self, member: Member, token: &str) -> Result<Sidecar> {
        let application = Application::start(member.instance()).await?;
        Sidecar::start(&self.chancery, &self.envoy, self.folder.path(), member, application, token)
    }

    /// Starts sidecars at once and waits until all are ready, and reach each other.
    ///
    /// # Errors
    /// When one does not become ready.
    pub async fn join<const N: usize>(&self, members: [Member; N]) -> Result<[Sidecar; N]> {
        let mut sidecars = Vec::with_capacity(N);
        for member in members {
            sidecars.push(self.start_sidecar(member).await?);
        }
        for sidecar in &mut sidecars {
            sidecar.until_ready().await?;
        }
        self.until_reached(&sidecars).await?;
        sidecars.try_into().map_err(|_| anyhow!("as many sidecars as members"))
    }

    /// Waits until all replicas of the mesh are ready, and these sidecars know all whom they call.
    ///
    /// # Errors
    /// When it does not come to that in time.
    pub async fn until_reached(&self, sidecars: &[Sidecar]) -> Result<()> {
        let is_ready = |proxy: &ProxyBody| {
            proxy.readiness.as_ref().is_none_or(|readiness| readiness.state == ReadinessState::Ready)
        };
        let status = self.until_status(None, |status| status.proxies.iter().all(is_ready)).await?;
        let deadline = Instant::now() + PATIENCE;
        for sidecar in sidecars {
            for (service, _) in sidecar.outbounds() {
                let replicas = status.proxies.iter().filter(|proxy| proxy.readiness.is_some());
                let replicas = replicas.filter(|proxy| proxy.service == *service).count() as u64;
                while sidecar.known_replicas(service).await? < replicas {
                    if Instant::now() > deadline {
                        bail!("{} does not know the {replicas} replicas of {service}", sidecar.id());
                    }
                    sleep(LOOK_AGAIN).await;
                }
            }
        }
        Ok(())
    }

    /// Puts the policies of a text in force and waits until every connected sidecar decides by them.
    /// Gives the revision.
    ///
    /// # Errors
    /// When the control plane refuses them, or a sidecar does.
    pub async fn apply(&self, text: &str) -> Result<u64> {
        let files = vec![FileBody { name: "test.writ".to_owned(), text: text.to_owned() }];
        self.apply_files(files).await
    }

    /// As [`Mesh::apply`], with several files.
    ///
    /// # Errors
    /// As [`Mesh::apply`].
    pub async fn apply_files(&self, files: Vec<FileBody>) -> Result<u64> {
        let request = ApplyRequest::of(files);
        let applied: ApplyResponse = self.admin()?.post("/v1/policies", &request).await?;
        self.until_on(applied.revision).await?;
        Ok(applied.revision)
    }

    /// Puts the policies of a text in force in the place of all that came so before.
    ///
    /// # Errors
    /// As [`Mesh::apply`].
    pub async fn apply_alone(&self, text: &str) -> Result<u64> {
        let files = vec![FileBody { name: "alone.writ".to_owned(), text: text.to_owned() }];
        let request = ApplyRequest { set: Some("alone".to_owned()), prune: true, ..ApplyRequest::of(files) };
        let applied: ApplyResponse = self.admin()?.post("/v1/policies", &request).await?;
        self.until_on(applied.revision).await?;
        Ok(applied.revision)
    }

    /// Takes a policy out of force and waits until every connected sidecar decides without it.
    ///
    /// # Errors
    /// As [`Mesh::apply`].
    pub async fn delete(&self, policy: &str) -> Result<u64> {
        let deleted: DeleteResponse = self.admin()?.delete(&format!("/v1/policies/{policy}")).await?;
        self.until_on(deleted.revision).await?;
        Ok(deleted.revision)
    }

    /// Waits until every connected sidecar decides by a revision.
    ///
    /// # Errors
    /// When one does not in time.
    pub async fn until_on(&self, revision: u64) -> Result<()> {
        let all_are = |status: &StatusResponse| status.on_revision == status.connected;
        self.until_status(Some(revision), all_are).await?;
        sleep(WORKERS_LAG).await;
        Ok(())
    }

    /// How the sidecars stand to a revision, or to the newest.
    ///
    /// # Errors
    /// When the control plane does not answer.
    pub async fn status(&self, revision: Option<u64>) -> Result<StatusResponse> {
        let query = revision.map_or_else(String::new, |revision| format!("?revision={revision}"));
        Ok(self.admin()?.get(&format!("/v1/status{query}")).await?)
    }

    /// Waits until the control plane says what is wished.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn until_status(
        &self,
        revision: Option<u64>,
        wish: impl Fn(&StatusResponse) -> bool,
    ) -> Result<StatusResponse> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(revision).await?;
            if wish(&status) {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("the control plane still says {status:#?}");
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}
