//! The filter as a service sees it: what passes, and what is refused as what.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chancery_sdk::testing::{Outcome, Plugin};
use hmac::{Hmac, KeyInit, Mac};
use hmac_auth::HmacAuth;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const NOW: u64 = 1_618_884_473;
const SECRET: &[u8] = b"secret of the shop, 28 bytes";

/// A configuration with the shop's key, and further fields.
fn config(more: &str) -> String {
    let secret = STANDARD.encode(SECRET);
    format!(r#"{{"keys": [{{"id": "shop", "secret_base64": "{secret}"}}]{more}}}"#)
}

fn plugin(more: &str) -> Plugin<HmacAuth> {
    let plugin = Plugin::start(&config(more)).unwrap();
    plugin.set_unix_seconds(NOW);
    plugin
}

/// A request, what of it is signed, and how.
#[derive(Clone)]
struct Request {
    headers: Vec<(String, String)>,
    body: String,
    covered: Vec<&'static str>,
    parameters: String,
    secret: &'static [u8],
}

impl Request {
    fn get() -> Self {
        let headers = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "Pay.example:443"),
            (":path", "/a?b=c"),
        ];
        Self {
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: String::new(),
            covered: vec!["@method", "@authority", "@path", "@query"],
            parameters: format!(r#";created={NOW};keyid="shop""#),
            secret: SECRET,
        }
    }

    fn post(body: &str) -> Self {
        let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)));
        let mut post = Self::get().with("content-digest", &digest).covering("content-digest");
        post.body = body.to_owned();
        post
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn covering(mut self, component: &'static str) -> Self {
        self.covered.push(component);
        self
    }

    fn parameters(mut self, parameters: &str) -> Self {
        self.parameters = parameters.to_owned();
        self
    }

    /// What a client computes for a component: here the tests' own words, not the filter's code.
    fn value(&self, component: &str) -> String {
        match component {
            "@method" => "GET".to_owned(),
            "@authority" => "pay.example".to_owned(),
            "@path" => "/a".to_owned(),
            "@query" => "?b=c".to_owned(),
            "@scheme" => "https".to_owned(),
            "@request-target" => "/a?b=c".to_owned(),
            "@target-uri" => "https://pay.example/a?b=c".to_owned(),
            name => {
                let values = self.headers.iter().filter(|(key, _)| key == name);
                values.map(|(_, value)| value.trim()).collect::<Vec<_>>().join(", ")
            }
        }
    }

    fn signed(self) -> Self {
        let names: Vec<String> = self.covered.iter().map(|name| format!("\"{name}\"")).collect();
        let input = format!("({}){}", names.join(" "), self.parameters);
        let lines = self.covered.iter().map(|name| format!("\"{name}\": {}\n", self.value(name)));
        let base = lines.collect::<String>() + &format!("\"@signature-params\": {input}");
        let mut hmac = Hmac::<Sha256>::new_from_slice(self.secret).unwrap();
        hmac.update(base.as_bytes());
        let mac = STANDARD.encode(hmac.finalize().into_bytes());
        self.with("signature-input", &format!("s={input}")).with("signature", &format!("s=:{mac}:"))
    }

    /// Another value of a header that is there.
    fn changed(mut self, name: &str, value: &str) -> Self {
        self.headers.iter_mut().filter(|(key, _)| key == name).for_each(|(_, old)| value.clone_into(old));
        self
    }

    fn send(&self, plugin: &Plugin<HmacAuth>) -> (Outcome, String) {
        let mut exchange = plugin.exchange();
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let outcome = exchange.request(&headers, &self.body);
        let went_on = exchange.upstream().headers.is_some();
        assert_eq!(went_on, outcome == Outcome::WentOn, "nothing of what is refused goes on");
        let log = plugin.take_log();
        let why = log.iter().find_map(|(_, line)| line.strip_prefix("a request is refused: "));
        let why = why.unwrap_or_default().to_owned();
        assert!(
            why.is_empty() || plugin.metric(&format!("hmac-auth.refused.{why}")) > 0,
            "{why} is not counted"
        );
        (outcome, why)
    }
}

#[track_caller]
fn passes(request: &Request, more: &str) {
    assert_eq!(request.send(&plugin(more)), (Outcome::WentOn, String::new()));
}

#[track_caller]
fn is_refused(request: &Request, more: &str, expected: &str) {
    let (outcome, why) = request.send(&plugin(more));
    assert_eq!((outcome.status(), why.as_str()), (Some(401), expected));
}

#[test]
fn the_standards_own_example_passes() {
    let secret = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let config = format!(
        r#"{{"keys": [{{"id": "test-shared-secret", "secret_base64": "{secret}"}}],
            "cover": ["date", "@authority", "content-type"]}}"#
    );
    let plugin = Plugin::<HmacAuth>::start(&config).unwrap();
    plugin.set_unix_seconds(NOW);
    let mut headers = vec![
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/foo?param=Value&Pet=dog"),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        (
            "signature-input",
            r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
        ),
        ("signature", "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:"),
    ];
    assert_eq!(plugin.exchange().request(&headers, ""), Outcome::WentOn);
    headers.retain(|(name, _)| *name != "date");
    headers.push(("date", "Tue, 20 Apr 2021 02:07:56 GMT"));
    assert_eq!(plugin.exchange().request(&headers, "").status(), Some(401));
}

#[test]
fn the_example_of_the_readme_passes() {
    let readme = include_str!("../README.md");
    let block = |language: &str| {
        let fence = format!("```{language}\n");
        readme.split(&fence).nth(1).unwrap().split("```").next().unwrap()
    };
    let plugin = Plugin::<HmacAuth>::start(block("json")).unwrap();
    plugin.set_unix_seconds(NOW);
    let (head, body) = block("http").split_once("\n\n").unwrap();
    let lines = head.lines().skip(1).map(|line| line.split_once(": ").unwrap());
    let mut headers = vec![(":method", "POST"), (":scheme", "https"), (":path", "/pay?to=anna")];
    headers.extend(
        lines.map(|(name, value)| if name == "Host" { (":authority", value) } else { (name, value) }),
    );
    let mut exchange = plugin.exchange();
    assert_eq!(exchange.request(&headers, body.trim_end()), Outcome::WentOn, "{}", exchange.recording());
    let went_on = exchange.upstream().headers.unwrap();
    assert_eq!(went_on.only("x-signed-by"), Ok(Some(&b"shop"[..])));
}

#[test]
fn a_signed_request_passes_with_and_without_a_body() {
    passes(&Request::get().signed(), "");
    passes(&Request::post(r#"{"amount": 7}"#).signed(), "");
    let all = ["@scheme", "@request-target", "@target-uri"];
    passes(&all.into_iter().fold(Request::get(), Request::covering).signed(), "");
}

#[test]
fn repeated_headers_are_signed_together() {
    let twice = Request::get().with("x-cart", " one ").with("x-cart", "two").covering("x-cart").signed();
    passes(&twice, "");
    is_refused(&twice.changed("x-cart", "one"), "", "wrong");
}

#[test]
fn what_was_changed_on_the_way_is_refused() {
    let signed = Request::get().signed();
    for (name, value) in
        [(":method", "PUT"), (":path", "/a?b=d"), (":path", "/A?b=c"), (":authority", "other.example")]
    {
        is_refused(&signed.clone().changed(name, value), "", "wrong");
    }
    let mut other = Request::post("seven").signed();
    other.body = "eight".to_owned();
    is_refused(&other, "", "other-body");
    is_refused(&other.changed("content-digest", "sha-256=:AAAA:"), "", "wrong");
}

#[test]
fn a_body_that_was_not_signed_is_refused() {
    let mut get = Request::get().signed();
    get.body = "smuggled".to_owned();
    is_refused(&get, "", "other-body");
    let uncovered = Request { covered: Request::get().covered, ..Request::post("seven") }.signed();
    is_refused(&uncovered, "", "other-body");
}

#[test]
fn a_digest_of_an_unknown_algorithm_vouches_for_nothing() {
    let mut other = Request::get().with("content-digest", "md5=:AAAA:").covering("content-digest").signed();
    other.body = "seven".to_owned();
    is_refused(&other, "", "other-body");
}

#[test]
fn what_is_not_a_signature_is_refused() {
    is_refused(&Request::get(), "", "unsigned");
    let signed = Request::get().signed();
    is_refused(&signed.clone().with("signature", "s=:AAAA:"), "", "unsigned");
    is_refused(&signed.clone().changed("signature", "t=:AAAA:"), "", "unsigned");
    is_refused(&signed.clone().changed("signature", "s=:A"), "", "malformed");
    is_refused(&signed.clone().changed("signature", "s=1"), "", "malformed");
    is_refused(&signed.clone().changed("signature", "s=::"), "", "wrong");
    is_refused(&signed.changed("signature-input", "s"), "", "unknown-key");
    is_refused(&Request::get().covering("@path").signed(), "", "malformed");
}

#[test]
fn only_keys_of_the_configuration_count() {
    let other = Request { secret: b"another secret of 28 bytes..", ..Request::get() };
    is_refused(&other.signed(), "", "wrong");
    let named = |parameters: &str| Request::get().parameters(&format!(";created={NOW}{parameters}")).signed();
    is_refused(&named(r#";keyid="bank""#), "", "unknown-key");
    is_refused(&named(""), "", "unknown-key");
    is_refused(&named(r#";keyid="shop";alg="rsa-v1_5-sha256""#), "", "unknown-key");
    passes(&named(r#";keyid="shop";alg="hmac-sha256""#), "");
}

#[test]
fn a_signature_is_good_within_its_window() {
    let at = |seconds: u64, more: &str| {
        Request::get().parameters(&format!(r#";created={seconds};keyid="shop"{more}"#)).signed()
    };
    for created in [NOW - 300, NOW, NOW + 30] {
        passes(&at(created, ""), "");
    }
    for created in [NOW - 301, NOW + 31, 0] {
        is_refused(&at(created, ""), "", "out-of-time");
    }
    passes(&at(NOW - 600, ""), r#", "window_seconds": 600"#);
    passes(&at(NOW - 10, &format!(";expires={NOW}")), "");
    is_refused(&at(NOW - 10, &format!(";expires={}", NOW - 1)), "", "out-of-time");
    is_refused(&Request::get().parameters(r#";keyid="shop""#).signed(), "", "out-of-time");
}

#[test]
fn a_signature_must_cover_what_the_operator_wants_and_only_what_is_there() {
    let signed = Request::get().signed();
    is_refused(&signed, r#", "cover": ["@method", "x-tenant"]"#, "uncovered");
    let tenant = Request::get().with("x-tenant", "blue").covering("x-tenant").signed();
    passes(&tenant, r#", "cover": ["@method", "x-tenant"]"#);
    is_refused(&Request::get().covering("x-absent").signed(), "", "uncovered");
    is_refused(&Request::get().covering("@query-param").signed(), "", "uncovered");
}

#[test]
fn the_same_request_passes_once_whichever_worker_it_meets() {
    let first = plugin("");
    let second = first.start_beside(&config("")).unwrap();
    second.set_unix_seconds(NOW);
    let request = Request::post("seven").signed();
    assert_eq!(request.send(&first).0, Outcome::WentOn);
    assert_eq!(request.send(&first).1, "replayed");
    assert_eq!(request.send(&second).1, "replayed");
    let nonce = format!(r#";created={NOW};keyid="shop";nonce="2""#);
    assert_eq!(Request::post("seven").parameters(&nonce).signed().send(&second).0, Outcome::WentOn);
    assert_eq!((first.metric("hmac-auth.admitted"), first.metric("hmac-auth.refused.replayed")), (1, 1));
}

#[test]
fn a_copy_with_another_body_does_not_use_up_the_original() {
    let plugin = plugin("");
    let request = Request::post("seven").signed();
    let copy = Request { body: "eight".to_owned(), ..request.clone() };
    assert_eq!(copy.send(&plugin).1, "other-body");
    assert_eq!(request.send(&plugin).0, Outcome::WentOn);
}

#[test]
fn a_body_beyond_the_limit_is_refused() {
    let request = Request::post("seven").signed();
    assert_eq!(request.send(&plugin(r#", "body_bytes_max": 4"#)).0.status(), Some(413));
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_with_its_place() {
    let words = |text: &str| Plugin::<HmacAuth>::start(text).unwrap_err().to_string();
    assert_eq!(words(r#"{"keys": []}"#), "`keys`: must have at least one key");
    assert_eq!(
        words(r#"{"keys": [{"id": "a", "secret_base64": "AAAA"}]}"#),
        "`keys[0].secret_base64`: has 3 bytes; at least 16 are needed"
    );
    assert_eq!(words(&config(r#", "window_seconds": 0"#)), "`window_seconds`: must be from 1 to 86400");
    assert_eq!(
        words(&config(r#", "cover": ["@method", "@status"]"#)),
        "`cover[1]`: `@status` is neither a header in small letters nor one of \
         @method, @authority, @scheme, @path, @query, @request-target, @target-uri"
    );
    assert_eq!(
        words(&config(r#", "key_header": "X Y""#)),
        "`key_header`: `X Y` is not a header in small letters"
    );
    let twice =
        config("").replace("}]", r#"}, {"id": "shop", "secret_base64": "AAAAAAAAAAAAAAAAAAAAAA=="}]"#);
    assert_eq!(words(&twice), "`keys[1].id`: `shop` is the name of another key");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever a client sends, and however a signature is damaged, nothing passes and nothing ends the module.
    #[test]
    fn nothing_that_was_not_signed_passes(input in "\\PC{0,80}", signature in "\\PC{0,60}", digest in "\\PC{0,40}") {
        let request = Request::post("seven")
            .signed()
            .changed("signature-input", &input)
            .changed("signature", &signature)
            .changed("content-digest", &digest);
        prop_assert_eq!(request.send(&plugin("")).0.status(), Some(401));
    }

    #[test]
    fn a_signature_with_one_other_byte_does_not_pass(at in 0_usize..200, byte in b' '..=b'~') {
        let request = Request::get().signed();
        let input = request.headers.iter().find(|(name, _)| name == "signature-input").unwrap().1.clone();
        let mut bytes = input.clone().into_bytes();
        let at = at % bytes.len();
        let old: Vec<u8> = bytes.splice(at..=at, [byte]).collect();
        prop_assume!(old != [byte]);
        let changed = request.changed("signature-input", &String::from_utf8(bytes).unwrap());
        prop_assert_eq!(changed.send(&plugin("")).0.status(), Some(401));
    }
}
