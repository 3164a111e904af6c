//! What happens, as server-sent events: levels, keys, operations.
//!
//! Belongs here: making each event once for all who look on, and giving each what it may see. Does not: what the events
//! are about (`control`). While nobody looks on, nothing is made.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{self, Receiver, Sender};

use super::Api;
use super::calls::App;
use super::lines::level_json;
use super::overview::{progress_json, seen_json};
use super::wire::{HeardKeyBody, LevelBody, LevelsBody, ProgressBody, RunningBody};
use crate::clock;
use crate::control::keys::Keys;
use crate::control::line::Line;
use crate::control::overview::Changed;
use crate::dsp::tone::Tone;

/// Levels are told so often.
const EVERY: Duration = Duration::from_millis(100);
/// And with each so many of them, how far recordings are.
const PROGRESS_EVERY: u32 = 2;
/// Who looks on may be late by so many events; then it is told that it has missed some.
const LATE: usize = 256;

/// Tells all who look on.
pub struct Hub {
    told: Sender<Event>,
    /// Whether the thread that makes events goes on.
    goes_on: Mutex<bool>,
}

/// Something that happened, as text.
#[derive(Clone)]
enum Event {
    /// Of each line, in their order; and all of them in one piece.
    Levels(Arc<[Bytes]>, Bytes),
    /// About one line.
    Line(usize, Bytes),
    /// About an operation of this application.
    Application(Arc<str>, Bytes),
    /// Nothing more comes.
    Over,
}

impl Default for Hub {
    fn default() -> Hub {
        Hub { told: broadcast::channel(LATE).0, goes_on: Mutex::new(false) }
    }
}

impl Hub {
    /// How many look on.
    pub fn viewers(&self) -> usize {
        self.told.receiver_count()
    }

    /// Sends everybody away.
    pub fn close(&self) {
        // Nobody may be there.
        let _ = self.told.send(Event::Over);
    }

    fn join(&self, api: &Arc<Api>) -> Receiver<Event> {
        let mut goes_on = self.goes_on.lock().unwrap_or_else(PoisonError::into_inner);
        let events = self.told.subscribe();
        if !*goes_on {
            let api = api.clone();
            // Timers of the runtime wake it three times for each tick.
            match thread::Builder::new().name("events".into()).spawn(move || tell(&api)) {
                Ok(_) => *goes_on = true,
                Err(error) => tracing::error!("levels and what happens cannot be told: no thread: {error}"),
            }
        }
        events
    }

    /// Whether nobody looks on any more; then the thread that asks has to end.
    fn is_left(&self) -> bool {
        let mut goes_on = self.goes_on.lock().unwrap_or_else(PoisonError::into_inner);
        *goes_on = self.told.receiver_count() > 0;
        !*goes_on
    }
}

/// Makes events until nobody looks on.
fn tell(api: &Api) {
    let mut ears: Vec<Ear> = api.control.lines().iter().cloned().map(Ear::new).collect();
    let (mut changes, mut next) = (api.control.changes(), clock::now());
    for tick in 0_u32.. {
        while let Some(left) = next.checked_duration_since(clock::now()).filter(|left| !left.is_zero()) {
            thread::park_timeout(left);
        }
        // After a stop of the host nothing is caught up with.
        next = clock::now().max(next + EVERY);
        if api.hub.is_left() {
            return;
        }
        loop {
            match changes.try_recv() {
                Ok(changed) => tell_change(api, changed),
                Err(TryRecvError::Lagged(_)) => {}
                Err(_) => break,
            }
        }
        let send = |event| drop(api.hub.told.send(event));
        let levels: Arc<[Bytes]> = ears.iter_mut().map(Ear::levels).collect();
        let all: Vec<u8> = levels.concat();
        if !all.is_empty() {
            send(Event::Levels(levels, all.into()));
        }
        for (index, ear) in ears.iter_mut().enumerate() {
            ear.keys(|text| send(Event::Line(index, text)));
        }
        if tick.is_multiple_of(PROGRESS_EVERY) {
            tell_progress(api);
        }
    }
}

/// One line, as the hub hears it.
struct Ear {
    line: Arc<Line>,
    keys: Option<Keys>,
    /// Of each channel, the samples at full scale up to the last event.
    clipped: Vec<u64>,
}

impl Ear {
    fn new(line: Arc<Line>) -> Ear {
        Ear { keys: line.keys_if_open(), line, clipped: Vec::new() }
    }

    /// The levels now; nothing while the line is closed.
    fn levels(&mut self) -> Bytes {
        let meters = self.line.take_meters();
        if meters.is_empty() {
            return Bytes::new();
        }
        let before = std::mem::replace(&mut self.clipped, meters.iter().map(|meter| meter.clipped).collect());
        let levels = meters.iter().enumerate().map(|(channel, meter)| {
            let before = before.get(channel).copied().unwrap_or(meter.clipped);
            // A device that was opened again counts from 0.
            LevelBody { clipped: meter.clipped.checked_sub(before).unwrap_or(meter.clipped), ..level_json(meter) }
        });
        event("levels", &LevelsBody { line: self.line.name(), levels: levels.collect() })
    }

    /// The keys that came since the last time.
    fn keys(&mut self, tell: impl Fn(Bytes)) {
        if self.keys.is_none() {
            self.keys = self.line.keys_if_open();
        }
        let Some(keys) = &mut self.keys else { return };
        loop {
            match keys.came() {
                Ok(Some(tone)) => tell(key_event(self.line.name(), &tone)),
                Ok(None) => return,
                Err(_) => return self.keys = None,
            }
        }
    }
}

fn key_event(line: &str, tone: &Tone) -> Bytes {
    let rounded = |value: f32| (f64::from(value) * 10.0).round() / 10.0;
    let body = HeardKeyBody {
        line,
        digit: tone.key.char().to_string(),
        low_hz: rounded(tone.low_hz),
        high_hz: rounded(tone.high_hz),
        level_dbfs: rounded(10.0 * (10_f32.powf(tone.low_dbfs / 10.0) + 10_f32.powf(tone.high_dbfs / 10.0)).log10()),
    };
    event("key", &body)
}

fn tell_change(api: &Api, changed: Changed) {
    let (app, text) = match changed {
        Changed::Gone(app, id) => (app, event("gone", &json!({"id": id}))),
        Changed::Operation(id) => {
            let Some(seen) = api.control.seen(id) else { return };
            let text = event("operation", &seen_json(&seen, &api.links));
            (seen.operation.app, text)
        }
    };
    let _ = api.hub.told.send(Event::Application(app.into(), text));
}

fn tell_progress(api: &Api) {
    let mut by_app: BTreeMap<String, Vec<ProgressBody>> = BTreeMap::new();
    for (app, id, progress) in api.control.running() {
        by_app.entry(app).or_default().push(progress_json(id, &progress));
    }
    for (app, running) in by_app {
        let _ = api.hub.told.send(Event::Application(app.into(), event("progress", &RunningBody { running })));
    }
}

/// Of plain values, which always become JSON, on one line.
fn event(name: &str, data: &impl Serialize) -> Bytes {
    format!("event: {name}\ndata: {}\n\n", serde_json::to_string(data).unwrap_or_default()).into()
}

/// GET of what happens, until the reader leaves.
pub async fn events(State(api): State<Arc<Api>>, app: App) -> Response {
    let allowed = api.control.lines().iter().map(|line| app.0.may_use(line.name())).collect();
    let viewer = Viewer { told: api.hub.join(&api), app, allowed, is_greeted: false };
    // The connection's own task waits for events: whom another would have to wake costs half as much again.
    let events = unfold(viewer, |mut viewer| async {
        let text = viewer.next().await?;
        Some((Ok::<Bytes, Infallible>(text), viewer))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(events)).into_response()
}

/// Who looks on.
struct Viewer {
    told: Receiver<Event>,
    app: App,
    /// Of each line, whether it may be seen.
    allowed: Vec<bool>,
    is_greeted: bool,
}

impl Viewer {
    /// The next events that may be seen, as text; `None` when nothing more comes.
    async fn next(&mut self) -> Option<Bytes> {
        // Whoever asks knows at once that it is listened to.
        if !std::mem::replace(&mut self.is_greeted, true) {
            return Some(Bytes::from_static(b": tonearm\n\n"));
        }
        loop {
            let mut texts = vec![match self.told.recv().await {
                Ok(Event::Over) | Err(RecvError::Closed) => return None,
                Ok(event) => self.sees(event),
                Err(RecvError::Lagged(_)) => event_missed(),
            }];
            // What has come in the meantime goes along: one write for all of it.
            loop {
                texts.push(match self.told.try_recv() {
                    Ok(Event::Over) => return None,
                    Ok(event) => self.sees(event),
                    Err(TryRecvError::Lagged(_)) => event_missed(),
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                });
            }
            texts.retain(|text| !text.is_empty());
            match texts.len() {
                0 => {}
                1 => return texts.pop(),
                _ => return Some(texts.concat().into()),
            }
        }
    }

    /// What of an event may be seen.
    fn sees(&self, event: Event) -> Bytes {
        match event {
            Event::Levels(_, all) if self.allowed.iter().all(|allowed| *allowed) => all,
            Event::Levels(lines, _) => {
                let seen =
                    lines.iter().zip(&self.allowed).filter(|(_, allowed)| **allowed).map(|(text, _)| text.as_ref());
                seen.collect::<Vec<&[u8]>>().concat().into()
            }
            Event::Line(index, text) if self.allowed.get(index) == Some(&true) => text,
            Event::Application(of, text) if *of == *self.app.0.id => text,
            Event::Line(..) | Event::Application(..) | Event::Over => Bytes::new(),
        }
    }
}

fn event_missed() -> Bytes {
    event("missed", &json!({}))
}
