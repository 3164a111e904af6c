//! `tonearm repair`, and journals that cannot be used.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::daemon::{Daemon, configure};
use crate::sound::Sound;

fn tonearm(arguments: &[&str], last: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tonearm")).args(arguments).arg(last).output().unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A daemon that records.
async fn recording(folder: &Path) -> (Daemon, String) {
    let wav = folder.join("noise.wav");
    Sound::at(8_000).hiss(5_000).write(&wav);
    let source = format!("wav:{}?pace=real&loop=true", wav.display());
    let config = configure(folder, &[("mic", &source)], "").unwrap();
    let daemon = Daemon::launch(&config, Stdio::null()).await.unwrap();
    let long = r#"{"playBeep":false,"maxRecordDurationInSeconds":60,"initialSilenceTimeoutInSeconds":60}"#;
    let operation = daemon.post("/app/calls/mic/record", long).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    (daemon, operation["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn repair_finishes_what_a_crash_left_says_so_and_keeps_its_hands_off_a_running_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, id) = recording(folder.path()).await;
    let data = folder.path().join("data");
    let part = data.join(format!("recordings/{id}.wav.part"));
    for place in [data.clone(), data.join("recordings")] {
        let refused = tonearm(&["repair"], &place);
        assert_eq!(refused.status.code(), Some(1));
        assert!(words(&refused).contains("in use by another tonearm"), "{refused:?}");
        assert!(part.exists());
    }
    let config = daemon.config.clone();
    daemon.stopped().await.unwrap();
    std::fs::write(data.join("recordings/other.wav.part"), "no recording").unwrap();
    let repaired = tonearm(&["repair", "--json"], &data);
    assert!(repaired.status.success(), "{repaired:?}");
    let lines = String::from_utf8(repaired.stdout).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [finished, aside] = &lines[..] else { panic!("{lines:?}") };
    let frames = hound::WavReader::open(part.with_extension("")).unwrap().duration();
    assert_eq!((&finished["fate"], &finished["frames"]), (&"finished".into(), &frames.into()));
    assert_eq!(aside["fate"], "quarantined");
    assert_eq!(std::fs::read_to_string(aside["as"].as_str().unwrap()).unwrap(), "no recording");
    let again = tonearm(&["repair"], &data);
    assert!(again.status.success() && words(&again).contains("nothing to repair"), "{again:?}");
    // The daemon still knows that this was no ordinary end.
    let daemon = Daemon::with(&config).await.unwrap();
    let operation = daemon.ended("mic", &serde_json::json!({ "id": id })).await.unwrap();
    assert_eq!((&operation["status"], &operation["recording"]["recovered"]), (&"failed".into(), &true.into()));
    assert_eq!(operation["recording"]["frames"], frames);
    let nowhere = tonearm(&["repair"], &folder.path().join("nowhere"));
    assert_eq!(nowhere.status.code(), Some(2));
}

#[tokio::test]
async fn a_damaged_journal_is_refused_with_the_way_out_and_no_recording_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, id) = recording(folder.path()).await;
    let config = daemon.config.clone();
    daemon.stopped().await.unwrap();
    let data = folder.path().join("data");
    let journal = data.join("journal.sqlite");
    let _ = std::fs::remove_file(data.join("journal.sqlite-wal"));
    std::fs::write(&journal, [0xA5; 9_000]).unwrap();
    let refused = tonearm(&["serve", "--config"], &config);
    assert_eq!(refused.status.code(), Some(1));
    assert!(words(&refused).contains("damaged") && words(&refused).contains("tonearm repair"), "{refused:?}");
    assert_eq!(std::fs::read(&journal).unwrap(), [0xA5; 9_000]);
    let repaired = tonearm(&["repair"], &data);
    assert!(repaired.status.success(), "{repaired:?}");
    let aside: Vec<_> = std::fs::read_dir(data.join("quarantine")).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(aside.iter().any(|path| std::fs::read(path).unwrap() == [0xA5; 9_000]), "{aside:?}");
    let daemon = Daemon::with(&config).await.unwrap();
    assert!(daemon.get("/app/calls/mic/operations").await.unwrap()["value"].as_array().unwrap().is_empty());
    // Nobody knows whose it is, so it stays.
    assert!(data.join(format!("recordings/{id}.wav")).exists());
}

#[tokio::test]
async fn a_journal_of_a_newer_version_is_refused_with_both_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, _) = recording(folder.path()).await;
    let config = daemon.config.clone();
    daemon.stopped().await.unwrap();
    let path = folder.path().join("data/journal.sqlite");
    // `user_version` stands at byte 60 of a database; the log beside it would be the newer word.
    drop(tonearm::store::journal::Journal::open(&path).unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let refused = tonearm(&["serve", "--config"], &config);
    assert_eq!(refused.status.code(), Some(1));
    assert!(words(&refused).contains("schema 99") && words(&refused).contains("later one"), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}
