//! What those who look on are told: events, progress, outlines, space.

use schemars::JsonSchema;
use serde::Serialize;

use super::{LevelBody, OperationBody, reasons};

/// What `levels` tells in `/events`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "levels")]
pub struct LevelsBody<'a> {
    pub line: &'a str,
    /// One a channel.
    pub levels: Vec<LevelBody>,
}

/// What `key` tells in `/events`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "heardKey")]
pub struct HeardKeyBody<'a> {
    pub line: &'a str,
    pub digit: String,
    pub low_hz: f64,
    pub high_hz: f64,
    /// Of both tones together.
    pub level_dbfs: f64,
}

/// What `progress` tells in `/events`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "running")]
pub struct RunningBody {
    pub running: Vec<ProgressBody>,
}

/// How far a recording is that has not ended.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "progress")]
pub struct ProgressBody {
    pub id: String,
    /// Frames that can be read.
    pub frames: u64,
    pub sample_rate: u32,
    /// What will end it if nothing more is heard.
    pub due: Option<DueBody>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "due")]
pub struct DueBody {
    #[schemars(schema_with = "reasons")]
    pub reason: &'static str,
    /// The frame at which it ends then.
    pub at_frame: u64,
}

/// An operation with what was asked for and how far it is; also what `operation` tells in `/events`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "seenOperation")]
pub struct SeenBody<'a> {
    pub line: &'a str,
    pub call: &'a str,
    /// Of recordings, with every default filled in.
    pub request: Option<AskedBody<'a>>,
    pub progress: Option<ProgressBody>,
    pub operation: OperationBody<'a>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "asked")]
pub struct AskedBody<'a> {
    pub initial_silence_timeout_in_seconds: u32,
    pub max_silence_timeout_in_seconds: u32,
    pub max_record_duration_in_seconds: u32,
    pub play_beep: bool,
    pub barge_in_allowed: bool,
    pub stream_while_recording: bool,
    pub recording_format: &'static str,
    pub stop_tones: &'a [String],
    pub prompts: Vec<AskedPromptBody>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "askedPrompt")]
pub struct AskedPromptBody {
    pub uri: String,
    #[serde(rename = "loop")]
    pub plays: u32,
}

/// The highest samples of a recording's stretches.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "outline")]
pub struct OutlineBody {
    /// The first frame of the first stretch.
    pub from: u64,
    /// Frames of each.
    pub step: u64,
    /// Frames that can be read now.
    pub frames: u64,
    pub sample_rate: u32,
    /// Of the loudest channel; 1 is full scale.
    pub peaks: Vec<f64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "space")]
pub struct SpaceBody {
    /// What recordings may still take.
    pub free_bytes: u64,
    /// With less, none is taken on.
    pub reserve_bytes: u64,
}
