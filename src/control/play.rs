//! What is played: prompts and beeps, before a recording or for their own sake.
//!
//! Belongs here: fetching before an operation's turn comes, playing when it has come. Does not: where prompts come from
//! (`prompts`), outputs (`playback`), whose turn it is (`run`).

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;
use uuid::Uuid;

use super::call::CallKey;
use super::line::{Begin, Line};
use super::operation::{CompletionReason, Kind, Operation};
use super::overview::Changed;
use super::prompts::PromptError;
use super::run::Stage;
use super::{Control, State};
use crate::clock;
use crate::playback::Sound;

impl Control {
    /// It is written down: its prompts are fetched while others are before it.
    pub(super) fn prepare(self: &Arc<Self>, state: &mut State, id: Uuid) {
        let Some(entry) = state.operations.get_mut(&id) else { return };
        if entry.operation.prompts().is_empty() {
            entry.stage = Stage::Waiting;
            let key = CallKey::new(&entry.operation.app, &entry.operation.call);
            return self.advance(state, &key);
        }
        entry.stage = Stage::Fetching;
        let (control, operation) = (self.clone(), entry.operation.clone());
        let task = tokio::spawn(
            async move {
                let fetched = control.fetch(&operation).await;
                let mut state = control.state();
                let Some(entry) = state.operations.get_mut(&id).filter(|entry| entry.stage == Stage::Fetching) else {
                    return;
                };
                match fetched {
                    Ok(sounds) => {
                        (entry.stage, entry.sounds) = (Stage::Waiting, sounds);
                        control.advance(&mut state, &CallKey::new(&operation.app, &operation.call));
                    }
                    Err(error) => control.finish(&mut state, id, move |operation| {
                        let (subcode, why) = match &error {
                            PromptError::File(why) => (8535, why),
                            PromptError::Download(why) => (8536, why),
                        };
                        operation.fail_prompt(subcode, why, clock::wall());
                    }),
                }
            }
            .instrument(tracing::info_span!(parent: &entry.span, "prompts")),
        );
        entry.task = Some(task.abort_handle());
    }

    async fn fetch(&self, operation: &Operation) -> Result<Vec<Sound>, PromptError> {
        let (mut sounds, prompts) = (Vec::new(), self.settings().prompts.clone());
        for prompt in operation.prompts() {
            let clip = prompts.fetch(&operation.app, prompt).await?;
            sounds.push(Sound::Clip(clip, prompt.plays));
        }
        Ok(sounds)
    }

    /// It is the first: what it plays, and then the recording if it is one.
    pub(super) fn set_off(self: &Arc<Self>, state: &mut State, id: Uuid) {
        let Some(entry) = state.operations.get_mut(&id) else { return };
        let Some(line) = self.line(&entry.operation.line) else { return };
        let mut sounds = std::mem::take(&mut entry.sounds);
        let (records, answerable) = match &entry.operation.kind {
            Kind::Record(request) => {
                sounds.extend(request.play_beep.then_some(Sound::Beep));
                (true, request.barge_in_allowed && !request.prompts.is_empty())
            }
            _ => (false, false),
        };
        if sounds.is_empty() {
            return self.begin(state, id, Begin::Now);
        }
        let timed = !line.has_playback() || answerable && line.is_flat();
        entry.operation.silent_playback = timed;
        let lasts = sounds.iter().try_fold(Duration::ZERO, |sum, sound| sum.checked_add(sound.lasts()?));
        // What is timed is counted in frames, so that it takes as long live and flat out.
        match (records && timed, lasts) {
            (true, lasts) if answerable => return self.begin(state, id, Begin::Cue(lasts)),
            (true, Some(lasts)) => return self.begin(state, id, Begin::AfterTimed(lasts)),
            _ if answerable => return self.play_answerable(state, id, line, sounds),
            _ => {}
        }
        entry.stage = Stage::Playing;
        entry.operation.run(clock::wall());
        self.changed(Changed::Operation(id));
        let (control, operation) = (self.clone(), entry.operation.clone());
        let task = tokio::spawn(
            async move {
                let played = play(&line, &sounds).await;
                let mut state = control.state();
                if state.operations.get(&id).is_none_or(|entry| entry.stage != Stage::Playing) {
                    return;
                }
                match played {
                    Ok(()) if records => control.begin(&mut state, id, Begin::Now),
                    Ok(()) => control.finish(&mut state, id, |operation| {
                        let message = "The prompts were played.".to_owned();
                        operation.complete(CompletionReason::CompletedSuccessfully, 0, message, clock::wall());
                    }),
                    Err(failed) => control.finish(&mut state, id, move |operation| failed.tell(operation)),
                }
                // One without a sound may already join the one that has just begun.
                control.advance(&mut state, &CallKey::new(&operation.app, &operation.call));
            }
            .instrument(tracing::info_span!(parent: &entry.span, "playing")),
        );
        entry.task = Some(task.abort_handle());
    }

    /// The recording listens from the first frame on; what is played ends at the first answer.
    fn play_answerable(self: &Arc<Self>, state: &mut State, id: Uuid, line: Arc<Line>, sounds: Vec<Sound>) {
        self.begin(state, id, Begin::Cue(None));
        let Some(entry) = state.operations.get_mut(&id) else { return };
        let Stage::Recording(key) = entry.stage else { return };
        let control = self.clone();
        let answered = line.answered(key);
        let task = tokio::spawn(
            async move {
                let played = tokio::select! {
                    biased;
                    () = answered => return,
                    played = play(&line, &sounds) => played,
                };
                match played {
                    Ok(()) => line.cue(key),
                    Err(failed) => {
                        control.finish(&mut control.state(), id, move |operation| failed.tell(operation));
                        line.cancel(key);
                    }
                }
            }
            .instrument(tracing::info_span!(parent: &entry.span, "playing")),
        );
        entry.task = Some(task.abort_handle());
    }
}

/// A sound that could not be played.
struct Failed {
    beep: bool,
    why: String,
}

impl Failed {
    fn tell(&self, operation: &mut Operation) {
        match self.beep {
            true => {
                let message = format!("The beep could not be played: {}", self.why);
                operation.fail(CompletionReason::PlayBeepFailed, message, clock::wall());
            }
            false => operation.fail_prompt(8511, &self.why, clock::wall()),
        }
    }
}

/// Plays one after the other.
async fn play(line: &Line, sounds: &[Sound]) -> Result<(), Failed> {
    for sound in sounds {
        line.play(sound).await.map_err(|why| Failed { beep: matches!(sound, Sound::Beep), why })?;
    }
    Ok(())
}
