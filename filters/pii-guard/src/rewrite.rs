//! A JSON body on its way through the filter: what is personal is replaced, everything else passes byte for byte.

use crate::config::Action;
use crate::find::{Found, Kind, Kinds};
use crate::rules::{NAME_BYTES_MAX, Rules, Step};
use crate::window::{Outlet, Window};
use chancery_sdk::json::{Container, Event, Halt, Limits, Literal, Role, Sink, Tokenizer};

/// Objects and arrays in each other.
const DEPTH_MAX: usize = 256;
/// Bytes of a number that is looked at: those of cards are shorter.
const NUMBER_BYTES_MAX: usize = 64;

/// Digits that no card's number has fewer of.
const CARD_DIGITS_MIN: usize = 13;

/// What was done with a message so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Of each kind, in the order of [`Kind::ALL`].
    pub(crate) kinds: [u32; Kind::ALL.len()],
    /// Values of members and at paths.
    pub(crate) values: u32,
}

/// Why a body does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It has something that is to be blocked; `None` is a member or a path.
    Blocked(Option<Kind>),
    /// It is not JSON, or too deep.
    NotJson,
    /// There is more in one piece of it than can be looked at in one callback.
    TooMuch,
}

/// What a piece takes of a callback's budget, in its units: some 20 million, of which this leaves a part to all else.
#[derive(Clone, Copy, Debug, Default)]
struct Work(u64);

/// What one piece may take.
const WORK_MAX: u64 = 15_000_000;
/// For each byte.
const WORK_OF_BYTE: u64 = 60;
/// For each event of the tokenizer.
const WORK_OF_EVENT: u64 = 500;
/// For each byte of a text that has others than ASCII, beside that.
const WORK_OF_OTHER_BYTE: u64 = 100;
/// For each escape, beside that.
const WORK_OF_ESCAPE: u64 = 500;

impl Work {
    fn add(&mut self, count: u64, of_each: u64) -> Result<(), Trouble> {
        self.0 = self.0.saturating_add(count.saturating_mul(of_each));
        if self.0 > WORK_MAX { Err(Trouble::TooMuch) } else { Ok(()) }
    }
}

/// How far a body is.
#[derive(Debug)]
pub(crate) struct Rewriting {
    tokenizer: Tokenizer,
    state: State,
    is_empty: bool,
}

#[derive(Debug, Default)]
struct State {
    containers: Vec<Open>,
    /// What is to be done with the member that comes next.
    member: Step,
    window: Window,
    /// The name that is being read, as it is meant.
    name: Name,
    number: Number,
    /// What is left out: the containers of the masked value that are open, or its text or number.
    masked: Option<usize>,
    tally: Tally,
    work: Work,
}

/// The name that is being read.
#[derive(Debug, Default)]
struct Name {
    bytes: Vec<u8>,
    /// Whether it is kept: a value is not, and neither is a name that is longer than any that is looked for.
    is_kept: bool,
}

/// The number that is being read.
#[derive(Debug, Default)]
struct Number {
    bytes: Vec<u8>,
    is_long: bool,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    container: Container,
    paths: u64,
    items: usize,
}

impl Default for Rewriting {
    fn default() -> Self {
        let tokenizer = Tokenizer::new(Limits::of_depth(DEPTH_MAX));
        Self { tokenizer, state: State::default(), is_empty: true }
    }
}

impl Rewriting {
    /// Takes a piece, and gives what goes on in its place.
    pub(crate) fn take(&mut self, rules: &Rules, piece: &[u8]) -> Result<Vec<u8>, Trouble> {
        self.is_empty &= piece.is_empty();
        self.state.work = Work::default();
        self.state.work.add(piece.len() as u64, WORK_OF_BYTE)?;
        let mut sink = Rewriter { rules, state: &mut self.state, out: Vec::with_capacity(piece.len()) };
        self.tokenizer.feed(piece, &mut sink).map_err(trouble)?;
        Ok(sink.out)
    }

    /// Says that the body is over, and gives what goes on behind the rest. No body at all is one, too.
    pub(crate) fn end(&mut self, rules: &Rules) -> Result<Vec<u8>, Trouble> {
        if self.is_empty {
            return Ok(Vec::new());
        }
        let mut sink = Rewriter { rules, state: &mut self.state, out: Vec::new() };
        self.tokenizer.end(&mut sink).map_err(trouble)?;
        Ok(sink.out)
    }

    /// What was done so far.
    pub(crate) fn tally(&self) -> Tally {
        self.state.tally
    }
}

/// A text of another type than JSON, whole.
pub(crate) fn rewrite_text(rules: &Rules, text: &[u8]) -> Result<(Vec<u8>, Tally), Trouble> {
    let mut work = Work::default();
    work.add(text.len() as u64, WORK_OF_BYTE)?;
    let mut out = Out { rules, out: Vec::with_capacity(text.len()), tally: Tally::default(), work };
    let mut window = Window::default();
    window.take(text, rules.kinds, &mut out)?;
    window.end(rules.kinds, &mut out)?;
    Ok((out.out, out.tally))
}

fn trouble(halt: Halt<Trouble>) -> Trouble {
    match halt {
        Halt::Stop(trouble) => trouble,
        Halt::Fault { .. } => Trouble::NotJson,
    }
}

/// Where the parts of a text go: masked where something was found.
struct Out<'rules> {
    rules: &'rules Rules,
    out: Vec<u8>,
    tally: Tally,
    work: Work,
}

impl Outlet for Out<'_> {
    type Stop = Trouble;

    fn pass(&mut self, written: &[u8]) {
        self.out.extend_from_slice(written);
    }

    fn replace(&mut self, found: Found, meant: &[u8]) -> Result<(), Trouble> {
        write_mask(self.rules, found.kind, meant, &mut self.out)?;
        count(&mut self.tally, found.kind);
        Ok(())
    }

    fn looked(&mut self, effort: u64) -> Result<(), Trouble> {
        self.work.add(effort, 1)
    }
}

fn count(tally: &mut Tally, kind: Kind) {
    if let Some(count) = tally.kinds.get_mut(kind as usize) {
        *count += 1;
    }
}

/// Writes what stands in the place of something that was found.
fn write_mask(rules: &Rules, kind: Kind, meant: &[u8], out: &mut Vec<u8>) -> Result<(), Trouble> {
    if rules.actions.get(&kind) == Some(&Action::Block) {
        return Err(Trouble::Blocked(Some(kind)));
    }
    out.extend_from_slice(rules.mask.as_bytes());
    if kind == Kind::Card && rules.card_digits_kept > 0 {
        let digits = meant.iter().copied().filter(u8::is_ascii_digit);
        let count = digits.clone().count();
        out.extend(digits.skip(count.saturating_sub(rules.card_digits_kept)));
    }
    Ok(())
}

/// One piece on its way.
struct Rewriter<'a> {
    rules: &'a Rules,
    state: &'a mut State,
    out: Vec<u8>,
}

impl Sink for Rewriter<'_> {
    type Stop = Trouble;

    fn take(&mut self, event: Event<'_>, _at: usize) -> Result<(), Trouble> {
        self.state.work.add(1, WORK_OF_EVENT)?;
        if let Some(open) = self.state.masked {
            self.leave_out(event, open);
            return Ok(());
        }
        match event {
            Event::Begin(container) => self.begin(container),
            Event::End(container) => {
                self.state.containers.pop();
                self.out.push(container.closing());
                Ok(())
            }
            Event::TextBegin(role) => self.begin_text(role),
            Event::Text(part) => self.text(part),
            Event::Escape { raw, char } => self.escape(raw, char),
            Event::TextEnd(role) => self.end_text(role),
            Event::NumberBegin => {
                self.begin_scalar()?;
                self.state.number.bytes.clear();
                self.state.number.is_long = false;
                Ok(())
            }
            Event::Number(part) => {
                self.number(part);
                Ok(())
            }
            Event::NumberEnd => self.end_number(),
            Event::Literal(literal) => self.literal(literal),
            Event::Between(part) => {
                self.out.extend_from_slice(part);
                Ok(())
            }
        }
    }
}

impl Rewriter<'_> {
    /// What is to be done with the value that begins now.
    fn step(&mut self) -> Step {
        let depth = self.state.containers.len();
        match self.state.containers.last_mut() {
            None => self.rules.root(),
            Some(open) if open.container == Container::Array => {
                open.items += 1;
                if open.paths == 0 {
                    return Step::default();
                }
                self.rules.step(open.paths, depth - 1, Some(&(open.items - 1).to_string()))
            }
            Some(_) => self.state.member,
        }
    }

    /// Whether a value is masked: then the mask is written, and the value left out.
    fn mask(&mut self, action: Option<Action>) -> Result<bool, Trouble> {
        match action {
            None => Ok(false),
            Some(Action::Block) => Err(Trouble::Blocked(None)),
            Some(Action::Mask) => {
                self.write_masked_value();
                self.state.tally.values += 1;
                Ok(true)
            }
        }
    }

    fn write_masked_value(&mut self) {
        self.out.push(b'"');
        self.out.extend_from_slice(self.rules.mask.as_bytes());
        self.out.push(b'"');
    }

    fn begin(&mut self, container: Container) -> Result<(), Trouble> {
        let step = self.step();
        if self.mask(step.action)? {
            self.state.masked = Some(1);
            return Ok(());
        }
        self.state.containers.push(Open { container, paths: step.paths, items: 0 });
        self.out.push(container.opening());
        Ok(())
    }

    fn begin_scalar(&mut self) -> Result<(), Trouble> {
        let step = self.step();
        if self.mask(step.action)? {
            self.state.masked = Some(0);
        }
        Ok(())
    }

    /// Passes over a part of a masked value; its last one is not passed over any more.
    fn leave_out(&mut self, event: Event<'_>, open: usize) {
        self.state.masked = match (event, open) {
            (Event::Begin(_), open) => Some(open + 1),
            (Event::End(_), 0 | 1) | (Event::TextEnd(Role::Value) | Event::NumberEnd, 0) => None,
            (Event::End(_), open) => Some(open - 1),
            (_, open) => Some(open),
        };
    }

    fn begin_text(&mut self, role: Role) -> Result<(), Trouble> {
        match role {
            Role::Name => {
                self.state.name.bytes.clear();
                self.state.name.is_kept = true;
            }
            Role::Value => {
                self.state.name.is_kept = false;
                self.begin_scalar()?;
            }
        }
        if self.state.masked.is_none() {
            self.out.push(b'"');
        }
        Ok(())
    }

    fn text(&mut self, part: &[u8]) -> Result<(), Trouble> {
        if !part.is_ascii() {
            self.state.work.add(part.len() as u64, WORK_OF_OTHER_BYTE)?;
        }
        self.keep_name(part);
        if self.rules.kinds.is_empty() {
            self.out.extend_from_slice(part);
            return Ok(());
        }
        self.through_window(|window, kinds, out| window.take(part, kinds, out))
    }

    fn escape(&mut self, raw: &[u8], char: char) -> Result<(), Trouble> {
        self.state.work.add(1, WORK_OF_ESCAPE)?;
        self.keep_name(char.encode_utf8(&mut [0; 4]).as_bytes());
        if self.rules.kinds.is_empty() {
            self.out.extend_from_slice(raw);
            return Ok(());
        }
        self.through_window(|window, kinds, out| window.take_escape(raw, char, kinds, out))
    }

    /// Keeps a name as long as it may be one that is looked for.
    fn keep_name(&mut self, part: &[u8]) {
        let name = &mut self.state.name;
        name.is_kept &= name.bytes.len() + part.len() <= NAME_BYTES_MAX;
        if name.is_kept {
            name.bytes.extend_from_slice(part);
        }
    }

    fn end_text(&mut self, role: Role) -> Result<(), Trouble> {
        self.through_window(|window, kinds, out| window.end(kinds, out))?;
        self.out.push(b'"');
        if role == Role::Name {
            self.state.member = self.member();
        }
        Ok(())
    }

    /// What is to be done with the member whose name came.
    fn member(&mut self) -> Step {
        let depth = self.state.containers.len().saturating_sub(1);
        let paths = self.state.containers.last().map_or(0, |open| open.paths);
        let Name { bytes, is_kept } = &self.state.name;
        let name = if *is_kept { std::str::from_utf8(bytes).ok() } else { None };
        self.rules.step_to_member(paths, depth, name)
    }

    fn through_window(
        &mut self,
        act: impl FnOnce(&mut Window, Kinds, &mut Out<'_>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let mut out = Out {
            rules: self.rules,
            out: std::mem::take(&mut self.out),
            tally: self.state.tally,
            work: self.state.work,
        };
        let result = act(&mut self.state.window, self.rules.kinds, &mut out);
        (self.out, self.state.tally, self.state.work) = (out.out, out.tally, out.work);
        result
    }

    fn number(&mut self, part: &[u8]) {
        let number = &mut self.state.number;
        let is_looked_at = self.rules.kinds.has(Kind::Card) && !number.is_long;
        if is_looked_at && number.bytes.len() + part.len() <= NUMBER_BYTES_MAX {
            number.bytes.extend_from_slice(part);
            return;
        }
        number.is_long = true;
        self.out.append(&mut number.bytes);
        self.out.extend_from_slice(part);
    }

    /// A card's number that is not in quotation marks becomes a text: there is no number that says nothing.
    fn end_number(&mut self) -> Result<(), Trouble> {
        let bytes = std::mem::take(&mut self.state.number.bytes);
        if bytes.len() < CARD_DIGITS_MIN {
            self.out.extend_from_slice(&bytes);
            self.state.number.bytes = bytes;
            return Ok(());
        }
        let text = crate::find::Text { bytes: &bytes, before: None };
        match crate::find::next(text, 0, Kinds::default().with(Kind::Card), &mut 0) {
            Some(found) if self.rules.kinds.has(Kind::Card) => {
                self.out.push(b'"');
                let meant = bytes.get(found.start..found.end).unwrap_or_default();
                write_mask(self.rules, Kind::Card, meant, &mut self.out)?;
                self.out.push(b'"');
                count(&mut self.state.tally, Kind::Card);
            }
            _ => self.out.extend_from_slice(&bytes),
        }
        self.state.number.bytes = bytes;
        Ok(())
    }

    /// There is nothing personal in `null`.
    fn literal(&mut self, literal: Literal) -> Result<(), Trouble> {
        let step = self.step();
        if literal == Literal::Null || !self.mask(step.action)? {
            self.out.extend_from_slice(literal.word().as_bytes());
        }
        Ok(())
    }
}
