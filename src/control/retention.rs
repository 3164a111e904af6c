//! Retention: which recordings and operations are kept no longer, and removing them.
//!
//! Belongs here: the choice, and the order in which it is carried out. Does not: configuration (`config`), how a list of it
//! looks (`cli`).

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::operation::Operation;
use super::overview::Changed;
use super::run::{Entry, Stage};
use super::{Control, blocking};
use crate::clock;
use crate::error::Error;
use crate::store::journal::{Gone, Journal};
use crate::store::{part_of, recording_in, sync_folder};

/// What left no audio is forgotten after so many days where no others are configured.
const DAYS_WITHOUT_AUDIO: u32 = 30;
/// Retention looks so often, and whenever an operation has ended.
const LOOK: Duration = Duration::from_secs(60);
/// But not more often than this.
const PAUSE: Duration = Duration::from_secs(1);
/// So many go in one transaction.
const AT_ONCE: usize = 256;

/// How long recordings are kept, and how much of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Operations and their recordings go so many days after they ended; `None`: recordings stay.
    pub days: Option<u32>,
    /// While recordings take more than this, the one that ended first goes; `None`: however much they take.
    pub bytes: Option<u64>,
}

/// Why something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is older than it may be.
    Age,
    /// All recordings take more than they may.
    Bytes,
}

impl Why {
    /// The key of the configuration that says so.
    pub const fn key(self) -> &'static str {
        match self {
            Why::Age => "retention_days",
            Why::Bytes => "retention_bytes",
        }
    }
}

/// An operation that retention may take: it has ended, and nobody reads its recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: Uuid,
    /// The application that it belongs to.
    pub app: String,
    /// When it ended.
    pub ended: Timestamp,
    /// The size of its recording; `None` if it left none.
    pub bytes: Option<u64>,
    /// Whether its recording is being read: it counts, and stays.
    pub is_read: bool,
}

impl Candidate {
    /// An operation that nobody reads; `None` if it has not ended.
    pub fn of(operation: &Operation) -> Option<Candidate> {
        operation.status.is_terminal().then(|| Candidate {
            id: operation.id,
            app: operation.app.clone(),
            ended: operation.changed,
            bytes: operation.recording.as_ref().map(|recording| recording.bytes),
            is_read: false,
        })
    }
}

/// Which of them go, those that ended first before the others.
pub fn choose(policy: Policy, mut candidates: Vec<Candidate>, now: Timestamp) -> Vec<(Candidate, Why)> {
    candidates.sort_by_key(|one| (one.ended, one.id));
    let before = |days: u32| now.checked_sub(SignedDuration::from_hours(24 * i64::from(days))).ok();
    let oldest = policy.days.and_then(before);
    let oldest_silent = before(policy.days.unwrap_or(DAYS_WITHOUT_AUDIO));
    let mut total: u64 = candidates.iter().filter_map(|one| one.bytes).sum();
    let mut going = Vec::new();
    for one in candidates.into_iter().filter(|one| !one.is_read) {
        let limit = if one.bytes.is_some() { oldest } else { oldest_silent };
        let why = if limit.is_some_and(|limit| one.ended < limit) {
            Why::Age
        } else if one.bytes.is_some() && policy.bytes.is_some_and(|most| total > most) {
            Why::Bytes
        } else {
            continue;
        };
        total -= one.bytes.unwrap_or(0);
        going.push((one, why));
    }
    going
}

/// Removes the files of these, then, when that is on the disk, the operations from the journal; returns those that are gone.
/// In between a crash leaves operations whose recordings are gone already: the next time takes them.
pub fn remove(journal: &Journal, recordings: &Path, going: Vec<Candidate>, now: Timestamp) -> Result<Vec<Uuid>, Error> {
    let mut gone = Vec::new();
    for one in going {
        let path = recording_in(recordings, one.id);
        // On a disk that broke it may not have got its name.
        let removed =
            absent_is_fine(std::fs::remove_file(&path)).and(absent_is_fine(std::fs::remove_file(part_of(&path))));
        match removed {
            Err(error) => {
                tracing::error!("{} cannot be removed; it stays with its operation: {error}", path.display());
            }
            Ok(()) => gone.push(Gone { id: one.id.to_string(), app: one.app, since_ms: now.as_millisecond() }),
        }
    }
    if !gone.is_empty() {
        sync_folder(recordings).map_err(|error| Error::new(crate::error::Kind::Internal, error.to_string()))?;
        journal.delete_operations(&gone)?;
    }
    Ok(gone.iter().filter_map(|gone| Uuid::parse_str(&gone.id).ok()).collect())
}

fn absent_is_fine(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

impl Control {
    /// Removes what is kept no longer, for ever.
    pub(super) async fn retain(self: Arc<Self>) {
        let mut ended = self.ended.subscribe();
        loop {
            if let Err(error) = self.remove_old().await {
                tracing::warn!("retention cannot remove what it should: {error}");
            }
            tokio::time::sleep(PAUSE).await;
            let _ = tokio::time::timeout(LOOK, ended.changed()).await;
        }
    }

    async fn remove_old(&self) -> Result<(), Error> {
        let candidates = self.state().operations.all().filter_map(candidate).collect();
        let mut going = choose(self.settings().retention, candidates, clock::wall());
        while !going.is_empty() {
            let rest = going.split_off(going.len().min(AT_ONCE));
            // A reader may have come meanwhile.
            going.retain(|(one, _)| {
                self.state().operations.get(&one.id).and_then(candidate).is_some_and(|now| !now.is_read)
            });
            for (one, why) in &going {
                tracing::info!(operation = %one.id, bytes = one.bytes, why = why.key(), "retention removes an operation");
            }
            self.remove(going.into_iter().map(|(one, _)| one).collect()).await?;
            going = rest;
        }
        Ok(())
    }

    /// Removes operations that have ended, with their recordings.
    pub(super) async fn remove(&self, going: Vec<Candidate>) -> Result<usize, Error> {
        let (journal, recordings) = (self.settings().journal.clone(), self.settings().recordings.clone());
        let gone = blocking(move || remove(&journal, &recordings, going, clock::wall())).await?;
        let mut state = self.state();
        for id in &gone {
            if let Some(entry) = state.operations.remove(id) {
                self.changed(Changed::Gone(entry.operation.app, *id));
            }
        }
        Ok(gone.len())
    }
}

/// What is not yet ended, or just being written down, is none.
fn candidate(entry: &Entry) -> Option<Candidate> {
    let candidate = Candidate::of(&entry.operation).filter(|_| entry.stage == Stage::Ended)?;
    Some(Candidate { is_read: Arc::strong_count(&entry.reading) > 1, ..candidate })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        "2026-11-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(24 * day)
    }

    fn ended(number: u128, day: i64, bytes: Option<u64>) -> Candidate {
        Candidate { id: Uuid::from_u128(number), app: "bot".to_owned(), ended: at(day), bytes, is_read: false }
    }

    fn going(policy: Policy, candidates: &[Candidate]) -> Vec<(u128, Why)> {
        let chosen = choose(policy, candidates.to_vec(), at(40));
        chosen.into_iter().map(|(one, why)| (one.id.as_u128(), why)).collect()
    }

    #[test]
    fn what_is_older_than_its_days_goes_and_not_a_moment_before() {
        let all = [ended(1, 32, Some(5)), ended(2, 33, Some(5)), ended(3, 32, None), ended(4, 34, None)];
        let policy = Policy { days: Some(7), bytes: None };
        assert_eq!(going(policy, &all), [(1, Why::Age), (3, Why::Age)]);
    }

    #[test]
    fn what_ended_first_goes_until_the_rest_fits() {
        let all = [ended(3, 30, Some(50)), ended(1, 20, Some(30)), ended(2, 25, Some(40)), ended(4, 10, None)];
        let bytes = |bytes| Policy { days: None, bytes: Some(bytes) };
        assert_eq!(going(bytes(120), &all), []);
        assert_eq!(going(bytes(119), &all), [(1, Why::Bytes)]);
        assert_eq!(going(bytes(89), &all), [(1, Why::Bytes), (2, Why::Bytes)]);
        assert_eq!(going(bytes(0), &all).len(), 3);
    }

    #[test]
    fn what_is_read_stays_and_counts() {
        let mut all = [ended(1, 20, Some(30)), ended(2, 25, Some(40)), ended(3, 30, Some(50))];
        all[0].is_read = true;
        assert_eq!(going(Policy { days: None, bytes: Some(100) }, &all), [(2, Why::Bytes)]);
        assert_eq!(going(Policy { days: Some(1), bytes: None }, &all), [(2, Why::Age), (3, Why::Age)]);
    }

    #[test]
    fn without_a_policy_recordings_stay_and_what_left_none_is_forgotten_after_a_month() {
        let all = [ended(1, 0, Some(30)), ended(2, 9, None), ended(3, 10, None)];
        assert_eq!(going(Policy::default(), &all), [(2, Why::Age)]);
    }
}
