//! How the operations of a call run: one after the other, in the order in which they came.
//!
//! Belongs here: when a recording may begin, what a cancel does to it, following it to its end. Does not: what is played
//! before it (`play`), what an ending means (`operation`).
//!
//! A call's queue is moved on by [`Control::advance`], under the lock, whenever something has changed: a request came, one
//! began, one ended. What takes time (a prompt, a growing file, the disk) is a task that comes back and moves it on again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::call::{Call, CallKey};
use super::line::{Ask, Begin, LineError};
use super::notify::Change;
use super::operation::{Canceler, CompletionReason, Operation};
use super::overview::Changed;
use super::{Control, State, blocking};
use crate::clock;
use crate::error::{Error, Kind};
use crate::pipeline::RecordingKey;
use crate::playback::Sound;
use crate::store::crash::reached;
use crate::store::growth::{Phase, Watcher};
use crate::store::journal::{Notification, OperationRow};
use crate::wav::Spec;

/// An ending that cannot be written down is tried so often before it is told without.
const TRIES: u32 = 3;
/// And then again after so long, until it succeeds.
pub(super) const AGAIN: Duration = Duration::from_secs(2);

/// A call and what runs and waits on it.
pub(super) struct Queue {
    pub call: Call,
    waiting: VecDeque<Uuid>,
    /// Tells its keys.
    pub(super) tones: Option<AbortHandle>,
}

impl Queue {
    pub fn of(call: Call) -> Queue {
        Queue { call, waiting: VecDeque::new(), tones: None }
    }

    /// What runs and waits, in its order.
    pub fn waiting(&self) -> impl Iterator<Item = Uuid> {
        self.waiting.iter().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// An operation and where it is.
pub(super) struct Entry {
    pub operation: Operation,
    pub(super) stage: Stage,
    canceler: Option<Canceler>,
    pub growth: Option<Watcher>,
    pub spec: Option<Spec>,
    /// What it plays.
    pub(super) sounds: Vec<Sound>,
    /// Stops what it fetches or plays.
    pub(super) task: Option<AbortHandle>,
    /// Each who reads its recording holds one more of it.
    pub(super) reading: Arc<()>,
}

impl Entry {
    pub fn ended(operation: Operation) -> Entry {
        Entry::at(operation, Stage::Ended)
    }

    fn at(operation: Operation, stage: Stage) -> Entry {
        Entry {
            operation,
            stage,
            canceler: None,
            growth: None,
            spec: None,
            sounds: Vec::new(),
            task: None,
            reading: Arc::default(),
        }
    }
}

/// Where an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has its place, and is being written down.
    Accepting,
    /// For its prompts, while others are before it.
    Fetching,
    /// For those before it.
    Waiting,
    /// It is being played, or what comes before the recording is.
    Playing,
    /// The line has it.
    Recording(RecordingKey),
    /// It has ended, or is just being finished.
    Ended,
}

/// What is logged of an operation carries its id.
pub(super) fn span_of(id: Uuid) -> Span {
    tracing::info_span!(parent: None, "operation", operation = %id)
}

/// The operation for the journal.
pub(super) fn row(operation: &Operation, call: &CallKey) -> OperationRow {
    OperationRow {
        id: operation.id.to_string(),
        call_id: call.order(),
        app: operation.app.clone(),
        seq: operation.seq,
        ended: operation.status.is_terminal(),
        created_ms: operation.created.as_millisecond(),
        // A struct of plain values always becomes JSON.
        doc: serde_json::to_string(operation).unwrap_or_default(),
    }
}

impl Control {
    /// Gives a request its place behind the others.
    pub(super) fn reserve(&self, mut operation: Operation) -> Result<Operation, Error> {
        let mut state = self.state();
        if state.stopping {
            return Err(Error::new(Kind::Unavailable, "the daemon is stopping"));
        }
        let live: usize = state.calls.values().map(|queue| queue.waiting.len()).sum();
        if live >= self.settings().max_recordings {
            let message =
                format!("{live} recordings run or wait already, which is all that [record] max_recordings allows");
            return Err(Error::new(Kind::TooMany, message));
        }
        state.last_seq += 1;
        operation.seq = state.last_seq;
        let key = CallKey::new(&operation.app, &operation.call);
        let queue = state.calls.get_mut(&key).ok_or_else(Error::not_found)?;
        queue.waiting.push_back(operation.id);
        state.operations.insert(Entry::at(operation.clone(), Stage::Accepting));
        Ok(operation)
    }

    /// It is not taken on after all.
    pub(super) fn unreserve(self: &Arc<Self>, id: Uuid) {
        let mut state = self.state();
        if let Some(entry) = state.operations.remove(&id) {
            let key = CallKey::new(&entry.operation.app, &entry.operation.call);
            self.leave(&mut state, &key, id);
        }
    }

    /// It is written down: it runs as soon as it can, maybe at once.
    pub(super) fn accept(self: &Arc<Self>, mut operation: Operation) -> Operation {
        let id = operation.id;
        if operation.request().is_some_and(|request| request.barge_in_allowed) {
            let key = CallKey::new(&operation.app, &operation.call);
            self.cancel_all(&key, &Canceler::BargeIn(id), Some(id));
        }
        let mut state = self.state();
        if let Some(entry) = state.operations.get_mut(&id) {
            match entry.canceler.clone() {
                Some(canceler) => self.finish(&mut state, id, move |o| o.cancel(&canceler, clock::wall())),
                None => self.prepare(&mut state, id),
            }
        }
        if let Some(entry) = state.operations.get(&id) {
            operation = entry.operation.clone();
        }
        self.changed(Changed::Operation(id));
        operation
    }

    /// Starts what may run now.
    pub(super) fn advance(self: &Arc<Self>, state: &mut State, key: &CallKey) {
        let waiting = match state.calls.get(key) {
            Some(queue) => queue.waiting.clone(),
            None => return,
        };
        let mut before: Option<Stage> = None;
        for id in waiting {
            let Some(entry) = state.operations.get(&id) else { continue };
            if entry.stage == Stage::Waiting {
                let joins = entry.operation.request().is_some_and(|request| request.begins_silently());
                match before {
                    None => self.set_off(state, id),
                    Some(Stage::Recording(key)) if joins => self.begin(state, id, Begin::After(key)),
                    Some(_) => return,
                }
            }
            before = match state.operations.get(&id).map(|entry| entry.stage) {
                Some(Stage::Ended) | None => before,
                stage => stage,
            };
        }
    }

    /// Hands it to the line.
    pub(super) fn begin(self: &Arc<Self>, state: &mut State, id: Uuid, begin: Begin) {
        let Some(entry) = state.operations.get_mut(&id) else { return };
        let line = self.line(&entry.operation.line);
        let (Some(line), Some(request)) = (line, entry.operation.request()) else { return };
        let key = CallKey::new(&entry.operation.app, &entry.operation.call);
        let ask = Ask {
            id,
            begin,
            initial_silence: request.initial_silence,
            max_silence: request.max_silence,
            max_duration: request.max_duration,
            stop_tones: request.stop_tones(),
            client_context: request.client_context.clone(),
            muted: state.calls.get(&key).is_some_and(|queue| queue.call.muted),
        };
        match line.record(ask) {
            Ok(running) => {
                entry.stage = Stage::Recording(running.key);
                entry.growth = Some(running.growth.clone());
                entry.spec = line.spec();
                if !matches!(begin, Begin::After(_)) && entry.operation.status != super::operation::Status::Running {
                    entry.operation.run(clock::wall());
                }
                self.changed(Changed::Operation(id));
                tokio::spawn(self.clone().follow(id, running.growth).instrument(span_of(id)));
            }
            Err(error) => self.finish(state, id, move |operation| {
                let reason = match error {
                    LineError::NotReady(_) => CompletionReason::MediaReceiveTimeout,
                    LineError::TooMany => CompletionReason::UnspecifiedError,
                };
                operation.fail(reason, error.to_string(), clock::wall());
            }),
        }
    }

    /// Goes along with a recording to its end.
    async fn follow(self: Arc<Self>, id: Uuid, mut growth: Watcher) {
        let mut began = false;
        loop {
            let phase = growth.now().phase.clone();
            match phase {
                Phase::Waiting => {}
                Phase::Recording { started_at } if !began => {
                    began = true;
                    self.began(id, started_at).await;
                    continue;
                }
                Phase::Recording { .. } => {}
                Phase::Ended(outcome) => {
                    let mut state = self.state();
                    if outcome.error.is_some() && outcome.recording.is_some() {
                        state.unnamed.push(id);
                    }
                    let Some(entry) = state.operations.get(&id) else { return };
                    let canceler = entry.canceler.clone();
                    let health = self.line(&entry.operation.line).and_then(|line| line.health());
                    return self.finish(&mut state, id, move |operation| {
                        operation.finish(&outcome, canceler.as_ref(), clock::wall());
                        if let Some(recording) = &mut operation.recording {
                            recording.clock_drift_ppm = health.and_then(|health| health.drift_ppm());
                        }
                    });
                }
            }
            if growth.next_phase().await.is_err() {
                let mut state = self.state();
                return self.finish(&mut state, id, |operation| {
                    let message = "The recording was given up by its writer.".to_owned();
                    operation.fail(CompletionReason::UnspecifiedError, message, clock::wall());
                });
            }
        }
    }

    async fn began(&self, id: Uuid, started: jiff::Timestamp) {
        let operation = {
            let mut state = self.state();
            let Some(entry) = state.operations.get_mut(&id) else { return };
            entry.operation.record_from(started, clock::wall());
            entry.operation.clone()
        };
        self.changed(Changed::Operation(id));
        let told = operation.request().is_some_and(|request| request.stream);
        if let Err(error) = self.save(&operation, told.then_some(Change::Updated)).await {
            tracing::warn!(%error, "the start of a recording could not be written down");
        }
    }

    /// Ends an operation as `change` says: its place is free at once, and it is shown as ended when that is on the disk.
    pub(super) fn finish(self: &Arc<Self>, state: &mut State, id: Uuid, change: impl FnOnce(&mut Operation)) {
        let Some(entry) = state.operations.get_mut(&id) else { return };
        if entry.stage == Stage::Ended {
            return;
        }
        entry.stage = Stage::Ended;
        entry.sounds = Vec::new();
        if let Some(task) = entry.task.take() {
            task.abort();
        }
        let mut operation = entry.operation.clone();
        let key = CallKey::new(&operation.app, &operation.call);
        change(&mut operation);
        let control = self.clone();
        tokio::spawn(async move { control.conclude(operation).await }.instrument(span_of(id)));
        // It stays in its queue until it is written down, for those who wait for that; it holds nobody up.
        self.advance(state, &key);
    }

    /// Writes an ending down, then shows it.
    async fn conclude(self: Arc<Self>, operation: Operation) {
        let mut tries = 0;
        let mut shown = false;
        while let Err(error) = self.save(&operation, Some(Change::Deleted)).await {
            tries += 1;
            tracing::error!(%error, "an ending could not be written down; it is tried again");
            if tries == TRIES {
                self.show(operation.clone());
                shown = true;
            }
            tokio::time::sleep(AGAIN).await;
        }
        if !shown {
            self.show(operation);
        }
    }

    fn show(self: &Arc<Self>, operation: Operation) {
        let mut state = self.state();
        let (id, key) = (operation.id, CallKey::new(&operation.app, &operation.call));
        self.counts.ended(&operation);
        tracing::info!(reason = ?operation.reason, "an operation has ended");
        if let Some(entry) = state.operations.get_mut(&id) {
            entry.operation = operation;
            // It says all there is to know from now on.
            entry.growth = None;
        }
        self.changed(Changed::Operation(id));
        self.leave(&mut state, &key, id);
    }

    fn leave(self: &Arc<Self>, state: &mut State, key: &CallKey, id: Uuid) {
        if let Some(queue) = state.calls.get_mut(key) {
            queue.waiting.retain(|waiting| *waiting != id);
        }
        self.advance(state, key);
        self.ended.send_modify(|count| *count += 1);
    }

    /// Writes an operation down, and the notification of its change if there is one and somebody to tell.
    pub(super) async fn save(&self, operation: &Operation, change: Option<Change>) -> Result<(), Error> {
        let key = CallKey::new(&operation.app, &operation.call);
        let callback = self.state().calls.get(&key).and_then(|queue| queue.call.callback_uri.clone());
        let notifications: Vec<Notification> = callback
            .zip(change)
            .map(|(callback_uri, change)| self.notification(operation, change, callback_uri))
            .into_iter()
            .collect();
        let (journal, row) = (self.settings().journal.clone(), row(operation, &key));
        blocking(move || journal.put_operation_with_outbox(&row, &notifications)).await?;
        if operation.status.is_terminal() {
            reached("journalled");
        }
        self.outbox.notify_one();
        Ok(())
    }

    /// What is told of an operation. Its id is the same however often it is made.
    pub(super) fn notification(&self, operation: &Operation, change: Change, callback_uri: String) -> Notification {
        Notification {
            webhook_id: format!("msg_{}_{}", operation.id, change.name()),
            order_key: CallKey::new(&operation.app, &operation.call).order(),
            app: operation.app.clone(),
            callback_uri,
            body: self.settings().wire.operation(operation, change),
            since_ms: clock::wall().as_millisecond(),
        }
    }

    /// Cancels everything on a call but `spared`.
    pub(super) fn cancel_all(self: &Arc<Self>, key: &CallKey, canceler: &Canceler, spared: Option<Uuid>) {
        let waiting = self.state().calls.get(key).map(|queue| queue.waiting.clone()).unwrap_or_default();
        // The last first, so that none begins because the one before it was cancelled.
        for id in waiting.into_iter().rev().filter(|id| Some(*id) != spared) {
            self.cancel(id, canceler);
        }
    }

    /// Cancels one operation. What records ends with the next frame; the first who cancels is named.
    pub(super) fn cancel(self: &Arc<Self>, id: Uuid, canceler: &Canceler) {
        let mut state = self.state();
        let Some(entry) = state.operations.get_mut(&id) else { return };
        entry.canceler.get_or_insert_with(|| canceler.clone());
        match entry.stage {
            Stage::Fetching | Stage::Waiting | Stage::Playing => {
                let canceler = canceler.clone();
                self.finish(&mut state, id, move |operation| operation.cancel(&canceler, clock::wall()));
            }
            Stage::Recording(key) => {
                let line = self.line(&entry.operation.line);
                drop(state);
                if let Some(line) = line {
                    line.cancel(key);
                }
            }
            Stage::Accepting | Stage::Ended => {}
        }
    }
}
