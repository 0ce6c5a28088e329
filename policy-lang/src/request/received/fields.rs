//! The headers of a request as Envoy shows them: what it trims, joins, takes away, sets and refuses.

use super::{Protocol, RawRequest, is_token};
use crate::request::refusal::Refusal;
use crate::request::{Headers, trim};

/// Headers of one hop: Envoy takes them away on HTTP/1, and HTTP/2 does not have them. Those that ask for a WebSocket
/// stay, see [`Hop`].
pub(crate) const HOP_HEADERS: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", UPGRADE];

/// The header that says what a connection is to become. Of all requests that a filter sees, those for a WebSocket alone
/// have it; on HTTP/2 Envoy makes it of an extended `CONNECT` (RFC 8441).
pub(crate) const UPGRADE: &str = "upgrade";
/// What a connection may become.
const WEBSOCKET: &[u8] = b"websocket";

/// Headers that Envoy takes away from what a client outside of it sends, since they are orders to Envoy.
pub(crate) const ENVOY_HEADERS: [&str; 22] = [
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-internal",
    "x-envoy-ip-tags",
    "x-envoy-max-retries",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-envoy-original-url",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-stream-duration-ms",
    "x-forwarded-client-cert",
];

/// Headers that Envoy sets itself, whatever the client sends.
const SET_HEADERS: [&str; 3] = ["x-envoy-external-address", "x-forwarded-proto", "x-request-id"];
/// What stands for the random id that Envoy gives a request.
const REQUEST_ID: &[u8] = b"00000000-0000-4000-8000-000000000000";

/// Headers of which several become one, joined with `,`, in Envoy's own table.
const JOINED_HEADERS: [&str; 31] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "access-control-request-private-network",
    "authorization",
    "cache-control",
    "cdn-loop",
    "content-encoding",
    "content-type",
    "expect",
    "grpc-accept-encoding",
    "grpc-timeout",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "pragma",
    "proxy-status",
    "referer",
    "te",
    "user-agent",
    "via",
    "x-client-trace-id",
    "x-envoy-attempt-count",
    "x-envoy-is-timeout-retry",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
];

/// The most names that a `connection` may have, and one more.
const NOMINATED_MAX: usize = 10;
/// The longest `te` that a `connection` may name, and one byte more.
const TE_BYTES_MAX: usize = 256;

/// The headers of a request and whether they end it.
pub(super) struct Fields {
    pub(super) headers: Headers,
    pub(super) end_of_stream: bool,
}

pub(super) fn fields(raw: &RawRequest) -> Result<Fields, Refusal> {
    let (mut headers, end_of_stream) = match raw.protocol {
        Protocol::Http1 => of_http1(raw)?,
        Protocol::Http2 => of_http2(raw)?,
    };
    headers.retain(|(name, value)| {
        let is_taken = ENVOY_HEADERS.iter().chain(&SET_HEADERS).any(|taken| taken.as_bytes() == name);
        let is_bad_referer = name == b"referer" && !super::target::is_referer(value);
        !is_taken && !is_bad_referer
    });
    let scheme = if raw.source.mtls { "https" } else { "http" };
    let address = raw.source.ip.to_string();
    let set = [address.as_bytes(), scheme.as_bytes(), REQUEST_ID];
    headers
        .extend(SET_HEADERS.iter().zip(set).map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())));
    Ok(Fields { headers, end_of_stream })
}

fn of_http1(raw: &RawRequest) -> Result<(Headers, bool), Refusal> {
    let mut headers = Headers::new();
    for (name, value) in &raw.headers {
        let value = http1_value(value);
        if !is_token(name) || !value.iter().all(|byte| is_value_byte(*byte)) {
            return Err(Refusal::Header);
        }
        headers.push((name.to_ascii_lowercase(), value));
    }
    let length = content_length(&headers, u64::MAX)?;
    let codings: Vec<Vec<u8>> = values(&headers, b"transfer-encoding").map(<[u8]>::to_vec).collect();
    let is_chunked = !codings.is_empty();
    if !codings.iter().all(|coding| coding.eq_ignore_ascii_case(b"chunked")) || codings.len() > 1 {
        return Err(Refusal::Header);
    }
    if is_chunked && length.is_some() {
        return Err(Refusal::Size);
    }
    if raw.method == b"CONNECT" && (is_chunked || length.unwrap_or(0) != 0) {
        return Err(Refusal::Size);
    }
    let mut headers = join_repeated(headers);
    let hop = drop_nominated(&mut headers, raw)?;
    let asks = |name: &[u8]| name == b"connection" || name == UPGRADE.as_bytes();
    headers.retain(|(name, _)| {
        let is_hop = HOP_HEADERS.iter().any(|hop| hop.as_bytes() == name);
        !is_hop || (hop == Hop::WebSocket && asks(name))
    });
    if hop == Hop::WebSocket {
        return Ok((headers, false));
    }
    keep_trailers_of_te(&mut headers);
    Ok((headers, !is_chunked && length.unwrap_or(0) == 0))
}

/// A value of HTTP/1: a fold is undone, a lone CR is dropped, and white space around it is taken away.
pub(super) fn http1_value(value: &[u8]) -> Vec<u8> {
    let mut unfolded = Vec::with_capacity(value.len());
    for (at, byte) in value.iter().enumerate() {
        let is_fold = *byte == b'\n' && matches!(value.get(at + 1), Some(b' ' | b'\t'));
        if *byte != b'\r' && !is_fold {
            unfolded.push(*byte);
        }
    }
    // Another control character than these is refused, and so must stay.
    let is_text = |byte: &u8| !b" \t".contains(byte);
    let start = unfolded.iter().position(is_text).unwrap_or(unfolded.len());
    let end = unfolded.iter().rposition(is_text).map_or(start, |last| last + 1);
    unfolded.get(start..end).unwrap_or_default().to_vec()
}

/// What a request is to the connection that it comes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hop {
    /// One of several.
    Ordinary,
    /// The last one: the connection is to become a WebSocket.
    WebSocket,
}

/// Takes away the headers that `connection` names, as RFC 9110, section 7.6.1, wants it.
fn drop_nominated(headers: &mut Headers, raw: &RawRequest) -> Result<Hop, Refusal> {
    let text = values(headers, b"connection").collect::<Vec<_>>().join(&b',').to_ascii_lowercase();
    let names: Vec<&[u8]> = text.split(|byte| *byte == b',').map(trim).collect();
    if names.len() >= NOMINATED_MAX {
        return Err(Refusal::Header);
    }
    let wants_upgrade = names.contains(&&b"upgrade"[..]);
    let upgrade = values(headers, UPGRADE.as_bytes()).collect::<Vec<_>>().join(&b',').to_ascii_lowercase();
    let hop = match upgrade.as_slice() {
        b"" => Hop::Ordinary,
        _ if !wants_upgrade => Hop::Ordinary,
        b"h2c" => {
            headers.retain(|(name, _)| name != b"http2-settings");
            Hop::Ordinary
        }
        WEBSOCKET => Hop::WebSocket,
        _ => return Err(Refusal::Header),
    };
    for name in names {
        match name {
            b"close" | b"keep-alive" | b"upgrade" | b"connection" | b"" => {}
            // A target that names a host itself needs none.
            b"host" if raw.path.starts_with(b"/") => return Err(Refusal::Host),
            b"host" => {}
            b"x-forwarded-for" | b"x-forwarded-host" | b"x-forwarded-proto" | [b':', ..] => {
                return Err(Refusal::Header);
            }
            b"te" => {
                if values(headers, b"te").any(|value| value.len() >= TE_BYTES_MAX) {
                    return Err(Refusal::Header);
                }
            }
            name => headers.retain(|(found, _)| found != name),
        }
    }
    Ok(hop)
}

fn of_http2(raw: &RawRequest) -> Result<(Headers, bool), Refusal> {
    for (name, value) in &raw.headers {
        let is_hop = HOP_HEADERS.iter().any(|hop| hop.as_bytes() == name);
        let is_other_te = name == b"te" && !value.eq_ignore_ascii_case(b"trailers");
        let is_name = is_token(name) && !name.iter().any(u8::is_ascii_uppercase);
        if !is_name || is_hop || is_other_te || !value.iter().all(|byte| is_value_byte(*byte)) {
            return Err(Refusal::Header);
        }
    }
    let length = content_length(&raw.headers, i64::MAX.unsigned_abs())?;
    if !raw.has_body && length.unwrap_or(0) != 0 && raw.method != b"CONNECT" {
        return Err(Refusal::Size);
    }
    // HTTP/2 lets a client send each cookie alone; RFC 9113, section 8.2.3, joins them again.
    let mut headers = join_repeated(raw.headers.clone());
    keep_trailers_of_te(&mut headers);
    // Envoy puts it behind the other headers, and an empty one away.
    let mut cookies = Vec::new();
    for cookie in values(&headers, b"cookie") {
        if !cookies.is_empty() {
            cookies.extend_from_slice(b"; ");
        }
        cookies.extend_from_slice(cookie);
    }
    headers.retain(|(name, _)| name != b"cookie");
    if !cookies.is_empty() {
        headers.push((b"cookie".to_vec(), cookies));
    }
    Ok((headers, !raw.has_body))
}

/// The one `content-length`, if there is one: decimal digits up to this number.
fn content_length(headers: &Headers, max: u64) -> Result<Option<u64>, Refusal> {
    let mut lengths = values(headers, b"content-length");
    let Some(length) = lengths.next() else { return Ok(None) };
    let digits =
        std::str::from_utf8(length).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()).filter(|length| *length <= max) {
        Some(length) if lengths.next().is_none() => Ok(Some(length)),
        _ => Err(Refusal::Size),
    }
}

/// Several headers of a name of Envoy's table made one, at the place of the first.
pub(super) fn join_repeated(headers: Headers) -> Headers {
    let mut all = Headers::new();
    for (name, value) in headers {
        let is_joined = JOINED_HEADERS.iter().any(|known| known.as_bytes() == name);
        match all.iter_mut().find(|(known, _)| is_joined && *known == name) {
            Some((_, before)) => *before = joined(std::mem::take(before), value),
            None => all.push((name, value)),
        }
    }
    all
}

/// Two values of one header as Envoy joins them: an empty one leaves no comma.
pub(super) fn joined(mut before: Vec<u8>, value: Vec<u8>) -> Vec<u8> {
    if !before.is_empty() && !value.is_empty() {
        before.push(b',');
    }
    before.extend(value);
    before
}

/// Of `te` only `trailers` stays, and an empty one.
fn keep_trailers_of_te(headers: &mut Headers) {
    headers.retain_mut(|(name, value)| {
        if name != b"te" || value.is_empty() {
            return true;
        }
        let has_trailers = value.split(|byte| *byte == b',').map(trim).any(|coding| coding == b"trailers");
        *value = b"trailers".to_vec();
        has_trailers
    });
}

fn values<'a>(headers: &'a Headers, name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_slice())
}

/// What may stand in a value: all but control characters.
pub(super) fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
