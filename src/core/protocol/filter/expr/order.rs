//! The order of values in a sorted list.
//!
//! `<` of the language is none: nothing is less than NaN, and a large integer
//! may equal a double that differs from its neighbour. Sorting by it panics.

use std::cmp::Ordering;

use super::value::{PART, Value};
use crate::core::protocol::filter::budget::{Budget, Exhausted};

/// Pays for sorting so many values with so much text between them.
pub(super) fn pay_for_sorting(count: usize, text: usize, budget: &Budget) -> Result<(), Exhausted> {
    let rounds = usize::BITS - count.leading_zeros();
    budget.make(count.saturating_mul(2 * PART))?;
    let a_round = count.saturating_mul(2).saturating_add(text / 8);
    budget.pay((a_round as u64).saturating_mul(u64::from(rounds)))
}

/// Two of the values that cannot be compared, if there are any.
pub(super) fn without_order<'a>(
    mut values: impl Iterator<Item = &'a Value>,
) -> Option<(&'a Value, &'a Value)> {
    let first = values.next()?;
    values.find(|value| first.compare(value).is_none()).map(|other| (first, other))
}

/// A total order of numbers, of text, of times and of durations: NaN comes
/// last, and an integer that equals a double is where its exact value is.
pub(super) fn total(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (a, b) => match (a.number(), b.number()) {
            (Some(x), Some(y)) => {
                let rounded = x.partial_cmp(&y).unwrap_or_else(|| x.is_nan().cmp(&y.is_nan()));
                rounded.then_with(|| exact(a).cmp(&exact(b)))
            }
            _ => a.compare(b).unwrap_or(Ordering::Equal),
        },
    }
}

/// Of two numbers that round to one double this tells which is larger; where
/// doubles have fractions there is nothing to tell.
fn exact(value: &Value) -> i128 {
    match value {
        Value::Int(integer) => i128::from(*integer),
        Value::Float(float) => *float as i128,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let edge = prop_oneof![
            Just(Value::Float(f64::NAN)),
            Just(Value::Float(-f64::NAN)),
            Just(Value::Float(-0.0)),
            Just(Value::Float(f64::INFINITY)),
            Just(Value::Float(9_007_199_254_740_992.0)),
            (9_007_199_254_740_990i64..9_007_199_254_740_996).prop_map(Value::Int),
            (i64::MAX - 3..i64::MAX).prop_map(Value::Int),
            Just(Value::Float(i64::MAX as f64)),
        ];
        let number = prop_oneof![
            edge,
            any::<f64>().prop_map(Value::Float),
            (-3i64..3).prop_map(Value::Int),
            any::<i64>().prop_map(Value::Int),
        ];
        let other = prop_oneof![
            "[a-c]{0,3}".prop_map(|text| Value::text(&text)),
            any::<bool>().prop_map(Value::Bool),
            Just(Value::Nil),
            any::<i64>().prop_map(|time| Value::Time(time.into())),
            any::<i64>().prop_map(Value::Duration),
            Just(Value::list(vec![Value::Int(1)])),
            Just(Value::map(vec![(Value::text("a"), Value::Nil)])),
        ];
        prop_oneof![4 => number, 1 => other]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn numbers_have_a_total_order(values in proptest::collection::vec(value(), 3)) {
            let [a, b, c] = &values[..] else { unreachable!() };
            prop_assert_eq!(total(a, b), total(b, a).reverse());
            let one_kind = without_order(values.iter()).is_none();
            if one_kind && total(a, b).is_le() && total(b, c).is_le() {
                prop_assert!(total(a, c).is_le(), "{:?}", values);
            }
        }

        #[test]
        fn any_list_is_sorted_or_has_no_order(values in proptest::collection::vec(value(), 0..80)) {
            let budget = Budget::default();
            let pairs = values.iter().map(|value| (value.clone(), value.clone())).collect();
            let sorted = super::super::math::sort_by(pairs, None, &budget);
            prop_assert_eq!(sorted.is_err(), without_order(values.iter()).is_some());
            if let Ok(Value::List(sorted)) = sorted {
                prop_assert_eq!(sorted.len(), values.len());
                prop_assert!(sorted.is_sorted_by(|a, b| total(a, b).is_le()));
            }
            for name in ["min", "max", "mean", "median", "uniq", "sort", "reverse", "flatten"] {
                let list = [Value::list(values.clone())];
                if let Ok(None) = super::super::text::builtin(name, &list, &budget) {
                    let _ = super::super::math::builtin(name, &list, &budget);
                }
            }
        }
    }
}
