//! A client of the REST API, for the command line and for joining sidecars.
//!
//! What fails for its time is told with both clocks. That of the control plane stands in its refusal; where its
//! certificate does not fit the clock of this machine, in the `date` of an answer that is got for nothing else.

mod lines;

pub use lines::Lines;

use super::types::ErrorBody;
use crate::mesh::identity::validity::to_seconds;
use crate::mesh::identity::{Clocks, IdentityError, is_about_time, tls};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
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
/// How long it may take to ask what time it is at the control plane.
const CLOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// The codes of refusals for the time alone.
const TIME_CODES: [&str; 4] = ["token-expired", "certificate-expired", "certificate-not-valid-yet", "clock"];

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
    root_pem: String,
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
    /// Its certificate, or one that it issued, is not valid by the clock of this machine.
    #[error("{what} {complaint}, and {clocks}")]
    Clock {
        /// Whose certificate.
        what: String,
        /// What is wrong with its time.
        complaint: String,
        /// What the clocks say.
        clocks: Clocks,
    },
    /// It answered that it would not.
    #[error("{}", .body.message)]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// Why.
        body: Box<ErrorBody>,
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
        Ok(Self { http, url, root_pem: root_pem.to_owned(), token })
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
        match self.send(self.request(Method::GET, path)).await?.text().await {
            Ok(text) => Ok(text),
            Err(error) => Err(self.unreachable(&error).await),
        }
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
        match self.send(request).await?.bytes().await {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| ClientError::Odd { url: self.url.clone(), detail: error.to_string() }),
            Err(error) => Err(self.unreachable(&error).await),
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, ClientError> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(self.unreachable(&error).await),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = match response.bytes().await {
            Ok(bytes) => bytes,
            Err(error) => return Err(self.unreachable(&error).await),
        };
        match serde_json::from_slice::<Box<ErrorBody>>(&bytes) {
            Ok(mut body) => {
                // It says what the clock says where it was refused.
                if TIME_CODES.contains(&body.code.as_str()) {
                    let here = to_seconds(Timestamp::now());
                    body.message = format!("{}; the clock of this machine says {here}", body.message);
                }
                Err(ClientError::Refused { status, body })
            }
            Err(_) => {
                Err(ClientError::Odd { url: self.url.clone(), detail: format!("it answered {status}") })
            }
        }
    }

    async fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let url = self.url.clone();
        match wrong_certificate(error) {
            Some(wrong) if is_about_time(wrong) => untimely(&url, &self.root_pem, wrong).await,
            Some(wrong) => ClientError::Untrusted { url, detail: wrong.to_string() },
            None => ClientError::Unreachable { url, detail: chain(error) },
        }
    }
}

/// What a failure to connect means that is one of time; `None` if it is another.
pub async fn failed_for_its_time(
    url: &str,
    root_pem: &str,
    error: &(dyn Error + Send + Sync + 'static),
) -> Option<ClientError> {
    let wrong = wrong_certificate(error).filter(|wrong| is_about_time(wrong))?;
    Some(untimely(url, root_pem, wrong).await)
}

/// The control plane's certificate is refused for its time: says what is wrong, with both clocks.
async fn untimely(url: &str, root_pem: &str, wrong: &rustls::Error) -> ClientError {
    use rustls::CertificateError::{ExpiredContext, NotValidYetContext};
    let moment = |time: &rustls::pki_types::UnixTime| {
        i64::try_from(time.as_secs()).ok().and_then(|second| Timestamp::from_second(second).ok())
    };
    let complaint = match wrong {
        rustls::Error::InvalidCertificate(ExpiredContext { not_after, .. }) => {
            moment(not_after).map(|at| format!("ended at {at}"))
        }
        rustls::Error::InvalidCertificate(NotValidYetContext { not_before, .. }) => {
            moment(not_before).map(|at| format!("is not valid before {at}"))
        }
        _ => None,
    };
    ClientError::Clock {
        what: format!("the certificate of the control plane at {url}"),
        complaint: complaint.unwrap_or_else(|| "is not valid now".to_owned()),
        clocks: Clocks { here: Timestamp::now(), control_plane: clock_of(url, root_pem).await },
    }
}

/// What time it is at the control plane; `None` if it does not say. All of its certificate is verified but the time.
pub async fn clock_of(url: &str, root_pem: &str) -> Option<Timestamp> {
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::clock_reader_config(root_pem).ok()?)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(CLOCK_TIMEOUT)
        .build();
    let response = http.ok()?.get(format!("{url}/healthz")).send().await;
    date_of(&response.ok()?)
}

fn date_of(response: &reqwest::Response) -> Option<Timestamp> {
    let date = response.headers().get(reqwest::header::DATE)?;
    rfc2822::DateTimeParser::new().parse_timestamp(date.as_bytes()).ok()
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
fn wrong_certificate<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(wrong @ rustls::Error::InvalidCertificate(_)) = carried(cause).downcast_ref() {
            return Some(wrong);
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
