//! What is heard besides the two tones of a key, but for what a line may carry under them: hum and dial tone.

use super::fit::{Fit, Normal};
use std::f64::consts::TAU;

/// DC, drift and hum: over 22.5 ms, 50 and 60 Hz are 1.1 and 1.4 turns, which polynomials of this degree follow.
const DEGREE: i32 = 5;
/// Dial tones lie at 350 and 440 Hz (America) or 400 to 450 (elsewhere). These span all between: over 22.5 ms, 44 Hz
/// apart they would leave a tenth of what lies in the middle, and 30 Hz apart leave a thousandth.
const DIAL_HZ: [f64; 4] = [350.0, 380.0, 410.0, 440.0];
const EXCUSED: usize = DEGREE as usize + 1 + 2 * DIAL_HZ.len();

/// The excused sounds over one span, as an orthonormal basis.
pub(super) struct Rest {
    basis: [Box<[f64]>; EXCUSED],
}

impl Rest {
    /// For spans of `length` samples at `hz` samples a second.
    pub fn new(hz: f64, length: usize) -> Rest {
        let time = |n: usize| (2 * n + 1) as f64 / length as f64 - 1.0;
        let powers = (0..=DEGREE).map(|degree| (0..length).map(|n| time(n).powi(degree)).collect::<Vec<f64>>());
        let waves = DIAL_HZ.into_iter().flat_map(|tone| {
            [0.0, 0.25].map(|turn| (0..length).map(|n| (TAU * (tone * n as f64 / hz + turn)).sin()).collect())
        });
        let mut basis: Vec<Vec<f64>> = Vec::with_capacity(EXCUSED);
        for mut row in powers.chain(waves) {
            for other in &basis {
                let along = dot(&row, other);
                row.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y);
            }
            let norm = dot(&row, &row).sqrt();
            row.iter_mut().for_each(|x| *x /= norm);
            basis.push(row);
        }
        Rest { basis: std::array::from_fn(|n| basis[n].as_slice().into()) }
    }

    /// The energy of `heard` without the tones of `fit`, which the band passed by `gains`, and without what is excused.
    pub fn energy(&self, heard: &[f32], fit: &Fit, gains: [f64; 2]) -> f64 {
        let (mut energy, mut along) = (0.0, [0.0; EXCUSED]);
        let (mut tones, mut across) = (Normal::default(), [[0.0; EXCUSED]; 4]);
        for (n, (&x, (fitted, waves))) in heard.iter().zip(fit.passed_by(heard.len(), gains)).enumerate() {
            let rest = f64::from(x) - fitted;
            energy += rest * rest;
            tones.add(waves, rest);
            for (k, row) in self.basis.iter().enumerate() {
                along[k] += rest * row[n];
                (0..4).for_each(|wave| across[wave][k] += waves[wave] * row[n]);
            }
        }
        // What of a dial tone passes the band pulls at the fitted tones: both are solved for together.
        for a in 0..4 {
            tones.right[a] -= dot(&across[a], &along);
            (0..4).for_each(|b| tones.products[a][b] -= dot(&across[a], &across[b]));
        }
        energy - dot(&along, &along) - tones.solve().1
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
