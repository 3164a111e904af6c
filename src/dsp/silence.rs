//! Speech or silence, by energy over an adaptive noise floor.
//!
//! The signal is brought to 8 kHz, as for tones; blocks of 10 ms lose their mean and slow drift (hum) and count by
//! what is left. The floor is the quietest stretch of the last two seconds. See `design/detection.md`.

use super::decimate::{BATCH, Decimator, copy};
use super::own::Own;
use super::tape::Tape;
use crate::units::{Rate, dbfs, mean_square};
use multiversion::multiversion;
use std::sync::Arc;

/// What the detector may be told; each threshold with its source.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SilenceConfig {
    /// A fixed threshold in dBFS instead of the adaptive floor's.
    pub threshold_dbfs: Option<f32>,
}

/// What happened on the channel. Frames are absolute: the first frame ever fed or skipped is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeechEvent {
    /// Speech was recognised (there has been at least 100 ms of it); it began at `onset_frame`.
    On {
        /// The first voiced frame.
        onset_frame: u64,
        /// The last voiced frame so far.
        voiced_frame: u64,
    },
    /// Speech goes on: `voiced_frame` is the last voiced frame so far.
    Voiced {
        /// The last voiced frame.
        voiced_frame: u64,
    },
    /// Speech has ended; the last `On` or `Voiced` told where. To resume takes another `On`.
    Off,
}

/// Blocks a second.
const BLOCKS_HZ: f64 = 100.0;
/// Speech begins with 10 voiced blocks (100 ms) ...
const SPOKEN: u32 = 10;
/// ... among 14 in a row: a stop consonant closes the mouth for up to 40 ms.
const CANDIDATE: u32 = 14;
/// Speech ends after 20 blocks (200 ms) without voice.
const HANG: u32 = 20;
/// The level of speech follows voiced blocks, in dB: upwards within a syllable (100 ms), so that a slam is no speaker, and
/// downwards over sentences (2 s), so that it stays near the stressed syllables.
const ATTACK: f32 = 0.1;
const RELEASE: f32 = 0.005;
/// It is forgotten by 1 dB a second, so that a speaker who is farther from the microphone comes to be heard.
const FADE: f32 = 0.9977;
/// It stays a number.
const FAINTEST: f32 = 1e-12;
/// Blocks that a key's release can come late, to be judged again when it comes: 30 ms of absence, and what it takes
/// to see it.
const LATE: usize = 6;

/// The detector of one channel.
pub struct Silence {
    decimator: Decimator,
    hearing: Hearing,
}

impl Silence {
    /// A detector for one channel at `rate`.
    pub fn new(rate: Rate, config: &SilenceConfig) -> Silence {
        let decimator = Decimator::new(rate, 1);
        let hearing = Hearing::new(Decimator::out_hz(rate), &decimator, config, 0);
        Silence { decimator, hearing }
    }

    /// Hears the next samples (−1 … 1, any number of them) and reports what it can say by their end.
    pub fn feed(&mut self, samples: &[f32], mut report: impl FnMut(SpeechEvent)) {
        let Silence { decimator, hearing } = self;
        decimator.feed(samples, |end, samples| {
            hearing.take(samples);
            hearing.hear(end, &mut report);
        });
    }

    /// `frames` were lost: what is pending is given up, speech ends where the audio stopped; the floor is kept.
    pub fn skip(&mut self, frames: u64, mut report: impl FnMut(SpeechEvent)) {
        if self.hearing.speaking {
            report(SpeechEvent::Off);
        }
        let next = self.decimator.skip(frames);
        self.hearing.restart(next, self.decimator.position());
    }

    /// A key's tone runs since `onset_frame`: what is pending since then is no speech, and until [`Silence::key_up`]
    /// nothing is, nor does it teach the floor.
    pub fn key_down(&mut self, onset_frame: u64) {
        self.hearing.key_down(onset_frame);
    }

    /// The tone has ended: `end_frame` is the first frame after it.
    pub fn key_up(&mut self, end_frame: u64) {
        self.hearing.key_up(end_frame);
    }

    /// Every frame reported as voiced from now on is this one or a later one. Never falls.
    pub fn settled_frame(&self) -> u64 {
        self.hearing.settled_frame()
    }

    /// Whether speech is on.
    pub fn speaking(&self) -> bool {
        self.hearing.speaking()
    }

    /// The level of the last block, in dBFS.
    pub fn level_dbfs(&self) -> f32 {
        self.hearing.level_dbfs()
    }

    /// The noise floor, in dBFS.
    pub fn floor_dbfs(&self) -> f32 {
        self.hearing.floor_dbfs()
    }

    /// The level above which speech begins, in dBFS.
    pub fn threshold_dbfs(&self) -> f32 {
        self.hearing.threshold_dbfs()
    }
}

/// The detector behind the decimator. Blocks are counted from frame 0; `block` is the next to be heard.
#[derive(Clone)]
pub(super) struct Hearing {
    /// A fixed threshold, as a mean square like all levels here.
    fixed: Option<f32>,
    /// Samples and device frames to a block.
    length: usize,
    frames: u64,
    trend: [Arc<[f32]>; 3],
    heard: Tape,
    block: u64,
    /// The levels of the last blocks, the latest first.
    levels: [f32; LATE + 2],
    floor: super::floor::Floor,
    own: Own,
    /// The level of the speech that goes on, or went on last; it fades.
    speech: f32,
    speaking: bool,
    /// Whether each of the last blocks was voiced; the latest is bit 0.
    voiced: u32,
    /// The last voiced block.
    last_voiced: u64,
    reported: u64,
    /// Blocks without voice while speaking.
    quiet: u32,
    /// A key's tone runs.
    key: bool,
    /// Blocks before this one are no speech: a key or a gap.
    barred: u64,
    settled: u64,
}

impl Hearing {
    /// For the output of `decimator`, of which at most `ahead` samples are taken before they are heard.
    pub fn new(hz: f64, decimator: &Decimator, config: &SilenceConfig, ahead: usize) -> Hearing {
        let length = (hz / BLOCKS_HZ).round() as usize;
        Hearing {
            fixed: config.threshold_dbfs.map(mean_square),
            length,
            frames: length as u64 * decimator.factor(),
            trend: trend(length),
            heard: Tape::new(length + ahead + BATCH, BATCH),
            block: 0,
            levels: [0.0; LATE + 2],
            floor: super::floor::Floor::new(),
            own: Own::new(),
            speech: FAINTEST,
            speaking: false,
            voiced: 0,
            last_voiced: 0,
            reported: 0,
            quiet: 0,
            key: false,
            barred: 0,
            settled: 0,
        }
    }

    pub fn settled_frame(&self) -> u64 {
        self.settled
    }

    pub fn speaking(&self) -> bool {
        self.speaking
    }

    pub fn level_dbfs(&self) -> f32 {
        dbfs(f64::from(self.levels[0]))
    }

    pub fn floor_dbfs(&self) -> f32 {
        self.floor.dbfs()
    }

    pub fn threshold_dbfs(&self) -> f32 {
        dbfs(f64::from(self.thresholds().0))
    }

    /// From now on we play at this level ourselves.
    pub fn play(&mut self, level: f32) {
        self.own.play(level);
    }

    /// Takes the next samples, at most [`BATCH`].
    pub fn take(&mut self, samples: &[f32]) {
        copy(samples, self.heard.extend(samples.len()));
    }

    /// Hears what has been taken, up to sample `end`.
    pub fn hear(&mut self, end: u64, report: &mut impl FnMut(SpeechEvent)) {
        while let next = (self.block + 1) * self.length as u64
            && next <= end
        {
            let block = self.heard.before(next, self.length);
            self.levels.rotate_right(1);
            self.levels[0] = fluctuation(block, &self.trend) / self.length as f32;
            self.block += 1;
            self.own.pass();
            if !self.key {
                self.judge(0);
                self.tell(report);
            }
            self.settle();
        }
    }

    /// The levels above which a block is voiced: to begin speech, and to go on.
    fn thresholds(&self) -> (f32, f32) {
        match self.fixed {
            Some(threshold) => (threshold, threshold),
            None => self.floor.thresholds(self.speech),
        }
    }

    /// Judges the block before the one `back` blocks back, between its neighbours.
    fn judge(&mut self, back: usize) {
        let block = match self.block.checked_sub(back as u64 + 2) {
            Some(block) if block >= self.barred => block,
            _ => return,
        };
        let [after, level, before] = [self.levels[back], self.levels[back + 1], self.levels[back + 2]];
        // The median: a click shorter than a block lifts one level, or two half.
        let middle = after.min(level).max(after.max(level).min(before));
        // Our own sound is neither the noise of the room nor speech.
        match self.own.sounds() {
            true => self.own.learn(middle),
            false => self.floor.hear(middle),
        }
        self.speech = (self.speech * FADE).max(FAINTEST);
        let (on, off) = self.thresholds();
        let voiced = middle > if self.speaking { off } else { on }.max(self.own.bar());
        self.voiced = self.voiced << 1 | u32::from(voiced);
        if voiced {
            self.last_voiced = block;
            self.quiet = 0;
            // Geometric, so that it follows in dB.
            let share = if middle > self.speech { ATTACK } else { RELEASE };
            self.speech *= (middle / self.speech).powf(share);
        } else {
            self.quiet += 1;
        }
    }

    fn tell(&mut self, report: &mut impl FnMut(SpeechEvent)) {
        let voiced_frame = (self.last_voiced + 1) * self.frames - 1;
        if self.speaking {
            if self.last_voiced > self.reported {
                self.reported = self.last_voiced;
                report(SpeechEvent::Voiced { voiced_frame });
            } else if self.quiet >= HANG {
                self.speaking = false;
                self.voiced = 0;
                report(SpeechEvent::Off);
            }
            return;
        }
        let candidate = self.voiced & ((1 << CANDIDATE) - 1);
        if candidate.count_ones() >= SPOKEN {
            // The block judged last is two before the next.
            let onset = self.block - 2 - u64::from(candidate.ilog2());
            self.speaking = true;
            self.reported = self.last_voiced;
            report(SpeechEvent::On { onset_frame: onset * self.frames, voiced_frame });
        }
    }

    fn settle(&mut self) {
        let undecided = self.block.saturating_sub(1);
        let from = if self.key {
            self.block.saturating_sub(LATE as u64)
        } else if self.speaking {
            undecided
        } else {
            undecided.saturating_sub(self.pending())
        };
        self.settled = self.settled.max(from.max(self.barred) * self.frames);
    }

    /// How many blocks back the oldest voiced one lies that may still become speech.
    fn pending(&self) -> u64 {
        let mut candidate = self.voiced & ((1 << CANDIDATE) - 1);
        while candidate != 0 {
            let age = candidate.ilog2() + 1;
            if candidate.count_ones() + (CANDIDATE - age) >= SPOKEN {
                return u64::from(age);
            }
            candidate &= !(1 << (age - 1));
        }
        0
    }

    pub fn key_down(&mut self, onset_frame: u64) {
        self.key = true;
        // What was judged as another key ended and is not told yet lies between the two, and is as little as they are.
        self.last_voiced = self.last_voiced.min(self.reported);
        // Voiced blocks since the onset are no candidates; bit 0 is the block before the last.
        let onset = onset_frame / self.frames;
        let since = self.block.saturating_sub(1).saturating_sub(onset);
        self.voiced = if since >= 32 { 0 } else { self.voiced >> since << since };
    }

    pub fn key_up(&mut self, end_frame: u64) {
        if !self.key {
            return;
        }
        self.key = false;
        self.voiced = 0;
        self.barred = self.barred.max(end_frame.div_ceil(self.frames)).max(self.settled / self.frames);
        self.quiet = 0;
        for back in (0..LATE).rev() {
            self.judge(back);
        }
    }

    pub fn restart(&mut self, next: u64, position: u64) {
        self.heard.restart(next);
        self.block = next.div_ceil(self.length as u64);
        self.levels = [0.0; LATE + 2];
        self.speaking = false;
        self.voiced = 0;
        self.quiet = 0;
        self.barred = position.div_ceil(self.frames);
        self.settled = self.settled.max(position);
    }
}

/// Constant, linear and quadratic trend over a block, orthonormal.
fn trend(length: usize) -> [Arc<[f32]>; 3] {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for degree in 0..3 {
        let mut row: Vec<f64> = (0..length).map(|n| ((2 * n + 1) as f64 / length as f64 - 1.0).powi(degree)).collect();
        for other in &basis {
            let dot: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(other).for_each(|(a, b)| *a -= dot * b);
        }
        let norm = row.iter().map(|a| a * a).sum::<f64>().sqrt();
        basis.push(row.into_iter().map(|a| a / norm).collect());
    }
    std::array::from_fn(|degree| basis[degree].iter().map(|&a| a as f32).collect())
}

/// The energy of a block without its trend: a high-pass near 100 Hz that keeps no state and runs in lanes.
#[multiversion(targets("x86_64+avx2"))]
fn fluctuation(block: &[f32], trend: &[Arc<[f32]>; 3]) -> f32 {
    const LANES: usize = 8;
    let mut squares = [0.0f32; LANES];
    let mut along = [[0.0f32; LANES]; 3];
    let [constant, linear, quadratic] = trend;
    let (groups, rest) = block.as_chunks::<LANES>();
    let rows =
        constant.as_chunks::<LANES>().0.iter().zip(linear.as_chunks::<LANES>().0).zip(quadratic.as_chunks::<LANES>().0);
    for (x, ((a, b), c)) in groups.iter().zip(rows) {
        for lane in 0..LANES {
            squares[lane] += x[lane] * x[lane];
            along[0][lane] += x[lane] * a[lane];
            along[1][lane] += x[lane] * b[lane];
            along[2][lane] += x[lane] * c[lane];
        }
    }
    let done = block.len() - rest.len();
    for (lane, x) in rest.iter().enumerate() {
        squares[lane] += x * x;
        for degree in 0..3 {
            along[degree][lane] += x * trend[degree][done + lane];
        }
    }
    let slow: f32 = along.iter().map(|sums| sums.iter().sum::<f32>()).map(|sum| sum * sum).sum();
    // Rounding leaves a millionth of what is taken away: −60 dB below a DC offset.
    (squares.iter().sum::<f32>() - slow).max(0.0)
}

#[cfg(test)]
#[path = "silence_tests.rs"]
mod tests;
