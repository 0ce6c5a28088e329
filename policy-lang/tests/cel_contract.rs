//! The contract with CEL: where CEL gives a value, Writ gives the same value.
//!
//! Random expressions over values that are there are given to an implementation of CEL and to Writ's
//! checker and evaluator. Where CEL fails (an overflow, a position outside of a string) Writ has its
//! own total result, and nothing is compared. `CEL_EXPRESSIONS` sets how many are tried.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test says what is wrong by panicking"
)]

use cel::{Context, Env, Value, extensions};
use chancery_policy_lang::checked::Direction;
use chancery_policy_lang::diagnostic::render;
use chancery_policy_lang::linked::Workload;
use chancery_policy_lang::request::Request;
use chancery_policy_lang::{SourceSet, analyse, eval, link};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// How many expressions are compared unless the variable says otherwise.
const EXPRESSIONS: usize = 5_000;
/// How deep they are at most.
const DEPTH: usize = 4;

const SCHEMA: &str = "schema { header i: int header j: int header b: bool header l: list<string, 8> }\n";

/// The values of one comparison, by header.
struct Values {
    ints: [i64; 2],
    strings: [&'static str; 2],
    flag: bool,
    list: Vec<&'static str>,
}

/// Writes expressions; counts the variables that it has bound, for Writ has no two of one name.
struct Writer(TestRng, usize);

impl Writer {
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.0.next_u32()).unwrap() % limit
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn values(&mut self) -> Values {
        let ints = [0, 1, -1, 2, 7, -7, 1000, i64::MAX, i64::MIN, i64::MAX - 1];
        let strings = ["", "a", "b", "ab", "Ab", "aé€", "a b", " a ", "😀b", "0", "ba"];
        let elements = ["a", "b", "ab", "é", "", "c"];
        let length = 1 + self.below(4);
        Values {
            ints: [self.one_of(&ints), self.one_of(&ints)],
            strings: [self.one_of(&strings), self.one_of(&strings)],
            flag: self.below(2) == 0,
            list: (0..length).map(|_| self.one_of(&elements)).collect(),
        }
    }

    fn bool(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.one_of(&["true", "false", "headers[\"b\"]"]).to_owned();
        }
        let depth = depth - 1;
        match self.below(10) {
            0 => format!("({} && {})", self.bool(depth), self.bool(depth)),
            1 => format!("({} || {})", self.bool(depth), self.bool(depth)),
            2 => format!("!{}", self.bool(depth)),
            3 => format!("({} ? {} : {})", self.bool(depth), self.bool(depth), self.bool(depth)),
            4 | 5 => {
                let sign = self.one_of(&["==", "!=", "<", "<=", ">", ">="]);
                format!("({} {sign} {})", self.int(depth), self.int(depth))
            }
            6 => {
                let sign = self.one_of(&["==", "!=", "<", "<=", ">", ">="]);
                format!("({} {sign} {})", self.string(depth), self.string(depth))
            }
            7 => {
                let function = self.one_of(&["contains", "startsWith", "endsWith"]);
                format!("{}.{function}({})", self.string(depth), self.string(depth))
            }
            8 => {
                let list = self.list();
                format!("({} in {list})", self.string(depth))
            }
            _ => {
                let function = self.one_of(&["exists", "all", "exists_one"]);
                let list = self.list();
                let part = self.string(depth);
                let body = self.one_of(&[
                    "E.startsWith(_)",
                    "E == _",
                    "E < _",
                    "_.contains(E)",
                    "size(E) == size(_)",
                ]);
                self.1 += 1;
                let variable = format!("e{}", self.1);
                format!("{list}.{function}({variable}, {})", body.replace('E', &variable).replace('_', &part))
            }
        }
    }

    fn int(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .one_of(&["headers[\"i\"]", "headers[\"j\"]", "0", "3", "-2", "9223372036854775807"])
                .to_owned();
        }
        let depth = depth - 1;
        match self.below(9) {
            0 => format!("({} + {})", self.int(depth), self.int(depth)),
            1 => format!("({} - {})", self.int(depth), self.int(depth)),
            2 => format!("({} * {})", self.int(depth), self.int(depth)),
            3 => format!("({} / {})", self.int(depth), self.one_of(&["2", "-1", "7", "-3"])),
            4 => format!("({} % {})", self.int(depth), self.one_of(&["2", "-1", "7", "-3"])),
            5 => format!("-({})", self.int(depth)),
            6 => format!("({} ? {} : {})", self.bool(depth), self.int(depth), self.int(depth)),
            7 => format!("{}.indexOf({})", self.string(depth), self.string(depth)),
            _ => format!("size({})", if self.below(3) == 0 { self.list() } else { self.string(depth) }),
        }
    }

    fn string(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .one_of(&["headers[\"s\"]", "headers[\"t\"]", "\"a\"", "\"é\"", "\"\"", "'b'"])
                .to_owned();
        }
        let depth = depth - 1;
        match self.below(6) {
            0 => format!("{}.{}()", self.string(depth), self.one_of(&["lowerAscii", "upperAscii", "trim"])),
            1 => format!("({} ? {} : {})", self.bool(depth), self.string(depth), self.string(depth)),
            2 => format!("{}.substring({})", self.string(depth), self.below(3)),
            3 => {
                let (start, length) = (self.below(2), self.below(3));
                format!("{}.substring({start}, {})", self.string(depth), start + length)
            }
            _ => self.string(0),
        }
    }

    fn list(&mut self) -> String {
        self.one_of(&["headers[\"l\"]", "headers[\"l\"]", "[\"a\", \"b\", \"é\"]", "[\"ab\"]"]).to_owned()
    }
}

/// What CEL says: `None` if it fails.
fn by_cel(env: &Arc<Env>, expression: &str, values: &Values) -> Option<bool> {
    let program =
        env.compile(expression).unwrap_or_else(|error| panic!("CEL reads `{expression}`: {error:?}"));
    let mut context = Context::with_env(env.clone());
    let list: Vec<Value> = values.list.iter().map(|element| Value::from(*element)).collect();
    let headers: HashMap<String, Value> = HashMap::from([
        ("i".to_owned(), Value::Int(values.ints[0])),
        ("j".to_owned(), Value::Int(values.ints[1])),
        // White space around the value of a header is not a part of it.
        ("s".to_owned(), Value::from(values.strings[0].trim_matches([' ', '\t']))),
        ("t".to_owned(), Value::from(values.strings[1].trim_matches([' ', '\t']))),
        ("b".to_owned(), Value::Bool(values.flag)),
        ("l".to_owned(), Value::List(Arc::new(list))),
    ]);
    context.add_variable_from_value("headers", headers);
    match program.execute(&context) {
        Ok(Value::Bool(value)) => Some(value),
        Ok(other) => panic!("`{expression}` is {other:?} in CEL"),
        Err(_) => None,
    }
}

/// What Writ says: `None` if the expression is too large for it.
fn by_writ(expression: &str, values: &Values) -> Option<bool> {
    let text = format!("{SCHEMA}auth p on mesh {{ allow when {expression} }}");
    let mut sources = SourceSet::new();
    sources.add("contract", text.as_str());
    let analysis = analyse(&sources, Default::default());
    if !analysis.is_ok() {
        let too_large = analysis
            .diagnostics
            .iter()
            .all(|found| matches!(found.code.0, "E316" | "E113") || !found.is_error());
        assert!(too_large, "{}", render::human(&analysis.diagnostics, &sources, false));
        return None;
    }
    let target = Workload {
        namespace: "a".into(),
        service: "b".into(),
        labels: BTreeMap::new(),
        trust_domain: "mesh".into(),
    };
    let program = link::link(&analysis.policies, &target, Direction::Inbound).unwrap().unwrap();
    let header = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let headers = vec![
        header("i", &values.ints[0].to_string()),
        header("j", &values.ints[1].to_string()),
        header("s", values.strings[0]),
        header("t", values.strings[1]),
        header("b", &values.flag.to_string()),
        header("l", &values.list.join(",")),
    ];
    let request = Request { headers, ..Request::default() };
    Some(eval::evaluate(&program, &request).outcome.allows())
}

#[test]
fn where_cel_gives_a_value_writ_gives_the_same() {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings).unwrap();
    let env = Arc::new(env);
    let count = std::env::var("CEL_EXPRESSIONS").map_or(EXPRESSIONS, |count| count.parse().unwrap());
    let mut writer = Writer(TestRng::deterministic_rng(RngAlgorithm::ChaCha), 0);
    let (mut compared, mut failed_in_cel) = (0, 0);
    for _ in 0..count {
        let depth = 1 + writer.below(DEPTH);
        let expression = writer.bool(depth);
        let values = writer.values();
        let Some(expected) = by_cel(&env, &expression, &values) else {
            failed_in_cel += 1;
            continue;
        };
        let Some(found) = by_writ(&expression, &values) else { continue };
        let shown = (values.ints, values.strings, values.flag, &values.list);
        assert_eq!(
            found, expected,
            "`{expression}` with i, j = {:?}, s, t = {:?}, b = {}, l = {:?}",
            shown.0, shown.1, shown.2, shown.3
        );
        compared += 1;
    }
    println!("{compared} expressions agree with CEL; {failed_in_cel} fail in CEL");
    assert!(compared * 2 > count, "only {compared} of {count} could be compared");
}
