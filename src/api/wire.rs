//! What goes over the wire as types: of them answers are made, and the schema is generated.
//!
//! Belongs here: names of members, in Graph's spelling, with a word on each. Does not: how they are filled (`operations`).

mod watch;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;

use super::operations::{play_reason_name, reason_name, state_name, status_name};
use crate::control::call::CallState;
use crate::control::operation::{CompletionReason, Status};
use crate::store::journal::Delivery;
pub use watch::{
    AskedBody, AskedPromptBody, DueBody, HeardKeyBody, LevelsBody, OutlineBody, ProgressBody, RunningBody, SeenBody,
    SpaceBody,
};

/// An operation: what was asked for, how far it is, and what it came to.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "operation")]
pub struct OperationBody<'a> {
    #[serde(rename = "@odata.context")]
    pub context: String,
    /// `#microsoft.graph.recordOperation` and the like.
    #[serde(rename = "@odata.type")]
    pub odata_type: &'static str,
    pub id: String,
    #[schemars(schema_with = "statuses")]
    pub status: &'static str,
    #[schemars(schema_with = "time")]
    pub created_date_time: String,
    #[schemars(schema_with = "time")]
    pub last_action_date_time: String,
    /// Echoed from the request.
    pub client_context: Option<&'a str>,
    /// Once it has ended.
    pub result_info: Option<ResultBody<'a>>,
    /// Why it ended; of recordings and prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "reasons")]
    pub completion_reason: Option<Option<&'static str>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<RecordedBody<'a>>,
    /// Says so if what was played could not be heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playback: Option<&'static str>,
}

/// What only recordings have.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordedBody<'a> {
    /// Where the audio is, once there is some to fetch.
    pub recording_location: Option<String>,
    /// The bearer token for it.
    pub recording_access_token: Option<String>,
    /// `recordingLocation` as the 2019 beta calls it.
    pub record_resource_location: Option<String>,
    /// `recordingAccessToken` as the 2019 beta calls it.
    pub record_resource_access_token: Option<String>,
    /// The audio that was kept.
    pub recording: Option<RecordingBody<'a>>,
    /// What decided the end.
    pub evidence: Option<EvidenceBody<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "resultInfo")]
pub struct ResultBody<'a> {
    #[serde(rename = "@odata.type")]
    pub odata_type: &'static str,
    pub code: u32,
    pub subcode: u32,
    pub message: &'a str,
}

impl<'a> ResultBody<'a> {
    pub fn new(code: u32, subcode: u32, message: &'a str) -> ResultBody<'a> {
        ResultBody { odata_type: "#microsoft.graph.resultInfo", code, subcode, message }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "recording")]
pub struct RecordingBody<'a> {
    pub frames: u64,
    pub sample_rate: u32,
    pub channels: u16,
    pub duration_seconds: f64,
    /// When its first frame was captured.
    #[schemars(schema_with = "time_or_null")]
    pub started_at: Option<String>,
    /// Over the samples in the data chunk, in hex.
    pub sha256: &'a str,
    /// The size of the file.
    pub bytes: u64,
    pub lost_frames: u64,
    pub gaps: Vec<GapBody<'a>>,
    /// Whether a crash ended it.
    pub recovered: bool,
    /// How much faster the device's clock ran than the host's, in parts per million: nothing is stretched to make up for
    /// it. Null before ten seconds without a loss.
    pub clock_drift_ppm: Option<f64>,
    /// What its samples are like; null if a crash ended it.
    pub signal: Option<SignalBody>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "signal")]
pub struct SignalBody {
    /// -160: nothing but digital zeros.
    pub rms_dbfs: f64,
    pub peak_dbfs: f64,
    /// Samples at full scale.
    pub clipped_samples: u64,
    /// Samples that were no audio (NaN, infinite, beyond +24 dBFS): zeros stand for them.
    pub invalid_samples: u64,
    /// The mean, 1 being full scale.
    pub dc_offset: f64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "gap")]
pub struct GapBody<'a> {
    /// The first frame that is missing.
    pub at: u64,
    pub frames: u64,
    pub cause: &'a str,
}

/// Frames count from the recording's first.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "evidence")]
pub struct EvidenceBody<'a> {
    #[schemars(schema_with = "reasons")]
    pub reason: Option<&'static str>,
    pub decided_at_frame: u64,
    pub first_voiced_frame: Option<u64>,
    pub last_voiced_frame: Option<u64>,
    pub level_dbfs: f64,
    pub noise_floor_dbfs: f64,
    pub threshold_dbfs: f64,
    pub tone: Option<ToneBody<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "stopTone")]
pub struct ToneBody<'a> {
    /// The entry of `stopTones` that matched.
    pub entry: &'a str,
    pub keys: Vec<KeyBody>,
    /// What another hand measured of the last key.
    pub second_opinion: Option<OpinionBody>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "key")]
pub struct KeyBody {
    pub digit: String,
    pub onset_frame: u64,
    pub decision_frame: u64,
    pub low_hz: f64,
    pub high_hz: f64,
    pub low_dbfs: f64,
    pub high_dbfs: f64,
    pub twist_db: f64,
    pub purity: f64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "secondOpinion")]
pub struct OpinionBody {
    pub low_hz: f64,
    pub high_hz: f64,
    pub low_dbfs: f64,
    pub high_dbfs: f64,
}

/// A session of an application on a line.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "call")]
pub struct CallBody<'a> {
    #[serde(rename = "@odata.type")]
    pub odata_type: &'static str,
    pub id: &'a str,
    #[schemars(schema_with = "states")]
    pub state: &'static str,
    pub direction: &'static str,
    pub subject: Option<&'a str>,
    pub callback_uri: Option<&'a str>,
    pub client_context: Option<&'a str>,
    #[schemars(schema_with = "time")]
    pub created_date_time: String,
    /// `#microsoft.graph.serviceHostedMediaConfig`
    pub media_config: Value,
    /// The line, as the participant that is invited.
    pub targets: Value,
    /// The key that was pressed; only in notifications.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tone_info: Option<ToneInfoBody>,
    pub result_info: Option<ResultBody<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "toneInfo")]
pub struct ToneInfoBody {
    #[serde(rename = "@odata.type")]
    pub odata_type: &'static str,
    pub sequence_id: u64,
    pub tone: &'static str,
}

/// A page of a collection.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}Collection")]
pub struct CollectionBody<T> {
    pub value: Vec<T>,
    /// How many there are on all pages.
    #[serde(rename = "@odata.count", skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Where the next page is, if there is one.
    #[serde(rename = "@odata.nextLink", skip_serializing_if = "Option::is_none")]
    pub next_link: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "delivery")]
pub struct NotificationBody<'a> {
    /// The `webhook-id`, which every attempt carries.
    pub id: &'a str,
    #[schemars(schema_with = "deliveries")]
    pub state: &'static str,
    pub callback_uri: &'a str,
    pub attempts: i64,
    #[schemars(schema_with = "time_or_null")]
    pub next_attempt_at: Option<String>,
    pub last_error: Option<&'a str>,
    /// What is sent.
    pub notification: Value,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "line")]
pub struct LineBody<'a> {
    pub name: &'a str,
    pub source: String,
    pub ready: bool,
    pub channels: Option<u16>,
    pub sample_rate: Option<u32>,
    /// One a channel.
    pub levels: Vec<LevelBody>,
    /// How its device is doing since it was opened last; null while it is closed.
    pub device: Option<DeviceBody>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "device")]
pub struct DeviceBody {
    /// How often it said that it lost frames.
    pub xruns: u64,
    /// How many other errors it had.
    pub errors: u64,
    /// Frames that it lost, by its time stamps.
    pub lost_frames: u64,
    /// Whether its thread has real-time priority.
    pub real_time: bool,
    /// How much faster its clock runs than the host's, in parts per million; null before ten seconds without a loss.
    pub clock_drift_ppm: Option<f64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "level")]
pub struct LevelBody {
    pub rms_dbfs: f64,
    pub peak: f64,
    /// Samples at full scale: in events since the last one, else since the device was opened.
    pub clipped: u64,
    pub noise_floor_dbfs: f64,
    pub threshold_dbfs: f64,
    pub speaking: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "readiness")]
pub struct ReadyBody<'a> {
    pub ready: bool,
    pub lines: Vec<LineReadyBody<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "lineReadiness")]
pub struct LineReadyBody<'a> {
    pub line: &'a str,
    pub ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of a device: whether its threads have real-time priority.
    #[serde(rename = "realTime", skip_serializing_if = "Option::is_none")]
    pub real_time: Option<bool>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "refusal")]
pub struct ErrorBody<'a> {
    pub error: ErrorInner<'a>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "error")]
pub struct ErrorInner<'a> {
    pub code: &'static str,
    /// For people: what is wrong, and what would be right.
    pub message: &'a str,
    /// The member of the request that it is about.
    pub target: Option<&'a str>,
    pub details: [(); 0],
    pub inner_error: InnerErrorBody<'a>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "innerError")]
pub struct InnerErrorBody<'a> {
    pub date: String,
    pub request_id: &'a str,
    pub client_request_id: &'a str,
}

fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

fn time_or_null(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["string", "null"], "format": "date-time"})
}

/// One of these words.
fn word<const N: usize>(words: [&str; N]) -> Schema {
    json_schema!({"type": "string", "enum": (words.to_vec())})
}

/// Every status there is.
pub const fn all_statuses() -> [Status; 4] {
    use Status::*;
    [NotStarted, Running, Completed, Failed]
}

/// Every reason there is.
pub const fn all_reasons() -> [CompletionReason; 10] {
    use CompletionReason::*;
    [
        CompletedSuccessfully,
        StopToneDetected,
        MaxSilenceTimeout,
        MaxRecordDurationReached,
        OperationCanceled,
        InitialSilenceTimeout,
        PlayPromptFailed,
        PlayBeepFailed,
        MediaReceiveTimeout,
        UnspecifiedError,
    ]
}

fn statuses(_: &mut SchemaGenerator) -> Schema {
    word(all_statuses().map(status_name))
}

fn states(_: &mut SchemaGenerator) -> Schema {
    use CallState::*;
    word([Established, Terminating, Terminated].map(state_name))
}

fn deliveries(_: &mut SchemaGenerator) -> Schema {
    use Delivery::*;
    word([Pending, Delivered, Undeliverable].map(Delivery::name))
}

fn reasons(_: &mut SchemaGenerator) -> Schema {
    use CompletionReason::{OperationCanceled, UnspecifiedError};
    let mut words: Vec<Value> = all_reasons().map(|reason| reason_name(reason).into()).into();
    words.extend([play_reason_name(OperationCanceled).into(), play_reason_name(UnspecifiedError).into(), Value::Null]);
    json_schema!({"type": ["string", "null"], "enum": words})
}

/// All members may be missing or null.
#[derive(JsonSchema)]
#[schemars(rename = "recordRequest", rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("patternProperties" = {"@odata\\.": {}}))]
#[expect(dead_code, reason = "only its schema is used: `record` reads requests more strictly than serde can")]
pub struct RecordRequestBody {
    /// Whether speech and keys end its prompts, and whether it goes ahead of what runs and waits on the call.
    barge_in_allowed: Option<bool>,
    /// Played before it, in order.
    #[schemars(length(max = 20))]
    prompts: Option<Vec<PromptBody>>,
    /// With no speech for so long it fails.
    #[schemars(range(min = 1))]
    initial_silence_timeout_in_seconds: Option<u32>,
    /// With no speech for so long after speech it is complete.
    #[schemars(range(min = 1))]
    max_silence_timeout_in_seconds: Option<u32>,
    #[schemars(range(min = 1))]
    max_record_duration_in_seconds: Option<u32>,
    /// Whether a beep is played before it; true.
    play_beep: Option<bool>,
    /// Whether it can be read while it grows; false.
    stream_while_recording: Option<bool>,
    /// Keys, or sequences of them, that end it.
    #[schemars(length(max = 32), inner(regex(pattern = "^([0-9*#A-Da-d]{1,16}|tone[0-9]|star|pound)$")))]
    stop_tones: Option<Vec<String>>,
    /// Echoed everywhere.
    #[schemars(length(max = 256))]
    client_context: Option<String>,
    #[schemars(extend("enum" = ["wav", "flac", null]))]
    recording_format: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename = "playRequest", rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("patternProperties" = {"@odata\\.": {}}))]
#[expect(dead_code, reason = "only its schema is used")]
pub struct PlayRequestBody {
    /// Played in order.
    #[schemars(length(min = 1, max = 20))]
    prompts: Vec<PromptBody>,
    /// Echoed everywhere.
    #[schemars(length(max = 256))]
    client_context: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename = "mediaPrompt", rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("patternProperties" = {"@odata\\.": {}}))]
#[expect(dead_code, reason = "only its schema is used")]
pub struct PromptBody {
    /// `#microsoft.graph.mediaPrompt`
    #[schemars(rename = "@odata.type", extend("enum" = ["#microsoft.graph.mediaPrompt", null]))]
    odata_type: Option<String>,
    media_info: MediaInfoBody,
    /// Number of plays; 0 is for ever, which needs `bargeInAllowed`.
    #[schemars(rename = "loop", range(max = 2_147_483_647))]
    plays: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(rename = "mediaInfo", rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("patternProperties" = {"@odata\\.": {}}))]
#[expect(dead_code, reason = "only its schema is used")]
pub struct MediaInfoBody {
    /// `file:` in the folder of prompts, or http(s) from a host that is allowed: a WAV.
    uri: String,
    /// Names it in the cache.
    resource_id: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename = "actionRequest", rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("patternProperties" = {"@odata\\.": {}}))]
#[expect(dead_code, reason = "only its schema is used")]
pub struct ActionRequestBody {
    /// Echoed everywhere.
    #[schemars(length(max = 256))]
    client_context: Option<String>,
}

/// Members beyond these are passed over.
#[derive(JsonSchema)]
#[schemars(rename = "callRequest", rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
pub struct CallRequestBody {
    /// The first names the line; without one it is the default line.
    targets: Option<Vec<TargetBody>>,
    /// Where notifications go.
    callback_uri: Option<String>,
    subject: Option<String>,
    /// Echoed everywhere.
    #[schemars(length(max = 256))]
    client_context: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename = "target")]
#[expect(dead_code, reason = "only its schema is used")]
pub struct TargetBody {
    identity: Option<IdentityBody>,
}

#[derive(JsonSchema)]
#[schemars(rename = "identitySet")]
#[expect(dead_code, reason = "only its schema is used")]
pub struct IdentityBody {
    user: Option<LineNameBody>,
    application: Option<LineNameBody>,
    phone: Option<LineNameBody>,
}

#[derive(JsonSchema)]
#[schemars(rename = "identity")]
#[expect(dead_code, reason = "only its schema is used")]
pub struct LineNameBody {
    /// The line's name.
    id: Option<String>,
}
