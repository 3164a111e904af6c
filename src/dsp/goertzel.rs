//! The eight frequencies of DTMF, correlated over short spans.
//!
//! One call correlates one *hop* (2.5 ms) against a table of the eight frequencies, in eight lanes. Seen from its middle
//! cosines are even and sines odd, so a hop folds to half its length: what two samples at the same distance sum to meets
//! the cosines, their difference the sines. Longer spans are sums of hops, turned by a constant angle each, so no phase
//! runs on for hours and nothing drifts: the same audio gives the same bits wherever in a stream it lies.

use super::tone::{HIGH_HZ, LOW_HZ};
use multiversion::multiversion;
use multiversion::target::selected_target;

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
    fn after(&self, earlier: &Bins, turn: &Bins, fused: bool) -> Bins {
        let mut sum = *earlier;
        for bin in 0..BINS {
            let (re, im) = (self.re[bin], self.im[bin]);
            sum.re[bin] = add(add(sum.re[bin], re, turn.re[bin], fused), -im, turn.im[bin], fused);
            sum.im[bin] = add(add(sum.im[bin], re, turn.im[bin], fused), im, turn.re[bin], fused);
        }
        sum
    }

    /// The squared magnitudes.
    #[inline]
    #[expect(clippy::needless_range_loop, reason = "an iterator's calls are not inlined into code for AVX2")]
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

/// The last hops of a signal, and what they sum up to.
pub(super) struct Spans {
    /// The energies of the last eight, the last one first.
    pub energies: [f32; 8],
    hops: usize,
    one: Bins,
    twos: [Bins; 2],
    fours: [Bins; 8],
}

impl Spans {
    /// After nothing.
    pub const EMPTY: Spans =
        Spans { energies: [0.0; 8], hops: 0, one: Bins::ZERO, twos: [Bins::ZERO; 2], fours: [Bins::ZERO; 8] };

    /// Adds a hop, unless it and all before are nothing; its energy.
    #[inline(always)]
    fn add(
        &mut self,
        samples: &[f32],
        table: &[Row],
        turns: &[Bins; 2],
        (faint, idle): (f32, bool),
        fused: bool,
    ) -> f32 {
        let energy = energy(samples);
        let nothing = energy < faint;
        if nothing && idle {
            return energy;
        }
        let one = if nothing { Bins::ZERO } else { correlate(samples, table, fused) };
        let two = one.after(&self.one, &turns[0], fused);
        self.fours[self.hops % 8] = two.after(&self.twos[self.hops % 2], &turns[1], fused);
        self.twos[self.hops % 2] = two;
        self.one = one;
        self.hops = self.hops.wrapping_add(1);
        self.energies.copy_within(..7, 1);
        self.energies[0] = energy;
        energy
    }

    /// The last two hops.
    pub fn two(&self) -> &Bins {
        &self.twos[self.hops.wrapping_sub(1) % 2]
    }

    /// The last four hops.
    pub fn four(&self) -> &Bins {
        &self.fours[self.hops.wrapping_sub(1) % 8]
    }

    /// The four hops before those.
    pub fn four_before(&self) -> &Bins {
        &self.fours[self.hops.wrapping_sub(5) % 8]
    }
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
        correlate(samples, &self.table, false)
    }

    /// Hears the next hop, which is nothing if its energy is below `faint`, and says what that is. If the hops before are
    /// nothing either, `idle` spares adding them up.
    pub fn hear(&self, samples: &[f32], (faint, idle): (f32, bool), spans: &mut Spans) -> f32 {
        hear(samples, self, (faint, idle), spans)
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

/// A hop at 8 kHz, which is where 8, 16, 32, 48, 96 and 192 kHz come to.
const USUAL_HOP: usize = 20;

/// In one piece, so that the choice of instructions is made once a hop.
#[multiversion(targets("x86_64+avx2+fma"))]
fn hear(samples: &[f32], bank: &Bank, (faint, idle): (f32, bool), spans: &mut Spans) -> f32 {
    const FUSED: bool = selected_target!().supports_feature_str("fma");
    let usual: (Result<&[f32; USUAL_HOP], _>, Result<&[Row; USUAL_HOP / 2], _>) =
        (samples.try_into(), (&*bank.table).try_into());
    // The same twice: loops whose length is known take half of the instructions.
    match usual {
        (Ok(samples), Ok(table)) => spans.add(samples, table, &bank.turns, (faint, idle), FUSED),
        _ => spans.add(samples, &bank.table, &bank.turns, (faint, idle), FUSED),
    }
}

/// The longest hop is 2.5 ms below 16 kHz.
const MOST_PAIRS: usize = 20;

#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "a zip stays a call in code for AVX2, and a call costs more than a hop")]
fn correlate(samples: &[f32], table: &[Row], fused: bool) -> Bins {
    let half = table.len();
    let (before, after) = (&samples[..half], &samples[samples.len() - half..]);
    let (mut even, mut odd) = ([0.0f32; MOST_PAIRS], [0.0f32; MOST_PAIRS]);
    for n in 0..half {
        (even[n], odd[n]) = (after[n] + before[half - 1 - n], after[n] - before[half - 1 - n]);
    }
    // Through memory: a number that is loaded fills a register at once; one that lies in another takes two steps, and a
    // processor takes one such step a cycle.
    let (even, odd) = std::hint::black_box((&even, &odd));
    let (even, odd) = (&even[..half], &odd[..half]);
    // Two distances at a time into sums of their own: an addition takes four cycles, and two sums hide half of them.
    let (mut a, mut b) = ([[0.0f32; BINS]; 2], [[0.0f32; BINS]; 2]);
    let ((evens, even), (odds, odd), (rows, row)) =
        (even.as_chunks::<2>(), odd.as_chunks::<2>(), table.as_chunks::<2>());
    let (odds, rows) = (&odds[..evens.len()], &rows[..evens.len()]);
    for n in 0..evens.len() {
        add_row(&mut a, evens[n][0], odds[n][0], &rows[n][0], fused);
        add_row(&mut b, evens[n][1], odds[n][1], &rows[n][1], fused);
    }
    if let ([even], [odd], [row]) = (even, odd, row) {
        add_row(&mut a, *even, *odd, row, fused);
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
fn add_row(sums: &mut [[f32; BINS]; 2], even: f32, odd: f32, row: &Row, fused: bool) {
    for bin in 0..BINS {
        sums[0][bin] = add(sums[0][bin], even, row[0][bin], fused);
        sums[1][bin] = add(sums[1][bin], odd, row[1][bin], fused);
    }
}

/// `sum + a · b`, in one step where the processor has one: without, it would be a call.
#[inline(always)]
fn add(sum: f32, a: f32, b: f32, fused: bool) -> f32 {
    if fused { a.mul_add(b, sum) } else { sum + a * b }
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
        let after = |later: &Bins, earlier: &Bins, turn: &Bins| later.after(earlier, turn, false);
        let four = after(&after(&hops[3], &hops[2], &one), &after(&hops[1], &hops[0], &one), &two);
        for (bin, power) in four.power().into_iter().enumerate() {
            let expected = oracle(&samples, frequency(bin), rate);
            assert!((f64::from(power) - expected).abs() < 1e-4 * (1.0 + expected));
        }
    }
}
