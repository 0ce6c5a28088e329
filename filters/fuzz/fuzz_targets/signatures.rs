//! Three headers taken from any bytes: what is read of them can be read again, and no request passes by them.
#![no_main]

use chancery_sdk::testing::Plugin;
use hmac_auth::HmacAuth;
use hmac_auth::fields::dictionary;
use libfuzzer_sys::fuzz_target;

const CONFIGURATION: &str =
    r#"{"keys": [{"id": "k", "secret_base64": "AAECAwQFBgcICQoLDA0ODw=="}], "cover": [], "window_seconds": 86400}"#;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for member in dictionary(text).unwrap_or_default() {
        if !member.raw.is_empty() && !member.raw.starts_with(';') {
            let alone = format!("{}={}", member.key, member.raw);
            let [again] = &dictionary(&alone).expect("a member is a dictionary")[..] else { panic!("{alone}") };
            assert_eq!((&again.value, &again.parameters), (&member.value, &member.parameters), "{alone}");
        }
    }
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let headers = [("signature-input", line()), ("signature", line()), ("content-digest", line())];
    let plugin = Plugin::<HmacAuth>::start(CONFIGURATION).expect("the configuration is right");
    assert_eq!(plugin.exchange().request(&headers, "body").status(), Some(401));
});
