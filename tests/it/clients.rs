//! The libraries that others use against Graph and webhooks, against the daemon. `make clients` installs them under `target/`
//! and runs these.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::callbacks::{Callback, KEY, record, stage, text};
use crate::daemon::{Daemon, TOKEN};
use crate::sound::Sound;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn python(script: &str) -> Command {
    let mut command = Command::new(root().join("target/clients/venv/bin/python"));
    command.arg(root().join("tests/clients").join(script));
    command
}

/// A daemon whose line hears a word and a `#`.
async fn daemon(folder: &Path) -> Daemon {
    let wav = folder.join("word.wav");
    Sound::at(8_000).hiss(200).voice(500).hiss(300).key('#', 100).hiss(2_000).write(&wav);
    Daemon::start(folder, &[("mic", &format!("wav:{}?pace=fast", wav.display()))]).await.unwrap()
}

async fn succeeds(mut command: Command) {
    let output = command.output().await.unwrap();
    let words = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{}", words.concat());
}

async fn python_library(sdk: &str) {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let mut command = python("record.py");
    command.args([&daemon.base, TOKEN, sdk]);
    succeeds(command).await;
}

#[tokio::test]
#[ignore = "needs what `make clients` installs"]
async fn pythons_beta_library_records_polls_and_downloads() {
    python_library("msgraph_beta").await;
}

#[tokio::test]
#[ignore = "needs what `make clients` installs"]
async fn pythons_library_records_polls_and_downloads() {
    python_library("msgraph").await;
}

#[tokio::test]
#[ignore = "needs what `make clients` installs"]
async fn javascripts_library_records_polls_and_downloads() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path()).await;
    let mut command = Command::new("node");
    command.arg(root().join("tests/clients/record.cjs")).args([&daemon.base, TOKEN]);
    command.env("NODE_PATH", root().join("target/clients/node_modules"));
    succeeds(command).await;
}

#[tokio::test]
#[ignore = "needs what `make clients` installs"]
async fn schemathesis_finds_no_answer_outside_the_schema_and_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &[("mic", "silence:")]).await.unwrap();
    let mut command = Command::new(root().join("target/clients/venv/bin/schemathesis"));
    command.current_dir(&folder).arg("run").arg(format!("{}/openapi.json", daemon.base));
    command.args([
        "-H",
        &format!("Authorization: Bearer {TOKEN}"),
        "--generation-deterministic",
        "--max-examples",
        "50",
    ]);
    // Events have no end. What no schema can say is refused all the same: 5.0, a callback elsewhere. Ended calls stay.
    command.args(["--exclude-path", "/events", "--exclude-checks", "positive_data_acceptance,use_after_free"]);
    succeeds(command).await;
}

#[tokio::test]
#[ignore = "needs what `make clients` installs"]
async fn the_library_of_standard_webhooks_verifies_our_notifications() {
    let folder = tempfile::tempdir().unwrap();
    let (callback, uri) = Callback::listen(&[]).await;
    let (key, secret) = (folder.path().join("key"), format!("whsec_{}", BASE64_STANDARD.encode(KEY)));
    std::fs::write(&key, &secret).unwrap();
    let daemon = stage(folder.path(), &uri, &format!("signing_key_file = {key:?}")).await;
    record(&daemon).await;
    let (headers, body) = callback.heard(1).await.remove(0);
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: serde_json::Map<_, _> =
        names.iter().map(|name| ((*name).to_owned(), text(&headers, name).into())).collect();
    let mut verify = python("verify.py").stdin(Stdio::piped()).spawn().unwrap();
    let told = json!({"secret": secret, "headers": headers, "body": body}).to_string();
    verify.stdin.take().unwrap().write_all(told.as_bytes()).await.unwrap();
    assert!(verify.wait().await.unwrap().success());
}
