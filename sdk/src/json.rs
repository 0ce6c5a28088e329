//! JSON as it goes by: a tokenizer that is fed a body piece by piece, wherever the pieces are cut.
//!
//! ```text
//! bytes ── Tokenizer::feed ──> Event, Event, …  ──> Sink: the filter's own reading of them
//! ```
//!
//! It keeps no text: a string reaches the sink in the parts in which it came, escapes apart. The events in order have all
//! bytes of the document, so that a filter can write down what it was shown and change some of it. What is not JSON
//! (RFC 8259) ends in an error with its place, and so does what is beyond the [`Limits`]. Stricter than the
//! standard's grammar it is where readers differ: text must be UTF-8, and a surrogate must have its other half.

mod number;
mod text;

use number::NumberState;
use text::TextState;

/// What takes the events.
pub trait Sink {
    /// Why it wants no more of them.
    type Stop;

    /// An event, and where its first byte stands in the document; of an end, where what follows stands.
    ///
    /// # Errors
    /// When it wants no more: the tokenizer hands this on.
    fn take(&mut self, event: Event<'_>, at: usize) -> Result<(), Self::Stop>;
}

/// A part of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'piece> {
    /// `{` or `[`.
    Begin(Container),
    /// `}` or `]`.
    End(Container),
    /// The quotation mark before a text.
    TextBegin(Role),
    /// Some bytes of a text as they stand there; a character may be cut in two.
    Text(&'piece [u8]),
    /// A character that is written with a backslash, or with two of them.
    Escape {
        /// How it is written.
        raw: &'piece [u8],
        /// What is meant.
        char: char,
    },
    /// The quotation mark after a text.
    TextEnd(Role),
    /// Before the first byte of a number.
    NumberBegin,
    /// Some bytes of a number.
    Number(&'piece [u8]),
    /// After the last byte of a number.
    NumberEnd,
    /// `true`, `false` or `null`.
    Literal(Literal),
    /// White space, commas and colons.
    Between(&'piece [u8]),
}

/// What has values in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// Members with names.
    Object,
    /// Items in order.
    Array,
}

impl Container {
    /// How it begins.
    #[must_use]
    pub fn opening(self) -> u8 {
        if self == Self::Object { b'{' } else { b'[' }
    }

    /// How it ends.
    #[must_use]
    pub fn closing(self) -> u8 {
        if self == Self::Object { b'}' } else { b']' }
    }
}

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The name of a member.
    Name,
    /// A value.
    Value,
}

/// A value that is written as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literal {
    /// `null`
    Null,
    /// `false`
    False,
    /// `true`
    True,
}

impl Literal {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::False => "false",
            Self::True => "true",
        }
    }
}

/// How much a document may have of each thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Values in the whole document.
    pub values_max: usize,
    /// Containers in each other.
    pub depth_max: usize,
    /// Members of one object.
    pub members_max: usize,
    /// Items of one array.
    pub items_max: usize,
    /// Bytes of one name, as it is written.
    pub name_bytes_max: usize,
    /// Bytes of one text that is a value, as it is written.
    pub text_bytes_max: usize,
    /// Bytes of one number.
    pub number_bytes_max: usize,
}

impl Limits {
    /// Nothing but the depth is limited, which takes a tokenizer's memory.
    #[must_use]
    pub const fn of_depth(depth_max: usize) -> Self {
        Self {
            values_max: usize::MAX,
            depth_max,
            members_max: usize::MAX,
            items_max: usize::MAX,
            name_bytes_max: usize::MAX,
            text_bytes_max: usize::MAX,
            number_bytes_max: usize::MAX,
        }
    }
}

/// What is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Something else has to stand here.
    #[error("something else is expected here")]
    Unexpected,
    /// The document is over, and more follows.
    #[error("the document is over, and more follows")]
    Trailing,
    /// The document ends in the middle.
    #[error("the document ends in the middle")]
    Unfinished,
    /// A text has bytes that are no UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// A text has a control character.
    #[error("a text has a control character that is not escaped")]
    Control,
    /// There is no such escape.
    #[error("there is no such escape")]
    Escape,
    /// One half of a pair of surrogates.
    #[error("half of a pair of surrogates stands alone")]
    LoneSurrogate,
    /// Beyond [`Limits::values_max`].
    #[error("too many values")]
    Values,
    /// Beyond [`Limits::depth_max`].
    #[error("too many containers in each other")]
    Depth,
    /// Beyond [`Limits::members_max`].
    #[error("too many members of an object")]
    Members,
    /// Beyond [`Limits::items_max`].
    #[error("too many items of an array")]
    Items,
    /// Beyond [`Limits::name_bytes_max`].
    #[error("the name of a member is too long")]
    NameBytes,
    /// Beyond [`Limits::text_bytes_max`].
    #[error("a text is too long")]
    TextBytes,
    /// Beyond [`Limits::number_bytes_max`].
    #[error("a number is too long")]
    NumberBytes,
}

/// Why a document was not read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt<S> {
    /// It is wrong.
    Fault {
        /// What is wrong.
        fault: Fault,
        /// Bytes before that place.
        at: usize,
    },
    /// The sink wants no more.
    Stop(S),
}

/// Reads one document, fed piece by piece. After an error it must not be fed any more.
#[derive(Debug)]
pub struct Tokenizer {
    limits: Limits,
    state: State,
    /// How far the text is, in [`State::Text`].
    text: TextState,
    /// How far the number is, in [`State::Number`].
    number: NumberState,
    containers: Vec<Open>,
    /// Values that have begun.
    values: usize,
    /// Bytes of the pieces before.
    before: usize,
}

/// A container that is not closed, and how many values it has so far.
#[derive(Clone, Copy, Debug)]
struct Open {
    container: Container,
    count: usize,
}

/// What may stand here.
#[derive(Clone, Copy, Debug)]
enum State {
    Value,
    /// A value, or the end of the array.
    FirstItem,
    Name,
    /// A name, or the end of the object.
    FirstName,
    Colon,
    AfterValue,
    Text(Role),
    Number,
    /// A word of which so many bytes came.
    Word(Literal, u8),
}

impl Tokenizer {
    /// Before the first piece.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Value,
            text: TextState::new(),
            number: NumberState::new(),
            containers: Vec::new(),
            values: 0,
            before: 0,
        }
    }

    /// Reads a piece.
    ///
    /// # Errors
    /// Where the document is wrong or beyond the limits, and when the sink wants no more.
    pub fn feed<S: Sink>(&mut self, piece: &[u8], sink: &mut S) -> Result<(), Halt<S::Stop>> {
        let mut reading = Reading { piece, before: self.before, sink };
        let mut at = 0;
        while let Some(&byte) = piece.get(at) {
            at = match self.state {
                State::Text(role) => self.read_text(&mut reading, role, at)?,
                State::Number => self.read_number(&mut reading, at)?,
                State::Word(word, came) => self.read_word(&mut reading, word, came, byte, at)?,
                _ if is_space(byte) => reading.spaces(at)?,
                state => self.read_structure(&mut reading, state, byte, at)?,
            };
        }
        self.before += piece.len();
        Ok(())
    }

    /// Says that no further piece comes.
    ///
    /// # Errors
    /// If the document is not whole.
    pub fn end<S: Sink>(&mut self, sink: &mut S) -> Result<(), Halt<S::Stop>> {
        if matches!(self.state, State::Number) && self.number.is_whole() {
            sink.take(Event::NumberEnd, self.before).map_err(Halt::Stop)?;
            self.state = State::AfterValue;
        }
        if matches!(self.state, State::AfterValue) && self.containers.is_empty() {
            Ok(())
        } else {
            Err(Halt::Fault { fault: Fault::Unfinished, at: self.before })
        }
    }

    /// How many values have begun.
    #[must_use]
    pub fn values(&self) -> usize {
        self.values
    }

    fn read_structure<S: Sink>(
        &mut self,
        reading: &mut Reading<'_, '_, S>,
        state: State,
        byte: u8,
        at: usize,
    ) -> Result<usize, Halt<S::Stop>> {
        match (state, byte) {
            (State::FirstItem, b']') => return self.close(reading, Container::Array, at),
            (State::FirstName, b'}') => return self.close(reading, Container::Object, at),
            (State::Value | State::FirstItem, _) => return self.begin_value(reading, byte, at),
            (State::Name | State::FirstName, b'"') => {
                self.count(reading, at)?;
                reading.event(Event::TextBegin(Role::Name), at)?;
                self.begin_text(Role::Name);
            }
            (State::Colon, b':') => {
                reading.event(Event::Between(b":"), at)?;
                self.state = State::Value;
            }
            (State::AfterValue, _) => return self.after_value(reading, byte, at),
            _ => return reading.fault(Fault::Unexpected, at),
        }
        Ok(at + 1)
    }

    fn after_value<S: Sink>(
        &mut self,
        reading: &mut Reading<'_, '_, S>,
        byte: u8,
        at: usize,
    ) -> Result<usize, Halt<S::Stop>> {
        match (self.containers.last().map(|open| open.container), byte) {
            (None, _) => reading.fault(Fault::Trailing, at),
            (Some(container), b',') => {
                reading.event(Event::Between(b","), at)?;
                self.state = if container == Container::Object { State::Name } else { State::Value };
                Ok(at + 1)
            }
            (Some(container), byte) if byte == container.closing() => self.close(reading, container, at),
            _ => reading.fault(Fault::Unexpected, at),
        }
    }

    fn begin_value<S: Sink>(
        &mut self,
        reading: &mut Reading<'_, '_, S>,
        byte: u8,
        at: usize,
    ) -> Result<usize, Halt<S::Stop>> {
        if self.values >= self.limits.values_max {
            return reading.fault(Fault::Values, at);
        }
        self.values += 1;
        if self.containers.last().is_some_and(|open| open.container == Container::Array) {
            self.count(reading, at)?;
        }
        let word = match byte {
            b'{' => return self.open(reading, Container::Object, at),
            b'[' => return self.open(reading, Container::Array, at),
            b'"' => {
                reading.event(Event::TextBegin(Role::Value), at)?;
                self.begin_text(Role::Value);
                return Ok(at + 1);
            }
            b'-' | b'0'..=b'9' => {
                reading.event(Event::NumberBegin, at)?;
                self.number = NumberState::new();
                self.state = State::Number;
                return Ok(at);
            }
            b'n' => Literal::Null,
            b'f' => Literal::False,
            b't' => Literal::True,
            _ => return reading.fault(Fault::Unexpected, at),
        };
        self.state = State::Word(word, 1);
        Ok(at + 1)
    }

    /// Counts a value of the innermost container.
    fn count<S: Sink>(&mut self, reading: &Reading<'_, '_, S>, at: usize) -> Result<(), Halt<S::Stop>> {
        let Some(open) = self.containers.last_mut() else { return Ok(()) };
        let (max, fault) = match open.container {
            Container::Object => (self.limits.members_max, Fault::Members),
            Container::Array => (self.limits.items_max, Fault::Items),
        };
        if open.count >= max {
            return reading.fault(fault, at).map(|_| ());
        }
        open.count += 1;
        Ok(())
    }

    fn open<S: Sink>(
        &mut self,
        reading: &mut Reading<'_, '_, S>,
        container: Container,
        at: usize,
    ) -> Result<usize, Halt<S::Stop>> {
        if self.containers.len() >= self.limits.depth_max {
            return reading.fault(Fault::Depth, at);
        }
        self.containers.push(Open { container, count: 0 });
        reading.event(Event::Begin(container), at)?;
        self.state = if container == Container::Object { State::FirstName } else { State::FirstItem };
        Ok(at + 1)
    }

    fn close<S: Sink>(
        &mut self,
        reading: &mut Reading<'_, '_, S>,
        container: Container,
        at: usize,
    ) -> Result<usize, Halt<S::Stop>> {
        self.containers.pop();
        reading.event(Event::End(container), at + 1)?;
        self.state = State::AfterValue;
        Ok(at + 1)
    }

    fn read_word<S: Sink>(
        &mut self,
        reading: &mut Reading<'_, '_, S>,
        word: Literal,
        came: u8,
        byte: u8,
        at: usize,
    ) -> Result<usize, Halt<S::Stop>> {
        let word_bytes = word.word().as_bytes();
        let came_before = usize::from(came);
        if word_bytes.get(came_before) != Some(&byte) {
            return reading.fault(Fault::Unexpected, at);
        }
        self.state = State::Word(word, came + 1);
        if came_before + 1 == word_bytes.len() {
            // Its beginning may stand in a piece before, and is counted there.
            let begin = (reading.before + at).saturating_sub(came_before);
            reading.sink.take(Event::Literal(word), begin).map_err(Halt::Stop)?;
            self.state = State::AfterValue;
        }
        Ok(at + 1)
    }
}

/// A piece that is being read.
struct Reading<'piece, 'sink, S> {
    piece: &'piece [u8],
    /// Bytes of the pieces before.
    before: usize,
    sink: &'sink mut S,
}

impl<S: Sink> Reading<'_, '_, S> {
    fn event(&mut self, event: Event<'_>, at: usize) -> Result<(), Halt<S::Stop>> {
        self.sink.take(event, self.before + at).map_err(Halt::Stop)
    }

    fn fault(&self, fault: Fault, at: usize) -> Result<usize, Halt<S::Stop>> {
        Err(Halt::Fault { fault, at: self.before + at })
    }

    /// Takes white space.
    fn spaces(&mut self, at: usize) -> Result<usize, Halt<S::Stop>> {
        let rest = self.piece.get(at..).unwrap_or_default();
        let length = rest.iter().position(|byte| !is_space(*byte)).unwrap_or(rest.len());
        let spaces = rest.get(..length).unwrap_or_default();
        self.sink.take(Event::Between(spaces), self.before + at).map_err(Halt::Stop)?;
        Ok(at + length)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests;
