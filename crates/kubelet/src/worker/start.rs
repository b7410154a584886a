//! Starts one container: image, environment, mounts, then the runtime.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use plinth_client::ApiError;
use plinth_client::EventKind::{Normal, Warning};
use plinth_runtime::{ContainerConfig, Mount, RuntimeError};

use super::Worker;
use super::images::Available;
use super::memory::ActError;
use crate::container::{
    ConfigError, ConfigInput, Environment, Facts, container_config, environment,
};
use crate::plan::{Schedule, Start};
use crate::spec;
use crate::status::Addresses;
use crate::{files, volumes};

/// Why a container did not start: the waiting reason and message of L-6.
type Refusal = (&'static str, String);

impl Worker {
    /// Starts `container`; a refusal is remembered, told, and tried again later.
    pub(super) async fn start(
        &mut self,
        pod: &Arc<Pod>,
        container: &str,
        attempt: u32,
        restart: bool,
    ) -> Result<(), ActError> {
        let spec = spec::spec_of(pod);
        let Some((_, asked)) = spec::containers(&spec).find(|(_, c)| c.name == container) else {
            return Ok(());
        };
        match self.try_start(pod, asked, attempt, restart).await {
            Ok(()) => Ok(()),
            Err((reason, message)) => {
                let shown = if reason.starts_with("Create") || reason.starts_with("Run") {
                    &message
                } else {
                    reason
                };
                self.node.event(
                    pod,
                    Some(container),
                    Warning,
                    "Failed",
                    &format!("Error: {shown}"),
                );
                self.start_failed(
                    container,
                    reason,
                    message,
                    Schedule::START,
                    Timestamp::now(),
                );
                // The others of the pod go on.
                Ok(())
            }
        }
    }

    /// Notes a failed start.
    pub(super) fn start_failed(
        &mut self,
        container: &str,
        reason: &str,
        message: String,
        schedule: Schedule,
        at: Timestamp,
    ) {
        let failures = self
            .memory
            .start_failures
            .entry(container.to_owned())
            .or_default();
        *failures += 1;
        let retry_at = at + schedule.delay(*failures);
        let start = Start::Failed {
            reason: reason.to_owned(),
            message,
            at,
            retry_at,
        };
        self.memory.starts.insert(container.to_owned(), start);
    }

    async fn try_start(
        &mut self,
        pod: &Arc<Pod>,
        asked: &Container,
        attempt: u32,
        restart: bool,
    ) -> Result<(), Refusal> {
        let image = match self.image(pod, asked)? {
            Available::Yes(image) => image,
            Available::Pulling => return Ok(()),
        };
        let sandboxes = self.node.runtime.pod_sandboxes().await;
        let current = sandboxes
            .into_iter()
            .filter(|s| s.config.uid == self.uid.as_str() && s.ready);
        let Some(sandbox) = current.max_by_key(|s| s.config.attempt) else {
            // Lost since it was observed; the next look plans anew.
            return Ok(());
        };
        let config = self.configure(pod, asked, attempt, image).await?;
        if restart {
            self.memory.backoff.restarted(
                &asked.name,
                &spec::container_hash(asked),
                Timestamp::now(),
            );
        }
        let runtime = self.node.runtime.clone();
        let id = runtime
            .create_container(&sandbox.id, config)
            .await
            .map_err(|e| match e {
                RuntimeError::RunAsNonRoot(message) => ("CreateContainerConfigError", message),
                other => ("CreateContainerError", other.to_string()),
            })?;
        self.node.event(
            pod,
            Some(&asked.name),
            Normal,
            "Created",
            "Container created",
        );
        runtime
            .start_container(&id)
            .await
            .map_err(|e| ("RunContainerError", e.to_string()))?;
        self.node.event(
            pod,
            Some(&asked.name),
            Normal,
            "Started",
            "Container started",
        );
        Box::pin(self.post_start(pod, asked, &id))
            .await
            .map_err(|e| ("PostStartHookError", e))?;
        self.memory.starts.remove(&asked.name);
        self.memory.start_failures.remove(&asked.name);
        Ok(())
    }

    async fn configure(
        &mut self,
        pod: &Arc<Pod>,
        asked: &Container,
        attempt: u32,
        image: String,
    ) -> Result<ContainerConfig, Refusal> {
        let refuse = |e: ConfigError| ("CreateContainerConfigError", e.to_string());
        let spec = spec::spec_of(pod);
        let fetched = self
            .fetch(asked)
            .await
            .map_err(|e| ("CreateContainerConfigError", e.text()))?;
        let addresses = self.current_addresses(pod).await;
        let facts = Facts {
            pod,
            addresses: &addresses,
            allocatable: &self.node.capacity.allocatable,
        };
        let mut services = self.service_environment(pod);
        let hostname = match spec::hostname(pod, &self.node.dns.domain) {
            Some(own) if !spec::is_host_network(&spec) => own,
            _ => self.node.name.clone(),
        };
        services.insert(0, ("HOSTNAME".to_owned(), hostname));
        let env = environment(&Environment {
            container: asked,
            facts: &facts,
            config_maps: &fetched.config_maps,
            secrets: &fetched.secrets,
            services: &services,
        })
        .map_err(refuse)?;
        let mut mounts =
            volumes::container_mounts(asked, &self.memory.ready_volumes, &env).map_err(refuse)?;
        self.add_files(pod, asked, attempt, &addresses, &mut mounts)
            .map_err(|e| {
                (
                    "CreateContainerConfigError",
                    format!("the pod's files could not be written: {e}"),
                )
            })?;
        let qos = spec::qos_class(&spec);
        let resources = spec::container_resources(asked, qos, self.node.capacity.memory);
        let input = ConfigInput {
            spec: &spec,
            container: asked,
            attempt,
            image,
            env,
            mounts,
            resources,
        };
        container_config(input).map_err(refuse)
    }

    /// The files of `/etc` and the termination message, where the container has not mounted something of its own.
    fn add_files(
        &self,
        pod: &Pod,
        asked: &Container,
        attempt: u32,
        addresses: &Addresses,
        mounts: &mut Vec<Mount>,
    ) -> std::io::Result<()> {
        let etc = self.dir.etc();
        let resolver = files::write(
            &etc,
            pod,
            addresses.pod.as_deref(),
            &self.node.dns,
            &self.node.name,
        )?;
        if let Some(omitted) = resolver.omitted {
            self.node
                .event(pod, None, Warning, "DNSConfigForming", &omitted);
        }
        let taken: Vec<_> = mounts.iter().map(|m| m.container_path.clone()).collect();
        let read_only = asked
            .security_context
            .as_ref()
            .and_then(|c| c.read_only_root_filesystem)
            == Some(true);
        mounts.extend(files::mounts(&etc, &taken, read_only));
        let message = self.dir.termination_message(&asked.name, attempt);
        if let Some(parent) = message.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&message, "")?;
        // Whatever user the container runs as may leave a message.
        std::fs::set_permissions(
            &message,
            std::os::unix::fs::PermissionsExt::from_mode(0o666),
        )?;
        let inside = asked
            .termination_message_path
            .as_deref()
            .filter(|p| !p.is_empty());
        let container_path = inside.unwrap_or("/dev/termination-log").into();
        mounts.push(Mount {
            host_path: message,
            container_path,
            ..Mount::default()
        });
        Ok(())
    }

    pub(super) async fn current_addresses(&mut self, pod: &Pod) -> Addresses {
        let desired = self.desired.borrow().clone();
        let seen = self.observe(Some(pod), &desired).await;
        self.addresses(pod, &seen)
    }
}
