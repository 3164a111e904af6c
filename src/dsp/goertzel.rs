//! The eight frequencies of DTMF, correlated over short spans.
//!
//! One call correlates one *hop* (2.5 ms) against a table of the eight frequencies, in eight lanes. Longer spans are
//! sums of hops, turned by a constant angle each, so no phase runs on for hours and nothing drifts: the same audio
//! gives the same bits wherever in a stream it lies.

use super::tone::{HIGH_HZ, LOW_HZ};
use multiversion::multiversion;

/// Four rows, then four columns.
pub(super) const BINS: usize = 8;
/// One row of the table: eight cosines, eight sines.
type Row = [f32; 2 * BINS];

/// Eight complex numbers, one for each frequency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bins {
    pub re: [f32; BINS],
    pub im: [f32; BINS],
}

impl Bins {
    pub const ZERO: Bins = Bins { re: [0.0; BINS], im: [0.0; BINS] };

    /// `earlier` followed by `self`: the sum over both spans, seen from the beginning of the earlier one.
    pub fn after(&self, earlier: &Bins, turn: &Bins) -> Bins {
        after(self, earlier, turn)
    }

    /// The squared magnitudes.
    pub fn power(&self) -> [f32; BINS] {
        std::array::from_fn(|bin| self.re[bin] * self.re[bin] + self.im[bin] * self.im[bin])
    }
}

/// The tables for one rate.
pub(super) struct Bank {
    table: Box<[Row]>,
    hop: usize,
    hz: f64,
}

impl Bank {
    /// For spans of `hop` samples at `hz` samples a second.
    pub fn new(hz: f64, hop: usize) -> Bank {
        let table = (0..hop)
            .map(|n| {
                let mut row = [0.0; 2 * BINS];
                for bin in 0..BINS {
                    let angle = std::f64::consts::TAU * frequency(bin) * n as f64 / hz;
                    row[bin] = angle.cos() as f32;
                    row[BINS + bin] = -angle.sin() as f32;
                }
                row
            })
            .collect();
        Bank { table, hop, hz }
    }

    /// The sums of `samples · e^(−jωn)` over one hop.
    pub fn correlate(&self, samples: &[f32]) -> Bins {
        correlate(samples, &self.table)
    }

    /// The turn that stands for `hops` hops.
    pub fn turn(&self, hops: usize) -> Bins {
        let mut turn = Bins::ZERO;
        for bin in 0..BINS {
            let angle = std::f64::consts::TAU * frequency(bin) * (hops * self.hop) as f64 / self.hz;
            turn.re[bin] = angle.cos() as f32;
            turn.im[bin] = -angle.sin() as f32;
        }
        turn
    }
}

/// The nominal frequency of a bin in Hz.
pub(super) fn frequency(bin: usize) -> f64 {
    f64::from(if bin < 4 { LOW_HZ[bin] } else { HIGH_HZ[bin - 4] })
}

/// The sum of the squares.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn energy(samples: &[f32]) -> f32 {
    const LANES: usize = 4;
    let mut sums = [0.0f32; LANES];
    let (groups, rest) = samples.as_chunks::<LANES>();
    for group in groups {
        for lane in 0..LANES {
            sums[lane] += group[lane] * group[lane];
        }
    }
    for (lane, x) in rest.iter().enumerate() {
        sums[lane] += x * x;
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3])
}

#[multiversion(targets("x86_64+avx2"))]
fn after(later: &Bins, earlier: &Bins, turn: &Bins) -> Bins {
    let mut sum = Bins::ZERO;
    for bin in 0..BINS {
        sum.re[bin] = earlier.re[bin] + later.re[bin] * turn.re[bin] - later.im[bin] * turn.im[bin];
        sum.im[bin] = earlier.im[bin] + later.re[bin] * turn.im[bin] + later.im[bin] * turn.re[bin];
    }
    sum
}

#[multiversion(targets("x86_64+avx2"))]
fn correlate(samples: &[f32], table: &[Row]) -> Bins {
    // Even and odd samples apart: an addition takes four cycles, and two sums hide half of them.
    let (mut even, mut odd) = ([0.0f32; 2 * BINS], [0.0f32; 2 * BINS]);
    let (pairs, rest) = samples.as_chunks::<2>();
    let (rows, last) = table.as_chunks::<2>();
    for (x, row) in pairs.iter().zip(rows) {
        for lane in 0..2 * BINS {
            even[lane] += x[0] * row[0][lane];
            odd[lane] += x[1] * row[1][lane];
        }
    }
    if let ([x], [row]) = (rest, last) {
        for lane in 0..2 * BINS {
            even[lane] += x * row[lane];
        }
    }
    let mut sums = Bins::ZERO;
    for bin in 0..BINS {
        sums.re[bin] = even[bin] + odd[bin];
        sums.im[bin] = even[BINS + bin] + odd[BINS + bin];
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The crate's unit is odd: it wants 4π²·f/fs.
    fn oracle(samples: &[f32], hz: f64, rate: f64) -> f64 {
        let samples: Vec<f64> = samples.iter().map(|&x| f64::from(x)).collect();
        let unit = 4.0 * std::f64::consts::PI * std::f64::consts::PI * hz / rate;
        let last = *goertzel_filter::filter_naive(&samples, unit).last().unwrap();
        last.norm_sqr()
    }

    fn noise(count: usize) -> Vec<f32> {
        let mut state = 1u32;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state as f32 / 2.0f32.powi(31) - 1.0
            })
            .collect()
    }

    #[test]
    fn one_hop_agrees_with_an_independent_goertzel_filter() {
        for (rate, hop) in [(8_000.0, 20), (8_820.0, 22), (11_025.0, 28), (8_018.2, 21)] {
            let bank = Bank::new(rate, hop);
            let samples = noise(hop);
            let power = bank.correlate(&samples).power();
            for (bin, power) in power.iter().enumerate() {
                let expected = oracle(&samples, frequency(bin), rate);
                assert!((f64::from(*power) - expected).abs() < 1e-4 * (1.0 + expected));
            }
        }
    }

    #[test]
    fn hops_put_together_agree_with_it_too() {
        let (rate, hop) = (8_000.0, 20);
        let bank = Bank::new(rate, hop);
        let samples = noise(4 * hop);
        let hops: Vec<Bins> = samples.chunks(hop).map(|hop| bank.correlate(hop)).collect();
        let (one, two) = (bank.turn(1), bank.turn(2));
        let four = hops[3].after(&hops[2], &one).after(&hops[1].after(&hops[0], &one), &two);
        for (bin, power) in four.power().into_iter().enumerate() {
            let expected = oracle(&samples, frequency(bin), rate);
            assert!((f64::from(power) - expected).abs() < 1e-4 * (1.0 + expected));
        }
    }
}
