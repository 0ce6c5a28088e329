//! Bodies: piece by piece, and held until they are whole.

use chancery_sdk::testing::{Outcome, Plugin};
use chancery_sdk::{Answer, Body, ConfigError, Headers, Host, HttpFilter, Next, NoConfig, Proxy, Whole};

const POST: &[(&str, &str)] = &[(":method", "POST"), (":path", "/")];
const OK: &[(&str, &str)] = &[(":status", "200"), ("content-length", "3")];
const BYTES_MAX: usize = 8;

/// Holds both messages, and turns their letters into capitals; refuses requests that say `no`.
struct Capitals;

impl<H: Host> HttpFilter<H> for Capitals {
    type Config = NoConfig;
    type State = ();

    fn configure(_config: NoConfig, _proxy: Proxy<'_, H>) -> Result<Self, ConfigError> {
        Ok(Self)
    }

    fn request_headers(&self, _state: &mut (), _request: Headers<'_, H>) -> Next {
        Next::Collect { bytes_max: BYTES_MAX }
    }

    fn request(&self, _state: &mut (), request: Whole<'_, H>) -> Next {
        let body = request.body().read();
        if body == b"no" {
            return Next::Answer(Answer::new(400).text("no is no"));
        }
        request.headers().set("x-trailers", request.trailers().is_some().to_string());
        request.replace_body(&body.to_ascii_uppercase());
        Next::Continue
    }

    fn response_headers(&self, _state: &mut (), _response: Headers<'_, H>) -> Next {
        Next::Collect { bytes_max: BYTES_MAX }
    }

    fn response(&self, _state: &mut (), response: Whole<'_, H>) -> Next {
        let body = response.body().read();
        response.replace_body(&[&body, &b"!"[..]].concat());
        Next::Continue
    }
}

fn capitals() -> Plugin<Capitals> {
    Plugin::start("").unwrap()
}

#[test]
fn nothing_of_a_collected_request_goes_on_before_it_was_shown_whole() {
    let plugin = capitals();
    let mut exchange = plugin.exchange();
    assert_eq!(exchange.request_headers(POST, false), Outcome::Held);
    assert_eq!(exchange.request_body("ab", false), Outcome::Held);
    assert_eq!(exchange.request_body("", false), Outcome::Held);
    assert_eq!(exchange.upstream().headers, None);
    assert_eq!(exchange.request_body("cd", true), Outcome::WentOn);
    let went_on = exchange.upstream();
    assert_eq!(went_on.body, b"ABCD");
    let headers = went_on.headers.unwrap();
    assert_eq!(headers.only("content-length"), Ok(Some(&b"4"[..])));
    assert_eq!(headers.only("x-trailers"), Ok(Some(&b"false"[..])));
}

#[test]
fn trailers_end_a_collected_body_too() {
    let plugin = capitals();
    let mut exchange = plugin.exchange();
    exchange.request_headers(POST, false);
    assert_eq!(exchange.request_body("no", false), Outcome::Held);
    assert_eq!(exchange.request_trailers(&[("checksum", "1")]).status(), Some(400));
    assert_eq!(exchange.upstream().headers, None);

    let mut exchange = plugin.exchange();
    exchange.request_headers(POST, false);
    exchange.request_body("yes", false);
    assert_eq!(exchange.request_trailers(&[("checksum", "1")]), Outcome::WentOn);
    let went_on = exchange.upstream();
    assert_eq!(went_on.headers.unwrap().first("x-trailers"), Some(&b"true"[..]));
    assert_eq!(went_on.trailers.unwrap().first("checksum"), Some(&b"1"[..]));
}

#[test]
fn a_request_without_a_body_is_whole_at_once() {
    let plugin = capitals();
    let mut exchange = plugin.exchange();
    assert_eq!(exchange.request(&[(":method", "GET")], ""), Outcome::WentOn);
    assert!(exchange.upstream().headers.is_some());
}

#[test]
fn a_body_beyond_the_limit_is_refused_when_the_limit_is_reached() {
    let plugin = capitals();
    let mut exchange = plugin.exchange();
    exchange.request_headers(POST, false);
    assert_eq!(exchange.request_body("12345678", false), Outcome::Held);
    assert_eq!(exchange.request_body("9", false).status(), Some(413));
    assert_eq!(exchange.upstream().headers, None);

    let mut exchange = plugin.exchange();
    exchange.request(&[(":method", "GET")], "");
    exchange.response_headers(OK, false);
    assert_eq!(exchange.response_body("123456789", true).status(), Some(502));
}

#[test]
fn a_collected_response_can_be_given_another_body() {
    let plugin = capitals();
    let mut exchange = plugin.exchange();
    exchange.request(&[(":method", "GET")], "");
    assert_eq!(exchange.response(OK, "abc"), Outcome::WentOn);
    let went_on = exchange.downstream();
    assert_eq!(went_on.body, b"abc!");
    assert_eq!(went_on.headers.unwrap().only("content-length"), Ok(Some(&b"4"[..])));
}

/// Counts the bytes of a request as they go by, and replaces each piece of the response.
struct Stars;

impl<H: Host> HttpFilter<H> for Stars {
    type Config = NoConfig;
    type State = usize;

    fn configure(_config: NoConfig, _proxy: Proxy<'_, H>) -> Result<Self, ConfigError> {
        Ok(Self)
    }

    fn request_body(&self, bytes: &mut usize, piece: Body<'_, H>) -> Next {
        *bytes += piece.len();
        if piece.is_last() {
            piece.set_property("bytes", bytes.to_string());
        }
        Next::Continue
    }

    fn request_trailers(&self, bytes: &mut usize, trailers: Headers<'_, H>) -> Next {
        trailers.set_property("bytes", bytes.to_string());
        trailers.set("x-bytes", bytes.to_string());
        Next::Continue
    }

    fn response_headers(&self, bytes: &mut usize, response: Headers<'_, H>) -> Next {
        response.remove("content-length");
        response.add("x-request-bytes", bytes.to_string());
        Next::Continue
    }

    fn response_body(&self, _bytes: &mut usize, piece: Body<'_, H>) -> Next {
        piece.replace(&vec![b'*'; piece.len()]);
        Next::Continue
    }

    fn response_trailers(&self, _bytes: &mut usize, trailers: Headers<'_, H>) -> Next {
        if trailers.first("grpc-status").is_some_and(|status| status != b"0") {
            trailers.set("grpc-message", "hidden");
        }
        Next::Continue
    }
}

#[test]
fn pieces_go_on_one_by_one_and_the_state_lives_until_the_response() {
    let plugin = Plugin::<Stars>::start("{}").unwrap();
    let mut exchange = plugin.exchange();
    assert_eq!(exchange.request_headers(POST, false), Outcome::WentOn);
    assert_eq!(exchange.request_body("abc", false), Outcome::WentOn);
    assert_eq!(exchange.upstream().body, b"abc");
    assert_eq!(exchange.request_body("de", true), Outcome::WentOn);
    assert_eq!(exchange.property("bytes"), Some(b"5".to_vec()));
    exchange.response_headers(OK, false);
    exchange.response_body("secret", false);
    exchange.response_trailers(&[("grpc-status", "7"), ("grpc-message", "why")]);
    let went_on = exchange.downstream();
    assert_eq!(went_on.body, b"******");
    let headers = went_on.headers.unwrap();
    assert_eq!((headers.first("content-length"), headers.first("x-request-bytes")), (None, Some(&b"5"[..])));
    assert_eq!(went_on.trailers.unwrap().only("grpc-message"), Ok(Some(&b"hidden"[..])));
}

#[test]
fn trailers_of_a_streamed_request_are_shown() {
    let plugin = Plugin::<Stars>::start("{}").unwrap();
    let mut exchange = plugin.exchange();
    exchange.request_headers(POST, false);
    exchange.request_body("abc", false);
    assert_eq!(exchange.property("bytes"), None);
    exchange.request_trailers(&[("a", "b")]);
    assert_eq!(exchange.property("bytes"), Some(b"3".to_vec()));
    assert_eq!(exchange.upstream().trailers.unwrap().first("x-bytes"), Some(&b"3"[..]));
}
