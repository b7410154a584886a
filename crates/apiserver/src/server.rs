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

use crate::allocation::{Allocation, BadRange};
use crate::bootstrap;
use crate::cache::{self, Clock, Header, Object};
use crate::connect::{connects, passed};
use crate::definitions;
use crate::http::body::ResponseBody;
use crate::http::{answer, body, media};
use crate::identity::{UserInfo, authorize};
use crate::kind::{Kinds, NoSchema, split_key};
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
}

/// A server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The stored objects cannot be read.
    #[error("cannot read the stored objects: {0}")]
    Store(#[from] StoreError),
    /// The service range is no range.
    #[error("the service range is unusable: {0}")]
    ServiceRange(#[from] BadRange),
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
    pub(crate) metrics: Metrics,
    /// Cancelled when the server stops: watches end.
    pub(crate) shutdown: CancellationToken,
    /// Connections that have become something else than HTTP.
    pub(crate) upgraded: TaskTracker,
}

/// The Kubernetes API. Clones are handles to the same server.
#[derive(Clone)]
pub struct ApiServer {
    pub(crate) core: Arc<Core>,
    /// Follows the CustomResourceDefinitions.
    _definitions: Arc<AbortOnDropHandle<()>>,
}

/// Who sent a request.
#[derive(Clone)]
pub(crate) enum Caller {
    /// A part of this process.
    Internal(UserInfo),
    /// Somebody on the network, known by certificate or not at all.
    Remote(Option<UserInfo>),
}

impl Caller {
    /// The caller's name for the log.
    fn name(&self) -> &str {
        match self {
            Self::Internal(user) | Self::Remote(Some(user)) => &user.name,
            Self::Remote(None) => "system:anonymous",
        }
    }
}

impl ApiServer {
    /// Fills the caches from the store and makes the objects every cluster has.
    pub async fn new(config: ApiServerConfig) -> Result<Self, StartError> {
        let kinds = Arc::new(Kinds::new()?);
        let clock = Arc::new(Clock::default());
        let allocation = Allocation::new(&config.service_cidr)?;
        let quotas = Arc::new(Quotas::default());
        load(&config.store, &kinds, &clock, &allocation, &quotas)?;
        let (observed, time, counted) = (kinds.clone(), clock.clone(), quotas.clone());
        config.store.observe(Box::new(move |events| {
            cache::observe(&observed, &time, events, |kind, before, now, deleted| {
                counted.observe(kind, before, now, deleted);
            });
        }));
        let core = Arc::new(Core {
            kinds,
            store: config.store,
            clock,
            allocation,
            advertise: config.advertise,
            node_client: config.node_client,
            quotas,
            metrics: Metrics::default(),
            shutdown: CancellationToken::new(),
            upgraded: TaskTracker::new(),
        });
        bootstrap::run(&core).await?;
        let definitions = tokio::spawn(definitions::follow(core.clone()));
        tokio::spawn(quota::count(core.clone()));
        Ok(Self {
            core,
            _definitions: Arc::new(AbortOnDropHandle::new(definitions)),
        })
    }

    /// The API for a part of this process, without sockets. It may do everything. Fits `kube::Client::new`.
    pub fn service(&self, user: UserInfo) -> LocalService {
        LocalService {
            core: self.core.clone(),
            caller: Caller::Internal(user),
        }
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
    store: &Store,
    kinds: &Kinds,
    clock: &Clock,
    allocation: &Allocation,
    quotas: &Quotas,
) -> Result<(), StoreError> {
    let mut definitions: Vec<Value> = Vec::new();
    // Objects whose definition comes later in the store.
    let mut waiting = Vec::new();
    let revision = store.scan(|key, revision, bytes| {
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
        kind.cache.load(Arc::new(Object {
            header,
            revision: revision.0,
            bytes,
        }));
    })?;
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
        let stored = Arc::new(Object {
            header: Arc::new(Header::parse(kind.resource, namespace, name, &bytes)),
            revision: revision.0,
            bytes,
        });
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
        let (parts, body) = request.into_parts();
        let mut counted = self.metrics.begin();
        let mut response = match self.answer(caller, &parts, body, &mut counted).await {
            Ok(response) => response,
            Err(status) => answer::status(&status, media::syntax_of_errors(&parts.headers)),
        };
        if matches!(caller, Caller::Remote(_)) {
            response = answer::compress(&parts.headers, response).await;
        }
        counted.answered(response.status().as_u16(), started.elapsed());
        tracing::debug!(
            user = caller.name(), method = %parts.method, uri = %parts.uri, code = response.status().as_u16(),
            micros = started.elapsed().as_micros(), "request"
        );
        response
    }

    async fn answer<B>(
        self: &Arc<Self>,
        caller: &Caller,
        parts: &Parts,
        body: B,
        counted: &mut InFlight<'_>,
    ) -> Result<Response<ResponseBody>, Status>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: std::fmt::Display,
    {
        let target = route(&self.kinds, parts.uri.path());
        let verb = crate::dispatch::verb(&parts.method, &target, parts.uri.query());
        counted.is(metrics::Request::of(verb, &target, parts));
        if let Caller::Remote(user) = caller {
            authorize(user.as_ref(), verb, parts.uri.path(), &target)?;
        }
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
        self.dispatch(target, parts, body).await
    }
}
