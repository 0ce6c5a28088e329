//! Functions of conditions, `matches` and conversions.

use super::place::{List, Place, Text, both, optional_presence, presence, text_address};
use crate::checked::{BinaryOp, Builtin, Conversion, Value as Constant};
use crate::emit::code::{Body, I32, Local, Operand, Value};
use crate::emit::emitter::Emitter;
use crate::emit::keys::EQUAL;
use crate::emit::strings::{CHANGE_CASE, CHARACTERS, FIND, PARSE_INT, SPLIT, TRIM};

impl Emitter<'_> {
    pub(super) fn call(&mut self, b: &mut Body, builtin: Builtin, arguments: &[Place]) -> Place {
        match (builtin, arguments) {
            (Builtin::ListSize, [Place::List(list)]) => {
                let present = optional_presence(b, Place::List(*list));
                Place::Int(b.let_(list.count.extend()), present)
            }
            (Builtin::StringSize, [Place::Text(text)]) => {
                let characters = self.part(CHARACTERS);
                let arguments = [text.at.into(), text.length.into()];
                let count = Value::call_over(characters, &arguments, I32, self.sized(text.size));
                Place::Int(b.let_(count.extend()), optional_presence(b, Place::Text(*text)))
            }
            (
                Builtin::Contains | Builtin::StartsWith | Builtin::EndsWith,
                [Place::Text(text), Place::Text(part)],
            ) => self.contains(b, builtin, *text, *part),
            (Builtin::IndexOf, [Place::Text(text), Place::Text(part)]) => self.index_of(b, *text, *part),
            (Builtin::LowerAscii, [Place::Text(text)]) => self.change_case(b, *text, b'A'),
            (Builtin::UpperAscii, [Place::Text(text)]) => self.change_case(b, *text, b'a'),
            (Builtin::Trim, [Place::Text(text)]) => {
                let result = Text { at: b.local(I32), length: b.local(I32), ..*text };
                let trim = self.part(TRIM);
                let arguments = [text.at.into(), text.length.into()];
                b.call_over(trim, &arguments, &[result.at, result.length], self.sized(text.size));
                Place::Text(result)
            }
            (
                Builtin::Substring,
                [Place::Text(text), Place::Int(start, start_there), Place::Int(end, end_there)],
            ) => {
                let size = self.sized(text.size);
                let (at, length) = self.substring(b, (text.at, text.length), (*start, *end), size);
                let bounds = both(b, *start_there, *end_there);
                let text_there = optional_presence(b, Place::Text(*text));
                let present = both(b, text_there, bounds);
                if let Some(present) = present {
                    b.if_(present.eqz(), |b| b.set(at, 0));
                }
                Place::Text(Text { at, length, optional: present.is_some(), size: text.size })
            }
            _ => Place::Bool(b.let_(0), None),
        }
    }

    fn contains(&mut self, b: &mut Body, builtin: Builtin, text: Text, part: Text) -> Place {
        let result = b.let_(0);
        let (there, part_there) = (presence(b, Place::Text(text)), presence(b, Place::Text(part)));
        let fits = part.length.le_u(text.length);
        let (equal, find) = if builtin == Builtin::Contains {
            (None, Some(self.part(FIND)))
        } else {
            (Some(self.part(EQUAL)), None)
        };
        let (sizes, shorter) =
            (self.both_sized(text.size, part.size), self.shorter_sized(part.size, text.size));
        b.if_(there & part_there & fits, |b| {
            if let Some(find) = find {
                let arguments = [text.at.into(), text.length.into(), part.at.into(), part.length.into()];
                b.set(result, Value::call_over(find, &arguments, I32, sizes).ge_s(0));
            }
            if let Some(equal) = equal {
                let at = match builtin {
                    Builtin::EndsWith => text.at + text.length - part.length,
                    _ => text.at.into(),
                };
                let arguments = [at, part.at.into(), part.length.into()];
                b.set(result, Value::call_over(equal, &arguments, I32, shorter));
            }
        });
        Place::Bool(result, None)
    }

    fn index_of(&mut self, b: &mut Body, text: Text, part: Text) -> Place {
        let (find, characters) = (self.part(FIND), self.part(CHARACTERS));
        let arguments = [text.at.into(), text.length.into(), part.at.into(), part.length.into()];
        let sizes = self.both_sized(text.size, part.size);
        let offset = b.let_(Value::call_over(find, &arguments, I32, sizes));
        let result = b.let_(-1_i64);
        b.if_(offset.ge_s(0), |b| {
            let arguments = [text.at.into(), offset.into()];
            let size = self.sized(text.size);
            b.set(result, Value::call_over(characters, &arguments, I32, size).extend());
        });
        let text_there = optional_presence(b, Place::Text(text));
        let part_there = optional_presence(b, Place::Text(part));
        Place::Int(result, both(b, text_there, part_there))
    }

    fn change_case(&mut self, b: &mut Body, text: Text, first: u8) -> Place {
        let change_case = self.part(CHANGE_CASE);
        let at = b.let_(text.at);
        b.if_(text.at, |b| {
            let arguments = [text.at.into(), text.length.into(), i32::from(first).into()];
            b.set(at, Value::call_over(change_case, &arguments, I32, self.sized(text.size)));
        });
        Place::Text(Text { at, ..text })
    }

    pub(super) fn convert(&mut self, b: &mut Body, conversion: &Conversion, text: Place) -> Place {
        let Place::Text(text) = text else { return Place::Bool(b.let_(0), None) };
        let there = presence(b, Place::Text(text));
        match conversion {
            Conversion::Int => {
                let (value, present) = (b.let_(0_i64), b.let_(0));
                let parse = self.part(PARSE_INT);
                let size = self.sized(text.size);
                b.if_(there, |b| {
                    b.call_over(parse, &[text.at.into(), text.length.into()], &[present, value], size);
                });
                Place::Int(value, Some(present))
            }
            Conversion::Bool => {
                let value = self.is_text(b, text, "true");
                let is_false = self.is_text(b, text, "false");
                let present = b.let_(there & (value | is_false));
                Place::Bool(value, Some(present))
            }
            Conversion::BoundedString(bytes_max) => {
                let result = Text { at: b.let_(0), optional: true, ..text };
                b.if_(text.length.le_u(*bytes_max), |b| b.set(result.at, text_address(text)));
                b.if_(there.eqz(), |b| b.set(result.at, 0));
                Place::Text(result)
            }
            Conversion::Enum(values) => {
                let result = Text { at: b.let_(0), optional: true, ..text };
                let list = self.constant(b, &Constant::List(values.clone()));
                let Place::Bool(is_one, _) = self.is_in(b, Place::Text(text), list) else {
                    return Place::Text(result);
                };
                b.if_(is_one, |b| b.set(result.at, text_address(text)));
                Place::Text(result)
            }
            Conversion::List(elements_max) => {
                let (at, count) = (b.let_(0), b.let_(0));
                let split = self.part(SPLIT);
                let size = self.sized(text.size);
                b.if_(there, |b| {
                    let arguments = [text.at.into(), text.length.into(), (*elements_max).into()];
                    b.call_over(split, &arguments, &[at, count], size);
                });
                Place::List(List { at, count, optional: true, count_max: *elements_max, size: text.size })
            }
        }
    }

    /// Whether a text, which may be absent, has these bytes.
    fn is_text(&mut self, b: &mut Body, text: Text, wanted: &str) -> Local {
        let wanted = self.constant(b, &Constant::String(wanted.into()));
        match self.comparison(b, BinaryOp::Equal, Place::Text(text), wanted) {
            Place::Bool(same, _) => same,
            _ => b.let_(0),
        }
    }
}
