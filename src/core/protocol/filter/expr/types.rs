//! What is known of values before they are, and what builtins make of it.

/// What is known of a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    Unknown,
    Nil,
    Bool,
    Int,
    Float,
    Text,
    Bytes,
    List(Box<Type>),
    /// A list of strings of the environment, which functions that take any
    /// list do not take.
    Strings,
    Map,
    Time,
    Duration,
    Function,
}

impl Type {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Type::Unknown => "anything",
            Type::Nil => "nil",
            Type::Bool => "a boolean",
            Type::Int => "an integer",
            Type::Float => "a number",
            Type::Text => "a text",
            Type::Bytes | Type::List(_) | Type::Strings => "a list",
            Type::Map => "a map",
            Type::Time => "a time",
            Type::Duration => "a duration",
            Type::Function => "a function",
        }
    }

    pub(super) fn is_unknown(&self) -> bool {
        *self == Type::Unknown
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Type::Int | Type::Float)
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self, Type::Bytes | Type::List(_) | Type::Strings)
    }

    pub(super) fn element(&self) -> Type {
        match self {
            Type::List(element) => (**element).clone(),
            Type::Strings => Type::Text,
            Type::Bytes => Type::Int,
            _ => Type::Unknown,
        }
    }

    pub(super) fn comparable(&self, other: &Type) -> bool {
        let either = |kind: Type| *self == kind || *other == kind;
        either(Type::Unknown)
            || either(Type::Nil)
            || self.is_number() && other.is_number()
            || self.is_list() && other.is_list()
            || self == other
    }
}

/// Whether an operator may meet at run time: nothing is known of one side and
/// the other is of a type it takes.
pub(super) fn maybe(left: &Type, right: &Type, takes: impl Fn(&Type) -> bool) -> bool {
    match (left.is_unknown(), right.is_unknown()) {
        (true, true) => true,
        (true, false) => takes(right),
        (false, true) => takes(left),
        (false, false) => false,
    }
}

/// The type a builtin gives, or nothing if it does not take the arguments.
pub(super) fn builtin_type(name: &str, given: &[Type]) -> Option<Type> {
    let text = |t: &Type| matches!(t, Type::Text | Type::Unknown);
    let int = |t: &Type| matches!(t, Type::Int | Type::Unknown);
    let number = |t: &Type| t.is_number() || t.is_unknown();
    let list = |t: &Type| t.is_list() || t.is_unknown();
    let map = |t: &Type| matches!(t, Type::Map | Type::Unknown);
    let any_list = || Type::List(Box::new(Type::Unknown));
    let (ok, result) = match (name, given) {
        ("len", [a]) => (list(a) || map(a) || text(a), Type::Int),
        ("type" | "string", [_]) => (true, Type::Text),
        ("toJSON", [_]) => (true, Type::Text),
        ("abs", [a]) => (number(a), a.clone()),
        ("ceil" | "floor" | "round", [a]) => (number(a), Type::Float),
        ("int", [a]) => (number(a) || text(a), Type::Int),
        ("float", [a]) => (number(a) || text(a), Type::Float),
        ("trim" | "trimPrefix" | "trimSuffix", [_] | [_, _]) => (given.iter().all(text), Type::Text),
        ("upper" | "lower" | "toBase64" | "fromBase64", [a]) => (text(a), Type::Text),
        ("fromJSON", [a]) => (text(a), Type::Unknown),
        ("split" | "splitAfter", [a, b]) => (text(a) && text(b), Type::Strings),
        ("split" | "splitAfter", [a, b, n]) => (text(a) && text(b) && int(n), Type::Strings),
        ("replace", [a, b, c]) => (text(a) && text(b) && text(c), Type::Text),
        ("replace", [a, b, c, n]) => (text(a) && text(b) && text(c) && int(n), Type::Text),
        ("repeat", [a, n]) => (text(a) && int(n), Type::Text),
        ("join", [a]) => (list(a), Type::Text),
        ("join", [a, b]) => (list(a) && text(b), Type::Text),
        ("indexOf" | "lastIndexOf", [a, b]) => (text(a) && text(b), Type::Int),
        ("hasPrefix" | "hasSuffix", [a, b]) => (text(a) && text(b), Type::Bool),
        ("max" | "min", [_, ..]) => (given.iter().all(|a| number(a) || list(a)), Type::Unknown),
        ("mean" | "median", [_, ..]) => (given.iter().all(|a| number(a) || list(a)), Type::Unknown),
        ("now", []) => (true, Type::Time),
        ("duration", [a]) => (text(a), Type::Duration),
        ("date", [_, ..]) => (given.iter().all(text), Type::Time),
        ("first" | "last", [a]) => (
            list(a),
            match a {
                Type::List(_) => Type::Unknown,
                a => a.element(),
            },
        ),
        ("get", [a, key]) => (
            match a {
                Type::Unknown => true,
                Type::Map => text(key),
                a => a.is_list() && int(key),
            },
            a.element(),
        ),
        ("take", [a, n]) => (
            list(a) && int(n),
            match a {
                Type::List(_) => any_list(),
                a => a.clone(),
            },
        ),
        ("keys" | "values" | "toPairs", [a]) => (map(a), any_list()),
        ("fromPairs", [a]) => (list(a), Type::Map),
        ("reverse" | "uniq" | "flatten" | "sort", [a]) => (list(a), any_list()),
        ("sort", [a, order]) => (list(a) && text(order), any_list()),
        ("concat", [_, ..]) => (given.iter().all(list), any_list()),
        ("bitnot", [a]) => (int(a), Type::Int),
        (bits, [a, b]) if bits.starts_with("bit") => (int(a) && int(b), Type::Int),
        _ => return None,
    };
    ok.then_some(result)
}
