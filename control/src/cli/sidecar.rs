//! `chancery sidecar`: runs Envoy beside a replica of a service.

use crate::cli::durations;
use crate::cli::envoy::find_or_install;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::signals::cancel_on_signal;
use crate::cli::terminal;
use crate::mesh::identity::spiffe::{is_name, parse_service};
use crate::mesh::model::{Inbound, Outbound};
use crate::sidecar::application::{CheckOption, Looking};
use crate::sidecar::membership::Membership;
use crate::sidecar::settings::{
    AddressOption, InboundOption, ProbesOption, Reached, STANDARD_INPUT, TokenSource, address_towards,
    default_instance, parse_address, parse_control_plane, parse_inbound, parse_label, parse_outbound,
    parse_probes,
};
use crate::sidecar::state;
use crate::sidecar::{self, EnvoySettings, Settings, Stop};
use chancery_policy_lang::checked::ServiceRef;
use clap::{Args, ValueEnum};
use std::fs::DirBuilder;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where Linux tells the name of the host.
const HOSTNAME_FILE: &str = "/proc/sys/kernel/hostname";

/// The most bytes of a token; more than any has.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// Arguments of `chancery sidecar`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  chancery token --service shop/orders -o orders.token\n  \
    chancery sidecar --service shop/orders --token-file orders.token --inbound 8080:127.0.0.1:9000 \\\n    \
    --check GET:/healthz --outbound shop/cart@127.0.0.1:7001")]
pub struct Arguments {
    /// A TOML file with options that are neither given here nor in the environment, under [sidecar]
    #[arg(long, env = "CHANCERY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The service that runs here
    #[arg(long, env = "CHANCERY_SIDECAR_SERVICE", value_name = "NAMESPACE/NAME", value_parser = parse_service)]
    pub(super) service: ServiceRef,
    /// The file with the token for this service, made by `chancery token`; `-`: it is read from standard input, once
    #[arg(long, env = "CHANCERY_SIDECAR_TOKEN_FILE", value_name = "FILE")]
    pub(super) token_file: PathBuf,
    /// Where other sidecars reach the service, and the address of the application:
    /// PORT:ADDRESS:PORT or ADDRESS:PORT:ADDRESS:PORT. What the application speaks may stand behind it: `/http1`,
    /// which is meant if nothing is said, or `/h2c` or `/grpc` for HTTP/2 without TLS
    #[arg(long, env = "CHANCERY_SIDECAR_INBOUND", value_name = "LISTEN:APPLICATION[/PROTOCOL]", value_parser = parse_inbound)]
    inbound: Option<InboundOption>,
    /// Where probes of load balancers and orchestrators come in without TLS: PORT or ADDRESS:PORT. They get through what an
    /// `exempt` of a policy allows, and nothing else [default: nowhere]
    #[arg(long, env = "CHANCERY_SIDECAR_PROBES", value_name = "[ADDRESS:]PORT", value_parser = parse_probes, requires = "inbound")]
    probes: Option<ProbesOption>,
    /// How to look whether the application answers: `tcp` (it takes connections), `GET:/PATH` (it answers with a
    /// status below 400) or `none`. A replica whose application does not answer gets no requests
    #[arg(long, env = "CHANCERY_SIDECAR_CHECK", value_name = "CHECK", default_value = "tcp")]
    pub(super) check: CheckOption,
    /// How often to look
    #[arg(long, env = "CHANCERY_SIDECAR_CHECK_EVERY", value_name = "DURATION", default_value = "1s", value_parser = durations::parse_some)]
    pub(super) check_every: Duration,
    /// A service to call, and where the application reaches it; can be given several times
    #[arg(long, env = "CHANCERY_SIDECAR_OUTBOUND", value_delimiter = ',', value_name = "SERVICE@ADDRESS:PORT", value_parser = parse_outbound)]
    pub(super) outbound: Vec<Outbound>,
    /// A label of this replica; can be given several times
    #[arg(long = "label", env = "CHANCERY_SIDECAR_LABEL", value_delimiter = ',', value_name = "KEY=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// Where other sidecars reach this host, by address or name: HOST, or HOST:PORT if the port is not the one
    /// of --inbound [default: where --inbound listens, or the address from which the control plane is reached]
    #[arg(long, env = "CHANCERY_SIDECAR_ADDRESS", value_name = "HOST", value_parser = parse_address)]
    address: Option<AddressOption>,
    /// Where the control plane is, if it is not where the token says [default: where it was last, or what the token says]
    #[arg(long, env = "CHANCERY_SIDECAR_CONTROL_PLANE", value_name = "HOST:PORT", value_parser = parse_control_plane)]
    pub(super) control_plane: Option<String>,
    /// The name of this replica [default: the host's name and the first port]
    #[arg(long, env = "CHANCERY_SIDECAR_INSTANCE", value_name = "NAME", value_parser = parse_instance)]
    instance: Option<String>,
    /// Where the key, the certificate and the last good configuration are kept
    /// [default: ~/.local/state/chancery/sidecar/SERVICE/INSTANCE]
    #[arg(long, env = "CHANCERY_SIDECAR_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the files are that policies send lines of logs to [default: `logs` in --data-dir]
    #[arg(long, env = "CHANCERY_SIDECAR_LOG_DIR", value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// The authorities whose certificates count of receivers of lines of logs over TLS, as PEM [default: the system's]
    #[arg(long, env = "CHANCERY_SIDECAR_LOG_CA", value_name = "FILE")]
    log_ca: Option<PathBuf>,
    /// Where to say, over HTTP, whether the sidecar is ready (`/ready`), and what became of lines of logs (`/metrics`)
    #[arg(
        long,
        env = "CHANCERY_SIDECAR_READINESS",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:0"
    )]
    readiness: SocketAddr,
    /// How long open connections may take to end when the sidecar is stopped
    #[arg(long, env = "CHANCERY_SIDECAR_DRAIN_TIME", value_name = "DURATION", default_value = "5s", value_parser = durations::parse)]
    drain_time: Duration,
    /// Worker threads of Envoy
    #[arg(long, env = "CHANCERY_SIDECAR_CONCURRENCY", value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    concurrency: u32,
    /// The Envoy to run [default: $CHANCERY_ENVOY, one on the PATH, or the one that
    /// `chancery envoy install` gets]
    #[arg(long, env = "CHANCERY_ENVOY", value_name = "FILE")]
    pub(super) envoy: Option<PathBuf>,
    /// What Envoy logs
    #[arg(long, env = "CHANCERY_SIDECAR_ENVOY_LOG_LEVEL", value_name = "LEVEL", value_enum, default_value_t = EnvoyLogLevel::Warning)]
    envoy_log_level: EnvoyLogLevel,
}

/// The levels of Envoy's log.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum EnvoyLogLevel {
    Trace,
    Debug,
    Info,
    Warning,
    Error,
    Critical,
    Off,
}

/// Runs until it is told to stop by SIGTERM, SIGHUP or Ctrl-C; a second one of these hurries.
///
/// # Errors
/// When the sidecar cannot start, or the control plane refuses it.
pub async fn run(arguments: &Arguments) -> CommandResult {
    // While an Envoy is downloaded a signal simply ends the process.
    let settings = settings(arguments).await?;
    let stop = Stop::default();
    cancel_on_signal(&stop.leave, &stop.hurry)?;
    let service = format!("{}/{}", settings.service.namespace, settings.service.name);
    let outcome = sidecar::run(settings, stop, |readiness| {
        // Without a reader the address is still in the log.
        tokio::spawn(terminal::announce(format!("readiness http://{readiness}/ready\n")));
        tracing::info!(service, %readiness, "the sidecar is starting");
    });
    outcome.await?;
    Ok(Exit::Well)
}

/// The name of the replica.
fn instance(arguments: &Arguments) -> String {
    let host = std::fs::read_to_string(HOSTNAME_FILE).unwrap_or_default();
    let inbound_port = arguments.inbound.map(|inbound| inbound.port);
    let stated = arguments.instance.clone();
    stated.unwrap_or_else(|| default_instance(host.trim(), inbound_port, &arguments.outbound))
}

/// Where its data is.
///
/// # Errors
/// When nothing says so.
pub(super) fn data_dir(arguments: &Arguments) -> Result<PathBuf, Failure> {
    match &arguments.data_dir {
        Some(directory) => Ok(directory.clone()),
        None => default_data_dir(&arguments.service, &instance(arguments)),
    }
}

/// Where the service is offered, if it is.
///
/// # Errors
/// When it is not known where others reach it.
pub(super) async fn inbound_with(
    arguments: &Arguments,
    token: &TokenSource,
) -> Result<Option<Inbound>, Failure> {
    inbound_at(arguments, found(arguments, token).await?)
}

/// Where others reach this host, if it is not where the sidecar listens.
async fn found(arguments: &Arguments, token: &TokenSource) -> Result<Option<Reached>, Failure> {
    let Some(inbound) = arguments.inbound else { return Ok(None) };
    let data_dir = data_dir(arguments)?;
    let known = || match &arguments.control_plane {
        Some(url) => Some(url.clone()),
        None => Membership::known_url(token, &state::identity_file(&data_dir)),
    };
    reached(inbound, arguments.address.as_ref(), known).await
}

fn inbound_at(arguments: &Arguments, reached: Option<Reached>) -> Result<Option<Inbound>, Failure> {
    let inbound =
        arguments.inbound.map(|inbound| inbound.at(reached).map_err(Failure::bad_input)).transpose()?;
    Ok(inbound.map(|inbound| arguments.probes.map_or(inbound, |probes| probes.beside(inbound))))
}

/// The file with the address at which others reached it last, in the data directory.
const REACHED_FILE: &str = "reached-at";

/// Keeps an address that was found out; and if it cannot be now, because a name has none or there is no way to the control
/// plane, gives the one of before: a sidecar that is restarted meanwhile serves as it did.
fn remembered(
    arguments: &Arguments,
    data_dir: &Path,
    found: Result<Option<Reached>, Failure>,
) -> Result<Option<Reached>, Failure> {
    let file = data_dir.join(REACHED_FILE);
    match found {
        Ok(Some(reached)) => {
            let text = reached.address.to_string();
            let made = DirBuilder::new().recursive(true).mode(0o700).create(data_dir);
            if let Err(error) = made.and_then(|()| state::write(&file, text.as_bytes())) {
                tracing::warn!(path = %file.display(), %error, "the address cannot be kept for the next start");
            }
            Ok(Some(reached))
        }
        Ok(None) => Ok(None),
        Err(failure) => {
            let before = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
            let Some(address) = before else { return Err(failure) };
            tracing::warn!(%address, "{}: others are told the address of before", failure.message);
            let port = arguments.address.as_ref().and_then(|stated| stated.port);
            Ok(Some(Reached { address, port }))
        }
    }
}

async fn settings(arguments: &Arguments) -> Result<Settings, Failure> {
    let (instance, data_dir) = (instance(arguments), data_dir(arguments)?);
    if arguments.inbound.is_none() && arguments.outbound.is_empty() {
        return Err(Failure::bad_input("the sidecar would have nothing to do")
            .help("say where the service is offered with --inbound, or what it calls with --outbound"));
    }
    let token = token_source(&arguments.token_file)?;
    let found = found(arguments, &token).await;
    let inbound = inbound_at(arguments, remembered(arguments, &data_dir, found)?)?;
    let looking = arguments.check.0.clone().zip(inbound).map(|(check, inbound)| Looking {
        check,
        application: inbound.application,
        protocol: inbound.protocol,
        every: arguments.check_every,
    });
    let envoy = find_or_install(arguments.envoy.clone()).await?;
    let log_level = arguments.envoy_log_level.to_possible_value();
    Ok(Settings {
        service: arguments.service.clone(),
        instance,
        labels: arguments.labels.iter().cloned().collect(),
        inbound,
        looking,
        outbounds: arguments.outbound.clone(),
        token,
        control_plane: arguments.control_plane.clone(),
        data_dir,
        log_dir: arguments.log_dir.clone(),
        log_ca: arguments.log_ca.clone(),
        readiness: arguments.readiness,
        envoy: EnvoySettings {
            path: envoy.path,
            concurrency: arguments.concurrency,
            log_level: log_level.map_or_else(|| "warning".to_owned(), |level| level.get_name().to_owned()),
        },
        drain_time: arguments.drain_time,
    })
}

/// Where others reach this host, if it is not where `--inbound` says that the sidecar listens.
async fn reached(
    inbound: InboundOption,
    stated: Option<&AddressOption>,
    control_plane: impl FnOnce() -> Option<String>,
) -> Result<Option<Reached>, Failure> {
    if let Some(stated) = stated {
        let reached = stated.resolved().await;
        return reached.map(Some).map_err(|problem| {
            Failure::bad_input(problem)
                .help("write its address in --address, or see to it that the name has one")
        });
    }
    if inbound.address.is_some_and(|address| !address.is_unspecified()) {
        return Ok(None);
    }
    // Who knows no control plane does not join, and says why.
    let Some(url) = control_plane() else { return Ok(None) };
    let address = address_towards(&url).await;
    address.map(|address| Some(Reached { address, port: None })).map_err(|problem| {
        Failure::failed(format!("where others reach this host cannot be found out: {problem}"))
            .help("say it with --address")
    })
}

/// Where the token is: what stands on standard input is read now, to its end.
fn token_source(file: &Path) -> Result<TokenSource, Failure> {
    if file != Path::new("-") {
        warn_of_readers(file);
        return Ok(TokenSource::File(file.to_owned()));
    }
    let mut text = String::new();
    let read = std::io::stdin().take(TOKEN_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| Failure::bad_input(format!("no token can be read from {STANDARD_INPUT}: {error}")))?;
    if text.trim().is_empty() {
        return Err(Failure::bad_input(format!("there is no token on {STANDARD_INPUT}")).help(
            "hand it over there: chancery token --service NAMESPACE/NAME | chancery sidecar --token-file - …",
        ));
    }
    Ok(TokenSource::Given(text))
}

/// Whoever can read a token can join with it. Containers get secrets in such files, so it is only said.
fn warn_of_readers(file: &Path) {
    let mode = std::fs::metadata(file).map(|metadata| metadata.permissions().mode() & 0o777);
    if let Ok(mode) = mode
        && mode & 0o077 != 0
    {
        let path = file.display();
        tracing::warn!(
            "others can read the token file `{path}` (mode {mode:o}); to keep it to this user: chmod 600"
        );
    }
}

fn default_data_dir(service: &ServiceRef, instance: &str) -> Result<PathBuf, Failure> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")));
    let state = state.ok_or_else(|| {
        Failure::bad_input("neither XDG_STATE_HOME nor HOME is set").help("name a directory with --data-dir")
    })?;
    Ok(state.join("chancery/sidecar").join(&service.namespace).join(&service.name).join(instance))
}

fn parse_instance(text: &str) -> Result<String, String> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err("the name of a replica has at most 63 letters, digits, `.`, `_` or `-`, and begins with a letter or digit".into())
}
