//! What the writer tells everybody else about a recording: how far it has come, how it ended, what went wrong.

use std::fmt;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use rustix::io::Errno;
use tokio::sync::watch;

use super::opinion::SecondOpinion;
use super::signal::Signal;
use super::writer::Ticket;
use crate::dsp::tone::Tone;
use crate::pipeline::{self, RecordingKey};
use crate::record::{Due, Ending, GapCause};
use crate::units::Rate;
use crate::wav::Marker;

/// What the pipeline of a source tells of what it hears, to whoever listens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Told {
    /// What is played before this recording has been answered.
    Answered(RecordingKey),
    /// A key was pressed.
    Pressed {
        /// The device's channel.
        channel: usize,
        /// The key; frames are the device's.
        tone: Tone,
    },
}

/// How far a recording has come.
#[derive(Clone, Debug)]
pub struct Growth {
    /// Frames of the recording that are in the file and can be read. They stay, unless a stop-tone sequence cuts some.
    pub committed_frames: u64,
    /// What will end it if nothing more is heard; its frame is one of the recording's.
    pub due: Option<Due>,
    /// Where in its life it is.
    pub phase: Phase,
}

/// Where in its life a recording is.
#[derive(Clone, Debug)]
pub enum Phase {
    /// It has not begun: there is no file.
    Waiting,
    /// Its file grows.
    Recording {
        /// When its first frame was captured.
        started_at: Timestamp,
    },
    /// It is over: the file is final, or there is none.
    Ended(Arc<Outcome>),
}

/// The two ends of what is told of one recording.
pub fn growth() -> (Teller, Watcher) {
    let (growth, growths) = watch::channel(Growth { committed_frames: 0, due: None, phase: Phase::Waiting });
    let (phase, phases) = watch::channel(());
    (Teller { growth, phase }, Watcher { growth: growths, phase: phases })
}

/// The writer's end.
#[derive(Debug)]
pub struct Teller {
    growth: watch::Sender<Growth>,
    /// Apart: who only waits for the end shall not be woken a hundred times a second.
    phase: watch::Sender<()>,
}

impl Teller {
    /// So many frames can be read now, and this will end it.
    pub(super) fn grown(&self, committed_frames: u64, due: Option<Due>) {
        self.growth.send_modify(|growth| (growth.committed_frames, growth.due) = (committed_frames, due));
    }

    /// The next phase begins, with so many frames that can be read.
    pub(super) fn enter(&self, phase: Phase, committed_frames: u64) {
        self.growth.send_replace(Growth { committed_frames, due: None, phase });
        self.phase.send_replace(());
    }
}

/// Everybody else's end.
#[derive(Clone, Debug)]
pub struct Watcher {
    growth: watch::Receiver<Growth>,
    phase: watch::Receiver<()>,
}

/// Its writer has given a recording up without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned;

impl Watcher {
    /// How far it is; holds the writer up as long as it is held.
    pub fn now(&self) -> watch::Ref<'_, Growth> {
        self.growth.borrow()
    }

    /// Its outcome, once it is over.
    pub fn outcome(&self) -> Option<Arc<Outcome>> {
        self.now().outcome().cloned()
    }

    /// Waits until there is more than at the last call, or another phase.
    pub async fn more(&mut self) -> Result<(), Abandoned> {
        self.growth.changed().await.map_err(|_| Abandoned)
    }

    /// Waits for a phase that has begun since the last call.
    pub async fn next_phase(&mut self) -> Result<(), Abandoned> {
        self.phase.changed().await.map_err(|_| Abandoned)
    }

    /// Waits for the outcome.
    pub async fn ended(&mut self) -> Result<Arc<Outcome>, Abandoned> {
        loop {
            if let Some(outcome) = self.outcome() {
                return Ok(outcome);
            }
            self.next_phase().await?;
        }
    }

    /// Whether it is still being written.
    pub fn goes_on(&self) -> bool {
        self.outcome().is_none() && self.growth.has_changed().is_ok()
    }
}

impl Growth {
    /// Its outcome, once it is over.
    pub fn outcome(&self) -> Option<&Arc<Outcome>> {
        match &self.phase {
            Phase::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }
}

/// A finished file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Frames in it.
    pub frames: u64,
    /// Frames a second.
    pub rate: Rate,
    /// Channels.
    pub channels: u16,
    /// The size of the file.
    pub bytes: u64,
    /// Over the sample bytes, in lower-case hex.
    pub sha256: String,
}

/// Audio that is missing: zeros stand for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first missing frame.
    pub at: u64,
    /// How many.
    pub frames: u64,
    /// Why.
    pub cause: GapCause,
}

impl Gap {
    /// As it stands in a file's markers.
    pub(super) fn marker(self) -> Marker {
        Marker { frame: self.at, words: format!("gap {} {}", self.cause.name(), self.frames) }
    }

    /// The gap of a marker, if it is one.
    pub(super) fn of_marker(marker: &Marker) -> Option<Gap> {
        let (cause, frames) = marker.words.strip_prefix("gap ")?.split_once(' ')?;
        Some(Gap { at: marker.frame, frames: frames.parse().ok()?, cause: GapCause::from_name(cause)? })
    }
}

/// The audio that a recording left.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its file.
    pub file: Finished,
    /// When its first frame was captured.
    pub started_at: Timestamp,
    /// Frames that are missing for any other reason than that the call was muted.
    pub lost_frames: u64,
    /// What is missing, in order.
    pub gaps: Vec<Gap>,
    /// What its samples are like; `None` if a crash left it.
    pub signal: Option<Signal>,
}

/// Frames that are missing for any other reason than that the call was muted.
pub(super) fn lost_frames(gaps: &[Gap]) -> u64 {
    gaps.iter().filter(|gap| gap.cause != GapCause::Muted).map(|gap| gap.frames).sum()
}

/// How a recording ended. All frames are at the recording's rate and count from its first.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What decided the end.
    pub ending: Ending,
    /// The level at the decision.
    pub level_dbfs: f32,
    /// The noise floor then.
    pub floor_dbfs: f32,
    /// The threshold of speech then.
    pub threshold_dbfs: f32,
    /// What another hand measured of the stop tone's last key.
    pub second_opinion: Option<SecondOpinion>,
    /// The audio, unless none is kept.
    pub recording: Option<Recorded>,
    /// Why the file is not what it should have been.
    pub error: Option<StoreError>,
}

impl Outcome {
    pub(super) fn new(
        end: pipeline::Outcome,
        ticket: &Ticket,
        second_opinion: Option<SecondOpinion>,
        recording: Option<Recorded>,
        error: Option<StoreError>,
    ) -> Outcome {
        Outcome {
            ending: end.ending.convert(ticket.device_rate, ticket.spec.rate),
            level_dbfs: end.level_dbfs,
            floor_dbfs: end.floor_dbfs,
            threshold_dbfs: end.threshold_dbfs,
            second_opinion,
            recording,
            error,
        }
    }
}

/// Why a recording's file is not what it should have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// What to do about it depends on this.
    pub kind: StoreErrorKind,
    /// What could not be done, and the system's words for why.
    pub message: String,
}

/// The kinds of failure that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// No space, or no quota, is left.
    DiskFull,
    /// The system refused, with this errno where it gave one.
    Io(Option<i32>),
    /// The recording reached the most bytes it may have.
    TooLong,
}

impl StoreError {
    /// What the system said when `doing` something.
    pub fn io(doing: &str, error: &io::Error) -> StoreError {
        let full = [Errno::NOSPC, Errno::DQUOT].map(|errno| Some(errno.raw_os_error()));
        let errno = error.raw_os_error();
        let kind = if full.contains(&errno) { StoreErrorKind::DiskFull } else { StoreErrorKind::Io(errno) };
        StoreError { kind, message: format!("{doing} failed: {error}") }
    }

    /// The recording reached `ceiling_bytes` of samples.
    pub fn too_long(ceiling_bytes: u64) -> StoreError {
        let message = format!("the recording reached the {ceiling_bytes} bytes of samples that it may have");
        StoreError { kind: StoreErrorKind::TooLong, message }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreError {}
