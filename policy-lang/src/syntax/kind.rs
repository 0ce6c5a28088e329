//! The kinds of tokens and nodes of a syntax tree.
//!
//! Token kinds come first, then node kinds. A kind's description is its documentation and the words
//! in which diagnostics speak of it. Words are [`SyntaxKind::Name`]s to the lexer; the parser, which
//! knows where a word stands, makes some of them [`SyntaxKind::Keyword`]s or [`SyntaxKind::Method`]s.

macro_rules! kinds {
    ($($name:ident $words:literal,)*) => {
        /// The kind of a token or node.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum SyntaxKind {
            $(#[doc = $words] $name,)*
        }

        impl SyntaxKind {
            /// All kinds, each at the index that is its number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The words in which people are told of it.
            #[must_use]
            pub fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

kinds! {
    // Tokens without meaning.
    Whitespace "white space",
    Comment "a comment",
    // Words and literals.
    Name "a name",
    Keyword "a keyword",
    Method "a method",
    Path "a path",
    Int "a number",
    String "a string",
    Ip "an IP address",
    Cidr "an address range",
    Percent "a percentage",
    Duration "a duration",
    Rate "a rate",
    Size "a size",
    Date "a date",
    Fraction "a number with a fraction",
    // Punctuation.
    LeftBrace "`{`",
    RightBrace "`}`",
    LeftParen "`(`",
    RightParen "`)`",
    LeftBracket "`[`",
    RightBracket "`]`",
    Comma "`,`",
    Colon "`:`",
    Dot "`.`",
    Question "`?`",
    At "`@`",
    Arrow "`->`",
    Assign "`=`",
    Equal "`==`",
    NotEqual "`!=`",
    Less "`<`",
    LessOrEqual "`<=`",
    Greater "`>`",
    GreaterOrEqual "`>=`",
    Not "`!`",
    And "`&&`",
    Or "`||`",
    Plus "`+`",
    Minus "`-`",
    Star "`*`",
    Slash "`/`",
    Modulo "`%`",
    // What no rule of the language begins with.
    Unknown "an unknown character",
    EndOfFile "the end of the file",

    // Nodes: the file and its items.
    File "a file",
    Use "a `use`",
    Let "a `let`",
    Schema "a `schema`",
    SchemaJwt "a `jwt` of a schema",
    SchemaApiKey "an `apikey` of a schema",
    SchemaHeader "a `header` of a schema",
    Field "a field",
    TypeName "a type",
    Policy "a policy",
    Test "a test",
    Prove "a proof",
    // Policies.
    Target "a target",
    Ref "a reference `namespace/name`",
    Label "a label",
    Mode "a `mode`",
    Rule "a rule",
    Exempt "an `exempt`",
    Otherwise "an `otherwise`",
    Plaintext "a `plaintext`",
    Respond "a `respond`",
    Match "a match",
    Peer "a peer",
    Condition "a condition",
    Statement "a statement",
    Destination "a destination",
    // Tests.
    Given "a `given`",
    Request "a request",
    With "a `with`",
    Expect "an expectation",
    RuleName "the name of a rule",
    // Expressions.
    NameExpr "a name in an expression",
    LiteralExpr "a literal",
    ParenExpr "an expression in parentheses",
    ListExpr "a list",
    MapExpr "a map",
    MapEntry "an entry of a map",
    UnaryExpr "an expression with one operand",
    BinaryExpr "an expression with two operands",
    ConditionalExpr "a conditional expression",
    FieldExpr "a field access",
    IndexExpr "an index access",
    CallExpr "a call",
    Arguments "arguments",
    // What could not be understood; its tokens are kept.
    Error "something that is not understood",
}

impl SyntaxKind {
    /// Whether it is white space or a comment.
    #[must_use]
    pub fn is_trivia(self) -> bool {
        matches!(self, Self::Whitespace | Self::Comment)
    }
}

impl From<SyntaxKind> for rowan::SyntaxKind {
    fn from(kind: SyntaxKind) -> Self {
        Self(kind as u16)
    }
}
