//! All tokens that are in force: issuing, checking, listing, revoking.
//!
//! Each token has a record in the store; without the record a token is revoked, however well it is
//! signed. Of a role token the record has only a hash: the store gives no token away.

use super::{Authority, JoinToken, TokenError, Vault};
use crate::mesh::model::hex;
use crate::mesh::store::{Actor, Store};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery_policy_lang::checked::ServiceRef;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// How long a join token is good, unless stated otherwise.
pub const JOIN_LIFETIME_DEFAULT: SignedDuration = SignedDuration::from_hours(24);
/// The longest life of any token that ends at all.
pub const LIFETIME_MAX: SignedDuration = SignedDuration::from_hours(24 * 3650);
/// What every role token begins with.
const ROLE_PREFIX: &str = "chancery-role-1.";
/// The longest role token, in bytes.
const ROLE_TOKEN_BYTES_MAX: usize = 256;
const ROLE_ITEMS: &str = "token/role/";
const JOIN_ITEMS: &str = "token/join/";

/// Issues and checks tokens.
#[derive(Clone)]
pub struct Tokens {
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
    authority: Arc<Authority>,
}

/// A token that was just made. Its text is nowhere else.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// By which it is listed and revoked.
    pub id: String,
    /// The token.
    pub text: String,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
}

/// What the bearer of a token may do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Read everything but secrets.
    Reader,
    /// Read and change everything.
    Admin,
}

/// What the bearer of a role token may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The token's id.
    pub id: String,
    /// The role.
    pub role: Role,
}

/// A token in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its id.
    pub id: String,
    /// `join shop/orders`, `admin` or `reader`.
    pub grants: String,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct StoredJoin {
    service: String,
    expires: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredRole {
    role: Role,
    /// SHA-256 of the secret part. The secret is 256 random bits: nothing slower is needed.
    hash: String,
    expires: Option<i64>,
}

impl Tokens {
    /// Tokens of this store, signed with this vault, for this authority's mesh.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, vault: Arc<Vault>, authority: Arc<Authority>) -> Self {
        Self { store, vault, authority }
    }

    /// A token with which sidecars of a service join at this URL.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn issue_join(
        &self,
        service: ServiceRef,
        lifetime: SignedDuration,
        url: &str,
        by: Actor,
    ) -> Result<NewToken, TokenError> {
        self.forget_expired(&by).await?;
        let id = hex(&self.vault.random_bytes::<6>()?);
        let expires_at = end_after(by.at, lifetime);
        let record = StoredJoin { service: service_text(&service), expires: expires_at.as_second() };
        let token = JoinToken {
            id: id.clone(),
            service,
            expires_at,
            url: url.to_owned(),
            root_pem: self.authority.root_pem().to_owned(),
            trust_domain: self.authority.trust_domain().to_owned(),
        };
        let text = token.sign(&self.vault)?;
        self.store.create_item(&format!("{JOIN_ITEMS}{id}"), encode(&record)?, by).await?;
        Ok(NewToken { id, text, expires_at: Some(expires_at) })
    }

    /// Checks a join token that is shown for a service.
    ///
    /// # Errors
    /// One for each way to be wrong, and if the store fails.
    pub async fn check_join(
        &self,
        text: &str,
        service: &ServiceRef,
        now: Timestamp,
    ) -> Result<JoinToken, TokenError> {
        let token = JoinToken::verify(text, &self.vault, self.authority.root_pem(), now)?;
        if self.store.item(&format!("{JOIN_ITEMS}{}", token.id)).await?.is_none() {
            return Err(TokenError::Revoked);
        }
        if token.service != *service {
            return Err(TokenError::OtherService { token: token.service, asked: service.clone() });
        }
        Ok(token)
    }

    /// A token for the API.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn issue_role(
        &self,
        role: Role,
        lifetime: Option<SignedDuration>,
        by: Actor,
    ) -> Result<NewToken, TokenError> {
        self.forget_expired(&by).await?;
        let id = hex(&self.vault.random_bytes::<6>()?);
        let secret = URL_SAFE_NO_PAD.encode(self.vault.random_bytes::<32>()?);
        let expires_at = lifetime.map(|lifetime| end_after(by.at, lifetime));
        let expires = expires_at.map(Timestamp::as_second);
        let record = StoredRole { role, hash: hash(&secret), expires };
        self.store.create_item(&format!("{ROLE_ITEMS}{id}"), encode(&record)?, by).await?;
        Ok(NewToken { text: format!("{ROLE_PREFIX}{id}.{secret}"), id, expires_at })
    }

    /// Checks a token that a caller of the API shows.
    ///
    /// # Errors
    /// If it is malformed, unknown (or revoked) or expired, and if the store fails.
    pub async fn check_role(&self, text: &str, now: Timestamp) -> Result<Grant, TokenError> {
        let (id, secret) = parse_role(text).ok_or(TokenError::Malformed)?;
        let stored = self.store.item(&format!("{ROLE_ITEMS}{id}")).await?.ok_or(TokenError::Unknown)?;
        let stored: StoredRole = decode(&stored)?;
        // Comparing hashes of random secrets tells an attacker nothing about the secret by its time.
        if stored.hash != hash(secret) {
            return Err(TokenError::Unknown);
        }
        match end_of(stored.expires) {
            Some(at) if at <= now => Err(TokenError::Expired { at, now }),
            _ => Ok(Grant { id: id.to_owned(), role: stored.role }),
        }
    }

    /// All tokens that have not ended, by id.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(&self, now: Timestamp) -> Result<Vec<TokenRecord>, TokenError> {
        let mut tokens = self.records().await?;
        tokens.retain(|(_, token)| token.expires_at.is_none_or(|at| at > now));
        let mut tokens: Vec<_> = tokens.into_iter().map(|(_, token)| token).collect();
        tokens.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(tokens)
    }

    /// Ends a token; says whether there was one.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn revoke(&self, id: &str, by: Actor) -> Result<bool, TokenError> {
        let join = self.store.remove_item(&format!("{JOIN_ITEMS}{id}"), by.clone()).await?;
        Ok(self.store.remove_item(&format!("{ROLE_ITEMS}{id}"), by).await? || join)
    }

    async fn forget_expired(&self, by: &Actor) -> Result<(), TokenError> {
        for (key, token) in self.records().await? {
            if token.expires_at.is_some_and(|at| at <= by.at) {
                self.store.remove_item(&key, by.clone()).await?;
            }
        }
        Ok(())
    }

    async fn records(&self) -> Result<Vec<(String, TokenRecord)>, TokenError> {
        let mut records = Vec::new();
        for (key, value) in self.store.items(JOIN_ITEMS).await? {
            let stored: StoredJoin = decode(&value)?;
            let id = key.trim_start_matches(JOIN_ITEMS).to_owned();
            let grants = format!("join {}", stored.service);
            records.push((key, TokenRecord { id, grants, expires_at: end_of(Some(stored.expires)) }));
        }
        for (key, value) in self.store.items(ROLE_ITEMS).await? {
            let stored: StoredRole = decode(&value)?;
            let id = key.trim_start_matches(ROLE_ITEMS).to_owned();
            let grants = stored.role.as_str().to_owned();
            records.push((key, TokenRecord { id, grants, expires_at: end_of(stored.expires) }));
        }
        Ok(records)
    }
}

impl Role {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Admin => "admin",
        }
    }
}

fn parse_role(text: &str) -> Option<(&str, &str)> {
    let text = Some(text.trim()).filter(|text| text.len() <= ROLE_TOKEN_BYTES_MAX)?;
    let (id, secret) = text.strip_prefix(ROLE_PREFIX)?.split_once('.')?;
    (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some((id, secret))
}

fn service_text(service: &ServiceRef) -> String {
    format!("{}/{}", service.namespace, service.name)
}

fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Ends are whole seconds, as they are stored.
fn end_after(now: Timestamp, lifetime: SignedDuration) -> Timestamp {
    let end = now + lifetime.min(LIFETIME_MAX);
    Timestamp::from_second(end.as_second()).unwrap_or(end)
}

fn end_of(expires: Option<i64>) -> Option<Timestamp> {
    expires.map(|second| Timestamp::from_second(second).unwrap_or(Timestamp::MIN))
}

fn encode(record: &impl Serialize) -> Result<Vec<u8>, TokenError> {
    serde_json::to_vec(record).map_err(|error| TokenError::Record(error.to_string()))
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, TokenError> {
    serde_json::from_slice(bytes).map_err(|error| TokenError::Record(error.to_string()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::mesh::identity::{authority, spiffe};
    use crate::mesh::store::redb::RedbStore;

    async fn tokens(directory: &tempfile::TempDir) -> Tokens {
        let store = RedbStore::open(&directory.path().join("state.redb"), None).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let vault = Arc::new(Vault::from_key(&[3; 32]).unwrap());
        let authority = Authority::open(&*store, &vault, authority::LIFETIME_DEFAULT, at(0)).await.unwrap();
        Tokens::new(store, vault, Arc::new(authority))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn somebody(second: i64) -> Actor {
        Actor { name: "test".to_owned(), at: at(second) }
    }

    #[tokio::test]
    async fn a_join_token_is_good_for_its_service_until_it_ends_or_is_revoked() {
        let directory = tempfile::tempdir().unwrap();
        let tokens = tokens(&directory).await;
        let orders = spiffe::parse_service("shop/orders").unwrap();
        let cart = spiffe::parse_service("shop/cart").unwrap();
        let lifetime = SignedDuration::from_secs(100);
        let new = tokens.issue_join(orders.clone(), lifetime, "https://cp", somebody(0)).await.unwrap();
        assert_eq!(tokens.check_join(&new.text, &orders, at(99)).await.unwrap().id, new.id);
        let other = tokens.check_join(&new.text, &cart, at(99)).await.unwrap_err();
        assert_eq!(other.code(), "token-other-service");
        assert!(other.to_string().contains("shop/orders") && other.to_string().contains("shop/cart"));
        assert_eq!(tokens.check_join(&new.text, &orders, at(100)).await.unwrap_err().code(), "token-expired");
        assert!(tokens.revoke(&new.id, somebody(50)).await.unwrap());
        assert_eq!(tokens.check_join(&new.text, &orders, at(99)).await.unwrap_err().code(), "token-revoked");
        assert!(!tokens.revoke(&new.id, somebody(50)).await.unwrap());
    }

    #[tokio::test]
    async fn a_role_token_is_known_by_its_secret_and_the_store_does_not_have_it() {
        let directory = tempfile::tempdir().unwrap();
        let tokens = tokens(&directory).await;
        let admin = tokens.issue_role(Role::Admin, None, somebody(0)).await.unwrap();
        let reader =
            tokens.issue_role(Role::Reader, Some(SignedDuration::from_secs(10)), somebody(0)).await.unwrap();
        assert_eq!(tokens.check_role(&admin.text, at(1 << 33)).await.unwrap().role, Role::Admin);
        assert_eq!(tokens.check_role(&reader.text, at(9)).await.unwrap().role, Role::Reader);
        assert_eq!(tokens.check_role(&reader.text, at(10)).await.unwrap_err().code(), "token-expired");
        let forged = format!("{}x", admin.text);
        assert_eq!(tokens.check_role(&forged, at(0)).await.unwrap_err().code(), "token-unknown");
        for odd in ["", "chancery-role-1.", "chancery-role-1.zz.x", "chancery-role-1.../x.y"] {
            assert_eq!(tokens.check_role(odd, at(0)).await.unwrap_err().code(), "token-malformed", "{odd}");
        }
        let secret = admin.text.rsplit('.').next().unwrap();
        for value in tokens.store.items("").await.unwrap().values() {
            assert!(!String::from_utf8_lossy(value).contains(secret));
        }
        let grants: Vec<_> =
            tokens.list(at(10)).await.unwrap().into_iter().map(|token| token.grants).collect();
        assert_eq!(grants, ["admin"], "the reader's token has ended");
    }
}
