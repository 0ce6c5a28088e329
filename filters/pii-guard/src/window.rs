//! A text on its way: looked through in parts of one size, however it came, so that no cut hides anything.
//!
//! ```text
//! the text  ……passed on│ window: looked through │……not there yet
//!                      └──────────────┬─────────┘
//!                    begins before this cut? it is masked; the rest waits for what follows
//! ```
//!
//! Both what is written and what is meant is kept: `\u0034` is a digit like any other. A window is full after so many
//! bytes of what is meant, so the result does not depend on where the pieces of a body were cut.

use crate::find::{self, BYTES_MAX, Found, Kinds, Text};

/// Bytes after which a window is looked through.
const WINDOW_BYTES: usize = 4_096;
/// Bytes that then wait for what follows: more than anything that is found has.
const WAITING_BYTES: usize = BYTES_MAX;

/// The part of a text that was not passed on.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// What is meant.
    meant: Vec<u8>,
    /// What is written, if anything of it is an escape; the same otherwise.
    written: Vec<u8>,
    /// Where each byte of what is meant is written; empty without escapes.
    places: Vec<usize>,
    /// The byte of what is meant before the window.
    before: Option<u8>,
}

/// Where a text goes.
pub(crate) trait Outlet {
    /// Why it takes no more.
    type Stop;

    /// Bytes that pass as they are written.
    fn pass(&mut self, written: &[u8]);

    /// Something was found; what is meant there, and nothing of it is passed.
    fn replace(&mut self, found: Found, meant: &[u8]) -> Result<(), Self::Stop>;

    /// Looking took so much of a callback's budget.
    fn looked(&mut self, effort: u64) -> Result<(), Self::Stop>;
}

impl Window {
    /// Takes bytes that mean themselves.
    pub(crate) fn take<O: Outlet>(
        &mut self,
        mut bytes: &[u8],
        kinds: Kinds,
        outlet: &mut O,
    ) -> Result<(), O::Stop> {
        while !bytes.is_empty() {
            let room = WINDOW_BYTES.saturating_sub(self.meant.len()).max(1);
            let (part, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            if !self.places.is_empty() {
                self.places.extend(self.written.len()..self.written.len() + part.len());
                self.written.extend_from_slice(part);
            }
            self.meant.extend_from_slice(part);
            self.look_if_full(kinds, outlet)?;
            bytes = rest;
        }
        Ok(())
    }

    /// Takes a character that is written otherwise.
    pub(crate) fn take_escape<O: Outlet>(
        &mut self,
        written: &[u8],
        char: char,
        kinds: Kinds,
        outlet: &mut O,
    ) -> Result<(), O::Stop> {
        if self.places.is_empty() {
            self.written.clone_from(&self.meant);
            self.places.extend(0..self.meant.len());
        }
        let meant = &mut [0; 4];
        let meant = char.encode_utf8(meant).as_bytes();
        self.places.push(self.written.len());
        self.written.extend_from_slice(written);
        // Whoever cuts inside the character cuts behind it.
        self.places.extend(meant.iter().skip(1).map(|_| self.written.len()));
        self.meant.extend_from_slice(meant);
        self.look_if_full(kinds, outlet)
    }

    /// Says that the text ends here: everything is looked through and passed on.
    pub(crate) fn end<O: Outlet>(&mut self, kinds: Kinds, outlet: &mut O) -> Result<(), O::Stop> {
        let result = if self.meant.is_empty() { Ok(()) } else { self.look(kinds, outlet, self.meant.len()) };
        // The room is kept for the next text.
        self.meant.clear();
        self.written.clear();
        self.places.clear();
        self.before = None;
        result
    }

    fn look_if_full<O: Outlet>(&mut self, kinds: Kinds, outlet: &mut O) -> Result<(), O::Stop> {
        if self.meant.len() < WINDOW_BYTES {
            return Ok(());
        }
        self.look(kinds, outlet, self.meant.len().saturating_sub(WAITING_BYTES))
    }

    /// Passes on what stands before the cut, and all of what begins before it and is found.
    fn look<O: Outlet>(&mut self, kinds: Kinds, outlet: &mut O, mut cut: usize) -> Result<(), O::Stop> {
        let text = Text { bytes: &self.meant, before: self.before };
        let mut passed = 0;
        let mut effort = 0;
        while let Some(found) = find::next(text, passed, kinds, &mut effort) {
            outlet.looked(std::mem::take(&mut effort))?;
            if found.start >= cut {
                break;
            }
            outlet.pass(self.written(passed, found.start));
            outlet.replace(found, self.meant.get(found.start..found.end).unwrap_or_default())?;
            passed = found.end;
            cut = cut.max(passed);
        }
        outlet.looked(effort)?;
        outlet.pass(self.written(passed, cut));
        self.forget(cut);
        Ok(())
    }

    /// What is written for a part of what is meant.
    fn written(&self, from: usize, to: usize) -> &[u8] {
        if self.places.is_empty() {
            return self.meant.get(from..to).unwrap_or_default();
        }
        let place = |at: usize| self.places.get(at).copied().unwrap_or(self.written.len());
        self.written.get(place(from)..place(to)).unwrap_or_default()
    }

    fn forget(&mut self, cut: usize) {
        self.before = cut.checked_sub(1).and_then(|last| self.meant.get(last).copied()).or(self.before);
        if !self.places.is_empty() {
            let gone = self.places.get(cut).copied().unwrap_or(self.written.len());
            self.written.drain(..gone.min(self.written.len()));
            self.places.drain(..cut.min(self.places.len()));
            self.places.iter_mut().for_each(|place| *place = place.saturating_sub(gone));
        }
        self.meant.drain(..cut.min(self.meant.len()));
    }
}
