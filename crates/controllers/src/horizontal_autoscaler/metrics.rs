//! Which API a metric would come from, and what is said when it does not come. Pure. The texts are upstream's:
//! users search for them.

use k8s_openapi::{
    api::autoscaling::v2::{MetricSpec, MetricTarget},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::core::Selector;

/// Why a metric cannot be had.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Failure {
    pub(crate) reason: &'static str,
    /// For the condition and the metric's own event.
    pub(crate) why: String,
    /// For the event about all metrics.
    pub(crate) error: String,
}

/// What the API of a metric answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// There is no such API.
    Absent,
    /// It is registered, and nobody answers for it.
    Unavailable,
    /// Something else, in these words.
    Other(String),
}

/// What is asked for a metric.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Question {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: String,
}

/// The API that would have a metric.
pub(crate) fn question(metric: &MetricSpec) -> Question {
    let (group, version, plural) = match &metric.external {
        Some(external) => (EXTERNAL, "v1beta1", external.metric.name.as_str()),
        None if metric.pods.is_some() || metric.object.is_some() => (CUSTOM, "v1beta2", "pods"),
        None => (RESOURCE, "v1beta1", "pods"),
    };
    Question {
        group,
        version,
        plural: plural.to_owned(),
    }
}

const RESOURCE: &str = "metrics.k8s.io";
const CUSTOM: &str = "custom.metrics.k8s.io";
const EXTERNAL: &str = "external.metrics.k8s.io";

/// Why a metric of an autoscaler in that namespace cannot be had.
pub(crate) fn failure(metric: &MetricSpec, namespace: &str, answer: &Answer) -> Failure {
    let unread = unread(&question(metric), answer);
    if let Some(metric) = &metric.resource {
        let why = unused(&metric.name, &metric.target, &unread);
        return Failure {
            reason: "FailedGetResourceMetric",
            error: format!("failed to get {} resource metric value: {why}", metric.name),
            why,
        };
    }
    if let Some(metric) = &metric.container_resource {
        let why = unused(&metric.name, &metric.target, &unread);
        let container = &metric.container;
        return Failure {
            reason: "FailedGetContainerResourceMetric",
            error: format!("failed to get {container} container metric value: {why}"),
            why,
        };
    }
    if let Some(metric) = &metric.pods {
        let why = format!("unable to get metric {}: {unread}", metric.metric.name);
        return Failure {
            reason: "FailedGetPodsMetric",
            error: format!("failed to get pods metric value: {why}"),
            why,
        };
    }
    if let Some(metric) = &metric.object {
        let (name, object) = (&metric.metric.name, &metric.described_object);
        let (kind, of) = (&object.kind, &object.name);
        let why = format!("unable to get metric {name}: {kind} on {namespace} {of}/{unread}");
        let per_pod = match metric.target.average_value {
            Some(_) => format!("failed to get {name} object metric: "),
            None => String::new(),
        };
        return Failure {
            reason: "FailedGetObjectMetric",
            error: format!("failed to get object metric value: {per_pod}{why}"),
            why,
        };
    }
    if let Some(metric) = &metric.external {
        let name = &metric.metric.name;
        let labels = labels(metric.metric.selector.as_ref());
        let why = format!("unable to get external metric {namespace}/{name}/{labels}: {unread}");
        let failed = match metric.target.average_value {
            Some(_) => format!("failed to get {name} external metric"),
            None => format!("failed to get external metric {name}"),
        };
        return Failure {
            reason: "FailedGetExternalMetric",
            error: format!("failed to get {name} external metric value: {failed}: {why}"),
            why,
        };
    }
    let why = format!("unknown metric source type \"{}\"", metric.type_);
    Failure {
        reason: "InvalidMetricSourceType",
        error: why.clone(),
        why,
    }
}

fn unread(question: &Question, answer: &Answer) -> String {
    let Question { group, plural, .. } = question;
    let api = match *group {
        CUSTOM => "custom",
        EXTERNAL => "external",
        _ => "resource",
    };
    let why = match answer {
        Answer::Absent if *group == CUSTOM => {
            "no custom metrics API (custom.metrics.k8s.io) registered".to_owned()
        }
        Answer::Absent => {
            format!("the server could not find the requested resource (get {plural}.{group})")
        }
        Answer::Unavailable => {
            format!("the server is currently unable to handle the request (get {plural}.{group})")
        }
        Answer::Other(why) => why.clone(),
    };
    format!("unable to fetch metrics from {api} metrics API: {why}")
}

fn unused(name: &str, target: &MetricTarget, unread: &str) -> String {
    let measure = match target.average_value {
        Some(_) => "usage",
        None => "utilization",
    };
    format!("failed to get {name} {measure}: unable to get metrics for resource {name}: {unread}")
}

fn labels(selector: Option<&LabelSelector>) -> String {
    // Validation keeps a selector that says nothing sensible out.
    let selector = selector.and_then(|selector| Selector::try_from(selector.clone()).ok());
    selector
        .map(|selector| selector.to_string())
        .unwrap_or_default()
}
