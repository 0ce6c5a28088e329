//! The ready filter `json-guard`: bodies of requests are JSON within limits, and as their schemas say.
//!
#![doc = include_str!("../README.md")]
//!
//! ```text
//! headers ── config: is it JSON, and of which schema ─┐
//! body ── chancery_sdk::json ──> events ── validate ──┴─> goes on, or an answer with the place
//! configuration ── schema ──> nodes, automata
//! ```

pub mod schema;
pub mod validate;

mod config;
mod refusal;

use chancery_sdk::media::BodyKind;
use chancery_sdk::{Answer, ConfigError, Counter, Headers, Host, HttpFilter, Level, Next, Proxy, Whole};
use config::Settings;
pub use config::{BYTES_MAX, Config, VALUES_MAX};
pub use refusal::Refusal;
use validate::Finding;

/// The filter.
#[derive(Debug)]
pub struct JsonGuard {
    settings: Settings,
    admitted: Counter,
    /// One for each refusal, in the order of [`Refusal::ALL`].
    refused: [Counter; Refusal::ALL.len()],
}

/// What is remembered of a request until its body has come.
#[derive(Debug, Default)]
pub struct Awaited {
    /// Whether its body is awaited.
    is_awaited: bool,
    /// The number of its schema.
    route: Option<usize>,
}

impl<H: Host> HttpFilter<H> for JsonGuard {
    type Config = Config;
    type State = Awaited;

    fn configure(config: Config, proxy: Proxy<'_, H>) -> Result<Self, ConfigError> {
        let counter = |refusal: Refusal| proxy.counter(&format!("json-guard.refused.{}", refusal.name()));
        Ok(Self {
            settings: Settings::try_from(config)?,
            admitted: proxy.counter("json-guard.admitted"),
            refused: Refusal::ALL.map(counter),
        })
    }

    fn request_headers(&self, state: &mut Awaited, request: Headers<'_, H>) -> Next {
        let headers = request.all();
        let settings = &self.settings;
        let route = settings.route(&headers);
        if request.is_last() {
            return match route {
                Some(_) => self.refuse(&request, Refusal::NoBody, None),
                None => Next::Continue,
            };
        }
        match settings.content_types.kind(&headers) {
            BodyKind::Listed if route.is_none() && !settings.passes_without_schema => {
                self.refuse(&request, Refusal::WithoutSchema, None)
            }
            BodyKind::Listed if stated_length(&headers).is_some_and(|length| length > settings.bytes_max) => {
                self.refuse(&request, Refusal::TooLong, None)
            }
            BodyKind::Listed => {
                *state = Awaited { is_awaited: true, route };
                Next::Collect { bytes_max: settings.bytes_max }
            }
            // What has a schema must be read, whatever else may pass.
            BodyKind::Encoded if settings.passes_compressed && route.is_none() => Next::Continue,
            BodyKind::Encoded => self.refuse(&request, Refusal::Compressed, None),
            BodyKind::Other if settings.passes_other_content_types && route.is_none() => Next::Continue,
            BodyKind::Other => self.refuse(&request, Refusal::ContentType, None),
        }
    }

    fn request(&self, state: &mut Awaited, request: Whole<'_, H>) -> Next {
        state.is_awaited = false;
        let Settings { limits, may_repeat_members, .. } = self.settings;
        let schema = self.settings.schema(state.route);
        let body = request.body().read();
        if body.is_empty() && schema.is_none() {
            return Next::Continue;
        }
        match validate::validate(&body, limits, may_repeat_members, schema) {
            Ok(()) => {
                request.count(self.admitted, 1);
                Next::Continue
            }
            Err(finding) => self.refuse(&request, Refusal::of(finding.problem), Some(&finding)),
        }
    }

    /// Counts bodies that were found too long only while they came: those the SDK has answered.
    fn response_headers(&self, state: &mut Awaited, response: Headers<'_, H>) -> Next {
        if std::mem::take(&mut state.is_awaited) && response.first(":status").as_deref() == Some(b"413") {
            self.count(&response, Refusal::TooLong);
        }
        Next::Continue
    }
}

impl JsonGuard {
    fn refuse<H: Host>(&self, proxy: &Proxy<'_, H>, refusal: Refusal, finding: Option<&Finding>) -> Next {
        self.count(proxy, refusal);
        let at = finding.map_or(0, |finding| finding.at);
        proxy.log(Level::Debug, format_args!("a request is refused: {}, byte {at}", refusal.name()));
        let answer: Answer = refusal.answer(finding);
        Next::Answer(answer)
    }

    fn count<H: Host>(&self, proxy: &Proxy<'_, H>, refusal: Refusal) {
        if let Some(counter) = self.refused.get(refusal as usize) {
            proxy.count(*counter, 1);
        }
    }
}

/// What the headers say of the body's length.
fn stated_length(headers: &chancery_sdk::HeaderMap) -> Option<usize> {
    std::str::from_utf8(headers.first("content-length")?).ok()?.parse().ok()
}

chancery_sdk::http_filter!(JsonGuard);
