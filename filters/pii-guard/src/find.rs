//! Finding personal data in a text: where the next of it begins and ends.
//!
//! Everything that is looked for has a digit or an `@`. One pass seeks these, and only there the finders look around,
//! no further than [`BYTES_MAX`]. So what is found in a text does not depend on what is far away, and a long text can be
//! looked through in parts.

pub mod address;
pub mod card;
pub mod email;
pub mod iban;
pub mod phone;

/// Bytes that whatever is found has at most, with what must stand around it.
pub const BYTES_MAX: usize = 400;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A card's number.
    Card,
    /// An address of electronic mail.
    Email,
    /// A bank account.
    Iban,
    /// An IP address.
    Ip,
    /// A telephone number.
    Phone,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Card, Self::Email, Self::Iban, Self::Ip, Self::Phone];

    /// The kind of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name in configurations and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Email => "email",
            Self::Iban => "iban",
            Self::Ip => "ip",
            Self::Phone => "phone",
        }
    }
}

/// Which kinds are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// With a further one.
    #[must_use]
    pub fn with(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// Whether a kind is looked for.
    #[must_use]
    pub fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Something that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: Kind,
    /// Where it begins.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
}

/// A text, or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct Text<'text> {
    /// The bytes.
    pub bytes: &'text [u8],
    /// The byte before them.
    pub before: Option<u8>,
}

impl Text<'_> {
    /// The byte at a place.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<u8> {
        self.bytes.get(place).copied()
    }

    /// The byte before a place.
    #[must_use]
    pub fn before(&self, place: usize) -> Option<u8> {
        match place.checked_sub(1) {
            Some(place) => self.at(place),
            None => self.before,
        }
    }

    fn is_digit(byte: Option<u8>) -> bool {
        byte.is_some_and(|byte| byte.is_ascii_digit())
    }

    fn is_word(byte: Option<u8>) -> bool {
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric())
    }
}

/// What looking around a digit or an `@` takes, in units of a callback's budget.
const EFFORT_OF_LOOK: u64 = 1_000;
/// What reading an address of mail takes beside that.
const EFFORT_OF_EMAIL: u64 = 2_000;
/// What reading a card's number takes.
const EFFORT_OF_CARD: u64 = 4_000;
/// What reading an account takes.
const EFFORT_OF_IBAN: u64 = 4_000;
/// What reading an IP address takes.
const EFFORT_OF_IP: u64 = 12_000;

/// The first thing of these kinds that begins at a place or later. What that took is added to `effort`, in units of a
/// callback's budget.
#[must_use]
pub fn next(text: Text<'_>, from: usize, kinds: Kinds, effort: &mut u64) -> Option<Found> {
    let mut at = from;
    loop {
        let rest = text.bytes.get(at..)?;
        at += rest.iter().position(|byte| byte.is_ascii_digit() || *byte == b'@')?;
        *effort += EFFORT_OF_LOOK + effort_at(text, at);
        if let Some(found) = around(text, at, from, kinds) {
            return Some(found);
        }
        at += 1;
    }
}

/// What the finders that have something to read at a place take.
fn effort_at(text: Text<'_>, at: usize) -> u64 {
    if text.at(at) == Some(b'@') {
        return EFFORT_OF_EMAIL;
    }
    if Text::is_digit(text.before(at)) {
        return 0;
    }
    let of_card = if card::may_begin(text, at) { EFFORT_OF_CARD } else { 0 };
    let of_iban = if iban::may_begin(text, at) { EFFORT_OF_IBAN } else { 0 };
    let of_ip = if address::may_be(text, at) { EFFORT_OF_IP } else { 0 };
    of_card + of_iban + of_ip
}

/// What stands around a digit or an `@`, and does not begin before a place.
fn around(text: Text<'_>, at: usize, from: usize, kinds: Kinds) -> Option<Found> {
    let found = |kind: Kind, place: Option<(usize, usize)>| {
        place.filter(|(start, _)| *start >= from).map(|(start, end)| Found { kind, start, end })
    };
    let try_kind = |kind: Kind, find: &dyn Fn() -> Option<(usize, usize)>| {
        if kinds.has(kind) { found(kind, find()) } else { None }
    };
    if text.at(at) == Some(b'@') {
        return try_kind(Kind::Email, &|| email::around(text, at, from));
    }
    // Of a number of several digits the first one counts.
    if Text::is_digit(text.before(at)) {
        return None;
    }
    try_kind(Kind::Iban, &|| iban::around(text, at))
        .or_else(|| try_kind(Kind::Phone, &|| phone::around(text, at)))
        .or_else(|| try_kind(Kind::Card, &|| card::at(text, at)))
        .or_else(|| try_kind(Kind::Ip, &|| address::around(text, at)))
}

#[cfg(test)]
mod tests;
