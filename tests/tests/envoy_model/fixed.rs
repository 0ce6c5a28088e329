//! Requests that were once read differently by Envoy and by the tools, and what becomes of them.

use chancery_policy_lang::request::{Protocol, RawRequest};

/// No filter sees the request.
const REFUSED: &str = "(refused by Envoy)";

/// A request, and the rule that decides it or what stands in its place.
pub(super) struct Fixed {
    pub(super) request: RawRequest,
    pub(super) verdict: &'static str,
}

/// Method, target, host, another header if any, and the verdict, which is the same on both protocols.
type Row = (&'static str, &'static [u8], &'static [u8], Option<(&'static str, &'static [u8])>, &'static str);

const ON_BOTH: &[Row] = &[
    // An escaped dot segment with a parameter is unescaped and left: the module refuses it.
    ("GET", b"/%2e%2e;x", HOST, None, "bad-path"),
    ("GET", b"/a/%2e%2e;/b", HOST, None, "bad-path"),
    ("GET", b"/a/%2E;/b", HOST, None, "bad-path"),
    ("GET", b"/a/.%2e;x=1/b", HOST, None, "bad-path"),
    // The same, taken away by dots behind it.
    ("GET", b"/a/%2e;/..;", HOST, None, "desk/a-slash"),
    ("GET", b"/a/..;x=1/b", HOST, None, "desk/b"),
    // Half an escape before an escape.
    ("GET", b"/%4%30", HOST, None, "bad-path"),
    ("GET", b"/%2%66", HOST, None, "bad-path"),
    ("GET", b"/%zz/../b", HOST, None, "desk/b"),
    ("GET", b"/%zz", HOST, None, "bad-path"),
    // NUL behind the semicolon of dots.
    ("GET", b"/..;%00", HOST, None, "desk/root"),
    ("GET", b"/%00", HOST, None, REFUSED),
    ("GET", b"/a%2fb", HOST, None, REFUSED),
    ("GET", b"/a%5Cb", HOST, None, REFUSED),
    ("GET", b"/a%252fb", HOST, None, "bad-path"),
    ("GET", b"/a#b", HOST, None, REFUSED),
    ("GET", b"/a?b#c", HOST, None, REFUSED),
    ("GET", b"/a\\b", HOST, None, "desk/a-b"),
    ("GET", b"//a//b", HOST, None, "desk/a-b"),
    ("GET", b"//", HOST, None, "bad-path"),
    ("GET", b"/%61/%62", HOST, None, "desk/a-b"),
    ("GET", b"/u/%6de", HOST, None, "desk/me"),
    ("GET", b"/tree/%3bevil", HOST, None, "desk/evil"),
    ("GET", b"/tree/%3Bevil", HOST, None, "desk/evil"),
    ("OPTIONS", b"*", HOST, None, REFUSED),
    ("QUERY", b"/a", HOST, None, REFUSED),
    ("QUERY", b"/a", HOST, Some(("content-type", b"x")), "desk/a"),
    ("GET", b"/host", b"Deny.Example.:80", None, "desk/host"),
    ("GET", b"/host", b"deny.example:x", None, "bad-host"),
    ("GET", b"/host", b"deny.example,www.example", None, "bad-host"),
    ("GET", b"/host", b"::1", None, "bad-host"),
    ("GET", b"/host", b"deny example", None, REFUSED),
    ("GET", b"/foo", HOST, Some(("x-foo", b" foo ")), "desk/foo"),
    ("GET", b"/foo", HOST, Some(("x-foo", b"\tfoo")), "desk/foo"),
    ("GET", b"/empty", HOST, Some(("x-foo", b"")), "desk/empty"),
    ("GET", b"/foo", HOST, Some(("x-foo", b"foo\x7f")), REFUSED),
    ("POST", b"/upload", HOST, Some(("content-length", b"01024")), "desk/upload"),
    ("POST", b"/upload", HOST, Some(("content-length", b"9223372036854775807")), "desk/large"),
    ("POST", b"/upload", HOST, Some(("content-length", b"18446744073709551616")), REFUSED),
    ("POST", b"/upload", HOST, Some(("content-length", b"-1")), REFUSED),
    ("POST", b"/upload", HOST, Some(("content-length", b"1024, 1024")), REFUSED),
];

const ON_HTTP1: &[Row] = &[
    ("get", b"/a", HOST, None, REFUSED),
    ("GET", b"/caf\xc3\xa9", HOST, None, REFUSED),
    ("GET", b"http://deny.example/host", HOST, None, "desk/host"),
    ("GET", b"http://u:p@DENY.example:80/host", HOST, None, "desk/host"),
    ("GET", b"https://deny.example/host", HOST, None, REFUSED),
    ("GET", b"/host", b"", None, "bad-host"),
    ("GET", b"/host", b" deny.example\t", None, "desk/host"),
    ("GET", b"/host", b"u@deny.example", None, "bad-host"),
    ("GET", b"/a", HOST, Some(("connection", b"x-y, close")), "desk/a"),
    ("GET", b"/a", HOST, Some(("connection", b"host")), REFUSED),
    ("GET", b"/a", HOST, Some(("connection", b"x-forwarded-for")), REFUSED),
    ("POST", b"/upload", HOST, Some(("content-length", b"9223372036854775808")), "bad-size"),
    ("POST", b"/upload", HOST, Some(("content-length", b"18446744073709551615")), "bad-size"),
    ("GET", b"/a", HOST, Some(("transfer-encoding", b"gzip")), REFUSED),
    ("CONNECT", b"desk.example:80", HOST, None, "bad-path"),
];

const ON_HTTP2: &[Row] = &[
    ("get", b"/a", HOST, None, "bad-method"),
    ("delete", b"/api/x", HOST, None, "bad-method"),
    ("FOO", b"/a", HOST, None, "desk/a"),
    ("GET", b"/tree/caf\xc3\xa9", HOST, None, "desk/tree"),
    ("GET", b"/tree/\xff", HOST, None, "desk/tree"),
    ("GET", b"/host", b"u@deny.example", None, REFUSED),
    ("GET", b"/a", HOST, Some(("connection", b"close")), REFUSED),
    ("GET", b"/a", HOST, Some(("te", b"trailers")), "desk/a"),
    ("GET", b"/a", HOST, Some(("te", b"gzip")), REFUSED),
    ("GET", b"/a", HOST, Some(("X-Foo", b"1")), REFUSED),
    ("CONNECT", b"", HOST, None, "bad-path"),
];

const HOST: &[u8] = b"desk.example";

/// All of them.
pub(super) fn requests() -> Vec<Fixed> {
    let mut fixed = Vec::new();
    for (rows, protocols) in [
        (ON_BOTH, &[Protocol::Http1, Protocol::Http2][..]),
        (ON_HTTP1, &[Protocol::Http1]),
        (ON_HTTP2, &[Protocol::Http2]),
    ] {
        for protocol in protocols {
            fixed.extend(rows.iter().map(|row| of_row(*protocol, row)));
        }
    }
    fixed.push(Fixed {
        request: RawRequest {
            hosts: vec![b"www.example".to_vec(), b"deny.example".to_vec()],
            ..of_row(Protocol::Http1, &("GET", b"/host", HOST, None, "")).request
        },
        verdict: "bad-host",
    });
    fixed
}

fn of_row(protocol: Protocol, (method, path, host, header, verdict): &Row) -> Fixed {
    let mut request = RawRequest {
        protocol,
        method: method.as_bytes().to_vec(),
        path: path.to_vec(),
        authority: None,
        hosts: Vec::new(),
        headers: header.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect(),
        has_body: header.is_some_and(|(name, _)| name == "content-length"),
        ..RawRequest::default()
    };
    match protocol {
        Protocol::Http1 => request.hosts.push(host.to_vec()),
        Protocol::Http2 => request.authority = Some(host.to_vec()),
    }
    Fixed { request, verdict }
}
