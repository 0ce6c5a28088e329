//! What is promised of Envoy, row by row as it was measured.

use super::*;

fn with(headers: &[(&str, &str)]) -> RawRequest {
    let header = |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    RawRequest { headers: headers.iter().map(header).collect(), ..RawRequest::default() }
}

fn http1(request: RawRequest) -> RawRequest {
    let hosts = request.authority.iter().cloned().collect();
    RawRequest { protocol: Protocol::Http1, authority: None, hosts, ..request }
}

/// The headers that are shown, but for those that Envoy sets.
fn shown(raw: RawRequest) -> Result<Vec<String>, &'static str> {
    let request = received(raw).map_err(Refusal::rule)?;
    let set = ["x-envoy-external-address", "x-forwarded-proto", "x-request-id"];
    let others = request.headers.iter().filter(|(name, _)| !set.iter().any(|set| set.as_bytes() == name));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(others.map(|(name, value)| format!("{}={}", text(name), text(value))).collect())
}

#[track_caller]
fn check(raw: RawRequest, expected: Result<&[&str], &'static str>) {
    let expected = expected.map(|headers| headers.iter().map(|header| (*header).to_owned()).collect());
    assert_eq!(shown(raw.clone()), expected, "{raw:?}");
}

#[test]
fn blanks_around_a_value_are_taken_away_on_http1_only() {
    check(http1(with(&[("X-A", " \ta b\t ")])), Ok(&["x-a=a b"]));
    check(with(&[("x-a", " \ta b\t ")]), Ok(&["x-a= \ta b\t "]));
    check(http1(with(&[("x-a", "a\r\n b\rc")])), Ok(&["x-a=a bc"]));
    check(with(&[("X-A", "a")]), Err("bad-header"));
    for value in ["a\0", "a\x01", "a\x7f", "a\nb"] {
        check(with(&[("x-a", value)]), Err("bad-header"));
        check(http1(with(&[("x-a", value)])), Err("bad-header"));
    }
    for name in ["", "x y", "x:", ":path", "x\"", "x(", "é"] {
        check(http1(with(&[(name, "a")])), Err("bad-header"));
    }
}

#[test]
fn headers_of_one_hop_are_taken_away() {
    let hop = [
        ("connection", "x-b, Close"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("x-b", "1"),
        ("x-c", "2"),
        ("upgrade", "h2c"),
    ];
    check(http1(with(&hop)), Ok(&["x-c=2"]));
    check(with(&hop[..1]), Err("bad-header"));
    check(http1(with(&[("connection", "upgrade"), ("upgrade", "foo")])), Err("bad-header"));
    let websocket = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket"), ("keep-alive", "1")];
    check(http1(with(&websocket)), Ok(&["connection=keep-alive, Upgrade", "upgrade=WebSocket"]));
    check(http1(with(&[("upgrade", "websocket")])), Ok(&[]));
    check(http1(with(&[("connection", "X-Forwarded-For")])), Err("bad-header"));
    check(http1(with(&[("connection", "host")])), Err("bad-host"));
    let absolute = RawRequest { path: b"http://a/".to_vec(), ..with(&[("connection", "host")]) };
    check(http1(absolute), Ok(&[]));
    let settings = [("connection", "upgrade"), ("upgrade", "h2c"), ("http2-settings", "x")];
    check(http1(with(&settings)), Ok(&[]));
    check(http1(with(&settings[1..])), Ok(&["http2-settings=x"]));
    check(http1(with(&[("connection", "a,b,c,d,e,f,g,h,i")])), Ok(&[]));
    check(http1(with(&[("connection", "a,b,c,d,e,f,g,h,i,j")])), Err("bad-header"));
    check(http1(with(&[("te", "gzip, trailers")])), Ok(&["te=trailers"]));
    check(http1(with(&[("te", "gzip")])), Ok(&[]));
    check(with(&[("te", "Trailers")]), Ok(&[]));
    check(with(&[("te", "gzip")]), Err("bad-header"));
    check(with(&[("expect", "100-continue")]), Ok(&["expect=100-continue"]));
    check(with(&[("x-envoy-max-retries", "9"), ("x-envoy-other", "9")]), Ok(&["x-envoy-other=9"]));
    check(with(&[("x-forwarded-client-cert", "URI=spiffe://x")]), Ok(&[]));
}

#[test]
fn what_envoy_says_itself_is_not_what_the_client_says() {
    let mut raw =
        with(&[("x-request-id", "mine"), ("x-forwarded-proto", "https"), ("x-forwarded-for", "1.2.3.4")]);
    raw.source.ip = "10.1.2.3".parse().unwrap_or(raw.source.ip);
    let request = received(raw).unwrap_or_default();
    assert_eq!(request.header("x-forwarded-proto"), Some(b"http".to_vec()));
    assert_eq!(request.header("x-envoy-external-address"), Some(b"10.1.2.3".to_vec()));
    assert_eq!(request.header("x-forwarded-for"), Some(b"1.2.3.4".to_vec()));
    assert_ne!(request.header("x-request-id"), Some(b"mine".to_vec()));
}

#[test]
fn repeated_headers_of_envoys_table_are_joined() {
    let twice = [("accept", "a"), ("x-a", "1"), ("accept", " b"), ("x-a", "2")];
    check(with(&twice), Ok(&["accept=a, b", "x-a=1", "x-a=2"]));
    // An empty value adds nothing.
    check(with(&[("accept", ""), ("accept", "a"), ("accept", "")]), Ok(&["accept=a"]));
    check(with(&[("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2")]), Ok(&["x-a=1", "cookie=a=1; b=2"]));
    check(with(&[("cookie", ""), ("cookie", "a"), ("cookie", "")]), Ok(&["cookie=a; "]));
    check(with(&[("cookie", "")]), Ok(&[]));
    check(http1(with(&[("cookie", "a=1"), ("cookie", "b=2")])), Ok(&["cookie=a=1", "cookie=b=2"]));
}

#[test]
fn a_referer_that_is_no_url_is_taken_away() {
    for kept in
        ["", "/a:b?c", "a,b", "http://a", "ftp://a.b:80/c\\d", "android-app://x", "http://[::1]/", "//a/b"]
    {
        check(with(&[("referer", kept)]), Ok(&[&format!("referer={kept}")]));
    }
    for gone in
        ["a b", "a:b", "about:blank", "\"a\"", "http://a#b", "http://u@a/", "http://a_b/", "http://a:65536/"]
    {
        check(with(&[("referer", gone)]), Ok(&[]));
    }
}

#[test]
fn a_body_has_one_size() {
    let end = |raw| received(raw).map(|request| request.end_of_stream).map_err(Refusal::rule);
    let with_body = |headers: &[(&str, &str)]| RawRequest { has_body: true, ..with(headers) };
    assert_eq!(end(http1(with(&[("content-length", "007")]))), Ok(false));
    assert_eq!(end(http1(with(&[("content-length", "00")]))), Ok(true));
    assert_eq!(end(http1(with(&[("transfer-encoding", "Chunked")]))), Ok(false));
    assert_eq!(end(http1(with(&[("content-length", "18446744073709551615")]))), Ok(false));
    assert_eq!(end(with_body(&[("content-length", "9223372036854775807")])), Ok(false));
    assert_eq!(end(with_body(&[])), Ok(false));
    assert_eq!(end(with(&[])), Ok(true));
    for bad in ["", "+1", "-1", "0x1", "1,1", "1 1", "18446744073709551616"] {
        assert_eq!(end(http1(with(&[("content-length", bad)]))), Err("bad-size"), "{bad}");
        assert_eq!(end(with_body(&[("content-length", bad)])), Err("bad-size"), "{bad}");
    }
    assert_eq!(end(with_body(&[("content-length", "9223372036854775808")])), Err("bad-size"));
    assert_eq!(end(with(&[("content-length", "1")])), Err("bad-size"));
    assert_eq!(end(http1(with(&[("content-length", "1"), ("content-length", "1")]))), Err("bad-size"));
    let both = [("content-length", "1"), ("transfer-encoding", "chunked")];
    assert_eq!(end(http1(with(&both))), Err("bad-size"));
    assert_eq!(end(http1(with(&[("transfer-encoding", "gzip")]))), Err("bad-header"));
}

#[test]
fn a_request_goes_to_one_host() {
    let to = |protocol, authority: Option<&str>, hosts: &[&str], path: &str| {
        let raw = RawRequest {
            protocol,
            authority: authority.map(|text| text.as_bytes().to_vec()),
            hosts: hosts.iter().map(|host| host.as_bytes().to_vec()).collect(),
            path: path.as_bytes().to_vec(),
            ..RawRequest::default()
        };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        received(raw).map(|request| (text(request.authority), text(request.path))).map_err(Refusal::rule)
    };
    let seen = |authority: &str, path: &str| Ok((authority.to_owned(), path.to_owned()));
    let (one, two) = (Protocol::Http1, Protocol::Http2);
    assert_eq!(to(one, None, &[" A.B:80 "], "/"), seen("A.B:80", "/"));
    assert_eq!(to(one, None, &["a", "b"], "/"), seen("a,b", "/"));
    assert_eq!(to(one, None, &["", "a", ""], "/"), seen("a", "/"));
    assert_eq!(to(one, None, &[""], "/"), seen("", "/"));
    assert_eq!(to(one, None, &["\x01"], "http://c.d"), Err("bad-host"));
    assert_eq!(to(one, None, &["u@a"], "/"), seen("u@a", "/"));
    assert_eq!(to(one, None, &[], "/"), Err("bad-host"));
    assert_eq!(to(one, None, &["a b"], "/"), Err("bad-host"));
    assert_eq!(to(one, None, &["x", "y"], "HTTP://u@C.d:8/p?q"), seen("C.d:8", "/p?q"));
    assert_eq!(to(one, None, &[], "http://c.d"), seen("c.d", "/"));
    for target in ["http:///p", "http://c.d?x", "ftp://c.d/p", "https://c.d/p", "http://c.d:x/p", "*", "a"] {
        assert_eq!(to(one, None, &["x"], target), Err("bad-path"), "{target}");
    }
    assert_eq!(to(one, None, &["a"], "/é"), Err("bad-path"));
    assert_eq!(to(two, Some("a"), &["b"], "/é"), seen("a", "/%C3%A9"));
    assert_eq!(to(two, None, &["b"], "/"), seen("b", "/"));
    for (authority, hosts) in [
        (None, &["a", "b"][..]),
        (None, &[]),
        (Some(""), &[]),
        (Some(" a"), &[]),
        (Some("u@a"), &[]),
        (Some("a"), &["b\""]),
        (Some("a"), &["a", "a"]),
    ] {
        assert_eq!(to(two, authority, hosts, "/"), Err("bad-host"), "{authority:?} {hosts:?}");
    }
}

#[test]
fn methods_are_those_that_the_protocol_lets_pass() {
    let method = |raw: RawRequest, method: &str| {
        received(RawRequest { method: method.as_bytes().to_vec(), ..raw }).map(|_| ()).map_err(Refusal::rule)
    };
    for known in ["GET", "PURGE", "UNLINK"] {
        assert_eq!(method(http1(RawRequest::default()), known), Ok(()));
    }
    for other in ["get", "FOO", "M-SEARCH"] {
        assert_eq!(method(http1(RawRequest::default()), other), Err("bad-method"));
        assert_eq!(method(RawRequest::default(), other), Ok(()));
    }
    assert_eq!(method(RawRequest::default(), "G T"), Err("bad-method"));
    assert_eq!(method(RawRequest::default(), "QUERY"), Err("bad-method"));
    assert_eq!(method(with(&[("content-type", "a/b")]), "QUERY"), Ok(()));
    assert_eq!(method(RawRequest::default(), "CONNECT"), Err("bad-method"));
}

#[test]
fn a_connect_has_no_body() {
    let connect = |raw: RawRequest, path: &str| {
        let raw = RawRequest { method: b"CONNECT".to_vec(), path: path.as_bytes().to_vec(), ..raw };
        received(raw).map(|_| ()).map_err(Refusal::rule)
    };
    let sized = |length: &str| with(&[("content-length", length)]);
    assert_eq!(connect(http1(sized("0")), "a:1"), Ok(()));
    assert_eq!(connect(http1(sized("1")), "a:1"), Err("bad-size"));
    assert_eq!(connect(sized("1"), ""), Ok(()));
}

#[test]
fn a_scheme_is_in_small_letters() {
    let raw = RawRequest { scheme: b"Ftp".to_vec(), ..RawRequest::default() };
    assert_eq!(received(raw).map(|request| request.scheme), Ok(b"ftp".to_vec()));
}

#[test]
fn a_request_has_so_many_headers_and_no_more() {
    let many = |name: &str, count: usize| with(&vec![(name, "1"); count]);
    for name in ["x-a", "cookie"] {
        assert!(received(many(name, 96)).is_ok());
        assert_eq!(received(many(name, 97)), Err(Refusal::TooLarge));
    }
    assert!(received(many("accept", 300)).is_ok());
    assert!(received(http1(many("x-a", 99))).is_ok());
    assert_eq!(received(http1(many("x-a", 100))), Err(Refusal::TooLarge));
}

#[test]
fn the_headers_are_so_long_and_no_longer() {
    let long = |authority: &str, length: usize| RawRequest {
        authority: Some(authority.as_bytes().to_vec()),
        ..with(&[("x-foo", &"x".repeat(length))])
    };
    assert!(received(http1(long("a", 61_404))).is_ok());
    assert_eq!(received(http1(long("a", 61_405))), Err(Refusal::TooLarge));
    assert!(received(long("a", 61_397)).is_ok());
    assert_eq!(received(long("a", 61_398)), Err(Refusal::TooLarge));
}
