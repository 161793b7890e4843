//! What an application is made of (spec 07 D).

use std::fmt;
use std::sync::Arc;

use super::kinds::Kind;
use super::transforms::Transform;
use crate::core::protocol::filter::InputExpression;
use crate::core::text::yaml::At;

/// A whole application.
#[derive(Debug)]
pub struct Definition {
    /// What it calls itself.
    pub name: String,
    /// What it is for; may have several lines.
    pub description: String,
    /// Its version.
    pub version: String,
    /// Who made it.
    pub author: String,
    /// How help is laid out.
    pub help: HelpStyle,
    /// Its cheat sheet; there being one makes the command `cheat`.
    pub cheat: Option<Cheat>,
    /// Commands at its top.
    pub commands: Vec<Command>,
    /// What is odd, such as keys nobody knows.
    pub warnings: Vec<Finding>,
    /// What is understood and not done here: running it is refused by the same words.
    pub refused: Vec<Finding>,
}

/// How help is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HelpStyle {
    /// Commands of all levels, a line each.
    Compact,
    /// All of every command.
    Long,
    /// Commands of the first level.
    Short,
    /// Commands of the first level, and who to ask.
    #[default]
    Default,
}

/// A cheat sheet.
#[derive(Debug, Clone, Default)]
pub struct Cheat {
    /// What it is listed as; the name of the application or command where it is empty.
    pub label: String,
    /// Its text.
    pub text: String,
    /// What it is found by, for programs that keep such sheets.
    pub tags: Vec<String>,
}

/// One command.
#[derive(Debug)]
pub struct Command {
    /// Its name.
    pub name: String,
    /// What it does; may have several lines.
    pub description: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// Free words about it.
    pub tags: Vec<String>,
    /// What is given by place.
    pub arguments: Vec<Input>,
    /// What is given by name.
    pub flags: Vec<Input>,
    /// A question that is asked first.
    pub confirm: Option<String>,
    /// A text that is shown first; a template.
    pub banner: Option<String>,
    /// Its cheat sheet.
    pub cheat: Option<Cheat>,
    /// Secrets that it is given.
    pub secrets: Vec<Secret>,
    /// What it does.
    pub kind: Kind,
    /// What its output goes through.
    pub transform: Option<Transform>,
    /// Commands below it.
    pub commands: Vec<Command>,
}

impl Command {
    /// Whether a person means it by this word.
    pub fn is_called(&self, word: &str) -> bool {
        self.name == word || self.aliases.iter().any(|alias| alias == word)
    }

    /// The first line of its description.
    pub fn summary(&self) -> &str {
        self.description.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
    }
}

/// A secret of somebody else's store.
#[derive(Debug, Clone)]
pub struct Secret {
    /// What templates call it.
    pub name: String,
    /// `op://VAULT/ITEM/FIELD` of 1Password.
    pub reference: String,
    /// The account there, where it is said.
    pub account: String,
}

/// An argument or a flag.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether there has to be a value.
    pub required: bool,
    /// The only values there are; any where it is empty.
    pub choices: Vec<String>,
    /// The value where none is given.
    pub default: Option<String>,
    /// What its value is.
    pub of: Type,
    /// What judges a value, and how it is written.
    pub validate: Option<(String, InputExpression)>,
    /// What stands for the value in help.
    pub placeholder: String,
    /// A variable of the environment with the value.
    pub env: Option<String>,
    /// One letter for it.
    pub short: Option<char>,
    /// Which replies are kept when it is given, of `rpc`; a template.
    pub reply_filter: Option<String>,
}

impl Input {
    /// Whether `--no-NAME` means something.
    pub fn is_negatable(&self) -> bool {
        self.of == Type::Bool && self.default.as_deref().and_then(truth) == Some(true)
    }

    /// Whether a value stands behind it.
    pub fn takes_value(&self) -> bool {
        !matches!(self.of, Type::Bool | Type::Counter)
    }
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Type {
    /// Text.
    #[default]
    Text,
    /// Yes or no.
    Bool,
    /// The path of a file that is there.
    ExistingFile,
    /// The path of a directory that is there.
    ExistingDir,
    /// How often it was given.
    Counter,
    /// A whole number of so many bits.
    Int(u8),
    /// A whole number of so many bits that is not below zero.
    Uint(u8),
    /// A number.
    Float,
}

/// All there are, as they are written.
const TYPES: [(&str, Type); 20] = [
    ("string", Type::Text),
    ("bool", Type::Bool),
    ("existing_file", Type::ExistingFile),
    ("existing_dir", Type::ExistingDir),
    ("counter", Type::Counter),
    ("int", Type::Int(64)),
    ("integer", Type::Int(64)),
    ("int8", Type::Int(8)),
    ("int16", Type::Int(16)),
    ("int32", Type::Int(32)),
    ("int64", Type::Int(64)),
    ("uint", Type::Uint(64)),
    ("uint8", Type::Uint(8)),
    ("uint16", Type::Uint(16)),
    ("uint32", Type::Uint(32)),
    ("uint64", Type::Uint(64)),
    ("float", Type::Float),
    ("float32", Type::Float),
    ("float64", Type::Float),
    ("boolean", Type::Bool),
];

impl Type {
    /// The type of that name, in letters of either case.
    pub fn of_name(name: &str) -> Option<Type> {
        let name = name.trim().to_ascii_lowercase();
        TYPES.iter().find(|(known, _)| *known == name).map(|(_, of)| *of)
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TYPES.iter().map(|(name, _)| *name)
    }

    /// What it is, for a sentence.
    pub fn spoken(self) -> String {
        match self {
            Type::Text => "a text".to_owned(),
            Type::Bool => "true or false".to_owned(),
            Type::ExistingFile => "a file that is there".to_owned(),
            Type::ExistingDir => "a directory that is there".to_owned(),
            Type::Counter => "a count".to_owned(),
            Type::Int(bits) => format!("a whole number of {bits} bits"),
            Type::Uint(bits) => format!("a whole number of {bits} bits that is not below zero"),
            Type::Float => "a number".to_owned(),
        }
    }
}

/// Yes or no, in the spellings the original takes.
pub fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Something about a definition, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: Arc<str>,
    /// The place in it.
    pub at: At,
    /// A sentence.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.at.line, self.at.column, self.text)
    }
}
