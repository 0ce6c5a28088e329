//! Calls to others while a message waits.

use chancery_sdk::testing::{Outcome, Plugin, Reply};
use chancery_sdk::{
    Answer, Body, Call, CallAnswer, ConfigError, Headers, Host, HttpFilter, Level, Next, NoConfig, Proxy,
};
use std::time::Duration;

const POST: &[(&str, &str)] = &[(":method", "POST"), (":path", "/pay")];
const TIMEOUT: Duration = Duration::from_millis(250);

/// Asks a service whether a request may pass, and hides what its body says in digits.
struct Ask;

impl<H: Host> HttpFilter<H> for Ask {
    type Config = NoConfig;
    type State = ();

    fn configure(_config: NoConfig, _proxy: Proxy<'_, H>) -> Result<Self, ConfigError> {
        Ok(Self)
    }

    fn request_headers(&self, _state: &mut (), request: Headers<'_, H>) -> Next {
        let path = String::from_utf8(request.first(":path").unwrap_or_default()).unwrap_or_default();
        let call =
            Call::new("judge", "POST", "judge.mesh", "/may", TIMEOUT).header("x-path", &path).body(b"?");
        if request.call(&call).is_err() { Next::Answer(Answer::new(503)) } else { Next::Wait }
    }

    fn request_body(&self, _state: &mut (), piece: Body<'_, H>) -> Next {
        let hidden = piece.read().into_iter().map(|byte| if byte.is_ascii_digit() { b'#' } else { byte });
        piece.replace(&hidden.collect::<Vec<u8>>());
        Next::Continue
    }

    fn request_trailers(&self, _state: &mut (), trailers: Headers<'_, H>) -> Next {
        trailers.set("x-seen", "yes");
        Next::Continue
    }

    fn called(&self, _state: &mut (), answer: CallAnswer<'_, H>) -> Next {
        match answer.status() {
            Some(200) => {
                if let Some(request) = answer.held() {
                    request.set("x-judge", answer.body());
                }
                Next::Continue
            }
            Some(_) => Next::Answer(Answer::new(403)),
            None => Next::Answer(Answer::new(504)),
        }
    }
}

fn ask() -> Plugin<Ask> {
    Plugin::start("").unwrap()
}

#[test]
fn a_request_waits_for_the_answer_and_its_headers_can_still_be_changed() {
    let plugin = ask();
    let mut exchange = plugin.exchange();
    assert_eq!(exchange.request(&[(":method", "GET"), (":path", "/pay")], ""), Outcome::Held);
    let [call] = &plugin.calls()[..] else { unreachable!("one call") };
    assert_eq!((call.cluster.as_str(), call.body.as_slice(), call.timeout), ("judge", &b"?"[..], TIMEOUT));
    assert_eq!(call.headers.only("x-path"), Ok(Some(&b"/pay"[..])));
    assert_eq!(exchange.answer_call(call, Reply::new(200).body("yes")), Outcome::WentOn);
    assert_eq!(exchange.upstream().headers.unwrap().first("x-judge"), Some(&b"yes"[..]));
}

#[test]
fn a_body_that_comes_meanwhile_does_not_let_the_headers_go_on() {
    let plugin = ask();
    let mut exchange = plugin.exchange();
    assert_eq!(exchange.request_headers(POST, false), Outcome::Held);
    assert_eq!(exchange.request_body("card 4", false), Outcome::Held);
    assert_eq!(exchange.request_body("2", false), Outcome::Held);
    assert_eq!(exchange.request_trailers(&[("a", "b")]), Outcome::Held);
    assert_eq!(exchange.upstream().headers, None);

    assert_eq!(exchange.answer_call(&plugin.calls()[0], Reply::new(200)), Outcome::WentOn);
    let went_on = exchange.upstream();
    assert_eq!(went_on.body, b"card ##", "what was held must be shown before it goes on");
    assert_eq!(went_on.trailers.unwrap().first("x-seen"), Some(&b"yes"[..]));
}

#[test]
fn what_comes_after_the_answer_goes_by_as_ever() {
    let plugin = ask();
    let mut exchange = plugin.exchange();
    exchange.request_headers(POST, false);
    assert_eq!(exchange.answer_call(&plugin.calls()[0], Reply::new(200)), Outcome::WentOn);
    assert_eq!(exchange.request_body("7", false), Outcome::WentOn);
    assert_eq!(exchange.request_body("8x", true), Outcome::WentOn);
    assert_eq!(exchange.upstream().body, b"##x");
}

#[test]
fn a_refusal_and_a_missing_answer_reach_the_client_and_nothing_the_service() {
    let plugin = ask();
    let mut refused = plugin.exchange();
    refused.request_headers(POST, false);
    refused.request_body("1", true);
    assert_eq!(refused.answer_call(&plugin.calls()[0], Reply::new(401)).status(), Some(403));
    let mut unheard = plugin.exchange();
    unheard.request(POST, "1");
    assert_eq!(unheard.fail_call(&plugin.calls()[1]).status(), Some(504));
    assert_eq!((refused.upstream().headers, unheard.upstream().headers), (None, None));
}

#[test]
fn a_call_that_cannot_be_made_is_told_at_once() {
    let plugin = ask();
    plugin.forget_cluster("judge");
    assert_eq!(plugin.exchange().request(POST, "1").status(), Some(503));
}

/// Waits for nothing, or collects what has gone on, as its path says.
struct Mistaken;

impl<H: Host> HttpFilter<H> for Mistaken {
    type Config = NoConfig;
    type State = ();

    fn configure(_config: NoConfig, _proxy: Proxy<'_, H>) -> Result<Self, ConfigError> {
        Ok(Self)
    }

    fn request_headers(&self, _state: &mut (), request: Headers<'_, H>) -> Next {
        if request.first(":path").is_some_and(|path| path == b"/wait") { Next::Wait } else { Next::Continue }
    }

    fn request_body(&self, _state: &mut (), _piece: Body<'_, H>) -> Next {
        Next::Collect { bytes_max: 1 }
    }
}

#[test]
fn a_mistake_of_the_filter_is_answered_and_logged_and_lets_nothing_pass() {
    let plugin = Plugin::<Mistaken>::start("").unwrap();
    assert_eq!(plugin.exchange().request(&[(":path", "/wait")], "").status(), Some(500));
    assert_eq!(plugin.exchange().request(&[(":path", "/collect")], "body").status(), Some(500));
    let log = plugin.take_log();
    assert_eq!(log.len(), 2);
    assert_eq!(log[0].0, Level::Error);
    assert!(log[0].1.contains("waits, but has no call under way"), "{log:?}");
    assert!(log[1].1.contains("collects a message whose headers it let go on"), "{log:?}");
}
