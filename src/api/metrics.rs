//! `/metrics`, in Prometheus' text form.
//!
//! Belongs here: every metric with its name, kind and help, and reading it. Does not: counting (`control::counts`).
//! `reference/metrics.md` explains each; a test holds the two together. The form is 40 lines: the libraries for it keep
//! registries of their own beside what is already counted here.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::Api;
use super::calls::App;
use super::error::Refusal;
use super::operations::reason_name;
use super::wire::all_reasons;
use crate::capture::Source;
use crate::clock;
use crate::control::counts::Attempt;
use crate::dsp::ear::Meter;
use crate::error::{Error, Kind};
use crate::store::journal::Delivery;

/// Requests are answered within these, in seconds, or take longer than all.
const WITHIN: [f64; 8] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];
/// Linux tells processor time in hundredths of a second.
const TICKS_A_SECOND: f64 = 100.0;

/// Requests since the start.
pub struct Traffic {
    started: Timestamp,
    /// By the first digit of the status.
    by_status: [AtomicU64; 5],
    /// By the first bound that they kept, and those that kept none.
    by_time: [AtomicU64; WITHIN.len() + 1],
    total_us: AtomicU64,
}

impl Default for Traffic {
    fn default() -> Traffic {
        let (by_status, by_time, total_us) = Default::default();
        Traffic { started: clock::wall(), by_status, by_time, total_us }
    }
}

impl Traffic {
    /// A request was answered after so long.
    pub fn answered(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.by_status[class].fetch_add(1, Ordering::Relaxed);
        let bound = WITHIN.iter().position(|bound| took.as_secs_f64() <= *bound).unwrap_or(WITHIN.len());
        self.by_time[bound].fetch_add(1, Ordering::Relaxed);
        self.total_us.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }
}

/// A page of metrics as it is written.
#[derive(Default)]
struct Page(String);

type Label<'a> = (&'a str, &'a str);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[Label<'_>], value: f64) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        self.sample(name, &[], value);
    }

    /// One sample for each value of a label.
    fn each<'a>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        samples: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        self.head(name, kind, help);
        for (value, sample) in samples {
            self.sample(name, &[(label, value)], sample);
        }
    }
}

/// Whoever may read metrics: anybody on loopback, else an application.
pub struct Watcher;

impl FromRequestParts<Arc<Api>> for Watcher {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Watcher, Refusal> {
        if !api.on_loopback {
            App::from_request_parts(parts, api).await?;
        }
        Ok(Watcher)
    }
}

/// GET of all metrics.
pub async fn metrics(State(api): State<Arc<Api>>, _watcher: Watcher) -> Result<Response, Refusal> {
    let (space, outbox) = (api.control.space().await?, api.control.outbox().await?);
    let process = spawn_blocking(Process::read).await;
    let process = process.map_err(|_| Error::new(Kind::Internal, "reading /proc was given up"))?;
    let mut page = Page::default();
    page.head("tonearm_build_info", "gauge", "1, with the version of the program.");
    page.sample("tonearm_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    lines(&api, &mut page);
    operations(&api, &mut page);
    let told = [Delivery::Pending, Delivery::Delivered, Delivery::Undeliverable].map(|state| {
        let count = outbox.iter().find(|(known, _)| *known == state).map_or(0, |(_, count)| *count);
        (state.name(), count as f64)
    });
    page.each("tonearm_notifications", "gauge", "Notifications in the outbox, by state.", "state", told);
    let attempts = [("taken", Attempt::Taken), ("failed", Attempt::Failed), ("refused", Attempt::Refused)];
    let attempts = attempts.map(|(name, attempt)| (name, api.control.counts().of_attempt(attempt) as f64));
    let help = "Attempts to deliver a notification, by what came of them.";
    page.each("tonearm_notification_attempts_total", "counter", help, "result", attempts);
    let help = "Bytes that recordings may still take.";
    page.one("tonearm_storage_free_bytes", "gauge", help, space.free_bytes as f64);
    let help = "With fewer bytes free no recording is taken on.";
    page.one("tonearm_storage_reserve_bytes", "gauge", help, space.reserve_bytes as f64);
    requests(&api, &mut page);
    let help = "Processor time of the daemon, all threads together.";
    page.one("process_cpu_seconds_total", "counter", help, process.cpu_seconds);
    page.one("process_resident_memory_bytes", "gauge", "Memory that the daemon holds.", process.resident_bytes);
    page.one("process_open_fds", "gauge", "Files and connections that are open.", process.open_files);
    let started = api.traffic.started.as_millisecond() as f64 / 1_000.0;
    page.one("process_start_time_seconds", "gauge", "When the daemon started, in Unix time.", started);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page.0).into_response())
}

/// What is told of each channel of a line.
type OfChannel = (&'static str, &'static str, &'static str, fn(&Meter) -> f64);

const OF_CHANNELS: [OfChannel; 4] = [
    ("tonearm_line_level_dbfs", "gauge", "RMS of the last 100 ms; 0 is a full-scale sine.", |meter| {
        meter.rms_dbfs.into()
    }),
    ("tonearm_line_noise_floor_dbfs", "gauge", "The noise floor.", |meter| meter.floor_dbfs.into()),
    ("tonearm_line_threshold_dbfs", "gauge", "The level above which speech begins.", |meter| {
        meter.threshold_dbfs.into()
    }),
    ("tonearm_line_clipped_samples_total", "counter", "Samples at full scale since the device was opened.", |meter| {
        meter.clipped as f64
    }),
];

fn lines(api: &Api, page: &mut Page) {
    let lines = api.control.lines();
    let ready = lines.iter().map(|line| (line.name(), f64::from(u8::from(line.ready().is_ok()))));
    page.each("tonearm_line_ready", "gauge", "1 if the line can record.", "line", ready);
    let devices = lines.iter().filter(|line| matches!(line.source(), Source::Device(_)));
    let real_time = devices.filter_map(|line| Some((line.name(), f64::from(u8::from(line.health()?.is_real_time())))));
    let help = "1 if the thread of the line's device has real-time priority.";
    page.each("tonearm_line_real_time", "gauge", help, "line", real_time);
    let captured = lines.iter().filter_map(|line| Some((line.name(), line.captured_frames()? as f64)));
    let help = "Frames that the line's device delivered or lost since it was opened.";
    page.each("tonearm_line_captured_frames_total", "counter", help, "line", captured);
    let meters: Vec<(&str, Vec<Meter>)> = lines.iter().map(|line| (line.name(), line.meters())).collect();
    for (name, kind, help, of) in OF_CHANNELS {
        page.head(name, kind, help);
        for (line, meters) in &meters {
            for (channel, meter) in meters.iter().enumerate() {
                page.sample(name, &[("line", line), ("channel", &(channel + 1).to_string())], of(meter));
            }
        }
    }
}

fn operations(api: &Api, page: &mut Page) {
    let ((waiting, running), counts) = (api.control.live(), api.control.counts());
    let live = [("waiting", waiting as f64), ("running", running as f64)];
    page.each("tonearm_operations", "gauge", "Recordings and prompts that wait or run.", "state", live);
    let ended = all_reasons().map(|reason| (reason_name(reason), counts.of_reason(reason) as f64));
    let help = "Recordings and prompts that ended, by completionReason.";
    page.each("tonearm_operations_ended_total", "counter", help, "reason", ended);
    page.one(
        "tonearm_recorded_seconds_total",
        "counter",
        "Seconds of audio that were kept.",
        counts.recorded_seconds(),
    );
    let help = "Frames that are missing in what was kept.";
    page.one("tonearm_lost_frames_total", "counter", help, counts.lost_frames() as f64);
}

fn requests(api: &Api, page: &mut Page) {
    let load = |number: &AtomicU64| number.load(Ordering::Relaxed) as f64;
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(api.traffic.by_status.iter().map(load));
    page.each("tonearm_http_requests_total", "counter", "Requests, by class of their status.", "status", classes);
    let name = "tonearm_http_request_duration_seconds";
    page.head(name, "histogram", "From a request to the head of its answer.");
    let mut count = 0.0;
    for (bound, kept) in
        WITHIN.map(|bound| bound.to_string()).iter().map(String::as_str).chain(["+Inf"]).zip(&api.traffic.by_time)
    {
        count += load(kept);
        page.sample(&format!("{name}_bucket"), &[("le", bound)], count);
    }
    page.sample(&format!("{name}_sum"), &[], load(&api.traffic.total_us) / 1e6);
    page.sample(&format!("{name}_count"), &[], count);
    page.one("tonearm_event_viewers", "gauge", "Who follows /events.", api.hub.viewers() as f64);
}

/// What Linux knows of this process; what cannot be read is 0.
struct Process {
    cpu_seconds: f64,
    resident_bytes: f64,
    open_files: f64,
}

impl Process {
    fn read() -> Process {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name in parentheses may hold anything; behind it utime and stime are the 12th and 13th.
        let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        Process {
            cpu_seconds: ticks.sum::<f64>() / TICKS_A_SECOND,
            resident_bytes: resident.unwrap_or(0.0) * 1_024.0,
            open_files: std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out_of_their_quotes() {
        let mut page = Page::default();
        page.sample("a", &[("b", "\"} 1\n\\")], 2.0);
        assert_eq!(page.0, "a{b=\"\\\"} 1\\n\\\\\"} 2\n");
    }

    #[test]
    fn this_process_has_files_memory_and_spent_time() {
        let process = Process::read();
        assert!(
            process.open_files > 2.0 && process.resident_bytes > 1e5,
            "{} {}",
            process.open_files,
            process.resident_bytes
        );
        assert!(process.cpu_seconds < 1e6);
    }
}
