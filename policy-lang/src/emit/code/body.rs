//! Function bodies: statements, blocks, loops.

use super::{Func, Global, I32, Local, Value, at};
use crate::bug::{self, Bug};
use crate::emit::cost::{Linear, Source, Tally};
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
    /// What the code costs that is written so far.
    tally: Tally,
    /// What happens but once, in whatever loop it is written.
    once: Tally,
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
            tally: Tally::default(),
            once: Tally::default(),
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

    /// Where an instruction goes, which is a step.
    fn sink(&mut self) -> InstructionSink<'_> {
        self.account(&Tally::steps(1));
        InstructionSink::new(&mut self.code)
    }

    /// What the code costs that is written so far.
    pub(in crate::emit) fn tally(&self) -> Tally {
        let mut all = self.tally.clone();
        all.add(&self.once);
        all
    }

    /// Tallies what happens elsewhere on behalf of this code.
    pub(in crate::emit) fn account(&mut self, tally: &Tally) {
        self.tally.add(tally);
    }

    /// Writes code and gives its tally, which is not the function's yet.
    fn apart(&mut self, write: impl FnOnce(&mut Self)) -> Tally {
        let before = std::mem::take(&mut self.tally);
        write(self);
        std::mem::replace(&mut self.tally, before)
    }

    /// Leaves a value on the stack, as the result of the function. Where the value begins with the
    /// variable that was set just before, both become one instruction.
    pub(in crate::emit) fn push(&mut self, value: impl Into<Value>) {
        let Value { code, tally, .. } = value.into();
        self.account(&tally);
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
        self.account(&Tally::steps_over(Linear::of(Source::Own)));
        self.sink().memory_copy(0, 0);
    }

    /// Sets bytes to 0.
    pub(in crate::emit) fn clear(&mut self, to: impl Into<Value>, bytes: u32) {
        self.push(to);
        self.push(0);
        self.push(bytes);
        self.account(&Tally::steps(bytes.into()));
        self.sink().memory_fill(0);
    }

    /// Calls a function, which is given all that this one works on, and puts its results into these
    /// variables.
    pub(in crate::emit) fn call(&mut self, function: Func, arguments: &[Value], results: &[Local]) {
        self.call_over(function, arguments, results, Linear::of(Source::Own));
    }

    /// The same with texts of this size.
    pub(in crate::emit) fn call_over(
        &mut self,
        function: Func,
        arguments: &[Value],
        results: &[Local],
        over: Linear,
    ) {
        self.account(&Tally::calls(function, 1, over));
        for argument in arguments {
            self.push(argument.clone());
        }
        self.sink().call(function.0);
        for result in results.iter().rev() {
            self.set_top(*result);
        }
    }

    /// Calls a function without parameters and results whose cost is tallied elsewhere.
    pub(in crate::emit) fn call_uncounted(&mut self, function: Func) {
        self.sink().call(function.0);
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
        let mut one = self.apart(|body| body.inside(then));
        self.sink().else_();
        one.join(&self.apart(|body| body.inside(otherwise)));
        self.account(&one);
        self.sink().end();
    }

    /// Writes what happens where the condition holds, and what happens where it does not.
    pub(in crate::emit) fn choose(
        &mut self,
        condition: impl Into<Value>,
        mut write: impl FnMut(&mut Self, bool),
    ) {
        self.push(condition);
        self.sink().if_(BlockType::Empty);
        let mut one = self.apart(|body| body.inside(|body| write(body, true)));
        self.sink().else_();
        one.join(&self.apart(|body| body.inside(|body| write(body, false))));
        self.account(&one);
        self.sink().end();
    }

    /// A block; a branch to its label goes behind it.
    pub(in crate::emit) fn block(&mut self, write: impl FnOnce(&mut Self, Label)) {
        self.sink().block(BlockType::Empty);
        let label = Label(self.depth);
        self.inside(|body| write(body, label));
        self.sink().end();
    }

    /// Repeats while the condition holds, at most once for each byte that the function works on: each
    /// time it goes on by one. A branch to the label ends it.
    pub(in crate::emit) fn while_(
        &mut self,
        condition: impl Into<Value>,
        write: impl FnOnce(&mut Self, Label),
    ) {
        self.repeat(condition, write, |once| once.for_each(Source::Own, 1));
    }

    /// The same for a loop that each time goes on by three at least, but for so many rounds.
    pub(in crate::emit) fn while_threes(
        &mut self,
        but: u64,
        condition: impl Into<Value>,
        write: impl FnOnce(&mut Self, Label),
    ) {
        self.repeat(condition, write, |once| once.for_each_but(Source::Own, 3, but));
    }

    /// Writes two loops that go on over one text one after the other, so that each byte of it is of one of
    /// them.
    pub(in crate::emit) fn in_turn(&mut self, first: impl FnOnce(&mut Self), then: impl FnOnce(&mut Self)) {
        let mut both = self.apart(first);
        both.share(&self.apart(then));
        self.account(&both);
    }

    /// Writes what happens only in one of so many rounds of the loop around it, and perhaps in the last one.
    pub(in crate::emit) fn every(&mut self, stride: u64, write: impl FnOnce(&mut Self)) {
        let once = self.apart(write);
        self.account(&once.every(stride));
        self.once.add(&once.alone());
    }

    /// Writes what works on a text of this size.
    pub(in crate::emit) fn on(&mut self, size: &Linear, write: impl FnOnce(&mut Self)) {
        let outside = std::mem::take(&mut self.once);
        let mut tally = self.apart(write);
        tally.add(&std::mem::replace(&mut self.once, outside));
        self.account(&tally.on(size));
    }

    /// Writes what happens so many times at most in all rounds of the loops around it, going on over the text
    /// that the function works on.
    pub(in crate::emit) fn at_most(&mut self, times: u64, write: impl FnOnce(&mut Self)) {
        let tally = self.apart(write);
        self.once.add(&tally.times_on(times));
        // What leads there is taken in each round.
        self.account(&Tally::steps(2));
    }

    /// Writes what happens but once in all rounds of the loops around it.
    pub(in crate::emit) fn once(&mut self, write: impl FnOnce(&mut Self)) {
        let tally = self.apart(write);
        self.once.add(&tally);
    }

    /// Repeats while the condition holds, each time going on by eight bytes.
    pub(in crate::emit) fn while_words(
        &mut self,
        condition: impl Into<Value>,
        write: impl FnOnce(&mut Self, Label),
    ) {
        self.repeat(condition, write, |once| once.for_each(Source::Own, 8));
    }

    /// Repeats until the condition does not hold, each time going on by eight bytes.
    pub(in crate::emit) fn repeat_words(
        &mut self,
        write: impl FnOnce(&mut Self),
        condition: impl Into<Value>,
    ) {
        let once = self.apart(|body| {
            body.sink().loop_(BlockType::Empty);
            let top = Label(body.depth);
            body.inside(|body| {
                write(body);
                body.br_if(top, condition);
            });
            body.sink().end();
        });
        self.account(&once.for_each(Source::Own, 8));
    }

    /// Repeats while the condition holds, at most once for each header.
    pub(in crate::emit) fn while_pairs(
        &mut self,
        condition: impl Into<Value>,
        write: impl FnOnce(&mut Self, Label),
    ) {
        self.repeat(condition, write, |once| once.for_each(Source::Pairs, 1));
    }

    /// Repeats while the condition holds, which it does so many times at most.
    pub(in crate::emit) fn while_times(
        &mut self,
        times: u64,
        condition: impl Into<Value>,
        write: impl FnOnce(&mut Self, Label),
    ) {
        self.repeat(condition, write, |once| once.times(times.saturating_add(1)));
    }

    /// The same, each time going on over the text that the function works on.
    pub(in crate::emit) fn while_times_on(
        &mut self,
        times: u64,
        condition: impl Into<Value>,
        write: impl FnOnce(&mut Self, Label),
    ) {
        self.repeat(condition, write, |once| once.times_on(times.saturating_add(1)));
    }

    /// Repeats while the condition holds; what it costs is tallied elsewhere.
    pub(in crate::emit) fn while_elsewhere(
        &mut self,
        condition: impl Into<Value>,
        write: impl FnOnce(&mut Self, Label),
    ) {
        self.repeat(condition, write, |_| Tally::default());
    }

    /// Repeats for each element of a list of at most so many, whose texts are together as long as a size.
    pub(in crate::emit) fn while_elements(
        &mut self,
        (count, variable, size): (u64, u32, &Linear),
        condition: impl Into<Value>,
        write: impl FnOnce(&mut Self, Label),
    ) {
        self.repeat(condition, write, |once| once.for_elements(count.saturating_add(1), variable, size));
    }

    fn repeat(
        &mut self,
        condition: impl Into<Value>,
        write: impl FnOnce(&mut Self, Label),
        all: impl FnOnce(&Tally) -> Tally,
    ) {
        let once = self.apart(|body| {
            body.sink().loop_(BlockType::Empty);
            let top = Label(body.depth);
            body.inside(|body| {
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
            body.sink().end();
        });
        self.account(&all(&once));
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
