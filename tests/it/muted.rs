//! What is muted: zeros that are no loss, no silence and no keys.

use std::time::Duration;

use serde_json::json;
use tonearm::pipeline::{Channels, Order, Recorder, RecordingKey, Start};
use tonearm::record::{GapCause, Reason, Rules, StopTones};
use tonearm::units::Rate;

use crate::chunking::{Memories, Memory, floats, pipeline};
use crate::endings::Stage;
use crate::sound::Sound;

const KEY: RecordingKey = RecordingKey(1);
const HZ: u64 = 16_000;

/// Records a sound that is muted from one frame to another.
fn record(sound: &Sound, muted: std::ops::Range<u64>, stop_tones: &[&str], block: usize) -> Memory {
    let rate = Rate::new(sound.hz).unwrap();
    let (mut pipeline, mut memories) = (pipeline(rate), Memories::default());
    let rules = Rules::in_seconds(rate, 1, 1, 60, StopTones::parse(stop_tones).unwrap());
    let order = Order { key: KEY, channels: Channels::ALL, start: Start::At(0), rules, ticket: () };
    pipeline.begin(Recorder::new(order, rate, 1), &mut memories);
    let mut at = 0;
    for piece in floats(sound).chunks(block) {
        // As control does it: before the frames are heard, and with the frame from which on it counts.
        for (on, frame) in [(true, muted.start), (false, muted.end)] {
            if (at..at + piece.len() as u64).contains(&frame) {
                pipeline.mute(KEY, on, frame);
            }
        }
        pipeline.hear(piece, &mut memories);
        at += piece.len() as u64;
    }
    let mut memory = std::mem::take(memories.of(KEY));
    memory.samples.truncate(memory.outcome.map_or(usize::MAX, |outcome| outcome.ending.at_frame as usize));
    memory
}

/// The gaps with those that touch made one.
fn muted_frames(memory: &Memory) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for (at, frames, cause) in &memory.gaps {
        assert_eq!(*cause, GapCause::Muted);
        match spans.last_mut() {
            Some((from, length)) if *from + *length == *at => *length += frames,
            _ => spans.push((*at, *frames)),
        }
    }
    spans
}

#[test]
fn frames_are_zeros_from_the_very_frame_to_the_very_frame() {
    let sound = Sound::at(HZ as u32).voice(3_000).hiss(2_000);
    let span = 12_345..33_333;
    let mut expected = floats(&sound).to_vec();
    expected[span.start as usize..span.end as usize].fill(0.0);
    for block in [160, 1_024, 4_000] {
        let memory = record(&sound, span.clone(), &[], block);
        assert_eq!(muted_frames(&memory), [(span.start, span.end - span.start)], "in pieces of {block}");
        assert!(memory.samples.len() > 48_000 && memory.samples[..] == expected[..memory.samples.len()]);
    }
}

#[test]
fn keys_and_speech_are_not_heard_and_max_silence_waits() {
    let sound = Sound::at(HZ as u32).hiss(300).voice(500).hiss(400).key('#', 100).voice(1_500).hiss(3_000);
    let span = HZ..HZ * 3;
    for block in [160, 1_024] {
        let memory = record(&sound, span.clone(), &["#"], block);
        let ending = memory.outcome.expect("an ending").ending;
        assert_eq!(ending.reason, Reason::MaxSilence);
        let last = ending.last_voiced_frame.unwrap();
        assert!(last.abs_diff(HZ * 8 / 10) < HZ / 20, "{last}: what was said while it was muted is not known");
        assert_eq!(ending.at_frame, last + HZ + span.end - span.start);
    }
    let heard = record(&sound, u64::MAX - 1..u64::MAX, &["#"], 160);
    assert_eq!(heard.outcome.unwrap().ending.reason, Reason::StopTone);
}

#[test]
fn speech_that_goes_on_into_the_mute_ends_where_it_begins_and_goes_on_after_it() {
    let sound = Sound::at(HZ as u32).voice(3_000).hiss(2_000);
    let memory = record(&sound, HZ..HZ * 2, &[], 160);
    let ending = memory.outcome.expect("an ending").ending;
    assert_eq!((ending.reason, ending.first_voiced_frame), (Reason::MaxSilence, Some(0)));
    assert_eq!(ending.at_frame, ending.last_voiced_frame.unwrap() + HZ);
    assert!(ending.last_voiced_frame.unwrap() > HZ * 2);
}

#[tokio::test]
async fn a_call_is_muted_and_its_recordings_say_so() {
    let stage = Stage::set(&Sound::at(16_000).voice(20_000), "real").await;
    let request = r#"{"playBeep":false,"maxRecordDurationInSeconds":2}"#;
    let running = stage.record(request).await;
    let waiting = stage.record(request).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let muted = stage.daemon.post("/app/calls/mic/mute", r#"{"clientContext":"hush"}"#).await.unwrap();
    assert_eq!(muted["@odata.type"], "#microsoft.graph.muteParticipantOperation");
    assert_eq!((&muted["status"], &muted["clientContext"]), (&"completed".into(), &"hush".into()));
    let running = stage.ended(&running).await;
    stage.check(&running).await;
    let gap = &running["recording"]["gaps"][0];
    assert_eq!((&gap["cause"], &running["recording"]["lostFrames"]), (&"muted".into(), &0.into()));
    let (at, frames) = (gap["at"].as_u64().unwrap(), gap["frames"].as_u64().unwrap());
    assert!(at + frames == 32_000 && at > 4_000, "{gap}: to its end");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let unmuted = stage.daemon.post("/app/calls/mic/unmute", "{}").await.unwrap();
    assert_eq!(unmuted["@odata.type"], "#microsoft.graph.unmuteParticipantOperation");
    let waiting = stage.ended(&waiting).await;
    stage.check(&waiting).await;
    let gap = &waiting["recording"]["gaps"];
    assert_eq!((&gap[0]["at"], gap.as_array().unwrap().len()), (&0.into(), 1), "muted from its first frame");
    assert_eq!(waiting["recording"]["frames"], json!(32_000));
}
