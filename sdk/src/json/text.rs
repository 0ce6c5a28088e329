//! Texts: UTF-8 whose characters may be cut between two pieces, and escapes, which are read whole.

use super::{Event, Fault, Halt, Reading, Role, Sink, State, Tokenizer};

/// Bytes of the longest escape: a pair of surrogates, `\ud83d\ude00`.
const ESCAPE_BYTES_MAX: usize = 12;
/// Bytes of an escape by number.
const BY_NUMBER: usize = 6;

/// How far a text is.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextState {
    bytes: usize,
    character: Character,
    escape: Escape,
}

/// What may follow of a character of several bytes.
#[derive(Clone, Copy, Debug)]
struct Character {
    /// Bytes that must follow.
    missing: u8,
    /// The least and the greatest next one.
    next: (u8, u8),
}

/// An escape that has begun.
#[derive(Clone, Copy, Debug)]
struct Escape {
    raw: [u8; ESCAPE_BYTES_MAX],
    length: usize,
}

impl TextState {
    pub(super) fn new() -> Self {
        Self {
            bytes: 0,
            character: Character { missing: 0, next: (0, 0) },
            escape: Escape { raw: [0; ESCAPE_BYTES_MAX], length: 0 },
        }
    }
}

impl Character {
    /// Takes a byte; whether it may stand here (RFC 3629, section 4).
    fn take(&mut self, byte: u8) -> bool {
        const ANY: (u8, u8) = (0x80, 0xBF);
        if self.missing > 0 {
            let (least, greatest) = self.next;
            *self = Self { missing: self.missing - 1, next: ANY };
            return (least..=greatest).contains(&byte);
        }
        let (missing, next) = match byte {
            0..=0x7F => (0, ANY),
            0xC2..=0xDF => (1, ANY),
            0xE0 => (2, (0xA0, 0xBF)),
            0xE1..=0xEC | 0xEE..=0xEF => (2, ANY),
            0xED => (2, (0x80, 0x9F)),
            0xF0 => (3, (0x90, 0xBF)),
            0xF1..=0xF3 => (3, ANY),
            0xF4 => (3, (0x80, 0x8F)),
            _ => return false,
        };
        *self = Self { missing, next };
        true
    }
}

impl Escape {
    /// Takes a byte, and gives the character when it is whole.
    fn take(&mut self, byte: u8) -> Result<Option<char>, Fault> {
        let place = self.raw.get_mut(self.length).ok_or(Fault::Escape)?;
        *place = byte;
        self.length += 1;
        match self.length {
            2 => one_letter(byte),
            7 if byte != b'\\' => Err(Fault::LoneSurrogate),
            8 if byte != b'u' => Err(Fault::LoneSurrogate),
            3..=6 | 9..=12 if !byte.is_ascii_hexdigit() => Err(Fault::Escape),
            BY_NUMBER => self.first_half(),
            ESCAPE_BYTES_MAX => self.both_halves().map(Some),
            _ => Ok(None),
        }
    }

    fn first_half(&self) -> Result<Option<char>, Fault> {
        match self.unit(2) {
            0xD800..=0xDBFF => Ok(None),
            unit => char::from_u32(unit).map(Some).ok_or(Fault::LoneSurrogate),
        }
    }

    fn both_halves(&self) -> Result<char, Fault> {
        let (high, low) = (self.unit(2), self.unit(8));
        if !(0xDC00..=0xDFFF).contains(&low) {
            return Err(Fault::LoneSurrogate);
        }
        let code = 0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF);
        char::from_u32(code).ok_or(Fault::LoneSurrogate)
    }

    /// The number that four hexadecimal digits from a place on say.
    fn unit(&self, from: usize) -> u32 {
        let digits = self.raw.iter().skip(from).take(4);
        digits.fold(0, |sum, digit| sum * 16 + char::from(*digit).to_digit(16).unwrap_or(0))
    }

    fn written(&self) -> &[u8] {
        self.raw.get(..self.length).unwrap_or_default()
    }
}

/// The character that a letter behind a backslash means; `None` if digits follow.
fn one_letter(letter: u8) -> Result<Option<char>, Fault> {
    Ok(Some(match letter {
        b'u' => return Ok(None),
        b'"' | b'\\' | b'/' => char::from(letter),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => return Err(Fault::Escape),
    }))
}

/// The escape that begins here, if all of it is here, and it is no half of a pair.
fn whole(rest: &[u8]) -> Option<(usize, char)> {
    match rest {
        [_, b'u', first, second, third, fourth, ..] => {
            let digits = [first, second, third, fourth].map(|digit| char::from(*digit).to_digit(16));
            let [Some(first), Some(second), Some(third), Some(fourth)] = digits else { return None };
            let unit = first << 12 | second << 8 | third << 4 | fourth;
            Some((BY_NUMBER, char::from_u32(unit)?))
        }
        [_, letter, ..] => Some((2, one_letter(*letter).ok()??)),
        _ => None,
    }
}

impl Tokenizer {
    /// What follows is a text.
    pub(super) fn begin_text(&mut self, role: Role) {
        self.text.bytes = 0;
        self.text.character = Character { missing: 0, next: (0, 0) };
        self.text.escape.length = 0;
        self.state = State::Text(role);
    }

    /// Reads what the piece has of a text up to its end or to the end of an escape; gives where it goes on.
    pub(super) fn read_text<S: Sink>(
        &mut self,
        reading: &mut Reading<'_, '_, S>,
        role: Role,
        from: usize,
    ) -> Result<usize, Halt<S::Stop>> {
        if self.text.escape.length > 0 {
            return self.read_escape(reading, role, from);
        }
        let mut character = self.text.character;
        let rest = reading.piece.get(from..).unwrap_or_default();
        let mut length = 0;
        let mut fault = None;
        for &byte in rest {
            // Most bytes are these, and go by fast.
            let is_plain = matches!(byte, 0x20..=0x7F) && byte != b'"' && byte != b'\\';
            if !is_plain || character.missing > 0 {
                if byte < 0x20 && character.missing == 0 {
                    fault = Some(Fault::Control);
                } else if !character.take(byte) {
                    fault = Some(Fault::NotUtf8);
                }
                if fault.is_some() || byte == b'"' || byte == b'\\' {
                    break;
                }
            }
            length += 1;
        }
        let at = from + length;
        self.text.character = character;
        self.text.bytes += length;
        self.keep_text_short(reading, role, at)?;
        if length > 0 {
            reading.event(Event::Text(rest.get(..length).unwrap_or_default()), from)?;
        }
        match (fault, rest.get(length)) {
            (Some(fault), _) => reading.fault(fault, at),
            (None, Some(b'"')) => {
                reading.event(Event::TextEnd(role), at + 1)?;
                self.state = if role == Role::Name { State::Colon } else { State::AfterValue };
                Ok(at + 1)
            }
            (None, Some(_)) => self.read_escape(reading, role, at),
            (None, None) => Ok(at),
        }
    }

    /// Reads an escape, or what the piece has of it.
    fn read_escape<S: Sink>(
        &mut self,
        reading: &mut Reading<'_, '_, S>,
        role: Role,
        from: usize,
    ) -> Result<usize, Halt<S::Stop>> {
        let mut at = from;
        // Most escapes are not cut.
        if self.text.escape.length == 0
            && let Some((length, char)) = whole(reading.piece.get(from..).unwrap_or_default())
        {
            at += length;
            self.text.bytes += length;
            self.keep_text_short(reading, role, at)?;
            let raw = reading.piece.get(from..at).unwrap_or_default();
            reading.event(Event::Escape { raw, char }, from)?;
            return Ok(at);
        }
        while let Some(&byte) = reading.piece.get(at) {
            at += 1;
            let char = match self.text.escape.take(byte) {
                Ok(Some(char)) => char,
                Ok(None) => continue,
                Err(fault) => return reading.fault(fault, at - 1),
            };
            self.text.bytes += self.text.escape.length;
            self.keep_text_short(reading, role, at)?;
            let begin = (reading.before + at).saturating_sub(self.text.escape.length);
            let event = Event::Escape { raw: self.text.escape.written(), char };
            reading.sink.take(event, begin).map_err(Halt::Stop)?;
            self.text.escape.length = 0;
            break;
        }
        Ok(at)
    }

    fn keep_text_short<S: Sink>(
        &self,
        reading: &Reading<'_, '_, S>,
        role: Role,
        at: usize,
    ) -> Result<(), Halt<S::Stop>> {
        let (max, fault) = match role {
            Role::Name => (self.limits.name_bytes_max, Fault::NameBytes),
            Role::Value => (self.limits.text_bytes_max, Fault::TextBytes),
        };
        if self.text.bytes > max { reading.fault(fault, at).map(|_| ()) } else { Ok(()) }
    }
}
