//! The messages that this module's neighbours write, as tables: field numbers, names, kinds.
//!
//! Only fields that are set somewhere are named. A test holds that against all that is written.

/// A message type.
#[derive(Debug)]
pub(super) struct Message {
    /// Its full name, by which it is found in an `Any`; empty if it never stands in one.
    pub(super) name: &'static str,
    pub(super) fields: &'static [(u32, &'static str, Kind)],
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Bool,
    Number,
    Text,
    /// Shown as its size and digest.
    Bytes,
    /// Not shown.
    Hidden,
    /// Names of the values from 0.
    Enum(&'static [&'static str]),
    Message(&'static Message),
    Any,
    /// A map from text to `Any`.
    AnyMap,
    /// Seconds and nanoseconds.
    Duration,
    /// A number or a bool in a message of its own, so that 0 and false can be told from absent.
    Boxed(&'static Kind),
    /// `google.protobuf.Struct`.
    Struct,
    /// Any number of these.
    Many(&'static Kind),
}

use Kind::{Any, AnyMap, Bool, Boxed, Bytes, Duration, Enum, Hidden, Many, Number, Struct, Text};

const fn one(message: &'static Message) -> Kind {
    Kind::Message(message)
}

const BOXED_BOOL: Kind = Boxed(&Bool);
const BOXED_NUMBER: Kind = Boxed(&Number);
const TEXTS: Kind = Many(&Text);

const fn part(fields: &'static [(u32, &'static str, Kind)]) -> Message {
    Message { name: "", fields }
}

/// All messages that stand alone or in an `Any`.
pub(super) static MESSAGES: [&Message; 18] = [
    &LISTENER,
    &CLUSTER,
    &ENDPOINTS,
    &ROUTES,
    &EXTENSION,
    &SECRET,
    &CONNECTION_MANAGER,
    &ROUTER,
    &WASM,
    &RBAC,
    &NETWORK_RBAC,
    &RBAC_VERDICT,
    &URI_SAN_INPUT,
    &DOWNSTREAM_TLS,
    &UPSTREAM_TLS,
    &HTTP_OPTIONS,
    &STDOUT_LOG,
    &PREVIOUS_HOSTS,
];

static LISTENER: Message = Message {
    name: "envoy.config.listener.v3.Listener",
    fields: &[
        (1, "name", Text),
        (2, "address", one(&ADDRESS)),
        (3, "filter_chains", Many(&one(&FILTER_CHAIN))),
        (16, "traffic_direction", Enum(&["UNSPECIFIED", "INBOUND", "OUTBOUND"])),
        (29, "enable_reuse_port", BOXED_BOOL),
    ],
};
static FILTER_CHAIN: Message =
    part(&[(3, "filters", Many(&one(&EXTENSION))), (6, "transport_socket", one(&TRANSPORT_SOCKET))]);
static ADDRESS: Message = part(&[(1, "socket_address", one(&SOCKET_ADDRESS))]);
static SOCKET_ADDRESS: Message = part(&[(2, "address", Text), (3, "port_value", Number)]);
static TRANSPORT_SOCKET: Message = part(&[(1, "name", Text), (3, "typed_config", Any)]);

static CONNECTION_MANAGER: Message = Message {
    name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    fields: &[
        (2, "stat_prefix", Text),
        (3, "rds", one(&RDS)),
        (5, "http_filters", Many(&one(&HTTP_FILTER))),
        (9, "http2_protocol_options", one(&HTTP2)),
        (13, "access_log", Many(&one(&ACCESS_LOG))),
        (14, "use_remote_address", BOXED_BOOL),
        (
            16,
            "forward_client_cert_details",
            Enum(&["SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET"]),
        ),
        (17, "set_current_client_cert_details", one(&CLIENT_CERT_DETAILS)),
        (21, "skip_xff_append", Bool),
        (30, "normalize_path", BOXED_BOOL),
        (33, "merge_slashes", Bool),
        (34, "server_header_transformation", Enum(&["OVERWRITE", "APPEND_IF_ABSENT", "PASS_THROUGH"])),
        (35, "common_http_protocol_options", one(&COMMON_HTTP)),
        (41, "request_headers_timeout", Duration),
        (
            45,
            "path_with_escaped_slashes_action",
            Enum(&["IMPLEMENTATION_SPECIFIC_DEFAULT", "KEEP_UNCHANGED", "REJECT_REQUEST"]),
        ),
    ],
};
static RDS: Message = part(&[(1, "config_source", one(&CONFIG_SOURCE)), (2, "route_config_name", Text)]);
static HTTP_FILTER: Message =
    part(&[(1, "name", Text), (4, "typed_config", Any), (5, "config_discovery", one(&CONFIG_DISCOVERY))]);
static CONFIG_DISCOVERY: Message =
    part(&[(1, "config_source", one(&CONFIG_SOURCE)), (2, "default_config", Any), (4, "type_urls", TEXTS)]);
static CONFIG_SOURCE: Message = part(&[
    (3, "ads", one(&NOTHING)),
    (4, "initial_fetch_timeout", Duration),
    (6, "resource_api_version", Enum(&["AUTO", "V2", "V3"])),
]);
static CLIENT_CERT_DETAILS: Message = part(&[(5, "uri", Bool)]);
static ACCESS_LOG: Message = part(&[(1, "name", Text), (4, "typed_config", Any)]);
static NOTHING: Message = part(&[]);

static STDOUT_LOG: Message = Message {
    name: "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
    fields: &[(1, "log_format", one(&LOG_FORMAT))],
};
static LOG_FORMAT: Message = part(&[(2, "json_format", Struct), (3, "omit_empty_values", Bool)]);
static ROUTER: Message = Message { name: "envoy.extensions.filters.http.router.v3.Router", fields: &[] };

static WASM: Message = Message {
    name: "envoy.extensions.filters.http.wasm.v3.Wasm",
    fields: &[(1, "config", one(&PLUGIN_CONFIG))],
};
static PLUGIN_CONFIG: Message = part(&[
    (1, "name", Text),
    (2, "root_id", Text),
    (3, "vm_config", one(&VM_CONFIG)),
    (7, "failure_policy", Enum(&["UNSPECIFIED", "FAIL_RELOAD", "FAIL_CLOSED", "FAIL_OPEN"])),
]);
static VM_CONFIG: Message =
    part(&[(1, "vm_id", Text), (2, "runtime", Text), (3, "code", one(&ASYNC_DATA_SOURCE))]);
static ASYNC_DATA_SOURCE: Message = part(&[(1, "local", one(&DATA_SOURCE))]);
static DATA_SOURCE: Message = part(&[(2, "inline_bytes", Bytes), (3, "inline_string", Text)]);
static RBAC: Message =
    Message { name: "envoy.extensions.filters.http.rbac.v3.RBAC", fields: &[(1, "rules", one(&RBAC_RULES))] };
static RBAC_RULES: Message = part(&[(1, "action", Enum(&["ALLOW", "DENY", "LOG"]))]);
static NETWORK_RBAC: Message = Message {
    name: "envoy.extensions.filters.network.rbac.v3.RBAC",
    fields: &[(3, "stat_prefix", Text), (6, "matcher", one(&MATCHER))],
};
static MATCHER: Message =
    part(&[(1, "matcher_list", one(&MATCHER_LIST)), (3, "on_no_match", one(&ON_MATCH))]);
static MATCHER_LIST: Message = part(&[(1, "matchers", Many(&one(&FIELD_MATCHER)))]);
static FIELD_MATCHER: Message = part(&[(1, "predicate", one(&PREDICATE)), (2, "on_match", one(&ON_MATCH))]);
static PREDICATE: Message = part(&[(1, "single_predicate", one(&SINGLE_PREDICATE))]);
static SINGLE_PREDICATE: Message =
    part(&[(1, "input", one(&EXTENSION)), (2, "value_match", one(&STRING_MATCHER))]);
static ON_MATCH: Message = part(&[(2, "action", one(&EXTENSION))]);
static RBAC_VERDICT: Message = Message {
    name: "envoy.config.rbac.v3.Action",
    fields: &[(1, "name", Text), (2, "action", Enum(&["ALLOW", "DENY", "LOG"]))],
};
static URI_SAN_INPUT: Message =
    Message { name: "envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput", fields: &[] };
/// Also the form of a network filter.
static EXTENSION: Message = Message {
    name: "envoy.config.core.v3.TypedExtensionConfig",
    fields: &[(1, "name", Text), (2, "typed_config", Any), (4, "typed_config", Any)],
};

static DOWNSTREAM_TLS: Message = Message {
    name: "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    fields: &[
        (1, "common_tls_context", one(&COMMON_TLS)),
        (2, "require_client_certificate", BOXED_BOOL),
        (7, "disable_stateless_session_resumption", Bool),
        (10, "disable_stateful_session_resumption", Bool),
    ],
};
static UPSTREAM_TLS: Message = Message {
    name: "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    fields: &[(1, "common_tls_context", one(&COMMON_TLS)), (2, "sni", Text)],
};
static COMMON_TLS: Message = part(&[
    (1, "tls_params", one(&TLS_PARAMS)),
    (4, "alpn_protocols", TEXTS),
    (6, "tls_certificate_sds_secret_configs", Many(&one(&SDS))),
    (8, "combined_validation_context", one(&COMBINED_VALIDATION)),
]);
const TLS_VERSIONS: Kind = Enum(&["TLS_AUTO", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3"]);
static TLS_PARAMS: Message = part(&[
    (1, "tls_minimum_protocol_version", TLS_VERSIONS),
    (2, "tls_maximum_protocol_version", TLS_VERSIONS),
]);
static COMBINED_VALIDATION: Message = part(&[
    (1, "default_validation_context", one(&VALIDATION)),
    (2, "validation_context_sds_secret_config", one(&SDS)),
]);
static VALIDATION: Message = part(&[
    (1, "trusted_ca", one(&DATA_SOURCE)),
    (15, "match_typed_subject_alt_names", Many(&one(&SAN_MATCHER))),
]);
static SAN_MATCHER: Message = part(&[
    (1, "san_type", Enum(&["SAN_TYPE_UNSPECIFIED", "EMAIL", "DNS", "URI"])),
    (2, "matcher", one(&STRING_MATCHER)),
]);
static STRING_MATCHER: Message = part(&[(1, "exact", Text), (2, "prefix", Text), (7, "contains", Text)]);
static SDS: Message = part(&[(1, "name", Text), (2, "sds_config", one(&CONFIG_SOURCE))]);
static SECRET: Message = Message {
    name: "envoy.extensions.transport_sockets.tls.v3.Secret",
    fields: &[
        (1, "name", Text),
        (2, "tls_certificate", one(&TLS_CERTIFICATE)),
        (4, "validation_context", one(&VALIDATION)),
    ],
};
static TLS_CERTIFICATE: Message =
    part(&[(1, "certificate_chain", one(&DATA_SOURCE)), (2, "private_key", Hidden)]);

static CLUSTER: Message = Message {
    name: "envoy.config.cluster.v3.Cluster",
    fields: &[
        (1, "name", Text),
        (2, "type", Enum(&["STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS"])),
        (3, "eds_cluster_config", one(&EDS)),
        (4, "connect_timeout", Duration),
        (6, "lb_policy", Enum(&["ROUND_ROBIN", "LEAST_REQUEST"])),
        (10, "circuit_breakers", one(&CIRCUIT_BREAKERS)),
        (19, "outlier_detection", one(&OUTLIER_DETECTION)),
        (24, "transport_socket", one(&TRANSPORT_SOCKET)),
        (32, "ignore_health_on_host_removal", Bool),
        (33, "load_assignment", one(&ENDPOINTS)),
        (36, "typed_extension_protocol_options", AnyMap),
    ],
};
static EDS: Message = part(&[(1, "eds_config", one(&CONFIG_SOURCE)), (2, "service_name", Text)]);
static CIRCUIT_BREAKERS: Message = part(&[(1, "thresholds", Many(&one(&THRESHOLDS)))]);
static THRESHOLDS: Message = part(&[
    (2, "max_connections", BOXED_NUMBER),
    (3, "max_pending_requests", BOXED_NUMBER),
    (4, "max_requests", BOXED_NUMBER),
    (5, "max_retries", BOXED_NUMBER),
]);
static OUTLIER_DETECTION: Message = part(&[
    (2, "interval", Duration),
    (3, "base_ejection_time", Duration),
    (4, "max_ejection_percent", BOXED_NUMBER),
    (5, "enforcing_consecutive_5xx", BOXED_NUMBER),
    (6, "enforcing_success_rate", BOXED_NUMBER),
    (11, "enforcing_consecutive_gateway_failure", BOXED_NUMBER),
    (12, "split_external_local_origin_errors", Bool),
    (13, "consecutive_local_origin_failure", BOXED_NUMBER),
    (14, "enforcing_consecutive_local_origin_failure", BOXED_NUMBER),
    (15, "enforcing_local_origin_success_rate", BOXED_NUMBER),
]);
static HTTP_OPTIONS: Message = Message {
    name: "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    fields: &[
        (1, "common_http_protocol_options", one(&COMMON_HTTP)),
        (3, "explicit_http_config", one(&EXPLICIT_HTTP)),
    ],
};
static COMMON_HTTP: Message =
    part(&[(2, "max_headers_count", BOXED_NUMBER), (7, "max_response_headers_kb", BOXED_NUMBER)]);
static EXPLICIT_HTTP: Message = part(&[(2, "http2_protocol_options", one(&HTTP2))]);
static HTTP2: Message = part(&[
    (14, "override_stream_error_on_invalid_http_message", BOXED_BOOL),
    (15, "connection_keepalive", one(&KEEPALIVE)),
]);
static KEEPALIVE: Message = part(&[(1, "interval", Duration), (2, "timeout", Duration)]);

static ENDPOINTS: Message = Message {
    name: "envoy.config.endpoint.v3.ClusterLoadAssignment",
    fields: &[(1, "cluster_name", Text), (2, "endpoints", Many(&one(&LOCALITY)))],
};
static LOCALITY: Message = part(&[(2, "lb_endpoints", Many(&one(&LB_ENDPOINT)))]);
static LB_ENDPOINT: Message = part(&[(1, "endpoint", one(&ENDPOINT))]);
static ENDPOINT: Message = part(&[(1, "address", one(&ADDRESS))]);

static ROUTES: Message = Message {
    name: "envoy.config.route.v3.RouteConfiguration",
    fields: &[(1, "name", Text), (2, "virtual_hosts", Many(&one(&VIRTUAL_HOST)))],
};
static VIRTUAL_HOST: Message =
    part(&[(1, "name", Text), (2, "domains", TEXTS), (3, "routes", Many(&one(&ROUTE)))]);
static ROUTE: Message = part(&[
    (1, "match", one(&ROUTE_MATCH)),
    (2, "route", one(&ROUTE_ACTION)),
    (7, "direct_response", one(&DIRECT_RESPONSE)),
    (14, "name", Text),
]);
static ROUTE_MATCH: Message = part(&[(1, "prefix", Text), (6, "headers", Many(&one(&HEADER_MATCHER)))]);
static HEADER_MATCHER: Message = part(&[(1, "name", Text), (13, "string_match", one(&STRING_MATCHER))]);
static DIRECT_RESPONSE: Message = part(&[(1, "status", Number), (2, "body", one(&DATA_SOURCE))]);
static ROUTE_ACTION: Message =
    part(&[(1, "cluster", Text), (8, "timeout", Duration), (9, "retry_policy", one(&RETRY_POLICY))]);
static RETRY_POLICY: Message = part(&[
    (1, "retry_on", Text),
    (2, "num_retries", BOXED_NUMBER),
    (5, "retry_host_predicate", Many(&one(&HOST_PREDICATE))),
    (6, "host_selection_retry_max_attempts", Number),
    (8, "retry_back_off", one(&BACK_OFF)),
]);
static HOST_PREDICATE: Message = part(&[(1, "name", Text), (3, "typed_config", Any)]);
static BACK_OFF: Message = part(&[(1, "base_interval", Duration), (2, "max_interval", Duration)]);
static PREVIOUS_HOSTS: Message =
    Message { name: "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate", fields: &[] };
