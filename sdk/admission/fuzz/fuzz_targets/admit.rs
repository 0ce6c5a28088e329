//! Bytes taken as a module: findings that refuse it, or a module that can be admitted again.
#![no_main]

use chancery_sdk_admission::{Code, Counting, Terms, admit};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for counting in [Counting::Blocks, Counting::LoopHeads] {
        let admission = admit(bytes, &Terms { counting, ..Terms::default() });
        // A module that we spoil is our fault, whatever it was.
        assert!(
            admission.findings.iter().all(|finding| finding.code != Code::F901),
            "{:?}",
            admission.findings
        );
        match admission.module {
            Some(module) => assert!(admit(&module.bytes, &Terms::default()).is_admitted()),
            None => assert!(admission.findings.iter().any(|finding| finding.refuses())),
        }
    }
});
