//! Generated requests, most of them near what some rule asks for.

use super::sketch::{RuleSketch, Sketch};
use super::words as w;
use crate::random::Random;
use chancery_policy_lang::request::{Request, Source};
use std::net::{IpAddr, Ipv4Addr};

/// Headers beside those that a rule asks for.
const HEADERS_MAX: usize = 5;
/// Headers of a request that has many.
const MANY_HEADERS_MAX: usize = 80;
/// How often a long value repeats a short one.
const REPEATS_MAX: usize = 400;

/// A request made for one of the rules, and then changed a little.
pub(super) fn request(random: &mut Random, sketch: &Sketch) -> Request {
    let rules: Vec<&RuleSketch> = sketch.policies.iter().flat_map(|policy| &policy.rules).collect();
    let mut request = base(random);
    if !rules.is_empty()
        && let Some(rule) = rules.get(random.below(rules.len()))
    {
        aim_at(random, rule, &mut request);
    }
    for _ in 0..random.below(3) {
        disturb(random, &mut request);
    }
    request
}

fn base(random: &mut Random) -> Request {
    let mut path: Vec<u8> =
        (0..random.below(4)).flat_map(|_| format!("/{}", random.one_of(w::SEGMENTS)).into_bytes()).collect();
    if path.is_empty() || random.chance(20) {
        path.push(b'/');
    }
    let headers_max = if random.chance(3) { MANY_HEADERS_MAX } else { HEADERS_MAX };
    let headers = (0..random.below(headers_max)).map(|_| header(random)).collect();
    let principal = random.chance(60).then(|| random.one_of(w::PRINCIPALS).as_bytes().to_vec());
    let mtls = if random.chance(90) { principal.is_some() } else { random.chance(50) };
    let mut request = Request {
        method: random.one_of(w::METHODS).as_bytes().to_vec(),
        path,
        authority: random.one_of(w::HOSTS).as_bytes().to_vec(),
        scheme: random.one_of(&["http", "https"]).as_bytes().to_vec(),
        protocol: random.one_of(w::PROTOCOLS).as_bytes().to_vec(),
        headers,
        end_of_stream: random.chance(70),
        source: Source {
            principal,
            ip: address(random),
            port: random.one_of(&[0, 1, 80, 1023, 1024, 65535]),
            mtls,
        },
    };
    if random.chance(30) {
        add_query(random, &mut request.path);
    }
    if random.chance(20) {
        let length = random.one_of(&["0", "10", "65536", "007", " 10 ", "9223372036854775807", "1", "12"]);
        request.headers.push((b"content-length".to_vec(), length.as_bytes().to_vec()));
    }
    request
}

/// Gives the request the rule's method, path and caller, and values from its conditions.
fn aim_at(random: &mut Random, rule: &RuleSketch, request: &mut Request) {
    if !rule.methods.is_empty() {
        request.method = random.one_of(&rule.methods).into_bytes();
    }
    if !rule.paths.is_empty() {
        let query = request.path.iter().position(|byte| *byte == b'?').map(|at| request.path.split_off(at));
        request.path = instance(random, &random.clone().one_of(&rule.paths));
        request.path.extend(query.unwrap_or_default());
    }
    if !rule.peers.is_empty() {
        let peer = random.one_of(&rule.peers);
        become_peer(random, &peer, &mut request.source);
    }
    for (_, condition) in &rule.conditions {
        let text = condition.text();
        let literals: Vec<&str> = text.split('"').skip(1).step_by(2).collect();
        for name in
            w::TEXT_HEADERS.iter().chain(w::TYPED_TEXT_HEADERS).chain(&["x-groups", "x-beta", "x-count"])
        {
            if literals.contains(name) && random.chance(70) {
                let value =
                    if random.chance(70) { random.one_of(&literals) } else { random.one_of(w::OTHER_VALUES) };
                request.headers.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
            }
        }
    }
}

/// A path that a pattern matches.
fn instance(random: &mut Random, pattern: &str) -> Vec<u8> {
    let mut path = String::new();
    for segment in pattern.split('/').skip(1) {
        match segment {
            "**" => {
                for _ in 0..random.below(3) {
                    path.push_str(&format!("/{}", random.one_of(w::SEGMENTS)));
                }
            }
            _ if segment == "*" || segment.starts_with('{') => {
                path.push_str(&format!("/{}", random.one_of(w::SEGMENTS)));
            }
            literal => path.push_str(&format!("/{literal}")),
        }
    }
    if path.is_empty() {
        path.push('/');
    }
    path.into_bytes()
}

fn become_peer(random: &mut Random, peer: &str, source: &mut Source) {
    let (kind, argument) = peer.split_once(' ').unwrap_or((peer, ""));
    let spiffe = |namespace: &str, service: &str| {
        format!("spiffe://{}/ns/{namespace}/sa/{service}", w::TRUST_DOMAIN).into_bytes()
    };
    match kind {
        "service" => {
            let (namespace, service) = argument.split_once('/').unwrap_or((argument, ""));
            let service = if service == "*" { random.one_of(w::SERVICES) } else { service };
            source.principal = Some(spiffe(namespace, service));
        }
        "namespace" => source.principal = Some(spiffe(argument, random.one_of(w::SERVICES))),
        "spiffe" => source.principal = Some(argument.trim_matches('"').as_bytes().to_vec()),
        "ip" => {
            let first = argument.split('/').next().unwrap_or(argument);
            source.ip = first.parse().unwrap_or(source.ip);
        }
        _ => {}
    }
}

/// Changes one thing.
fn disturb(random: &mut Random, request: &mut Request) {
    match random.below(15) {
        0 => request.method = random.one_of(w::OTHER_METHODS).as_bytes().to_vec(),
        1 => {
            let segment = format!("/{}", random.one_of(w::OTHER_SEGMENTS));
            request.path.splice(0..0, segment.into_bytes());
        }
        2 => {
            let without = request.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            request.path.truncate(without.max(1));
        }
        3 => {
            let end = request.path.iter().position(|byte| *byte == b'?').unwrap_or(request.path.len());
            request.path.splice(end..end, random.one_of(&["/", "x", "/a", "%41"]).bytes());
        }
        4..=5 => request.headers.push(header(random)),
        6 => {
            // The same name twice, with other letters: only the first call of a careless reader sees one.
            if let Some((name, _)) = request.headers.get(random.below(request.headers.len())).cloned() {
                let value = random.one_of(w::STRINGS).as_bytes().to_vec();
                let at = random.below(request.headers.len() + 1);
                request.headers.insert(at, (name, value));
            }
        }
        7 => {
            let at = random.below(request.headers.len());
            if at < request.headers.len() {
                request.headers.remove(at);
            }
        }
        8 => request.source.principal = Some(random.one_of(w::PRINCIPALS).as_bytes().to_vec()),
        9 => request.source.ip = address(random),
        10 => add_query(random, &mut request.path),
        11 => {
            // Headers with and without a body, and lengths that are none.
            let length =
                random.one_of(&["18446744073709551616", "9223372036854775808", "1a", "", "-1", "1,1"]);
            request.headers.push((b"content-length".to_vec(), length.as_bytes().to_vec()));
        }
        12 => request.authority = random.one_of(w::OTHER_HOSTS).as_bytes().to_vec(),
        13 => {
            // White space around a value does not count, wherever the value stands among others.
            let at = random.below(request.headers.len());
            if let Some((_, value)) = request.headers.get_mut(at) {
                let (before, behind) = (random.one_of(w::BLANKS), random.one_of(w::BLANKS));
                *value = [before.as_bytes(), value, behind.as_bytes()].concat();
            }
        }
        _ => {
            // Bytes that are not UTF-8, and text that ends in the middle of a character.
            let value =
                random.one_of(&[&b"\xff"[..], b"a\xc3", b"\xa9b", b"\xf0\x9f\x92\xa9", b"\xed\xa0\x80"]);
            request.headers.push((random.one_of(w::TEXT_HEADERS).as_bytes().to_vec(), value.to_vec()));
        }
    }
}

fn header(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let name = match random.below(4) {
        0 => random.one_of(&["x-groups", "x-beta", "x-count", "accept", "content-length", "x"]),
        1 => random.one_of(w::TYPED_TEXT_HEADERS),
        _ => random.one_of(w::TEXT_HEADERS),
    };
    let value = if random.chance(60) { random.one_of(w::STRINGS) } else { random.one_of(w::OTHER_VALUES) };
    let repeats = if random.chance(3) { random.below(REPEATS_MAX) } else { 1 };
    (name.as_bytes().to_vec(), value.repeat(repeats).into_bytes())
}

fn add_query(random: &mut Random, path: &mut Vec<u8>) {
    let parameters = [
        "q=a",
        "q=",
        "q",
        "user=admin",
        "user=a%20b",
        "user=a+b",
        "%71=a",
        "q=%41",
        "q=%",
        "q=%4",
        "q=%zz",
        "%C3%A9=é",
        "=a",
        "&",
        "q=a=b",
        "?q=a",
        "q=%ff",
    ];
    let separator = if path.contains(&b'?') { "&" } else { "?" };
    path.extend_from_slice(separator.as_bytes());
    path.extend_from_slice(random.some_of(&parameters, 3).join("&").as_bytes());
}

fn address(random: &mut Random) -> IpAddr {
    random.one_of(w::ADDRESSES).parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}
