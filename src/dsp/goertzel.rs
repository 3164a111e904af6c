//! The eight frequencies of DTMF, correlated over short spans.
//!
//! One call correlates one *hop* (2.5 ms) against a table of the eight frequencies, in eight lanes. Seen from its middle
//! cosines are even and sines odd, so a hop folds to half its length: what two samples at the same distance sum to meets
//! the cosines, their difference the sines. Longer spans are sums of hops, turned by a constant angle each, so no phase
//! runs on for hours and nothing drifts: the same audio gives the same bits wherever in a stream it lies.

use super::tone::{HIGH_HZ, LOW_HZ};
use multiversion::multiversion;

/// Four rows, then four columns.
pub(super) const BINS: usize = 8;
/// One row of the table, for one distance from the middle of a hop: eight cosines, eight negative sines.
type Row = [[f32; BINS]; 2];

/// Eight complex numbers, one for each frequency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bins {
    pub re: [f32; BINS],
    pub im: [f32; BINS],
}

impl Bins {
    pub const ZERO: Bins = Bins { re: [0.0; BINS], im: [0.0; BINS] };

    /// `earlier` followed by `self`: the sum over both spans, seen from where the earlier one is seen from.
    #[inline(always)]
    pub fn after(&self, earlier: &Bins, turn: &Bins) -> Bins {
        let mut sum = Bins::ZERO;
        for bin in 0..BINS {
            sum.re[bin] = earlier.re[bin] + self.re[bin] * turn.re[bin] - self.im[bin] * turn.im[bin];
            sum.im[bin] = earlier.im[bin] + self.re[bin] * turn.im[bin] + self.im[bin] * turn.re[bin];
        }
        sum
    }

    /// The squared magnitudes.
    #[inline]
    pub fn power(&self) -> [f32; BINS] {
        let mut power = [0.0; BINS];
        for bin in 0..BINS {
            power[bin] = self.re[bin] * self.re[bin] + self.im[bin] * self.im[bin];
        }
        power
    }
}

/// The tables for one rate.
pub(super) struct Bank {
    table: Box<[Row]>,
    hop: usize,
    hz: f64,
    turns: [Bins; 2],
}

/// What a hop amounts to, with those before it.
pub(super) struct Sums {
    pub energy: f32,
    /// Two hops, and four.
    pub two: Bins,
    pub four: Bins,
}

impl Bank {
    /// For spans of `hop` samples at `hz` samples a second.
    pub fn new(hz: f64, hop: usize) -> Bank {
        let table = (0..hop / 2)
            .map(|n| {
                let time = n as f64 + if hop.is_multiple_of(2) { 0.5 } else { 1.0 };
                let angle = |bin| std::f64::consts::TAU * frequency(bin) * time / hz;
                [
                    std::array::from_fn(|bin| angle(bin).cos() as f32),
                    std::array::from_fn(|bin| -angle(bin).sin() as f32),
                ]
            })
            .collect();
        let mut bank = Bank { table, hop, hz, turns: [Bins::ZERO; 2] };
        bank.turns = [bank.turn(1), bank.turn(2)];
        bank
    }

    /// The sums of `samples · e^(−jωτ)` over one hop, τ counted from its middle.
    #[cfg(test)]
    pub fn correlate(&self, samples: &[f32]) -> Bins {
        correlate(samples, &self.table)
    }

    /// Hears the next hop, which is nothing if its energy is below `faint`. `last` is the hop before, and becomes this one;
    /// `two` are the two hops that ended two hops ago. If those are nothing too, `idle` spares adding them up.
    pub fn hear(&self, samples: &[f32], (faint, idle): (f32, bool), last: &mut Bins, two: &Bins) -> Sums {
        hear(samples, self, (faint, idle), last, two)
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
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "as in `correlate`")]
fn energy(samples: &[f32]) -> f32 {
    const LANES: usize = 4;
    let mut sums = [0.0f32; LANES];
    let (groups, rest) = samples.as_chunks::<LANES>();
    for group in groups {
        for lane in 0..LANES {
            sums[lane] += group[lane] * group[lane];
        }
    }
    for lane in 0..rest.len() {
        sums[lane % LANES] += rest[lane] * rest[lane];
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3])
}

/// In one piece, so that the choice of instructions is made once a hop.
#[multiversion(targets("x86_64+avx2"))]
fn hear(samples: &[f32], bank: &Bank, (faint, idle): (f32, bool), last: &mut Bins, two: &Bins) -> Sums {
    let energy = energy(samples);
    let nothing = energy < faint;
    if nothing && idle {
        return Sums { energy, two: Bins::ZERO, four: Bins::ZERO };
    }
    let one = if nothing { Bins::ZERO } else { correlate(samples, &bank.table) };
    let now = one.after(last, &bank.turns[0]);
    *last = one;
    Sums { energy, four: now.after(two, &bank.turns[1]), two: now }
}

/// The longest hop is 2.5 ms below 16 kHz.
const MOST_PAIRS: usize = 20;

#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "a zip stays a call in code for AVX2, and a call costs more than a hop")]
fn correlate(samples: &[f32], table: &[Row]) -> Bins {
    let half = table.len();
    let (before, after) = (&samples[..half], &samples[samples.len() - half..]);
    let (mut even, mut odd) = ([0.0f32; MOST_PAIRS], [0.0f32; MOST_PAIRS]);
    let (even, odd) = (&mut even[..half], &mut odd[..half]);
    for n in 0..half {
        (even[n], odd[n]) = (after[n] + before[half - 1 - n], after[n] - before[half - 1 - n]);
    }
    // Two distances at a time into sums of their own: an addition takes four cycles, and two sums hide half of them.
    let (mut a, mut b) = ([[0.0f32; BINS]; 2], [[0.0f32; BINS]; 2]);
    let ((evens, even), (odds, odd), (rows, row)) =
        (even.as_chunks::<2>(), odd.as_chunks::<2>(), table.as_chunks::<2>());
    let (odds, rows) = (&odds[..evens.len()], &rows[..evens.len()]);
    for n in 0..evens.len() {
        add(&mut a, evens[n][0], odds[n][0], &rows[n][0]);
        add(&mut b, evens[n][1], odds[n][1], &rows[n][1]);
    }
    if let ([even], [odd], [row]) = (even, odd, row) {
        add(&mut a, *even, *odd, row);
    }
    let middle = if samples.len() % 2 == 1 { samples[half] } else { 0.0 };
    let mut sums = Bins::ZERO;
    for bin in 0..BINS {
        sums.re[bin] = (a[0][bin] + b[0][bin]) + middle;
        sums.im[bin] = a[1][bin] + b[1][bin];
    }
    sums
}

#[inline(always)]
fn add(sums: &mut [[f32; BINS]; 2], even: f32, odd: f32, row: &Row) {
    for bin in 0..BINS {
        sums[0][bin] += even * row[0][bin];
        sums[1][bin] += odd * row[1][bin];
    }
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
