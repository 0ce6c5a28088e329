//! Bytes that are no UTF-8, read one by one as U+FFFD, as RE2 does.

/// What a byte is in a sequence of bytes, given the bytes of a started character before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Pending {
    /// No character is started.
    None,
    /// So many continuation bytes are missing, all of `80..=BF`.
    Any(u8),
    /// The next byte is of a narrower range, then so many more are missing.
    Range {
        /// The least next byte.
        low: u8,
        /// The greatest next byte.
        high: u8,
        /// How many continuation bytes come after it.
        more: u8,
    },
}

/// What a byte does to a started character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It starts or continues one; more is missing.
    More(Pending),
    /// It completes one.
    Complete,
    /// It does not continue what was started: those bytes were stray, and this one starts anew.
    Broken,
    /// Nothing was started and it can start nothing: a stray byte.
    Stray,
}

impl Pending {
    /// What the next byte does.
    pub(super) fn step(self, byte: u8) -> Step {
        match self {
            Self::None => first(byte),
            Self::Any(more) => next(byte, 0x80, 0xbf, more.saturating_sub(1)),
            Self::Range { low, high, more } => next(byte, low, high, more),
        }
    }
}

/// The table of well-formed sequences of the Unicode standard (3.9, table 3-7).
fn first(byte: u8) -> Step {
    match byte {
        0..=0x7f => Step::Complete,
        0xc2..=0xdf => Step::More(Pending::Any(1)),
        0xe0 => Step::More(Pending::Range { low: 0xa0, high: 0xbf, more: 1 }),
        0xed => Step::More(Pending::Range { low: 0x80, high: 0x9f, more: 1 }),
        0xe1..=0xef => Step::More(Pending::Any(2)),
        0xf0 => Step::More(Pending::Range { low: 0x90, high: 0xbf, more: 2 }),
        0xf1..=0xf3 => Step::More(Pending::Any(3)),
        0xf4 => Step::More(Pending::Range { low: 0x80, high: 0x8f, more: 2 }),
        _ => Step::Stray,
    }
}

fn next(byte: u8, low: u8, high: u8, more: u8) -> Step {
    match (low..=high).contains(&byte) {
        true if more == 0 => Step::Complete,
        true => Step::More(Pending::Any(more)),
        false => Step::Broken,
    }
}

/// The text with every stray byte replaced by U+FFFD.
pub(super) fn replace_stray_bytes(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    out
}
