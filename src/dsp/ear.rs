//! One channel's detectors, and what the one tells the other: a key's tone is neither speech nor silence.

use super::decimate::{Decimator, TONE_REACH};
use super::dtmf::{DtmfConfig, DtmfEvent};
use super::keys;
use super::level::Level;
use super::own::{PAST_MS, Playing};
use super::silence::{self, SilenceConfig, SpeechEvent};
use super::tone::{Key, Tone};
use crate::units::{self, Rate};

/// What was heard. Frames are absolute: the first frame ever heard or lost is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Heard {
    /// A key was recognised.
    Key(Tone),
    /// The key has ended.
    KeyUp {
        /// The first frame after its tone.
        end_frame: u64,
    },
    /// Frames were voiced: speech began, or goes on.
    Voiced {
        /// The first of them.
        first_frame: u64,
        /// The last of them.
        last_frame: u64,
    },
    /// Speech has ended; the last `Voiced` told where.
    SpeechOff,
}

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
    /// The last key that was heard.
    pub last_key: Option<Key>,
}

/// How one channel is heard. Clones share their tables: the channels of a device are clones of one.
#[derive(Clone)]
pub struct Ear {
    /// One for both detectors.
    decimator: Decimator,
    dtmf: keys::Hearing,
    silence: silence::Hearing,
    level: Level,
    last_voiced_frame: Option<u64>,
    last_key: Option<Key>,
    own_keys: OwnKeys,
}

/// The keys that we play ourselves.
#[derive(Clone)]
struct OwnKeys {
    /// Until which frame each may be heard.
    until: [u64; 16],
    past_frames: u64,
    /// The key that is down is one.
    down: bool,
}

impl Ear {
    /// An ear for a channel at `rate` that takes at most `ahead` frames before it hears them.
    pub fn new(rate: Rate, dtmf: &DtmfConfig, silence: &SilenceConfig, ahead: usize) -> Ear {
        let (decimator, hz) = (Decimator::new(rate, TONE_REACH), Decimator::out_hz(rate));
        let ahead = ahead.div_ceil(decimator.factor() as usize);
        Ear {
            dtmf: keys::Hearing::new(hz, &decimator, dtmf, ahead),
            silence: silence::Hearing::new(hz, &decimator, silence, ahead),
            decimator,
            level: Level::default(),
            last_voiced_frame: None,
            last_key: None,
            own_keys: OwnKeys { until: [0; 16], past_frames: rate.frames_in_ms(PAST_MS), down: false },
        }
    }

    /// From device frame `from_frame` on, this is what we play ourselves: neither speech nor keys.
    pub fn play(&mut self, playing: Playing, from_frame: u64) {
        self.silence.play(playing.level);
        for (key, until) in self.own_keys.until.iter_mut().enumerate() {
            if playing.keys >> key & 1 == 1 {
                *until = from_frame + self.own_keys.past_frames;
            }
        }
    }

    /// Takes the next samples (−1 … 1, any number of them), measures and filters them: what costs less on long pieces
    /// and decides nothing.
    pub fn take(&mut self, samples: &[f32]) {
        let Ear { decimator, dtmf, silence, level, .. } = self;
        level.add(samples);
        decimator.feed(samples, |_, samples| {
            dtmf.take(samples);
            silence.take(samples);
        });
    }

    /// Hears what has been taken, up to device frame `heard_frame`.
    pub fn hear(&mut self, heard_frame: u64, mut report: impl FnMut(Heard)) {
        let Ear { decimator, dtmf, silence, last_voiced_frame, last_key, own_keys, .. } = self;
        let known = decimator.known(heard_frame);
        // Hop by hop, so that what the one tells the other does not depend on how much is heard at once.
        while let Some(end) = dtmf.hear(known, &mut |event| {
            key(event, silence, last_key, own_keys).into_iter().for_each(&mut report);
        }) {
            silence.hear(end, &mut |event| report(speech(event, last_voiced_frame)));
        }
    }

    /// Hears that frames are missing.
    pub fn lose(&mut self, frames: u64, mut report: impl FnMut(Heard)) {
        let Ear { decimator, dtmf, silence, last_key, own_keys, .. } = self;
        dtmf.release(decimator.position(), &mut |event| {
            key(event, silence, last_key, own_keys).into_iter().for_each(&mut report);
        });
        if self.silence.speaking() {
            report(Heard::SpeechOff);
        }
        let next = self.decimator.skip(frames);
        self.dtmf.restart(next, self.decimator.position());
        self.silence.restart(next, self.decimator.position());
    }

    /// Every key still to be reported has its onset here or later.
    pub fn keys_settled_frame(&self) -> u64 {
        self.dtmf.settled()
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
            last_key: self.last_key,
        }
    }
}

/// What a key is to others; one of our own is nothing but no speech.
fn key(
    event: DtmfEvent,
    silence: &mut silence::Hearing,
    last_key: &mut Option<Key>,
    own: &mut OwnKeys,
) -> Option<Heard> {
    match event {
        DtmfEvent::Pressed(tone) => {
            silence.key_down(tone.onset_frame);
            own.down = tone.onset_frame < own.until[tone.key.index()];
            (!own.down).then(|| {
                *last_key = Some(tone.key);
                Heard::Key(tone)
            })
        }
        DtmfEvent::Released { end_frame, .. } => {
            silence.key_up(end_frame);
            (!std::mem::take(&mut own.down)).then_some(Heard::KeyUp { end_frame })
        }
    }
}

fn speech(event: SpeechEvent, last_voiced_frame: &mut Option<u64>) -> Heard {
    let (first_frame, last_frame) = match event {
        SpeechEvent::On { onset_frame, voiced_frame } => (onset_frame, voiced_frame),
        SpeechEvent::Voiced { voiced_frame } => (last_voiced_frame.map_or(voiced_frame, |last| last + 1), voiced_frame),
        SpeechEvent::Off => return Heard::SpeechOff,
    };
    *last_voiced_frame = Some(last_frame);
    Heard::Voiced { first_frame: first_frame.min(last_frame), last_frame }
}
