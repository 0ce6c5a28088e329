//! A reader of protobuf's text format, as far as CEL's conformance tests use it.

use std::iter::Peekable;
use std::str::Chars;

/// A message: its fields in order.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) fields: Vec<(String, Field)>,
}

/// The value of a field.
#[derive(Debug)]
pub(crate) enum Field {
    /// A string (escapes replaced), number or word.
    Text(String),
    Message(Message),
}

impl Message {
    /// The first field of a name.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, field)| field)
    }

    /// All messages of a name.
    pub(crate) fn messages(&self, name: &str) -> impl Iterator<Item = &Message> {
        self.fields.iter().filter_map(move |(known, field)| match field {
            Field::Message(message) if known == name => Some(message),
            _ => None,
        })
    }

    /// The text of a field; empty if there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.field(name) {
            Some(Field::Text(text)) => text,
            _ => "",
        }
    }
}

/// Reads a whole file.
pub(crate) fn parse(text: &str) -> Message {
    message(&mut text.chars().peekable())
}

/// Fields up to a closing brace or the end.
fn message(input: &mut Peekable<Chars<'_>>) -> Message {
    let mut found = Message::default();
    loop {
        skip(input);
        match input.peek() {
            None => return found,
            Some('}') => {
                input.next();
                return found;
            }
            Some(_) => {}
        }
        let name = word(input);
        assert!(!name.is_empty(), "a field has a name; then comes {:?}", input.peek());
        skip(input);
        input.next_if_eq(&':');
        skip(input);
        let field = match input.peek() {
            Some('{') => {
                input.next();
                Field::Message(message(input))
            }
            Some('"' | '\'') => Field::Text(strings(input)),
            _ => Field::Text(word(input)),
        };
        found.fields.push((name, field));
    }
}

/// White space, comments and separators.
fn skip(input: &mut Peekable<Chars<'_>>) {
    while let Some(character) = input.peek() {
        match character {
            '#' => while input.next().is_some_and(|character| character != '\n') {},
            ',' | ';' => _ = input.next(),
            _ if character.is_whitespace() => _ = input.next(),
            _ => return,
        }
    }
}

/// A name, a number, or a type in brackets.
fn word(input: &mut Peekable<Chars<'_>>) -> String {
    let mut word = String::new();
    while let Some(character) = input.next_if(|next| next.is_alphanumeric() || "_.-+/[]".contains(*next)) {
        word.push(character);
    }
    word
}

/// One or several strings, which are one.
fn strings(input: &mut Peekable<Chars<'_>>) -> String {
    let mut bytes = Vec::new();
    while let Some(quote) = input.next_if(|next| matches!(next, '"' | '\'')) {
        while let Some(character) = input.next_if(|next| *next != quote) {
            if character == '\\' {
                escape(input, &mut bytes);
            } else {
                bytes.extend(character.to_string().bytes());
            }
        }
        input.next();
        skip(input);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An escape whose backslash has been read.
fn escape(input: &mut Peekable<Chars<'_>>, bytes: &mut Vec<u8>) {
    let Some(character) = input.next() else { return };
    let mut digits = |count: usize, radix: u32, first: Option<char>| {
        let mut code = first.and_then(|digit| digit.to_digit(radix)).unwrap_or(0);
        for _ in 0..count {
            let Some(digit) = input.next_if(|next| next.is_digit(radix)) else { break };
            code = code * radix + digit.to_digit(radix).unwrap_or(0);
        }
        code
    };
    match character {
        'n' => bytes.push(b'\n'),
        'r' => bytes.push(b'\r'),
        't' => bytes.push(b'\t'),
        'a' => bytes.push(7),
        'b' => bytes.push(8),
        'f' => bytes.push(12),
        'v' => bytes.push(11),
        'x' => bytes.push(u8::try_from(digits(2, 16, None)).unwrap_or(0)),
        '0'..='7' => bytes.push(u8::try_from(digits(2, 8, Some(character))).unwrap_or(0)),
        'u' => bytes.extend(char::from_u32(digits(4, 16, None)).unwrap_or('?').to_string().bytes()),
        'U' => bytes.extend(char::from_u32(digits(8, 16, None)).unwrap_or('?').to_string().bytes()),
        other => bytes.extend(other.to_string().bytes()),
    }
}
