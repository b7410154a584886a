//! Keeps one informer true: list, watch, and again from where it broke. Knows nothing of readers.
//!
//! Lines of the watch are split and decoded here rather than by kube's typed stream for two reasons:
//! an object that does not decode is told in the log and skipped instead of ending the watch again
//! and again, and the event's object is decoded straight from its bytes, once.

use std::time::{Duration, Instant};

use futures::{AsyncBufRead, AsyncBufReadExt};
use kube::{
    Client, ResourceExt,
    api::{ListParams, Request, WatchParams},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::{debug, error, warn};

use crate::{
    backoff::Backoff,
    informer::{Informer, Object},
};

/// Objects per page of the first list: bounds the memory of one answer.
const PAGE: u32 = 500;

/// How long the server keeps one watch open.
const WATCH: u32 = 290;

/// A watch that says nothing and ends before this was not meant to be one.
const SHORTEST: Duration = Duration::from_secs(1);

/// A watch without a single byte for this long is taken for a dead connection: the server ends the
/// watch on its own before.
const SILENCE: Duration = Duration::from_secs(WATCH as u64 + 15);

pub(crate) struct Reflector<K> {
    client: Client,
    request: Request,
    path: String,
    fields: Option<String>,
    informer: Informer<K>,
}

#[derive(Debug, thiserror::Error)]
enum Interruption {
    /// The server no longer has the history we would continue from.
    #[error("the watched history is gone from the server")]
    Expired,
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("cannot build the request: {0}")]
    Request(#[from] kube::core::request::Error),
    #[error("cannot read the watch: {0}")]
    Read(#[from] std::io::Error),
    #[error("the server closed the watch at once")]
    Closed,
    #[error("no byte from the server for {} s", SILENCE.as_secs())]
    Silent,
    #[error("the server sent what is not a watch event: {0}")]
    Malformed(#[source] serde_json::Error),
    #[error("the server's resourceVersion {0:?} is not a number")]
    Version(String),
    #[error("the server ended the watch: {0}")]
    Refused(String),
}

impl From<kube::core::Status> for Interruption {
    fn from(status: kube::core::Status) -> Self {
        if status.code == 410 {
            Self::Expired
        } else {
            Self::Refused(status.message)
        }
    }
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMeta,
    items: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    resource_version: Option<String>,
    #[serde(rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct WatchLine<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Versioned {
    metadata: PageMeta,
}

impl<K: Object> Reflector<K> {
    pub(crate) fn new(client: Client, path: String, fields: &str, informer: Informer<K>) -> Self {
        Self {
            client,
            request: Request::new(path.clone()),
            path,
            fields: (!fields.is_empty()).then(|| fields.to_owned()),
            informer,
        }
    }

    /// Runs until dropped.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::new();
        let mut from: Option<u64> = None;
        loop {
            let interruption = match self.follow(&mut from, &mut backoff).await {
                Ok(()) => continue,
                Err(interruption) => interruption,
            };
            if matches!(interruption, Interruption::Expired) {
                debug!(path = %self.path, "watch expired, listing again");
                from = None;
                continue;
            }
            let wait = backoff.next();
            warn!(path = %self.path, error = %interruption, retry_in = ?wait, "informer interrupted");
            tokio::time::sleep(wait).await;
        }
    }

    /// Lists if there is nothing to continue from, then watches until the server closes the watch.
    async fn follow(
        &self,
        from: &mut Option<u64>,
        backoff: &mut Backoff,
    ) -> Result<(), Interruption> {
        let start = if let Some(revision) = *from {
            revision
        } else {
            let revision = self.list().await?;
            *from = Some(revision);
            revision
        };
        let params = WatchParams {
            field_selector: self.fields.clone(),
            timeout: Some(WATCH),
            ..WatchParams::default()
        };
        let request = self.request.watch(&params, &start.to_string())?;
        let stream = match self.client.request_stream(request).await {
            Err(kube::Error::Api(status)) => return Err((*status).into()),
            other => other?,
        };
        futures::pin_mut!(stream);
        let opened = Instant::now();
        let mut line = Vec::new();
        let mut lines = 0_u64;
        while next_line(&mut stream, &mut line).await? {
            *from = Some(self.observe(&line)?);
            backoff.reset();
            lines += 1;
        }
        // A server that is stopping may accept watches only to close them.
        if lines == 0 && opened.elapsed() < SHORTEST {
            return Err(Interruption::Closed);
        }
        Ok(())
    }

    async fn list(&self) -> Result<u64, Interruption> {
        let mut params = ListParams::default().limit(PAGE);
        params.field_selector.clone_from(&self.fields);
        let mut objects = Vec::new();
        loop {
            let answer = self
                .client
                .request::<Page>(self.request.list(&params)?)
                .await;
            let page = match answer {
                Err(kube::Error::Api(status)) => return Err((*status).into()),
                other => other?,
            };
            objects.extend(
                page.items
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|raw| self.decode(raw)),
            );
            match page.metadata.next {
                Some(next) if !next.is_empty() => params.continue_token = Some(next),
                _ => {
                    let revision = revision(page.metadata.resource_version)?;
                    self.informer.replace(objects, revision);
                    return Ok(revision);
                }
            }
        }
    }

    /// Takes in one event and returns the revision it brought.
    fn observe(&self, line: &[u8]) -> Result<u64, Interruption> {
        let event: WatchLine<'_> = serde_json::from_slice(line).map_err(Interruption::Malformed)?;
        if event.kind == "ERROR" {
            let status: kube::core::Status =
                serde_json::from_str(event.object.get()).map_err(Interruption::Malformed)?;
            return Err(status.into());
        }
        if event.kind != "BOOKMARK"
            && let Some(object) = self.decode(event.object)
        {
            let revision = revision(object.resource_version())?;
            if event.kind == "DELETED" {
                self.informer.delete(object, revision);
            } else {
                self.informer.apply(object, revision);
            }
            return Ok(revision);
        }
        let bare: Versioned =
            serde_json::from_str(event.object.get()).map_err(Interruption::Malformed)?;
        let revision = revision(bare.metadata.resource_version)?;
        self.informer.advance(revision);
        Ok(revision)
    }

    fn decode(&self, raw: &RawValue) -> Option<K> {
        match serde_json::from_str::<K>(raw.get()) {
            Ok(mut object) => {
                // Nobody reads it from a cache, and it is often the largest part of an object.
                object.meta_mut().managed_fields = None;
                Some(object)
            }
            Err(error) => {
                let object: String = raw.get().chars().take(300).collect();
                error!(path = %self.path, %error, %object, "an object does not decode and is not seen");
                None
            }
        }
    }
}

async fn next_line(
    stream: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> Result<bool, Interruption> {
    loop {
        line.clear();
        let read = tokio::time::timeout(SILENCE, stream.read_until(b'\n', line))
            .await
            .map_err(|_| Interruption::Silent)??;
        if read == 0 {
            return Ok(false);
        }
        // A stream cut in the middle of a line ends the watch; the event comes again with the next.
        if line.last() != Some(&b'\n') {
            return Ok(false);
        }
        if line.iter().any(|byte| !byte.is_ascii_whitespace()) {
            return Ok(true);
        }
    }
}

fn revision(text: Option<String>) -> Result<u64, Interruption> {
    let text = text.unwrap_or_default();
    text.parse().map_err(|_| Interruption::Version(text))
}
