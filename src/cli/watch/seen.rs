//! What is known of a daemon: its lines and operations, from what it answers and what it tells.

use std::collections::VecDeque;

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::daemon::{Daemon, Lost};
use super::super::meter::Level;

/// So many operations that have ended are remembered.
const ENDED: usize = 5;
/// A page of operations; more than this many do not run at once.
const PAGE: usize = 1_000;

/// A microphone.
#[derive(Debug)]
pub struct Line {
    pub name: String,
    /// Why it cannot record now.
    pub trouble: Option<String>,
    /// One a channel; none while it is closed.
    pub levels: Vec<Level>,
    /// The last key that was heard on it.
    pub key: Option<String>,
}

impl Line {
    fn is_speaking(&self) -> bool {
        self.levels.iter().any(|level| level.speaking)
    }

    fn in_words(&self) -> String {
        match &self.trouble {
            Some(why) => format!("{}: not ready: {why}", self.name),
            None => format!("{}: ready", self.name),
        }
    }
}

/// A recording or a prompt.
#[derive(Debug)]
pub struct Operation {
    pub line: String,
    pub id: String,
    pub context: Option<String>,
    pub state: State,
}

/// How far it is.
#[derive(Debug, PartialEq)]
pub enum State {
    /// For those before it.
    Waits,
    /// Not recording, or not yet: a prompt or a beep.
    Plays,
    /// So many seconds so far; what will end it, in how many more, if nothing more is heard.
    Records { seconds: f64, due: Option<(String, f64)> },
    /// Why, and how many seconds were kept.
    Ended { reason: String, seconds: Option<f64> },
}

impl State {
    pub fn is_ended(&self) -> bool {
        matches!(self, State::Ended { .. })
    }

    fn in_words(&self) -> String {
        match self {
            State::Waits => "waits for its turn".to_owned(),
            State::Plays => "plays".to_owned(),
            State::Records { .. } => "records".to_owned(),
            State::Ended { reason, seconds: Some(seconds) } => format!("ended, {reason}, {seconds:.3} s"),
            State::Ended { reason, seconds: None } => format!("ended, {reason}, no audio"),
        }
    }
}

/// All of it.
pub struct Seen {
    pub lines: Vec<Line>,
    /// Those that run or wait, the oldest first.
    pub operations: Vec<Operation>,
    /// The last that have ended, the newest first.
    pub ended: VecDeque<Operation>,
}

// What the daemon answers and tells, as far as it is shown.

#[derive(Deserialize)]
struct Collection<T> {
    value: Vec<T>,
}

#[derive(Deserialize)]
struct LineBody {
    name: String,
    levels: Vec<Level>,
}

#[derive(Deserialize)]
struct ReadyBody {
    lines: Vec<LineReadyBody>,
}

#[derive(Deserialize)]
struct LineReadyBody {
    line: String,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct LevelsBody {
    line: String,
    levels: Vec<Level>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyBody {
    line: String,
    digit: String,
    level_dbfs: f64,
}

#[derive(Deserialize)]
struct RunningBody {
    running: Vec<ProgressBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProgressBody {
    id: String,
    frames: u64,
    sample_rate: u32,
    due: Option<DueBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DueBody {
    reason: String,
    at_frame: u64,
}

#[derive(Deserialize)]
struct SeenBody {
    line: String,
    progress: Option<ProgressBody>,
    operation: OperationBody,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperationBody {
    id: String,
    status: String,
    client_context: Option<String>,
    completion_reason: Option<String>,
    recording: Option<RecordingBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordingBody {
    duration_seconds: f64,
}

#[derive(Deserialize)]
struct GoneBody {
    id: String,
}

impl ProgressBody {
    fn state(self) -> State {
        let rate = f64::from(self.sample_rate.max(1));
        let left = |at_frame: u64| at_frame.saturating_sub(self.frames) as f64 / rate;
        State::Records { seconds: self.frames as f64 / rate, due: self.due.map(|due| (due.reason, left(due.at_frame))) }
    }
}

impl SeenBody {
    fn operation(self) -> Operation {
        let OperationBody { id, status, client_context: context, completion_reason, recording } = self.operation;
        let state = match (status.as_str(), self.progress) {
            ("notStarted", _) => State::Waits,
            ("running", None) => State::Plays,
            ("running", Some(progress)) => progress.state(),
            _ => State::Ended {
                reason: completion_reason.unwrap_or(status),
                seconds: recording.map(|recording| recording.duration_seconds),
            },
        };
        Operation { line: self.line, id, context, state }
    }
}

impl Seen {
    /// What a daemon answers now.
    pub async fn of(daemon: &Daemon) -> Result<Seen, Lost> {
        let lines: Collection<LineBody> = daemon.ask("/lines", &[]).await?;
        let line = |LineBody { name, levels }| Line { name, trouble: None, levels, key: None };
        let mut seen =
            Seen { lines: lines.value.into_iter().map(line).collect(), operations: Vec::new(), ended: VecDeque::new() };
        for status in ["running", "notStarted"] {
            let path = format!("/operations?status={status}&$top={PAGE}");
            let mut found: Collection<SeenBody> = daemon.ask(&path, &[]).await?;
            found.value.drain(..).rev().for_each(|one| drop(seen.take(one)));
        }
        seen.ask(daemon).await?;
        Ok(seen)
    }

    /// Asks what it does not tell by itself: which lines are ready, and which closed. What has changed, in words.
    pub async fn ask(&mut self, daemon: &Daemon) -> Result<Vec<String>, Lost> {
        let lines: Collection<LineBody> = daemon.ask("/lines", &[]).await?;
        let ready: ReadyBody = daemon.ask("/readyz", &[StatusCode::SERVICE_UNAVAILABLE]).await?;
        let closed = |line: &Line| lines.value.iter().any(|now| now.name == line.name && now.levels.is_empty());
        self.lines.iter_mut().filter(|line| closed(line)).for_each(|line| line.levels.clear());
        Ok(self.are(ready))
    }

    fn are(&mut self, ready: ReadyBody) -> Vec<String> {
        let mut words = Vec::new();
        for LineReadyBody { line, reason } in ready.lines {
            let Some(line) = self.line(&line) else { continue };
            if line.trouble != reason {
                line.trouble = reason;
                words.push(line.in_words());
            }
        }
        words
    }

    fn line(&mut self, name: &str) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.name == name)
    }

    /// Every line, in words.
    pub fn lines_in_words(&self) -> Vec<String> {
        let running = self.operations.iter().map(in_words);
        self.lines.iter().map(Line::in_words).chain(running).collect()
    }

    /// Takes what the daemon tells; what is new in it, in words. What we do not know is passed over.
    pub fn told(&mut self, name: &str, data: &str) -> Vec<String> {
        fn read<T: DeserializeOwned>(data: &str) -> Option<T> {
            serde_json::from_str(data).ok()
        }
        let words = match name {
            "levels" => read(data).and_then(|body| self.levels(body)),
            "key" => read(data).and_then(|body| self.key(body)),
            "operation" => read(data).and_then(|body| self.take(body)),
            "progress" => {
                read(data).into_iter().for_each(|body| self.progress(body));
                None
            }
            "gone" => {
                read(data).into_iter().for_each(|GoneBody { id }| {
                    self.operations.retain(|one| one.id != id);
                    self.ended.retain(|one| one.id != id);
                });
                None
            }
            _ => None,
        };
        words.into_iter().collect()
    }

    fn levels(&mut self, LevelsBody { line, levels }: LevelsBody) -> Option<String> {
        let line = self.line(&line)?;
        let was = line.is_speaking();
        line.levels = levels;
        let is = line.is_speaking();
        let loudest = line.levels.iter().max_by(|a, b| a.rms_dbfs.total_cmp(&b.rms_dbfs))?;
        (was != is).then(|| {
            let Level { rms_dbfs, noise_floor_dbfs, threshold_dbfs, .. } = loudest;
            let what = if is { "speech" } else { "silence" };
            let levels = format!("{rms_dbfs:.1} dBFS, floor {noise_floor_dbfs:.1}, threshold {threshold_dbfs:.1}");
            format!("{}: {what}, {levels}", line.name)
        })
    }

    fn key(&mut self, KeyBody { line, digit, level_dbfs }: KeyBody) -> Option<String> {
        let line = self.line(&line)?;
        line.key = Some(digit.clone());
        Some(format!("{}: key {digit}, {level_dbfs:.1} dBFS", line.name))
    }

    fn progress(&mut self, RunningBody { running }: RunningBody) {
        for progress in running {
            if let Some(one) = self.operations.iter_mut().find(|one| one.id == progress.id) {
                one.state = progress.state();
            }
        }
    }

    /// Takes an operation as it is now; in words, if it is at another stage than before.
    fn take(&mut self, body: SeenBody) -> Option<String> {
        let one = body.operation();
        let words = in_words(&one);
        let at = self.operations.iter().position(|known| known.id == one.id);
        let before = match (at, one.state.is_ended()) {
            (None, false) => {
                self.operations.push(one);
                None
            }
            (Some(at), false) => Some(std::mem::replace(&mut self.operations[at], one)),
            (at, true) => {
                let known = self.ended.iter().any(|known| known.id == one.id);
                if known {
                    return None;
                }
                self.ended.push_front(one);
                self.ended.truncate(ENDED);
                at.map(|at| self.operations.remove(at))
            }
        };
        before.is_none_or(|before| in_words(&before) != words).then_some(words)
    }
}

fn in_words(one: &Operation) -> String {
    let context = one.context.as_ref().map(|context| format!(" ({context})")).unwrap_or_default();
    format!("{}: operation {}{context} {}", one.line, one.id, one.state.in_words())
}

#[cfg(test)]
mod tests;
