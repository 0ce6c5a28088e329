//! The ready filter `hmac-auth`: only signed requests pass.
//!
#![doc = include_str!("../README.md")]
//!
//! ```text
//! headers ── fields ──> signature-input, signature ── signature ──> authentic ─┐
//! body ─── digest ──> is the one that was signed ──────────────────────────────┼─ replays ──> goes on
//! ```

pub mod fields;

mod config;
mod digest;
mod replays;
mod signature;

use chancery_sdk::{Answer, ConfigError, Counter, Headers, Host, HttpFilter, Level, Next, Proxy, Whole};
pub use config::Config;
use config::Settings;
use replays::Freshness;
use signature::Signed;

/// What the client is told, whatever the reason: who tries out keys learns nothing.
const REFUSED: &str = "the request is not signed, or its signature is not valid\n";
/// What the client is told when it may try again.
const BUSY: &str = "too many signed requests; try again\n";

/// The filter.
#[derive(Debug)]
pub struct HmacAuth {
    settings: Settings,
    admitted: Counter,
    /// One for each refusal, in the order of [`Refusal::ALL`].
    refused: [Counter; Refusal::ALL.len()],
}

/// Why a request does not pass; each has a counter of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no signature, or a header of it occurs several times.
    Unsigned,
    /// The headers of the signature cannot be read.
    Malformed,
    /// No signature is by a key that is known, or by another algorithm.
    UnknownKey,
    /// It says no time, or one that is too long ago or too far ahead.
    OutOfTime,
    /// It leaves out what must be signed, or names what is not supported or not there.
    Uncovered,
    /// It is not the signature of this request.
    Wrong,
    /// The body is not the one that was signed.
    OtherBody,
    /// The same request came before.
    Replayed,
    /// There is no room to remember the request.
    Busy,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 9] = [
        Self::Unsigned,
        Self::Malformed,
        Self::UnknownKey,
        Self::OutOfTime,
        Self::Uncovered,
        Self::Wrong,
        Self::OtherBody,
        Self::Replayed,
        Self::Busy,
    ];

    /// Its name in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown-key",
            Self::OutOfTime => "out-of-time",
            Self::Uncovered => "uncovered",
            Self::Wrong => "wrong",
            Self::OtherBody => "other-body",
            Self::Replayed => "replayed",
            Self::Busy => "busy",
        }
    }
}

impl<H: Host> HttpFilter<H> for HmacAuth {
    type Config = Config;
    /// What was signed, until the body has come.
    type State = Option<Signed>;

    fn configure(config: Config, proxy: Proxy<'_, H>) -> Result<Self, ConfigError> {
        let refused =
            Refusal::ALL.map(|refusal| proxy.counter(&format!("hmac-auth.refused.{}", refusal.name())));
        Ok(Self {
            settings: Settings::try_from(config)?,
            admitted: proxy.counter("hmac-auth.admitted"),
            refused,
        })
    }

    fn request_headers(&self, state: &mut Option<Signed>, request: Headers<'_, H>) -> Next {
        match signature::verify(&self.settings, &request.all(), request.unix_seconds()) {
            Err(refusal) => self.refuse(&request, refusal),
            Ok(signed) if request.is_last() => self.conclude(request, &signed, b""),
            Ok(signed) => {
                *state = Some(signed);
                Next::Collect { bytes_max: self.settings.body_bytes_max }
            }
        }
    }

    fn request(&self, state: &mut Option<Signed>, request: Whole<'_, H>) -> Next {
        match state.take() {
            Some(signed) => self.conclude(request.headers(), &signed, &request.body().read()),
            None => self.refuse(&request, Refusal::Unsigned),
        }
    }
}

impl HmacAuth {
    /// Lets an authentic request go on if its body is the signed one and it did not come before. Only then it is remembered:
    /// a copy with another body must not use up the original.
    fn conclude<H: Host>(&self, request: Headers<'_, H>, signed: &Signed, body: &[u8]) -> Next {
        if !signed.is_of_body(body) {
            return self.refuse(&request, Refusal::OtherBody);
        }
        let now = request.unix_seconds();
        match replays::remember(&request, signed.mac(), now, signed.remembered_until()) {
            Freshness::New => {}
            Freshness::Replayed => return self.refuse(&request, Refusal::Replayed),
            Freshness::NoRoom => return self.refuse(&request, Refusal::Busy),
        }
        request.count(self.admitted, 1);
        if let Some(header) = &self.settings.key_header {
            request.set(header, signed.key());
        }
        Next::Continue
    }

    fn refuse<H: Host>(&self, proxy: &Proxy<'_, H>, refusal: Refusal) -> Next {
        if let Some(counter) = self.refused.get(refusal as usize) {
            proxy.count(*counter, 1);
        }
        proxy.log(Level::Debug, format_args!("a request is refused: {}", refusal.name()));
        Next::Answer(match refusal {
            Refusal::Busy => Answer::new(503).header("retry-after", "1").text(BUSY),
            _ => Answer::new(401).text(REFUSED),
        })
    }
}

chancery_sdk::http_filter!(HmacAuth);
