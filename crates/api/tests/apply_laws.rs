//! The laws of apply and of field sets, over random configurations and histories.

use std::collections::BTreeMap;

use plinth_api::apply::{Author, Configuration, FieldSet, track};
use plinth_api::schema_of;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const MANAGERS: [&str; 3] = ["one", "two", "three"];

/// A configuration of a Service: free keys, a map with one owner, and a list told apart by two keys, one of which has
/// a default.
fn configuration() -> impl Strategy<Value = Value> {
    let labels = prop::collection::btree_map("[ab]", "[xy]", 0..3);
    let selector = prop::option::of(prop::collection::btree_map("[ab]", "[xy]", 1..2));
    let port = (
        1..4_i64,
        prop::option::of("(TCP|UDP)"),
        prop::option::of("[pq]"),
    );
    let ports = prop::collection::vec(port, 0..3);
    (labels, selector, ports).prop_map(|(labels, selector, ports)| {
        let mut metadata = json!({"name": "s"});
        if !labels.is_empty() {
            metadata["labels"] = json!(labels);
        }
        let mut spec = Map::new();
        if let Some(selector) = selector {
            spec.insert("selector".into(), json!(selector));
        }
        let mut items: BTreeMap<(i64, String), Value> = BTreeMap::new();
        for (port, protocol, name) in ports {
            let mut item = json!({"port": port});
            if let Some(protocol) = &protocol {
                item["protocol"] = json!(protocol);
            }
            if let Some(name) = name {
                item["name"] = json!(name);
            }
            items.insert((port, protocol.unwrap_or_else(|| "TCP".into())), item);
        }
        if !items.is_empty() {
            spec.insert("ports".into(), items.into_values().collect());
        }
        let mut config = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata});
        if !spec.is_empty() {
            config["spec"] = Value::Object(spec);
        }
        config
    })
}

/// A step of a history: who, what, and whether by applying.
fn step() -> impl Strategy<Value = (usize, Value, bool)> {
    (
        0..MANAGERS.len(),
        configuration(),
        prop::bool::weighted(0.8),
    )
}

fn author(manager: &str) -> Author<'_> {
    Author {
        manager,
        api_version: "v1",
        subresource: "",
        time: "2026-01-01T00:00:00Z",
    }
}

fn apply(manager: &str, config: &Value, force: bool, live: Option<&Value>) -> Option<Value> {
    Configuration {
        schema: schema_of("", "v1", "Service").expect("a built-in kind"),
        gvk: ("", "v1", "Service"),
        reset: &FieldSet::default(),
        author: author(manager),
        force,
        config,
    }
    .apply(live)
    .ok()
}

/// The object after a history. Whatever a server fills in is there too, and nobody's.
fn after(history: &[(usize, Value, bool)]) -> Value {
    let mut live: Option<Value> = None;
    for (manager, config, applies) in history {
        let manager = MANAGERS[*manager];
        let mut next = if *applies {
            apply(manager, config, true, live.as_ref()).expect("force meets no conflict")
        } else {
            let schema = schema_of("", "v1", "Service").expect("a built-in kind");
            let mut next = config.clone();
            track(
                schema,
                &FieldSet::default(),
                &author(manager),
                live.as_ref(),
                &mut next,
            );
            next
        };
        next["metadata"]["uid"] = "u".into();
        live = Some(next);
    }
    live.unwrap_or_else(
        || json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "uid": "u"}}),
    )
}

fn fields_of(object: &Value, manager: &str, operation: &str) -> FieldSet {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten();
    let fields = entries
        .filter(|entry| entry["manager"] == manager && entry["operation"] == operation)
        .map(|entry| &entry["fieldsV1"]);
    let mut set = FieldSet::default();
    for one in fields {
        set.union(&FieldSet::parse(one).expect("what this crate wrote"));
    }
    set
}

/// What a configuration owns when nothing was there before.
fn alone(config: &Value) -> FieldSet {
    let object = apply("alone", config, false, None).expect("no conflict with nobody");
    fields_of(&object, "alone", "Apply")
}

fn everybody(object: &Value, but: &str) -> FieldSet {
    let mut set = FieldSet::default();
    for entry in object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
    {
        if entry["manager"] != but || entry["operation"] != "Apply" {
            set.union(&FieldSet::parse(&entry["fieldsV1"]).expect("what this crate wrote"));
        }
    }
    set
}

fn minus(a: &FieldSet, b: &FieldSet) -> FieldSet {
    let mut difference = a.clone();
    difference.subtract(b);
    difference
}

fn together(a: &FieldSet, b: &FieldSet) -> FieldSet {
    let mut union = a.clone();
    union.union(b);
    union
}

fn texts(set: &FieldSet) -> Vec<Vec<String>> {
    let paths = set.paths().into_iter();
    paths
        .map(|path| path.into_iter().map(str::to_owned).collect())
        .collect()
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(history in prop::collection::vec(step(), 0..5), config in configuration()) {
        let live = after(&history);
        let once = apply("one", &config, true, Some(&live)).expect("force");
        let twice = apply("one", &config, false, Some(&once)).expect("no conflict with oneself");
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn an_applier_owns_exactly_what_it_lists(history in prop::collection::vec(step(), 0..5), config in configuration()) {
        let live = after(&history);
        let object = apply("one", &config, true, Some(&live)).expect("force");
        prop_assert_eq!(fields_of(&object, "one", "Apply"), alone(&config));
    }

    #[test]
    fn no_foreign_field_is_lost(history in prop::collection::vec(step(), 0..5), config in configuration()) {
        let live = after(&history);
        let Some(object) = apply("one", &config, false, Some(&live)) else { return Ok(()) };
        // Without a conflict nobody loses anything: neither fields nor values. But an item of a list goes as a
        // whole, with what others set inside it, when the only one who has the item itself drops it.
        let (others, own) = (everybody(&live, "one"), alone(&config));
        let falls: Vec<_> = texts(&fields_of(&live, "one", "Apply"))
            .into_iter()
            .filter(|path| path.last().is_some_and(|element| element.starts_with("k:")))
            .filter(|path| !texts(&own).contains(path) && !texts(&others).contains(path))
            .collect();
        let stays = |set: &FieldSet| -> Vec<_> {
            let outside = |path: &Vec<String>| !falls.iter().any(|item| path.starts_with(item));
            texts(set).into_iter().filter(outside).collect()
        };
        let kept = |manager: &str, operation: &str| {
            let [before, now] = [&live, &object].map(|of| stays(&fields_of(of, manager, operation)));
            prop_assert_eq!(before, now, "{} of {}", operation, manager);
            Ok(())
        };
        for manager in MANAGERS {
            kept(manager, "Update")?;
            if manager != "one" {
                kept(manager, "Apply")?;
            }
        }
        for path in stays(&others) {
            prop_assert_eq!(value_at(&live, &path), value_at(&object, &path), "{:?} of {:?}", path, own);
        }
    }

    #[test]
    fn only_what_its_applier_drops_and_nobody_else_has_goes(history in prop::collection::vec(step(), 0..5), config in configuration()) {
        let live = after(&history);
        let object = apply("one", &config, true, Some(&live)).expect("force");
        let had = fields_of(&live, "one", "Apply");
        for path in alone_paths(&live) {
            let gone = value_at(&live, &path).is_some() && value_at(&object, &path).is_none();
            if gone {
                prop_assert!(reaches(&had, &path), "{:?} went, but was never applied by one", path);
                prop_assert!(!has(&everybody(&object, "one"), &path), "{:?} went, but is owned", path);
            }
        }
    }

    #[test]
    fn sets_obey_the_laws_of_sets(a in configuration(), b in configuration(), c in configuration()) {
        let (a, b, c) = (alone(&a), alone(&b), alone(&c));
        prop_assert_eq!(together(&a, &b), together(&b, &a));
        prop_assert_eq!(together(&together(&a, &b), &c), together(&a, &together(&b, &c)));
        prop_assert_eq!(together(&a, &a), a.clone());
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert!(minus(&a, &a).is_empty());
        prop_assert!(minus(&a, &b).intersection(&b).is_empty());
        prop_assert_eq!(together(&minus(&a, &b), &a.intersection(&b)), a.clone());
        prop_assert_eq!(a.intersects(&b), !a.intersection(&b).is_empty());
        prop_assert_eq!(FieldSet::parse(&a.clone().into_value()).expect("what this crate wrote"), a);
    }

    #[test]
    fn any_json_is_read_or_refused(json in "\\PC{0,40}", depth in 0..4_usize) {
        let mut value = json!({});
        for _ in 0..depth {
            value = json!({json.as_str(): value, ".": {}});
        }
        if let Ok(set) = FieldSet::parse(&value) {
            let again = set.clone().into_value();
            prop_assert_eq!(FieldSet::parse(&again).expect("canonical"), set);
        }
    }
}

/// The value that a path of elements leads to.
fn value_at<'v>(object: &'v Value, path: &[String]) -> Option<Value> {
    let mut value: &'v Value = object;
    for element in path {
        let (sort, rest) = element.split_at(2);
        value = match sort {
            "f:" => value.get(rest)?,
            "k:" => {
                let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
                let matches = |item: &&Value| {
                    keys.iter().all(|(name, wanted)| {
                        item.get(name) == Some(wanted)
                            || (name == "protocol" && item.get(name).is_none() && wanted == "TCP")
                    })
                };
                value.as_array()?.iter().find(matches)?
            }
            _ => return None,
        };
    }
    // Of what has parts only its being there counts; the parts have paths of their own. What lost all is null.
    let atomic = path.last().is_some_and(|element| element == "f:selector");
    Some(match value {
        Value::Object(_) if !atomic => json!({}),
        Value::Array(_) | Value::Null => json!({}),
        value => value.clone(),
    })
}

/// Every path of an object, as if one manager had applied it.
fn alone_paths(object: &Value) -> Vec<Vec<String>> {
    let mut config = object.clone();
    if let Some(metadata) = config["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        metadata.remove("uid");
    }
    let set = alone(&config);
    set.paths()
        .iter()
        .map(|path| path.iter().map(ToString::to_string).collect())
        .collect()
}

fn has(set: &FieldSet, path: &[String]) -> bool {
    set.paths().iter().any(|known| known.iter().eq(path.iter()))
}

/// Whether the path or one above it is in the set.
fn reaches(set: &FieldSet, path: &[String]) -> bool {
    (1..=path.len()).any(|length| has(set, &path[..length]))
}
