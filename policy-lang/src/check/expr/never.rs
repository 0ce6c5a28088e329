//! What to write in the place of a constant that an attribute never equals, or of a beginning that it never
//! has, where that shows.

use crate::checked::Attribute;
use crate::path;
use crate::request::parse_authority;

/// Why no request has this value, in words that say what to write.
pub(super) fn equal(attribute: &Attribute, value: &str) -> Option<String> {
    match attribute {
        Attribute::Method if has_small_letter(value) => {
            Some(format!("methods are in capital letters; write {:?}", value.to_ascii_uppercase()))
        }
        Attribute::Scheme if value.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Some(format!("the scheme is in small letters; write {:?}", value.to_ascii_lowercase()))
        }
        Attribute::Host => host(value),
        Attribute::Path => whole_path(value),
        Attribute::PathSegment(_) if value.contains('/') => {
            Some("a capture is one segment, without slashes".to_owned())
        }
        Attribute::PathSegment(_) => escapes(value),
        Attribute::SourcePrincipal | Attribute::SourceService | Attribute::SourceNamespace
            if value.contains('*') =>
        {
            Some("names are compared as a whole; `startsWith` asks how one begins".to_owned())
        }
        Attribute::Header(_) if value != value.trim_matches([' ', '\t']) => {
            Some(format!("white space around a value does not count; write {:?}", value.trim()))
        }
        _ => None,
    }
}

/// Why no request's value begins so, in words that say what to write.
pub(super) fn begins(attribute: &Attribute, beginning: &str) -> Option<String> {
    match attribute {
        Attribute::Path if !beginning.is_empty() && !beginning.starts_with('/') => {
            Some(format!("a path begins with a slash; write {:?}, or `contains`", format!("/{beginning}")))
        }
        Attribute::Path => {
            // What follows may complete the last segment, so that counts for nothing.
            let whole = beginning.rsplit_once('/').map_or("", |(front, _)| front);
            escapes(beginning).or_else(|| whole_path(&format!("{whole}/")))
        }
        Attribute::Host if beginning.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Some(format!("the host is in lower case; write {:?}", beginning.to_ascii_lowercase()))
        }
        Attribute::Method | Attribute::Scheme => equal(attribute, beginning),
        _ => None,
    }
}

fn has_small_letter(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_lowercase())
}

fn host(value: &str) -> Option<String> {
    let Some(authority) = parse_authority(value.as_bytes()) else {
        return Some("a host is a name or an address, without anything around it".to_owned());
    };
    if authority.host == value.as_bytes() && authority.port.is_none() {
        return None;
    }
    let host = String::from_utf8_lossy(&authority.host).into_owned();
    Some(match authority.port {
        Some(port) => {
            format!("the port is apart; write `request.host == {host:?} && request.port == {port}`")
        }
        None => format!("the host is in lower case, without a dot at its end; write {host:?}"),
    })
}

fn whole_path(value: &str) -> Option<String> {
    if let Some(help) = escapes(value) {
        return Some(help);
    }
    match path::decode(path::encode(value.as_bytes()).as_bytes()) {
        Ok(_) => None,
        Err(path::Refusal::NotAbsolute) => {
            Some(format!("a path begins with a slash; write {:?}", format!("/{value}")))
        }
        Err(refusal) => Some(format!("such a path is refused before any rule: {}", refusal.as_str())),
    }
}

/// What to write for a text with escapes, which rules see undone.
fn escapes(value: &str) -> Option<String> {
    let has_escape = value
        .as_bytes()
        .windows(3)
        .any(|three| three.first() == Some(&b'%') && three.iter().skip(1).all(u8::is_ascii_hexdigit));
    if !has_escape {
        return None;
    }
    let decoded = path::decode(&[b"/x".as_slice(), value.as_bytes()].concat());
    let plain = decoded.ok().and_then(|decoded| String::from_utf8(decoded).ok());
    Some(match plain.as_deref().and_then(|plain| plain.strip_prefix("/x")) {
        Some(plain) => format!("paths are seen with their escapes undone; write {plain:?}"),
        None => "paths are seen with their escapes undone, and such an escape is refused".to_owned(),
    })
}
