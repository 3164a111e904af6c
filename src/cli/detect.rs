//! `tonearm detect`: every tone in files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::{Done, Failure, progress};
use crate::dsp::dtmf::DtmfConfig;
use crate::dsp::ear::{Ear, Heard};
use crate::dsp::silence::SilenceConfig;
use crate::dsp::tone::Tone;
use crate::store::opinion::{SecondOpinion, second_opinion};
use crate::units::{self, Rate};
use crate::wav::Reader;

/// A key is reported within 45 ms of its onset.
const RECENT_MS: u32 = 60;

#[derive(Args)]
pub struct Detect {
    /// So many milliseconds of audio are given to the detector at a time
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    feed_ms: u32,
    /// Print where speech begins and ends, too
    #[arg(long)]
    speech: bool,
    /// The files, of any PCM or float format, 8 to 192 kHz
    #[arg(required = true, value_name = "WAV")]
    files: Vec<PathBuf>,
}

/// One line. Times are seconds from the file's start.
#[derive(Serialize)]
struct ToneLine<'a> {
    file: &'a str,
    channel: usize,
    digit: char,
    t_on: f64,
    t_off: f64,
    t_detect: f64,
    level_dbfs: f64,
    twist_db: f64,
    onset_frame: u64,
    decision_frame: u64,
    low_hz: f64,
    high_hz: f64,
    low_dbfs: f64,
    high_dbfs: f64,
    purity: f64,
    second_opinion: Option<Opinion>,
}

/// What another hand measured.
#[derive(Serialize)]
struct Opinion {
    low_hz: f64,
    high_hz: f64,
    low_dbfs: f64,
    high_dbfs: f64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum SpeechLine<'a> {
    On { file: &'a str, channel: usize, speech_on: f64, floor_dbfs: f64, threshold_dbfs: f64 },
    Off { file: &'a str, channel: usize, speech_off: f64, last_voiced_frame: u64, floor_dbfs: f64, threshold_dbfs: f64 },
}

/// What was found, in the order in which it is printed: by the end of the block that brought it, then by channel.
struct Found {
    block_end_frame: u64,
    channel: usize,
    what: What,
}

enum What {
    Tone { tone: Tone, second: Option<SecondOpinion>, end_frame: u64 },
    SpeechOn { first_frame: u64, levels: Levels },
    SpeechOff { last_frame: u64, levels: Levels },
}

/// Floor and threshold in dBFS at the end of the block that told.
#[derive(Clone, Copy)]
struct Levels(f32, f32);

impl Levels {
    fn of(ear: &Ear) -> Levels {
        let (_, floor, threshold) = ear.levels();
        Levels(floor, threshold)
    }
}

impl Detect {
    pub fn run(&self) -> Done {
        let mut failed = Vec::new();
        let bar = progress::over(self.files.len());
        for file in &self.files {
            let mut out = Vec::new();
            if let Err(why) = self.file(file, &mut out) {
                failed.push(format!("{}: {why}", file.display()));
            }
            let printed = bar.suspend(|| io::stdout().write_all(&out));
            printed.map_err(|error| Failure::Failed(error.to_string()))?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        if failed.is_empty() { Ok(()) } else { Err(Failure::Failed(failed.join("\ntonearm: "))) }
    }

    fn file(&self, path: &Path, out: &mut impl Write) -> Result<(), String> {
        let mut reader = Reader::open(path).map_err(|error| error.to_string())?;
        let info = reader.info();
        let rate = Rate::new(info.rate_hz).ok_or_else(|| {
            format!("{} Hz cannot be analysed; valid are {} to {} Hz", info.rate_hz, Rate::MIN_HZ, Rate::MAX_HZ)
        })?;
        let found = self.listen(&mut reader, rate, usize::from(info.channels)).map_err(|error| error.to_string())?;
        let name = path.display().to_string();
        for found in &found {
            self.print(&name, rate, found, out).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn listen(&self, reader: &mut Reader, rate: Rate, channels: usize) -> io::Result<Vec<Found>> {
        let frames = (rate.frames_in_ms(self.feed_ms) as usize).max(1);
        let mut ears: Vec<_> = (0..channels).map(|_| Listener::new(rate, frames)).collect();
        let mut block = vec![0.0; frames * channels];
        let mut mono = vec![0.0; frames];
        let (mut found, mut end_frame) = (Vec::new(), 0);
        loop {
            let read = reader.read_f32(&mut block)?;
            if read == 0 {
                break;
            }
            end_frame += read as u64;
            for (channel, listener) in ears.iter_mut().enumerate() {
                for (to, frame) in mono.iter_mut().zip(block.chunks_exact(channels)) {
                    *to = frame[channel];
                }
                listener.hear(&mono[..read], end_frame, channel, &mut found);
            }
        }
        for (channel, listener) in ears.into_iter().enumerate() {
            listener.finish(end_frame, channel, &mut found);
        }
        found.sort_by_key(|found| (found.block_end_frame, found.channel));
        Ok(found)
    }

    fn print(&self, file: &str, rate: Rate, found: &Found, out: &mut impl Write) -> io::Result<()> {
        let (channel, seconds) = (found.channel + 1, |frame| rounded(rate.seconds(frame), 1e6));
        match found.what {
            What::Tone { tone, second, end_frame } => {
                let power = |dbfs: f32| 10_f64.powf(f64::from(dbfs) / 10.0) / 2.0;
                let line = ToneLine {
                    file,
                    channel,
                    digit: tone.key.char(),
                    t_on: seconds(tone.onset_frame),
                    t_off: seconds(end_frame),
                    t_detect: seconds(found.block_end_frame),
                    level_dbfs: rounded(f64::from(units::dbfs(power(tone.low_dbfs) + power(tone.high_dbfs))), 100.0),
                    twist_db: measured(tone.twist_db()),
                    onset_frame: tone.onset_frame,
                    decision_frame: tone.decision_frame,
                    low_hz: measured(tone.low_hz),
                    high_hz: measured(tone.high_hz),
                    low_dbfs: measured(tone.low_dbfs),
                    high_dbfs: measured(tone.high_dbfs),
                    purity: measured(tone.purity),
                    second_opinion: second.map(|second| Opinion {
                        low_hz: measured(second.low_hz),
                        high_hz: measured(second.high_hz),
                        low_dbfs: measured(second.low_dbfs),
                        high_dbfs: measured(second.high_dbfs),
                    }),
                };
                serde_json::to_writer(&mut *out, &line)?;
            }
            What::SpeechOn { .. } | What::SpeechOff { .. } if !self.speech => return Ok(()),
            What::SpeechOn { first_frame, levels: Levels(floor, threshold) } => {
                let (speech_on, floor_dbfs, threshold_dbfs) =
                    (seconds(first_frame), measured(floor), measured(threshold));
                let line = SpeechLine::On { file, channel, speech_on, floor_dbfs, threshold_dbfs };
                serde_json::to_writer(&mut *out, &line)?;
            }
            What::SpeechOff { last_frame, levels: Levels(floor, threshold) } => {
                let line = SpeechLine::Off {
                    file,
                    channel,
                    speech_off: seconds(last_frame + 1),
                    last_voiced_frame: last_frame,
                    floor_dbfs: measured(floor),
                    threshold_dbfs: measured(threshold),
                };
                serde_json::to_writer(&mut *out, &line)?;
            }
        }
        out.write_all(b"\n")
    }
}

/// Two digits behind the point: more than any of these measurements is good for.
fn measured(value: f32) -> f64 {
    rounded(f64::from(value), 100.0)
}

fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

/// One channel of the file.
struct Listener {
    rate: Rate,
    ear: Ear,
    /// The last samples, back to before any key that may still be reported.
    recent: Vec<f32>,
    /// The last voiced frame, while there is speech.
    last_voiced: Option<u64>,
    /// The tone that has not ended, what another hand says of it, and when it was reported.
    tone: Option<(Tone, Option<SecondOpinion>, u64)>,
}

impl Listener {
    fn new(rate: Rate, most_frames: usize) -> Listener {
        let ear = Ear::new(rate, &DtmfConfig::default(), &SilenceConfig::default(), most_frames);
        Listener { rate, ear, recent: Vec::new(), last_voiced: None, tone: None }
    }

    fn hear(&mut self, samples: &[f32], block_end_frame: u64, channel: usize, found: &mut Vec<Found>) {
        let Listener { rate, ear, recent, last_voiced, tone } = self;
        let kept = rate.frames_in_ms(RECENT_MS) as usize;
        recent.drain(..recent.len().saturating_sub(kept));
        recent.extend(samples.iter().map(|&x| units::audible(x)));
        let first_frame = block_end_frame - recent.len() as u64;
        let second = |tone: &Tone| {
            let from = tone.onset_frame.checked_sub(first_frame)? as usize;
            let to = (tone.decision_frame + 1 - first_frame) as usize;
            second_opinion(recent.get(from..to)?, *rate, tone.key)
        };
        let mut heard = Vec::new();
        ear.take(samples);
        ear.hear(block_end_frame, |event| heard.push(event));
        let mut find = |block_end_frame, what| found.push(Found { block_end_frame, channel, what });
        for event in heard {
            match event {
                Heard::Key(pressed) => *tone = Some((pressed, second(&pressed), block_end_frame)),
                Heard::KeyUp { end_frame } => {
                    if let Some((tone, second, reported)) = tone.take() {
                        find(reported, What::Tone { tone, second, end_frame });
                    }
                }
                Heard::Voiced { first_frame, last_frame } => {
                    if last_voiced.replace(last_frame).is_none() {
                        find(block_end_frame, What::SpeechOn { first_frame, levels: Levels::of(ear) });
                    }
                }
                Heard::SpeechOff => {
                    if let Some(last_frame) = last_voiced.take() {
                        find(block_end_frame, What::SpeechOff { last_frame, levels: Levels::of(ear) });
                    }
                }
            }
        }
    }

    /// The file ends: so does what lasted until then.
    fn finish(self, end_frame: u64, channel: usize, found: &mut Vec<Found>) {
        if let Some((tone, second, block_end_frame)) = self.tone {
            found.push(Found { block_end_frame, channel, what: What::Tone { tone, second, end_frame } });
        }
        if let Some(last_frame) = self.last_voiced {
            let what = What::SpeechOff { last_frame, levels: Levels::of(&self.ear) };
            found.push(Found { block_end_frame: end_frame, channel, what });
        }
    }
}
