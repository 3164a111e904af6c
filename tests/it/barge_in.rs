//! Answers to what is played before a recording: when they begin it, and when they end it.

use tonearm::pipeline::{Channels, Order, Recorder, RecordingKey, Start};
use tonearm::record::{Input, Reason, Rules, StopTones};
use tonearm::units::Rate;

use crate::chunking::{Memories, Memory, floats, pipeline};
use crate::sound::Sound;

const KEY: RecordingKey = RecordingKey(1);
const HZ: u64 = 16_000;

/// Hears a sound while something is played that ends at `cue`, if it does.
fn hear(sound: &Sound, cue: Option<u64>, stop_tones: &[&str], block: usize) -> Memory {
    let rate = Rate::new(sound.hz).unwrap();
    let (mut pipeline, mut memories) = (pipeline(rate), Memories::default());
    let rules = Rules::in_seconds(rate, 1, 1, 60, StopTones::parse(stop_tones).unwrap());
    let start = Start::Cue { from_frame: 0, at_frame: cue };
    let order = Order { key: KEY, channels: Channels::ALL, start, rules, ticket: () };
    pipeline.begin(Recorder::new(order, rate, 1), &mut memories);
    for piece in floats(sound).chunks(block) {
        pipeline.hear(piece, &mut memories);
    }
    let mut memory = std::mem::take(memories.of(KEY));
    // What lies beyond the end was told before the end was known.
    memory.samples.truncate(memory.outcome.map_or(usize::MAX, |outcome| outcome.ending.at_frame as usize));
    memory
}

/// The same in pieces of several sizes, which must not matter.
fn heard(sound: &Sound, cue: Option<u64>, stop_tones: &[&str]) -> Memory {
    let whole = hear(sound, cue, stop_tones, 4_096);
    for block in [7, 160, 1_024] {
        let cut = hear(sound, cue, stop_tones, block);
        assert_eq!((cut.start_frame, cut.outcome), (whole.start_frame, whole.outcome), "in pieces of {block}");
        assert!(cut.samples == whole.samples && cut.answered == whole.answered, "in pieces of {block}");
    }
    whole
}

fn ending(memory: &Memory) -> (Reason, u64) {
    let ending = memory.outcome.expect("an ending").ending;
    (ending.reason, ending.at_frame)
}

fn hush() -> Sound {
    Sound::at(HZ as u32).hiss(700)
}

#[test]
fn speech_begins_the_recording_200_ms_before_its_onset_and_initial_silence_is_over() {
    let sound = hush().voice(600).hiss(2_000);
    let memory = heard(&sound, None, &[]);
    let start = memory.start_frame.unwrap();
    let onset = HZ * 700 / 1_000;
    assert!((start + HZ / 5).abs_diff(onset) <= HZ / 50, "begun at {start}, the voice at {onset}");
    let ending = memory.outcome.unwrap().ending;
    assert_eq!(ending.first_voiced_frame, Some(HZ / 5));
    assert_eq!((ending.reason, ending.at_frame), (Reason::MaxSilence, ending.last_voiced_frame.unwrap() + HZ));
    assert!(memory.answered);
    assert!(memory.samples[..] == floats(&sound)[start as usize..][..memory.samples.len()]);
}

#[test]
fn a_key_that_is_no_stop_tone_begins_the_recording_at_its_end() {
    let memory = heard(&hush().key('1', 120).hiss(3_000), None, &["#"]);
    let (start, end) = (memory.start_frame.unwrap() as i64, HZ as i64 * 820 / 1_000);
    assert!((-16..=160).contains(&(start - end)), "begun at {start}, the key ended at {end}");
    assert!(memory.answered);
    assert_eq!(ending(&memory), (Reason::InitialSilence, HZ), "the key was no speech");
}

#[test]
fn what_is_played_is_answered_when_the_key_is_recognised_and_not_when_it_is_released() {
    let memory = hear(&hush().key('1', 100), None, &["#"], 160);
    assert!(memory.answered && memory.start_frame.is_none());
}

#[test]
fn a_stop_tone_ends_it_before_it_has_begun() {
    let memory = heard(&hush().key('#', 120).hiss(300), None, &["#"]);
    assert_eq!((ending(&memory), memory.start_frame), ((Reason::StopTone, 0), None));
    let stop_tone = memory.outcome.unwrap().ending.stop_tone.unwrap();
    let onset = stop_tone.keys().next().unwrap().onset_frame as i64;
    assert!((onset - HZ as i64 * 700 / 1_000).abs() <= 16, "{onset} counts from what was played");
    assert!(memory.samples.is_empty());
}

#[test]
fn a_sequence_that_began_before_the_recording_ends_it_without_audio() {
    let memory = heard(&hush().key('1', 80).hiss(200).key('2', 80).hiss(300), None, &["12"]);
    assert!(memory.start_frame.is_some());
    assert_eq!(ending(&memory), (Reason::StopTone, 0));
}

#[test]
fn without_an_answer_it_begins_with_the_first_frame_after_what_is_played() {
    let memory = heard(&Sound::at(HZ as u32).hiss(4_000), Some(12_345), &["#"]);
    assert_eq!((memory.start_frame, memory.answered), (Some(12_345), false));
    assert_eq!(ending(&memory), (Reason::InitialSilence, HZ));
}

#[test]
fn an_answer_that_begins_just_before_the_end_of_what_is_played_is_one_and_just_after_it_none() {
    let sound = hush().voice(600).hiss(2_000);
    let onset = heard(&sound, None, &[]).start_frame.unwrap() + HZ / 5;
    let before = heard(&sound, Some(onset + 1), &[]);
    assert_eq!((before.start_frame, before.answered), (Some(onset - HZ / 5), true));
    let after = heard(&sound, Some(onset), &[]);
    assert_eq!((after.start_frame, after.answered), (Some(onset), false));
    assert_eq!(after.outcome.unwrap().ending.first_voiced_frame, Some(0));
    let key = hush().key('#', 120).hiss(300);
    let late = heard(&key, Some(HZ * 690 / 1_000), &["#"]);
    assert_eq!(late.start_frame, Some(HZ * 690 / 1_000));
    assert_eq!(ending(&late).0, Reason::StopTone);
    assert!((144..=160).contains(&ending(&late).1), "{:?}", ending(&late));
}

#[test]
fn a_cancel_ends_what_has_not_begun() {
    let rate = Rate::new(HZ as u32).unwrap();
    let (mut pipeline, mut memories) = (pipeline(rate), Memories::default());
    let rules = Rules::in_seconds(rate, 1, 1, 60, StopTones::NONE);
    let start = Start::Cue { from_frame: 0, at_frame: None };
    let order = Order { key: KEY, channels: Channels::ALL, start, rules, ticket: () };
    pipeline.begin(Recorder::new(order, rate, 1), &mut memories);
    pipeline.hear(&[0.0; 160], &mut memories);
    pipeline.tell(KEY, Input::Cancel { at_frame: 160 }, &mut memories);
    assert_eq!(ending(memories.of(KEY)), (Reason::Canceled, 0));
    assert!(pipeline.is_idle());
}
