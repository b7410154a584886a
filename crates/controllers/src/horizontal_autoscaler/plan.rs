//! Decides how many replicas a target should have, and what its autoscaler says of what came of it. Pure: no
//! client, no clock.

use jiff::Timestamp;
use k8s_openapi::{
    api::autoscaling::{
        v1::Scale,
        v2::{
            HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerSpec,
            HorizontalPodAutoscalerStatus, MetricStatus,
        },
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use plinth_client::EventKind;

use super::metrics::Failure;

const ABLE: &str = "AbleToScale";
const ACTIVE: &str = "ScalingActive";

/// What is to be done with a target.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Somebody scaled it to nothing, and that is to stay.
    Leave,
    /// It is out of bounds.
    Scale(Step),
    /// It is within its bounds: metrics have the word.
    Measure,
    /// Metrics would have the word, but nobody can say whose.
    NoSelector,
}

/// A change of the number of replicas.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) from: i32,
    pub(crate) to: i32,
    pub(crate) reason: &'static str,
}

/// What came of a look at a target.
#[derive(Debug)]
pub(crate) enum Outcome {
    NoScale(String),
    Left,
    Scaled(Step),
    NotScaled(Step, String),
    /// Within its bounds, with that many replicas; why each metric could not be had.
    Unmeasured(i32, Vec<Failure>),
    NoSelector(i32),
}

/// An event to tell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) kind: EventKind,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// How many replicas a scale asks for.
pub(crate) fn replicas(scale: &Scale) -> i32 {
    let spec = scale.spec.as_ref();
    spec.and_then(|spec| spec.replicas).unwrap_or(0)
}

/// Decides what is to be done.
pub(crate) fn verdict(spec: &HorizontalPodAutoscalerSpec, scale: &Scale) -> Verdict {
    let (min, max) = (spec.min_replicas.unwrap_or(1), spec.max_replicas);
    let from = replicas(scale);
    let step = |to, reason| Verdict::Scale(Step { from, to, reason });
    if from == 0 && min != 0 {
        return Verdict::Leave;
    }
    if from > max {
        return step(max, "Current number of replicas above Spec.MaxReplicas");
    }
    if from < min {
        return step(min, "Current number of replicas below Spec.MinReplicas");
    }
    let status = scale.status.as_ref();
    match status.and_then(|status| status.selector.as_deref()) {
        None | Some("") => Verdict::NoSelector,
        Some(_) => Verdict::Measure,
    }
}

/// The status after a look at the target.
pub(crate) fn status(
    old: &HorizontalPodAutoscalerStatus,
    outcome: &Outcome,
    now: Timestamp,
) -> HorizontalPodAutoscalerStatus {
    let mut status = old.clone();
    // Each condition is said once, so that its time of transition tells a real one.
    let mut say = |kind: &str, is: bool, reason: &str, message: &str| {
        let conditions = status.conditions.get_or_insert_default();
        set(conditions, kind, is, reason, message, now);
    };
    let got = "the HPA controller was able to get the target's current scale";
    match outcome {
        Outcome::NoScale(why) => {
            let message =
                format!("the HPA controller was unable to get the target's current scale: {why}");
            say(ABLE, false, "FailedGetScale", &message);
        }
        Outcome::Left => {
            say(ABLE, true, "SucceededGetScale", got);
            let message = "scaling is disabled since the replica count of the target is zero";
            say(ACTIVE, false, "ScalingDisabled", message);
            status.current_replicas = counted(0);
            status.desired_replicas = 0;
            status.current_metrics = None;
        }
        Outcome::Scaled(step) => {
            let message = format!(
                "the HPA controller was able to update the target scale to {}",
                step.to
            );
            say(ABLE, true, "SucceededRescale", &message);
            status.current_replicas = counted(step.from);
            status.desired_replicas = step.to;
            status.current_metrics = None;
            status.last_scale_time = Some(Time(now));
        }
        Outcome::NotScaled(step, why) => {
            let message =
                format!("the HPA controller was unable to update the target scale: {why}");
            say(ABLE, false, "FailedUpdateScale", &message);
            status.current_replicas = counted(step.from);
        }
        Outcome::Unmeasured(replicas, failures) => {
            say(ABLE, true, "SucceededGetScale", got);
            if let Some(first) = failures.first() {
                let message = format!(
                    "the HPA was unable to compute the replica count: {}",
                    first.why
                );
                say(ACTIVE, false, first.reason, &message);
            }
            status.current_replicas = counted(*replicas);
            // One place for each metric, in the order of the spec.
            status.current_metrics = Some(vec![MetricStatus::default(); failures.len()]);
        }
        Outcome::NoSelector(replicas) => {
            say(ABLE, true, "SucceededGetScale", got);
            let message = "the HPA target's scale is missing a selector";
            say(ACTIVE, false, "InvalidSelector", message);
            status.current_replicas = counted(*replicas);
            status.current_metrics = None;
        }
    }
    status
}

/// The API drops a count of none: said otherwise, it would be news for ever.
fn counted(replicas: i32) -> Option<i32> {
    (replicas != 0).then_some(replicas)
}

/// What there is to tell of an outcome.
pub(crate) fn news(outcome: &Outcome) -> Vec<News> {
    let warning = |reason, message: &str| News {
        kind: EventKind::Warning,
        reason,
        message: message.to_owned(),
    };
    match outcome {
        Outcome::Left => Vec::new(),
        Outcome::NoScale(why) => vec![warning("FailedGetScale", why)],
        Outcome::Scaled(step) => vec![News {
            kind: EventKind::Normal,
            reason: "SuccessfulRescale",
            message: format!("New size: {}; reason: {}", step.to, step.reason),
        }],
        Outcome::NotScaled(Step { to, reason, .. }, why) => {
            let message = format!("New size: {to}; reason: {reason}; error: {why}");
            vec![warning("FailedRescale", &message)]
        }
        Outcome::Unmeasured(_, failures) => {
            let each = failures.iter();
            let mut news: Vec<_> = each
                .map(|failure| warning(failure.reason, &failure.why))
                .collect();
            if let Some(first) = failures.first() {
                let (all, error) = (failures.len(), &first.error);
                let message = format!(
                    "invalid metrics ({all} invalid out of {all}), first error is: {error}"
                );
                news.push(warning("FailedComputeMetricsReplicas", &message));
            }
            news
        }
        Outcome::NoSelector(_) => ["SelectorRequired", "FailedComputeMetricsReplicas"]
            .map(|reason| warning(reason, "selector is required"))
            .into(),
    }
}

fn set(
    conditions: &mut Vec<HorizontalPodAutoscalerCondition>,
    kind: &str,
    is: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let is = if is { "True" } else { "False" };
    let held = conditions.iter().position(|held| held.type_ == kind);
    let index = held.unwrap_or_else(|| {
        conditions.push(HorizontalPodAutoscalerCondition {
            type_: kind.to_owned(),
            ..HorizontalPodAutoscalerCondition::default()
        });
        conditions.len() - 1
    });
    let condition = &mut conditions[index];
    if condition.status != is {
        condition.last_transition_time = Some(Time(now));
    }
    is.clone_into(&mut condition.status);
    condition.reason = Some(reason.to_owned());
    condition.message = Some(message.to_owned());
}
