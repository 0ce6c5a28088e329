//! The sidecar's own discovery service, on a Unix socket that only its Envoy uses.
//!
//! ```text
//!            secrets: answered here                       all else, message by message
//!   Envoy <---------------------------> relay <-----------------------------------------> control plane
//!                                         | what Envoy acknowledged
//!                                         v
//!                                     last good  ---> disk
//! ```
//!
//! While the control plane is away the relay *stands in* for it with the last good configuration.
//! When a stream to it is open again, the one to Envoy is ended; Envoy connects anew, with what it
//! holds, and its new stream goes through the one that was *prepared*. A renewed certificate is followed
//! by a new stream in the same way, for none outlives the certificate that opened it. No connection of
//! a client is touched by any of this.

mod reports;

use super::admin::Admin;
use super::backoff::{self, Backoff};
use super::closed::Closed;
use super::control_plane::{self, MESSAGE_BYTES_MAX, OPEN_TIMEOUT, Stream};
use super::errors::SidecarError;
use super::identity::Identity;
use super::last_good::{LastGood, Tracker};
use super::tail::Tail;
use crate::delivery::envoy::secret;
use crate::delivery::snapshot::{ResourceType, Snapshot};
use crate::delivery::xds::lines::{self, read_asked};
use crate::delivery::xds::message::Event;
use crate::delivery::xds::wire::{read_request, write_response};
use crate::delivery::xds::{Application, Conversation, Counts, Memory, UnopenedListeners};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::mem::discriminant;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

/// Responses that wait for Envoy.
const RESPONSES_WAITING_MAX: usize = 4;
/// How long Envoy may leave a response unread.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long nothing must have passed until a stream counts as settled.
const QUIET: Duration = Duration::from_secs(5);
/// How soon, and how seldom, a control plane that is away is asked again. Much sooner than it gives
/// up a sidecar that has no stream.
const RETRY_BASE: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often it is looked whether Envoy has its listeners open.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How soon, and how seldom, Envoy is given a listener again that it could not open.
const REOPEN_BASE: Duration = Duration::from_secs(1);
const REOPEN_MAX: Duration = Duration::from_secs(5);
/// How seldom, at least, it is asked by a sidecar whose certificate is not valid now: it waits for a new one.
const UNTIMELY_PAUSE: Duration = Duration::from_secs(15);
/// Why a stream takes the place of another.
const REOPENING: &str = "listeners that could not be opened are sent again";
const RENEWED: &str = "the certificate was renewed";
/// How long Envoy may take to come for a stream that was prepared for it.
const PREPARED_KEPT: Duration = Duration::from_secs(10);
/// How long a control plane that closed a stream without a word on it is left alone.
const SILENT_PAUSE: Duration = Duration::from_secs(3);

/// Where Envoy's configuration comes from at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// Envoy has not asked yet.
    #[default]
    None,
    /// From the control plane.
    Through,
    /// From the last good configuration.
    StandIn,
    /// From nowhere: the control plane is away, and there is nothing from earlier.
    Waiting,
}

/// What the sidecar knows of Envoy's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayStatus {
    /// Where it comes from.
    pub link: Link,
    /// Whether Envoy has accepted listeners.
    pub is_configured: bool,
    /// Listeners that are not open, and why.
    pub closed: BTreeMap<String, String>,
}

/// The discovery service. Its clones are one.
#[derive(Clone, Debug)]
pub struct Relay {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    identity: watch::Receiver<Arc<Identity>>,
    last_good: Mutex<LastGood>,
    /// The list of revoked identities, PEM, once the control plane has told it.
    revoked: Mutex<Option<String>>,
    /// Counts the changes of `last_good`.
    changes: watch::Sender<u64>,
    status: watch::Sender<RelayStatus>,
    /// How many requests Envoy has answered, as the control plane is to be told.
    counts: watch::Sender<Counts>,
    closed: Mutex<Closed>,
    /// Ends the stream of Envoy, so that listeners that are not open are sent to it again.
    retry: Notify,
    /// Why there was no stream to the control plane when it was last asked for one.
    trouble: Mutex<Option<SidecarError>>,
    /// Until when the control plane is not asked for a stream, and with which identity.
    pause: Mutex<Option<(Instant, Arc<Identity>)>>,
    /// A stream to the control plane for the next one of Envoy.
    prepared: Mutex<Option<Prepared>>,
    /// The stream whose place a prepared one takes. The control plane ends it when Envoy speaks on that;
    /// if it ended before, the sidecar would count as away for a moment.
    retired: Mutex<Option<Stream>>,
    /// Asks for a new registration.
    register: Arc<Notify>,
    /// Whether the application answers; `None` while that is not known.
    application: watch::Receiver<Option<Application>>,
    /// Lines of logs that somebody follows at the control plane.
    tail: Arc<Tail>,
    /// No stream to the control plane any more: the sidecar is leaving.
    leaving: CancellationToken,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Prepared {
    stream: Stream,
    of: Arc<Identity>,
    at: Instant,
}

/// How the relay is tied to the rest of the sidecar.
#[derive(Debug)]
pub struct Ties {
    /// The identity, whenever it changes.
    pub identity: watch::Receiver<Arc<Identity>>,
    /// Notified when the control plane does not know this sidecar.
    pub register: Arc<Notify>,
    /// Whether the application answers, which the control plane is told; `None` while that is not known.
    pub application: watch::Receiver<Option<Application>>,
    /// Lines of logs that somebody follows at the control plane.
    pub tail: Arc<Tail>,
    /// Ends all streams to the control plane.
    pub leaving: CancellationToken,
    /// Ends all streams.
    pub stop: CancellationToken,
    /// On which the streams run, to be waited for.
    pub tasks: TaskTracker,
}

/// Why a stream with Envoy is over.
type End = Result<(), Status>;
/// Ends when the next stream to the control plane is prepared.
type Renewal = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Relay {
    /// A relay that begins with what was on disk.
    #[must_use]
    pub fn new(last_good: LastGood, ties: Ties) -> Self {
        let Ties { identity, register, application, tail, leaving, stop, tasks } = ties;
        let shared = Shared {
            identity,
            last_good: Mutex::new(last_good),
            revoked: Mutex::default(),
            changes: watch::Sender::default(),
            status: watch::Sender::default(),
            counts: watch::Sender::default(),
            closed: Mutex::default(),
            retry: Notify::new(),
            trouble: Mutex::default(),
            pause: Mutex::default(),
            prepared: Mutex::default(),
            retired: Mutex::default(),
            register,
            application,
            tail,
            leaving,
            stop,
            tasks,
        };
        Self { shared: Arc::new(shared) }
    }

    /// As a service that a tonic router takes.
    #[must_use]
    pub fn into_service(self) -> AggregatedDiscoveryServiceServer<Self> {
        AggregatedDiscoveryServiceServer::new(self).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// What is known of Envoy's configuration, now and whenever it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<RelayStatus> {
        self.shared.status.subscribe()
    }

    /// Counts the changes of the last good configuration.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Looks for listeners that Envoy should have open and has not, and has them sent to it again until
    /// it has. Ends only by being dropped.
    pub async fn keep_open(&self, admin: &Admin) {
        let mut backoff = Backoff::new(REOPEN_BASE, REOPEN_MAX);
        let mut reopen_at = Instant::now();
        loop {
            sleep(LOOK_EVERY).await;
            let accepted = self.shared.last_good().names(ResourceType::Listener);
            if self.shared.status.borrow().is_configured
                && let Ok(Some(open)) = admin.open_listeners().await
            {
                self.shared.note_closed(|closed| closed.note_look(&accepted, &open));
            }
            if self.shared.status.borrow().closed.is_empty() {
                backoff.reset();
                reopen_at = Instant::now() + backoff.next(backoff::random());
            } else if Instant::now() >= reopen_at {
                reopen_at = Instant::now() + backoff.next(backoff::random());
                self.shared.retry.notify_waiters();
            }
        }
    }

    /// The last good configuration.
    #[must_use]
    pub fn last_good(&self) -> LastGood {
        self.shared.last_good().clone()
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Relay {
    type StreamAggregatedResourcesStream = ReceiverStream<Result<DiscoveryResponse, Status>>;
    type DeltaAggregatedResourcesStream = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("only incremental xDS is spoken here"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (responses, receiver) = mpsc::channel(RESPONSES_WAITING_MAX);
        let session = Session::new(self.shared.clone(), request.into_inner(), responses);
        self.shared.tasks.spawn(session.serve());
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl Shared {
    fn last_good(&self) -> MutexGuard<'_, LastGood> {
        self.last_good.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause(&self) -> MutexGuard<'_, Option<(Instant, Arc<Identity>)>> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new identity is a new registration: what was refused before may be taken now.
    fn is_paused(&self) -> bool {
        let identity = self.identity.borrow();
        self.pause().as_ref().is_some_and(|(until, of)| Instant::now() < *until && Arc::ptr_eq(of, &identity))
    }

    fn note_change(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn note_link(&self, link: Link) {
        let changed =
            self.status.send_if_modified(|status| std::mem::replace(&mut status.link, link) != link);
        match link {
            _ if !changed || self.leaving.is_cancelled() => {}
            Link::None => {}
            Link::Through => tracing::info!("Envoy gets its configuration from the control plane"),
            Link::StandIn => {
                tracing::warn!("the control plane is away: Envoy keeps its last good configuration")
            }
            Link::Waiting => {
                tracing::warn!("the control plane is away, and there is no earlier configuration: waiting")
            }
        }
    }

    /// Another kind of trouble than before is said at once; the same again is not.
    fn note_trouble(&self, error: SidecarError) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.as_ref().is_some_and(|before| discriminant(before) == discriminant(&error)) {
            tracing::debug!("no stream to the control plane: {error}");
        } else {
            tracing::warn!("no stream to the control plane: {error}");
        }
        *trouble = Some(error);
    }

    fn note_closed(&self, note: impl FnOnce(&mut Closed) -> bool) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if note(&mut closed) {
            let reasons = closed.reasons().clone();
            for (name, reason) in &reasons {
                tracing::warn!(name, "Envoy cannot open a listener; it is tried again: {reason}");
            }
            self.status.send_modify(|status| status.closed = reasons);
        }
    }

    /// Takes the listeners that are not open out of what Envoy says that it has, so that it is given them. Of one
    /// that it refused it may have an earlier version, whichever.
    fn forget_closed(&self, request: &mut DeltaDiscoveryRequest) {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        request.initial_resource_versions.retain(|name, version| {
            if closed.is_refused(name) {
                version.clear();
            }
            !closed.is_missing(name)
        });
    }

    fn note_configured(&self) {
        self.status.send_if_modified(|status| !std::mem::replace(&mut status.is_configured, true));
    }

    /// Whether the control plane may be asked for a stream now.
    fn may_connect(&self) -> bool {
        !self.is_paused() && !self.leaving.is_cancelled()
    }

    /// The stream that was prepared, or a new one.
    async fn connect(&self) -> Option<Stream> {
        let prepared = self.prepared().take();
        let identity = self.identity.borrow().clone();
        match prepared {
            Some(Prepared { stream, of, at })
                if Arc::ptr_eq(&of, &identity)
                    && at.elapsed() < PREPARED_KEPT
                    && !self.leaving.is_cancelled() =>
            {
                Some(stream)
            }
            _ => self.open(&identity).await,
        }
    }

    async fn open(&self, identity: &Identity) -> Option<Stream> {
        if !self.may_connect() {
            return None;
        }
        match control_plane::open_stream(identity).await {
            Ok(stream) => {
                *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Some(stream)
            }
            Err(error) => {
                if matches!(error, SidecarError::Refused { .. }) {
                    self.register.notify_one();
                }
                self.note_trouble(error);
                None
            }
        }
    }

    /// Tries until there is a stream to the control plane, and keeps it for Envoy. That a connection
    /// comes about says nothing: one that hangs, or refuses the certificate, takes connections too.
    async fn prepare(self: Arc<Self>) {
        let mut backoff = Backoff::new(RETRY_BASE, RETRY_MAX);
        let mut identity = self.identity.clone();
        identity.mark_unchanged();
        loop {
            let mut pause = backoff.next(backoff::random());
            if identity.borrow().complaint(Timestamp::now()).is_some() {
                pause = pause.max(UNTIMELY_PAUSE);
            }
            tokio::select! {
                () = sleep(pause) => {}
                // It was there just now, and knows this sidecar.
                Ok(()) = identity.changed() => {}
            }
            let of = identity.borrow_and_update().clone();
            if let Some(stream) = self.open(&of).await {
                *self.prepared() = Some(Prepared { stream, of, at: Instant::now() });
                return;
            }
        }
    }

    fn retired(&self) -> MutexGuard<'_, Option<Stream>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prepared(&self) -> MutexGuard<'_, Option<Prepared>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream of Envoy.
struct Session {
    shared: Arc<Shared>,
    identity: watch::Receiver<Arc<Identity>>,
    application: watch::Receiver<Option<Application>>,
    status: watch::Receiver<RelayStatus>,
    counts: watch::Receiver<Counts>,
    /// What the control plane was told last of listeners that are not open.
    told: UnopenedListeners,
    requests: Streaming<DeltaDiscoveryRequest>,
    responses: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
    /// What is answered here: secrets always, everything while standing in.
    conversation: Conversation,
}

impl Session {
    fn new(
        shared: Arc<Shared>,
        requests: Streaming<DeltaDiscoveryRequest>,
        responses: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
    ) -> Self {
        let (identity, application) = (shared.identity.clone(), shared.application.clone());
        let conversation = Conversation::new(Arc::new(Snapshot::default()), Memory::default());
        let (status, told) = (shared.status.subscribe(), UnopenedListeners::default());
        let counts = shared.counts.subscribe();
        Self { shared, identity, application, status, counts, told, requests, responses, conversation }
    }

    async fn serve(mut self) {
        let connected = tokio::select! {
            connected = self.shared.connect() => connected,
            () = self.shared.stop.cancelled() => return,
        };
        let end = match connected {
            Some(upstream) => {
                self.shared.note_link(Link::Through);
                self.pass_through(upstream).await
            }
            None => self.stand_in().await,
        };
        if let Err(status) = end {
            tracing::debug!(%status, "the stream with Envoy is ended");
            // An Envoy that is gone need not be told.
            let _gone = self.responses.send_timeout(Err(status), SEND_TIMEOUT).await;
        }
    }

    /// Passes messages on in both directions, and notes what Envoy acknowledges.
    async fn pass_through(&mut self, mut upstream: Stream) -> End {
        let control_plane = self.identity.borrow().url.clone();
        let mut tracker = Tracker::default();
        let mut is_silent = true;
        // The first request of a stream says whose it is.
        let mut has_begun = false;
        let mut quiet_at = Instant::now() + QUIET;
        let mut renewal: Renewal = Box::pin(std::future::pending());
        let mut renews_for = "";
        let mut passing_on = self.follow_anew();
        self.update(false);
        loop {
            tokio::select! {
                request = self.requests.message() => {
                    let Some(request) = request? else { return Ok(()) };
                    quiet_at = Instant::now() + QUIET;
                    self.receive_through(request, &mut tracker, &upstream).await?;
                    if !std::mem::replace(&mut has_begun, true) {
                        self.report(&upstream).await?;
                        self.report_unopened(&upstream).await?;
                        self.report_counts(&upstream).await?;
                    }
                }
                response = upstream.responses.message() => {
                    quiet_at = Instant::now() + QUIET;
                    match response {
                        Ok(Some(response)) if response.type_url == ResourceType::Secret.type_url() => {
                            self.take_revoked(&response).await?;
                        }
                        Ok(Some(response)) if response.type_url == lines::TYPE_URL => {
                            self.shared.tail.want(read_asked(&response).unwrap_or_default());
                        }
                        Ok(Some(response)) => {
                            is_silent = false;
                            if let Some(kind) = ResourceType::from_type_url(&response.type_url) {
                                tracker.response(kind, &response);
                            }
                            self.send(response).await?;
                        }
                        ended => {
                            if !renews_for.is_empty() {
                                // The control plane ends the old stream when the new one is there.
                                let _or_not = timeout(OPEN_TIMEOUT, renewal).await;
                            }
                            return Err(self.upstream_ended(ended.err(), is_silent));
                        }
                    }
                }
                Ok(()) = self.application.changed(), if has_begun => self.report(&upstream).await?,
                Ok(()) = self.status.changed(), if has_begun => self.report_unopened(&upstream).await?,
                Ok(()) = self.counts.changed(), if has_begun => self.report_counts(&upstream).await?,
                _ = passing_on.tick(), if has_begun && self.shared.tail.is_followed() => self.pass_on_lines(&upstream),
                Ok(()) = self.identity.changed() => {
                    self.update(false);
                    if self.identity.borrow().url != control_plane {
                        return Err(Status::unavailable("the sidecar joined another control plane"));
                    }
                    self.answer().await?;
                    let shared = self.shared.clone();
                    renewal = Box::pin(async move {
                        // There may be more to come, and there is no hurry: half of a life is left.
                        sleep(QUIET).await;
                        shared.prepare().await;
                    });
                    renews_for = RENEWED;
                }
                () = &mut renewal => {
                    tracing::info!("a new stream to the control plane takes the place of the old one: {renews_for}");
                    *self.shared.retired() = Some(upstream);
                    return Err(Status::unavailable(renews_for));
                }
                () = sleep_until(quiet_at) => {
                    drop(self.shared.retired().take());
                    if tracker.settle(&mut self.shared.last_good()) {
                        self.shared.note_change();
                    }
                    quiet_at = Instant::now() + QUIET * 60;
                }
                () = self.shared.retry.notified() => {
                    renewal = Box::pin(self.shared.clone().prepare());
                    renews_for = REOPENING;
                }
                () = self.shared.leaving.cancelled() => return Err(Status::unavailable("the sidecar is leaving")),
                () = self.shared.stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Secrets of the control plane are for the sidecar alone: the list of revoked identities.
    async fn take_revoked(&mut self, response: &DeltaDiscoveryResponse) -> End {
        let Some(list) = secret::read_revoked(response) else { return Ok(()) };
        *self.shared.revoked.lock().unwrap_or_else(PoisonError::into_inner) = Some(list);
        self.update(false);
        self.answer().await
    }

    async fn receive_through(
        &mut self,
        mut request: DeltaDiscoveryRequest,
        tracker: &mut Tracker,
        upstream: &Stream,
    ) -> End {
        match ResourceType::from_type_url(&request.type_url) {
            Some(ResourceType::Secret) => {
                self.receive_here(request)?;
                return self.answer().await;
            }
            Some(kind) => {
                let is_accepted = request.error_detail.is_none() && !request.response_nonce.is_empty();
                let refusal = request.error_detail.as_ref().map(|detail| detail.message.clone());
                if kind == ResourceType::Listener {
                    self.shared.forget_closed(&mut request);
                    let names = tracker.answered(kind, &request);
                    self.shared.note_closed(|closed| closed.note_answer(&names, refusal.as_deref()));
                } else if let Some(refusal) = refusal {
                    tracing::warn!(kind = kind.noun(), "Envoy refused: {refusal}");
                }
                if tracker.request(kind, &request, &mut self.shared.last_good()) {
                    self.shared.note_change();
                }
                if is_accepted && kind == ResourceType::Listener {
                    self.shared.note_configured();
                }
            }
            None => {}
        }
        pass_up(upstream, request).await
    }

    /// What is said to Envoy when the stream of the control plane is over.
    fn upstream_ended(&self, status: Option<Status>, is_silent: bool) -> Status {
        let status = status.unwrap_or_else(|| Status::unavailable("the control plane ended the stream"));
        tracing::info!(reason = status.message(), "the control plane ended the stream");
        if is_silent {
            let identity = self.shared.identity.borrow().clone();
            *self.shared.pause() = Some((Instant::now() + SILENT_PAUSE, identity));
        }
        if control_plane::is_stranger(&status) {
            self.shared.register.notify_one();
        }
        Status::unavailable(status.message())
    }

    /// Answers from the last good configuration until the control plane is back.
    async fn stand_in(&mut self) -> End {
        let is_usable = self.shared.last_good().is_usable();
        self.shared.tail.want(Vec::new());
        self.shared.note_link(if is_usable { Link::StandIn } else { Link::Waiting });
        self.update(is_usable);
        let shared = self.shared.clone();
        let mut back = std::pin::pin!(shared.prepare());
        loop {
            tokio::select! {
                request = self.requests.message() => {
                    let Some(request) = request? else { return Ok(()) };
                    // Without anything to serve, silence keeps Envoy waiting; an empty answer would
                    // make it drop what it has.
                    let kind = ResourceType::from_type_url(&request.type_url);
                    if is_usable || kind == Some(ResourceType::Secret) {
                        self.receive_here(request)?;
                        self.answer().await?;
                    }
                }
                Ok(()) = self.identity.changed() => {
                    self.update(is_usable);
                    self.answer().await?;
                }
                () = &mut back => return Err(Status::unavailable("the control plane is back")),
                () = self.shared.retry.notified() => return Err(Status::unavailable(REOPENING)),
                () = self.shared.stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Renews what is answered here.
    fn update(&mut self, with_last_good: bool) {
        let revoked = self.shared.revoked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let secrets = self.identity.borrow_and_update().secrets(revoked.as_deref());
        let last_good = if with_last_good { self.shared.last_good().clone() } else { LastGood::default() };
        self.conversation.update(Arc::new(last_good.snapshot(&secrets)));
    }

    fn receive_here(&mut self, mut request: DeltaDiscoveryRequest) -> End {
        if request.type_url == ResourceType::Listener.type_url() {
            self.shared.forget_closed(&mut request);
        }
        let (kind, request) = read_request(request)?;
        let events = self.conversation.receive(kind, &request);
        for event in events.map_err(|violation| Status::resource_exhausted(violation.to_string()))? {
            match event {
                Event::Accepted { resource } if resource.kind == ResourceType::Listener => {
                    self.shared.note_configured();
                    self.shared
                        .note_closed(|closed| closed.note_answer(std::slice::from_ref(&resource.name), None));
                }
                Event::Rejected { resource, message } if resource.kind == ResourceType::Listener => {
                    let names = [resource.name.clone()];
                    self.shared.note_closed(|closed| closed.note_answer(&names, Some(&message)));
                }
                Event::Rejected { resource, message } => {
                    tracing::error!(kind = kind.noun(), name = resource.name, "Envoy refused: {message}");
                }
                Event::Started
                | Event::Accepted { .. }
                | Event::Removed { .. }
                | Event::Application(_)
                | Event::Unopened(_)
                | Event::Counts(_) => {}
            }
        }
        Ok(())
    }

    async fn answer(&mut self) -> End {
        while let Some(response) = self.conversation.next_response() {
            self.send(write_response(response)).await?;
        }
        Ok(())
    }

    async fn send(&self, response: DeltaDiscoveryResponse) -> End {
        let sent = self.responses.send_timeout(Ok(response), SEND_TIMEOUT).await;
        sent.map_err(|_| Status::deadline_exceeded("Envoy does not read"))
    }
}

async fn pass_up(upstream: &Stream, request: DeltaDiscoveryRequest) -> End {
    let sent = upstream.requests.send_timeout(request, SEND_TIMEOUT).await;
    sent.map_err(|_| Status::unavailable("the control plane does not listen"))
}

#[cfg(test)]
mod tests;
