//! What the API takes: accepting a recording while others poll, telling of its end, listing what has piled up, looking on.
//!
//! `cargo bench --bench api`; a part of it: `-- watching` (or `accepting`, `telling`, `listing`).

#[path = "../tests/it/daemon.rs"]
mod daemon;
#[path = "../tests/it/sound.rs"]
mod sound;

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use tonearm::clock;
use tonearm::store::journal::Journal;
use uuid::Uuid;

use daemon::{Daemon, Http, TOKEN, configure};
use sound::Sound;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Clients that poll, each so often.
const POLLERS: usize = 50;
const POLL_EVERY: Duration = Duration::from_millis(100);

fn main() -> Outcome<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| named.is_empty() || named.iter().any(|wanted| wanted == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let folder = || tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        if is_wanted("accepting") {
            accepting(folder()?.path()).await?;
        }
        if is_wanted("telling") {
            telling(folder()?.path()).await?;
        }
        if is_wanted("listing") {
            listing(folder()?.path()).await?;
        }
        if is_wanted("watching") {
            watching(folder()?.path()).await?;
        }
        Ok(())
    })
}

fn ms(started: std::time::Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1_000.0
}

fn show(name: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    println!(
        "{name:<52} n {:>5}  p50 {:>7.2}  p95 {:>7.2}  p99 {:>7.2}  max {:>7.2} ms",
        times.len(),
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0)
    );
}

/// A line that hears a word again and again, flat out.
fn fast(folder: &Path) -> Outcome<String> {
    let wav = folder.join("word.wav");
    Sound::at(8_000).voice(500).write(&wav);
    Ok(format!("wav:{}?pace=fast&loop=true", wav.display()))
}

const SECOND: &str = r#"{"playBeep":false,"maxRecordDurationInSeconds":1}"#;

/// POST to 202, which is on the disk, with and without others who poll.
async fn accepting(folder: &Path) -> Outcome<()> {
    let daemon = Daemon::with(&configure(folder, &[("mic", &fast(folder)?)], "")?).await?;
    disk(folder, "the disk: 4 KiB appended and synced")?;
    let first = daemon.post("/app/calls/mic/record", SECOND).await?;
    let path = format!("/app/calls/mic/operations/{}", first["id"].as_str().ok_or("no id")?);
    for pollers in [0, POLLERS] {
        let (over, polls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks = Vec::new();
        for _ in 0..pollers {
            let (http, over, polls) = (Http::at(daemon.base.clone())?, over.clone(), polls.clone());
            let url = format!("{}{path}", daemon.base);
            tasks.push(tokio::spawn(async move {
                while !over.load(Relaxed) {
                    let answer = http.client.get(&url).bearer_auth(TOKEN).send().await;
                    if answer.is_ok_and(|answer| answer.status().is_success()) {
                        polls.fetch_add(1, Relaxed);
                    }
                    tokio::time::sleep(POLL_EVERY).await;
                }
            }));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (mut times, began) = (Vec::new(), clock::now());
        for _ in 0..500 {
            let started = clock::now();
            let operation = daemon.post("/app/calls/mic/record", SECOND).await?;
            times.push(ms(started));
            daemon.ended("mic", &operation).await?;
        }
        let rate = polls.load(Relaxed) as f64 / began.elapsed().as_secs_f64();
        over.store(true, Relaxed);
        for task in tasks {
            task.await?;
        }
        show(&format!("POST record to 202, {pollers} polling ({rate:.0} GET/s)"), times);
    }
    Ok(())
}

/// From the last frame of a recording, in time as it was captured, to its notification at the callback.
async fn telling(folder: &Path) -> Outcome<()> {
    let (sender, mut told) = mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let uri = format!("http://{}/told", listener.local_addr()?);
    let app = Router::new().route(
        "/told",
        post(move |Json(body): Json<Value>| {
            let _ = sender.send((clock::wall(), body["value"][0]["resourceData"].clone()));
            async {}
        }),
    );
    tokio::spawn(async move { axum::serve(listener, app).await });
    let wav = folder.join("word.wav");
    Sound::at(48_000).voice(500).write(&wav);
    let source = format!("wav:{}?pace=real&loop=true", wav.display());
    let config = configure(folder, &[("mic", &source)], &format!("callback_uri = \"{uri}\""))?;
    let daemon = Daemon::with(&config).await?;
    let mut times = Vec::new();
    for _ in 0..100 {
        daemon.post("/app/calls/mic/record", SECOND).await?;
        let (at, operation) = told.recv().await.ok_or("nobody calls")?;
        let recording = &operation["recording"];
        let started: Timestamp = recording["startedAt"].as_str().ok_or("no start")?.parse()?;
        let length = recording["durationSeconds"].as_f64().ok_or("no length")?;
        times.push(at.duration_since(started).as_secs_f64() * 1_000.0 - length * 1_000.0);
    }
    show("last frame captured to its notification", times);
    disk(folder, "the disk: 4 KiB appended and synced")
}

/// What the disk takes for a sync of its own.
fn disk(folder: &Path, name: &str) -> Outcome<()> {
    let mut file = std::fs::File::create(folder.join("sync"))?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let started = clock::now();
        file.write_all(&[7; 4_096])?;
        file.sync_data()?;
        times.push(ms(started));
    }
    show(name, times);
    Ok(())
}

/// 1,000 calls and 10,000 ended operations, a page at a time and all.
async fn listing(folder: &Path) -> Outcome<()> {
    let config = configure(folder, &[("mic", &fast(folder)?)], "")?;
    let mut daemon = Daemon::with(&config).await?;
    let operation = daemon.post("/app/calls/mic/record", SECOND).await?;
    daemon.ended("mic", &operation).await?;
    for _ in 0..999 {
        daemon.post("/app/calls", "{}").await?;
    }
    daemon.child.kill().await?;
    let journal = Journal::open(&folder.join("data/journal.sqlite"))?;
    let first = journal.operation(operation["id"].as_str().ok_or("no id")?)?.ok_or("it is not written down")?;
    for seq in first.seq + 1..first.seq + 10_000 {
        let mut row = first.clone();
        let mut document: Value = serde_json::from_str(&row.doc)?;
        row.id = Uuid::now_v7().to_string();
        row.seq = seq;
        document["id"] = row.id.clone().into();
        document["seq"] = seq.into();
        row.doc = document.to_string();
        journal.put_operation(&row)?;
    }
    drop(journal);
    let daemon = Daemon::with(&config).await?;
    for path in
        ["/app/calls", "/app/calls?$top=1000", "/app/calls/mic/operations", "/app/calls/mic/operations?$top=1000"]
    {
        let (mut times, mut pages) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            let (mut next, began, mut count) = (Some(path.to_owned()), clock::now(), 0);
            while let Some(url) = next {
                let started = clock::now();
                let answer = daemon.send(reqwest::Method::GET, &url, None).await?.bytes().await?;
                pages.push(ms(started));
                let page: Value = serde_json::from_slice(&answer)?;
                count += page["value"].as_array().map_or(0, Vec::len);
                next = page["@odata.nextLink"].as_str().map(str::to_owned);
            }
            times.push(ms(began));
            assert!(count == 1_000 || count == 10_000, "{count}");
        }
        show(&format!("GET {path}, a page"), pages);
        show(&format!("GET {path}, all, read as JSON"), times);
    }
    Ok(())
}

/// Who follows the events of four lines costs so much of a core.
async fn watching(folder: &Path) -> Outcome<()> {
    let lines = ["a", "b", "c", "d"].map(|name| (name, "silence:"));
    let daemon = Daemon::with(&configure(folder, &lines, "")?).await?;
    let spent = async || -> Outcome<f64> {
        let text = daemon.client.get(format!("{}/metrics", daemon.base)).send().await?.text().await?;
        let line = text.lines().find_map(|line| line.strip_prefix("process_cpu_seconds_total "));
        Ok(line.ok_or("no such metric")?.parse()?)
    };
    let (mut tasks, mut alone) = (Vec::new(), 0.0);
    for viewers in [0, 1, 10, 40] {
        while tasks.len() < viewers {
            let http = Http::at(daemon.base.clone())?;
            tasks.push(tokio::spawn(async move {
                let request = http.client.get(format!("{}/events", http.base)).bearer_auth(TOKEN);
                let Ok(mut answer) = request.timeout(Duration::from_secs(3_600)).send().await else { return };
                while answer.chunk().await.is_ok_and(|piece| piece.is_some()) {}
            }));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (began, before) = (clock::now(), spent().await?);
        tokio::time::sleep(Duration::from_secs(20)).await;
        let share = (spent().await? - before) / began.elapsed().as_secs_f64() * 100.0;
        if viewers == 0 {
            alone = share;
        }
        let each = (share - alone) / viewers.max(1) as f64;
        println!(
            "{viewers:>3} look on four lines: the daemon takes {share:.2} % of a core, {each:.3} % for each of them"
        );
    }
    tasks.iter().for_each(|task| task.abort());
    Ok(())
}
