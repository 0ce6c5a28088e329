//! What is refused before any rule is asked, since it has no single meaning: method, path, host, size.
//!
//! The definition is `Request::refusal`.

use super::code::{Body, Global, I32, I64, Label, Local, Operand, Value};
use super::emitter::Emitter;
use super::parts::Part;
use crate::checked::Attribute;

/// The answer to a request that is refused before any rule is asked.
pub(super) const REFUSAL: Part = Part::new("refusal", |emitter, _| emitter.write_refusal());

impl Emitter<'_> {
    /// The number that `content-length` says, once [`REFUSAL`] has run; 0 without one. Known where it is asked for.
    pub(super) fn stated_size(&mut self) -> Global {
        self.global("stated size", I64)
    }

    /// The port that is named with the host, once [`REFUSAL`] has run; below 0 without one. Known where it is
    /// asked for.
    pub(super) fn stated_port(&mut self) -> Global {
        self.global("stated port", I32)
    }

    /// ```text
    /// refusal():
    ///     the answer to a method that is not in capitals, to a bad path, host or content-length; else 0
    /// ```
    pub(super) fn write_refusal(&mut self) -> Body {
        let answers = self.answers.refusals;
        let mut b = Body::new(&[], &[I32]);
        let answer = b.let_(answers.method);
        b.block(|b, refused| {
            let size = self.size_of_header(":method");
            b.on(&size, |b| self.read_method(b, refused));
            b.set(answer, answers.path);
            let size = self.size_of_path();
            b.on(&size, |b| self.decode_path(b, refused));
            b.set(answer, answers.host);
            let size = self.size_of_header(":authority");
            b.on(&size, |b| self.read_authority(b, refused));
            b.set(answer, answers.size);
            let size = self.size_of_header("content-length");
            b.on(&size, |b| self.read_size(b, refused));
            b.set(answer, 0);
        });
        b.push(answer);
        b
    }

    /// Refuses a method that is not in capitals.
    fn read_method(&mut self, b: &mut Body, refused: Label) {
        let (at, end) = self.slot_bounds(b, ":method");
        b.while_(at.lt_u(end), |b, _| {
            b.br_if(refused, at.load8(0).ge_u(i32::from(b'a')));
            b.set(at, at + 1);
        });
    }

    /// Refuses a `content-length` that is no number below 2^63.
    fn read_size(&mut self, b: &mut Body, refused: Label) {
        let size = self.asked.contains(&Attribute::Size).then(|| self.stated_size());
        let (at, end) = self.slot_bounds(b, "content-length");
        let (digit, number) = (b.local(I32), b.local(I64));
        b.while_(at.lt_u(end), |b, _| {
            b.set(digit, at.load8(0) - i32::from(b'0'));
            // From 2^60 on another digit is too much, and below it the product has 64 bits.
            b.br_if(refused, digit.gt_u(9) | (number >> 60_i64).wrap());
            b.set(number, number * 10_i64 + digit.extend());
            b.br_if(refused, number.lt_s(0_i64));
            b.set(at, at + 1);
        });
        if let Some(size) = size {
            b.set_global(size, number);
        }
    }

    /// Finds host and port; refuses an authority that `request::authority::parse` refuses.
    ///
    /// ```text
    /// letters, digits, dots, _ and -; in brackets with colons
    /// then the end, or a colon and perhaps a port
    /// ```
    fn read_authority(&mut self, b: &mut Body, refused: Label) {
        let host = self.asked.contains(&Attribute::Host).then(|| self.host_text());
        let stated_port = self.asked.contains(&Attribute::Port).then(|| self.stated_port());
        let (at, end) = self.slot_bounds(b, ":authority");
        let (byte, number) = (b.local(I32), b.local(I32));
        let bracket = b.let_(at.load8(0).eq(i32::from(b'[')));
        b.set(at, at + bracket);
        let start = b.let_(at);
        let is_name_byte = self.is_name_byte(byte);
        b.while_(at.lt_u(end), |b, out| {
            b.set(byte, at.load8(0));
            let is_colon = byte.eq(COLON) & Value::from(bracket);
            b.br_if(out, (is_name_byte | is_colon).eqz());
            b.set(at, at + 1);
        });
        b.br_if(refused, at.eq(start));
        b.if_(bracket, |b| {
            b.br_if(refused, byte.ne(i32::from(b']')));
            b.set(at, at + 1);
        });
        if let Some(host) = host {
            b.set_global(host.at, start - bracket);
            let host_end = b.let_(at);
            b.while_(host_end.gt_u(start), |b, out| {
                b.br_if(out, (host_end - 1).load8(0).ne(i32::from(b'.')));
                b.set(host_end, host_end - 1);
            });
            b.set_global(host.length, host_end - host.at);
        }
        if let Some(port) = stated_port {
            b.set_global(port, NO_PORT);
        }
        b.if_(at.lt_u(end), |b| {
            b.br_if(refused, at.load8(0).ne(COLON));
            b.set(at, at + 1);
            b.while_(at.lt_u(end), |b, _| {
                b.set(byte, at.load8(0) - i32::from(b'0'));
                b.set(number, number * 10 + byte);
                b.br_if(refused, byte.gt_u(9) | number.gt_u(u32::from(u16::MAX)));
                if let Some(port) = stated_port {
                    b.set_global(port, number);
                }
                b.set(at, at + 1);
            });
        });
    }

    /// Where a header begins and ends; 0 and 0 if it is absent.
    fn slot_bounds(&mut self, b: &mut Body, name: &str) -> (Local, Local) {
        let slot = self.slot(name);
        let at = b.let_(Value::from(0).load32(slot));
        let end = b.let_(at + Value::from(0).load32(slot + 4));
        (at, end)
    }
}

const COLON: i32 = b':' as i32;
/// There is no port.
const NO_PORT: i32 = -1;
