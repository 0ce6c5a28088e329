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
    let hosts: Vec<Vec<u8>> = raw.hosts.iter().map(|host| super::fields::http1_value(host)).collect();
    let may_stand = |byte: &u8| is_host_byte(*byte) || *byte == b'@';
    if hosts.is_empty() || !hosts.iter().flatten().all(may_stand) {
        return Err(Refusal::Host);
    }
    Ok(Target { authority: hosts.join(&b','), scheme, path: raw.path.clone() })
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
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    let (host, port) = split_port(authority);
    if !is_url_host(host) || !port.is_none_or(is_port) {
        return Err(refused);
    }
    let path = if path.is_empty() { b"/".to_vec() } else { path.to_vec() };
    Ok(Target { authority: authority.to_vec(), scheme: scheme.to_vec(), path })
}

fn of_http2(raw: &RawRequest) -> Result<Target, Refusal> {
    let is_host = |host: &Vec<u8>| !host.is_empty() && host.iter().all(|byte| is_host_byte(*byte));
    if !raw.authority.iter().chain(&raw.hosts).all(is_host) {
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
    let is_scheme_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    if !raw.scheme.first().is_some_and(u8::is_ascii_alphabetic) || !raw.scheme.iter().all(is_scheme_byte) {
        return Err(Refusal::Header);
    }
    let lower = raw.scheme.to_ascii_lowercase();
    let is_http = matches!(lower.as_slice(), b"http" | b"https");
    let scheme = if is_http { lower } else { raw.scheme.clone() };
    Ok(Target { authority, scheme, path: raw.path.clone() })
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
