//! Writes core/v1 Events. Knows nothing of what they tell; never makes its caller wait.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::error::ApiError;

/// Events that may wait to be written; more are dropped and told in the log.
const WAITING: usize = 1024;

/// Distinct events whose count is remembered; the oldest is forgotten first, and its next occurrence
/// makes a new Event.
const REMEMBERED: usize = 4096;

/// Whether an event is good or bad news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the API's own words
pub enum EventKind {
    Normal,
    Warning,
}

impl EventKind {
    fn text(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// What makes two occurrences the same event, counted in one Event object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Occurrence {
    kind: EventKind,
    reason: String,
    message: String,
    uid: String,
    namespace: String,
    name: String,
    field: String,
}

struct Told {
    occurrence: Occurrence,
    regarding: ObjectReference,
    at: Timestamp,
}

/// Tells events about objects on behalf of one component. Clones share one bounded queue and one task,
/// which ends when the last clone is dropped and the queue is written.
#[derive(Clone)]
pub struct Recorder {
    told: mpsc::Sender<Told>,
}

impl Recorder {
    /// A recorder for `component` (`statefulset-controller`, `kubelet`, …) on `host` ("" for none).
    /// Must be called inside a tokio runtime.
    pub fn new(client: Client, component: &str, host: &str) -> Self {
        let (told, queue) = mpsc::channel(WAITING);
        let writer = Writer {
            client,
            source: EventSource {
                component: Some(component.to_owned()),
                host: (!host.is_empty()).then(|| host.to_owned()),
            },
            written: HashMap::new(),
            order: VecDeque::new(),
        };
        tokio::spawn(writer.run(queue));
        Self { told }
    }

    /// Tells one event. Returns at once; a full queue drops it with a line in the log.
    pub fn event(&self, regarding: &ObjectReference, kind: EventKind, reason: &str, message: &str) {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let told = Told {
            occurrence: Occurrence {
                kind,
                reason: reason.to_owned(),
                message: message.to_owned(),
                uid: text(&regarding.uid),
                namespace: text(&regarding.namespace),
                name: text(&regarding.name),
                field: text(&regarding.field_path),
            },
            regarding: regarding.clone(),
            at: Timestamp::now(),
        };
        if let Err(error) = self.told.try_send(told) {
            warn!(reason, message, %error, "event dropped");
        }
    }
}

struct Written {
    name: String,
    count: i32,
}

struct Writer {
    client: Client,
    source: EventSource,
    written: HashMap<Occurrence, Written>,
    order: VecDeque<Occurrence>,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Told>) {
        while let Some(told) = queue.recv().await {
            let Err(error) = self.write(&told).await else {
                continue;
            };
            if error.is_namespace_terminating() || error.is_not_found() {
                debug!(event = ?told.occurrence, %error, "event refused");
            } else {
                warn!(event = ?told.occurrence, %error, "event not written");
            }
        }
    }

    async fn write(&mut self, told: &Told) -> Result<(), kube::Error> {
        let namespace = match told.occurrence.namespace.as_str() {
            "" => "default",
            namespace => namespace,
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        if let Some(written) = self.written.get_mut(&told.occurrence) {
            let count = written.count + 1;
            let again = json!({ "count": count, "lastTimestamp": Time(whole_seconds(told.at)) });
            let patch = Patch::Strategic(&again);
            match api
                .patch(&written.name, &PatchParams::default(), &patch)
                .await
            {
                Ok(_) => {
                    written.count = count;
                    return Ok(());
                }
                // It has expired or was deleted: begin a new one.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        let event = self.compose(told, namespace);
        let name = event.metadata.name.clone().unwrap_or_default();
        api.create(&PostParams::default(), &event).await?;
        self.remember(&told.occurrence, name);
        Ok(())
    }

    fn compose(&self, told: &Told, namespace: &str) -> Event {
        let at = Time(whole_seconds(told.at));
        let nanoseconds = u64::try_from(told.at.as_nanosecond()).unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{nanoseconds:x}", told.occurrence.name)),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            involved_object: told.regarding.clone(),
            type_: Some(told.occurrence.kind.text().to_owned()),
            reason: Some(told.occurrence.reason.clone()),
            message: Some(told.occurrence.message.clone()),
            first_timestamp: Some(at.clone()),
            last_timestamp: Some(at),
            count: Some(1),
            reporting_component: self.source.component.clone(),
            reporting_instance: Some(self.source.host.clone().unwrap_or_default()),
            source: Some(self.source.clone()),
            ..Event::default()
        }
    }

    fn remember(&mut self, occurrence: &Occurrence, name: String) {
        let written = Written { name, count: 1 };
        if self.written.insert(occurrence.clone(), written).is_some() {
            return;
        }
        self.order.push_back(occurrence.clone());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.written.remove(&oldest);
        }
    }
}

/// metav1.Time carries whole seconds.
fn whole_seconds(at: Timestamp) -> Timestamp {
    // A timestamp without its fraction is within the same bounds.
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
