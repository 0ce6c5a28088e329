//! A certificate that says several URIs is no identity: the network filter of `docs/embedding.md`, and of the
//! sidecars' inbound listener, closes its connections.

use anyhow::Result;
use chancery_tests::envoy::{Envoy, answering_listener};
use chancery_tests::mesh::stranger::{self, Certificate};
use chancery_tests::mesh::wire::Request;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use serde_json::{Value, json};
use std::path::Path;

const ORDERS: &str = "spiffe://mesh/ns/shop/sa/orders";
const CART: &str = "spiffe://mesh/ns/shop/sa/cart";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_with_several_uris_is_no_identity() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    let server = authority.issue(&[ORDERS]).unwrap();
    std::fs::write(folder.path().join("server.pem"), &server.chain_pem).unwrap();
    std::fs::write(folder.path().join("server.key"), &server.key_pem).unwrap();
    let listener = with_identities(answering_listener("in", Vec::new(), json!({})), folder.path());
    let envoy = Envoy::start(folder, json!({"listeners": [listener]})).await.unwrap();
    let address = envoy.listener("in").await.unwrap();

    let ask = async |uris: &[&str]| {
        let certificate = authority.issue(uris).unwrap();
        let request = Request::get("/");
        stranger::ask(address, Some(&certificate), &request).await.ok().map(|answer| answer.status)
    };
    assert_eq!(ask(&[CART]).await, Some(200));
    assert_eq!(ask(&[CART, ORDERS]).await, None);
    assert_eq!(ask(&[CART, CART]).await, None);
    assert_eq!(ask(&[CART, "https://elsewhere.example/"]).await, None);
    assert_eq!(ask(&["https://elsewhere.example/", CART]).await, None);
    let decided = envoy.stats("identity.rbac.").await.unwrap();
    let counted = |verdict: &str| decided.get(&format!("identity.rbac.{verdict}")).copied();
    assert_eq!((counted("allowed"), counted("denied")), (Some(1), Some(4)));
    envoy.stop().await.unwrap();
}

/// The listener with mutual TLS and the filter in front of all others.
fn with_identities(mut listener: Value, folder: &Path) -> Value {
    let verdict = |name: &str, action: &str| {
        json!({
            "name": name,
            "typed_config": {"@type": "type.googleapis.com/envoy.config.rbac.v3.Action", "name": name, "action": action},
        })
    };
    let several = json!({
        "predicate": {"single_predicate": {
            "input": {
                "name": "uris",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput"},
            },
            "value_match": {"contains": ","},
        }},
        "on_match": {"action": verdict("several", "DENY")},
    });
    let filter = json!({
        "name": "one-identity",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC",
            "stat_prefix": "identity.",
            "matcher": {
                "matcher_list": {"matchers": [several]},
                "on_no_match": {"action": verdict("one", "ALLOW")},
            },
        },
    });
    let file = |name: &str| json!({"filename": folder.join(name)});
    let prefix = json!({"san_type": "URI", "matcher": {"prefix": "spiffe://mesh/"}});
    let chain = listener.pointer_mut("/filter_chains/0").unwrap();
    chain["filters"].as_array_mut().unwrap().insert(0, filter);
    chain["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": true,
            "common_tls_context": {
                "tls_certificates": [{
                    "certificate_chain": file("server.pem"),
                    "private_key": file("server.key"),
                }],
                "validation_context": {
                    "trusted_ca": file("ca.pem"),
                    "match_typed_subject_alt_names": [prefix],
                },
            },
        },
    });
    listener
}

/// A root of its own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// A certificate that says these URIs.
    fn issue(&self, uris: &[&str]) -> Result<Certificate> {
        let mut leaf = CertificateParams::default();
        // Not the name of the root, by which it would seem to have issued itself.
        leaf.distinguished_name = DistinguishedName::new();
        for uri in uris {
            leaf.subject_alt_names.push(SanType::URI((*uri).try_into()?));
        }
        leaf.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &self.issuer)?;
        Ok(Certificate { chain_pem: certificate.pem() + &self.pem, key_pem: key.serialize_pem() })
    }
}
