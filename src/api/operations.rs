//! Operations, calls and notifications as JSON: every property in both names.
//!
//! Belongs here: how things look on the wire. Does not: what they mean (`control`), who may see them (`calls`).

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::control::call::{Call, CallState};
use crate::control::notify::{Change, Wire};
use crate::control::operation::{CompletionReason, Evidence, Kind, Operation, Recording, Status};
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
pub fn operation_json(operation: &Operation, links: &Links) -> Value {
    let mut members = Map::new();
    let kind = odata_type(&operation.kind);
    members.insert("@odata.context".into(), format!("$metadata#{}", kind.trim_start_matches('#')).into());
    members.insert("@odata.type".into(), kind.into());
    members.insert("id".into(), operation.id.to_string().into());
    members.insert("status".into(), status_name(operation.status).into());
    members.insert("createdDateTime".into(), time(operation.created));
    members.insert("lastActionDateTime".into(), time(operation.changed));
    members.insert("clientContext".into(), operation.client_context.clone().into());
    let result = operation.result.as_ref().map(|result| {
        json!({
            "@odata.type": "#microsoft.graph.resultInfo",
            "code": result.code,
            "subcode": result.subcode,
            "message": result.message,
        })
    });
    members.insert("resultInfo".into(), result.into());
    match &operation.kind {
        Kind::Record(_) => recording_members(operation, links, &mut members),
        Kind::PlayPrompt(_) => {
            drop(members.insert("completionReason".into(), operation.reason.map(play_reason_name).into()))
        }
        Kind::CancelMediaProcessing | Kind::Mute | Kind::Unmute | Kind::SubscribeToTone => {}
    }
    if operation.silent_playback {
        members.insert("playback".into(), "timed only: nothing can be heard on this line".into());
    }
    Value::Object(members)
}

fn recording_members(operation: &Operation, links: &Links, members: &mut Map<String, Value>) {
    let reason = operation.reason.map(reason_name);
    let location = links.base.as_ref().filter(|_| operation.available);
    let location: Value = location.map(|base| format!("{base}/recordings/{}", operation.id)).into();
    let token = links.tokens.as_ref().filter(|_| operation.available).map(|tokens| tokens.of(operation.id));
    let token: Value = token.into();
    members.insert("completionReason".into(), reason.into());
    members.insert("recordingLocation".into(), location.clone());
    members.insert("recordingAccessToken".into(), token.clone());
    members.insert("recordResourceLocation".into(), location);
    members.insert("recordResourceAccessToken".into(), token);
    members.insert("recording".into(), operation.recording.as_ref().map(recording_json).into());
    members
        .insert("evidence".into(), operation.evidence.as_ref().map(|evidence| evidence_json(evidence, reason)).into());
}

fn recording_json(recording: &Recording) -> Value {
    let gaps: Vec<Value> =
        recording.gaps.iter().map(|gap| json!({"at": gap.at, "frames": gap.frames, "cause": gap.cause})).collect();
    json!({
        "frames": recording.frames,
        "sampleRate": recording.sample_rate,
        "channels": recording.channels,
        "durationSeconds": recording.frames as f64 / f64::from(recording.sample_rate),
        "startedAt": recording.started_at.map(time),
        "sha256": recording.sha256,
        "bytes": recording.bytes,
        "lostFrames": recording.lost_frames,
        "gaps": gaps,
        "recovered": recording.recovered,
    })
}

fn evidence_json(evidence: &Evidence, reason: Option<&str>) -> Value {
    let tone = evidence.tone.as_ref().map(|tone| {
        let keys: Vec<Value> = tone
            .keys
            .iter()
            .map(|key| {
                json!({
                    "digit": key.digit.to_string(),
                    "onsetFrame": key.onset_frame,
                    "decisionFrame": key.decision_frame,
                    "lowHz": rounded(key.low_hz),
                    "highHz": rounded(key.high_hz),
                    "lowDbfs": rounded(key.low_dbfs),
                    "highDbfs": rounded(key.high_dbfs),
                    "twistDb": rounded(key.twist_db),
                    "purity": rounded(key.purity),
                })
            })
            .collect();
        let second = tone.second_opinion.as_ref().map(|second| {
            json!({
                "lowHz": rounded(second.low_hz),
                "highHz": rounded(second.high_hz),
                "lowDbfs": rounded(second.low_dbfs),
                "highDbfs": rounded(second.high_dbfs),
            })
        });
        json!({"entry": tone.entry, "keys": keys, "secondOpinion": second})
    });
    json!({
        "reason": reason,
        "decidedAtFrame": evidence.decided_at_frame,
        "firstVoicedFrame": evidence.first_voiced_frame,
        "lastVoicedFrame": evidence.last_voiced_frame,
        "levelDbfs": rounded(evidence.level_dbfs),
        "noiseFloorDbfs": rounded(evidence.noise_floor_dbfs),
        "thresholdDbfs": rounded(evidence.threshold_dbfs),
        "tone": tone,
    })
}

/// Two digits behind the point: more than any of these measurements is good for.
fn rounded(value: f32) -> f64 {
    (f64::from(value) * 100.0).round() / 100.0
}

fn time(time: Timestamp) -> Value {
    // Milliseconds, as Graph's clients expect them.
    format!("{time:.3}").into()
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

/// The word for a status.
pub const fn status_name(status: Status) -> &'static str {
    match status {
        Status::NotStarted => "notStarted",
        Status::Running => "running",
        Status::Completed => "completed",
        Status::Failed => "failed",
    }
}

const fn reason_name(reason: CompletionReason) -> &'static str {
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
const fn play_reason_name(reason: CompletionReason) -> &'static str {
    match reason {
        CompletionReason::CompletedSuccessfully => "completedSuccessfully",
        CompletionReason::OperationCanceled => "mediaOperationCanceled",
        _ => "unknown",
    }
}

/// A call as GET and POST answer it.
pub fn call_json(call: &Call) -> Value {
    let state = match call.state {
        CallState::Established => "established",
        CallState::Terminating => "terminating",
        CallState::Terminated => "terminated",
    };
    json!({
        "@odata.type": "#microsoft.graph.call",
        "id": call.id,
        "state": state,
        "direction": "outgoing",
        "subject": call.subject,
        "callbackUri": call.callback_uri,
        "clientContext": call.client_context,
        "createdDateTime": time(call.created),
        "mediaConfig": {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"},
        "targets": [{
            "@odata.type": "#microsoft.graph.invitationParticipantInfo",
            "identity": {"@odata.type": "#microsoft.graph.identitySet", "user": {"id": call.line, "displayName": call.line}},
        }],
        "resultInfo": (call.state == CallState::Terminated).then(|| json!({
            "@odata.type": "#microsoft.graph.resultInfo", "code": 200, "subcode": 0, "message": "The call has ended.",
        })),
    })
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
        let mut data = call_json(call);
        let tone = word_of(pressed);
        data["toneInfo"] = json!({"@odata.type": "#microsoft.graph.toneInfo", "sequenceId": sequence, "tone": tone});
        notification(&format!("calls/{}", call.id), Change::Updated, data, call.revision)
    }
}

fn notification(tail: &str, change: Change, mut data: Value, revision: u64) -> String {
    data["@odata.id"] = format!("communications/{tail}").into();
    data["@odata.etag"] = format!("W/\"{revision}\"").into();
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
