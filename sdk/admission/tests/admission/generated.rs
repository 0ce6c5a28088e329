//! Modules for comparing: a busy one written by hand, and generated ones of nested loops, branches and calls.

use proptest::prelude::*;

/// Functions of many kinds of instructions, of which the callback logs what they gave.
pub(crate) const BUSY: &str = r#"
    (type $binary (func (param i32 i32) (result i32)))
    (table 4 funcref)
    (elem (i32.const 0) $add $fibonacci $sort $to_host)
    (global $calls (mut i32) (i32.const 0))
    (data (i32.const 512) "the quick brown fox jumps over the lazy dog")
    (data $passive "passive")
    (func $add (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func $fibonacci (param $n i32) (param $unused i32) (result i32)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (if (result i32) (i32.lt_s (local.get $n) (i32.const 2))
            (then (local.get $n))
            (else (i32.add
                (call $fibonacci (i32.sub (local.get $n) (i32.const 1)) (i32.const 0))
                (call $fibonacci (i32.sub (local.get $n) (i32.const 2)) (i32.const 0))))))
    ;; Sorts bytes: where, and how many.
    (func $sort (param $at i32) (param $n i32) (result i32) (local $i i32) (local $j i32) (local $byte i32)
        (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
            (local.set $byte (i32.load8_u (i32.add (local.get $at) (local.get $i))))
            (local.set $j (local.get $i))
            (block $placed (loop $shift
                (br_if $placed (i32.eqz (local.get $j)))
                (local.set $j (i32.sub (local.get $j) (i32.const 1)))
                (if (i32.le_u (i32.load8_u (i32.add (local.get $at) (local.get $j))) (local.get $byte))
                    (then (local.set $j (i32.add (local.get $j) (i32.const 1))) (br $placed)))
                (i32.store8 offset=1 (i32.add (local.get $at) (local.get $j))
                    (i32.load8_u (i32.add (local.get $at) (local.get $j))))
                (br $shift)))
            (i32.store8 (i32.add (local.get $at) (local.get $j)) (local.get $byte))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
        (local.get $i))
    (func $to_host (param i32 i32) (result i32) (call $log (i32.const 2) (local.get 0) (local.get 1)))
    (func $which (param $n i32) (result i32)
        (block $two (block $one (block $zero
            (br_table $zero $one $two (local.get $n)))
            (return (i32.const 100)))
            (return (i32.const 200)))
        (select (i32.const 300) (i32.const 400) (i32.eq (local.get $n) (i32.const 2))))
    (func $pair (param i32) (result i32 i32) (local.get 0) (i32.mul (local.get 0) (local.get 0)))
    (func $log_number (param $number i32) (local $at i32)
        (local.set $at (i32.const 64))
        (loop $digit
            (local.set $at (i32.sub (local.get $at) (i32.const 1)))
            (i32.store8 (local.get $at)
                (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
            (br_if $digit (local.tee $number (i32.div_u (local.get $number) (i32.const 10)))))
        (drop (call $log (i32.const 2) (local.get $at) (i32.sub (i32.const 64) (local.get $at)))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (call $log_number (call $fibonacci (i32.const 12) (i32.const 0)))
        (call $log_number (call_indirect (type $binary) (i32.const 7) (i32.const 8) (i32.const 0)))
        (call $log_number (call_indirect (type $binary) (i32.const 10) (i32.const 0) (i32.const 1)))
        (drop (call_indirect (type $binary) (i32.const 512) (i32.const 9) (i32.const 3)))
        (call $log_number (call_indirect (type $binary) (i32.const 512) (i32.const 43) (i32.const 2)))
        (drop (call $log (i32.const 2) (i32.const 512) (i32.const 43)))
        (call $log_number (call $which (i32.const 0)))
        (call $log_number (call $which (i32.const 1)))
        (call $log_number (call $which (i32.const 2)))
        (call $log_number (call $which (i32.const 7)))
        (call $log_number (i32.add (call $pair (i32.const 9))))
        (memory.fill (i32.const 600) (i32.const 120) (i32.const 16))
        (memory.copy (i32.const 604) (i32.const 516) (i32.const 5))
        (memory.init $passive (i32.const 612) (i32.const 0) (i32.const 7))
        (drop (call $log (i32.const 2) (i32.const 600) (i32.const 20)))
        (drop (call $pairs (i32.const 0) (i32.const 0) (i32.const 4)))
        (call $log_number (i32.load (i32.const 4)))
        (call $log_number (memory.grow (i32.const 1)))
        (call $log_number (global.get $calls))
        (i32.const 0))
"#;

/// A statement of a generated function. Conditions are bits of what was computed so far.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    /// Mixes a number into a variable.
    Mix(u8, i32),
    /// Stores a variable.
    Store(u8, u8),
    /// Asks for a bit of a variable.
    If(u8, Vec<Statement>, Vec<Statement>),
    /// Repeats so often.
    Loop(u8, Vec<Statement>),
    /// A block that is left early.
    Block(Vec<Statement>),
    /// Leaves one of the blocks around, if a bit is set.
    LeaveIf(u8, u8),
    /// Leaves one of the blocks around, chosen by a variable.
    LeaveByTable(u8),
    /// Calls a later function, directly or through the table.
    Call(u8, bool),
    /// Ends the function, if a bit is set.
    ReturnIf(u8),
}

/// How many functions a generated module has; each calls later ones.
const FUNCTIONS: usize = 3;
/// Loops in loops; each has a counter.
const LOOPS_MAX: usize = 4;

/// The text of a module.
pub(crate) fn modules() -> impl Strategy<Value = String> {
    prop::collection::vec(statements(), FUNCTIONS).prop_map(|bodies| text(&bodies))
}

fn statements() -> impl Strategy<Value = Vec<Statement>> {
    let leaf = prop_oneof![
        4 => (0..4_u8, any::<i32>()).prop_map(|(to, number)| Statement::Mix(to, number)),
        2 => (0..4_u8, any::<u8>()).prop_map(|(from, at)| Statement::Store(from, at)),
        2 => (any::<u8>(), 0..8_u8).prop_map(|(bit, depth)| Statement::LeaveIf(bit, depth)),
        1 => (0..4_u8).prop_map(Statement::LeaveByTable),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(to, indirect)| Statement::Call(to, indirect)),
        1 => any::<u8>().prop_map(Statement::ReturnIf),
    ];
    let statement = leaf.prop_recursive(LOOPS_MAX as u32, 32, 4, |inner| {
        let list = prop::collection::vec(inner, 0..4);
        prop_oneof![
            (any::<u8>(), list.clone(), list.clone()).prop_map(|(bit, yes, no)| Statement::If(bit, yes, no)),
            (1..4_u8, list.clone()).prop_map(|(times, body)| Statement::Loop(times, body)),
            list.prop_map(Statement::Block),
        ]
    });
    prop::collection::vec(statement, 1..6)
}

fn text(bodies: &[Vec<Statement>]) -> String {
    let mut text = format!(
        "(type $function (func (param i32) (result i32))) (table funcref (elem {}))",
        (0..bodies.len()).map(|at| format!("$f{at} ")).collect::<String>()
    );
    for (at, body) in bodies.iter().enumerate() {
        let mut writer = Writer { text: String::new(), function: at, labels: Vec::new() };
        writer.statements(body);
        let counters: String = (0..=LOOPS_MAX).map(|at| format!("(local $n{at} i32)")).collect();
        text.push_str(&format!(
            "(func $f{at} (param $v0 i32) (result i32) (local $v1 i32) (local $v2 i32) (local $v3 i32) {counters}\n{}
            (i32.add (local.get $v0) (i32.xor (local.get $v1) (i32.sub (local.get $v2) (local.get $v3)))))\n",
            writer.text
        ));
    }
    // All that was stored and computed, a letter for each half of a byte.
    text.push_str(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $i i32) (local $byte i32)
            (i32.store (i32.const 0) (call $f0 (i32.const 12345)))
            (loop $next
                (local.set $byte (i32.load8_u (local.get $i)))
                (i32.store8 offset=2048 (i32.shl (local.get $i) (i32.const 1))
                    (i32.add (i32.const 97) (i32.and (local.get $byte) (i32.const 15))))
                (i32.store8 offset=2049 (i32.shl (local.get $i) (i32.const 1))
                    (i32.add (i32.const 97) (i32.shr_u (local.get $byte) (i32.const 4))))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $i) (i32.const 272))))
            (drop (call $log (i32.const 2) (i32.const 2048) (i32.const 544)))
            (i32.const 0))"#,
    );
    text
}

/// Writes statements as text.
struct Writer {
    text: String,
    /// Which function is written.
    function: usize,
    /// The constructs around, innermost last: whether each is a loop, to which nothing may jump back early.
    labels: Vec<bool>,
}

impl Writer {
    fn statements(&mut self, statements: &[Statement]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Mix(to, number) => self.text.push_str(&format!(
                "(local.set $v{to} (i32.rotl (i32.xor (local.get $v{to}) (i32.const {number})) (i32.const 5)))
                (local.set $v{} (i32.add (local.get $v0) (local.get $v{to})))\n",
                (to + 1) % 4
            )),
            Statement::Store(from, at) => {
                self.text.push_str(&format!("(i32.store offset=4 (i32.const {at}) (local.get $v{from}))\n"));
            }
            Statement::If(bit, yes, no) => {
                self.text.push_str(&format!("(if {} (then\n", condition(*bit)));
                self.inside(false, yes);
                self.text.push_str(") (else\n");
                self.inside(false, no);
                self.text.push_str("))\n");
            }
            Statement::Loop(times, body) => {
                let counter = self.labels.iter().filter(|is_loop| **is_loop).count();
                if counter >= LOOPS_MAX {
                    return;
                }
                self.text.push_str(&format!("(local.set $n{counter} (i32.const {times})) (loop\n"));
                self.inside(true, body);
                self.text.push_str(&format!(
                    "(br_if 0 (local.tee $n{counter} (i32.sub (local.get $n{counter}) (i32.const 1)))))\n"
                ));
            }
            Statement::Block(body) => {
                self.text.push_str("(block\n");
                self.inside(false, body);
                self.text.push_str(")\n");
            }
            Statement::LeaveIf(bit, depth) => {
                if let Some(depth) = self.targets().get(usize::from(*depth)) {
                    self.text.push_str(&format!("(br_if {depth} {})\n", condition(*bit)));
                }
            }
            Statement::LeaveByTable(by) => {
                let targets = self.targets();
                if targets.is_empty() {
                    return;
                }
                let depths: String = targets.iter().map(|depth| format!("{} ", depth + 1)).collect();
                // One of the blocks around, or none: a block of its own is the first target.
                self.text.push_str(&format!(
                    "(block (br_table 0 {depths}0 (i32.and (local.get $v{by}) (i32.const 7))))\n"
                ));
            }
            Statement::Call(to, indirect) => {
                let later = FUNCTIONS - self.function - 1;
                if later == 0 {
                    return;
                }
                let callee = self.function + 1 + usize::from(*to) % later;
                let call = if *indirect {
                    format!("(call_indirect (type $function) (local.get $v1) (i32.const {callee}))")
                } else {
                    format!("(call $f{callee} (local.get $v2))")
                };
                self.text.push_str(&format!("(local.set $v3 {call})\n"));
            }
            Statement::ReturnIf(bit) => {
                self.text.push_str(&format!("(if {} (then (return (local.get $v1))))\n", condition(*bit)));
            }
        }
    }

    fn inside(&mut self, is_loop: bool, statements: &[Statement]) {
        self.labels.push(is_loop);
        self.statements(statements);
        self.labels.pop();
    }

    /// The depths of what may be left.
    fn targets(&self) -> Vec<usize> {
        self.labels
            .iter()
            .rev()
            .enumerate()
            .filter(|(_, is_loop)| !**is_loop)
            .map(|(depth, _)| depth)
            .collect()
    }
}

fn condition(bit: u8) -> String {
    format!("(i32.and (i32.shr_u (local.get $v{}) (i32.const {})) (i32.const 1))", bit % 4, bit % 29)
}
