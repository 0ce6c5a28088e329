//! What a request says of itself beside its headers: query parameters, host, size.

use super::code::{Body, I32, I64, Operand, Value};
use super::cost::Linear;
use super::emitter::Emitter;
use super::entry::MALLOC;
use super::memory::SLOT_LENGTH;
use super::parts::Part;
use super::path::HEX_BYTE;
use super::scan::FILL_SLOT;
use super::source::{GlobalText, SOMEWHERE};
use super::strings::CHANGE_CASE;
use crate::module::QUERY_PARAMETERS_MAX;

/// Finds all query parameters that are asked for, once a request.
pub(super) const SCAN_QUERY: Part = Part::new("scan query", |emitter, _| emitter.write_scan_query());
/// Makes the host's letters small.
pub(super) const HOST: Part = Part::new("host", |emitter, _| emitter.write_host());
/// Reads the size of the body.
pub(super) const SIZE: Part = Part::new("size", |emitter, _| emitter.write_size());
/// Undoes percent encoding.
pub(super) const DECODE: Part = Part::new("decode", |emitter, _| emitter.write_decode());

impl Emitter<'_> {
    /// The host, once [`HOST`] has run.
    pub(super) fn host_text(&mut self) -> GlobalText {
        self.global_text("host")
    }

    /// ```text
    /// scan_query():                                       once a request
    ///     for each piece between &, if it is not empty:
    ///         slot = lookup(parameters, what stands in front of its first =, decoded)
    ///         put what is behind there, decoded; if there is something already, join them with a comma
    /// ```
    fn write_scan_query(&mut self) -> Body {
        let known = self.flag("query known", I32);
        let size = self.size_of_query();
        let mut b = Body::new(&[], &[]);
        b.if_(known, |b| b.return_());
        b.set_global(known, 1);
        b.on(&size, |b| self.scan_pieces(b));
        b
    }

    fn scan_pieces(&mut self, b: &mut Body) {
        let (decode, fill, free) = (self.part(DECODE), self.part(FILL_SLOT), self.free());
        let (slot, query_start) = (self.path_slot(), self.query_start());
        let piece = b.let_(Value::from(query_start) + 1);
        let end = b.let_(Value::from(0).load32(slot) + Value::from(0).load32(slot + SLOT_LENGTH));
        let [behind, equals, before, text, length, parameter] = [(); 6].map(|()| b.local(I32));
        // There are no more, or the request has been refused.
        b.while_times_on(QUERY_PARAMETERS_MAX as u64, piece.lt_u(end), |b, _| {
            b.set(behind, piece);
            b.set(equals, 0);
            b.while_(behind.lt_u(end), |b, out| {
                b.br_if(out, behind.load8(0).eq(i32::from(b'&')));
                b.if_(equals.eqz() & behind.load8(0).eq(i32::from(b'=')), |b| b.set(equals, behind));
                b.set(behind, behind + 1);
            });
            b.if_(equals.eqz(), |b| b.set(equals, behind));
            b.if_(piece.ne(behind), |b| {
                b.set(before, Value::from(free));
                b.call(decode, &[piece.into(), equals.into()], &[text, length]);
                // The name is forgotten when it is looked up.
                b.set_global(free, before);
                b.set(parameter, self.lookup(self.parameters, text, length));
                b.if_(parameter, |b| {
                    b.set(equals, (equals + 1).when(equals.ne(behind), behind));
                    // Name and value together are no longer than the piece.
                    let arguments = [equals.into(), behind.into()];
                    b.call_over(decode, &arguments, &[text, length], Linear::default());
                    b.call(fill, &[parameter.into(), text.into(), length.into()], &[]);
                });
            });
            b.set(piece, behind + 1);
        });
    }

    /// ```text
    /// decode(text, end):
    ///     a copy in which + is a space, and % with two hex digits their byte
    ///     without room an empty text; the request is refused then
    /// ```
    /// Behind the text stands no digit: what ends a part of a query, or the `?` behind `:path`.
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
            // A `%` that begins no escape stands for itself, so each byte can be one.
            b.if_(byte.eq(i32::from(b'%')), |b| {
                b.set(escaped, Value::call(hex_byte, &[at + 1], I32));
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
