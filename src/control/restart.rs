//! Starting: what the journal knows comes back, and what a crash left unfinished is finished.
//!
//! Belongs here: matching unfinished operations with the files that were found. Does not: repairing files (`store`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};
use uuid::Uuid;

use super::call::{Call, CallState};
use super::counts::Counts;
use super::notify::{Change, send};
use super::operation::Operation;
use super::overview::CHANGES;
use super::run::{AGAIN, Entry, Queue};
use super::{Control, Settings, State, blocking, oldest_key_ms, oldest_ms};
use crate::clock;
use crate::error::{Error, Kind};
use crate::store::journal::{Journal, JournalError};
use crate::store::recover::{self, Fate, Found};

/// The operations of a journal.
pub fn operations(journal: &Journal) -> Result<HashMap<Uuid, Operation>, JournalError> {
    let mut operations = HashMap::new();
    for row in journal.all_operations()? {
        match serde_json::from_str::<Operation>(&row.doc) {
            Ok(operation) => drop(operations.insert(operation.id, operation)),
            Err(error) => {
                tracing::error!(operation = %row.id, %error, "an operation in the journal cannot be read; it is left alone");
            }
        }
    }
    Ok(operations)
}

/// The frames of a recording whose operation has ended.
pub fn frames_of(operations: &HashMap<Uuid, Operation>, id: &str) -> Option<u64> {
    let operation = operations.get(&Uuid::parse_str(id).ok()?)?;
    operation.recording.as_ref().map(|recording| recording.frames)
}

impl Control {
    /// Starts from what the journal and the folder of recordings hold. Blocks are on the disk: call it before anything
    /// records.
    pub async fn start(settings: Settings) -> Result<Arc<Control>, Error> {
        let (journal, folder) = (settings.journal.clone(), settings.recordings.clone());
        let (calls, operations, found) = blocking(move || {
            let operations = operations(&journal)?;
            let found = recover::recover(&folder, |id| frames_of(&operations, id)).map_err(|error| {
                Error::new(Kind::Internal, format!("the recordings in {} cannot be read: {error}", folder.display()))
            })?;
            Ok::<_, Error>((journal.all_calls()?, operations, found))
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
        for operation in operations.into_values() {
            state.last_seq = state.last_seq.max(operation.seq);
            if !operation.status.is_terminal() {
                unfinished.push(operation.clone());
            }
            state.operations.insert(Entry::ended(operation));
        }
        let ending: Vec<Call> = state
            .calls
            .values()
            .filter(|queue| queue.call.state == CallState::Terminating)
            .map(|queue| queue.call.clone())
            .collect();
        let ((ended, _), (changes, _)) = (watch::channel(0), broadcast::channel(CHANGES));
        let (settings, state) = (RwLock::new(Arc::new(settings)), Mutex::new(state));
        let (counts, outbox) = (Counts::default(), Notify::new());
        let control = Arc::new(Control { settings, state, ended, changes, counts, outbox });
        for Found { id, fate } in found {
            match fate {
                Fate::Finished { frames, .. } => tracing::warn!(id, frames, "an interrupted recording was finished"),
                Fate::Quarantined { to, why } => {
                    tracing::warn!(id, to = %to.display(), why, "a file that is no recording was put aside");
                }
                Fate::Failed(error) => tracing::error!(id, %error, "a recording could not be finished"),
            }
        }
        tokio::spawn(control.clone().take_up(unfinished, ending));
        tokio::spawn(send(control.clone()));
        tokio::spawn(control.clone().retain());
        tokio::spawn(control.clone().finish_unnamed());
        tokio::spawn(forget(control.journal()));
        Ok(control)
    }

    /// Ends what a crash interrupted, behind the start: the digest of a day of audio takes its time. Until then its
    /// operations are `running`, and another crash changes nothing. Calls that were ending come after them.
    async fn take_up(self: Arc<Self>, mut unfinished: Vec<Operation>, ending: Vec<Call>) {
        // The longest last: it keeps nobody waiting.
        unfinished.sort_by_cached_key(|operation| {
            std::fs::metadata(self.path_of(operation.id)).map_or(0, |metadata| metadata.len())
        });
        for operation in unfinished {
            self.recovered(operation).await;
        }
        for call in ending {
            tokio::spawn(self.clone().terminate(call));
        }
    }

    /// Ends an operation that a crash interrupted.
    async fn recovered(&self, mut operation: Operation) {
        let path = self.path_of(operation.id);
        let left =
            blocking(move || recover::describe(&path).map_err(|error| Error::new(Kind::Internal, error.to_string())));
        operation.recover(left.await.map_err(|error| error.message), clock::wall());
        while let Err(error) = self.save(&operation, Some(Change::Deleted)).await {
            tracing::error!(operation = %operation.id, %error, "a recovered ending could not be written down; it is tried again");
            tokio::time::sleep(AGAIN).await;
        }
        tracing::warn!(operation = %operation.id, kept = operation.available, "an interrupted operation was ended");
        if let Some(entry) = self.state().operations.get_mut(&operation.id) {
            entry.operation = operation;
        }
    }
}

/// Undeliverable notifications, and that operations are gone, are remembered so long.
const LONG: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Forgets, every hour, the idempotency keys and the delivered notifications that are older than a day, and what is only
/// remembered after a year.
async fn forget(journal: Arc<Journal>) {
    let mut hourly = tokio::time::interval(Duration::from_secs(3_600));
    loop {
        hourly.tick().await;
        let journal = journal.clone();
        if let Err(error) = blocking(move || journal.forget(oldest_key_ms(), oldest_ms(LONG))).await {
            tracing::warn!(%error, "old rows of the journal could not be deleted");
        }
    }
}
