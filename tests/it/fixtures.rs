//! Every recording in `audio-fixtures/` becomes what its manifest says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;
use serde_json::Value;
use tonearm::capture::Pace;
use tonearm::control::line::{Ask, Begin};
use tonearm::record::{Reason, StopTones};
use uuid::Uuid;

use crate::sound::Sound;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    file: Vec<File>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    holds: String,
    rate: u32,
    channels: u16,
    frames: u64,
    digits: Vec<Digit>,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Digit {
    digit: String,
    channel: u64,
    frame: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    request: String,
    status: String,
    completion_reason: String,
    frames: Option<u64>,
    #[serde(default)]
    early: u64,
    #[serde(default)]
    late: u64,
    stop_tone: Option<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("audio-fixtures")
}

fn manifest() -> Manifest {
    toml::from_str(&fs::read_to_string(folder().join("manifest.toml")).unwrap()).unwrap()
}

fn tonearm(arguments: &[&str], files: &[PathBuf]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tonearm")).args(arguments).args(files).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_file_is_in_the_manifest_and_as_it_says() {
    let manifest = manifest();
    let mut there: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    there.retain(|path| path.extension().is_some_and(|extension| extension == "wav"));
    assert_eq!(there.len(), manifest.file.len());
    let mut total = 0;
    for file in &manifest.file {
        let path = folder().join(&file.name);
        let bytes = fs::metadata(&path).unwrap().len();
        assert!(bytes < 300_000, "{}: {bytes} bytes", file.name);
        total += bytes;
        let reader = hound::WavReader::open(&path).unwrap();
        let spec = reader.spec();
        assert_eq!(
            (spec.sample_rate, spec.channels, spec.bits_per_sample),
            (file.rate, file.channels, 16),
            "{}",
            file.name
        );
        assert_eq!(u64::from(reader.duration()), file.frames, "{}", file.name);
        assert!(!file.holds.is_empty() && !file.case.is_empty());
    }
    assert!(total < 3_000_000, "{total}");
}

#[test]
fn every_key_in_the_files_is_heard_where_it_begins_and_no_other() {
    for file in manifest().file {
        let output = tonearm(&["detect"], &[folder().join(&file.name)]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let heard = lines(&output);
        let digits: Vec<_> = heard.iter().map(|line| line["digit"].as_str().unwrap()).collect();
        assert_eq!(digits, file.digits.iter().map(|digit| digit.digit.as_str()).collect::<Vec<_>>(), "{}", file.name);
        for (line, digit) in heard.iter().zip(&file.digits) {
            assert_eq!(line["channel"], digit.channel);
            let off = line["t_on"].as_f64().unwrap() - digit.frame as f64 / f64::from(file.rate);
            assert!(off.abs() <= 0.002, "{}: {} is heard {off} s off", file.name, digit.digit);
            // Two measurements of one tone, by different means.
            for (member, within) in [("low_hz", 6.0), ("high_hz", 6.0), ("low_dbfs", 1.5), ("high_dbfs", 1.5)] {
                let apart = line[member].as_f64().unwrap() - line["second_opinion"][member].as_f64().unwrap();
                assert!(apart.abs() < within, "{}: {line}", file.name);
            }
            let decided = line["decision_frame"].as_f64().unwrap() / f64::from(file.rate);
            assert!((0.0..0.045).contains(&(decided - line["t_on"].as_f64().unwrap())), "{line}");
        }
    }
}

#[test]
fn detect_says_by_which_floor_and_threshold_speech_ended() {
    let folder = tempfile::tempdir().unwrap();
    let wav = folder.path().join("speech.wav");
    Sound::at(16_000).hiss(300).voice(800).hiss(1_000).write(&wav);
    let heard = lines(&tonearm(&["detect", "--speech"], &[wav]));
    let [on, off] = &heard[..] else { panic!("{heard:?}") };
    assert!((on["speech_on"].as_f64().unwrap() - 0.3).abs() < 0.05, "{on}");
    assert!((off["speech_off"].as_f64().unwrap() - 1.1).abs() < 0.05, "{off}");
    let last = off["last_voiced_frame"].as_f64().unwrap() + 1.0;
    assert!((off["speech_off"].as_f64().unwrap() - last / 16_000.0).abs() < 1e-5, "{off}");
    let (floor, threshold) = (off["floor_dbfs"].as_f64().unwrap(), off["threshold_dbfs"].as_f64().unwrap());
    assert!((-68.0..-58.0).contains(&floor) && threshold > floor + 8.9, "{off}");
}

/// What became of a request.
struct Got {
    reason: String,
    /// As the request had it.
    stop_tone: Option<String>,
    /// The file and how many frames are said to be in it.
    kept: Option<(PathBuf, u64)>,
}

#[tokio::test]
async fn every_request_in_the_manifest_ends_as_it_says() {
    let out = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for file in manifest().file {
        for case in &file.case {
            let got = record(&file, case, out.path()).await;
            if let Err(how) = judge(&file, case, &got) {
                wrong.push(format!("{} {}: {how}", file.name, case.request));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn replay_ends_every_request_in_the_manifest_as_it_says() {
    let out = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for file in manifest().file {
        for case in &file.case {
            let judged = replay(&file, case, out.path()).and_then(|got| judge(&file, case, &got));
            if let Err(how) = judged {
                wrong.push(format!("{} {}: {how}", file.name, case.request));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn judge(file: &File, case: &Case, got: &Got) -> Result<(), String> {
    if got.reason != case.completion_reason {
        return Err(format!("{}, not {}", got.reason, case.completion_reason));
    }
    if case.stop_tone.is_some() && got.stop_tone != case.stop_tone {
        return Err(format!("the stop tone is {:?}, not {:?}", got.stop_tone, case.stop_tone));
    }
    let (frames, path, written) = match (case.frames, &got.kept) {
        (None, None) => return Ok(()),
        (Some(frames), Some((path, written))) => (frames, path, *written),
        (wanted, _) => return Err(format!("audio was to be kept: {}", wanted.is_some())),
    };
    if written + case.early < frames || written > frames + case.late {
        return Err(format!("{written} frames, not {frames} (-{} +{})", case.early, case.late));
    }
    let kept = samples(path);
    let mut original = samples(&folder().join(&file.name));
    // Behind a file's end comes silence.
    original.resize(original.len().max(kept.len()), 0);
    if kept.len() as u64 != written * u64::from(file.channels) || kept[..] != original[..kept.len()] {
        return Err("what was kept is not what was played".to_owned());
    }
    Ok(())
}

/// Through the library: the same line as the daemon's, read flat out.
async fn record(file: &File, case: &Case, out: &Path) -> Got {
    let request: Value = serde_json::from_str(&case.request).unwrap();
    let seconds = |key: &str| request[key].as_u64().unwrap_or(5) as u32;
    let tones: Vec<_> =
        request["stopTones"].as_array().into_iter().flatten().map(|tone| tone.as_str().unwrap()).collect();
    let ask = Ask {
        id: Uuid::new_v4(),
        begin: Begin::Now,
        initial_silence: seconds("initialSilenceTimeoutInSeconds"),
        max_silence: seconds("maxSilenceTimeoutInSeconds"),
        max_duration: seconds("maxRecordDurationInSeconds"),
        stop_tones: StopTones::parse(&tones).unwrap(),
        client_context: None,
        muted: false,
    };
    let path = out.join(format!("{}.wav", ask.id));
    let line = crate::live::line(&folder().join(&file.name), Pace::Fast, out, None);
    let mut running = line.record(ask).unwrap();
    let outcome = running.growth.ended().await.unwrap();
    let reason = match outcome.ending.reason {
        Reason::StopTone => "stopToneDetected",
        Reason::InitialSilence => "initialSilenceTimeout",
        Reason::MaxDuration => "maxRecordDurationReached",
        Reason::MaxSilence => "maxSilenceTimeout",
        _ => "another",
    };
    let stop_tone = outcome.ending.stop_tone.as_ref().map(|tone| tones[tone.entry].to_owned());
    let kept = outcome.recording.as_ref().map(|recording| (path, recording.file.frames));
    let audio_is_kept = outcome.ending.reason != Reason::InitialSilence;
    Got { reason: reason.to_owned(), stop_tone, kept: kept.filter(|_| audio_is_kept) }
}

/// Through the command.
fn replay(file: &File, case: &Case, out: &Path) -> Result<Got, String> {
    let request = out.join("request.json");
    fs::write(&request, &case.request).unwrap();
    let recording = out.join(&file.name);
    let _ = fs::remove_file(&recording);
    let arguments = ["replay", "--request", request.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let output = tonearm(&arguments, &[folder().join(&file.name)]);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let operation = lines(&output).pop().ok_or("it printed nothing")?;
    if operation["status"] != case.status.as_str() {
        return Err(format!("it is not {}: {operation}", case.status));
    }
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let frames = operation["recording"]["frames"].as_u64();
    Ok(Got {
        reason: word(&operation["completionReason"]).unwrap_or_default(),
        stop_tone: word(&operation["evidence"]["tone"]["entry"]),
        kept: frames.filter(|_| recording.exists()).map(|frames| (recording, frames)),
    })
}

fn samples(path: &Path) -> Vec<i16> {
    hound::WavReader::open(path).unwrap().samples().map(Result::unwrap).collect()
}
