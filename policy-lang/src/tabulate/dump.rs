//! The text form of decision tables (`--emit tables`).

use super::{Answer, Tables, Word};
use std::fmt::Write as _;

/// What can be said, then the groups in decision order, each with its words.
#[must_use]
pub fn dump(tables: &Tables) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    for (number, answer) in tables.answers.list.iter().enumerate() {
        let _ = writeln!(out, "answer {number}: {}", answer_text(answer));
    }
    let answers = &tables.answers;
    let _ = writeln!(out, "bad path: answer {}", answers.bad_path);
    let _ = writeln!(out, "no rule matches: answer {}", answers.otherwise);
    if let Some(otherwise) = answers.shadow_otherwise {
        let _ = writeln!(out, "no rule matches (shadow): answer {otherwise}");
    }
    for (number, group) in tables.groups.iter().enumerate() {
        let pivot = group.pivot.map(|attribute| format!(" by attribute {attribute}")).unwrap_or_default();
        let _ = writeln!(out, "group {number}: {:?}{pivot}", group.effect);
        for (class, words) in group.visits.iter().enumerate().filter(|(_, words)| !words.is_empty()) {
            let class = if group.pivot.is_some() { format!("class {class}") } else { "always".to_owned() };
            let _ = writeln!(out, "  {class}: words {words:?}");
        }
    }
    for (number, word) in tables.words.iter().enumerate() {
        dump_word(&mut out, number, word, tables);
    }
    out
}

/// A word with its bits in hexadecimal: bit 0 is the rule that is asked first.
fn dump_word(out: &mut String, number: usize, word: &Word, tables: &Tables) {
    let _ = writeln!(out, "word {number}: all {:x}, enforced {:x}", word.all, word.enforced);
    let _ = writeln!(out, "  answers {:?}", word.answers);
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

fn answer_text(answer: &Answer) -> String {
    let status = answer.respond.as_ref().map(|respond| format!(" {}", respond.status)).unwrap_or_default();
    let body = answer.respond.as_ref().filter(|respond| !respond.body.is_empty());
    let body = body.map(|respond| format!(" {:?}", respond.body)).unwrap_or_default();
    format!("{}{status} by {}{body}", answer.outcome.as_str(), answer.rule)
}
