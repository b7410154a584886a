//! The daemon's side.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::error::{Result, RuntimeError};
use crate::types::{
    ContainerConfig, ContainerEvent, ContainerId, ContainerStatus, PodSandbox, PodSandboxConfig, RuntimeConfig,
    SandboxId,
};

/// The node's containers. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Runtime {
    events: broadcast::Sender<ContainerEvent>,
    config: Arc<RuntimeConfig>,
}

#[allow(clippy::unused_async)]
impl Runtime {
    /// Opens the directories and takes over every shim that lives; what died unseen is cleaned up and reported.
    pub async fn open(config: RuntimeConfig) -> Result<Self> {
        Ok(Self { events: broadcast::channel(1024).0, config: Arc::new(config) })
    }

    /// What it was opened with.
    pub fn config(&self) -> &RuntimeConfig {
        &self.config
    }

    /// Makes a pod's namespaces, held by a new shim. Refuses while another uid's sandbox of the same pod name lives.
    pub async fn run_pod_sandbox(&self, config: PodSandboxConfig) -> Result<PodSandbox> {
        Err(RuntimeError::InvalidConfig(config.name))
    }

    /// The network namespace of a ready sandbox.
    pub fn netns(&self, sandbox: &PodSandbox) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", sandbox.pid))
    }

    /// Kills whatever is left in the pod, proves its cgroup empty, ends the shim. Returns when nothing lives.
    pub async fn stop_pod_sandbox(&self, id: &SandboxId) -> Result<()> {
        Err(RuntimeError::SandboxNotFound(id.clone()))
    }

    /// Stops the sandbox if needed and forgets it and its containers.
    pub async fn remove_pod_sandbox(&self, id: &SandboxId) -> Result<()> {
        Err(RuntimeError::SandboxNotFound(id.clone()))
    }

    /// Every sandbox, ready or not.
    pub async fn pod_sandboxes(&self) -> Vec<PodSandbox> {
        Vec::new()
    }

    /// Records a container; starts nothing.
    pub async fn create_container(&self, sandbox: &SandboxId, config: ContainerConfig) -> Result<ContainerId> {
        let _ = config;
        Err(RuntimeError::SandboxNotFound(sandbox.clone()))
    }

    /// Starts a created container; returns when its program runs.
    pub async fn start_container(&self, id: &ContainerId) -> Result<()> {
        Err(RuntimeError::ContainerNotFound(id.clone()))
    }

    /// Sends the stop signal, waits up to `grace`, then kills. Returns when no process of it lives. Stopping what
    /// does not run is no error.
    pub async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<()> {
        let _ = grace;
        Err(RuntimeError::ContainerNotFound(id.clone()))
    }

    /// Kills the container if it runs and forgets it with its writable layer; its log file stays.
    pub async fn remove_container(&self, id: &ContainerId) -> Result<()> {
        Err(RuntimeError::ContainerNotFound(id.clone()))
    }

    /// What is known of one container.
    pub async fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus> {
        Err(RuntimeError::ContainerNotFound(id.clone()))
    }

    /// What is known of every container.
    pub async fn containers(&self) -> Vec<ContainerStatus> {
        Vec::new()
    }

    /// State changes from now on. A receiver that lags loses the oldest: list again.
    pub fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        self.events.subscribe()
    }
}
