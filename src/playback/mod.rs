//! Where prompts and beeps are played: a loudspeaker, or a file that keeps what was played.
//!
//! Belongs here: outputs, and the beep. Does not: when something is played (`control`), where prompts come from
//! (`control`, `wav`).
//!
//! Playing ends when the last frame has left the loudspeaker, not when it was handed over. Whoever stops waiting for it
//! (drops the future) stops the sound.

mod clip;
#[cfg(feature = "device")]
mod device;
mod file;
mod plan;

pub use clip::Clip;
pub use plan::Plan;

use std::f64::consts::{PI, TAU};
use std::path::PathBuf;
use std::time::Duration;

use crate::rt::sounding::Sounding;
use crate::units::Rate;

/// How long the beep is, and a timed beep where there is nothing to play it.
pub const BEEP: Duration = Duration::from_millis(BEEP_MS as u64);
/// The same in milliseconds.
pub const BEEP_MS: u32 = 250;
/// Its pitch: the tone that answering machines use, and far from the frequencies of all keys but one.
pub const BEEP_HZ: f64 = 1_000.0;
/// Its level: loud enough to be heard, with room to full scale.
pub const BEEP_DBFS: f64 = -12.0;
/// It fades in and out for so long, or it would click.
pub const BEEP_RAMP_MS: u32 = 5;

/// How many frames the beep lasts.
pub const fn beep_frames(rate: Rate) -> u64 {
    rate.frames_in_ms(BEEP_MS)
}

/// The beep as interleaved samples, the same on all channels.
pub fn beep(rate: Rate, channels: usize) -> Vec<f32> {
    let (frames, ramp) = (beep_frames(rate), rate.frames_in_ms(BEEP_RAMP_MS));
    let amplitude = 10_f64.powf(BEEP_DBFS / 20.0);
    let mut samples = Vec::with_capacity(frames as usize * channels);
    for frame in 0..frames {
        // Distance to the nearer end, half a frame inside, so that the beep is symmetrical.
        let inside = (frame.min(frames - 1 - frame) as f64 + 0.5) / ramp as f64;
        let envelope = if inside < 1.0 { 0.5 - 0.5 * (PI * inside).cos() } else { 1.0 };
        let sample = (amplitude * envelope * (TAU * BEEP_HZ * rate.seconds(frame)).sin()) as f32;
        samples.extend(std::iter::repeat_n(sample, channels));
    }
    samples
}

/// Makes interleaved samples for an output of this rate and so many channels. It runs on the output's own thread and may
/// take its time.
pub type Score = Box<dyn FnOnce(Rate, usize) -> Result<Vec<f32>, String> + Send>;

/// Something to be played.
#[derive(Clone, Debug)]
pub enum Sound {
    /// The beep, once.
    Beep,
    /// A clip, so often; 0 is for ever.
    Clip(Clip, u32),
}

impl Sound {
    /// How long it is; `None` is for ever.
    pub fn lasts(&self) -> Option<Duration> {
        match self {
            Sound::Beep => Some(BEEP),
            Sound::Clip(_, 0) => None,
            // A million years are as good as for ever.
            Sound::Clip(clip, plays) => clip.lasts().checked_mul(*plays),
        }
    }

    fn score(&self) -> (Score, u32) {
        match self {
            Sound::Beep => (Box::new(|rate, channels| Ok(beep(rate, channels))), 1),
            Sound::Clip(clip, plays) => (clip.score(), *plays),
        }
    }
}

/// An output. It opens its device for as long as it plays only: so it is nobody's hindrance, and a sound server that was
/// restarted is no trouble.
#[derive(Debug)]
pub struct Playback(Output);

#[derive(Debug)]
enum Output {
    Device(String),
    File(file::Output),
}

impl Playback {
    /// What a line's configuration names: `device:NAME`, `wav:PATH`, or `none`, which is `None`.
    pub fn open(name: &str) -> Result<Option<Playback>, String> {
        match name.split_once(':').unwrap_or((name, "")) {
            ("none", "") => Ok(None),
            ("device", device) if !device.is_empty() => {
                if cfg!(feature = "device") {
                    Ok(Some(Playback(Output::Device(device.to_owned()))))
                } else {
                    Err(format!("{name} cannot be opened: this build has no sound devices"))
                }
            }
            ("wav", path) if !path.is_empty() => {
                Ok(Some(Playback(Output::File(file::Output::new(PathBuf::from(path))))))
            }
            _ => Err(format!("{name:?} is no playback; valid are device:NAME, wav:PATH and none")),
        }
    }

    /// Plays a sound; returns when its last frame has left the loudspeaker. Dropping the future stops it. What a loudspeaker
    /// plays is told to the microphone that may hear it.
    #[cfg_attr(not(feature = "device"), expect(unused_variables, reason = "no microphone hears a file"))]
    pub async fn play(&self, sound: &Sound, sounding: &Sounding) -> Result<(), String> {
        let (score, plays) = sound.score();
        match &self.0 {
            #[cfg(feature = "device")]
            Output::Device(name) => {
                let (done, end) = tokio::sync::oneshot::channel();
                device::play(name, score, plays, sounding.clone(), done)?;
                end.await.unwrap_or_else(|_| Err(format!("device:{name}: its thread is gone")))
            }
            #[cfg(not(feature = "device"))]
            Output::Device(name) => Err(format!("device:{name}: this build has no sound devices")),
            Output::File(output) => output.play(score, plays).await,
        }
    }
}

/// Where the end of a sound is reported. Whoever waited and no longer does has stopped the sound.
#[cfg(feature = "device")]
type Done = tokio::sync::oneshot::Sender<Result<(), String>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::dbfs;

    #[test]
    fn the_beep_is_250_ms_of_1_khz_at_minus_12_dbfs_at_every_rate() {
        for hz in [8_000, 11_025, 44_100, 48_000, 192_000] {
            let rate = Rate::new(hz).unwrap();
            let samples = beep(rate, 1);
            assert_eq!(samples.len() as u64, u64::from(hz) / 4);
            let middle = &samples[samples.len() / 5..samples.len() * 4 / 5];
            let power = middle.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / middle.len() as f64;
            assert!((f64::from(dbfs(power)) - BEEP_DBFS).abs() < 0.05, "{hz}: {}", dbfs(power));
            let crossings = samples.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
            assert!((249..=250).contains(&crossings), "{hz}: {crossings}");
        }
    }

    #[test]
    fn the_beep_begins_and_ends_without_a_step() {
        let samples = beep(Rate::new(48_000).unwrap(), 2);
        assert!(samples.chunks(2).all(|frame| frame[0] == frame[1]));
        let largest = samples.windows(4).map(|pair| (pair[2] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(samples[0].abs() < 1e-4 && samples[samples.len() - 1].abs() < 1e-3);
        // No step is larger than the steepest of the sine itself.
        assert!(f64::from(largest) <= 10_f64.powf(BEEP_DBFS / 20.0) * TAU * BEEP_HZ / 48_000.0 * 1.001);
    }

    #[test]
    fn outputs_are_none_a_device_or_a_wav_and_nothing_else() {
        assert!(Playback::open("none").unwrap().is_none());
        assert!(Playback::open("wav:played.wav").unwrap().is_some());
        assert_eq!(Playback::open("device:default").is_ok(), cfg!(feature = "device"));
        for name in ["", "wav:", "device:", "speaker", "none:x"] {
            assert!(Playback::open(name).unwrap_err().contains("valid are"), "{name}");
        }
    }
}
