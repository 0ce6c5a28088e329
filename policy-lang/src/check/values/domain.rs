//! The texts that an attribute can be: what a sidecar hands to a policy, and what a policy makes of it
//! before a rule looks ([`Request`](crate::request::Request)).

use super::recogniser::Recogniser;
use crate::checked::Attribute;
use crate::regex::Regex;
use std::sync::LazyLock;

/// A set of texts.
pub(in crate::check) struct Domain {
    /// What each of them matches.
    is: LazyLock<Option<Regex>>,
    /// What none of them matches.
    is_not: Option<LazyLock<Option<Regex>>>,
    /// What they are, in words.
    pub(in crate::check) words: &'static str,
}

/// A domain by its patterns, of which the second may be left out.
macro_rules! domain {
    ($name:ident, $is:literal, $words:literal) => {
        pub(in crate::check) static $name: Domain =
            Domain { is: LazyLock::new(|| Regex::new($is).ok()), is_not: None, words: $words };
    };
    ($name:ident, $is:literal, not $is_not:literal, $words:literal) => {
        pub(in crate::check) static $name: Domain = Domain {
            is: LazyLock::new(|| Regex::new($is).ok()),
            is_not: Some(LazyLock::new(|| Regex::new($is_not).ok())),
            words: $words,
        };
    };
}

domain!(ANY, r"", "it is any text");
domain!(
    METHOD,
    r"^[!#$%&'*+.^_`0-9A-Z-]+$",
    "a method is capital letters, digits and signs such as `-` and `_`"
);
domain!(SCHEME, r"^[a-z][a-z0-9+.-]*$", "a scheme is small letters, such as `http` and `https`");
domain!(PROTOCOL, r"^HTTP/(1\.0|1\.1|2|3)$", "a protocol is `HTTP/1.0`, `HTTP/1.1`, `HTTP/2` or `HTTP/3`");
domain!(
    HOST,
    r"^([a-z0-9._-]*[a-z0-9_-]|\[[a-z0-9._:-]+\])?$",
    "a host is small letters, digits, `.`, `-` and `_`, without a dot at its end, or an address in brackets"
);
domain!(
    PATH,
    r"^/",
    not r"//|/\.\.?([/;?]|$)|[\x00\\]|%[0-9A-Fa-f]{2}",
    "a path begins with a slash and is decoded; it has no two slashes in a row, no segments `.` and `..`, no `\\` \
     and no escape"
);
domain!(
    SEGMENT,
    r"(?s)^.+$",
    not r"^\.\.?([;?]|$)|[\x00/\\]|%[0-9A-Fa-f]{2}",
    "a capture is one segment, decoded and not empty, without `/` and `\\`"
);
domain!(
    HEADER,
    r"^([^\x00-\x20\x7f]([^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?$",
    "a header has no white space around its value and no control characters in it"
);
domain!(CONTENT_LENGTH, r"^[0-9]*$", "a `content-length` is digits");
domain!(FORWARDED_SCHEME, r"^https?$", "a sidecar sets it to `http` or `https`");
domain!(TE, r"^(trailers(,trailers)*)?$", "of `te` only `trailers` gets through");
domain!(
    ELEMENT,
    r"^([^\x00-\x20,\x7f]([^\x00-\x08\x0a-\x1f,\x7f]*[^\x00-\x20,\x7f])?)?$",
    "an element has no comma in it and no white space around it"
);
domain!(SERVICE, r"^[0-9A-Za-z._-]+/[0-9A-Za-z._-]+$", "a service is written `namespace/name`");
domain!(NAME, r"^[0-9A-Za-z._-]+$", "a namespace is letters, digits, `.`, `-` and `_`");
domain!(
    PRINCIPAL,
    r"^spiffe://[!-~]+$",
    not r"\*",
    "an identity begins with `spiffe://` and is compared as a whole"
);
domain!(TRIMMED, r"(?s)^([^ \t\n\v\f\r](.*[^ \t\n\v\f\r])?)?$", "there is no white space around it");
domain!(NO_CAPITALS, r"", not "[A-Z]", "`lowerAscii()` has no capital letters");
domain!(NO_SMALL_LETTERS, r"", not "[a-z]", "`upperAscii()` has no small letters");

impl Domain {
    /// The set to look for texts in.
    pub(in crate::check) fn recognisers(&self) -> Vec<Recogniser<'_>> {
        let is = self.is.as_ref().map(|regex| Recogniser::Matches(regex.dfa()));
        let is_not = self.is_not.as_ref().and_then(|regex| regex.as_ref());
        is.into_iter().chain(is_not.map(|regex| Recogniser::MatchesNot(regex.dfa()))).collect()
    }
}

/// What the text of an attribute can be.
pub(super) fn of(attribute: &Attribute) -> &'static Domain {
    match attribute {
        Attribute::Method => &METHOD,
        Attribute::Path => &PATH,
        Attribute::Host => &HOST,
        Attribute::Scheme => &SCHEME,
        Attribute::Protocol => &PROTOCOL,
        Attribute::PathSegment(_) => &SEGMENT,
        Attribute::Header(name) => match &**name {
            "content-length" => &CONTENT_LENGTH,
            "x-forwarded-proto" => &FORWARDED_SCHEME,
            "te" => &TE,
            _ => &HEADER,
        },
        Attribute::Id => &HEADER,
        Attribute::SourceService | Attribute::TargetService => &SERVICE,
        Attribute::SourceNamespace | Attribute::TargetNamespace => &NAME,
        Attribute::SourcePrincipal => &PRINCIPAL,
        Attribute::Query(_)
        | Attribute::TargetLabel(_)
        | Attribute::Port
        | Attribute::Size
        | Attribute::SourceIp
        | Attribute::SourcePort
        | Attribute::SourceMtls
        | Attribute::Decision
        | Attribute::Rule
        | Attribute::ResponseCode
        | Attribute::ResponseDuration
        | Attribute::ResponseHeader(_)
        | Attribute::ResponseSize
        | Attribute::ResponseFlags
        | Attribute::UpstreamAddress
        | Attribute::UpstreamAttempts
        | Attribute::UpstreamFailure => &ANY,
    }
}

#[cfg(test)]
mod tests {
    use super::super::recogniser::{Case, Found, common};
    use super::*;
    use crate::request::{Protocol, RawRequest, received};

    #[track_caller]
    fn check(domain: &Domain, inside: &[&str], outside: &[&str]) {
        assert!(domain.is.is_some() && domain.is_not.as_ref().is_none_or(|regex| regex.is_some()));
        let has = |text: &str| {
            let (found, _) = common(&domain.recognisers(), Case::Kept, &[Recogniser::Equal(text.as_bytes())]);
            found == Found::Text(text.as_bytes().to_vec())
        };
        for text in inside {
            assert!(has(text), "{text:?} is possible");
        }
        for text in outside {
            assert!(!has(text), "{text:?} is not possible");
        }
    }

    #[test]
    fn domains_hold_what_a_request_can_be() {
        check(&ANY, &["", "\u{0}a\n"], &[]);
        check(&METHOD, &["GET", "M-SEARCH", "FOO_BAR"], &["", "get", "G ET", "A|B"]);
        check(&SCHEME, &["http", "https", "a+b"], &["", "HTTP", "1a", "http:"]);
        check(&PROTOCOL, &["HTTP/2", "HTTP/1.1"], &["http/2", "HTTP/2.0", "HTTP"]);
        check(
            &HOST,
            &["", "a.b", "[::1]", "x..y", "_-", "[1]"],
            &["a.", ".", "A", "a:80", "[::1]:80", "a/b"],
        );
        check(&PATH, &["/", "/a", "/a/", "/a?b", "/é", "/...", "/%", "/%z1"], &["", "a", "//", "/a//b"]);
        check(&PATH, &["/..a", "/a\n"], &["/.", "/a/..", "/..;x", "/./a", "/a\\b", "/%41", "/\u{0}"]);
        check(&SEGMENT, &["a", "...", "a;b", "\n"], &["", ".", "..", "..;", "a/b", "%2e", "a\\b"]);
        check(&HEADER, &["", "a", "a b", "a,b", "é", "a\tb"], &[" a", "a ", "\t", "a\nb", "\u{7f}"]);
        check(&ELEMENT, &["", "a", "a b"], &["a,b", " a", "a "]);
        check(&SERVICE, &["shop/cart", "a.b/c_d-e"], &["shop", "shop/*", "a/b/c", "/a"]);
        check(&NAME, &["shop"], &["", "a/b", "*"]);
        check(&PRINCIPAL, &["spiffe://a/b"], &["", "shop/cart", "spiffe://", "spiffe://a/*"]);
        check(&CONTENT_LENGTH, &["", "7"], &["-1", "a"]);
        check(&FORWARDED_SCHEME, &["http", "https"], &["HTTP", ""]);
        check(&TE, &["trailers", ""], &["gzip"]);
        check(&TRIMMED, &["", "a", "a b"], &[" a", "a\n"]);
        check(&NO_CAPITALS, &["", "a1"], &["A"]);
        check(&NO_SMALL_LETTERS, &["", "A1"], &["a"]);
    }

    /// Each byte in a few places, and some texts that are read in more than one way.
    fn odd_texts() -> Vec<Vec<u8>> {
        let places = |byte: u8| {
            let around = [vec![byte], vec![b'a', byte], vec![byte, b'a'], vec![b'a', byte, b'a']];
            let escaped = format!("%{byte:02x}").into_bytes();
            around.into_iter().chain([escaped])
        };
        let known = [
            "", ".", "..", "...", "a//b", "a/../b", "a/./", "%2541", "%25", "[::1]", "[1]", "x:", "..;a",
            "a?b",
        ];
        let known = known.iter().map(|text| text.as_bytes().to_vec());
        (0..=u8::MAX).flat_map(places).chain(known).collect()
    }

    #[test]
    fn what_a_request_is_lies_in_its_domain() {
        let mut judged = 0;
        for text in odd_texts() {
            let base = RawRequest::default;
            let header = |name: &str| RawRequest { headers: vec![(name.into(), text.clone())], ..base() };
            let path = [b"/".as_slice(), &text].concat();
            let deep = [b"/x/".as_slice(), &text, b"/y"].concat();
            let requests = [
                RawRequest { method: text.clone(), ..base() },
                RawRequest { path, ..base() },
                RawRequest { path: deep, ..base() },
                RawRequest { authority: Some(text.clone()), ..base() },
                RawRequest { scheme: text.clone(), ..base() },
                header("x-a"),
                header("te"),
                header("content-length"),
                header("x-forwarded-proto"),
                RawRequest {
                    protocol: Protocol::Http1,
                    authority: None,
                    hosts: vec![text.clone()],
                    ..base()
                },
                RawRequest {
                    protocol: Protocol::Http1,
                    authority: None,
                    hosts: vec!["a".into()],
                    ..header("x-a")
                },
            ];
            let shown = requests.into_iter().filter_map(|raw| received(raw).ok());
            for request in shown.filter(|request| request.refusal().is_none()) {
                judged += 1;
                let path = request.decoded_path();
                let of_header = |name: &str| (Attribute::Header(name.into()), request.header(name));
                let texts = [
                    (Attribute::Method, Some(request.method().to_vec())),
                    (Attribute::Path, Some(path.clone())),
                    (Attribute::Host, Some(request.host())),
                    (Attribute::Scheme, Some(request.scheme().to_vec())),
                    (Attribute::Protocol, Some(request.protocol.clone())),
                    of_header("x-a"),
                    of_header("te"),
                    of_header("content-length"),
                    of_header("x-forwarded-proto"),
                    (Attribute::PathSegment(1), crate::path::segments(&path).nth(1).map(<[u8]>::to_vec)),
                ];
                for (attribute, value) in texts {
                    // A capture is a segment that is not empty.
                    let is_none =
                        |value: &Vec<u8>| matches!(attribute, Attribute::PathSegment(_)) && value.is_empty();
                    let Some(value) = value.filter(|value| !is_none(value)) else { continue };
                    let sets = of(&attribute).recognisers();
                    let (found, _) = common(&sets, Case::Kept, &[Recogniser::Equal(&value)]);
                    assert_eq!(found, Found::Text(value), "{attribute:?}");
                }
            }
        }
        assert!(judged > 2_000, "{judged} requests were shown");
    }
}
