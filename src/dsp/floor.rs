//! The noise floor: how loud it is when nobody speaks.

use crate::units::SILENT_DBFS;

/// Blocks to a window of which the quietest stretch is remembered (250 ms).
const WINDOW: u32 = 25;
/// Windows remembered: the floor may rise within two seconds.
const WINDOWS: usize = 8;
/// What is assumed of a room before it has been heard.
const ASSUMED_DBFS: f32 = -60.0;
/// Below this there is no noise to be heard over: half a step of 16 bits, and digital silence.
const LEAST_DBFS: f32 = -75.0;

/// Speech has ended, whatever the floor, when the level has fallen this far below it (other voices in the room).
const FALL_DB: f32 = 15.0;

/// The floor of one channel.
pub(super) struct Floor {
    /// The energy of the last blocks, smoothed over about 50 ms.
    smooth: f64,
    /// The lowest of `smooth` in each of the last windows, in dBFS.
    lowest: [f32; WINDOWS],
    current: f32,
    blocks: u32,
    dbfs: f32,
}

impl Floor {
    pub fn new() -> Floor {
        Floor {
            smooth: 10f64.powf(f64::from(ASSUMED_DBFS) / 10.0),
            lowest: [ASSUMED_DBFS; WINDOWS],
            current: f32::MAX,
            blocks: 0,
            dbfs: ASSUMED_DBFS,
        }
    }

    pub fn dbfs(&self) -> f32 {
        self.dbfs.max(SILENT_DBFS)
    }

    /// Hears the level of another block.
    pub fn hear(&mut self, level_dbfs: f32) {
        self.smooth += 0.2 * (10f64.powf(f64::from(level_dbfs) / 10.0) - self.smooth);
        let smooth_dbfs = (10.0 * self.smooth.max(1e-16).log10()) as f32;
        self.current = self.current.min(smooth_dbfs);
        self.blocks += 1;
        if self.blocks == WINDOW {
            self.lowest.rotate_right(1);
            self.lowest[0] = self.current;
            self.current = f32::MAX;
            self.blocks = 0;
        }
        self.dbfs = self.lowest.iter().fold(self.current, |least, &level| least.min(level)).max(LEAST_DBFS);
    }

    /// The levels above which a block is voiced: to begin speech, and to go on, if speech was `speech_dbfs` loud.
    pub fn thresholds(&self, speech_dbfs: f32) -> (f32, f32) {
        let (on, off) = (self.dbfs + 9.0, self.dbfs + 5.0);
        (on, off.max(speech_dbfs - FALL_DB))
    }
}
