//! Sidecars that were shut out: one instance of a service, all of its certificates, and their renewals.
//!
//! The serial number of a sidecar's certificate says which instance it is for, and how often one of that name was
//! evicted before ([`serial`]). So all certificates of an evicted instance, also those that were renewed or that
//! somebody else got for it, are revoked by one number, and whoever joins under that name afterwards has another.
//! An eviction is kept, in the store, for as long as a certificate from before it can live.

use super::authority::{LIFETIME_MAX, Revoked};
use super::{Authority, IdentityError, PeerIdentity, RENEWABLE_WITHIN};
use crate::mesh::model::{ProxyId, hex};
use crate::mesh::store::{Actor, Store};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The most evictions that are kept. Each is some forty bytes in every sidecar.
pub const EVICTIONS_MAX: usize = 10_000;
/// How long an eviction is kept: no certificate can be renewed for longer, whatever life they were given before.
const KEPT_HOURS: i64 = LIFETIME_MAX.as_hours() + RENEWABLE_WITHIN.as_hours();
const KEPT: SignedDuration = SignedDuration::from_hours(KEPT_HOURS);
/// What keys of items begin with; the rest is `PROXY/GENERATION`.
const PREFIX: &str = "evicted/";

/// A serial number.
pub type Serial = [u8; 16];

/// Who was evicted.
pub struct Evictions {
    store: Arc<dyn Store>,
    authority: Arc<Authority>,
    /// When each generation of an instance was evicted.
    evicted: Mutex<BTreeMap<(ProxyId, u32), Timestamp>>,
    /// The certificate revocation list, PEM; none as long as nobody was evicted.
    list: watch::Sender<Option<Arc<str>>>,
    /// The numbers on it.
    serials: watch::Sender<Arc<[Serial]>>,
}

/// Why nobody was evicted.
#[derive(Debug, thiserror::Error)]
pub enum EvictionError {
    /// There are as many as can be kept.
    #[error("{EVICTIONS_MAX} sidecars were evicted within the last {} days, and no more can be kept", KEPT.as_hours() / 24)]
    Full,
    /// The store or the cryptography failed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// The serial number of the certificates of an instance, after so many evictions.
#[must_use]
pub fn serial(proxy: &ProxyId, generation: u32) -> Serial {
    let mut hash = Sha256::new();
    hash.update("chancery instance\n");
    hash.update(generation.to_be_bytes());
    hash.update(&proxy.0);
    let mut serial = [0; 16];
    serial.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    // A serial number is a positive integer.
    let [first, ..] = &mut serial;
    *first = *first & 0x7f | 0x40;
    serial
}

/// What the subjects of the certificates of this number begin with, as Envoy writes them (RFC 2253, which turns their
/// order round). The number of a certificate itself Envoy's filters cannot ask for.
#[must_use]
pub fn subject(serial: &Serial) -> String {
    format!("serialNumber={},", hex(serial))
}

impl Evictions {
    /// Reads the evictions that still matter, and forgets the others.
    ///
    /// # Errors
    /// If the store or the cryptography fails.
    pub async fn open(
        store: Arc<dyn Store>,
        authority: Arc<Authority>,
        now: Timestamp,
    ) -> Result<Arc<Self>, IdentityError> {
        let mut evicted = BTreeMap::new();
        for (key, at) in store.items(PREFIX).await? {
            match read(&key, &at) {
                Some((instance, at)) if is_kept(at, now) => {
                    evicted.insert(instance, at);
                }
                Some(_) => {
                    store.remove_item(&key, control_plane(now)).await?;
                }
                None => tracing::warn!(key, "an item of the store is not understood"),
            }
        }
        let evictions = Self {
            store,
            authority,
            evicted: Mutex::new(evicted),
            list: watch::Sender::new(None),
            serials: watch::Sender::default(),
        };
        evictions.publish(now)?;
        Ok(Arc::new(evictions))
    }

    /// How often an instance of this name was evicted: what the serial number of its next certificate says.
    #[must_use]
    pub fn generation(&self, proxy: &ProxyId) -> u32 {
        let evicted = self.lock();
        let of = evicted.range((proxy.clone(), 0)..=(proxy.clone(), u32::MAX)).next_back();
        of.map_or(0, |((_, generation), _)| generation.saturating_add(1))
    }

    /// Whether a certificate is of an instance that was evicted.
    #[must_use]
    pub fn is_evicted(&self, peer: &PeerIdentity) -> bool {
        let evicted = self.lock();
        let mut of = evicted.range((peer.proxy.clone(), 0)..=(peer.proxy.clone(), u32::MAX));
        of.any(|((proxy, generation), _)| serial(proxy, *generation) == peer.serial)
    }

    /// The certificate revocation list, now and whenever it changes.
    #[must_use]
    pub fn list(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.list.subscribe()
    }

    /// The numbers on the list, now and whenever they change.
    #[must_use]
    pub fn serials(&self) -> watch::Receiver<Arc<[Serial]>> {
        self.serials.subscribe()
    }

    /// Shuts an instance out. Durable when the future ends.
    ///
    /// # Errors
    /// If there are too many, or the store fails; then nobody was evicted.
    pub async fn evict(&self, proxy: &ProxyId, by: Actor) -> Result<(), EvictionError> {
        self.forget_old(by.at).await?;
        if self.lock().len() >= EVICTIONS_MAX {
            return Err(EvictionError::Full);
        }
        let (generation, at) = (self.generation(proxy), by.at);
        let value = at.as_second().to_string().into_bytes();
        let key = key(proxy, generation);
        self.store.create_item(&key, value, by).await.map_err(IdentityError::from)?;
        self.lock().insert((proxy.clone(), generation), at);
        self.publish(at)?;
        Ok(())
    }

    async fn forget_old(&self, now: Timestamp) -> Result<(), IdentityError> {
        let old: Vec<_> = {
            let evicted = self.lock();
            evicted.iter().filter(|(_, at)| !is_kept(**at, now)).map(|(of, _)| of.clone()).collect()
        };
        for (proxy, generation) in old {
            self.store.remove_item(&key(&proxy, generation), control_plane(now)).await?;
            self.lock().remove(&(proxy, generation));
        }
        Ok(())
    }

    fn publish(&self, now: Timestamp) -> Result<(), IdentityError> {
        let revoked: Vec<Revoked> = {
            let evicted = self.lock();
            let revoked = |((proxy, generation), at): (&(ProxyId, u32), &Timestamp)| Revoked {
                serial: serial(proxy, *generation),
                at: *at,
            };
            evicted.iter().map(revoked).collect()
        };
        self.serials.send_replace(revoked.iter().map(|revoked| revoked.serial).collect());
        let list = if revoked.is_empty() { None } else { Some(self.authority.revoke(&revoked, now)?) };
        self.list.send_replace(list.map(Into::into));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(ProxyId, u32), Timestamp>> {
        self.evicted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Evictions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evictions").field("evicted", &self.evicted).finish_non_exhaustive()
    }
}

fn is_kept(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at) < KEPT
}

fn key(proxy: &ProxyId, generation: u32) -> String {
    format!("{PREFIX}{}/{generation}", proxy.0)
}

fn read(key: &str, at: &[u8]) -> Option<((ProxyId, u32), Timestamp)> {
    let (proxy, generation) = key.strip_prefix(PREFIX)?.rsplit_once('/')?;
    let at: i64 = std::str::from_utf8(at).ok()?.parse().ok()?;
    Some(((ProxyId(proxy.to_owned()), generation.parse().ok()?), Timestamp::from_second(at).ok()?))
}

fn control_plane(now: Timestamp) -> Actor {
    Actor { name: "control plane".to_owned(), at: now }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::{Vault, authority, spiffe};
    use super::*;
    use crate::mesh::store::redb::RedbStore;
    use rcgen::{CertificateParams, KeyPair};
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    use x509_parser::prelude::{CertificateRevocationList, FromDer};

    fn admin(at: Timestamp) -> Actor {
        Actor { name: "token 7f (admin)".to_owned(), at }
    }

    async fn mesh(directory: &tempfile::TempDir, now: Timestamp) -> (Arc<Authority>, Arc<Evictions>) {
        let store = RedbStore::open(&directory.path().join("state.redb"), None).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let vault = Vault::from_key(&[3; 32]).unwrap();
        let authority = Authority::open(&*store, &vault, authority::LIFETIME_DEFAULT, now).await.unwrap();
        let authority = Arc::new(authority);
        let evictions = Evictions::open(store, Arc::clone(&authority), now).await.unwrap();
        (authority, evictions)
    }

    fn peer(authority: &Authority, generation: u32, now: Timestamp) -> PeerIdentity {
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let orders = spiffe::parse_service("shop/orders").unwrap();
        let holder = authority::Holder { service: &orders, instance: "1", token: Some("7f3a"), generation };
        let issued = authority.issue(&csr, holder, now).unwrap();
        let der = CertificateDer::from_pem_slice(issued.chain_pem.as_bytes()).unwrap();
        super::super::tls::peer_identity(&[der], authority.trust_domain()).unwrap()
    }

    #[tokio::test]
    async fn an_eviction_is_of_all_certificates_until_then_and_of_none_after() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let (authority, evictions) = mesh(&directory, now).await;
        let (one, renewed) = (peer(&authority, 0, now), peer(&authority, 0, now));
        assert_eq!((one.token.as_deref(), one.proxy.0.as_str()), (Some("7f3a"), "shop/orders/1"));
        assert!(!evictions.is_evicted(&one) && evictions.list().borrow().is_none());
        evictions.evict(&one.proxy, admin(now)).await.unwrap();
        assert!(evictions.is_evicted(&one) && evictions.is_evicted(&renewed));
        let next = peer(&authority, evictions.generation(&one.proxy), now);
        assert!(!evictions.is_evicted(&next));

        let pem = evictions.list().borrow().clone().unwrap();
        let der = pem::parse(&pem);
        let (_, list) = CertificateRevocationList::from_der(&der).unwrap();
        let serials: Vec<_> = list.iter_revoked_certificates().map(|revoked| revoked.raw_serial()).collect();
        assert_eq!(serials, [one.serial.as_slice()]);
        drop(evictions);

        let (authority, evictions) = mesh(&directory, now).await;
        assert!(evictions.is_evicted(&one) && evictions.list().borrow().is_some(), "after a restart");
        evictions.evict(&one.proxy, admin(now)).await.unwrap();
        assert!(evictions.is_evicted(&next) && evictions.is_evicted(&one));
        drop((evictions, authority));
        let (_, evictions) = mesh(&directory, now + KEPT).await;
        assert!(!evictions.is_evicted(&one) && evictions.list().borrow().is_none(), "it has ended long ago");
    }

    mod pem {
        use base64::Engine;

        /// The bytes of a PEM text.
        pub(super) fn parse(text: &str) -> Vec<u8> {
            let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
            base64::engine::general_purpose::STANDARD.decode(body).unwrap()
        }
    }
}
