//! A registry, spoken to as the OCI distribution specification says: manifests, blobs, and tokens for both.

use super::OciError;
use chancery_oci::manifest::{ACCEPTED, MANIFEST_BYTES_MAX};
use chancery_oci::reference::is_local;
use chancery_oci::{
    Challenge, Credentials, Descriptor, Digest, Login, Manifest, ManifestError, Packing, Reference, Version,
    module_of,
};
use chancery_sdk_admission::limits::MODULE_BYTES_MAX;
use reqwest::header::{ACCEPT, HeaderMap, WWW_AUTHENTICATE};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url};
use rustls::crypto::ring;
use serde::Deserialize;
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take, with all that is in it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How often an answer may lead elsewhere, as to where blobs are kept.
const REDIRECTS_MAX: usize = 5;
/// Bytes of a token with what is said about it.
const TOKEN_BYTES_MAX: usize = 256 * 1024;
/// How many indexes may lead to a manifest.
const INDEXES_MAX: usize = 2;
/// Bytes of a layer as it is sent: what can be no larger unpacked is no larger packed.
const LAYER_BYTES_MAX: u64 = MODULE_BYTES_MAX as u64 + (1 << 20);
/// Bytes of a file with logins.
const CREDENTIALS_BYTES_MAX: u64 = 1 << 20;
/// In which header a registry says of what digest its answer is.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// A module and where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The module.
    pub module: Vec<u8>,
    /// The digest of the manifest or index that the reference stands for.
    pub manifest: Digest,
}

/// A registry of which modules of one repository are wanted.
#[derive(Debug)]
pub struct Registry {
    http: Client,
    reference: Reference,
    /// Where its API is: `https://host/v2/name`.
    base: String,
    shown: Shown,
}

/// What the registry is shown.
struct Shown {
    login: Option<Login>,
    authorization: Option<Authorization>,
}

#[derive(Clone)]
enum Authorization {
    Basic(Login),
    Bearer(String),
}

/// Bytes that are wanted, and what is known of them.
struct Wanted<'a> {
    what: &'a str,
    url: String,
    accept: String,
    bytes_max: usize,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

/// What registries are shown: a file as `docker login` writes it.
///
/// # Errors
/// If it cannot be read, or is not one.
pub fn read_credentials(path: &Path) -> Result<Credentials, OciError> {
    let failed = |detail: String| OciError::Credentials { path: path.display().to_string(), detail };
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    file.take(CREDENTIALS_BYTES_MAX).read_to_end(&mut text).map_err(|error| failed(error.to_string()))?;
    Credentials::parse(&text).map_err(failed)
}

impl Registry {
    /// The registry of a reference; `roots` are certificates (PEM) that are trusted beside those of this machine.
    ///
    /// # Errors
    /// If the certificates cannot be used.
    pub fn of(reference: Reference, credentials: &Credentials, roots: &[u8]) -> Result<Self, OciError> {
        // Whoever was first installed the same.
        let _installed = ring::default_provider().install_default();
        let host = reference.host.clone();
        let unusable =
            |error: reqwest::Error| OciError::Unreachable { host: host.clone(), detail: chain(&error) };
        let is_local = reference.is_local();
        let mut builder = Client::builder()
            .https_only(!is_local)
            .redirect(Policy::custom(move |attempt| redirect(attempt, is_local)))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .user_agent(concat!("chancery/", env!("CARGO_PKG_VERSION")));
        if is_local {
            builder = builder.no_proxy();
        }
        if !roots.is_empty() {
            builder = builder.tls_certs_merge(Certificate::from_pem_bundle(roots).map_err(unusable)?);
        }
        // Nobody listens on this machine; anywhere else it is TLS or nothing.
        let scheme = if is_local && roots.is_empty() { "http" } else { "https" };
        let base = format!("{scheme}://{}/v2/{}", reference.host, reference.name);
        let login = credentials.of(&reference.host).cloned();
        let shown = Shown { login, authorization: None };
        Ok(Self { http: builder.build().map_err(unusable)?, reference, base, shown })
    }

    /// Gets the module that the reference stands for.
    ///
    /// # Errors
    /// If it cannot be had, or is none.
    pub async fn pull(&mut self) -> Result<Pulled, OciError> {
        let what = self.reference.to_string();
        let mut version = self.reference.version.clone();
        let mut first = None;
        for _ in 0..=INDEXES_MAX {
            let (bytes, digest) = self.manifest(&version, &what).await?;
            first.get_or_insert(digest);
            let manifest = Manifest::read(&bytes).map_err(|error| match error {
                ManifestError::Odd(detail) => self.odd(&what, detail),
                ManifestError::NoModule(detail) => OciError::NoModule { what: what.clone(), detail },
            })?;
            match manifest {
                Manifest::Index(descriptor) => version = Version::Digest(descriptor.digest),
                Manifest::Module(layer, packing) => {
                    let module = self.module(layer, packing, &what).await?;
                    return Ok(Pulled { module, manifest: first.unwrap_or(digest) });
                }
            }
        }
        Err(self.odd(&what, format!("more than {INDEXES_MAX} indexes lead to no manifest")))
    }

    async fn manifest(&mut self, version: &Version, what: &str) -> Result<(Vec<u8>, Digest), OciError> {
        let url = format!("{}/manifests/{version}", self.base);
        let wanted = Wanted { what, url, accept: ACCEPTED.join(", "), bytes_max: MANIFEST_BYTES_MAX };
        let (bytes, headers) = self.get(&wanted).await?;
        let digest = Digest::of(&bytes);
        if let Version::Digest(asked) = version
            && *asked != digest
        {
            return Err(self.odd(what, format!("it has the digest {digest}, not the one that was asked for")));
        }
        let stated = headers.get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
        let stated = stated.and_then(|value| value.parse::<Digest>().ok());
        if stated.is_some_and(|stated| stated != digest) {
            return Err(self.odd(what, "it has not the digest that the registry says".to_owned()));
        }
        Ok((bytes, digest))
    }

    async fn module(&mut self, layer: Descriptor, packing: Packing, what: &str) -> Result<Vec<u8>, OciError> {
        if layer.size > LAYER_BYTES_MAX {
            let detail = format!("its layer has {} bytes, more than a module may have", layer.size);
            return Err(OciError::NoModule { what: what.to_owned(), detail });
        }
        let bytes_max = usize::try_from(layer.size).unwrap_or(usize::MAX);
        let url = format!("{}/blobs/{}", self.base, layer.digest);
        let wanted = Wanted { what, url, accept: "*/*".to_owned(), bytes_max };
        let (bytes, _) = self.get(&wanted).await?;
        if Digest::of(&bytes) != layer.digest {
            return Err(self.odd(what, "the layer has not the digest that the manifest says".to_owned()));
        }
        let module = module_of(&bytes, packing, MODULE_BYTES_MAX as u64);
        let no_module = |detail: String| OciError::NoModule { what: what.to_owned(), detail };
        module.map(|module| module.into_owned()).map_err(|error| no_module(error.to_string()))
    }

    /// Gets bytes; shows the registry what it wants to be shown.
    async fn get(&mut self, wanted: &Wanted<'_>) -> Result<(Vec<u8>, HeaderMap), OciError> {
        let mut response = self.send(wanted).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.shown.authorization = Some(self.authorization(&response, wanted.what).await?);
            response = self.send(wanted).await?;
        }
        match response.status() {
            status if status.is_success() => {}
            StatusCode::NOT_FOUND => {
                let (host, what) = (self.reference.host.clone(), wanted.what.to_owned());
                return Err(OciError::NotThere { host, what });
            }
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(self.denied(wanted.what, status));
            }
            status => return Err(self.odd(wanted.what, format!("it answered {status}"))),
        }
        let headers = response.headers().clone();
        let bytes = self.read(response, wanted.what, wanted.bytes_max).await?;
        Ok((bytes, headers))
    }

    async fn send(&self, wanted: &Wanted<'_>) -> Result<Response, OciError> {
        let request = self.http.get(&wanted.url).header(ACCEPT, &wanted.accept);
        let request = match &self.shown.authorization {
            Some(authorization) => authorization.put_on(request),
            None => request,
        };
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    /// What to show to whoever asked for it.
    async fn authorization(&self, response: &Response, what: &str) -> Result<Authorization, OciError> {
        let asked = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let mut challenges = asked.filter_map(|value| Challenge::read(value.to_str().ok()?));
        let challenge = challenges.next().ok_or_else(|| self.denied(what, response.status()))?;
        match challenge {
            Challenge::Basic => {
                let login = self.shown.login.clone().ok_or_else(|| self.denied(what, response.status()))?;
                Ok(Authorization::Basic(login))
            }
            Challenge::Bearer { realm, service, scope } => {
                let mut url = Url::parse(&realm)
                    .map_err(|_| self.odd(what, "it sends to no URL for a token".to_owned()))?;
                let is_safe = url.scheme() == "https"
                    || (self.reference.is_local() && url.host_str().is_some_and(is_local));
                if !is_safe {
                    return Err(self.odd(what, "it sends elsewhere for a token without TLS".to_owned()));
                }
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.reference.name));
                let pairs = service.iter().map(|service| ("service", service)).chain([("scope", &scope)]);
                url.query_pairs_mut().extend_pairs(pairs);
                self.token(url, what).await.map(Authorization::Bearer)
            }
        }
    }

    async fn token(&self, url: Url, what: &str) -> Result<String, OciError> {
        let request = self.http.get(url);
        let request = match &self.shown.login {
            Some(login) => request.basic_auth(&login.name, Some(&login.password)),
            None => request,
        };
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.denied(what, response.status()));
        }
        let bytes = self.read(response, what, TOKEN_BYTES_MAX).await?;
        let answer: Option<TokenAnswer> = serde_json::from_slice(&bytes).ok();
        let token = answer.and_then(|answer| answer.token.or(answer.access_token));
        let is_token =
            |token: &String| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        token.filter(is_token).ok_or_else(|| self.odd(what, "it gives no token".to_owned()))
    }

    /// The bytes of an answer, and no more than may be.
    async fn read(&self, mut response: Response, what: &str, bytes_max: usize) -> Result<Vec<u8>, OciError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if bytes.len() + chunk.len() > bytes_max {
                return Err(self.odd(what, format!("it has more than {bytes_max} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn unreachable(&self, error: &reqwest::Error) -> OciError {
        OciError::Unreachable { host: self.reference.host.clone(), detail: chain(error) }
    }

    fn denied(&self, what: &str, status: StatusCode) -> OciError {
        let (host, what) = (self.reference.host.clone(), what.to_owned());
        OciError::Denied { host, what, status: status.as_u16() }
    }

    fn odd(&self, what: &str, detail: String) -> OciError {
        OciError::Odd { host: self.reference.host.clone(), what: what.to_owned(), detail }
    }
}

impl Authorization {
    fn put_on(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Basic(login) => request.basic_auth(&login.name, Some(&login.password)),
            Self::Bearer(token) => request.bearer_auth(token),
        }
    }
}

/// Goes where an answer leads, but not from TLS to what is said in the clear, and not for ever.
fn redirect(attempt: Attempt<'_>, is_local: bool) -> reqwest::redirect::Action {
    if attempt.previous().len() > REDIRECTS_MAX {
        return attempt.error("it leads elsewhere too often");
    }
    let is_safe = attempt.url().scheme() == "https"
        || (is_local && attempt.url().host_str().is_some_and(self::is_local));
    if is_safe { attempt.follow() } else { attempt.error("it leads elsewhere without TLS") }
}

/// An error with its causes, without the URL, which may have a signature in it.
fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    if causes.is_empty() { "it does not answer as one does".to_owned() } else { causes.join(": ") }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shown").field("has_login", &self.login.is_some()).finish_non_exhaustive()
    }
}
