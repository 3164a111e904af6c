//! One channel's detectors, and what the one tells the other: a key's tone is neither speech nor silence.

use super::Hearing;
use crate::dsp::dtmf::{Dtmf, DtmfEvent};
use crate::dsp::level::Level;
use crate::dsp::silence::{Silence, SpeechEvent};
use crate::record::Input;
use crate::units;

/// What a channel sounded like for a while. Levels are in dBFS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meter {
    /// RMS since it was asked last.
    pub rms_dbfs: f32,
    /// The highest sample since, 1 being full scale.
    pub peak: f32,
    /// How many samples were at full scale since.
    pub clipped: u64,
    /// The noise floor now.
    pub floor_dbfs: f32,
    /// The level above which speech begins now.
    pub threshold_dbfs: f32,
    /// Whether there is speech now.
    pub speaking: bool,
}

/// How one channel is heard. Frames are the device's.
pub struct Ear {
    channel: usize,
    dtmf: Dtmf,
    silence: Silence,
    level: Level,
    last_voiced_frame: Option<u64>,
}

impl Ear {
    pub fn new(channel: usize, hearing: &Hearing) -> Ear {
        Ear {
            channel,
            dtmf: Dtmf::new(hearing.rate, &hearing.dtmf),
            silence: Silence::new(hearing.rate, &hearing.silence),
            level: Level::default(),
            last_voiced_frame: None,
        }
    }

    /// Which of the device's channels it is, from 0.
    pub fn channel(&self) -> usize {
        self.channel
    }

    /// Hears the next samples.
    pub fn hear(&mut self, samples: &[f32], mut report: impl FnMut(Input)) {
        self.level.add(samples);
        let (dtmf, silence) = (&mut self.dtmf, &mut self.silence);
        dtmf.feed(samples, |event| report(key_input(event, silence)));
        let last_voiced_frame = &mut self.last_voiced_frame;
        silence.feed(samples, |event| {
            if let Some(input) = speech_input(event, last_voiced_frame) {
                report(input);
            }
        });
    }

    /// Hears that frames are missing.
    pub fn lose(&mut self, frames: u64, mut report: impl FnMut(Input)) {
        let (dtmf, silence) = (&mut self.dtmf, &mut self.silence);
        dtmf.skip(frames, |event| report(key_input(event, silence)));
        let last_voiced_frame = &mut self.last_voiced_frame;
        silence.skip(frames, |event| {
            if let Some(input) = speech_input(event, last_voiced_frame) {
                report(input);
            }
        });
    }

    /// Every key still to be reported has its onset here or later.
    pub fn keys_settled_frame(&self) -> u64 {
        self.dtmf.settled_frame()
    }

    /// Every frame still to be reported as voiced is this one or a later one.
    pub fn speech_settled_frame(&self) -> u64 {
        self.silence.settled_frame()
    }

    /// The last voiced frame, while speech is on.
    pub fn voiced_frame(&self) -> Option<u64> {
        self.last_voiced_frame.filter(|_| self.silence.speaking())
    }

    /// Level, floor and threshold now, in dBFS.
    pub fn levels(&self) -> (f32, f32, f32) {
        (self.silence.level_dbfs(), self.silence.floor_dbfs(), self.silence.threshold_dbfs())
    }

    /// What it sounded like since this was asked last.
    pub fn meter(&mut self) -> Meter {
        let level = std::mem::take(&mut self.level);
        Meter {
            rms_dbfs: units::dbfs(level.mean_square()),
            peak: level.peak,
            clipped: u64::from(level.clipped),
            floor_dbfs: self.silence.floor_dbfs(),
            threshold_dbfs: self.silence.threshold_dbfs(),
            speaking: self.silence.speaking(),
        }
    }
}

fn key_input(event: DtmfEvent, silence: &mut Silence) -> Input {
    match event {
        DtmfEvent::Pressed(tone) => {
            silence.key_down(tone.onset_frame);
            Input::Key(tone)
        }
        DtmfEvent::Released { end_frame, .. } => {
            silence.key_up(end_frame);
            Input::KeyUp { end_frame }
        }
    }
}

fn speech_input(event: SpeechEvent, last_voiced_frame: &mut Option<u64>) -> Option<Input> {
    let (first_frame, last_frame) = match event {
        SpeechEvent::On { onset_frame, voiced_frame } => (onset_frame, voiced_frame),
        SpeechEvent::Voiced { voiced_frame } => (last_voiced_frame.map_or(voiced_frame, |last| last + 1), voiced_frame),
        SpeechEvent::Off => return None,
    };
    *last_voiced_frame = Some(last_frame);
    Some(Input::Voiced { first_frame: first_frame.min(last_frame), last_frame })
}
