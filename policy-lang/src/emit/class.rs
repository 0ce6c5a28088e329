//! The class of an attribute's value: by look-up, by walk or by search.

use super::assemble::TABLE_TYPE;
use super::code::{Body, I32, Operand, Value};
use super::cost::{Linear, Source, Tally};
use super::data::Data;
use super::emitter::Emitter;
use super::keys::Keys;
use super::parts::Part;
use super::path::PATH_CLASS;
use crate::bug::{Bug, OrBug as _, number};
use crate::checked::Attribute;
use crate::classify::{AttributeKind, Automaton, Classes, TextClasses};
use std::collections::BTreeSet;

/// The class of the longest known beginning of a text.
pub(super) const PREFIX_CLASS: Part = Part::new("prefix class", |emitter, _| emitter.write_prefix_class());
/// The class of any attribute, computed at most once.
pub(super) const CLASS_ONCE: Part = Part::new("class once", |emitter, _| emitter.write_class_once());

/// Bytes of a state of a path: the state behind other segments, behind an empty one, the class.
pub(super) const STATE_BYTES: u32 = 12;

/// What marks the class of a state that is never left.
pub(super) const FINAL: u32 = 1 << 31;

/// The function that gives the class of an attribute.
pub(super) const fn class(attribute: u32) -> Part {
    CLASS.numbered(attribute)
}

const CLASS: Part = Part::new("class", |emitter, attribute| emitter.write_class(attribute));

/// What the code of an attribute refers to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AttributeCode {
    /// The space of exact strings, or of whole principals.
    pub(super) exact: u32,
    /// The space of beginnings, or of namespaces; of a path, its first state.
    pub(super) second: u32,
    /// Of a text with beginnings, the address of their lengths; of a path, its states; of an
    /// address, its IPv4 intervals.
    pub(super) table: u32,
    /// How many lengths or IPv4 intervals there are.
    pub(super) count: u32,
    /// Of an address, the IPv6 intervals.
    pub(super) second_table: u32,
    /// How many IPv6 intervals there are.
    pub(super) second_count: u32,
}

impl AttributeCode {
    /// The code of all attributes, with their strings and tables laid out.
    pub(super) fn of_all(classes: &Classes, keys: &mut Keys, data: &mut Data) -> Result<Vec<Self>, Bug> {
        let attributes = classes.attributes.iter().map(|attribute| match &attribute.kind {
            AttributeKind::Text(_, text) => Self::of_text(text, keys, data),
            AttributeKind::Path(automaton) => Self::of_path(automaton, keys, data),
            AttributeKind::Identity(identity) => {
                let spaces = keys.spaces(2);
                for (text, class) in &identity.exact {
                    keys.add(spaces, text.as_bytes(), class + 1);
                }
                for (text, class) in identity.namespaces.iter().filter(|(_, class)| **class != 0) {
                    keys.add(spaces + 1, text.as_bytes(), *class);
                }
                Ok(Self { exact: spaces, second: spaces + 1, ..Self::default() })
            }
            AttributeKind::Ip(addresses) => super::address::lay_out(addresses, data),
            AttributeKind::Condition(_) => Ok(Self::default()),
        });
        attributes.collect()
    }

    fn of_text(text: &TextClasses, keys: &mut Keys, data: &mut Data) -> Result<Self, Bug> {
        let spaces = keys.spaces(2);
        let has_prefixes = !text.prefixes.is_empty();
        for (value, class) in &text.exact {
            // Class 0 needs no entry, unless a beginning would give the text another class.
            if has_prefixes {
                keys.add(spaces, value.as_bytes(), class + 1);
            } else if *class != 0 {
                keys.add(spaces, value.as_bytes(), *class);
            }
        }
        for (value, class) in &text.prefixes {
            keys.add(spaces + 1, value.as_bytes(), class + 1);
        }
        let lengths: BTreeSet<u32> =
            text.prefixes.keys().map(|prefix| number(prefix.len())).collect::<Result<_, Bug>>()?;
        let bytes: Vec<u8> = lengths.iter().rev().flat_map(|length| length.to_le_bytes()).collect();
        let table = if has_prefixes { data.table(&bytes) } else { 0 };
        let count = number(lengths.len())?;
        Ok(Self { exact: spaces, second: spaces + 1, table, count, ..Self::default() })
    }

    /// A state is a space of its own, so its number is known everywhere in the module.
    fn of_path(automaton: &Automaton, keys: &mut Keys, data: &mut Data) -> Result<Self, Bug> {
        let first = keys.spaces(number(automaton.states.len())?);
        let mut bytes = Vec::new();
        for (state, number) in automaton.states.iter().zip(first..) {
            for (text, next) in &state.literals {
                keys.add(number, text, first + next);
            }
            let is_final = if state.is_final(number - first) { FINAL } else { 0 };
            for word in [first + state.other, first + state.empty, state.class | is_final] {
                bytes.extend(word.to_le_bytes());
            }
        }
        Ok(Self { second: first, table: data.table(&bytes), ..Self::default() })
    }
}

impl Emitter<'_> {
    /// The class of an attribute.
    pub(super) fn class_of(&mut self, attribute: usize) -> Value {
        let attribute = self.number(attribute);
        if self.keeps_classes() {
            let once = Value::call(self.part(CLASS_ONCE), &[attribute.into()], I32);
            return once.tallied(&Tally::calls(self.part(class(attribute)), 1, Linear::of(Source::Own)));
        }
        Value::call(self.part(class(attribute)), &[], I32)
    }

    fn write_class(&mut self, attribute: u32) -> Body {
        let mut b = Body::new(&[], &[I32]);
        let found = self.attributes.get(attribute as usize).copied();
        let code = self.sound(found.or_bug("each attribute has its code"), AttributeCode::default());
        let classes = self.classes.attributes.get(attribute as usize);
        let Some(classes) = self.sound(classes.map(Some).or_bug("an attribute that is asked exists"), None)
        else {
            return b;
        };
        if classes.classes.len() <= 1 {
            // Whatever it is, rules do not tell its values apart.
            b.push(0);
            return b;
        }
        match &classes.kind {
            AttributeKind::Text(text, text_classes) => self.text_class(&mut b, code, text, text_classes),
            AttributeKind::Path(_) => {
                let walk = self.part(PATH_CLASS);
                // States are numbered through the module, their records from `table` on.
                let records = code.table.wrapping_sub(code.second.wrapping_mul(STATE_BYTES));
                let size = self.size_of_path();
                b.push(Value::call_over(walk, &[code.second.into(), records.into()], I32, size));
            }
            AttributeKind::Identity(identity) => self.identity_class(&mut b, code, identity),
            AttributeKind::Ip(_) => self.address_class(&mut b, code),
            AttributeKind::Condition(condition) => self.condition(&mut b, &condition.expr),
        }
        b
    }

    /// ```text
    /// class(text):
    ///     absent, if it is
    ///     class of the exact string, else of the longest known beginning, else 0
    /// ```
    fn text_class(
        &mut self,
        b: &mut Body,
        code: AttributeCode,
        attribute: &Attribute,
        classes: &TextClasses,
    ) {
        let text = self.text(b, attribute);
        if text.optional && classes.absent != 0 {
            b.if_(text.at.eqz(), |b| b.return_value(classes.absent));
        }
        if !text.optional {
            // What is never absent is empty where the host has nothing.
            b.if_(text.at.eqz(), |b| b.set(text.length, 0));
        } else if classes.absent == 0 {
            b.if_(text.at.eqz(), |b| b.return_value(0));
        }
        if classes.prefixes.is_empty() {
            b.push(self.lookup(code.exact, text.at, text.length));
            return;
        }
        let found = self.lookup(code.exact, text.at, text.length);
        let found = b.let_(found);
        b.if_(found, |b| b.return_value(found - 1));
        let longest = self.part(PREFIX_CLASS);
        let arguments =
            [code.second.into(), code.table.into(), code.count.into(), text.at.into(), text.length.into()];
        // Each length is a step.
        b.push(Value::call_over(longest, &arguments, I32, Linear::constant(code.count.into())));
    }

    /// ```text
    /// prefix_class(space, lengths, count, text, length):
    ///     for each known length that is not greater, greatest first: the class of that beginning
    /// ```
    pub(super) fn write_prefix_class(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32, I32, I32, I32], &[I32]);
        let (space, lengths, count, text, length) =
            (b.param(0), b.param(1), b.param(2), b.param(3), b.param(4));
        let beginning = b.local(I32);
        b.while_(count, |b, _| {
            b.set(beginning, lengths.load32(0));
            b.if_(beginning.le_u(length), |b| {
                let found = self.lookup(space, text, beginning);
                let found = b.let_(found);
                b.if_(found, |b| b.return_value(found - 1));
            });
            b.set(lengths, lengths + 4);
            b.set(count, count - 1);
        });
        b.push(0);
        b
    }

    /// ```text
    /// class_once(attribute):
    ///     where it is not known yet, ask the attribute's function and keep the class, plus 1
    /// ```
    pub(super) fn write_class_once(&mut self) -> Body {
        for (attribute, _) in (0..).zip(&self.classes.attributes) {
            self.part(class(attribute));
        }
        let mut b = Body::new(&[I32], &[I32]);
        let attribute = b.param(0);
        let place = b.let_((attribute << 2) + self.layout.classes);
        let known = b.let_(place.load32(0));
        b.if_(known, |b| b.return_value(known - 1));
        let class = b.local(I32);
        // What the function costs is tallied where the words are: it is called once for each attribute.
        b.call_indirect(TABLE_TYPE, attribute, class);
        b.store32(place, 0, class + 1);
        b.push(class);
        b
    }
}
