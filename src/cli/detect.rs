//! `tonearm detect`: every tone in files.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::{Done, Failure};
use crate::dsp::dtmf::DtmfConfig;
use crate::dsp::ear::{Ear, Heard};
use crate::dsp::silence::SilenceConfig;
use crate::dsp::tone::Tone;
use crate::units::{self, Rate};
use crate::wav::Reader;

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
}

#[derive(Serialize)]
struct SpeechLine<'a> {
    file: &'a str,
    channel: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    speech_on: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speech_off: Option<f64>,
}

/// What was found, in the order in which it is printed: by the end of the block that brought it, then by channel.
struct Found {
    block_end_frame: u64,
    channel: usize,
    what: What,
}

enum What {
    Tone { tone: Tone, end_frame: u64 },
    SpeechOn(u64),
    SpeechOff(u64),
}

impl Detect {
    pub fn run(&self) -> Done {
        let mut failed = Vec::new();
        let mut out = BufWriter::new(io::stdout().lock());
        for file in &self.files {
            if let Err(why) = self.file(file, &mut out) {
                failed.push(format!("{}: {why}", file.display()));
            }
        }
        out.flush().map_err(|error| Failure::Failed(error.to_string()))?;
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
        let ear = || Ear::new(rate, &DtmfConfig::default(), &SilenceConfig::default(), frames);
        let mut ears: Vec<_> = (0..channels).map(|_| Listener { ear: ear(), last_voiced: None, tone: None }).collect();
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
            What::Tone { tone, end_frame } => {
                let power = |dbfs: f32| 10_f64.powf(f64::from(dbfs) / 10.0) / 2.0;
                let line = ToneLine {
                    file,
                    channel,
                    digit: tone.key.char(),
                    t_on: seconds(tone.onset_frame),
                    t_off: seconds(end_frame),
                    t_detect: seconds(found.block_end_frame),
                    level_dbfs: rounded(f64::from(units::dbfs(power(tone.low_dbfs) + power(tone.high_dbfs))), 100.0),
                    twist_db: rounded(f64::from(tone.twist_db()), 100.0),
                };
                serde_json::to_writer(&mut *out, &line)?;
            }
            What::SpeechOn(_) | What::SpeechOff(_) if !self.speech => return Ok(()),
            What::SpeechOn(frame) => {
                let line = SpeechLine { file, channel, speech_on: Some(seconds(frame)), speech_off: None };
                serde_json::to_writer(&mut *out, &line)?;
            }
            What::SpeechOff(frame) => {
                let line = SpeechLine { file, channel, speech_on: None, speech_off: Some(seconds(frame)) };
                serde_json::to_writer(&mut *out, &line)?;
            }
        }
        out.write_all(b"\n")
    }
}

fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

/// One channel of the file.
struct Listener {
    ear: Ear,
    /// The last voiced frame, while there is speech.
    last_voiced: Option<u64>,
    /// The tone that has not ended, and when it was reported.
    tone: Option<(Tone, u64)>,
}

impl Listener {
    fn hear(&mut self, samples: &[f32], block_end_frame: u64, channel: usize, found: &mut Vec<Found>) {
        let mut find = |block_end_frame, what| found.push(Found { block_end_frame, channel, what });
        let (tone, last_voiced) = (&mut self.tone, &mut self.last_voiced);
        self.ear.take(samples);
        self.ear.hear(block_end_frame, |heard| match heard {
            Heard::Key(pressed) => *tone = Some((pressed, block_end_frame)),
            Heard::KeyUp { end_frame } => {
                if let Some((tone, reported)) = tone.take() {
                    find(reported, What::Tone { tone, end_frame });
                }
            }
            Heard::Voiced { first_frame, last_frame } => {
                if last_voiced.replace(last_frame).is_none() {
                    find(block_end_frame, What::SpeechOn(first_frame));
                }
            }
            Heard::SpeechOff => {
                if let Some(last) = last_voiced.take() {
                    find(block_end_frame, What::SpeechOff(last + 1));
                }
            }
        });
    }

    /// The file ends: so does what lasted until then.
    fn finish(self, end_frame: u64, channel: usize, found: &mut Vec<Found>) {
        if let Some((tone, block_end_frame)) = self.tone {
            found.push(Found { block_end_frame, channel, what: What::Tone { tone, end_frame } });
        }
        if let Some(last) = self.last_voiced {
            found.push(Found { block_end_frame: end_frame, channel, what: What::SpeechOff(last + 1) });
        }
    }
}
