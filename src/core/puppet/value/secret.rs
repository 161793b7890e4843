//! Values that are never shown, and values that have such inside.

use indexmap::IndexMap;

use super::Value;
use crate::budget::{Budget, Exhausted};
use crate::types::{Kind, Presence, Type};

/// Types that are looked at for one value.
const STEPS: u32 = 1_000_000;

impl Value {
    /// Whether there is anything in it that is never shown.
    pub fn holds_secrets(&self) -> bool {
        match self {
            Value::Sensitive(_) => true,
            Value::Array(items) => items.iter().any(Value::holds_secrets),
            Value::Hash(hash) => hash.iter().any(|(key, value)| key.holds_secrets() || value.holds_secrets()),
            _ => false,
        }
    }

    /// The same with nothing hidden.
    ///
    /// # Errors
    /// That is more than a run may hold.
    pub fn revealed(&self, budget: &Budget) -> Result<Value, Exhausted> {
        match self {
            Value::Sensitive(inner) => inner.reveal().revealed(budget),
            value if !value.holds_secrets() => Ok(value.clone()),
            Value::Array(items) => {
                let items = items.iter().map(|item| item.revealed(budget)).collect::<Result<_, _>>()?;
                Value::array(items, budget)
            }
            Value::Hash(hash) => {
                let mut entries = IndexMap::with_capacity(hash.len());
                for (key, value) in hash.iter() {
                    entries.insert(key.revealed(budget)?, value.revealed(budget)?);
                }
                Value::hash(entries, budget)
            }
            other => Ok(other.clone()),
        }
    }

    /// The same with those parts hidden that the type asks to be: documents that people write have no
    /// word for it.
    ///
    /// # Errors
    /// That is more than a run may hold.
    pub fn concealed(&self, of: &Type, budget: &Budget) -> Result<Value, Exhausted> {
        Concealing { budget, left: STEPS }.value(of, self)
    }
}

struct Concealing<'b> {
    budget: &'b Budget,
    left: u32,
}

impl Concealing<'_> {
    fn value(&mut self, of: &Type, value: &Value) -> Result<Value, Exhausted> {
        self.left = self.left.saturating_sub(1);
        let Some(of) = of.resolved().filter(|_| self.left > 0) else { return Ok(value.clone()) };
        match (of.kind(), value) {
            (Kind::Sensitive(Some(inner)), Value::Sensitive(hidden)) => {
                Value::sensitive(self.value(inner, hidden.reveal())?)
            }
            (_, Value::Sensitive(_)) => Ok(value.clone()),
            (Kind::Sensitive(Some(inner)), value) => Value::sensitive(self.value(inner, value)?),
            (Kind::Sensitive(None), value) => Value::sensitive(value.clone()),
            (Kind::Optional(_), Value::Undef) => Ok(Value::Undef),
            (Kind::Optional(inner) | Kind::NotUndef(Some(inner)), value) => self.value(inner, value),
            // as it is where that will do, else as the first that it can be
            (Kind::Variant(types), value) if !of.takes(value) => {
                let mut wrong = value.clone();
                for of in types {
                    let hidden = self.value(of, value)?;
                    if of.takes(&hidden) {
                        return Ok(hidden);
                    }
                    // a secret that is none of them is not shown for that
                    if hidden.holds_secrets() {
                        wrong = hidden;
                    }
                }
                Ok(wrong)
            }
            (Kind::Array(item, _), Value::Array(items)) => {
                let items = items.iter().map(|value| self.value(item, value)).collect::<Result<_, _>>()?;
                Value::array(items, self.budget)
            }
            (Kind::Tuple(types, _), Value::Array(items)) => {
                let of = |at: usize| types.get(at).or(types.last());
                let items = items.iter().enumerate().map(|(at, value)| match of(at) {
                    Some(of) => self.value(of, value),
                    None => Ok(value.clone()),
                });
                let items = items.collect::<Result<_, _>>()?;
                Value::array(items, self.budget)
            }
            (Kind::Hash(_, of, _), Value::Hash(hash)) => {
                let mut entries = IndexMap::with_capacity(hash.len());
                for (key, value) in hash.iter() {
                    entries.insert(key.clone(), self.value(of, value)?);
                }
                Value::hash(entries, self.budget)
            }
            (Kind::Struct(members), Value::Hash(hash)) => {
                let mut entries = IndexMap::with_capacity(hash.len());
                for (key, value) in hash.iter() {
                    let member = members.iter().find(|member| key.as_str() == Some(member.name.as_str()));
                    let value = match member {
                        // an entry that may be missing may be undef in a document
                        Some(member) if *value == Value::Undef && member.presence == Presence::Optional => {
                            value.clone()
                        }
                        Some(member) => self.value(&member.of, value)?,
                        None => value.clone(),
                    };
                    entries.insert(key.clone(), value);
                }
                Value::hash(entries, self.budget)
            }
            (_, value) => Ok(value.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Aliases, parse};

    #[test]
    fn what_a_type_hides_is_hidden_wherever_it_is() {
        let budget = Budget::new(1 << 20);
        let mut aliases = Aliases::default();
        let hidden = "Sensitive [value redacted]";
        for (of, given, shown) in [
            ("Sensitive", r#""s""#, format!("{hidden:?}")),
            ("Sensitive[String]", r#""s""#, format!("{hidden:?}")),
            ("Optional[Sensitive[String]]", r#""s""#, format!("{hidden:?}")),
            ("Optional[Sensitive[String]]", "null", "null".to_owned()),
            ("Variant[Integer, Sensitive[String]]", r#""s""#, format!("{hidden:?}")),
            ("Variant[Integer, Sensitive[String]]", "5", "5".to_owned()),
            ("Array[Sensitive[String]]", r#"["s"]"#, format!("[{hidden:?}]")),
            ("Tuple[String, Sensitive[Integer]]", r#"["s",5]"#, format!("[\"s\",{hidden:?}]")),
            ("Hash[String, Sensitive]", r#"{"k":"s"}"#, format!("{{\"k\":{hidden:?}}}")),
            (
                "Struct[{user => String, Optional[pw] => Sensitive[String]}]",
                r#"{"user":"u","pw":"s"}"#,
                format!("{{\"user\":\"u\",\"pw\":{hidden:?}}}"),
            ),
            ("String", r#""s""#, "\"s\"".to_owned()),
            ("TargetSpec", r#"["s",["t"]]"#, r#"["s",["t"]]"#.to_owned()),
        ] {
            let (of, _) = parse(of, &mut aliases).unwrap();
            let given = Value::from_json(&serde_json::from_str(given).unwrap(), &budget).unwrap();
            let concealed = given.concealed(&of, &budget).unwrap();
            assert_eq!(concealed.to_json().to_string(), shown, "{of}");
            assert!(of.takes(&concealed), "{of}");
            assert_eq!(concealed.holds_secrets(), shown.contains("redacted"), "{of}");
            assert_eq!(concealed.concealed(&of, &budget).unwrap(), concealed, "{of}");
            assert_eq!(concealed.revealed(&budget).unwrap(), given, "{of}");
        }
        // also what is wrong
        for of in
            ["Sensitive[Integer]", "Variant[Sensitive[Enum[a]], Integer]", "Optional[Sensitive[Integer]]"]
        {
            let (of, _) = parse(of, &mut aliases).unwrap();
            let concealed = Value::string("s", &budget).unwrap().concealed(&of, &budget).unwrap();
            assert!(concealed.holds_secrets() && !of.takes(&concealed), "{of}");
        }
    }
}
