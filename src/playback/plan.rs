//! What a sound is like at each of its moments, for the microphone that hears it.

use crate::dsp::dtmf::{Dtmf, DtmfConfig, DtmfEvent};
use crate::dsp::level::Level;
use crate::dsp::own::Playing;
use crate::units::Rate;

/// Blocks a second.
const BLOCKS_HZ: u32 = 100;
/// What is told holds for so many blocks that have been handed over to the device already: its buffer ...
const BEHIND: usize = 20;
/// ... and for so many that come next, in case that the next word of it is late.
const AHEAD: usize = 10;

/// A sound's levels and keys, each 10 ms.
pub struct Plan {
    block_frames: usize,
    blocks: Vec<Playing>,
}

impl Plan {
    /// Of interleaved samples.
    pub fn of(samples: &[f32], rate: Rate, channels: usize) -> Plan {
        let block_frames = (rate.hz() / BLOCKS_HZ) as usize;
        let mut blocks: Vec<Playing> = Vec::new();
        let (mut detector, mut mono, mut keys) = (Dtmf::new(rate, &DtmfConfig::default()), Vec::new(), Vec::new());
        for block in samples.chunks(block_frames * channels) {
            let mut level = 0.0_f64;
            for channel in 0..channels {
                mono.clear();
                mono.extend(block.iter().skip(channel).step_by(channels));
                level = level.max(Level::of(&mono).mean_square());
            }
            blocks.push(Playing { level: level as f32, keys: 0 });
            mono.clear();
            mono.extend(block.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32));
            detector.feed(&mono, |event| keys.push(event));
        }
        // What still sounds at the end is released by the silence after it.
        mono.clear();
        mono.resize(rate.frames_in_ms(200) as usize, 0.0);
        detector.feed(&mono, |event| keys.push(event));
        let mut down = None;
        for event in keys {
            match (event, down) {
                (DtmfEvent::Pressed(tone), _) => down = Some(tone),
                (DtmfEvent::Released { end_frame, .. }, Some(tone)) => {
                    let (from, to) = (tone.onset_frame as usize / block_frames, end_frame as usize / block_frames);
                    blocks.iter_mut().take(to + 1).skip(from).for_each(|block| block.keys |= 1 << tone.key.index());
                }
                _ => {}
            }
        }
        Plan { block_frames, blocks }
    }

    /// What is heard or will be in a moment when the next frame to be handed over is this one.
    pub fn around(&self, frame: usize) -> Playing {
        let at = frame / self.block_frames;
        let near = self.blocks.iter().take(at + AHEAD).skip(at.saturating_sub(BEHIND));
        near.fold(Playing::default(), |loudest, block| Playing {
            level: loudest.level.max(block.level),
            keys: loudest.keys | block.keys,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::dsp::tone::Key;

    #[test]
    fn levels_and_keys_are_known_around_their_moment() {
        let (rate, key) = (Rate::TELEPHONE, Key::new('5').unwrap());
        let (low, high) = key.hz();
        let tone = |n: usize| {
            let t = n as f64 / 8_000.0;
            (0.25 * ((TAU * f64::from(low) * t).sin() + (TAU * f64::from(high) * t).sin())) as f32
        };
        // A second of silence, 100 ms of a key on the left, a second of silence.
        let left = |n: usize| if (8_000..8_800).contains(&n) { tone(n) } else { 0.0 };
        let samples: Vec<f32> = (0..16_800).flat_map(|n| [left(n), 0.0]).collect();
        let plan = Plan::of(&samples, rate, 2);
        assert_eq!(plan.around(0), Playing::default());
        for frame in [7_600, 8_400, 10_000] {
            let playing = plan.around(frame);
            assert_eq!(playing.keys, 1 << key.index(), "{frame}");
            assert!((playing.level - 0.0625).abs() < 0.01, "{frame}: {}", playing.level);
        }
        assert_eq!(plan.around(11_000), Playing::default());
    }
}
