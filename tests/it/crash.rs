//! The daemon is killed, as by `kill -9`, after every step of a recording's life and at random moments; then the invariants of
//! `design/storage.md` are held against what is there after its next start.
//!
//! `make crash` kills it 200 times (`TIMES=n`); `make test` a few times.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tonearm::clock;
use tonearm::store::crash::STEPS;
use tonearm::store::hex;

use crate::callbacks::Callback;
use crate::daemon::{Daemon, configure};
use crate::soak::Dice;
use crate::sound::{self, Sound};

const HZ: u32 = 16_000;
/// Each kill may take so much of a recording's end.
const MOST_LOST: f64 = 1.0;

/// A folder of data, a daemon's configuration over it, and the callback that it tells.
struct Stage {
    folder: tempfile::TempDir,
    config: PathBuf,
    callback: Callback,
}

impl Stage {
    /// With these lines, each hearing noise that never repeats but from its beginning.
    async fn new(lines: &[&str], pace: &str) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let (callback, uri) = Callback::listen(&[]).await;
        let wav = folder.path().join("noise.wav");
        Sound::at(HZ).hiss(20_000).write(&wav);
        let source = format!("wav:{}?pace={pace}&loop=true", wav.display());
        let lines: Vec<_> = lines.iter().map(|line| (*line, source.as_str())).collect();
        let config = configure(folder.path(), &lines, &format!("callback_uri = \"{uri}\"")).unwrap();
        Stage { folder, config, callback }
    }

    fn recordings(&self) -> PathBuf {
        self.folder.path().join("data/recordings")
    }

    fn file(&self, id: &str) -> PathBuf {
        self.recordings().join(format!("{id}.wav"))
    }

    fn names_in(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.recordings().join(folder)) else { return Vec::new() };
        let files = entries.map(Result::unwrap).filter(|entry| !entry.path().is_dir());
        files.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// Starts a daemon that is killed after a step, lets `work` begin, and waits for its death.
    async fn killed_at(&self, step: &str, work: impl AsyncFnOnce(&Daemon)) {
        let daemon = Daemon::launch_in(&self.config, Stdio::null(), &[("TONEARM_KILL_AT", step)]).await;
        // It may have died before it was ready.
        if let Ok(mut daemon) = daemon {
            work(&daemon).await;
            let status: ExitStatus = tokio::time::timeout(Duration::from_secs(15), daemon.child.wait())
                .await
                .unwrap_or_else(|_| panic!("{step} was never reached"))
                .unwrap();
            assert_eq!(status.signal(), Some(9), "{step}");
        }
    }

    /// What has to hold of an operation that has ended, whatever happened.
    fn check(&self, operation: &Value) {
        let id = operation["id"].as_str().unwrap();
        let recording = &operation["recording"];
        if recording.is_null() {
            assert!(!self.file(id).exists(), "an operation without a recording has a file: {operation}");
            return;
        }
        let samples = sound::samples(&self.file(id));
        assert_eq!(recording["frames"], samples.len(), "{operation}");
        assert_eq!(recording["bytes"], std::fs::metadata(self.file(id)).unwrap().len());
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        assert_eq!(recording["sha256"], hex(&Sha256::digest(&bytes)));
        // It is a piece of what was played, sample for sample.
        let noise = sound::samples(&self.folder.path().join("noise.wav"));
        if let Some(head) = samples.first_chunk::<16>() {
            let at = (0..noise.len()).find(|at| (0..16).all(|n| noise[(at + n) % noise.len()] == head[n]));
            let at = at.expect("it begins with nothing that was played");
            assert!(samples.iter().enumerate().all(|(n, sample)| *sample == noise[(at + n) % noise.len()]));
        }
    }

    /// Waits until an operation's end has been told so often, and returns under how many ids and how often it was.
    async fn told(&self, id: &str, least: usize) -> (usize, usize) {
        for _ in 0..500 {
            let mut ids = self.callback.ids();
            ids.retain(|told| told.contains(id) && told.ends_with("deleted"));
            if ids.len() >= least {
                let times = ids.len();
                ids.sort();
                ids.dedup();
                return (ids.len(), times);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the end of {id} was not told {least} times");
    }
}

async fn operations(daemon: &Daemon, call: &str) -> Vec<Value> {
    let list = daemon.get(&format!("/app/calls/{call}/operations?$top=1000")).await.unwrap();
    list["value"].as_array().unwrap().clone()
}

const FIVE_SECONDS: &str = r#"{"playBeep":false,"maxRecordDurationInSeconds":5,"initialSilenceTimeoutInSeconds":60}"#;

/// What must be there after a start that follows a death after `step`.
async fn taken_up(stage: &Stage, step: &str) {
    let daemon = Daemon::with(&stage.config).await.unwrap();
    let [operation] = &operations(&daemon, "mic").await[..] else { panic!("{step}: not one operation") };
    let operation = daemon.ended("mic", operation).await.unwrap();
    let at = |name: &str| STEPS.iter().position(|known| *known == name).unwrap();
    let (here, id) = (at(step), operation["id"].as_str().unwrap());
    stage.check(&operation);
    // Who was told may have written it down before the kill.
    let was_journalled = here >= at("journalled") || step == "told" && operation["status"] == "completed";
    assert_eq!(operation["status"], if was_journalled { "completed" } else { "failed" }, "{step}: {operation}");
    if !was_journalled {
        assert_eq!(operation["completionReason"], "unspecifiedError", "{step}");
        assert!(operation["resultInfo"]["message"].as_str().unwrap().contains("stopped unexpectedly"), "{step}");
    }
    let recording = &operation["recording"];
    match here {
        _ if here < at("headed") => assert!(recording.is_null(), "{step}: {operation}"),
        _ if here >= at("cut") => assert_eq!(recording["frames"], 5 * HZ, "{step}: {operation}"),
        _ => assert_eq!(recording["frames"].as_u64().unwrap() > 0, here >= at("written"), "{step}: {operation}"),
    }
    assert!(recording.is_null() || recording["recovered"] == !was_journalled, "{step}: {operation}");
    let left: Vec<String> = stage.names_in("").into_iter().filter(|name| !name.ends_with(".wav")).collect();
    assert!(left.is_empty(), "{step}: {left:?}");
    // The empty file that lies between the creation and the header is put aside, not deleted.
    let aside = stage.names_in("quarantine");
    assert_eq!(aside.len(), usize::from(step == "created"), "{step}: {aside:?}");
    // Only who died between the answer and its note tells twice, under one id.
    let times = if step == "posted" { 2 } else { 1 };
    assert_eq!(stage.told(id, times).await, (1, times), "{step}");
    daemon.stopped().await.unwrap();
}

#[tokio::test]
async fn a_daemon_that_is_killed_after_any_step_loses_and_repeats_nothing() {
    for step in STEPS {
        let stage = Stage::new(&["mic"], "fast").await;
        stage
            .killed_at(step, async |daemon| {
                // It may die before it answers.
                let _ = daemon.post("/app/calls/mic/record", FIVE_SECONDS).await;
            })
            .await;
        taken_up(&stage, step).await;
    }
}

#[tokio::test]
async fn a_start_that_is_killed_while_it_repairs_is_taken_up_by_the_next() {
    for step in ["cut", "padded", "sized", "finished", "renamed", "journalled", "posted", "delivered"] {
        let stage = Stage::new(&["mic"], "fast").await;
        stage
            .killed_at("written", async |daemon| {
                let _ = daemon.post("/app/calls/mic/record", FIVE_SECONDS).await;
            })
            .await;
        stage.killed_at(step, async |_| {}).await;
        let daemon = Daemon::with(&stage.config).await.unwrap();
        let [operation] = &operations(&daemon, "mic").await[..] else { panic!("{step}: not one operation") };
        let operation = daemon.ended("mic", operation).await.unwrap();
        stage.check(&operation);
        assert_eq!((&operation["status"], &operation["recording"]["recovered"]), (&json!("failed"), &json!(true)));
        let times = if step == "posted" { 2 } else { 1 };
        assert_eq!(stage.told(operation["id"].as_str().unwrap(), times).await, (1, times), "{step}");
        daemon.stopped().await.unwrap();
    }
}

/// One recording that was asked for.
struct Asked {
    call: &'static str,
    answered: Timestamp,
    /// It was still running when the daemon was killed then.
    killed: Option<Timestamp>,
    /// How it ended.
    ended: Option<Value>,
}

const CALLS: [&str; 3] = ["one", "two", "three"];

/// Kills a daemon so many times, with recordings on three lines; returns the seconds that each interrupted one lost.
async fn kill(times: u32, seed: u64) -> Vec<f64> {
    let stage = Stage::new(&CALLS, "real").await;
    let mut dice = Dice::new(seed);
    let mut asked: BTreeMap<String, Asked> = BTreeMap::new();
    let mut lost = Vec::new();
    for _ in 0..=times {
        let mut daemon = Daemon::launch(&stage.config, Stdio::null()).await.unwrap();
        for (id, one) in &mut asked {
            let now = daemon.get(&format!("/app/calls/{}/operations/{id}", one.call)).await.unwrap();
            if let Some(ended) = &one.ended {
                // Not its location: each daemon has another port.
                for name in ["status", "resultInfo", "lastActionDateTime", "recording"] {
                    assert_eq!(now[name], ended[name], "what has ended stays as it was");
                }
                assert_eq!(stage.file(id).exists(), !ended["recording"].is_null());
                continue;
            }
            let operation = daemon.ended(one.call, &now).await.unwrap();
            stage.check(&operation);
            assert_eq!(stage.told(id, 1).await.0, 1);
            let recording = &operation["recording"];
            if let Some(killed) = one.killed
                && operation["status"] == "failed"
            {
                assert!(recording.is_null() || recording["recovered"] == true, "{operation}");
                let kept = recording["frames"].as_f64().unwrap_or(0.0) / f64::from(HZ);
                let seconds = killed.duration_since(one.answered).as_secs_f64() - kept;
                assert!(seconds <= MOST_LOST, "{seconds} s lost of {operation}");
                lost.push(seconds);
            }
            one.ended = Some(operation);
        }
        assert!(stage.names_in("").iter().all(|name| name.ends_with(".wav")));
        assert!(stage.names_in("quarantine").len() <= times as usize * CALLS.len());
        for call in CALLS {
            // Half of them end by themselves, maybe at the very moment.
            let seconds = if dice.below(2) == 0 { 1 + dice.below(2) } else { 60 };
            let request = json!({
                "playBeep": false, "maxRecordDurationInSeconds": seconds, "maxSilenceTimeoutInSeconds": 60,
                "initialSilenceTimeoutInSeconds": 60, "streamWhileRecording": dice.below(2) == 0,
                "stopTones": if dice.below(2) == 0 { json!(["#"]) } else { json!([]) },
            });
            let operation = daemon.post(&format!("/app/calls/{call}/record"), &request.to_string()).await.unwrap();
            let id = operation["id"].as_str().unwrap().to_owned();
            asked.insert(id, Asked { call, answered: clock::wall(), killed: None, ended: None });
        }
        tokio::time::sleep(Duration::from_millis(100 + dice.below(2_400))).await;
        let killed = clock::wall();
        daemon.child.kill().await.unwrap();
        for one in asked.values_mut().filter(|one| one.ended.is_none()) {
            one.killed = Some(killed);
        }
    }
    lost
}

#[tokio::test]
async fn a_daemon_that_is_killed_at_random_moments_keeps_the_invariants() {
    assert!(!kill(4, 7).await.is_empty());
}

#[tokio::test]
#[ignore = "minutes: `make crash`"]
async fn two_hundred_kills() {
    let number = |name: &str, otherwise| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise);
    let (times, seed) = (number("TIMES", 200), number("SEED", 1));
    let mut lost = kill(times as u32, seed).await;
    lost.sort_by(f64::total_cmp);
    let at = |share: f64| lost[((lost.len() - 1) as f64 * share).round() as usize] * 1_000.0;
    println!(
        "killed {times} times, {} recordings interrupted; lost of each: p50 {:.0}, p95 {:.0}, max {:.0} ms (seed {seed})",
        lost.len(),
        at(0.5),
        at(0.95),
        at(1.0)
    );
    assert!(at(0.5) <= 500.0);
}
