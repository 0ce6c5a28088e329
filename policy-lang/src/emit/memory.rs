//! The memory of a module, from address 0: words that host calls write to; a slot for each header; the
//! classes of attributes; constants and tables; the arena, from which the host and the functions take
//! what a request needs, and which is empty again when the next one begins.

use super::data::Data;
use crate::bug::{Bug, number};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wasm_encoder as wasm;

/// Where host calls write an address or a number.
pub(super) const OUT: u32 = 8;
/// Where host calls write a length.
pub(super) const OUT_LENGTH: u32 = 12;
/// Eight groups of an IPv6 address that is being read, 2 bytes each.
pub(super) const ADDRESS_GROUPS: u32 = 16;
/// Where the slots begin.
const SLOTS: u32 = 64;
/// Bytes of a slot: the address of a text (0: it is absent), its length, and how many bytes there are for
/// it if it was put together here.
pub(super) const SLOT_BYTES: u32 = 16;
/// Where the length stands in a slot.
pub(super) const SLOT_LENGTH: u32 = 4;
/// Where the room stands in a slot.
pub(super) const SLOT_ROOM: u32 = 8;
/// What a request may need: its headers twice over and room for what conditions compute. Envoy
/// takes 60 KiB of headers unless told otherwise, and gives a module 1 MiB at most.
pub(super) const ARENA_BYTES: u32 = 2 << 20;
/// Loads of 8 bytes may begin at the last byte of the arena.
const SLACK_BYTES: u32 = 8;
const PAGE_BYTES: u32 = 1 << 16;

/// Where things lie that are not constants.
pub(super) struct Layout {
    /// Names of headers that are asked for, with the addresses of their slots.
    pub(super) slots: BTreeMap<Arc<str>, u32>,
    /// Names of query parameters that are asked for, with the addresses of their slots.
    pub(super) query_slots: BTreeMap<Arc<str>, u32>,
    /// Where the classes of attributes are kept, 4 bytes each.
    pub(super) classes: u32,
    /// How many bytes they take; 0 where they are not kept.
    class_bytes: u32,
}

impl Layout {
    /// The layout for these headers, query parameters and so many classes.
    pub(super) fn new(
        headers: BTreeSet<Arc<str>>,
        parameters: BTreeSet<Arc<str>>,
        classes: usize,
    ) -> Result<Self, Bug> {
        let mut places = (0..).map(|number| SLOTS + SLOT_BYTES * number);
        let slots: BTreeMap<Arc<str>, u32> = headers.into_iter().zip(places.by_ref()).collect();
        let query_slots: BTreeMap<Arc<str>, u32> = parameters.into_iter().zip(places).collect();
        let behind = SLOTS + SLOT_BYTES * number(slots.len() + query_slots.len())?;
        Ok(Self { slots, query_slots, classes: behind, class_bytes: 4 * number(classes)? })
    }

    /// No constants yet, behind all this.
    pub(super) fn data(&self) -> Data {
        Data::new(self.cleared().1)
    }

    /// From where to where is cleared when a request begins.
    pub(super) fn cleared(&self) -> (u32, u32) {
        let first = self.slots.values().next().copied().unwrap_or(self.classes);
        (first, (self.classes + self.class_bytes).next_multiple_of(8))
    }
}

/// Where the arena begins behind these constants.
pub(super) fn arena_start(data: &Data) -> u32 {
    data.end().next_multiple_of(8)
}

/// The memory with these constants and the arena; it never grows.
pub(super) fn section(data: &Data) -> wasm::MemorySection {
    let end = arena_start(data).saturating_add(ARENA_BYTES).saturating_add(SLACK_BYTES);
    let pages = u64::from(end.div_ceil(PAGE_BYTES));
    let mut memories = wasm::MemorySection::new();
    memories.memory(wasm::MemoryType {
        minimum: pages,
        maximum: Some(pages),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    memories
}
