//! The configuration that Envoy is started with: who it is, its admin socket, and where it asks for
//! everything else, which is the sidecar's own socket.

use serde_json::{Value, json};
use std::path::Path;

/// The cluster by which Envoy reaches the sidecar. No service can have this name: those of the mesh
/// have a `/` in them.
pub const CLUSTER: &str = "chancery_sidecar";

/// Connections of clients at once. Far more than one host can serve, far fewer than exhaust it.
const CONNECTIONS_MAX: u32 = 50_000;

/// After so many streams of one connection Envoy closes it if most of them were given up by the other side
/// within a second. On the connection between two sidecars that would let one client that gives up its
/// requests fail those of all others; 2^31 streams never come together.
const ABANDONED_STREAMS_MAX: u32 = 1 << 31;

/// The policy in the name of a counter of a module, `wasmcustom.writ.limited.POLICY/STATEMENT`, and in that of one of a
/// filter that fails, `wasm.filter-inbound/POLICY/DIGEST.vm_reload_success`, which is a label for those who collect metrics.
/// What the first group finds is taken out of the name.
const POLICY_OF_COUNTER: &str = r"^wasm(?:custom\.writ\.[a-z-]+)?(\.(?:filter-(?:in|out)bound/)?([^/]+)(?:/[0-9a-f]{16})?)(?:/|\.vm_reload)";
/// The statement in it.
const STATEMENT_OF_COUNTER: &str = r"^wasmcustom\.writ\.[a-z-]+\.[^/]+(/(.+))$";

/// What differs from one sidecar to the next.
#[derive(Clone, Copy, Debug)]
pub struct Bootstrap<'a> {
    /// The id of the proxy, `namespace/service/instance`.
    pub proxy_id: &'a str,
    /// The service, `namespace/service`.
    pub service: &'a str,
    /// The socket on which the sidecar answers.
    pub ads_socket: &'a Path,
    /// The socket of Envoy's own administration.
    pub admin_socket: &'a Path,
}

impl Bootstrap<'_> {
    /// The text of the file, JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Envoy is not ready before it has an answer about listeners and clusters, however long
        // that takes: a time limit here would make it serve without configuration.
        let from_ads = json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
        let value = json!({
            "node": {"id": self.proxy_id, "cluster": self.service},
            "admin": {"address": {"pipe": {"path": self.admin_socket, "mode": 0o600}}},
            "dynamic_resources": {
                "ads_config": {
                    "api_type": "DELTA_GRPC",
                    "transport_api_version": "V3",
                    "set_node_on_first_message_only": true,
                    "grpc_services": [{"envoy_grpc": {
                        "cluster_name": CLUSTER,
                        // The sidecar is on the same machine: it may be asked again soon.
                        "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}},
                    }}],
                },
                "lds_config": from_ads,
                "cds_config": from_ads,
            },
            "overload_manager": {"resource_monitors": [{
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.resource_monitors\
                        .downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": CONNECTIONS_MAX,
                },
            }]},
            "stats_config": {"stats_tags": [
                {"tag_name": "policy", "regex": POLICY_OF_COUNTER},
                {"tag_name": "statement", "regex": STATEMENT_OF_COUNTER},
            ]},
            "layered_runtime": {"layers": [{
                "name": "chancery",
                "static_layer": {"overload.premature_reset_total_stream_count": ABANDONED_STREAMS_MAX},
            }]},
            "static_resources": {"clusters": [sidecar_cluster(self.ads_socket)]},
        });
        format!("{value:#}\n")
    }
}

fn sidecar_cluster(socket: &Path) -> Value {
    json!({
        "name": CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            },
        },
        "load_assignment": {
            "cluster_name": CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": socket}}}}]}],
        },
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at the first surprise")]
    use super::*;

    #[test]
    fn names_with_odd_characters_stay_data() {
        let bootstrap = Bootstrap {
            proxy_id: "shop/orders/a\"b",
            service: "shop/orders",
            ads_socket: Path::new("/run/a b/ads.sock"),
            admin_socket: Path::new("/run/admin.sock"),
        };
        let value: Value = serde_json::from_str(&bootstrap.to_json()).unwrap();
        assert_eq!(value["node"]["id"], "shop/orders/a\"b");
        assert_eq!(value["admin"]["address"]["pipe"]["path"], "/run/admin.sock");
        let endpoint = &value["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0];
        assert_eq!(endpoint["lb_endpoints"][0]["endpoint"]["address"]["pipe"]["path"], "/run/a b/ads.sock");
    }
}
