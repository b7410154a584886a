//! The daemon's side: what is known of every sandbox and container, and the calls that change it. All truth is on disk
//! and in the shims; a runtime that is opened anew knows the same.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::sync::{broadcast, watch};

use crate::cgroup::Cgroups;
use crate::connection::{CallError, Connection, Listener};
use crate::container::{self, Container};
use crate::error::{Result, RuntimeError};
use crate::forward;
use crate::id;
use crate::images::ImageStore;
use crate::protocol::{Answer, Call};
use crate::record::{self, RunRecord, SandboxRecord};
use crate::sandbox::{DEATH, Life, Sandbox};
use crate::session::{Door, Session};
use crate::types::{
    ContainerConfig, ContainerEvent, ContainerId, ContainerState, ContainerStatus, ExecConfig,
    ExecOutput, PodSandbox, PodSandboxConfig, RuntimeConfig, SandboxId, SessionStreams,
};

/// Events kept for a receiver that is slow.
const EVENTS: usize = 4096;
/// How long a shim may take to kill everything in its pod before the daemon does it.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// The node's containers. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Runtime {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: RuntimeConfig,
    images: ImageStore,
    cgroups: Cgroups,
    events: broadcast::Sender<ContainerEvent>,
    sandboxes: Mutex<HashMap<SandboxId, Arc<Sandbox>>>,
    containers: Mutex<HashMap<ContainerId, Arc<Container>>>,
}

/// Hears one shim on behalf of the runtime.
struct ShimListener {
    runtime: Weak<Inner>,
    sandbox: Arc<Sandbox>,
    tokio: tokio::runtime::Handle,
}

impl Listener for ShimListener {
    fn changed(&mut self, container: ContainerId, run: RunRecord) {
        if let Some(runtime) = self.runtime.upgrade() {
            runtime.changed(&container, run);
        }
    }

    fn lost(self) {
        let Some(runtime) = self.runtime.upgrade() else {
            return;
        };
        // Ends by itself: it makes one new connection or buries the sandbox.
        self.tokio
            .spawn(async move { runtime.lost(&self.sandbox).await });
    }
}

/// A short critical section on a map; nothing in it can be left half-done by a panic elsewhere.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what waits for disks or processes where that disturbs nobody. It runs to its end even if the caller stops
/// waiting.
pub(crate) async fn blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(f).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

impl Runtime {
    /// Opens the directories and takes over every shim that lives; what died unseen is cleaned up and reported.
    pub async fn open(config: RuntimeConfig) -> Result<Self> {
        let inner = blocking(move || Inner::load(config)).await?;
        let runtime = Self {
            inner: Arc::new(inner),
        };
        for sandbox in runtime.inner.all_sandboxes() {
            runtime.inner.adopt(&sandbox).await;
        }
        Ok(runtime)
    }

    /// What it was opened with.
    pub fn config(&self) -> &RuntimeConfig {
        &self.inner.config
    }

    /// The images that containers can be made from.
    pub fn images(&self) -> &ImageStore {
        &self.inner.images
    }

    /// Makes a pod's namespaces, held by a new shim. Refuses while another sandbox of the same pod name may have
    /// processes ([`RuntimeError::NameInUse`]): at most one pod of a name lives.
    pub async fn run_pod_sandbox(&self, config: PodSandboxConfig) -> Result<PodSandbox> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.run_pod_sandbox(config)).await
    }

    /// The network namespace of a ready sandbox.
    pub fn netns(&self, sandbox: &PodSandbox) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", sandbox.pid))
    }

    /// Kills whatever is left in the pod, proves its cgroup empty, ends the shim. Returns when nothing lives; stopping
    /// again is no error. [`RuntimeError::StillAlive`] means that the pod may not be considered gone.
    pub async fn stop_pod_sandbox(&self, id: &SandboxId) -> Result<()> {
        let sandbox = self.inner.sandbox(id)?;
        self.inner.stop(&sandbox).await
    }

    /// Stops the sandbox if needed and forgets it and its containers.
    pub async fn remove_pod_sandbox(&self, id: &SandboxId) -> Result<()> {
        let sandbox = self.inner.sandbox(id)?;
        self.inner.stop(&sandbox).await?;
        for container in self.inner.containers_of(id) {
            self.remove_container(&container.record.id).await?;
        }
        let file = self.inner.sandbox_file(id);
        blocking(move || match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RuntimeError::io("remove", file)(error))
            }
            _ => Ok(()),
        })
        .await?;
        locked(&self.inner.sandboxes).remove(id);
        Ok(())
    }

    /// Every sandbox, ready or not, oldest first.
    #[allow(clippy::unused_async)] // the seam of CRI, where a backend may have to ask
    pub async fn pod_sandboxes(&self) -> Vec<PodSandbox> {
        let mut all: Vec<_> = self
            .inner
            .all_sandboxes()
            .iter()
            .map(|sandbox| sandbox.view())
            .collect();
        all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        all
    }

    /// Records a container; starts nothing.
    pub async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: ContainerConfig,
    ) -> Result<ContainerId> {
        let sandbox = self.inner.sandbox(sandbox)?;
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.create_container(&sandbox, config)).await
    }

    /// Starts a created container; returns when its program runs.
    pub async fn start_container(&self, id: &ContainerId) -> Result<()> {
        let container = self.inner.container(id)?;
        let state = container.run().state;
        if state != ContainerState::Created {
            return Err(RuntimeError::WrongState {
                id: id.clone(),
                state: state.text(),
                action: "be started",
            });
        }
        let sandbox = self.inner.sandbox(&container.record.sandbox)?;
        let gone = || RuntimeError::SandboxNotReady(sandbox.record.id.clone());
        let connection = sandbox.connection().ok_or_else(gone)?;
        match connection
            .call(Call::Start {
                container: id.clone(),
            })
            .await
        {
            Ok(_) => Ok(()),
            Err(CallError::Lost) => Err(gone()),
            Err(CallError::Refused(message)) => {
                if container.run().state == ContainerState::Created {
                    // It did not come far enough for the shim to write a record.
                    let run = RunRecord::not_started(message.clone(), Timestamp::now());
                    container.save(&run)?;
                    self.inner.changed(id, run);
                }
                Err(RuntimeError::Start {
                    id: id.clone(),
                    message,
                })
            }
        }
    }

    /// Sends the stop signal, waits up to `grace`, then kills. Returns when no process of it lives. Stopping what
    /// does not run is no error.
    pub async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<()> {
        let container = self.inner.container(id)?;
        let mut run = container.watch();
        if run.borrow_and_update().state != ContainerState::Running {
            return Ok(());
        }
        if !grace.is_zero() {
            self.inner
                .signal(&container, container.record.stop_signal)
                .await?;
            if ended(&mut run, grace).await {
                return Ok(());
            }
        }
        self.inner.signal(&container, libc::SIGKILL).await?;
        if ended(&mut run, DEATH).await {
            return Ok(());
        }
        let pids = container
            .run()
            .pid
            .map(u32::cast_signed)
            .into_iter()
            .collect();
        Err(RuntimeError::StillAlive {
            cgroup: container.record.launch.cgroup.clone().into(),
            pids,
        })
    }

    /// Kills the container if it runs and forgets it with its writable layer; its log file stays.
    pub async fn remove_container(&self, id: &ContainerId) -> Result<()> {
        self.stop_container(id, Duration::ZERO).await?;
        let container = self.inner.container(id)?;
        if let Some(connection) = self
            .inner
            .sandbox(&container.record.sandbox)
            .ok()
            .and_then(|s| s.connection())
        {
            // Answered after the shim has unmounted the container's root. If the shim is lost, so is the mount.
            match connection
                .call(Call::Forget {
                    container: id.clone(),
                })
                .await
            {
                Ok(_) | Err(CallError::Lost) => {}
                Err(CallError::Refused(message)) => {
                    let sandbox = container.record.sandbox.clone();
                    return Err(RuntimeError::Shim {
                        sandbox,
                        step: "forget a container",
                        message,
                    });
                }
            }
        }
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            container.remove_files()?;
            inner
                .images
                .release(container.record.id.as_str())
                .map_err(|e| RuntimeError::Image {
                    image: container.record.config.image.clone(),
                    message: e.to_string(),
                })?;
            locked(&inner.containers).remove(&container.record.id);
            Ok(())
        })
        .await
    }

    /// What is known of one container.
    #[allow(clippy::unused_async)] // as `pod_sandboxes`
    pub async fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus> {
        Ok(self.inner.container(id)?.status())
    }

    /// What is known of every container, oldest first.
    #[allow(clippy::unused_async)] // as `pod_sandboxes`
    pub async fn containers(&self) -> Vec<ContainerStatus> {
        let mut all: Vec<_> = locked(&self.inner.containers)
            .values()
            .map(|container| container.status())
            .collect();
        all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        all
    }

    /// Runs a program in a running container: its namespaces, cgroup, user, capabilities and environment.
    pub async fn exec(&self, id: &ContainerId, config: ExecConfig) -> Result<Session> {
        if config.command.is_empty() {
            return Err(RuntimeError::InvalidConfig("no command specified".into()));
        }
        let mut streams = config.streams;
        streams.stderr &= !config.tty;
        let call = Call::Exec {
            container: id.clone(),
            argv: config.command,
            tty: config.tty,
            streams: streams.into(),
        };
        self.door(id)?.begin(call, streams).await
    }

    /// Runs a program as [`Self::exec`] and waits for it; `None` if it has not ended within `patience` and was killed.
    /// Of what it prints the first `limit` bytes are kept.
    pub async fn exec_sync(
        &self,
        id: &ContainerId,
        command: Vec<String>,
        patience: Duration,
        limit: usize,
    ) -> Result<Option<ExecOutput>> {
        let begun = tokio::time::Instant::now();
        let config = ExecConfig {
            command,
            tty: false,
            streams: SessionStreams {
                stdin: false,
                stdout: true,
                stderr: true,
            },
        };
        let Ok(session) = tokio::time::timeout(patience, self.exec(id, config)).await else {
            return Ok(None);
        };
        let left = patience.saturating_sub(begun.elapsed());
        session?
            .collect(left, limit)
            .await
            .map_err(|e| RuntimeError::Session {
                id: id.clone(),
                message: e.to_string(),
            })
    }

    /// Joins the streams of a running container: what it prints from now on, and its input if it was made with one.
    pub async fn attach(&self, id: &ContainerId, streams: SessionStreams) -> Result<Session> {
        let mut streams = streams;
        streams.stderr &= !self.inner.container(id)?.record.launch.tty;
        let call = Call::Attach {
            container: id.clone(),
            streams: streams.into(),
        };
        self.door(id)?.begin(call, streams).await
    }

    /// Whether a container was made with a terminal.
    pub fn has_terminal(&self, id: &ContainerId) -> Result<bool> {
        Ok(self.inner.container(id)?.record.launch.tty)
    }

    /// Connects to a port of the pod's loopback interface.
    pub async fn connect(&self, id: &SandboxId, port: u16) -> Result<TcpStream> {
        let sandbox = self.inner.sandbox(id)?.view();
        if !sandbox.ready {
            return Err(RuntimeError::SandboxNotReady(id.clone()));
        }
        let netns = self.netns(&sandbox);
        forward::connect(&netns, port)
            .await
            .map_err(RuntimeError::io("connect inside", netns))
    }

    fn door(&self, id: &ContainerId) -> Result<Door> {
        let container = self.inner.container(id)?;
        let state = container.run().state;
        if state != ContainerState::Running {
            return Err(RuntimeError::WrongState {
                id: id.clone(),
                state: state.text(),
                action: "be entered",
            });
        }
        let sandbox = self.inner.sandbox(&container.record.sandbox)?;
        Ok(Door {
            container: id.clone(),
            socket: sandbox.socket(),
        })
    }

    /// State changes from now on. A receiver that lags loses the oldest: list again.
    pub fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        self.inner.events.subscribe()
    }
}

/// Waits until the container has ended; `false` if it has not by then.
async fn ended(run: &mut watch::Receiver<RunRecord>, patience: Duration) -> bool {
    let end = run.wait_for(|run| run.state == ContainerState::Exited);
    // The sender lives as long as the container that the caller holds.
    tokio::time::timeout(patience, end).await.is_ok()
}

impl Inner {
    fn load(config: RuntimeConfig) -> Result<Self> {
        let containers = config.root.join("containers");
        let sandboxes = config.root.join("sandboxes");
        for directory in [&containers, &sandboxes, &config.state.join("sandboxes")] {
            fs::create_dir_all(directory).map_err(RuntimeError::io("make", directory))?;
            // Containers' files may be set-user-id, and whoever reaches a shim's socket commands it.
            let owner_only = fs::Permissions::from_mode(0o700);
            fs::set_permissions(directory, owner_only)
                .map_err(RuntimeError::io("restrict", directory))?;
        }
        let images = ImageStore::open(&config.root).map_err(|e| RuntimeError::Image {
            image: String::new(),
            message: e.to_string(),
        })?;
        let cgroups = Cgroups::find().map_err(RuntimeError::io("read", "/proc/self/mountinfo"))?;
        let inner = Self {
            images,
            cgroups,
            events: broadcast::channel(EVENTS).0,
            sandboxes: Mutex::default(),
            containers: Mutex::default(),
            config,
        };
        for file in entries(&sandboxes)? {
            let record: SandboxRecord = match record::read(&file) {
                Ok(record) => record,
                Err(error) => {
                    tracing::warn!(file = %file.display(), %error, "a sandbox's record cannot be read");
                    continue;
                }
            };
            let life = if record.gone {
                Life::Gone
            } else {
                Life::Doubtful
            };
            let sandbox = Sandbox::new(record, &inner.config.state, life);
            locked(&inner.sandboxes).insert(sandbox.record.id.clone(), Arc::new(sandbox));
        }
        for directory in entries(&containers)? {
            match Container::load(&directory, |id| inner.log_directory(id)) {
                Ok(Some(container)) => {
                    locked(&inner.containers)
                        .insert(container.record.id.clone(), Arc::new(container));
                }
                // Its creation was interrupted.
                Ok(None) => container::remove_tree(&directory)?,
                Err(error) => {
                    tracing::warn!(directory = %directory.display(), %error, "a container cannot be read");
                }
            }
        }
        Ok(inner)
    }

    /// `None` if the sandbox is not known.
    fn log_directory(&self, id: &SandboxId) -> Option<PathBuf> {
        locked(&self.sandboxes)
            .get(id)
            .map(|sandbox| sandbox.record.config.log_directory.clone())
    }

    fn sandbox(&self, id: &SandboxId) -> Result<Arc<Sandbox>> {
        locked(&self.sandboxes)
            .get(id)
            .cloned()
            .ok_or_else(|| RuntimeError::SandboxNotFound(id.clone()))
    }

    fn container(&self, id: &ContainerId) -> Result<Arc<Container>> {
        locked(&self.containers)
            .get(id)
            .cloned()
            .ok_or_else(|| RuntimeError::ContainerNotFound(id.clone()))
    }

    fn all_sandboxes(&self) -> Vec<Arc<Sandbox>> {
        locked(&self.sandboxes).values().cloned().collect()
    }

    fn containers_of(&self, sandbox: &SandboxId) -> Vec<Arc<Container>> {
        locked(&self.containers)
            .values()
            .filter(|c| c.record.sandbox == *sandbox)
            .cloned()
            .collect()
    }

    fn sandbox_file(&self, id: &SandboxId) -> PathBuf {
        self.config
            .root
            .join("sandboxes")
            .join(format!("{id}.json"))
    }

    /// Opens a connection on which this runtime hears the sandbox's shim. Needs the context of tokio.
    fn connect(self: &Arc<Self>, sandbox: &Arc<Sandbox>) -> io::Result<Connection> {
        let listener = ShimListener {
            runtime: Arc::downgrade(self),
            sandbox: Arc::clone(sandbox),
            tokio: tokio::runtime::Handle::current(),
        };
        Connection::open(&sandbox.socket(), listener)
    }

    fn run_pod_sandbox(self: &Arc<Self>, config: PodSandboxConfig) -> Result<PodSandbox> {
        if config.uid.is_empty() || config.uid.contains('/') || config.uid.starts_with('.') {
            return Err(RuntimeError::InvalidConfig(format!(
                "{:?} is not a pod's uid",
                config.uid
            )));
        }
        let id = SandboxId(id::random().map_err(RuntimeError::io("read", "/dev/urandom"))?);
        let record = SandboxRecord {
            id: id.clone(),
            cgroup: format!("{}/pod{}", self.config.cgroup_root, config.uid),
            containers: self.config.root.join("containers"),
            created_at: Timestamp::now(),
            gone: false,
            config,
        };
        let sandbox = self.claim_name(record)?;
        let file = self.sandbox_file(&id);
        let started = record::write(&file, &sandbox.record)
            .map_err(RuntimeError::io("write", &file))
            .and_then(|()| sandbox.spawn_shim(&self.config.shim_exe))
            .and_then(|process| {
                // Whoever hears that this connection is lost must find it noted here.
                let _guard = sandbox.ending.blocking_lock();
                let connection = self
                    .connect(&sandbox)
                    .map_err(RuntimeError::io("connect to", sandbox.socket()))?;
                sandbox.set_life(Life::Ready {
                    process,
                    connection,
                });
                Ok(())
            });
        match started {
            Ok(()) => Ok(sandbox.view()),
            Err(error) => {
                // If it cannot be proven gone, it stays listed and keeps its name.
                if let Err(still) = sandbox.bury(&self.cgroups, &self.config.cgroup_root, &file) {
                    tracing::warn!(sandbox = %id, %still, "a sandbox that failed to start is not gone");
                } else if fs::remove_file(&file).is_ok() {
                    locked(&self.sandboxes).remove(&id);
                }
                Err(error)
            }
        }
    }

    /// Registers a sandbox unless another one of the same pod name may live.
    fn claim_name(&self, record: SandboxRecord) -> Result<Arc<Sandbox>> {
        let mut sandboxes = locked(&self.sandboxes);
        let same_name = |other: &SandboxRecord| {
            (&other.config.namespace, &other.config.name)
                == (&record.config.namespace, &record.config.name)
        };
        if let Some(holder) = sandboxes
            .values()
            .find(|s| s.may_live() && same_name(&s.record))
        {
            return Err(RuntimeError::NameInUse {
                namespace: record.config.namespace,
                name: record.config.name,
                holder: holder.record.id.clone(),
                holder_uid: holder.record.config.uid.clone(),
            });
        }
        let sandbox = Arc::new(Sandbox::new(record, &self.config.state, Life::Starting));
        sandboxes.insert(sandbox.record.id.clone(), Arc::clone(&sandbox));
        Ok(sandbox)
    }

    fn create_container(&self, sandbox: &Sandbox, config: ContainerConfig) -> Result<ContainerId> {
        if sandbox.connection().is_none() {
            return Err(RuntimeError::SandboxNotReady(sandbox.record.id.clone()));
        }
        let id = ContainerId(id::random().map_err(RuntimeError::io("read", "/dev/urandom"))?);
        let failed = |error: crate::images::ImageError| RuntimeError::Image {
            image: config.image.clone(),
            message: error.to_string(),
        };
        let image = self
            .images
            .resolve(&config.image)
            .map_err(failed)?
            .ok_or_else(|| RuntimeError::ImageNotFound(config.image.clone()))?;
        let lower_dirs = self.images.hold(id.as_str(), &image).map_err(failed)?;
        let created = Container::create(&sandbox.record, &id, config, &image, lower_dirs);
        match created {
            Ok(container) => {
                locked(&self.containers).insert(id.clone(), Arc::new(container));
                Ok(id)
            }
            Err(error) => {
                if let Err(release) = self.images.release(id.as_str()) {
                    tracing::warn!(container = %id, %release, "an image stays held");
                }
                Err(error)
            }
        }
    }

    /// Sends a signal to a running container; what has ended meanwhile needs none.
    async fn signal(&self, container: &Container, signal: i32) -> Result<()> {
        let Some(connection) = self.sandbox(&container.record.sandbox)?.connection() else {
            return Ok(());
        };
        match connection
            .call(Call::Signal {
                container: container.record.id.clone(),
                signal,
            })
            .await
        {
            // A lost shim's containers are killed by whoever noticed.
            Ok(_) | Err(CallError::Lost) => Ok(()),
            Err(CallError::Refused(message)) => Err(RuntimeError::Shim {
                sandbox: container.record.sandbox.clone(),
                step: "signal a container",
                message,
            }),
        }
    }

    /// Takes note of a container's new record, unless something later is known, and tells everybody.
    fn changed(&self, id: &ContainerId, run: RunRecord) {
        let Ok(container) = self.container(id) else {
            return;
        };
        let state = run.state;
        if container.take(run) {
            let event = ContainerEvent {
                sandbox: container.record.sandbox.clone(),
                container: Some(id.clone()),
                state,
            };
            let _ = self.events.send(event); // nobody listens
        }
    }

    /// On opening: connects to the shim of a recorded sandbox, or buries what died meanwhile.
    async fn adopt(self: &Arc<Self>, sandbox: &Arc<Sandbox>) {
        if !sandbox.may_live() {
            return;
        }
        // Whoever hears that the new connection is lost must find it noted here.
        let guard = sandbox.ending.lock().await;
        let Some(process) = sandbox.living_shim() else {
            drop(guard);
            self.finish(sandbox).await;
            return;
        };
        match self.connect(sandbox) {
            Ok(connection) => {
                sandbox.set_life(Life::Ready {
                    process,
                    connection: connection.clone(),
                });
                self.synchronize(&connection).await;
            }
            Err(error) => {
                tracing::warn!(sandbox = %sandbox.record.id, %error, "a shim does not listen");
                drop(guard);
                self.finish(sandbox).await;
            }
        }
    }

    /// Hears from the shim what happened while nobody listened. If the connection is lost again, whoever notices
    /// goes on.
    async fn synchronize(&self, connection: &Connection) {
        if let Ok(Answer::Containers(containers)) = connection.call(Call::List).await {
            for (id, run) in containers {
                self.changed(&id, run);
            }
        }
    }

    /// A connection has ended: the shim is dead, or it cut us off for being slow.
    async fn lost(self: &Arc<Self>, sandbox: &Arc<Sandbox>) {
        let guard = sandbox.ending.lock().await;
        if sandbox.connection().is_none() {
            return; // it was being ended anyway
        }
        if let Some(process) = sandbox.living_shim()
            && let Ok(connection) = self.connect(sandbox)
        {
            sandbox.set_life(Life::Ready {
                process,
                connection: connection.clone(),
            });
            self.synchronize(&connection).await;
            return;
        }
        drop(guard);
        tracing::warn!(sandbox = %sandbox.record.id, "a shim is gone; killing what is left of its pod");
        self.finish(sandbox).await;
    }

    async fn stop(self: &Arc<Self>, sandbox: &Arc<Sandbox>) -> Result<()> {
        // Whoever notices that the connection ends waits here and finds that all is well.
        let _guard = sandbox.ending.lock().await;
        if let Some(connection) = sandbox.connection() {
            // Tells us how every container ended. A shim that does not answer is killed with the rest.
            let shutdown = connection.call(Call::Shutdown);
            if tokio::time::timeout(SHUTDOWN, shutdown).await.is_err() {
                tracing::warn!(sandbox = %sandbox.record.id, "the shim does not shut down");
            }
        }
        self.bury(sandbox).await
    }

    /// [`Self::end`] for when nobody waits for the outcome: the sandbox stays doubtful, and stopping it tries again.
    async fn finish(self: &Arc<Self>, sandbox: &Arc<Sandbox>) {
        if let Err(error) = self.end(sandbox).await {
            tracing::error!(sandbox = %sandbox.record.id, %error, "a dead pod cannot be cleaned up");
        }
    }

    /// Buries a sandbox and its containers.
    async fn end(self: &Arc<Self>, sandbox: &Arc<Sandbox>) -> Result<()> {
        let _guard = sandbox.ending.lock().await;
        self.bury(sandbox).await
    }

    /// [`Self::end`] for the holder of the sandbox's `ending`.
    async fn bury(self: &Arc<Self>, sandbox: &Arc<Sandbox>) -> Result<()> {
        if !sandbox.may_live() {
            return Ok(());
        }
        let (inner, buried) = (Arc::clone(self), Arc::clone(sandbox));
        let outcome = blocking(move || {
            let file = inner.sandbox_file(&buried.record.id);
            buried.bury(&inner.cgroups, &inner.config.cgroup_root, &file)
        })
        .await;
        if sandbox.may_live() {
            return outcome;
        }
        for container in self.containers_of(&sandbox.record.id) {
            let run = container.run();
            if run.state != ContainerState::Running {
                continue;
            }
            // The shim may have written the end of it without living to tell.
            let lost = container
                .saved()
                .filter(|saved| saved.state == ContainerState::Exited);
            let run = lost.unwrap_or_else(|| run.lost(Timestamp::now()));
            if let Err(error) = container.save(&run) {
                tracing::warn!(container = %container.record.id, %error, "a container's end is not on disk");
            }
            self.changed(&container.record.id, run);
        }
        let gone = ContainerEvent {
            sandbox: sandbox.record.id.clone(),
            container: None,
            state: ContainerState::Exited,
        };
        let _ = self.events.send(gone); // nobody listens
        outcome
    }
}

impl Drop for Inner {
    /// Lets go of the shims; they go on.
    fn drop(&mut self) {
        for sandbox in self.all_sandboxes() {
            if let Some(connection) = sandbox.connection() {
                connection.close();
            }
        }
    }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(directory)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(RuntimeError::io("list", directory))
}
