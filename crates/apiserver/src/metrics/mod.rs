//! `/metrics`: what the server counts of its own work, in the text format of Prometheus and under upstream's names.
//!
//! Counting is cheap where requests pass: a label set is found once per request, and counters are atomics behind a
//! lock that is only written when a label set is new. Everything else (objects, memory) is looked at when asked.

mod process;
mod series;
mod webhooks;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::request::Parts;
use http::{Method, Response, StatusCode};
use plinth_api::Resource;

use crate::http::answer;
use crate::http::body::ResponseBody;
use crate::route::{ResourcePath, Target};
use crate::server::Core;
use series::{Family, Histogram, Page, labels};
pub(crate) use webhooks::Called;
use webhooks::Webhooks;

/// Upstream's bounds for requests, in seconds.
const REQUEST_SECONDS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
];
/// Upstream's bounds for the store, in seconds.
const STORE_SECONDS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
];

/// What a request is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Request {
    verb: &'static str,
    /// Group, version and plural; empty for what is no object.
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    scope: &'static str,
    dry_run: bool,
}

impl Request {
    /// A request by what it points at.
    pub(crate) fn of(verb: &'static str, target: &Target, parts: &Parts) -> Self {
        if let Target::Resource(path) = target {
            return Self::of_path(verb, path, parts);
        }
        Self {
            verb: method(&parts.method),
            group: "",
            version: "",
            resource: "",
            subresource: "",
            scope: "",
            dry_run: false,
        }
    }

    /// A request for objects.
    pub(crate) fn of_path(verb: &'static str, path: &ResourcePath, parts: &Parts) -> Self {
        let resource = path.kind.resource;
        let scope = match (&path.name, &path.namespace) {
            (Some(_), _) => "resource",
            (None, Some(_)) => "namespace",
            (None, None) => "cluster",
        };
        let query = parts.uri.query();
        Self {
            verb: upper(verb),
            group: resource.group,
            version: resource.version,
            resource: resource.plural,
            subresource: path
                .subresource
                .map_or("", |subresource| subresource.name()),
            scope,
            dry_run: query.is_some_and(|query| query.contains("dryRun=")),
        }
    }

    fn is_long_running(self) -> bool {
        self.verb == "WATCH"
            || matches!(
                self.subresource,
                "log" | "exec" | "attach" | "portforward" | "proxy"
            )
    }

    fn changes(self) -> bool {
        !matches!(self.verb, "GET" | "LIST" | "WATCH")
    }

    fn labels(self) -> Vec<(&'static str, &'static str)> {
        vec![
            ("component", "apiserver"),
            ("dry_run", if self.dry_run { "All" } else { "" }),
            ("group", self.group),
            ("resource", self.resource),
            ("scope", self.scope),
            ("subresource", self.subresource),
            ("verb", self.verb),
            ("version", self.version),
        ]
    }
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Verbs as upstream's metrics name them.
fn upper(verb: &'static str) -> &'static str {
    match verb {
        "create" => "POST",
        "update" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        "list" => "LIST",
        "watch" => "WATCH",
        _ => "GET",
    }
}

/// What is counted.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: Family<(Request, u16), AtomicU64>,
    seconds: Family<Request, Histogram>,
    long_running: Family<Request, AtomicI64>,
    reading: AtomicI64,
    changing: AtomicI64,
    watch_events: Family<(&'static str, &'static str, &'static str), AtomicU64>,
    store_seconds: Family<(&'static str, &'static str, &'static str), Histogram>,
    others: RwLock<Vec<OtherPage>>,
    webhooks: Webhooks,
}

/// What another part of the process counts, written when asked.
type OtherPage = Box<dyn Fn() -> String + Send + Sync>;

/// A request that is being answered; it counts as in flight while this lives.
pub(crate) struct InFlight<'m> {
    metrics: &'m Metrics,
    request: Option<Request>,
}

impl InFlight<'_> {
    /// Says what the request is, as soon as that is known.
    pub(crate) fn is(&mut self, request: Request) {
        self.request = Some(request);
        self.gauge(request, 1);
    }

    fn gauge(&self, request: Request, step: i64) {
        if request.is_long_running() {
            return;
        }
        let gauge = if request.changes() {
            &self.metrics.changing
        } else {
            &self.metrics.reading
        };
        gauge.fetch_add(step, Ordering::Relaxed);
    }

    /// Counts the answer.
    pub(crate) fn answered(&self, code: u16, took: Duration) {
        let Some(request) = self.request else { return };
        self.metrics.requests.with((request, code), |count| {
            count.fetch_add(1, Ordering::Relaxed)
        });
        if !request.is_long_running() {
            self.metrics.seconds.with(request, |histogram| {
                histogram.observe(REQUEST_SECONDS, took);
            });
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(request) = self.request {
            self.gauge(request, -1);
        }
    }
}

/// A watch or stream; it counts as open while this lives.
pub(crate) struct Open(Arc<AtomicI64>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Puts what another part of the process counts on the page, behind the server's own.
    pub(crate) fn also(&self, page: OtherPage) {
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        others.push(page);
    }

    fn others(&self) -> String {
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        others.iter().map(|page| page()).collect()
    }

    /// A watch or stream begins.
    pub(crate) fn open(&self, request: Request) -> Open {
        let gauge = self.long_running.series(request);
        gauge.fetch_add(1, Ordering::Relaxed);
        Open(gauge)
    }

    /// A request has come.
    pub(crate) fn begin(&self) -> InFlight<'_> {
        InFlight {
            metrics: self,
            request: None,
        }
    }

    /// Where events of a kind are counted that are sent to watchers.
    pub(crate) fn watch_events(&self, resource: &Resource) -> Arc<AtomicU64> {
        let key = (resource.group, resource.version, resource.plural);
        self.watch_events.series(key)
    }

    /// The store took this long for a write.
    pub(crate) fn stored(&self, operation: &'static str, resource: &Resource, took: Duration) {
        let key = (operation, resource.group, resource.plural);
        self.store_seconds
            .with(key, |histogram| histogram.observe(STORE_SECONDS, took));
    }
}

impl Core {
    /// Answers with everything that is counted.
    pub(crate) fn metrics_page(&self) -> Response<ResponseBody> {
        let mut page = Page::default();
        self.metrics.requests_on(&mut page);
        self.objects_on(&mut page);
        self.metrics.store_on(&mut page);
        self.metrics.webhooks.on(&mut page);
        process::on(&mut page);
        let mut response = answer::text(StatusCode::OK, page.text() + &self.metrics.others());
        let kind = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
        response.headers_mut().insert(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static(kind),
        );
        response
    }

    fn objects_on(&self, page: &mut Page) {
        let counts: Vec<_> = self
            .kinds
            .iter()
            .filter(|kind| kind.conversion.is_none())
            .map(|kind| {
                let count = kind.cache.snapshot(&self.clock).tree.len(None);
                (kind.storage.clone(), kind.resource, count)
            })
            .collect();
        page.head(
            "apiserver_storage_objects",
            "gauge",
            "Number of stored objects by kind, at the moment of asking.",
        );
        for (storage, _, count) in &counts {
            page.line(
                "apiserver_storage_objects",
                &labels(&[("resource", storage)]),
                count,
            );
        }
        page.head(
            "apiserver_resource_objects",
            "gauge",
            "Number of stored objects by group and resource, at the moment of asking.",
        );
        for (_, resource, count) in &counts {
            let labels = labels(&[("group", resource.group), ("resource", resource.plural)]);
            page.line("apiserver_resource_objects", &labels, count);
        }
    }
}

impl Metrics {
    fn requests_on(&self, page: &mut Page) {
        let name = "apiserver_request_total";
        page.head(
            name,
            "counter",
            "Requests that were answered, by what they asked for and the code.",
        );
        self.requests.each(|(request, code), count| {
            let code = code.to_string();
            let mut all = vec![("code", code.as_str())];
            all.extend(request.labels());
            page.line(name, &labels(&all), &count.load(Ordering::Relaxed));
        });
        let name = "apiserver_request_duration_seconds";
        page.head(
            name,
            "histogram",
            "How long requests took to answer, but for those that last.",
        );
        self.seconds.each(|request, histogram| {
            histogram.on(page, name, &request.labels(), REQUEST_SECONDS);
        });
        let name = "apiserver_longrunning_requests";
        page.head(name, "gauge", "Watches and streams that are open.");
        self.long_running.each(|request, gauge| {
            let all = request.labels();
            let all: Vec<_> = all
                .into_iter()
                .filter(|(name, _)| *name != "dry_run")
                .collect();
            page.line(name, &labels(&all), &gauge.load(Ordering::Relaxed));
        });
        let name = "apiserver_current_inflight_requests";
        page.head(
            name,
            "gauge",
            "Requests that are being answered, but for those that last.",
        );
        for (kind, gauge) in [("mutating", &self.changing), ("readOnly", &self.reading)] {
            let labels = labels(&[("request_kind", kind)]);
            page.line(name, &labels, &gauge.load(Ordering::Relaxed));
        }
        let name = "apiserver_watch_events_total";
        page.head(name, "counter", "Events that were sent to watchers.");
        self.watch_events.each(|(group, version, resource), count| {
            let labels = labels(&[
                ("group", group),
                ("resource", resource),
                ("version", version),
            ]);
            page.line(name, &labels, &count.load(Ordering::Relaxed));
        });
    }

    fn store_on(&self, page: &mut Page) {
        let name = "etcd_request_duration_seconds";
        page.head(
            name,
            "histogram",
            "How long the store took until a write was durable.",
        );
        self.store_seconds
            .each(|(operation, group, resource), histogram| {
                let all = [
                    ("group", *group),
                    ("operation", *operation),
                    ("resource", *resource),
                ];
                histogram.on(page, name, &all, STORE_SECONDS);
            });
    }
}
