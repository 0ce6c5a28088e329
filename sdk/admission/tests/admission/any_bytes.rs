//! Any bytes get an answer, and what is admitted is valid.

use super::*;
use chancery_sdk_admission::{Code, limits};
use proptest::prelude::*;

/// Bytes as a module: refused, or admitted and loaded by the host, which validates.
fn check(host: &Host, bytes: &[u8]) {
    let admission = admit(bytes, &terms());
    match admission.module {
        Some(module) => {
            host.load(&module.bytes).unwrap();
        }
        None => assert!(admission.findings.iter().any(|finding| finding.refuses())),
    }
}

#[test]
fn every_prefix_of_a_module_gets_an_answer() {
    let bytes = module(ALLOCATOR);
    let host = host();
    for end in 0..=bytes.len() {
        check(&host, bytes.get(..end).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_behind_the_preamble_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        check(&host(), &[b"\0asm\x01\0\0\0", bytes.as_slice()].concat());
    }

    #[test]
    fn a_module_with_bytes_changed_gets_an_answer(changes in prop::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let mut bytes = module(&format!("{ALLOCATOR} {}", generated::BUSY));
        for (at, byte) in changes {
            let length = bytes.len();
            if let Some(place) = bytes.get_mut(usize::from(at) % length) {
                *place = byte;
            }
        }
        check(&host(), &bytes);
    }
}

#[test]
fn a_module_that_is_too_large_is_not_looked_at() {
    let admission = admit(&vec![0; limits::MODULE_BYTES_MAX + 1], &terms());
    let codes: Vec<Code> = admission.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::F102]);
}
