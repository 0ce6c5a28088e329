//! How many headers Envoy takes, and how long they may be.

use super::fields::join_repeated;
use super::{Protocol, RawRequest};
use crate::request::refusal::Refusal;

/// The most headers of a request, pseudo-headers of HTTP/2 and `host` among them. Those that Envoy joins
/// are one.
const HEADERS_MAX: usize = 100;
/// The most bytes of them: of HTTP/1 all up to the body, of HTTP/2 names and values.
const BYTES_MAX: usize = 60 << 10;

/// What stands beside method and target in the request line: two blanks, the version and the line's end.
const REQUEST_LINE_BYTES: usize = b"  HTTP/1.1\r\n".len();
/// What stands beside name and value in a line: a colon, a blank and the line's end.
const LINE_BYTES: usize = b": \r\n".len();
const LAST_LINE_BYTES: usize = b"\r\n".len();
const COOKIE_SEPARATOR_BYTES: usize = b"; ".len();

/// Refuses a request whose headers are too many or too long for Envoy.
pub(super) fn check_length(raw: &RawRequest) -> Result<(), Refusal> {
    let (headers, bytes) = match raw.protocol {
        Protocol::Http1 => of_http1(raw),
        Protocol::Http2 => of_http2(raw),
    };
    if headers > HEADERS_MAX || bytes > BYTES_MAX { Err(Refusal::TooLarge) } else { Ok(()) }
}

fn of_http1(raw: &RawRequest) -> (usize, usize) {
    let line = |name: usize, value: &[u8]| name + value.len() + LINE_BYTES;
    let hosts: usize = raw.hosts.iter().map(|host| line(b"host".len(), host)).sum();
    let others: usize = raw.headers.iter().map(|(name, value)| line(name.len(), value)).sum();
    let first = raw.method.len() + raw.path.len() + REQUEST_LINE_BYTES;
    // Several hosts are joined.
    (raw.hosts.len().min(1) + joined(raw).len(), first + hosts + others + LAST_LINE_BYTES)
}

fn of_http2(raw: &RawRequest) -> (usize, usize) {
    let mut pseudo = vec![(":method", raw.method.as_slice())];
    pseudo.extend(raw.authority.as_deref().map(|authority| (":authority", authority)));
    if raw.method != b"CONNECT" {
        pseudo.extend([(":scheme", raw.scheme.as_slice()), (":path", &raw.path)]);
    }
    let hosts = raw.hosts.iter().map(|host| ("host", host.as_slice()));
    let (cookies, others): (Vec<_>, Vec<_>) =
        joined(raw).into_iter().partition(|(name, _)| name == b"cookie");
    let named: usize =
        pseudo.iter().copied().chain(hosts).map(|(name, value)| name.len() + value.len()).sum();
    let others_bytes: usize = others.iter().map(|(name, value)| name.len() + value.len()).sum();
    // Cookies are gathered apart, without their name.
    let texts: usize = cookies.iter().map(|(_, value)| value.len()).sum();
    let separators = cookies.len().saturating_sub(1) * COOKIE_SEPARATOR_BYTES;
    (pseudo.len() + raw.hosts.len() + cookies.len() + others.len(), named + others_bytes + texts + separators)
}

fn joined(raw: &RawRequest) -> super::Headers {
    join_repeated(
        raw.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect(),
    )
}
