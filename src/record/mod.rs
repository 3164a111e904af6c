//! Deciding when a recording ends: pure, frame-counted, the same however the audio was cut into blocks.
//!
//! Belongs here: the rules a recording was asked to keep, what it hears, and the one machine that decides. Does not:
//! samples (`dsp`), who is listening to which channel (`pipeline`), what a request looks like (`api`).

mod machine;
mod stop_tones;

pub use machine::{Input, Machine};
pub use stop_tones::{StopToneError, StopTones, word_of};

use crate::dsp::tone::Tone;
use crate::units::Rate;

/// What ends a recording by itself. All counts are frames at the device's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// With no speech for so long from the start, it failed.
    pub initial_silence_frames: u64,
    /// With no speech for so long after the last, it is complete.
    pub max_silence_frames: u64,
    /// So long at the most.
    pub max_duration_frames: u64,
    /// The keys that end it.
    pub stop_tones: StopTones,
}

impl Rules {
    /// Limits in seconds at a device's rate.
    pub fn in_seconds(
        rate: Rate,
        initial_silence: u32,
        max_silence: u32,
        max_duration: u32,
        stop_tones: StopTones,
    ) -> Rules {
        Rules {
            initial_silence_frames: rate.frames_in(initial_silence),
            max_silence_frames: rate.frames_in(max_silence),
            max_duration_frames: rate.frames_in(max_duration),
            stop_tones,
        }
    }
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was cancelled, or its call ended; who did it is control's to know.
    Canceled,
    /// A stop tone was heard.
    StopTone,
    /// No speech came.
    InitialSilence,
    /// It was as long as allowed.
    MaxDuration,
    /// Speech was over.
    MaxSilence,
    /// The device stopped delivering.
    MediaTimeout,
    /// It could not be written.
    Abandoned,
}

/// What will end a recording, if nothing earlier does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The frame at which it ends then, counted from the recording's first.
    pub frame: u64,
    /// Why.
    pub reason: Reason,
}

/// The most keys a stop tone can have.
pub const MAX_KEYS: usize = 16;

/// The stop tone that was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StopTone {
    /// Which of the entries, from 0.
    pub entry: usize,
    keys: [Option<Tone>; MAX_KEYS],
}

impl StopTone {
    /// Its keys in order; frames count from the recording's first.
    pub fn keys(&self) -> impl Iterator<Item = &Tone> {
        self.keys.iter().flatten()
    }
}

/// How a recording ended. Frames count from the recording's first, at the device's rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ending {
    /// Why.
    pub reason: Reason,
    /// Where the file ends: the first frame that is not in it.
    pub at_frame: u64,
    /// The last frame that the detectors had seen when it was decided; where nothing had been heard, 0.
    pub decided_at_frame: u64,
    /// The stop tone, for [`Reason::StopTone`].
    pub stop_tone: Option<StopTone>,
    /// The first voiced frame before the end.
    pub first_voiced_frame: Option<u64>,
    /// The last voiced frame before the end.
    pub last_voiced_frame: Option<u64>,
}

impl Ending {
    /// The same with every frame at another rate.
    pub fn convert(mut self, from: Rate, to: Rate) -> Ending {
        let convert = |frame: &mut u64| *frame = from.convert(*frame, to);
        convert(&mut self.at_frame);
        convert(&mut self.decided_at_frame);
        self.first_voiced_frame.iter_mut().for_each(convert);
        self.last_voiced_frame.iter_mut().for_each(convert);
        for tone in self.stop_tone.iter_mut().flat_map(|stop_tone| stop_tone.keys.iter_mut().flatten()) {
            convert(&mut tone.onset_frame);
            convert(&mut tone.decision_frame);
        }
        self
    }
}

/// Why audio is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The pipeline did not take it from the ring in time.
    Overrun,
    /// The device lost it.
    Xrun,
    /// The device was suspended or gone.
    DeviceLost,
    /// The disk did not take it in time.
    Storage,
    /// The call was muted.
    Muted,
}

impl GapCause {
    /// The word for it in an operation.
    pub const fn name(self) -> &'static str {
        match self {
            GapCause::Overrun => "overrun",
            GapCause::Xrun => "xrun",
            GapCause::DeviceLost => "deviceLost",
            GapCause::Storage => "storage",
            GapCause::Muted => "muted",
        }
    }

    /// The cause of this word.
    pub fn from_name(name: &str) -> Option<GapCause> {
        let all = [GapCause::Overrun, GapCause::Xrun, GapCause::DeviceLost, GapCause::Storage, GapCause::Muted];
        all.into_iter().find(|cause| cause.name() == name)
    }
}
