//! Writing function bodies so that they read like pseudo code.
//!
//! A [`Value`] is the code that leaves one value on the stack, with its type; operators join such
//! codes. A [`Body`] is a function being written: statements take values.
//!
//! ```text
//! b.if_(left.lt_u(8), |b| b.set(at, at + 1))
//! ```

use std::ops::{Add, BitAnd, BitOr, BitXor, Mul, Shl, Shr, Sub};
use wasm_encoder::{BlockType, InstructionSink, MemArg, MemArgTarget, ValType};

pub(super) use wasm_encoder::ValType::{I32, I64};

/// Code that leaves one value on the stack.
#[derive(Clone, Debug)]
pub(super) struct Value {
    ty: ValType,
    code: Vec<u8>,
}

/// A local variable or parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local {
    index: u32,
    pub(super) ty: ValType,
}

/// A global variable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Global {
    pub(super) index: u32,
    pub(super) ty: ValType,
}

/// The index of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Func(pub(super) u32);

fn at(offset: u32) -> MemArg {
    MemArg { offset: u64::from(offset), align: 0, target: MemArgTarget::Memory(0), ordering: None }
}

impl Value {
    fn new(ty: ValType, write: impl FnOnce(&mut InstructionSink)) -> Self {
        let mut code = Vec::new();
        write(&mut InstructionSink::new(&mut code));
        Self { ty, code }
    }

    fn then(mut self, ty: ValType, write: impl FnOnce(&mut InstructionSink)) -> Self {
        self.ty = ty;
        write(&mut InstructionSink::new(&mut self.code));
        self
    }

    fn with(mut self, other: impl Into<Self>) -> Self {
        self.code.extend(other.into().code);
        self
    }

    /// Calls a function of one result.
    pub(super) fn call(function: Func, arguments: &[Self], result: ValType) -> Self {
        let code = arguments.iter().flat_map(|argument| argument.code.iter().copied()).collect();
        Self { ty: result, code }.then(result, |sink| {
            sink.call(function.0);
        })
    }

    fn joined(
        self,
        other: impl Into<Self>,
        result: Option<ValType>,
        narrow: fn(&mut InstructionSink),
        wide: fn(&mut InstructionSink),
    ) -> Self {
        let ty = self.ty;
        let write = if ty == I64 { wide } else { narrow };
        self.with(other).then(result.unwrap_or(ty), write)
    }
}

/// What can be computed from a value, or from what has one.
pub(super) trait Operand: Into<Value> {
    fn load8(self, offset: u32) -> Value {
        self.into().then(I32, |sink| {
            sink.i32_load8_u(at(offset));
        })
    }

    fn load16(self, offset: u32) -> Value {
        self.into().then(I32, |sink| {
            sink.i32_load16_u(at(offset));
        })
    }

    fn load32(self, offset: u32) -> Value {
        self.into().then(I32, |sink| {
            sink.i32_load(at(offset));
        })
    }

    fn load64(self, offset: u32) -> Value {
        self.into().then(I64, |sink| {
            sink.i64_load(at(offset));
        })
    }

    /// To 64 bits, unsigned.
    fn extend(self) -> Value {
        self.into().then(I64, |sink| {
            sink.i64_extend_i32_u();
        })
    }

    /// To the low 32 bits.
    fn wrap(self) -> Value {
        self.into().then(I32, |sink| {
            sink.i32_wrap_i64();
        })
    }

    /// The number of zero bits below the lowest one.
    fn ctz(self) -> Value {
        self.into().then(I64, |sink| {
            sink.i64_ctz();
        })
    }

    /// Whether it is 0.
    fn eqz(self) -> Value {
        let value = self.into();
        let wide = value.ty == I64;
        value.then(I32, |sink| {
            if wide {
                sink.i64_eqz()
            } else {
                sink.i32_eqz()
            };
        })
    }

    /// This value when `condition` is not 0, else `other`; both are computed.
    fn when(self, condition: impl Into<Value>, other: impl Into<Value>) -> Value {
        let value = self.into();
        let ty = value.ty;
        value.with(other).with(condition).then(ty, |sink| {
            sink.select();
        })
    }

    fn eq(self, other: impl Into<Value>) -> Value {
        self.into().joined(
            other,
            Some(I32),
            |sink| {
                sink.i32_eq();
            },
            |sink| {
                sink.i64_eq();
            },
        )
    }

    fn ne(self, other: impl Into<Value>) -> Value {
        self.into().joined(
            other,
            Some(I32),
            |sink| {
                sink.i32_ne();
            },
            |sink| {
                sink.i64_ne();
            },
        )
    }

    fn lt_u(self, other: impl Into<Value>) -> Value {
        self.into().joined(
            other,
            Some(I32),
            |sink| {
                sink.i32_lt_u();
            },
            |sink| {
                sink.i64_lt_u();
            },
        )
    }

    fn le_u(self, other: impl Into<Value>) -> Value {
        self.into().joined(
            other,
            Some(I32),
            |sink| {
                sink.i32_le_u();
            },
            |sink| {
                sink.i64_le_u();
            },
        )
    }

    fn gt_u(self, other: impl Into<Value>) -> Value {
        self.into().joined(
            other,
            Some(I32),
            |sink| {
                sink.i32_gt_u();
            },
            |sink| {
                sink.i64_gt_u();
            },
        )
    }

    fn ge_u(self, other: impl Into<Value>) -> Value {
        self.into().joined(
            other,
            Some(I32),
            |sink| {
                sink.i32_ge_u();
            },
            |sink| {
                sink.i64_ge_u();
            },
        )
    }

    fn lt_s(self, other: impl Into<Value>) -> Value {
        self.into().joined(
            other,
            Some(I32),
            |sink| {
                sink.i32_lt_s();
            },
            |sink| {
                sink.i64_lt_s();
            },
        )
    }

    fn le_s(self, other: impl Into<Value>) -> Value {
        self.into().joined(
            other,
            Some(I32),
            |sink| {
                sink.i32_le_s();
            },
            |sink| {
                sink.i64_le_s();
            },
        )
    }

    fn gt_s(self, other: impl Into<Value>) -> Value {
        self.into().joined(
            other,
            Some(I32),
            |sink| {
                sink.i32_gt_s();
            },
            |sink| {
                sink.i64_gt_s();
            },
        )
    }

    fn ge_s(self, other: impl Into<Value>) -> Value {
        self.into().joined(
            other,
            Some(I32),
            |sink| {
                sink.i32_ge_s();
            },
            |sink| {
                sink.i64_ge_s();
            },
        )
    }

    fn shr_s(self, other: impl Into<Value>) -> Value {
        self.into().joined(
            other,
            None,
            |sink| {
                sink.i32_shr_s();
            },
            |sink| {
                sink.i64_shr_s();
            },
        )
    }

    fn div_s(self, other: impl Into<Value>) -> Value {
        self.into().joined(
            other,
            None,
            |sink| {
                sink.i32_div_s();
            },
            |sink| {
                sink.i64_div_s();
            },
        )
    }

    fn rem_s(self, other: impl Into<Value>) -> Value {
        self.into().joined(
            other,
            None,
            |sink| {
                sink.i32_rem_s();
            },
            |sink| {
                sink.i64_rem_s();
            },
        )
    }
}

impl<T: Into<Value>> Operand for T {}

/// The operators of Rust, on values and variables.
macro_rules! operators {
    ($($trait:ident $method:ident $narrow:ident $wide:ident;)*) => {
        $(
            impl<T: Into<Value>> $trait<T> for Value {
                type Output = Value;
                fn $method(self, other: T) -> Value {
                    self.joined(other, None, |sink| { sink.$narrow(); }, |sink| { sink.$wide(); })
                }
            }
            impl<T: Into<Value>> $trait<T> for Local {
                type Output = Value;
                fn $method(self, other: T) -> Value {
                    Value::from(self).$method(other)
                }
            }
        )*
    };
}

operators! {
    Add add i32_add i64_add;
    Sub sub i32_sub i64_sub;
    Mul mul i32_mul i64_mul;
    BitAnd bitand i32_and i64_and;
    BitOr bitor i32_or i64_or;
    BitXor bitxor i32_xor i64_xor;
    Shl shl i32_shl i64_shl;
    Shr shr i32_shr_u i64_shr_u;
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::new(I32, |sink| {
            sink.i32_const(value);
        })
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::from(value.cast_signed())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::new(I64, |sink| {
            sink.i64_const(value);
        })
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::from(value.cast_signed())
    }
}

impl From<Local> for Value {
    fn from(local: Local) -> Self {
        Self::new(local.ty, |sink| {
            sink.local_get(local.index);
        })
    }
}

impl From<Global> for Value {
    fn from(global: Global) -> Self {
        Self::new(global.ty, |sink| {
            sink.global_get(global.index);
        })
    }
}

/// Where a branch leads: the end of a block or the beginning of a loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(u32);

/// A function being written.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) params: Vec<ValType>,
    pub(super) results: Vec<ValType>,
    pub(super) locals: Vec<ValType>,
    pub(super) code: Vec<u8>,
    depth: u32,
    /// Where the code ended before and behind the last assignment to a variable, and the variable.
    last_set: Option<(usize, usize, u32)>,
}

impl Body {
    /// A function of this signature.
    pub(super) fn new(params: &[ValType], results: &[ValType]) -> Self {
        Self {
            params: params.to_vec(),
            results: results.to_vec(),
            locals: Vec::new(),
            code: Vec::new(),
            depth: 0,
            last_set: None,
        }
    }

    /// The parameter with this number.
    pub(super) fn param(&self, number: usize) -> Local {
        let ty = self.params.get(number).copied().unwrap_or(I32);
        Local { index: u32::try_from(number).unwrap_or(u32::MAX), ty }
    }

    /// A new variable. It is 0 where the function begins, and keeps its value round a loop.
    pub(super) fn local(&mut self, ty: ValType) -> Local {
        let index = u32::try_from(self.params.len() + self.locals.len()).unwrap_or(u32::MAX);
        self.locals.push(ty);
        Local { index, ty }
    }

    /// A new variable with a value.
    pub(super) fn let_(&mut self, value: impl Into<Value>) -> Local {
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
    pub(super) fn push(&mut self, value: impl Into<Value>) {
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

    pub(super) fn set(&mut self, local: Local, value: impl Into<Value>) {
        self.push(value);
        self.set_top(local);
    }

    pub(super) fn set_global(&mut self, global: Global, value: impl Into<Value>) {
        self.push(value);
        self.sink().global_set(global.index);
    }

    pub(super) fn store8(&mut self, address: impl Into<Value>, offset: u32, value: impl Into<Value>) {
        self.push(address);
        self.push(value);
        self.sink().i32_store8(at(offset));
    }

    pub(super) fn store16(&mut self, address: impl Into<Value>, offset: u32, value: impl Into<Value>) {
        self.push(address);
        self.push(value);
        self.sink().i32_store16(at(offset));
    }

    pub(super) fn store32(&mut self, address: impl Into<Value>, offset: u32, value: impl Into<Value>) {
        self.push(address);
        self.push(value);
        self.sink().i32_store(at(offset));
    }

    pub(super) fn store64(&mut self, address: impl Into<Value>, offset: u32, value: impl Into<Value>) {
        self.push(address);
        self.push(value);
        self.sink().i64_store(at(offset));
    }

    /// Copies bytes; the regions may overlap.
    pub(super) fn copy(&mut self, to: impl Into<Value>, from: impl Into<Value>, bytes: impl Into<Value>) {
        self.push(to);
        self.push(from);
        self.push(bytes);
        self.sink().memory_copy(0, 0);
    }

    /// Sets bytes to 0.
    pub(super) fn clear(&mut self, to: impl Into<Value>, bytes: impl Into<Value>) {
        self.push(to);
        self.push(0);
        self.push(bytes);
        self.sink().memory_fill(0);
    }

    /// Calls a function and puts its results into these variables.
    pub(super) fn call(&mut self, function: Func, arguments: &[Value], results: &[Local]) {
        for argument in arguments {
            self.push(argument.clone());
        }
        self.sink().call(function.0);
        for result in results.iter().rev() {
            self.set_top(*result);
        }
    }

    /// Calls the function without parameters at this place of the table.
    pub(super) fn call_indirect(&mut self, ty: u32, place: impl Into<Value>, result: Local) {
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
    pub(super) fn drop(&mut self, value: impl Into<Value>) {
        self.push(value);
        self.sink().drop();
    }

    /// Ends the function with the values that stand on the stack.
    pub(super) fn return_(&mut self) {
        self.sink().return_();
    }

    /// Ends the function with a value.
    pub(super) fn return_value(&mut self, value: impl Into<Value>) {
        self.push(value);
        self.return_();
    }

    pub(super) fn if_(&mut self, condition: impl Into<Value>, then: impl FnOnce(&mut Self)) {
        self.push(condition);
        self.sink().if_(BlockType::Empty);
        self.inside(then);
        self.sink().end();
    }

    pub(super) fn if_else(
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
    pub(super) fn block(&mut self, write: impl FnOnce(&mut Self, Label)) {
        self.sink().block(BlockType::Empty);
        let label = Label(self.depth);
        self.inside(|body| write(body, label));
        self.sink().end();
    }

    /// Repeats while the condition holds. A branch to the label ends it.
    pub(super) fn while_(&mut self, condition: impl Into<Value>, write: impl FnOnce(&mut Self, Label)) {
        let condition = condition.into();
        self.block(|body, out| {
            body.sink().loop_(BlockType::Empty);
            let top = Label(body.depth);
            body.inside(|body| {
                body.br_if(out, condition.eqz());
                write(body, out);
                body.br(top);
            });
            body.sink().end();
        });
    }

    pub(super) fn br(&mut self, label: Label) {
        let distance = self.distance(label);
        self.sink().br(distance);
    }

    pub(super) fn br_if(&mut self, label: Label, condition: impl Into<Value>) {
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
