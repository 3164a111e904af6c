//! Every recording in `audio-fixtures/` becomes what its manifest says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;
use serde_json::Value;

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
        assert_eq!((spec.sample_rate, spec.channels, spec.bits_per_sample), (file.rate, file.channels, 16), "{}", file.name);
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
        }
    }
}

#[test]
fn every_request_in_the_manifest_ends_as_it_says() {
    let out = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for file in manifest().file {
        for case in &file.case {
            if let Err(how) = replay(&file, case, out.path()) {
                wrong.push(format!("{} {}: {how}", file.name, case.request));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn replay(file: &File, case: &Case, out: &Path) -> Result<(), String> {
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
    let is = |key: &str, should: &str| {
        let value = &operation[key];
        if value == should { Ok(()) } else { Err(format!("{key} is {value}, not {should}: {operation}")) }
    };
    is("status", &case.status)?;
    is("completionReason", &case.completion_reason)?;
    if let Some(entry) = &case.stop_tone
        && operation["evidence"]["tone"]["entry"] != entry.as_str()
    {
        return Err(format!("the entry is not {entry}: {}", operation["evidence"]));
    }
    let Some(frames) = case.frames else {
        return if recording.exists() { Err("no audio is to be kept".to_owned()) } else { Ok(()) };
    };
    let written = operation["recording"]["frames"].as_u64().ok_or_else(|| format!("no frames in {operation}"))?;
    if written + case.early < frames || written > frames + case.late {
        return Err(format!("{written} frames, not {frames} (-{} +{}): {}", case.early, case.late, operation["evidence"]));
    }
    let kept = samples(&recording);
    let mut original = samples(&folder().join(&file.name));
    // Behind a file's end comes silence.
    original.resize(original.len().max(kept.len()), 0);
    if kept.len() as u64 != written * u64::from(file.channels) || kept[..] != original[..kept.len()] {
        return Err("what was kept is not what was played".to_owned());
    }
    Ok(())
}

fn samples(path: &Path) -> Vec<i16> {
    hound::WavReader::open(path).unwrap().samples().map(Result::unwrap).collect()
}
