//! The decision: bit words, joined by `and` until the first bit that is left names the rule.

use super::calls::NOTE_FAULT;
use super::class::CLASS_ONCE;
use super::class::class;
use super::code::{Body, Func, I32, I64, Local, Operand, Value};
use super::cost::{Linear, Source, Tally};
use super::emitter::Emitter;
use super::headers::NOTE_OPERATION;
use super::limits::NOTE;
use super::parts::Part;
use crate::bug::{Bug, OrBug as _};
use crate::plan::Pick;
use crate::tabulate::{FETCHED, Group, StrandTables, Tables, Test, Word, cost};

/// Asks all that one word picks, of the strand of this number.
const WORD_FOR_ALL: Part = Part::new("word for all", |emitter, strand| emitter.write_word_for_all(strand));
/// What one word picks.
pub(super) const WORD: Part = Part::new("word", |emitter, _| emitter.write_word());
/// The bits of a class in a word.
pub(super) const DIFFERENCE: Part = Part::new("difference", |emitter, _| emitter.write_difference());

// A word's record: bits of the enforced entries, bits of all, tests, picks.
const WORD_BYTES: u32 = 24;
const WORD_ALL: u32 = 8;
const WORD_TESTS: u32 = 16;
const WORD_PICKS: u32 = 20;

// A test's record: testers, base, attribute. The number of tests stands before the first.
const TEST_BYTES: u32 = 20;
const TEST_BASE: u32 = 8;
const TEST_ATTRIBUTE: u32 = 16;

// A group's record: attribute, visits. Without a pivot, visits is one list.
const GROUP_BYTES: u32 = 8;
const NO_PIVOT: u32 = u32::MAX;

// A difference's record: word plus 1, bits; or a list of such, marked by the highest bit.
const DIFFERENCE_BYTES: u32 = 12;
const DIFFERENCE_BITS: u32 = 4;
const IS_LIST: u32 = 1 << 31;

/// The steps of going on to another entry of a word.
const NOTE_STEPS: u64 = 16;
/// The steps of going on to another word of a list.
const VISIT_STEPS: u64 = 32;
/// The most halvings of a list of words.
const HALVINGS_MAX: u64 = 32;

/// The form in which the words of a strand are asked.
enum Form<'a> {
    /// As code, its only word in it; none of a strand without entries.
    Single(Option<(u32, &'a Word)>),
    /// As tables.
    Many(&'a StrandTables),
}

/// The function that asks the strand of this number for all that match.
const DECIDE_ALL: Part = Part::new("decide all", |emitter, strand| emitter.write_decide_all(strand));
/// The function that asks the strand of this number.
const DECIDE: Part = Part::new("decide", |emitter, strand| emitter.write_decide(strand));

impl<'a> Emitter<'a> {
    /// The function that asks a strand: of its mode and of what to give if no entry matches, what the
    /// first matching entry picks.
    pub(super) fn decide(&mut self, strand: usize) -> Func {
        let number = self.number(strand);
        self.part(DECIDE.numbered(number))
    }

    /// The function that asks a strand for all entries that match, of whatever mode, and notes each.
    pub(super) fn decide_all(&mut self, strand: usize) -> Func {
        let number = self.number(strand);
        self.part(DECIDE_ALL.numbered(number))
    }

    /// The function that notes what an entry of a strand picks.
    fn note(&mut self, strand: u32) -> Func {
        let is_of_headers =
            self.plan.headers.as_ref().is_some_and(|headers| headers.strand == strand as usize);
        let faults = self.plan.calls.as_ref().and_then(|calls| calls.faults.as_ref());
        let is_of_faults = faults.is_some_and(|faults| faults.strand == strand as usize);
        self.part(match (is_of_headers, is_of_faults) {
            (true, _) => NOTE_OPERATION,
            (_, true) => NOTE_FAULT,
            _ => NOTE,
        })
    }

    /// How many entries of a strand match a request at most.
    pub(super) fn matches_max(&self, strand: usize) -> u64 {
        let tables = self.tables;
        let Some(strand) = tables.strands.get(strand) else { return 0 };
        let of_group = |group: &Group| {
            let classes = (0..).zip(&group.visits);
            let matches = |(class, words): (u32, &Vec<u32>)| {
                let of_word = |number: &u32| {
                    tables.words.get(*number as usize).map_or(0, |word| {
                        let test = word.tests.iter().find(|test| Some(test.attribute) == group.pivot);
                        let left = test.map_or(word.all, |test| {
                            word.all & (test.base ^ tables.difference(test.attribute, class, *number))
                        });
                        u64::from(left.count_ones())
                    })
                };
                words.iter().map(of_word).sum::<u64>()
            };
            classes.map(matches).max().unwrap_or(0)
        };
        strand.groups.iter().map(of_group).sum()
    }

    /// What the function of a strand is told to join the enforced entries only.
    pub(super) fn mode_enforced(&mut self, strand: usize) -> Value {
        self.mode(strand, 0, |word| word.enforced)
    }

    /// What the function of a strand is told to join all entries.
    pub(super) fn mode_all(&mut self, strand: usize) -> Value {
        self.mode(strand, WORD_ALL, |word| word.all)
    }

    /// In one word the bits themselves; else where they stand in a word's record.
    fn mode(&mut self, strand: usize, place: u32, bits: impl Fn(&Word) -> u64) -> Value {
        match self.form(strand) {
            Form::Single(word) => Value::from(word.map_or(0, |(_, word)| bits(word))),
            Form::Many(_) => Value::from(place),
        }
    }

    /// In which form the words of a strand are asked.
    fn form(&mut self, strand: usize) -> Form<'a> {
        let tables = self.tables;
        let found = tables.strands.get(strand).or_bug("a strand that is asked exists");
        let Some(strand) = self.sound(found.map(Some), None) else { return Form::Single(None) };
        match strand.words.len() {
            0 => Form::Single(None),
            1 => {
                let number = strand.words.start;
                let word = tables.words.get(number as usize).or_bug("the words of a strand exist");
                Form::Single(self.sound(word.map(Some), None).map(|word| (number, word)))
            }
            _ => Form::Many(strand),
        }
    }

    fn write_decide(&mut self, strand: u32) -> Body {
        let tables = self.tables;
        match tables.strands.get(strand as usize).map(|strand| strand.pick) {
            Some(Pick::First) => {}
            _ => self.sound(Err(Bug::new("a strand that is asked for its first entry has one")), ()),
        }
        match self.form(strand as usize) {
            Form::Single(word) => {
                let word = word.map(|(number, word)| (number, word.clone()));
                self.decide_single(strand as usize, word)
            }
            Form::Many(strand) => {
                let groups = strand.groups.clone();
                self.decide_many(&groups)
            }
        }
    }

    /// ```text
    /// decide(v, otherwise):                       one word
    ///     for each attribute, cheap ones first:
    ///         if no rule that is left tests it: go on
    ///         if it must be fetched, and the first rule that is left needs no more of those: stop
    ///         v &= base ^ difference[class]
    ///     v ? answer of the first bit : otherwise
    /// ```
    fn decide_single(&mut self, strand: usize, word: Option<(u32, Word)>) -> Body {
        let mut b = Body::new(&[I64, I32], &[I32]);
        let (v, otherwise) = (b.param(0), b.param(1));
        let Some((number, word)) = word else {
            b.push(otherwise);
            return b;
        };
        b.block(|b, decided| {
            for (at, test) in word.tests.iter().enumerate() {
                if self.is_fetched(test.attribute) {
                    let rest = word.tests.iter().skip(at).fold(0, |testers, test| testers | test.testers);
                    let first = v & (Value::from(0_i64) - v);
                    b.br_if(decided, (first & rest).eqz());
                }
                self.join_test(b, v, test, number);
            }
        });
        b.if_(v.eqz(), |b| b.return_value(otherwise));
        let picks: Vec<u8> = self.picked(strand, &word).into_iter().flat_map(u32::to_le_bytes).collect();
        b.push((v.ctz().wrap() << 2).load32(self.data.table(&picks)));
        b
    }

    /// Leaves of the bits of a word, which is written as code, those that a test leaves.
    fn join_test(&mut self, b: &mut Body, v: Local, test: &Test, word: u32) {
        let differences = self.differences_in(test.attribute, word);
        let class = self.class_of(test.attribute);
        let difference = match differences.as_slice() {
            [0, only] => Value::from(*only).when(class, 0_i64),
            _ => {
                let bytes: Vec<u8> = differences.iter().flat_map(|bits| bits.to_le_bytes()).collect();
                (class << 3).load64(self.data.table(&bytes))
            }
        };
        b.if_((v & test.testers).eqz().eqz(), |b| b.set(v, v & (difference ^ test.base)));
    }

    /// ```text
    /// decide_all():                               one word, or many words
    ///     join the tests of the word; note what each bit that is left picks
    /// ```
    fn write_decide_all(&mut self, strand: u32) -> Body {
        let mut b = Body::new(&[], &[]);
        match self.form(strand as usize) {
            Form::Single(None) => {}
            Form::Single(Some((number, word))) => {
                let v = b.let_(word.all);
                for test in &word.tests {
                    self.join_test(&mut b, v, test, number);
                }
                let picks = self.picked(strand as usize, word);
                let bytes: Vec<u8> = picks.into_iter().flat_map(u32::to_le_bytes).collect();
                let picks = b.let_(self.data.table(&bytes));
                let most = self.matches_max(strand as usize);
                let note = self.note(strand);
                b.while_times(most, v.eqz().eqz(), |b, _| {
                    let record = (picks + (v.ctz().wrap() << 2)).load32(0);
                    b.call_over(note, &[record], &[], Linear::default());
                    b.set(v, v & (v - 1_i64));
                });
            }
            Form::Many(tables) => {
                let most = self.matches_max(strand as usize);
                let word = self.part(WORD_FOR_ALL.numbered(strand));
                let group_count = self.account_visits(&mut b, &tables.groups, word);
                let note = self.note(strand);
                b.account(&Tally::calls(note, most, Linear::default()));
                b.account(&Tally::steps(most.saturating_mul(NOTE_STEPS)));
                self.visit_groups(&mut b, &tables.groups, group_count, |b, number| {
                    b.push(number);
                    b.call_uncounted(word);
                });
            }
        }
        b
    }

    fn is_fetched(&self, attribute: usize) -> bool {
        self.classes.attributes.get(attribute).is_some_and(|attribute| cost(attribute) >= FETCHED)
    }

    /// By class, the bits that differ in a word.
    fn differences_in(&mut self, attribute: usize, word: u32) -> Vec<u64> {
        let tables = self.tables;
        let classes = tables.differences.get(attribute).or_bug("each attribute has differences");
        let count = self.sound(classes.map(Vec::len), 0);
        (0..).take(count).map(|class| tables.difference(attribute, class, word)).collect()
    }

    /// What the owner of a strand put in the place of the indexes that a word picks.
    fn picked(&mut self, strand: usize, word: &Word) -> Vec<u32> {
        let meanings = self.meanings.get(strand).cloned().unwrap_or_default();
        let meaning = |index: &u32| meanings.get(*index as usize).copied().or_bug("a pick has a meaning");
        let picked: Result<Vec<u32>, Bug> = word.picks.iter().map(meaning).collect();
        self.sound(picked, Vec::new())
    }

    /// ```text
    /// decide(mode, otherwise):                    many words
    ///     for each group, in order: for each word to visit in the class of its pivot:
    ///         r = word(w, mode); if r: r
    ///     otherwise
    /// ```
    fn decide_many(&mut self, groups: &[Group]) -> Body {
        let mut b = Body::new(&[I32, I32], &[I32]);
        let word = self.part(WORD);
        let group_count = self.account_visits(&mut b, groups, word);
        let (mode, otherwise) = (b.param(0), b.param(1));
        let found = b.local(I32);
        self.visit_groups(&mut b, groups, group_count, |b, number| {
            b.set(found, Value::call_uncounted(word, &[number, mode.into()], I32));
            b.if_(found, |b| b.return_value(found));
        });
        b.push(otherwise);
        b
    }

    /// Visits the words that can match, in order.
    fn visit_groups(
        &mut self,
        b: &mut Body,
        groups: &[Group],
        group_count: u64,
        visit: impl Fn(&mut Body, Value),
    ) {
        let (groups, end) = self.lay_out_groups(groups);
        let class_once = self.part(CLASS_ONCE);
        let group = b.let_(groups);
        let visits = b.local(I32);
        let list_end = b.local(I32);
        b.while_times(group_count, group.lt_u(end), |b, _| {
            b.set(visits, group.load32(4));
            let attribute = b.let_(group.load32(0));
            b.if_(attribute.ne(NO_PIVOT), |b| {
                let class = Value::call_over(class_once, &[attribute.into()], I32, Linear::default());
                b.set(visits, (visits + (class << 2)).load32(0));
            });
            b.if_else(
                visits & 1,
                |b| visit(b, visits >> 1),
                |b| {
                    b.if_(visits, |b| {
                        b.set(list_end, visits + 4 + (visits.load32(0) << 2));
                        b.set(visits, visits + 4);
                        // All lists together are as long as all visits; see `account_visits`.
                        b.while_elsewhere(visits.lt_u(list_end), |b, _| {
                            visit(b, visits.load32(0));
                            b.set(visits, visits + 4);
                        });
                    });
                },
            );
            b.set(group, group + GROUP_BYTES);
        });
    }

    /// Tallies the words that a request visits at most, with their tests, and the classes that these ask
    /// for, each once; gives the number of groups.
    fn account_visits(&mut self, b: &mut Body, groups: &[Group], word: Func) -> u64 {
        let tests = |number: &u32| self.tables.words.get(*number as usize).map_or(0, |word| word.tests.len());
        let (mut visits_max, mut tests_max) = (0, 0);
        for group in groups {
            visits_max += group.visits.iter().map(|words| words.len() as u64).max().unwrap_or(0);
            let of_class = |words: &Vec<u32>| words.iter().map(|word| tests(word) as u64).sum::<u64>();
            tests_max += group.visits.iter().map(of_class).max().unwrap_or(0);
        }
        b.account(&Tally::calls(word, visits_max, Linear::constant(tests_max)));
        b.account(&Tally::steps(visits_max * VISIT_STEPS));
        for (attribute, _) in (0..).zip(&self.classes.attributes) {
            let function = self.part(class(attribute));
            b.account(&Tally::calls(function, 1, Linear::of(Source::Own)));
        }
        groups.len() as u64
    }

    /// The groups' records: where they begin and end.
    fn lay_out_groups(&mut self, groups: &[Group]) -> (u32, u32) {
        let mut records = Vec::new();
        for group in groups {
            let pivot = group.pivot.map_or(NO_PIVOT, |pivot| self.number(pivot));
            let visits = match group.pivot {
                None => self.visit_list(group.visits.first().map_or(&[], Vec::as_slice)),
                Some(_) => {
                    let entries: Vec<u32> = group.visits.iter().map(|words| self.visit(words)).collect();
                    let bytes: Vec<u8> = entries.into_iter().flat_map(u32::to_le_bytes).collect();
                    self.data.table(&bytes)
                }
            };
            records.extend([pivot, visits]);
        }
        let bytes: Vec<u8> = records.into_iter().flat_map(u32::to_le_bytes).collect();
        let start = self.data.table(&bytes);
        (start, start + self.number(bytes.len()))
    }

    /// Words to visit: 0 for none, an odd number for one, else the address of a list.
    fn visit(&mut self, words: &[u32]) -> u32 {
        match words {
            [] => 0,
            [only] => only << 1 | 1,
            _ => self.visit_list(words),
        }
    }

    fn visit_list(&mut self, words: &[u32]) -> u32 {
        let count = self.number(words.len());
        let bytes: Vec<u8> = [count].iter().chain(words).flat_map(|word| word.to_le_bytes()).collect();
        self.data.table(&bytes)
    }

    /// ```text
    /// word(w, mode):
    ///     v = valid[w]
    ///     for (attribute, testers, base) in tests[w]:
    ///         if no rule that is left tests it: go on
    ///         v &= base ^ difference(attribute, class(attribute), w); if none is left: 0
    ///     answer of the first bit
    /// ```
    pub(super) fn write_word(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32], &[I32]);
        let (number, mode) = (b.param(0), b.param(1));
        let (word, v) = self.join_word(&mut b, number, mode.into(), |b| b.return_value(0));
        b.push((word.load32(WORD_PICKS) + (v.ctz().wrap() << 2)).load32(0));
        b
    }

    /// ```text
    /// word_for_all(w):
    ///     as in word, of entries of any mode; note what each bit that is left picks
    /// ```
    fn write_word_for_all(&mut self, strand: u32) -> Body {
        let mut b = Body::new(&[I32], &[]);
        let number = b.param(0);
        let note = self.note(strand);
        let (word, v) = self.join_word(&mut b, number, WORD_ALL.into(), Body::return_);
        let picks = b.let_(word.load32(WORD_PICKS));
        // What is noted in all words together is tallied where they are visited.
        b.while_elsewhere(v.eqz().eqz(), |b, _| {
            b.push((picks + (v.ctz().wrap() << 2)).load32(0));
            b.call_uncounted(note);
            b.set(v, v & (v - 1_i64));
        });
        b
    }

    /// Joins the tests of a word; leaves where none of its bits is left.
    fn join_word(
        &mut self,
        b: &mut Body,
        number: Local,
        mode: Value,
        leave: impl Fn(&mut Body),
    ) -> (Local, Local) {
        let words = self.words();
        let (class_once, difference) = (self.part(CLASS_ONCE), self.part(DIFFERENCE));
        let word = b.let_(number * WORD_BYTES + words);
        let v = b.let_((Value::from(word) + mode).load64(0));
        let test = b.let_(word.load32(WORD_TESTS));
        let left = b.let_(test.load32(0));
        b.set(test, test + 4);
        b.while_(left, |b, _| {
            b.if_((v & test.load64(0)).eqz().eqz(), |b| {
                let attribute = test.load32(TEST_ATTRIBUTE);
                let arguments = std::slice::from_ref(&attribute);
                let class = Value::call_over(class_once, arguments, I32, Linear::default());
                let bits = Value::call(difference, &[attribute, class, number.into()], I64);
                b.set(v, v & (bits ^ test.load64(TEST_BASE)));
            });
            b.if_(v.eqz(), &leave);
            b.set(test, test + TEST_BYTES);
            b.set(left, left - 1);
        });
        b.if_(v.eqz(), &leave);
        (word, v)
    }

    /// Where the words of all strands lie.
    fn words(&mut self) -> u32 {
        if let Some(known) = self.words_at {
            return known;
        }
        let words = self.lay_out_words();
        self.words_at = Some(words);
        words
    }

    fn lay_out_words(&mut self) -> u32 {
        let tables = self.tables;
        let mut records: Vec<u8> = Vec::new();
        for (strand, word) in words_of(tables) {
            let count = self.number(word.tests.len());
            let mut tests = count.to_le_bytes().to_vec();
            for test in &word.tests {
                tests.extend(test.testers.to_le_bytes());
                tests.extend(test.base.to_le_bytes());
                tests.extend(self.number(test.attribute).to_le_bytes());
            }
            let tests = self.data.table(&tests);
            let picks: Vec<u8> = self.picked(strand, word).into_iter().flat_map(u32::to_le_bytes).collect();
            let picks = self.data.table(&picks);
            records.extend(word.enforced.to_le_bytes());
            records.extend(word.all.to_le_bytes());
            records.extend(tests.to_le_bytes());
            records.extend(picks.to_le_bytes());
        }
        self.data.table(&records)
    }

    /// ```text
    /// difference(attribute, class, w):
    ///     the entry of the class is one word: its bits if it is w, else 0
    ///     or a sorted list of words: binary search
    /// ```
    pub(super) fn write_difference(&mut self) -> Body {
        let differences = self.lay_out_differences();
        let mut b = Body::new(&[I32, I32, I32], &[I64]);
        let (attribute, class, number) = (b.param(0), b.param(1), b.param(2));
        let entry = b.let_((attribute << 2).load32(differences) + class * DIFFERENCE_BYTES);
        let head = b.let_(entry.load32(0));
        let wanted = b.let_(number + 1);
        b.if_(head.eq(wanted), |b| b.return_value(entry.load64(DIFFERENCE_BITS)));
        b.if_((head & IS_LIST).eqz(), |b| b.return_value(0_i64));
        let low = b.let_(entry.load32(DIFFERENCE_BITS));
        let count = b.let_(head ^ IS_LIST);
        // Of the entries from `low` on, `count` may be the wanted one.
        b.while_times(HALVINGS_MAX, count, |b, _| {
            let half = b.let_(count >> 1);
            let middle = b.let_(low + half * DIFFERENCE_BYTES);
            b.if_(middle.load32(0).eq(wanted), |b| b.return_value(middle.load64(DIFFERENCE_BITS)));
            b.if_else(
                middle.load32(0).lt_u(wanted),
                |b| {
                    b.set(low, middle + DIFFERENCE_BYTES);
                    b.set(count, count - half - 1);
                },
                |b| b.set(count, half),
            );
        });
        b.push(0_i64);
        b
    }

    /// By attribute the address of its classes' entries.
    fn lay_out_differences(&mut self) -> u32 {
        let tables = self.tables;
        let mut attributes: Vec<u8> = Vec::new();
        for classes in &tables.differences {
            let mut entries: Vec<u8> = Vec::with_capacity(classes.len() * DIFFERENCE_BYTES as usize);
            for words in classes {
                let (head, bits) = match words.as_slice() {
                    [] => (0, 0),
                    [(word, bits)] => (word + 1, *bits),
                    _ => {
                        let list: Vec<u8> =
                            words.iter().flat_map(|(word, bits)| entry_bytes(word + 1, *bits)).collect();
                        (self.number(words.len()) | IS_LIST, u64::from(self.data.table(&list)))
                    }
                };
                entries.extend(entry_bytes(head, bits));
            }
            attributes.extend(self.data.table(&entries).to_le_bytes());
        }
        self.data.table(&attributes)
    }
}

/// The words of all strands, each with the number of its strand.
fn words_of(tables: &Tables) -> impl Iterator<Item = (usize, &Word)> {
    tables.strands.iter().enumerate().flat_map(|(number, strand)| {
        let range = strand.words.start as usize..strand.words.end as usize;
        tables.words.get(range).unwrap_or_default().iter().map(move |word| (number, word))
    })
}

fn entry_bytes(head: u32, bits: u64) -> impl Iterator<Item = u8> {
    head.to_le_bytes().into_iter().chain(bits.to_le_bytes())
}
