//! The API over real TLS, as people and sidecars use it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod late;

use super::{Server, ServerOptions};
use crate::delivery::snapshot::ResourceType;
use crate::mesh::identity::authority;
use crate::server::api::client::{Client, ClientError, Credentials};
use crate::server::api::types::{
    ApplyOutcome, ApplyRequest, ApplyResponse, AuditList, DeleteResponse, Done, ErrorBody, Evicted, FileBody,
    IdentityResponse, InboundBody, JoinRequest, LeaveRequest, PolicyBody, PolicyList, ProxyList,
    ProxyStatement, RenewRequest, Role, StatusResponse, TokenList, TokenRequest, TokenResponse,
};
use crate::sidecar::control_plane::{Stream, open_stream};
use crate::sidecar::identity::Identity;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use rcgen::{CertificateParams, KeyPair};
use reqwest::StatusCode;
use std::path::Path;
use std::time::Duration;

struct Plane {
    server: Server,
    directory: tempfile::TempDir,
}

async fn serve(directory: &Path) -> Server {
    Server::start(options(directory)).await.unwrap()
}

fn options(directory: &Path) -> ServerOptions {
    ServerOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
        data_dir: directory.to_owned(),
        key_file: None,
        trust_domain: None,
        is_restored: false,
        certificate_lifetime: authority::LIFETIME_DEFAULT,
        leave_after: Duration::from_secs(60),
        quiet_streams: None,
        filters: crate::policies::filters::admission::PushTerms::default(),
        rollout_stages: Vec::new(),
    }
}

async fn plane() -> Plane {
    let directory = tempfile::tempdir().unwrap();
    Plane { server: serve(directory.path()).await, directory }
}

impl Plane {
    fn client(&self, credentials: Credentials) -> Client {
        let context = self.server.context();
        Client::new(&context.url, &context.ca_pem, credentials).unwrap()
    }

    fn admin(&self) -> Client {
        self.client(Credentials::Token(self.server.context().token.clone()))
    }

    async fn join_token(&self, service: &str) -> String {
        let request = TokenRequest::Join { service: service.to_owned(), lifetime_seconds: None };
        self.admin().post::<TokenResponse>("/v1/tokens", &request).await.unwrap().token
    }
}

fn csr(key: &KeyPair) -> String {
    CertificateParams::default().serialize_request(key).unwrap().pem().unwrap()
}

fn join_request(token: String, service: &str, key: &KeyPair) -> JoinRequest {
    let proxy = ProxyStatement {
        instance: Some("1".to_owned()),
        labels: [("version".to_owned(), "v1".to_owned())].into(),
        inbound: Some(InboundBody {
            listen: "127.0.0.1:8080".parse().unwrap(),
            advertised: None,
            application: "127.0.0.1:9000".parse().unwrap(),
            protocol: None,
            probes: None,
            check: None,
        }),
        outbounds: Vec::new(),
    };
    JoinRequest { token, service: service.to_owned(), csr_pem: csr(key), proxy }
}

/// Status and body of a refusal.
fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (u16, ErrorBody) {
    match result.unwrap_err() {
        ClientError::Refused { status, body } => (status.as_u16(), *body),
        other => unreachable!("{other:?}"),
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (u16, String) {
    let (status, body) = refusal(result);
    (status, body.code)
}

#[tokio::test]
async fn a_sidecar_joins_renews_and_leaves() {
    let plane = plane().await;
    let token = plane.join_token("shop/orders").await;
    let key = KeyPair::generate().unwrap();
    let request = join_request(token, "shop/orders", &key);
    let joined: IdentityResponse = plane.client(Credentials::None).post("/v1/join", &request).await.unwrap();
    assert_eq!(joined.proxy_id, "shop/orders/1");
    assert_eq!(joined.spiffe_id, "spiffe://chancery.local/ns/shop/sa/orders");
    assert_eq!(joined.lifetime_seconds, 24 * 3600);

    let list: ProxyList = plane.admin().get("/v1/proxies").await.unwrap();
    assert_eq!(list.proxies.len(), 1);
    let proxy = list.proxies.first().unwrap();
    assert_eq!((proxy.id.as_str(), proxy.connected, proxy.revision), ("shop/orders/1", false, None));

    let credentials =
        Credentials::Certificate { chain_pem: joined.certificate_pem, key_pem: key.serialize_pem() };
    let sidecar = plane.client(credentials);
    let mut renewal = RenewRequest { csr_pem: csr(&key), proxy: request.proxy };
    let other = RenewRequest { csr_pem: csr(&KeyPair::generate().unwrap()), proxy: renewal.proxy.clone() };
    let refused = code(sidecar.post::<IdentityResponse>("/v1/renew", &other).await);
    assert_eq!(refused, (400, "other-key".to_owned()), "a renewal keeps the key");
    renewal.proxy.instance = Some("another".to_owned());
    renewal.proxy.labels.clear();
    let renewed: IdentityResponse = sidecar.post("/v1/renew", &renewal).await.unwrap();
    assert_eq!(renewed.proxy_id, "shop/orders/1", "the instance comes from the certificate");
    let list: ProxyList = plane.admin().get("/v1/proxies").await.unwrap();
    assert!(list.proxies.first().unwrap().labels.is_empty());

    let mut leaving = LeaveRequest { proxy: renewal.proxy };
    leaving.proxy.inbound.as_mut().unwrap().listen = "127.0.0.1:8099".parse().unwrap();
    let _done: Done = sidecar.post("/v1/leave", &leaving).await.unwrap();
    let status: StatusResponse = plane.admin().get("/v1/status").await.unwrap();
    assert_eq!(status.proxies.len(), 1, "another one of its id left");
    leaving.proxy.inbound.as_mut().unwrap().listen = "127.0.0.1:8080".parse().unwrap();
    for _ in 0..2 {
        let _done: Done = sidecar.post("/v1/leave", &leaving).await.unwrap();
    }
    let status: StatusResponse = plane.admin().get("/v1/status").await.unwrap();
    assert_eq!((status.revision, status.proxies.len()), (0, 0));
    plane.server.stop().await;
}

#[tokio::test]
async fn a_connected_sidecar_keeps_its_place() {
    let plane = plane().await;
    let open = plane.client(Credentials::None);
    let key = KeyPair::generate().unwrap();
    let mut request = join_request(plane.join_token("shop/orders").await, "shop/orders", &key);
    let joined: IdentityResponse = open.post("/v1/join", &request).await.unwrap();
    let (url, root_pem) = (plane.server.context().url.clone(), plane.server.context().ca_pem.clone());
    let identity = Identity {
        url,
        root_pem,
        proxy_id: joined.proxy_id,
        key_pem: key.serialize_pem(),
        certificate_pem: joined.certificate_pem,
        bundle_pem: joined.bundle_pem,
        issued_at: 0,
        lifetime_seconds: joined.lifetime_seconds,
    };
    let _stream = connect(&plane, &identity).await;

    let _again: IdentityResponse = open.post("/v1/join", &request).await.unwrap();
    request.proxy.inbound.as_mut().unwrap().listen = "127.0.0.2:8080".parse().unwrap();
    let (status, body) = refusal(open.post::<IdentityResponse>("/v1/join", &request).await);
    assert_eq!((status, body.code.as_str()), (409, "proxy-connected"));
    let message =
        "proxy `shop/orders/1` is connected already, and listens at 127.0.0.1:8080, not at 127.0.0.2:8080";
    assert_eq!(body.message, message);
    assert!(body.help.unwrap().contains("--instance"));
    let list: ProxyList = plane.admin().get("/v1/proxies").await.unwrap();
    let listen = list.proxies.first().and_then(|proxy| proxy.inbound.as_ref()).unwrap().listen;
    assert_eq!(listen.to_string(), "127.0.0.1:8080", "the first stays where it is");
}

#[tokio::test]
async fn of_two_sidecars_of_one_id_that_join_together_one_is_let_in() {
    let plane = plane().await;
    let key = KeyPair::generate().unwrap();
    let first = join_request(plane.join_token("shop/orders").await, "shop/orders", &key);
    let mut second = join_request(plane.join_token("shop/orders").await, "shop/orders", &key);
    second.proxy.inbound.as_mut().unwrap().listen = "127.0.0.2:8080".parse().unwrap();
    let (one, other) = (plane.client(Credentials::None), plane.client(Credentials::None));
    let (first, second) = tokio::join!(
        one.post::<IdentityResponse>("/v1/join", &first),
        other.post::<IdentityResponse>("/v1/join", &second)
    );
    let (let_in, refused) = if first.is_ok() { (first, second) } else { (second, first) };
    assert_eq!(let_in.unwrap().proxy_id, "shop/orders/1");
    let (status, body) = refusal(refused);
    assert_eq!((status, body.code.as_str()), (409, "proxy-connected"));
    assert!(body.message.starts_with("proxy `shop/orders/1` has joined already"), "{}", body.message);
}

/// A stream of a sidecar, once the control plane counts it as connected.
async fn connect(plane: &Plane, identity: &Identity) -> Stream {
    let node = Node { id: identity.proxy_id.clone(), ..Node::default() };
    let type_url = ResourceType::Cluster.type_url().to_owned();
    let first = DeltaDiscoveryRequest { node: Some(node), type_url, ..DeltaDiscoveryRequest::default() };
    for _ in 0..100 {
        // Its configuration may not be built yet; until then there is no stream.
        if let Ok(stream) = open_stream(identity).await {
            let _closed = stream.requests.send(first.clone()).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            let status: StatusResponse = plane.admin().get("/v1/status").await.unwrap();
            if status.connected == 1 {
                return stream;
            }
        }
    }
    unreachable!("{identity:?} does not get a stream")
}

#[tokio::test]
async fn a_bad_join_is_refused_for_what_it_is() {
    let plane = plane().await;
    let foreign = self::plane().await;
    let open = plane.client(Credentials::None);
    let key = KeyPair::generate().unwrap();
    let token = plane.join_token("shop/orders").await;
    let join = async |token: &str, service: &str| {
        let request = join_request(token.to_owned(), service, &key);
        code(open.post::<IdentityResponse>("/v1/join", &request).await)
    };
    assert_eq!(join(&token, "shop/cart").await, (403, "token-other-service".to_owned()));
    assert_eq!(join("nonsense", "shop/orders").await, (401, "token-malformed".to_owned()));
    let theirs = foreign.join_token("shop/orders").await;
    assert_eq!(join(&theirs, "shop/orders").await, (403, "token-foreign".to_owned()));
    let short = TokenRequest::Join { service: "shop/orders".to_owned(), lifetime_seconds: Some(1) };
    let short: TokenResponse = plane.admin().post("/v1/tokens", &short).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(join(&short.token, "shop/orders").await, (401, "token-expired".to_owned()));
    let id = crate::mesh::identity::JoinToken::parse(&token).unwrap().id;
    let _done: Evicted = plane.admin().delete(&format!("/v1/tokens/{id}")).await.unwrap();
    assert_eq!(join(&token, "shop/orders").await, (401, "token-revoked".to_owned()));

    let token = plane.join_token("shop/orders").await;
    let good = || join_request(token.clone(), "shop/orders", &key);
    let bad_csr = JoinRequest { csr_pem: "nonsense".to_owned(), ..good() };
    assert_eq!(code(open.post::<IdentityResponse>("/v1/join", &bad_csr).await), (400, "bad-csr".to_owned()));
    let mut bad_instance = good();
    bad_instance.proxy.instance = Some("../x".to_owned());
    assert_eq!(code(open.post::<IdentityResponse>("/v1/join", &bad_instance).await).0, 400);
    let mut own_address = good();
    own_address.proxy.inbound.as_mut().unwrap().application = "127.0.0.1:8080".parse().unwrap();
    assert_eq!(code(open.post::<IdentityResponse>("/v1/join", &own_address).await).0, 400);
    let list: ProxyList = plane.admin().get("/v1/proxies").await.unwrap();
    assert!(list.proxies.is_empty(), "nobody joined");
}

#[tokio::test]
async fn an_evicted_sidecar_loses_stream_place_and_renewal_and_may_join_anew() {
    let plane = plane().await;
    let open = plane.client(Credentials::None);
    let key = KeyPair::generate().unwrap();
    let token = plane.join_token("shop/orders").await;
    let request = join_request(token.clone(), "shop/orders", &key);
    let joined: IdentityResponse = open.post("/v1/join", &request).await.unwrap();
    let identity = |joined: &IdentityResponse| Identity {
        url: plane.server.context().url.clone(),
        root_pem: plane.server.context().ca_pem.clone(),
        proxy_id: joined.proxy_id.clone(),
        key_pem: key.serialize_pem(),
        certificate_pem: joined.certificate_pem.clone(),
        bundle_pem: joined.bundle_pem.clone(),
        issued_at: 0,
        lifetime_seconds: joined.lifetime_seconds,
    };
    let mut stream = connect(&plane, &identity(&joined)).await;
    let other = join_request(plane.join_token("shop/cart").await, "shop/cart", &key);
    let _other: IdentityResponse = open.post("/v1/join", &other).await.unwrap();

    let gone: Evicted = plane.admin().delete("/v1/proxies/shop/orders/1").await.unwrap();
    assert_eq!(gone.evicted, ["shop/orders/1"]);
    let ended = async { while let Ok(Some(_)) = stream.responses.message().await {} };
    tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap();
    let list: ProxyList = plane.admin().get("/v1/proxies").await.unwrap();
    assert_eq!(list.proxies.iter().map(|proxy| proxy.id.as_str()).collect::<Vec<_>>(), ["shop/cart/1"]);
    let certificate = |joined: &IdentityResponse| Credentials::Certificate {
        chain_pem: joined.certificate_pem.clone(),
        key_pem: key.serialize_pem(),
    };
    let renewal = RenewRequest { csr_pem: csr(&key), proxy: request.proxy.clone() };
    let refused = plane.client(certificate(&joined)).post::<IdentityResponse>("/v1/renew", &renewal).await;
    assert_eq!(code(refused), (403, "evicted".to_owned()));
    assert!(open_stream(&identity(&joined)).await.is_err(), "no stream for it");

    let again: IdentityResponse = open.post("/v1/join", &request).await.unwrap();
    let renewed = plane.client(certificate(&again)).post::<IdentityResponse>("/v1/renew", &renewal).await;
    assert!(renewed.is_ok(), "who has a good token is let in again: {renewed:?}");

    let id = crate::mesh::identity::JoinToken::parse(&token).unwrap().id;
    let gone: Evicted = plane.admin().delete(&format!("/v1/tokens/{id}?members=true")).await.unwrap();
    assert_eq!(gone.evicted, ["shop/orders/1"], "and nobody who joined with another token");
    let refused = plane.client(certificate(&again)).post::<IdentityResponse>("/v1/renew", &renewal).await;
    assert_eq!(code(refused), (403, "evicted".to_owned()));
    assert_eq!(code(open.post::<IdentityResponse>("/v1/join", &request).await).1, "token-revoked");
}

#[tokio::test]
async fn nobody_joins_at_an_address_where_nobody_can_reach_it() {
    let plane = plane().await;
    let open = plane.client(Credentials::None);
    let key = KeyPair::generate().unwrap();
    let mut request = join_request(plane.join_token("shop/orders").await, "shop/orders", &key);
    for address in
        ["0.0.0.0:80", "[::]:80", "224.0.0.1:80", "255.255.255.255:1", "[fe80::1%5]:80", "169.254.169.254:80"]
    {
        request.proxy.inbound.as_mut().unwrap().listen = address.parse().unwrap();
        assert_eq!(code(open.post::<IdentityResponse>("/v1/join", &request).await).0, 400, "{address}");
    }
}

#[tokio::test]
async fn roles_are_kept_apart() {
    let plane = plane().await;
    let request = TokenRequest::Role { role: Role::Reader, lifetime_seconds: None };
    let reader: TokenResponse = plane.admin().post("/v1/tokens", &request).await.unwrap();
    let reader = plane.client(Credentials::Token(reader.token));
    let _list: ProxyList = reader.get("/v1/proxies").await.unwrap();
    assert_eq!(code(reader.get::<TokenList>("/v1/tokens").await), (403, "role".to_owned()));
    assert_eq!(code(reader.post::<TokenResponse>("/v1/tokens", &request).await), (403, "role".to_owned()));

    let nobody = plane.client(Credentials::None);
    assert_eq!(code(nobody.get::<ProxyList>("/v1/proxies").await), (401, "no-token".to_owned()));
    assert_eq!(code(nobody.post::<Done>("/v1/leave", &Done {}).await), (401, "no-certificate".to_owned()));
    let wrong = plane.client(Credentials::Token("chancery-role-1.00.xx".to_owned()));
    assert_eq!(code(wrong.get::<ProxyList>("/v1/proxies").await), (401, "token-unknown".to_owned()));
    // A sidecar's certificate is no token.
    let key = KeyPair::generate().unwrap();
    let request = join_request(plane.join_token("shop/orders").await, "shop/orders", &key);
    let joined: IdentityResponse = nobody.post("/v1/join", &request).await.unwrap();
    let sidecar = plane
        .client(Credentials::Certificate { chain_pem: joined.certificate_pem, key_pem: key.serialize_pem() });
    assert_eq!(code(sidecar.get::<ProxyList>("/v1/proxies").await), (401, "no-token".to_owned()));
}

#[tokio::test]
async fn a_certificate_of_another_mesh_does_not_get_in() {
    let plane = plane().await;
    let foreign = self::plane().await;
    let key = KeyPair::generate().unwrap();
    let request = join_request(foreign.join_token("shop/orders").await, "shop/orders", &key);
    let joined: IdentityResponse =
        foreign.client(Credentials::None).post("/v1/join", &request).await.unwrap();
    let stranger = plane
        .client(Credentials::Certificate { chain_pem: joined.certificate_pem, key_pem: key.serialize_pem() });
    let refused = stranger.post::<Done>("/v1/leave", &Done {}).await;
    assert!(matches!(refused, Err(ClientError::Unreachable { .. })), "{refused:?}");
    // Nor does a client trust a control plane of another mesh.
    let mixed = Client::new(&plane.server.context().url, &foreign.server.context().ca_pem, Credentials::None);
    let mixed = mixed.unwrap().get_text("/healthz").await;
    assert!(matches!(mixed, Err(ClientError::Untrusted { .. })), "{mixed:?}");
}

#[tokio::test]
async fn a_restart_keeps_everything_and_reissues_nothing() {
    let plane = plane().await;
    let key = KeyPair::generate().unwrap();
    let request = join_request(plane.join_token("shop/orders").await, "shop/orders", &key);
    let joined: IdentityResponse = plane.client(Credentials::None).post("/v1/join", &request).await.unwrap();
    let before = plane.server.context().clone();
    let Plane { server, directory } = plane;
    server.stop().await;

    let plane = Plane { server: serve(directory.path()).await, directory };
    let after = plane.server.context();
    assert_eq!((&after.ca_pem, &after.token), (&before.ca_pem, &before.token));
    let list: ProxyList = plane.admin().get("/v1/proxies").await.unwrap();
    assert_eq!(list.proxies.len(), 1);
    let sidecar = plane
        .client(Credentials::Certificate { chain_pem: joined.certificate_pem, key_pem: key.serialize_pem() });
    let renewal = RenewRequest { csr_pem: csr(&key), proxy: request.proxy.clone() };
    let renewed: IdentityResponse = sidecar.post("/v1/renew", &renewal).await.unwrap();
    assert_eq!(renewed.proxy_id, "shop/orders/1");
    let again: IdentityResponse = plane.client(Credentials::None).post("/v1/join", &request).await.unwrap();
    assert_eq!(again.proxy_id, "shop/orders/1", "the token is still good");
}

#[tokio::test]
async fn every_write_is_in_the_audit_log_with_its_author() {
    let plane = plane().await;
    let key = KeyPair::generate().unwrap();
    let request = join_request(plane.join_token("shop/orders").await, "shop/orders", &key);
    let _joined: IdentityResponse = plane.client(Credentials::None).post("/v1/join", &request).await.unwrap();
    let newest = async |log: &str| {
        let list: AuditList = plane.admin().get(&format!("/v1/audit?count=1&log={log}")).await.unwrap();
        let [entry] = <[_; 1]>::try_from(list.entries).unwrap();
        entry
    };
    let (created, registered) = (newest("people").await, newest("machines").await);
    assert!(created.action.starts_with("create item `token/join/"), "{created:?}");
    assert!(created.actor.ends_with("(admin)"), "{created:?}");
    assert_eq!(registered.action, "register proxy `shop/orders/1`");
    assert!(registered.actor.starts_with("join token "), "{registered:?}");
    let [change] = registered.changes.as_slice() else { unreachable!("{registered:?}") };
    assert!(change.before.is_none() && change.after.as_ref().is_some_and(|digest| digest.len() == 64));
}

#[tokio::test]
async fn any_bytes_as_a_request_are_answered_with_place_and_remedy() {
    let plane = plane().await;
    let context = plane.server.context();
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(crate::mesh::identity::tls::client_config(&context.ca_pem, None).unwrap())
        .build()
        .unwrap();
    let post = async |path: &str, content_type: &str, body: Vec<u8>| {
        let request = http.post(format!("{}{path}", context.url)).bearer_auth(&context.token);
        let response = request.header("content-type", content_type).body(body).send().await.unwrap();
        let status = response.status();
        let body: ErrorBody = response.json().await.unwrap();
        assert!(body.help.is_some() && !body.message.is_empty(), "{path}: {body:?}");
        (status, body.code)
    };
    let json = "application/json";
    for body in [&b""[..], b"{", b"[]", b"\xff\xfe", b"{\"kind\":\"root\"}", b"{\"kind\":\"join\"}"] {
        assert_eq!(post("/v1/tokens", json, body.to_vec()).await.0, StatusCode::BAD_REQUEST, "{body:?}");
    }
    assert_eq!(post("/v1/tokens", "text/plain", b"{}".to_vec()).await.1, "not-json");
    let misspelt = br#"{"kind":"join","service":"shop/orders","lifetime":5}"#;
    assert_eq!(post("/v1/tokens", json, misspelt.to_vec()).await.1, "bad-json");
    let large = vec![b' '; crate::server::api::BODY_BYTES_MAX + 1];
    assert_eq!(
        post("/v1/tokens", json, large).await,
        (StatusCode::PAYLOAD_TOO_LARGE, "too-large".to_owned())
    );
    assert_eq!(post("/v1/nothing", json, Vec::new()).await.1, "unknown-path");
    assert_eq!(post("/v1/proxies", json, Vec::new()).await.1, "wrong-method");
}

#[tokio::test]
async fn the_api_describes_itself_and_its_health() {
    let plane = plane().await;
    let open = plane.client(Credentials::None);
    assert_eq!(open.get_text("/healthz").await.unwrap(), "ok\n");
    let description: serde_json::Value = open.get("/v1/openapi.json").await.unwrap();
    assert_eq!(description.pointer("/openapi").unwrap(), "3.1.0");
    assert_eq!(description.pointer("/paths/~1v1~1tokens/post/security/0/token/0").unwrap(), "admin");
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let plane = plane().await;
    let second = Server::start(options(plane.directory.path())).await.err().unwrap();
    assert!(second.to_string().contains("in use by another control plane"), "{second}");
    let taken = ServerOptions { listen: plane.server.address(), ..options(plane.directory.path()) };
    let taken = Server::start(taken).await.err().unwrap();
    assert!(taken.to_string().contains("cannot listen at"), "{taken}");
    let Plane { server, directory } = plane;
    server.stop().await;
    std::fs::remove_file(directory.path().join("secret.key")).unwrap();
    let lost = Server::start(options(directory.path())).await.err().unwrap();
    assert!(lost.to_string().contains("restore it from a backup"), "{lost}");
    assert!(!directory.path().join("secret.key").exists(), "no new key hides the loss");

    let store = directory.path().join("state.redb");
    for is_there in [true, false] {
        if is_there {
            std::fs::write(&store, "").unwrap();
        } else {
            std::fs::remove_file(&store).unwrap();
        }
        let lost = Server::start(options(directory.path())).await.err().unwrap().to_string();
        assert!(
            lost.contains("state.redb") && lost.to_lowercase().contains("restore it from a backup"),
            "{lost}"
        );
        assert_eq!(store.exists(), is_there, "no new mesh hides the loss");
    }
}

const ORDERS: &str =
    "auth orders on service shop/orders {\n  read: allow GET /api/** from service shop/web\n}\n";

fn apply(text: &str, dry_run: bool) -> ApplyRequest {
    let files = vec![FileBody { name: "orders.writ".to_owned(), text: text.to_owned() }];
    ApplyRequest { dry_run, ..ApplyRequest::of(files) }
}

#[tokio::test]
async fn policies_are_applied_read_and_deleted() {
    let plane = plane().await;
    let admin = plane.admin();
    let dry: ApplyResponse = admin.post("/v1/policies", &apply(ORDERS, true)).await.unwrap();
    assert_eq!((dry.revision, dry.dry_run), (0, true));
    assert!(admin.get::<PolicyList>("/v1/policies").await.unwrap().policies.is_empty());

    let applied: ApplyResponse = admin.post("/v1/policies", &apply(ORDERS, false)).await.unwrap();
    assert_eq!(applied.revision, 1);
    assert_eq!(applied.policies.first().unwrap().outcome, ApplyOutcome::Created);
    let again: ApplyResponse = admin.post("/v1/policies", &apply(ORDERS, false)).await.unwrap();
    assert_eq!(again.revision, 1, "nothing changed");
    assert_eq!(again.policies.first().unwrap().outcome, ApplyOutcome::Unchanged);

    let policy: PolicyBody = admin.get("/v1/policies/orders").await.unwrap();
    assert_eq!((policy.mode.as_str(), policy.file.as_str()), ("enforce", "orders.writ"));
    assert_eq!(policy.targets, ["service shop/orders"]);
    assert_eq!(policy.document.unwrap().text, ORDERS);

    let deleted: DeleteResponse = admin.delete("/v1/policies/orders").await.unwrap();
    assert_eq!(deleted.revision, 2);
    assert_eq!(
        code(admin.get::<PolicyBody>("/v1/policies/orders").await),
        (404, "unknown-policy".to_owned())
    );
    let gone = admin.delete::<DeleteResponse>("/v1/policies/orders").await;
    assert_eq!(code(gone), (404, "unknown-policy".to_owned()));
}

#[tokio::test]
async fn a_wrong_policy_is_refused_with_findings_and_nothing_changes() {
    let plane = plane().await;
    let admin = plane.admin();
    let _applied: ApplyResponse = admin.post("/v1/policies", &apply(ORDERS, false)).await.unwrap();
    let wrong = apply(&ORDERS.replace("allow", "alow"), false);
    let (status, body) = refusal(admin.post::<ApplyResponse>("/v1/policies", &wrong).await);
    assert_eq!((status, body.code.as_str()), (422, "bad-policy"));
    let finding = body.diagnostics.first().unwrap();
    assert_eq!((finding.file.as_str(), finding.line), ("orders.writ", 2));
    assert!(body.message.contains("nothing was changed"), "{}", body.message);
    let (status, body) = refusal(admin.post::<ApplyResponse>("/v1/policies", &apply("# empty", false)).await);
    assert_eq!((status, body.code.as_str()), (400, "bad-request"));
    let list: PolicyList = admin.get("/v1/policies").await.unwrap();
    assert_eq!((list.revision, list.policies.len()), (1, 1));
}

#[tokio::test]
async fn of_many_who_apply_at_once_each_gets_a_revision_of_its_own() {
    let plane = plane().await;
    let mut applying = tokio::task::JoinSet::new();
    for at in 0..40 {
        let admin = plane.admin();
        let text = ORDERS.replace("auth orders", &format!("auth orders-{at}"));
        applying.spawn(async move {
            let request = apply(&text, false);
            admin.post::<ApplyResponse>("/v1/policies", &request).await.unwrap().revision
        });
    }
    let mut revisions = applying.join_all().await;
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=40).collect::<Vec<u64>>());
    assert_eq!(plane.admin().get::<PolicyList>("/v1/policies").await.unwrap().policies.len(), 40);
}
