//! The ready filter `pii-guard`: personal data and card numbers do not go on in bodies.
//!
#![doc = include_str!("../README.md")]
//!
//! ```text
//! piece ── chancery_sdk::json ──> events ── rewrite ──> piece that goes on
//!                                             │ texts ── window ── find: cards, mail, accounts, telephones, addresses
//!                                             └ members, paths ── rules
//! ```

pub mod find;

mod config;
mod rewrite;
mod rules;
mod window;

use chancery_sdk::media::BodyKind;
use chancery_sdk::{
    Answer, Body, ConfigError, Counter, Headers, Host, HttpFilter, Level, Next, Proxy, Whole,
};
use config::Settings;
pub use config::{Action, BYTES_MAX, Config};
use find::Kind;
use rewrite::{Rewriting, Tally, Trouble, rewrite_text};

/// What the client is told of a request that does not go on. Neither the data nor its place are said.
const BLOCKED: &str = "the request has personal data that must not be sent\n";
/// What the client is told of a request that cannot be looked at.
const NOT_JSON: &str = "the body is not JSON\n";
/// What the client is told of a request of which there is too much at once.
const TOO_MUCH: &str = "the body is too large\n";
/// What the client is told of a compressed request.
const COMPRESSED: &str = "the body must not be compressed\n";
/// What the client is told of a response that does not go on.
const WITHHELD: &str = "the response cannot be shown\n";
/// Headers of what a body hashes to, and how long it is: after the filter it is another.
const OF_THE_BODY: [&str; 6] =
    ["content-length", "content-digest", "repr-digest", "digest", "content-md5", "etag"];

/// The filter.
#[derive(Debug)]
pub struct PiiGuard {
    settings: Settings,
    masked: Counters,
    blocked: Counters,
    not_json: Counter,
    too_much: Counter,
    compressed: Counter,
}

/// Counters of each kind, and of members and paths.
#[derive(Debug)]
struct Counters {
    kinds: [Counter; Kind::ALL.len()],
    values: Counter,
}

/// What is remembered of a request and its response.
#[derive(Debug, Default)]
pub struct State {
    request: Half,
    response: Half,
}

/// How far a message is.
#[derive(Debug, Default)]
enum Half {
    /// It is not looked at.
    #[default]
    Passes,
    /// It is JSON, and looked at as it goes by, or when it is whole.
    Json(Box<Rewriting>),
    /// It is other text, and looked at when it is whole.
    Text,
    /// It must not go on.
    Stopped,
}

/// Which message: what is answered in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Request,
    Response,
}

impl<H: Host> HttpFilter<H> for PiiGuard {
    type Config = Config;
    type State = State;

    fn configure(config: Config, proxy: Proxy<'_, H>) -> Result<Self, ConfigError> {
        let counter = |name: String| proxy.counter(&format!("pii-guard.{name}"));
        let counters = |done: &str| Counters {
            kinds: Kind::ALL.map(|kind| counter(format!("{done}.{}", kind.name()))),
            values: counter(format!("{done}.value")),
        };
        Ok(Self {
            settings: Settings::try_from(config)?,
            masked: counters("masked"),
            blocked: counters("blocked"),
            not_json: counter("refused.not-json".to_owned()),
            too_much: counter("refused.too-much".to_owned()),
            compressed: counter("refused.compressed".to_owned()),
        })
    }

    fn request_headers(&self, state: &mut State, request: Headers<'_, H>) -> Next {
        if self.settings.looks_at_responses {
            self.ask_for_a_response_that_can_be_read(&request);
        }
        if self.settings.looks_at_requests {
            self.begin(Way::Request, &mut state.request, request)
        } else {
            Next::Continue
        }
    }

    fn request_body(&self, state: &mut State, piece: Body<'_, H>) -> Next {
        self.piece(Way::Request, &mut state.request, piece)
    }

    fn request_trailers(&self, state: &mut State, trailers: Headers<'_, H>) -> Next {
        self.end_by_trailers(Way::Request, &mut state.request, trailers)
    }

    fn request(&self, state: &mut State, request: Whole<'_, H>) -> Next {
        self.whole(Way::Request, &mut state.request, request)
    }

    fn response_headers(&self, state: &mut State, response: Headers<'_, H>) -> Next {
        // An answer of this filter is not looked at.
        if self.settings.looks_at_responses && !matches!(state.request, Half::Stopped) {
            self.begin(Way::Response, &mut state.response, response)
        } else {
            Next::Continue
        }
    }

    fn response_body(&self, state: &mut State, piece: Body<'_, H>) -> Next {
        self.piece(Way::Response, &mut state.response, piece)
    }

    fn response_trailers(&self, state: &mut State, trailers: Headers<'_, H>) -> Next {
        self.end_by_trailers(Way::Response, &mut state.response, trailers)
    }

    fn response(&self, state: &mut State, response: Whole<'_, H>) -> Next {
        self.whole(Way::Response, &mut state.response, response)
    }
}

impl PiiGuard {
    /// A compressed response could not be looked at, and a part of one is not JSON.
    fn ask_for_a_response_that_can_be_read<H: Host>(&self, request: &Headers<'_, H>) {
        if !self.settings.passes_compressed {
            request.set("accept-encoding", "identity");
        }
        request.remove("range");
        request.remove("if-range");
    }

    fn begin<H: Host>(&self, way: Way, half: &mut Half, message: Headers<'_, H>) -> Next {
        if message.is_last() {
            return Next::Continue;
        }
        let settings = &self.settings;
        let headers = message.all();
        let (json, text) = (settings.content_types.kind(&headers), settings.text_types.kind(&headers));
        if json == BodyKind::Encoded || text == BodyKind::Encoded {
            if settings.passes_compressed {
                return Next::Continue;
            }
            message.count(self.compressed, 1);
            let answer = if way == Way::Request { Answer::new(415).text(COMPRESSED) } else { withheld() };
            return stop(half, answer);
        }
        *half = match (json, text) {
            (BodyKind::Listed, _) => Half::Json(Box::default()),
            (_, BodyKind::Listed) => Half::Text,
            _ => return Next::Continue,
        };
        OF_THE_BODY.iter().for_each(|name| message.remove(name));
        if settings.holds || matches!(half, Half::Text) {
            Next::Collect { bytes_max: settings.bytes_max }
        } else {
            Next::Continue
        }
    }

    fn piece<H: Host>(&self, way: Way, half: &mut Half, piece: Body<'_, H>) -> Next {
        let Half::Json(rewriting) = half else {
            if matches!(half, Half::Stopped) {
                piece.replace(b"");
            }
            return Next::Continue;
        };
        let bytes = piece.read();
        let rules = &self.settings.rules;
        let before = rewriting.tally();
        let result = rewriting.take(rules, &bytes).and_then(|mut out| {
            if piece.is_last() {
                out.append(&mut rewriting.end(rules)?);
            }
            Ok(out)
        });
        match result {
            Ok(out) => {
                self.count(&piece, before, rewriting.tally());
                if out != bytes {
                    piece.replace(&out);
                }
                Next::Continue
            }
            Err(trouble) => {
                // Whatever the proxy does with it, nothing of the piece is in it any more.
                piece.replace(b"");
                self.refuse(way, half, &piece, trouble)
            }
        }
    }

    /// A body that ends with trailers has had its last piece; what would still be to be written has no place any more.
    fn end_by_trailers<H: Host>(&self, way: Way, half: &mut Half, trailers: Headers<'_, H>) -> Next {
        let Half::Json(rewriting) = half else { return Next::Continue };
        match rewriting.end(&self.settings.rules) {
            Ok(rest) if rest.is_empty() => Next::Continue,
            _ => self.refuse(way, half, &trailers, Trouble::NotJson),
        }
    }

    fn whole<H: Host>(&self, way: Way, half: &mut Half, message: Whole<'_, H>) -> Next {
        let bytes = message.body().read();
        let rules = &self.settings.rules;
        let result = match half {
            Half::Json(rewriting) => rewriting.take(rules, &bytes).and_then(|mut out| {
                out.append(&mut rewriting.end(rules)?);
                Ok((out, rewriting.tally()))
            }),
            _ => rewrite_text(rules, &bytes),
        };
        match result {
            Ok((out, tally)) => {
                self.count(&message, Tally::default(), tally);
                message.replace_body(&out);
                Next::Continue
            }
            Err(trouble) => self.refuse(way, half, &message, trouble),
        }
    }

    fn count<H: Host>(&self, proxy: &Proxy<'_, H>, before: Tally, now: Tally) {
        if before == now {
            return;
        }
        let kinds = self.masked.kinds.iter().zip(now.kinds.iter().zip(before.kinds));
        for (counter, (now, before)) in kinds {
            proxy.count(*counter, now.saturating_sub(before));
        }
        let values = now.values.saturating_sub(before.values);
        proxy.count(self.masked.values, values);
        let all =
            now.kinds.iter().zip(before.kinds).map(|(now, before)| now.saturating_sub(before)).sum::<u32>();
        proxy.log(Level::Debug, format_args!("masked {all} found and {values} stated values"));
    }

    fn refuse<H: Host>(&self, way: Way, half: &mut Half, proxy: &Proxy<'_, H>, trouble: Trouble) -> Next {
        let (counter, why) = match trouble {
            Trouble::Blocked(Some(kind)) => (self.blocked.kinds.get(kind as usize), kind.name()),
            Trouble::Blocked(None) => (Some(&self.blocked.values), "a stated value"),
            Trouble::NotJson => (Some(&self.not_json), "not JSON"),
            Trouble::TooMuch => (Some(&self.too_much), "too much"),
        };
        if let Some(counter) = counter {
            proxy.count(*counter, 1);
        }
        proxy.log(Level::Debug, format_args!("a message does not go on: {why}"));
        let answer = match (way, trouble) {
            (Way::Request, Trouble::Blocked(_)) => Answer::new(422).text(BLOCKED),
            (Way::Request, Trouble::NotJson) => Answer::new(400).text(NOT_JSON),
            (Way::Request, Trouble::TooMuch) => Answer::new(413).text(TOO_MUCH),
            (Way::Response, _) => withheld(),
        };
        stop(half, answer)
    }
}

fn withheld() -> Answer {
    Answer::new(502).text(WITHHELD)
}

fn stop(half: &mut Half, answer: Answer) -> Next {
    *half = Half::Stopped;
    Next::Answer(answer)
}

chancery_sdk::http_filter!(PiiGuard);
