//! The static memory of a module: constants and tables, laid out from a fixed address.

use std::collections::HashMap;
use std::sync::Arc;

/// So many zeros are left out; fewer take less room than the beginning of another piece.
const ZEROS_MIN: usize = 7;
/// In so many bytes it is looked for a string that is there already, and nothing is aligned.
const SMALL_BYTES_MAX: usize = 4_096;
/// The most pieces; a large module has its constants in one from there on.
const PIECES_MAX: usize = 100;

/// Constants under construction.
#[derive(Debug)]
pub(super) struct Data {
    base: u32,
    bytes: Vec<u8>,
    strings: HashMap<Arc<[u8]>, u32>,
}

impl Data {
    /// Constants from this address on.
    pub(super) fn new(base: u32) -> Self {
        Self { base, bytes: Vec::new(), strings: HashMap::new() }
    }

    /// The address of a string; equal strings have one, and in a small module one that is part of another
    /// has no bytes of its own. (No counter that a record keeps is in a string, for it begins as zeros.)
    pub(super) fn string(&mut self, text: impl AsRef<[u8]>) -> u32 {
        if let Some(known) = self.strings.get(text.as_ref()) {
            return *known;
        }
        let text = text.as_ref();
        if self.bytes.len() <= SMALL_BYTES_MAX
            && !text.is_empty()
            && !text.contains(&0)
            && let Some(at) = self.bytes.windows(text.len()).position(|window| window == text)
        {
            return self.base.saturating_add(at as u32);
        }
        let address = self.end();
        self.bytes.extend(text);
        self.strings.insert(text.into(), address);
        address
    }

    /// Where the next table will begin.
    pub(super) fn next_table(&self) -> u32 {
        if self.bytes.len() > SMALL_BYTES_MAX { self.end().next_multiple_of(8) } else { self.end() }
    }

    /// The address of a table, which begins at a multiple of 8 where there is much.
    pub(super) fn table(&mut self, bytes: &[u8]) -> u32 {
        let address = self.next_table();
        self.bytes.resize(self.bytes.len() + (address - self.end()) as usize, 0);
        self.bytes.extend(bytes);
        address
    }

    /// The address behind the last constant. (A module of more bytes than 32 bits count is refused long
    /// before, for it is too large.)
    pub(super) fn end(&self) -> u32 {
        self.base.saturating_add(self.bytes.len() as u32)
    }

    /// The bytes in pieces, each with its address: memory is 0 where nothing is written, so long runs of
    /// zeros, of which tables have many, are left out.
    pub(super) fn pieces(&self) -> Vec<(u32, &[u8])> {
        let mut pieces = Vec::new();
        let mut rest = self.bytes.as_slice();
        let mut address = self.base;
        while !rest.is_empty() {
            let zeros = rest.iter().take_while(|byte| **byte == 0).count();
            let (_, text) = rest.split_at_checked(zeros).unwrap_or((rest, &[]));
            let length = if pieces.len() < PIECES_MAX { before_zeros(text) } else { text.len() };
            let (piece, behind) = text.split_at_checked(length).unwrap_or((text, &[]));
            address = address.saturating_add(zeros as u32);
            if !piece.is_empty() {
                pieces.push((address, piece));
            }
            address = address.saturating_add(length as u32);
            rest = behind;
        }
        pieces
    }

    /// The address of bytes that stand for themselves alone, wherever they begin.
    pub(super) fn record(&mut self, bytes: &[u8]) -> u32 {
        let address = self.end();
        self.bytes.extend(bytes);
        address
    }
}

/// How many bytes stand in front of the first long run of zeros.
fn before_zeros(bytes: &[u8]) -> usize {
    let run = bytes.windows(ZEROS_MIN).position(|window| window.iter().all(|byte| *byte == 0));
    run.unwrap_or(bytes.len())
}
