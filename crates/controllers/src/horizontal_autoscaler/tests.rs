use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::{
    v1::Scale,
    v2::{HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus, MetricSpec},
};

use super::{
    metrics::{Answer, failure, question},
    plan::{Outcome, Step, Verdict, news, status, verdict},
};
use crate::testing::{object, text};

fn at(time: &str) -> Timestamp {
    time.parse().expect("a time")
}

fn now() -> Timestamp {
    at("2026-01-01T01:00:00Z")
}

fn spec(bounds: &str) -> HorizontalPodAutoscalerSpec {
    object(&format!(
        "{{{bounds}, scaleTargetRef: {{kind: Deployment, name: web}}}}"
    ))
}

fn scale(replicas: i32) -> Scale {
    object(&format!(
        "{{spec: {{replicas: {replicas}}}, status: {{replicas: 9, selector: app=web}}}}"
    ))
}

fn metric(yaml: &str) -> MetricSpec {
    object(yaml)
}

fn unmeasured(replicas: i32) -> Outcome {
    let cpu = metric(
        "{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}",
    );
    let failure = failure(&cpu, "default", &Answer::Absent);
    Outcome::Unmeasured(replicas, vec![failure])
}

#[test]
fn bounds_hold_without_metrics() {
    let to = |from, to, reason| Verdict::Scale(Step { from, to, reason });
    let above = "Current number of replicas above Spec.MaxReplicas";
    let below = "Current number of replicas below Spec.MinReplicas";
    let bounded = "minReplicas: 2, maxReplicas: 4";
    let cases = [
        (bounded, 5, to(5, 4, above)),
        (bounded, 1, to(1, 2, below)),
        (bounded, 2, Verdict::Measure),
        (bounded, 4, Verdict::Measure),
        (bounded, 0, Verdict::Leave),
        ("maxReplicas: 4", 0, Verdict::Leave),
        ("maxReplicas: 4", 1, Verdict::Measure),
        ("minReplicas: 0, maxReplicas: 4", 0, Verdict::Measure),
    ];
    for (bounds, replicas, expected) in cases {
        assert_eq!(
            verdict(&spec(bounds), &scale(replicas)),
            expected,
            "{bounds}, {replicas} replicas"
        );
    }
}

#[test]
fn a_scale_without_selector_is_kept_within_bounds_and_not_measured() {
    let bounds = spec("maxReplicas: 4");
    for status in ["{replicas: 1}", "{replicas: 1, selector: ''}"] {
        let with = |replicas: i32| -> Scale {
            object(&format!(
                "{{spec: {{replicas: {replicas}}}, status: {status}}}"
            ))
        };
        assert_eq!(verdict(&bounds, &with(1)), Verdict::NoSelector);
        assert!(matches!(verdict(&bounds, &with(5)), Verdict::Scale(_)));
    }
}

#[test]
fn every_outcome_is_said_in_conditions_and_events() {
    let step = || Step {
        from: 1,
        to: 2,
        reason: "Current number of replicas below Spec.MinReplicas",
    };
    let missing = "deployments.apps \"missing\" not found".to_owned();
    let outcomes = [
        Outcome::NoScale(missing),
        Outcome::Left,
        Outcome::Scaled(step()),
        Outcome::NotScaled(step(), "no".to_owned()),
        unmeasured(3),
        Outcome::NoSelector(3),
    ];
    let mut all = String::new();
    for outcome in &outcomes {
        let status = status(&HorizontalPodAutoscalerStatus::default(), outcome, now());
        writeln!(all, "# {outcome:?}").expect("a string takes it");
        all += &text(&status);
        for told in news(outcome) {
            let kind = told.kind;
            writeln!(all, "# {kind:?} {}: {}", told.reason, told.message)
                .expect("a string takes it");
        }
        all += "\n";
    }
    insta::assert_snapshot!(all);
}

#[test]
fn nothing_new_is_no_new_status() {
    let step = Step {
        from: 1,
        to: 2,
        reason: "because",
    };
    let outcomes = [
        Outcome::NoScale("gone".to_owned()),
        Outcome::Left,
        Outcome::NotScaled(step, "no".to_owned()),
        unmeasured(3),
        unmeasured(0),
        Outcome::NoSelector(3),
    ];
    let later = at("2026-01-01T02:00:00Z");
    for outcome in &outcomes {
        let once = status(&HorizontalPodAutoscalerStatus::default(), outcome, now());
        assert_eq!(status(&once, outcome, later), once, "{outcome:?}");
        assert_ne!(once.current_replicas, Some(0), "the API would drop it");
    }
}

#[test]
fn a_condition_keeps_its_time_until_it_turns() {
    let failed = Outcome::NoScale("gone".to_owned());
    let first = status(&HorizontalPodAutoscalerStatus::default(), &failed, now());
    let later = at("2026-01-01T02:00:00Z");
    let other = status(&first, &Outcome::NoScale("still gone".to_owned()), later);
    let turned = status(&other, &unmeasured(1), later);
    let since = |status: &HorizontalPodAutoscalerStatus| {
        let conditions = status.conditions.as_deref().expect("conditions");
        let able = conditions.first().expect("a condition");
        able.last_transition_time.as_ref().expect("a time").0
    };
    assert_eq!([since(&other), since(&turned)], [now(), later]);
}

#[test]
fn what_was_wanted_is_remembered_while_nothing_can_be_measured() {
    let step = Step {
        from: 1,
        to: 2,
        reason: "because",
    };
    let scaled = status(
        &HorizontalPodAutoscalerStatus::default(),
        &Outcome::Scaled(step),
        now(),
    );
    let after = status(&scaled, &unmeasured(2), now());
    assert_eq!(after.desired_replicas, 2);
    assert_eq!(after.last_scale_time, scaled.last_scale_time);
    assert_eq!(after.current_replicas, Some(2));
}

#[test]
fn metrics_that_cannot_be_had_are_told_in_upstreams_words() {
    let metrics = [
        "{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}",
        "{type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 1Gi}}}",
        "{type: ContainerResource, containerResource: {name: cpu, container: app, \
         target: {type: Utilization, averageUtilization: 80}}}",
        "{type: Pods, pods: {metric: {name: rps}, target: {type: AverageValue, averageValue: 1k}}}",
        "{type: Object, object: {metric: {name: hits}, describedObject: {kind: Service, name: web}, \
         target: {type: Value, value: 1k}}}",
        "{type: Object, object: {metric: {name: hits}, describedObject: {kind: Service, name: web}, \
         target: {type: AverageValue, averageValue: 1k}}}",
        "{type: External, external: {metric: {name: queue, selector: {matchLabels: {of: web}}}, \
         target: {type: Value, value: 10}}}",
        "{type: External, external: {metric: {name: queue}, target: {type: AverageValue, averageValue: 10}}}",
    ];
    let mut all = String::new();
    for yaml in metrics {
        let metric = metric(yaml);
        all += &text(&question(&metric));
        all += &text(&failure(&metric, "default", &Answer::Absent));
        all += "\n";
    }
    let answers = [Answer::Unavailable, Answer::Other("no".to_owned())];
    for answer in &answers {
        all += &text(&failure(&metric(metrics[0]), "default", answer));
    }
    insta::assert_snapshot!(all);
}
