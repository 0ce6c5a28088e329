//! The caller and the connection: properties of the host, each read at most once.

use super::address::{ADDRESS_V4, ADDRESS_V6};
use super::class::AttributeCode;
use super::code::{Body, Global, I32, I64, Local, Operand, Value};
use super::cost::Linear;
use super::emitter::Emitter;
use super::keys::EQUAL;
use super::memory::{ARENA_BYTES, OUT, OUT_LENGTH};
use super::parts::Part;
use crate::bug::OrBug as _;
use crate::checked::Attribute;
use crate::classify::IdentityClasses;
use crate::literals::property_of;
use crate::request::{self, IDENTITY_BYTES_MAX};
use chancery_sdk_abi::host_calls;

/// Reads a property.
pub(super) const PROPERTY: Part = Part::new("property", |emitter, _| emitter.write_property());
/// Reads the caller's principal.
pub(super) const PRINCIPAL: Part = Part::new("principal", |emitter, _| emitter.write_principal());
/// Finds namespace and service in the principal.
pub(super) const SERVICE: Part = Part::new("service", |emitter, _| emitter.write_service());
/// Whether a byte may stand in a name.
const IS_NAME_BYTE: Part = Part::new("is name byte", |emitter, _| emitter.write_is_name_byte());
/// Reads the caller's address.
pub(super) const ADDRESS: Part = Part::new("address", |emitter, _| emitter.write_address());
/// Whether the connection is mutual TLS.
pub(super) const MTLS: Part = Part::new("mtls", |emitter, _| emitter.write_mtls());
/// Reads the protocol.
pub(super) const PROTOCOL: Part = Part::new("protocol", |emitter, _| emitter.write_protocol());

/// The most bytes of a property; a request of which one is longer cannot be judged. No certificate that
/// names a service has a longer principal.
pub(super) const PROPERTY_BYTES_MAX: u32 = IDENTITY_BYTES_MAX as u32;
/// The most bytes of an address with its port, in text.
pub(super) const ADDRESS_BYTES_MAX: u32 = 128;

/// Where an empty text may lie: any address that is not 0.
pub(super) const SOMEWHERE: u32 = OUT;

/// A text in two global variables; address 0: absent.
#[derive(Clone, Copy, Debug)]
pub(super) struct GlobalText {
    pub(super) at: Global,
    pub(super) length: Global,
}

impl Emitter<'_> {
    /// The principal, once [`PRINCIPAL`] has run.
    pub(super) fn principal(&mut self) -> GlobalText {
        self.global_text("principal")
    }

    /// The namespace in the principal, once [`SERVICE`] has given 1.
    pub(super) fn namespace(&mut self) -> GlobalText {
        self.global_text("namespace")
    }

    /// The service's name in the principal, once [`SERVICE`] has given 1.
    pub(super) fn service_name(&mut self) -> GlobalText {
        self.global_text("service name")
    }

    /// The protocol, once [`PROTOCOL`] has run.
    pub(super) fn protocol(&mut self) -> GlobalText {
        self.global_text("protocol")
    }

    /// The address as 128 bits, IPv4 as `::ffff:a.b.c.d`, once [`ADDRESS`] has run.
    pub(super) fn address(&mut self) -> (Global, Global) {
        (self.global("address high", I64), self.global("address low", I64))
    }

    /// The port, once [`ADDRESS`] has run.
    pub(super) fn port(&mut self) -> Global {
        self.global("port", I32)
    }

    /// A text in global variables of this name.
    pub(super) fn global_text(&mut self, name: &str) -> GlobalText {
        GlobalText { at: self.global(name, I32), length: self.global(&format!("{name} length"), I32) }
    }

    /// Leaves the function if it has run in this request.
    pub(super) fn once(&mut self, b: &mut Body, name: &str) {
        let known = self.flag(&format!("{name} known"), I32);
        b.if_(known, |b| b.return_());
        b.set_global(known, 1);
    }

    /// Calls `property` for an attribute.
    fn read_property(&mut self, b: &mut Body, attribute: &Attribute, at: Local, length: Local) {
        let path = self.sound(property_of(attribute).or_bug("the attribute is a property"), Vec::new());
        let (address, path_length) = self.string(path.join("\0"));
        b.call(self.part(PROPERTY), &[address.into(), path_length.into()], &[at, length]);
    }

    /// A property that is a number; 0 if there is none.
    pub(super) fn number_property(&mut self, b: &mut Body, attribute: &Attribute) -> Local {
        let (at, length) = (b.local(I32), b.local(I32));
        self.read_property(b, attribute, at, length);
        let number = b.let_(0_i64);
        b.if_(length.eq(8), |b| b.set(number, at.load64(0)));
        number
    }

    /// Says that the request cannot be judged, for the host did not do what it must.
    pub(super) fn set_fault(&mut self, b: &mut Body) {
        let fault = self.fault();
        b.set_global(fault, self.answers.unreadable);
    }

    /// ```text
    /// property(path, length):
    ///     0, 0 if the host has none; else where it lies and its length
    /// ```
    /// A host that gives what does not lie in the arena or is too long is a fault.
    pub(super) fn write_property(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32], &[I32, I32]);
        b.store64(0, OUT, 0_i64);
        let arguments = [b.param(0).into(), b.param(1).into(), OUT.into(), OUT_LENGTH.into()];
        let status = self.host(host_calls::GET_PROPERTY, &arguments);
        b.if_(status, |b| {
            b.push(0);
            b.push(0);
            b.return_();
        });
        let at = b.let_(Value::from(0).load32(OUT));
        let length = b.let_(Value::from(0).load32(OUT_LENGTH));
        let start = self.arena_start();
        b.if_else(
            length.eqz(),
            |b| b.set(at, SOMEWHERE),
            |b| {
                let outside =
                    length.gt_u(PROPERTY_BYTES_MAX) | (at - start).gt_u(ARENA_BYTES - PROPERTY_BYTES_MAX);
                b.if_(outside, |b| {
                    self.set_fault(b);
                    b.set(at, SOMEWHERE);
                    b.set(length, 0);
                });
            },
        );
        b.push(at);
        b.push(length);
        b
    }

    pub(super) fn write_principal(&mut self) -> Body {
        let principal = self.principal();
        let mut b = Body::new(&[], &[]);
        self.once(&mut b, "principal");
        let (at, length) = (b.local(I32), b.local(I32));
        self.read_property(&mut b, &Attribute::SourcePrincipal, at, length);
        b.set_global(principal.at, at);
        b.set_global(principal.length, length);
        b
    }

    /// ```text
    /// service():
    ///     whether the principal is spiffe://<trust domain>/ns/<namespace>/sa/<service>
    /// ```
    pub(super) fn write_service(&mut self) -> Body {
        let (principal, namespace, name) = (self.principal(), self.namespace(), self.service_name());
        let (prefix_at, prefix_length) = self.string(format!("spiffe://{}/ns/", self.plan.trust_domain));
        let (read, equal) = (self.part(PRINCIPAL), self.part(EQUAL));
        let mut b = Body::new(&[], &[I32]);
        b.call(read, &[], &[]);
        let at = b.let_(Value::from(principal.at));
        let is_name_byte = self.is_name_byte(at.load8(0));
        let end = b.let_(at + principal.length);
        b.block(|b, no| {
            b.br_if(no, at.eqz());
            b.br_if(no, Value::from(principal.length).lt_u(prefix_length));
            let begins = Value::call(equal, &[at.into(), prefix_at.into(), prefix_length.into()], I32);
            b.br_if(no, begins.eqz());
            b.set(at, at + prefix_length);
            b.set_global(namespace.at, at);
            skip_name(b, at, end, &is_name_byte);
            b.set_global(namespace.length, at - namespace.at);
            b.br_if(no, Value::from(namespace.length).eqz());
            b.br_if(no, (end - at).lt_u(4));
            b.br_if(no, at.load32(0).ne(u32::from_le_bytes(*b"/sa/")));
            b.set(at, at + 4);
            b.set_global(name.at, at);
            skip_name(b, at, end, &is_name_byte);
            b.set_global(name.length, at - name.at);
            b.return_value(Value::from(name.length).eqz().eqz() & at.eq(end));
        });
        b.push(0);
        b
    }

    /// Whether a byte is one of A-Z a-z 0-9 . _ -, by a table where there is room for one.
    pub(super) fn is_name_byte(&mut self, byte: impl Into<Value>) -> Value {
        if self.is_large() {
            let table: Vec<u8> = (0..=u8::MAX).map(|byte| u8::from(request::is_name_byte(byte))).collect();
            let (address, _) = self.string(table);
            return byte.into().load8(address);
        }
        Value::call(self.part(IS_NAME_BYTE), &[byte.into()], I32)
    }

    /// `is_name_byte(byte)`: whether it is one of A-Z a-z 0-9 . _ -
    fn write_is_name_byte(&mut self) -> Body {
        let mut b = Body::new(&[I32], &[I32]);
        let byte = b.param(0);
        let letter = ((byte | 0x20) - i32::from(b'a')).lt_u(26);
        // `-`, `.` and the digits stand together, but for the slash between them.
        let other = (byte - i32::from(b'-')).lt_u(13) & byte.ne(i32::from(b'/'));
        b.push(letter | other | byte.eq(i32::from(b'_')));
        b
    }

    /// ```text
    /// class(identity):
    ///     absent, if it is; class of the whole principal
    ///     stranger, if it names no service; class of its namespace, else 0
    /// ```
    pub(super) fn identity_class(&mut self, b: &mut Body, code: AttributeCode, classes: &IdentityClasses) {
        let principal = self.principal();
        b.call(self.part(PRINCIPAL), &[], &[]);
        b.if_(Value::from(principal.at).eqz(), |b| b.return_value(classes.absent));
        let over = Linear::constant(PROPERTY_BYTES_MAX.into());
        let found = self.lookup(code.exact, principal.at, principal.length);
        let found = b.let_(found);
        b.if_(found, |b| b.return_value(found - 1));
        let service = self.part(SERVICE);
        let service = Value::call_over(service, &[], I32, over);
        b.if_(service.eqz(), |b| b.return_value(classes.stranger));
        let namespace = self.namespace();
        b.push(self.lookup(code.second, namespace.at, namespace.length));
    }

    /// `mtls()`: 1 if the connection is mutual TLS.
    pub(super) fn write_mtls(&mut self) -> Body {
        let mut b = Body::new(&[], &[I32]);
        let (known, mtls) = (self.flag("mtls known", I32), self.global("mtls", I32));
        b.if_(Value::from(known).eqz(), |b| {
            b.set_global(known, 1);
            let (at, length) = (b.local(I32), b.local(I32));
            self.read_property(b, &Attribute::SourceMtls, at, length);
            b.set_global(mtls, 0);
            b.if_(length, |b| b.set_global(mtls, at.load8(0).eqz().eqz()));
        });
        b.push(mtls);
        b
    }

    pub(super) fn write_protocol(&mut self) -> Body {
        let protocol = self.protocol();
        let mut b = Body::new(&[], &[]);
        self.once(&mut b, "protocol");
        let (at, length) = (b.local(I32), b.local(I32));
        self.read_property(&mut b, &Attribute::Protocol, at, length);
        b.if_(at.eqz(), |b| self.set_fault(b));
        b.set_global(protocol.at, at);
        b.set_global(protocol.length, length);
        b
    }

    /// ```text
    /// address():
    ///     read `1.2.3.4:80` or `[::1]:80`; anything else is a fault
    /// ```
    pub(super) fn write_address(&mut self) -> Body {
        let ((high, low), port) = (self.address(), self.port());
        let (v4, v6) = (self.part(ADDRESS_V4), self.part(ADDRESS_V6));
        let mut b = Body::new(&[], &[]);
        self.once(&mut b, "address");
        let (at, length) = (b.local(I32), b.local(I32));
        self.read_property(&mut b, &Attribute::SourceIp, at, length);
        let end = b.let_(at + length);
        b.block(|b, readable| {
            b.block(|b, unreadable| {
                b.br_if(unreadable, (length - 1).ge_u(ADDRESS_BYTES_MAX));
                let behind = b.let_(at);
                b.if_else(
                    at.load8(0).eq(i32::from(b'[')),
                    |b| {
                        find_byte(b, behind, end, b']');
                        b.br_if(unreadable, Value::call(v6, &[at + 1, behind.into()], I32).eqz());
                        b.set(behind, behind + 1);
                    },
                    |b| {
                        find_byte(b, behind, end, b':');
                        let value = b.let_(Value::call(v4, &[at.into(), behind.into()], I64));
                        b.br_if(unreadable, value.lt_s(0_i64));
                        b.set_global(high, 0_i64);
                        b.set_global(low, value | super::address::V4_MAPPED);
                    },
                );
                b.set_global(port, 0);
                b.if_(behind.lt_u(end), |b| {
                    b.br_if(unreadable, behind.load8(0).ne(i32::from(b':')));
                    let digit = b.local(I32);
                    b.set(behind, behind + 1);
                    b.while_(behind.lt_u(end), |b, _| {
                        b.set(digit, behind.load8(0) - i32::from(b'0'));
                        b.br_if(unreadable, digit.gt_u(9));
                        b.set_global(port, Value::from(port) * 10 + digit);
                        b.br_if(unreadable, Value::from(port).gt_u(u32::from(u16::MAX)));
                        b.set(behind, behind + 1);
                    });
                });
                b.br(readable);
            });
            self.set_fault(b);
        });
        b
    }
}

/// Sets `at` to the first such byte from it on, or to the end.
fn find_byte(b: &mut Body, at: Local, end: Local, byte: u8) {
    b.while_(at.lt_u(end), |b, out| {
        b.br_if(out, at.load8(0).eq(i32::from(byte)));
        b.set(at, at + 1);
    });
}

/// Moves `at` behind the characters that names of services have.
fn skip_name(b: &mut Body, at: Local, end: Local, is_name_byte: &Value) {
    b.while_(at.lt_u(end), |b, out| {
        b.br_if(out, is_name_byte.clone().eqz());
        b.set(at, at + 1);
    });
}
