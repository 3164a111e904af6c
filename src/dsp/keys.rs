//! The search for keys in the decimated signal, behind `dtmf`.

mod judge;

use super::bandpass::BandPass;
use super::decimate::{BATCH, Decimator, copy};
use super::dtmf::{DtmfConfig, DtmfEvent};
use super::fit::Fit;
use super::goertzel::{BINS, Bank, Bins, Spans, frequency, strongest};
use super::rest::Rest;
use super::tape::Tape;
use super::tone::Key;
use std::f64::consts::TAU;
use std::sync::Arc;

/// Hops a second: one lasts 2.5 ms.
const HOPS_HZ: f64 = 400.0;
/// A tone is fitted over 9 hops (22.5 ms): as long as possible while it may still be one of 23 ms.
const FIT_HOPS: usize = 9;
/// After this many faint hops every span of the past is zero.
const QUIET_HOPS: u32 = 8;
/// A key is held back from the settled frame for 16 hops (40 ms, in which the longest decision falls).
const LONGEST_RUN: usize = 16;
/// A key ends after 12 hops (30 ms) of absence: halfway between an interruption (20 ms) and a pause (40 ms).
const ABSENT_HOPS: u64 = 12;
/// The end of a tone is measured after 3 hops of absence, when the signal that follows is there.
const MEASURE_HOPS: u64 = 3;
/// A tone counts as present while both its tones are above this share of their power (−7 dB).
const PRESENT: f32 = 0.2;
/// What looked like no tones leaves so many hops in which a tone may have begun.
const SUSPECT: usize = 2;
/// Less than this share of the energy in a row and a column is not theirs: at an SNR of 0 dB they would have half.
const TONES: f32 = 0.5;

/// Less than this share of four hops is not listened to more closely: what has less than [`FITTING`] is not fitted either.
const WAKING: f32 = 0.6;
/// What cannot pass is not worth a fit: a pair at the limits of frequency, in noise, has a share of 0.75.
const FITTING: f32 = 0.65;

/// How hops are heard.
#[derive(Clone)]
enum Watch {
    /// Each by itself: a key may be going on.
    Closely,
    /// Four at once: the last look found no key, and a key that began since then fills the four that follow, or the four after
    /// them, before it is as long as a key. So many must come before the last of the four.
    Loosely { to_come: u64 },
}

/// The key that is down.
#[derive(Clone)]
struct Down {
    key: Key,
    bins: [usize; 2],
    /// The powers of its tones over 5 ms, as correlated.
    strengths: [f32; 2],
    onset: u64,
    /// The end of the last hop in which it was heard.
    heard: u64,
    /// The end as measured, once it has been absent for a while.
    end: Option<u64>,
}

/// The detector behind the decimator. Sample indices are those of the decimated signal. Clones share tables, which saves a
/// processor's cache where many channels are heard.
#[derive(Clone)]
pub(super) struct Hearing {
    config: DtmfConfig,
    hz: f64,
    hop: usize,
    /// The same, for arithmetic.
    hop_length: f32,
    /// Device frames to one sample.
    factor: u64,
    /// Device frames that the decimator waits for.
    delay: u64,
    band: BandPass,
    bank: Arc<Bank>,
    /// The turn of 10 ms.
    turn: Bins,
    gains: [f32; BINS],
    rest: Arc<Rest>,
    /// Below this energy a hop holds no tone of the minimum level.
    faint: f32,
    heard: Tape,
    tones: Tape,
    next_hop: u64,
    spans: Spans,
    watch: Watch,
    /// How many hops in a row were faint.
    quiet: u32,
    /// For how many hops a key may have been going on; one more is open.
    run: usize,
    down: Option<Down>,
    /// The key released last, when, and the powers of its tones.
    previous: Option<(Key, u64, [f32; 2])>,
    /// The device frame at which it began, or went on.
    first_frame: u64,
}

impl Hearing {
    /// For the output of `decimator`, of which at most `ahead` samples are taken before they are heard.
    pub fn new(hz: f64, decimator: &Decimator, config: &DtmfConfig, ahead: usize) -> Hearing {
        let hop = (hz / HOPS_HZ).round() as usize;
        let band = BandPass::new(hz);
        let bank = Bank::new(hz, hop);
        let gains = std::array::from_fn(|bin| band.gain(frequency(bin)).abs() as f32);
        let least = 10f64.powf(f64::from(config.minimum_dbfs) / 20.0);
        let weakest = gains.iter().fold(f32::MAX, |least, &gain| least.min(gain));
        Hearing {
            config: *config,
            hz,
            hop,
            hop_length: hop as f32,
            factor: decimator.factor(),
            delay: decimator.delay(),
            turn: bank.turn(4),
            gains,
            rest: Rest::new(hz, (FIT_HOPS * hop) & !1).into(),
            // A quarter of the energy of the weaker tone alone: the hop may be filled by half.
            faint: (0.25 * 0.5 * least * least * hop as f64) as f32 * weakest * weakest,
            // 90 ms: the longest look back is to the 20 ms before a tone of the longest run.
            heard: Tape::new(36 * hop + band.history() + ahead + BATCH, BATCH),
            tones: Tape::new(36 * hop + ahead + BATCH, BATCH),
            band,
            bank: bank.into(),
            next_hop: hop as u64,
            spans: Spans::EMPTY,
            watch: Watch::Closely,
            quiet: 0,
            run: 0,
            down: None,
            previous: None,
            first_frame: 0,
        }
    }

    /// Takes the next samples, at most [`BATCH`], and filters them: long runs cost less than single hops.
    #[inline]
    pub fn take(&mut self, samples: &[f32]) {
        copy(samples, self.heard.extend(samples.len()));
        let input = self.heard.before(self.heard.end(), samples.len() + self.band.history());
        self.band.run(input, self.tones.extend(samples.len()));
    }

    /// Hears the next hop, or all that are heard at once, if they lie before sample `end`; the sample after them.
    #[inline]
    pub fn hear(&mut self, end: u64, report: &mut impl FnMut(DtmfEvent)) -> Option<u64> {
        let mut heard = self.next_hop;
        if heard > end {
            return None;
        }
        match &mut self.watch {
            Watch::Closely => self.hear_closely(heard, report),
            Watch::Loosely { to_come } if heard + *to_come * self.hop as u64 > end => {
                *to_come -= 1;
                self.run += 1;
            }
            Watch::Loosely { to_come } => {
                heard += *to_come * self.hop as u64;
                (*to_come, self.run, self.next_hop) = (3, SUSPECT, heard);
                let (energy, strongest) = self.bank.hear_four(self.tones.before(heard, 4 * self.hop));
                if energy < 4.0 * self.faint || self.is_of_tones(WAKING, strongest, energy) {
                    self.wake(report);
                }
            }
        }
        self.next_hop = heard + self.hop as u64;
        Some(heard)
    }

    /// Every key reported from now on has its onset at this device frame or later.
    pub fn settled(&self) -> u64 {
        // The next hop has not been heard.
        self.open_frame(self.run + 2)
    }

    /// The device frame that lies so many hops before the end of the next one.
    fn open_frame(&self, hops: usize) -> u64 {
        self.first_frame.max(self.next_hop.saturating_sub((hops * self.hop) as u64) * self.factor)
    }

    /// Hears the last four hops one by one, behind the two in which a tone may have begun before them.
    #[cold]
    fn wake(&mut self, report: &mut impl FnMut(DtmfEvent)) {
        self.spans = Spans::EMPTY;
        let end = |back: usize| self.next_hop - (back * self.hop) as u64;
        for to in [end(5), end(4)] {
            self.bank.hear(self.tones.before(to, self.hop), (self.faint, false), &mut self.spans);
        }
        for to in [end(3), end(2), end(1), end(0)] {
            // Only the last may be followed by another four.
            self.watch = Watch::Closely;
            self.hear_closely(to, report);
        }
    }

    /// Hears the hop up to a sample.
    fn hear_closely(&mut self, to: u64, report: &mut impl FnMut(DtmfEvent)) {
        let tones = self.tones.before(to, self.hop);
        let idle = self.quiet >= QUIET_HOPS && self.down.is_none();
        let energy = self.bank.hear(tones, (self.faint, idle), &mut self.spans);
        self.quiet = if energy < self.faint { self.quiet.saturating_add(1) } else { 0 };
        if idle && self.quiet > 0 {
            // Every span is empty: nothing was added up.
            self.run = 0;
        } else if self.presence(report) || energy < self.faint {
            self.run = 0;
        } else {
            self.run = (self.run + 1).min(LONGEST_RUN);
            if self.run >= 4 {
                self.look(report);
            }
        }
    }

    /// Follows the key that is down; says whether it is heard in this hop.
    fn presence(&mut self, report: &mut impl FnMut(DtmfEvent)) -> bool {
        let Some(down) = &mut self.down else { return false };
        let power = self.spans.two().power();
        let strengths = down.bins.map(|bin| power[bin] / (self.gains[bin] * self.gains[bin]));
        let energy = self.spans.energies[0] + self.spans.energies[1];
        let share = down.bins.iter().map(|&bin| power[bin]).sum::<f32>() / (self.hop_length * energy);
        // Each of them: the next key often shares the row or the column.
        if (0..2).all(|n| strengths[n] >= PRESENT * down.strengths[n]) && share > 0.3 {
            down.strengths = std::array::from_fn(|n| down.strengths[n].max(0.7 * strengths[n]));
            down.heard = self.next_hop;
            down.end = None;
            return true;
        }
        let absent = (self.next_hop - down.heard) / self.hop as u64;
        if absent >= MEASURE_HOPS && down.end.is_none() {
            let (heard, onset, bins) = (down.heard, down.onset, down.bins);
            let end = self.measured_end(heard, bins).max(onset);
            if let Some(down) = &mut self.down {
                down.end = Some(end);
            }
        }
        if absent >= ABSENT_HOPS {
            self.release(u64::MAX, report);
        }
        false
    }

    /// The end of the key that is down (a device frame), measured after [`MEASURE_HOPS`] of absence.
    fn measured_end(&self, heard: u64, bins: [usize; 2]) -> u64 {
        // The last two hops in which it was heard may hold little of it.
        let to = heard - self.hop as u64;
        let length = (8 * self.hop) & !1;
        let omega = |bin: usize| TAU * frequency(bin) / self.hz;
        let fit = Fit::new(self.tones.before(to, length), omega(bins[0]), omega(bins[1]));
        let middle = to - length as u64 / 2;
        let after = self.tones.before(self.next_hop, (self.next_hop - middle) as usize);
        let end = if fit.purity() > 0.6 { middle + fit.reach(after, false) as u64 } else { to };
        self.frame(end)
    }

    /// The device frame of a sample of the band-passed signal.
    fn frame(&self, sample: u64) -> u64 {
        sample.saturating_sub(self.band.delay() as u64) * self.factor
    }

    /// Reports the end of the key that is down, at `latest` if it is still heard.
    pub fn release(&mut self, latest: u64, report: &mut impl FnMut(DtmfEvent)) {
        if let Some(down) = self.down.take() {
            let end_frame = down.end.unwrap_or(latest).min(latest);
            self.previous = Some((down.key, self.next_hop, down.strengths));
            report(DtmfEvent::Released { key: down.key, end_frame });
        }
    }

    /// Whether at least this share of the energy lies in the strongest row and column.
    #[inline]
    fn is_of_tones(&self, share: f32, strongest: f32, energy: f32) -> bool {
        // A sine of amplitude a over n samples has the energy a²n/2 and correlates to (an/2)²; n is 10 ms.
        strongest >= share * (2.0 * self.hop_length * energy)
    }

    /// The gate: whether the last 10 or 20 ms may belong to a key, and if so, whether they do.
    fn look(&mut self, report: &mut impl FnMut(DtmfEvent)) {
        let (mut power, mut energies) = (self.spans.four().power(), &self.spans.energies[..4]);
        if self.run >= 8 {
            let before = self.spans.four_before().power();
            (0..BINS).for_each(|bin| power[bin] += before[bin]);
            energies = &self.spans.energies;
        }
        let (strongest, energy) = (strongest(&power), energies.iter().sum());
        if !self.is_of_tones(TONES, strongest, energy) {
            // What is no tone over 10 ms is none; one that began within the last 5 may still be.
            self.run = SUSPECT;
            if self.down.is_none() {
                self.watch = Watch::Loosely { to_come: 3 };
            }
            return;
        }
        let (row, column) = (loudest(&power[..4]), 4 + loudest(&power[4..]));
        let level = |bin: usize| power[bin] / (self.gains[bin] * self.gains[bin]);
        let (low, high) = (level(row), level(column));
        if self.run <= FIT_HOPS
            || !self.is_of_tones(FITTING, strongest, energy)
            || low > 20.0 * high
            || high > 20.0 * low
        {
            return;
        }
        if let Some(tone) = self.judge(row, column) {
            // Over two hops, n samples, an amplitude a correlates to (an/2)².
            let strength = |dbfs: f32| (10f32.powf(dbfs / 20.0) * self.hop_length).powi(2);
            let strengths = [strength(tone.low_dbfs), strength(tone.high_dbfs)];
            if self.resounds(tone.key, strengths) {
                return;
            }
            if self.down.is_some() {
                self.release(tone.onset_frame, report);
            }
            self.down = Some(Down {
                key: tone.key,
                bins: [row, column],
                strengths,
                onset: tone.onset_frame,
                heard: self.next_hop,
                end: None,
            });
            self.run = 0;
            report(DtmfEvent::Pressed(tone));
        }
    }

    /// Goes on at sample `next`, which is the first at or after device frame `position`.
    pub fn restart(&mut self, next: u64, position: u64) {
        self.heard.restart(next);
        self.next_hop = (next + 1).next_multiple_of(self.hop as u64);
        self.tones.restart(next);
        self.spans = Spans::EMPTY;
        self.watch = Watch::Closely;
        self.quiet = 0;
        self.run = 0;
        self.previous = None;
        self.first_frame = position;
    }
}

fn loudest(power: &[f32]) -> usize {
    (1..power.len()).fold(0, |best, bin| if power[bin] > power[best] { bin } else { best })
}
