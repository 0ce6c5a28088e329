//! The name that was probably meant.

/// The most edits between what was written and what is proposed.
const EDITS_MAX: usize = 2;

/// The candidate nearest to a word, if one is near; of equally near ones the first.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = EDITS_MAX.min(word.chars().count() / 2);
    candidates
        .into_iter()
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(distance, _)| (1..=limit).contains(distance))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many insertions, removals, replacements and exchanges of neighbours lie between two words;
/// a change of case alone is one.
fn edits(from: &str, to: &str) -> usize {
    if from != to && from.eq_ignore_ascii_case(to) {
        return 1;
    }
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    // Three rows of the table of Damerau and Levenshtein: two back, one back, this one.
    let mut back2: Vec<usize> = Vec::new();
    let mut back: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let mut best =
                (cell(&back, j) + usize::from(a != b)).min(cell(&back, j + 1) + 1).min(cell(&row, j) + 1);
            let exchanged = i > 0 && j > 0 && from.get(i - 1) == Some(b) && to.get(j - 1) == Some(a);
            if exchanged {
                best = best.min(cell(&back2, j - 1) + 1);
            }
            row.push(best);
        }
        back2 = std::mem::replace(&mut back, row);
    }
    back.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_near_name_is_proposed() {
        let names = ["method", "path", "host", "startsWith"];
        assert_eq!(nearest("mehtod", names), Some("method"));
        assert_eq!(nearest("pth", names), Some("path"));
        assert_eq!(nearest("startswith", names), Some("startsWith"));
        assert_eq!(nearest("HOST", names), Some("host"));
        assert_eq!(nearest("body", names), None);
        assert_eq!(nearest("x", names), None);
        assert_eq!(nearest("host", names), None);
    }
}
