//! Addresses: intervals of networks, and the texts in which Envoy gives an address.

use crate::run::{Pair, headers, properties};
use chancery_policy_lang::request::Request;
use chancery_sdk_host::PropertyValue;
use std::net::IpAddr;

fn from(ip: IpAddr) -> Request {
    let mut request = Request::default();
    request.source.ip = ip;
    request.source.port = 1234;
    request
}

#[test]
fn nested_and_neighbouring_networks_keep_their_bounds() {
    let nets = [
        "0.0.0.0/1",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.0/24",
        "10.1.2.3/32",
        "10.2.0.0/16",
        "255.255.255.255/32",
        "128.0.0.0/1",
        "2001:db8::/32",
        "2001:db8:0:1::/64",
        "::1/128",
        "ffff:ffff:ffff:ffff::/64",
        "::/3",
    ];
    let mut text = String::from("auth p on mesh {\n");
    for (at, net) in nets.iter().enumerate() {
        text.push_str(&format!("  r{at}: allow from ip {net}\n"));
    }
    text.push_str("  both: deny from ip 10.1.0.0/16, ip 2001:db8::/32 when headers[\"x\"] == \"1\"\n}\n");
    let mut pair = Pair::of_text(&text);
    for net in nets {
        let net: ipnet::IpNet = net.parse().unwrap();
        for ip in [net.network(), net.broadcast()] {
            for ip in around(ip) {
                pair.agree(&from(ip));
                pair.agree(&crate::run::with(from(ip), "x", "1"));
            }
        }
    }
    for ip in ["::ffff:10.1.2.3", "::10.1.2.3", "::", "::2", "64:ff9b::a01:203", "1:2:3:4:5:6:7:8"] {
        pair.agree(&from(ip.parse().unwrap()));
    }
}

/// An address and its neighbours.
fn around(ip: IpAddr) -> Vec<IpAddr> {
    match ip {
        IpAddr::V4(ip) => [ip.to_bits().wrapping_sub(1), ip.to_bits(), ip.to_bits().wrapping_add(1)]
            .map(|bits| IpAddr::V4(bits.into()))
            .to_vec(),
        IpAddr::V6(ip) => [ip.to_bits().wrapping_sub(1), ip.to_bits(), ip.to_bits().wrapping_add(1)]
            .map(|bits| IpAddr::V6(bits.into()))
            .to_vec(),
    }
}

#[test]
fn an_address_that_cannot_be_read_is_refused() {
    let mut pair = Pair::of_text("auth p on mesh { deny from ip 10.0.0.0/8\n otherwise allow }");
    let request = Request::default();
    for (address, rule) in [
        ("11.2.3.4:80", "p/otherwise"),
        ("11.2.3.4", "p/otherwise"),
        ("[::1]:80", "p/otherwise"),
        ("[fe80::1%3]:80", "p/otherwise"),
        ("[1:2:3:4:5:6:1.2.3.4]:1", "p/otherwise"),
        ("", "unreadable"),
        ("10.2.3:80", "unreadable"),
        ("10.2.3.4.5:80", "unreadable"),
        ("256.2.3.4:80", "unreadable"),
        ("11.2.3.4:x", "unreadable"),
        ("11.2.3.4:65536", "unreadable"),
        ("11..3.4:80", "unreadable"),
        ("[::1", "p/otherwise"),
        ("[:::1]:80", "unreadable"),
        ("[1::2::3]:80", "unreadable"),
        ("[1:2:3:4:5:6:7]:80", "unreadable"),
        ("[1:2:3:4:5:6:7:8:9]:80", "unreadable"),
        ("[1:2:3:4:5:6:7:8::]:80", "unreadable"),
        ("[12345::]:80", "unreadable"),
        ("[g::]:80", "unreadable"),
        ("[1:]:80", "unreadable"),
        ("[]:80", "unreadable"),
        ("/run/envoy.sock", "unreadable"),
    ] {
        let mut given = properties(&request);
        given.set(&["source", "address"], PropertyValue::Bytes(address.into()));
        let said = pair.run_raw(headers(&request), given, true);
        assert_eq!(said.rule(), rule, "{address}");
        assert_eq!(said.status(), if rule == "unreadable" { 403 } else { 0 });
    }
}
