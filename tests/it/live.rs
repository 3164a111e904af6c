//! The same audio and request give the same ending and the same bytes in real time and flat out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tonearm::capture::{Pace, Source};
use tonearm::control::chain::Setup;
use tonearm::control::line::{Ask, Begin, Line, Microphone, Running, Settings};
use tonearm::pipeline::Channels;
use tonearm::playback::BEEP;
use tonearm::record::{Reason, StopTones};
use tonearm::store::growth::Outcome;
use tonearm::units::Rate;
use tonearm::wav::SampleFormat;
use uuid::Uuid;

use crate::sound::{Sound, samples};

pub fn line(wav: &Path, pace: Pace, folder: &Path, rate: Option<u32>) -> std::sync::Arc<Line> {
    let source = Source::Wav { path: wav.to_owned(), pace, repeat: false };
    let settings = Settings {
        name: "mic".into(),
        source: source.clone(),
        open_always: true,
        channels: Channels::ALL,
        rate: rate.and_then(Rate::new),
        format: SampleFormat::S16,
        playback: "none".into(),
        folder: folder.to_owned(),
        sync_interval: Duration::from_secs(1),
    };
    Line::new(settings, Microphone::new(source, Setup::default())).unwrap()
}

fn ask(begin: Begin, stop_tones: &[&str]) -> Ask {
    Ask {
        id: Uuid::new_v4(),
        begin,
        initial_silence: 5,
        max_silence: 1,
        max_duration: 10,
        stop_tones: StopTones::parse(stop_tones).unwrap(),
        client_context: None,
        muted: false,
    }
}

async fn outcome(mut running: Running) -> Outcome {
    (*running.growth.ended().await.unwrap()).clone()
}

async fn record(wav: &Path, pace: Pace, folder: &Path, rate: Option<u32>, stop_tones: &[&str]) -> (Outcome, PathBuf) {
    let line = line(wav, pace, folder, rate);
    let ask = ask(Begin::Now, stop_tones);
    let path = folder.join(format!("{}.wav", ask.id));
    (outcome(line.record(ask).unwrap()).await, path)
}

#[tokio::test]
async fn real_time_and_flat_out_give_the_same_ending_and_the_same_samples() {
    let folder = tempfile::tempdir().unwrap();
    let tone = Sound::at(44_100).hiss(300).voice(500).hiss(200).key('#', 80).hiss(100);
    let pause = Sound::at(48_000).hiss(300).voice(500);
    let sequence = Sound::at(8_000).hiss(300).key('1', 60).hiss(100).key('2', 60).hiss(200);
    for (name, sound, rate, tones, reason) in [
        ("tone", tone, None, &["#"][..], Reason::StopTone),
        ("pause", pause, Some(16_000), &[][..], Reason::MaxSilence),
        ("sequence", sequence, None, &["#", "12"][..], Reason::StopTone),
    ] {
        let wav = folder.path().join(format!("{name}.wav"));
        sound.write(&wav);
        let (live, live_path) = record(&wav, Pace::Real, folder.path(), rate, tones).await;
        let (flat, flat_path) = record(&wav, Pace::Fast, folder.path(), rate, tones).await;
        assert_eq!(live.ending, flat.ending, "{name}");
        assert_eq!(live.ending.reason, reason, "{name}");
        assert_eq!(live.second_opinion, flat.second_opinion, "{name}");
        assert_eq!(live.second_opinion.is_some(), reason == Reason::StopTone, "{name}");
        let (live, flat) = (live.recording.unwrap(), flat.recording.unwrap());
        assert_eq!(live.file, flat.file, "{name}");
        assert_eq!(live.gaps, [], "{name}");
        assert!(samples(&live_path) == samples(&flat_path), "{name}");
        if rate.is_none() {
            assert!(samples(&live_path) == sound.samples[..live.file.frames as usize], "{name}: bit for bit");
        }
    }
}

#[tokio::test]
async fn floats_that_are_no_audio_are_silence_in_a_recording_at_another_rate() {
    let folder = tempfile::tempdir().unwrap();
    let wav = folder.path().join("garbage.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 44_100,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(&wav, spec).unwrap();
    for (n, sample) in Sound::at(44_100).hiss(300).voice(500).samples.into_iter().enumerate() {
        let garbage = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX].get(n % 1_000);
        writer.write_sample(garbage.copied().unwrap_or(f32::from(sample) / 32_768.0)).unwrap();
    }
    writer.finalize().unwrap();
    let (outcome, path) = record(&wav, Pace::Fast, folder.path(), Some(16_000), &[]).await;
    let recording = outcome.recording.unwrap();
    assert_eq!(outcome.ending.reason, Reason::MaxSilence);
    assert_eq!(samples(&path).len() as u64, recording.file.frames);
    assert!(samples(&path).iter().any(|&x| x.unsigned_abs() > 1_000));
    // The recording lasts until 5 s after the voice; the file's last 800 ms hold 36 such places, each of four samples.
    assert_eq!(recording.signal.unwrap().invalid_samples, 36 * 4);
}

#[tokio::test]
async fn a_chain_of_recordings_joins_without_a_gap_in_real_time() {
    let folder = tempfile::tempdir().unwrap();
    let wav = folder.path().join("talk.wav");
    let sound = Sound::at(16_000).hiss(100).voice(3_500);
    sound.write(&wav);
    let line = line(&wav, Pace::Real, folder.path(), None);
    let mut asks = [ask(Begin::Now, &[]), ask(Begin::Now, &[]), ask(Begin::Now, &[])];
    let mut runs = Vec::new();
    for ask in &mut asks {
        ask.max_duration = 1;
        ask.begin = runs.last().map_or(Begin::Now, |running: &Running| Begin::After(running.key));
        runs.push(line.record(ask.clone()).unwrap());
    }
    let mut all = Vec::new();
    for (running, ask) in runs.into_iter().zip(&asks) {
        assert_eq!(outcome(running).await.ending.reason, Reason::MaxDuration);
        all.extend(samples(&folder.path().join(format!("{}.wav", ask.id))));
    }
    assert!(all == sound.samples[..3 * 16_000]);
}

#[tokio::test]
async fn a_timed_beep_is_over_before_the_first_frame_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let wav = folder.path().join("talk.wav");
    let sound = Sound::at(16_000).hiss(100).voice(500);
    sound.write(&wav);
    let line = line(&wav, Pace::Real, folder.path(), None);
    let ask = ask(Begin::AfterTimed(BEEP), &[]);
    let path = folder.path().join(format!("{}.wav", ask.id));
    outcome(line.record(ask).unwrap()).await;
    assert!(samples(&path)[..sound.samples.len()] == sound.samples[..]);
}

#[tokio::test]
async fn a_cancel_ends_a_recording_and_keeps_what_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let wav = folder.path().join("talk.wav");
    Sound::at(16_000).voice(100).write(&wav);
    let line = line(&wav, Pace::Real, folder.path(), None);
    let mut running = line.record(ask(Begin::Now, &["#"])).unwrap();
    let key = running.key;
    while running.growth.now().committed_frames <= 1_600 {
        running.growth.more().await.unwrap();
    }
    line.cancel(key);
    let outcome = outcome(running).await;
    assert_eq!(outcome.ending.reason, Reason::Canceled);
    assert!(outcome.recording.unwrap().file.frames > 1_600);
}
