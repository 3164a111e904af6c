//! The wait-free ring between a device's callback and the pipeline.
//!
//! The callback only copies, in the device's own sample type, and counts what did not fit. A gap is handed over in a
//! second ring with the frame at which it lies; it is always pushed before the frames that follow it, and the reader
//! looks for gaps only after it has seen how many frames there are, so it never reads past one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::record::GapCause;
use crate::units::Rate;

/// So many gaps can wait to be read; when there are more, they run together.
const GAPS: usize = 256;

/// A type of sample that devices deliver.
pub trait Sample: Copy + Send + 'static {
    /// Its value with −1 … 1 as full scale. 16 and 24 bits convert exactly. What is no audio (see
    /// [`crate::units::audible`]) stays: the detectors hear it as silence, the writer stores it as silence and counts it.
    fn to_f32(self) -> f32;
    /// Silence.
    const ZERO: Self;
}

macro_rules! sample {
    ($($kind:ty, $zero:expr, $convert:expr;)*) => {$(
        impl Sample for $kind {
            const ZERO: $kind = $zero;
            #[inline(always)]
            fn to_f32(self) -> f32 {
                let convert: fn($kind) -> f32 = $convert;
                convert(self)
            }
        }
    )*};
}

sample! {
    i8, 0, |x| f32::from(x) / 128.0;
    u8, 128, |x| (f32::from(x) - 128.0) / 128.0;
    i16, 0, |x| f32::from(x) / 32_768.0;
    u16, 32_768, |x| (f32::from(x) - 32_768.0) / 32_768.0;
    i32, 0, |x| x as f32 / 2_147_483_648.0;
    u32, 1 << 31, |x| (f64::from(x) / 2_147_483_648.0 - 1.0) as f32;
    f32, 0.0, |x| x;
    f64, 0.0, |x| x as f32;
}

/// Frames that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first missing frame.
    pub at_frame: u64,
    /// How many are missing, at least one.
    pub frames: u64,
    /// Why.
    pub cause: GapCause,
}

/// How far a device has come; may be read from any thread, and may be stale by one callback.
#[derive(Clone, Debug)]
pub struct Captured {
    count: Arc<AtomicU64>,
    /// Where the count begins, and from which rate to which it is converted.
    from_frame: u64,
    rates: Option<(Rate, Rate)>,
}

impl Captured {
    /// Of a device that is not there, and would have come to this frame.
    pub fn missing(next_frame: u64) -> Captured {
        Captured { count: Arc::default(), from_frame: next_frame, rates: None }
    }

    /// The index of the next frame to come from the device: how many have come or were lost so far.
    pub fn next_frame(&self) -> u64 {
        // Acquire: who starts a recording at this frame finds all frames before it in the ring.
        let count = self.count.load(Ordering::Acquire);
        self.from_frame + self.rates.map_or(count, |(from, to)| from.convert(count, to))
    }

    /// The same, where its first frame is `at_frame` of a pipeline of another rate.
    pub(super) fn placed(self, at_frame: u64, from: Rate, to: Rate) -> Captured {
        Captured { from_frame: at_frame, rates: Some((from, to)), ..self }
    }
}

/// The device's end.
pub struct Producer<T> {
    samples: rtrb::Producer<T>,
    gaps: rtrb::Producer<Gap>,
    channels: usize,
    /// The frame that comes next.
    next_frame: u64,
    /// Lost just before it, not handed over yet.
    lost: Option<Gap>,
    captured: Captured,
}

/// The pipeline's end.
pub struct Consumer {
    samples: Box<dyn Drain>,
    gaps: rtrb::Consumer<Gap>,
    channels: usize,
    /// The frame that is read next.
    next_frame: u64,
    captured: Captured,
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many frames.
    Frames(usize),
    /// So many are missing here.
    Gap(Gap),
    /// Nothing has come.
    Nothing,
}

/// A ring for `frames` frames of a device with so many channels.
pub fn ring<T: Sample>(channels: usize, frames: usize) -> (Producer<T>, Consumer) {
    let (samples, drain) = rtrb::RingBuffer::new(channels * frames);
    let (gaps, gap_drain) = rtrb::RingBuffer::new(GAPS);
    let captured = Captured::missing(0);
    (
        Producer { samples, gaps, channels, next_frame: 0, lost: None, captured: captured.clone() },
        Consumer { samples: Box::new(drain), gaps: gap_drain, channels, next_frame: 0, captured },
    )
}

impl<T: Sample> Producer<T> {
    /// Hands interleaved frames over; what does not fit is counted as an overrun. Wait-free.
    #[cfg_attr(feature = "rtsan", rtsan_standalone::nonblocking)]
    pub fn push(&mut self, interleaved: &[T]) {
        let frames = interleaved.len() / self.channels;
        let fit = if self.hand_over_gap() { frames.min(self.room()) } else { 0 };
        // The room has been asked for, so this cannot fail.
        let pushed = self.samples.push_entire_slice(&interleaved[..fit * self.channels]).is_ok();
        let fit = if pushed { fit as u64 } else { 0 };
        self.next_frame += fit;
        if frames as u64 > fit {
            self.note_lost(frames as u64 - fit, GapCause::Overrun);
        }
        self.publish();
    }

    /// Says that the device itself lost frames. Wait-free.
    #[cfg_attr(feature = "rtsan", rtsan_standalone::nonblocking)]
    pub fn lose(&mut self, frames: u64, cause: GapCause) {
        if frames > 0 {
            self.note_lost(frames, cause);
            self.hand_over_gap();
            self.publish();
        }
    }

    /// How many frames fit now; the reader can only make it more.
    pub fn room(&self) -> usize {
        self.samples.slots() / self.channels
    }

    /// How far it has come.
    pub fn captured(&self) -> Captured {
        self.captured.clone()
    }

    fn note_lost(&mut self, frames: u64, cause: GapCause) {
        match &mut self.lost {
            Some(gap) => gap.frames += frames,
            None => self.lost = Some(Gap { at_frame: self.next_frame, frames, cause }),
        }
    }

    /// `true` if no gap is left that the reader does not know of.
    fn hand_over_gap(&mut self) -> bool {
        if let Some(gap) = self.lost {
            if self.gaps.push(gap).is_err() {
                return false;
            }
            self.next_frame = gap.at_frame + gap.frames;
            self.lost = None;
        }
        true
    }

    fn publish(&self) {
        let pending = self.lost.map_or(0, |gap| gap.frames);
        // Release: pairs with `Captured::next_frame`.
        self.captured.count.store(self.next_frame + pending, Ordering::Release);
    }
}

impl Consumer {
    /// Reads what there is into `out` as interleaved frames, up to the next gap.
    pub fn read(&mut self, out: &mut [f32]) -> Read {
        // First how many frames there are, then the gaps: a gap is handed over before the frames that follow it.
        let ready = self.samples.ready() / self.channels;
        if let Ok(gap) = self.gaps.peek() {
            let gap = *gap;
            if gap.at_frame == self.next_frame {
                let _ = self.gaps.pop();
                self.next_frame += gap.frames;
                return Read::Gap(gap);
            }
            return self.take(ready.min((gap.at_frame - self.next_frame) as usize), out);
        }
        self.take(ready, out)
    }

    fn take(&mut self, ready: usize, out: &mut [f32]) -> Read {
        let frames = ready.min(out.len() / self.channels);
        if frames == 0 {
            return Read::Nothing;
        }
        self.samples.drain(&mut out[..frames * self.channels]);
        self.next_frame += frames as u64;
        Read::Frames(frames)
    }

    /// The device's channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// How far the device has come.
    pub fn captured(&self) -> Captured {
        self.captured.clone()
    }
}

/// A ring of any type of sample, from the reader's side.
trait Drain: Send {
    fn ready(&self) -> usize;
    /// Fills `out`, which is no longer than what is ready.
    fn drain(&mut self, out: &mut [f32]);
}

impl<T: Sample> Drain for rtrb::Consumer<T> {
    fn ready(&self) -> usize {
        self.slots()
    }

    fn drain(&mut self, out: &mut [f32]) {
        let Ok(chunk) = self.read_chunk(out.len()) else { return out.fill(0.0) };
        let (first, second) = chunk.as_slices();
        let (to_first, to_second) = out.split_at_mut(first.len());
        convert(first, to_first);
        convert(second, to_second);
        chunk.commit_all();
    }
}

/// One plain loop, so that it vectorises.
fn convert<T: Sample>(from: &[T], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = from.to_f32();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_a_gap_at_its_place_and_the_count_goes_on() {
        let (mut producer, mut consumer) = ring::<i16>(2, 4);
        producer.push(&[1, 2, 3, 4, 5, 6]);
        producer.push(&[7, 8, 9, 10, 11, 12]);
        assert_eq!(producer.captured().next_frame(), 6);
        let mut out = [0.0; 16];
        assert_eq!(consumer.read(&mut out), Read::Frames(4));
        assert_eq!(out[7], 8.0 / 32_768.0);
        assert_eq!(consumer.read(&mut out), Read::Nothing);
        producer.push(&[13, 14]);
        assert_eq!(consumer.read(&mut out), Read::Gap(Gap { at_frame: 4, frames: 2, cause: GapCause::Overrun }));
        assert_eq!(consumer.read(&mut out), Read::Frames(1));
        assert_eq!(out[0], 13.0 / 32_768.0);
        assert_eq!(producer.captured().next_frame(), 7);
    }

    #[test]
    fn frames_before_a_gap_are_read_before_it() {
        let (mut producer, mut consumer) = ring::<f32>(1, 8);
        producer.push(&[0.5, 0.25]);
        producer.lose(10, GapCause::Xrun);
        producer.push(&[0.125]);
        let mut out = [0.0; 8];
        assert_eq!(consumer.read(&mut out), Read::Frames(2));
        assert_eq!(consumer.read(&mut out), Read::Gap(Gap { at_frame: 2, frames: 10, cause: GapCause::Xrun }));
        assert_eq!(consumer.read(&mut out), Read::Frames(1));
        assert_eq!(out[0], 0.125);
    }

    #[test]
    fn every_type_of_sample_has_the_same_full_scale() {
        assert_eq!(i8::MIN.to_f32(), -1.0);
        assert_eq!(u8::MIN.to_f32(), -1.0);
        assert_eq!(i16::MIN.to_f32(), -1.0);
        assert_eq!(u16::MIN.to_f32(), -1.0);
        assert_eq!(i32::MIN.to_f32(), -1.0);
        assert_eq!(u32::MIN.to_f32(), -1.0);
        assert_eq!(<u32 as Sample>::ZERO.to_f32(), 0.0);
    }
}
