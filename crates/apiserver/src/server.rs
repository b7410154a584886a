//! The server as a value: what it is made of, how it starts, and how a request goes through it.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use http_body::Body;
use plinth_api::Status;
use plinth_store::{Store, StoreError};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::admission::{Hooks, Notes, check_types};
use crate::allocation::{Allocation, BadRange};
use crate::audit::{AuditLog, Entry};
use crate::authentication::{
    Authenticator, BadKey, Credentials, Shown, UserInfo, impersonation, sender,
};
use crate::authorization::{self, Rbac};
use crate::bootstrap;
use crate::cache::{self, Clock, Header, Object};
use crate::connect::{connects, passed};
use crate::definitions;
use crate::encryption::{EncryptionError, EncryptionKeys};
use crate::http::body::ResponseBody;
use crate::http::{answer, body, media};
use crate::kind::{Kind, Kinds, NoSchema, split_key};
use crate::metrics::{self, InFlight, Metrics};
use crate::node_proxy::NodeClientTls;
use crate::quota::{self, Quotas};
use crate::route::{Target, route};

/// What a server is made of.
pub struct ApiServerConfig {
    /// Where objects are kept. Nobody else may write to it.
    pub store: Store,
    /// The addresses of Services, as in `10.96.0.0/16`.
    pub service_cidr: String,
    /// Where clients inside the cluster reach this server: the endpoint of the Service `kubernetes`.
    pub advertise: (IpAddr, u16),
    /// How this server speaks to nodes.
    pub node_client: NodeClientTls,
    /// How callers prove who they are.
    pub credentials: Credentials,
    /// Where requests are written down, if they are.
    pub audit: Option<AuditLog>,
    /// With what secrets are sealed in the store; none leaves them plain.
    pub encryption: EncryptionKeys,
}

/// A server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The stored objects cannot be read.
    #[error("cannot read the stored objects: {0}")]
    Store(#[from] StoreError),
    /// A stored object is sealed and cannot be opened.
    #[error("cannot read {key}: {why}")]
    Sealed {
        /// Its place in the store.
        key: String,
        /// Why not.
        why: EncryptionError,
    },
    /// The service range is no range.
    #[error("the service range is unusable: {0}")]
    ServiceRange(#[from] BadRange),
    /// Tokens cannot be signed.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// The program was built wrongly.
    #[error("the API catalogue is incomplete: {0}")]
    Catalogue(String),
    /// An object every cluster has cannot be made.
    #[error("cannot make {object}: {why}")]
    Bootstrap {
        /// Which one.
        object: String,
        /// Why not.
        why: String,
    },
}

impl From<NoSchema> for StartError {
    fn from(error: NoSchema) -> Self {
        Self::Catalogue(error.to_string())
    }
}

/// What all requests share.
pub(crate) struct Core {
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<Clock>,
    pub(crate) allocation: Allocation,
    pub(crate) advertise: (IpAddr, u16),
    pub(crate) node_client: NodeClientTls,
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) hooks: Arc<Hooks>,
    pub(crate) metrics: Metrics,
    pub(crate) authenticator: Authenticator,
    pub(crate) rbac: Arc<Rbac>,
    pub(crate) encryption: EncryptionKeys,
    audit: Option<AuditLog>,
    /// Cancelled when the server stops: watches end.
    pub(crate) shutdown: CancellationToken,
    /// Connections that have become something else than HTTP.
    pub(crate) upgraded: TaskTracker,
}

/// The Kubernetes API. Clones are handles to the same server.
#[derive(Clone)]
pub struct ApiServer {
    pub(crate) core: Arc<Core>,
    /// Follow the CustomResourceDefinitions and the policies, and count what quotas limit.
    _tasks: Arc<[AbortOnDropHandle<()>; 3]>,
}

/// Who sent a request.
#[derive(Clone)]
pub(crate) enum Caller {
    /// A part of this process.
    Internal(UserInfo),
    /// Somebody on the network.
    Remote {
        /// What the connection has shown.
        shown: Shown,
        /// From where it comes.
        peer: IpAddr,
    },
}

impl ApiServer {
    /// Fills the caches from the store and makes the objects every cluster has.
    pub async fn new(config: ApiServerConfig) -> Result<Self, StartError> {
        let kinds = Arc::new(Kinds::new()?);
        let clock = Arc::new(Clock::default());
        let allocation = Allocation::new(&config.service_cidr)?;
        let quotas = Arc::new(Quotas::default());
        load(&config, &kinds, &clock, &allocation, &quotas)?;
        let rbac = Arc::new(Rbac::default());
        rbac.load(&kinds, &clock);
        let (observed, time, roles) = (kinds.clone(), clock.clone(), rbac.clone());
        let (keys, counted) = (config.encryption.clone(), quotas.clone());
        let hooks = Arc::new(Hooks::default());
        let configured = hooks.clone();
        let runtime = tokio::runtime::Handle::current();
        config.store.observe(Box::new(move |events| {
            let opened = keys.open_events(&observed, events);
            let events = opened.as_deref().unwrap_or(events);
            roles.observe(events);
            let note = |kind: &Kind, before: Option<&Header>, now: &Header, deleted: bool| {
                counted.observe(kind, before, now, deleted);
                configured.observe(kind);
            };
            cache::observe(&observed, &time, &runtime, events, note);
        }));
        let core = Arc::new(Core {
            kinds,
            store: config.store,
            clock,
            allocation,
            advertise: config.advertise,
            node_client: config.node_client,
            quotas,
            hooks,
            metrics: Metrics::default(),
            authenticator: Authenticator::new(config.credentials)?,
            rbac,
            encryption: config.encryption,
            audit: config.audit,
            shutdown: CancellationToken::new(),
            upgraded: TaskTracker::new(),
        });
        bootstrap::run(&core).await?;
        authorization::bootstrap(&core).await?;
        let tasks = [
            AbortOnDropHandle::new(tokio::spawn(definitions::follow(core.clone()))),
            AbortOnDropHandle::new(tokio::spawn(quota::count(core.clone()))),
            AbortOnDropHandle::new(tokio::spawn(check_types(core.clone()))),
        ];
        Ok(Self {
            core,
            _tasks: Arc::new(tasks),
        })
    }

    /// The API for a part of this process, without sockets. It may do everything. Fits `kube::Client::new`.
    pub fn service(&self, user: UserInfo) -> LocalService {
        LocalService {
            core: self.core.clone(),
            caller: Caller::Internal(user),
        }
    }

    /// Puts what another part of this process counts on the page of `/metrics`: text in the format of Prometheus,
    /// written whenever the page is asked for.
    pub fn also_measure(&self, page: impl Fn() -> String + Send + Sync + 'static) {
        self.core.metrics.also(Box::new(page));
    }

    /// Whether the server takes requests: from the moment it exists until it is stopped.
    pub fn ready(&self) -> bool {
        !self.core.shutdown.is_cancelled()
    }

    /// Ends all watches and lets `/readyz` fail. [`ApiServer::serve`] does this when it is told to stop.
    pub fn stop(&self) {
        self.core.shutdown.cancel();
    }
}

fn load(
    config: &ApiServerConfig,
    kinds: &Kinds,
    clock: &Clock,
    allocation: &Allocation,
    quotas: &Quotas,
) -> Result<(), StartError> {
    let mut definitions: Vec<Value> = Vec::new();
    // Objects whose definition comes later in the store.
    let mut waiting = Vec::new();
    let mut sealed = None;
    let revision = config.store.scan(|key, revision, kept| {
        let bytes = match config.encryption.open(kinds, &key, revision, &kept) {
            Ok(bytes) => bytes,
            Err(why) => {
                sealed.get_or_insert(StartError::Sealed {
                    key: key.to_string(),
                    why,
                });
                return;
            }
        };
        let Some((storage, namespace, name)) = split_key(&key) else {
            tracing::error!(%key, "the store holds a key that is none of ours");
            return;
        };
        let Some(kind) = kinds.stored_as(storage) else {
            waiting.push((key, revision, bytes));
            return;
        };
        if definitions::is_definition(&kind)
            && let Ok(definition) = serde_json::from_slice(&bytes)
        {
            definitions.push(definition);
        }
        if storage == "services"
            && let Ok(service) = serde_json::from_slice(&bytes)
        {
            allocation.load(&service);
        }
        if storage == "resourcequotas" {
            quotas.load(namespace);
        }
        let header = Arc::new(Header::parse(kind.resource, namespace, name, &bytes));
        let object = Object::new(header, revision.0, bytes);
        kind.cache.load(Arc::new(object));
    })?;
    if let Some(error) = sealed {
        return Err(error);
    }
    for kind in kinds.iter() {
        kind.cache.start(revision.0);
    }
    definitions::start(kinds, &definitions, revision.0);
    for (key, revision, bytes) in waiting {
        let found = split_key(&key).and_then(|(storage, namespace, name)| {
            Some((kinds.stored_as(storage)?, namespace, name))
        });
        let Some((kind, namespace, name)) = found else {
            tracing::warn!(%key, "the store holds an object of a kind that is not served");
            continue;
        };
        let header = Header::parse(kind.resource, namespace, name, &bytes);
        let stored = Arc::new(Object::new(Arc::new(header), revision.0, bytes));
        kind.cache.load(definitions::reformed(&stored, &kind));
    }
    clock.start(revision.0);
    Ok(())
}

/// The API as a `tower::Service` for callers in this process.
#[derive(Clone)]
pub struct LocalService {
    core: Arc<Core>,
    caller: Caller,
}

impl<B> tower::Service<Request<B>> for LocalService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let (core, caller) = (self.core.clone(), self.caller.clone());
        if let Caller::Internal(user) = &caller
            && let Ok(agent) = HeaderValue::from_str(user.agent())
        {
            request.headers_mut().entry(USER_AGENT).or_insert(agent);
        }
        Box::pin(async move { Ok(core.handle(&caller, request).await) })
    }
}

impl Core {
    /// A request's way through the server. Every outcome is an answer.
    pub(crate) async fn handle<B>(
        self: &Arc<Self>,
        caller: &Caller,
        request: Request<B>,
    ) -> Response<ResponseBody>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: std::fmt::Display,
    {
        let started = Instant::now();
        let (mut parts, body) = request.into_parts();
        let mut counted = self.metrics.begin();
        let mut entry = None;
        let notes = Arc::new(Notes::default());
        parts.extensions.insert(notes.clone());
        let outcome = self.answer(caller, &mut parts, body, (&mut counted, &mut entry));
        let mut response = match outcome.await {
            Ok(response) => response,
            Err(status) => answer::status(&status, media::syntax_of_errors(&parts.headers)),
        };
        answer::warn(&mut response, &notes.warnings());
        if let (Some(audit), Some(mut entry)) = (&self.audit, entry) {
            entry.annotate(notes.annotations());
            response = audit.answered(entry, response).await;
        }
        if matches!(caller, Caller::Remote { .. }) {
            response = answer::compress(&parts.headers, response).await;
        }
        counted.answered(response.status().as_u16(), started.elapsed());
        tracing::debug!(
            user = sender(&parts).name, method = %parts.method, uri = %parts.uri, code = response.status().as_u16(),
            micros = started.elapsed().as_micros(), "request"
        );
        response
    }

    async fn answer<B>(
        self: &Arc<Self>,
        caller: &Caller,
        parts: &mut Parts,
        body: B,
        (counted, entry): (&mut InFlight<'_>, &mut Option<Entry>),
    ) -> Result<Response<ResponseBody>, Status>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: std::fmt::Display,
    {
        let target = route(&self.kinds, parts.uri.path());
        let asked = authorization::Request::of(&parts.method, parts.uri.path(), parts.uri.query());
        counted.is(metrics::Request::of(asked.verb, &target, parts));
        let (identity, peer) = match caller {
            Caller::Internal(user) => (Ok((user.clone(), None)), None),
            Caller::Remote { shown, peer } => (self.identify(shown, parts), Some(*peer)),
        };
        if let Some(audit) = &self.audit {
            let nobody = UserInfo::default();
            let (user, original) = match &identity {
                Ok((user, original)) => (user, original.as_ref()),
                Err(_) => (&nobody, None),
            };
            *entry = audit.entry(parts, user, original, peer);
            if let Some(entry) = entry {
                audit.received(entry).await;
            }
        }
        let (user, _) = identity?;
        if peer.is_some() && !user.is_master() {
            let mut decision = self.authorize(&asked.attributes(&user));
            if decision.is_ok() && asked.joins_pod(&parts.headers) {
                decision = self.authorize(&authorization::Attributes {
                    verb: "create",
                    ..asked.attributes(&user)
                });
            }
            if let Some(entry) = entry {
                entry.decided(decision.is_ok());
            }
            decision?;
        } else if let Some(entry) = entry {
            entry.decided(true);
        }
        parts.extensions.insert(user);
        if let Target::Resource(path) = &target
            && let Some(subresource) = connects(path)
        {
            return self.connect(path, subresource, parts, passed(body)).await;
        }
        let writes = matches!(
            parts.method,
            Method::POST | Method::PUT | Method::PATCH | Method::DELETE
        );
        let body = if writes {
            body::read(body).await?
        } else {
            Bytes::new()
        };
        if let Some(entry) = entry {
            entry.request(&body);
        }
        self.dispatch(target, parts, body).await
    }

    /// The user in whose name a request from the network goes on and, when that is not its sender, who sent it.
    fn identify(
        &self,
        shown: &Shown,
        parts: &Parts,
    ) -> Result<(UserInfo, Option<UserInfo>), Status> {
        let sender = self
            .authenticator
            .caller(shown, &parts.headers, &self.kinds)?;
        let Some(wanted) = impersonation::wanted(&parts.headers)? else {
            return Ok((sender, None));
        };
        for needed in impersonation::needed(&sender, &wanted) {
            self.authorize(&needed)?;
        }
        Ok((impersonation::complete(wanted), Some(sender)))
    }
}
