use super::*;
use proptest::prelude::*;

const RATES: [u32; 9] = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 88_200, 96_000, 192_000];

fn rate(hz: u32) -> Rate {
    Rate::new(hz).unwrap()
}

/// White noise of this size (its mean square is a third of the size's), seconds from and to.
fn add(audio: &mut [f32], hz: u32, size: f32, from: f64, to: f64) {
    let mut state = 1u32;
    let (first, last) = ((from * f64::from(hz)) as usize, (to * f64::from(hz)) as usize);
    for x in audio.iter_mut().take(last).skip(first) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *x += size * (state as f32 / 2.0f32.powi(31) - 1.0);
    }
}

fn hear(silence: &mut Silence, audio: &[f32], cut: usize) -> Vec<SpeechEvent> {
    let mut events = Vec::new();
    for block in audio.chunks(cut) {
        silence.feed(block, |event| events.push(event));
        silence.feed(&[], |event| events.push(event));
    }
    events
}

fn detector(hz: u32) -> Silence {
    Silence::new(rate(hz), &SilenceConfig::default())
}

/// The first voiced frame, the last one, and how often speech began, in seconds.
fn span(events: &[SpeechEvent], hz: u32) -> (f64, f64, usize) {
    let (mut first, mut last, mut count) = (f64::NAN, f64::NAN, 0);
    for event in events {
        match *event {
            SpeechEvent::On { onset_frame, voiced_frame } => {
                first = first.min(rate(hz).seconds(onset_frame));
                last = rate(hz).seconds(voiced_frame);
                count += 1;
            }
            SpeechEvent::Voiced { voiced_frame } => last = rate(hz).seconds(voiced_frame),
            SpeechEvent::Off => {}
        }
    }
    (first, last, count)
}

#[test]
fn speech_is_found_from_its_onset_to_its_end_at_every_rate() {
    for hz in RATES {
        let mut audio = vec![0.0; 4 * hz as usize];
        add(&mut audio, hz, 0.0005, 0.0, 4.0);
        add(&mut audio, hz, 0.1, 1.0, 2.5);
        let mut silence = detector(hz);
        let events = hear(&mut silence, &audio, 480);
        let (first, last, count) = span(&events, hz);
        assert!((first - 1.0).abs() < 0.021 && (last - 2.5).abs() < 0.021 && count == 1, "{first} {last} at {hz} Hz");
        assert_eq!(events.last(), Some(&SpeechEvent::Off));
        assert!(silence.floor_dbfs() < -62.0);
    }
}

#[test]
fn the_cut_into_blocks_changes_nothing() {
    for hz in [8_000, 16_000, 44_100, 48_000, 96_000] {
        let mut audio = vec![0.0; 2 * hz as usize];
        add(&mut audio, hz, 0.001, 0.0, 2.0);
        add(&mut audio, hz, 0.1, 0.5, 1.1);
        let whole = hear(&mut detector(hz), &audio, audio.len());
        assert!(whole.len() > 10);
        for cut in [1, 7, 102, 480, 1_024] {
            assert_eq!(hear(&mut detector(hz), &audio, cut), whole, "pieces of {cut} at {hz} Hz");
        }
    }
}

#[test]
fn clicks_of_30_ms_are_no_speech_and_80_ms_are_not_enough() {
    let mut audio = vec![0.0; 32_000];
    for n in 0..5 {
        add(&mut audio, 8_000, 0.5, 0.4 * f64::from(n), 0.4 * f64::from(n) + 0.03);
    }
    add(&mut audio, 8_000, 0.5, 3.0, 3.08);
    assert_eq!(hear(&mut detector(8_000), &audio, 80), []);
}

#[test]
fn zeros_and_a_constant_and_garbage_are_silence() {
    assert_eq!(hear(&mut detector(8_000), &[0.0; 16_000], 80), []);
    assert_eq!(hear(&mut detector(8_000), &[0.5; 16_000][..], 80), []);
    assert_eq!(hear(&mut detector(8_000), &[f32::NAN, f32::NEG_INFINITY, 1e20, 1e-41].repeat(4_000), 80), []);
}

#[test]
fn speech_that_is_going_on_when_listening_begins_is_found() {
    let mut audio = vec![0.0; 16_000];
    add(&mut audio, 8_000, 0.1, 0.0, 0.8);
    let (first, last, count) = span(&hear(&mut detector(8_000), &audio, 80), 8_000);
    assert!(first < 0.02 && (last - 0.8).abs() < 0.03 && count == 1);
}

#[test]
fn steady_noise_from_the_first_frame_on_is_speech_for_three_seconds_at_most() {
    let mut audio = vec![0.0; 80_000];
    add(&mut audio, 8_000, 0.02, 0.0, 10.0);
    let mut silence = detector(8_000);
    let (_, last, _) = span(&hear(&mut silence, &audio, 80), 8_000);
    assert!(last < 3.0, "{last}");
    assert!(!silence.speaking());
}

#[test]
fn a_fixed_threshold_stands_whatever_the_floor_is() {
    let mut audio = vec![0.0; 80_000];
    add(&mut audio, 8_000, 0.02, 0.0, 10.0);
    let config = SilenceConfig { threshold_dbfs: Some(-45.0) };
    let mut silence = Silence::new(rate(8_000), &config);
    hear(&mut silence, &audio, 80);
    assert!(silence.speaking() && silence.threshold_dbfs() == -45.0);
}

#[test]
fn a_key_is_neither_speech_nor_floor() {
    let mut audio = vec![0.0; 16_000];
    add(&mut audio, 8_000, 0.3, 0.5, 1.0);
    let mut silence = detector(8_000);
    let mut events = hear(&mut silence, &audio[..4_240], 20);
    silence.key_down(4_000);
    events.extend(hear(&mut silence, &audio[4_240..8_240], 20));
    silence.key_up(8_000);
    events.extend(hear(&mut silence, &audio[8_240..], 20));
    assert_eq!(events, []);
    assert!(silence.floor_dbfs() <= -60.0);
}

/// A key may be found while the one before it has not been absent for long enough.
#[test]
fn what_lies_between_two_keys_is_not_told_when_it_has_been_settled() {
    let mut audio = vec![0.0; 16_000];
    add(&mut audio, 8_000, 0.1, 0.5, 2.0);
    let mut silence = detector(8_000);
    silence.feed(&audio[..8_000], |_| {});
    silence.key_down(8_000);
    silence.feed(&audio[8_000..8_800], |_| {});
    silence.key_up(8_400);
    silence.key_down(8_800);
    silence.feed(&audio[8_800..12_000], |_| {});
    let settled = silence.settled_frame();
    silence.key_up(12_000);
    let mut voiced = Vec::new();
    silence.feed(&audio[12_000..], |event| {
        if let SpeechEvent::Voiced { voiced_frame } = event {
            voiced.push(voiced_frame);
        }
    });
    assert!(voiced.len() > 30 && voiced[0] >= settled, "{voiced:?}, {settled}");
}

#[test]
fn lost_audio_ends_speech_and_keeps_the_floor() {
    let mut audio = vec![0.0; 12_000];
    add(&mut audio, 8_000, 0.001, 0.0, 1.5);
    add(&mut audio, 8_000, 0.1, 1.0, 1.5);
    let mut silence = detector(8_000);
    hear(&mut silence, &audio, 80);
    let floor = silence.floor_dbfs();
    let mut events = Vec::new();
    silence.skip(1_234, |event| events.push(event));
    assert_eq!(events, [SpeechEvent::Off]);
    assert!(!silence.speaking() && silence.floor_dbfs() == floor && silence.settled_frame() == 13_234);
}

/// Syllables of 0.2 s with 0.1 s between them, each of another size up to `size`.
fn speak(audio: &mut [f32], size: f32, from: f64, to: f64) {
    for n in 0..((to - from - 0.21) / 0.3) as usize {
        let at = from + 0.3 * n as f64;
        add(audio, 8_000, [1.0, 0.4, 0.7, 0.3][n % 4] * size, at, at + 0.2);
    }
    add(audio, 8_000, 0.5 * size, to - 0.2, to);
}

/// When the voiced frames begin and end that are not 3 s apart, in seconds.
fn utterances(audio: &[f32]) -> Vec<(f64, f64)> {
    let seconds = |frame| rate(8_000).seconds(frame);
    let mut found: Vec<(f64, f64)> = Vec::new();
    for event in hear(&mut detector(8_000), audio, 80) {
        let (first, last) = match event {
            SpeechEvent::On { onset_frame, voiced_frame } => (onset_frame, voiced_frame),
            SpeechEvent::Voiced { voiced_frame } => (voiced_frame, voiced_frame),
            SpeechEvent::Off => continue,
        };
        match found.last_mut() {
            Some(before) if seconds(first) < before.1 + 3.0 => before.1 = seconds(last),
            _ => found.push((seconds(first), seconds(last))),
        }
    }
    found
}

/// Where somebody is heard to end who speaks from 1 s to 4 s, of 12 s with something else.
fn last_voiced(size: f32, disturb: impl Fn(&mut [f32])) -> f64 {
    let mut audio = vec![0.0; 96_000];
    add(&mut audio, 8_000, 0.0003, 0.0, 12.0);
    speak(&mut audio, size, 1.0, 4.0);
    disturb(&mut audio);
    utterances(&audio).into_iter().find(|one| one.1 > 1.5).map_or(f64::NAN, |one| one.1)
}

fn assert_ends(size: f32, what: &str, disturb: impl Fn(&mut [f32])) {
    let last = last_voiced(size, disturb);
    assert!((last - 4.0).abs() < 0.1, "{what}: {last}");
}

#[test]
fn the_end_is_found_in_spite_of_what_rooms_and_microphones_add() {
    assert_ends(0.1, "somebody at a distance", |audio| speak(audio, 0.01, 0.0, 12.0));
    assert_ends(0.1, "gain control that brings the noise up", |audio| {
        (0..20).for_each(|n| add(audio, 8_000, 0.0003 * 1.12f32.powi(n), 4.1 + 0.05 * f64::from(n), 12.0));
    });
    assert_ends(0.1, "a fan that starts", |audio| add(audio, 8_000, 0.008, 3.0, 12.0));
    assert_ends(0.1, "an air conditioner", |audio| {
        for (n, x) in audio.iter_mut().enumerate() {
            let t = n as f32 / 8_000.0;
            *x += 0.005 * (314.0 * t).sin() * (1.0 + 0.3 * (1.5 * t).sin());
        }
        add(audio, 8_000, 0.004, 0.0, 12.0);
    });
    assert_ends(0.02, "a door that slams", |audio| {
        (0..10).for_each(|n| {
            let from = 2.0 + 0.01 * f64::from(n);
            add(audio, 8_000, 0.9 * 0.6f32.powi(n), from, from + 0.01);
        });
    });
    assert_ends(0.1, "keys of a keyboard", |audio| {
        (0..40).for_each(|n| add(audio, 8_000, 0.5, 0.29 * f64::from(n), 0.29 * f64::from(n) + 0.006));
    });
    assert_ends(5.0, "clipping", |audio| audio.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0)));
    assert_ends(0.1, "digital silence up to the first word", |audio| audio[..8_000].fill(0.0));
    assert_ends(0.1, "DC and garbage", |audio| {
        audio.iter_mut().for_each(|x| *x += 0.2);
        audio.iter_mut().step_by(4_001).for_each(|x| *x = f32::NAN);
    });
}

#[test]
fn a_click_just_behind_speech_is_not_its_end() {
    let mut audio = vec![0.0; 32_000];
    speak(&mut audio, 0.1, 0.5, 2.0);
    audio[17_230] = 0.5;
    let (_, last, _) = span(&hear(&mut detector(8_000), &audio, 80), 8_000);
    assert!((last - 2.0).abs() < 0.05, "{last}");
}

#[test]
fn who_speaks_more_softly_than_another_before_is_heard_after_a_while() {
    let mut audio = vec![0.0; 160_000];
    add(&mut audio, 8_000, 0.0003, 0.0, 20.0);
    speak(&mut audio, 0.3, 1.0, 4.0);
    speak(&mut audio, 0.02, 16.0, 18.0);
    // 24 dB softer, after 12 s.
    let found = utterances(&audio);
    let second = found[1];
    assert!(found.len() == 2 && second.0 < 16.4 && (second.1 - 18.0).abs() < 0.05, "{found:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Recording limits settle by this.
    #[test]
    fn nothing_voiced_lies_before_a_frame_that_was_settled(
        hz in prop::sample::select(RATES.to_vec()),
        spans in prop::collection::vec((0.0f32..0.3, 0.0f64..0.3, 0.0f64..0.3), 1..12),
        cuts in prop::collection::vec(1usize..3_000, 1..40),
        keys in prop::collection::vec((0usize..60, 0usize..30, 0u64..50), 0..4),
        lost in 0usize..60,
    ) {
        let mut audio = vec![0.0; 2 * hz as usize];
        let mut at = 0.05;
        for (size, length, pause) in spans {
            add(&mut audio, hz, size, at, at + length);
            at += length + pause;
        }
        let mut silence = detector(hz);
        let (mut rest, mut position, mut settled) = (&audio[..], 0u64, 0);
        for (n, cut) in cuts.iter().cycle().enumerate() {
            let (block, later) = rest.split_at(rest.len().min(*cut));
            rest = later;
            let mut early = None;
            let mut check = |event| {
                let first = match event {
                    SpeechEvent::On { onset_frame, .. } => onset_frame,
                    SpeechEvent::Voiced { voiced_frame } => voiced_frame,
                    SpeechEvent::Off => u64::MAX,
                };
                if first < settled {
                    early = Some(event);
                }
            };
            silence.feed(block, &mut check);
            position += block.len() as u64;
            if n == lost {
                silence.skip(*cut as u64, &mut check);
                position += *cut as u64;
            }
            for &(down, length, late) in &keys {
                let back = late * u64::from(hz) / 1_000;
                if n == down {
                    silence.key_down(position.saturating_sub(back));
                } else if n == down + length + 1 {
                    silence.key_up(position.saturating_sub(back));
                }
            }
            prop_assert_eq!(early, None);
            prop_assert!(silence.settled_frame() >= settled);
            settled = silence.settled_frame();
            prop_assert!(settled <= position);
            prop_assert!(rate(hz).seconds(position - settled) <= 0.17);
            if rest.is_empty() {
                break;
            }
        }
    }
}
