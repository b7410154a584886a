//! PriorityLevelConfiguration (flowcontrol.apiserver.k8s.io/v1): how many requests of a sort are served at a time.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::conditions;
use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{ensure, fill, given, inside, int, text};
use crate::resources::{first_generation, keep, next_generation};
use crate::{meta, table};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const SHARES: i64 = 30;
const QUEUES: i64 = 64;
const HAND: i64 = 8;
const QUEUE_LENGTH: i64 = 50;
const QUEUES_MAX: i64 = 10_000_000;
/// Requests are dealt to queues by a hash of this many bits.
const HASH_BITS: u32 = 60;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: GROUP,
        version: "v1",
        kind: "PriorityLevelConfiguration",
        list_kind: "PriorityLevelConfigurationList",
        plural: "prioritylevelconfigurations",
        singular: "prioritylevelconfiguration",
        short_names: &[],
        categories: &[],
        scope: Scope::Cluster,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        crate::resources::keep_all_but_status_alone(new, old);
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static str] {
        crate::resources::reset_beside_status(subresource)
    }

    fn default(&self, object: &mut Value) {
        let spec = ensure(object, "spec");
        if text(spec, "type") == "Exempt" {
            let exempt = ensure(spec, "exempt");
            fill(exempt, "nominalConcurrencyShares", 0);
            fill(exempt, "lendablePercent", 0);
        }
        if let Some(limited) = inside(spec, "limited") {
            fill(limited, "nominalConcurrencyShares", SHARES);
            fill(limited, "lendablePercent", 0);
            if let Some(queuing) = inside(ensure(limited, "limitResponse"), "queuing") {
                for (field, value) in [
                    ("queues", QUEUES),
                    ("handSize", HAND),
                    ("queueLengthLimit", QUEUE_LENGTH),
                ] {
                    if int(queuing, field).unwrap_or(0) == 0 {
                        queuing[field] = value.into();
                    }
                }
            }
        }
        ensure(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        next_generation(GROUP, "v1", "PriorityLevelConfiguration", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let (kind, mut errors) = (text(spec, "type"), Vec::new());
        if (meta::name(object) == "exempt") != (kind == "Exempt") {
            let detail = "must be 'Exempt' if and only if `name` is 'exempt'";
            errors.push(FieldError::invalid(&path.child("type"), kind, detail));
        }
        let (limited, at) = (given(spec, "limited"), path.child("limited"));
        match kind {
            "Exempt" if limited => {
                let detail = "must be nil if the type is not Limited";
                errors.push(FieldError::forbidden(&at, detail));
            }
            "Exempt" => {
                errors.extend(exempt(&spec["exempt"], &path.child("exempt")));
            }
            "Limited" => {
                if given(spec, "exempt") {
                    let detail = "must be nil if the type is Limited";
                    errors.push(FieldError::forbidden(&path.child("exempt"), detail));
                }
                if limited {
                    errors.extend(limits(&spec["limited"], &at));
                } else {
                    let detail = "must not be empty when type is Limited";
                    errors.push(FieldError::required(&at, detail));
                }
            }
            other => {
                let set = &["Exempt", "Limited"];
                errors.push(FieldError::not_supported(&path.child("type"), other, set));
            }
        }
        errors.extend(conditions(object));
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        conditions(new)
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let none = || Value::from("<none>");
        let limited = &spec["limited"];
        let shares = int(limited, "nominalConcurrencyShares")
            .or_else(|| int(&spec["exempt"], "nominalConcurrencyShares"));
        let queuing = &limited["limitResponse"]["queuing"];
        let queuing = |field: &str| int(queuing, field).map_or_else(none, Value::from);
        vec![
            meta::name(object).into(),
            text(spec, "type").into(),
            shares.map_or_else(none, Value::from),
            queuing("queues"),
            queuing("handSize"),
            queuing("queueLengthLimit"),
            table::age(object, now),
        ]
    }
}

fn shares(part: &Value, path: &Path) -> Option<FieldError> {
    let field = "nominalConcurrencyShares";
    let shares = int(part, field).filter(|shares| *shares < 0)?;
    let detail = "must be a non-negative integer";
    Some(FieldError::invalid(&path.child(field), shares, detail))
}

fn percent(part: &Value, path: &Path) -> Option<FieldError> {
    let field = "lendablePercent";
    let percent = int(part, field).filter(|percent| !(0..=100).contains(percent))?;
    let detail = "must be between 0 and 100, inclusive";
    Some(FieldError::invalid(&path.child(field), percent, detail))
}

fn exempt(exempt: &Value, path: &Path) -> Vec<FieldError> {
    shares(exempt, path)
        .into_iter()
        .chain(percent(exempt, path))
        .collect()
}

fn limits(limited: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = shares(limited, path).into_iter().collect();
    let (response, at) = (&limited["limitResponse"], path.child("limitResponse"));
    let queuing = given(response, "queuing");
    match text(response, "type") {
        "Reject" if queuing => {
            let detail = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(FieldError::forbidden(&at.child("queuing"), detail));
        }
        "Reject" => {}
        "Queue" if queuing => {
            errors.extend(queues(&response["queuing"], &at.child("queuing")));
        }
        "Queue" => {
            let detail = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(FieldError::required(&at.child("queuing"), detail));
        }
        other => {
            let set = &["Queue", "Reject"];
            errors.push(FieldError::not_supported(&at.child("type"), other, set));
        }
    }
    errors.extend(percent(limited, path));
    let field = "borrowingLimitPercent";
    if let Some(percent) = int(limited, field).filter(|percent| *percent < 0) {
        let detail = "if specified, must be a non-negative integer";
        errors.push(FieldError::invalid(&path.child(field), percent, detail));
    }
    errors
}

fn queues(queuing: &Value, path: &Path) -> Vec<FieldError> {
    let number = |field: &str| int(queuing, field).unwrap_or(0);
    let (queues, hand) = (number("queues"), number("handSize"));
    let mut errors = Vec::new();
    let mut refuse = |field: &str, detail: String| {
        errors.push(FieldError::invalid(
            &path.child(field),
            number(field),
            detail,
        ));
    };
    if number("queueLengthLimit") <= 0 {
        refuse("queueLengthLimit", "must be positive".to_owned());
    }
    if queues <= 0 {
        refuse("queues", "must be positive".to_owned());
    } else if queues > QUEUES_MAX {
        refuse("queues", format!("must not be greater than {QUEUES_MAX}"));
    }
    if hand <= 0 {
        refuse("handSize", "must be positive".to_owned());
    } else if hand > queues {
        refuse(
            "handSize",
            format!("should not be greater than queues ({queues})"),
        );
    } else if entropy(queues, hand) > HASH_BITS {
        let detail = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        );
        refuse("handSize", detail);
    }
    errors
}

/// The bits it takes to deal a hand: enough for every order of it.
fn entropy(deck: i64, hand: i64) -> u32 {
    let mut orders: u128 = 1;
    for taken in 0..hand {
        orders = orders.saturating_mul(u128::from((deck - taken).unsigned_abs()));
        if orders > 1 << (HASH_BITS + 1) {
            return HASH_BITS + 1;
        }
    }
    orders.next_power_of_two().trailing_zeros()
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Type",
        "`type` indicates whether this priority level is subject to limitation on request execution.  A value of `\"Exempt\"` means that requests of this priority level are not subject to a limit (and thus are never queued) and do not detract from the capacity made available to other priority levels.  A value of `\"Limited\"` means that (a) requests of this priority level _are_ subject to limits and (b) some of the server's limited capacity is made available exclusively to this priority level. Required.",
    ),
    cell(
        "NominalConcurrencyShares",
        "`nominalConcurrencyShares` (NCS) contributes to the computation of the NominalConcurrencyLimit (NominalCL) of this level.",
    ),
    cell(
        "Queues",
        "`queues` is the number of queues for this priority level.",
    ),
    cell(
        "HandSize",
        "`handSize` is how many queues a request may be put in.",
    ),
    cell(
        "QueueLengthLimit",
        "`queueLengthLimit` is how many requests of a queue may wait.",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    fn faults(name: &str, spec: &Value) -> Vec<String> {
        let mut level = json!({"metadata": {"name": name}, "spec": spec});
        Rules.default(&mut level);
        texts(&Rules.validate(&level))
    }

    #[test]
    fn levels_are_limited_but_for_the_exempt_one() {
        assert!(faults("exempt", &json!({"type": "Exempt"})).is_empty());
        assert!(
            faults(
                "a",
                &json!({"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}})
            )
            .is_empty()
        );
        assert_eq!(
            faults("a", &json!({"type": "Exempt"})),
            [
                r#"spec.type: Invalid value: "Exempt": must be 'Exempt' if and only if `name` is 'exempt'"#
            ]
        );
        assert_eq!(
            faults(
                "a",
                &json!({"type": "Limited", "limited": {"nominalConcurrencyShares": -1, "limitResponse": {"type": "Queue"}}})
            ),
            [
                "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
                "spec.limited.limitResponse.queuing: Required value: must not be empty if limited.limitResponse.type is Limited",
            ]
        );
    }

    #[test]
    fn a_hand_can_be_dealt() {
        let queuing = |queues: i64, hand: i64| {
            faults(
                "a",
                &json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {"queues": queues, "handSize": hand}}}}),
            )
        };
        assert!(queuing(0, 0).is_empty(), "the defaults are good");
        assert_eq!(
            queuing(3, 9),
            [
                "spec.limited.limitResponse.queuing.handSize: Invalid value: 9: should not be greater than queues (3)"
            ]
        );
        assert!(
            queuing(512, 20)[0].contains("required entropy bits of deckSize 512 and handSize 20")
        );
    }
}
