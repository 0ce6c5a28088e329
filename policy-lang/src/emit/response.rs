//! What is known of an answer: properties of the host, each text read at most once a callback.
//!
//! Whatever the host has not, or has longer than is looked at, is absent, or 0 where it counts: nothing here is a fault.

use super::code::{Body, I32, I64, Operand, Value};
use super::condition::{List, Text};
use super::cost::Linear;
use super::emitter::Emitter;
use super::memory::{ARENA_BYTES, OUT, OUT_LENGTH};
use super::parts::Part;
use super::source::SOMEWHERE;
use crate::bug::{OrBug as _, number};
use crate::checked::Attribute;
use crate::literals::property_of;
use crate::response::{ANSWER_TEXT_BYTES_MAX, FLAGS};
use chancery_sdk_abi::host_calls;

/// Reads a text; numbered by the attributes that policies ask about.
const ANSWER_TEXT: Part = Part::new("answer text", |emitter, number| emitter.write_answer_text(number));
/// Reads a property that may be longer than is looked at.
const ANSWER_PROPERTY: Part = Part::new("answer property", |emitter, _| emitter.write_answer_property());
/// Makes the list of flags.
const FLAGS_OF_ANSWER: Part = Part::new("flags", |emitter, _| emitter.write_flags());

/// Bytes of an element of a list: where its text lies, and how long that is.
const ELEMENT_BYTES: u32 = 8;

impl Emitter<'_> {
    /// A text of the answer.
    pub(super) fn answer_text(&mut self, b: &mut Body, attribute: &Attribute) -> Text {
        let number = self.asked.iter().position(|asked| asked == attribute);
        let number = number.or_bug("what is asked about is among what policies ask about");
        let number = self.sound(number, 0);
        let number = self.number(number);
        let read = self.part(ANSWER_TEXT.numbered(number));
        b.call_over(read, &[], &[], Linear::default());
        let text = self.global_text(&format!("answer text {number}"));
        let size = self.size(Linear::constant(ANSWER_TEXT_BYTES_MAX as u64));
        Text { at: b.let_(text.at), length: b.let_(text.length), optional: true, size }
    }

    fn write_answer_text(&mut self, at: u32) -> Body {
        let mut b = Body::new(&[], &[]);
        let attribute =
            self.asked.iter().nth(at as usize).cloned().or_bug("a text that is read is asked about");
        let Some(attribute) = self.sound(attribute.map(Some), None) else { return b };
        let text = self.global_text(&format!("answer text {at}"));
        self.once(&mut b, &format!("answer text {at}"));
        let path = property_of(&attribute).or_bug("what is known of an answer is a property");
        let path = self.sound(path, Vec::new()).join("\0");
        let (path, path_length) = self.string(path);
        let read = self.part(ANSWER_PROPERTY);
        let (found, length) = (b.local(I32), b.local(I32));
        b.call_over(read, &[path.into(), path_length.into()], &[found, length], Linear::default());
        b.set_global(text.at, found);
        b.set_global(text.length, length);
        b
    }

    /// `answer_property(path, length)`: where it lies and its length; 0 and 0 if it is absent
    fn write_answer_property(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32], &[I32, I32]);
        b.store64(0, OUT, 0_i64);
        let arguments = [b.param(0).into(), b.param(1).into(), OUT.into(), OUT_LENGTH.into()];
        let status = self.host(host_calls::GET_PROPERTY, &arguments);
        let (at, length) = (b.local(I32), b.local(I32));
        b.if_(status.eqz(), |b| {
            b.set(at, Value::from(0).load32(OUT));
            b.set(length, Value::from(0).load32(OUT_LENGTH));
            let most = ANSWER_TEXT_BYTES_MAX as u32;
            let start = self.arena_start();
            b.if_else(
                length.eqz(),
                |b| b.set(at, SOMEWHERE),
                |b| {
                    let outside = length.gt_u(most) | (at - start).gt_u(ARENA_BYTES - most);
                    b.if_(outside, |b| {
                        b.set(at, 0);
                        b.set(length, 0);
                    });
                },
            );
        });
        b.push(at);
        b.push(length);
        b
    }

    /// The list of the answer's flags.
    pub(super) fn flags_of_answer(&mut self, b: &mut Body) -> List {
        let flags = self.part(FLAGS_OF_ANSWER);
        b.call_over(flags, &[], &[], Linear::default());
        let list = self.global_text("flags");
        let size = self.size(Linear::constant(FLAGS.iter().map(|flag| flag.len() as u64).sum()));
        let (at, count) = (b.let_(list.at), b.let_(list.length));
        List { at, count, optional: false, count_max: FLAGS.len() as u32, size }
    }

    /// ```text
    /// flags():
    ///     of each bit that is set the name, as an element of a list
    /// ```
    fn write_flags(&mut self) -> Body {
        let mut b = Body::new(&[], &[]);
        let list = self.global_text("flags");
        self.once(&mut b, "flags");
        let mut names = Vec::new();
        for flag in FLAGS {
            let (at, length) = self.string(flag);
            names.extend(at.to_le_bytes());
            names.extend(length.to_le_bytes());
        }
        let names = self.data.table(&names);
        let count = number(FLAGS.len());
        let count = self.sound(count, 0);
        let room = self.data.table(&vec![0; (ELEMENT_BYTES * count) as usize]);
        let left = b.local(I64);
        let bits = self.number_property(&mut b, &Attribute::ResponseFlags);
        b.set(left, bits & ((1_i64 << FLAGS.len()) - 1));
        let (from, to) = (b.let_(names), b.let_(room));
        b.while_times(FLAGS.len() as u64, left.ne(0_i64), |b, _| {
            b.if_((left & 1_i64).wrap(), |b| {
                b.store64(to, 0, from.load64(0));
                b.set(to, to + ELEMENT_BYTES.cast_signed());
            });
            b.set(from, from + ELEMENT_BYTES.cast_signed());
            b.set(left, left >> 1_i64);
        });
        b.set_global(list.at, room);
        b.set_global(list.length, (to - room) >> 3);
        b
    }
}
