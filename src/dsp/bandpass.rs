//! The band of the tones, 600 to 1,800 Hz, cut out by nine taps of whole numbers.

use super::multiply_add;
use multiversion::multiversion;
use multiversion::target::selected_target;

/// `(1 − z⁻ᵈ)² · (1 + z⁻¹)²` with d near 3/8 ms; it passes up to 16 times the amplitude.
///
/// The first factor has a double zero at DC, which takes hum (44 dB at 50 Hz) and dial tone away, and one at
/// 2,667 Hz; the second has its double zero at half the rate. Unlike a recursive high-pass it is linear in phase, so
/// its delay is one number and an onset is not smeared, and it is cheap in lanes.
#[derive(Clone)]
pub(super) struct BandPass {
    spread: usize,
    hz: f64,
}

impl BandPass {
    pub fn new(hz: f64) -> BandPass {
        BandPass { spread: (hz * 3.0 / 8_000.0).round() as usize, hz }
    }

    /// How many samples before the first output's must be there.
    pub fn history(&self) -> usize {
        2 * self.spread + 2
    }

    /// How many samples the output lags the input.
    pub fn delay(&self) -> usize {
        self.spread + 1
    }

    /// The gain at `hz`. Negative: what passes is turned over.
    pub fn gain(&self, hz: f64) -> f64 {
        let angle = std::f64::consts::PI * hz / self.hz;
        let (comb, smooth) = ((angle * self.spread as f64).sin(), angle.cos());
        -16.0 * comb * comb * smooth * smooth
    }

    /// Filters `input` (with [`BandPass::history`] older samples at its front) into `out`.
    pub fn run(&self, input: &[f32], out: &mut [f32]) {
        run(input, self.spread, out);
    }
}

/// Outputs made at a time.
const LANES: usize = 8;

/// Every output by the same additions in the same order, wherever it lies in a run.
#[multiversion(targets("x86_64+avx2+fma"))]
fn run(input: &[f32], spread: usize, out: &mut [f32]) {
    const FUSED: bool = selected_target!().supports_feature_str("fma");
    let count = out.len();
    // Of one length, so that one look tells for all three whether a group lies within.
    let (early, middle, late) = (&input[..count + 2], &input[spread..][..count + 2], &input[2 * spread..][..count + 2]);
    if count < LANES {
        for at in 0..count {
            group::<1>([early, middle, late], out, at, FUSED);
        }
        return;
    }
    for index in 0..count.div_ceil(LANES) {
        // The last group begins so early that it is whole: what it makes again is the same.
        group::<LANES>([early, middle, late], out, (index * LANES).min(count - LANES), FUSED);
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "an iterator's calls are not inlined into code for AVX2")]
fn group<const LANES: usize>([early, middle, late]: [&[f32]; 3], out: &mut [f32], at: usize, fused: bool) {
    let early: [f32; LANES] = smooth(early, at, fused);
    let middle: [f32; LANES] = smooth(middle, at, fused);
    let late: [f32; LANES] = smooth(late, at, fused);
    let out = &mut out[at..][..LANES];
    for lane in 0..LANES {
        out[lane] = multiply_add(-2.0, middle[lane], late[lane] + early[lane], fused);
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "as in `group`")]
fn smooth<const LANES: usize>(input: &[f32], at: usize, fused: bool) -> [f32; LANES] {
    let input = &input[at..][..LANES + 2];
    let mut smooth = [0.0; LANES];
    for lane in 0..LANES {
        smooth[lane] = multiply_add(2.0, input[lane + 1], input[lane] + input[lane + 2], fused);
    }
    smooth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_gain_is_what_it_does_to_a_sine() {
        for rate in [8_000.0, 8_820.0, 11_025.0, 12_000.0, 15_999.0] {
            let band = BandPass::new(rate);
            for hz in [50.0, 400.0, 697.0, 1_336.0, 1_633.0, 2_600.0] {
                let input: Vec<f32> = (0..37 + band.history())
                    .map(|n| (std::f64::consts::TAU * hz * n as f64 / rate).sin() as f32)
                    .collect();
                let mut out = [0.0; 37];
                band.run(&input, &mut out);
                for (n, &y) in out.iter().enumerate() {
                    let at = (n + band.history() - band.delay()) as f64;
                    let expected = band.gain(hz) * (std::f64::consts::TAU * hz * at / rate).sin();
                    assert!((f64::from(y) - expected).abs() < 16e-5);
                }
            }
        }
    }

    #[test]
    fn hum_is_44_db_below_the_tones() {
        let band = BandPass::new(8_000.0);
        let db = |hz| 20.0 * band.gain(hz).abs().log10();
        assert!(db(697.0) - db(50.0) > 40.0);
        assert!(db(1_633.0) - db(60.0) > 40.0);
    }
}
