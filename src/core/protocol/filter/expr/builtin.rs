//! The functions every expression has, by name; what they do is in `text`,
//! `math` and, for those with predicates, `eval`.

/// One parameter of a function with a predicate.
pub(super) struct Parameter {
    pub(super) predicate: bool,
    pub(super) optional: bool,
}

pub(super) struct Builtin {
    pub(super) name: &'static str,
    /// Set when arguments are parsed as a predicate.
    pub(super) predicate: Option<&'static [Parameter]>,
}

const VALUE: Parameter = Parameter { predicate: false, optional: false };
const PREDICATE: Parameter = Parameter { predicate: true, optional: false };
const MAYBE_PREDICATE: Parameter = Parameter { predicate: true, optional: true };
const MAYBE_VALUE: Parameter = Parameter { predicate: false, optional: true };

macro_rules! builtins {
    ($($shape:expr => $($name:literal)*;)*) => {
        const BUILTINS: &[Builtin] = &[$($(Builtin { name: $name, predicate: $shape },)*)*];
    };
}

builtins! {
    Some(&[VALUE, PREDICATE]) =>
        "all" "none" "any" "one" "filter" "map" "find" "findIndex" "findLast" "findLastIndex" "groupBy";
    Some(&[VALUE, MAYBE_PREDICATE]) => "count" "sum";
    Some(&[VALUE, PREDICATE, MAYBE_VALUE]) => "sortBy" "reduce";
    None =>
        "len" "type" "abs" "ceil" "floor" "round" "int" "float" "string" "trim" "trimPrefix" "trimSuffix"
        "upper" "lower" "split" "splitAfter" "replace" "repeat" "join" "indexOf" "lastIndexOf" "hasPrefix"
        "hasSuffix" "max" "min" "mean" "median" "toJSON" "fromJSON" "toBase64" "fromBase64" "now" "duration"
        "date" "first" "last" "get" "take" "keys" "values" "toPairs" "fromPairs" "reverse" "uniq" "concat"
        "flatten" "sort" "bitand" "bitor" "bitxor" "bitnand" "bitshl" "bitshr" "bitushr" "bitnot";
}

pub(super) fn find(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|b| b.name == name)
}
