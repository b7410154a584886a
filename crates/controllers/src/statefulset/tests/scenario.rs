//! Reads scenarios from YAML and plays them; the timeline is the result.

use serde::Deserialize;
use serde_json::{Value, json};

use super::simulation::Simulation;

/// A scenario file: a set and what happens to it, step by step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// The rules shown.
    about: String,
    /// Laid over [`base`] as a merge patch.
    #[serde(default = "nothing")]
    set: Value,
    steps: Vec<Value>,
}

fn nothing() -> Value {
    json!({})
}

/// Three ordered members with a claim each.
fn base() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 3,
            "serviceName": "web",
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "v1"}]}
            },
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "volumeClaimTemplates": [{
                "metadata": {"name": "www"},
                "spec": {"accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}}}
            }]
        }
    })
}

/// Plays a scenario and returns its timeline.
pub(crate) fn play(yaml: &str) -> String {
    let scenario: Scenario = serde_saphyr::from_str(yaml).expect("a scenario");
    let mut set = base();
    super::simulation::merge(&mut set, &scenario.set);
    let mut world = Simulation::new(set);
    let mut stuck = Vec::new();
    world.log.push(format!("# {}", scenario.about.trim()));
    for step in &scenario.steps {
        let title = match step {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        world.log.push(format!("== {title}"));
        perform(&mut world, step, &mut stuck);
    }
    world.log.join("\n")
}

fn perform(world: &mut Simulation, step: &Value, stuck: &mut Vec<String>) {
    match step {
        Value::String(text) => {
            let words: Vec<&str> = text.split_whitespace().collect();
            match words.as_slice() {
                ["sync"] => {}
                ["run"] => return world.run_kubelets(stuck),
                ["ready", pod] => world.report(pod, "Running", true),
                ["unready", pod] => world.report(pod, "Running", false),
                ["fail", pod] => world.report(pod, "Failed", false),
                ["delete", pod] => world.delete_pod(pod),
                ["gone", pod] => world.gone(pod),
                ["stuck", pod] => return stuck.push((*pod).to_owned()),
                ["unstuck", pod] => return stuck.retain(|name| name != pod),
                ["wait", seconds] => world.wait(seconds.parse().expect("seconds")),
                ["claim-gone", claim] => {
                    world.claims.remove(*claim).expect("exists");
                }
                ["orphan-all"] => world.orphan_all(),
                other => panic!("no such step: {other:?}"),
            }
        }
        Value::Object(fields) => {
            for (kind, value) in fields {
                match kind.as_str() {
                    "set" => world.edit_set(value),
                    "image" => world.edit_set(&json!({"spec": {"template": {"spec":
                        {"containers": [{"name": "main", "image": value}]}}}})),
                    "replicas" => world.edit_set(&json!({"spec": {"replicas": value}})),
                    "pod" => {
                        let name = value["metadata"]["name"].as_str().expect("a name");
                        Simulation::edit(&mut world.pods, name, value);
                    }
                    "claim" => {
                        let name = value["metadata"]["name"].as_str().expect("a name");
                        Simulation::edit(&mut world.claims, name, value);
                    }
                    "revision" => {
                        let name = value["metadata"]["name"].as_str().expect("a name");
                        Simulation::edit(&mut world.revisions, name, value);
                    }
                    other => panic!("no such step: {other}"),
                }
            }
        }
        other => panic!("no such step: {other}"),
    }
    world.settle();
}
