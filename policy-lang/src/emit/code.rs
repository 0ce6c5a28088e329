//! Writing function bodies so that they read like pseudo code.
//!
//! A [`Value`] is the code that leaves one value on the stack, with its type; operators join such
//! codes. A [`Body`] is a function being written: statements take values.
//!
//! ```text
//! b.if_(left.lt_u(8), |b| b.set(at, at + 1))
//! ```

mod body;

pub(super) use body::{Body, Label};

use super::cost::{Linear, Source, Tally};
use std::ops::{Add, BitAnd, BitOr, BitXor, Mul, Shl, Shr, Sub};
use wasm_encoder::{InstructionSink, MemArg, MemArgTarget, ValType};

pub(super) use wasm_encoder::ValType::{I32, I64};

/// Code that leaves one value on the stack.
#[derive(Clone, Debug)]
pub(super) struct Value {
    ty: ValType,
    code: Vec<u8>,
    tally: Tally,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Func(pub(super) u32);

fn at(offset: u32) -> MemArg {
    MemArg { offset: u64::from(offset), align: 0, target: MemArgTarget::Memory(0), ordering: None }
}

impl Value {
    fn new(ty: ValType, write: impl FnOnce(&mut InstructionSink)) -> Self {
        let mut code = Vec::new();
        write(&mut InstructionSink::new(&mut code));
        Self { ty, code, tally: Tally::steps(1) }
    }

    fn then(mut self, ty: ValType, write: impl FnOnce(&mut InstructionSink)) -> Self {
        self.ty = ty;
        write(&mut InstructionSink::new(&mut self.code));
        self.tally.add(&Tally::steps(1));
        self
    }

    fn with(mut self, other: impl Into<Self>) -> Self {
        let other = other.into();
        self.code.extend(other.code);
        self.tally.add(&other.tally);
        self
    }

    /// Calls a function of one result, which is given all that the caller works on.
    pub(super) fn call(function: Func, arguments: &[Self], result: ValType) -> Self {
        Self::call_over(function, arguments, result, Linear::of(Source::Own))
    }

    /// Calls a function of one result, which is given texts of this size.
    pub(super) fn call_over(function: Func, arguments: &[Self], result: ValType, over: Linear) -> Self {
        let call = Self::call_uncounted(function, arguments, result);
        call.tallied(&Tally::calls(function, 1, over))
    }

    /// Calls a function whose cost is tallied elsewhere.
    pub(super) fn call_uncounted(function: Func, arguments: &[Self], result: ValType) -> Self {
        let mut code = Vec::new();
        let mut tally = Tally::default();
        for argument in arguments {
            code.extend(&argument.code);
            tally.add(&argument.tally);
        }
        Self { ty: result, code, tally }.then(result, |sink| {
            sink.call(function.0);
        })
    }

    /// The same with more to be tallied.
    pub(super) fn tallied(mut self, tally: &Tally) -> Self {
        self.tally.add(tally);
        self
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

    /// Its 64 bits, turned to the left by so many.
    fn rotl(self, bits: i64) -> Value {
        self.into().with(bits).then(I64, |sink| {
            sink.i64_rotl();
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
