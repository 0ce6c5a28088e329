//! The static memory of a module: constants and tables, laid out from a fixed address.

use std::collections::HashMap;
use std::sync::Arc;

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

    /// The address of a string; equal strings have one.
    pub(super) fn string(&mut self, text: impl AsRef<[u8]>) -> u32 {
        if let Some(known) = self.strings.get(text.as_ref()) {
            return *known;
        }
        let address = self.end();
        self.bytes.extend(text.as_ref());
        self.strings.insert(text.as_ref().into(), address);
        address
    }

    /// The address of a table, which begins at a multiple of 8.
    pub(super) fn table(&mut self, bytes: &[u8]) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let address = self.end();
        self.bytes.extend(bytes);
        address
    }

    /// Where the constants begin.
    pub(super) fn base(&self) -> u32 {
        self.base
    }

    /// The address behind the last constant. (A module of more bytes than 32 bits count is refused long
    /// before, for it is too large.)
    pub(super) fn end(&self) -> u32 {
        self.base.saturating_add(self.bytes.len() as u32)
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
