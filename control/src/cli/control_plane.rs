//! `chancery control-plane`: runs the control plane until it is told to stop.

use crate::cli::context::DATA_DIRECTORY_DEFAULT;
use crate::cli::durations;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::filter::LocalEnvoy;
use crate::cli::signals::cancel_on_signal;
use crate::cli::terminal;
use crate::mesh::model::rollout::Share;
use crate::policies::filters::admission::PushTerms;
use crate::policies::filters::look::ModuleTrial;
use crate::policies::filters::signature::TrustedKeys;
use crate::server::{Server, ServerOptions};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Arguments of `chancery control-plane`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  chancery control-plane --data-dir /var/lib/chancery\n  \
    chancery control-plane --listen 0.0.0.0:5680 --advertise control.example \\\n    \
    --data-dir /var/lib/chancery\n\n\
    Stops orderly on SIGTERM, SIGHUP and SIGINT. What was acknowledged is on disk before that.")]
pub struct Arguments {
    /// A TOML file with options that are neither given here nor in the environment, under [control-plane]
    #[arg(long, env = "CHANCERY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where its data is; made if it is not there
    #[arg(long, env = "CHANCERY_DATA_DIR", value_name = "DIR", default_value = DATA_DIRECTORY_DEFAULT)]
    pub(super) data_dir: PathBuf,
    /// Where it listens, for people and sidecars alike
    #[arg(long, env = "CHANCERY_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5680")]
    pub(super) listen: SocketAddr,
    /// The name or address by which others reach it [default: that of --listen]
    #[arg(long, env = "CHANCERY_ADVERTISE", value_name = "HOST")]
    pub(super) advertise: Option<String>,
    /// The key that secrets are encrypted with at rest [default: DATA-DIR/secret.key]
    #[arg(long, env = "CHANCERY_KEY_FILE", value_name = "FILE")]
    pub(super) key_file: Option<PathBuf>,
    /// The SPIFFE trust domain of a new mesh [default: chancery.local]
    #[arg(long, env = "CHANCERY_TRUST_DOMAIN", value_name = "DOMAIN")]
    trust_domain: Option<String>,
    /// The data directory was restored from a backup, or moved, and its original is not used any more
    #[arg(long, env = "CHANCERY_RESTORED")]
    restored: bool,
    /// How long sidecars' certificates are valid; they renew at about half of it
    #[arg(long, env = "CHANCERY_CERTIFICATE_LIFETIME", value_name = "DURATION", default_value = "24h")]
    #[arg(value_parser = durations::parse)]
    certificate_lifetime: Duration,
    /// How long after its stream ended a sidecar that said nothing is forgotten
    #[arg(long, env = "CHANCERY_LEAVE_AFTER", value_name = "DURATION", default_value = "60s")]
    #[arg(value_parser = durations::parse)]
    leave_after: Duration,
    /// How long nothing may pass on a stream, as of a server that pushes events, before sidecars end it; `0s`: for ever
    #[arg(long, env = "CHANCERY_STREAM_IDLE", value_name = "DURATION", default_value = "1h")]
    #[arg(value_parser = durations::parse)]
    stream_idle: Duration,
    /// Public keys, a PEM file or a folder of `*.pem` files: filters must be signed by one of them
    #[arg(long, env = "CHANCERY_FILTER_KEYS", value_name = "FILE|DIR")]
    pub(super) filter_keys: Option<PathBuf>,
    /// Refuse filters that no Envoy of this machine has loaded, also if there is none
    #[arg(long, env = "CHANCERY_REQUIRE_ENVOY_VALIDATION")]
    pub(super) require_envoy_validation: bool,
    /// The stages in which `chancery apply` delivers that says nothing of it, such as 5%,50%,100% [default: all at once]
    #[arg(long, env = "CHANCERY_ROLLOUT_STAGES", value_name = "SHARES", value_delimiter = ',')]
    #[arg(value_parser = share)]
    rollout_stages: Vec<Share>,
}

fn share(text: &str) -> Result<Share, String> {
    Share::parse(text)
        .ok_or_else(|| format!("`{text}` is not a share: write a percentage such as 5% or 0.5%"))
}

/// Runs until SIGTERM, SIGHUP or SIGINT; a second one of these hurries.
///
/// # Errors
/// If it cannot start.
pub async fn run(arguments: &Arguments) -> CommandResult {
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    cancel_on_signal(&stop, &hurry)?;
    let server = Server::start(arguments.options()?).await.map_err(Failure::from)?;
    terminal::announce(greeting(&server)).await;
    stop.cancelled().await;
    tracing::info!("stopping");
    tokio::select! {
        () = server.stop() => {}
        () = hurry.cancelled() => tracing::warn!("told to stop again: not waiting for requests under way"),
    }
    Ok(Exit::Well)
}

impl Arguments {
    fn options(&self) -> Result<ServerOptions, Failure> {
        let keys = self.filter_keys.as_deref().map(TrustedKeys::read).transpose()?;
        let trial: Option<Arc<dyn ModuleTrial>> = Some(Arc::new(LocalEnvoy));
        let filters = PushTerms { trial, keys, requires_envoy: self.require_envoy_validation };
        Ok(ServerOptions {
            filters,
            listen: self.listen,
            advertise: self.advertise.clone(),
            data_dir: self.data_dir.clone(),
            key_file: self.key_file.clone(),
            trust_domain: self.trust_domain.clone(),
            is_restored: self.restored,
            certificate_lifetime: durations::signed(self.certificate_lifetime),
            leave_after: self.leave_after,
            quiet_streams: Some(self.stream_idle).filter(|idle| !idle.is_zero()),
            rollout_stages: self.rollout_stages.clone(),
        })
    }
}

/// What a person does next.
fn greeting(server: &Server) -> String {
    let url = &server.context().url;
    // The other terminal may be in another directory.
    let context = std::path::absolute(server.context_path());
    let context = context.as_deref().unwrap_or(server.context_path()).display();
    format!(
        "The control plane serves at {url}\n\n\
         As its admin, in another terminal:\n  \
         export CHANCERY_CONTEXT={context}\n  \
         chancery status\n  \
         chancery apply -f POLICIES --wait\n\n\
         To let a service in, make a token and start a sidecar beside it:\n  \
         chancery token --service shop/orders -o orders.token\n  \
         chancery sidecar --service shop/orders --token-file orders.token --inbound 8080:127.0.0.1:9000\n"
    )
}
