//! Tokens of a GraphQL document (specification of October 2021, section 2.1).
//!
//! White space, commas and comments are passed over; texts are passed over, too, since nothing here asks what they say.

/// A document that cannot be read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong.
    pub what: What,
    /// Bytes before the place.
    pub at: usize,
}

/// What is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Something else has to stand here.
    Syntax,
    /// It has more tokens than allowed.
    Tokens,
    /// Braces, brackets or fragments are too deep in each other to be read.
    Nesting,
}

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'text> {
    /// A name or keyword.
    Name(&'text str),
    /// A whole number.
    Int(&'text str),
    /// Another number.
    Float,
    /// A text of either form.
    Text,
    /// One of `! $ & ( ) : = @ [ ] { | }`.
    Punctuator(u8),
    /// `...`
    Spread,
    /// Nothing follows.
    End,
}

/// Reads tokens from left to right.
#[derive(Clone, Debug)]
pub struct Lexer<'text> {
    text: &'text str,
    at: usize,
    /// Where the token begins that was read last.
    begin: usize,
    tokens_left: usize,
}

impl<'text> Lexer<'text> {
    /// Before the first token, of which there may be so many.
    #[must_use]
    pub fn new(text: &'text str, tokens_max: usize) -> Self {
        // A mark of the order of bytes may stand first.
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, at, begin: at, tokens_left: tokens_max }
    }

    /// How many more tokens there may be.
    #[must_use]
    pub fn tokens_left(&self) -> usize {
        self.tokens_left
    }

    /// Where the token begins that was read last.
    #[must_use]
    pub fn begin(&self) -> usize {
        self.begin
    }

    /// The next token.
    ///
    /// # Errors
    /// Where there is none, or there are too many.
    pub fn read(&mut self) -> Result<Token<'text>, Wrong> {
        self.skip();
        self.begin = self.at;
        let Some(byte) = self.peek(0) else { return Ok(Token::End) };
        self.tokens_left = self.tokens_left.checked_sub(1).ok_or_else(|| self.wrong(What::Tokens))?;
        match byte {
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|' | b'}' => {
                self.at += 1;
                Ok(Token::Punctuator(byte))
            }
            b'.' if self.rest().starts_with(b"...") => {
                self.at += 3;
                Ok(Token::Spread)
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.take_while(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
                Ok(Token::Name(self.taken()))
            }
            b'-' | b'0'..=b'9' => self.number(),
            b'"' if self.rest().starts_with(b"\"\"\"") => self.block_text(),
            b'"' => self.line_text(),
            _ => Err(self.wrong(What::Syntax)),
        }
    }

    fn wrong(&self, what: What) -> Wrong {
        Wrong { what, at: self.at }
    }

    fn rest(&self) -> &'text [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn taken(&self) -> &'text str {
        self.text.get(self.begin..self.at).unwrap_or_default()
    }

    fn take_while(&mut self, is_wanted: impl Fn(u8) -> bool) -> usize {
        let count = self.rest().iter().position(|byte| !is_wanted(*byte)).unwrap_or(self.rest().len());
        self.at += count;
        count
    }

    fn skip(&mut self) {
        loop {
            self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b','));
            if self.peek(0) != Some(b'#') {
                return;
            }
            self.take_while(|byte| !matches!(byte, b'\n' | b'\r'));
        }
    }

    fn number(&mut self) -> Result<Token<'text>, Wrong> {
        self.at += usize::from(self.peek(0) == Some(b'-'));
        let begins_with_zero = self.peek(0) == Some(b'0');
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if digits == 0 || (begins_with_zero && digits > 1) {
            return Err(self.wrong(What::Syntax));
        }
        let mut is_whole = true;
        if self.peek(0) == Some(b'.') {
            is_whole = false;
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            is_whole = false;
            self.at += 1 + usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
            self.some_digits()?;
        }
        if self.peek(0).is_some_and(|byte| byte == b'_' || byte == b'.' || byte.is_ascii_alphabetic()) {
            return Err(self.wrong(What::Syntax));
        }
        Ok(if is_whole { Token::Int(self.taken()) } else { Token::Float })
    }

    fn some_digits(&mut self) -> Result<(), Wrong> {
        match self.take_while(|byte| byte.is_ascii_digit()) {
            0 => Err(self.wrong(What::Syntax)),
            _ => Ok(()),
        }
    }

    fn line_text(&mut self) -> Result<Token<'text>, Wrong> {
        self.at += 1;
        loop {
            self.take_while(|byte| !matches!(byte, b'"' | b'\\' | b'\n' | b'\r'));
            match (self.peek(0), self.peek(1)) {
                (Some(b'"'), _) => {
                    self.at += 1;
                    return Ok(Token::Text);
                }
                // Which escape it is does not matter, but that it is no end.
                (Some(b'\\'), Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u')) => {
                    self.at += 2
                }
                _ => return Err(self.wrong(What::Syntax)),
            }
        }
    }

    fn block_text(&mut self) -> Result<Token<'text>, Wrong> {
        self.at += 3;
        loop {
            self.take_while(|byte| !matches!(byte, b'"' | b'\\'));
            if self.rest().starts_with(b"\"\"\"") {
                self.at += 3;
                return Ok(Token::Text);
            }
            let is_escaped = self.rest().starts_with(b"\\\"\"\"");
            match self.peek(0) {
                Some(_) => self.at += if is_escaped { 4 } else { 1 },
                None => return Err(self.wrong(What::Syntax)),
            }
        }
    }
}
