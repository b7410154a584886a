//! Executes a plan's actions, all but the start and the stop of containers.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use plinth_client::EventKind::{Normal, Warning};
use plinth_runtime::{PodSandboxConfig, RuntimeError, SandboxId};

use super::Worker;
use super::memory::ActError;
use crate::container::Facts;
use crate::plan::{Action, Step};
use crate::spec;
use crate::status::Addresses;
use crate::volumes::{self, Setup, VolumeError};

impl Worker {
    pub(super) async fn act(
        &mut self,
        pod: Option<&Arc<Pod>>,
        action: Action,
    ) -> Result<(), ActError> {
        match (action, pod) {
            (
                Action::Stop {
                    id,
                    container,
                    deadline,
                    why,
                },
                pod,
            ) => {
                self.stop(pod.map(AsRef::as_ref), id, &container, deadline, &why);
                Ok(())
            }
            (Action::StopSandbox(id), _) => self.stop_sandbox(id).await,
            (Action::RemoveSandbox(id), _) => match self.node.runtime.remove_pod_sandbox(&id).await
            {
                Ok(()) | Err(RuntimeError::SandboxNotFound(_)) => Ok(()),
                Err(e) => Err(ActError::RemoveSandbox(e.to_string())),
            },
            (Action::Remove(id), _) => match self.node.runtime.remove_container(&id).await {
                Ok(()) | Err(RuntimeError::ContainerNotFound(_)) => Ok(()),
                Err(e) => Err(ActError::RemoveContainer(e.to_string())),
            },
            (Action::CleanUp, _) => self.clean_up().await,
            (Action::Finish, pod) => self.finish(pod.map(AsRef::as_ref)).await,
            (Action::SetUpVolumes, Some(pod)) => self.set_up_volumes(pod).await,
            (Action::StartSandbox { attempt, replaces }, Some(pod)) => {
                self.start_sandbox(pod, attempt, replaces).await
            }
            (Action::AttachNetwork(id), Some(pod)) => self.attach_network(pod, &id).await,
            (
                Action::Start {
                    container,
                    attempt,
                    after,
                },
                Some(pod),
            ) => self.start(pod, &container, attempt, after.is_some()).await,
            // A pod that is not known has only remains, and a plan for those starts nothing.
            (_, None) => Ok(()),
        }
    }

    async fn set_up_volumes(&mut self, pod: &Pod) -> Result<(), ActError> {
        let addresses = Addresses {
            host: self.node.ip.to_string(),
            pod: None,
        };
        let facts = Facts {
            pod,
            addresses: &addresses,
            allocatable: &self.node.capacity.allocatable,
        };
        let version = Timestamp::now().as_nanosecond().to_string();
        let setup = Setup {
            client: &self.node.client,
            dir: &self.dir,
            pod,
            facts: &facts,
            tokens: &self.memory.tokens,
            version,
        };
        match setup.run().await {
            Ok(ready) => {
                self.memory.ready_volumes = ready;
                self.memory.volumes = Step::Done;
                self.memory.step_failures.remove("volumes");
                Ok(())
            }
            Err((volume, error)) => {
                let message = match &error {
                    VolumeError::NoPath(_) => {
                        format!(
                            "MountVolume.NewMounter initialization failed for volume \"{volume}\" : {error}"
                        )
                    }
                    _ => format!("MountVolume.SetUp failed for volume \"{volume}\" : {error}"),
                };
                self.memory.volumes = self.memory.step_failed("volumes");
                self.node.event(pod, None, Warning, "FailedMount", &message);
                Err(ActError::Told("volumes"))
            }
        }
    }

    async fn start_sandbox(
        &mut self,
        pod: &Pod,
        attempt: u32,
        replaces: bool,
    ) -> Result<(), ActError> {
        if replaces {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            self.node
                .event(pod, None, Normal, "SandboxChanged", message);
        }
        let domain = &self.node.dns.domain;
        let made = match (spec::hostname(pod, domain), spec::fqdn(pod, domain)) {
            (Some(hostname), _) => {
                let config = self.sandbox_config(pod, attempt, hostname);
                self.node
                    .runtime
                    .run_pod_sandbox(config)
                    .await
                    .map_err(|e| e.to_string())
            }
            (None, full) => Err(format!(
                "Failed to construct FQDN from pod hostname and cluster domain, FQDN {} is too long (64 characters is the max, {} characters requested)",
                full.as_deref().unwrap_or_default(),
                full.as_deref().unwrap_or_default().len()
            )),
        };
        match made {
            Ok(sandbox) => {
                self.pods.owns(&sandbox.id, &self.uid);
                self.memory.sandbox = Step::Due;
                self.memory.network = Step::Due;
                self.memory.step_failures.remove("sandbox");
                Ok(())
            }
            Err(message) => {
                self.memory.sandbox = self.memory.step_failed("sandbox");
                let message = format!("Failed to create pod sandbox: {message}");
                self.node
                    .event(pod, None, Warning, "FailedCreatePodSandBox", &message);
                Err(ActError::Told("sandbox"))
            }
        }
    }

    fn sandbox_config(&self, pod: &Pod, attempt: u32, hostname: String) -> PodSandboxConfig {
        let spec = spec::spec_of(pod);
        let sysctls = spec
            .security_context
            .as_ref()
            .and_then(|c| c.sysctls.as_ref());
        PodSandboxConfig {
            namespace: self.name.namespace.clone(),
            name: self.name.name.clone(),
            uid: self.uid.as_str().to_owned(),
            attempt,
            hostname,
            host_network: spec::is_host_network(&spec),
            log_directory: self.node.log_directory(&self.name, self.uid.as_str()),
            sysctls: sysctls
                .into_iter()
                .flatten()
                .map(|s| (s.name.clone(), s.value.clone()))
                .collect(),
            annotations: std::collections::BTreeMap::new(),
        }
    }

    async fn attach_network(&mut self, pod: &Pod, id: &SandboxId) -> Result<(), ActError> {
        let sandboxes = self.node.runtime.pod_sandboxes().await;
        let Some(sandbox) = sandboxes.iter().find(|s| s.id == *id && s.ready) else {
            // Lost since it was observed; the next look plans anew.
            return Ok(());
        };
        let netns = self.node.runtime.netns(sandbox);
        match self.node.network.attach(id.as_str(), &netns).await {
            Ok(_) => {
                self.memory.network = Step::Done;
                self.memory.step_failures.remove("network");
                Ok(())
            }
            Err(error) => {
                self.memory.network = self.memory.step_failed("network");
                let message = format!("Failed to create pod sandbox: network: {error}");
                self.node
                    .event(pod, None, Warning, "FailedCreatePodSandBox", &message);
                Err(ActError::Told("network"))
            }
        }
    }

    /// The address is given back only after nothing can use it any more.
    async fn stop_sandbox(&mut self, id: SandboxId) -> Result<(), ActError> {
        match self.node.runtime.stop_pod_sandbox(&id).await {
            Ok(()) | Err(RuntimeError::SandboxNotFound(_)) => {}
            Err(e) => return Err(ActError::StopSandbox(e.to_string())),
        }
        self.node
            .network
            .detach(id.as_str())
            .await
            .map_err(|e| ActError::StopSandbox(e.to_string()))?;
        self.memory.stopped.insert(id);
        self.memory.network = Step::Due;
        Ok(())
    }

    async fn clean_up(&mut self) -> Result<(), ActError> {
        let dir = self.dir.path().to_owned();
        let logs = self.node.log_directory(&self.name, self.uid.as_str());
        let path = dir.display().to_string();
        let removed = tokio::task::spawn_blocking(move || {
            volumes::unmount_below(&dir)?;
            remove(&dir)?;
            remove(&logs)
        });
        let removed = removed.await.unwrap_or_else(|e| Err(io::Error::other(e)));
        removed.map_err(|source| ActError::CleanUp { path, source })?;
        self.memory.cleaned = true;
        Ok(())
    }
}

fn remove(dir: &std::path::Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
