//! Whether the last 22.5 ms are a key's: every limit, on what was fitted.

use super::{FIT_HOPS, Fit, HOPS_HZ, Hearing, Key, TAU, frequency};
use crate::dsp::tone::Tone;

/// What Q.24 adds to the share by which a tone may be off, in Hz.
const LIMIT_HZ: f64 = 2.0;
/// What noise at 15 dB adds to it: four times the deviation of the fit (Cramér-Rao: 0.4 Hz).
const MEASURE_HZ: f64 = 1.6;
/// And what it adds to the ratio of the two: four times the deviation again, of 0.06 and 0.03 %.
const RATIO_ERROR: f64 = 0.0025;
/// The least share of the energy between 600 and 1,800 Hz that lies in the two tones, after the shortest tone and every
/// 2.5 ms more: white noise at 15 dB leaves 0.98, a room 0.96. Dirty tones cost time, not errors.
const PURITY: [f64; 5] = [0.95, 0.93, 0.9, 0.87, 0.85];
/// The most energy of all else, hum and dial tone excused, over the pair's: noise may be 15 dB below the pair, and
/// varies by 3 dB over 22.5 ms if it is pink. What fits a pair in music and speech has partials besides it.
const REST: f64 = 0.04;
/// A dial tone is heard on a line, not in noise: with one (more than noise at 15 dB has there), all else is 20 dB below the
/// pair. Whoever calls at the pitch of half a row has his fundamental where dial tones are; his third partial tells.
const DIAL: f64 = 0.02;
const DIAL_REST: f64 = 0.01;
/// No room changes a tone by half of its amplitude within 11 ms; the edges of other sounds do.
const SLOPE: f64 = 0.5;
/// A key begins with a rise of the energy by 8 dB at least (15 dB in noise at an SNR of 15 dB); a glide or a tail
/// does not, and a chord seldom.
const RISE: f64 = 6.0;
/// It may lie up to 10 ms before the measured onset: a codec of speech takes half a frame of 20 ms to get a tone right.
const QUIET_SPANS: u64 = 2;
/// Without it (speech drowned the beginning) it must be a key for as long as the standard asks: 40 ms, less the error of
/// the ends ...
const HELD_S: f64 = 0.039;
/// ... and must not glide: seven hops (17.5 ms) earlier the frequencies were the same, but for five deviations of the
/// difference.
const HELD_HOPS: usize = 7;
const HELD_HZ: f64 = 3.0;
/// Nor does it fade: as for twist, 1 dB is for the measurement.
const HELD_DB: f32 = 1.0;
/// Noise as the standard has it, 15 dB below.
const HELD_REST: f64 = 0.0316;
/// The same key again within this time must come within 6 dB of the last: a room's tail beats.
const RESOUND_S: f64 = 0.3;
/// Reported onsets lie this much before the measured one, so that nothing of the tone stays before them.
const ONSET_MARGIN_S: f64 = 0.001;

/// Two tones that fit a span.
struct Pair {
    fit: Fit,
    hz: [f64; 2],
    dbfs: [f32; 2],
    /// What the band passes of each.
    gains: [f64; 2],
    energy: f64,
}

impl Hearing {
    /// Fits the last 22.5 ms and applies the limits.
    pub(super) fn judge(&self, row: usize, column: usize) -> Option<Tone> {
        let key = Key::at(row, column - 4);
        if !self.config.keys.contains(key) {
            return None;
        }
        let bins = [row, column];
        let pair = self.pair(self.next_hop, bins, [self.start(row)?, self.start(column)?])?;
        let length = self.length();
        let middle = self.next_hop - length as u64 / 2;
        let end = middle + pair.fit.reach(self.tones.before(self.next_hop, length / 2), false) as u64;
        let back = (self.run + 2) * self.hop - length / 2;
        let onset = middle - pair.fit.reach(self.tones.before(middle, back), true) as u64;
        let (lasted, shortest) = ((end - onset) as f64 / self.hz, f64::from(self.config.minimum_s));
        if lasted < shortest || self.next_hop - end > self.hop as u64 / 3 {
            return None;
        }
        let rest = self.rest(self.next_hop, &pair)?;
        let steps = ((lasted - shortest) * HOPS_HZ) as usize;
        let dirty = pair.fit.purity() < PURITY[steps.min(PURITY.len() - 1)];
        // A room's tail is held, and beats.
        let again = self.previous.is_some_and(|(previous, released, _)| previous == key && self.recent(released));
        let rises = self.rise(onset, if again { 1 } else { QUIET_SPANS }) > RISE;
        if dirty || !rises && (again || lasted < HELD_S || rest > HELD_REST || !self.held(&pair, bins)) {
            return None;
        }
        let margin = (ONSET_MARGIN_S * self.hz) as u64;
        Some(Tone {
            key,
            onset_frame: self.frame(onset.saturating_sub(margin)).max(self.open_frame(self.run + 1)),
            decision_frame: (self.next_hop - 1) * self.factor + self.delay,
            low_hz: pair.hz[0] as f32,
            high_hz: pair.hz[1] as f32,
            low_dbfs: pair.dbfs[0],
            high_dbfs: pair.dbfs[1],
            purity: pair.fit.purity() as f32,
        })
    }

    /// The samples of a fit.
    pub(super) fn length(&self) -> usize {
        (FIT_HOPS * self.hop) & !1
    }

    /// Where the frequency of a bin lies, in radians a sample, by its turn from the earlier 10 ms to the later.
    fn start(&self, bin: usize) -> Option<f64> {
        let (four, before, turn) = (self.spans.four(), self.spans.four_before(), &self.turn);
        let (re, im) = (
            four.re[bin] * turn.re[bin] - four.im[bin] * turn.im[bin],
            four.re[bin] * turn.im[bin] + four.im[bin] * turn.re[bin],
        );
        let angle = (im * before.re[bin] - re * before.im[bin]).atan2(re * before.re[bin] + im * before.im[bin]);
        let off = f64::from(angle) / (4 * self.hop) as f64;
        let nominal = TAU * frequency(bin) / self.hz;
        (off.abs() < 0.05 * nominal).then_some(nominal + off)
    }

    /// The pair in the span up to sample `to`, if it keeps all limits of frequency and level.
    fn pair(&self, to: u64, bins: [usize; 2], near: [f64; 2]) -> Option<Pair> {
        let length = self.length();
        let fit = Fit::new(self.tones.before(to, length), near[0], near[1]);
        let hz = [fit.low.omega, fit.high.omega].map(|omega| omega * self.hz / TAU);
        let nominal = bins.map(frequency);
        let legal = nominal.map(|nominal| f64::from(self.config.frequency_error) * nominal + LIMIT_HZ);
        // Q.23 chose the frequencies so that no two of them are in the ratio of harmonics, within their limits.
        let ratio = (hz[1] * nominal[0] / (hz[0] * nominal[1]) - 1.0).abs();
        if (0..2).any(|n| (hz[n] - nominal[n]).abs() > legal[n] + MEASURE_HZ)
            || ratio > legal[0] / nominal[0] + legal[1] / nominal[1] + RATIO_ERROR
        {
            return None;
        }
        let gains = hz.map(|hz| self.band.gain(hz));
        let amplitudes = [fit.low.amplitude() / gains[0].abs(), fit.high.amplitude() / gains[1].abs()];
        let dbfs = amplitudes.map(|amplitude| 20.0 * amplitude.log10() as f32);
        let twist = dbfs[1] - dbfs[0];
        if dbfs[0].min(dbfs[1]) < self.config.minimum_dbfs
            || twist > self.config.twist_db
            || twist < -self.config.reverse_twist_db
            || fit.low.slope().abs() > SLOPE
            || fit.high.slope().abs() > SLOPE
            || fit.purity() < PURITY[PURITY.len() - 1]
        {
            return None;
        }
        let energy = 0.5 * length as f64 * amplitudes.iter().map(|a| a * a).sum::<f64>();
        Some(Pair { fit, hz, dbfs, gains, energy })
    }

    /// The energy of all else in the span up to sample `to` over the pair's, if it is a key's.
    fn rest(&self, to: u64, pair: &Pair) -> Option<f64> {
        let heard = self.heard.before(to - self.band.delay() as u64, self.length());
        let (rest, dial) = self.rest.energy(heard, &pair.fit, pair.gains);
        let most = if dial > DIAL * pair.energy { DIAL_REST } else { REST };
        (rest <= most * pair.energy).then_some(rest / pair.energy)
    }

    /// Whether the pair was there, and the same, before the span in which it was found.
    fn held(&self, pair: &Pair, bins: [usize; 2]) -> bool {
        let to = self.next_hop - (HELD_HOPS * self.hop) as u64;
        let earlier = self.pair(to, bins, [pair.fit.low.omega, pair.fit.high.omega]);
        earlier.is_some_and(|earlier| {
            let clean = || self.rest(to, &earlier).is_some_and(|rest| rest <= HELD_REST);
            let same = |n: usize| {
                (earlier.hz[n] - pair.hz[n]).abs() < HELD_HZ && (earlier.dbfs[n] - pair.dbfs[n]).abs() < HELD_DB
            };
            same(0) && same(1) && clean()
        })
    }

    /// Whether `key` may be the room's answer to the one released last: the same and weaker.
    pub(super) fn resounds(&self, key: Key, strengths: [f32; 2]) -> bool {
        self.previous.is_some_and(|(previous, released, before)| {
            let weaker = strengths[0] + strengths[1] < 0.25 * (before[0] + before[1]);
            previous == key && self.recent(released) && weaker
        })
    }

    fn recent(&self, released: u64) -> bool {
        ((self.next_hop - released) as f64) < RESOUND_S * self.hz
    }

    /// How many times the energy in the band is greater within 10 ms after `onset` than in the quietest of so many spans
    /// of 10 ms before it.
    fn rise(&self, onset: u64, spans: u64) -> f64 {
        let (span, edge) = (4 * self.hop as u64, self.band.delay() as u64);
        let energy = |to: u64| self.tones.before(to, span as usize).iter().map(|x| f64::from(x * x)).sum::<f64>();
        let before = (0..spans).map(|back| energy(onset.saturating_sub(edge + back * span))).fold(f64::MAX, f64::min);
        energy(onset + edge + span) / before.max(1e-30)
    }
}
