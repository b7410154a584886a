//! The audit log: who asked for what, when, and what came of it, as `audit.k8s.io/v1` Events in lines of JSON. A request
//! whose line cannot be written waits for it: what is not written down is not answered.

mod policy;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderMap, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use policy::{AuditPolicy, BadPolicy};
use policy::{Level, Stage, Verdict};

use crate::authentication::UserInfo;
use crate::authorization::Request;
use crate::http::body::ResponseBody;

/// What webhooks have changed is annotated with keys that begin so.
const PATCH: &str = "patch.webhook.admission.k8s.io/";
/// Lines that wait to be written at most.
const WAITING: usize = 1024;

/// The hand that writes an [`AuditLog`].
pub struct AuditWriter {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl AuditWriter {
    /// Writes what is waiting and ends.
    pub async fn close(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the audit log's task failed");
        }
    }
}

/// Where requests are written down.
pub struct AuditLog {
    policy: AuditPolicy,
    lines: mpsc::Sender<String>,
}

impl AuditLog {
    /// Appends to a file, readable by its owner only.
    pub async fn open(path: &Path, policy: AuditPolicy) -> io::Result<(Self, AuditWriter)> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .await?;
        let (lines, waiting) = mpsc::channel(WAITING);
        let stop = CancellationToken::new();
        let task = tokio::spawn(write(file, waiting, stop.clone()));
        Ok((Self { policy, lines }, AuditWriter { task, stop }))
    }

    /// Begins the entry of a request.
    pub(crate) fn entry(
        &self,
        parts: &Parts,
        user: &UserInfo,
        original: Option<&UserInfo>,
        peer: Option<IpAddr>,
    ) -> Option<Entry> {
        let request = Request::of(&parts.method, parts.uri.path(), parts.uri.query());
        let verdict = self.policy.verdict(original.unwrap_or(user), &request);
        if verdict.level == Level::None {
            return None;
        }
        let mut event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": verdict.level.name(),
            "auditID": audit_id(&parts.headers),
            "requestURI": parts.uri.path_and_query().map_or("/", |uri| uri.as_str()),
            "verb": request.verb, "user": original.unwrap_or(user).to_value(),
            "requestReceivedTimestamp": micros(Timestamp::now()),
        });
        if original.is_some() {
            event["impersonatedUser"] = user.to_value();
        }
        if let Some(peer) = peer {
            event["sourceIPs"] = json!([peer.to_string()]);
        }
        if let Some(agent) = parts.headers.get(USER_AGENT).and_then(|a| a.to_str().ok()) {
            event["userAgent"] = agent.into();
        }
        if let Some(of) = &request.resource {
            let mut object = json!({"resource": of.resource, "apiVersion": of.version});
            for (field, text) in [
                ("namespace", &of.namespace),
                ("name", &of.name),
                ("apiGroup", &of.group),
                ("subresource", &of.subresource),
            ] {
                if !text.is_empty() {
                    object[field] = text.as_str().into();
                }
            }
            event["objectRef"] = object;
        }
        Some(Entry { event, verdict })
    }

    /// Writes down that a request has come.
    pub(crate) async fn received(&self, entry: &Entry) {
        self.record(entry, Stage::RequestReceived).await;
    }

    /// Writes down what came of a request: now, or for an answer that goes on now and at its end.
    pub(crate) async fn answered(
        &self,
        mut entry: Entry,
        response: Response<ResponseBody>,
    ) -> Response<ResponseBody> {
        entry.response(&response);
        if response.body().complete().is_some() {
            self.record(&entry, Stage::ResponseComplete).await;
            return response;
        }
        self.record(&entry, Stage::ResponseStarted).await;
        if !entry.verdict.wants(Stage::ResponseComplete) {
            return response;
        }
        let ending = Ending {
            lines: self.lines.clone(),
            entry,
        };
        response.map(|body| body.holding(ending))
    }

    async fn record(&self, entry: &Entry, stage: Stage) {
        if entry.verdict.wants(stage) && self.lines.send(entry.line(stage)).await.is_err() {
            tracing::error!("the audit log is closed: a request is not written down");
        }
    }
}

/// Writes an entry down when an answer that goes on has ended.
struct Ending {
    lines: mpsc::Sender<String>,
    entry: Entry,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let line = self.entry.line(Stage::ResponseComplete);
        if let Err(mpsc::error::TrySendError::Full(line)) = self.lines.try_send(line)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let lines = self.lines.clone();
            runtime.spawn(async move { lines.send(line).await });
        }
    }
}

/// What is to be written down of a request.
pub(crate) struct Entry {
    event: Value,
    verdict: Verdict,
}

impl Entry {
    fn line(&self, stage: Stage) -> String {
        let mut event = self.event.clone();
        event["stage"] = stage.name().into();
        event["stageTimestamp"] = micros(Timestamp::now()).into();
        event.to_string()
    }

    /// Adds whether the caller may do it.
    pub(crate) fn decided(&mut self, allowed: bool) {
        let decision = if allowed { "allow" } else { "forbid" };
        self.event["annotations"] = json!({
            "authorization.k8s.io/decision": decision, "authorization.k8s.io/reason": "",
        });
    }

    /// Adds what others have noted about the request.
    pub(crate) fn annotate(&mut self, annotations: BTreeMap<String, String>) {
        for (key, value) in annotations {
            // A patch is a part of the request.
            if key.starts_with(PATCH) && self.verdict.level < Level::Request {
                continue;
            }
            self.event["annotations"][key] = value.into();
        }
    }

    /// Adds what the client sent.
    pub(crate) fn request(&mut self, body: &Bytes) {
        if self.verdict.level >= Level::Request
            && let Some(object) = self.object(body)
        {
            self.event["requestObject"] = object;
        }
    }

    /// Adds the outcome.
    fn response(&mut self, response: &Response<ResponseBody>) {
        let code = response.status().as_u16();
        let mut status = json!({"metadata": {}, "code": code});
        let whole = response.body().complete().map(|pieces| {
            let bytes: Vec<u8> = pieces.iter().flatten().copied().collect();
            Bytes::from(bytes)
        });
        if code >= 400
            && let Some(told) = whole.as_ref().and_then(|body| self.object(body))
        {
            for field in ["status", "message", "reason"] {
                if told[field].is_string() {
                    status[field] = told[field].clone();
                }
            }
        }
        self.event["responseStatus"] = status;
        if self.verdict.level >= Level::RequestResponse
            && let Some(object) = whole.as_ref().and_then(|body| self.object(body))
        {
            self.event["responseObject"] = object;
        }
    }

    fn object(&self, body: &Bytes) -> Option<Value> {
        let mut object: Value = serde_json::from_slice(body).ok()?;
        if self.verdict.omit_managed_fields
            && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.remove("managedFields");
        }
        Some(object)
    }
}

/// The client's own id of the request, or a new one.
fn audit_id(headers: &HeaderMap) -> String {
    headers
        .get("audit-id")
        .and_then(|id| id.to_str().ok())
        .filter(|id| !id.is_empty() && id.len() <= 64)
        .map_or_else(|| uuid::Uuid::new_v4().to_string(), ToOwned::to_owned)
}

fn micros(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Writes lines as they come, and to the disk whenever none is waiting.
async fn write(file: File, mut lines: mpsc::Receiver<String>, stop: CancellationToken) {
    let mut file = BufWriter::new(file);
    let mut failed = false;
    loop {
        let line = tokio::select! {
            biased;
            line = lines.recv() => line,
            () = stop.cancelled(), if !lines.is_closed() => {
                lines.close();
                continue;
            }
        };
        let Some(line) = line else { break };
        let mut outcome = file.write_all(line.as_bytes()).await;
        if outcome.is_ok() {
            outcome = file.write_all(b"\n").await;
        }
        if outcome.is_ok() && lines.is_empty() {
            outcome = file.flush().await;
        }
        match outcome {
            Ok(()) => failed = false,
            Err(error) if !failed => {
                failed = true;
                tracing::error!(%error, "the audit log cannot be written");
            }
            Err(_) => {}
        }
    }
    if let Err(error) = file.flush().await {
        tracing::error!(%error, "the end of the audit log cannot be written");
    }
}
