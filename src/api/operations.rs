//! Operations, calls and notifications as JSON: every property in both names.
//!
//! Belongs here: how things look on the wire. Does not: what they mean (`control`), who may see them (`calls`).

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::wire::{
    CallBody, EvidenceBody, GapBody, KeyBody, OperationBody, OpinionBody, RecordedBody, RecordingBody, ResultBody,
    SignalBody, ToneBody, ToneInfoBody,
};
use crate::control::call::{Call, CallState};
use crate::control::notify::{Change, Wire};
use crate::control::operation::{
    CompletionReason, Evidence, KeyEvidence, Kind, Operation, Recording, Status, ToneEvidence,
};
use crate::dsp::tone::Key;
use crate::record::word_of;

/// How locations and tokens are made.
#[derive(Clone)]
pub struct Links {
    /// What recordings' locations begin with; `None` where nobody serves them.
    pub base: Option<String>,
    /// Makes the token of a recording.
    pub tokens: Option<super::auth::RecordingTokens>,
}

impl Links {
    /// Without a daemon there is neither.
    pub const NONE: Links = Links { base: None, tokens: None };
}

/// An operation as GET and POST answer it.
pub fn operation_json<'a>(operation: &'a Operation, links: &Links) -> OperationBody<'a> {
    let kind = odata_type(&operation.kind);
    OperationBody {
        context: format!("$metadata#{}", kind.trim_start_matches('#')),
        odata_type: kind,
        id: operation.id.to_string(),
        status: status_name(operation.status),
        created_date_time: time(operation.created),
        last_action_date_time: time(operation.changed),
        client_context: operation.client_context.as_deref(),
        result_info: operation.result.as_ref().map(|info| ResultBody::new(info.code, info.subcode, &info.message)),
        completion_reason: match &operation.kind {
            Kind::Record(_) => Some(operation.reason.map(reason_name)),
            Kind::PlayPrompt(_) => Some(operation.reason.map(play_reason_name)),
            Kind::CancelMediaProcessing | Kind::Mute | Kind::Unmute | Kind::SubscribeToTone => None,
        },
        recorded: operation.request().map(|_| recorded(operation, links)),
        playback: operation.silent_playback.then_some("timed only: nothing can be heard on this line"),
    }
}

fn recorded<'a>(operation: &'a Operation, links: &Links) -> RecordedBody<'a> {
    let location = links.base.as_ref().filter(|_| operation.available);
    let location = location.map(|base| format!("{base}/recordings/{}", operation.id));
    let token = links.tokens.as_ref().filter(|_| operation.available).map(|tokens| tokens.of(operation.id));
    RecordedBody {
        recording_location: location.clone(),
        recording_access_token: token.clone(),
        record_resource_location: location,
        record_resource_access_token: token,
        recording: operation.recording.as_ref().map(recording),
        evidence: operation.evidence.as_ref().map(|decided| evidence(decided, operation.reason.map(reason_name))),
    }
}

fn recording(recording: &Recording) -> RecordingBody<'_> {
    RecordingBody {
        frames: recording.frames,
        sample_rate: recording.sample_rate,
        channels: recording.channels,
        duration_seconds: recording.frames as f64 / f64::from(recording.sample_rate),
        started_at: recording.started_at.map(time),
        sha256: &recording.sha256,
        bytes: recording.bytes,
        lost_frames: recording.lost_frames,
        gaps: recording.gaps.iter().map(|gap| GapBody { at: gap.at, frames: gap.frames, cause: &gap.cause }).collect(),
        recovered: recording.recovered,
        clock_drift_ppm: recording.clock_drift_ppm.map(tenths),
        signal: recording.signal.as_ref().map(|signal| SignalBody {
            rms_dbfs: rounded(signal.rms_dbfs),
            peak_dbfs: rounded(signal.peak_dbfs),
            clipped_samples: signal.clipped_samples,
            invalid_samples: signal.invalid_samples,
            // A step of 16 bits is 3e-5.
            dc_offset: (f64::from(signal.dc_offset) * 1e6).round() / 1e6,
        }),
    }
}

/// To one place behind the point.
pub(super) fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn evidence<'a>(evidence: &'a Evidence, reason: Option<&'static str>) -> EvidenceBody<'a> {
    EvidenceBody {
        reason,
        decided_at_frame: evidence.decided_at_frame,
        first_voiced_frame: evidence.first_voiced_frame,
        last_voiced_frame: evidence.last_voiced_frame,
        level_dbfs: rounded(evidence.level_dbfs),
        noise_floor_dbfs: rounded(evidence.noise_floor_dbfs),
        threshold_dbfs: rounded(evidence.threshold_dbfs),
        tone: evidence.tone.as_ref().map(tone),
    }
}

fn tone(tone: &ToneEvidence) -> ToneBody<'_> {
    let key = |key: &KeyEvidence| KeyBody {
        digit: key.digit.to_string(),
        onset_frame: key.onset_frame,
        decision_frame: key.decision_frame,
        low_hz: rounded(key.low_hz),
        high_hz: rounded(key.high_hz),
        low_dbfs: rounded(key.low_dbfs),
        high_dbfs: rounded(key.high_dbfs),
        twist_db: rounded(key.twist_db),
        purity: rounded(key.purity),
    };
    let second_opinion = tone.second_opinion.as_ref().map(|second| OpinionBody {
        low_hz: rounded(second.low_hz),
        high_hz: rounded(second.high_hz),
        low_dbfs: rounded(second.low_dbfs),
        high_dbfs: rounded(second.high_dbfs),
    });
    ToneBody { entry: &tone.entry, keys: tone.keys.iter().map(key).collect(), second_opinion }
}

/// Two digits behind the point: more than any of these measurements is good for.
fn rounded(value: f32) -> f64 {
    (f64::from(value) * 100.0).round() / 100.0
}

/// In milliseconds, as Graph's clients expect it.
pub fn time(time: Timestamp) -> String {
    format!("{time:.3}")
}

const fn odata_type(kind: &Kind) -> &'static str {
    match kind {
        Kind::Record(_) => "#microsoft.graph.recordOperation",
        Kind::PlayPrompt(_) => "#microsoft.graph.playPromptOperation",
        Kind::CancelMediaProcessing => "#microsoft.graph.cancelMediaProcessingOperation",
        Kind::Mute => "#microsoft.graph.muteParticipantOperation",
        Kind::Unmute => "#microsoft.graph.unmuteParticipantOperation",
        Kind::SubscribeToTone => "#microsoft.graph.subscribeToToneOperation",
    }
}

/// The tag of a revision.
pub fn tag_of(revision: u64) -> String {
    format!("W/\"{revision}\"")
}

/// The word for a status.
pub const fn status_name(status: Status) -> &'static str {
    match status {
        Status::NotStarted => "notStarted",
        Status::Running => "running",
        Status::Completed => "completed",
        Status::Failed => "failed",
    }
}

/// The word for a reason.
pub const fn reason_name(reason: CompletionReason) -> &'static str {
    match reason {
        CompletionReason::CompletedSuccessfully => "completedSuccessfully",
        CompletionReason::StopToneDetected => "stopToneDetected",
        CompletionReason::MaxSilenceTimeout => "maxSilenceTimeout",
        CompletionReason::MaxRecordDurationReached => "maxRecordDurationReached",
        CompletionReason::OperationCanceled => "operationCanceled",
        CompletionReason::InitialSilenceTimeout => "initialSilenceTimeout",
        CompletionReason::PlayPromptFailed => "playPromptFailed",
        CompletionReason::PlayBeepFailed => "playBeepFailed",
        CompletionReason::MediaReceiveTimeout => "mediaReceiveTimeout",
        CompletionReason::UnspecifiedError => "unspecifiedError",
    }
}

/// Graph has two words for how a playPrompt ends, and `unknown`; `resultInfo` says the rest.
pub const fn play_reason_name(reason: CompletionReason) -> &'static str {
    match reason {
        CompletionReason::CompletedSuccessfully => "completedSuccessfully",
        CompletionReason::OperationCanceled => "mediaOperationCanceled",
        _ => "unknown",
    }
}

/// The word for a call's state.
pub const fn state_name(state: CallState) -> &'static str {
    match state {
        CallState::Established => "established",
        CallState::Terminating => "terminating",
        CallState::Terminated => "terminated",
    }
}

/// A call as GET and POST answer it.
pub fn call_json(call: &Call) -> CallBody<'_> {
    CallBody {
        odata_type: "#microsoft.graph.call",
        id: &call.id,
        state: state_name(call.state),
        direction: "outgoing",
        subject: call.subject.as_deref(),
        callback_uri: call.callback_uri.as_deref(),
        client_context: call.client_context.as_deref(),
        created_date_time: time(call.created),
        media_config: json!({"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}),
        targets: json!([{
            "@odata.type": "#microsoft.graph.invitationParticipantInfo",
            "identity": {"@odata.type": "#microsoft.graph.identitySet", "user": {"id": call.line, "displayName": call.line}},
        }]),
        tone_info: None,
        result_info: (call.state == CallState::Terminated).then(|| ResultBody::new(200, 0, "The call has ended.")),
    }
}

/// Writes notifications.
pub struct Notifications(pub Links);

impl Wire for Notifications {
    fn operation(&self, operation: &Operation, change: Change) -> String {
        let tail = format!("calls/{}/operations/{}", operation.call, operation.id);
        notification(&tail, change, operation_json(operation, &self.0), operation.revision)
    }

    fn call(&self, call: &Call, change: Change) -> String {
        notification(&format!("calls/{}", call.id), change, call_json(call), call.revision)
    }

    fn tone(&self, call: &Call, sequence: u64, pressed: Key) -> String {
        let tone =
            ToneInfoBody { odata_type: "#microsoft.graph.toneInfo", sequence_id: sequence, tone: word_of(pressed) };
        let data = CallBody { tone_info: Some(tone), ..call_json(call) };
        notification(&format!("calls/{}", call.id), Change::Updated, data, call.revision)
    }
}

fn notification(tail: &str, change: Change, about: impl Serialize, revision: u64) -> String {
    // What consists of plain values always becomes JSON.
    let mut data = serde_json::to_value(about).unwrap_or_default();
    data["@odata.id"] = format!("communications/{tail}").into();
    data["@odata.etag"] = tag_of(revision).into();
    json!({
        "@odata.type": "#microsoft.graph.commsNotifications",
        "value": [{
            "@odata.type": "#microsoft.graph.commsNotification",
            "changeType": change.name(),
            "resource": format!("/app/{tail}"),
            "resourceUrl": format!("/communications/{tail}"),
            "resourceData": data,
        }],
    })
    .to_string()
}
