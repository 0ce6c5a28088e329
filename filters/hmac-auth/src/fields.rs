//! Structured fields (RFC 9651), as far as signatures use them: dictionaries of inner lists and byte sequences.
//!
//! Nothing here looks at what the members mean. Each text is read once from left to right; what is longer than any
//! sensible client sends is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Members that a dictionary may have.
pub const MEMBERS_MAX: usize = 8;
/// Items that an inner list may have.
pub const ITEMS_MAX: usize = 32;
/// Parameters that an item may have.
pub const PARAMETERS_MAX: usize = 16;
/// Digits that an integer may have, by the standard.
const DIGITS_MAX: usize = 15;

/// The text is no such field, or beyond the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A member of a dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'text> {
    /// Its key.
    pub key: &'text str,
    /// The value with its parameters as it stands in the text.
    pub raw: &'text str,
    /// The value.
    pub value: Value,
    /// The value's parameters.
    pub parameters: Vec<(&'text str, Bare)>,
}

/// The value of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An inner list of items without parameters of their own.
    List(Vec<Bare>),
    /// Anything else.
    Bare(Bare),
}

/// An item without parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bare {
    /// `42`
    Integer(i64),
    /// `"text"`
    Text(String),
    /// `token`
    Token(String),
    /// `:YnVmZmVy:`
    Bytes(Vec<u8>),
    /// `?1`, or nothing at all
    Boolean(bool),
}

impl Member<'_> {
    /// A parameter's value.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&Bare> {
        self.parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// Reads a dictionary.
///
/// # Errors
/// If it is none, has a key twice, or is beyond the limits.
pub fn dictionary(text: &str) -> Result<Vec<Member<'_>>, Malformed> {
    let mut reader = Reader { rest: text.trim_matches([' ', '\t']) };
    let mut members: Vec<Member<'_>> = Vec::new();
    loop {
        let member = reader.member()?;
        if members.len() == MEMBERS_MAX || members.iter().any(|other| other.key == member.key) {
            return Err(Malformed);
        }
        members.push(member);
        reader.skip_spaces();
        if reader.rest.is_empty() {
            return Ok(members);
        }
        reader.expect(',')?;
        reader.skip_spaces();
    }
}

struct Reader<'text> {
    rest: &'text str,
}

impl<'text> Reader<'text> {
    fn member(&mut self) -> Result<Member<'text>, Malformed> {
        let key = self.key()?;
        let has_value = self.take('=');
        let before = self.rest;
        let value = match has_value {
            false => Value::Bare(Bare::Boolean(true)),
            true if before.starts_with('(') => Value::List(self.list()?),
            true => Value::Bare(self.bare()?),
        };
        let parameters = self.parameters()?;
        let length = before.len().saturating_sub(self.rest.len());
        Ok(Member { key, raw: before.get(..length).unwrap_or_default(), value, parameters })
    }

    fn list(&mut self) -> Result<Vec<Bare>, Malformed> {
        let mut items = Vec::new();
        self.expect('(')?;
        loop {
            self.rest = self.rest.trim_start_matches(' ');
            if self.take(')') {
                return Ok(items);
            }
            if items.len() == ITEMS_MAX {
                return Err(Malformed);
            }
            items.push(self.bare()?);
            if !self.rest.starts_with([' ', ')']) {
                return Err(Malformed);
            }
        }
    }

    fn parameters(&mut self) -> Result<Vec<(&'text str, Bare)>, Malformed> {
        let mut parameters: Vec<(&str, Bare)> = Vec::new();
        while self.take(';') {
            self.rest = self.rest.trim_start_matches(' ');
            let key = self.key()?;
            let value = if self.take('=') { self.bare()? } else { Bare::Boolean(true) };
            if parameters.len() == PARAMETERS_MAX || parameters.iter().any(|(other, _)| *other == key) {
                return Err(Malformed);
            }
            parameters.push((key, value));
        }
        Ok(parameters)
    }

    fn key(&mut self) -> Result<&'text str, Malformed> {
        if !self.rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '*') {
            return Err(Malformed);
        }
        Ok(self.while_matching(|next| {
            next.is_ascii_lowercase() || next.is_ascii_digit() || matches!(next, '_' | '-' | '.' | '*')
        }))
    }

    fn bare(&mut self) -> Result<Bare, Malformed> {
        match self.rest.chars().next() {
            Some('"') => self.text(),
            Some(':') => self.bytes(),
            Some('?') => self.boolean(),
            Some(first) if first.is_ascii_digit() || first == '-' => self.integer(),
            Some(first) if first.is_ascii_alphabetic() || first == '*' => {
                let is_of_token =
                    |next: char| next.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(next);
                Ok(Bare::Token(self.while_matching(is_of_token).to_owned()))
            }
            _ => Err(Malformed),
        }
    }

    fn text(&mut self) -> Result<Bare, Malformed> {
        self.expect('"')?;
        let mut text = String::new();
        loop {
            text.push_str(
                self.while_matching(|next| matches!(next, ' '..='~') && next != '"' && next != '\\'),
            );
            if self.take('"') {
                return Ok(Bare::Text(text));
            }
            self.expect('\\')?;
            let escaped =
                self.rest.chars().next().filter(|next| matches!(next, '"' | '\\')).ok_or(Malformed)?;
            self.expect(escaped)?;
            text.push(escaped);
        }
    }

    fn bytes(&mut self) -> Result<Bare, Malformed> {
        self.expect(':')?;
        let (encoded, rest) = self.rest.split_once(':').ok_or(Malformed)?;
        self.rest = rest;
        STANDARD.decode(encoded).map(Bare::Bytes).map_err(|_| Malformed)
    }

    fn boolean(&mut self) -> Result<Bare, Malformed> {
        self.expect('?')?;
        let is_true = self.take('1');
        if !is_true {
            self.expect('0')?;
        }
        Ok(Bare::Boolean(is_true))
    }

    fn integer(&mut self) -> Result<Bare, Malformed> {
        let sign = if self.take('-') { -1 } else { 1 };
        let digits = self.while_matching(|next| next.is_ascii_digit());
        if digits.len() > DIGITS_MAX || self.rest.starts_with('.') {
            return Err(Malformed);
        }
        digits.parse::<i64>().map(|number| Bare::Integer(sign * number)).map_err(|_| Malformed)
    }

    fn while_matching(&mut self, matches: impl Fn(char) -> bool) -> &'text str {
        let end = self.rest.find(|next| !matches(next)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, wanted: char) -> Result<(), Malformed> {
        if self.take(wanted) { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dictionary_of_signatures_is_read_with_its_parameters() {
        let text =
            r#"sig1=("@method" "date");created=16;keyid="a\"b", sig2=:AQI=:, flag ,t=tok/en;p=?0;n=-5"#;
        let members = dictionary(text).unwrap_or_default();
        let [first, second, flag, token] = &members[..] else { unreachable!("{members:?}") };
        assert_eq!((first.key, first.raw), ("sig1", r#"("@method" "date");created=16;keyid="a\"b""#));
        let items = ["@method", "date"].map(|name| Bare::Text(name.to_owned())).to_vec();
        assert_eq!(first.value, Value::List(items));
        assert_eq!(first.parameter("created"), Some(&Bare::Integer(16)));
        assert_eq!(first.parameter("keyid"), Some(&Bare::Text("a\"b".to_owned())));
        assert_eq!(first.parameter("nonce"), None);
        assert_eq!((second.key, &second.value), ("sig2", &Value::Bare(Bare::Bytes(vec![1, 2]))));
        assert_eq!((flag.key, &flag.value), ("flag", &Value::Bare(Bare::Boolean(true))));
        assert_eq!(token.value, Value::Bare(Bare::Token("tok/en".to_owned())));
        let parameters = vec![("p", Bare::Boolean(false)), ("n", Bare::Integer(-5))];
        assert_eq!(token.parameters, parameters);
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        let long = format!("a={}", "1".repeat(DIGITS_MAX + 1));
        let many = (0..=MEMBERS_MAX).map(|at| format!("k{at}")).collect::<Vec<_>>().join(",");
        let items = format!("a=({})", "1 ".repeat(ITEMS_MAX + 1));
        for text in [
            "",
            ",",
            "a,",
            "A=1",
            "a=",
            "a=1,a=2",
            "a=(1",
            "a=(1 2;x)",
            "a=\"x",
            "a=\"x\\y\"",
            "a=:=:",
            "a=:AQ",
            "a=?2",
            "a=1.5",
            "a=-",
            "a=1;b;b",
            "a=1 b=2",
            "a=\u{e4}",
            "a=\"\u{e4}\"",
            &long,
            &many,
            &items,
        ] {
            assert_eq!(dictionary(text), Err(Malformed), "{text}");
        }
    }
}
