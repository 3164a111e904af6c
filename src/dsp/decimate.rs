//! From the device's rate to the one at which tones and speech are judged: 8 kHz or a little more.
//!
//! Every device rate is divided by a whole number, so 48 kHz becomes 8 kHz and 44.1 kHz becomes 8.82 kHz: the
//! detectors take their tables for the rate they get, and no fractional filter is needed.

use super::tape::Tape;
use crate::units::{LOUDEST, Rate};
use multiversion::multiversion;
use std::sync::Arc;

/// Outputs computed at a time; bounds the memory of a call, whatever the block's length.
pub(super) const BATCH: usize = 256;
/// Filters are padded to whole groups of lanes.
const LANES: usize = 8;
/// Fainter samples than −240 dBFS count as 0, so that no filter ever computes with denormals.
const FAINTEST: f32 = 1e-12;

/// The reach that keeps the tones' band clean: see [`Decimator::new`].
pub(super) const TONE_REACH: usize = 3;

/// The decimator of one channel.
#[derive(Clone)]
pub(super) struct Decimator {
    factor: usize,
    /// Symmetric low-pass, zero-padded to whole lanes. Empty if nothing is to be done.
    taps: Arc<[f32]>,
    /// Frames that must be heard after a frame before its output can be computed.
    delay: usize,
    line: Tape,
    /// Device frames heard or skipped.
    position: u64,
    /// The device frame that the next output stands for.
    next_frame: u64,
    out: Box<[f32]>,
}

impl Decimator {
    /// The filter reaches over `reach` outputs to either side: 3 keep 600-1,800 Hz clean of aliases (50 dB), at a
    /// delay of 0.375 ms; 1 is enough to measure energy.
    pub fn new(rate: Rate, reach: usize) -> Decimator {
        let factor = (rate.hz() / Rate::MIN_HZ) as usize;
        let delay = if factor == 1 { 0 } else { reach * factor };
        let taps = if factor == 1 { Vec::new() } else { low_pass(factor, delay) };
        let padded = taps.len().max(1);
        Decimator {
            factor,
            taps: taps.into(),
            delay,
            line: Tape::new(2 * padded + 2 * factor, BATCH * factor),
            position: 0,
            next_frame: 0,
            out: vec![0.0; BATCH].into(),
        }
    }

    /// How many device frames one output stands for.
    pub fn factor(&self) -> u64 {
        self.factor as u64
    }

    /// The output rate in Hz, 8,000 to below 16,000.
    pub fn out_hz(rate: Rate) -> f64 {
        f64::from(rate.hz()) / f64::from(rate.hz() / Rate::MIN_HZ)
    }

    /// The number of device frames heard or skipped so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many device frames after the one it stands for an output can be computed.
    pub fn delay(&self) -> u64 {
        self.delay as u64
    }

    /// Hears `samples` and hands on the outputs that became known, at most [`BATCH`] at a time, with the index after the
    /// last. Output `i` stands for device frame `i · factor`. At a factor of 1 they are the samples themselves: whoever
    /// keeps them, [`copy`]s them.
    pub fn feed(&mut self, samples: &[f32], mut sink: impl FnMut(u64, &[f32])) {
        if self.factor == 1 {
            for piece in samples.chunks(BATCH) {
                self.position += piece.len() as u64;
                sink(self.position, piece);
            }
            return;
        }
        for piece in samples.chunks(BATCH * self.factor) {
            copy(piece, self.line.extend(piece.len()));
            self.position += piece.len() as u64;
            let known = self.line.end().saturating_sub(self.delay as u64);
            if known <= self.next_frame {
                continue;
            }
            let count = (known - self.next_frame).div_ceil(self.factor as u64) as usize;
            let span = (count - 1) * self.factor + 2 * self.delay + 1;
            let last = self.next_frame + ((count - 1) * self.factor + self.delay) as u64;
            // The padding taps are zeros at the front, where older samples lie.
            let pad = self.taps.len() - (2 * self.delay + 1);
            let line = self.line.before(last + 1, span + pad);
            filter(line, &self.taps, self.factor, &mut self.out[..count]);
            self.next_frame += (count * self.factor) as u64;
            sink(self.next_frame / self.factor as u64, &self.out[..count]);
        }
    }

    /// The index after the last output that is known once every device frame before `heard_frame` has been heard.
    pub fn known(&self, heard_frame: u64) -> u64 {
        heard_frame.saturating_sub(self.delay as u64).div_ceil(self.factor as u64)
    }

    /// Goes on `frames` later, with nothing heard before. Returns the index of the next output.
    pub fn skip(&mut self, frames: u64) -> u64 {
        self.position += frames;
        self.line.restart(self.position);
        self.next_frame = self.position.next_multiple_of(self.factor as u64);
        self.next_frame / self.factor as u64
    }
}

/// A Kaiser-windowed low-pass around half the output rate. Only 600-1,800 Hz must stay free of aliases, which come
/// from `out − 1,800 Hz` upwards, so the transition may be wide: 1.8 to 6.2 kHz.
fn low_pass(factor: usize, half: usize) -> Vec<f32> {
    let half = half as i64;
    let cutoff = 0.5 / factor as f64;
    let beta = 5.0;
    let mut taps: Vec<f64> = (-half..=half)
        .map(|n| {
            let x = 2.0 * cutoff * n as f64;
            let sinc = if n == 0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
            let edge = n as f64 / (half + 1) as f64;
            sinc * bessel_i0(beta * (1.0 - edge * edge).sqrt())
        })
        .collect();
    let sum: f64 = taps.iter().sum();
    taps.iter_mut().for_each(|tap| *tap /= sum);
    let pad = taps.len().next_multiple_of(LANES) - taps.len();
    std::iter::repeat_n(0.0, pad).chain(taps).map(|tap| tap as f32).collect()
}

/// The modified Bessel function of the first kind, order 0, by its series.
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..32 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

/// Samples copied at a time: half of 10 ms at 8 kHz.
const COPIED: usize = 40;

/// Copies samples; what is no audio becomes 0.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn copy(from: &[f32], to: &mut [f32]) {
    let count = from.len().min(to.len());
    let (from, to) = (&from[..count], &mut to[..count]);
    if count < COPIED {
        for at in 0..count {
            copy_group::<1>(from, to, at);
        }
        return;
    }
    for index in 0..count.div_ceil(COPIED) {
        // The last group begins so early that it is whole.
        copy_group::<COPIED>(from, to, (index * COPIED).min(count - COPIED));
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "an iterator's calls are not inlined into code for AVX2")]
fn copy_group<const LANES: usize>(from: &[f32], to: &mut [f32], at: usize) {
    let (from, to) = (&from[at..][..LANES], &mut to[at..][..LANES]);
    for lane in 0..LANES {
        let size = from[lane].abs();
        // A NaN fails both comparisons.
        to[lane] = if (FAINTEST..=LOUDEST).contains(&size) { from[lane] } else { 0.0 };
    }
}

/// Outputs filtered at a time.
const PIECE: usize = 16;

#[multiversion(targets("x86_64+avx2"))]
#[allow(clippy::needless_range_loop, reason = "as in `copy_group`")]
fn filter(line: &[f32], taps: &[f32], factor: usize, out: &mut [f32]) {
    let taps = taps.as_chunks::<LANES>().0;
    // Lanes are kept and added up afterwards: added up at once, the compiler makes pairs of them and works in two lanes.
    let mut lanes = [[0.0f32; LANES]; PIECE];
    for (piece, out) in out.chunks_mut(PIECE).enumerate() {
        for (index, lanes) in lanes.iter_mut().enumerate().take(out.len()) {
            let window = line[(piece * PIECE + index) * factor..].as_chunks::<LANES>().0;
            let window = &window[..taps.len()];
            let mut sums = [0.0f32; LANES];
            for group in 0..taps.len() {
                for lane in 0..LANES {
                    sums[lane] += window[group][lane] * taps[group][lane];
                }
            }
            *lanes = sums;
        }
        for (out, lanes) in out.iter_mut().zip(&lanes) {
            let mut four = [0.0f32; 4];
            for lane in 0..4 {
                four[lane] = lanes[lane] + lanes[lane + 4];
            }
            *out = (four[0] + four[2]) + (four[1] + four[3]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(hz: u32, tone_hz: f64, blocks: usize) -> Vec<f32> {
        let mut decimator = Decimator::new(Rate::new(hz).unwrap(), TONE_REACH);
        let input: Vec<f32> = (0..hz as usize)
            .map(|n| (std::f64::consts::TAU * tone_hz * n as f64 / f64::from(hz)).sin() as f32)
            .collect();
        let mut out = Vec::new();
        input.chunks(blocks).for_each(|block| decimator.feed(block, |_, samples| out.extend_from_slice(samples)));
        out
    }

    fn level_db(samples: &[f32]) -> f64 {
        let sum: f64 = samples.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        10.0 * (2.0 * sum / samples.len() as f64).log10()
    }

    #[test]
    fn the_band_of_the_tones_passes_and_its_aliases_do_not() {
        for hz in [16_000, 24_000, 44_100, 48_000, 88_200, 96_000, 192_000] {
            let out_hz = Decimator::out_hz(Rate::new(hz).unwrap());
            for tone in [600.0, 941.0, 1_633.0, 1_800.0] {
                let level = level_db(&through(hz, tone, 480)[100..]);
                assert!(level.abs() < 0.5, "{tone} Hz at {hz} Hz came out at {level} dB");
            }
            for alias in [out_hz - 1_800.0, out_hz - 697.0, out_hz + 600.0, out_hz + 1_800.0] {
                if alias > f64::from(hz) / 2.0 {
                    continue;
                }
                let level = level_db(&through(hz, alias, 480)[100..]);
                assert!(level < -45.0, "{alias} Hz at {hz} Hz came out at {level} dB");
            }
        }
    }

    #[test]
    fn an_output_stands_for_its_frame() {
        for hz in [16_000, 44_100, 48_000] {
            let rate = Rate::new(hz).unwrap();
            let factor = Decimator::new(rate, TONE_REACH).factor() as f64;
            let out = through(hz, 1_000.0, 7);
            for (index, &sample) in out.iter().enumerate().skip(50) {
                let expected = (std::f64::consts::TAU * 1_000.0 * index as f64 * factor / f64::from(hz)).sin();
                assert!((f64::from(sample) - expected).abs() < 0.05);
            }
        }
    }

    #[test]
    fn every_rate_is_divided_to_8_to_16_khz() {
        for hz in [8_000, 11_025, 12_000, 15_999, 16_000, 22_050, 44_100, 88_200, 176_400, 192_000] {
            let out = Decimator::out_hz(Rate::new(hz).unwrap());
            assert!((8_000.0..16_000.0).contains(&out));
        }
    }

    #[test]
    fn garbage_is_silence() {
        let mut decimator = Decimator::new(Rate::new(48_000).unwrap(), TONE_REACH);
        let garbage = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, 1e-40, -1e-40].repeat(100);
        decimator.feed(&garbage, |_, out| assert!(out.iter().all(|&x| x == 0.0)));
    }
}
