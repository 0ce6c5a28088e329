//! Membership in the mesh: gets the first identity, and keeps it young and registered.

use super::backoff::{self, Backoff, renewal_delay};
use super::control_plane;
use super::errors::SidecarError;
use super::identity::{Identity, Request};
use super::settings::{Settings, TokenSource};
use super::state::{self, StateDirectory};
use crate::mesh::identity::join_token::JoinToken;
use crate::mesh::model::Protocol;
use crate::server::api::types::{InboundBody, JoinRequest, OutboundBody, ProxyStatement};
use jiff::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// How soon, and how seldom, joining and renewing are tried again.
const RETRY_BASE: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How often the token file is looked at.
const TOKEN_POLL_EVERY: Duration = Duration::from_secs(5);
/// The least time between two renewals, whatever asks for them.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);

/// What the control plane calls the refusal of a sidecar that was evicted.
const EVICTED: &str = "evicted";

/// An identity that takes the place of another.
struct Renewed {
    identity: Identity,
    /// Whether the one before is good no longer.
    was_evicted: bool,
}

/// What joining needs to know.
#[derive(Debug)]
pub struct Membership {
    service: String,
    statement: ProxyStatement,
    token: TokenSource,
    /// Where the control plane is now, whatever the token and the identity say.
    control_plane: Option<String>,
    identity_file: PathBuf,
}

impl Membership {
    /// The membership of a sidecar with these settings.
    #[must_use]
    pub fn new(settings: &Settings, state: &StateDirectory) -> Self {
        let name = |service: &chancery_policy_lang::checked::ServiceRef| {
            format!("{}/{}", service.namespace, service.name)
        };
        let outbounds = settings.outbounds.iter();
        let statement = ProxyStatement {
            instance: Some(settings.instance.clone()),
            labels: settings.labels.clone(),
            inbound: settings.inbound.map(|inbound| InboundBody {
                listen: inbound.listen,
                advertised: Some(inbound.advertised).filter(|advertised| *advertised != inbound.listen),
                application: inbound.application,
                // A control plane that is older knows one only, and not that it can be said.
                protocol: Some(inbound.protocol)
                    .filter(|protocol| *protocol != Protocol::Http1)
                    .map(Into::into),
                probes: inbound.probes,
                check: settings.looking.as_ref().map(|looking| looking.check.to_string()),
            }),
            outbounds: outbounds
                .map(|outbound| OutboundBody { service: name(&outbound.service), listen: outbound.listen })
                .collect(),
        };
        Self {
            service: name(&settings.service),
            statement,
            token: settings.token.clone(),
            control_plane: settings.control_plane.clone(),
            identity_file: state.identity(),
        }
    }

    /// The identity on disk, if it is one of this replica. A token file that is gone, or names another
    /// control plane, is no reason to forget who one is before one is somebody else.
    ///
    /// # Errors
    /// When the token is for another service.
    pub fn recall(&self) -> Result<Option<Identity>, SidecarError> {
        let identity: Identity = match state::read_json(&self.identity_file) {
            Ok(Some(identity)) => self.where_it_is_now(identity),
            Ok(None) => return Ok(None),
            Err(error) => {
                tracing::warn!(path = %self.identity_file.display(), %error, "the saved identity cannot be read: joining anew");
                return Ok(None);
            }
        };
        let instance = self.statement.instance.as_deref().unwrap_or_default();
        if identity.proxy_id != format!("{}/{instance}", self.service) {
            tracing::warn!(saved = identity.proxy_id, "the saved identity is another one's: joining anew");
            return Ok(None);
        }
        match self.read_token() {
            Ok(_) | Err(SidecarError::TokenFile { .. }) => Ok(Some(identity)),
            Err(error) => Err(error),
        }
    }

    /// Joins, and tries again while the control plane cannot be reached.
    ///
    /// # Errors
    /// When the token is not good or the control plane refuses it.
    pub async fn join(&self) -> Result<Identity, SidecarError> {
        let mut backoff = Backoff::new(RETRY_BASE, RETRY_MAX);
        loop {
            match self.join_once().await {
                Err(
                    error @ (SidecarError::Unreachable { .. }
                    | SidecarError::Busy(_)
                    | SidecarError::Clock(_)),
                ) => {
                    let delay = backoff.next(backoff::random());
                    tracing::warn!("{error}; trying again in {delay:.1?}");
                    sleep(delay).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn join_once(&self) -> Result<Identity, SidecarError> {
        let (text, token) = self.read_token()?;
        let request = Request::new()?;
        let join = JoinRequest {
            token: text,
            service: self.service.clone(),
            csr_pem: request.csr_pem.clone(),
            proxy: self.statement.clone(),
        };
        let answer = control_plane::join(&token.url, &token.root_pem, &join).await?;
        let identity = request.grant(&token.url, &token.root_pem, answer, Timestamp::now())?;
        self.save(&identity);
        tracing::info!(proxy = identity.proxy_id, "joined the mesh");
        Ok(identity)
    }

    async fn renew_once(&self, present: &Identity) -> Result<Identity, SidecarError> {
        let request = Request::again(present)?;
        let answer = control_plane::renew(present, request.csr_pem.clone(), self.statement.clone()).await?;
        let identity = request.grant(&present.url, &present.root_pem, answer, Timestamp::now())?;
        self.save(&identity);
        tracing::info!(proxy = identity.proxy_id, "renewed the certificate");
        Ok(identity)
    }

    /// Keeps the identity in `current` young: renews it at about half of its life, whenever
    /// `register` asks for it, and when the token file names another control plane. Tells `evicted` when the sidecar was
    /// shut out and is let in anew; why it was not renewed when it was last tried is in `trouble`. Ends only by being
    /// dropped.
    pub async fn keep(
        &self,
        current: &watch::Sender<Arc<Identity>>,
        register: &Notify,
        (evicted, trouble): (&Notify, &watch::Sender<Option<String>>),
    ) {
        let mut backoff = Backoff::new(RETRY_BASE, RETRY_MAX);
        loop {
            let present = current.borrow().clone();
            let age = Duration::from_secs(present.lifetime_seconds)
                .saturating_sub(present.remaining(Timestamp::now()));
            let due = renewal_delay(Duration::from_secs(present.lifetime_seconds), backoff::random());
            tokio::select! {
                () = sleep(due.saturating_sub(age)) => {}
                () = register.notified() => {}
                () = self.moved(&present) => {}
            }
            loop {
                match self.renew_or_join(&present).await {
                    Ok(Renewed { identity, was_evicted }) => {
                        current.send_replace(Arc::new(identity));
                        trouble.send_replace(None);
                        if was_evicted {
                            tracing::warn!("this sidecar was evicted, and has joined anew");
                            evicted.notify_one();
                        }
                        backoff.reset();
                        break;
                    }
                    Err(error) => {
                        let delay = backoff.next(backoff::random());
                        let left = present.remaining(Timestamp::now()).as_secs();
                        tracing::warn!(
                            "the certificate is not renewed ({left} s left): {error}; trying again in {delay:.1?}"
                        );
                        trouble.send_replace(Some(error.to_string()));
                        // A new token in the file may be the remedy: it is looked at with each try.
                        sleep(delay).await;
                    }
                }
            }
            sleep(RENEWAL_PAUSE).await;
        }
    }

    /// Tells the control plane that the sidecar goes.
    ///
    /// # Errors
    /// When the control plane does not hear it.
    pub async fn leave(&self, present: &Identity) -> Result<(), SidecarError> {
        control_plane::leave(present, self.statement.clone()).await
    }

    /// Waits until the token file names another control plane.
    async fn moved(&self, present: &Identity) {
        while self.read_token().map_or(true, |(_, token)| is_from(present, &token)) {
            sleep(TOKEN_POLL_EVERY).await;
        }
    }

    /// A control plane that does not take the certificate any more may take the token; and a token
    /// of another control plane says that the sidecar belongs there now. A certificate that has ended is shown as well: it
    /// is renewed for some days after, so that nobody needs a token because the control plane was away for long.
    async fn renew_or_join(&self, present: &Identity) -> Result<Renewed, SidecarError> {
        let renewed = |identity| Renewed { identity, was_evicted: false };
        if self.read_token().is_ok_and(|(_, token)| !is_from(present, &token)) {
            return self.join_once().await.map(renewed);
        }
        let (code, message, help) = match self.renew_once(present).await {
            Err(SidecarError::Refused { code, message, help }) => (code, message, help),
            outcome => return outcome.map(renewed),
        };
        match self.join_once().await {
            Err(SidecarError::TokenFile { .. } | SidecarError::Token { .. }) => {
                Err(SidecarError::Refused { code, message, help })
            }
            Err(SidecarError::Refused { message: of_token, help, .. }) => {
                let message = format!("{message}; and it does not take the token: {of_token}");
                Err(SidecarError::Refused { code, message, help })
            }
            outcome => outcome.map(|identity| Renewed { identity, was_evicted: code == EVICTED }),
        }
    }

    /// The URL of the control plane, as far as that is known before the sidecar joins.
    #[must_use]
    pub fn known_url(token: &TokenSource, identity_file: &Path) -> Option<String> {
        let text = match token {
            TokenSource::Given(text) => Some(text.clone()),
            TokenSource::File(path) => std::fs::read_to_string(path).ok(),
        };
        let named = text.and_then(|text| JoinToken::parse(&text).ok()).map(|token| token.url);
        let saved = || state::read_json::<Identity>(identity_file).ok()?.map(|identity| identity.url);
        named.or_else(saved)
    }

    fn read_token(&self) -> Result<(String, JoinToken), SidecarError> {
        let unusable = |problem: String| SidecarError::Token { path: self.token.place(), problem };
        let text = match &self.token {
            TokenSource::Given(text) => text.clone(),
            TokenSource::File(path) => {
                let read = std::fs::read(path);
                let bytes = read.map_err(|source| SidecarError::TokenFile { path: path.clone(), source })?;
                String::from_utf8(bytes).map_err(|_| unusable("it is not text".into()))?
            }
        };
        let token = JoinToken::parse(&text).map_err(|error| unusable(error.to_string()))?;
        let bound = format!("{}/{}", token.service.namespace, token.service.name);
        if bound != self.service {
            return Err(unusable(format!("it is for the service {bound}, not for {}", self.service)));
        }
        let url = self.control_plane.clone().unwrap_or(token.url);
        Ok((text.trim().to_owned(), JoinToken { url, ..token }))
    }

    fn where_it_is_now(&self, identity: Identity) -> Identity {
        let url = self.control_plane.clone().unwrap_or(identity.url);
        Identity { url, ..identity }
    }

    /// Without the file the sidecar runs as well; only a restart has to join anew.
    fn save(&self, identity: &Identity) {
        let saved: io::Result<()> = state::write_json(&self.identity_file, identity);
        if let Err(error) = saved {
            tracing::error!(path = %self.identity_file.display(), %error, "the identity cannot be saved");
        }
    }
}

/// Whether an identity is from the control plane that the token names.
fn is_from(identity: &Identity, token: &JoinToken) -> bool {
    token.root_pem == identity.root_pem && token.url == identity.url
}
