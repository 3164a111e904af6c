//! What a crash costs: audio that is lost by `kill -9`, the time to be ready again, the time to repair a day of audio.
//!
//! `cargo bench --bench restart`

#[path = "../tests/it/daemon.rs"]
mod daemon;
#[path = "../tests/it/sound.rs"]
mod sound;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tonearm::clock;
use tonearm::store::journal::{Journal, OperationRow};
use tonearm::store::part_of;
use uuid::Uuid;

use daemon::{Daemon, configure};
use sound::Sound;

type Outcome<T> = Result<T, Box<dyn Error>>;

const LONG: &str = r#"{"playBeep":false,"maxRecordDurationInSeconds":86400,"initialSilenceTimeoutInSeconds":86400}"#;
const KILLS: usize = 40;
const OPERATIONS: i64 = 10_000;
const UNFINISHED: usize = 100;
const RUNS: usize = 7;

fn main() -> Outcome<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        lost(folder.path()).await?;
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        ready(folder.path()).await?;
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        day(folder.path()).await
    })
}

fn ms(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1_000.0
}

fn show(name: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    println!("{name:<64} n {:>3}  p50 {:>6.0}  p95 {:>6.0}  max {:>6.0} ms", times.len(), at(0.5), at(0.95), at(1.0));
}

/// A line that hears noise in real time.
fn configured(folder: &Path) -> Outcome<PathBuf> {
    let wav = folder.join("noise.wav");
    Sound::at(48_000).hiss(10_000).write(&wav);
    configure(folder, &[("mic", &format!("wav:{}?pace=real&loop=true", wav.display()))], "")
}

async fn start(config: &Path) -> Outcome<Daemon> {
    Daemon::launch(config, Stdio::null()).await
}

/// From the last frame in the file to the kill.
async fn lost(folder: &Path) -> Outcome<()> {
    let config = configured(folder)?;
    let mut times = Vec::new();
    let mut daemon = start(&config).await?;
    for kill in 0..KILLS {
        let operation = daemon.post("/app/calls/mic/record", LONG).await?;
        // Everywhere within two sync intervals.
        tokio::time::sleep(Duration::from_millis(500 + 2_000 * kill as u64 / KILLS as u64)).await;
        let killed = clock::wall();
        daemon.stopped().await?;
        daemon = start(&config).await?;
        let operation = daemon.ended("mic", &operation).await?;
        let recording = &operation["recording"];
        let started: jiff::Timestamp = recording["startedAt"].as_str().ok_or("no start")?.parse()?;
        let kept = recording["durationSeconds"].as_f64().ok_or("no length")?;
        times.push((killed.duration_since(started).as_secs_f64() - kept) * 1_000.0);
    }
    show("audio lost by kill -9", times);
    daemon.stopped().await
}

/// A killed daemon's operation, and the file that it left.
async fn interrupted(folder: &Path, config: &Path, seconds: u64) -> Outcome<(OperationRow, PathBuf)> {
    let daemon = start(config).await?;
    let operation = daemon.post("/app/calls/mic/record", LONG).await?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    daemon.stopped().await?;
    let id = operation["id"].as_str().ok_or("no id")?;
    let row = Journal::open(&folder.join("data/journal.sqlite"))?.operation(id)?.ok_or("it is not written down")?;
    Ok((row, part_of(&folder.join(format!("data/recordings/{id}.wav")))))
}

fn copy_of(row: &OperationRow, seq: i64, ended: bool) -> Outcome<OperationRow> {
    let mut document: Value = serde_json::from_str(&row.doc)?;
    let id = Uuid::now_v7().to_string();
    document["id"] = id.clone().into();
    document["seq"] = seq.into();
    document["status"] = if ended { "Completed" } else { "Running" }.into();
    Ok(OperationRow { id, seq, ended, doc: document.to_string(), ..row.clone() })
}

/// From exec to the line that says that it is ready, and on until the last interrupted operation has been ended.
async fn ready(folder: &Path) -> Outcome<()> {
    let config = configured(folder)?;
    let (row, part) = interrupted(folder, &config, 10).await?;
    let journal = Journal::open(&folder.join("data/journal.sqlite"))?;
    for seq in row.seq + 1..row.seq + OPERATIONS {
        journal.put_operation(&copy_of(&row, seq, true)?)?;
    }
    let template = folder.join("template");
    std::fs::rename(&part, &template)?;
    let (mut to_ready, mut to_told) = (Vec::new(), Vec::new());
    let mut seq = row.seq + OPERATIONS;
    for _ in 0..RUNS {
        let mut left = Vec::new();
        for _ in 0..UNFINISHED {
            let row = copy_of(&row, seq, false)?;
            let part = part_of(&folder.join(format!("data/recordings/{}.wav", row.id)));
            std::fs::copy(&template, &part)?;
            // As a daemon leaves them that syncs every second.
            std::fs::File::open(&part)?.sync_all()?;
            journal.put_operation(&row)?;
            left.push(row.id);
            seq += 1;
        }
        let started = clock::now();
        let daemon = start(&config).await?;
        to_ready.push(ms(started));
        for id in &left {
            daemon.ended("mic", &serde_json::json!({ "id": id })).await?;
        }
        to_told.push(ms(started));
        daemon.stopped().await?;
        for id in &left {
            std::fs::remove_file(folder.join(format!("data/recordings/{id}.wav")))?;
        }
    }
    show(&format!("exec to ready, {OPERATIONS} operations, {UNFINISHED} unfinished of 10 s"), to_ready);
    show("the same, to the last of them ended in the journal", to_told);
    Ok(())
}

/// A day at 48 kHz. A hole stands for the samples: repairing does not read them.
async fn day(folder: &Path) -> Outcome<()> {
    let config = configured(folder)?;
    let (_, part) = interrupted(folder, &config, 2).await?;
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let file = std::fs::OpenOptions::new().write(true).open(&part)?;
        file.set_len(86_400 * 96_000)?;
        file.sync_all()?;
        drop(file);
        let started = clock::now();
        let done = Command::new(env!("CARGO_BIN_EXE_tonearm")).arg("repair").arg(folder.join("data")).output()?;
        times.push(ms(started));
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into());
        }
        std::fs::rename(part.with_extension(""), &part)?;
    }
    show("`tonearm repair` of 24 h at 48 kHz (8.3 GB)", times);
    Ok(())
}
