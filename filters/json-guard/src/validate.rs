//! A body as it goes through the tokenizer: held against its schema value by value, and names of members counted once.
//!
//! No tree is built. A stack has a frame for each open container; where the keyword needs a whole value (`enum`,
//! `const`), it is read from the body once it has ended. No function calls itself, so that a deep body takes no stack.

use crate::schema::pattern::Progress;
use crate::schema::{Additional, Node, NodeId, Schema, Types, is_same};
use chancery_sdk::json::{Container, Event, Fault, Halt, Limits, Literal, Role, Sink, Tokenizer};
use serde_json::{Number, Value};
use std::borrow::Cow;

/// Bytes of a pointer that a client is told; a longer one is cut.
const POINTER_BYTES_MAX: usize = 256;

/// A number of fewer digits is small.
const SMALL_DIGITS: usize = 9;

/// Where and why a body does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Why.
    pub problem: Problem,
    /// To which value, as a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// Bytes of the body before the place.
    pub at: usize,
}

/// Why a body does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is not JSON, or beyond a limit.
    Fault(Fault),
    /// An object has two members of one name.
    Twice,
    /// The value breaks this keyword of its schema.
    Keyword(&'static str),
}

/// Reads a whole body.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn validate(
    body: &[u8],
    limits: Limits,
    may_repeat_members: bool,
    schema: Option<&Schema>,
) -> Result<(), Finding> {
    let mut validator = Validator {
        body,
        schema,
        may_repeat_members,
        frames: Vec::new(),
        names: Vec::new(),
        scalar: Scalar::default(),
        member: schema.map(|_| Schema::ROOT),
    };
    let mut tokenizer = Tokenizer::new(limits);
    let halt = tokenizer.feed(body, &mut validator).and_then(|()| tokenizer.end(&mut validator));
    halt.map_err(|halt| match halt {
        Halt::Stop(finding) => finding,
        Halt::Fault { fault, at } => validator.finding(Problem::Fault(fault), at),
    })
}

struct Validator<'body> {
    body: &'body [u8],
    schema: Option<&'body Schema>,
    may_repeat_members: bool,
    frames: Vec<Frame>,
    /// The names of all open objects, innermost last: a hash, and where the name stands.
    names: Vec<(u64, usize)>,
    scalar: Scalar,
    /// The schema of the value that comes next, if it is a member or the whole body.
    member: Option<NodeId>,
}

/// An open container.
#[derive(Clone, Copy, Debug)]
struct Frame {
    container: Container,
    node: Option<NodeId>,
    begin: usize,
    /// How many of [`Validator::names`] are of outer objects.
    outer_names: usize,
    /// Members or items that have begun.
    count: usize,
    /// Where the name of the member that came last stands, from after its quotation mark.
    name: (usize, usize),
    /// Which of the required members came, as bits.
    required: u64,
}

/// The text or number that is being read.
#[derive(Clone, Copy, Debug, Default)]
struct Scalar {
    is_name: bool,
    node: Option<NodeId>,
    begin: usize,
    characters: usize,
    hash: u64,
    has_escape: bool,
    pattern: Option<Progress>,
}

impl Sink for Validator<'_> {
    type Stop = Finding;

    fn take(&mut self, event: Event<'_>, at: usize) -> Result<(), Finding> {
        match event {
            Event::Begin(container) => self.begin_container(container, at),
            Event::End(container) => self.end_container(container, at),
            Event::TextBegin(role) => self.begin_text(role, at),
            Event::Text(part) => {
                self.take_text(part);
                Ok(())
            }
            Event::Escape { char, .. } => {
                self.scalar.has_escape = true;
                self.take_text(char.encode_utf8(&mut [0; 4]).as_bytes());
                Ok(())
            }
            Event::TextEnd(Role::Name) => self.end_name(at),
            Event::TextEnd(Role::Value) => self.end_text(at),
            Event::NumberBegin => {
                self.scalar = Scalar { node: self.begin_value(), begin: at, ..Scalar::default() };
                Ok(())
            }
            Event::Number(_) | Event::Between(_) => Ok(()),
            Event::NumberEnd => self.end_number(at),
            Event::Literal(literal) => self.take_literal(literal, at),
        }
    }
}

impl<'body> Validator<'body> {
    /// The schema of the value that begins now.
    fn begin_value(&mut self) -> Option<NodeId> {
        match self.frames.last_mut() {
            Some(frame) if frame.container == Container::Array => {
                frame.count += 1;
                let node = frame.node;
                self.node(node)?.items
            }
            _ => self.member,
        }
    }

    fn begin_container(&mut self, container: Container, at: usize) -> Result<(), Finding> {
        let node = self.begin_value();
        let wanted = if container == Container::Object { Types::OBJECT } else { Types::ARRAY };
        self.check_type(node, wanted, at)?;
        self.frames.push(Frame {
            container,
            node,
            begin: at,
            outer_names: self.names.len(),
            count: 0,
            name: (0, 0),
            required: 0,
        });
        Ok(())
    }

    fn end_container(&mut self, container: Container, at: usize) -> Result<(), Finding> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        self.check_names(frame)?;
        self.names.truncate(frame.outer_names);
        let Some(node) = self.node(frame.node) else { return Ok(()) };
        let broken = match container {
            Container::Object if frame.required.count_ones() as usize != node.required.len() => {
                Some("required")
            }
            Container::Object if frame.count < node.member_count.min => Some("minProperties"),
            Container::Object if frame.count > node.member_count.max => Some("maxProperties"),
            Container::Array if frame.count < node.item_count.min => Some("minItems"),
            Container::Array if frame.count > node.item_count.max => Some("maxItems"),
            _ => None,
        };
        self.check(broken, frame.begin)?;
        self.check_one_of(node, frame.begin, at)
    }

    /// Whether each name of an object stands there once. Hashes never differ for equal names, so that none is missed.
    fn check_names(&mut self, frame: Frame) -> Result<(), Finding> {
        if self.may_repeat_members {
            return Ok(());
        }
        let names = self.names.get_mut(frame.outer_names..).unwrap_or_default();
        names.sort_unstable();
        let twice = names.windows(2).find_map(|pair| match pair {
            [(first, _), (second, at)] if first == second => Some(*at),
            _ => None,
        });
        let Some(at) = twice else { return Ok(()) };
        let rest = self.body.get(at..).unwrap_or_default();
        let end = at + end_of_text(rest);
        self.frames.push(Frame { name: (at, end), ..frame });
        Err(self.finding(Problem::Twice, at))
    }

    fn begin_text(&mut self, role: Role, at: usize) -> Result<(), Finding> {
        let node = if role == Role::Name { None } else { self.begin_value() };
        let pattern = self.node(node).and_then(|node| node.pattern.as_ref()).map(|pattern| pattern.begin());
        let is_name = role == Role::Name;
        self.scalar = Scalar { is_name, node, begin: at, pattern, hash: FNV_OFFSET, ..Scalar::default() };
        if role == Role::Value { self.check_type(node, Types::TEXT, at) } else { Ok(()) }
    }

    /// Takes a part of a text as it is meant.
    fn take_text(&mut self, part: &[u8]) {
        let node = self.node(self.scalar.node);
        let scalar = &mut self.scalar;
        if scalar.is_name {
            scalar.hash = part.iter().fold(scalar.hash, |hash, byte| hash_byte(hash, *byte));
        }
        let Some(node) = node else { return };
        scalar.characters += part.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        if let (Some(pattern), Some(progress)) = (&node.pattern, scalar.pattern) {
            scalar.pattern = Some(pattern.advance(progress, part));
        }
    }

    fn end_name(&mut self, at: usize) -> Result<(), Finding> {
        let Scalar { begin, has_escape, hash, .. } = self.scalar;
        let (from, to) = (begin + 1, at.saturating_sub(1));
        if !self.may_repeat_members {
            self.names.push((hash, from));
        }
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        frame.count += 1;
        frame.name = (from, to);
        let Some(node) = frame.node.and_then(|id| self.schema?.node(id)) else {
            self.member = None;
            return Ok(());
        };
        let name = name_of(self.body, (from, to), has_escape);
        let member = node.members.get(name.as_ref()).copied().unwrap_or_default();
        if let Some(bit) = member.required {
            frame.required |= 1 << bit;
        }
        self.member = match (member.node, node.additional) {
            (Some(id), _) | (None, Additional::Of(id)) => Some(id),
            (None, Additional::Any) => None,
            (None, Additional::None) => return self.check(Some("additionalProperties"), begin),
        };
        Ok(())
    }

    fn end_text(&mut self, at: usize) -> Result<(), Finding> {
        let Scalar { node, begin, characters, pattern, .. } = self.scalar;
        let Some(node) = self.node(node) else { return Ok(()) };
        let lacks_pattern = match (&node.pattern, pattern) {
            (Some(pattern), Some(progress)) => !pattern.is_in(progress),
            _ => false,
        };
        let broken = match () {
            () if characters < node.length.min => Some("minLength"),
            () if characters > node.length.max => Some("maxLength"),
            () if lacks_pattern => Some("pattern"),
            () => None,
        };
        self.check(broken, begin)?;
        self.check_one_of(node, begin, at)
    }

    fn end_number(&mut self, at: usize) -> Result<(), Finding> {
        let Scalar { node, begin, .. } = self.scalar;
        let Some(node) = self.node(node) else { return Ok(()) };
        let text = self.body.get(begin..at).unwrap_or_default();
        // A number beyond all that can be computed with is in no schema's bounds.
        let Some(number) = number(text) else {
            return self.check(Some("type"), begin);
        };
        let is_whole = number.is_i64() || number.as_f64().is_some_and(|float| float.fract() == 0.0);
        let kind = if is_whole { Types::INTEGER } else { Types::FRACTION };
        let broken = if node.types.has(kind) { node.numbers.broken_by(&number) } else { Some("type") };
        self.check(broken, begin)?;
        self.check_one_of(node, begin, at)
    }

    fn take_literal(&mut self, literal: Literal, at: usize) -> Result<(), Finding> {
        let id = self.begin_value();
        let wanted = if literal == Literal::Null { Types::NULL } else { Types::BOOLEAN };
        self.check_type(id, wanted, at)?;
        match self.node(id) {
            Some(node) => self.check_one_of(node, at, at + literal.word().len()),
            None => Ok(()),
        }
    }

    fn check_type(&self, node: Option<NodeId>, found: Types, at: usize) -> Result<(), Finding> {
        let fits = self.node(node).is_none_or(|node| node.types.has(found));
        self.check((!fits).then_some("type"), at)
    }

    fn check_one_of(&self, node: &Node, begin: usize, end: usize) -> Result<(), Finding> {
        let Some(one_of) = &node.one_of else { return Ok(()) };
        let value = self.body.get(begin..end).and_then(|text| serde_json::from_slice::<Value>(text).ok());
        let is_in = value.is_some_and(|value| one_of.values.iter().any(|other| is_same(&value, other)));
        self.check((!is_in).then_some(one_of.keyword), begin)
    }

    fn check(&self, broken: Option<&'static str>, at: usize) -> Result<(), Finding> {
        broken.map_or(Ok(()), |keyword| Err(self.finding(Problem::Keyword(keyword), at)))
    }

    fn node(&self, id: Option<NodeId>) -> Option<&'body Node> {
        self.schema?.node(id?)
    }

    /// A finding about the value that came last.
    fn finding(&self, problem: Problem, at: usize) -> Finding {
        let mut pointer = String::new();
        for frame in self.frames.iter().filter(|frame| frame.count > 0) {
            pointer.push('/');
            match frame.container {
                Container::Array => pointer.push_str(&(frame.count - 1).to_string()),
                Container::Object => {
                    let name = name_of(self.body, frame.name, true);
                    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                }
            }
        }
        if pointer.len() > POINTER_BYTES_MAX {
            pointer.truncate(pointer.floor_char_boundary(POINTER_BYTES_MAX));
            pointer.push('…');
        }
        Finding { problem, pointer, at }
    }
}

/// A number of JSON. Most are small and whole, and soon read.
fn number(text: &[u8]) -> Option<Number> {
    if text.len() < SMALL_DIGITS && text.iter().all(u8::is_ascii_digit) {
        let sum = text.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        return Some(Number::from(sum));
    }
    serde_json::from_slice(text).ok()
}

/// A name as it is meant, from where it stands.
fn name_of(body: &[u8], (from, to): (usize, usize), has_escape: bool) -> Cow<'_, str> {
    let raw = body.get(from..to).unwrap_or_default();
    let quoted = || body.get(from.saturating_sub(1)..to + 1).unwrap_or_default();
    if has_escape {
        // Texts that the tokenizer accepts are read by others, too.
        Cow::Owned(serde_json::from_slice(quoted()).unwrap_or_default())
    } else {
        String::from_utf8_lossy(raw)
    }
}

/// Where a text that begins here ends: before the quotation mark that closes it.
fn end_of_text(rest: &[u8]) -> usize {
    let mut is_escaped = false;
    let is_end = |byte: &u8| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    };
    rest.iter().position(is_end).unwrap_or(rest.len())
}

/// Where FNV-1a begins.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: a client that seeks two names of one hash makes the filter refuse its own request.
fn hash_byte(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}
