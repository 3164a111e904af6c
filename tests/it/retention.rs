//! What retention takes, what it leaves alone, and `tonearm prune`.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tonearm::store::journal::Journal;

use crate::daemon::{Daemon, configure};
use crate::sound::Sound;

/// A second at 48 kHz in 16 bits, with its header.
const SECOND_BYTES: u64 = 100_000;

async fn start(config: &Path, name: &str, value: u64) -> Daemon {
    let name = format!("TONEARM__STORAGE__RETENTION_{name}");
    Daemon::launch_in(config, Stdio::null(), &[(&name, &value.to_string())]).await.unwrap()
}

fn configured(folder: &Path) -> std::path::PathBuf {
    let wav = folder.join("noise.wav");
    Sound::at(48_000).hiss(1_000).write(&wav);
    let fast = format!("wav:{}?pace=fast&loop=true", wav.display());
    let real = format!("wav:{}?pace=real&loop=true", wav.display());
    configure(folder, &[("fast", &fast), ("real", &real)], "").unwrap()
}

async fn record(daemon: &Daemon, seconds: u32) -> Value {
    let request = format!(
        r#"{{"playBeep":false,"maxRecordDurationInSeconds":{seconds},"initialSilenceTimeoutInSeconds":{}}}"#,
        seconds + 1
    );
    let operation = daemon.post("/app/calls/fast/record", &request).await.unwrap();
    daemon.ended("fast", &operation).await.unwrap()
}

fn id(operation: &Value) -> &str {
    operation["id"].as_str().unwrap()
}

fn file(folder: &Path, operation: &Value) -> std::path::PathBuf {
    folder.join(format!("data/recordings/{}.wav", id(operation)))
}

async fn status(daemon: &Daemon, path: &str) -> StatusCode {
    daemon.send(Method::GET, path, None).await.unwrap().status()
}

/// Waits until an operation is gone, and holds that all of it is.
async fn gone(daemon: &Daemon, folder: &Path, operation: &Value) {
    let path = format!("/app/calls/fast/operations/{}", id(operation));
    for _ in 0..500 {
        if status(daemon, &path).await == 404 {
            assert!(!file(folder, operation).exists());
            assert_eq!(status(daemon, &format!("/recordings/{}", id(operation))).await, 410);
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} was kept", id(operation));
}

async fn is_kept(daemon: &Daemon, folder: &Path, operation: &Value) {
    assert_eq!(status(daemon, &format!("/app/calls/fast/operations/{}", id(operation))).await, 200);
    assert!(file(folder, operation).exists());
}

#[tokio::test]
async fn beyond_the_bytes_what_ended_first_goes_and_nothing_that_grows() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(&configured(folder.path()), "BYTES", 2 * SECOND_BYTES + 50_000).await;
    let long = r#"{"playBeep":false,"maxRecordDurationInSeconds":60,"initialSilenceTimeoutInSeconds":60}"#;
    let growing = daemon.post("/app/calls/real/record", long).await.unwrap();
    let first = record(&daemon, 1).await;
    let second = record(&daemon, 1).await;
    is_kept(&daemon, folder.path(), &first).await;
    let third = record(&daemon, 1).await;
    gone(&daemon, folder.path(), &first).await;
    is_kept(&daemon, folder.path(), &second).await;
    is_kept(&daemon, folder.path(), &third).await;
    let running = daemon.get(&format!("/app/calls/real/operations/{}", id(&growing))).await.unwrap();
    assert_eq!(running["status"], "running");
    let listed = daemon.get("/app/calls/fast/operations").await.unwrap();
    assert_eq!(listed["value"].as_array().unwrap().len(), 2);
    // Nor does the journal know it after this.
    daemon.stopped().await.unwrap();
    let journal = Journal::open(&folder.path().join("data/journal.sqlite")).unwrap();
    assert!(journal.operation(id(&first)).unwrap().is_none());
    assert_eq!(journal.gone(id(&first)).unwrap().as_deref(), Some("bot"));
}

#[tokio::test]
async fn a_recording_that_is_being_read_is_never_chosen_and_its_reader_gets_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(&configured(folder.path()), "BYTES", 13_000_000).await;
    // More than the sockets hold: the reader is in the middle of it.
    let first = record(&daemon, 120).await;
    let mut reader = daemon.send(Method::GET, &format!("/recordings/{}", id(&first)), None).await.unwrap();
    let length = reader.content_length().unwrap();
    let mut read = reader.chunk().await.unwrap().unwrap().len() as u64;
    let second = record(&daemon, 10).await;
    record(&daemon, 10).await;
    gone(&daemon, folder.path(), &second).await;
    is_kept(&daemon, folder.path(), &first).await;
    while let Some(chunk) = reader.chunk().await.unwrap() {
        read += chunk.len() as u64;
    }
    assert_eq!(read, length);
    record(&daemon, 10).await;
    gone(&daemon, folder.path(), &first).await;
}

fn prune(config: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tonearm"));
    command.args(["prune", "--json", "--config"]).arg(config).args(more);
    command.env("TONEARM__STORAGE__RETENTION_DAYS", "7").output().unwrap()
}

#[tokio::test]
async fn what_is_too_old_is_listed_by_a_dry_run_and_removed_by_prune_and_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path());
    let daemon = Daemon::with(&config).await.unwrap();
    let (old, older, young) = (record(&daemon, 1).await, record(&daemon, 1).await, record(&daemon, 1).await);
    daemon.stopped().await.unwrap();
    let path = folder.path().join("data/journal.sqlite");
    for (operation, changed) in [(&old, "2026-01-02T00:00:00Z"), (&older, "2026-01-01T00:00:00Z")] {
        let journal = Journal::open(&path).unwrap();
        let mut row = journal.operation(id(operation)).unwrap().unwrap();
        let mut document: Value = serde_json::from_str(&row.doc).unwrap();
        document["changed"] = changed.into();
        row.doc = document.to_string();
        journal.put_operation(&row).unwrap();
    }
    let daemon = Daemon::with(&config).await.unwrap();
    let listed = prune(&config, &["--dry-run"]);
    assert!(listed.status.success(), "{listed:?}");
    let lines = String::from_utf8(listed.stdout).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<&str> = lines.iter().map(id).collect();
    assert_eq!(ids, [id(&older), id(&old)]);
    assert_eq!((&lines[0]["why"], &lines[0]["bytes"]), (&"retention_days".into(), &older["recording"]["bytes"]));
    // Not the daemon's retention, and nobody else's hands as long as it runs.
    is_kept(&daemon, folder.path(), &old).await;
    let refused = prune(&config, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--dry-run"), "{refused:?}");
    daemon.stopped().await.unwrap();

    std::fs::create_dir(folder.path().join("aside")).unwrap();
    for name in ["journal.sqlite", "journal.sqlite-wal"] {
        let from = folder.path().join("data").join(name);
        if from.exists() {
            std::fs::copy(from, folder.path().join("aside").join(name)).unwrap();
        }
    }
    assert!(prune(&config, &[]).status.success());
    assert!(!file(folder.path(), &old).exists() && !file(folder.path(), &older).exists());
    assert!(prune(&config, &["--dry-run"]).stdout.is_empty());
    // A crash between the files and the journal: the next start takes what the journal still has.
    for entry in std::fs::read_dir(folder.path().join("aside")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join("data").join(entry.file_name())).unwrap();
    }
    let daemon = start(&config, "DAYS", 7).await;
    gone(&daemon, folder.path(), &old).await;
    gone(&daemon, folder.path(), &older).await;
    is_kept(&daemon, folder.path(), &young).await;
}
