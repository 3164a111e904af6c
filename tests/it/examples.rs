//! The examples, as their users run them. `make examples` installs what they need and runs these.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::daemon::{Daemon, TOKEN, configure};
use crate::sound::Sound;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A line that hears a word, and a `#` if that is asked for, flat out.
fn line(folder: &Path, ends: bool) -> String {
    let wav = folder.join("word.wav");
    let word = Sound::at(8_000).hiss(200).voice(600).hiss(300);
    (if ends { word.key('#', 100).hiss(2_000) } else { word.hiss(20_000) }).write(&wav);
    format!("wav:{}?pace=fast", wav.display())
}

async fn output(command: &mut Command) -> String {
    let output = command.env("TOKEN", TOKEN).output().await.unwrap();
    let words = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{words}");
    words
}

fn seconds(wav: &Path) -> f64 {
    let reader = hound::WavReader::open(wav).unwrap();
    f64::from(reader.duration()) / f64::from(reader.spec().sample_rate)
}

#[tokio::test]
#[ignore = "needs what `make examples` installs"]
async fn the_voice_bot_asks_and_fetches_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = folder.path().join("prompts");
    std::fs::create_dir(&prompts).unwrap();
    Sound::at(8_000).voice(400).write(&prompts.join("question.wav"));
    let more = format!("[prompts]\ndirectory = {prompts:?}");
    let config = configure(folder.path(), &[("mic", &line(folder.path(), true))], &more).unwrap();
    let (daemon, answer) = (Daemon::with(&config).await.unwrap(), folder.path().join("answer.wav"));
    let mut bot = Command::new(root().join("target/clients/venv/bin/python"));
    bot.arg(root().join("examples/voice_bot.py")).args([&daemon.base, "mic", "file:question.wav"]).arg(&answer);
    let words = output(&mut bot).await;
    assert!(words.contains("The stop tone # was heard."), "{words}");
    assert!((0.5..1.5).contains(&seconds(&answer)), "{} s", seconds(&answer));
}

#[tokio::test]
#[ignore = "needs what `make examples` installs"]
async fn dictation_is_a_file_a_thought_and_thirty_lines() {
    let folder = tempfile::tempdir().unwrap();
    let wav = folder.path().join("thoughts.wav");
    // Two thoughts in real time, and then nothing more.
    Sound::at(8_000).hiss(200).voice(800).hiss(3_600).voice(800).hiss(16_000).write(&wav);
    let source = format!("wav:{}?pace=real", wav.display());
    let (daemon, notes) =
        (Daemon::start(folder.path(), &[("mic", &source)]).await.unwrap(), folder.path().join("notes"));
    let script = root().join("examples/dictate.sh");
    assert!(std::fs::read_to_string(&script).unwrap().lines().count() <= 30);
    let words = output(Command::new(&script).args([&daemon.base, "mic"]).arg(&notes)).await;
    assert!(words.contains("Nobody spoke for 10 s."), "{words}");
    let mut files: Vec<_> = std::fs::read_dir(&notes).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 2, "{words}");
    assert!(files.iter().all(|file| (3.0..5.5).contains(&seconds(file))), "{words}");
}

/// The page of `examples/web` from an origin that the daemon lets in, or not.
async fn page(allowed: bool) {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = configure(folder.path(), &[("mic", &line(folder.path(), true))], "").unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    let origin = format!("http://127.0.0.1:{}", if allowed { port } else { 1 });
    std::fs::write(&config, text.replace("[server]", &format!("[server]\ncors_origins = [{origin:?}]"))).unwrap();
    let daemon = Daemon::with(&config).await.unwrap();
    let mut page = Command::new("node");
    page.arg(root().join("tests/browser/other_origin.cjs")).args([&daemon.base, TOKEN, &port.to_string()]);
    page.arg(if allowed { "allowed" } else { "foreign" }).env("NODE_PATH", root().join("target/browser/node_modules"));
    output(&mut page).await;
}

#[tokio::test]
#[ignore = "needs what `make examples` installs"]
async fn a_page_of_another_origin_that_is_configured_records() {
    page(true).await;
}

#[tokio::test]
#[ignore = "needs what `make examples` installs"]
async fn a_page_of_an_origin_that_is_not_configured_does_not() {
    page(false).await;
}
