//! `form`: questions, and a document of the answers.

use super::Kind;
use crate::core::builder::compile::Reading;
use crate::core::protocol::filter::InputExpression;

/// Asks questions.
#[derive(Debug)]
pub struct Form {
    /// What is asked, in order.
    pub properties: Vec<Property>,
}

/// One question, or several that belong together.
#[derive(Debug)]
pub struct Property {
    /// The member of the document that it makes.
    pub name: String,
    /// What is shown before it is asked; a template.
    pub description: String,
    /// What is shown when it is asked for; a template.
    pub help: String,
    /// What is in the document when there is no answer.
    pub empty: Empty,
    /// What an answer is.
    pub of: PropertyType,
    /// Whether it is asked at all.
    pub conditional: Option<InputExpression>,
    /// What judges an answer, and how it is written.
    pub validation: Option<(String, InputExpression)>,
    /// Whether there has to be an answer.
    pub required: bool,
    /// The answer where nothing is typed; a template.
    pub default: String,
    /// The only answers there are; any where it is empty. Templates.
    pub choices: Vec<String>,
    /// Questions within it.
    pub properties: Vec<Property>,
}

/// What is in the document when there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Empty {
    /// The empty answer.
    #[default]
    Answer,
    /// An empty list.
    Array,
    /// An empty object.
    Object,
    /// Nothing at all.
    Absent,
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PropertyType {
    /// Text; with questions within it an object that is asked once.
    #[default]
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// Yes or no.
    Bool,
    /// Text that is not shown.
    Password,
    /// Any number of entries with names.
    Object,
    /// Any number of entries.
    Array,
}

const TYPES: [(&str, PropertyType); 8] = [
    ("", PropertyType::Text),
    ("string", PropertyType::Text),
    ("integer", PropertyType::Integer),
    ("float", PropertyType::Float),
    ("bool", PropertyType::Bool),
    ("password", PropertyType::Password),
    ("object", PropertyType::Object),
    ("array", PropertyType::Array),
];

/// Most questions on one level.
const MOST: usize = 256;
/// Deepest nesting.
const DEEPEST: usize = 8;

pub(super) fn read(of: &mut Reading<'_, '_>) -> Kind {
    let properties = properties(of, 0);
    if properties.is_empty() {
        of.error("properties are required, there has to be one at least");
    }
    Kind::Form(Form { properties })
}

fn properties(of: &mut Reading<'_, '_>, depth: usize) -> Vec<Property> {
    if depth > DEEPEST {
        of.error("properties are nested too deep");
        return vec![];
    }
    of.each("properties", MOST, |of| property(of, depth))
}

fn property(of: &mut Reading<'_, '_>, depth: usize) -> Property {
    let name = of.required("name");
    let kind = of.text("type");
    let known = TYPES.iter().find(|(word, _)| *word == kind);
    if known.is_none() {
        let names: Vec<&str> = TYPES.iter().skip(1).map(|(name, _)| *name).collect();
        of.error_at("type", format!("is {kind}, known are {}", names.join(", ")));
    }
    let empty = of.text("empty");
    let property = Property {
        name,
        description: of.template("description"),
        help: of.template("help"),
        empty: match empty.as_str() {
            "array" => Empty::Array,
            "object" => Empty::Object,
            "absent" => Empty::Absent,
            "" => Empty::Answer,
            other => {
                of.error_at("empty", format!("is {other}: array, object and absent are known"));
                Empty::Answer
            }
        },
        of: known.map(|(_, of)| *of).unwrap_or_default(),
        conditional: of.expression("conditional", InputExpression::of_given).map(|(_, compiled)| compiled),
        validation: of.expression("validation", InputExpression::of_value),
        required: of.flag("required"),
        default: of.template("default"),
        choices: of.templates("enum"),
        properties: properties(of, depth + 1),
    };
    if property.of == PropertyType::Object && property.properties.is_empty() {
        of.error("an object needs properties");
    }
    if !matches!(property.of, PropertyType::Text | PropertyType::Object | PropertyType::Array)
        && !property.properties.is_empty()
    {
        of.error_at("properties", format!("have no place in a {kind}"));
    }
    property
}
