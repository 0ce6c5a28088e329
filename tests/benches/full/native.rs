//! Two Envoys that somebody configured by hand: with nothing but mutual TLS between them, and with natively what the
//! policies of the benchmark say.

use anyhow::Result;
use chancery_tests::envoy::Envoy;
use chancery_tests::mesh::application::Application;
use chancery_tests::mesh::ports;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, IsCa, Issuer, KeyPair, SanType};
use serde_json::{Value, json};
use std::net::SocketAddr;

const TYPES: &str = "type.googleapis.com/envoy.extensions";
const CALLER: &str = "spiffe://chancery.local/ns/shop/sa/web";
const TARGET: &str = "spiffe://chancery.local/ns/shop/sa/checkout";

/// A caller's and a target's Envoy, and the application behind them.
pub(super) struct Pair {
    pub(super) caller: Envoy,
    pub(super) target: Envoy,
    _application: Application,
}

/// Keys and certificates of both sides.
struct Keys {
    authority: String,
    /// Certificate and key.
    caller: [String; 2],
    target: [String; 2],
}

/// The pair with all of it, and the pair with nothing; copies of requests to the first go to the second.
pub(super) async fn pairs() -> Result<(Pair, Pair)> {
    let keys = Keys::new()?;
    let (plain_port, native_port) = (ports::free()?, ports::free()?);
    let plain = start(&keys, plain_port, plain_port, false).await?;
    Ok((start(&keys, native_port, plain_port, true).await?, plain))
}

async fn start(keys: &Keys, inbound: SocketAddr, shadow: SocketAddr, with_all: bool) -> Result<Pair> {
    let application = Application::start("native").await?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("lines").display().to_string();
    let target = json!({
        "listeners": [listener("in", inbound, target_manager(with_all, &log), Some(keys.downstream()))],
        "clusters": [cluster("application", application.address, None)],
    });
    let target = Envoy::start(folder, target).await?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("lines").display().to_string();
    let upstream = |name: &str, to: SocketAddr| cluster(name, to, Some(keys.upstream()));
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let caller = json!({
        "listeners": [listener("out", nowhere, caller_manager(with_all, &log), None)],
        "clusters": [upstream("v1", inbound), upstream("v2", inbound), upstream("shadow", shadow)],
    });
    Ok(Pair { caller: Envoy::start(folder, caller).await?, target, _application: application })
}

impl Keys {
    fn new() -> Result<Self> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let root = authority.self_signed(&key)?.pem();
        let issuer = Issuer::new(authority, key);
        let leaf = |identity: &str| -> Result<[String; 2]> {
            let mut leaf = CertificateParams::default();
            // Else it would have the name of the authority, and seem to be signed by itself.
            leaf.distinguished_name = DistinguishedName::new();
            leaf.subject_alt_names = vec![SanType::URI(identity.try_into()?)];
            let key = KeyPair::generate()?;
            Ok([leaf.signed_by(&key, &issuer)?.pem(), key.serialize_pem()])
        };
        Ok(Self { caller: leaf(CALLER)?, target: leaf(TARGET)?, authority: root })
    }

    fn common(&self, [certificate, key]: &[String; 2]) -> Value {
        json!({
            "alpn_protocols": ["h2"],
            "tls_certificates": [{
                "certificate_chain": {"inline_string": certificate},
                "private_key": {"inline_string": key},
            }],
            "validation_context": {"trusted_ca": {"inline_string": self.authority}},
        })
    }

    fn downstream(&self) -> Value {
        let config = typed(
            "transport_sockets.tls.v3.DownstreamTlsContext",
            json!({
                "common_tls_context": self.common(&self.target),
                "require_client_certificate": true,
            }),
        );
        json!({"name": "envoy.transport_sockets.tls", "typed_config": config})
    }

    fn upstream(&self) -> Value {
        let config = typed(
            "transport_sockets.tls.v3.UpstreamTlsContext",
            json!({
                "common_tls_context": self.common(&self.caller),
            }),
        );
        json!({"name": "envoy.transport_sockets.tls", "typed_config": config})
    }
}

/// A message with its type.
fn typed(name: &str, mut message: Value) -> Value {
    if let Some(message) = message.as_object_mut() {
        message.insert("@type".to_owned(), format!("{TYPES}.{name}").into());
    }
    message
}

fn listener(name: &str, at: SocketAddr, manager: Value, tls: Option<Value>) -> Value {
    let mut chain = json!({"filters": [{
        "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
    }]});
    if let (Some(chain), Some(tls)) = (chain.as_object_mut(), tls) {
        chain.insert("transport_socket".to_owned(), tls);
    }
    json!({"name": name, "address": address(at), "filter_chains": [chain]})
}

fn address(at: SocketAddr) -> Value {
    json!({"socket_address": {"address": at.ip().to_string(), "port_value": at.port()}})
}

fn cluster(name: &str, to: SocketAddr, tls: Option<Value>) -> Value {
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{
            "endpoint": {"address": address(to)},
        }]}]},
        "circuit_breakers": {"thresholds": [{
            "max_connections": 1_000, "max_pending_requests": 100,
            "retry_budget": {"budget_percent": {"value": 20.0}, "min_retry_concurrency": 3},
        }]},
    });
    if let (Some(cluster), Some(tls)) = (cluster.as_object_mut(), tls) {
        let http2 = typed(
            "upstreams.http.v3.HttpProtocolOptions",
            json!({
                "explicit_http_config": {"http2_protocol_options": {}},
            }),
        );
        cluster.insert("transport_socket".to_owned(), tls);
        cluster.insert(
            "typed_extension_protocol_options".to_owned(),
            json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2}),
        );
    }
    cluster
}

/// What both sides share, as sidecars have it.
fn manager(name: &str, mut filters: Vec<Value>, routes: Value, logs: Vec<Value>) -> Value {
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": typed("filters.http.router.v3.Router", json!({})),
    }));
    typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": name,
            "normalize_path": true,
            "merge_slashes": true,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "use_remote_address": true,
            "skip_xff_append": true,
            "server_header_transformation": "PASS_THROUGH",
            "http_filters": filters,
            "route_config": routes,
            "access_log": logs,
        }),
    )
}

fn hosts(routes: Vec<Value>) -> Value {
    json!({"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]})
}

fn caller_manager(with_all: bool, log: &str) -> Value {
    if !with_all {
        let all = json!({"match": {"prefix": "/"}, "route": {"cluster": "v1", "timeout": "0s"}});
        return manager("out", Vec::new(), hosts(vec![all]), Vec::new());
    }
    let is = |name: &str, value: &str| json!({"name": name, "string_match": {"exact": value}});
    let percent = |numerator: u32| json!({"numerator": numerator, "denominator": "HUNDRED"});
    let fault = typed(
        "filters.http.fault.v3.HTTPFault",
        json!({
            "delay": {"fixed_delay": "0.3s", "percentage": percent(1)},
            "headers": [is("x-chaos", "on"), {"name": ":path", "string_match": {"prefix": "/api/"}}],
        }),
    );
    let retry = json!({
        "retry_on": "connect-failure,refused-stream,reset,5xx", "num_retries": 2, "per_try_timeout": "0.5s",
        "retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"},
    });
    let mirror = json!([{"cluster": "shadow", "runtime_fraction": {"default_value": percent(5)}}]);
    let split = json!({"clusters": [{"name": "v1", "weight": 95}, {"name": "v2", "weight": 5}]});
    let route = |headers: Vec<Value>, prefix: &str, action: Value| json!({"match": {"prefix": prefix, "headers": headers}, "route": action});
    let get = || is(":method", "GET");
    let routes = vec![
        json!({
            "match": {"safe_regex": {"regex": "/cart/[^/]+"}, "headers": [get()]},
            "redirect": {
                "https_redirect": true, "host_redirect": "shop.example", "response_code": "PERMANENT_REDIRECT",
                "regex_rewrite": {"pattern": {"regex": "^/cart/([^/]+)$"}, "substitution": "/basket/\\1"},
            },
        }),
        route(
            vec![is("x-canary", "1"), get()],
            "/",
            json!({"cluster": "v2", "timeout": "2s", "retry_policy": retry, "request_mirror_policies": mirror}),
        ),
        route(vec![is("x-canary", "1")], "/", json!({"cluster": "v2", "timeout": "2s"})),
        route(vec![is(":method", "POST")], "/api/pay", json!({"weighted_clusters": split, "timeout": "15s"})),
        route(
            vec![get()],
            "/",
            json!({"weighted_clusters": split, "timeout": "2s", "retry_policy": retry,
                "request_mirror_policies": mirror}),
        ),
        route(Vec::new(), "/", json!({"weighted_clusters": split, "timeout": "2s"})),
    ];
    let filters = vec![json!({"name": "envoy.filters.http.fault", "typed_config": fault})];
    manager("out", filters, hosts(routes), vec![lines(log, None)])
}

fn target_manager(with_all: bool, log: &str) -> Value {
    let to_application =
        |pattern: Value| json!({"match": pattern, "route": {"cluster": "application", "timeout": "0s"}});
    if !with_all {
        return manager("in", Vec::new(), hosts(vec![to_application(json!({"prefix": "/"}))]), Vec::new());
    }
    let bucket = json!({"max_tokens": 1_000_000, "tokens_per_fill": 1_000_000, "fill_interval": "1s"});
    let all = json!({"default_value": {"numerator": 100, "denominator": "HUNDRED"}});
    let limit = |of: Value| {
        let mut limit = json!({"stat_prefix": "limit", "token_bucket": bucket});
        if let (Some(limit), Value::Object(of)) = (limit.as_object_mut(), of) {
            limit.extend(of);
        }
        typed("filters.http.local_ratelimit.v3.LocalRateLimit", limit)
    };
    let user = json!({"request_headers": {"header_name": "x-user", "descriptor_key": "user"}});
    let of_users = limit(json!({
        "filter_enabled": all,
        "filter_enforced": all,
        "rate_limits": [{"actions": [user]}],
        "descriptors": [{"entries": [{"key": "user"}], "token_bucket": bucket}],
        "max_dynamic_descriptors": 1_000,
    }));
    let mut pay = to_application(json!({
        "prefix": "/api/pay", "headers": [{"name": ":method", "string_match": {"exact": "POST"}}],
    }));
    if let Some(pay) = pay.as_object_mut() {
        pay.insert(
            "typed_per_filter_config".to_owned(),
            json!({"envoy.filters.http.local_ratelimit": of_users}),
        );
    }
    let mut routes = hosts(vec![pay, to_application(json!({"prefix": "/"}))]);
    if let Some(routes) = routes.as_object_mut() {
        routes.insert("response_headers_to_remove".to_owned(), json!(["server"]));
        let header = json!({"key": "x-forwarded-tenant", "value": "%REQ(x-tenant)%"});
        let add = json!([{"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]);
        routes.insert("request_headers_to_add".to_owned(), add);
    }
    let mut filters = rbac();
    filters.push(json!({"name": "envoy.filters.http.local_ratelimit", "typed_config": limit(json!({}))}));
    manager("in", filters, routes, vec![lines(log, Some(sampled()))])
}

/// What the `auth` policies say, denials first; that there is a certificate, TLS asks for.
fn rbac() -> Vec<Value> {
    let path = |exact: &str| json!({"url_path": {"path": {"exact": exact}}});
    let any = || json!([{"any": true}]);
    let named = |pattern: Value| json!([{"authenticated": {"principal_name": pattern}}]);
    let denied = json!({"action": "DENY", "policies": {"no-legacy": {
        "permissions": [{"not_rule": {"url_path": {"path": {"prefix": "/public/"}}}}],
        "principals": named(json!({"prefix": "spiffe://chancery.local/ns/legacy/"})),
    }}});
    let get = json!({"header": {"name": ":method", "string_match": {"exact": "GET"}}});
    let health =
        json!({"and_rules": {"rules": [get, {"or_rules": {"rules": [path("/healthz"), path("/readyz")]}}]}});
    let allowed = json!({"action": "ALLOW", "policies": {
        "exempt": {"permissions": [health], "principals": any()},
        "web": {"permissions": any(), "principals": named(json!({"exact": CALLER}))},
    }});
    [denied, allowed]
        .map(|rules| {
            let config = typed("filters.http.rbac.v3.RBAC", json!({"rules": rules}));
            json!({"name": "envoy.filters.http.rbac", "typed_config": config})
        })
        .into()
}

/// Lines of JSON with what ours have.
fn lines(path: &str, filter: Option<Value>) -> Value {
    let config = typed(
        "access_loggers.file.v3.FileAccessLog",
        json!({
            "path": path,
            "log_format": {"json_format": {
                "time": "%START_TIME%", "code": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%",
                "duration": "%DURATION%", "bytes_received": "%BYTES_RECEIVED%", "bytes_sent": "%BYTES_SENT%",
                "upstream": "%UPSTREAM_HOST%", "method": "%REQ(:METHOD)%", "path": "%PATH(NQ):4096%",
                "principal": "%DOWNSTREAM_PEER_URI_SAN%", "request_id": "%REQ(X-REQUEST-ID)%",
                "details": "%RESPONSE_CODE_DETAILS%",
            }},
        }),
    );
    let mut log = json!({"name": "envoy.access_loggers.file", "typed_config": config});
    if let (Some(log), Some(filter)) = (log.as_object_mut(), filter) {
        log.insert("filter".to_owned(), filter);
    }
    log
}

/// What was denied, and one of a thousand others.
fn sampled() -> Value {
    let denied = json!({"status_code_filter": {"comparison": {
        "op": "EQ", "value": {"default_value": 403, "runtime_key": "denied"},
    }}});
    let some = json!({"runtime_filter": {
        "runtime_key": "sampled", "percent_sampled": {"numerator": 10, "denominator": "TEN_THOUSAND"},
    }});
    json!({"or_filter": {"filters": [denied, some]}})
}
