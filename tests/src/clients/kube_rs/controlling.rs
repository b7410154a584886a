//! An operator: a kind made from a Rust type, and a controller that keeps a ConfigMap for each of its objects and
//! says farewell by a finalizer.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Error as FinalizerError, Event, finalizer};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, CustomResource, CustomResourceExt as _, Resource as _, ResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{in_time, until};

/// What a ship should be.
#[derive(Clone, Debug, CustomResource, Deserialize, Serialize, JsonSchema)]
#[kube(group = "fleet.example.com", version = "v1", kind = "Ship", namespaced)]
#[kube(status = "ShipStatus", shortname = "sh")]
#[kube(printcolumn = r#"{"name": "Crew", "type": "integer", "jsonPath": ".spec.crew"}"#)]
pub(super) struct ShipSpec {
    #[schemars(range(min = 1, max = 1000))]
    crew: u32,
    home: Option<String>,
}

/// What a ship is.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
pub(super) struct ShipStatus {
    aboard: u32,
}

const MANAGER: &str = "harbour";
const FINALIZER: &str = "fleet.example.com/farewell";

type Failure = FinalizerError<kube::Error>;

async fn reconcile(ship: Arc<Ship>, client: Arc<Client>) -> Result<Action, Failure> {
    let client = Client::clone(&client);
    let ships: Api<Ship> = Api::default_namespaced(client.clone());
    finalizer(&ships, FINALIZER, ship, |event| async move {
        let configs: Api<ConfigMap> = Api::default_namespaced(client.clone());
        let apply = PatchParams::apply(MANAGER).force();
        match event {
            Event::Apply(ship) => {
                let name = ship.name_any();
                let log = json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": format!("{name}-log"), "ownerReferences": [ship.controller_owner_ref(&())]},
                    "data": {"crew": ship.spec.crew.to_string()},
                });
                let log_name = format!("{name}-log");
                configs.patch(&log_name, &apply, &Patch::Apply(log)).await?;
                let status = json!({
                    "apiVersion": Ship::api_version(&()), "kind": Ship::kind(&()),
                    "status": ShipStatus { aboard: ship.spec.crew },
                });
                let ships: Api<Ship> = Api::default_namespaced(client);
                ships
                    .patch_status(&name, &apply, &Patch::Apply(status))
                    .await?;
            }
            Event::Cleanup(ship) => {
                let farewell = json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": format!("{}-farewell", ship.name_any())},
                });
                let name = format!("{}-farewell", ship.name_any());
                configs
                    .patch(&name, &apply, &Patch::Apply(farewell))
                    .await?;
            }
        }
        Ok(Action::await_change())
    })
    .await
}

fn again(_: Arc<Ship>, _: &Failure, _: Arc<Client>) -> Action {
    Action::requeue(Duration::from_millis(100))
}

pub(super) async fn life_of_an_owner(client: &Client) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = Ship::crd();
    let name = definition.name_any();
    let apply = PatchParams::apply(MANAGER);
    definitions
        .patch(&name, &apply, &Patch::Apply(&definition))
        .await?;
    let established = await_condition(definitions, &name, conditions::is_crd_established());
    in_time("the kind is established", established).await??;

    let ships: Api<Ship> = Api::default_namespaced(client.clone());
    let configs: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let everything = watcher::Config::default;
    let controller = Controller::new(ships.clone(), everything())
        .owns(configs.clone(), everything())
        .run(reconcile, again, Arc::new(client.clone()))
        .for_each(|_| std::future::ready(()));
    let controller = tokio::spawn(controller);

    let ship = |crew| Ship::new("argo", ShipSpec { crew, home: None });
    let refused = ships.create(&PostParams::default(), &ship(0)).await;
    let Err(kube::Error::Api(status)) = refused else {
        bail!("a ship without a crew was taken");
    };
    ensure!(status.code == 422, "refused otherwise: {status:?}");
    ships.create(&PostParams::default(), &ship(50)).await?;
    aboard(&ships, 50).await?;
    let crew = json!({"spec": {"crew": 49}});
    ships
        .patch("argo", &PatchParams::default(), &Patch::Merge(crew))
        .await?;
    aboard(&ships, 49).await?;
    let made = configs.get("argo-log").await?;
    ensure!(made.data.context("no data")?["crew"] == "49");

    // What somebody takes away comes back.
    configs.delete("argo-log", &DeleteParams::default()).await?;
    until("the log is back", async || {
        let found = configs.get_opt("argo-log").await?;
        Ok(found.filter(|log| log.metadata.uid != made.metadata.uid))
    })
    .await?;

    let uid = ships.get("argo").await?.uid().context("no uid")?;
    ships.delete("argo", &DeleteParams::default()).await?;
    let gone = await_condition(ships, "argo", conditions::is_deleted(&uid));
    in_time("the ship is gone", gone).await??;
    configs.get("argo-farewell").await?;
    controller.abort();
    Ok(())
}

async fn aboard(ships: &Api<Ship>, crew: u32) -> Result<()> {
    until("the crew is aboard", async || {
        let ship = ships.get("argo").await?;
        Ok(ship.status.filter(|status| status.aboard == crew))
    })
    .await?;
    Ok(())
}
