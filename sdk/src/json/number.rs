//! Numbers: which byte may follow which, and where one ends.

use super::{Event, Fault, Halt, Reading, Sink, State, Tokenizer};

/// How far a number is.
#[derive(Clone, Copy, Debug)]
pub(super) struct NumberState {
    part: Part,
    bytes: usize,
}

/// The part of a number that came last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Nothing,
    Minus,
    /// A zero, which no digit follows.
    Zero,
    Digits,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl NumberState {
    pub(super) fn new() -> Self {
        Self { part: Part::Nothing, bytes: 0 }
    }

    /// Whether the number can end here.
    pub(super) fn is_whole(self) -> bool {
        matches!(self.part, Part::Zero | Part::Digits | Part::Fraction | Part::Exponent)
    }
}

impl Part {
    /// The part to which a byte belongs; `None` if it does not belong to the number.
    fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Nothing, b'-') => Self::Minus,
            (Self::Nothing | Self::Minus, b'0') => Self::Zero,
            (Self::Nothing | Self::Minus, b'1'..=b'9') | (Self::Digits, b'0'..=b'9') => Self::Digits,
            (Self::Zero | Self::Digits, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Digits | Self::Fraction, b'e' | b'E') => Self::E,
            (Self::E, b'+' | b'-') => Self::Sign,
            (Self::E | Self::Sign | Self::Exponent, b'0'..=b'9') => Self::Exponent,
            _ => return None,
        })
    }
}

impl Tokenizer {
    /// Reads what the piece has of a number; gives where it goes on.
    pub(super) fn read_number<S: Sink>(
        &mut self,
        reading: &mut Reading<'_, '_, S>,
        from: usize,
    ) -> Result<usize, Halt<S::Stop>> {
        let mut number = self.number;
        let mut at = from;
        let mut ends = false;
        while let Some(&byte) = reading.piece.get(at) {
            let Some(part) = number.part.after(byte) else {
                ends = true;
                break;
            };
            number.part = part;
            at += 1;
        }
        number.bytes += at - from;
        if number.bytes > self.limits.number_bytes_max {
            return reading.fault(Fault::NumberBytes, at);
        }
        if at > from {
            let part = reading.piece.get(from..at).unwrap_or_default();
            reading.event(Event::Number(part), from)?;
        }
        self.number = number;
        if ends {
            if !number.is_whole() {
                return reading.fault(Fault::Unexpected, at);
            }
            reading.event(Event::NumberEnd, at)?;
            self.state = State::AfterValue;
        }
        Ok(at)
    }
}
