//! Whether two objects mean the same, as upstream's semantic comparison sees it.

use serde_json::{Map, Value};

use super::{Type, TypeSchema};
use crate::Quantity;

/// Whether two objects mean the same to the API: quantities compare by amount (`1Gi` is `1024Mi`), and an absent,
/// null or empty list or map are one.
pub fn semantically_equal(schema: &TypeSchema, a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => objects_equal(schema, a, b),
        _ => is_nothing(a) && is_nothing(b) || a == b,
    }
}

fn objects_equal(schema: &TypeSchema, a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    let absent = Value::Null;
    let equal = |name: &String| {
        let (a, b) = (
            a.get(name).unwrap_or(&absent),
            b.get(name).unwrap_or(&absent),
        );
        schema
            .field(name)
            .map_or_else(|| a == b, |field| values_equal(&field.ty, a, b))
    };
    a.keys().all(&equal) && b.keys().filter(|name| !a.contains_key(*name)).all(&equal)
}

fn values_equal(ty: &Type, a: &Value, b: &Value) -> bool {
    match (ty, a, b) {
        (Type::Quantity, Value::String(a), Value::String(b)) => {
            a == b
                || matches!((a.parse::<Quantity>(), b.parse::<Quantity>()), (Ok(a), Ok(b)) if a == b)
        }
        (Type::Object(schema), Value::Object(a), Value::Object(b)) => objects_equal(schema, a, b),
        (Type::List(item), Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| values_equal(item, a, b))
        }
        (Type::Map(value), Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| values_equal(value, a, b)))
        }
        (Type::List(_) | Type::Map(_), a, b) => is_nothing(a) && is_nothing(b),
        _ => a == b,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::schema_of;

    #[rstest]
    #[case::amounts(json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}}),
        json!({"spec": {"resources": {"requests": {"storage": "1024Mi"}}}}), true)]
    #[case::other_amount(json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}}),
        json!({"spec": {"resources": {"requests": {"storage": "1025Mi"}}}}), false)]
    #[case::empty_and_absent_list(json!({"spec": {"accessModes": []}}), json!({"spec": {}}), true)]
    #[case::null_and_empty_map(json!({"metadata": {"labels": null}}), json!({"metadata": {"labels": {}}}), true)]
    #[case::extra_label(json!({"metadata": {"labels": {"a": ""}}}), json!({"metadata": {"labels": {}}}), false)]
    #[case::empty_object_is_not_absent(json!({"spec": {"selector": {}}}), json!({"spec": {}}), false)]
    #[case::order_of_lists(json!({"spec": {"accessModes": ["A", "B"]}}), json!({"spec": {"accessModes": ["B", "A"]}}), false)]
    fn compares_by_meaning(#[case] a: Value, #[case] b: Value, #[case] equal: bool) {
        let schema = schema_of("", "v1", "PersistentVolumeClaim").unwrap();
        assert_eq!(semantically_equal(schema, &a, &b), equal);
        assert_eq!(semantically_equal(schema, &b, &a), equal);
    }
}
