//! The few words that policies and requests of the differential test are made of.
//!
//! Few, so that a request is about what a policy asks; and chosen near each other, so that what is
//! compared carelessly is found out.

pub(super) const METHODS: &[&str] = &["GET", "HEAD", "POST", "DELETE", "PURGE"];
pub(super) const OTHER_METHODS: &[&str] = &["get", "Get", "DELETe", "PUT", "GETT", "G", "", "G~T", "M-S_"];

pub(super) const SEGMENTS: &[&str] = &["api", "a", "b", "items", "v1", "x-y", "caf%C3%A9", "a;b=c", "b:c%2a"];
/// Segments that only requests have; some make a path refused.
pub(super) const OTHER_SEGMENTS: &[&str] = &[
    "",
    "ap",
    "apis",
    "A",
    "%41",
    "..",
    ".",
    "%2f",
    "%zz",
    "a%",
    "%252e",
    "%00",
    "...",
    "a\\b",
    "\u{7f}",
    "%2e%2E",
    "..;x",
    ".%3b",
    ".%3F",
    "..%3fb",
    "%25",
    "%25%34",
    "%25%34%31",
    "%2541",
    "%5c",
    "caf%c3%a9",
    "caf%c3%A9",
    "b%3ac*",
    "b%3Ac%2A",
    "%61pi",
    "a%3Bb=c",
    "a%3bb%3dc",
    "%20",
    "(",
    "café",
];

pub(super) const NAMESPACES: &[&str] = &["shop", "pay", "edge"];
pub(super) const SERVICES: &[&str] = &["orders", "cart", "ledger"];
pub(super) const TRUST_DOMAIN: &str = "chancery.local";
/// What a policy may name.
pub(super) const SPIFFE_IDS: &[&str] = &[
    "spiffe://chancery.local/ns/shop/sa/cart",
    "spiffe://chancery.local/ns/pay/sa/ledger",
    "spiffe://other.example/ns/shop/sa/cart",
    "spiffe://chancery.local/ns/shop/sa/cart/x",
];
/// What a certificate may hold.
pub(super) const PRINCIPALS: &[&str] = &[
    "spiffe://chancery.local/ns/shop/sa/orders",
    "spiffe://chancery.local/ns/shop/sa/cart",
    "spiffe://chancery.local/ns/pay/sa/ledger",
    "spiffe://other.example/ns/shop/sa/cart",
    "spiffe://chancery.local/ns/shop/sa/cart/x",
    "spiffe://chancery.local/ns/shop/sa/",
    "spiffe://chancery.local/ns/shop,x/sa/cart",
    "spiffe://chancery.local",
    "spiffe://chancery.localx/ns/shop/sa/cart",
    "urn:cart",
];

pub(super) const NETWORKS: &[&str] =
    &["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "192.0.2.0/31", "0.0.0.0/0", "2001:db8::/32", "::1", "::/0"];
pub(super) const ADDRESSES: &[&str] = &[
    "10.1.2.3",
    "10.1.255.255",
    "10.2.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "192.0.2.1",
    "192.0.2.2",
    "::ffff:10.1.2.3",
    "2001:db8::1",
    "2001:db9::",
    "::1",
    "255.255.255.255",
];

/// Headers without a stated type.
pub(super) const TEXT_HEADERS: &[&str] = &["x-a", "x-b", "x-request-id", "host-like"];
/// Headers that every generated file gives a type.
pub(super) const SCHEMA: &str = "schema {
  header x-count: int
  header x-beta: bool
  header x-name: string(4)
  header x-tier: enum(\"free\", \"paid\")
  header x-groups: list<string, 3>
}
";
pub(super) const TYPED_TEXT_HEADERS: &[&str] = &["x-name", "x-tier"];
pub(super) const QUERY_NAMES: &[&str] = &["q", "user", "é"];

/// Strings of policies, near each other.
pub(super) const STRINGS: &[&str] = &[
    "",
    "a",
    "A",
    "ab",
    "abc",
    "b",
    "admin",
    "dev",
    "free",
    "paid",
    " a ",
    "é",
    "aé",
    "x-a",
    "1",
    "10",
    "true",
    "shop/cart",
    "shop",
    "/api",
    "/a/b",
    "a.example",
    "GET",
    "https",
];
/// Values that only requests have.
pub(super) const OTHER_VALUES: &[&str] = &[
    "a,b",
    "a, b",
    "admin,dev",
    "admin , dev,free,paid",
    ",",
    "a,",
    "\ta",
    "-5",
    "+5",
    "007",
    "1 ",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "false",
    "True",
    "abcd",
    "abcde",
    "éàü",
    "ABC",
    "vv1",
    "v12",
    "aaa",
];
pub(super) const HOSTS: &[&str] = &["a.example", "A.example:8080", "a.example:", "[::1]:80", "10.1.2.3", "b"];
/// Authorities that are brought into another form, or refused.
pub(super) const OTHER_HOSTS: &[&str] = &[
    "",
    "a:b:1",
    ":80",
    "a.example.",
    "A.Example..:080",
    "a,b",
    "a.example,a.example",
    "u@a",
    "a%62",
    "[::1",
    "[]",
    "[::1]x",
    "::1",
    "b:65535",
    "b:65536",
    "b:99999999999",
    " b ",
    "b\t",
    "b:8x",
    "é",
    "*",
    "b_c-d",
    "[FE80::1]",
    "..",
];
pub(super) const PROTOCOLS: &[&str] = &["HTTP/1.1", "HTTP/2", "HTTP/1.0"];
pub(super) const PATTERNS: &[&str] = &[
    "^v[0-9]+$",
    "a|b",
    "^/api",
    "[a-c]+x?",
    "é",
    "(?i)ADMIN",
    "^$",
    "a{2,3}",
    "\\\\d+",
    "^.$",
    "^[^a]*$",
    "b$",
];
pub(super) const INTEGERS: &[&str] =
    &["0", "1", "2", "3", "10", "1023", "1024", "65535", "9223372036854775807", "-1", "-5", "64KiB"];
pub(super) const DIVISORS: &[&str] = &["1", "2", "3", "7", "-1", "-2", "1024"];
/// What may stand around the value of a header.
pub(super) const BLANKS: &[&str] = &["", " ", "\t", " \t ", "  "];
