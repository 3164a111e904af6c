//! Lines, their levels, and whether the daemon is well.
//!
//! Belongs here: `/healthz`, `/readyz`, `/lines`, `/space`. Does not: calls (`calls`), what happens (`events`).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Api;
use super::calls::App;
use super::error::Refusal;
use super::operations::tenths;
use super::wire::{CollectionBody, DeviceBody, LevelBody, LineBody, LineReadyBody, ReadyBody, SpaceBody};
use crate::control::line::Line;
use crate::dsp::ear::Meter;

/// The daemon is alive.
pub async fn healthz() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// Which lines can record.
pub async fn readyz(State(api): State<Arc<Api>>) -> Response {
    let all = api.control.lines();
    let lines = all.iter().map(|line| {
        let (reason, real_time) = (line.ready().err(), line.health().map(|health| health.is_real_time()));
        LineReadyBody { line: line.name(), ready: reason.is_none(), reason, real_time }
    });
    let lines: Vec<LineReadyBody> = lines.collect();
    let ready = lines.iter().all(|line| line.ready);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadyBody { ready, lines })).into_response()
}

/// The lines that an application may use.
pub async fn lines(State(api): State<Arc<Api>>, app: App) -> Response {
    let lines = usable(&api, &app);
    let value = lines.iter().map(|line| line_json(line)).collect();
    Json(CollectionBody { value, count: None, next_link: None }).into_response()
}

fn usable(api: &Api, app: &App) -> Vec<Arc<Line>> {
    api.control.lines().into_iter().filter(|line| app.0.may_use(line.name())).collect()
}

fn line_json(line: &Line) -> LineBody<'_> {
    let spec = line.spec();
    LineBody {
        name: line.name(),
        source: line.source().to_string(),
        ready: line.ready().is_ok(),
        channels: spec.map(|spec| spec.channels),
        sample_rate: spec.map(|spec| spec.rate.hz()),
        levels: line.meters().iter().map(level_json).collect(),
        device: line.health().map(|health| DeviceBody {
            xruns: health.xruns(),
            errors: health.errors(),
            lost_frames: health.lost_frames(),
            real_time: health.is_real_time(),
            clock_drift_ppm: health.drift_ppm().map(tenths),
        }),
    }
}

pub(super) fn level_json(meter: &Meter) -> LevelBody {
    let rounded = |dbfs: f32| (f64::from(dbfs) * 10.0).round() / 10.0;
    LevelBody {
        rms_dbfs: rounded(meter.rms_dbfs),
        peak: (f64::from(meter.peak) * 10_000.0).round() / 10_000.0,
        clipped: meter.clipped,
        noise_floor_dbfs: rounded(meter.floor_dbfs),
        threshold_dbfs: rounded(meter.threshold_dbfs),
        speaking: meter.speaking,
    }
}

/// How much space there is for recordings.
pub async fn space(State(api): State<Arc<Api>>, _app: App) -> Result<Response, Refusal> {
    let space = api.control.space().await?;
    Ok(Json(SpaceBody { free_bytes: space.free_bytes, reserve_bytes: space.reserve_bytes }).into_response())
}
