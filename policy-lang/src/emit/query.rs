//! What a request says of itself beside its headers: query parameters, host, size.

use super::code::{Body, Func, I32, I64, Operand, Value};
use super::emitter::Emitter;
use super::entry::MALLOC;
use super::keys::EQUAL;
use super::parts::Part;
use super::path::HEX_BYTE;
use super::source::{GlobalText, SOMEWHERE};
use super::strings::CHANGE_CASE;
use crate::bug::OrBug as _;
use crate::checked::Attribute;
use std::sync::Arc;

/// Finds a query parameter once a request; numbered by the parameters that are asked for.
const QUERY: Part = Part::new("query", |emitter, number| emitter.write_query(number));
/// Makes the host's letters small.
pub(super) const HOST: Part = Part::new("host", |emitter, _| emitter.write_host());
/// Reads the size of the body.
pub(super) const SIZE: Part = Part::new("size", |emitter, _| emitter.write_size());
/// Finds a query parameter.
pub(super) const FIND_QUERY: Part = Part::new("find query", |emitter, _| emitter.write_find_query());
/// Undoes percent encoding.
pub(super) const DECODE: Part = Part::new("decode", |emitter, _| emitter.write_decode());

impl Emitter<'_> {
    /// A query parameter, once its function has run.
    pub(super) fn query(&mut self, name: &str) -> GlobalText {
        self.global_text(&format!("query {name}"))
    }

    /// The host, once [`HOST`] has run.
    pub(super) fn host_text(&mut self) -> GlobalText {
        self.global_text("host")
    }

    /// The function that finds a parameter.
    pub(super) fn query_function(&mut self, name: &str) -> Func {
        let found = self.queries.binary_search_by(|asked| asked.as_ref().cmp(name)).ok();
        let found = found.and_then(|at| u32::try_from(at).ok());
        let number = self.sound(found.or_bug("a parameter that is asked for is known"), 0);
        self.part(QUERY.numbered(number))
    }

    /// Finds a parameter once a request.
    fn write_query(&mut self, number: u32) -> Body {
        let name = self.queries.get(number as usize).cloned();
        let name = self.sound(name.or_bug("a parameter that is asked for is known"), "".into());
        let text = self.query(&name);
        let known = self.flag(&format!("query {name} known"), I32);
        let (name_at, name_length) = self.string(name.as_bytes());
        let find = self.part(FIND_QUERY);
        let mut b = Body::new(&[], &[]);
        b.if_(known, |b| b.return_());
        b.set_global(known, 1);
        let (at, length) = (b.local(I32), b.local(I32));
        b.call(find, &[name_at.into(), name_length.into()], &[at, length]);
        b.set_global(text.at, at);
        b.set_global(text.length, length);
        b
    }

    /// ```text
    /// find_query(name, length):
    ///     for each piece between &, if it is not empty and decodes to the name in front of its first =:
    ///         join what is behind, decoded, to what was found before, with a comma
    ///     where it lies and its length; 0 and 0 if there is none
    /// ```
    pub(super) fn write_find_query(&mut self) -> Body {
        let (decode, equal, malloc) = (self.part(DECODE), self.part(EQUAL), self.part(MALLOC));
        let (slot, query_start) = (self.path_slot(), self.query_start());
        let mut b = Body::new(&[I32, I32], &[I32, I32]);
        let (name, name_length) = (b.param(0), b.param(1));
        let piece = b.let_(Value::from(query_start) + 1);
        let end = b.let_(Value::from(0).load32(slot) + Value::from(0).load32(slot + 4));
        let [behind, equals, key, key_length, value, value_length, found, found_length, joined] =
            [(); 9].map(|()| b.local(I32));
        b.while_(piece.lt_u(end), |b, _| {
            b.set(behind, piece);
            b.set(equals, 0);
            b.while_(behind.lt_u(end), |b, out| {
                b.br_if(out, behind.load8(0).eq(i32::from(b'&')));
                b.if_(equals.eqz() & behind.load8(0).eq(i32::from(b'=')), |b| b.set(equals, behind));
                b.set(behind, behind + 1);
            });
            b.if_(equals.eqz(), |b| b.set(equals, behind));
            b.if_(piece.ne(behind), |b| {
                b.call(decode, &[piece.into(), equals.into()], &[key, key_length]);
                let same = Value::call(equal, &[key.into(), name.into(), name_length.into()], I32);
                let is_wanted = b.let_(key_length.eq(name_length));
                b.if_(is_wanted, |b| b.set(is_wanted, same));
                b.if_(is_wanted, |b| {
                    b.set(value, (equals + 1).when(equals.ne(behind), behind));
                    b.call(decode, &[value.into(), behind.into()], &[value, value_length]);
                    b.if_else(
                        found.eqz(),
                        |b| {
                            b.set(found, value);
                            b.set(found_length, value_length);
                        },
                        |b| {
                            b.set(joined, Value::call(malloc, &[found_length + value_length + 1], I32));
                            b.if_(joined, |b| {
                                b.copy(joined, found, found_length);
                                b.store8(joined + found_length, 0, i32::from(b','));
                                b.copy(joined + found_length + 1, value, value_length);
                                b.set(found, joined);
                                b.set(found_length, found_length + value_length + 1);
                            });
                        },
                    );
                });
            });
            b.set(piece, behind + 1);
        });
        b.push(found);
        b.push(found_length);
        b
    }

    /// ```text
    /// decode(text, end):
    ///     a copy in which + is a space, and % with two hex digits their byte
    ///     without room an empty text; the request is refused then
    /// ```
    pub(super) fn write_decode(&mut self) -> Body {
        let (malloc, hex_byte) = (self.part(MALLOC), self.part(HEX_BYTE));
        let mut b = Body::new(&[I32, I32], &[I32, I32]);
        let (at, end) = (b.param(0), b.param(1));
        let copy = b.let_(Value::call(malloc, &[end - at], I32));
        b.if_(copy.eqz(), |b| {
            b.push(SOMEWHERE);
            b.push(0);
            b.return_();
        });
        let to = b.let_(copy);
        let [byte, escaped] = [(); 2].map(|()| b.local(I32));
        b.while_(at.lt_u(end), |b, _| {
            b.set(byte, at.load8(0));
            b.if_(byte.eq(i32::from(b'+')), |b| b.set(byte, i32::from(b' ')));
            b.if_(byte.eq(i32::from(b'%')), |b| {
                b.set(escaped, Value::call(hex_byte, &[at + 1, end.into()], I32));
                b.if_(escaped.le_u(u32::from(u8::MAX)), |b| {
                    b.set(byte, escaped);
                    b.set(at, at + 2);
                });
            });
            b.store8(to, 0, byte);
            b.set(to, to + 1);
            b.set(at, at + 1);
        });
        b.push(copy);
        b.push(to - copy);
        b
    }

    /// ```text
    /// host():                                     in lower case, once the request was looked at for a refusal has run
    /// ```
    pub(super) fn write_host(&mut self) -> Body {
        let text = self.host_text();
        let known = self.flag("host known", I32);
        let change_case = self.part(CHANGE_CASE);
        let mut b = Body::new(&[], &[]);
        b.if_(known, |b| b.return_());
        b.set_global(known, 1);
        let arguments = [text.at.into(), text.length.into(), i32::from(b'A').into()];
        b.set_global(text.at, Value::call(change_case, &arguments, I32));
        b
    }

    /// `size()`: whether the size of the body is known, and the size.
    pub(super) fn write_size(&mut self) -> Body {
        let end_of_stream = self.end_of_stream();
        let slot = self.slot("content-length");
        let stated = self.stated_size();
        let mut b = Body::new(&[], &[I32, I64]);
        b.if_(end_of_stream, |b| {
            b.push(1);
            b.push(0_i64);
            b.return_();
        });
        b.push(Value::from(0).load32(slot).eqz().eqz());
        b.push(stated);
        b
    }
}

/// The name of a query parameter.
pub(super) fn query_name(attribute: &Attribute) -> Option<&Arc<str>> {
    match attribute {
        Attribute::Query(name) => Some(name),
        _ => None,
    }
}
