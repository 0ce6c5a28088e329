//! The filter `once`: a request with an `idempotency-key` is done once.
//!
//! The first one goes on. Another one with the same key is answered with 409, as long as the first is under way and for a while
//! after it, whichever worker it meets. If the service fails, the key is free again, and the client may try anew.

mod slots;

use chancery_sdk::{Answer, ConfigError, Counter, Headers, Host, HttpFilter, Next, Proxy};
use slots::{Claim, Slot};

/// The header that clients put a key into.
const KEY_HEADER: &str = "idempotency-key";
/// Longer keys are refused: each is remembered whole.
const KEY_BYTES_MAX: usize = 128;
/// From here on an answer says that the service failed.
const FAILURE: u16 = 500;

/// What the operator states.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How long a key is remembered.
    remember_seconds: u64,
    /// Whether a `POST` without a key is refused.
    #[serde(default)]
    required: bool,
}

/// The filter.
#[derive(Debug)]
pub struct Once {
    config: Config,
    repeated: Counter,
}

impl<H: Host> HttpFilter<H> for Once {
    type Config = Config;
    /// Where the key of the request is remembered.
    type State = Option<Slot>;

    fn configure(config: Config, proxy: Proxy<'_, H>) -> Result<Self, ConfigError> {
        if config.remember_seconds == 0 {
            return Err(ConfigError::at("remember_seconds", "must be at least 1"));
        }
        Ok(Self { config, repeated: proxy.counter("once.repeated") })
    }

    fn request_headers(&self, claimed: &mut Option<Slot>, request: Headers<'_, H>) -> Next {
        let headers = request.all();
        let key = match headers.only(KEY_HEADER) {
            Ok(Some(key)) if !key.is_empty() && key.len() <= KEY_BYTES_MAX => key,
            Ok(None) if !self.config.required || headers.first(":method") != Some(b"POST") => {
                return Next::Continue;
            }
            _ => {
                return Next::Answer(
                    Answer::new(400).text("one idempotency-key of at most 128 bytes is needed\n"),
                );
            }
        };
        let now = request.unix_seconds();
        match slots::claim(&request, key, now, now.saturating_add(self.config.remember_seconds)) {
            Claim::First(slot) => {
                *claimed = Some(slot);
                Next::Continue
            }
            Claim::Repeated => {
                request.count(self.repeated, 1);
                Next::Answer(Answer::new(409).text("a request with this idempotency-key was made already\n"))
            }
            Claim::NoRoom => Next::Answer(Answer::new(503).header("retry-after", "1")),
        }
    }

    fn response_headers(&self, claimed: &mut Option<Slot>, response: Headers<'_, H>) -> Next {
        let status = response.first(":status").unwrap_or_default();
        let status = std::str::from_utf8(&status).ok().and_then(|status| status.parse::<u16>().ok());
        if let (Some(slot), true) = (claimed.take(), status >= Some(FAILURE)) {
            slots::free(&response, &slot);
        }
        Next::Continue
    }
}

chancery_sdk::http_filter!(Once);
