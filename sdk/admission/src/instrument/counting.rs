//! What stretches of instructions cost, and where that is paid.

use wasmparser::{FunctionBody, Operator, Result};

/// How instructions are counted. Either way no more run than were paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    /// Each block pays for itself: exact, and dear for code of many small blocks.
    Blocks,
    /// A function pays at its entry, and a loop at its head for one round; short ways behind a branch are paid there, too,
    /// whether they are taken or not, and long ones where they begin: nearly exact, and cheap.
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
    /// The payment to which instructions were added before it was opened, and are again behind it.
    around: usize,
    /// The one to which its own are added first: that of a loop is at its head.
    payment: usize,
    /// The ways that begin in its body, in order: each is a payment, and leads to the body's end.
    ways: Vec<usize>,
    /// The outermost construct to which a branch inside of it leads.
    leads_to: usize,
}

/// Instructions from which on a way pays for itself. A payment is four: a way that is shorter would cost more to count than it
/// is worth, and is paid with what stands before it.
const LONG_WAY: u64 = 8;

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
        let function = Frame {
            construct: Construct::Function,
            is_target: false,
            around: 0,
            payment: 0,
            ways: Vec::new(),
            leads_to: usize::MAX,
        };
        Self { counting, payments: vec![entry], current: 0, frames: vec![function] }
    }

    fn take(&mut self, operator: &Operator<'_>, at: usize) {
        if let Some(payment) = self.payments.get_mut(self.current) {
            payment.cost = payment.cost.saturating_add(cost(operator));
        }
        match operator {
            Operator::Block { .. } => self.open(Construct::Block, self.current),
            Operator::Loop { .. } => {
                let around = self.current;
                self.begin(at + 1, true);
                self.open(Construct::Loop, around);
            }
            Operator::If { .. } => {
                self.open(Construct::If, self.current);
                self.begin_way(at + 1);
            }
            Operator::Else => {
                self.join_ways();
                self.begin_way(at + 1);
            }
            Operator::End => self.close(at + 1),
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                self.mark(*relative_depth);
                self.begin_way(at + 1);
            }
            Operator::BrTable { targets } => {
                // The module is valid, so each target can be read.
                let depths = targets.targets().filter_map(Result::ok).chain([targets.default()]);
                depths.for_each(|depth| self.mark(depth));
                self.begin_way(at + 1);
            }
            Operator::Return | Operator::Unreachable => {
                self.lead_to(0);
                self.begin_way(at + 1);
            }
            _ => {}
        }
    }

    fn open(&mut self, construct: Construct, around: usize) {
        self.frames.push(Frame {
            construct,
            is_target: false,
            around,
            payment: self.current,
            ways: Vec::new(),
            leads_to: usize::MAX,
        });
    }

    /// Code goes on behind the end of a construct.
    fn close(&mut self, before: usize) {
        self.join_ways();
        let Some(frame) = self.frames.pop() else { return };
        if frame.construct == Construct::Function {
            return;
        }
        self.lead_to(frame.leads_to);
        if self.counting == Counting::LoopHeads {
            self.current = frame.around;
        }
        let is_way = match self.counting {
            Counting::Blocks => frame.is_target || matches!(frame.construct, Construct::If | Construct::Loop),
            // Something inside leads further than to the end, so that what follows is not always reached.
            Counting::LoopHeads => frame.leads_to < self.frames.len(),
        };
        if is_way {
            self.begin_way(before);
        }
    }

    fn mark(&mut self, depth: u32) {
        let Some(index) = self.frames.len().checked_sub(depth as usize + 1) else { return };
        self.lead_to(index);
        if let Some(frame) = self.frames.get_mut(index) {
            frame.is_target = true;
        }
    }

    /// Something in the innermost construct leads to this one.
    fn lead_to(&mut self, index: usize) {
        if let Some(frame) = self.frames.last_mut() {
            frame.leads_to = frame.leads_to.min(index);
        }
    }

    /// The instructions from here to the end of the innermost construct are not always reached.
    fn begin_way(&mut self, before: usize) {
        let way = self.payments.len();
        self.begin(before, false);
        if let Some(frame) = self.frames.last_mut() {
            frame.ways.push(way);
        }
    }

    /// The body of the innermost construct is over: ways that are too short to be paid alone are paid with what stands
    /// before them. Whoever takes such a way has passed there.
    fn join_ways(&mut self) {
        let Some(frame) = self.frames.last_mut() else { return };
        let mut ways = std::mem::take(&mut frame.ways);
        let first = frame.payment;
        if self.counting == Counting::Blocks {
            return;
        }
        while let Some(way) = ways.pop() {
            self.join_way(way, ways.last().copied().unwrap_or(first));
        }
    }

    fn join_way(&mut self, way: usize, before: usize) {
        let is_short = |payment: &&mut Payment| payment.cost < LONG_WAY;
        let Some(short) = self.payments.get_mut(way).filter(is_short) else { return };
        let cost = std::mem::take(&mut short.cost);
        if let Some(payment) = self.payments.get_mut(before) {
            payment.cost = payment.cost.saturating_add(cost);
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
