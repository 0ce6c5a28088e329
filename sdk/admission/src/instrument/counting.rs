//! What stretches of instructions cost, and where that is paid.

use wasmparser::{FunctionBody, Operator, Result};

/// How instructions are counted. Either way no more run than were paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    /// Each block pays for itself: exact, and dear for code of many small blocks.
    Blocks,
    /// A function pays at its entry for all of it that is not in a loop, and a loop at its head for one round, whichever
    /// branches are taken: cheap, and it counts too much where branches are long.
    #[default]
    LoopHeads,
}

/// A payment before an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payment {
    /// Which instruction of the function.
    pub(crate) before: usize,
    pub(crate) cost: u64,
    /// Whether it is also asked if the budget is used up.
    pub(crate) checks: bool,
}

/// What an open construct is; the function's body is the outermost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Construct {
    Function,
    Block,
    Loop,
    If,
}

struct Frame {
    construct: Construct,
    /// Whether a branch leads to its end.
    is_target: bool,
    /// Where a loop's round is paid.
    payment: usize,
}

/// What growing a memory costs: new pages are cleared.
const GROW_COST: u64 = 2_000;
/// What a call costs beside what is called.
const CALL_COST: u64 = 5;

/// All payments of a function, by the instruction that they stand before.
pub(crate) fn payments(body: &FunctionBody<'_>, counting: Counting) -> Result<Vec<Payment>> {
    let mut count = Count::new(counting);
    let mut reader = body.get_operators_reader()?;
    let mut at = 0;
    while !reader.eof() {
        count.take(&reader.read()?, at);
        at += 1;
    }
    let mut payments = count.payments;
    payments.retain(|payment| payment.cost > 0 || payment.checks);
    Ok(payments)
}

struct Count {
    counting: Counting,
    payments: Vec<Payment>,
    /// The payment to which instructions are added.
    current: usize,
    frames: Vec<Frame>,
}

impl Count {
    fn new(counting: Counting) -> Self {
        let entry = Payment { before: 0, cost: 1, checks: true };
        let function = Frame { construct: Construct::Function, is_target: false, payment: 0 };
        Self { counting, payments: vec![entry], current: 0, frames: vec![function] }
    }

    fn take(&mut self, operator: &Operator<'_>, at: usize) {
        if let Some(payment) = self.payments.get_mut(self.current) {
            payment.cost = payment.cost.saturating_add(cost(operator));
        }
        match operator {
            Operator::Block { .. } => self.open(Construct::Block),
            Operator::Loop { .. } => {
                self.begin(at + 1, true);
                self.open(Construct::Loop);
            }
            Operator::If { .. } => {
                self.open(Construct::If);
                self.begin_block(at + 1);
            }
            Operator::Else => self.begin_block(at + 1),
            Operator::End => self.close(at + 1),
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                self.mark(*relative_depth);
                self.begin_block(at + 1);
            }
            Operator::BrTable { targets } => {
                // The module is valid, so each target can be read.
                let depths = targets.targets().filter_map(Result::ok).chain([targets.default()]);
                depths.for_each(|depth| self.mark(depth));
                self.begin_block(at + 1);
            }
            Operator::Return | Operator::Unreachable => self.begin_block(at + 1),
            _ => {}
        }
    }

    fn open(&mut self, construct: Construct) {
        self.frames.push(Frame { construct, is_target: false, payment: self.current });
    }

    /// Code goes on behind the end of a construct.
    fn close(&mut self, before: usize) {
        let Some(frame) = self.frames.pop() else { return };
        match self.counting {
            Counting::Blocks => {
                let joins = frame.is_target || matches!(frame.construct, Construct::If | Construct::Loop);
                if joins && frame.construct != Construct::Function {
                    self.begin(before, false);
                }
            }
            // What follows was paid with the construct around it.
            Counting::LoopHeads if frame.construct == Construct::Loop => {
                let around =
                    |frame: &&Frame| matches!(frame.construct, Construct::Loop | Construct::Function);
                self.current = self.frames.iter().rev().find(around).map_or(0, |frame| frame.payment);
            }
            Counting::LoopHeads => {}
        }
    }

    fn mark(&mut self, depth: u32) {
        let index = self.frames.len().checked_sub(depth as usize + 1);
        if let Some(frame) = index.and_then(|index| self.frames.get_mut(index)) {
            frame.is_target = true;
        }
    }

    fn begin_block(&mut self, before: usize) {
        if self.counting == Counting::Blocks {
            self.begin(before, false);
        }
    }

    /// A new payment to which what follows is added.
    fn begin(&mut self, before: usize, checks: bool) {
        self.current = self.payments.len();
        self.payments.push(Payment { before, cost: u64::from(checks), checks });
    }
}

/// What an instruction costs: about what it takes, in simple instructions. What depends on a length is paid apart.
fn cost(operator: &Operator<'_>) -> u64 {
    match operator {
        Operator::Nop | Operator::Block { .. } | Operator::Loop { .. } | Operator::Else | Operator::End => 0,
        Operator::Call { .. }
        | Operator::CallIndirect { .. }
        | Operator::ReturnCall { .. }
        | Operator::ReturnCallIndirect { .. } => CALL_COST,
        Operator::MemoryGrow { .. } | Operator::TableGrow { .. } => GROW_COST,
        _ => 1,
    }
}
