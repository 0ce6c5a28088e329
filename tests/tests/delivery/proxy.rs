//! A real Envoy and the discovery server that it is configured by.

#![expect(clippy::panic, reason = "a failure shows what Envoy said")]

use super::application;
use chancery_control::delivery::acks::{AckBoard, ProxyStatus, refusals};
use chancery_control::delivery::envoy::shown::Shown;
use chancery_control::delivery::envoy::{
    ConnectionLife, cluster, endpoints, evicted, extension, listener, route, secret,
};
use chancery_control::delivery::fleet::{Fleet, FleetChange};
use chancery_control::delivery::snapshot::{Resource, Snapshot};
use chancery_control::delivery::xds::XdsServer;
use chancery_control::mesh::identity::{PeerIdentity, Validity};
use chancery_control::mesh::model::{
    DesiredState, Document, Inbound, Outbound, PolicyRecord, Protocol, ProxyId, ProxyRegistration, Readiness,
    Revision,
};
use chancery_control::mesh::store::Store;
use chancery_control::mesh::store::redb::RedbStore;
use chancery_control::sidecar::envoy_binary::Search;
use chancery_policy_lang::checked::{Destination, ServiceRef};
use chancery_policy_lang::link::LinkedSettings;
use chancery_tests::mesh::wire::Request;
use jiff::Timestamp;
use reqwest::StatusCode;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;

const TRUST_DOMAIN: &str = "mesh.test";
const NODE: &str = "shop/orders/1";
/// How long Envoy may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much of Envoy's log a failure shows.
const LOG_LINES_SHOWN: usize = 30;

/// An Envoy with one service, and the discovery server that it is configured by.
pub(super) struct Proxy {
    folder: TempDir,
    store: Arc<dyn Store>,
    envoy: Child,
    application: SocketAddr,
    application_task: JoinHandle<()>,
    inbound: SocketAddr,
    outbound: SocketAddr,
    secrets: Vec<Resource>,
    control_plane: ControlPlane,
}

struct ControlPlane {
    fleet: Arc<Fleet>,
    board: Arc<AckBoard>,
    stop: CancellationToken,
    tasks: TaskTracker,
    server: JoinHandle<()>,
}

impl Proxy {
    /// Starts an Envoy that waits for its first snapshot.
    pub(super) async fn start() -> Self {
        // Another test may have been first.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&folder.path().join("state.redb"), Some(TRUST_DOMAIN)).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let control_plane = ControlPlane::start(&folder.path().join("ads.sock"), store.clone()).await;
        let (application, application_task) = application::start().await;
        let envoy = start_envoy(folder.path());
        let (inbound, outbound) = (free_address(), free_address());
        Self {
            folder,
            store,
            envoy,
            application,
            application_task,
            inbound,
            outbound,
            secrets: secrets(),
            control_plane,
        }
    }

    /// Where the outbound listener is.
    pub(super) fn outbound(&self) -> SocketAddr {
        self.outbound
    }

    /// All resources of the service, with this policy.
    pub(super) fn resources(&self, policy: Resource) -> Vec<Resource> {
        let mut resources = self.inbound_resources(policy);
        resources.extend([
            listener::outbound(&service(), &[self.outbound], &[], ConnectionLife::default()),
            route::outbound(&service(), None, None, &Shown::default()),
            extension::undecided(&service()),
            cluster::mesh(
                &everywhere(),
                &LinkedSettings::default(),
                &BTreeSet::new(),
                TRUST_DOMAIN,
                ConnectionLife::default(),
            ),
            endpoints::of_destination(&everywhere(), &[self.inbound].into()),
        ]);
        resources
    }

    fn stated_inbound(&self) -> Inbound {
        Inbound {
            listen: self.inbound,
            advertised: self.inbound,
            application: self.application,
            protocol: Protocol::Http1,
            probes: None,
        }
    }

    /// The resources without the outbound ones.
    pub(super) fn inbound_resources(&self, policy: Resource) -> Vec<Resource> {
        let inbound = self.stated_inbound();
        let mut resources = self.secrets.clone();
        resources.extend([
            listener::inbound(
                &inbound,
                &service(),
                &[],
                listener::Plaintext::Closed,
                TRUST_DOMAIN,
                ConnectionLife::default(),
            ),
            route::inbound(None, &[], &Shown::default()),
            cluster::local_app(self.application, Protocol::Http1),
            evicted::resource(&[]),
            policy,
        ]);
        resources
    }

    /// The resources with a cluster that expects an identity which the service has not.
    pub(super) fn resources_with_other_trust_domain_upstream(&self) -> Vec<Resource> {
        let mut resources = self.resources(chancery_control::delivery::envoy::extension::unrestricted());
        let foreign = cluster::mesh(
            &everywhere(),
            &LinkedSettings::default(),
            &BTreeSet::new(),
            "elsewhere.test",
            ConnectionLife::default(),
        );
        resources.retain(|resource| (resource.kind, &resource.name) != (foreign.kind, &foreign.name));
        resources.push(foreign);
        resources
    }

    /// Publishes a snapshot.
    pub(super) fn give(&self, revision: u64, resources: Vec<Resource>) {
        self.control_plane.give(change(revision, resources));
    }

    /// The desired state with this service and this document of policies.
    pub(super) fn desired(&self, revision: u64, text: &str) -> DesiredState {
        let document = Document { name: "orders.writ".to_owned(), text: text.into() };
        let revision = Revision(revision);
        let record = PolicyRecord {
            name: "orders".to_owned(),
            document: document.digest(),
            revision,
            set: None,
            filters: [].into(),
        };
        let registration = ProxyRegistration {
            token: None,
            check: None,
            readiness: Readiness::Ready,
            id: ProxyId(NODE.to_owned()),
            service: service(),
            labels: Arc::default(),
            inbound: Some(self.stated_inbound()),
            outbounds: vec![Outbound { service: service(), listen: self.outbound }],
        };
        let mut state =
            DesiredState { revision, trust_domain: TRUST_DOMAIN.to_owned(), ..Default::default() };
        state.documents.insert(document.digest(), Arc::new(document));
        state.place(record);
        state.register(Arc::new(registration));
        state
    }

    /// Publishes snapshots, with the secrets that a sidecar would add.
    pub(super) fn give_fleet(&self, built: &FleetChange) {
        let snapshots = built.given.values();
        let resources = snapshots.flat_map(|snapshot| snapshot.all()).map(|resource| (**resource).clone());
        self.give(built.revision.0, resources.chain(self.secrets.clone()).collect());
    }

    /// The lines of the access log, of which there are at least so many.
    pub(super) async fn access_log(&self, lines_min: usize) -> Vec<serde_json::Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = std::fs::read_to_string(self.folder.path().join("envoy.log")).unwrap();
            let lines: Vec<_> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            if lines.len() >= lines_min {
                return lines;
            }
            assert!(Instant::now() < deadline, "{lines:?}; Envoy said:\n{}", self.log());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the board shows what is asked for.
    pub(super) async fn until(&self, condition: impl Fn(&ProxyStatus) -> bool) -> ProxyStatus {
        let board = &self.control_plane.board;
        let id = ProxyId(NODE.to_owned());
        let mut changes = board.watch();
        let wait = async {
            loop {
                changes.borrow_and_update();
                if let Some(status) = board.statuses().remove(&id).filter(|status| condition(status)) {
                    return status;
                }
                changes.changed().await.unwrap();
            }
        };
        let waited = timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| {
            panic!("the board shows {:#?}; Envoy said:\n{}", board.statuses().get(&id), self.log())
        })
    }

    /// What Envoy says of itself at a path of its administration.
    pub(super) async fn admin(&self, path: &str) -> String {
        let socket = UnixStream::connect(self.folder.path().join("admin.sock")).await.unwrap();
        Request::get(path).send(socket).await.unwrap().body
    }

    /// Waits until what Envoy says at a path is so.
    pub(super) async fn until_admin(&self, path: &str, condition: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.admin(path).await;
            if condition(&said) {
                return;
            }
            assert!(Instant::now() < deadline, "{said}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a request through both listeners.
    pub(super) async fn get(&self, path: &str) -> Result<StatusCode, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        let response = client.get(format!("http://{}{path}", self.outbound)).send().await?;
        Ok(response.status())
    }

    /// Sends requests until one is answered so.
    pub(super) async fn get_until(&self, path: &str, expected: StatusCode) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let got = self.get(path).await;
            if got.as_ref().ok() == Some(&expected) {
                return;
            }
            assert!(Instant::now() < deadline, "got {got:?}, not {expected}; Envoy said:\n{}", self.log());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until nothing listens for requests any more.
    pub(super) async fn until_closed(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let got = self.get("/").await;
            if got.as_ref().is_err_and(reqwest::Error::is_connect) {
                return;
            }
            assert!(Instant::now() < deadline, "got {got:?}; Envoy said:\n{}", self.log());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the discovery server and all its streams.
    pub(super) async fn stop_control_plane(&mut self) {
        self.control_plane.stop().await;
    }

    /// Starts a discovery server that knows of earlier ones what is in the store.
    pub(super) async fn start_control_plane(&mut self, revision: u64, resources: Vec<Resource>) {
        let socket = self.folder.path().join("ads.sock");
        self.control_plane = ControlPlane::start(&socket, self.store.clone()).await;
        self.give(revision, resources);
    }

    /// Stops everything that was started.
    pub(super) async fn stop(mut self) {
        self.envoy.kill().await.unwrap();
        self.control_plane.stop().await;
        self.application_task.abort();
    }

    /// The end of Envoy's log.
    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("envoy.log")).unwrap();
        let lines: Vec<_> = log.lines().rev().take(LOG_LINES_SHOWN).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl ControlPlane {
    async fn start(socket: &Path, store: Arc<dyn Store>) -> Self {
        let fleet = Arc::<Fleet>::default();
        let (board, stop, tasks) = (Arc::<AckBoard>::default(), CancellationToken::new(), TaskTracker::new());
        refusals::restore(&*store, &board).await.unwrap();
        let states = store.watch();
        tasks.spawn(refusals::keep(store, board.clone(), stop.clone()));
        let server = XdsServer::new(fleet.clone(), board.clone(), states, stop.clone(), tasks.clone());
        // Stands for the TLS layer, which knows the sidecar by its certificate.
        let service = InterceptedService::new(server.into_service(), |mut request: tonic::Request<()>| {
            request.extensions_mut().insert(identity());
            Ok(request)
        });
        let _absent = std::fs::remove_file(socket);
        let incoming = UnixListenerStream::new(UnixListener::bind(socket).unwrap());
        let stopped = stop.clone().cancelled_owned();
        let server = tokio::spawn(async move {
            Server::builder()
                .add_service(service)
                .serve_with_incoming_shutdown(incoming, stopped)
                .await
                .unwrap();
        });
        Self { fleet, board, stop, tasks, server }
    }

    fn give(&self, change: FleetChange) {
        self.board.expect(&change);
        self.fleet.publish(change);
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
        timeout(PATIENCE, self.tasks.wait()).await.unwrap();
        timeout(PATIENCE, &mut self.server).await.unwrap().unwrap();
    }
}

fn start_envoy(folder: &Path) -> Child {
    let binary = Search::from_environment(None).find_or_install(&mut |_| ()).unwrap();
    let config = folder.join("bootstrap.json");
    std::fs::write(&config, bootstrap(&folder.join("ads.sock"), &folder.join("admin.sock")).to_string())
        .unwrap();
    let log = std::fs::File::create(folder.join("envoy.log")).unwrap();
    Command::new(binary.path)
        .args([
            "--use-dynamic-base-id",
            "--concurrency",
            "1",
            "--log-level",
            "info",
            "--file-flush-interval-msec",
            "50",
            "-c",
        ])
        .arg(config)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn bootstrap(ads: &Path, admin: &Path) -> serde_json::Value {
    let from_ads = json!({"ads": {}, "resource_api_version": "V3"});
    let http2 = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    });
    json!({
        "node": {"id": NODE, "cluster": "shop/orders"},
        "admin": {"address": {"pipe": {"path": admin}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {
                    "cluster_name": "ads",
                    "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}},
                }}],
            },
            "lds_config": from_ads,
            "cds_config": from_ads,
        },
        "static_resources": {"clusters": [{
            "name": "ads",
            "type": "STATIC",
            "typed_extension_protocol_options":
                {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
            "load_assignment": {"cluster_name": "ads", "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": ads}}}}]},
            ]},
        }]},
    })
}

fn change(revision: u64, resources: Vec<Resource>) -> FleetChange {
    let snapshot = Snapshot::new(Revision(revision), resources.into_iter().map(Arc::new));
    let given = [(ProxyId(NODE.to_owned()), Arc::new(snapshot))].into();
    FleetChange { revision: Revision(revision), given, is_whole: true, ..FleetChange::default() }
}

/// All replicas of the service.
fn everywhere() -> Destination {
    Destination { service: service(), version: None }
}

fn service() -> ServiceRef {
    ServiceRef { namespace: "shop".to_owned(), name: "orders".to_owned() }
}

fn identity() -> PeerIdentity {
    let validity = Validity { begins_at: Timestamp::MIN, ends_at: Timestamp::MAX };
    PeerIdentity {
        service: service(),
        proxy: ProxyId(NODE.to_owned()),
        validity,
        serial: [0; 16],
        token: None,
        key: [0; 32],
    }
}

/// A certificate of the service by an authority of its own, as the sidecar would give them to Envoy.
fn secrets() -> Vec<Resource> {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let bundle = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::from_params(&authority, &authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    let id = format!("spiffe://{TRUST_DOMAIN}/ns/shop/sa/orders");
    // With the authority's own name it would pass for self-signed.
    params.distinguished_name.push(rcgen::DnType::CommonName, "1");
    params.subject_alt_names = vec![rcgen::SanType::URI(id.as_str().try_into().unwrap())];
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    vec![secret::identity(&certificate, &key.serialize_pem()), secret::trust(&bundle, None)]
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
