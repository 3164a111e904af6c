//! Recordings and prompts of all calls, for people: searched, the newest first, with what was asked and what comes next.
//!
//! Belongs here: `/operations`. Does not: what is searched (`control::overview`).

use std::sync::Arc;

use axum::extract::State;
use axum::http::request::Parts;
use axum::response::Response;
use jiff::Timestamp;
use uuid::Uuid;

use super::Api;
use super::calls::App;
use super::collection::{Page, query};
use super::error::Refusal;
use super::operations::{Links, operation_json, reason_name, status_name};
use super::record::format_name;
use super::wire::{AskedBody, AskedPromptBody, DueBody, ProgressBody, SeenBody, all_reasons, all_statuses};
use crate::control::operation::RecordRequest;
use crate::control::overview::{Filter, Progress, Seen};
use crate::error::Error;

/// What a query may say, beside what every collection takes.
pub const QUERY: [&str; 6] = ["line", "status", "reason", "text", "since", "before"];

/// GET of an application's operations.
pub async fn list(State(api): State<Arc<Api>>, app: App, page: Page, parts: Parts) -> Result<Response, Refusal> {
    let query = query(&parts);
    let filter = filter(&query)?;
    let before = page.after.as_ref().map(|_| page.after_number()).transpose()?;
    let (seen, count) = api.control.overview(&app.0, &filter, before, page.wanted());
    let asked = query.iter().filter(|(name, _)| QUERY.contains(&name.as_str()));
    let asked = form_urlencoded::Serializer::new(String::new()).extend_pairs(asked).finish();
    let url = format!("{}/operations{}{asked}", api.base(), if asked.is_empty() { "" } else { "?" });
    let body = |seen| seen_json(seen, &api.links);
    Ok(page.counted(count).of(&url, &seen, |seen| seen.operation.seq.to_string(), body))
}

fn filter(query: &[(String, String)]) -> Result<Filter, Error> {
    let mut filter = Filter::default();
    for (name, value) in query {
        match name.as_str() {
            "line" => filter.line = Some(value.clone()),
            "text" => filter.text = Some(value.to_lowercase()),
            "status" => filter.status = Some(word("status", value, &all_statuses(), status_name)?),
            "reason" => filter.reason = Some(word("reason", value, &all_reasons(), reason_name)?),
            "since" => filter.since = Some(moment("since", value)?),
            "before" => filter.before = Some(moment("before", value)?),
            _ => {}
        }
    }
    Ok(filter)
}

fn word<T: Copy>(name: &str, value: &str, all: &[T], word: impl Fn(T) -> &'static str) -> Result<T, Error> {
    let valid = || all.iter().map(|one| word(*one)).collect::<Vec<_>>().join(", ");
    all.iter()
        .copied()
        .find(|one| word(*one) == value)
        .ok_or_else(|| Error::invalid(name, format!("{name} {value:?} is none; valid are {}", valid())))
}

fn moment(name: &str, value: &str) -> Result<Timestamp, Error> {
    let message = || format!("{name} must be a time as in 2026-11-25T14:00:00Z, not {value:?}");
    value.parse().map_err(|_| Error::invalid(name, message()))
}

/// An operation as people look at it.
pub(super) fn seen_json<'a>(seen: &'a Seen, links: &Links) -> SeenBody<'a> {
    let operation = &seen.operation;
    SeenBody {
        line: &operation.line,
        call: &operation.call,
        request: operation.request().map(asked),
        progress: seen.progress.map(|progress| progress_json(operation.id, &progress)),
        operation: operation_json(operation, links),
    }
}

fn asked(request: &RecordRequest) -> AskedBody<'_> {
    let prompt = |prompt: &'_ crate::control::operation::Prompt| AskedPromptBody {
        uri: prompt.uri.clone(),
        plays: prompt.plays,
    };
    AskedBody {
        initial_silence_timeout_in_seconds: request.initial_silence,
        max_silence_timeout_in_seconds: request.max_silence,
        max_record_duration_in_seconds: request.max_duration,
        play_beep: request.play_beep,
        barge_in_allowed: request.barge_in_allowed,
        stream_while_recording: request.stream,
        recording_format: format_name(request.format),
        stop_tones: &request.stop_tones,
        prompts: request.prompts.iter().map(prompt).collect(),
    }
}

/// How far a recording is.
pub(super) fn progress_json(id: Uuid, progress: &Progress) -> ProgressBody {
    ProgressBody {
        id: id.to_string(),
        frames: progress.frames,
        sample_rate: progress.rate.hz(),
        due: progress.due.map(|(reason, at_frame)| DueBody { reason: reason_name(reason), at_frame }),
    }
}
