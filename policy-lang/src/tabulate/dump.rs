//! The text form of decision tables (`--emit tables`).

use super::{Group, Tables, Word};
use crate::plan::Plan;
use std::fmt::Write as _;

/// The strands with their groups, each with the words it leads to, then the words.
#[must_use]
pub fn dump(plan: &Plan, tables: &Tables) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    for (strand, found) in plan.strands.iter().zip(&tables.strands) {
        let _ = writeln!(out, "strand {}: words {:?}", strand.name, found.words);
        for (number, group) in found.groups.iter().enumerate() {
            dump_group(&mut out, number, group);
        }
    }
    for (number, word) in tables.words.iter().enumerate() {
        dump_word(&mut out, number, word, tables);
    }
    out
}

fn dump_group(out: &mut String, number: usize, group: &Group) {
    let pivot = group.pivot.map(|attribute| format!(" by attribute {attribute}")).unwrap_or_default();
    let _ = writeln!(out, "  group {number}{pivot}");
    for (class, words) in group.visits.iter().enumerate().filter(|(_, words)| !words.is_empty()) {
        let class = if group.pivot.is_some() { format!("class {class}") } else { "always".to_owned() };
        let _ = writeln!(out, "    {class}: words {words:?}");
    }
}

/// A word with its bits in hexadecimal: bit 0 is the entry that is asked first.
fn dump_word(out: &mut String, number: usize, word: &Word, tables: &Tables) {
    let _ = writeln!(out, "word {number}: all {:x}, enforced {:x}", word.all, word.enforced);
    let _ = writeln!(out, "  picks {:?}", word.picks);
    for test in &word.tests {
        let _ = writeln!(out, "  attribute {}: testers {:x}", test.attribute, test.testers);
        let _ = writeln!(out, "    class 0: {:x}", test.base & word.all);
        let classes = tables.differences.get(test.attribute).into_iter().flatten().enumerate();
        for (class, differences) in classes {
            let bits = differences.iter().find(|(of, _)| *of as usize == number);
            if let Some((_, bits)) = bits {
                let _ = writeln!(out, "    class {class}: {:x}", (test.base ^ bits) & word.all);
            }
        }
    }
}
