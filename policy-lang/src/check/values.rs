//! The values that an expression can have for the requests that reach a rule, so that what is asked of
//! one and can never hold is found.
//!
//! ```text
//! what a sidecar hands over      domain: a regular set of texts, a range of numbers
//!   and the rule speaks of       guard: methods, paths, callers
//!     and the expression makes   case, conversion, elements of a list
//!       -> is one of them equal to, or begins with, contains, matches ...?
//! ```
//!
//! The sets are too large rather than too small, so that what is said never to hold never holds.

pub(super) mod domain;
mod number;
pub(super) mod recogniser;

pub(super) use number::{Numbers, numbers};

use crate::checked::{Attribute, Builtin, Conversion, Expr, ExprKind, Guard, Peer, ServiceRef, Value};
use crate::module::BYTES_SEEN_MAX;
use crate::response::FLAGS;
use domain::Domain;
use recogniser::{Case, Found, Needle, Recogniser, common};
use std::sync::Arc;

/// So many alternatives of a text are told apart; one of more can be any.
const ALTERNATIVES_MAX: usize = 64;

/// What an expression stands in.
pub(super) struct Around<'a> {
    /// What the rule speaks of, if it is in a rule. Its condition does not count.
    pub(super) guard: Option<&'a Guard>,
    /// Bound variables with the lists whose elements they are.
    pub(super) variables: &'a [(String, u32, Arc<Expr>)],
}

/// A text that an expression can be: one of these.
pub(super) struct Texts<'a>(Vec<Alternative<'a>>);

/// Texts of a kind.
#[derive(Clone)]
struct Alternative<'a> {
    domain: &'static Domain,
    /// What of it the rule speaks of.
    narrowed: Option<Narrowed<'a>>,
    /// A constant that it is, if it can be one at all.
    constant: Option<Arc<str>>,
    case: Case,
    bytes_max: usize,
}

/// What a guard leaves of the texts of an attribute.
#[derive(Clone)]
enum Narrowed<'a> {
    Equal(String),
    Begins(String),
    Ends(String),
    Path(&'a crate::checked::PathPattern),
}

/// Something that is asked of a text.
#[derive(Clone, Copy)]
pub(super) enum Question<'a> {
    /// Whether it is this.
    Equal(&'a str),
    /// Whether it begins so.
    Begins(&'a str),
    /// Whether this stands in it.
    Contains(&'a str),
    /// Whether it ends so.
    Ends(&'a str),
    /// Whether the pattern matches.
    Matches(&'a crate::regex::Dfa),
}

/// Why no text is as it is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Never {
    /// No request has such a text: what there is, in words.
    Nowhere(&'static str),
    /// It has too many bytes for its type: so many are possible.
    TooLong(usize),
    /// A request has, but none that the rule speaks of.
    NotHere,
}

impl Question<'_> {
    fn recogniser(&self) -> Recogniser<'_> {
        match self {
            Self::Equal(text) => Recogniser::Equal(text.as_bytes()),
            Self::Begins(text) => Recogniser::Begins(text.as_bytes()),
            Self::Contains(text) => Recogniser::Contains(Needle::new(text.as_bytes())),
            Self::Ends(text) => Recogniser::Ends(Needle::new(text.as_bytes())),
            Self::Matches(dfa) => Recogniser::Matches(dfa),
        }
    }
}

impl Narrowed<'_> {
    fn recogniser(&self) -> Recogniser<'_> {
        match self {
            Self::Equal(text) => Recogniser::Equal(text.as_bytes()),
            Self::Begins(text) => Recogniser::Begins(text.as_bytes()),
            Self::Ends(text) => Recogniser::Ends(Needle::new(text.as_bytes())),
            Self::Path(pattern) => Recogniser::Path(pattern),
        }
    }
}

impl Alternative<'_> {
    fn of(domain: &'static Domain) -> Self {
        let bytes_max = usize::try_from(BYTES_SEEN_MAX).unwrap_or(usize::MAX);
        Self { domain, narrowed: None, constant: None, case: Case::Kept, bytes_max }
    }

    /// The sets that each of its texts is in.
    fn sets(&self) -> Vec<Recogniser<'_>> {
        let constant = self.constant.as_deref().map(|text| Recogniser::Equal(text.as_bytes()));
        self.domain.recognisers().into_iter().chain(constant).collect()
    }

    /// Why no text of it is as it is asked; and the steps that it took to see that.
    fn never(&self, question: Question<'_>) -> (Option<Never>, usize) {
        let asked = [question.recogniser()];
        let mut sets = self.sets();
        let (found, steps) = common(&sets, self.case, &asked);
        match found {
            Found::Open => return (None, steps),
            Found::None => return (Some(Never::Nowhere(self.words(&asked))), steps),
            Found::Text(text) if text.len() > self.bytes_max => {
                return (Some(Never::TooLong(self.bytes_max)), steps);
            }
            Found::Text(_) => {}
        }
        let Some(narrowed) = &self.narrowed else { return (None, steps) };
        sets.push(narrowed.recogniser());
        let (found, more) = common(&sets, self.case, &asked);
        ((found == Found::None).then_some(Never::NotHere), steps + more)
    }

    /// What its texts are, in words: of what is asked the part that none has.
    fn words(&self, asked: &[Recogniser<'_>]) -> &'static str {
        if self.constant.is_some() && self.case == Case::Kept {
            return "it is one of a few texts, and this fits none of them";
        }
        let changed = match self.case {
            Case::Kept => return self.domain.words,
            Case::Lower => &domain::NO_CAPITALS,
            Case::Upper => &domain::NO_SMALL_LETTERS,
        };
        let (found, _) = common(&changed.recognisers(), Case::Kept, asked);
        if found == Found::None { changed.words } else { self.domain.words }
    }

    /// Whether no text is of both; and the steps that it took to see that.
    fn is_apart(&self, other: &Self) -> (bool, usize) {
        let (mine, others) = (self.sets_after_change(), other.sets_after_change());
        let sets: Vec<Recogniser<'_>> = mine.into_iter().chain(others).collect();
        let (found, steps) = common(&sets, Case::Kept, &[]);
        let is_apart = match found {
            Found::Text(text) => text.len() > self.bytes_max.min(other.bytes_max),
            Found::None => true,
            Found::Open => false,
        };
        (is_apart, steps)
    }

    /// Sets that each of its texts is in once its letters are changed.
    fn sets_after_change(&self) -> Vec<Recogniser<'_>> {
        match self.case {
            Case::Kept => {
                self.sets().into_iter().chain(self.narrowed.as_ref().map(Narrowed::recogniser)).collect()
            }
            Case::Lower => domain::NO_CAPITALS.recognisers(),
            Case::Upper => domain::NO_SMALL_LETTERS.recognisers(),
        }
    }
}

impl<'a> Texts<'a> {
    /// What the text of an expression can be. `None` if it can be any, or is no text.
    pub(super) fn of(expr: &Expr, around: &Around<'a>) -> Option<Self> {
        match &expr.kind {
            ExprKind::Literal(Value::String(text)) => Some(Self(vec![constant(&domain::ANY, text)])),
            ExprKind::Attribute(attribute) => Self::of_attribute(attribute, around.guard),
            ExprKind::Convert(conversion, text) => {
                let texts = Self::of(text, around);
                match conversion {
                    Conversion::BoundedString(bytes_max) => texts.map(|texts| texts.bounded(*bytes_max)),
                    Conversion::Enum(values) => {
                        let domain = match &text.kind {
                            ExprKind::Attribute(attribute) => domain::of(attribute),
                            _ => &domain::ANY,
                        };
                        let values = values.iter().map(|value| constant(domain, value));
                        Self::limited(values.collect())
                    }
                    Conversion::Int | Conversion::Bool | Conversion::List(_) => None,
                }
            }
            ExprKind::Call(Builtin::LowerAscii, arguments) => {
                Self::of(arguments.first()?, around).map(|texts| texts.changed(Case::Lower))
            }
            ExprKind::Call(Builtin::UpperAscii, arguments) => {
                Self::of(arguments.first()?, around).map(|texts| texts.changed(Case::Upper))
            }
            ExprKind::Call(Builtin::Trim, _) => Some(Self(vec![Alternative::of(&domain::TRIMMED)])),
            ExprKind::Conditional(_, then, otherwise) => {
                let (mut then, otherwise) = (Self::of(then, around)?, Self::of(otherwise, around)?);
                then.0.extend(otherwise.0);
                Self::limited(then.0)
            }
            ExprKind::Variable(number) => {
                let (_, _, list) = around.variables.iter().find(|(_, bound, _)| bound == number)?;
                Self::elements_of(list)
            }
            _ => None,
        }
    }

    /// What an element of a list can be.
    pub(super) fn elements_of(list: &Expr) -> Option<Self> {
        match &list.kind {
            ExprKind::Literal(Value::List(elements)) => {
                Self::limited(elements.iter().map(|element| constant(&domain::ANY, element)).collect())
            }
            ExprKind::Attribute(Attribute::ResponseFlags) => {
                Self::limited(FLAGS.iter().map(|flag| constant(&domain::ANY, &Arc::from(*flag))).collect())
            }
            ExprKind::Convert(Conversion::List(_), _) => Some(Self(vec![Alternative::of(&domain::ELEMENT)])),
            _ => None,
        }
    }

    fn of_attribute(attribute: &Attribute, guard: Option<&'a Guard>) -> Option<Self> {
        let domain = domain::of(attribute);
        let narrowed = guard.and_then(|guard| narrowings(attribute, guard)).unwrap_or_default();
        if narrowed.is_empty() {
            return Some(Self(vec![Alternative::of(domain)]));
        }
        let all = narrowed.into_iter().map(|narrowed| {
            let narrowed = Some(narrowed);
            Alternative { narrowed, ..Alternative::of(domain) }
        });
        Self::limited(all.collect())
    }

    fn limited(alternatives: Vec<Alternative<'a>>) -> Option<Self> {
        (alternatives.len() <= ALTERNATIVES_MAX).then_some(Self(alternatives))
    }

    fn bounded(mut self, bytes_max: u32) -> Self {
        for alternative in &mut self.0 {
            alternative.bytes_max = alternative.bytes_max.min(bytes_max as usize);
        }
        self
    }

    /// The last change of a letter is what is left of several.
    fn changed(mut self, case: Case) -> Self {
        self.0.iter_mut().for_each(|alternative| alternative.case = case);
        self
    }

    /// Why no text is as it is asked, if that is so; and the steps that it took to see that.
    pub(super) fn never(&self, question: Question<'_>) -> (Option<Never>, usize) {
        let (mut why, mut steps) = (None, 0);
        for alternative in &self.0 {
            let (never, more) = alternative.never(question);
            steps += more;
            match (why, never) {
                (_, None) => return (None, steps),
                // What holds for all requests says more than what holds for those of the rule.
                (None | Some(Never::NotHere), Some(never)) => why = Some(never),
                (Some(_), Some(_)) => {}
            }
            if never == Some(Never::NotHere) {
                why = never;
            }
        }
        (why, steps)
    }

    /// Whether no text is as it is asked by both; and the steps that it took to see that.
    pub(super) fn never_both(&self, one: Question<'_>, other: Question<'_>) -> (bool, usize) {
        let asked = [one.recogniser(), other.recogniser()];
        let mut steps = 0;
        for alternative in &self.0 {
            let narrowed = alternative.narrowed.as_ref().map(Narrowed::recogniser);
            let sets: Vec<Recogniser<'_>> = alternative.sets().into_iter().chain(narrowed).collect();
            let (found, more) = common(&sets, alternative.case, &asked);
            steps += more;
            if found != Found::None {
                return (false, steps);
            }
        }
        (true, steps)
    }

    /// Whether no text is one of both; and the steps that it took to see that.
    pub(super) fn are_apart(&self, others: &Self) -> (bool, usize) {
        let mut steps = 0;
        for one in &self.0 {
            for other in &others.0 {
                let (is_apart, more) = one.is_apart(other);
                steps += more;
                if !is_apart {
                    return (false, steps);
                }
            }
        }
        (true, steps)
    }

    /// How many characters the text has at least and at most.
    fn sizes(&self) -> (i64, i64) {
        let bytes_max = self.0.iter().map(|alternative| alternative.bytes_max).max().unwrap_or_default();
        let is_never_empty = self.never(Question::Equal("")).0.is_some();
        (i64::from(is_never_empty), i64::try_from(bytes_max).unwrap_or(i64::MAX))
    }
}

/// Whether a text is as it is asked.
pub(super) fn holds_of(question: Question<'_>, text: &str) -> bool {
    let (found, _) = common(&[Recogniser::Equal(text.as_bytes())], Case::Kept, &[question.recogniser()]);
    found != Found::None
}

fn constant<'a>(domain: &'static Domain, text: &Arc<str>) -> Alternative<'a> {
    let bytes_max = text.len();
    Alternative { constant: Some(text.clone()), bytes_max, ..Alternative::of(domain) }
}

/// What a rule's guard leaves of an attribute: one of these. `None` if it speaks of all.
fn narrowings<'a>(attribute: &Attribute, guard: &'a Guard) -> Option<Vec<Narrowed<'a>>> {
    match attribute {
        Attribute::Method => Some(guard.methods.iter().cloned().map(Narrowed::Equal).collect()),
        Attribute::Path => Some(guard.paths.iter().map(Narrowed::Path).collect()),
        Attribute::SourceService => of_peers(guard, |peer| match peer {
            Peer::Service(ServiceRef { namespace, name }) if name != "*" => {
                Some(Narrowed::Equal(format!("{namespace}/{name}")))
            }
            Peer::Service(ServiceRef { namespace, .. }) | Peer::Namespace(namespace) => {
                Some(Narrowed::Begins(format!("{namespace}/")))
            }
            _ => None,
        }),
        Attribute::SourceNamespace => of_peers(guard, |peer| match peer {
            Peer::Service(ServiceRef { namespace, .. }) | Peer::Namespace(namespace) => {
                Some(Narrowed::Equal(namespace.clone()))
            }
            _ => None,
        }),
        Attribute::SourcePrincipal => of_peers(guard, |peer| match peer {
            Peer::Spiffe(id) => Some(Narrowed::Equal(id.clone())),
            Peer::Service(ServiceRef { namespace, name }) if name != "*" => {
                Some(Narrowed::Ends(format!("/ns/{namespace}/sa/{name}")))
            }
            Peer::Service(_) | Peer::Namespace(_) => Some(Narrowed::Begins("spiffe://".to_owned())),
            Peer::Ip(_) | Peer::Anyone => None,
        }),
        _ => None,
    }
}

/// What each caller leaves; `None` if one of them leaves all.
fn of_peers<'a>(guard: &Guard, of: impl Fn(&Peer) -> Option<Narrowed<'a>>) -> Option<Vec<Narrowed<'a>>> {
    guard.peers.iter().map(of).collect()
}
