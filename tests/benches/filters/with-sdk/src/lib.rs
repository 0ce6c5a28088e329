//! The policy of the overhead benchmark on the SDK, in the same two ways as its twin `hand-written` on the bare crate: header
//! by header, or with the configuration `{"pairs": true}` all headers at once.

use chancery_sdk::{Answer, ConfigError, Headers, Host, HttpFilter, Next, Proxy};

/// Which way.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    pairs: bool,
}

/// The policy.
pub struct Readers(Config);

impl<H: Host> HttpFilter<H> for Readers {
    type Config = Config;
    type State = ();

    fn configure(config: Config, _proxy: Proxy<'_, H>) -> Result<Self, ConfigError> {
        Ok(Self(config))
    }

    fn request_headers(&self, _state: &mut (), request: Headers<'_, H>) -> Next {
        let allowed = if self.0.pairs { all_at_once(request) } else { one_by_one(request) };
        if allowed { Next::Continue } else { Next::Answer(Answer::new(403)) }
    }
}

fn one_by_one<H: Host>(request: Headers<'_, H>) -> bool {
    let is = |name: &str, value: &str| request.first(name).as_deref() == Some(value.as_bytes());
    let in_api = || request.first(":path").is_some_and(|path| path.starts_with(b"/api/"));
    is(":method", "GET") && in_api() && is("x-team", "blue") && is("x-role", "reader")
}

fn all_at_once<H: Host>(request: Headers<'_, H>) -> bool {
    let headers = request.all();
    headers.first(":method") == Some(b"GET")
        && headers.first(":path").is_some_and(|path| path.starts_with(b"/api/"))
        && headers.first("x-team") == Some(b"blue")
        && headers.first("x-role") == Some(b"reader")
}

chancery_sdk::http_filter!(Readers);
