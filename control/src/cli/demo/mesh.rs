//! The mesh of the demo: a control plane, three services with four replicas, and a sidecar for each,
//! all of it real processes of this program on free ports of this machine.

use super::access::AccessLog;
use super::application;
use super::child::Child;
use super::client::Client;
use super::story::{FRONTEND, LEDGER, ORDERS};
use crate::cli::exit::Failure;
use crate::server::api::client::Client as ApiClient;
use crate::server::api::types::{
    ApplyRequest, ApplyResponse, DeleteResponse, FileBody, ProxyBody, ProxyList, ReadinessState,
    StatusResponse, TokenRequest, TokenResponse,
};
use crate::server::context::{ADMIN_CONTEXT, Context};
use hyper::Method;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long the control plane may take until it answers.
const CONTROL_PLANE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long all sidecars may take to be ready, or to take a revision.
const SIDECARS_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(50);
/// How long a child may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long sidecars let connections end; the demo has no clients left by then.
const DRAIN_TIME: &str = "1s";
/// Worker threads of each Envoy.
const CONCURRENCY: &str = "1";

/// Who is replicated how often, and whom it calls. Of several replicas each is a version: `orders-2` is `v2`.
const SERVICES: [(&str, usize, &[&str]); 3] =
    [(FRONTEND, 1, &[ORDERS, LEDGER]), (ORDERS, 2, &[LEDGER]), (LEDGER, 1, &[ORDERS, FRONTEND])];

/// One replica of a service, with its sidecar.
#[derive(Debug)]
pub struct Replica {
    /// `namespace/name`
    pub service: &'static str,
    /// Its name, unique in the demo.
    pub instance: String,
    application: SocketAddr,
    inbound: SocketAddr,
    /// Services that it calls, and where its sidecar takes requests for them.
    pub outbounds: Vec<(&'static str, SocketAddr)>,
    sidecar: Option<Child>,
}

/// The running mesh.
#[derive(Debug)]
pub struct Mesh {
    directory: PathBuf,
    envoy: PathBuf,
    listen: SocketAddr,
    control_plane: Option<Child>,
    /// By instance.
    pub replicas: Vec<Replica>,
    /// What the sidecars wrote of requests.
    pub access: AccessLog,
    /// The client of all services.
    pub client: Client,
    applications: JoinSet<io::Result<()>>,
    stop: CancellationToken,
}

impl Mesh {
    /// Starts the services and chooses ports for everything else.
    ///
    /// # Errors
    /// When there are no free ports.
    pub async fn prepare(directory: &Path, envoy: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(directory.join("logs"))?;
        let mut ports = Ports::default();
        let (mut replicas, mut applications, stop) = (Vec::new(), JoinSet::new(), CancellationToken::new());
        for (service, count, calls) in SERVICES {
            let name = service.split('/').next_back().unwrap_or(service);
            for number in 1..=count {
                let instance = if count == 1 { name.to_owned() } else { format!("{name}-{number}") };
                let application = application::start(&instance, &mut applications, stop.clone()).await?;
                let inbound = ports.take()?;
                let outbounds = calls.iter().map(|&to| Ok((to, ports.take()?))).collect::<io::Result<_>>()?;
                replicas.push(Replica { service, instance, application, inbound, outbounds, sidecar: None });
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            envoy,
            listen: ports.take()?,
            control_plane: None,
            replicas,
            access: AccessLog::default(),
            client: Client::default(),
            applications,
            stop,
        })
    }

    /// The file that `--context` takes.
    #[must_use]
    pub fn context_file(&self) -> PathBuf {
        self.directory.join("control-plane").join(ADMIN_CONTEXT)
    }

    /// Starts the control plane, anew if it ran before, and waits until it answers. Gives its address.
    ///
    /// # Errors
    /// When it ends, or does not answer in time.
    pub async fn start_control_plane(&mut self) -> Result<String, Failure> {
        let data = self.directory.join("control-plane");
        let arguments = [
            "--log-format".to_owned(),
            "json".to_owned(),
            "control-plane".to_owned(),
            "--data-dir".to_owned(),
            data.display().to_string(),
            "--listen".to_owned(),
            self.listen.to_string(),
        ];
        let child = Child::start("control plane", &arguments, &self.log_file("control-plane"), |_| ())?;
        let child = self.control_plane.insert(child);
        let deadline = Instant::now() + CONTROL_PLANE_TIMEOUT;
        let context_file = data.join(ADMIN_CONTEXT);
        loop {
            if let Some(status) = child.ended()? {
                return Err(ended(child, &status.to_string()));
            }
            // The file of an earlier run names the same address and token; what counts is the answer.
            if let Ok(context) = Context::read(&context_file)
                && context.client()?.get::<StatusResponse>("/v1/status").await.is_ok()
            {
                return Ok(context.url);
            }
            if Instant::now() > deadline {
                return Err(Failure::failed(format!(
                    "the control plane does not answer:\n{}",
                    child.last_lines()
                )));
            }
            sleep(POLL_EVERY).await;
        }
    }

    /// Kills the control plane as a crash would, and waits until nobody answers in its place.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill_control_plane(&mut self) -> Result<(), Failure> {
        if let Some(mut child) = self.control_plane.take() {
            child.kill().await?;
        }
        match timeout(POLL_EVERY, tokio::net::TcpStream::connect(self.listen)).await {
            Ok(Ok(_)) => Err(Failure::failed("something answers in the place of the control plane")),
            _ => Ok(()),
        }
    }

    /// Starts a sidecar for each replica, each with a token for its service alone.
    ///
    /// # Errors
    /// When a token is refused, or a process cannot be started.
    pub async fn start_sidecars(&mut self) -> Result<(), Failure> {
        let api = self.api()?;
        for (service, _, _) in SERVICES {
            let request = TokenRequest::Join { service: service.to_owned(), lifetime_seconds: None };
            let token: TokenResponse = api.post("/v1/tokens", &request).await?;
            crate::sidecar::state::write(&self.token_file(service), token.token.as_bytes())?;
        }
        for index in 0..self.replicas.len() {
            self.start_sidecar(index)?;
        }
        Ok(())
    }

    fn start_sidecar(&mut self, index: usize) -> Result<(), Failure> {
        let Some(replica) = self.replicas.get(index) else { return Ok(()) };
        let arguments = self.sidecar_arguments(replica);
        let (instance, access) = (replica.instance.clone(), self.access.clone());
        let child = Child::start(
            &format!("sidecar {instance}"),
            &arguments,
            &self.log_file(&instance),
            move |line| access.hear(&instance, line),
        )?;
        if let Some(replica) = self.replicas.get_mut(index) {
            replica.sidecar = Some(child);
        }
        Ok(())
    }

    /// Kills a sidecar, and its Envoy with it, as a crash of the machine would.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill_sidecar(&mut self, instance: &str) -> io::Result<()> {
        let replica = self.replicas.iter_mut().find(|replica| replica.instance == instance);
        match replica.and_then(|replica| replica.sidecar.take()) {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }

    /// Starts a sidecar that was killed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_sidecar_again(&mut self, instance: &str) -> Result<(), Failure> {
        let index = self.replicas.iter().position(|replica| replica.instance == instance);
        index.map_or(Ok(()), |index| self.start_sidecar(index))
    }

    /// Whether any of these stands in what any sidecar has logged.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub fn logs_contain(&self, texts: &[&str]) -> io::Result<bool> {
        for replica in &self.replicas {
            let log = std::fs::read(self.log_file(&replica.instance))?;
            let log = String::from_utf8_lossy(&log);
            if texts.iter().any(|text| log.contains(text)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Stops the sidecars of a service orderly and starts them again.
    ///
    /// # Errors
    /// When one cannot be stopped or started.
    pub async fn restart_sidecars(&mut self, service: &str) -> Result<(), Failure> {
        for index in 0..self.replicas.len() {
            let Some(replica) = self.replicas.get_mut(index).filter(|replica| replica.service == service)
            else {
                continue;
            };
            if let Some(mut child) = replica.sidecar.take() {
                child.stop(STOP_TIMEOUT).await?;
            }
            self.start_sidecar(index)?;
        }
        Ok(())
    }

    fn sidecar_arguments(&self, replica: &Replica) -> Vec<String> {
        let mut arguments: Vec<String> =
            ["--log-format", "json", "--log", "info", "sidecar"].map(str::to_owned).into();
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        option("--service", replica.service.to_owned());
        option("--instance", replica.instance.clone());
        option("--token-file", self.token_file(replica.service).display().to_string());
        option("--data-dir", self.directory.join(&replica.instance).display().to_string());
        option("--envoy", self.envoy.display().to_string());
        option("--inbound", format!("{}:{}", replica.inbound, replica.application));
        for (service, listen) in &replica.outbounds {
            option("--outbound", format!("{service}@{listen}"));
        }
        if let Some((_, number)) = replica.instance.rsplit_once('-') {
            option("--label", format!("version=v{number}"));
        }
        option("--drain-time", DRAIN_TIME.to_owned());
        option("--concurrency", CONCURRENCY.to_owned());
        arguments
    }

    /// Waits until all sidecars are ready; `progress` hears how many of how many are.
    ///
    /// # Errors
    /// When a sidecar ends, or is not ready in time.
    pub async fn wait_until_ready(&mut self, mut progress: impl FnMut(usize, usize)) -> Result<(), Failure> {
        let deadline = Instant::now() + SIDECARS_TIMEOUT;
        let total = self.replicas.len();
        let mut told = None;
        loop {
            let mut ready = 0;
            for replica in &mut self.replicas {
                let Some(child) = &mut replica.sidecar else { continue };
                if let Some(status) = child.ended()? {
                    return Err(ended(child, &status.to_string()));
                }
                ready += usize::from(is_ready(&self.client, child).await);
            }
            if told.replace(ready) != Some(ready) {
                progress(ready, total);
            }
            if ready == total {
                return Ok(());
            }
            if Instant::now() > deadline {
                let logs: Vec<String> =
                    self.replicas.iter().filter_map(|r| Some(r.sidecar.as_ref()?.last_lines())).collect();
                return Err(Failure::failed(format!("not all sidecars are ready:\n{}", logs.join("\n"))));
            }
            sleep(POLL_EVERY).await;
        }
    }

    /// Waits until the control plane sends others to all replicas.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn wait_until_endpoints(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + SIDECARS_TIMEOUT;
        let api = self.api()?;
        loop {
            let list: ProxyList = api.get("/v1/proxies").await?;
            let is_ready =
                |proxy: &ProxyBody| matches!(&proxy.readiness, Some(of) if of.state == ReadinessState::Ready);
            if list.proxies.len() >= self.replicas.len() && list.proxies.iter().all(is_ready) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Failure::failed(format!("not all replicas get requests: {:?}", list.proxies)));
            }
            sleep(POLL_EVERY).await;
        }
    }

    /// Applies files of policies: their names and texts. Gives the revision.
    ///
    /// # Errors
    /// When the control plane refuses them.
    pub async fn apply(&self, files: &[(&str, &str)]) -> Result<u64, Failure> {
        let file =
            |(name, text): &(&str, &str)| FileBody { name: (*name).to_owned(), text: (*text).to_owned() };
        let request = ApplyRequest::of(files.iter().map(file).collect());
        let applied: ApplyResponse = self.api()?.post("/v1/policies", &request).await?;
        Ok(applied.revision)
    }

    /// Takes a policy out of force. Gives the revision.
    ///
    /// # Errors
    /// When there is no such policy.
    pub async fn delete(&self, policy: &str) -> Result<u64, Failure> {
        let deleted: DeleteResponse = self.api()?.delete(&format!("/v1/policies/{policy}")).await?;
        Ok(deleted.revision)
    }

    /// Waits until all sidecars have acknowledged a revision.
    ///
    /// # Errors
    /// When they have not in time, for instance because one refuses it.
    pub async fn wait_for_revision(
        &self,
        revision: u64,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + SIDECARS_TIMEOUT;
        let api = self.api()?;
        let total = self.replicas.len();
        let mut told = None;
        loop {
            let status: StatusResponse = api.get(&format!("/v1/status?revision={revision}")).await?;
            if told.replace(status.on_revision) != Some(status.on_revision) {
                progress(status.on_revision, total);
            }
            if status.on_revision == total {
                return Ok(());
            }
            if Instant::now() > deadline {
                let refusals: Vec<String> = status
                    .proxies
                    .iter()
                    .map(|proxy| format!("{}: {:?}", proxy.id, proxy.rejections))
                    .collect();
                return Err(Failure::refused(format!(
                    "not all sidecars are on revision {revision}:\n{}",
                    refusals.join("\n")
                )));
            }
            sleep(POLL_EVERY).await;
        }
    }

    /// Where a service sends its requests for another one.
    #[must_use]
    pub fn outbound(&self, from: &str, to: &str) -> Option<SocketAddr> {
        let replica = self.replicas.iter().find(|replica| replica.service == from)?;
        replica.outbounds.iter().find(|(service, _)| *service == to).map(|(_, listen)| *listen)
    }

    /// The replicas of a service, by instance.
    pub fn instances<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a str> {
        self.replicas.iter().filter(move |replica| replica.service == service).map(|r| r.instance.as_str())
    }

    /// Stops everything, sidecars first.
    pub async fn stop(mut self) {
        let mut stopping = JoinSet::new();
        for child in self.replicas.iter_mut().filter_map(|replica| replica.sidecar.take()) {
            stopping.spawn(stop_child(child));
        }
        stopping.join_all().await;
        if let Some(child) = self.control_plane.take() {
            stop_child(child).await;
        }
        self.stop.cancel();
        if timeout(STOP_TIMEOUT, self.applications.join_all()).await.is_err() {
            tracing::warn!("a service of the demo did not end in time");
        }
    }

    fn api(&self) -> Result<ApiClient, Failure> {
        Ok(Context::read(&self.context_file())?.client()?)
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.directory.join("logs").join(format!("{name}.log"))
    }

    fn token_file(&self, service: &str) -> PathBuf {
        self.directory.join(format!("{}.token", service.replace('/', "-")))
    }
}

async fn stop_child(mut child: Child) {
    if let Err(error) = child.stop(STOP_TIMEOUT).await {
        tracing::warn!(name = child.name, %error, "cannot be stopped");
    }
}

async fn is_ready(client: &Client, child: &Child) -> bool {
    let url = child.readiness();
    let Some(address) = url.as_deref().and_then(|url| url.strip_prefix("http://")) else { return false };
    let Some(Ok(address)) = address.split('/').next().map(str::parse::<SocketAddr>) else { return false };
    matches!(client.send(address, Method::GET, "/ready", &[]).await, Ok(answer) if answer.status == 200)
}

fn ended(child: &Child, status: &str) -> Failure {
    Failure::failed(format!("the {} ended ({status}):\n{}", child.name, child.last_lines()))
}

/// Free ports of this machine. They stay bound until all are chosen, so that no two are the same.
#[derive(Debug, Default)]
struct Ports(Vec<TcpListener>);

impl Ports {
    fn take(&mut self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        self.0.push(listener);
        Ok(address)
    }
}
