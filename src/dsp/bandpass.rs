//! The band of the tones, 600 to 1,800 Hz, cut out by nine taps of whole numbers.

use multiversion::multiversion;

/// `(1 − z⁻ᵈ)² · (1 + z⁻¹)² / 16` with d near 3/8 ms.
///
/// The first factor has a double zero at DC, which takes hum (44 dB at 50 Hz) and dial tone away, and one at
/// 2,667 Hz; the second has its double zero at half the rate. Unlike a recursive high-pass it is linear in phase, so
/// its delay is one number and an onset is not smeared, and it is cheap in lanes.
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

    /// The gain at `hz`.
    pub fn gain(&self, hz: f64) -> f64 {
        let angle = std::f64::consts::PI * hz / self.hz;
        let (comb, smooth) = ((angle * self.spread as f64).sin(), angle.cos());
        comb * comb * smooth * smooth
    }

    /// Filters `input` (with [`BandPass::history`] older samples at its front) into `out`; returns `out`'s energy.
    pub fn run(&self, input: &[f32], out: &mut [f32]) -> f32 {
        run(input, self.spread, out)
    }
}

#[multiversion(targets("x86_64+avx2"))]
fn run(input: &[f32], spread: usize, out: &mut [f32]) -> f32 {
    const LANES: usize = 4;
    let (near, middle, far) = (input, &input[spread..], &input[2 * spread..]);
    let mut sums = [0.0f32; LANES];
    let (groups, rest) = out.as_chunks_mut::<LANES>();
    let done = groups.len() * LANES;
    let windows = near.windows(LANES + 2).zip(middle.windows(LANES + 2)).zip(far.windows(LANES + 2));
    for (to, ((a, b), c)) in groups.iter_mut().zip(windows.step_by(LANES)) {
        for lane in 0..LANES {
            let edges = a[lane] + a[lane + 2] + c[lane] + c[lane + 2] + 2.0 * (a[lane + 1] + c[lane + 1]);
            let y = (edges - 2.0 * (b[lane] + b[lane + 2] + 2.0 * b[lane + 1])) * (1.0 / 16.0);
            to[lane] = y;
            sums[lane] += y * y;
        }
    }
    for (n, to) in rest.iter_mut().enumerate() {
        let smooth = |x: &[f32]| x[done + n] + x[done + n + 2] + 2.0 * x[done + n + 1];
        *to = (smooth(near) + smooth(far) - 2.0 * smooth(middle)) * (1.0 / 16.0);
        sums[n] += *to * *to;
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_gain_is_what_it_does_to_a_sine() {
        for rate in [8_000.0, 8_820.0, 11_025.0, 12_000.0, 15_999.0] {
            let band = BandPass::new(rate);
            for hz in [50.0, 400.0, 697.0, 1_336.0, 1_633.0, 2_600.0] {
                let input: Vec<f32> = (0..48 + band.history())
                    .map(|n| (std::f64::consts::TAU * hz * n as f64 / rate).sin() as f32)
                    .collect();
                let mut out = [0.0; 48];
                band.run(&input, &mut out);
                for (n, &y) in out.iter().enumerate() {
                    let at = (n + band.history() - band.delay()) as f64;
                    let expected = -band.gain(hz) * (std::f64::consts::TAU * hz * at / rate).sin();
                    assert!((f64::from(y) - expected).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn hum_is_44_db_below_the_tones() {
        let band = BandPass::new(8_000.0);
        let db = |hz| 20.0 * band.gain(hz).log10();
        assert!(db(697.0) - db(50.0) > 40.0);
        assert!(db(1_633.0) - db(60.0) > 40.0);
    }
}
