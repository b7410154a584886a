//! WATCH: a position in a kind's ring of changes, turned into lines. A watcher holds nothing but its position and
//! the lines it is about to send; one that falls out of the ring gets 410 and is cut.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use http::{Response, StatusCode};
use jiff::Timestamp;
use plinth_api::Status;
use plinth_api::table::{self, IncludeObject};
use rand::Rng;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::form::{include, parse, partial, row};
use super::list::too_large;
use super::malformed_revision;
use crate::cache::{Batch, Change, Object, Selection};
use crate::http::answer;
use crate::http::body::{ResponseBody, StreamError};
use crate::http::media::{Accept, Form};
use crate::kind::Kind;
use crate::metrics::Open;
use crate::query::{ListOptions, Query, revision};
use crate::server::Core;

/// Changes taken from the ring at a time.
const CHUNK: usize = 64;
/// Bytes that are sent in one piece.
const GATHERED: usize = 32 << 10;
/// How often an idle watcher is told how far history has come.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);
/// A watcher that is to end is told so this long before, as upstream does.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// A watch without a time limit of its own ends after this and up to as much again.
const LIFE: Duration = Duration::from_mins(30);

/// What a watch needs from the server.
pub(crate) struct WatchContext {
    /// Its clock, its conversions, and the sign that it stops.
    pub(crate) core: Arc<Core>,
    /// Counts the events that are sent.
    pub(crate) events: Arc<AtomicU64>,
    /// Counts the watch as open.
    pub(crate) _open: Open,
}

/// Starts a watch.
pub(crate) fn watch(
    kind: &Arc<Kind>,
    selection: Selection,
    options: &ListOptions,
    accept: Accept,
    query: &Query,
    context: WatchContext,
) -> Result<Response<ResponseBody>, Status> {
    let include = include(query)?;
    let mut lines = VecDeque::new();
    let mut ended = false;
    let given = match options.resource_version.as_str() {
        "" => 0,
        text => revision(text).map_err(|why| malformed_revision(text, &why))?,
    };
    // Listening begins before the position is taken, so that no change falls between.
    let signal = kind.cache.changes();
    let (snapshot, now) = kind.cache.snapshot_and_position(&context.core.clock);
    if given > snapshot.revision {
        return Err(too_large(given, snapshot.revision));
    }
    let (position, reached, initial) = if options.send_initial_events == Some(true) {
        (now, snapshot.revision, true)
    } else if given > 0 {
        let position = kind
            .cache
            .position_after(given)
            .unwrap_or_else(|forgotten| {
                lines.push_back(error_line(&Status::expired(format!(
                    "too old resource version: {given} ({})",
                    forgotten.oldest
                ))));
                ended = true;
                now
            });
        (position, given, false)
    } else {
        (
            now,
            snapshot.revision,
            options.send_initial_events.is_none(),
        )
    };
    let initial: VecDeque<Arc<Object>> = if initial && !ended {
        snapshot.all(&selection)
    } else {
        VecDeque::new()
    };
    let life = options.timeout_seconds.map_or_else(
        || LIFE + Duration::from_secs(rand::rng().random_range(0..LIFE.as_secs())),
        Duration::from_secs,
    );
    let deadline = Instant::now() + life;
    let watcher = Watcher {
        kind: kind.clone(),
        selection,
        writer: Writer {
            kind: kind.clone(),
            form: accept.form,
            include,
            columns_sent: false,
        },
        initial,
        announce_end: options.send_initial_events == Some(true) && options.bookmarks,
        position,
        reached,
        told: if options.send_initial_events == Some(true) {
            0
        } else {
            reached
        },
        signal,
        bookmarks: options.bookmarks,
        next_bookmark: bookmark_time(deadline),
        deadline,
        lines,
        ended,
        context,
    };
    let body = ResponseBody::stream(watcher.into_stream());
    Ok(answer::with_body(StatusCode::OK, "application/json", body))
}

/// When the next bookmark is due: every so often, and shortly before the end, so that the client's next watch begins
/// where this one has come to.
fn bookmark_time(deadline: Instant) -> Option<Instant> {
    let now = Instant::now();
    let last = deadline.checked_sub(BOOKMARK_BEFORE_END)?;
    Some((now + BOOKMARK_EVERY).min(last)).filter(|time| *time > now)
}

struct Watcher {
    kind: Arc<Kind>,
    selection: Selection,
    writer: Writer,
    /// Objects that existed at the start and are still to be sent.
    initial: VecDeque<Arc<Object>>,
    /// After them comes the bookmark that ends the initial events (K-22).
    announce_end: bool,
    position: u64,
    /// Everything up to this revision has been looked at.
    reached: u64,
    /// The client knows of this revision.
    told: u64,
    signal: tokio::sync::watch::Receiver<()>,
    bookmarks: bool,
    next_bookmark: Option<Instant>,
    deadline: Instant,
    /// Pieces that are ready to be sent.
    lines: VecDeque<Bytes>,
    /// Nothing comes after the lines.
    ended: bool,
    context: WatchContext,
}

impl Watcher {
    fn into_stream(self) -> impl Stream<Item = Result<Bytes, StreamError>> + Send {
        stream::unfold(self, |mut watcher| async move {
            let piece = watcher.next().await?;
            Some((Ok(piece), watcher))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = gathered(&mut self.lines) {
                return Some(piece);
            }
            if self.ended {
                return None;
            }
            if let Some(object) = self.initial.pop_front() {
                self.initial_event(object).await;
                continue;
            }
            if std::mem::take(&mut self.announce_end) {
                self.bookmark(true);
                continue;
            }
            match self
                .kind
                .cache
                .read(self.position, CHUNK, &self.context.core.clock)
            {
                Batch::Changes(changes) => {
                    self.position += changes.len() as u64;
                    for change in changes {
                        self.reached = change.revision;
                        self.translate(&change).await;
                    }
                }
                Batch::UpToDate(revision) => {
                    self.reached = self.reached.max(revision);
                    self.wait().await;
                }
                Batch::Ended => self.ended = true,
                Batch::Fallen => {
                    let why = format!(
                        "too old resource version: {} (the watcher is too slow)",
                        self.reached
                    );
                    self.lines.push_back(error_line(&Status::expired(why)));
                    self.ended = true;
                }
            }
        }
    }

    /// Waits for a change, the next bookmark or the end.
    async fn wait(&mut self) {
        let bookmark = async {
            match self.next_bookmark {
                Some(time) => tokio::time::sleep_until(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.signal.changed() => self.ended = changed.is_err(),
            () = bookmark, if self.bookmarks => {
                self.next_bookmark = bookmark_time(self.deadline);
                if self.told < self.reached {
                    self.bookmark(false);
                }
            }
            () = tokio::time::sleep_until(self.deadline) => self.ended = true,
            () = self.context.core.shutdown.cancelled() => self.ended = true,
        }
    }

    fn bookmark(&mut self, ends_initial_events: bool) {
        self.told = self.reached;
        self.writer
            .bookmark(&mut self.lines, self.reached, ends_initial_events);
    }

    async fn initial_event(&mut self, object: Arc<Object>) {
        match self.kind.form(&self.context.core, object).await {
            Ok(object) if self.selection.matches_form(&object.header) => {
                self.context.events.fetch_add(1, Ordering::Relaxed);
                self.writer.write(&mut self.lines, "ADDED", &object.bytes);
            }
            Ok(_) => {}
            Err(status) => self.end_with(&status),
        }
    }

    /// A state of an object in the watcher's form, when it is selected.
    async fn selected(&self, object: &Arc<Object>) -> Result<Option<Arc<Object>>, Status> {
        if !self.selection.matches(&object.header) {
            return Ok(None);
        }
        let object = self.kind.form(&self.context.core, object.clone()).await?;
        Ok(Some(object).filter(|object| self.selection.matches_form(&object.header)))
    }

    /// The states before and after a change, where they are selected.
    async fn sides(
        &self,
        change: &Change,
    ) -> Result<(Option<Arc<Object>>, Option<Arc<Object>>), Status> {
        let is = self.selected(&change.object).await?;
        let was = match &change.previous {
            Some(previous) => self.selected(previous).await?,
            None => None,
        };
        Ok((was, is))
    }

    /// Objects that enter or leave the selection are added or deleted for this watcher.
    async fn translate(&mut self, change: &Change) {
        let (was, is) = match self.sides(change).await {
            Ok(sides) => sides,
            Err(status) => return self.end_with(&status),
        };
        let (event, bytes) = match (was, is) {
            (None, _) if change.deleted => return,
            (None, None) => return,
            (None, Some(object)) => ("ADDED", object.bytes.clone()),
            (Some(_), Some(object)) if change.deleted => ("DELETED", object.bytes.clone()),
            (Some(_), Some(object)) => ("MODIFIED", object.bytes.clone()),
            // The last state the watcher could see, at the revision at which it left.
            (Some(last), None) => {
                let bytes = self.kind.layout.at_revision(&last.bytes, change.revision);
                ("DELETED", bytes)
            }
        };
        self.context.events.fetch_add(1, Ordering::Relaxed);
        self.writer.write(&mut self.lines, event, &bytes);
        self.told = change.revision;
    }

    /// Tells the watcher why it ends.
    fn end_with(&mut self, status: &Status) {
        self.lines.push_back(error_line(status));
        self.ended = true;
    }
}

/// Writes events in the form the client wants.
struct Writer {
    kind: Arc<Kind>,
    form: Form,
    include: IncludeObject,
    /// Only the first Table of a watch defines its columns (§13.6).
    columns_sent: bool,
}

impl Writer {
    fn write(&mut self, lines: &mut VecDeque<Bytes>, event: &'static str, bytes: &Bytes) {
        let object = match self.form {
            Form::Object => bytes.clone(),
            form => match parse(bytes) {
                Ok(object) => self.transform(form, &object),
                Err(status) => {
                    lines.push_back(error_line(&status));
                    return;
                }
            },
        };
        lines.push_back(prefix(event));
        lines.push_back(object);
        lines.push_back(Bytes::from_static(b"}\n"));
    }

    fn transform(&mut self, form: Form, object: &Value) -> Bytes {
        let transformed = match form {
            Form::Table(version) => {
                let row = row(
                    self.kind.resource,
                    object,
                    self.include,
                    Timestamp::now(),
                    version,
                );
                self.table(vec![row], &object["metadata"]["resourceVersion"], version)
            }
            Form::Partial(version) | Form::PartialList(version) => partial(object, version),
            Form::Object => object.clone(),
        };
        Bytes::from(transformed.to_string())
    }

    fn table(&mut self, rows: Vec<Value>, revision: &Value, version: &str) -> Value {
        let first = !std::mem::replace(&mut self.columns_sent, true);
        let mut table = table::table(
            self.kind.resource,
            rows,
            &json!({"resourceVersion": revision}),
            first,
        );
        table["apiVersion"] = format!("meta.k8s.io/{version}").into();
        table
    }

    fn bookmark(&mut self, lines: &mut VecDeque<Bytes>, revision: u64, ends_initial_events: bool) {
        let resource = self.kind.resource;
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if ends_initial_events {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": metadata});
        let object = match self.form {
            Form::Object => object,
            Form::Table(version) => {
                let row = json!({"cells": [], "object": partial(&object, version)});
                self.table(vec![row], &object["metadata"]["resourceVersion"], version)
            }
            Form::Partial(version) | Form::PartialList(version) => partial(&object, version),
        };
        lines.push_back(Bytes::from(format!(
            "{{\"type\":\"BOOKMARK\",\"object\":{object}}}\n"
        )));
    }
}

/// The next bytes to send: small pieces are copied into one, for each costs the connection more than its copy does.
fn gathered(lines: &mut VecDeque<Bytes>) -> Option<Bytes> {
    let first = lines.pop_front()?;
    if first.len() >= GATHERED || lines.is_empty() {
        return Some(first);
    }
    let waiting = lines.iter().map(Bytes::len).sum::<usize>();
    let mut whole = BytesMut::with_capacity(GATHERED.min(first.len() + waiting));
    whole.extend_from_slice(&first);
    while let Some(piece) = lines.pop_front_if(|piece| whole.len() + piece.len() <= GATHERED) {
        whole.extend_from_slice(&piece);
    }
    Some(whole.freeze())
}

fn prefix(event: &'static str) -> Bytes {
    Bytes::from_static(match event {
        "ADDED" => b"{\"type\":\"ADDED\",\"object\":",
        "MODIFIED" => b"{\"type\":\"MODIFIED\",\"object\":",
        _ => b"{\"type\":\"DELETED\",\"object\":",
    })
}

fn error_line(status: &Status) -> Bytes {
    Bytes::from(format!(
        "{{\"type\":\"ERROR\",\"object\":{}}}\n",
        status.to_value()
    ))
}
