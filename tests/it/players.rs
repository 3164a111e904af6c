//! Recordings in other people's players: copies of growing files taken at random moments, finished ones with markers, and
//! files past 4 GiB.
//!
//! `make players` installs sox, ffmpeg and GStreamer and runs them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tonearm::units::Rate;
use tonearm::wav::{Length, Metadata, SampleFormat, Spec, header};

use crate::daemon::{Daemon, configure};
use crate::soak::Dice;
use crate::sound::{self, Sound};

const HZ: u32 = 16_000;

/// Each player's command that turns a file, the first argument, into bare samples, the second.
const PLAYERS: [(&str, &str); 3] = [
    ("sox", r#"sox "$1" -t raw -e signed -b 16 "$2""#),
    ("ffmpeg", r#"ffmpeg -v error -nostdin -y -i "$1" -f s16le "$2""#),
    ("GStreamer", r#"gst-launch-1.0 -q filesrc location="$1" ! wavparse ! filesink location="$2""#),
];

/// What every player makes of a file, without a word of complaint.
fn played(file: &Path) -> Vec<(&'static str, Vec<i16>)> {
    PLAYERS
        .iter()
        .map(|(player, command)| {
            let raw = file.with_extension(player);
            let output = Command::new("sh").args(["-c", command, player]).arg(file).arg(&raw).output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && words.trim().is_empty(), "{player}: {words}");
            let bytes = std::fs::read(raw).unwrap();
            (*player, bytes.as_chunks::<2>().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect())
        })
        .collect()
}

/// A line that hears hiss and a key in it, again and again.
async fn listening(folder: &Path) -> (Daemon, Vec<i16>) {
    let wav = folder.join("noise.wav");
    Sound::at(HZ).hiss(1_500).key('5', 100).hiss(8_400).write(&wav);
    let source = format!("wav:{}?pace=real&loop=true", wav.display());
    let config = configure(folder, &[("mic", &source)], "").unwrap();
    (Daemon::with(&config).await.unwrap(), sound::samples(&wav))
}

async fn record(daemon: &Daemon, seconds: u32, stop_tones: &str) -> (Value, PathBuf) {
    let request = format!(
        r#"{{"playBeep":false,"maxRecordDurationInSeconds":{seconds},"initialSilenceTimeoutInSeconds":60,"stopTones":{stop_tones}}}"#
    );
    let operation = daemon.post("/app/calls/mic/record", &request).await.unwrap();
    let folder = daemon.config.parent().unwrap();
    let path = folder.join(format!("data/recordings/{}.wav", operation["id"].as_str().unwrap()));
    (operation, path)
}

#[tokio::test]
#[ignore = "needs three players: `make players`"]
async fn a_growing_file_plays_in_every_player_at_every_moment() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, noise) = listening(folder.path()).await;
    let (_, path) = record(&daemon, 60, r##"["#"]"##).await;
    let mut dice = Dice::new(11);
    let mut copies = Vec::new();
    for n in 0..20 {
        tokio::time::sleep(Duration::from_millis(50 + dice.below(500))).await;
        let copy = folder.path().join(format!("copy{n}.wav"));
        std::fs::copy(path.with_extension("wav.part"), &copy).unwrap();
        copies.push(copy);
    }
    let mut longest = 0;
    for copy in &copies {
        let there = std::fs::metadata(copy).unwrap().len() as usize / 2;
        for (player, samples) in played(copy) {
            assert!(
                samples.len() <= there && samples.len() + HZ as usize + 2_000 >= there,
                "{player}: {}",
                samples.len()
            );
            assert!(samples.iter().zip(noise.iter().cycle()).all(|(heard, made)| heard == made), "{player}");
            longest = longest.max(samples.len());
        }
    }
    assert!(longest > 3 * HZ as usize);
}

/// What ffprobe says of a file.
fn probed(file: &Path) -> Value {
    let arguments = ["-v", "error", "-of", "json", "-show_format", "-show_streams"];
    let output = Command::new("ffprobe").args(arguments).arg(file).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
#[ignore = "needs three players: `make players`"]
async fn a_finished_file_says_who_and_when_marks_its_gaps_and_keys_and_disturbs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, noise) = listening(folder.path()).await;
    let (operation, path) = record(&daemon, 4, "[]").await;
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    daemon.post("/app/calls/mic/mute", "{}").await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    daemon.post("/app/calls/mic/unmute", "{}").await.unwrap();
    let operation = daemon.ended("mic", &operation).await.unwrap();
    let gap = &operation["recording"]["gaps"][0];
    let (at, frames) = (gap["at"].as_u64().unwrap(), gap["frames"].as_u64().unwrap());
    let markers = header::markers(&std::fs::read(&path).unwrap());
    let words: Vec<String> = markers.iter().map(|marker| marker.words.clone()).collect();
    assert_eq!(words, ["key 5".to_owned(), format!("gap muted {frames}")]);
    assert!(markers[0].frame.abs_diff(u64::from(HZ) * 1_500 / 1_000) < 160, "{markers:?}");
    assert_eq!(markers[1].frame, at);
    for (player, samples) in played(&path) {
        assert_eq!(operation["recording"]["frames"], samples.len(), "{player}");
        let silent = at as usize..(at + frames) as usize;
        let same =
            |(n, (heard, made)): (usize, (&i16, &i16))| if silent.contains(&n) { *heard == 0 } else { heard == made };
        assert!(samples.iter().zip(&noise).enumerate().all(same), "{player}");
    }
    assert_eq!(hound::WavReader::open(&path).unwrap().duration(), 4 * HZ);
    let tags = probed(&path)["format"]["tags"].clone();
    let id = operation["id"].as_str().unwrap().replace('-', "");
    assert_eq!((&tags["encoded_by"], &tags["originator_reference"]), (&"tonearm".into(), &id.into()), "{tags}");
    let started: jiff::Timestamp = operation["recording"]["startedAt"].as_str().unwrap().parse().unwrap();
    let midnight = started.strftime("%Y-%m-%dT00:00:00Z").to_string().parse::<jiff::Timestamp>().unwrap();
    let since = started.duration_since(midnight).as_secs_f64() * f64::from(HZ);
    let reference: f64 = tags["time_reference"].as_str().unwrap().parse().unwrap();
    // `startedAt` is told in milliseconds.
    assert!((reference - since).abs() <= f64::from(HZ) / 1_000.0, "{tags}");
}

#[test]
#[ignore = "needs three players: `make players`"]
fn past_4_gib_players_know_the_length_and_find_the_last_second() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.wav");
    let spec = Spec { rate: Rate::new(48_000).unwrap(), channels: 2, format: SampleFormat::S16 };
    let seconds = 23_000;
    let frames = seconds * 48_000;
    let head = header::header(spec, &Metadata::default(), Length::Frames(frames));
    std::fs::write(&path, &head).unwrap();
    // A hole stands for six hours; behind it lies the last second.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(header::file_bytes(spec, frames)).unwrap();
    let last = vec![0x11; 48_000 * 4];
    std::os::unix::fs::FileExt::write_all_at(&file, &last, header::file_bytes(spec, frames - 48_000)).unwrap();
    assert!(head.starts_with(b"RF64") && file.metadata().unwrap().len() > 1 << 32);
    let probed = probed(&path);
    assert_eq!(probed["format"]["duration"].as_str().unwrap().parse::<f64>().unwrap(), seconds as f64);
    let soxi = Command::new("soxi").arg("-s").arg(&path).output().unwrap();
    assert_eq!(String::from_utf8(soxi.stdout).unwrap().trim(), frames.to_string());
    let tail = folder.path().join("tail");
    let command = format!(r#"ffmpeg -v error -nostdin -ss {} -i "$1" -f s16le "$2""#, seconds - 1);
    let output = Command::new("sh").args(["-c", &command, "ffmpeg"]).arg(&path).arg(&tail).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(std::fs::read(tail).unwrap() == last);
}
