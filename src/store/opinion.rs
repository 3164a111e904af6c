//! A second opinion on a stop tone, by another hand: the crate `goertzel-filter`, in double precision, on the samples
//! that the commit horizon held back.
//!
//! Belongs here: measuring what was decided, on the writer's thread. Does not: deciding (`dsp`, `record`).

use std::f64::consts::PI;

use goertzel_filter::filter_naive;

use crate::dsp::tone::Key;
use crate::units::{self, Rate};

/// What the two tones of a key measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SecondOpinion {
    /// The row's frequency, in Hz.
    pub low_hz: f32,
    /// The column's frequency, in Hz.
    pub high_hz: f32,
    /// The row's level, in dBFS.
    pub low_dbfs: f32,
    /// The column's level, in dBFS.
    pub high_dbfs: f32,
}

/// Half of the band in which a tone is looked for, relative to where it should be: ITU-T Q.24 lets receivers refuse
/// beyond 3.5 %.
const SEARCH: f64 = 0.035;
/// Steps of the search on each side; a parabola through the best three does the rest.
const STEPS: i32 = 14;
/// Fewer samples than this hold no two tones.
const LEAST_MS: u32 = 10;

/// Measures the two tones of a key in one channel's samples from its onset on.
pub fn second_opinion(samples: &[f32], rate: Rate, key: Key) -> Option<SecondOpinion> {
    if (samples.len() as u64) < rate.frames_in_ms(LEAST_MS) {
        return None;
    }
    // A Hann window: without it the two tones leak into each other on so few samples.
    let count = samples.len() as f64;
    let window = |i: usize| 0.5 - 0.5 * (2.0 * PI * (i as f64 + 0.5) / count).cos();
    let windowed: Vec<f64> = samples.iter().enumerate().map(|(i, x)| f64::from(*x) * window(i)).collect();
    let (low, high) = measure_key(&windowed, rate, key);
    Some(SecondOpinion { low_hz: low.0, low_dbfs: low.1, high_hz: high.0, high_dbfs: high.1 })
}

fn measure_key(windowed: &Vec<f64>, rate: Rate, key: Key) -> ((f32, f32), (f32, f32)) {
    let (low, high) = key.hz();
    (measure(windowed, rate, f64::from(low)), measure(windowed, rate, f64::from(high)))
}

/// Frequency and level of the strongest tone near `hz`.
fn measure(windowed: &Vec<f64>, rate: Rate, hz: f64) -> (f32, f32) {
    let step = hz * SEARCH / f64::from(STEPS);
    // The crate wants 4π² f / fs where others want 2π f / fs.
    let power = |hz: f64| {
        filter_naive(windowed, 4.0 * PI * PI * hz / f64::from(rate.hz()))
            .last()
            .map_or(0.0, |y| y.re * y.re + y.im * y.im)
    };
    let powers: Vec<f64> = (-STEPS..=STEPS).map(|i| power(hz + f64::from(i) * step)).collect();
    let best = (0..powers.len()).max_by(|a, b| powers[*a].total_cmp(&powers[*b])).unwrap_or(0);
    let mut at = best as f64;
    if best > 0 && best + 1 < powers.len() {
        let (a, b, c) = (powers[best - 1].ln(), powers[best].ln(), powers[best + 1].ln());
        let bend = a - 2.0 * b + c;
        if bend < 0.0 {
            at += 0.5 * (a - c) / bend;
        }
    }
    let found = hz + (at - f64::from(STEPS)) * step;
    // |X| of a sine of amplitude A under a Hann window is A·N/4; its mean square is A²/2.
    let amplitude = 4.0 * power(found).sqrt() / windowed.len() as f64;
    (found as f32, units::dbfs(amplitude * amplitude / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tones_are_measured_to_a_hertz_and_a_tenth_of_a_decibel() {
        for hz in [8_000, 44_100, 48_000] {
            let rate = Rate::new(hz).unwrap();
            let sine = |i: usize, f: f64, a: f64| a * (2.0 * PI * f * i as f64 / f64::from(hz)).sin();
            let frames = rate.frames_in_ms(32) as usize;
            let samples: Vec<f32> =
                (0..frames).map(|i| (sine(i, 945.0, 0.1) + sine(i, 1_470.0, 0.05)) as f32).collect();
            let opinion = second_opinion(&samples, rate, Key::new('#').unwrap()).unwrap();
            assert!((opinion.low_hz - 945.0).abs() < 1.0, "{opinion:?}");
            assert!((opinion.high_hz - 1_470.0).abs() < 1.0, "{opinion:?}");
            assert!((opinion.low_dbfs + 20.0).abs() < 0.1, "{opinion:?}");
            assert!((opinion.high_dbfs + 26.0).abs() < 0.1, "{opinion:?}");
        }
    }

    #[test]
    fn too_few_samples_give_no_opinion() {
        assert_eq!(second_opinion(&[0.1; 79], Rate::TELEPHONE, Key::at(0, 0)), None);
    }
}
