//! Lines, their levels, and whether the daemon is well.
//!
//! Belongs here: `/healthz`, `/readyz`, `/lines`, `/events`. Does not: calls (`calls`).

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use super::Api;
use super::body::pieces;
use super::calls::App;
use crate::control::line::Line;
use crate::dsp::ear::Meter;

/// Levels are told so often.
const EVERY: Duration = Duration::from_millis(100);

/// The daemon is alive.
pub async fn healthz() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// Which lines can record.
pub async fn readyz(State(api): State<Arc<Api>>) -> Response {
    let lines: Vec<Value> = api
        .control
        .lines()
        .iter()
        .map(|line| match line.ready() {
            Ok(()) => json!({"line": line.name(), "ready": true}),
            Err(why) => json!({"line": line.name(), "ready": false, "reason": why}),
        })
        .collect();
    let ready = lines.iter().all(|line| line["ready"] == true);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready, "lines": lines}))).into_response()
}

/// The lines that an application may use.
pub async fn lines(State(api): State<Arc<Api>>, app: App) -> Response {
    Json(json!({"value": usable(&api, &app).iter().map(|line| line_json(line)).collect::<Vec<_>>()})).into_response()
}

fn usable(api: &Api, app: &App) -> Vec<Arc<Line>> {
    api.control.lines().iter().filter(|line| app.0.may_use(line.name())).cloned().collect()
}

fn line_json(line: &Line) -> Value {
    let spec = line.spec();
    json!({
        "name": line.name(),
        "source": line.source().to_string(),
        "ready": line.ready().is_ok(),
        "channels": spec.map(|spec| spec.channels),
        "sampleRate": spec.map(|spec| spec.rate.hz()),
        "levels": line.meters().iter().map(meter_json).collect::<Vec<_>>(),
    })
}

fn meter_json(meter: &Meter) -> Value {
    let rounded = |dbfs: f32| (f64::from(dbfs) * 10.0).round() / 10.0;
    json!({
        "rmsDbfs": rounded(meter.rms_dbfs),
        "peak": (f64::from(meter.peak) * 10_000.0).round() / 10_000.0,
        "clipped": meter.clipped,
        "noiseFloorDbfs": rounded(meter.floor_dbfs),
        "thresholdDbfs": rounded(meter.threshold_dbfs),
        "speaking": meter.speaking,
    })
}

/// Levels as server-sent events, until the reader leaves.
pub async fn events(State(api): State<Arc<Api>>, app: App) -> Response {
    let lines = usable(&api, &app);
    let (sender, body) = pieces();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tick.tick().await;
            let mut text = String::new();
            for line in &lines {
                let levels: Vec<Value> = line.meters().iter().map(meter_json).collect();
                text += &format!("event: levels\ndata: {}\n\n", json!({"line": line.name(), "levels": levels}));
            }
            if sender.send(Ok(Bytes::from(text))).await.is_err() {
                return;
            }
        }
    });
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")], body).into_response()
}
