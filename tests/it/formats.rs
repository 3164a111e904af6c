//! FLAC: the stored samples in another form, when they are final and while they grow.

use std::io::Cursor;

use flac_codec::decode::FlacSampleReader;
use reqwest::Method;
use reqwest::header::{ACCEPT_RANGES, CONTENT_TYPE, ETAG};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tonearm::store::hex;

use crate::daemon::{Daemon, configure};
use crate::sound::Sound;

/// The digest of what a FLAC holds, as little-endian samples of so many bytes.
fn digest(flac: &[u8], bytes: usize) -> String {
    let mut reader = FlacSampleReader::new(Cursor::new(flac)).unwrap();
    let mut samples = Vec::new();
    reader.read_to_end(&mut samples).unwrap();
    let stored: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()[..bytes].to_vec()).collect();
    hex(&Sha256::digest(&stored))
}

const ASKED: &str = r##"{"recordingFormat":"flac","playBeep":false,"stopTones":["#"],"streamWhileRecording":true}"##;

#[tokio::test]
async fn flac_holds_the_very_samples_of_the_recording() {
    for (format, bytes) in [("s16", 2), ("s24", 3)] {
        let folder = tempfile::tempdir().unwrap();
        let wav = folder.path().join("word.wav");
        Sound::at(8_000).hiss(200).voice(500).hiss(300).key('#', 100).hiss(2_000).write(&wav);
        let source = format!("wav:{}?pace=fast", wav.display());
        let config = configure(folder.path(), &[("mic", &source)], "").unwrap();
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{text}[record]\nsample_format = \"{format}\"\n")).unwrap();
        let daemon = Daemon::with(&config).await.unwrap();
        let operation = daemon.post("/app/calls/mic/record", ASKED).await.unwrap();
        let operation = daemon.ended("mic", &operation).await.unwrap();
        assert_eq!(operation["completionReason"], "stopToneDetected");
        let location = operation["recordingLocation"].as_str().unwrap();
        let answer = daemon.send(Method::GET, location, None).await.unwrap();
        assert_eq!(
            (&answer.headers()[CONTENT_TYPE], &answer.headers()[ACCEPT_RANGES]),
            (&"audio/flac".parse().unwrap(), &"none".parse().unwrap())
        );
        assert!(answer.headers()[ETAG].to_str().unwrap().contains("flac"));
        assert_eq!(digest(&answer.bytes().await.unwrap(), bytes), operation["recording"]["sha256"], "{format}");
    }
}

#[tokio::test]
async fn flac_that_is_read_while_it_grows_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let wav = folder.path().join("word.wav");
    Sound::at(16_000).hiss(200).voice(700).hiss(300).key('#', 100).hiss(2_000).write(&wav);
    let source = format!("wav:{}?pace=real", wav.display());
    let daemon = Daemon::start(folder.path(), &[("mic", &source)]).await.unwrap();
    let operation = daemon.post("/app/calls/mic/record", ASKED).await.unwrap();
    let path = format!("/recordings/{}", operation["id"].as_str().unwrap());
    let answer = loop {
        let answer = daemon.send(Method::GET, &path, None).await.unwrap();
        if answer.status() != 404 {
            break answer;
        }
    };
    assert!(!answer.headers().contains_key(ETAG), "it was final before it was read");
    let live = answer.bytes().await.unwrap();
    let operation = daemon.ended("mic", &operation).await.unwrap();
    assert_eq!(digest(&live, 2), operation["recording"]["sha256"]);
}

#[tokio::test]
async fn floats_have_no_flac_and_other_formats_are_refused_with_those_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let config = configure(folder.path(), &[("mic", "silence:")], "").unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}[record]\nsample_format = \"f32\"\n")).unwrap();
    let daemon = Daemon::with(&config).await.unwrap();
    for (format, supported) in [("flac", "supported: wav"), ("mp3", "supported: wav")] {
        let body = format!(r#"{{"recordingFormat":"{format}"}}"#);
        let answer = daemon.send(Method::POST, "/app/calls/mic/record", Some(&body)).await.unwrap();
        assert_eq!(answer.status(), 422, "{format}");
        let refusal: Value = answer.json().await.unwrap();
        assert!(refusal["error"]["message"].as_str().unwrap().ends_with(supported), "{refusal}");
    }
}
