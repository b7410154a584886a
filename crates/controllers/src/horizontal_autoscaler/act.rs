//! Asks for a target's scale and for metrics, and writes the scale, the status and the events. Decides nothing.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, MetricSpec};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, PostParams},
};
use plinth_client::{ApiError, code};

use super::{
    Controller,
    metrics::{Answer, Failure, failure, question},
    plan::{self, Outcome, Verdict, replicas, verdict},
};
use crate::{
    scales,
    writes::{revision, unless_outrun},
};

impl Controller {
    /// Does what the target needs.
    pub(super) async fn scale(
        &self,
        autoscaler: &Arc<HorizontalPodAutoscaler>,
    ) -> Result<Outcome, kube::Error> {
        let namespace = autoscaler.namespace().unwrap_or_default();
        let spec = &autoscaler.spec;
        let target = &spec.scale_target_ref;
        let version = target.api_version.as_deref().unwrap_or_default();
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let targets = match scales::objects(&self.client, &namespace, group, &target.kind).await {
            Ok(targets) => targets,
            Err(error) => return Ok(Outcome::NoScale(error.to_string())),
        };
        let mut scale = match targets.get_scale(&target.name).await {
            Ok(scale) => scale,
            Err(error) => return Ok(Outcome::NoScale(error.text())),
        };
        let current = replicas(&scale);
        Ok(match verdict(spec, &scale) {
            Verdict::Leave => Outcome::Left,
            Verdict::NoSelector => Outcome::NoSelector(current),
            Verdict::Measure => {
                let mut failures = Vec::new();
                for metric in spec.metrics.iter().flatten() {
                    failures.push(self.ask(&namespace, metric).await);
                }
                Outcome::Unmeasured(current, failures)
            }
            Verdict::Scale(step) => {
                scale.spec.get_or_insert_default().replicas = Some(step.to);
                let params = PostParams::default();
                match targets.replace_scale(&target.name, &params, &scale).await {
                    Ok(_) => Outcome::Scaled(step),
                    // Somebody was faster: it is looked at anew, at once.
                    Err(error) if error.is_conflict() => return Err(error),
                    Err(error) => Outcome::NotScaled(step, error.text()),
                }
            }
        })
    }

    async fn ask(&self, namespace: &str, metric: &MetricSpec) -> Failure {
        let asked = question(metric);
        let resource = ApiResource {
            group: asked.group.to_owned(),
            version: asked.version.to_owned(),
            api_version: format!("{}/{}", asked.group, asked.version),
            kind: String::new(),
            plural: asked.plural,
        };
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &resource);
        let answer = match api.list_metadata(&ListParams::default().limit(1)).await {
            Ok(_) => Answer::Other("metrics are not read in this cluster".to_owned()),
            Err(error) => match code(&error) {
                Some(404) => Answer::Absent,
                Some(503) => Answer::Unavailable,
                _ => Answer::Other(error.text()),
            },
        };
        failure(metric, namespace, &answer)
    }

    /// Says what came of it, if that is news.
    pub(super) async fn report(
        &self,
        autoscaler: &Arc<HorizontalPodAutoscaler>,
        outcome: &Outcome,
    ) -> Result<(), kube::Error> {
        let old = autoscaler.status.clone().unwrap_or_default();
        let status = plan::status(&old, outcome, Timestamp::now());
        if status == old {
            return Ok(());
        }
        for news in plan::news(outcome) {
            let regarding = autoscaler.object_ref(&());
            self.recorder
                .event(&regarding, news.kind, news.reason, &news.message);
        }
        let namespace = autoscaler.namespace().unwrap_or_default();
        let api: Api<HorizontalPodAutoscaler> = Api::namespaced(self.client.clone(), &namespace);
        let report = HorizontalPodAutoscaler {
            status: Some(status),
            ..(**autoscaler).clone()
        };
        let name = autoscaler.name_any();
        let answer = api
            .replace_status(&name, &PostParams::default(), &report)
            .await;
        if let Some(written) = unless_outrun(answer)? {
            self.autoscalers.seen(revision(&written)).await;
        }
        Ok(())
    }
}
