//! Levels for people to look at, published by the pipeline's thread without waiting for anyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::dsp::ear::Meter;
use crate::dsp::tone::Key;

/// One channel's levels. Each value is whole by itself; two of them may be of different moments. That is enough to
/// draw a meter, so all orderings are relaxed.
#[derive(Debug, Default)]
struct Channel {
    rms_dbfs: AtomicU32,
    floor_dbfs: AtomicU32,
    threshold_dbfs: AtomicU32,
    peak: AtomicU32,
    clipped: AtomicU64,
    speaking: AtomicBool,
    /// Its character; 0 is none.
    last_key: AtomicU32,
}

/// The levels of a device's channels; reading does not disturb the pipeline.
#[derive(Clone, Debug)]
pub struct Meters(Arc<[Channel]>);

impl Meters {
    /// For a device with so many channels.
    pub fn new(channels: usize) -> Meters {
        Meters((0..channels).map(|_| Channel::default()).collect())
    }

    /// Writes a channel's levels; clipped samples add up, and the peak is the highest until it is taken.
    pub fn publish(&self, channel: usize, meter: Meter) {
        let Some(slot) = self.0.get(channel) else { return };
        slot.rms_dbfs.store(meter.rms_dbfs.to_bits(), Ordering::Relaxed);
        slot.floor_dbfs.store(meter.floor_dbfs.to_bits(), Ordering::Relaxed);
        slot.threshold_dbfs.store(meter.threshold_dbfs.to_bits(), Ordering::Relaxed);
        // Floats from 0 up are in the order of their bits.
        slot.peak.fetch_max(meter.peak.to_bits(), Ordering::Relaxed);
        slot.clipped.fetch_add(meter.clipped, Ordering::Relaxed);
        slot.speaking.store(meter.speaking, Ordering::Relaxed);
        slot.last_key.store(meter.last_key.map_or(0, |key| u32::from(key.char())), Ordering::Relaxed);
    }

    /// The same as [`Meters::read`], and the peak begins anew: for one reader only.
    pub fn take(&self, channel: usize) -> Option<Meter> {
        let meter = self.read(channel)?;
        self.0.get(channel)?.peak.store(0, Ordering::Relaxed);
        Some(meter)
    }

    /// A channel's levels as last written; `clipped` since the start, `peak` since it was last taken.
    pub fn read(&self, channel: usize) -> Option<Meter> {
        let slot = self.0.get(channel)?;
        let float = |cell: &AtomicU32| f32::from_bits(cell.load(Ordering::Relaxed));
        Some(Meter {
            rms_dbfs: float(&slot.rms_dbfs),
            peak: float(&slot.peak),
            clipped: slot.clipped.load(Ordering::Relaxed),
            floor_dbfs: float(&slot.floor_dbfs),
            threshold_dbfs: float(&slot.threshold_dbfs),
            speaking: slot.speaking.load(Ordering::Relaxed),
            last_key: char::from_u32(slot.last_key.load(Ordering::Relaxed)).and_then(Key::new),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read_back_and_clipped_samples_add_up() {
        let meters = Meters::new(1);
        assert_eq!(meters.read(0).unwrap().last_key, None);
        let meter = Meter {
            rms_dbfs: -20.0,
            peak: 0.5,
            clipped: 3,
            floor_dbfs: -60.0,
            threshold_dbfs: -45.0,
            speaking: true,
            last_key: Key::new('#'),
        };
        meters.publish(0, meter);
        assert_eq!(meters.read(0), Some(meter));
        meters.publish(0, meter);
        assert_eq!(meters.read(0), Some(Meter { clipped: 6, ..meter }));
        meters.publish(0, Meter { peak: 0.2, clipped: 0, ..meter });
        assert_eq!(meters.take(0).unwrap().peak, 0.5);
        meters.publish(0, Meter { peak: 0.2, clipped: 0, ..meter });
        assert_eq!(meters.take(0).unwrap().peak, 0.2);
        assert_eq!(meters.read(1), None);
    }
}
