//! The configuration of a line.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Wrong, within};
use crate::capture::{PERIOD_MS, Source};
use crate::control::call::plain;
use crate::control::chain::DeviceLoss;
use crate::pipeline::Channels;
use crate::units::Rate;

/// `[lines.NAME]`
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// `device:NAME`, `wav:PATH[?pace=real|fast][&loop=true]` or `silence:`.
    pub source: String,
    /// `always`, or `while-recording`: the device is opened by the first recording; `always`.
    #[serde(default)]
    pub open: Open,
    /// The device's channels that are recorded, counted from 1; all.
    #[serde(default)]
    pub channels: Option<Vec<usize>>,
    /// Of recordings, 8,000 to 192,000 Hz; the device's own.
    #[serde(default)]
    pub rate: Option<u32>,
    /// The device is asked for so much at a time, 5 to 200 ms; 10. Its buffer holds twice that: a host that is late by more
    /// loses frames. Keys and speech are heard later by as much.
    #[serde(default = "period")]
    pub period_ms: u32,
    /// Where prompts and the beep are played: `device:NAME`, `wav:PATH` or `none`; `none`.
    #[serde(default = "none")]
    pub playback: String,
    /// With no frames for so long the device is dead, 1 to 3,600 s; 2.
    #[serde(default = "two")]
    pub media_timeout_seconds: u32,
    /// What its recordings do when the device is lost: `end`, or `wait`, which is to go on with a gap; `end`.
    #[serde(default)]
    pub device_loss: DeviceLoss,
}

fn none() -> String {
    "none".to_owned()
}

fn period() -> u32 {
    PERIOD_MS
}

fn two() -> u32 {
    2
}

/// When a device is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Open {
    /// Always.
    #[default]
    Always,
    /// From the first recording on.
    WhileRecording,
}

impl Line {
    /// A line that hears this, with every default.
    pub(super) fn of(source: &str) -> Line {
        Line {
            source: source.to_owned(),
            open: Open::Always,
            channels: None,
            rate: None,
            period_ms: period(),
            playback: none(),
            media_timeout_seconds: two(),
            device_loss: DeviceLoss::End,
        }
    }

    pub(super) fn check(&self, name: &str) -> Result<(), Wrong> {
        let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if plain(name).is_empty() || name.len() > 64 || !name.chars().all(valid) {
            let why = format!("{name:?} is no name for a line; valid are 1 to 64 of a-z, 0-9, - and _");
            return Err(Wrong::at(&format!("lines.{name}"), why));
        }
        let at = |key: &str, checked: Result<(), String>| {
            let key = format!("lines.{name}.{key}");
            checked.map_err(|why| Wrong::at(&key, format!("{key}: {why}")))
        };
        at("source", self.source().map(drop))?;
        at("channels", self.channels().map(drop))?;
        at("rate", self.rate().map(drop))?;
        within(&format!("lines.{name}.period_ms"), self.period_ms, 5, 200)?;
        within(&format!("lines.{name}.media_timeout_seconds"), self.media_timeout_seconds, 1, 3_600)
    }

    /// What it hears.
    pub fn source(&self) -> Result<Source, String> {
        self.source.parse()
    }

    /// The device's channels, counted from 0.
    pub fn channels(&self) -> Result<Channels, String> {
        let Some(channels) = &self.channels else { return Ok(Channels::ALL) };
        let from_zero = channels.iter().map(|channel| channel.checked_sub(1));
        from_zero.collect::<Option<Vec<usize>>>().and_then(Channels::of).ok_or_else(|| {
            format!("{channels:?} is not valid; channels count from 1, at most {}, and one is needed", Channels::MOST)
        })
    }

    /// The rate of its recordings.
    pub fn rate(&self) -> Result<Option<Rate>, String> {
        let of = |hz| {
            Rate::new(hz).ok_or_else(|| format!("{hz} Hz is not valid; valid are {} to {}", Rate::MIN_HZ, Rate::MAX_HZ))
        };
        self.rate.map(of).transpose()
    }
}
