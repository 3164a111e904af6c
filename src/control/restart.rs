//! Starting: what the journal knows comes back, and what a crash left unfinished is finished.
//!
//! Belongs here: matching unfinished operations with the files that were found. Does not: repairing files (`store`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::call::{Call, CallKey, CallState};
use super::notify::{Change, send};
use super::operation::Operation;
use super::run::{Entry, Queue, row};
use super::{Control, Settings, State, blocking, file_of, oldest_key_ms};
use crate::clock;
use crate::error::{Error, Kind};
use crate::store::growth::Finished;
use crate::store::journal::Journal;
use crate::store::recover::{self, Fate};

impl Control {
    /// Starts from what the journal and the folder of recordings hold. Blocks are on the disk: call it before anything
    /// records.
    pub async fn start(settings: Settings) -> Result<Arc<Control>, Error> {
        let (journal, folder) = (settings.journal.clone(), settings.recordings.clone());
        let (calls, rows, found) = blocking(move || {
            let found = recover::recover(&folder).map_err(|error| {
                Error::new(Kind::Internal, format!("the recordings in {} cannot be read: {error}", folder.display()))
            })?;
            Ok::<_, Error>((journal.all_calls()?, journal.all_operations()?, found))
        })
        .await?;
        let mut state = State::default();
        for call in calls.iter().filter_map(|row| serde_json::from_str::<Call>(&row.doc).ok()) {
            state.calls.insert(call.key(), Queue::of(call));
        }
        for app in &settings.applications {
            for line in settings.lines.iter().filter(|line| app.may_use(line.name())) {
                let call = Call::standing(&app.id, line.name(), app.callback_uri.clone(), clock::wall());
                state.calls.insert(call.key(), Queue::of(call));
            }
        }
        let mut unfinished = Vec::new();
        for row in rows {
            let Ok(operation) = serde_json::from_str::<Operation>(&row.doc) else {
                tracing::error!(operation = %row.id, "an operation in the journal cannot be read; it is left alone");
                continue;
            };
            state.last_seq = state.last_seq.max(row.seq);
            if !row.ended {
                unfinished.push(operation.clone());
            }
            state.operations.insert(operation.id, Entry::ended(operation));
        }
        let ending: Vec<Call> = state
            .calls
            .values()
            .filter(|queue| queue.call.state == CallState::Terminating)
            .map(|queue| queue.call.clone())
            .collect();
        let (ended, _) = watch::channel(0);
        let settings = RwLock::new(Arc::new(settings));
        let control = Arc::new(Control { settings, state: Mutex::new(state), ended, outbox: Notify::new() });
        let mut left = HashMap::new();
        for found in found {
            match (found.fate, Uuid::parse_str(&found.id)) {
                (Fate::Finished(file), Ok(id)) => drop(left.insert(id, file)),
                (Fate::Finished(_), Err(_)) => {
                    tracing::warn!(id = found.id, "a recording of no operation was recovered")
                }
                (Fate::Quarantined(path), _) => {
                    tracing::warn!(id = found.id, path = %path.display(), "a file that is no recording was put aside");
                }
                (Fate::Failed(error), _) => {
                    tracing::error!(id = found.id, %error, "a recording could not be recovered")
                }
            }
        }
        for operation in unfinished {
            let file = left.remove(&operation.id);
            control.recovered(operation, file).await?;
        }
        for call in ending {
            tokio::spawn(control.clone().terminate(call));
        }
        tokio::spawn(send(control.clone()));
        tokio::spawn(forget(control.journal()));
        Ok(control)
    }

    /// Ends an operation that a crash interrupted.
    async fn recovered(&self, mut operation: Operation, file: Option<Finished>) -> Result<(), Error> {
        let path = file_of(&self.settings().recordings, operation.id);
        let file = match file {
            Some(file) => Some(file),
            // The crash came between the last rename and the journal.
            None => blocking(move || Ok::<_, Error>(recover::describe(&path).ok().flatten())).await?,
        };
        operation.recover(file, clock::wall());
        let key = CallKey::new(&operation.app, &operation.call);
        let callback = self.state().calls.get(&key).and_then(|queue| queue.call.callback_uri.clone());
        let notification = callback.map(|uri| self.notification(&operation, Change::Deleted, uri));
        let (journal, row) = (self.settings().journal.clone(), row(&operation, &key));
        blocking(move || journal.put_operation_with_outbox(&row, notification.as_slice())).await?;
        tracing::warn!(operation = %operation.id, kept = operation.available, "an interrupted operation was recovered");
        if let Some(entry) = self.state().operations.get_mut(&operation.id) {
            entry.operation = operation;
        }
        Ok(())
    }
}

/// Forgets, every hour, the idempotency keys and the delivered notifications that are older than a day.
async fn forget(journal: Arc<Journal>) {
    let mut hourly = tokio::time::interval(Duration::from_secs(3_600));
    loop {
        hourly.tick().await;
        let journal = journal.clone();
        if let Err(error) = blocking(move || journal.forget(oldest_key_ms())).await {
            tracing::warn!(%error, "old rows of the journal could not be deleted");
        }
    }
}
