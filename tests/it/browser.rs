//! The console in a real browser. `make browser` installs Chromium and what drives it, and runs these; `make screenshots`
//! makes the README's pictures.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tonearm::store::journal::Journal;
use uuid::Uuid;

use crate::callbacks::Callback;
use crate::daemon::{Daemon, TOKEN, configure};
use crate::sound::Sound;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A line that hears a sentence and a `#` again and again in real time, and one that hears nothing.
fn stage(folder: &Path, more: &str) -> PathBuf {
    let wav = folder.join("sentence.wav");
    Sound::at(16_000).hiss(700).voice(1_500).hiss(600).key('#', 120).hiss(1_000).write(&wav);
    let source = format!("wav:{}?pace=real&loop=true", wav.display());
    configure(folder, &[("desk", &source), ("quiet", "silence:")], more).unwrap()
}

/// Runs a scenario; `need` does what it asks for.
async fn plays<F: Future<Output = ()>>(scenario: &str, base: &str, folder: &Path, mut need: impl FnMut(String) -> F) {
    let mut command = Command::new("node");
    command.arg(root().join("tests/browser/console.cjs")).args([scenario, base, TOKEN]).arg(folder);
    command.env("NODE_PATH", root().join("target/browser/node_modules"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut answers = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        match line.strip_prefix("# ") {
            Some(figure) => println!("{figure}"),
            None => {
                need(line).await;
                answers.write_all(b"done\n").await.unwrap();
            }
        }
    }
    assert!(child.wait().await.unwrap().success(), "{scenario}");
}

async fn nothing(what: String) {
    panic!("nobody can {what:?}");
}

async fn scenario(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::with(&stage(folder.path(), "")).await.unwrap();
    plays(name, &daemon.base, folder.path(), nothing).await;
}

#[tokio::test]
#[ignore = "needs what `make browser` installs"]
async fn a_recording_from_the_form_grows_ends_by_a_stop_tone_and_plays() {
    scenario("records").await;
}

#[tokio::test]
#[ignore = "needs what `make browser` installs"]
async fn a_refused_request_leads_to_the_field_that_is_wrong() {
    scenario("wrong_values").await;
}

#[tokio::test]
#[ignore = "needs what `make browser` installs"]
async fn a_wrong_token_is_asked_for_again_and_a_right_one_stays_in_its_tab() {
    scenario("wrong_token").await;
}

#[tokio::test]
#[ignore = "needs what `make browser` installs"]
async fn what_one_tab_starts_another_sees_and_cancels() {
    scenario("two_tabs").await;
}

#[tokio::test]
#[ignore = "needs what `make browser` installs"]
async fn axe_finds_nothing_serious_in_light_dark_and_on_a_phone() {
    scenario("accessible").await;
}

#[tokio::test]
#[ignore = "needs what `make browser` installs"]
async fn the_page_is_small() {
    scenario("weight").await;
}

#[tokio::test]
#[ignore = "needs what `make browser` installs"]
async fn a_daemon_that_was_killed_meanwhile_is_found_again_with_what_it_recovered() {
    let folder = tempfile::tempdir().unwrap();
    let config = stage(folder.path(), "");
    let daemon = Daemon::with(&config).await.unwrap();
    let base = daemon.base.clone();
    // It comes back at the same address.
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("127.0.0.1:0", base.trim_start_matches("http://"))).unwrap();
    let daemon = tokio::sync::Mutex::new(Some(daemon));
    plays("restart", &base, folder.path(), async |what: String| {
        let mut daemon = daemon.lock().await;
        match what.as_str() {
            "kill" => daemon.take().unwrap().stopped().await.unwrap(),
            "start" => *daemon = Some(Daemon::with(&config).await.unwrap()),
            other => panic!("{other}"),
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs what `make browser` installs"]
async fn an_undelivered_notification_is_shown_and_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let (callback, uri) = Callback::listen(&[400]).await;
    let daemon = Daemon::with(&stage(folder.path(), &format!("callback_uri = \"{uri}\""))).await.unwrap();
    plays("notifications", &daemon.base, folder.path(), async |what: String| match what.as_str() {
        "given up" => {
            callback.heard(1).await;
            while daemon.get("/notifications").await.unwrap()["value"] == Value::Array(Vec::new()) {
                tokio::task::yield_now().await;
            }
        }
        "listen" => {}
        "delivered" => drop(callback.heard(2).await),
        other => panic!("{other}"),
    })
    .await;
}

/// Writes 10,000 operations like this one into the journal of a daemon that does not run.
fn multiply(folder: &Path, id: &str) {
    let journal = Journal::open(&folder.join("data/journal.sqlite")).unwrap();
    let first = journal.operation(id).unwrap().unwrap();
    for number in 1..10_000 {
        let mut row = first.clone();
        let mut document: Value = serde_json::from_str(&row.doc).unwrap();
        row.id = Uuid::now_v7().to_string();
        row.seq = first.seq + number;
        document["id"] = row.id.clone().into();
        document["seq"] = row.seq.into();
        document["client_context"] = format!("number {number} of many").into();
        row.doc = document.to_string();
        journal.put_operation(&row).unwrap();
    }
}

#[tokio::test]
#[ignore = "needs what `make browser` installs"]
async fn ten_thousand_recordings_are_scrolled_and_searched() {
    let folder = tempfile::tempdir().unwrap();
    let config = stage(folder.path(), "");
    let daemon = Daemon::with(&config).await.unwrap();
    let second = r#"{"playBeep":false,"maxRecordDurationInSeconds":1}"#;
    let operation = daemon.post("/app/calls/desk/record", second).await.unwrap();
    daemon.ended("desk", &operation).await.unwrap();
    daemon.stopped().await.unwrap();
    multiply(folder.path(), operation["id"].as_str().unwrap());
    let daemon = Daemon::with(&config).await.unwrap();
    plays("many", &daemon.base, folder.path(), nothing).await;
}

#[tokio::test]
#[ignore = "makes the README's pictures: make screenshots"]
async fn screenshots() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::with(&stage(folder.path(), "")).await.unwrap();
    for (line, body) in [
        ("quiet", r#"{"playBeep":false,"maxRecordDurationInSeconds":2,"clientContext":"interview room, evening"}"#),
        ("quiet", r#"{"playBeep":false,"initialSilenceTimeoutInSeconds":1,"clientContext":"visitor 15"}"#),
        ("desk", r##"{"playBeep":false,"stopTones":["#"],"clientContext":"visitor 16"}"##),
        ("desk", r#"{"playBeep":false,"maxRecordDurationInSeconds":2,"clientContext":"dictation"}"#),
    ] {
        let operation = daemon.post(&format!("/app/calls/{line}/record"), body).await.unwrap();
        daemon.ended(line, &operation).await.unwrap();
    }
    plays("screenshots", &daemon.base, &root().join("design/screenshots"), nothing).await;
}
