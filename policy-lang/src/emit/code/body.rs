//! Function bodies: statements, blocks, loops.

use super::{Func, Global, I32, Local, Value, at};
use crate::bug::{self, Bug};
use wasm_encoder::{BlockType, InstructionSink, ValType};

/// Where a branch leads: the end of a block or the beginning of a loop.
#[derive(Clone, Copy, Debug)]
pub(in crate::emit) struct Label(u32);

/// A function being written.
#[derive(Debug)]
pub(in crate::emit) struct Body {
    pub(in crate::emit) params: Vec<ValType>,
    pub(in crate::emit) results: Vec<ValType>,
    pub(in crate::emit) locals: Vec<ValType>,
    pub(in crate::emit) code: Vec<u8>,
    depth: u32,
    /// Where the code ended before and behind the last assignment to a variable, and the variable.
    last_set: Option<(usize, usize, u32)>,
    /// The first invariant that was found broken.
    bug: Option<Bug>,
}

impl Body {
    /// A function of this signature.
    pub(in crate::emit) fn new(params: &[ValType], results: &[ValType]) -> Self {
        Self {
            params: params.to_vec(),
            results: results.to_vec(),
            locals: Vec::new(),
            code: Vec::new(),
            depth: 0,
            last_set: None,
            bug: None,
        }
    }

    /// The first invariant that was found broken while it was written.
    pub(in crate::emit) fn bug(&self) -> Option<&Bug> {
        self.bug.as_ref()
    }

    /// The parameter with this number.
    pub(in crate::emit) fn param(&self, number: usize) -> Local {
        // A number that is none is not valid Wasm, which `emit` would notice at once.
        let ty = self.params.get(number).copied().unwrap_or(I32);
        Local { index: number as u32, ty }
    }

    /// A new variable. It is 0 where the function begins, and keeps its value round a loop.
    pub(in crate::emit) fn local(&mut self, ty: ValType) -> Local {
        let index = match bug::number(self.params.len() + self.locals.len()) {
            Ok(index) => index,
            Err(bug) => {
                self.bug.get_or_insert(bug);
                0
            }
        };
        self.locals.push(ty);
        Local { index, ty }
    }

    /// A new variable with a value.
    pub(in crate::emit) fn let_(&mut self, value: impl Into<Value>) -> Local {
        let value = value.into();
        let local = self.local(value.ty);
        self.set(local, value);
        local
    }

    fn sink(&mut self) -> InstructionSink<'_> {
        InstructionSink::new(&mut self.code)
    }

    /// Leaves a value on the stack, as the result of the function. Where the value begins with the
    /// variable that was set just before, both become one instruction.
    pub(in crate::emit) fn push(&mut self, value: impl Into<Value>) {
        let code = value.into().code;
        if let Some((before, behind, index)) = self.last_set {
            let get = Value::from(Local { index, ty: I32 }).code;
            if let Some(rest) = code.strip_prefix(get.as_slice()).filter(|_| self.code.len() == behind) {
                self.code.truncate(before);
                self.sink().local_tee(index);
                self.code.extend(rest);
                return;
            }
        }
        self.code.extend(code);
    }

    pub(in crate::emit) fn set(&mut self, local: Local, value: impl Into<Value>) {
        self.push(value);
        self.set_top(local);
    }

    pub(in crate::emit) fn set_global(&mut self, global: Global, value: impl Into<Value>) {
        self.push(value);
        self.sink().global_set(global.index);
    }

    pub(in crate::emit) fn store8(
        &mut self,
        address: impl Into<Value>,
        offset: u32,
        value: impl Into<Value>,
    ) {
        self.push(address);
        self.push(value);
        self.sink().i32_store8(at(offset));
    }

    pub(in crate::emit) fn store16(
        &mut self,
        address: impl Into<Value>,
        offset: u32,
        value: impl Into<Value>,
    ) {
        self.push(address);
        self.push(value);
        self.sink().i32_store16(at(offset));
    }

    pub(in crate::emit) fn store32(
        &mut self,
        address: impl Into<Value>,
        offset: u32,
        value: impl Into<Value>,
    ) {
        self.push(address);
        self.push(value);
        self.sink().i32_store(at(offset));
    }

    pub(in crate::emit) fn store64(
        &mut self,
        address: impl Into<Value>,
        offset: u32,
        value: impl Into<Value>,
    ) {
        self.push(address);
        self.push(value);
        self.sink().i64_store(at(offset));
    }

    /// Copies bytes; the regions may overlap.
    pub(in crate::emit) fn copy(
        &mut self,
        to: impl Into<Value>,
        from: impl Into<Value>,
        bytes: impl Into<Value>,
    ) {
        self.push(to);
        self.push(from);
        self.push(bytes);
        self.sink().memory_copy(0, 0);
    }

    /// Sets bytes to 0.
    pub(in crate::emit) fn clear(&mut self, to: impl Into<Value>, bytes: impl Into<Value>) {
        self.push(to);
        self.push(0);
        self.push(bytes);
        self.sink().memory_fill(0);
    }

    /// Calls a function and puts its results into these variables.
    pub(in crate::emit) fn call(&mut self, function: Func, arguments: &[Value], results: &[Local]) {
        for argument in arguments {
            self.push(argument.clone());
        }
        self.sink().call(function.0);
        for result in results.iter().rev() {
            self.set_top(*result);
        }
    }

    /// Calls the function without parameters at this place of the table.
    pub(in crate::emit) fn call_indirect(&mut self, ty: u32, place: impl Into<Value>, result: Local) {
        self.push(place);
        self.sink().call_indirect(0, ty);
        self.set_top(result);
    }

    /// Takes a variable's value from the stack.
    fn set_top(&mut self, local: Local) {
        let before = self.code.len();
        self.sink().local_set(local.index);
        self.last_set = Some((before, self.code.len(), local.index));
    }

    /// Computes a value for its effect only.
    pub(in crate::emit) fn drop(&mut self, value: impl Into<Value>) {
        self.push(value);
        self.sink().drop();
    }

    /// Ends the function with the values that stand on the stack.
    pub(in crate::emit) fn return_(&mut self) {
        self.sink().return_();
    }

    /// Ends the function with a value.
    pub(in crate::emit) fn return_value(&mut self, value: impl Into<Value>) {
        self.push(value);
        self.return_();
    }

    pub(in crate::emit) fn if_(&mut self, condition: impl Into<Value>, then: impl FnOnce(&mut Self)) {
        self.push(condition);
        self.sink().if_(BlockType::Empty);
        self.inside(then);
        self.sink().end();
    }

    pub(in crate::emit) fn if_else(
        &mut self,
        condition: impl Into<Value>,
        then: impl FnOnce(&mut Self),
        otherwise: impl FnOnce(&mut Self),
    ) {
        self.push(condition);
        self.sink().if_(BlockType::Empty);
        self.inside(then);
        self.sink().else_();
        self.inside(otherwise);
        self.sink().end();
    }

    /// A block; a branch to its label goes behind it.
    pub(in crate::emit) fn block(&mut self, write: impl FnOnce(&mut Self, Label)) {
        self.sink().block(BlockType::Empty);
        let label = Label(self.depth);
        self.inside(|body| write(body, label));
        self.sink().end();
    }

    /// Repeats while the condition holds. A branch to the label ends it.
    pub(in crate::emit) fn while_(
        &mut self,
        condition: impl Into<Value>,
        write: impl FnOnce(&mut Self, Label),
    ) {
        self.sink().loop_(BlockType::Empty);
        let top = Label(self.depth);
        self.inside(|body| {
            body.push(condition);
            body.sink().if_(BlockType::Empty);
            // Behind the `if` the loop ends, too.
            let out = Label(body.depth);
            body.inside(|body| {
                write(body, out);
                body.br(top);
            });
            body.sink().end();
        });
        self.sink().end();
    }

    pub(in crate::emit) fn br(&mut self, label: Label) {
        let distance = self.distance(label);
        self.sink().br(distance);
    }

    pub(in crate::emit) fn br_if(&mut self, label: Label, condition: impl Into<Value>) {
        self.push(condition);
        let distance = self.distance(label);
        self.sink().br_if(distance);
    }

    fn distance(&self, label: Label) -> u32 {
        self.depth - label.0 - 1
    }

    fn inside(&mut self, write: impl FnOnce(&mut Self)) {
        self.depth += 1;
        write(self);
        self.depth -= 1;
    }
}
