//! What people look at: recordings and prompts of all calls, the newest first, and what will end those that run.
//!
//! Belongs here: searching what is known, telling that something has changed. Does not: how it looks (`api`).

use jiff::Timestamp;
use tokio::sync::broadcast;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::operation::{CompletionReason, Kind, Operation, Status};
use super::run::Entry;
use super::{Application, Control, blocking};
use crate::error::{self, Error};
use crate::record::Reason;
use crate::store;
use crate::store::journal::Delivery;
use crate::units::Rate;

/// Who listens may be late by so many changes.
pub(super) const CHANGES: usize = 1_024;

/// Which operations are looked for; what is `None` is any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The line's name.
    pub line: Option<String>,
    /// How far it is.
    pub status: Option<Status>,
    /// Why it ended.
    pub reason: Option<CompletionReason>,
    /// What its client context or its id holds, in any letter case.
    pub text: Option<String>,
    /// Accepted then or later.
    pub since: Option<Timestamp>,
    /// Accepted before then.
    pub before: Option<Timestamp>,
}

impl Filter {
    fn takes(&self, operation: &Operation) -> bool {
        let holds = |wanted: &String| {
            let context = operation.client_context.as_deref().unwrap_or("").to_lowercase();
            context.contains(wanted) || operation.id.to_string().contains(wanted)
        };
        self.line.as_ref().is_none_or(|line| *line == operation.line)
            && self.status.is_none_or(|status| status == operation.status)
            && self.reason.is_none_or(|reason| Some(reason) == operation.reason)
            && self.since.is_none_or(|since| operation.created >= since)
            && self.before.is_none_or(|before| operation.created < before)
            && self.text.as_ref().is_none_or(holds)
    }
}

/// What those who look on are told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// This operation is another than before.
    Operation(Uuid),
    /// This application's operation was deleted, or retention has taken it.
    Gone(String, Uuid),
}

/// An operation and how far it is.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it is.
    pub operation: Operation,
    /// Of a recording that has begun and not ended.
    pub progress: Option<Progress>,
}

/// How far a recording is. Frames are the recording's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Frames that can be read.
    pub frames: u64,
    /// Frames a second.
    pub rate: Rate,
    /// What will end it if nothing more is heard, and at which frame.
    pub due: Option<(CompletionReason, u64)>,
}

impl Seen {
    pub(super) fn of(entry: &Entry) -> Seen {
        Seen { operation: entry.operation.clone(), progress: progress(entry) }
    }
}

fn progress(entry: &Entry) -> Option<Progress> {
    entry.operation.started.filter(|_| !entry.operation.status.is_terminal())?;
    let (growth, spec) = (entry.growth.as_ref()?.now(), entry.spec?);
    let due = growth.due.map(|due| {
        let reason = match due.reason {
            Reason::StopTone => CompletionReason::StopToneDetected,
            Reason::InitialSilence => CompletionReason::InitialSilenceTimeout,
            Reason::MaxDuration => CompletionReason::MaxRecordDurationReached,
            Reason::MaxSilence => CompletionReason::MaxSilenceTimeout,
            Reason::MediaTimeout => CompletionReason::MediaReceiveTimeout,
            Reason::Canceled => CompletionReason::OperationCanceled,
            Reason::Abandoned => CompletionReason::UnspecifiedError,
        };
        (reason, due.frame)
    });
    Some(Progress { frames: growth.committed_frames, rate: spec.rate, due })
}

/// How the host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that recordings may still take.
    pub free_bytes: u64,
    /// With less, none is taken on.
    pub reserve_bytes: u64,
}

impl Control {
    /// An application's recordings and prompts that the filter takes, the newest first: at most `limit` of those whose
    /// place is before `before`, and how many there are in all.
    pub fn overview(
        &self,
        app: &Application,
        filter: &Filter,
        before: Option<i64>,
        limit: usize,
    ) -> (Vec<Seen>, usize) {
        let state = self.state();
        let mut found: Vec<&Entry> = state
            .operations
            .all()
            .filter(|entry| {
                let one = &entry.operation;
                one.app == app.id && matches!(one.kind, Kind::Record(_) | Kind::PlayPrompt(_)) && filter.takes(one)
            })
            .collect();
        let all = found.len();
        found.retain(|entry| before.is_none_or(|before| entry.operation.seq < before));
        if found.len() > limit && limit > 0 {
            found.select_nth_unstable_by_key(limit - 1, |entry| -entry.operation.seq);
            found.truncate(limit);
        }
        found.sort_unstable_by_key(|entry| -entry.operation.seq);
        (found.into_iter().map(Seen::of).collect(), all)
    }

    /// One operation, whoever's it is.
    pub fn seen(&self, id: Uuid) -> Option<Seen> {
        self.state().operations.get(&id).map(Seen::of)
    }

    /// The recordings that run: whose each is, its id, how far it is.
    pub fn running(&self) -> Vec<(String, Uuid, Progress)> {
        let state = self.state();
        let of = |entry: &Entry| Some((entry.operation.app.clone(), entry.operation.id, progress(entry)?));
        state.live().filter_map(of).collect()
    }

    /// How many operations wait for their turn, and how many run.
    pub fn live(&self) -> (usize, usize) {
        let state = self.state();
        let (running, waiting): (Vec<_>, Vec<_>) =
            state.live().partition(|entry| entry.operation.status == Status::Running);
        (waiting.len(), running.len())
    }

    /// How many notifications there are of each state.
    pub async fn outbox(&self) -> Result<Vec<(Delivery, i64)>, Error> {
        let journal = self.journal().clone();
        blocking(move || journal.counts()).await
    }

    /// What changes from now on.
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.changes.subscribe()
    }

    /// Tells those who look on.
    pub(super) fn changed(&self, changed: Changed) {
        // Nobody may be looking.
        let _ = self.changes.send(changed);
    }

    /// How much space there is for recordings.
    pub async fn space(&self) -> Result<Space, Error> {
        let (folder, reserve_bytes) = (self.settings().recordings.clone(), self.settings().reserve_bytes);
        match spawn_blocking(move || store::free_bytes(&folder)).await {
            Ok(Ok(free_bytes)) => Ok(Space { free_bytes, reserve_bytes }),
            Ok(Err(error)) => {
                let message = format!("the folder of recordings cannot be read: {error}");
                Err(Error::new(error::Kind::Internal, message))
            }
            Err(_) => Err(Error::new(error::Kind::Internal, "looking at the free space failed")),
        }
    }
}
