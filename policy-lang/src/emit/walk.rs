//! Passes over texts: all patterns and constants that conditions ask about one text, answered together.

use super::code::{Body, I32, I64, Local, Operand, Value};
use super::condition::{Bound, Place, Text, presence};
use super::emitter::Emitter;
use super::parts::Part;
use super::strings::MATCHES;
use crate::bug::{Bug, OrBug as _};
use crate::checked::{Builtin, Expr, ExprKind, Value as Constant};
use crate::literals::{children, expression_text, is_closed};
use crate::walk::{JOIN_STEPS_MAX, Question, Walk, row_bytes, walks};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Passes over a text once a request; numbered by the walks.
const WALK: Part = Part::new("walk", |emitter, number| emitter.write_walk(number));

/// The function that passes over the text of a walk.
pub(super) const fn walk(number: u32) -> Part {
    WALK.numbered(number)
}

/// The walks of a module.
#[derive(Default)]
pub(super) struct Walks {
    walks: Vec<(Arc<Expr>, Walk)>,
    /// By the normal forms of text and question the walk and the number of the question in it.
    places: BTreeMap<(String, String), (usize, usize)>,
}

impl Walks {
    /// The walks for all that these expressions ask about texts that are the same wherever they stand.
    pub(super) fn of<'e>(expressions: impl Iterator<Item = &'e Arc<Expr>>) -> Result<Self, Bug> {
        let mut asked = Asked::new();
        expressions.for_each(|expr| collect(expr, &mut asked));
        let mut this = Self::default();
        let mut steps = JOIN_STEPS_MAX;
        for (text, (expr, questions)) in asked {
            let (keys, questions): (Vec<String>, Vec<Question>) = questions.into_iter().unzip();
            let (made, places) = walks(&questions, &mut steps)?;
            for (key, (walk, number)) in keys.into_iter().zip(places) {
                this.places.insert((text.clone(), key), (this.walks.len() + walk, number));
            }
            this.walks.extend(made.into_iter().map(|walk| (expr.clone(), walk)));
        }
        Ok(this)
    }
}

impl Walks {
    /// By walk the text that it passes over.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Arc<Expr>> {
        self.walks.iter().map(|(text, _)| text)
    }
}

/// What is asked about which text, by the normal forms of both.
type Asked = BTreeMap<String, (Arc<Expr>, BTreeMap<String, Question>)>;

fn collect(expr: &Arc<Expr>, asked: &mut Asked) {
    if let Some((text, question)) = question_of(expr) {
        let entry = asked.entry(expression_text(text)).or_insert_with(|| (text.clone(), BTreeMap::new()));
        entry.1.insert(question.text(), question);
    }
    children(expr, &mut |inner| collect(inner, asked));
}

/// The text and what is asked about it, if a walk can answer that.
fn asked_of(expr: &Expr) -> Option<(&Arc<Expr>, Question)> {
    let (text, question) = match &expr.kind {
        ExprKind::Matches(text, regex) => (text, Question::Matches(regex.clone())),
        ExprKind::Call(Builtin::Contains, arguments) => match arguments.as_slice() {
            [text, part] => match &part.kind {
                ExprKind::Literal(Constant::String(part)) => (text, Question::Contains(part.clone())),
                _ => return None,
            },
            _ => return None,
        },
        _ => return None,
    };
    question.fits().then_some((text, question))
}

/// The same of a text that is one and the same wherever it is asked about.
fn question_of(expr: &Expr) -> Option<(&Arc<Expr>, Question)> {
    asked_of(expr).filter(|(text, _)| !matches!(text.kind, ExprKind::Literal(_)) && is_closed(text))
}

impl Emitter<'_> {
    /// The answer to what an expression asks about a text, if a walk gives it: 0 if the text is absent.
    pub(super) fn walk_answer(&mut self, b: &mut Body, expr: &Expr, bound: &mut Bound) -> Option<Local> {
        match question_of(expr) {
            Some((text, question)) => Some(self.planned_answer(b, text, &question)),
            None => {
                let (text, question) = asked_of(expr)?;
                let text = self.text_of(b, text, bound);
                Some(self.answer_now(b, text, &Walk::of(&question)))
            }
        }
    }

    /// The answer of the walk that passes over this text.
    fn planned_answer(&mut self, b: &mut Body, text: &Expr, question: &Question) -> Local {
        let key = (expression_text(text), question.text());
        let found = self.walks.places.get(&key).copied().or_bug("what conditions ask of a text is planned");
        let (walk, question) = self.sound(found, (0, 0));
        let function = WALK.numbered(self.number(walk));
        let (function, tally) = self.part_once(function);
        let answers = Value::call_uncounted(function, &[], I64).tallied(&tally);
        b.let_(((answers >> question as i64) & 1_i64).wrap())
    }

    /// The answer of a walk of one question over a text that another request, or another element, has
    /// not.
    fn answer_now(&mut self, b: &mut Body, text: Text, walk: &Walk) -> Local {
        let result = b.let_(0);
        let (classes, start) = self.lay_out_walk(walk);
        let matches = self.part(MATCHES);
        let there = presence(b, Place::Text(text));
        let arguments = [text.at.into(), text.length.into(), classes.into(), start.into()];
        let answers = Value::call_over(matches, &arguments, I64, self.sized(text.size));
        b.if_(there, |b| b.set(result, answers.wrap() & 1));
        result
    }

    /// ```text
    /// walk(): the answers to the questions about the text, as bits; all no if it is absent
    /// ```
    fn write_walk(&mut self, number: u32) -> Body {
        let mut b = Body::new(&[], &[I64]);
        let found = self.walks.walks.get(number as usize).cloned();
        let Some((text, walk)) = self.sound(found.map(Some).or_bug("a walk that is asked exists"), None)
        else {
            return b;
        };
        let known = self.flag(&format!("walk {number} known"), I32);
        let answers = self.flag(&format!("walk {number}"), I64);
        b.if_(known, |b| b.return_value(answers));
        b.set_global(known, 1);
        let (classes, start) = self.lay_out_walk(&walk);
        let text = self.text_of(&mut b, &text, &mut Bound::new());
        let matches = self.part(MATCHES);
        let there = presence(&mut b, Place::Text(text));
        let arguments = [text.at.into(), text.length.into(), classes.into(), start.into()];
        let passed = Value::call_over(matches, &arguments, I64, self.sized(text.size));
        b.if_(there, |b| b.set_global(answers, passed));
        b.push(answers);
        b
    }

    /// The tables of a walk: the address of its classes, and of the row of its first state. A row is what
    /// its state finds and what it accepts, in 64 bits each, and then the rows behind each class.
    fn lay_out_walk(&mut self, walk: &Walk) -> (u32, u32) {
        let classes = self.data.table(&walk.classes);
        let width = self.number(row_bytes(usize::from(walk.class_count)));
        // A row refers to rows, so it must be known where the rows will begin.
        let rows = self.data.next_table();
        let states = walk.found.iter().zip(&walk.accepted);
        let mut bytes = Vec::new();
        for ((found, accepted), next) in states.zip(walk.transitions.chunks(usize::from(walk.class_count))) {
            bytes.extend(found.to_le_bytes());
            bytes.extend(accepted.to_le_bytes());
            bytes.extend(next.iter().flat_map(|state| (rows + width * u32::from(*state)).to_le_bytes()));
        }
        self.data.table(&bytes);
        (classes, rows)
    }
}
