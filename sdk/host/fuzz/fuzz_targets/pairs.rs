//! Bytes taken as pairs: refused, or the same again when encoded.
#![no_main]

use chancery_sdk_abi::pairs;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(decoded) = pairs::decode(bytes) {
        assert_eq!(pairs::encode(&decoded).as_deref(), Ok(bytes));
    }
});
