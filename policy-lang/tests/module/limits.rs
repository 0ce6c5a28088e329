//! Limits: buckets in shared data decide as the evaluator's do, whatever the keys, the times and the mode.

use crate::run::{Pair, request, with};
use chancery_policy_lang::request::Request;
use std::net::{IpAddr, Ipv4Addr};

const SECOND_NS: u64 = 1_000_000_000;

fn get(path: &str) -> Request {
    request("GET", path, Some("shop/frontend"))
}

fn rules_of(pair: &mut Pair, request: &Request, times: usize) -> Vec<String> {
    (0..times).map(|_| pair.agree(request).rule().to_owned()).collect()
}

#[test]
fn a_bucket_empties_and_fills() {
    let mut pair = Pair::of_text("traffic t on mesh { few: limit 2/s respond 503 \"later\" }");
    pair.set_time_ns(7 * SECOND_NS);
    assert_eq!(rules_of(&mut pair, &get("/a"), 3), ["unrestricted", "unrestricted", "t/few"]);
    let refused = pair.agree(&get("/b"));
    assert_eq!((refused.rule(), refused.status()), ("t/few", 503));
    pair.wait_ns(SECOND_NS / 2);
    assert_eq!(rules_of(&mut pair, &get("/a"), 2), ["unrestricted", "t/few"]);
    pair.wait_ns(SECOND_NS / 2 - 1);
    assert_eq!(rules_of(&mut pair, &get("/a"), 1), ["t/few"]);
    pair.wait_ns(1);
    assert_eq!(rules_of(&mut pair, &get("/a"), 2), ["unrestricted", "t/few"]);
    // However long nobody comes, a full bucket has no more than the burst.
    pair.wait_ns(3_600 * SECOND_NS);
    assert_eq!(rules_of(&mut pair, &get("/a"), 3), ["unrestricted", "unrestricted", "t/few"]);
}

#[test]
fn a_clock_that_is_put_back_locks_nobody_out() {
    let mut pair = Pair::of_text("traffic t on mesh { few: limit 1/m burst 2 }");
    pair.set_time_ns(100_000 * SECOND_NS);
    assert_eq!(rules_of(&mut pair, &get("/a"), 3), ["unrestricted", "unrestricted", "t/few"]);
    // What is no more than workers may differ by gives nobody a full bucket.
    pair.set_time_ns(99_995 * SECOND_NS);
    assert_eq!(rules_of(&mut pair, &get("/a"), 1), ["t/few"]);
    pair.set_time_ns(SECOND_NS);
    assert_eq!(rules_of(&mut pair, &get("/a"), 3), ["unrestricted", "unrestricted", "t/few"]);
    pair.wait_ns(60 * SECOND_NS);
    assert_eq!(rules_of(&mut pair, &get("/a"), 2), ["unrestricted", "t/few"]);
}

#[test]
fn keys_tell_requests_apart() {
    let text = r#"traffic t on mesh {
        by-source: limit 1/h per source for /source
        by-ip: limit 1/h per ip for /ip
        by-header: limit 1/h per headers["x-tenant"] for /header
        by-two: limit 1/h per source, headers["x-tenant"] for /two
        by-int: limit 1/h per source.port for /int
        by-bool: limit 1/h per source.mtls for /bool
        by-part: limit 1/h per headers["x-tenant"].lowerAscii() for /part
        by-size: limit 1/h per request.size for /size
        by-path: limit 1/h per path.id for /path/{id}
        by-walk: limit 1/h per headers["x-tenant"].contains("much"), headers["x-tenant"].matches("u$") for /walk
    }"#;
    let mut pair = Pair::of_text(text);
    let paths = [
        "/source", "/ip", "/header", "/two", "/int", "/bool", "/part", "/size", "/path/1", "/path/2", "/walk",
    ];
    let mut requests = Vec::new();
    for path in paths {
        for service in [None, Some("shop/frontend"), Some("shop/cart")] {
            for tenant in [
                None,
                Some(""),
                Some("a"),
                Some("A"),
                Some("a much longer name of a tenant"),
                Some("a much longer name of a tenanu"),
            ] {
                for address in [1, 2] {
                    let mut request = request("GET", path, service);
                    request.source.ip = IpAddr::V4(Ipv4Addr::new(10, 0, 0, address));
                    request.source.port = 1_000 + u16::from(address);
                    request.end_of_stream = address == 1;
                    requests.push(match tenant {
                        Some(tenant) => with(request, "x-tenant", tenant),
                        None => request,
                    });
                }
            }
        }
    }
    let limited = requests.iter().filter(|request| pair.agree(request).status() == 429).count();
    // Of 36 requests each: 3 callers, 2 addresses, 6 tenants, 18 pairs, 2 ports, 2 of mtls, 5 in small letters, 2 sizes, 3
    // answers of two questions.
    let passed = 3 + 2 + 6 + 18 + 2 + 2 + 5 + 2 + 1 + 1 + 3;
    assert_eq!(requests.len() - limited, passed);
    for request in &requests {
        assert_eq!(pair.agree(request).status(), 429);
    }
}

#[test]
fn who_is_refused_takes_nothing_from_others() {
    let text = r#"traffic t on mesh {
        all: limit 3/h
        each: limit 1/h per headers["x-tenant"] respond 430
    }"#;
    let mut pair = Pair::of_text(text);
    let of = |tenant: &str| with(get("/a"), "x-tenant", tenant);
    let mut statuses = Vec::new();
    for tenant in ["a", "a", "a", "a", "b", "b", "c", "d"] {
        statuses.push(pair.agree(&of(tenant)).status());
    }
    assert_eq!(statuses, [0, 430, 430, 430, 0, 430, 0, 429]);
}

#[test]
fn only_what_the_rules_let_pass_is_counted() {
    let text = r#"auth a on mesh { no: deny /no  otherwise allow }
        traffic t on mesh { few: limit 2/h }"#;
    let mut pair = Pair::of_text(text);
    assert_eq!(rules_of(&mut pair, &get("/no"), 3), ["a/no", "a/no", "a/no"]);
    assert_eq!(rules_of(&mut pair, &get("/a"), 3), ["a/otherwise", "a/otherwise", "t/few"]);
    assert_eq!(rules_of(&mut pair, &get("/%2"), 1), ["bad-path"]);
}

#[test]
fn limits_of_shadow_policies_have_buckets_of_their_own() {
    let text = r#"auth a on mesh { no: deny /no  otherwise allow }
        auth try on mesh { mode shadow  exempt /no  also: deny /also }
        traffic t on mesh { few: limit 4/h }
        traffic s on mesh { mode shadow  fewer: limit 2/h  none: limit 1/h for /one }"#;
    let mut pair = Pair::of_text(text);
    for path in ["/no", "/a", "/one", "/also", "/one", "/a", "/no", "/a", "/a", "/one", "/also"] {
        pair.agree(&get(path));
        pair.wait_ns(SECOND_NS);
    }
    pair.wait_ns(1_000 * SECOND_NS);
    for path in ["/one", "/no", "/a", "/one", "/also", "/a"] {
        pair.agree(&get(path));
    }
}

#[test]
fn one_limit_counts_a_request_once() {
    // Two entries stand for it, and both match.
    let text = "traffic t on mesh { few: limit 2/h for GET /a/*, /*/b from service shop/*, ip 0.0.0.0/0 }";
    let mut pair = Pair::of_text(text);
    assert_eq!(rules_of(&mut pair, &get("/a/b"), 3), ["unrestricted", "unrestricted", "t/few"]);
}

#[test]
fn of_many_limits_those_count_that_match() {
    let limits: String = (0..300)
        .map(|number| {
            let key = ["", " per source", " per headers[\"x-a\"]", " per ip"][number % 4];
            format!("l{number}: limit {}/h{key} for GET /p{}/**, /q{number}\n", 1 + number % 3, number % 150)
        })
        .collect();
    let mut pair = Pair::of_text(&format!("traffic t on mesh {{\n{limits}}}"));
    for round in 0..4 {
        for number in (0..300).step_by(7) {
            let mut request = get(&format!("/p{}/x", number % 150));
            if round % 2 == 0 {
                request = with(request, "x-a", "v");
            }
            pair.agree(&request);
            pair.agree(&get(&format!("/q{number}")));
        }
        pair.wait_ns(600 * SECOND_NS);
    }
}

#[test]
fn thousands_of_values_and_many_limits_at_once_have_buckets_of_their_own() {
    let mut pair = Pair::of_text("traffic t on mesh { l: limit 1/h per headers[\"x-a\"] }");
    for round in 0..2 {
        for value in 0..2_000 {
            let status = pair.agree(&with(get("/a"), "x-a", value.to_string())).status();
            assert_eq!(status, if round == 0 { 0 } else { 429 }, "{value}");
        }
    }
    // After an hour all are full, and others can have their places.
    pair.wait_ns(3_600 * SECOND_NS);
    for value in 1_000..3_000 {
        assert_eq!(pair.agree(&with(get("/a"), "x-a", value.to_string())).status(), 0, "{value}");
    }
    let limits: String = (0..64).map(|number| format!("l{number}: limit 1/h per source\n")).collect();
    let mut pair = Pair::of_text(&format!("traffic t on mesh {{\n{limits}}}"));
    for caller in 0..30 {
        let request = request("GET", "/a", Some(&format!("shop/s{caller}")));
        assert_eq!(pair.agree(&request).status(), 0, "{caller}");
        assert_eq!(pair.agree(&request).status(), 429, "{caller}");
    }
}

#[test]
fn time_goes_on_for_centuries() {
    let mut pair = Pair::of_text("traffic t on mesh { l: limit 1/d burst 365 }");
    for ns in [0, 1 << 60, 1 << 62, (1 << 62) + 1] {
        pair.set_time_ns(ns);
        pair.agree(&get("/a"));
    }
}
