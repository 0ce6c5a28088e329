//! Generated requests: plain ones that a rule matches, each with a few odd things done to it.

use super::odd;
use crate::random::Random;
use chancery_policy_lang::request::{Protocol, RawRequest, Source};
use std::net::{IpAddr, Ipv4Addr};

/// At most so many odd things are in a request, and so many more in few of them.
const ODDITIES_USUAL: usize = 2;
const ODDITIES_MORE: usize = 4;
/// Long values: within what Envoy takes (60 KiB), beyond, and near the limit.
const LONG_BYTES: &[usize] = &[100, 8_000, 30_000, 61_000, 61_000, 70_000];
/// The last are this much longer at most, so that the limit is met from both sides.
const NEAR_BYTES: usize = 500;
/// Many headers: within and beyond what Envoy takes (100).
const MANY: &[usize] = &[20, 60, 90, 94, 97, 120];

/// A request.
#[must_use]
pub fn request(random: &mut Random) -> RawRequest {
    let mut request = plain(random);
    let oddities = if random.chance(90) { ODDITIES_USUAL } else { ODDITIES_MORE };
    for _ in 0..=random.below(oddities) {
        make_odd(random, &mut request);
    }
    settle(&mut request);
    request
}

/// Makes a request one that can be sent so. Over HTTP/1 a body follows where the headers say so and not
/// otherwise; white space around the target would be taken for the one between the parts, and a name that
/// begins with white space for a fold; over HTTP/2 a pseudo-header among the headers for one that is absent.
pub(super) fn settle(request: &mut RawRequest) {
    if request.protocol == Protocol::Http1 {
        request.path = request.path.trim_ascii().to_vec();
        request.headers.retain(|(name, _)| !name.starts_with(b" ") && !name.starts_with(b"\t"));
        request.has_body = announces_body(request);
    } else {
        let is_absent = |name: &[u8]| match name {
            b":authority" => request.authority.is_none(),
            b":path" => request.path.is_empty(),
            _ => false,
        };
        request.headers.retain(|(name, _)| !is_absent(name));
    }
}

fn announces_body(request: &RawRequest) -> bool {
    request.headers.iter().any(|(name, value)| match name.to_ascii_lowercase().as_slice() {
        b"content-length" => value.iter().any(|byte| (b'1'..=b'9').contains(byte)),
        b"transfer-encoding" => true,
        _ => false,
    })
}

/// A host that has nothing odd.
pub(super) fn give_plain_host(request: &mut RawRequest) {
    give_host(request, b"desk.example".to_vec());
}

fn plain(random: &mut Random) -> RawRequest {
    let (method, path, host, headers) = random.one_of(odd::PLAIN);
    let mut request = RawRequest {
        protocol: if random.chance(50) { Protocol::Http1 } else { Protocol::Http2 },
        method: method.into(),
        path: path.into(),
        authority: None,
        hosts: Vec::new(),
        scheme: b"http".to_vec(),
        headers: headers
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect(),
        has_body: headers.iter().any(|(name, _)| *name == "content-length"),
        source: Source { principal: None, ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 0, mtls: false },
    };
    give_host(&mut request, host.into());
    request
}

fn give_host(request: &mut RawRequest, host: Vec<u8>) {
    request.hosts.clear();
    request.authority = None;
    match request.protocol {
        Protocol::Http1 => request.hosts.push(host),
        Protocol::Http2 => request.authority = Some(host),
    }
}

fn make_odd(random: &mut Random, request: &mut RawRequest) {
    match random.below(100) {
        0..40 => odd_path(random, &mut request.path),
        40..48 => odd_query(random, &mut request.path),
        48..56 => odd_method(random, request),
        56..68 => odd_host(random, request),
        68..71 => odd_target(random, request),
        71..74 => odd_scheme(random, request),
        74..84 => odd_value(random, request),
        84..90 => odd_header(random, request),
        90..94 => odd_hop(random, request),
        94..98 => odd_length(random, request),
        _ => odd_size(random, request),
    }
}

fn odd_path(random: &mut Random, path: &mut Vec<u8>) {
    let end = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
    let at = random.below(end + 1);
    match random.below(10) {
        0..5 => insert(path, at, random.one_of(odd::PATH_PIECES)),
        5..8 => escape(random, path, at.min(end.saturating_sub(1))),
        8 => insert(path, end, random.one_of(odd::PATH_PIECES)),
        _ => {
            let byte = random.below(256).to_le_bytes();
            insert(path, at, byte.get(..1).unwrap_or_default());
        }
    }
}

/// The byte there as an escape, with digits in any case.
fn escape(random: &mut Random, text: &mut Vec<u8>, at: usize) {
    let Some(byte) = text.get(at).copied() else { return };
    let escape = if random.chance(50) { format!("%{byte:02x}") } else { format!("%{byte:02X}") };
    text.splice(at..=at, escape.into_bytes());
}

fn odd_query(random: &mut Random, path: &mut Vec<u8>) {
    if !path.contains(&b'?') {
        path.extend_from_slice(b"?q=");
    }
    let start = path.iter().position(|byte| *byte == b'?').unwrap_or(0) + 1;
    let at = start + random.below(path.len() + 1 - start);
    insert(path, at, random.one_of(odd::QUERY_PIECES));
}

fn odd_method(random: &mut Random, request: &mut RawRequest) {
    match random.below(4) {
        0 => request.method = request.method.to_ascii_lowercase(),
        1 => {
            let at = random.below(request.method.len());
            request.method.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0x20);
        }
        _ => request.method = random.one_of(odd::METHODS).into(),
    }
    if request.method == b"CONNECT" && random.chance(70) {
        request.path = match request.protocol {
            Protocol::Http1 => b"desk.example:80".to_vec(),
            Protocol::Http2 => Vec::new(),
        };
    }
}

fn odd_host(random: &mut Random, request: &mut RawRequest) {
    let host = random.one_of(odd::HOSTS).to_vec();
    match random.below(8) {
        0 => {
            request.hosts.clear();
            request.authority = None;
        }
        1 | 2 => request.hosts.push(host),
        3 => {
            request.authority = None;
            request.hosts = vec![host];
        }
        _ => give_host(request, host),
    }
    if request.protocol == Protocol::Http1 {
        request.authority = None;
    }
}

/// `*`, or a target with scheme and host.
fn odd_target(random: &mut Random, request: &mut RawRequest) {
    if random.chance(25) {
        request.path = b"*".to_vec();
        if random.chance(80) {
            request.method = b"OPTIONS".to_vec();
        }
        return;
    }
    let scheme: &str =
        random.one_of(&["http://", "http://", "http://", "HTTP://", "https://", "ftp://", "http:/", "//"]);
    let host = if random.chance(60) { b"deny.example".to_vec() } else { random.one_of(odd::HOSTS).to_vec() };
    if random.chance(15) {
        request.path.clear();
    }
    request.path = [scheme.as_bytes(), &host, &request.path].concat();
}

fn odd_scheme(random: &mut Random, request: &mut RawRequest) {
    if request.protocol == Protocol::Http2 {
        request.scheme = random.one_of(odd::SCHEMES).to_vec();
    }
}

fn odd_value(random: &mut Random, request: &mut RawRequest) {
    let value = random.one_of(odd::VALUES).to_vec();
    let at = random.below(request.headers.len());
    match (random.below(3), request.headers.get_mut(at)) {
        (0, Some((_, old))) => *old = value,
        (1, Some((name, _))) => {
            let again = name.clone();
            request.headers.push((again, value));
        }
        _ => request.headers.push((random.one_of(odd::NAMES).into(), value)),
    }
}

fn odd_header(random: &mut Random, request: &mut RawRequest) {
    let value = random.one_of(odd::VALUES).to_vec();
    let name: Vec<u8> = match random.below(3) {
        0 => random.one_of(odd::BAD_NAMES).to_vec(),
        _ => random.one_of(odd::NAMES).into(),
    };
    if random.chance(30) {
        request.headers.push((name.clone(), random.one_of(odd::VALUES).to_vec()));
    }
    let at = random.below(request.headers.len() + 1);
    request.headers.insert(at, (name, value));
}

fn odd_hop(random: &mut Random, request: &mut RawRequest) {
    let (name, values) = random.one_of(odd::HOP);
    request.headers.push((name.into(), random.one_of(values).to_vec()));
    // These two are asked for together.
    if name == "upgrade" && random.chance(50) {
        request.headers.push((b"connection".to_vec(), b"Upgrade".to_vec()));
    }
}

fn odd_length(random: &mut Random, request: &mut RawRequest) {
    let length = random.one_of(odd::LENGTHS).to_vec();
    if random.chance(80) {
        request.headers.retain(|(name, _)| name != b"content-length");
    }
    if random.chance(50) {
        request.path = b"/upload".to_vec();
        request.method = b"POST".to_vec();
    }
    request.headers.push((b"content-length".to_vec(), length));
    request.has_body = random.chance(80);
}

fn odd_size(random: &mut Random, request: &mut RawRequest) {
    if random.chance(50) {
        let long = random.one_of(LONG_BYTES) + random.below(NEAR_BYTES);
        match random.below(3) {
            0 => request.path.extend(vec![b'x'; long]),
            1 => request.headers.push((b"x-foo".to_vec(), vec![b'x'; long])),
            _ => give_host(request, vec![b'x'; long]),
        }
        return;
    }
    let name: &str = random.one_of(&["x", "x", "cookie", "accept"]);
    for number in 0..random.one_of(MANY) + random.below(3) {
        let name = if name == "x" { format!("x-{number}") } else { name.to_owned() };
        request.headers.push((name.into_bytes(), Vec::new()));
    }
}

fn insert(text: &mut Vec<u8>, at: usize, piece: &[u8]) {
    text.splice(at..at, piece.iter().copied());
}
