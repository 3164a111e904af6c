//! Where a pipeline takes its frames from: the ring of its device, or that of a device that came back with another rate
//! or other channels, brought to those that the pipeline was built for.

use std::fmt;

use super::ring::{Captured, Consumer, Gap, Read};
use crate::dsp::resample::Resampler;
use crate::units::Rate;

/// A ring as its pipeline wants it. Reading neither allocates nor waits.
pub struct Inlet {
    ring: Consumer,
    captured: Captured,
    channels: usize,
    /// `None` if the device is as the pipeline wants it.
    conversion: Option<Box<Conversion>>,
}

struct Conversion {
    from: Rate,
    to: Rate,
    device_channels: usize,
    resampler: Resampler,
    /// As they came.
    raw: Vec<f32>,
    /// With the channels that are wanted.
    mapped: Vec<f32>,
    /// With the rate, too, and those before `taken` already read.
    made: Vec<f32>,
    taken: usize,
    /// The device's frames since the last gap, and in all.
    piece_frames: u64,
    came_frames: u64,
    /// Frames that were handed on, gaps included.
    gave_frames: u64,
    /// Comes after what was made.
    gap: Option<Gap>,
}

impl Inlet {
    /// A ring as it is.
    pub fn plain(ring: Consumer) -> Inlet {
        Inlet { captured: ring.captured(), channels: ring.channels(), ring, conversion: None }
    }

    /// The ring of a device of rate `from` for a pipeline with `channels` at rate `to`, which reads at most `most_frames`
    /// at once. The first frame is the pipeline's frame `at_frame`. A mono device serves all channels; channels that a
    /// device does not have are silent.
    pub fn converted(
        ring: Consumer,
        from: Rate,
        to: Rate,
        channels: usize,
        at_frame: u64,
        most_frames: usize,
    ) -> Inlet {
        let captured = ring.captured().placed(at_frame, from, to);
        let device_channels = ring.channels();
        let conversion = (from != to || device_channels != channels).then(|| {
            let frames = most_frames.max(from.frames_in_ms(20) as usize);
            // What waits in the resampler may come along.
            let most = (to.frames_in_ms(100) + from.convert(frames as u64, to)) as usize;
            Box::new(Conversion {
                from,
                to,
                device_channels,
                resampler: Resampler::new(from, to, channels),
                raw: vec![0.0; frames * device_channels],
                mapped: Vec::with_capacity(frames * channels),
                made: Vec::with_capacity(most * channels),
                taken: 0,
                piece_frames: 0,
                came_frames: 0,
                gave_frames: 0,
                gap: None,
            })
        });
        Inlet { ring, captured, channels, conversion }
    }

    /// Reads what there is into `out` as interleaved frames, up to the next gap.
    pub fn read(&mut self, out: &mut [f32]) -> Read {
        match &mut self.conversion {
            None => self.ring.read(out),
            Some(conversion) => conversion.read(&mut self.ring, self.channels, out),
        }
    }

    /// The pipeline's channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// How far the device has come, in the pipeline's frames.
    pub fn captured(&self) -> Captured {
        self.captured.clone()
    }
}

impl Conversion {
    fn read(&mut self, ring: &mut Consumer, channels: usize, out: &mut [f32]) -> Read {
        loop {
            let ready = &self.made[self.taken..];
            if !ready.is_empty() {
                let count = ready.len().min(out.len() / channels * channels);
                out[..count].copy_from_slice(&ready[..count]);
                self.taken += count;
                self.gave_frames += (count / channels) as u64;
                return Read::Frames(count / channels);
            }
            self.made.clear();
            self.taken = 0;
            if let Some(gap) = self.gap.take() {
                // By all that came, so that roundings do not add up.
                let until = self.from.convert(self.came_frames, self.to);
                let frames = until.saturating_sub(self.gave_frames);
                if frames > 0 {
                    self.gave_frames = until;
                    return Read::Gap(Gap { at_frame: until - frames, frames, cause: gap.cause });
                }
            }
            match ring.read(&mut self.raw) {
                Read::Nothing => return Read::Nothing,
                Read::Frames(frames) => {
                    self.piece_frames += frames as u64;
                    self.came_frames += frames as u64;
                    self.map(frames, channels);
                    self.resampler.process(&self.mapped, &mut self.made);
                }
                Read::Gap(gap) => {
                    self.resampler.finish(self.piece_frames, &mut self.made);
                    self.resampler.restart();
                    self.piece_frames = 0;
                    self.came_frames += gap.frames;
                    self.gap = Some(gap);
                }
            }
        }
    }

    fn map(&mut self, frames: usize, channels: usize) {
        self.mapped.clear();
        for frame in self.raw[..frames * self.device_channels].chunks_exact(self.device_channels) {
            let sample = |channel: usize| {
                if self.device_channels == 1 { frame[0] } else { frame.get(channel).copied().unwrap_or(0.0) }
            };
            self.mapped.extend((0..channels).map(sample));
        }
    }
}

impl fmt::Debug for Inlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let converted = self.conversion.as_ref().map(|conversion| (conversion.from, conversion.to));
        f.debug_struct("Inlet").field("channels", &self.channels).field("converted", &converted).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::GapCause;
    use crate::rt::ring::ring;

    fn rate(hz: u32) -> Rate {
        Rate::new(hz).unwrap()
    }

    #[test]
    fn a_mono_device_at_another_rate_comes_out_on_both_channels_with_its_tone_and_its_gap_in_their_place() {
        let (mut producer, ring) = ring::<f32>(1, 44_100);
        let mut inlet = Inlet::converted(ring, rate(44_100), rate(48_000), 2, 1_000, 4_800);
        let tone = |n: usize| (n as f32 * std::f32::consts::TAU * 1_000.0 / 44_100.0).sin() * 0.5;
        let sound: Vec<f32> = (0..22_050).map(tone).collect();
        producer.push(&sound[..11_025]);
        producer.lose(441, GapCause::Xrun);
        producer.push(&sound[11_025..]);
        assert_eq!(inlet.captured().next_frame(), 1_000 + 24_000 + 480);
        let (mut out, mut heard, mut gaps) = ([0.0; 9_600], Vec::new(), Vec::new());
        loop {
            match inlet.read(&mut out) {
                Read::Frames(frames) => heard.extend_from_slice(&out[..frames * 2]),
                Read::Gap(gap) => gaps.push((heard.len() / 2, gap)),
                Read::Nothing => break,
            }
        }
        assert_eq!(gaps, [(12_000, Gap { at_frame: 12_000, frames: 480, cause: GapCause::Xrun })]);
        for n in 1_000..11_000 {
            let expected = (n as f32 * std::f32::consts::TAU / 48.0).sin() * 0.5;
            assert_eq!(heard[2 * n], heard[2 * n + 1]);
            assert!((heard[2 * n] - expected).abs() < 0.01, "frame {n}: {} for {expected}", heard[2 * n]);
        }
        // What waits in the resampler is at most two of its blocks.
        assert!((22_000..=24_000).contains(&(heard.len() / 2)), "{}", heard.len() / 2);
    }

    #[test]
    fn channels_that_a_device_does_not_have_are_silent_and_those_that_are_too_many_are_left_out() {
        let (mut producer, few) = ring::<f32>(2, 16);
        let mut inlet = Inlet::converted(few, Rate::TELEPHONE, Rate::TELEPHONE, 3, 0, 16);
        producer.push(&[0.1, 0.2, 0.3, 0.4]);
        let mut out = [9.0; 48];
        assert_eq!(inlet.read(&mut out), Read::Frames(2));
        assert_eq!(out[..6], [0.1, 0.2, 0.0, 0.3, 0.4, 0.0]);
        let (mut producer, many) = ring::<f32>(2, 16);
        let mut inlet = Inlet::converted(many, Rate::TELEPHONE, Rate::TELEPHONE, 1, 0, 16);
        producer.push(&[0.1, 0.2, 0.3, 0.4]);
        assert_eq!(inlet.read(&mut out), Read::Frames(2));
        assert_eq!(out[..2], [0.1, 0.3]);
    }

    #[test]
    fn converting_allocates_nothing() {
        let (mut producer, ring) = ring::<i16>(1, 96_000);
        let mut inlet = Inlet::converted(ring, rate(44_100), rate(48_000), 2, 0, 9_600);
        let (block, mut out) = ([1_000_i16; 441], vec![0.0; 2 * 9_600]);
        let counted = allocation_counter::measure(|| {
            for n in 0..1_000 {
                producer.push(&block);
                if n % 100 == 99 {
                    producer.lose(1_000, GapCause::Xrun);
                }
                // Now and then it is late.
                while n % 17 > 5 && inlet.read(&mut out) != Read::Nothing {}
            }
        });
        assert_eq!(counted.count_total, 0);
    }
}
