//! Our own sound in the microphone: how loud it may be there without anybody speaking.
//!
//! A loudspeaker's sound comes back weaker or stronger by its *coupling*: the level in the microphone over the level that
//! was played. It is learnt from every second in which something audible is played, as the loudest that was heard over
//! the loudest that was played: noise that hides the sound makes it larger, never smaller. What lies within a margin of
//! it is our own sound.

use crate::units::mean_square;

/// What an output plays at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Playing {
    /// The mean square of its loudest 10 ms.
    pub level: f32,
    /// The keys in it, each the bit of its [`index`](super::tone::Key::index).
    pub keys: u16,
}

impl Playing {
    /// Both at the same time.
    pub fn and(self, other: Playing) -> Playing {
        Playing { level: self.level + other.level, keys: self.keys | other.keys }
    }
}

/// Sound comes back within so many blocks (500 ms): the buffers of output and input, and the room.
const PAST: usize = 50;
/// The same for keys, in ms: their onset is known within a block or two.
pub(super) const PAST_MS: u32 = 600;
/// A coupling is learnt from so many blocks of audible sound (1 s).
const WINDOW: u32 = 100;
/// Our own sound may be louder by this than was learnt (6 dB): people who speak over it are by 10 dB.
const MARGIN: f32 = 3.98;
/// In a second the coupling rises by so much at most (6 dB), and falls by so little (3 dB): the loudest one counts.
const RISE: f32 = 3.98;
const FALL: f32 = 0.5;
/// No coupling is smaller (-40 dB): a loudspeaker that was silent may be turned up.
const LEAST: f32 = 1e-4;
/// What is played below this is not audible.
const AUDIBLE_DBFS: f32 = -50.0;

/// What one channel hears of us.
#[derive(Clone)]
pub(super) struct Own {
    now: f32,
    past: [f32; PAST],
    at: usize,
    /// Blocks since anything was played.
    silent: usize,
    /// The loudest of the past blocks.
    loudest: f32,
    audible: f32,
    coupling: Option<f32>,
    /// The loudest that was heard in this window, and that was played.
    heard: f32,
    played: f32,
    blocks: u32,
    /// The coupling of the window before. It counts when this one is over: who begins to speak is recognised by then, and
    /// not taken for a loudspeaker that was turned up.
    before: f32,
}

impl Own {
    pub fn new() -> Own {
        Own {
            now: 0.0,
            past: [0.0; PAST],
            at: 0,
            silent: PAST,
            loudest: 0.0,
            audible: mean_square(AUDIBLE_DBFS),
            coupling: None,
            heard: 0.0,
            played: 0.0,
            blocks: 0,
            before: 0.0,
        }
    }

    /// From now on this level is played.
    pub fn play(&mut self, level: f32) {
        self.now = level;
    }

    /// Another block has passed.
    pub fn pass(&mut self) {
        self.silent = if self.now > 0.0 { 0 } else { self.silent.saturating_add(1) };
        if self.silent > PAST {
            return;
        }
        self.past[self.at] = self.now;
        self.at = (self.at + 1) % PAST;
        self.loudest = self.past.iter().fold(0.0, |loudest, &level| loudest.max(level));
    }

    /// Whether the microphone may hear us.
    pub fn sounds(&self) -> bool {
        self.loudest > 0.0
    }

    /// What is no louder may be our own sound. Until a coupling is known that is anything.
    pub fn bar(&self) -> f32 {
        match self.coupling {
            _ if self.loudest == 0.0 => 0.0,
            Some(coupling) => MARGIN * coupling * self.loudest,
            None => f32::INFINITY,
        }
    }

    /// Hears a block's level.
    pub fn learn(&mut self, level: f32) {
        if self.loudest < self.audible {
            return;
        }
        self.heard = self.heard.max(level);
        self.played = self.played.max(self.loudest);
        self.blocks += 1;
        if self.blocks == WINDOW {
            let now = (self.heard / self.played).max(LEAST);
            self.coupling = Some(self.coupling.map_or(now, |known| self.before.clamp(FALL * known, RISE * known)));
            self.before = now;
            (self.heard, self.played, self.blocks) = (0.0, 0.0, 0);
        }
    }
}
