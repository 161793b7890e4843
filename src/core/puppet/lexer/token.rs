//! Tokens: what words and signs a text is made of.

use crate::source::Span;
use crate::value::Text;

/// A token and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub tok: Tok,
    pub span: Span,
    /// White space or a line's end stands before it: such a `[` begins something new.
    pub spaced: bool,
    /// A line's end stands between it and what is before: such a `(` begins something new.
    pub first: bool,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tok {
    /// `name` or `a::name`
    Name(Text),
    /// `a-word`, which is text and nothing else
    Word(Text),
    /// `Type` or `A::Type`
    Type(Text),
    /// `$name`
    Variable(Text),
    Integer(i64),
    Float(f64),
    /// Text without anything to fill in.
    String(Text),
    /// Text with something to fill in.
    Interpolated(Vec<Part>),
    /// Between slashes.
    Regexp(Text),
    Keyword(Keyword),
    Sign(Sign),
    End,
}

/// A part of text that is put together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Text(Text),
    /// `$name`
    Variable(Text, Span),
    /// `${ … }`; its tokens, [`Tok::End`] last
    Code(Vec<Token>),
}

macro_rules! words {
    ($name:ident, $doc:literal, $($variant:ident $text:literal)*) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $($variant),* }

        impl $name {
            pub(crate) const ALL: &'static [($name, &'static str)] = &[$(($name::$variant, $text)),*];

            /// As it is written.
            pub(crate) fn text(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }
        }
    };
}

words! { Keyword, "Words with a meaning of their own.",
    And "and" Attr "attr" Case "case" Class "class" Default "default" Define "define" Else "else"
    Elsif "elsif" False "false" Function "function" If "if" In "in" Inherits "inherits" Node "node"
    Or "or" Private "private" True "true" Type "type" Undef "undef" Unless "unless" Plan "plan"
    Apply "apply"
}

// The longer of two that begin alike comes first.
words! { Sign, "Signs.",
    CollectAll "<<|" CollectedAll "|>>"
    Equal "==" Match "=~" Arrow "=>" NotEqual "!=" NoMatch "!~" AppendTo "+=" RemoveFrom "-=" AddArrow "+>"
    Before "->" Notify "~>" After "<-" NotifiedBy "<~" ShiftLeft "<<" ShiftRight ">>" AtMost "<="
    AtLeast ">=" Collect "<|" Collected "|>" At "@"
    OpenBrace "{" CloseBrace "}" Open "(" Close ")" OpenBracket "[" CloseBracket "]" Comma ","
    Semicolon ";" Colon ":" Dot "." Pipe "|" Assign "=" Not "!" Question "?" Plus "+" Minus "-"
    Times "*" Divide "/" Modulo "%" Less "<" Greater ">"
}

impl Tok {
    /// What errors call it.
    pub(crate) fn shown(&self) -> String {
        let short = |text: &str| text.chars().take(40).collect::<String>();
        match self {
            Tok::Name(text) | Tok::Word(text) | Tok::Type(text) => format!("'{}'", short(text)),
            Tok::Variable(name) => format!("'${}'", short(name)),
            Tok::Integer(n) => format!("'{n}'"),
            Tok::Float(n) => format!("'{n}'"),
            Tok::String(_) | Tok::Interpolated(_) => "a string".to_owned(),
            Tok::Regexp(_) => "a regular expression".to_owned(),
            Tok::Keyword(word) => format!("'{}'", word.text()),
            Tok::Sign(sign) => format!("'{}'", sign.text()),
            Tok::End => "the end of the text".to_owned(),
        }
    }

    /// Whether a value may end here, so that a `/` behind it divides.
    pub(super) fn ends_value(&self) -> bool {
        match self {
            Tok::Sign(Sign::Close | Sign::CloseBracket) => true,
            Tok::Sign(_) | Tok::End => false,
            Tok::Keyword(word) => {
                matches!(word, Keyword::True | Keyword::False | Keyword::Undef | Keyword::Default)
            }
            _ => true,
        }
    }
}
