//! Our own sound in the microphone: neither speech nor a key, and a person over it is heard.

use std::f64::consts::TAU;

use tonearm::pipeline::{Channels, Order, Recorder, RecordingKey, Start};
use tonearm::playback::Plan;
use tonearm::record::{Reason, Rules, StopTones};
use tonearm::units::Rate;

use crate::chunking::{Memories, Memory, floats, pipeline};
use crate::sound::Sound;

const KEY: RecordingKey = RecordingKey(1);
const HZ: u64 = 16_000;
/// So long our sound takes from the output through the room into the microphone.
const DELAY: usize = HZ as usize * 80 / 1_000;

/// Two prompts with speech, pauses and keys, 8 s.
fn prompts() -> Sound {
    let once = |sound: Sound| sound.voice(1_300).hiss(250).key('5', 150).hiss(300).voice(1_700).key('#', 200).hiss(100);
    once(once(Sound::at(HZ as u32)))
}

/// A voice of another pitch than the prompt's, as loud as that at 0 dB.
fn person(seconds: f64, db: f64) -> Vec<f32> {
    person_at(HZ as u32, seconds, db)
}

pub fn person_at(hz: u32, seconds: f64, db: f64) -> Vec<f32> {
    let gain = 10_f64.powf(db / 20.0);
    let wave = |n: usize| {
        let t = n as f64 / f64::from(hz);
        let syllable = 0.65 - 0.35 * (TAU * 3.1 * t).cos();
        let buzz: f64 = (1..9).map(|n| (TAU * 193.0 * f64::from(n) * t).sin() / f64::from(n)).sum();
        (gain * 0.25 * syllable * buzz) as f32
    };
    (0..(seconds * f64::from(hz)) as usize).map(wave).collect()
}

/// What the microphone hears of our own sound at this level, over the room's hiss.
fn leak(played: &[f32], db: f64) -> Vec<f32> {
    let gain = 10_f64.powf(db / 20.0) as f32;
    let ms = (played.len() + HZ as usize) as u32 / 16;
    let mut heard = floats(&Sound::at(HZ as u32).hiss(ms)).to_vec();
    heard.iter_mut().skip(DELAY).zip(played).for_each(|(heard, played)| *heard += gain * played);
    heard
}

/// A recording hears this while that is played.
fn hear(heard: &[f32], played: &[f32], start: Start, stop_tones: &[&str]) -> Memory {
    let rate = Rate::new(HZ as u32).unwrap();
    let (mut pipeline, mut memories) = (pipeline(rate), Memories::default());
    let rules = Rules::in_seconds(rate, 5, 1, 60, StopTones::parse(stop_tones).unwrap());
    let order = Order { key: KEY, channels: Channels::ALL, start, rules, ticket: () };
    pipeline.begin(Recorder::new(order, rate, 1), &mut memories);
    let plan = Plan::of(played, rate, 1);
    for (index, piece) in heard.chunks(160).enumerate() {
        pipeline.play(plan.around(index * 160));
        pipeline.hear(piece, &mut memories);
    }
    std::mem::take(memories.of(KEY))
}

const CUE: Start = Start::Cue { from_frame: 0, at_frame: None };

#[test]
fn neither_speech_nor_keys_in_a_prompt_answer_it_at_any_leak() {
    let played = floats(&prompts());
    for db in [0.0, -6.0, -12.0, -20.0, -30.0, -40.0] {
        let memory = hear(&leak(&played, db), &played, CUE, &["5", "#"]);
        assert!(!memory.answered && memory.outcome.is_none(), "{db} dB: {:?}", memory.start_frame);
    }
}

#[test]
fn the_same_sound_that_nobody_knows_of_is_an_answer() {
    let played = floats(&prompts());
    for db in [-6.0, -20.0] {
        assert!(hear(&leak(&played, db), &[], CUE, &[]).answered, "{db} dB");
    }
}

#[test]
fn a_person_10_db_above_the_leak_is_an_answer_from_its_onset_on() {
    let played = floats(&prompts());
    for db in [-6.0, -20.0, -40.0] {
        for onset in (0..20).map(|n| HZ * 2 + n * HZ * 27 / 100) {
            let mut heard = leak(&played, db);
            let voice = person(1.5, db + 10.0);
            heard.iter_mut().skip(onset as usize).zip(voice).for_each(|(heard, voice)| *heard += voice);
            let memory = hear(&heard, &played, CUE, &["5", "#"]);
            let start = memory.start_frame.unwrap_or_else(|| panic!("{db} dB, {onset}: not heard"));
            let late = start as i64 + HZ as i64 / 5 - onset as i64;
            assert!((0..=HZ as i64 * 12 / 100).contains(&late), "{db} dB, {onset}: {late} frames late");
        }
    }
}

#[test]
fn a_key_that_is_not_in_the_prompt_is_an_answer_over_it() {
    let played = floats(&prompts());
    for db in [-20.0, -40.0] {
        let mut heard = leak(&played, db);
        let key = floats(&Sound::at(HZ as u32).key('1', 150));
        heard.iter_mut().skip(HZ as usize * 3).zip(&key[..]).for_each(|(heard, key)| *heard += key);
        let memory = hear(&heard, &played, CUE, &["1"]);
        assert_eq!(memory.outcome.map(|outcome| outcome.ending.reason), Some(Reason::StopTone), "{db} dB");
    }
}

#[test]
fn a_recording_that_runs_meanwhile_hears_neither_speech_nor_keys_in_it() {
    let played = floats(&prompts());
    for db in [-6.0, -20.0] {
        let memory = hear(&leak(&played, db), &played, Start::At(0), &["5"]);
        let ending = memory.outcome.expect("an ending").ending;
        assert_eq!((ending.reason, ending.at_frame), (Reason::InitialSilence, 5 * HZ), "{db} dB");
    }
}

#[test]
fn a_loudspeaker_that_is_turned_up_is_learnt_within_some_answers() {
    let played = floats(&prompts());
    let mut heard = leak(&played, -30.0);
    heard.extend(leak(&played, -6.0));
    heard.extend(leak(&played, -6.0));
    let silence = vec![0.0; HZ as usize];
    let all: Vec<f32> = [&played[..], &silence, &played, &silence, &played, &silence].concat();
    let rate = Rate::new(HZ as u32).unwrap();
    let (mut pipeline, mut memories) = (pipeline(rate), Memories::default());
    let plan = Plan::of(&all, rate, 1);
    let third = heard.len() / 160 * 2 / 3;
    for (index, piece) in heard.chunks(160).enumerate() {
        pipeline.play(plan.around(index * 160));
        if index == third {
            let rules = Rules::in_seconds(rate, 60, 1, 60, StopTones::NONE);
            let order = Order { key: KEY, channels: Channels::ALL, start: CUE, rules, ticket: () };
            pipeline.begin(Recorder::new(order, rate, 1), &mut memories);
        }
        pipeline.hear(piece, &mut memories);
    }
    assert!(!memories.of(KEY).answered, "the prompt after the next does not answer itself");
}
