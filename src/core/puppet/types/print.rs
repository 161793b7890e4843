//! Types as they are written.

use std::fmt::{self, Display, Formatter};

use super::{Count, Kind, Presence, Span, Type};
use crate::value::{float, quoted};

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Kind::NotUndef(of) | Kind::Type(of) | Kind::Iterable(of) | Kind::Sensitive(of) => {
                f.write_str(self.name())?;
                of.as_ref().map_or(Ok(()), |of| write!(f, "[{}]", word_or(of)))
            }
            Kind::Optional(of) if *of.kind() == Kind::Any => f.write_str("Optional"),
            Kind::Optional(of) => write!(f, "Optional[{}]", word_or(of)),
            Kind::Integer(span) if *span == Span::ALL => f.write_str("Integer"),
            Kind::Integer(Span { least, most }) => {
                let bound = |n: i64| (n != i64::MIN && n != i64::MAX).then(|| n.to_string());
                write_bounds(f, "Integer", bound(*least), bound(*most))
            }
            Kind::Float(None, None) => f.write_str("Float"),
            Kind::Float(least, most) => {
                let bound = |n: &Option<crate::value::Float>| n.map(|n| float(n.get()));
                write_bounds(f, "Float", bound(least), bound(most))
            }
            Kind::String(count) => {
                f.write_str("String")?;
                write_count(f, "[", *count, "]")
            }
            Kind::Collection(count) => {
                f.write_str("Collection")?;
                write_count(f, "[", *count, "]")
            }
            Kind::Boolean(Some(b)) => write!(f, "Boolean[{b}]"),
            Kind::Enum(words, any_case) if !words.is_empty() => {
                let words = words.iter().map(|word| quoted(word));
                write_list(f, "Enum", words.chain(any_case.then(|| "true".to_owned())))
            }
            Kind::Pattern(patterns) if !patterns.is_empty() => {
                write_list(f, "Pattern", patterns.iter().map(|regexp| slashed(regexp.text())))
            }
            Kind::Regexp(Some(text)) => write!(f, "Regexp[{}]", slashed(text)),
            Kind::Array(of, count) if *of.kind() == Kind::Any && *count == Count::ANY => f.write_str("Array"),
            Kind::Array(of, count) if *of.kind() == Kind::Undef && count.most == 0 => {
                f.write_str("Array[0, 0]")
            }
            Kind::Array(of, count) => {
                write!(f, "Array[{of}")?;
                write_count(f, ", ", *count, "")?;
                f.write_str("]")
            }
            Kind::Hash(key, value, count)
                if *key.kind() == Kind::Any && *value.kind() == Kind::Any && *count == Count::ANY =>
            {
                f.write_str("Hash")
            }
            Kind::Hash(key, _, count) if *key.kind() == Kind::Undef && count.most == 0 => {
                f.write_str("Hash[0, 0]")
            }
            Kind::Hash(key, value, count) => {
                write!(f, "Hash[{key}, {value}")?;
                write_count(f, ", ", *count, "")?;
                f.write_str("]")
            }
            Kind::Tuple(types, count) if !types.is_empty() => {
                write!(f, "Tuple[{}", types[0])?;
                types[1..].iter().try_for_each(|of| write!(f, ", {of}"))?;
                if let Some(count) = count {
                    write_whole_count(f, *count)?;
                }
                f.write_str("]")
            }
            Kind::Callable(types, count) if !types.is_empty() || count.is_some() => {
                f.write_str("Callable[")?;
                for (n, of) in types.iter().enumerate() {
                    write!(f, "{}{of}", if n > 0 { ", " } else { "" })?;
                }
                if let Some(Span { least, most }) = count {
                    let comma = if types.is_empty() { "" } else { ", " };
                    write!(f, "{comma}{least}, {}", most_of(*most))?;
                }
                f.write_str("]")
            }
            Kind::Struct(members) if !members.is_empty() => {
                f.write_str("Struct[{")?;
                for (n, member) in members.iter().enumerate() {
                    let comma = if n > 0 { ", " } else { "" };
                    let key = quoted(&member.name);
                    match member.presence {
                        Presence::Plain => write!(f, "{comma}{key} => {}", member.of)?,
                        Presence::Optional => write!(f, "{comma}Optional[{key}] => {}", member.of)?,
                        Presence::Required => write!(f, "{comma}NotUndef[{key}] => {}", member.of)?,
                    }
                }
                f.write_str("}]")
            }
            Kind::Variant(types) if !types.is_empty() => {
                write_list(f, "Variant", types.iter().map(Type::to_string))
            }
            Kind::SemVer(ranges) if !ranges.is_empty() => {
                write_list(f, "SemVer", ranges.iter().map(|range| quoted(&range.to_string())))
            }
            _ => f.write_str(self.name()),
        }
    }
}

impl Type {
    /// Without parameters.
    pub fn name(&self) -> &str {
        match self.kind() {
            Kind::Any => "Any",
            Kind::Undef => "Undef",
            Kind::NotUndef(_) => "NotUndef",
            Kind::Default => "Default",
            Kind::Scalar => "Scalar",
            Kind::ScalarData => "ScalarData",
            Kind::Data => "Data",
            Kind::RichData => "RichData",
            Kind::Numeric => "Numeric",
            Kind::Integer(_) => "Integer",
            Kind::Float(..) => "Float",
            Kind::String(_) | Kind::Text(_) => "String",
            Kind::Boolean(_) => "Boolean",
            Kind::Enum(..) => "Enum",
            Kind::Pattern(_) => "Pattern",
            Kind::Regexp(_) => "Regexp",
            Kind::Array(..) => "Array",
            Kind::Hash(..) => "Hash",
            Kind::Tuple(..) => "Tuple",
            Kind::Struct(_) => "Struct",
            Kind::Variant(_) => "Variant",
            Kind::Optional(_) => "Optional",
            Kind::Type(_) => "Type",
            Kind::Callable(..) => "Callable",
            Kind::Iterable(_) => "Iterable",
            Kind::Collection(_) => "Collection",
            Kind::Sensitive(_) => "Sensitive",
            Kind::Timestamp => "Timestamp",
            Kind::Timespan => "Timespan",
            Kind::SemVer(_) => "SemVer",
            Kind::SemVerRange => "SemVerRange",
            Kind::Binary => "Binary",
            Kind::Error => "Error",
            Kind::TaskResult => "Choria::TaskResult",
            Kind::TaskResults => "Choria::TaskResults",
            Kind::Catalog(name) => name,
            Kind::Alias(alias) => alias.name(),
        }
    }
}

/// `Optional['word']` is written with the word alone.
fn word_or(of: &Type) -> String {
    match of.kind() {
        Kind::Enum(words, false) if words.len() == 1 => quoted(&words[0]),
        _ => of.to_string(),
    }
}

fn slashed(text: &str) -> String {
    format!("/{}/", text.replace('/', "\\/"))
}

fn write_list(f: &mut Formatter<'_>, name: &str, items: impl Iterator<Item = String>) -> fmt::Result {
    write!(f, "{name}[")?;
    for (n, item) in items.enumerate() {
        write!(f, "{}{item}", if n > 0 { ", " } else { "" })?;
    }
    f.write_str("]")
}

fn write_bounds(
    f: &mut Formatter<'_>,
    name: &str,
    least: Option<String>,
    most: Option<String>,
) -> fmt::Result {
    match (least, most) {
        (None, None) => f.write_str(name),
        (Some(least), None) => write!(f, "{name}[{least}]"),
        (None, Some(most)) => write!(f, "{name}[default, {most}]"),
        (Some(least), Some(most)) => write!(f, "{name}[{least}, {most}]"),
    }
}

fn most_of(most: u64) -> String {
    if most == u64::MAX { "default".to_owned() } else { most.to_string() }
}

/// Nothing for any number of them.
fn write_count(f: &mut Formatter<'_>, before: &str, count: Count, after: &str) -> fmt::Result {
    match count {
        Count::ANY => Ok(()),
        Span { least, most: u64::MAX } => write!(f, "{before}{least}{after}"),
        Span { least, most } => write!(f, "{before}{least}, {most}{after}"),
    }
}

fn write_whole_count(f: &mut Formatter<'_>, Span { least, most }: Count) -> fmt::Result {
    write!(f, ", {least}, {}", most_of(most))
}
