//! What is found, and what only looks like it.

use super::*;

/// Everything of one kind in a text.
fn all(kind: Kind, text: &str) -> Vec<String> {
    let kinds = Kinds::default().with(kind);
    let whole = Text { bytes: text.as_bytes(), before: None };
    let mut from = 0;
    let mut found = Vec::new();
    while let Some(next) = next(whole, from, kinds, &mut 0) {
        assert_eq!(next.kind, kind);
        assert!(next.start >= from && next.end > next.start && next.end - next.start < BYTES_MAX);
        found.push(
            String::from_utf8_lossy(whole.bytes.get(next.start..next.end).unwrap_or_default()).into_owned(),
        );
        from = next.end;
    }
    found
}

#[track_caller]
fn check(kind: Kind, text: &str, expected: &[&str]) {
    assert_eq!(all(kind, text), expected, "{text}");
}

#[test]
fn card_numbers_are_known_by_brand_and_check_digit() {
    for number in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "5500-0055-5555-5559",
        "378282246310005",
        "3782 822463 10005",
        "6011111111111117",
        "30569309025904",
        "3530111333300000",
        "2221000000000009",
        "4222222222222",
        "6212345678901232",
    ] {
        check(Kind::Card, number, &[number]);
        check(Kind::Card, &format!("no. 12 {number}, thanks"), &[number]);
        check(Kind::Card, &format!("card{number}x"), &[number]);
    }
    for other in [
        "4111111111111112",
        "41111111111111111",
        "1111111111111117",
        "0000000000000000",
        "4111  1111 1111 1111",
        "1234567890123",
        "411111111111",
        "4111 1111 1111 111",
    ] {
        check(Kind::Card, other, &[]);
    }
    check(Kind::Card, "4111111111111111 378282246310005", &["4111111111111111", "378282246310005"]);
}

#[test]
fn addresses_of_mail_are_found_whole() {
    check(Kind::Email, "mail anna.b+c@post.example.org.", &["anna.b+c@post.example.org"]);
    check(Kind::Email, "<a@b.de>,c@d.eu", &["a@b.de", "c@d.eu"]);
    check(Kind::Email, "müller@käse.example", &["müller@käse.example"]);
    check(Kind::Email, "a@b", &[]);
    check(Kind::Email, "@b.de a@ a@.de a@b.d", &[]);
    check(Kind::Email, "a@b.de@c.de", &["a@b.de"]);
}

#[test]
fn accounts_are_known_by_country_and_remainder() {
    check(Kind::Iban, "to DE89370400440532013000.", &["DE89370400440532013000"]);
    check(Kind::Iban, "GB29 NWBK 6016 1331 9268 19", &["GB29 NWBK 6016 1331 9268 19"]);
    check(Kind::Iban, "no9386011117947", &["no9386011117947"]);
    check(Kind::Iban, "DE89370400440532013001", &[]);
    check(Kind::Iban, "XX89370400440532013000", &[]);
    check(Kind::Iban, "ADE89370400440532013000", &[]);
    check(Kind::Iban, "DE893704004405320130001", &[]);
}

#[test]
fn numbers_of_telephones_need_their_form() {
    for number in ["+49 30 1234567", "+49(0)30/123-456", "+12125550123", "(212) 555-0123", "212-555-0123"] {
        check(Kind::Phone, number, &[number]);
        check(Kind::Phone, &format!("call {number}."), &[number]);
    }
    for other in
        ["2125550123", "+1234567", "+1234567890123456", "1-212-555-01234", "212 55-0123", "a212-555-0123"]
    {
        check(Kind::Phone, other, &[]);
    }
}

#[test]
fn addresses_of_both_versions_are_found() {
    for address in ["10.0.0.1", "255.255.255.255", "2001:db8::1", "fe80::1:2", "::1", "::ffff:10.0.0.1"] {
        check(Kind::Ip, address, &[address]);
        check(Kind::Ip, &format!("from {address}. To"), &[address]);
    }
    for other in ["1.2.3", "1.2.3.4.5", "256.1.1.1", "12:30:45", "a1.2.3.4", "std::net1", "1.2.3.4x"] {
        check(Kind::Ip, other, &[]);
    }
}
