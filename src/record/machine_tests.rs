use super::*;
use crate::dsp::tone::Key;
use crate::record::StopTones;

const HZ: u64 = 8_000;

fn machine(initial: u32, silence: u32, duration: u32, stop_tones: &[&str]) -> Machine {
    let stop_tones = StopTones::parse(stop_tones).unwrap();
    Machine::new(Rules::in_seconds(Rate::TELEPHONE, initial, silence, duration, stop_tones), Rate::TELEPHONE)
}

fn heard(frame: u64) -> Input {
    Input::Heard { heard_frame: frame, keys_settled_frame: frame, speech_settled_frame: frame }
}

fn unsettled(heard_frame: u64, keys_settled_frame: u64, speech_settled_frame: u64) -> Input {
    Input::Heard { heard_frame, keys_settled_frame, speech_settled_frame }
}

fn voiced(first_frame: u64, last_frame: u64) -> Input {
    Input::Voiced { first_frame, last_frame }
}

fn key(character: char, onset_frame: u64) -> Input {
    Input::Key(Tone {
        key: Key::new(character).unwrap(),
        onset_frame,
        decision_frame: onset_frame + 240,
        low_hz: 0.0,
        high_hz: 0.0,
        low_dbfs: 0.0,
        high_dbfs: 0.0,
        purity: 1.0,
    })
}

/// Steps through all, and gives reason and frame of the ending with the index of the step that brought it.
fn run(machine: &mut Machine, inputs: &[Input]) -> Option<(usize, Reason, u64)> {
    inputs.iter().enumerate().find_map(|(i, input)| machine.step(*input).map(|end| (i, end.reason, end.at_frame)))
}

#[test]
fn with_all_limits_alike_a_silent_line_fails_with_initial_silence() {
    let mut machine = machine(5, 5, 5, &[]);
    assert_eq!(run(&mut machine, &[heard(40_000), heard(40_020)]), Some((1, Reason::InitialSilence, 40_000)));
}

#[test]
fn max_silence_ends_at_the_last_voiced_frame_plus_the_limit() {
    let mut machine = machine(5, 2, 60, &[]);
    let inputs = [voiced(800, 1_600), voiced(1_601, 4_000), heard(20_000), heard(20_001)];
    assert_eq!(run(&mut machine, &inputs), Some((3, Reason::MaxSilence, 4_000 + 2 * HZ)));
}

#[test]
fn speech_that_began_just_before_the_limit_overturns_it() {
    let mut machine = machine(5, 5, 60, &[]);
    let onset = 39_600;
    assert_eq!(machine.step(unsettled(40_400, 40_300, onset)), None);
    assert_eq!(machine.horizon_frame(), 40_000);
    assert_eq!(machine.step(voiced(onset, 40_400)), None);
    assert_eq!(machine.step(heard(41_000)), None);
    assert_eq!(machine.horizon_frame(), 41_000);
}

#[test]
fn a_candidate_that_was_no_speech_lets_the_limit_fire_where_it_was() {
    let mut machine = machine(5, 5, 60, &[]);
    let inputs = [unsettled(40_400, 40_300, 39_600), heard(40_600)];
    assert_eq!(run(&mut machine, &inputs), Some((1, Reason::InitialSilence, 40_000)));
}

#[test]
fn a_stop_tone_at_the_very_frame_of_a_limit_wins_and_one_frame_later_loses() {
    for (onset, expected) in [(40_000, Reason::StopTone), (40_001, Reason::MaxDuration)] {
        let mut machine = machine(60, 60, 5, &["#"]);
        let inputs = [unsettled(40_200, onset, 40_200), key('#', onset), heard(40_400)];
        let (_, reason, at_frame) = run(&mut machine, &inputs).unwrap();
        assert_eq!((reason, at_frame), (expected, 40_000), "onset {onset}");
    }
}

#[test]
fn a_cancel_at_the_frame_of_a_stop_tone_or_a_limit_wins() {
    let mut machine = machine(60, 60, 5, &["#"]);
    let inputs = [Input::Cancel { at_frame: 40_000 }, unsettled(40_200, 40_000, 40_200)];
    assert_eq!(run(&mut machine, &inputs), Some((1, Reason::Canceled, 40_000)));
}

#[test]
fn a_limit_before_the_cancel_wins_though_it_is_settled_later() {
    let mut machine = machine(5, 60, 60, &[]);
    let inputs = [unsettled(40_100, 40_100, 39_900), Input::Cancel { at_frame: 40_200 }, heard(40_300)];
    assert_eq!(run(&mut machine, &inputs), Some((2, Reason::InitialSilence, 40_000)));
}

#[test]
fn a_key_ends_initial_silence_and_max_silence_starts_anew_at_its_end() {
    let mut machine = machine(5, 2, 60, &["#"]);
    let inputs = [key('1', 8_000), heard(50_000), Input::KeyUp { end_frame: 52_000 }, heard(68_000), heard(68_001)];
    assert_eq!(run(&mut machine, &inputs), Some((4, Reason::MaxSilence, 52_000 + 2 * HZ)));
}

#[test]
fn a_sequence_is_cut_at_its_first_key_and_decided_by_its_last() {
    let mut machine = machine(60, 60, 60, &["#", "12"]);
    let up = |end_frame| Input::KeyUp { end_frame };
    let inputs = [key('1', 8_000), up(8_800), heard(9_000), key('2', 16_000)];
    let ending = inputs.iter().find_map(|input| machine.step(*input)).unwrap();
    assert_eq!((ending.reason, ending.at_frame, ending.decided_at_frame), (Reason::StopTone, 8_000, 16_240));
    let stop_tone = ending.stop_tone.unwrap();
    assert_eq!(stop_tone.entry, 1);
    assert_eq!(stop_tone.keys().map(|tone| tone.key.char()).collect::<String>(), "12");
}

#[test]
fn more_than_five_seconds_between_keys_start_a_new_sequence() {
    for (second, matches) in [(8_800 + 40_000, true), (8_800 + 40_001, false)] {
        let mut machine = machine(60, 60, 60, &["12"]);
        let inputs = [key('1', 8_000), Input::KeyUp { end_frame: 8_800 }, key('2', second)];
        assert_eq!(run(&mut machine, &inputs).is_some(), matches, "{second}");
    }
}

#[test]
fn an_entry_that_is_a_prefix_of_a_longer_one_wins_at_once() {
    let mut machine = machine(60, 60, 60, &["11", "1"]);
    let ending = machine.step(key('1', 8_000)).unwrap();
    assert_eq!(ending.stop_tone.unwrap().entry, 1);
}

#[test]
fn lost_media_settles_what_was_pending() {
    let mut machine = machine(5, 60, 60, &[]);
    assert_eq!(
        run(&mut machine, &[unsettled(40_100, 40_100, 39_900), Input::MediaLost]),
        Some((1, Reason::InitialSilence, 40_000))
    );
    let mut lost = self::machine(5, 60, 60, &[]);
    assert_eq!(run(&mut lost, &[heard(4_000), Input::MediaLost]), Some((1, Reason::MediaTimeout, 4_000)));
}

#[test]
fn nothing_beyond_the_horizon_is_taken_back_by_a_late_cancel() {
    let mut machine = machine(5, 5, 5, &[]);
    machine.step(heard(4_000));
    assert_eq!(run(&mut machine, &[Input::Cancel { at_frame: 3_000 }]), Some((0, Reason::Canceled, 4_000)));
}

#[test]
fn with_stop_tones_the_horizon_stays_behind_a_pending_key() {
    let mut machine = machine(60, 60, 60, &["#"]);
    machine.step(unsettled(10_000, 9_800, 10_000));
    assert_eq!(machine.horizon_frame(), 9_800);
    let mut without = self::machine(60, 60, 60, &[]);
    without.step(unsettled(10_000, 9_800, 10_000));
    assert_eq!(without.horizon_frame(), 10_000);
}

#[test]
fn while_muted_both_silences_wait_and_the_duration_runs() {
    let (mute, unmute) = (Input::Mute { at_frame: 16_000 }, Input::Unmute { at_frame: 56_000 });
    let mut initial = machine(5, 5, 60, &[]);
    let inputs = [heard(16_000), mute, heard(56_000), unmute, heard(80_000), heard(80_001)];
    assert_eq!(run(&mut initial, &inputs), Some((5, Reason::InitialSilence, 80_000)));
    let mut silence = machine(5, 2, 60, &[]);
    let inputs = [voiced(4_000, 7_999), heard(16_000), mute, heard(56_000), unmute, heard(63_999), heard(64_000)];
    assert_eq!(run(&mut silence, &inputs), Some((6, Reason::MaxSilence, 7_999 + 2 * HZ + 40_000)));
    let mut duration = machine(60, 60, 5, &[]);
    assert_eq!(run(&mut duration, &[mute, heard(40_001)]), Some((1, Reason::MaxDuration, 40_000)));
}

#[test]
fn a_limit_that_was_due_before_the_mute_fires_where_it_was() {
    let inputs = [unsettled(40_100, 40_100, 39_900), Input::Mute { at_frame: 40_100 }, heard(41_000)];
    assert_eq!(run(&mut machine(5, 60, 60, &[]), &inputs), Some((2, Reason::InitialSilence, 40_000)));
    let at_once = [inputs[0], inputs[1], Input::Unmute { at_frame: 40_500 }, heard(41_000)];
    assert_eq!(run(&mut machine(5, 60, 60, &[]), &at_once), Some((3, Reason::InitialSilence, 40_000)));
}
