//! Whether all values of one type are of another.

use super::instance::tuple_size;
use super::{Count, Kind, Matching, Presence, Type};

/// Whether whatever is of `other` is of `of` too.
pub(crate) fn assignable(of: &Type, other: &Type, matching: &mut Matching) -> bool {
    if !matching.step() {
        return false;
    }
    if of == other {
        return true;
    }
    // names first, then what is one of several
    if let Kind::Alias(alias) = other.kind() {
        let Some(target) = alias.target() else { return false };
        let pair = (std::ptr::from_ref(of.0.as_ref()).addr(), alias.key());
        return matching.within(pair, |matching| assignable(of, &target, matching));
    }
    if let Kind::Alias(alias) = of.kind() {
        let Some(target) = alias.target() else { return false };
        let pair = (alias.key(), std::ptr::from_ref(other.0.as_ref()).addr());
        return matching.within(pair, |matching| assignable(&target, other, matching));
    }
    match (of.kind(), other.kind()) {
        (Kind::Any, _) => return true,
        (_, Kind::Variant(types)) if !types.is_empty() => {
            return types.iter().all(|other| assignable(of, other, matching));
        }
        (_, Kind::Optional(inner)) => {
            return assignable(of, &Type::leaf(Kind::Undef), matching) && assignable(of, inner, matching);
        }
        (Kind::Variant(types), _) => return types.iter().any(|of| assignable(of, other, matching)),
        (Kind::Optional(_), Kind::Undef) => return true,
        (Kind::Optional(inner), _) => return assignable(inner, other, matching),
        (Kind::NotUndef(inner), _) => {
            let not_undef = !matches!(other.kind(), Kind::Undef | Kind::Any | Kind::Data | Kind::RichData)
                && !assignable(other, &Type::leaf(Kind::Undef), matching);
            return not_undef && inner.as_ref().is_none_or(|of| assignable(of, other, matching));
        }
        (_, Kind::NotUndef(Some(inner))) => return assignable(of, inner, matching),
        _ => {}
    }
    narrow(of, other, matching)
}

fn narrow(of: &Type, other: &Type, matching: &mut Matching) -> bool {
    match (of.kind(), other.kind()) {
        (Kind::Scalar, other) => {
            scalar_data(other)
                || matches!(
                    other,
                    Kind::Scalar
                        | Kind::Regexp(_)
                        | Kind::Timestamp
                        | Kind::Timespan
                        | Kind::SemVer(_)
                        | Kind::SemVerRange
                )
        }
        (Kind::ScalarData, other) => scalar_data(other),
        (Kind::Data, kind) => *kind == Kind::Undef || scalar_data(kind) || data(of, other, matching),
        (Kind::RichData, kind) => {
            let leaf = scalar_data(kind)
                || matches!(
                    kind,
                    Kind::Undef
                        | Kind::Default
                        | Kind::Scalar
                        | Kind::Data
                        | Kind::Regexp(_)
                        | Kind::Timestamp
                        | Kind::Timespan
                        | Kind::SemVer(_)
                        | Kind::SemVerRange
                        | Kind::Binary
                        | Kind::Type(_)
                        | Kind::Sensitive(_)
                        | Kind::Error
                        | Kind::TaskResult
                        | Kind::TaskResults
                );
            leaf || data(of, other, matching)
        }
        (Kind::Numeric, Kind::Integer(_) | Kind::Float(..)) => true,
        (Kind::Integer(a), Kind::Integer(b)) => a.covers(b),
        (Kind::Float(a, b), Kind::Float(c, d)) => {
            let least = a.is_none_or(|a| c.is_some_and(|c| a.get() <= c.get()));
            least && b.is_none_or(|b| d.is_some_and(|d| d.get() <= b.get()))
        }
        (Kind::String(count), Kind::Text(text)) => count.holds(text.chars().count() as u64),
        (Kind::String(a), Kind::String(b)) => a.covers(b),
        (Kind::String(count), Kind::Enum(words, _)) => {
            *count == Count::ANY
                || !words.is_empty() && words.iter().all(|word| count.holds(word.chars().count() as u64))
        }
        (Kind::String(count), Kind::Pattern(_)) => *count == Count::ANY,
        (Kind::Enum(words, any_case), Kind::Text(text)) => {
            words.is_empty() || words.iter().any(|word| same(word, text, *any_case))
        }
        (Kind::Enum(words, any_case), Kind::Enum(others, other_case)) => {
            words.is_empty()
                || !others.is_empty()
                    && (*any_case || !other_case)
                    && others.iter().all(|other| words.iter().any(|word| same(word, other, *any_case)))
        }
        (Kind::Enum(words, _), Kind::String(_) | Kind::Pattern(_)) => words.is_empty(),
        (Kind::Pattern(patterns), Kind::Text(text)) => {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.is_match(text).unwrap_or(false))
        }
        (Kind::Pattern(patterns), Kind::Enum(words, false)) if !words.is_empty() => {
            words.iter().all(|word| patterns.iter().any(|pattern| pattern.is_match(word).unwrap_or(false)))
        }
        (Kind::Pattern(patterns), Kind::Pattern(others)) => {
            patterns.is_empty() || !others.is_empty() && others.iter().all(|other| patterns.contains(other))
        }
        (Kind::Pattern(patterns), Kind::String(_) | Kind::Enum(..)) => patterns.is_empty(),
        (Kind::Boolean(a), Kind::Boolean(b)) => a.is_none() || a == b,
        (Kind::Regexp(a), Kind::Regexp(b)) => a.is_none() || a == b,
        (Kind::Type(a), Kind::Type(b)) => {
            a.as_ref().is_none_or(|a| b.as_ref().is_some_and(|b| assignable(a, b, matching)))
        }
        (Kind::Sensitive(a), Kind::Sensitive(b)) => {
            a.as_ref().is_none_or(|a| b.as_ref().is_some_and(|b| assignable(a, b, matching)))
        }
        (Kind::SemVer(a), Kind::SemVer(b)) => a.is_empty() || a == b,
        (Kind::Callable(types, _), Kind::Callable(..)) => types.is_empty(),
        (Kind::Catalog("CatalogEntry"), Kind::Catalog(_)) => true,
        _ => collections(of, other, matching),
    }
}

fn same(a: &str, b: &str, any_case: bool) -> bool {
    a == b || any_case && a.to_lowercase() == b.to_lowercase()
}

fn scalar_data(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::ScalarData
            | Kind::Numeric
            | Kind::Integer(_)
            | Kind::Float(..)
            | Kind::String(_)
            | Kind::Text(_)
            | Kind::Enum(..)
            | Kind::Pattern(_)
            | Kind::Boolean(_)
    )
}

/// Lists and hashes of what `of` takes.
fn data(of: &Type, other: &Type, matching: &mut Matching) -> bool {
    let text = Type::leaf(Kind::String(Count::ANY));
    match other.kind() {
        Kind::Array(inner, count) => count.most == 0 || assignable(of, inner, matching),
        Kind::Tuple(types, _) => types.iter().all(|inner| assignable(of, inner, matching)),
        Kind::Struct(members) => members.iter().all(|member| assignable(of, &member.of, matching)),
        Kind::Hash(key, value, count) => {
            count.most == 0
                || (*of.kind() == Kind::RichData || assignable(&text, key, matching))
                    && assignable(of, value, matching)
        }
        _ => false,
    }
}

fn collections(of: &Type, other: &Type, matching: &mut Matching) -> bool {
    match (of.kind(), other.kind()) {
        (Kind::Array(inner, count), Kind::Array(other, others)) => {
            count.covers(others) && (others.most == 0 || assignable(inner, other, matching))
        }
        (Kind::Array(inner, count), Kind::Tuple(types, size)) => {
            count.covers(&tuple_size(types, *size))
                && types.iter().all(|other| assignable(inner, other, matching))
        }
        (Kind::Tuple(types, size), Kind::Tuple(others, other_size)) => {
            let Some(last) = types.last() else { return true };
            tuple_size(types, *size).covers(&tuple_size(others, *other_size))
                && others
                    .iter()
                    .enumerate()
                    .all(|(n, other)| assignable(types.get(n).unwrap_or(last), other, matching))
        }
        (Kind::Tuple(types, size), Kind::Array(other, others)) => {
            tuple_size(types, *size).covers(others) && types.iter().all(|of| assignable(of, other, matching))
        }
        (Kind::Hash(key, value, count), Kind::Hash(other_key, other_value, others)) => {
            count.covers(others)
                && (others.most == 0
                    || assignable(key, other_key, matching) && assignable(value, other_value, matching))
        }
        (Kind::Hash(key, value, count), Kind::Struct(members)) => {
            let least = members.iter().filter(|member| !member.may_be_absent()).count() as u64;
            let size = Count { least, most: members.len() as u64 };
            count.covers(&size)
                && members.iter().all(|member| {
                    assignable(key, &Type::leaf(Kind::Text(member.name.clone())), matching)
                        && assignable(value, &member.of, matching)
                })
        }
        (Kind::Struct(members), Kind::Struct(others)) => {
            let known = others.iter().all(|other| members.iter().any(|member| member.name == other.name));
            (members.is_empty() || known)
                && members.iter().all(|member| match others.iter().find(|other| other.name == member.name) {
                    Some(other) => {
                        (other.presence != Presence::Optional || member.may_be_absent())
                            && assignable(&member.of, &other.of, matching)
                    }
                    None => member.may_be_absent(),
                })
        }
        (Kind::Struct(members), Kind::Hash(_, _, others)) => {
            others.most == 0 && members.iter().all(super::Member::may_be_absent)
        }
        (Kind::Collection(count), Kind::Collection(others)) => count.covers(others),
        (Kind::Collection(count), Kind::Array(_, others) | Kind::Hash(_, _, others)) => count.covers(others),
        (Kind::Collection(count), Kind::Tuple(types, size)) => count.covers(&tuple_size(types, *size)),
        (Kind::Collection(count), Kind::Struct(members)) => count.holds(members.len() as u64),
        (Kind::Iterable(of), _) => {
            let item = match other.kind() {
                Kind::Array(item, _) => item.clone(),
                Kind::Iterable(Some(item)) => item.clone(),
                Kind::String(_) | Kind::Text(_) | Kind::Enum(..) | Kind::Pattern(_) => {
                    Type::leaf(Kind::String(Count::exactly(1)))
                }
                Kind::Integer(span) if span.least >= 0 => Type::leaf(Kind::Integer(*span)),
                Kind::Tuple(..)
                | Kind::Hash(..)
                | Kind::Struct(_)
                | Kind::Iterable(None)
                | Kind::TaskResults => {
                    return of.is_none();
                }
                _ => return false,
            };
            of.as_ref().is_none_or(|of| assignable(of, &item, matching))
        }
        _ => false,
    }
}
