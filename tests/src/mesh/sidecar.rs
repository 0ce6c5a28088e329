//! A sidecar with its Envoy, the application behind it, and what it lets one see.

use super::application::Application;
use super::clock::Clock;
use super::process::{Log, Process, children};
use super::stranger::{self, Certificate};
use super::wire::{Answer, Request};
use super::{LOOK_AGAIN, PATIENCE, ports};
use anyhow::{Context, Result, anyhow, bail};
use chancery_control::sidecar::identity::Identity;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};

/// How long a sidecar lets connections end. Tests that look at that keep none open for longer.
const DRAIN_TIME: &str = "2s";

/// What a sidecar is to be.
#[derive(Clone, Debug)]
pub struct Member {
    service: String,
    instance: String,
    inbound: Option<SocketAddr>,
    outbounds: Vec<(String, SocketAddr)>,
    labels: Vec<String>,
    log: Log,
    options: Vec<String>,
    clock: Option<Clock>,
    application: Option<String>,
    envoy: Option<PathBuf>,
}

impl Member {
    /// A replica of a service, which it offers.
    ///
    /// # Errors
    /// When no port is free.
    pub fn new(service: &str, instance: &str) -> Result<Self> {
        Ok(Self {
            service: service.to_owned(),
            instance: instance.to_owned(),
            inbound: Some(ports::free()?),
            outbounds: Vec::new(),
            labels: Vec::new(),
            log: Log::default(),
            options: Vec::new(),
            clock: None,
            application: None,
            envoy: None,
        })
    }

    /// Calls these services.
    ///
    /// # Errors
    /// When no port is free.
    pub fn calling(mut self, services: &[&str]) -> Result<Self> {
        for service in services {
            self.outbounds.push(((*service).to_owned(), ports::free()?));
        }
        Ok(self)
    }

    /// Calls a service through this address.
    #[must_use]
    pub fn calling_at(mut self, service: &str, listen: SocketAddr) -> Self {
        self.outbounds.push((service.to_owned(), listen));
        self
    }

    /// Offers its service at this address.
    #[must_use]
    pub fn at(mut self, inbound: SocketAddr) -> Self {
        self.inbound = Some(inbound);
        self
    }

    /// Has a label, `key=value`.
    #[must_use]
    pub fn labelled(mut self, label: &str) -> Self {
        self.labels.push(label.to_owned());
        self
    }

    /// Has this option too.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Stands before this application, as `--inbound` names it, and not before one that answers with what it was asked.
    #[must_use]
    pub fn before(mut self, application: String) -> Self {
        self.application = Some(application);
        self
    }

    /// Runs this Envoy, and not the one that all run.
    #[must_use]
    pub fn running(mut self, envoy: PathBuf) -> Self {
        self.envoy = Some(envoy);
        self
    }

    /// Logs to somewhere where something is wrong.
    #[must_use]
    pub fn logging(mut self, log: Log) -> Self {
        self.log = log;
        self
    }

    /// Goes by this clock, and its Envoy too.
    #[must_use]
    pub fn going_by(mut self, clock: &Clock) -> Self {
        self.clock = Some(clock.clone());
        self
    }

    /// `namespace/name`
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The services that it calls, and where.
    #[must_use]
    pub fn outbounds(&self) -> &[(String, SocketAddr)] {
        &self.outbounds
    }

    /// Its name among the replicas.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }
}

/// A running sidecar and its application. Both end with the value.
#[derive(Debug)]
pub struct Sidecar {
    /// The process of the command.
    pub process: Process,
    member: Member,
    application: Application,
    start: Start,
}

/// How it was started, to be started so again.
#[derive(Clone, Debug)]
struct Start {
    chancery: PathBuf,
    arguments: Vec<String>,
    data: PathBuf,
}

impl Sidecar {
    /// Starts one with this token.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub(super) fn start(
        chancery: &Path,
        envoy: &Path,
        folder: &Path,
        member: Member,
        application: Application,
        token: &str,
    ) -> Result<Self> {
        let data = folder.join(&member.instance);
        let token_file = folder.join(format!("{}.token", member.instance));
        std::fs::write(&token_file, token)?;
        let mut arguments: Vec<String> = ["--log-format", "json", "sidecar"].map(str::to_owned).into();
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        option("--service", member.service.clone());
        option("--instance", member.instance.clone());
        option("--token-file", token_file.display().to_string());
        option("--data-dir", data.display().to_string());
        option("--envoy", member.envoy.as_deref().unwrap_or(envoy).display().to_string());
        option("--concurrency", "1".to_owned());
        if !member.options.iter().any(|option| option == "--drain-time") {
            option("--drain-time", DRAIN_TIME.to_owned());
        }
        if let Some(inbound) = member.inbound {
            let own = || application.address.to_string();
            option("--inbound", format!("{inbound}:{}", member.application.clone().unwrap_or_else(own)));
        }
        for (service, listen) in &member.outbounds {
            option("--outbound", format!("{service}@{listen}"));
        }
        for label in &member.labels {
            option("--label", label.clone());
        }
        arguments.extend(member.options.iter().cloned());
        let start = Start { chancery: chancery.to_owned(), arguments, data };
        Ok(Self { process: start.process(&member)?, member, application, start })
    }

    /// Starts the process again after it has ended, with the same arguments and data.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_again(&mut self) -> Result<()> {
        self.process = self.start.process(&self.member)?;
        Ok(())
    }

    /// As [`Sidecar::start_again`], with one more option.
    ///
    /// # Errors
    /// As there.
    pub fn start_again_with(&mut self, name: &str, value: &str) -> Result<()> {
        self.start.arguments.extend([name.to_owned(), value.to_owned()]);
        self.start_again()
    }

    /// Puts another token into its token file.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn give_token(&self, token: &str) -> Result<()> {
        let file = self.start.data.with_file_name(format!("{}.token", self.member.instance));
        Ok(std::fs::write(file, token)?)
    }

    /// The services that it calls, and where.
    #[must_use]
    pub fn outbounds(&self) -> &[(String, SocketAddr)] {
        self.member.outbounds()
    }

    /// Its id in the mesh.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.member.service, self.member.instance)
    }

    /// Where other sidecars reach it.
    ///
    /// # Errors
    /// When it offers nothing.
    pub fn inbound(&self) -> Result<SocketAddr> {
        self.member.inbound.with_context(|| format!("{} offers nothing", self.id()))
    }

    /// Where its application reaches a service.
    ///
    /// # Errors
    /// When it does not call that one.
    pub fn outbound(&self, service: &str) -> Result<SocketAddr> {
        let found = self.member.outbounds.iter().find(|(name, _)| name == service);
        Ok(found.with_context(|| format!("{} does not call {service}", self.id()))?.1)
    }

    /// Where its application listens.
    #[must_use]
    pub fn application(&self) -> SocketAddr {
        self.application.address
    }

    /// Its application, to be stopped and started again.
    pub fn application_mut(&mut self) -> &mut Application {
        &mut self.application
    }

    /// What reached its application since that was asked last, see [`Application::heard`].
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        self.application.heard()
    }

    /// How many replicas of a service its Envoy knows.
    ///
    /// # Errors
    /// When Envoy does not answer, or knows nothing of the service.
    pub async fn known_replicas(&self, service: &str) -> Result<u64> {
        self.stat(&format!("cluster.mesh/{service}.membership_total")).await
    }

    /// Sends a request of its application to a service, through both sidecars.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn call(&self, service: &str, request: &Request) -> Result<Answer> {
        request.send(TcpStream::connect(self.outbound(service)?).await?).await
    }

    /// Sends a request with its certificate straight to the inbound port of another.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn ask(&self, to: &Self, request: &Request) -> Result<Answer> {
        let identity = self.identity()?;
        let certificate = Certificate { chain_pem: identity.certificate_pem, key_pem: identity.key_pem };
        stranger::ask(to.inbound()?, Some(&certificate), request).await
    }

    /// Its key and certificate.
    ///
    /// # Errors
    /// When it has none yet.
    pub fn identity(&self) -> Result<Identity> {
        Ok(serde_json::from_slice(&std::fs::read(self.start.data.join("identity.json"))?)?)
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.ended()? {
                bail!("the sidecar {} ended ({status}):\n{}", self.id(), self.process.last_lines());
            }
            let said = self.readiness().await?;
            if said.0 == 200 {
                return Ok(());
            }
            if Instant::now() > deadline {
                let log = self.process.last_lines();
                bail!("the sidecar {} is not ready: {}\n{log}", self.id(), said.1);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Whether it is ready: 200 or 503, and what it says of it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn readiness(&mut self) -> Result<(u16, Value)> {
        let answer = self.said_at("/ready").await?;
        Ok((answer.status, answer.asked()))
    }

    /// What it counts itself, as Prometheus reads it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&mut self) -> Result<String> {
        Ok(self.said_at("/metrics").await?.body)
    }

    /// Where it says whether it is ready, and what it counts; nobody must have taken the line that says so.
    ///
    /// # Errors
    /// When it does not say so in time.
    pub async fn says_at(&mut self) -> Result<SocketAddr> {
        let interest = |line: &str| line.strip_prefix("readiness http://")?.split('/').next()?.parse().ok();
        self.process.until_line(interest).await
    }

    async fn said_at(&mut self, path: &str) -> Result<Answer> {
        let address = self.says_at().await?;
        Request::get(path).send(TcpStream::connect(address).await?).await
    }

    /// The folder of files that lines of logs are sent to.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.start.data.join("logs")
    }

    /// The process of its Envoy.
    ///
    /// # Errors
    /// When there is none.
    pub fn envoy(&self) -> Result<u32> {
        let children = children(self.process.pid()?)?;
        children.into_iter().next().with_context(|| format!("{} has no Envoy", self.id()))
    }

    /// What its Envoy wrote of each request that came in, in their order.
    #[must_use]
    pub fn entries(&self) -> Vec<Value> {
        self.entries_of("inbound")
    }

    /// What its Envoy wrote of each request in a direction, in their order.
    #[must_use]
    pub fn entries_of(&self, direction: &str) -> Vec<Value> {
        self.process
            .lines(entry)
            .into_iter()
            .filter(|entry| entry.get("direction").is_some_and(|of| of == direction))
            .collect()
    }

    /// What its Envoy wrote of each request in what was printed behind so many lines, and how many lines there are.
    #[must_use]
    pub fn entries_behind(&self, lines: usize) -> (Vec<Value>, usize) {
        self.process.lines_behind(lines, entry)
    }

    /// Waits until its Envoy has written of so many requests more than `before`, and gives those.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn entries_after(&self, before: usize, count: usize) -> Result<Vec<Value>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let entries = self.entries();
            if entries.len() >= before + count {
                return Ok(entries.into_iter().skip(before).collect());
            }
            if Instant::now() > deadline {
                bail!("{} of {count} requests are in the log of {}", entries.len() - before, self.id());
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// The counters and gauges of its Envoy whose names contain this.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn stats(&self, part: &str) -> Result<BTreeMap<String, u64>> {
        let text = self.admin("/stats").await?;
        let numbers = text.lines().filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(numbers.filter(|(name, _)| name.contains(part)).collect())
    }

    /// The sum of [`Sidecar::stats`].
    ///
    /// # Errors
    /// As there; and when there is none of this name.
    pub async fn stat(&self, part: &str) -> Result<u64> {
        let stats = self.stats(part).await?;
        if stats.is_empty() {
            bail!("{} counts nothing called `{part}`", self.id());
        }
        Ok(stats.values().sum())
    }

    /// What the administration of its Envoy answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn admin(&self, path: &str) -> Result<String> {
        let socket = self.start.data.join("run/admin.sock");
        let exchange = async {
            let stream = UnixStream::connect(&socket).await?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let connection = tokio::spawn(connection);
            let request = hyper::Request::get(path).header("host", "envoy").body(Empty::<Bytes>::new())?;
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            connection.abort();
            if !status.is_success() {
                bail!("Envoy answers {status} to {path}");
            }
            Ok(String::from_utf8_lossy(&body).into_owned())
        };
        timeout(PATIENCE, exchange).await.map_err(|_| anyhow!("Envoy does not answer to {path}"))?
    }
}

/// What Envoy wrote of a request, if a line has that.
fn entry(line: &str) -> Option<Value> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line.get("target")? != "access" {
        return None;
    }
    serde_json::from_str(line.pointer("/fields/message")?.as_str()?).ok()
}

impl Start {
    fn process(&self, member: &Member) -> Result<Process> {
        let name = format!("sidecar {}", member.instance);
        Process::start_with(&name, &self.chancery, &self.arguments, member.log, member.clock.as_ref())
    }
}
