//! An instrumented module does what the module did, and pays for no less than it runs.

use super::*;
use chancery_sdk_admission::Counting;
use proptest::prelude::*;

const COUNTINGS: [Counting; 2] = [Counting::Blocks, Counting::LoopHeads];
/// A budget that nothing here uses up.
const PLENTY: u64 = 1 << 40;

fn with_budget(bytes: &[u8], counting: Counting, callback_budget: u64) -> Vec<u8> {
    admitted(bytes, &Terms { counting, callback_budget, ..Terms::default() })
}

/// Compares a module with itself instrumented, and gives the host's count of the instructions of its callback.
fn compare(bytes: &[u8]) -> u64 {
    let mut original = start(bytes).unwrap();
    let expected = ask(&mut original).unwrap();
    for counting in COUNTINGS {
        let mut instrumented = start(&with_budget(bytes, counting, PLENTY)).unwrap();
        assert_eq!(ask(&mut instrumented).unwrap(), expected, "{counting:?}");
    }
    original.open(Properties::new()).unwrap().on_request_headers(headers(), true).unwrap();
    original.fuel_used()
}

#[test]
fn a_busy_module_does_the_same() {
    let bytes = module(&format!("{ALLOCATOR} {}", generated::BUSY));
    compare(&bytes);
    let log = ask(&mut start(&bytes).unwrap()).unwrap();
    let sorted = "        abcdeeefghhijklmnoooopqrrsttuuvwxyz";
    let expected = ["144", "15", "55", "the quick", "43", sorted, "100", "200", "300", "400", "90"];
    assert_eq!(log.get(..expected.len()).unwrap(), expected);
}

#[test]
fn an_instrumented_module_can_be_instrumented_again() {
    let bytes = module(&format!("{ALLOCATOR} {}", generated::BUSY));
    let once = with_budget(&bytes, Counting::LoopHeads, PLENTY);
    let twice = with_budget(&once, Counting::LoopHeads, PLENTY);
    assert_eq!(ask(&mut start(&twice).unwrap()).unwrap(), ask(&mut start(&bytes).unwrap()).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn generated_modules_do_the_same_and_pay_for_each_instruction(text in generated::modules()) {
        let bytes = module(&format!("{ALLOCATOR} {text}"));
        let instructions = compare(&bytes);
        for counting in COUNTINGS {
            // Half of what it runs cannot be enough: a unit is an instruction.
            let poor = with_budget(&bytes, counting, instructions / 2);
            let error = error_of(ask(&mut start(&poor).unwrap()));
            prop_assert!(error.contains("the_callback_used_up_its_budget"), "{error}");
        }
    }

    #[test]
    fn exact_counting_takes_no_more_than_instructions_and_calls_cost(text in generated::modules()) {
        let bytes = module(&format!("{ALLOCATOR} {text}"));
        let instructions = compare(&bytes);
        // Calls of functions cost up to five, one of the host 1,000 and its bytes.
        let rich = with_budget(&bytes, Counting::Blocks, instructions * 5 + 2_000);
        ask(&mut start(&rich).unwrap()).unwrap();
    }
}
