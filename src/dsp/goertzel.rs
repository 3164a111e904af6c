//! The eight frequencies of DTMF, correlated over short spans.
//!
//! One call correlates one *hop* (2.5 ms) against a table of the eight frequencies, in eight lanes. Seen from its middle
//! cosines are even and sines odd, so a hop folds to half its length: what two samples at the same distance sum to meets
//! the cosines, their difference the sines. Longer spans are sums of hops, turned by a constant angle each, so no phase
//! runs on for hours and nothing drifts: the same audio gives the same bits wherever in a stream it lies.

use super::multiply_add;
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
            sum.re[bin] = multiply_add(-im, turn.im[bin], multiply_add(re, turn.re[bin], sum.re[bin], fused), fused);
            sum.im[bin] = multiply_add(im, turn.re[bin], multiply_add(re, turn.im[bin], sum.im[bin], fused), fused);
        }
        sum
    }

    /// The squared magnitudes.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "an iterator's calls are not inlined into code for AVX2")]
    pub fn power(&self) -> [f32; BINS] {
        let mut power = [0.0; BINS];
        for bin in 0..BINS {
            power[bin] = self.re[bin] * self.re[bin] + self.im[bin] * self.im[bin];
        }
        power
    }
}

/// The powers of the strongest row and the strongest column together.
#[inline(always)]
pub(super) fn strongest(power: &[f32; BINS]) -> f32 {
    let mut most = [0.0, 0.0];
    for bin in 0..BINS / 2 {
        most[0] = if power[bin] > most[0] { power[bin] } else { most[0] };
        most[1] = if power[BINS / 2 + bin] > most[1] { power[BINS / 2 + bin] } else { most[1] };
    }
    most[0] + most[1]
}

/// The tables for one rate.
pub(super) struct Bank {
    hop: usize,
    hz: f64,
    one: Box<[Row]>,
    /// For four hops at once.
    four: Box<[Row]>,
    /// By one hop, and by two.
    turns: [Bins; 2],
}

/// The last hops of a signal, and what they sum up to.
#[derive(Clone)]
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

    /// Adds what the last two hops sum up to.
    #[inline(always)]
    fn add(&mut self, two: Bins, turn: &Bins, fused: bool) {
        let at = self.hops.wrapping_sub(1);
        self.fours[at % 8] = two.after(&self.twos[at % 2], turn, fused);
        self.twos[at % 2] = two;
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
        let mut bank = Bank { hop, hz, one: rows(hz, hop), four: rows(hz, 4 * hop), turns: [Bins::ZERO; 2] };
        bank.turns = [1, 2].map(|hops| bank.turn(hops));
        bank
    }

    /// The sums of `samples · e^(−jωτ)` over one hop, τ counted from its middle.
    #[cfg(test)]
    pub fn correlate(&self, samples: &[f32]) -> Bins {
        correlate::<MOST_PAIRS>(samples, &self.one, false)
    }

    /// Hears the next hop, which is nothing if its energy is below `faint`, and says what that is. If the hops before are
    /// nothing either, `idle` spares adding them up.
    pub fn hear(&self, samples: &[f32], (faint, idle): (f32, bool), spans: &mut Spans) -> f32 {
        hear(samples, self, (faint, idle), spans)
    }

    /// The energy of four hops, heard at once, and how strong the strongest row and column are in them.
    pub fn hear_four(&self, samples: &[f32]) -> (f32, f32) {
        hear_four(samples, self)
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

/// The table for a span of so many samples.
fn rows(hz: f64, length: usize) -> Box<[Row]> {
    let row = |n: usize| {
        let time = n as f64 + if length.is_multiple_of(2) { 0.5 } else { 1.0 };
        let angle = |bin| std::f64::consts::TAU * frequency(bin) * time / hz;
        [std::array::from_fn(|bin| angle(bin).cos() as f32), std::array::from_fn(|bin| -angle(bin).sin() as f32)]
    };
    (0..length / 2).map(row).collect()
}

/// The nominal frequency of a bin in Hz.
pub(super) fn frequency(bin: usize) -> f64 {
    f64::from(if bin < 4 { LOW_HZ[bin] } else { HIGH_HZ[bin - 4] })
}

/// The sum of the squares.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "as in `correlate`")]
fn energy(samples: &[f32], fused: bool) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0f32; LANES];
    let (groups, rest) = samples.as_chunks::<LANES>();
    for group in groups {
        for lane in 0..LANES {
            sums[lane] = multiply_add(group[lane], group[lane], sums[lane], fused);
        }
    }
    for lane in 0..rest.len() {
        sums[lane] = multiply_add(rest[lane], rest[lane], sums[lane], fused);
    }
    // Seeing how they are added up, the compiler makes pairs of them and works in two lanes.
    let sums = std::hint::black_box(sums);
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// A hop at 8 kHz, which is what 8, 16, 32, 48, 96 and 192 kHz come to.
const USUAL_HOP: usize = 20;

/// In one piece, so that the choice of instructions is made once a hop.
#[multiversion(targets("x86_64+avx2+fma"))]
fn hear(samples: &[f32], bank: &Bank, (faint, idle): (f32, bool), spans: &mut Spans) -> f32 {
    const FUSED: bool = selected_target!().supports_feature_str("fma");
    match sum_up::<USUAL_HOP, { USUAL_HOP / 2 }>(samples, &bank.one, (faint, idle), FUSED) {
        (energy, None) => energy,
        (energy, Some(one)) => {
            let two = one.after(&spans.one, &bank.turns[0], FUSED);
            spans.one = one;
            spans.energies.copy_within(..7, 1);
            spans.energies[0] = energy;
            spans.hops = spans.hops.wrapping_add(1);
            spans.add(two, &bank.turns[1], FUSED);
            energy
        }
    }
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn hear_four(samples: &[f32], bank: &Bank) -> (f32, f32) {
    const FUSED: bool = selected_target!().supports_feature_str("fma");
    let (energy, four) = sum_up::<{ 4 * USUAL_HOP }, { 2 * USUAL_HOP }>(samples, &bank.four, (0.0, false), FUSED);
    (energy, strongest(&four.unwrap_or(Bins::ZERO).power()))
}

/// The energy of a span, and its sums unless it is nothing (`faint`; `idle` asks for none then).
#[inline(always)]
fn sum_up<const LENGTH: usize, const PAIRS: usize>(
    samples: &[f32],
    table: &[Row],
    (faint, idle): (f32, bool),
    fused: bool,
) -> (f32, Option<Bins>) {
    let usual: (Result<&[f32; LENGTH], _>, Result<&[Row; PAIRS], _>) = (samples.try_into(), table.try_into());
    // The same twice: loops whose length is known take half of the instructions.
    let (energy, bins) = match usual {
        (Ok(samples), Ok(table)) => {
            let energy = energy(samples, fused);
            (energy, if energy < faint { Bins::ZERO } else { correlate::<PAIRS>(samples, table, fused) })
        }
        _ => {
            let energy = energy(samples, fused);
            (energy, if energy < faint { Bins::ZERO } else { correlate::<MOST_PAIRS>(samples, table, fused) })
        }
    };
    (energy, (!(energy < faint && idle)).then_some(bins))
}

/// The longest span is four hops, 10 ms, below 16 kHz.
const MOST_PAIRS: usize = 80;

#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "a zip stays a call in code for AVX2, and a call costs more than a hop")]
fn correlate<const ROOM: usize>(samples: &[f32], table: &[Row], fused: bool) -> Bins {
    let half = table.len();
    let (before, after) = (&samples[..half], &samples[samples.len() - half..]);
    let (mut even, mut odd) = ([0.0f32; ROOM], [0.0f32; ROOM]);
    for n in 0..half {
        (even[n], odd[n]) = (after[n] + before[half - 1 - n], after[n] - before[half - 1 - n]);
    }
    // Through memory: a number that is loaded fills a register at once; one that lies in another takes two steps, and a
    // processor takes one such step a cycle.
    let (even, odd) = std::hint::black_box((&even, &odd));
    let (even, odd) = (&even[..half], &odd[..half]);
    // Distances in turn into sums of their own: an addition takes four cycles, and four sums hide them.
    const SUMS: usize = 4;
    let mut sums = [[[0.0f32; BINS]; 2]; SUMS];
    for first in 0..half / SUMS {
        for n in 0..SUMS {
            let at = first * SUMS + n;
            add_row(&mut sums[n], even[at], odd[at], &table[at], fused);
        }
    }
    for n in 0..half % SUMS {
        let at = half / SUMS * SUMS + n;
        add_row(&mut sums[n], even[at], odd[at], &table[at], fused);
    }
    let middle = if samples.len() % 2 == 1 { samples[half] } else { 0.0 };
    let mut bins = Bins::ZERO;
    for bin in 0..BINS {
        bins.re[bin] = ((sums[0][0][bin] + sums[2][0][bin]) + (sums[1][0][bin] + sums[3][0][bin])) + middle;
        bins.im[bin] = (sums[0][1][bin] + sums[2][1][bin]) + (sums[1][1][bin] + sums[3][1][bin]);
    }
    bins
}

#[inline(always)]
fn add_row(sums: &mut [[f32; BINS]; 2], even: f32, odd: f32, row: &Row, fused: bool) {
    for bin in 0..BINS {
        sums[0][bin] = multiply_add(even, row[0][bin], sums[0][bin], fused);
        sums[1][bin] = multiply_add(odd, row[1][bin], sums[1][bin], fused);
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
        let after = |later: &Bins, earlier: &Bins, turn: &Bins| later.after(earlier, turn, false);
        let four = after(&after(&hops[3], &hops[2], &one), &after(&hops[1], &hops[0], &one), &two);
        for (bin, power) in four.power().into_iter().enumerate() {
            let expected = oracle(&samples, frequency(bin), rate);
            assert!((f64::from(power) - expected).abs() < 1e-4 * (1.0 + expected));
        }
    }

    #[test]
    fn four_hops_at_once_are_as_strong_as_the_same_put_together() {
        for (rate, hop) in [(8_000.0, 20), (8_820.0, 22), (11_025.0, 28), (8_018.2, 21)] {
            let bank = Bank::new(rate, hop);
            let samples = noise(4 * hop);
            let mut spans = Spans::EMPTY;
            let each: f32 = samples.chunks(hop).map(|hop| bank.hear(hop, (0.0, false), &mut spans)).sum();
            let (energy, most) = bank.hear_four(&samples);
            let apart = strongest(&spans.four().power());
            assert!((energy - each).abs() < 1e-4 * each && (most - apart).abs() < 1e-4 * apart, "{most}, {apart}");
        }
    }
}
