//! One request's life: what was asked, how far it is, how it ended.
//!
//! Belongs here: the states an operation can be in and what each ending means. Does not: when it runs (`run`), how it
//! looks on the wire (`api`). An operation can be made without a daemon: see [`Operation::finished`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::call::Call;
use crate::record::{Reason, StopTones};
use crate::store::growth::{Outcome, Recorded};
use crate::store::recover::Left;

/// What a record request asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRequest {
    /// Played before the recording, in order.
    pub prompts: Vec<Prompt>,
    /// Whether prompts can be interrupted, and whether this request goes ahead of others.
    pub barge_in_allowed: bool,
    /// With no speech for so many seconds it fails.
    pub initial_silence: u32,
    /// With no speech for so many seconds after speech it is complete.
    pub max_silence: u32,
    /// So many seconds at the most.
    pub max_duration: u32,
    /// Whether a beep is played before it.
    pub play_beep: bool,
    /// Whether the recording can be read while it grows.
    pub stream: bool,
    /// The keys that end it, as the request writes them; they have been checked.
    pub stop_tones: Vec<String>,
    /// Echoed everywhere.
    pub client_context: Option<String>,
    /// What its audio is read as.
    #[serde(default)]
    pub format: Format,
}

/// What the audio of a recording is read as; what is stored is a WAV.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// As it is stored.
    #[default]
    Wav,
    /// Made of the stored samples whenever it is read.
    Flac,
}

impl RecordRequest {
    /// The stop tones, to be matched.
    pub fn stop_tones(&self) -> StopTones {
        StopTones::parse(&self.stop_tones).unwrap_or(StopTones::NONE)
    }

    /// Whether it needs nothing but the microphone, so that it can begin where another ends.
    pub fn begins_silently(&self) -> bool {
        self.prompts.is_empty() && !self.play_beep
    }
}

/// What a playPrompt request asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayRequest {
    /// Played in order.
    pub prompts: Vec<Prompt>,
    /// Echoed everywhere.
    pub client_context: Option<String>,
}

/// Something to be played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Where it is.
    pub uri: String,
    /// Names it in the cache.
    pub resource_id: Option<String>,
    /// How often it is played; 0 is for ever.
    pub plays: u32,
}

/// What kind of operation it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A recording.
    Record(Box<RecordRequest>),
    /// Something is played.
    PlayPrompt(PlayRequest),
    /// The end of all others.
    CancelMediaProcessing,
    /// From then on recordings of the call are muted.
    Mute,
    /// From then on they are not.
    Unmute,
    /// From then on keys are told.
    SubscribeToTone,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It waits.
    NotStarted,
    /// It runs.
    Running,
    /// It ended as it should.
    Completed,
    /// It did not.
    Failed,
}

impl Status {
    /// Whether nothing can happen to it any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Status::Completed | Status::Failed)
    }
}

/// Why a recording or a playPrompt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompletionReason {
    /// All was played.
    CompletedSuccessfully,
    /// A stop tone was heard.
    StopToneDetected,
    /// Speech was over.
    MaxSilenceTimeout,
    /// It was as long as allowed.
    MaxRecordDurationReached,
    /// Somebody ended it.
    OperationCanceled,
    /// No speech came.
    InitialSilenceTimeout,
    /// A prompt could not be played.
    PlayPromptFailed,
    /// The beep could not be played.
    PlayBeepFailed,
    /// The device stopped delivering.
    MediaReceiveTimeout,
    /// Anything else; the message says what.
    UnspecifiedError,
}

/// Who or what cancelled an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Canceler {
    /// This cancelMediaProcessing.
    Operation(Uuid),
    /// A request that goes ahead of others.
    BargeIn(Uuid),
    /// A DELETE of it.
    Delete,
    /// Its call has ended.
    EndOfCall,
    /// The daemon was stopped.
    Shutdown,
}

/// How it came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultInfo {
    /// As HTTP's.
    pub code: u32,
    /// Graph's number for the reason.
    pub subcode: u32,
    /// For people.
    pub message: String,
}

/// The audio that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// Frames in it.
    pub frames: u64,
    /// Frames a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u16,
    /// When its first frame was captured, where that is known.
    pub started_at: Option<Timestamp>,
    /// Over the sample bytes, in lower-case hex.
    pub sha256: String,
    /// The size of the file.
    pub bytes: u64,
    /// Missing frames, muted ones aside.
    pub lost_frames: u64,
    /// What is missing.
    pub gaps: Vec<Gap>,
    /// Whether a crash ended it.
    pub recovered: bool,
    /// How much faster the device's clock ran than the host's, in parts per million, where that is known.
    #[serde(default)]
    pub clock_drift_ppm: Option<f64>,
    /// What its samples are like, where that was measured.
    #[serde(default)]
    pub signal: Option<SignalEvidence>,
}

/// What the samples of a recording are like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in `store::signal::Signal`")]
pub struct SignalEvidence {
    pub rms_dbfs: f32,
    pub peak_dbfs: f32,
    pub clipped_samples: u64,
    pub invalid_samples: u64,
    pub dc_offset: f32,
}

/// Audio that is missing; zeros stand for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The first missing frame.
    pub at: u64,
    /// How many.
    pub frames: u64,
    /// Why.
    pub cause: String,
}

/// What decided the end. Frames count from the recording's first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The last frame that the detectors had seen.
    pub decided_at_frame: u64,
    /// The first voiced frame.
    pub first_voiced_frame: Option<u64>,
    /// The last voiced frame.
    pub last_voiced_frame: Option<u64>,
    /// The level then.
    pub level_dbfs: f32,
    /// The noise floor then.
    pub noise_floor_dbfs: f32,
    /// The threshold of speech then.
    pub threshold_dbfs: f32,
    /// The stop tone.
    pub tone: Option<ToneEvidence>,
}

/// The stop tone that was heard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToneEvidence {
    /// The entry as the request writes it.
    pub entry: String,
    /// Its keys.
    pub keys: Vec<KeyEvidence>,
    /// What another hand measured of the last key.
    pub second_opinion: Option<OpinionEvidence>,
}

/// What another hand measured of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in `store::opinion::SecondOpinion`")]
pub struct OpinionEvidence {
    pub low_hz: f32,
    pub high_hz: f32,
    pub low_dbfs: f32,
    pub high_dbfs: f32,
}

/// One key that was heard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in `dsp::tone::Tone`")]
pub struct KeyEvidence {
    pub digit: char,
    pub onset_frame: u64,
    pub decision_frame: u64,
    pub low_hz: f32,
    pub high_hz: f32,
    pub low_dbfs: f32,
    pub high_dbfs: f32,
    pub twist_db: f32,
    pub purity: f32,
}

/// One request's life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its id, and its recording's.
    pub id: Uuid,
    /// The call it belongs to, as that is written.
    pub call: String,
    /// The line of the call.
    pub line: String,
    /// The application it belongs to.
    pub app: String,
    /// Its place among all operations.
    pub seq: i64,
    /// What it is.
    pub kind: Kind,
    /// Echoed everywhere.
    pub client_context: Option<String>,
    /// How far it is.
    pub status: Status,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it changed last.
    pub changed: Timestamp,
    /// Grows with every change.
    pub revision: u64,
    /// Why it ended; only of recordings and of what plays.
    pub reason: Option<CompletionReason>,
    /// How it came out.
    pub result: Option<ResultInfo>,
    /// When its first frame was captured.
    pub started: Option<Timestamp>,
    /// Whether there is audio to fetch.
    pub available: bool,
    /// The audio that is kept.
    pub recording: Option<Recording>,
    /// What decided the end.
    pub evidence: Option<Evidence>,
    /// Whether prompts and beep were timed only, because nothing can be heard on the line.
    pub silent_playback: bool,
}

impl Operation {
    /// A request that was just accepted.
    pub fn new(id: Uuid, call: &Call, kind: Kind, now: Timestamp) -> Operation {
        let client_context = match &kind {
            Kind::Record(request) => request.client_context.clone(),
            Kind::PlayPrompt(request) => request.client_context.clone(),
            _ => None,
        };
        Operation {
            id,
            call: call.id.clone(),
            line: call.line.clone(),
            app: call.app.clone(),
            seq: 0,
            kind,
            client_context,
            status: Status::NotStarted,
            created: now,
            changed: now,
            revision: 1,
            reason: None,
            result: None,
            started: None,
            available: false,
            recording: None,
            evidence: None,
            silent_playback: false,
        }
    }

    /// What a recording without a daemon comes to, on a call named as its line.
    pub fn finished(
        id: Uuid,
        line: &str,
        request: RecordRequest,
        outcome: &Outcome,
        created: Timestamp,
        now: Timestamp,
    ) -> Operation {
        let call = Call::standing("", line, None, created);
        let mut operation = Operation::new(id, &call, Kind::Record(Box::new(request)), created);
        operation.finish(outcome, None, now);
        operation
    }

    /// The request, if it is a recording.
    pub fn request(&self) -> Option<&RecordRequest> {
        match &self.kind {
            Kind::Record(request) => Some(request),
            _ => None,
        }
    }

    /// What it plays before anything else.
    pub fn prompts(&self) -> &[Prompt] {
        match &self.kind {
            Kind::Record(request) => &request.prompts,
            Kind::PlayPrompt(request) => &request.prompts,
            _ => &[],
        }
    }

    /// It runs.
    pub fn run(&mut self, now: Timestamp) {
        self.status = Status::Running;
        self.touch(now);
    }

    /// Its first frame was captured then.
    pub fn record_from(&mut self, started: Timestamp, now: Timestamp) {
        self.status = Status::Running;
        self.started = Some(started);
        self.available = self.request().is_some_and(|request| request.stream);
        self.touch(now);
    }

    /// It is over: what the recording came to, and who cancelled it if somebody did.
    pub fn finish(&mut self, outcome: &Outcome, canceler: Option<&Canceler>, now: Timestamp) {
        self.evidence = Some(self.evidence_of(outcome));
        self.recording = outcome.recording.as_ref().map(recording_of);
        self.available = self.recording.is_some();
        if let Some(error) = &outcome.error {
            return self.fail(CompletionReason::UnspecifiedError, error.message.clone(), now);
        }
        let limits = self.request().map_or((0, 0, 0), |r| (r.initial_silence, r.max_silence, r.max_duration));
        match outcome.ending.reason {
            Reason::StopTone => {
                let entry = self.evidence.as_ref().and_then(|evidence| evidence.tone.as_ref());
                let message = format!("The stop tone {} was heard.", entry.map_or("", |tone| &tone.entry));
                self.complete(CompletionReason::StopToneDetected, 8514, message, now);
            }
            Reason::MaxSilence => {
                let message = format!("There was no speech for {} s.", limits.1);
                self.complete(CompletionReason::MaxSilenceTimeout, 0, message, now);
            }
            Reason::MaxDuration => {
                let message = format!("The recording was {} s long.", limits.2);
                self.complete(CompletionReason::MaxRecordDurationReached, 8515, message, now);
            }
            Reason::InitialSilence => {
                let message = format!("Nobody spoke for {} s.", limits.0);
                self.fail(CompletionReason::InitialSilenceTimeout, message, now);
            }
            Reason::MediaTimeout => {
                self.fail(
                    CompletionReason::MediaReceiveTimeout,
                    "The device stopped delivering audio.".to_owned(),
                    now,
                );
            }
            Reason::Canceled => self.cancel(canceler.unwrap_or(&Canceler::Shutdown), now),
            Reason::Abandoned => {
                let message = "The recording could not be written any further.".to_owned();
                self.fail(CompletionReason::UnspecifiedError, message, now);
            }
        }
    }

    /// Somebody ended it.
    pub fn cancel(&mut self, canceler: &Canceler, now: Timestamp) {
        let reason = CompletionReason::OperationCanceled;
        match canceler {
            Canceler::EndOfCall => self.complete(reason, 8508, "The call has ended.".to_owned(), now),
            Canceler::Shutdown => self.complete(reason, 8508, "The daemon was stopped.".to_owned(), now),
            Canceler::Operation(id) => self.fail(reason, format!("Canceled by operation {id}."), now),
            Canceler::BargeIn(id) => {
                self.fail(reason, format!("Canceled by operation {id}, which goes ahead of others."), now);
            }
            Canceler::Delete => self.fail(reason, "Canceled by a DELETE of this operation.".to_owned(), now),
        }
    }

    /// A crash ended it; this is left of its audio, or why that is not known.
    pub fn recover(&mut self, left: Result<Option<Left>, String>, now: Timestamp) {
        let (left, unread) = left.map_or_else(|why| (None, Some(why)), |left| (left, None));
        let left = left.map(|Left { file, lost_frames, gaps }| Recorded {
            file,
            started_at: self.started.unwrap_or(self.created),
            lost_frames,
            gaps,
            signal: None,
        });
        self.recording = left.as_ref().map(recording_of);
        if let Some(recording) = &mut self.recording {
            recording.recovered = true;
            recording.started_at = self.started;
        }
        self.available = self.recording.is_some();
        let what = match unread {
            Some(why) => format!("what had been recorded cannot be read: {why}"),
            None if self.available => "what had been recorded was recovered.".to_owned(),
            None => "nothing had been recorded.".to_owned(),
        };
        self.fail(CompletionReason::UnspecifiedError, format!("The daemon stopped unexpectedly; {what}"), now);
    }

    /// It ended as it should.
    pub fn complete(&mut self, reason: CompletionReason, subcode: u32, message: String, now: Timestamp) {
        self.status = Status::Completed;
        self.end(reason, ResultInfo { code: 200, subcode, message }, now);
    }

    /// It did not.
    pub fn fail(&mut self, reason: CompletionReason, message: String, now: Timestamp) {
        let (code, subcode) = match reason {
            CompletionReason::OperationCanceled => (400, 8508),
            CompletionReason::InitialSilenceTimeout => (400, 8510),
            CompletionReason::PlayPromptFailed => (500, 8511),
            CompletionReason::PlayBeepFailed => (500, 8512),
            CompletionReason::MediaReceiveTimeout => (500, 0),
            _ => (500, 9999),
        };
        self.status = Status::Failed;
        self.end(reason, ResultInfo { code, subcode, message }, now);
    }

    /// A prompt could not be played, for a reason that Graph has this number for.
    pub fn fail_prompt(&mut self, subcode: u32, why: &str, now: Timestamp) {
        self.fail(CompletionReason::PlayPromptFailed, format!("The prompt could not be played: {why}"), now);
        if let Some(result) = &mut self.result {
            result.subcode = subcode;
        }
    }

    fn end(&mut self, reason: CompletionReason, result: ResultInfo, now: Timestamp) {
        self.reason = matches!(self.kind, Kind::Record(_) | Kind::PlayPrompt(_)).then_some(reason);
        self.result = Some(result);
        self.touch(now);
    }

    fn touch(&mut self, now: Timestamp) {
        self.changed = now;
        self.revision += 1;
    }

    fn evidence_of(&self, outcome: &Outcome) -> Evidence {
        let ending = &outcome.ending;
        Evidence {
            decided_at_frame: ending.decided_at_frame,
            first_voiced_frame: ending.first_voiced_frame,
            last_voiced_frame: ending.last_voiced_frame,
            level_dbfs: outcome.level_dbfs,
            noise_floor_dbfs: outcome.floor_dbfs,
            threshold_dbfs: outcome.threshold_dbfs,
            tone: self.tone_of(outcome),
        }
    }

    fn tone_of(&self, outcome: &Outcome) -> Option<ToneEvidence> {
        let tone = outcome.ending.stop_tone?;
        let entry = self.request()?.stop_tones.get(tone.entry)?.clone();
        let keys = tone.keys().map(|key| KeyEvidence {
            digit: key.key.char(),
            onset_frame: key.onset_frame,
            decision_frame: key.decision_frame,
            low_hz: key.low_hz,
            high_hz: key.high_hz,
            low_dbfs: key.low_dbfs,
            high_dbfs: key.high_dbfs,
            twist_db: key.twist_db(),
            purity: key.purity,
        });
        let second_opinion = outcome.second_opinion.map(|second| OpinionEvidence {
            low_hz: second.low_hz,
            high_hz: second.high_hz,
            low_dbfs: second.low_dbfs,
            high_dbfs: second.high_dbfs,
        });
        Some(ToneEvidence { entry, keys: keys.collect(), second_opinion })
    }
}

fn recording_of(recorded: &Recorded) -> Recording {
    let gap =
        |gap: &crate::store::growth::Gap| Gap { at: gap.at, frames: gap.frames, cause: gap.cause.name().to_owned() };
    Recording {
        frames: recorded.file.frames,
        sample_rate: recorded.file.rate.hz(),
        channels: recorded.file.channels,
        started_at: Some(recorded.started_at),
        sha256: recorded.file.sha256.clone(),
        bytes: recorded.file.bytes,
        lost_frames: recorded.lost_frames,
        gaps: recorded.gaps.iter().map(gap).collect(),
        recovered: false,
        clock_drift_ppm: None,
        signal: recorded.signal.map(|signal| SignalEvidence {
            rms_dbfs: signal.rms_dbfs,
            peak_dbfs: signal.peak_dbfs,
            clipped_samples: signal.clipped_samples,
            invalid_samples: signal.invalid_samples,
            dc_offset: signal.dc_offset,
        }),
    }
}
