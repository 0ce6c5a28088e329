//! Certificates out of their time: good for being renewed, for a while, and for nothing else.

use super::*;
use crate::mesh::identity::{Authority, RENEWABLE_WITHIN, Vault, spiffe};
use crate::mesh::store::redb::RedbStore;
use crate::server::{KEY_FILE, STORE_FILE};
use crate::sidecar::SidecarError;
use jiff::{SignedDuration, Timestamp};

/// A mesh that began long ago, and its authority.
async fn old_plane(now: Timestamp) -> (Plane, Authority) {
    let directory = tempfile::tempdir().unwrap();
    let made = now - SignedDuration::from_hours(24 * 60);
    let authority = {
        let store = RedbStore::open(&directory.path().join(STORE_FILE), None).await.unwrap();
        let vault = Vault::open(&directory.path().join(KEY_FILE), true).unwrap();
        Authority::open(&store, &vault, authority::LIFETIME_DEFAULT, made).await.unwrap()
    };
    (Plane { server: serve(directory.path()).await, directory }, authority)
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_renewed_for_a_while_and_good_for_nothing_else() {
    let now = Timestamp::now();
    let (plane, authority) = old_plane(now).await;
    let key = KeyPair::generate().unwrap();
    let request = join_request(plane.join_token("shop/orders").await, "shop/orders", &key);
    let joined: IdentityResponse = plane.client(Credentials::None).post("/v1/join", &request).await.unwrap();
    let renewal = RenewRequest { csr_pem: csr(&key), proxy: request.proxy.clone() };
    let orders = spiffe::parse_service("shop/orders").unwrap();
    // A certificate of an instance that ended so long ago, or begins in so long.
    let certificate = |instance: &str, ended: SignedDuration| {
        let issued_at = now - authority::LIFETIME_DEFAULT - ended;
        let chain_pem = authority.sign_csr(&csr(&key), &orders, instance, issued_at).unwrap().chain_pem;
        Credentials::Certificate { chain_pem, key_pem: key.serialize_pem() }
    };
    let hours = SignedDuration::from_hours;
    let renew = async |credentials: Credentials, renewal: &RenewRequest| {
        plane.client(credentials).post::<IdentityResponse>("/v1/renew", renewal).await
    };

    for ended in [hours(1), RENEWABLE_WITHIN - hours(1), -hours(26)] {
        let renewed = renew(certificate("1", ended), &renewal).await.unwrap();
        assert_eq!(renewed.proxy_id, "shop/orders/1", "{ended:#}");
    }
    let (status, body) = refusal(renew(certificate("1", RENEWABLE_WITHIN + hours(1)), &renewal).await);
    assert_eq!((status, body.code.as_str()), (401, "certificate-expired"));
    assert!(
        body.message.contains("ended at 20") && body.message.contains("within 7 days"),
        "{}",
        body.message
    );
    assert!(body.message.contains("the clock of the control plane says 20"), "{}", body.message);
    assert!(body.message.contains("; the clock of this machine says 20"), "{}", body.message);
    let early = code(renew(certificate("1", -RENEWABLE_WITHIN - hours(26)), &renewal).await);
    assert_eq!(early, (401, "certificate-not-valid-yet".to_owned()));
    let (status, body) = refusal(renew(certificate("2", hours(1)), &renewal).await);
    assert_eq!((status, body.code.as_str()), (401, "certificate-expired"));
    assert!(body.message.contains("is not registered any more"), "{}", body.message);
    let other = RenewRequest { csr_pem: csr(&KeyPair::generate().unwrap()), proxy: request.proxy.clone() };
    assert_eq!(code(renew(certificate("1", hours(1)), &other).await), (400, "other-key".to_owned()));

    let late = plane.client(certificate("1", hours(1)));
    let leaving = LeaveRequest { proxy: request.proxy.clone() };
    assert_eq!(code(late.post::<Done>("/v1/leave", &leaving).await), (401, "certificate-expired".to_owned()));
    assert_eq!(code(late.get::<ProxyList>("/v1/proxies").await), (401, "no-token".to_owned()));
    let identity = |credentials: Credentials| {
        let Credentials::Certificate { chain_pem, key_pem } = credentials else { unreachable!() };
        Identity {
            url: plane.server.context().url.clone(),
            root_pem: plane.server.context().ca_pem.clone(),
            proxy_id: "shop/orders/1".to_owned(),
            key_pem,
            certificate_pem: chain_pem,
            bundle_pem: plane.server.context().ca_pem.clone(),
            issued_at: 0,
            lifetime_seconds: 1,
        }
    };
    match open_stream(&identity(certificate("1", hours(1)))).await {
        Err(SidecarError::Refused { message, .. }) => {
            assert!(message.contains("ended at 20"), "{message}");
            assert!(message.contains("the clock of the control plane says 20"), "{message}");
            assert!(message.contains("; the clock of this machine says 20"), "{message}");
        }
        other => unreachable!("{other:?}"),
    }

    // Nobody takes the place of one that is there, and nobody comes back who was shut out.
    let present =
        Credentials::Certificate { chain_pem: joined.certificate_pem, key_pem: key.serialize_pem() };
    let stream = connect(&plane, &identity(present)).await;
    let taken = code(renew(certificate("1", hours(1)), &renewal).await);
    assert_eq!(taken, (409, "proxy-connected".to_owned()));
    drop(stream);
    let gone: Evicted = plane.admin().delete("/v1/proxies/shop/orders/1").await.unwrap();
    assert_eq!(gone.evicted, ["shop/orders/1"]);
    assert_eq!(code(renew(certificate("1", hours(1)), &renewal).await), (403, "evicted".to_owned()));
}
