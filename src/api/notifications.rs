//! What was sent to callbacks, or could not be.
//!
//! Belongs here: `/notifications`. Does not: sending (`control::notify`).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Api;
use super::calls::App;
use super::error::Refusal;
use crate::error::Error;
use crate::store::journal::{Delivery, OutboxRow};

/// GET of an application's notifications of one state; without `state`, those that are undeliverable.
pub async fn list(State(api): State<Arc<Api>>, app: App, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let query = query.unwrap_or_default();
    let state = match query.split('&').find_map(|pair| pair.strip_prefix("state=")) {
        None => Delivery::Undeliverable,
        Some(name) => Delivery::from_name(name)
            .ok_or_else(|| Error::invalid("state", "state must be pending, delivered or undeliverable".to_owned()))?,
    };
    let rows = api.control.notifications(&app.0, state).await?;
    Ok(Json(json!({"value": rows.iter().map(row_json).collect::<Vec<_>>()})).into_response())
}

/// POST of a notification's repetition.
pub async fn repeat(State(api): State<Arc<Api>>, app: App, Path(id): Path<String>) -> Result<Response, Refusal> {
    api.control.repeat_notification(&app.0, &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn row_json(row: &OutboxRow) -> Value {
    let next = (row.state == Delivery::Pending).then(|| Timestamp::from_millisecond(row.next_at_ms).ok()).flatten();
    // What is not JSON was not written by us.
    let notification: Value = serde_json::from_str(&row.notification.body).unwrap_or_default();
    json!({
        "id": row.notification.webhook_id,
        "state": row.state.name(),
        "callbackUri": row.notification.callback_uri,
        "attempts": row.attempts,
        "nextAttemptAt": next.map(|next| format!("{next:.3}")),
        "lastError": row.last_error,
        "notification": notification,
    })
}
