//! What the controller writes in each scenario, compared as text: `scenarios/NAME.yaml` in,
//! `snapshots/` out.

use serde::Deserialize;
use serde_json::{Value, json};

use super::simulation::Simulation;

/// A scenario file: a Job and what happens to it, step by step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// The rules shown.
    about: String,
    /// Laid over one pod, once, as a merge patch.
    spec: Value,
    steps: Vec<Value>,
}

fn play(yaml: &str) -> String {
    let scenario: Scenario = serde_saphyr::from_str(yaml).expect("a scenario");
    let mut world = Simulation::new(&scenario.spec);
    world.log.push(format!("# {}", scenario.about.trim()));
    world.settle();
    for step in &scenario.steps {
        let title = match step {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        world.log.push(format!("== {title}"));
        perform(&mut world, step);
        world.settle();
    }
    world.log.join("\n")
}

fn perform(world: &mut Simulation, step: &Value) {
    let Value::String(text) = step else {
        if let Some(spec) = step.get("spec") {
            return world.edit_job(&json!({ "spec": spec }));
        }
        if let Some(job) = step.get("job") {
            return world.edit_job(job);
        }
        let pod = step.get("pod").expect("a spec, a job or a pod");
        return world.edit_pod(pod["metadata"]["name"].as_str().expect("a name"), pod);
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["run", pods @ ..] => pods
            .iter()
            .for_each(|pod| world.report(pod, "Running", None)),
        ["succeed", pods @ ..] => pods
            .iter()
            .for_each(|pod| world.report(pod, "Succeeded", Some(0))),
        ["fail", pods @ ..] => pods
            .iter()
            .for_each(|pod| world.report(pod, "Failed", Some(1))),
        ["exit", code, pod] => world.report(pod, "Failed", Some(code.parse().expect("a code"))),
        ["delete", pods @ ..] => pods.iter().for_each(|pod| world.delete_pod(pod)),
        ["confirm", pods @ ..] => pods.iter().for_each(|pod| world.confirm(pod)),
        ["wait", seconds] => world.wait(seconds.parse().expect("seconds")),
        ["wait-as-asked"] => assert!(world.wait_as_asked(), "nothing was asked for"),
        other => panic!("no such step: {other:?}"),
    }
}

macro_rules! scenarios {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let timeline = play(include_str!(concat!("scenarios/", stringify!($name), ".yaml")));
            insta::assert_snapshot!(stringify!($name), timeline);
        }
    )*};
}

scenarios! {
    active_deadline
    adopt_and_release
    backoff_limit
    backoff_limit_per_index
    completions
    deleted_pod_is_replaced
    elastic_indexed
    foreground_deletion
    indexed
    pod_failure_policy
    replace_only_failed
    success_policy
    suspend
    work_queue
}
