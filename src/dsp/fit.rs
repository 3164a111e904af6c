//! Two sines fitted to a short span by least squares, with their frequencies.
//!
//! Over 20 ms a row and a column leak into each other, so neither can be measured alone. Each is modelled as
//! `Re((A + B·τ/T)·e^(jωτ))`: the part of B along A is a slow change of the amplitude (a room), the part across it is
//! an error of the frequency, which corrects ω (Gauss-Newton). τ counts from the middle of the span, so the model
//! falls apart into an even and an odd half of four unknowns each, and the span folds to half its length.

use multiversion::multiversion;

/// One of the two sines, seen from the middle of the span.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sine {
    /// Radians a sample.
    pub omega: f64,
    re: f64,
    im: f64,
    slope_re: f64,
    slope_im: f64,
}

impl Sine {
    /// The amplitude in the middle.
    pub fn amplitude(&self) -> f64 {
        self.re.hypot(self.im)
    }

    /// How much the amplitude changes from the middle to the end, as a share of it.
    pub fn slope(&self) -> f64 {
        self.across().0
    }

    /// B over A: the change of amplitude and the error of phase at the end of the span.
    fn across(&self) -> (f64, f64) {
        let square = (self.re * self.re + self.im * self.im).max(f64::MIN_POSITIVE);
        (
            (self.slope_re * self.re + self.slope_im * self.im) / square,
            (self.slope_im * self.re - self.slope_re * self.im) / square,
        )
    }
}

/// What fits a span best.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    pub low: Sine,
    pub high: Sine,
    /// The span's energy.
    pub energy: f64,
    /// How much of it the two sines explain.
    pub explained: f64,
    half: f64,
}

/// How often the frequencies are corrected. Starting within 25 Hz, two rounds leave less than 0.05 Hz.
const ROUNDS: usize = 2;
/// A correction that changes the phase at the end of the span by less is not worth another round: 0.05 Hz over 11 ms.
const CORRECT: f64 = 0.0035;
/// Who begins within a few Hz explains 0.9 of a tone at once; below this the rounds are not worth their time.
const HOPELESS: f64 = 0.6;

impl Fit {
    /// Fits `span` (of even length) by sines near `low` and `high`, in radians a sample.
    pub fn new(span: &[f32], low: f64, high: f64) -> Fit {
        let span = Folded::new(span);
        let mut fit = at(&span, low, high);
        for _ in 0..ROUNDS {
            let errors = [&fit.low, &fit.high].map(|sine| sine.across().1);
            if fit.purity() < HOPELESS || errors.iter().all(|error| error.abs() < CORRECT) {
                break;
            }
            let turns = errors.map(|error| (error / fit.half).clamp(-0.02, 0.02));
            fit = at(&span, fit.low.omega + turns[0], fit.high.omega + turns[1]);
        }
        fit
    }

    /// The share of the energy that is explained, 0 to 1.
    pub fn purity(&self) -> f64 {
        if self.energy > 0.0 { (self.explained / self.energy).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The two sines as they were before a filter passed them by these gains, folded as a span is.
    #[inline(always)]
    pub fn model(&self, gains: [f64; 2]) -> Model {
        let [low, high] = [&self.low, &self.high].map(|sine| Turn::new(0.5, sine.omega));
        let scaled = |sine: &Sine, gain: f64| {
            let scale = 2.0 / gain;
            [sine.re * scale, sine.im * scale, sine.slope_re * scale, sine.slope_im * scale]
        };
        Model { turns: [low, high], sines: [scaled(&self.low, gains[0]), scaled(&self.high, gains[1])] }
    }

    /// How far the two sines reach from the middle of the fitted span: `signal` is what follows the middle (or, with
    /// `back`, what lies before it); returned is the number of its samples, counted from the middle, after which they have
    /// ended, to the sample that makes "sines up to here, nothing beyond" fit best. What fits reaches half-way to the end
    /// of the span at least.
    pub fn reach(&self, signal: &[f32], back: bool) -> usize {
        reach(self, signal, back)
    }
}

#[multiversion(targets("x86_64+avx2"))]
#[expect(clippy::needless_range_loop, reason = "an iterator's calls are not inlined into code for AVX2")]
fn reach(fit: &Fit, signal: &[f32], back: bool) -> usize {
    let (sign, from) = (if back { -1.0 } else { 1.0 }, (0.5 * fit.half) as usize);
    let (mut first, step) = (from as f64 + 0.5, 1.0 / fit.half);
    let sines = [&fit.low, &fit.high];
    let mut turns = sines.map(|sine| Turn::new(first, sine.omega));
    let (mut gain, mut best, mut reach) = (0.0, 0.0, from);
    for at in (from..signal.len()).step_by(LANES) {
        let count = LANES.min(signal.len() - at);
        let mut heard = [0.0; LANES];
        for lane in 0..count {
            heard[lane] = f64::from(signal[if back { signal.len() - 1 - at - lane } else { at + lane }]);
        }
        let mut model = [0.0; LANES];
        for (sine, turn) in sines.iter().zip(&mut turns) {
            for lane in 0..LANES {
                // Beyond the span the amplitude is taken as it was at its end.
                let t = ((first + lane as f64) * step).min(1.0) * sign;
                let (re, im) = (sine.re + sine.slope_re * t, sine.im + sine.slope_im * t);
                model[lane] += re * turn.wave.cos[lane] - sign * im * turn.wave.sin[lane];
            }
            turn.step();
        }
        // What the squared error falls by if the sines last for this sample too: y² − (y − m)².
        for lane in 0..LANES {
            heard[lane] = model[lane] * (2.0 * heard[lane] - model[lane]);
        }
        for (lane, fall) in heard.iter().enumerate().take(count) {
            gain += fall;
            if gain > best {
                (best, reach) = (gain, at + lane + 1);
            }
        }
        first += LANES as f64;
    }
    reach
}

/// Fits by sines of exactly these frequencies.
#[multiversion(targets("x86_64+avx2"))]
fn at(span: &Folded, low: f64, high: f64) -> Fit {
    let (mut l, mut h) = (Turn::new(0.5, low), Turn::new(0.5, high));
    // What the signal has along cosine and sine of either tone, and along the same times τ/T; and its energy.
    let (mut plain, mut sloped) = ([[0.0; LANES]; 4], [[0.0; LANES]; 4]);
    for group in 0..span.groups() {
        let (slope, even, odd) = (span.slope(group), &span.even[group], &span.odd[group]);
        let (mut sloped_even, mut sloped_odd) = ([0.0; LANES], [0.0; LANES]);
        (0..LANES).for_each(|lane| sloped_even[lane] = slope[lane] * even[lane]);
        (0..LANES).for_each(|lane| sloped_odd[lane] = slope[lane] * odd[lane]);
        add(&mut plain[0], &l.wave.cos, even);
        add(&mut plain[1], &l.wave.sin, odd);
        add(&mut plain[2], &h.wave.cos, even);
        add(&mut plain[3], &h.wave.sin, odd);
        add(&mut sloped[0], &l.wave.cos, &sloped_odd);
        add(&mut sloped[1], &l.wave.sin, &sloped_even);
        add(&mut sloped[2], &h.wave.cos, &sloped_odd);
        add(&mut sloped[3], &h.wave.sin, &sloped_even);
        l.step();
        h.step();
    }
    let (plain, sloped) = (plain.map(sum), sloped.map(sum));
    let (even, odd) = Normal::pair(low, high, span.half);
    let (a, even_energy) = even.solve([plain[0], sloped[1], plain[2], sloped[3]]);
    let (b, odd_energy) = odd.solve([plain[1], sloped[0], plain[3], sloped[2]]);
    // x = a·cos + b·sin is the real part of (a − jb)·e^(jωτ).
    let sine = |omega, at: usize| Sine { omega, re: a[at], im: -b[at], slope_re: b[at + 1], slope_im: -a[at + 1] };
    Fit {
        low: sine(low, 0),
        high: sine(high, 2),
        energy: span.energy,
        explained: even_energy + odd_energy,
        half: span.half,
    }
}

/// Distances from the middle that are worked on at a time: four numbers of 64 bits fill a register of AVX2.
pub(super) const LANES: usize = 4;
/// The longest span is 22.5 ms below 16 kHz.
pub(super) const GROUPS: usize = 180 / LANES;

#[inline(always)]
fn add(sums: &mut [f64; LANES], a: &[f64; LANES], b: &[f64; LANES]) {
    for lane in 0..LANES {
        sums[lane] += a[lane] * b[lane];
    }
}

#[inline(always)]
pub(super) fn sum(lanes: [f64; LANES]) -> f64 {
    (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
}

/// A span seen from its middle: what two samples at the same distance sum to, and the later less the earlier. Zeros
/// beyond its ends.
pub(super) struct Folded {
    pub even: [[f64; LANES]; GROUPS],
    pub odd: [[f64; LANES]; GROUPS],
    pub energy: f64,
    half: f64,
}

impl Folded {
    /// Of even length.
    #[inline(always)]
    pub fn new(span: &[f32]) -> Folded {
        let half = span.len() / 2;
        let (before, after) = span.split_at(half);
        let mut folded = Folded::nothing(half as f64);
        let (even, odd) = (folded.even.as_flattened_mut(), folded.odd.as_flattened_mut());
        for n in 0..half {
            let (past, future) = (f64::from(before[half - 1 - n]), f64::from(after[n]));
            (even[n], odd[n]) = (future + past, future - past);
        }
        let mut energy = [0.0; LANES];
        for group in 0..folded.groups() {
            let (even, odd) = (&folded.even[group], &folded.odd[group]);
            (0..LANES).for_each(|lane| energy[lane] += even[lane] * even[lane] + odd[lane] * odd[lane]);
        }
        folded.energy = 0.5 * sum(energy);
        folded
    }

    fn nothing(half: f64) -> Folded {
        Folded { even: [[0.0; LANES]; GROUPS], odd: [[0.0; LANES]; GROUPS], energy: 0.0, half }
    }

    /// How many groups are not all zeros.
    #[inline(always)]
    pub fn groups(&self) -> usize {
        (self.half as usize).div_ceil(LANES)
    }

    /// τ/T of a group.
    #[inline(always)]
    pub fn slope(&self, group: usize) -> [f64; LANES] {
        let (first, step) = ((group * LANES) as f64 + 0.5, 1.0 / self.half);
        std::array::from_fn(|lane| (first + lane as f64) * step)
    }
}

/// Cosine and sine of a tone at some distances from the middle.
#[derive(Clone, Copy, Default)]
pub(super) struct Wave {
    pub cos: [f64; LANES],
    pub sin: [f64; LANES],
}

/// Cosine and sine.
fn angle(radians: f64) -> (f64, f64) {
    let (sin, cos) = radians.sin_cos();
    (cos, sin)
}

#[inline(always)]
fn turned(at: (f64, f64), by: (f64, f64)) -> (f64, f64) {
    (at.0 * by.0 - at.1 * by.1, at.0 * by.1 + at.1 * by.0)
}

/// A wave that moves on by a group at a time.
struct Turn {
    wave: Wave,
    /// By the angle of a group.
    step: (f64, f64),
}

impl Turn {
    /// Begins at this distance, in samples.
    #[inline(always)]
    fn new(first: f64, omega: f64) -> Turn {
        let (mut at, one) = (angle(first * omega), angle(omega));
        let mut wave = Wave::default();
        for lane in 0..LANES {
            (wave.cos[lane], wave.sin[lane]) = at;
            at = turned(at, one);
        }
        let two = turned(one, one);
        Turn { wave, step: turned(two, two) }
    }

    #[inline(always)]
    fn step(&mut self) {
        let Wave { cos, sin } = self.wave;
        for lane in 0..LANES {
            self.wave.cos[lane] = cos[lane] * self.step.0 - sin[lane] * self.step.1;
        }
        for lane in 0..LANES {
            self.wave.sin[lane] = cos[lane] * self.step.1 + sin[lane] * self.step.0;
        }
    }
}

/// Two sines, folded, a group at a time.
pub(super) struct Model {
    turns: [Turn; 2],
    /// Of each tone the real and the imaginary part, and what they change by over half a span.
    sines: [[f64; 4]; 2],
}

/// One group of a [`Model`].
pub(super) struct Group {
    /// What the two sines are made of.
    pub waves: [Wave; 2],
    pub even: [f64; LANES],
    pub odd: [f64; LANES],
}

impl Model {
    /// The next group, of the first `count` lanes; the others are zeros.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "an iterator's calls are not inlined into code for AVX2")]
    pub fn next(&mut self, slope: [f64; LANES], count: usize) -> Group {
        let mut waves = [self.turns[0].wave, self.turns[1].wave];
        for lane in count..LANES {
            for wave in &mut waves {
                (wave.cos[lane], wave.sin[lane]) = (0.0, 0.0);
            }
        }
        let (mut even, mut odd) = ([0.0; LANES], [0.0; LANES]);
        for tone in 0..2 {
            let (Wave { cos, sin }, [re, im, slope_re, slope_im]) = (&waves[tone], self.sines[tone]);
            for lane in 0..LANES {
                even[lane] += re * cos[lane] - slope_im * slope[lane] * sin[lane];
                odd[lane] += slope_re * slope[lane] * cos[lane] - im * sin[lane];
            }
            self.turns[tone].step();
        }
        Group { waves, even, odd }
    }
}

/// The left side of the normal equations of four unknowns: what the functions of one half of the model have along each
/// other over the whole span.
struct Normal([[f64; 4]; 4]);

impl Normal {
    /// For cos ωτ and τ/T·sin ωτ of both tones (even), and for sin ωτ and τ/T·cos ωτ (odd). A product of two waves is half
    /// of the sum of those at the sum and at the difference of their frequencies, so nothing is added up sample by sample.
    fn pair(low: f64, high: f64, half: f64) -> (Normal, Normal) {
        let (still, low2, high2) =
            (Moments::still(half), Moments::new(2.0 * low, half), Moments::new(2.0 * high, half));
        let (sum, difference) = (Moments::new(high + low, half), Moments::new(high - low, half));
        let of = |sign: f64| {
            let flat = |apart: &Moments, together: &Moments| apart.cos + sign * together.cos;
            let steep = |apart: &Moments, together: &Moments| apart.square_cos - sign * together.square_cos;
            let cross = |sign: f64| sum.sloped_sin + sign * difference.sloped_sin;
            Normal([
                [flat(&still, &low2), 0.0, 0.0, 0.0],
                [low2.sloped_sin, steep(&still, &low2), 0.0, 0.0],
                [flat(&difference, &sum), cross(-sign), flat(&still, &high2), 0.0],
                [cross(sign), steep(&difference, &sum), high2.sloped_sin, steep(&still, &high2)],
            ])
        };
        (of(1.0), of(-1.0))
    }

    /// The unknowns, and the energy that they explain.
    fn solve(&self, right: [f64; 4]) -> ([f64; 4], f64) {
        // Cholesky: the two sines are 250 Hz apart over 20 ms, so the matrix is far from singular.
        let mut lower = [[0.0; 4]; 4];
        for row in 0..4 {
            for column in 0..=row {
                let done: f64 = (0..column).map(|k| lower[row][k] * lower[column][k]).sum();
                let rest = self.0[row][column] - done;
                lower[row][column] = if row == column { rest.max(1e-12).sqrt() } else { rest / lower[column][column] };
            }
        }
        let mut x = right;
        for row in 0..4 {
            let done: f64 = (0..row).map(|k| lower[row][k] * x[k]).sum();
            x[row] = (x[row] - done) / lower[row][row];
        }
        let explained = x.iter().map(|x| x * x).sum();
        for row in (0..4).rev() {
            let done: f64 = (row + 1..4).map(|k| lower[k][row] * x[k]).sum();
            x[row] = (x[row] - done) / lower[row][row];
        }
        (x, explained)
    }
}

/// Sums over τ = ½, 3⁄2 … T − ½, which have closed forms: Σ cos xτ = sin Tx / (2 sin x⁄2), and the others are its derivatives.
struct Moments {
    /// Σ cos xτ.
    cos: f64,
    /// Σ τ/T · sin xτ.
    sloped_sin: f64,
    /// Σ (τ/T)² · cos xτ.
    square_cos: f64,
}

impl Moments {
    /// At x, between 0 and 2π.
    fn new(x: f64, half: f64) -> Moments {
        let ((s, c), (sin, cos)) = ((0.5 * x).sin_cos(), (half * x).sin_cos());
        let (scale, cot) = (0.5 / s, c / (2.0 * s * half));
        Moments {
            cos: sin * scale,
            sloped_sin: (sin * cot - cos) * scale,
            square_cos: (sin * (1.0 - 2.0 * cot * cot - 0.25 / (half * half)) + 2.0 * cos * cot) * scale,
        }
    }

    /// At x = 0.
    fn still(half: f64) -> Moments {
        Moments { cos: half, sloped_sin: 0.0, square_cos: half / 3.0 - 1.0 / (12.0 * half) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn pair(low: f64, high: f64, from: usize, to: usize, len: usize) -> Vec<f32> {
        (0..len)
            .map(|n| {
                let t = n as f64 / 8_000.0;
                let on = if (from..to).contains(&n) { 1.0 } else { 0.0 };
                (on * (0.3 * (TAU * low * t + 1.0).sin() + 0.2 * (TAU * high * t).cos())) as f32
            })
            .collect()
    }

    fn fit(span: &[f32], low: f64, high: f64) -> Fit {
        Fit::new(span, low * TAU / 8_000.0, high * TAU / 8_000.0)
    }

    #[test]
    fn moments_are_what_adding_up_gives() {
        for half in [77.0, 90.0, 180.0] {
            let taus = || (0..half as usize).map(|n| n as f64 + 0.5);
            for x in [0.19, 0.6, 1.4, 2.9] {
                let found = Moments::new(x, half);
                let close = |found: f64, added: f64| assert!((found - added).abs() < 1e-11 * half, "{found}, {added}");
                close(found.cos, taus().map(|tau| (x * tau).cos()).sum());
                close(found.sloped_sin, taus().map(|tau| tau / half * (x * tau).sin()).sum());
                close(found.square_cos, taus().map(|tau| (tau / half).powi(2) * (x * tau).cos()).sum());
            }
            let still = Moments::still(half).square_cos;
            assert!((still - taus().map(|tau| (tau / half).powi(2)).sum::<f64>()).abs() < 1e-11 * half);
        }
    }

    #[test]
    fn frequencies_and_amplitudes_are_found_from_20_hz_away() {
        for off in [-20.0, -12.0, 0.0, 15.0, 20.0] {
            let found = fit(&pair(852.0 + off, 1_336.0 - off, 0, 180, 180), 852.0, 1_336.0);
            assert!((found.low.omega * 8_000.0 / TAU - 852.0 - off).abs() < 0.1);
            assert!((found.high.omega * 8_000.0 / TAU - 1_336.0 + off).abs() < 0.1);
            assert!((found.low.amplitude() - 0.3).abs() < 1e-3);
            assert!((found.high.amplitude() - 0.2).abs() < 1e-3);
            assert!(found.purity() > 0.9999);
        }
    }

    #[test]
    fn the_ends_of_a_tone_are_found_to_the_sample() {
        let signal = pair(700.0, 1_480.0, 123, 377, 500);
        let found = fit(&signal[160..340], 697.0, 1_477.0);
        let forward = found.reach(&signal[250..], false);
        let back = found.reach(&signal[..250], true);
        assert!((250 + forward).abs_diff(377) <= 1);
        assert!((250 - back).abs_diff(123) <= 1);
    }
}
