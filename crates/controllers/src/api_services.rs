//! Says of every APIService of another server whether it can be reached. This server forwards no requests, so none
//! can; which Service is missing is told first, because users can change that.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::Service,
    apimachinery::pkg::apis::meta::v1::Time,
    kube_aggregator::pkg::apis::apiregistration::v1::{
        APIService, APIServiceCondition, APIServiceStatus,
    },
};
use kube::{Api, ResourceExt};
use plinth_client::{Informer, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    writes::{as_server, revision, unless_outrun},
};

const AVAILABLE: &str = "Available";

struct Controller {
    client: kube::Client,
    apis: Informer<APIService>,
    services: Informer<Service>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        client: cx.client(),
        apis: cx.informers.of(),
        services: cx.informers.of(),
    });
    let queue = cx.queue("api_services");
    let to = queue.clone();
    controller
        .apis
        .on_change(move |change| to.add(change.latest().name_any()));
    let (to, apis) = (queue.clone(), controller.apis.clone());
    controller.services.on_change(move |change| {
        let service = change.latest();
        let place = (service.namespace().unwrap_or_default(), service.name_any());
        for api in apis
            .list()
            .iter()
            .filter(|api| backend(api).as_ref() == Some(&place))
        {
            to.add(api.name_any());
        }
    });
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.apis.synced().await;
        controller.services.synced().await;
        run_workers(queue, 1, shutdown, move |name: String| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&name).await }
        })
        .await;
    });
}

/// Namespace and name of the Service behind an API; `None` when this server is behind it.
fn backend(api: &APIService) -> Option<(String, String)> {
    let service = api.spec.as_ref()?.service.as_ref()?;
    Some((
        service.namespace.clone().unwrap_or_default(),
        service.name.clone().unwrap_or_default(),
    ))
}

/// The status the API should have; `None` when it says so already.
fn plan(
    api: &APIService,
    (namespace, name): &(String, String),
    exists: bool,
    now: Timestamp,
) -> Option<APIServiceStatus> {
    let (reason, message) = if exists {
        (
            "FailedDiscoveryCheck",
            "this server forwards no requests to other API servers".to_owned(),
        )
    } else {
        (
            "ServiceNotFound",
            format!("service/{name} in {namespace:?} is not present"),
        )
    };
    let mut conditions = api
        .status
        .as_ref()
        .and_then(|status| status.conditions.clone())
        .unwrap_or_default();
    let before = conditions
        .iter()
        .position(|condition| condition.type_ == AVAILABLE);
    let said = before.map(|at| &conditions[at]);
    if said.is_some_and(|said| said.status == "False" && said.message.as_deref() == Some(&*message))
    {
        return None;
    }
    let since = said
        .filter(|said| said.status == "False")
        .and_then(|said| said.last_transition_time.clone());
    let condition = APIServiceCondition {
        type_: AVAILABLE.to_owned(),
        status: "False".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: since.or(Some(Time(now))),
    };
    match before {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
    Some(APIServiceStatus {
        conditions: Some(conditions),
    })
}

impl Controller {
    async fn reconcile(&self, name: &str) -> Result<(), kube::Error> {
        let Some(api) = self.apis.get(None, name) else {
            return Ok(());
        };
        let Some(place) = backend(&api) else {
            return Ok(());
        };
        let exists = self.services.get(Some(&place.0), &place.1).is_some();
        let Some(status) = plan(&api, &place, exists, Timestamp::now()) else {
            return Ok(());
        };
        let mut next = (*api).clone();
        next.status = Some(status);
        let apis: Api<APIService> = Api::all(self.client.clone());
        let written = apis.replace_status(name, &as_server(), &next).await;
        if let Some(written) = unless_outrun(written)? {
            self.apis.seen(revision(&written)).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    #[test]
    fn a_missing_service_is_named() {
        let mut api: APIService = object(
            "{metadata: {name: v1.a.com}, spec: {group: a.com, version: v1, groupPriorityMinimum: 1, versionPriority: 1, \
             service: {namespace: n, name: s}}}",
        );
        let place = backend(&api).expect("another server");
        let status = plan(&api, &place, false, Timestamp::UNIX_EPOCH).expect("a status");
        let condition = &status.conditions.as_ref().expect("conditions")[0];
        assert_eq!(condition.reason.as_deref(), Some("ServiceNotFound"));
        assert_eq!(
            condition.message.as_deref(),
            Some("service/s in \"n\" is not present")
        );
        api.status = Some(status);
        assert_eq!(plan(&api, &place, false, Timestamp::UNIX_EPOCH), None);
        assert!(plan(&api, &place, true, Timestamp::UNIX_EPOCH).is_some());
    }
}
