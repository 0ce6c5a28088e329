//! "Did you mean": the known word that a word was probably meant to be.

/// Words longer than this are not compared: nobody misspells a word of that length by a letter or two.
const WORD_BYTES_MAX: usize = 64;

/// The candidate nearest to `word`, if it is near enough to be a slip: one letter wrong, missing, too
/// many or swapped with its neighbour, in words of six letters and more two of these, or capitals alone.
/// Among equally near ones, the first. A word that is a candidate itself has none.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if word.len() > WORD_BYTES_MAX || word.len() < 2 {
        return None;
    }
    let slips = if word.len() >= 6 { 2 } else { 1 };
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= WORD_BYTES_MAX && candidate.len() >= 2)
        // Each slip changes the length by one at most.
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= slips)
        .map(|candidate| (slips_between(word, candidate), candidate))
        .filter(|(distance, _)| (1..=slips).contains(distance))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many slips lie between two words; writing one in other capitals is one slip.
fn slips_between(word: &str, candidate: &str) -> usize {
    if word != candidate && word.eq_ignore_ascii_case(candidate) {
        return 1;
    }
    distance(word.as_bytes(), candidate.as_bytes())
}

/// The optimal string alignment distance: Levenshtein's, with swapped neighbours as one slip.
fn distance(a: &[u8], b: &[u8]) -> usize {
    // Three rows of the usual table: the row before the last, the last, the one being made.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (row, x) in a.iter().enumerate() {
        let mut made = vec![row + 1];
        for (column, y) in b.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&last, column) + usize::from(x != y);
            let mut least = replaced.min(at(&last, column + 1) + 1).min(at(&made, column) + 1);
            let swapped = row > 0 && column > 0 && a.get(row - 1) == Some(y) && b.get(column - 1) == Some(x);
            if swapped {
                least = least.min(at(&before, column - 1) + 1);
            }
            made.push(least);
        }
        before = std::mem::replace(&mut last, made);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let words = ["allow", "deny", "exempt", "otherwise"];
        assert_eq!(nearest("alow", words), Some("allow"));
        assert_eq!(nearest("dney", words), Some("deny"));
        assert_eq!(nearest("otehrwsie", words), Some("otherwise"));
        assert_eq!(nearest("permit", words), None);
        assert_eq!(nearest("den", words), Some("deny"));
        assert_eq!(nearest("a", words), None);
        assert_eq!(nearest("deny", words), None);
        assert_eq!(nearest("startswith", ["startsWith"]), Some("startsWith"));
    }
}
