//! The ready filter `graphql-guard`: GraphQL requests are within depth and cost.
//!
#![doc = include_str!("../README.md")]
//!
//! ```text
//! target ─┐
//! body ───┴ transport ──> requests ── lexer, document ──> fields ── measure ──> depth, cost ── guard ──> goes on, or an answer
//! ```

pub mod document;
pub mod json;
pub mod lexer;
pub mod measure;
pub mod transport;

mod config;
mod guard;
mod refusal;

use chancery_sdk::media::BodyKind;
use chancery_sdk::{ConfigError, Counter, HeaderMap, Headers, Host, HttpFilter, Level, Next, Proxy, Whole};
use config::Settings;
pub use config::{BYTES_MAX, Config, TOKENS_MAX};
use guard::Refused;
pub use refusal::{Location, Refusal};

/// The filter.
#[derive(Debug)]
pub struct GraphqlGuard {
    settings: Settings,
    admitted: Counter,
    /// One for each refusal, in the order of [`Refusal::ALL`].
    refused: [Counter; Refusal::ALL.len()],
}

/// Whether the body of a request is awaited.
#[derive(Debug, Default)]
pub struct Awaited(bool);

impl<H: Host> HttpFilter<H> for GraphqlGuard {
    type Config = Config;
    type State = Awaited;

    fn configure(config: Config, proxy: Proxy<'_, H>) -> Result<Self, ConfigError> {
        let counter = |refusal: Refusal| proxy.counter(&format!("graphql-guard.refused.{}", refusal.name()));
        Ok(Self {
            settings: Settings::try_from(config)?,
            admitted: proxy.counter("graphql-guard.admitted"),
            refused: Refusal::ALL.map(counter),
        })
    }

    fn request_headers(&self, state: &mut Awaited, request: Headers<'_, H>) -> Next {
        let headers = request.all();
        let text = |name: &str| headers.first(name).and_then(|value| std::str::from_utf8(value).ok());
        let (path, rest) = transport::split(text(":path").unwrap_or_default());
        if !self.settings.is_of(path) {
            return Next::Continue;
        }
        // A target has no fragment; services differ in what they make of one.
        if rest.contains('#') {
            return self.refuse(&request, Refusal::Malformed.into());
        }
        let query = rest.strip_prefix('?').unwrap_or(rest);
        let method = text(":method").unwrap_or_default();
        let becomes_other = method == "CONNECT" || headers.first("upgrade").is_some();
        match method {
            _ if becomes_other && self.settings.passes_upgrades => Next::Continue,
            _ if becomes_other => self.refuse(&request, Refusal::Upgrade.into()),
            "POST" => match self.begin_post(&headers, query, request.is_last()) {
                Ok(()) => {
                    state.0 = true;
                    Next::Collect { bytes_max: self.settings.bytes_max }
                }
                Err(refusal) => self.refuse(&request, refusal.into()),
            },
            "GET" | "HEAD" if request.is_last() => self.get(&request, query),
            "OPTIONS" if request.is_last() => Next::Continue,
            _ => self.refuse(&request, Refusal::Method.into()),
        }
    }

    fn request(&self, state: &mut Awaited, request: Whole<'_, H>) -> Next {
        state.0 = false;
        let requests = transport::of_body(&request.body().read(), self.settings.batch_max);
        let checked = requests.map_err(Refused::from);
        self.conclude(&request, checked.and_then(|requests| guard::check(&self.settings, &requests, false)))
    }

    /// Counts bodies that were found too long only while they came: those the SDK has answered.
    fn response_headers(&self, state: &mut Awaited, response: Headers<'_, H>) -> Next {
        if std::mem::take(&mut state.0) && response.first(":status").as_deref() == Some(b"413") {
            self.count(&response, Refusal::TooLong);
        }
        Next::Continue
    }
}

impl GraphqlGuard {
    /// Whether a `POST` may be read when its body has come.
    fn begin_post(&self, headers: &HeaderMap, query: &str, is_last: bool) -> Result<(), Refusal> {
        if is_last || transport::has_parameters(query) {
            return Err(Refusal::Malformed);
        }
        if self.settings.content_types.kind(headers) != BodyKind::Listed {
            return Err(Refusal::ContentType);
        }
        let length = headers.first("content-length").and_then(|value| std::str::from_utf8(value).ok());
        let is_long = length
            .and_then(|length| length.parse().ok())
            .is_some_and(|length: usize| length > self.settings.bytes_max);
        if is_long { Err(Refusal::TooLong) } else { Ok(()) }
    }

    /// A `GET` without a request in its target is a page, and nothing to this filter.
    fn get<H: Host>(&self, request: &Headers<'_, H>, query: &str) -> Next {
        if query.len() > self.settings.bytes_max {
            return self.refuse(request, Refusal::TooLong.into());
        }
        match transport::of_target(query) {
            Ok(None) => Next::Continue,
            Ok(Some(one)) => self.conclude(request, guard::check(&self.settings, &[one], true)),
            Err(refusal) => self.refuse(request, refusal.into()),
        }
    }

    fn conclude<H: Host>(&self, proxy: &Proxy<'_, H>, checked: Result<(), Refused>) -> Next {
        match checked {
            Ok(()) => {
                proxy.count(self.admitted, 1);
                Next::Continue
            }
            Err(refused) => self.refuse(proxy, refused),
        }
    }

    fn refuse<H: Host>(&self, proxy: &Proxy<'_, H>, refused: Refused) -> Next {
        self.count(proxy, refused.refusal);
        proxy.log(Level::Debug, format_args!("a request is refused: {}", refused.refusal.name()));
        Next::Answer(refused.refusal.answer(refused.location))
    }

    fn count<H: Host>(&self, proxy: &Proxy<'_, H>, refusal: Refusal) {
        if let Some(counter) = self.refused.get(refusal as usize) {
            proxy.count(*counter, 1);
        }
    }
}

chancery_sdk::http_filter!(GraphqlGuard);
