//! What survives the end of the daemon, however it ends.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::daemon::{Daemon, TOKEN, configure};
use crate::sound::Sound;

const LONG: &str = r#"{"playBeep":false,"maxRecordDurationInSeconds":60,"maxSilenceTimeoutInSeconds":60}"#;

fn configured(folder: &Path) -> std::path::PathBuf {
    let wav = folder.join("talk.wav");
    Sound::at(16_000).voice(2_000).write(&wav);
    configure(folder, &[("mic", &format!("wav:{}?pace=real&loop=true", wav.display()))], "").unwrap()
}

async fn operation(daemon: &Daemon, id: &str) -> Value {
    daemon.get(&format!("/app/calls/mic/operations/{id}")).await.unwrap()
}

#[tokio::test]
async fn a_killed_daemon_keeps_all_but_the_last_moments_and_says_so_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path());
    let mut daemon = Daemon::with(&config).await.unwrap();
    let done =
        daemon.post("/app/calls/mic/record", r#"{"playBeep":false,"maxRecordDurationInSeconds":1}"#).await.unwrap();
    let cut = daemon.post("/app/calls/mic/record", LONG).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    daemon.child.kill().await.unwrap();
    drop(daemon);

    let daemon = Daemon::with(&config).await.unwrap();
    let done = operation(&daemon, done["id"].as_str().unwrap()).await;
    assert_eq!((&done["status"], &done["recording"]["frames"]), (&"completed".into(), &16_000.into()));
    // Behind the start: its digest takes its time.
    let cut = daemon.ended("mic", &cut).await.unwrap();
    assert_eq!((&cut["status"], &cut["completionReason"]), (&"failed".into(), &"unspecifiedError".into()));
    assert_eq!(cut["recording"]["recovered"], true);
    // It recorded for about 1.5 s.
    assert!(cut["recording"]["frames"].as_u64().unwrap() > 8_000, "{cut}");
    for operation in [&done, &cut] {
        let location = operation["recordResourceLocation"].as_str().unwrap();
        let path = &location[location.find("/recordings/").unwrap()..];
        let bytes = daemon.send(Method::GET, path, None).await.unwrap().bytes().await.unwrap();
        let frames = hound::WavReader::new(&bytes[..]).unwrap().duration();
        assert_eq!(operation["recording"]["frames"], frames);
    }
}

#[tokio::test]
async fn a_stopped_daemon_finishes_what_it_records() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path());
    let daemon = Daemon::with(&config).await.unwrap();
    let running = daemon.post("/app/calls/mic/record", LONG).await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    daemon.finished().await;

    let daemon = Daemon::with(&config).await.unwrap();
    let stopped = operation(&daemon, running["id"].as_str().unwrap()).await;
    assert_eq!((&stopped["status"], &stopped["completionReason"]), (&"completed".into(), &"operationCanceled".into()));
    assert!(stopped["resultInfo"]["message"].as_str().unwrap().contains("stopped"));
    assert_eq!(stopped["recording"]["recovered"], false);
}

#[tokio::test]
async fn a_second_daemon_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path());
    let _first = Daemon::with(&config).await.unwrap();
    let second =
        std::process::Command::new(env!("CARGO_BIN_EXE_tonearm")).args(["serve", "--config"]).arg(&config).output();
    let second = second.unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(!second.stderr.is_empty());
}

#[tokio::test]
async fn who_repeats_a_request_under_one_key_gets_the_first_operation_even_from_the_next_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path());
    async fn post(daemon: &Daemon, body: &str) -> reqwest::Response {
        let request = daemon.client.post(format!("{}/app/calls/mic/record", daemon.base)).bearer_auth(TOKEN);
        let request = request.header("idempotency-key", "once").header("content-type", "application/json");
        request.body(body.to_owned()).send().await.unwrap()
    }
    let mut daemon = Daemon::with(&config).await.unwrap();
    let first: Value = post(&daemon, LONG).await.json().await.unwrap();
    let again: Value = post(&daemon, LONG).await.json().await.unwrap();
    assert_eq!(first["id"], again["id"]);
    daemon.child.kill().await.unwrap();
    drop(daemon);
    let daemon = Daemon::with(&config).await.unwrap();
    let again: Value = post(&daemon, LONG).await.json().await.unwrap();
    assert_eq!(first["id"], again["id"]);
    assert_eq!(post(&daemon, "{}").await.status(), 409);
    let operations = daemon.get("/app/calls/mic/operations").await.unwrap();
    assert_eq!(operations["value"].as_array().unwrap().len(), 1);
}
