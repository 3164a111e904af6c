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
/// Who begins within a few Hz explains 0.9 of a tone at once; below this the rounds are not worth their time.
const HOPELESS: f64 = 0.6;

impl Fit {
    /// Fits `span` (of even length) by sines near `low` and `high`, in radians a sample.
    pub fn new(span: &[f32], low: f64, high: f64) -> Fit {
        let mut fit = at(span, low, high);
        for _ in 0..ROUNDS {
            if fit.purity() < HOPELESS {
                break;
            }
            let turn = |sine: &Sine| sine.omega + (sine.across().1 / fit.half).clamp(-0.02, 0.02);
            fit = at(span, turn(&fit.low), turn(&fit.high));
        }
        fit
    }

    /// The share of the energy that is explained, 0 to 1.
    pub fn purity(&self) -> f64 {
        if self.energy > 0.0 { (self.explained / self.energy).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The two sines as they were before a filter passed them by these gains, at ever greater distances before and after
    /// the middle; and there, the cosine and sine of each.
    pub fn passed_by(&self, gains: [f64; 2]) -> impl Iterator<Item = ([f64; 2], [(f64, f64); 2])> {
        let (half, tones) = (self.half, [&self.low, &self.high].map(|sine| *sine));
        let mut turns = tones.map(|sine| Turn::new(sine.omega, 0.5));
        (0..).map(move |n| {
            let slope = (f64::from(n) + 0.5) / half;
            let mut sides = [0.0; 2];
            let waves = std::array::from_fn(|tone| {
                let (sine, Turn { cos, sin, .. }) = (&tones[tone], turns[tone]);
                let side = |slope: f64, sin: f64| {
                    (sine.re + sine.slope_re * slope) * cos - (sine.im + sine.slope_im * slope) * sin
                };
                sides[0] += side(-slope, -sin) / gains[tone];
                sides[1] += side(slope, sin) / gains[tone];
                turns[tone].step();
                (cos, sin)
            });
            (sides, waves)
        })
    }

    /// How far the two sines reach from the middle of the fitted span: `signal` is what follows the middle (or, with
    /// `back`, what lies before it, the latest sample first); returned is the number of its samples after which they
    /// have ended, to the sample that makes "sines up to here, nothing beyond" fit best.
    pub fn reach<'a>(&self, signal: impl Iterator<Item = &'a f32>, back: bool) -> usize {
        let sign = if back { -1.0 } else { 1.0 };
        let (mut l, mut h) = (Turn::new(self.low.omega, 0.5), Turn::new(self.high.omega, 0.5));
        let (mut gain, mut best, mut reach) = (0.0, 0.0, 0);
        for (n, &y) in signal.enumerate() {
            // Beyond the span the amplitude is taken as it was at its end.
            let t = ((n as f64 + 0.5) / self.half).min(1.0) * sign;
            let value = |sine: &Sine, turn: &Turn| {
                (sine.re + sine.slope_re * t) * turn.cos - (sine.im + sine.slope_im * t) * turn.sin * sign
            };
            let model = value(&self.low, &l) + value(&self.high, &h);
            // What the squared error falls by if the sines last for this sample too: y² − (y − m)².
            gain += model * (2.0 * f64::from(y) - model);
            if gain > best {
                (best, reach) = (gain, n + 1);
            }
            l.step();
            h.step();
        }
        reach
    }
}

/// Fits by sines of exactly these frequencies.
#[multiversion(targets("x86_64+avx2"))]
fn at(span: &[f32], low: f64, high: f64) -> Fit {
    let half = span.len() / 2;
    let (before, after) = span.split_at(half);
    let scale = 1.0 / half as f64;
    let mut energy = 0.0;
    let (mut l, mut h) = (Turn::new(low, 0.5), Turn::new(high, 0.5));
    // What the signal has along cosine and sine of either tone, and along the same times τ/T.
    let (mut plain, mut sloped) = ([0.0; 4], [0.0; 4]);
    for (n, (&past, &future)) in before.iter().rev().zip(after).enumerate() {
        let (past, future) = (f64::from(past), f64::from(future));
        let (even, odd) = (future + past, future - past);
        let t = (n as f64 + 0.5) * scale;
        let waves = [l.cos, l.sin, h.cos, h.sin];
        let (straight, across) = ([even, odd, even, odd], [t * odd, t * even, t * odd, t * even]);
        for lane in 0..4 {
            plain[lane] += waves[lane] * straight[lane];
            sloped[lane] += waves[lane] * across[lane];
        }
        energy += past * past + future * future;
        l.step();
        h.step();
    }
    let (even, odd) = Normal::pair(low, high, half as f64);
    let (a, even_energy) = even.solve([plain[0], sloped[1], plain[2], sloped[3]]);
    let (b, odd_energy) = odd.solve([plain[1], sloped[0], plain[3], sloped[2]]);
    // x = a·cos + b·sin is the real part of (a − jb)·e^(jωτ).
    let sine = |omega, at: usize| Sine { omega, re: a[at], im: -b[at], slope_re: b[at + 1], slope_im: -a[at + 1] };
    Fit { low: sine(low, 0), high: sine(high, 2), energy, explained: even_energy + odd_energy, half: half as f64 }
}

/// A phasor that turns by a constant angle.
#[derive(Clone, Copy)]
struct Turn {
    cos: f64,
    sin: f64,
    step_cos: f64,
    step_sin: f64,
}

impl Turn {
    /// Begins at `from` samples.
    fn new(omega: f64, from: f64) -> Turn {
        let (sin, cos) = (omega * from).sin_cos();
        let (step_sin, step_cos) = omega.sin_cos();
        Turn { cos, sin, step_cos, step_sin }
    }

    #[inline(always)]
    fn step(&mut self) {
        (self.cos, self.sin) =
            (self.cos * self.step_cos - self.sin * self.step_sin, self.cos * self.step_sin + self.sin * self.step_cos);
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
        let forward = found.reach(signal[250..].iter(), false);
        let back = found.reach(signal[..250].iter().rev(), true);
        assert!((250 + forward).abs_diff(377) <= 1);
        assert!((250 - back).abs_diff(123) <= 1);
    }
}
