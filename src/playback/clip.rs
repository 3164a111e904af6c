//! A WAV to be played: checked when it comes, converted when it is played, by the output's own thread.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use super::Score;
use crate::dsp::resample::Resampler;
use crate::units::{Rate, audible};
use crate::wav::{Info, Reader};

/// A clip is converted as a whole; at 48 kHz and in stereo this much takes 115 MB.
const MOST_SECONDS: u64 = 300;
/// What is shorter is no sound, and a loop of it would be nothing but work.
const LEAST_MS: u32 = 10;
/// Frames are read in pieces of so many.
const PIECE_FRAMES: usize = 4_096;

/// A WAV of any PCM or float form, at 8 to 192 kHz, of at most five minutes.
#[derive(Clone, Debug)]
pub struct Clip {
    wav: Arc<[u8]>,
    info: Info,
    rate: Rate,
}

impl Clip {
    /// Reads the header; what cannot be played is named.
    pub fn new(wav: Arc<[u8]>) -> Result<Clip, String> {
        let info = Reader::new(Cursor::new(wav.clone())).map_err(|error| error.to_string())?.info();
        let rate = Rate::new(info.rate_hz);
        let rate = rate.ok_or_else(|| {
            let (least, most) = (Rate::MIN_HZ, Rate::MAX_HZ);
            format!("the WAV has a sample rate of {} Hz, {least} to {most} are played", info.rate_hz)
        })?;
        match info.frames {
            frames if frames < rate.frames_in_ms(LEAST_MS) => {
                Err(format!("the WAV holds {frames} frames, at least {LEAST_MS} ms are played"))
            }
            frames if frames > MOST_SECONDS * u64::from(info.rate_hz) => {
                let seconds = rate.seconds(frames);
                Err(format!("the WAV lasts {seconds:.0} s, at most {MOST_SECONDS} are played"))
            }
            _ => Ok(Clip { wav, info, rate }),
        }
    }

    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.wav.len()
    }

    /// How long it is.
    pub fn lasts(&self) -> Duration {
        Duration::from_secs_f64(self.rate.seconds(self.info.frames))
    }

    /// Makes its samples for an output.
    pub fn score(&self) -> Score {
        let clip = self.clone();
        Box::new(move |rate, channels| clip.samples(rate, channels))
    }

    /// One channel is heard on all of the output's, more than it has are mixed onto all; else the first ones are used.
    fn samples(&self, rate: Rate, channels: usize) -> Result<Vec<f32>, String> {
        let mut reader = Reader::new(Cursor::new(self.wav.clone())).map_err(|error| error.to_string())?;
        let width = usize::from(self.info.channels);
        let mixes = width == 1 || width > channels;
        let mut resampler = Resampler::new(self.rate, rate, channels);
        let mut read = vec![0.0; PIECE_FRAMES * width];
        let mut dealt = vec![0.0; PIECE_FRAMES * channels];
        let (mut samples, mut total) = (Vec::new(), 0);
        loop {
            let frames = reader.read_f32(&mut read).map_err(|error| error.to_string())?;
            if frames == 0 {
                break;
            }
            total += frames as u64;
            let pairs = read.chunks_exact_mut(width).zip(dealt.chunks_exact_mut(channels)).take(frames);
            for (from, to) in pairs {
                // One that is no audio would spread over a whole block of the resampler.
                from.iter_mut().for_each(|sample| *sample = audible(*sample));
                match mixes {
                    true => to.fill(from.iter().sum::<f32>() / width as f32),
                    false => to[..width].copy_from_slice(from),
                }
            }
            resampler.process(&dealt[..frames * channels], &mut samples);
        }
        resampler.finish(total, &mut samples);
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn wav(spec: hound::WavSpec, frames: u32, mut sample: impl FnMut(u32, u16) -> f64) -> Arc<[u8]> {
        let mut file = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
        let full = f64::from(1_u32 << (spec.bits_per_sample - 1));
        for frame in 0..frames {
            for channel in 0..spec.channels {
                let value = sample(frame, channel);
                match spec.sample_format {
                    hound::SampleFormat::Int => writer.write_sample((value * full) as i32).unwrap(),
                    hound::SampleFormat::Float => writer.write_sample(value as f32).unwrap(),
                }
            }
        }
        writer.finalize().unwrap();
        file.into_inner().into()
    }

    fn spec(channels: u16, sample_rate: u32, bits_per_sample: u16, float: bool) -> hound::WavSpec {
        let sample_format = if float { hound::SampleFormat::Float } else { hound::SampleFormat::Int };
        hound::WavSpec { channels, sample_rate, bits_per_sample, sample_format }
    }

    #[test]
    fn a_sine_of_every_form_and_rate_is_played_as_the_same_sine() {
        for (hz, bits, float) in [
            (8_000, 8, false),
            (11_025, 16, false),
            (22_050, 24, false),
            (44_100, 32, false),
            (48_000, 32, true),
            (96_000, 16, false),
        ] {
            let sine = |frame: u32, hz: u32| 0.5 * (TAU * 1_000.0 * f64::from(frame) / f64::from(hz)).sin();
            let clip = Clip::new(wav(spec(1, hz, bits, float), hz, |frame, _| sine(frame, hz))).unwrap();
            assert_eq!(clip.lasts(), Duration::from_secs(1), "{hz}");
            let samples = clip.samples(Rate::new(48_000).unwrap(), 2).unwrap();
            assert_eq!(samples.len(), 96_000, "{hz}");
            assert!(samples.chunks(2).all(|frame| frame[0] == frame[1]), "{hz}");
            let off = (6_000..18_000).map(|n| (f64::from(samples[n * 2]) - sine(n as u32, 48_000)).abs());
            let off = off.fold(0.0, f64::max);
            assert!(off < if bits == 8 { 0.012 } else { 0.001 }, "{hz}: {off}");
        }
    }

    #[test]
    fn channels_are_kept_where_there_are_enough_and_mixed_where_not() {
        let stereo = wav(spec(2, 8_000, 16, false), 80, |_, channel| [0.5, -0.25][usize::from(channel)]);
        let clip = Clip::new(stereo).unwrap();
        let first = |channels| clip.samples(Rate::TELEPHONE, channels).unwrap()[..channels].to_vec();
        assert_eq!(first(1), [0.125]);
        assert_eq!(first(2), [0.5, -0.25]);
        assert_eq!(first(3), [0.5, -0.25, 0.0]);
    }

    #[test]
    fn what_cannot_be_played_is_named() {
        let refused = |wav: Arc<[u8]>| Clip::new(wav).unwrap_err();
        assert!(refused(b"ID3\x04".as_slice().into()).contains("ID3"));
        assert!(refused(wav(spec(1, 4_000, 16, false), 10, |_, _| 0.0)).contains("4000 Hz"));
        assert!(refused(wav(spec(1, 8_000, 16, false), 79, |_, _| 0.0)).contains("79 frames"));
        assert!(refused(wav(spec(1, 8_000, 8, false), 8_000 * 301, |_, _| 0.0)).contains("lasts 301 s"));
    }

    #[test]
    fn what_is_no_number_is_silence() {
        let clip = Clip::new(wav(spec(1, 8_000, 32, true), 80, |_, _| f64::NAN)).unwrap();
        assert_eq!(clip.samples(Rate::TELEPHONE, 1).unwrap(), [0.0; 80]);
    }

    #[test]
    fn a_float_that_is_no_audio_does_not_spread() {
        for wrong in [f64::NAN, f64::INFINITY, 3e38, -3e38] {
            let sample = |frame: u32, _| if frame.is_multiple_of(2) { wrong } else { 0.5 };
            let clip = Clip::new(wav(spec(1, 8_000, 32, true), 800, sample)).unwrap();
            let samples = (clip.score())(Rate::new(16_000).unwrap(), 2).unwrap();
            assert!(samples.iter().all(|sample| sample.abs() < 2.0), "{wrong}");
        }
    }
}
