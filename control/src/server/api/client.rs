//! A client of the REST API, for the command line and for joining sidecars.

use super::types::ErrorBody;
use crate::mesh::identity::{IdentityError, tls};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::time::Duration;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request may take; applying many policies compiles them first.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// What a caller shows.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Nothing: joining shows its token in the request.
    None,
    /// A role token.
    Token(String),
    /// A client certificate and its key, PEM.
    Certificate {
        /// The chain.
        chain_pem: String,
        /// The key.
        key_pem: String,
    },
}

/// A client of one control plane. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The control plane did not answer.
    #[error("the control plane at {url} cannot be reached: {detail}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the network said.
        detail: String,
    },
    /// Somebody else answered, or the control plane of another mesh.
    #[error("what answers at {url} is not of the mesh that was expected: {detail}")]
    Untrusted {
        /// Where.
        url: String,
        /// What is wrong with its certificate.
        detail: String,
    },
    /// It answered that it would not.
    #[error("{}", .body.message)]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// Why.
        body: ErrorBody,
    },
    /// It answered something that this client does not understand.
    #[error("the answer of {url} cannot be read: {detail}")]
    Odd {
        /// Who answered.
        url: String,
        /// What is odd.
        detail: String,
    },
    /// The certificates given to the client cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl Client {
    /// A client of the control plane at `url`, verified by the root certificate `root_pem`.
    ///
    /// # Errors
    /// If a certificate or key cannot be used.
    pub fn new(url: &str, root_pem: &str, credentials: Credentials) -> Result<Self, ClientError> {
        let (identity, token) = match &credentials {
            Credentials::None => (None, None),
            Credentials::Token(token) => (None, Some(token.clone())),
            Credentials::Certificate { chain_pem, key_pem } => {
                (Some((chain_pem.as_str(), key_pem.as_str())), None)
            }
        };
        let url = url.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(root_pem, identity)?)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .user_agent(concat!("chancery/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ClientError::Odd { url: url.clone(), detail: chain(&error) })?;
        Ok(Self { http, url, token })
    }

    /// Where the control plane is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `GET`, JSON.
    ///
    /// # Errors
    /// If the control plane does not answer, or refuses.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.json(self.request(Method::GET, path)).await
    }

    /// `GET`, text.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let response = self.send(self.request(Method::GET, path)).await?;
        response.text().await.map_err(|error| self.unreachable(&error))
    }

    /// `POST`, JSON both ways.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.json(self.request(Method::DELETE, path)).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn json<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, ClientError> {
        let bytes = self.send(request).await?.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| ClientError::Odd { url: self.url.clone(), detail: error.to_string() })
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, ClientError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        match serde_json::from_slice(&bytes) {
            Ok(body) => Err(ClientError::Refused { status, body }),
            Err(_) => {
                Err(ClientError::Odd { url: self.url.clone(), detail: format!("it answered {status}") })
            }
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let url = self.url.clone();
        match wrong_certificate(error) {
            Some(detail) => ClientError::Untrusted { url, detail },
            None => ClientError::Unreachable { url, detail: chain(error) },
        }
    }
}

/// Escapes a part of a path.
#[must_use]
pub fn escape(part: &str) -> String {
    utf8_percent_encode(part, ESCAPED).to_string()
}

/// All but what RFC 3986 calls unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An error with all its causes, without the URL that every one of them repeats.
fn chain(error: &dyn Error) -> String {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    if causes.is_empty() { error.to_string() } else { causes.join(": ") }
}

/// What is wrong with the certificate of the other side, if that is what is wrong.
fn wrong_certificate(error: &reqwest::Error) -> Option<String> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(wrong @ rustls::Error::InvalidCertificate(_)) = carried(cause).downcast_ref() {
            return Some(wrong.to_string());
        }
        next = cause.source();
    }
    None
}

/// What an I/O error carries, which is not among its sources; any other error as it is.
fn carried<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        error = inner;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_path_is_escaped_bytewise() {
        assert_eq!(escape("mesh-baseline"), "mesh-baseline");
        assert_eq!(escape("a/b é?"), "a%2Fb%20%C3%A9%3F");
    }
}
