//! The same audio gives the same ending however it was cut, and the ending is where the contract puts it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tonearm::dsp::tone::Key;
use tonearm::pipeline::{
    Block, Channels, Hearing, Message, Order, Outcome, Outlet, Pipeline, Recorder, RecordingKey, Start,
};
use tonearm::record::{GapCause, Input, Reason, Rules, StopTones};
use tonearm::units::Rate;

use crate::sound::Sound;

/// A writer that keeps what it gets of each recording in memory.
#[derive(Default)]
pub struct Memories(BTreeMap<RecordingKey, Memory>);

#[derive(Default)]
pub struct Memory {
    pub samples: Vec<f32>,
    pub start_frame: Option<u64>,
    pub gaps: Vec<(u64, u64, GapCause)>,
    committed: u64,
    pub outcome: Option<Outcome>,
    /// What was played before it was answered.
    pub answered: bool,
}

impl Outlet<()> for Memories {
    fn block(&mut self) -> Option<Block> {
        Some(Block::with_room(960))
    }

    fn send(&mut self, message: Message<()>) {
        match message {
            Message::Open { key, start_frame, .. } => self.of(key).start_frame = Some(start_frame),
            Message::Audio { key, block } => {
                let memory = self.of(key);
                assert_eq!(block.first_frame, memory.samples.len() as u64);
                assert!(block.horizon_frame >= memory.committed, "the horizon never falls");
                memory.committed = block.horizon_frame;
                memory.samples.extend_from_slice(block.samples());
            }
            Message::Gap { key, at_frame, frames, cause } => {
                let memory = self.of(key);
                assert_eq!(at_frame, memory.samples.len() as u64);
                memory.gaps.push((at_frame, frames, cause));
                memory.samples.resize(memory.samples.len() + frames as usize, 0.0);
            }
            Message::Answered { key } => self.of(key).answered = true,
            Message::Mark { .. } | Message::Pressed { .. } => {}
            Message::Ended { key, recorder } => self.of(key).outcome = recorder.outcome,
        }
    }

    fn eager(&self) -> bool {
        true
    }
}

impl Memories {
    pub fn of(&mut self, key: RecordingKey) -> &mut Memory {
        self.0.entry(key).or_default()
    }

    fn has_ended(&mut self, key: RecordingKey) -> bool {
        self.of(key).outcome.is_some()
    }
}

const FIRST: RecordingKey = RecordingKey(1);
const SECOND: RecordingKey = RecordingKey(2);

/// Begins the first recording with the device's first frame.
fn begin(pipeline: &mut Pipeline<()>, memories: &mut Memories, rate: Rate, rules: (u32, u32, u32), tones: &[&str]) {
    let stop_tones = StopTones::parse(tones).unwrap();
    let rules = Rules::in_seconds(rate, rules.0, rules.1, rules.2, stop_tones);
    let order = Order { key: FIRST, channels: Channels::ALL, start: Start::At(0), rules, ticket: () };
    pipeline.begin(Recorder::new(order, rate, 1), memories);
}

/// Begins the first recording, of a second, and lets another wait for it.
fn begin_two(pipeline: &mut Pipeline<()>, memories: &mut Memories, rate: Rate) {
    begin(pipeline, memories, rate, (60, 60, 1), &[]);
    let rules = Rules::in_seconds(rate, 60, 60, 1, StopTones::NONE);
    let order = Order { key: SECOND, channels: Channels::ALL, start: Start::After(FIRST), rules, ticket: () };
    pipeline.begin(Recorder::new(order, rate, 1), memories);
}

pub fn pipeline(rate: Rate) -> Pipeline<()> {
    Pipeline::new(&Hearing::new(rate, 1), 4_096)
}

pub fn floats(sound: &Sound) -> Arc<[f32]> {
    sound.samples.iter().map(|s| f32::from(*s) / 32_768.0).collect()
}

fn record(sound: &Sound, block: usize, rules: (u32, u32, u32), tones: &[&str]) -> Memory {
    let rate = Rate::new(sound.hz).unwrap();
    let (mut pipeline, mut memories) = (pipeline(rate), Memories::default());
    begin(&mut pipeline, &mut memories, rate, rules, tones);
    for piece in floats(sound).chunks(block) {
        pipeline.hear(piece, &mut memories);
    }
    memories.0.remove(&FIRST).unwrap()
}

fn ends(memory: &Memory) -> (Reason, u64) {
    let ending = memory.outcome.expect("an ending").ending;
    assert!(
        memory.committed <= ending.at_frame || ending.reason == Reason::StopTone,
        "nothing committed is taken back"
    );
    (ending.reason, ending.at_frame)
}

#[test]
fn the_same_audio_in_any_pieces_gives_the_same_ending_and_the_same_samples() {
    for hz in [8_000, 16_000, 44_100, 48_000, 96_000] {
        let sounds = [
            Sound::at(hz).hiss(500).voice(1_200).hiss(700).key('#', 90).hiss(500),
            Sound::at(hz).hiss(500).voice(900).hiss(2_500),
            Sound::at(hz).hiss(2_900).voice(600).hiss(3_000),
            Sound::at(hz).hiss(400).key('1', 60).hiss(80).key('2', 60).hiss(3_000),
        ];
        for sound in &sounds {
            let whole = record(sound, 480, (3, 1, 5), &["#", "12"]);
            let ending = whole.outcome.expect("an ending");
            for block in [1, 7, 102, 1_024, 4_096] {
                let cut = record(sound, block, (3, 1, 5), &["#", "12"]);
                assert_eq!(cut.outcome, Some(ending), "{hz} Hz in blocks of {block}");
                let frames = ending.ending.at_frame as usize;
                assert!(cut.samples[..frames] == whole.samples[..frames], "{hz} Hz in blocks of {block}");
            }
        }
    }
}

#[test]
fn limits_fire_at_start_plus_limit_to_the_frame() {
    for hz in [8_000, 44_100, 48_000] {
        let silent = Sound::at(hz).hiss(6_000);
        assert_eq!(ends(&record(&silent, 480, (5, 5, 5), &[])), (Reason::InitialSilence, u64::from(hz) * 5));
        let talking = Sound::at(hz).hiss(200).voice(6_000);
        assert_eq!(ends(&record(&talking, 480, (5, 5, 4), &[])), (Reason::MaxDuration, u64::from(hz) * 4));
        let spoken = Sound::at(hz).hiss(500).voice(1_000).hiss(3_000);
        let memory = record(&spoken, 480, (5, 1, 60), &[]);
        let (reason, at_frame) = ends(&memory);
        let last = memory.outcome.unwrap().ending.last_voiced_frame.unwrap();
        assert_eq!((reason, at_frame), (Reason::MaxSilence, last + u64::from(hz)));
        let true_end = f64::from(hz) * 1.5;
        assert!((last as f64 - true_end).abs() < f64::from(hz) * 0.1, "speech ended at {true_end}, heard {last}");
    }
}

#[test]
fn who_begins_to_speak_at_4_95_s_of_5_has_spoken() {
    let sound = Sound::at(16_000).hiss(4_950).voice(1_000).hiss(3_000);
    let (reason, _) = ends(&record(&sound, 160, (5, 2, 60), &[]));
    assert_eq!(reason, Reason::MaxSilence);
}

#[test]
fn a_stop_tone_is_cut_from_the_file_and_never_committed() {
    for hz in [8_000, 16_000, 44_100, 48_000, 96_000] {
        let before = Sound::at(hz).hiss(300).voice(800).hiss(400);
        let onset = before.now();
        let memory = record(&before.key('#', 100).hiss(300), 480, (5, 5, 60), &["#"]);
        let (reason, at_frame) = ends(&memory);
        assert_eq!(reason, Reason::StopTone);
        assert!(memory.committed <= at_frame);
        let late_ms = (at_frame as f64 - onset as f64) * 1_000.0 / f64::from(hz);
        assert!((-10.0..=1.0).contains(&late_ms), "{hz} Hz: cut {late_ms} ms after the onset");
    }
}

#[test]
fn the_meter_shows_the_last_key() {
    let (mut pipeline, mut memories) = (pipeline(Rate::TELEPHONE), Memories::default());
    assert_eq!(pipeline.meter(0).unwrap().last_key, None);
    pipeline.hear(&floats(&Sound::at(8_000).key('1', 60).hiss(100).key('#', 60).hiss(100)), &mut memories);
    assert_eq!(pipeline.meter(0).unwrap().last_key, Key::new('#'));
}

#[test]
fn a_gap_counts_as_time_and_is_told_with_its_place() {
    let rate = Rate::TELEPHONE;
    let (mut pipeline, mut memories) = (pipeline(rate), Memories::default());
    begin(&mut pipeline, &mut memories, rate, (60, 60, 2), &[]);
    let sound = floats(&Sound::at(8_000).voice(1_000));
    pipeline.hear(&sound[..4_001], &mut memories);
    pipeline.lose(8_000, GapCause::Xrun, &mut memories);
    for piece in sound.chunks(4_000) {
        pipeline.hear(piece, &mut memories);
    }
    let memory = memories.of(FIRST);
    assert_eq!(ends(memory), (Reason::MaxDuration, 16_000));
    assert_eq!(memory.gaps, [(4_001, 8_000, GapCause::Xrun)]);
    assert_eq!(memory.samples.len(), 16_000);
}

#[test]
fn a_waiting_recording_begins_at_the_very_frame_at_which_the_one_before_it_ended() {
    let rate = Rate::TELEPHONE;
    let (mut pipeline, mut memories) = (pipeline(rate), Memories::default());
    begin_two(&mut pipeline, &mut memories, rate);
    let sound = floats(&Sound::at(8_000).hiss(300).voice(2_500));
    let mut pieces = sound.chunks(333);
    while !memories.has_ended(SECOND) {
        pipeline.hear(pieces.next().expect("an ending in time"), &mut memories);
    }
    assert_eq!(memories.of(FIRST).samples, &sound[..8_000]);
    assert_eq!(memories.of(SECOND).start_frame, Some(8_000));
    assert_eq!(memories.of(SECOND).samples, &sound[8_000..16_000]);
}

#[test]
fn a_cancelled_waiting_recording_never_begins() {
    let rate = Rate::TELEPHONE;
    let (mut pipeline, mut memories) = (pipeline(rate), Memories::default());
    begin_two(&mut pipeline, &mut memories, rate);
    pipeline.tell(SECOND, Input::Cancel { at_frame: 0 }, &mut memories);
    let memory = memories.of(SECOND);
    assert_eq!(memory.outcome.unwrap().ending.reason, Reason::Canceled);
    assert_eq!((memory.start_frame, memory.samples.len()), (None, 0));
}

#[test]
fn a_cancelled_recording_ends_at_the_frame_of_the_cancel() {
    let rate = Rate::TELEPHONE;
    let (mut pipeline, mut memories) = (pipeline(rate), Memories::default());
    begin(&mut pipeline, &mut memories, rate, (60, 60, 60), &[]);
    let sound = floats(&Sound::at(8_000).hiss(1_000));
    pipeline.hear(&sound[..1_000], &mut memories);
    pipeline.tell(FIRST, Input::Cancel { at_frame: 1_400 }, &mut memories);
    pipeline.hear(&sound[1_000..4_000], &mut memories);
    let memory = memories.of(FIRST);
    assert_eq!(ends(memory), (Reason::Canceled, 1_400));
    assert_eq!(memory.samples.len(), 1_400);
}
