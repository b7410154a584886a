//! Says of every FlowSchema whether the priority level it names exists. Knows nothing of queues.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{
    api::flowcontrol::v1::{FlowSchema, FlowSchemaCondition, PriorityLevelConfiguration},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{Api, ResourceExt};
use plinth_client::{Informer, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    writes::{apply_condition, revision, unless_outrun},
};

const DANGLING: &str = "Dangling";
/// The name under which upstream's queue keeper applies the condition.
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";

struct Controller {
    client: kube::Client,
    schemas: Informer<FlowSchema>,
    levels: Informer<PriorityLevelConfiguration>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        client: cx.client(),
        schemas: cx.informers.of(),
        levels: cx.informers.of(),
    });
    let queue = cx.queue("flow_schemas");
    let to = queue.clone();
    controller
        .schemas
        .on_change(move |change| to.add(change.latest().name_any()));
    let (to, schemas) = (queue.clone(), controller.schemas.clone());
    controller.levels.on_change(move |change| {
        let level = change.latest().name_any();
        for schema in schemas
            .list()
            .iter()
            .filter(|schema| level_of(schema) == level)
        {
            to.add(schema.name_any());
        }
    });
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.schemas.synced().await;
        controller.levels.synced().await;
        run_workers(queue, 1, shutdown, move |name: String| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&name).await }
        })
        .await;
    });
}

fn level_of(schema: &FlowSchema) -> &str {
    let spec = schema.spec.as_ref();
    spec.map_or("", |spec| spec.priority_level_configuration.name.as_str())
}

/// The condition the schema should have; `None` when it has it already.
fn plan(schema: &FlowSchema, exists: bool, now: Timestamp) -> Option<FlowSchemaCondition> {
    let level = level_of(schema);
    let (status, reason, what) = if exists {
        ("False", "Found", "it exists")
    } else {
        ("True", "NotFound", "there is no such object")
    };
    let glue = if exists { "and" } else { "but" };
    let message = format!(
        "This FlowSchema references the PriorityLevelConfiguration object named {level:?} {glue} {what}"
    );
    let conditions = schema
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let said = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_.as_deref() == Some(DANGLING));
    if said.is_some_and(|said| {
        said.status.as_deref() == Some(status) && said.message.as_deref() == Some(&*message)
    }) {
        return None;
    }
    let since = said
        .filter(|said| said.status.as_deref() == Some(status))
        .and_then(|said| said.last_transition_time.clone());
    Some(FlowSchemaCondition {
        type_: Some(DANGLING.to_owned()),
        status: Some(status.to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: since.or(Some(Time(now))),
    })
}

impl Controller {
    async fn reconcile(&self, name: &str) -> Result<(), kube::Error> {
        let Some(schema) = self.schemas.get(None, name) else {
            return Ok(());
        };
        let exists = self.levels.get(None, level_of(&schema)).is_some();
        let Some(condition) = plan(&schema, exists, Timestamp::now()) else {
            return Ok(());
        };
        let schemas: Api<FlowSchema> = Api::all(self.client.clone());
        let written = apply_condition(&schemas, name, MANAGER, &condition).await;
        if let Some(written) = unless_outrun(written)? {
            self.schemas.seen(revision(&written)).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::flowcontrol::v1::FlowSchemaStatus;

    use super::*;
    use crate::testing::object;

    #[test]
    fn a_schema_dangles_until_its_level_exists() {
        let mut schema: FlowSchema = object(
            "{metadata: {name: s}, spec: {priorityLevelConfiguration: {name: l}, matchingPrecedence: 9}}",
        );
        let now = Timestamp::UNIX_EPOCH;
        let condition = plan(&schema, false, now).expect("a condition");
        assert_eq!(condition.status.as_deref(), Some("True"));
        assert_eq!(
            condition.message.as_deref(),
            Some(
                "This FlowSchema references the PriorityLevelConfiguration object named \"l\" but there is no such object"
            )
        );
        schema.status = Some(FlowSchemaStatus {
            conditions: Some(vec![condition]),
        });
        assert_eq!(plan(&schema, false, now), None, "said once");
        let found = plan(&schema, true, now).expect("a condition");
        assert_eq!(found.reason.as_deref(), Some("Found"));
    }
}
