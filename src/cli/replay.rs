//! `tonearm replay`: the whole pipeline over files, flat out.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Done, Failure};
use crate::capture::{Pace, Source};
use crate::control::chain::Setup;
use crate::control::line::{Ask, Begin, Line, Microphone, Settings};
use crate::dsp::dtmf::DtmfConfig;
use crate::dsp::silence::SilenceConfig;
use crate::pipeline::Channels;
use crate::record::StopTones;
use crate::wav::SampleFormat;
use std::time::Duration;

#[derive(Args)]
pub struct Replay {
    #[arg(required = true, value_name = "WAV")]
    files: Vec<PathBuf>,
    #[arg(long)]
    out: PathBuf,
}

impl Replay {
    pub fn run(&self) -> Done {
        for f in &self.files {
            let source = Source::Wav { path: f.clone(), pace: Pace::Fast, repeat: false };
            let setup = Setup { heard: Channels::ALL, dtmf: DtmfConfig::default(), silence: SilenceConfig::default(), buffer_seconds: 10, media_timeout: Duration::from_secs(2) };
            let line = Line::new(Settings { name: "x".into(), source: source.clone(), open_always: false, channels: Channels::ALL, rate: None, format: SampleFormat::S16, playback: "none".into(), folder: self.out.clone(), sync_interval: Duration::from_secs(1) }, Microphone::new(source, setup)).map_err(Failure::Failed)?;
            let mut r = line.record(Ask { id: uuid::Uuid::new_v4(), begin: Begin::Now, initial_silence: 86400, max_silence: 86400, max_duration: 3600, stop_tones: StopTones::NONE, client_context: None }).map_err(|e| Failure::Failed(e.to_string()))?;
            while r.growth.borrow().outcome().is_none() { std::thread::yield_now(); std::thread::sleep(Duration::from_millis(5)); }
            println!("{:?}", r.growth.borrow_and_update().outcome());
        }
        Ok(())
    }
}
