//! Bytes taken as whatever a registry answers: values within the limits, or errors.
#![no_main]

use chancery_oci::{Challenge, Credentials, Manifest, Packing, Reference, module_of};
use libfuzzer_sys::fuzz_target;

/// Bytes of a module, few, so that inputs of a few KiB meet the limit.
const MODULE_BYTES_MAX: u64 = 64 << 10;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(reference) = text.parse::<Reference>() {
            // What is shown of it stands for the same.
            assert_eq!(format!("oci://{reference}").parse(), Ok(reference));
        }
        let _challenge = Challenge::read(text);
    }
    let _manifest = Manifest::read(bytes);
    let _credentials = Credentials::parse(bytes);
    for packing in [Packing::Archive { is_compressed: false }, Packing::Archive { is_compressed: true }] {
        if let Ok(module) = module_of(bytes, packing, MODULE_BYTES_MAX) {
            assert!(module.len() as u64 <= MODULE_BYTES_MAX);
        }
    }
});
