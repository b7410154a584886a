//! The canonical cases of apply and of updates, and how the pieces of sets behave.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::schema::schema_of;
use crate::status::Status;

const NOW: &str = "2026-01-01T00:00:00Z";
const LATER: &str = "2026-01-01T00:00:09Z";

/// A ConfigMap, the smallest kind with free keys, labels and a set.
struct World {
    live: Option<Value>,
    time: &'static str,
}

fn config(fields: &Value) -> Value {
    let mut config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    json_patch::merge(&mut config, fields);
    config
}

impl World {
    fn new() -> Self {
        Self {
            live: None,
            time: NOW,
        }
    }

    fn author<'a>(&self, manager: &'a str) -> Author<'a> {
        Author {
            manager,
            api_version: "v1",
            subresource: "",
            time: self.time,
        }
    }

    fn applied(&self, manager: &str, fields: &Value, force: bool) -> Result<Value, Status> {
        Configuration {
            schema: schema_of("", "v1", "ConfigMap").unwrap(),
            gvk: ("", "v1", "ConfigMap"),
            reset: &FieldSet::default(),
            author: self.author(manager),
            force,
            config: &config(fields),
        }
        .apply(self.live.as_ref())
    }

    fn apply(&mut self, manager: &str, fields: &Value) -> &mut Self {
        self.live = Some(self.applied(manager, fields, false).unwrap());
        self
    }

    fn force(&mut self, manager: &str, fields: &Value) -> &mut Self {
        self.live = Some(self.applied(manager, fields, true).unwrap());
        self
    }

    /// Puts this in the place of what is there.
    fn update(&mut self, manager: &str, fields: &Value) -> &mut Self {
        let mut new = config(fields);
        let live = self.live.take().map(|mut live| {
            live["metadata"]["uid"] = "u".into();
            live
        });
        let schema = schema_of("", "v1", "ConfigMap").unwrap();
        track(
            schema,
            &FieldSet::default(),
            &self.author(manager),
            live.as_ref(),
            &mut new,
        );
        self.live = Some(new);
        self
    }

    fn live(&self) -> &Value {
        self.live.as_ref().unwrap()
    }

    /// Who manages what.
    fn managers(&self) -> Vec<(String, Value)> {
        let list = self.live()["metadata"]["managedFields"].as_array();
        let one = |entry: &Value| {
            let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
            (
                format!("{} {}", text("manager"), text("operation")),
                entry["fieldsV1"].clone(),
            )
        };
        list.into_iter().flatten().map(one).collect()
    }
}

fn owns(manager: &str, fields: &Value) -> (String, Value) {
    (manager.to_owned(), fields.clone())
}

#[test]
fn a_configuration_owns_what_it_lists() {
    let mut world = World::new();
    world.apply(
        "one",
        &json!({"data": {"k": "1"}, "metadata": {"labels": {"x": "1"}, "finalizers": ["x.com/a"]}}),
    );
    assert_eq!(
        world.managers(),
        [owns(
            "one Apply",
            &json!({"f:data": {"f:k": {}},
            "f:metadata": {"f:labels": {"f:x": {}}, "f:finalizers": {"v:\"x.com/a\"": {}}}})
        )]
    );
}

#[test]
fn an_update_owns_what_it_changes_and_takes_it_from_others() {
    let mut world = World::new();
    world
        .update("creator", &json!({"data": {"a": "1"}}))
        .update("other", &json!({"data": {"c": "3"}}));
    assert_eq!(
        world.managers(),
        [
            owns("creator Update", &json!({"f:data": {}})),
            owns("other Update", &json!({"f:data": {"f:c": {}}}))
        ]
    );
}

#[test]
fn fields_are_shared_transferred_and_removed() {
    let mut world = World::new();
    world
        .apply("one", &json!({"data": {"k": "1"}}))
        .apply("two", &json!({"data": {"k": "1", "m": "2"}}));
    let both = json!({"f:data": {"f:k": {}}});
    assert_eq!(world.managers()[0], owns("one Apply", &both));
    // What another still lists stays, and then is that manager's alone.
    world.apply("one", &json!({}));
    assert_eq!(world.live()["data"], json!({"k": "1", "m": "2"}));
    assert_eq!(
        world.managers(),
        [owns(
            "two Apply",
            &json!({"f:data": {"f:k": {}, "f:m": {}}})
        )]
    );
    world.apply("two", &json!({"data": {"m": "2"}}));
    assert_eq!(world.live()["data"], json!({"m": "2"}));
    world.apply("two", &json!({}));
    assert_eq!(world.live().get("data"), None);
    assert_eq!(world.managers(), []);
}

#[test]
fn conflicts_name_the_manager_and_the_field() {
    let mut world = World::new();
    world.apply("one", &json!({"data": {"k": "1", "l": "1"}}));
    let refusal = world
        .applied("two", &json!({"data": {"k": "2"}}), false)
        .unwrap_err();
    assert_eq!((refusal.code, &*refusal.reason), (409, "Conflict"));
    assert_eq!(
        refusal.message,
        r#"Apply failed with 1 conflict: conflict with "one": .data.k"#
    );
    world.update("edit", &json!({"data": {"k": "3", "l": "3"}}));
    let refusal = world
        .applied("one", &json!({"data": {"k": "1", "l": "1"}}), false)
        .unwrap_err();
    assert_eq!(
        refusal.message,
        "Apply failed with 2 conflicts: conflicts with \"edit\" using v1:\n- .data.k\n- .data.l"
    );
    world.force("one", &json!({"data": {"k": "1", "l": "1"}}));
    assert_eq!(
        world.managers(),
        [owns(
            "one Apply",
            &json!({"f:data": {"f:k": {}, "f:l": {}}})
        )]
    );
}

#[test]
fn a_change_that_changes_nothing_keeps_the_time() {
    let mut world = World::new();
    world.apply("one", &json!({"data": {"k": "1"}}));
    let before = world.live().clone();
    world.time = LATER;
    world.apply("one", &json!({"data": {"k": "1"}}));
    assert_eq!(world.live(), &before);
    world.apply("one", &json!({"data": {"k": "2"}}));
    assert_eq!(world.live()["metadata"]["managedFields"][0]["time"], LATER);
}

#[test]
fn times_alone_are_no_change() {
    let old = json!({"metadata": {"managedFields": [{"manager": "m", "time": NOW}]}, "data": {}});
    let mut new =
        json!({"metadata": {"managedFields": [{"manager": "m", "time": LATER}]}, "data": {}});
    keep_times(&mut new, &old);
    assert_eq!(new, old);
    new["metadata"]["managedFields"][0]["time"] = LATER.into();
    new["data"]["k"] = "1".into();
    keep_times(&mut new, &old);
    assert_eq!(new["metadata"]["managedFields"][0]["time"], LATER);
}

#[rstest]
#[case(json!([]))]
#[case(json!([{}]))]
fn managers_can_be_forgotten(#[case] sent: Value) {
    let mut world = World::new();
    world.update("creator", &json!({"data": {"a": "1"}}));
    world.update(
        "reset",
        &json!({"data": {"a": "1"}, "metadata": {"managedFields": sent}}),
    );
    assert_eq!(world.managers(), []);
    // From then on nobody is told apart until somebody applies.
    world.update("later", &json!({"data": {"a": "1", "b": "2"}}));
    assert_eq!(world.managers(), []);
    world.apply("one", &json!({"data": {"b": "2"}}));
    assert_eq!(
        world.managers(),
        [
            owns("one Apply", &json!({"f:data": {"f:b": {}}})),
            owns(
                "before-first-apply Update",
                &json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}})
            )
        ]
    );
}

#[rstest]
#[case(json!([{"manager": "x", "operation": "Wrong", "apiVersion": "v1", "fieldsType": "FieldsV1"}]))]
#[case(json!([{"manager": "x", "operation": "Apply", "apiVersion": "", "fieldsType": "FieldsV1"}]))]
#[case(json!([{"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "V2"}]))]
#[case(json!([{"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"name": {}}}]))]
fn managers_that_cannot_be_read_change_nothing(#[case] sent: Value) {
    let mut world = World::new();
    world.update("creator", &json!({"data": {"a": "1"}}));
    let before = world.managers();
    world.update(
        "other",
        &json!({"data": {"a": "1"}, "metadata": {"managedFields": sent}}),
    );
    assert_eq!(world.managers(), before);
}

#[test]
fn too_many_updaters_become_one() {
    let mut world = World::new();
    let mut data = json!({});
    for index in 0..12 {
        data[format!("k{index:02}")] = "1".into();
        world.update(&format!("m{index:02}"), &json!({"data": data}));
    }
    let managers = world.managers();
    assert_eq!(managers.len(), 10);
    let ancient = json!({"f:data": {".": {}, "f:k00": {}, "f:k01": {}, "f:k02": {}}});
    assert!(
        managers.contains(&owns("ancient-changes Update", &ancient)),
        "{managers:?}"
    );
}

#[test]
fn kubectl_takes_over_from_client_side_apply() {
    let last = r#"{"apiVersion":"v1","data":{"k":"1"},"kind":"ConfigMap","metadata":{"name":"a"}}"#;
    let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": last});
    let mut world = World::new();
    world.update(
        "kubectl-client-side-apply",
        &json!({"data": {"k": "1"}, "metadata": {"annotations": annotations}}),
    );
    // Other managers have no such right.
    world
        .applied("other", &json!({"data": {"k": "2"}}), false)
        .unwrap_err();
    world.apply("kubectl", &json!({"data": {"k": "2"}}));
    assert_eq!(world.live()["data"]["k"], "2");
    assert_eq!(
        world.live()["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"],
        "{\"apiVersion\":\"v1\",\"data\":{\"k\":\"2\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}\n"
    );
}

fn pod_template(containers: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pt"},
           "template": {"spec": {"containers": containers}}})
}

fn apply_template(
    manager: &str,
    containers: &Value,
    live: Option<&Value>,
) -> Result<Value, Status> {
    Configuration {
        schema: schema_of("", "v1", "PodTemplate").unwrap(),
        gvk: ("", "v1", "PodTemplate"),
        reset: &FieldSet::default(),
        author: Author {
            manager,
            api_version: "v1",
            subresource: "",
            time: NOW,
        },
        force: false,
        config: &pod_template(containers),
    }
    .apply(live)
}

#[test]
fn items_are_merged_by_key_and_defaulted_keys_count() {
    let ports = json!([{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]);
    let one = apply_template("one", &ports, None).unwrap();
    let fields =
        &one["metadata"]["managedFields"][0]["fieldsV1"]["f:template"]["f:spec"]["f:containers"];
    assert_eq!(
        fields["k:{\"name\":\"c\"}"]["f:ports"],
        json!({"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}})
    );
    let named = json!([{"name": "c", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "web"}]}, {"name": "d", "image": "j"}]);
    let two = apply_template("two", &named, Some(&one)).unwrap();
    assert_eq!(
        two["template"]["spec"]["containers"],
        json!([{"name": "c", "image": "i", "ports": [{"containerPort": 80, "name": "web", "protocol": "TCP"}]}, {"name": "d", "image": "j"}])
    );
    // Without its last owner an item goes whole, with what nobody owns.
    let mut two = two;
    two["template"]["spec"]["containers"][1]["imagePullPolicy"] = "Always".into();
    let left = apply_template("two", &json!([{"name": "c"}]), Some(&two)).unwrap();
    assert_eq!(
        left["template"]["spec"]["containers"],
        json!([{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}])
    );
}

#[rstest]
#[case(json!([{"name": "d"}, {"name": "d"}]), r#".template.spec.containers: duplicate entries for key [name="d"]"#)]
#[case(json!([{"name": "c", "unknown": 1}]), r#".template.spec.containers[name="c"].unknown: field not declared in schema"#)]
#[case(json!([{"name": "c", "ports": [{"containerPort": "x"}]}]), r#".template.spec.containers[name="c"].ports[containerPort="x",protocol="TCP"].containerPort: expected numeric (int or float), got string"#)]
#[case(json!([{"name": "c", "image": 5}]), r#".template.spec.containers[name="c"].image: expected string, got &value.valueUnstructured{Value:5}"#)]
#[case(json!([{"name": "c", "args": "x"}]), r#".template.spec.containers[name="c"].args: expected list, got &{x}"#)]
#[case(json!([{"name": "c", "securityContext": []}]), r#".template.spec.containers[name="c"].securityContext: expected map, got &{[]}"#)]
#[case(json!([7]), ".template.spec.containers: element 0: associative list with keys may not have non-map elements")]
fn configurations_of_another_form_are_refused(#[case] containers: Value, #[case] fault: &str) {
    let refusal = apply_template("one", &containers, None).unwrap_err();
    let expected =
        format!("failed to create typed patch object (/pt; /v1, Kind=PodTemplate): {fault}");
    assert_eq!((refusal.code, refusal.message), (500, expected));
}

#[rstest]
#[case(json!({"kind": "Secret"}), "invalid object type: /v1, Kind=Secret")]
#[case(json!({"apiVersion": null, "kind": null}), "invalid object type: /, Kind=")]
#[case(json!({"metadata": {"managedFields": []}}), "metadata.managedFields must be nil")]
fn configurations_of_another_kind_are_refused(#[case] fields: Value, #[case] expected: &str) {
    let refusal = World::new().applied("one", &fields, false).unwrap_err();
    assert_eq!((refusal.code, refusal.message.as_str()), (400, expected));
}

#[rstest]
#[case(json!(["a", "b"]), json!(["c"]), json!(["a", "b", "c"]))]
#[case(json!(["a", "x", "b"]), json!(["b", "a"]), json!(["x", "b", "a"]))]
#[case(json!(["a", "x", "b"]), json!(["n", "a"]), json!(["n", "a", "x", "b"]))]
#[case(json!(["a", "b", "x"]), json!(["b", "a", "n"]), json!(["b", "x", "a", "n"]))]
fn merged_lists_follow_the_configuration(
    #[case] live: Value,
    #[case] applied: Value,
    #[case] expected: Value,
) {
    let mut world = World::new();
    world.update("live", &json!({"metadata": {"finalizers": live}}));
    world.apply("one", &json!({"metadata": {"finalizers": applied}}));
    assert_eq!(world.live()["metadata"]["finalizers"], expected);
}

#[test]
fn the_creator_owns_what_an_empty_object_does_not_have() {
    let schema = schema_of("apps", "v1", "StatefulSet").unwrap();
    let mut set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "w", "labels": {"a": "b"}},
        "spec": {"replicas": 0, "serviceName": "", "selector": {"matchLabels": {"a": "b"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"securityContext": {}, "containers": [{"name": "c", "resources": {}}]}}},
        "status": {"replicas": 3}});
    let author = Author {
        manager: "m",
        api_version: "apps/v1",
        subresource: "",
        time: NOW,
    };
    track(
        schema,
        &FieldSet::of_paths(&["status"]),
        &author,
        None,
        &mut set,
    );
    assert_eq!(
        set["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"f:replicas": {}, "f:selector": {},
            "f:updateStrategy": {"f:type": {}, "f:rollingUpdate": {".": {}, "f:partition": {}}},
            "f:template": {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"f:securityContext": {},
                "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:resources": {}}}}}}})
    );
}

#[test]
fn a_scale_shares_the_number_of_replicas_with_its_object() {
    let mut object = json!({"metadata": {"managedFields": [{"manager": "one", "operation": "Apply", "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:selector": {}}}, "time": NOW}]}, "spec": {"replicas": 1}});
    let mut before = json!({"metadata": {}, "spec": {"replicas": 1}});
    managers_of_scale(&object, "spec.replicas", &mut before);
    let mut scale = json!({"metadata": {}, "spec": {"replicas": 2}});
    let author = Author {
        manager: "scaler",
        api_version: "autoscaling/v1",
        subresource: "scale",
        time: LATER,
    };
    let schema = schema_of("autoscaling", "v1", "Scale").unwrap();
    track(
        schema,
        &FieldSet::default(),
        &author,
        Some(&before),
        &mut scale,
    );
    managers_from_scale(&scale, "spec.replicas", "apps/v1", &mut object);
    assert_eq!(
        object["metadata"]["managedFields"],
        json!([
            {"manager": "one", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
             "fieldsV1": {"f:spec": {"f:selector": {}}}, "time": NOW},
            {"manager": "scaler", "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
             "fieldsV1": {"f:spec": {"f:replicas": {}}}, "subresource": "scale"}
        ])
    );
}
