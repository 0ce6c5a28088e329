//! The certificate authority of the mesh: one P-256 root, made once, kept sealed in the store.
//!
//! It issues short-lived certificates for sidecars (exactly one URI SAN, the SPIFFE id of the
//! service; the instance is the subject's common name) and the certificate of the control plane
//! itself (DNS names and addresses, no URI SAN), so neither can pass for the other.

use super::evictions::{self, Serial};
use super::{IdentityError, Validity, Vault};
use crate::mesh::model::{ProxyId, hex};
use crate::mesh::store::{Actor, Store};
use ::ring::rand::{SecureRandom, SystemRandom};
use chancery_policy_lang::checked::ServiceRef;
use chancery_policy_lang::request::ServiceIdentity;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKeyData, RevokedCertParams, SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::SystemTime;

/// How long a sidecar's certificate is valid, unless the operator says otherwise.
pub const LIFETIME_DEFAULT: SignedDuration = SignedDuration::from_hours(24);
/// The shortest life that can be asked for: renewing more often than every few seconds helps nobody.
pub const LIFETIME_MIN: SignedDuration = SignedDuration::from_secs(10);
/// The longest: an eviction is kept for as long.
pub const LIFETIME_MAX: SignedDuration = SignedDuration::from_hours(24 * 90);
/// The largest certificate request, in bytes of PEM.
pub const CSR_BYTES_MAX: usize = 16 * 1024;
/// Certificates are valid from this long before they are made, for clocks that are behind.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
const ROOT_LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 3650);
/// What stands before the id of the token in the organizational unit of a sidecar's certificate.
pub(super) const TOKEN_UNIT: &str = "token ";
/// The attribute `serialNumber` of a subject (RFC 4519).
const SUBJECT_SERIAL_OID: [u64; 4] = [2, 5, 4, 5];
/// The name of the item in the store.
const ITEM: &str = "authority";
/// An uncompressed point on P-256: 0x04 and two coordinates.
const P256_POINT_BYTES: usize = 65;

/// The certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    root_pem: String,
    validity: Validity,
    trust_domain: String,
    lifetime: SignedDuration,
}

/// A certificate that was issued to a sidecar.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, PEM. The root alone leads to it, so it is the whole chain.
    pub chain_pem: String,
    /// How long it is valid from now.
    pub lifetime: SignedDuration,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// For whom a certificate is.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// The service.
    pub service: &'a ServiceRef,
    /// The instance.
    pub instance: &'a str,
    /// The id of the token that it joined with, if that is known.
    pub token: Option<&'a str>,
    /// How often an instance of this name was evicted.
    pub generation: u32,
}

/// A certificate that is good no longer.
#[derive(Clone, Copy, Debug)]
pub struct Revoked {
    /// Its serial number.
    pub serial: Serial,
    /// Since when.
    pub at: Timestamp,
}

/// A certificate and its key, for a TLS server in this process.
pub struct ServerIdentity {
    /// The certificate, then the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key; never stored.
    pub key: PrivateKeyDer<'static>,
}

/// What the store keeps, sealed.
#[derive(Serialize, Deserialize)]
struct StoredAuthority {
    certificate_pem: String,
    key_pem: String,
}

impl Authority {
    /// Opens the authority that the store has, or makes one. `lifetime` is that of sidecars' certificates.
    ///
    /// # Errors
    /// If the stored one cannot be opened with this vault, or the store fails.
    pub async fn open(
        store: &dyn Store,
        vault: &Vault,
        lifetime: SignedDuration,
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let trust_domain = store.watch().borrow().trust_domain.clone();
        let sealed = match store.item(ITEM).await? {
            Some(sealed) => sealed,
            None => {
                let new = make_root(&trust_domain, now)?;
                let sealed = vault.seal(ITEM, &serde_json::to_vec(&new).map_err(odd)?)?;
                let by = Actor { name: "control plane".to_owned(), at: now };
                store.create_item(ITEM, sealed, by).await?
            }
        };
        let open = vault.unseal(ITEM, &sealed).ok_or(IdentityError::WrongKey)?;
        let stored: StoredAuthority = serde_json::from_slice(&open).map_err(odd)?;
        Self::from_stored(stored, trust_domain, lifetime)
    }

    /// Whether the store has an authority already.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn exists(store: &dyn Store) -> Result<bool, IdentityError> {
        Ok(store.item(ITEM).await?.is_some())
    }

    /// The root certificate, PEM: what everybody in the mesh verifies identities with.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The root certificate.
    #[must_use]
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// The SPIFFE trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// Random bytes of the system.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn random_bytes<const N: usize>(&self) -> Result<[u8; N], IdentityError> {
        let mut bytes = [0; N];
        SystemRandom::new().fill(&mut bytes)?;
        Ok(bytes)
    }

    /// As [`Authority::issue`], for an instance that was never evicted and of which no token is known.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn sign_csr(
        &self,
        csr_pem: &str,
        service: &ServiceRef,
        instance: &str,
        now: Timestamp,
    ) -> Result<Issued, IdentityError> {
        self.issue(csr_pem, Holder { service, instance, token: None, generation: 0 }, now)
    }

    /// Issues a certificate for the key of a signing request. Its signature must be right; whatever
    /// names it asks for are ignored.
    ///
    /// # Errors
    /// [`IdentityError::Clock`] if the root certificate is not valid by the clock;
    /// [`IdentityError::BadCsr`] if the request is malformed, too large, wrongly signed or for a key
    /// that is not on P-256.
    pub fn issue(&self, csr_pem: &str, holder: Holder<'_>, now: Timestamp) -> Result<Issued, IdentityError> {
        let Holder { service, instance, token, generation } = holder;
        if let Some(complaint) = self.validity.complaint(now) {
            return Err(IdentityError::Clock { complaint, now });
        }
        let mut request = parse_csr(csr_pem)?;
        let expires_at = now + self.lifetime;
        let mut params = leaf_params(now, expires_at)?;
        params.distinguished_name.push(DnType::CommonName, instance);
        if let Some(token) = token {
            params.distinguished_name.push(DnType::OrganizationalUnitName, format!("{TOKEN_UNIT}{token}"));
        }
        let proxy = ProxyId(format!("{}/{}/{instance}", service.namespace, service.name));
        let serial = evictions::serial(&proxy, generation);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        // The last one: so the subject begins with it as Envoy writes it.
        params.distinguished_name.push(DnType::CustomDnType(SUBJECT_SERIAL_OID.to_vec()), hex(&serial));
        let id = ServiceIdentity::new(&self.trust_domain, service);
        params.subject_alt_names = vec![SanType::URI(id.to_string().try_into()?)];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        request.params = params;
        let certificate = request.signed_by(&self.issuer)?;
        Ok(Issued { chain_pem: certificate.pem(), lifetime: self.lifetime, expires_at })
    }

    /// A list of certificates that are good no longer, PEM.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn revoke(&self, revoked: &[Revoked], now: Timestamp) -> Result<String, IdentityError> {
        let entry = |revoked: &Revoked| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&revoked.serial),
            revocation_time: SystemTime::from(revoked.at).into(),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: SystemTime::from(now - SKEW).into(),
            // A list that has ended would make every certificate a bad one, also while the control plane is away.
            next_update: SystemTime::from(now + ROOT_LIFETIME).into(),
            crl_number: SerialNumber::from(u64::try_from(now.as_millisecond()).unwrap_or_default()),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }

    /// Whether a signing request is for this key, given as the SHA-256 of its SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// As [`Authority::issue`], and [`IdentityError::OtherKey`] if it is not.
    pub fn check_key(&self, csr_pem: &str, key: &[u8; 32]) -> Result<(), IdentityError> {
        let asked: [u8; 32] = Sha256::digest(parse_csr(csr_pem)?.public_key.subject_public_key_info()).into();
        if asked == *key { Ok(()) } else { Err(IdentityError::OtherKey) }
    }

    /// A fresh key and certificate for a server that is reached by these names and addresses.
    ///
    /// # Errors
    /// If a name cannot stand in a certificate.
    pub fn server_identity(
        &self,
        names: &[String],
        lifetime: SignedDuration,
        now: Timestamp,
    ) -> Result<ServerIdentity, IdentityError> {
        let key = KeyPair::generate()?;
        let mut params = leaf_params(now, now + lifetime)?;
        params.distinguished_name.push(DnType::CommonName, "Chancery control plane");
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(ServerIdentity {
            chain: vec![certificate.der().clone(), self.root.clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }

    fn from_stored(
        stored: StoredAuthority,
        trust_domain: String,
        lifetime: SignedDuration,
    ) -> Result<Self, IdentityError> {
        let root = CertificateDer::from_pem_slice(stored.certificate_pem.as_bytes()).map_err(odd)?;
        let issuer = Issuer::from_ca_cert_der(&root, KeyPair::from_pem(&stored.key_pem)?)?;
        let validity = Validity::of(&root).ok_or_else(|| odd("the root certificate cannot be read"))?;
        Ok(Self { issuer, root, root_pem: stored.certificate_pem, validity, trust_domain, lifetime })
    }
}

fn make_root(trust_domain: &str, now: Timestamp) -> Result<StoredAuthority, IdentityError> {
    let key = KeyPair::generate()?;
    let mut params = leaf_params(now, now + ROOT_LIFETIME)?;
    params.distinguished_name.push(DnType::CommonName, format!("Chancery CA of {trust_domain}"));
    params.subject_alt_names = vec![SanType::URI(format!("spiffe://{trust_domain}").try_into()?)];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = false;
    let certificate = params.self_signed(&key)?;
    Ok(StoredAuthority { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

/// What all certificates have in common: times, a random serial number, one key usage, no names yet.
fn leaf_params(now: Timestamp, expires_at: Timestamp) -> Result<CertificateParams, IdentityError> {
    let mut serial: [u8; 16] = ring::rand::generate(&ring::rand::SystemRandom::new())?.expose();
    // A serial number is a positive integer.
    serial[0] = serial[0] & 0x7f | 0x40;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = SystemTime::from(now - SKEW).into();
    params.not_after = SystemTime::from(expires_at).into();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn parse_csr(csr_pem: &str) -> Result<CertificateSigningRequestParams, IdentityError> {
    if csr_pem.len() > CSR_BYTES_MAX {
        return Err(IdentityError::BadCsr(format!("it is longer than {CSR_BYTES_MAX} bytes")));
    }
    let request = CertificateSigningRequestParams::from_pem(csr_pem)
        .map_err(|error| IdentityError::BadCsr(error.to_string()))?;
    let key = request.public_key.der_bytes();
    let is_p256 = *request.public_key.algorithm() == rcgen::PKCS_ECDSA_P256_SHA256
        && key.len() == P256_POINT_BYTES
        && key.first() == Some(&4);
    if is_p256 {
        Ok(request)
    } else {
        Err(IdentityError::BadCsr("its key is not on the curve P-256".to_owned()))
    }
}

fn odd(error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Cryptography(error.to_string())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::spiffe;
    use super::*;
    use crate::mesh::store::redb::RedbStore;
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

    struct Mesh {
        authority: Authority,
        store: RedbStore,
        _directory: tempfile::TempDir,
    }

    async fn mesh() -> Mesh {
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&directory.path().join("state.redb"), None).await.unwrap();
        let authority = Authority::open(&store, &vault(), LIFETIME_DEFAULT, Timestamp::now()).await.unwrap();
        Mesh { authority, store, _directory: directory }
    }

    fn vault() -> Vault {
        Vault::from_key(&[7; 32]).unwrap()
    }

    fn orders() -> ServiceRef {
        spiffe::parse_service("shop/orders").unwrap()
    }

    /// A request that asks for names that it must not get.
    fn greedy_csr(key: &KeyPair) -> String {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "admin");
        params
            .subject_alt_names
            .push(SanType::URI("spiffe://chancery.local/ns/shop/sa/cart".try_into().unwrap()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.serialize_request(key).unwrap().pem().unwrap()
    }

    #[tokio::test]
    async fn a_certificate_has_one_uri_of_the_service_whatever_the_request_asks() {
        let mesh = mesh().await;
        let now = Timestamp::now();
        let key = KeyPair::generate().unwrap();
        let issued = mesh.authority.sign_csr(&greedy_csr(&key), &orders(), "1", now).unwrap();
        let der = CertificateDer::from_pem_slice(issued.chain_pem.as_bytes()).unwrap();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(names, &[GeneralName::URI("spiffe://chancery.local/ns/shop/sa/orders")]);
        let number = hex(certificate.raw_serial());
        assert_eq!(certificate.subject().to_string(), format!("CN=1, serialNumber={number}"));
        assert!(!certificate.is_ca());
        assert_eq!(certificate.public_key().subject_public_key.data, key.public_key_raw());
        assert_eq!(certificate.validity().not_before.timestamp(), (now - SKEW).as_second());
        assert_eq!(certificate.validity().not_after.timestamp(), (now + LIFETIME_DEFAULT).as_second());
        let (_, root) = X509Certificate::from_der(mesh.authority.root()).unwrap();
        certificate.verify_signature(Some(root.public_key())).unwrap();
    }

    #[tokio::test]
    async fn a_restart_has_the_same_root_and_another_key_is_refused() {
        let mesh = mesh().await;
        let now = Timestamp::now();
        let again = Authority::open(&mesh.store, &vault(), LIFETIME_DEFAULT, now).await.unwrap();
        assert_eq!(again.root(), mesh.authority.root());
        let stored = mesh.store.item(ITEM).await.unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&stored).contains("PRIVATE"), "the key is sealed");
        let other = Vault::from_key(&[8; 32]).unwrap();
        let refused = Authority::open(&mesh.store, &other, LIFETIME_DEFAULT, now).await;
        assert!(matches!(refused, Err(IdentityError::WrongKey)));
    }

    #[tokio::test]
    async fn a_request_that_is_odd_in_any_way_is_refused() {
        let mesh = mesh().await;
        let now = Timestamp::now();
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let good = greedy_csr(&KeyPair::generate().unwrap());
        for odd in [String::new(), "hello".to_owned(), greedy_csr(&p384), "A".repeat(CSR_BYTES_MAX + 1)] {
            let refused = mesh.authority.sign_csr(&odd, &orders(), "1", now);
            assert!(matches!(refused, Err(IdentityError::BadCsr(_))));
        }
        // One changed character anywhere: refused, or the same request; never a panic, never another key.
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            let byte = bytes.get_mut(at).unwrap();
            *byte = if *byte == b'A' { b'B' } else { b'A' };
            let text = String::from_utf8(bytes).unwrap();
            if let Ok(issued) = mesh.authority.sign_csr(&text, &orders(), "1", now) {
                assert!(issued.chain_pem.contains("CERTIFICATE"));
            }
        }
    }
}
