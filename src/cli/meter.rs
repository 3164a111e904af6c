//! A level beside what it is measured against, made of characters.

use serde::Deserialize;

use crate::dsp::ear::Meter;

/// The bar shows −60 to 0 dBFS on so many columns.
const COLUMNS: usize = 30;

/// What a channel hears, and why that counts as speech or not.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Level {
    pub rms_dbfs: f32,
    pub noise_floor_dbfs: f32,
    pub threshold_dbfs: f32,
    pub speaking: bool,
}

impl From<&Meter> for Level {
    fn from(meter: &Meter) -> Level {
        Level {
            rms_dbfs: meter.rms_dbfs,
            noise_floor_dbfs: meter.floor_dbfs,
            threshold_dbfs: meter.threshold_dbfs,
            speaking: meter.speaking,
        }
    }
}

impl Level {
    /// `#` up to the level, `:` at the floor and `|` at the threshold.
    pub fn bar(&self) -> String {
        let column = |dbfs: f32| ((dbfs + 60.0) / 60.0 * COLUMNS as f32).clamp(0.0, COLUMNS as f32) as usize;
        let [level, floor, threshold] = [self.rms_dbfs, self.noise_floor_dbfs, self.threshold_dbfs].map(column);
        let at = |at| match at {
            _ if at == threshold => '|',
            _ if at == floor => ':',
            _ if at < level => '#',
            _ => '.',
        };
        (0..COLUMNS).map(at).collect()
    }

    /// Whether there is speech.
    pub const fn word(&self) -> &'static str {
        if self.speaking { "speech" } else { "silence" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_the_level_between_the_floor_and_the_threshold() {
        let quiet = Level { rms_dbfs: -50.0, noise_floor_dbfs: -54.0, threshold_dbfs: -44.0, speaking: false };
        assert_eq!(quiet.bar(), "###:#...|.....................");
        let loud = Level { rms_dbfs: -20.0, speaking: true, ..quiet };
        assert_eq!(loud.bar(), "###:####|###########..........");
        let none = Level { rms_dbfs: -120.0, noise_floor_dbfs: -70.0, ..quiet };
        assert_eq!(none.bar(), ":.......|.....................");
    }
}
