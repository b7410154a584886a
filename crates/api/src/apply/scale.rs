//! The managers of an object as the managers of its Scale, and back: the number of replicas is the one field that
//! both have.

use serde_json::Value;

use super::managers::{Entry, Managers};
use super::set::FieldSet;

const SCALE: &str = "autoscaling/v1";
const REPLICAS: &str = "spec.replicas";

/// Gives a Scale the managers that its object has for its number of replicas, which is at the dotted path `replicas`.
pub fn managers_of_scale(object: &Value, replicas: &str, scale: &mut Value) {
    let field = FieldSet::of_paths(&[replicas]);
    let of_scale = |entry: Entry| Entry {
        api_version: SCALE.to_owned(),
        fields: FieldSet::of_paths(&[REPLICAS]),
        ..entry
    };
    let managers = Managers::of(object).0.into_iter();
    Managers(
        managers
            .filter(|entry| entry.fields.intersects(&field))
            .map(of_scale)
            .collect(),
    )
    .put(scale);
}

/// Gives an object the managers that a written Scale has.
pub fn managers_from_scale(scale: &Value, replicas: &str, api_version: &str, object: &mut Value) {
    let field = FieldSet::of_paths(&[replicas]);
    let (in_scale, before) = (FieldSet::of_paths(&[REPLICAS]), Managers::of(object));
    let mut scalers: Vec<Entry> = Managers::of(scale).0;
    scalers.retain(|entry| entry.fields.intersects(&in_scale));
    let mut managers = Managers::default();
    for mut entry in before.0 {
        if entry.fields.intersects(&field) {
            let same = |scaler: &Entry| {
                scaler.manager == entry.manager
                    && scaler.operation == entry.operation
                    && scaler.subresource == entry.subresource
            };
            match scalers.iter().position(same) {
                Some(at) => drop(scalers.swap_remove(at)),
                None => entry.fields.subtract(&field),
            }
        }
        managers.0.push(entry);
    }
    // Upstream notes no time for those who came by way of the Scale.
    managers.0.extend(scalers.into_iter().map(|entry| Entry {
        api_version: api_version.to_owned(),
        fields: field.clone(),
        time: None,
        ..entry
    }));
    managers.tidy();
    super::managers::take_managed_fields(object);
    managers.put(object);
}
