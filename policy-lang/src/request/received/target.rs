//! Where a request goes: authority, scheme and path out of the request line, `host` and pseudo-headers.

use super::{Protocol, RawRequest};
use crate::path;
use crate::request::refusal::Refusal;

/// Where a request goes.
pub(super) struct Target {
    pub(super) authority: Vec<u8>,
    pub(super) scheme: Vec<u8>,
    /// As sent, with the query.
    pub(super) path: Vec<u8>,
}

/// Authority, scheme and path; each as Envoy shows it, but for the path, which is as sent.
pub(super) fn target(raw: &RawRequest) -> Result<Target, Refusal> {
    match raw.protocol {
        Protocol::Http1 => of_http1(raw),
        Protocol::Http2 => of_http2(raw),
    }
}

fn of_http1(raw: &RawRequest) -> Result<Target, Refusal> {
    if raw.path.iter().any(|byte| !byte.is_ascii_graphic()) {
        return Err(Refusal::Path(path::Refusal::Character));
    }
    let hosts: Vec<Vec<u8>> = raw.hosts.iter().map(|host| super::fields::http1_value(host)).collect();
    if !hosts.iter().flatten().all(|byte| super::fields::is_value_byte(*byte)) {
        return Err(Refusal::Host);
    }
    let scheme = raw.scheme.clone();
    if raw.method == b"CONNECT" {
        let (host, port) = split_port(&raw.path);
        let is_known = is_url_host(host) && port.is_some_and(is_port);
        let target = Target { authority: raw.path.clone(), scheme, path: Vec::new() };
        return if is_known { Ok(target) } else { Err(Refusal::Path(path::Refusal::NotAbsolute)) };
    }
    if !raw.path.starts_with(b"/") {
        return absolute_form(raw);
    }
    let may_stand = |byte: &u8| is_host_byte(*byte) || *byte == b'@';
    if hosts.is_empty() || !hosts.iter().flatten().all(may_stand) {
        return Err(Refusal::Host);
    }
    let authority = hosts.into_iter().reduce(super::fields::joined).unwrap_or_default();
    Ok(Target { authority, scheme, path: raw.path.clone() })
}

/// `http://host/path` in the request line: the `host` headers do not count.
fn absolute_form(raw: &RawRequest) -> Result<Target, Refusal> {
    let refused = Refusal::Path(path::Refusal::NotAbsolute);
    let lower = raw.path.to_ascii_lowercase();
    let scheme: &[u8] = if lower.starts_with(b"http://") { b"http" } else { b"https" };
    let prefix = [scheme, b"://"].concat();
    if !lower.starts_with(&prefix) || (scheme == b"https" && raw.scheme != b"https") {
        return Err(refused);
    }
    let rest = raw.path.get(prefix.len()..).unwrap_or_default();
    let Some(UrlRest { authority, path, .. }) = split_url(rest) else { return Err(refused) };
    let path = if path.is_empty() { b"/".to_vec() } else { path.to_vec() };
    Ok(Target { authority: authority.to_vec(), scheme: scheme.to_vec(), path })
}

/// What stands behind `scheme://` in a URL.
struct UrlRest<'a> {
    user: &'a [u8],
    authority: &'a [u8],
    path: &'a [u8],
}

/// The parts of what stands behind `scheme://`, if the host and the port are such as Envoy takes.
fn split_url(rest: &[u8]) -> Option<UrlRest<'_>> {
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let user_end = authority.iter().rposition(|byte| *byte == b'@').map_or(0, |at| at + 1);
    let (user, authority) = authority.split_at(user_end);
    let (host, port) = split_port(authority);
    let user = user.strip_suffix(b"@").unwrap_or(user);
    (is_url_host(host) && port.is_none_or(is_port)).then_some(UrlRest { user, authority, path })
}

/// Whether Envoy keeps such a `referer`: an absolute URL without user and fragment, or a relative one of plain
/// characters.
pub(super) fn is_referer(value: &[u8]) -> bool {
    if let Some(is_kept) = is_absolute_referer(value) {
        return is_kept;
    }
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"!$%&'()*+,-./:;=?@_~".contains(byte);
    let first = value.split(|byte| *byte == b'/').next().unwrap_or_default();
    value.iter().all(is_plain) && !first.contains(&b':')
}

/// The same of what is an absolute URL.
fn is_absolute_referer(value: &[u8]) -> Option<bool> {
    let colon = value.windows(3).position(|window| window == b"://")?;
    let (scheme, rest) = value.split_at(colon);
    let url = split_url(rest.strip_prefix(b"://")?)?;
    let has_scheme = scheme.first()?.is_ascii_alphabetic() && scheme.iter().all(is_scheme_byte);
    let is_url = has_scheme && url.path.iter().all(u8::is_ascii_graphic);
    let fragment = url.path.iter().position(|byte| *byte == b'#').and_then(|at| url.path.get(at + 1..));
    is_url.then(|| url.user.is_empty() && fragment.is_none_or(<[u8]>::is_empty))
}

fn is_scheme_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(byte)
}

fn of_http2(raw: &RawRequest) -> Result<Target, Refusal> {
    let is_host = |host: &Vec<u8>| !host.is_empty() && host.iter().all(|byte| is_host_byte(*byte));
    if raw.hosts.len() > 1 || !raw.authority.iter().chain(&raw.hosts).all(is_host) {
        return Err(Refusal::Host);
    }
    let authority = match (&raw.authority, raw.hosts.as_slice()) {
        (Some(authority), _) => authority.clone(),
        (None, [host]) => host.clone(),
        (None, _) => return Err(Refusal::Host),
    };
    if raw.method == b"CONNECT" {
        let is_plain = raw.path.is_empty() && raw.authority.is_some();
        let target = Target { authority, scheme: b"http".to_vec(), path: Vec::new() };
        return if is_plain { Ok(target) } else { Err(Refusal::Method) };
    }
    if !raw.scheme.first().is_some_and(u8::is_ascii_alphabetic) || !raw.scheme.iter().all(is_scheme_byte) {
        return Err(Refusal::Header);
    }
    Ok(Target { authority, scheme: raw.scheme.to_ascii_lowercase(), path: raw.path.clone() })
}

/// What may stand in an authority of HTTP/2, and but for `@` in a `host` of HTTP/1.
fn is_host_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'$'..=b'.' | b'0'..=b';' | b'=' | b'A'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~')
}

fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let host_end = authority.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let colon = authority.iter().skip(host_end).position(|byte| *byte == b':').map(|at| host_end + at);
    match colon {
        Some(colon) => (authority.get(..colon).unwrap_or_default(), authority.get(colon + 1..)),
        None => (authority, None),
    }
}

/// A host as Envoy's parser of URLs takes it.
fn is_url_host(host: &[u8]) -> bool {
    match host.strip_prefix(b"[").and_then(|inner| inner.strip_suffix(b"]")) {
        Some(inner) => {
            std::str::from_utf8(inner).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
        }
        None => {
            !host.is_empty() && host.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(byte))
        }
    }
}

fn is_port(digits: &[u8]) -> bool {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number && super::super::parse_decimal(digits).is_some_and(|port| port <= i64::from(u16::MAX))
}
