//! The noise floor: how loud it is when nobody speaks. Levels here are mean squares: a logarithm a block would cost more
//! than all the rest.

use crate::units::{SILENT_DBFS, dbfs, mean_square};

/// Blocks to a window of which the quietest stretch is remembered (250 ms).
const WINDOW: u32 = 25;
/// Windows remembered: the floor may rise within two seconds.
const WINDOWS: usize = 8;
/// What is assumed of a room before it has been heard.
const ASSUMED_DBFS: f32 = -60.0;
/// Below this there is no noise to be heard over: half a step of 16 bits, and digital silence.
const LEAST_DBFS: f32 = -75.0;

/// Speech begins this far above the floor (9 dB) ...
const BEGIN: f32 = 7.943;
/// ... and goes on this far above it (5 dB).
const GO_ON: f32 = 3.162;
/// Speech has ended, whatever the floor, when the level has fallen this far below it (15 dB), and does not begin there:
/// other voices in the room, noise that gain control brings up, a fan.
const FALL: f32 = 1.0 / 31.62;

/// The floor of one channel.
#[derive(Clone)]
pub(super) struct Floor {
    least: f32,
    /// The level of the last blocks, smoothed over about 50 ms.
    smooth: f32,
    /// The lowest of `smooth` in each of the last windows.
    lowest: [f32; WINDOWS],
    /// The lowest of them.
    low: f32,
    /// The lowest of `smooth` in this window.
    current: f32,
    blocks: u32,
}

impl Floor {
    pub fn new() -> Floor {
        let assumed = mean_square(ASSUMED_DBFS);
        Floor {
            least: mean_square(LEAST_DBFS),
            smooth: assumed,
            lowest: [assumed; WINDOWS],
            low: assumed,
            current: f32::MAX,
            blocks: 0,
        }
    }

    /// The mean square of the floor.
    fn level(&self) -> f32 {
        self.low.min(self.current).max(self.least)
    }

    pub fn dbfs(&self) -> f32 {
        dbfs(f64::from(self.level())).max(SILENT_DBFS)
    }

    /// Hears the mean square of another block.
    pub fn hear(&mut self, level: f32) {
        self.smooth += 0.2 * (level - self.smooth);
        self.current = self.current.min(self.smooth);
        self.blocks += 1;
        if self.blocks == WINDOW {
            self.lowest.rotate_right(1);
            self.lowest[0] = self.current;
            self.low = self.lowest.iter().fold(f32::MAX, |least, &level| least.min(level));
            self.current = f32::MAX;
            self.blocks = 0;
        }
    }

    /// The mean squares above which a block is voiced: to begin speech, and to go on, if that of speech was `speech`.
    pub fn thresholds(&self, speech: f32) -> (f32, f32) {
        let level = self.level();
        let fall = FALL * speech;
        ((BEGIN * level).max(fall), (GO_ON * level).max(fall))
    }
}
