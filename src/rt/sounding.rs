//! What is being played where a device may hear it: written by the outputs' threads, read by the pipeline's without
//! waiting for anyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::dsp::own::Playing;

/// So many sounds at once are known of; a device that plays more than that hears itself.
const SOUNDS: usize = 16;
/// A slot that is taken. The lower half is the level, the bits above it are the keys.
const TAKEN: u64 = 1 << 63;

/// All that is being played.
#[derive(Clone, Debug, Default)]
pub struct Sounding(Arc<[AtomicU64; SOUNDS]>);

/// One sound; it is over when this is dropped.
#[derive(Debug)]
pub struct Part {
    sounding: Sounding,
    slot: Option<usize>,
}

impl Sounding {
    /// Another sound begins.
    pub fn part(&self) -> Part {
        let take = |slot: &AtomicU64| slot.compare_exchange(0, TAKEN, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        Part { sounding: self.clone(), slot: self.0.iter().position(take) }
    }

    /// What is played now, all in all.
    pub fn now(&self) -> Playing {
        self.0.iter().fold(Playing::default(), |sum, slot| {
            let value = slot.load(Ordering::Relaxed);
            sum.and(Playing { level: f32::from_bits(value as u32), keys: (value >> 32) as u16 })
        })
    }
}

impl Part {
    /// It is at this point.
    pub fn is(&self, playing: Playing) {
        if let Some(slot) = self.slot {
            let value = TAKEN | u64::from(playing.keys) << 32 | u64::from(playing.level.to_bits());
            self.sounding.0[slot].store(value, Ordering::Relaxed);
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.sounding.0[slot].store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sounds_add_up_and_are_gone_when_they_are_over() {
        let sounding = Sounding::default();
        let (one, two) = (sounding.part(), sounding.part());
        one.is(Playing { level: 0.25, keys: 1 });
        two.is(Playing { level: 0.5, keys: 1 << 15 });
        assert_eq!(sounding.now(), Playing { level: 0.75, keys: 1 | 1 << 15 });
        drop(one);
        assert_eq!(sounding.now(), Playing { level: 0.5, keys: 1 << 15 });
        let many: Vec<Part> = (0..20).map(|_| sounding.part()).collect();
        many.iter().for_each(|part| part.is(Playing { level: 1.0, keys: 0 }));
        assert_eq!(sounding.now().level, 15.5);
        drop((two, many));
        assert_eq!(sounding.now(), Playing::default());
    }
}
