//! A GraphQL document as far as limits ask about it: operations, fragments, fields, and the numbers in their arguments.

use crate::lexer::{Lexer, Token, What, Wrong};
use std::collections::BTreeMap;

/// Braces, brackets and types in each other that are read.
const NESTING_MAX: usize = 96;

/// A document that can be executed.
#[derive(Clone, Debug, std::default::Default, PartialEq, Eq)]
pub struct Document<'text> {
    /// Its operations in order.
    pub operations: Vec<Operation<'text>>,
    /// What fragments select, by their names.
    pub fragments: BTreeMap<&'text str, SetId>,
    /// Tokens that it is of.
    pub tokens: usize,
    /// Fields with an alias.
    pub aliases: usize,
    /// Directives anywhere.
    pub directives: usize,
    /// Whether the service's schema is asked for.
    pub has_introspection: bool,
    sets: Vec<Vec<Selection<'text>>>,
}

/// Which selection set of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetId(usize);

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<'text> {
    /// Its name, if it has one.
    pub name: Option<&'text str>,
    /// `query`, `mutation` or `subscription`.
    pub kind: Kind,
    /// What it selects.
    pub set: SetId,
    /// What its variables are without another wish.
    pub defaults: BTreeMap<&'text str, Default<'text>>,
}

/// What a variable is without another wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Default<'text> {
    /// The value, as far as it is a number.
    pub direct: Amount<'text>,
    /// The most that a member of it says of how long a list is.
    pub inside: Option<Amount<'text>>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It reads.
    Query,
    /// It changes something.
    Mutation,
    /// It stays.
    Subscription,
}

/// Something that is selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection<'text> {
    /// A field.
    Field {
        /// Its name, not its alias.
        name: &'text str,
        /// The numbers of the arguments that say how long a list is.
        amounts: Vec<Amount<'text>>,
        /// What is selected in it.
        set: Option<SetId>,
    },
    /// A fragment by its name.
    Spread(&'text str),
    /// Further selections in place.
    Inline(SetId),
}

/// How much an argument says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount<'text> {
    /// A whole number that is not negative.
    Number(u64),
    /// What a variable says.
    Variable(&'text str),
    /// What members of a variable say.
    Inside(&'text str),
    /// Nothing: `null`.
    Nothing,
    /// What is no such number, so that nobody knows what a service makes of it.
    Unknown,
}

impl<'text> Document<'text> {
    /// Reads a document. `sizes` are the names of arguments, and of members of objects in arguments, that say how long a
    /// list is.
    ///
    /// # Errors
    /// Where it is none, or beyond the limits.
    pub fn read(text: &'text str, tokens_max: usize, sizes: &[String]) -> Result<Self, Wrong> {
        let mut lexer = Lexer::new(text, tokens_max);
        let token = lexer.read()?;
        let mut parser = Parser { lexer, token, document: Self::default(), sizes };
        loop {
            parser.definition()?;
            if parser.token == Token::End {
                parser.document.tokens = tokens_max.saturating_sub(parser.lexer.tokens_left());
                return Ok(parser.document);
            }
        }
    }

    /// What a set selects.
    #[must_use]
    pub fn set(&self, id: SetId) -> &[Selection<'text>] {
        self.sets.get(id.0).map_or(&[], Vec::as_slice)
    }
}

struct Parser<'text, 'sizes> {
    lexer: Lexer<'text>,
    /// The token that is looked at.
    token: Token<'text>,
    document: Document<'text>,
    sizes: &'sizes [String],
}

impl<'text> Parser<'text, '_> {
    fn wrong<T>(&self, what: What) -> Result<T, Wrong> {
        Err(Wrong { what, at: self.lexer.begin() })
    }

    fn advance(&mut self) -> Result<(), Wrong> {
        self.token = self.lexer.read()?;
        Ok(())
    }

    fn take(&mut self, punctuator: u8) -> Result<bool, Wrong> {
        let is_there = self.token == Token::Punctuator(punctuator);
        if is_there {
            self.advance()?;
        }
        Ok(is_there)
    }

    fn expect(&mut self, punctuator: u8) -> Result<(), Wrong> {
        if self.take(punctuator)? { Ok(()) } else { self.wrong(What::Syntax) }
    }

    fn name(&mut self) -> Result<&'text str, Wrong> {
        let Token::Name(name) = self.token else { return self.wrong(What::Syntax) };
        self.advance()?;
        Ok(name)
    }

    fn optional_name(&mut self) -> Result<Option<&'text str>, Wrong> {
        if matches!(self.token, Token::Name(_)) { self.name().map(Some) } else { Ok(None) }
    }

    fn definition(&mut self) -> Result<(), Wrong> {
        let kind = match self.token {
            Token::Punctuator(b'{') => {
                let set = self.set(0)?;
                let defaults = BTreeMap::new();
                self.document.operations.push(Operation { name: None, kind: Kind::Query, set, defaults });
                return Ok(());
            }
            Token::Name("query") => Kind::Query,
            Token::Name("mutation") => Kind::Mutation,
            Token::Name("subscription") => Kind::Subscription,
            Token::Name("fragment") => return self.fragment(),
            _ => return self.wrong(What::Syntax),
        };
        self.advance()?;
        let name = self.optional_name()?;
        let defaults = self.variables()?;
        self.directives()?;
        let set = self.set(0)?;
        self.document.operations.push(Operation { name, kind, set, defaults });
        Ok(())
    }

    fn fragment(&mut self) -> Result<(), Wrong> {
        self.advance()?;
        let at = self.lexer.begin();
        let name = self.name()?;
        // `fragment on on T` would be read as this one or that.
        if name == "on" || self.name()? != "on" {
            return Err(Wrong { what: What::Syntax, at });
        }
        self.name()?;
        self.directives()?;
        let set = self.set(0)?;
        if self.document.fragments.insert(name, set).is_some() {
            return Err(Wrong { what: What::Syntax, at });
        }
        Ok(())
    }

    /// The variables of an operation, and what they are without another wish.
    fn variables(&mut self) -> Result<BTreeMap<&'text str, Default<'text>>, Wrong> {
        let mut defaults = BTreeMap::new();
        if !self.take(b'(')? {
            return Ok(defaults);
        }
        loop {
            self.expect(b'$')?;
            let name = self.name()?;
            self.expect(b':')?;
            self.type_reference(0)?;
            if self.take(b'=')? {
                let mut nested = Vec::new();
                let direct = self.value(0, &mut nested)?;
                defaults.insert(name, Default { direct, inside: nested.into_iter().reduce(greater) });
            }
            self.directives()?;
            if self.take(b')')? {
                return Ok(defaults);
            }
        }
    }

    fn type_reference(&mut self, nesting: usize) -> Result<(), Wrong> {
        if nesting > NESTING_MAX {
            return self.wrong(What::Nesting);
        }
        if self.take(b'[')? {
            self.type_reference(nesting + 1)?;
            self.expect(b']')?;
        } else {
            self.name()?;
        }
        self.take(b'!')?;
        Ok(())
    }

    fn directives(&mut self) -> Result<(), Wrong> {
        while self.take(b'@')? {
            self.document.directives += 1;
            self.name()?;
            self.arguments()?;
        }
        Ok(())
    }

    /// Arguments, and the numbers among them that say how long a list is.
    fn arguments(&mut self) -> Result<Vec<Amount<'text>>, Wrong> {
        let mut amounts = Vec::new();
        if !self.take(b'(')? {
            return Ok(amounts);
        }
        loop {
            self.argument(0, &mut amounts)?;
            if self.take(b')')? {
                return Ok(amounts);
            }
        }
    }

    fn argument(&mut self, nesting: usize, amounts: &mut Vec<Amount<'text>>) -> Result<(), Wrong> {
        let name = self.name()?;
        self.expect(b':')?;
        let amount = self.value(nesting, amounts)?;
        if self.sizes.iter().any(|size| size == name) {
            amounts.push(amount);
        } else if let Amount::Variable(variable) = amount {
            // It may be an object in which such a number is.
            amounts.push(Amount::Inside(variable));
        }
        Ok(())
    }

    /// A value, as far as it is a number; what says how long a list is inside of it is added to `amounts`.
    fn value(&mut self, nesting: usize, amounts: &mut Vec<Amount<'text>>) -> Result<Amount<'text>, Wrong> {
        if nesting > NESTING_MAX {
            return self.wrong(What::Nesting);
        }
        let amount = match self.token {
            Token::Int(digits) => digits.parse().map_or(Amount::Unknown, Amount::Number),
            Token::Name("null") => Amount::Nothing,
            Token::Float | Token::Text | Token::Name(_) => Amount::Unknown,
            Token::Punctuator(b'$') => {
                self.advance()?;
                return self.name().map(Amount::Variable);
            }
            Token::Punctuator(b'[') => {
                self.advance()?;
                while !self.take(b']')? {
                    self.value(nesting + 1, amounts)?;
                }
                return Ok(Amount::Unknown);
            }
            Token::Punctuator(b'{') => {
                self.advance()?;
                while !self.take(b'}')? {
                    self.argument(nesting + 1, amounts)?;
                }
                return Ok(Amount::Unknown);
            }
            _ => return self.wrong(What::Syntax),
        };
        self.advance()?;
        Ok(amount)
    }

    fn set(&mut self, nesting: usize) -> Result<SetId, Wrong> {
        if nesting > NESTING_MAX {
            return self.wrong(What::Nesting);
        }
        self.expect(b'{')?;
        let mut selections = Vec::new();
        loop {
            selections.push(self.selection(nesting)?);
            if self.take(b'}')? {
                break;
            }
        }
        self.document.sets.push(selections);
        Ok(SetId(self.document.sets.len() - 1))
    }

    fn selection(&mut self, nesting: usize) -> Result<Selection<'text>, Wrong> {
        if self.token == Token::Spread {
            self.advance()?;
            return self.after_spread(nesting);
        }
        let mut name = self.name()?;
        if self.take(b':')? {
            self.document.aliases += 1;
            name = self.name()?;
        }
        self.document.has_introspection |= matches!(name, "__schema" | "__type");
        let amounts = self.arguments()?;
        self.directives()?;
        let has_set = self.token == Token::Punctuator(b'{');
        let set = if has_set { Some(self.set(nesting + 1)?) } else { None };
        Ok(Selection::Field { name, amounts, set })
    }

    fn after_spread(&mut self, nesting: usize) -> Result<Selection<'text>, Wrong> {
        match self.optional_name()? {
            Some("on") => {
                self.name()?;
            }
            Some(fragment) => {
                self.directives()?;
                return Ok(Selection::Spread(fragment));
            }
            None => {}
        }
        self.directives()?;
        self.set(nesting + 1).map(Selection::Inline)
    }
}

fn greater<'text>(one: Amount<'text>, other: Amount<'text>) -> Amount<'text> {
    match (one, other) {
        (Amount::Number(one), Amount::Number(other)) => Amount::Number(one.max(other)),
        (Amount::Nothing, other) | (other, Amount::Nothing) => other,
        _ => Amount::Unknown,
    }
}
