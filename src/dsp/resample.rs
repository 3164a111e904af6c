//! From the device's rate to a recording's, frame for frame: input frame 0 is output frame 0.

use crate::units::Rate;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

/// The resampler of one recording, all channels together, interleaved.
///
/// Audio is re-blocked to a fixed length, so the output never depends on how it was cut, to the bit. (On another CPU
/// the last bits may differ: the FFT uses what instructions there are.)
pub struct Resampler {
    from: Rate,
    to: Rate,
    channels: usize,
    /// `None` if the rates are equal.
    inner: Option<Inner>,
    /// Output frames handed on.
    written: u64,
}

struct Inner {
    fft: Fft<f32>,
    block: Vec<f32>,
    filled: usize,
    out: Vec<f32>,
    /// Output frames still to be dropped: the filter's delay.
    delay: usize,
}

impl Resampler {
    /// From rate `from` to rate `to`, for `channels` (at least 1) interleaved channels.
    ///
    /// # Panics
    ///
    /// If `channels` is 0.
    pub fn new(from: Rate, to: Rate, channels: usize) -> Resampler {
        assert!(channels > 0, "audio has at least one channel");
        let inner = (from != to).then(|| Inner::new(from, to, channels));
        Resampler { from, to, channels, inner, written: 0 }
    }

    /// Takes any number of whole frames and appends what became known to `out`.
    pub fn process(&mut self, interleaved: &[f32], out: &mut Vec<f32>) {
        let before = out.len();
        match &mut self.inner {
            None => out.extend_from_slice(interleaved),
            Some(inner) => inner.process(interleaved, self.channels, out),
        }
        self.written += ((out.len() - before) / self.channels) as u64;
    }

    /// Begins anew, as if nothing had been processed.
    pub fn restart(&mut self) {
        self.written = 0;
        if let Some(inner) = &mut self.inner {
            inner.filled = 0;
            inner.fft.reset();
            inner.delay = inner.fft.output_delay();
        }
    }

    /// The audio has ended after `input_frames_total` frames: appends the rest, so that exactly
    /// `from.convert(input_frames_total, to)` frames were handed on in all. Nothing may be processed afterwards but after
    /// [`Resampler::restart`].
    ///
    /// Frames already handed on are not taken back, should there be more of them.
    pub fn finish(&mut self, input_frames_total: u64, out: &mut Vec<f32>) {
        let total = self.from.convert(input_frames_total, self.to);
        let Some(inner) = &mut self.inner else { return };
        let missing = total.saturating_sub(self.written) as usize * self.channels;
        let end = out.len() + missing;
        while out.len() < end {
            inner.flush(self.channels, out);
        }
        out.truncate(end);
        self.written = self.written.max(total);
    }
}

impl Inner {
    fn new(from: Rate, to: Rate, channels: usize) -> Inner {
        // An even number of the smallest blocks that hold whole frames of both rates, of 10 ms or a little more: an
        // odd one would shift the audio by half a frame.
        let smallest = (from.hz() / gcd(from.hz(), to.hz())) as usize;
        let chunk = (from.frames_in_ms(10) as usize).next_multiple_of(2 * smallest);
        let (rate_in, rate_out) = (from.hz() as usize, to.hz() as usize);
        let fft = Fft::new_custom(
            rate_in,
            rate_out,
            chunk,
            1,
            channels,
            rubato::WindowFunction::BlackmanHarris2,
            FixedSync::Input,
        )
        .expect("rates and channels are above 0");
        Inner {
            block: vec![0.0; fft.input_frames_max() * channels],
            filled: 0,
            out: vec![0.0; fft.output_frames_max() * channels],
            delay: fft.output_delay(),
            fft,
        }
    }

    fn process(&mut self, mut interleaved: &[f32], channels: usize, out: &mut Vec<f32>) {
        while !interleaved.is_empty() {
            let length = self.fft.input_frames_next() * channels;
            let count = interleaved.len().min(length - self.filled);
            let (now, later) = interleaved.split_at(count);
            self.block[self.filled..self.filled + count].copy_from_slice(now);
            self.filled += count;
            interleaved = later;
            if self.filled == length {
                self.turn(channels, out);
            }
        }
    }

    fn flush(&mut self, channels: usize, out: &mut Vec<f32>) {
        let length = self.fft.input_frames_next() * channels;
        self.block[self.filled..length].fill(0.0);
        self.turn(channels, out);
    }

    fn turn(&mut self, channels: usize, out: &mut Vec<f32>) {
        self.filled = 0;
        let (frames_in, frames_out) = (self.fft.input_frames_next(), self.out.len() / channels);
        let input = InterleavedSlice::new(&self.block[..], channels, frames_in);
        let output = InterleavedSlice::new_mut(&mut self.out[..], channels, frames_out);
        let (Ok(input), Ok(mut output)) = (input, output) else { unreachable!("both buffers have their length") };
        let written = match self.fft.process_into_buffer(&input, &mut output, None) {
            Ok((_, written)) => written,
            Err(error) => unreachable!("buffers fit: {error}"),
        };
        let dropped = self.delay.min(written);
        self.delay -= dropped;
        out.extend_from_slice(&self.out[dropped * channels..written * channels]);
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn rate(hz: u32) -> Rate {
        Rate::new(hz).unwrap()
    }

    const PAIRS: [(u32, u32); 7] = [
        (48_000, 16_000),
        (44_100, 16_000),
        (48_000, 8_000),
        (44_100, 48_000),
        (16_000, 48_000),
        (96_000, 44_100),
        (16_000, 16_000),
    ];

    fn convert(input: &[f32], from: u32, to: u32, channels: usize, cut: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(rate(from), rate(to), channels);
        let mut out = Vec::new();
        input.chunks(cut * channels).for_each(|piece| resampler.process(piece, &mut out));
        resampler.finish((input.len() / channels) as u64, &mut out);
        out
    }

    #[test]
    fn a_sine_stays_the_same_sine_at_the_same_time() {
        for (from, to) in PAIRS {
            let sine = |hz: u32, count: usize| -> Vec<f32> {
                (0..count).map(|n| (0.5 * (TAU * 1_000.0 * n as f64 / f64::from(hz)).sin()) as f32).collect()
            };
            let out = convert(&sine(from, from as usize), from, to, 1, 480);
            let ideal = sine(to, to as usize);
            let middle = to as usize / 4..to as usize * 3 / 4;
            let error: f64 = middle.clone().map(|n| f64::from(out[n] - ideal[n]).powi(2)).sum();
            let signal: f64 = middle.map(|n| f64::from(ideal[n]).powi(2)).sum();
            let snr = 10.0 * (signal / error.max(1e-30)).log10();
            assert!(snr > 90.0, "{from} to {to}: {snr} dB");
        }
    }

    #[test]
    fn an_impulse_keeps_its_place() {
        for (from, to) in PAIRS {
            // 0.1 s is a whole number of frames at every rate.
            let mut input = vec![0.0; from as usize / 2];
            input[from as usize / 10] = 1.0;
            let out = convert(&input, from, to, 1, 102);
            let peak = (0..out.len()).max_by(|&a, &b| out[a].total_cmp(&out[b])).unwrap();
            assert_eq!(peak, to as usize / 10, "{from} to {to}");
        }
    }

    #[test]
    fn the_length_is_exact() {
        for (from, to) in PAIRS {
            for frames in [0, 1, 2, 79, 80, 441, 480, 1_000, 12_345] {
                for channels in [1, 2] {
                    let out = convert(&vec![0.1; frames * channels], from, to, channels, 100);
                    assert_eq!(out.len() as u64, channels as u64 * rate(from).convert(frames as u64, rate(to)));
                }
            }
        }
    }

    #[test]
    fn the_output_does_not_depend_on_the_cut() {
        for (from, to) in PAIRS {
            let input: Vec<f32> = (0..8_000).map(|n| ((n * n) as f32 * 0.001).sin()).collect();
            let whole = convert(&input, from, to, 2, 4_000);
            for cut in [1, 7, 102, 480, 1_024] {
                assert!(convert(&input, from, to, 2, cut) == whole, "{from} to {to} in pieces of {cut}");
            }
        }
    }
}
