//! What was sent to callbacks, or could not be.
//!
//! Belongs here: `/notifications`. Does not: sending (`control::notify`).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::Api;
use super::calls::App;
use super::collection::{Page, query};
use super::error::Refusal;
use super::operations::time;
use super::wire::NotificationBody;
use crate::error::Error;
use crate::store::journal::{Delivery, OutboxRow};

/// GET of an application's notifications of one state; without `state`, those that are undeliverable.
pub async fn list(State(api): State<Arc<Api>>, app: App, page: Page, parts: Parts) -> Result<Response, Refusal> {
    let state = match query(&parts).into_iter().find(|(name, _)| name == "state") {
        None => Delivery::Undeliverable,
        Some((_, name)) => Delivery::from_name(&name)
            .ok_or_else(|| Error::invalid("state", "state must be pending, delivered or undeliverable".to_owned()))?,
    };
    let rows = api.control.notifications(&app.0, state, page.after_number()?, page.wanted()).await?;
    let url = format!("{}/notifications?state={}", api.base(), state.name());
    Ok(page.of(&url, &rows, |row| row.seq.to_string(), row_json))
}

/// POST of a notification's repetition.
pub async fn repeat(State(api): State<Arc<Api>>, app: App, Path(id): Path<String>) -> Result<Response, Refusal> {
    api.control.repeat_notification(&app.0, &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn row_json(row: &OutboxRow) -> NotificationBody<'_> {
    let next = (row.state == Delivery::Pending).then(|| Timestamp::from_millisecond(row.next_at_ms).ok()).flatten();
    NotificationBody {
        id: &row.notification.webhook_id,
        state: row.state.name(),
        callback_uri: &row.notification.callback_uri,
        attempts: row.attempts,
        next_attempt_at: next.map(time),
        last_error: row.last_error.as_deref(),
        // What is not JSON was not written by us.
        notification: serde_json::from_str(&row.notification.body).unwrap_or_default(),
    }
}
