//! The machine: from what was heard, in the order of frames, to the one ending.
//!
//! Detectors report late: a tone some 30 ms after its onset, speech 100 ms. So a limit that has passed is only a
//! *candidate*, until the detectors have settled everything that lies before it. Among settled candidates the earliest
//! frame wins; at the same frame a cancel, then a stop tone, then initial silence, then the duration, then max silence.

use super::stop_tones::Pressed;
use super::{Due, Ending, Reason, Rules, StopTone};
use crate::dsp::tone::Tone;
use crate::units::Rate;

/// More than so long between two keys starts a new sequence.
const BETWEEN_KEYS_SECONDS: u32 = 5;

/// What a recording hears. Frames count from the recording's first, at the device's rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// A key was recognised.
    Key(Tone),
    /// The key has ended; the first frame after it.
    KeyUp {
        /// The first frame after the tone.
        end_frame: u64,
    },
    /// Frames were voiced: speech, recognised as such.
    Voiced {
        /// The first of them.
        first_frame: u64,
        /// The last of them.
        last_frame: u64,
    },
    /// Audio before `heard_frame` has been heard.
    Heard {
        /// The first frame that has not been heard.
        heard_frame: u64,
        /// Every key that is still to be recognised has its onset here or later.
        keys_settled_frame: u64,
        /// Every frame still to be called voiced is this one or a later one.
        speech_settled_frame: u64,
    },
    /// From this frame on nothing is heard, and that is no silence.
    Mute {
        /// The first frame that is not heard.
        at_frame: u64,
    },
    /// From this frame on it is heard again.
    Unmute {
        /// The first frame that is heard.
        at_frame: u64,
    },
    /// It shall end at this frame.
    Cancel {
        /// The first frame that shall not be in it.
        at_frame: u64,
    },
    /// Frames stopped coming: nothing that is pending will ever be settled.
    MediaLost,
    /// It cannot be written any longer.
    Abandon,
}

/// Decides the end of one recording.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    rules: Rules,
    between_keys_frames: u64,
    heard_frame: u64,
    keys_settled_frame: u64,
    speech_settled_frame: u64,
    first_voiced_frame: Option<u64>,
    last_voiced_frame: Option<u64>,
    /// Where the silence after speech or after a key is counted from; `None` while initial silence runs.
    silent_from_frame: Option<u64>,
    key_down: bool,
    muted_from_frame: Option<u64>,
    pressed: Pressed,
    /// The onset of the key that is down, else the end of the last one.
    last_key_frame: u64,
    stop_tone: Option<StopTone>,
    cancel_frame: Option<u64>,
    /// What would end it, as things stand.
    next: Due,
}

impl Machine {
    /// A machine for a recording on a device of this rate.
    pub fn new(rules: Rules, rate: Rate) -> Machine {
        let initial = Due { frame: rules.initial_silence_frames, reason: Reason::InitialSilence };
        let mut machine = Machine {
            next: initial,
            rules,
            between_keys_frames: rate.frames_in(BETWEEN_KEYS_SECONDS),
            heard_frame: 0,
            keys_settled_frame: 0,
            speech_settled_frame: 0,
            first_voiced_frame: None,
            last_voiced_frame: None,
            silent_from_frame: None,
            key_down: false,
            muted_from_frame: None,
            pressed: Pressed::NONE,
            last_key_frame: 0,
            stop_tone: None,
            cancel_frame: None,
        };
        machine.next = machine.earliest();
        machine
    }

    /// Takes the next thing heard. After an ending, the machine is not to be used any more.
    pub fn step(&mut self, input: Input) -> Option<Ending> {
        match input {
            Input::Key(tone) => self.key(tone),
            Input::KeyUp { end_frame } => {
                self.last_key_frame = end_frame;
                if self.key_down {
                    self.key_down = false;
                    self.silent_from_frame = self.silent_from_frame.max(Some(end_frame));
                }
            }
            Input::Voiced { first_frame, last_frame } => {
                if self.silence_limit().is_none_or(|limit| first_frame < limit.frame) {
                    self.first_voiced_frame.get_or_insert(first_frame);
                    self.last_voiced_frame = self.last_voiced_frame.max(Some(last_frame));
                    self.silent_from_frame = self.silent_from_frame.max(Some(last_frame));
                }
            }
            Input::Heard { heard_frame, keys_settled_frame, speech_settled_frame } => {
                self.heard_frame = heard_frame;
                self.keys_settled_frame = keys_settled_frame;
                self.speech_settled_frame = speech_settled_frame;
                return self.decide();
            }
            Input::Mute { at_frame } => drop(self.muted_from_frame.get_or_insert(at_frame)),
            Input::Unmute { at_frame } => self.unmute(at_frame),
            Input::Cancel { at_frame } => {
                let horizon = self.horizon_frame();
                self.cancel_frame.get_or_insert(at_frame.max(horizon));
            }
            Input::MediaLost => {
                self.keys_settled_frame = u64::MAX;
                self.speech_settled_frame = u64::MAX;
                let heard = self.heard_frame;
                self.cancel_frame = self.cancel_frame.map(|frame| frame.min(heard));
                self.next = self.earliest();
                return Some(self.decide().unwrap_or_else(|| self.ending(heard, Reason::MediaTimeout)));
            }
            Input::Abandon => return Some(self.ending(self.heard_frame, Reason::Abandoned)),
        }
        self.next = self.earliest();
        self.decide()
    }

    /// A key was pressed before the recording, while it was being waited for: it may be a stop tone, or begin one.
    pub fn key_before(&mut self, tone: Tone) -> Option<Ending> {
        let stop_tone = self.pressed.press(tone, &self.rules.stop_tones)?;
        Some(Ending {
            reason: Reason::StopTone,
            at_frame: 0,
            decided_at_frame: tone.decision_frame,
            stop_tone: Some(stop_tone),
            first_voiced_frame: None,
            last_voiced_frame: None,
        })
    }

    /// The recording begins: keys that were pressed before it count as pressed at its first frame.
    pub fn begin(&mut self) {
        self.pressed.rebase();
    }

    /// The frame up to which nothing can be taken back, whatever is heard from now on (but for a stop tone of several
    /// keys, whose first ones are long written when its last is heard).
    pub fn horizon_frame(&self) -> u64 {
        let mut horizon = self.heard_frame;
        if !self.rules.stop_tones.is_empty() {
            horizon = horizon.min(self.keys_settled_frame);
        }
        horizon.min(self.next.frame)
    }

    /// What will end it if nothing more is heard.
    pub fn due(&self) -> Due {
        self.next
    }

    /// Whether it has been cancelled and only waits for what lies before the cancel.
    pub fn is_cancelled(&self) -> bool {
        self.cancel_frame.is_some()
    }

    fn key(&mut self, tone: Tone) {
        self.heard_frame = self.heard_frame.max(tone.decision_frame + 1);
        // A limit that has passed before the key, and only waits for speech that may have begun earlier, stays.
        if self.silence_limit().is_none_or(|limit| tone.onset_frame <= limit.frame) {
            self.key_down = true;
            self.silent_from_frame = self.silent_from_frame.max(Some(tone.onset_frame));
            // What the silence detector called voiced before the tone was known is the tone's.
            if let (Some(last), Some(before)) = (self.last_voiced_frame, tone.onset_frame.checked_sub(1)) {
                self.last_voiced_frame = Some(last.min(before));
            }
        }
        if self.stop_tone.is_none() {
            if tone.onset_frame.saturating_sub(self.last_key_frame) > self.between_keys_frames {
                self.pressed.clear();
            }
            self.stop_tone = self.pressed.press(tone, &self.rules.stop_tones);
        }
        self.last_key_frame = tone.onset_frame;
    }

    /// What silence there was goes on where it was: the frames in between do not count.
    fn unmute(&mut self, at_frame: u64) {
        let Some(from) = self.muted_from_frame else { return };
        // A limit that was due before is due still.
        if self.silence_limit().is_none() {
            match &mut self.silent_from_frame {
                None => self.rules.initial_silence_frames += at_frame.saturating_sub(from),
                Some(silent) => *silent += at_frame.saturating_sub(from.max(*silent)),
            }
        }
        self.muted_from_frame = None;
    }

    /// Whether a stop tone of several keys may have begun with the last key.
    pub fn sequence_may_begin(&self) -> bool {
        self.stop_tone.is_none() && self.rules.stop_tones.has_sequences()
    }

    /// The silence limit that runs; none while a key is down, nor while it is muted unless it was due before.
    fn silence_limit(&self) -> Option<Due> {
        let limit = match self.silent_from_frame {
            None => Due { frame: self.rules.initial_silence_frames, reason: Reason::InitialSilence },
            Some(_) if self.key_down => return None,
            Some(from) => Due { frame: from + self.rules.max_silence_frames, reason: Reason::MaxSilence },
        };
        Some(limit).filter(|limit| self.muted_from_frame.is_none_or(|muted| limit.frame <= muted))
    }

    /// The first of all that would end the recording, as far as is known now. The order of reasons at the same frame is
    /// the order of [`Reason`].
    fn earliest(&self) -> Due {
        let duration = Due { frame: self.rules.max_duration_frames, reason: Reason::MaxDuration };
        let others = [
            self.cancel_frame.map(|frame| Due { frame, reason: Reason::Canceled }),
            self.stop_tone
                .and_then(|stop_tone| stop_tone.keys().last().map(|tone| tone.onset_frame))
                .map(|frame| Due { frame, reason: Reason::StopTone }),
            self.silence_limit(),
        ];
        let rank = |due: &Due| (due.frame, due.reason as u8);
        others
            .into_iter()
            .flatten()
            .fold(duration, |first, other| if rank(&other) < rank(&first) { other } else { first })
    }

    fn decide(&self) -> Option<Ending> {
        let Due { frame, reason } = self.next;
        if frame > self.heard_frame {
            return None;
        }
        // A tone whose onset is at the very frame of a limit still wins; speech that begins there comes too late.
        let settled = match reason {
            Reason::StopTone => true,
            Reason::Canceled => self.keys_settled_frame >= frame && self.speech_settled_frame >= frame,
            _ => self.keys_settled_frame > frame && self.speech_settled_frame >= frame,
        };
        settled.then(|| self.ending(frame, reason))
    }

    fn ending(&self, frame: u64, reason: Reason) -> Ending {
        let stop_tone = self.stop_tone.filter(|_| reason == Reason::StopTone);
        let first_key = stop_tone.and_then(|stop_tone| stop_tone.keys().next().copied());
        let at_frame = first_key.map_or(frame, |tone| tone.onset_frame);
        let first_voiced_frame = self.first_voiced_frame.filter(|&first| first < at_frame);
        Ending {
            reason,
            at_frame,
            decided_at_frame: self.heard_frame.saturating_sub(1),
            stop_tone,
            first_voiced_frame,
            last_voiced_frame: first_voiced_frame
                .and(self.last_voiced_frame)
                .map(|last| last.min(at_frame.saturating_sub(1))),
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
