//! What is done to a call at once: cancelling, muting, listening for keys.
//!
//! Belongs here: actions whose operation is completed when it is answered. Does not: what waits for its turn (`run`).

use std::sync::Arc;

use uuid::Uuid;

use super::call::{Call, CallKey, CallState};
use super::keys::Keys;
use super::operation::{Canceler, CompletionReason, Kind, Operation};
use super::run::{Entry, Stage, row};
use super::{Application, Control, blocking};
use crate::clock;
use crate::dsp::tone::Key;
use crate::error::{self, Error};
use crate::store::journal::Notification;

impl Control {
    /// Cancels what runs and what waits on a call.
    pub async fn cancel_media(
        self: &Arc<Self>,
        app: &Application,
        call_id: &str,
        client_context: Option<String>,
    ) -> Result<Operation, Error> {
        let call = self.established(app, call_id)?;
        let operation = self.at_once(&call, Kind::CancelMediaProcessing, client_context, "Canceled.").await?;
        self.cancel_all(&call.key(), &Canceler::Operation(operation.id), None);
        Ok(operation)
    }

    /// Mutes the recordings of a call, those that run and those that come, or no longer.
    pub async fn mute(
        self: &Arc<Self>,
        app: &Application,
        call_id: &str,
        on: bool,
        client_context: Option<String>,
    ) -> Result<Operation, Error> {
        let call = self.established(app, call_id)?;
        let muted = {
            let mut state = self.state();
            let queue = state.calls.get_mut(&call.key()).ok_or_else(Error::not_found)?;
            queue.call.muted = on;
            let (muted, waiting) = (queue.call.clone(), queue.waiting().collect::<Vec<Uuid>>());
            for entry in waiting.iter().filter_map(|id| state.operations.get(id)) {
                let line = self.line(&entry.operation.line);
                if let (Stage::Recording(key), Some(line)) = (entry.stage, line) {
                    line.mute(key, on);
                }
            }
            muted
        };
        if !muted.standing {
            self.save_call(&muted, &[]).await?;
        }
        let (kind, words) = if on { (Kind::Mute, "Muted.") } else { (Kind::Unmute, "Unmuted.") };
        self.at_once(&call, kind, client_context, words).await
    }

    /// From now on the call's keys are told to its callback.
    pub async fn subscribe_to_tone(
        self: &Arc<Self>,
        app: &Application,
        call_id: &str,
        client_context: Option<String>,
    ) -> Result<Operation, Error> {
        let call = self.established(app, call_id)?;
        let line = self.line_of(&call)?;
        if line.is_flat() {
            let words = "the line's source is a file with pace=fast, of which nothing is heard between recordings; it needs pace=real";
            return Err(Error::new(error::Kind::Conflict, words));
        }
        let keys = tokio::task::spawn_blocking(move || line.keys()).await;
        let keys = keys.map_err(|_| Error::new(error::Kind::Internal, "opening the line was given up"))?;
        let keys = keys.map_err(|why| Error::new(error::Kind::Unavailable, why.to_string()))?;
        let operation = self.at_once(&call, Kind::SubscribeToTone, client_context, "Subscribed.").await?;
        if let Some(queue) = self.state().calls.get_mut(&call.key())
            && queue.tones.as_ref().is_none_or(|task| task.is_finished())
        {
            let told = self.clone().tell_keys(call.key(), keys);
            queue.tones = Some(tokio::spawn(told).abort_handle());
        }
        Ok(operation)
    }

    /// The call's keys are told no longer.
    pub(super) fn unsubscribe(&self, key: &CallKey) {
        let mut state = self.state();
        if let Some(task) = state.calls.get_mut(key).and_then(|queue| queue.tones.take()) {
            task.abort();
        }
    }

    async fn tell_keys(self: Arc<Self>, key: CallKey, mut keys: Keys) {
        let mut sequence = 0;
        while let Some(pressed) = keys.next().await {
            let call = self.state().calls.get(&key).map(|queue| queue.call.clone());
            let Some(call) = call.filter(|call| call.state == CallState::Established) else { return };
            if call.muted {
                continue;
            }
            sequence += 1;
            let notification = self.pressed(&call, sequence, pressed);
            let journal = self.journal().clone();
            if let Err(error) = blocking(move || journal.put_outbox(notification.as_slice())).await {
                tracing::error!(call = %call.id, "a key could not be written down for its notification: {error}");
            }
            self.outbox.notify_one();
        }
    }

    fn pressed(&self, call: &Call, sequence: u64, pressed: Key) -> Option<Notification> {
        Some(Notification {
            // A standing call keeps its id over restarts.
            webhook_id: format!("msg_{}", Uuid::now_v7()),
            order_key: call.key().order(),
            app: call.app.clone(),
            callback_uri: call.callback_uri.clone()?,
            body: self.settings().wire.tone(call, sequence, pressed),
            since_ms: clock::wall().as_millisecond(),
        })
    }

    /// An operation that is completed when it is answered, and so is told to nobody else.
    async fn at_once(
        &self,
        call: &Call,
        kind: Kind,
        client_context: Option<String>,
        words: &str,
    ) -> Result<Operation, Error> {
        let now = clock::wall();
        let mut operation = Operation::new(Uuid::now_v7(), call, kind, now);
        operation.client_context = client_context;
        operation.complete(CompletionReason::CompletedSuccessfully, 0, words.to_owned(), now);
        operation.seq = self.next_seq();
        let (journal, row) = (self.journal().clone(), row(&operation, &call.key()));
        blocking(move || journal.put_operation(&row)).await?;
        self.state().operations.insert(Entry::ended(operation.clone()));
        Ok(operation)
    }
}
