use super::*;
use proptest::prelude::*;
use std::f64::consts::TAU;

const RATES: [u32; 9] = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 88_200, 96_000, 192_000];

fn rate(hz: u32) -> Rate {
    Rate::new(hz).unwrap()
}

/// Adds a key at 0.2 for each tone, from and to in seconds.
fn add(audio: &mut [f32], hz: u32, key: char, from: f64, to: f64) {
    let (low, high) = Key::new(key).unwrap().hz();
    let (first, last) = ((from * f64::from(hz)) as usize, (to * f64::from(hz)) as usize);
    for (n, x) in audio.iter_mut().enumerate().take(last).skip(first) {
        let t = TAU * n as f64 / f64::from(hz);
        *x += (0.2 * ((f64::from(low) * t).sin() + (f64::from(high) * t + 1.0).sin())) as f32;
    }
}

fn noise(audio: &mut [f32], size: f32) {
    let mut state = 1u32;
    for x in audio {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *x += size * (state as f32 / 2.0f32.powi(31) - 1.0);
    }
}

fn hear(audio: &[f32], hz: u32, cut: usize) -> Vec<DtmfEvent> {
    let mut dtmf = Dtmf::new(rate(hz), &DtmfConfig::default());
    let mut events = Vec::new();
    for block in audio.chunks(cut) {
        dtmf.feed(block, |event| events.push(event));
        dtmf.feed(&[], |event| events.push(event));
    }
    events
}

fn keys(events: &[DtmfEvent]) -> String {
    let key = |event: &DtmfEvent| match event {
        DtmfEvent::Pressed(tone) => Some(tone.key.char()),
        DtmfEvent::Released { .. } => None,
    };
    events.iter().filter_map(key).collect()
}

fn one(hz: u32, key: char, length: f64) -> Vec<DtmfEvent> {
    let mut audio = vec![0.0; hz as usize / 2];
    add(&mut audio, hz, key, 0.1, 0.1 + length);
    hear(&audio, hz, 480)
}

#[test]
fn every_key_is_heard_at_every_rate_within_a_millisecond() {
    for hz in RATES {
        for key in "123A456B789C*0#D".chars() {
            let events = one(hz, key, 0.06);
            let [DtmfEvent::Pressed(tone), DtmfEvent::Released { end_frame, .. }] = events[..] else {
                panic!("{key} at {hz} Hz gave {events:?}")
            };
            let onset = rate(hz).seconds(tone.onset_frame) - 0.1;
            let decision = rate(hz).seconds(tone.decision_frame) - 0.1;
            assert_eq!(tone.key.char(), key);
            assert!((-0.003..0.001).contains(&onset), "{key} at {hz} Hz began {onset} s off");
            assert!((rate(hz).seconds(end_frame) - 0.16).abs() < 0.003);
            assert!((0.025..0.031).contains(&decision), "{key} at {hz} Hz took {decision} s");
            assert!((tone.low_dbfs + 13.98).abs() < 0.3 && tone.twist_db().abs() < 0.3);
            assert!(tone.purity > 0.98);
        }
    }
}

#[test]
fn a_41_ms_tone_is_heard_and_a_23_ms_tone_is_refused() {
    for hz in RATES {
        assert_eq!(keys(&one(hz, '7', 0.041)), "7");
        assert_eq!(keys(&one(hz, '7', 0.023)), "");
    }
}

#[test]
fn an_interruption_of_20_ms_does_not_split_a_key_and_a_pause_of_40_ms_does() {
    for hz in RATES {
        for (pause, expected) in [(0.002, "5"), (0.01, "5"), (0.02, "5"), (0.04, "55")] {
            let mut audio = vec![0.0; hz as usize / 2];
            add(&mut audio, hz, '5', 0.1, 0.15);
            add(&mut audio, hz, '5', 0.15 + pause, 0.25);
            assert_eq!(keys(&hear(&audio, hz, 480)), expected, "{pause} s at {hz} Hz");
        }
    }
}

#[test]
fn the_cut_into_blocks_changes_nothing() {
    for hz in [8_000, 16_000, 44_100, 48_000, 96_000] {
        let mut audio = vec![0.0; hz as usize];
        noise(&mut audio, 0.02);
        for (n, key) in "1#59D".chars().enumerate() {
            add(&mut audio, hz, key, 0.1 + 0.15 * n as f64, 0.17 + 0.15 * n as f64);
        }
        let whole = hear(&audio, hz, audio.len());
        assert_eq!(keys(&whole), "1#59D");
        for cut in [1, 7, 102, 480, 1_024] {
            assert_eq!(hear(&audio, hz, cut), whole, "pieces of {cut} at {hz} Hz");
        }
    }
}

#[test]
fn lost_audio_releases_the_key_where_it_stopped_and_forgets_what_is_pending() {
    let mut audio = vec![0.0; 2_000];
    add(&mut audio, 8_000, '8', 0.1, 0.25);
    let mut dtmf = Dtmf::new(rate(8_000), &DtmfConfig::default());
    let mut events = Vec::new();
    dtmf.feed(&audio, |event| events.push(event));
    dtmf.skip(333, |event| events.push(event));
    assert_eq!(events[1], DtmfEvent::Released { key: Key::new('8').unwrap(), end_frame: 2_000 });
    assert_eq!(dtmf.settled_frame(), 2_333);
    // 20 ms before and after the gap are no key of 40 ms.
    dtmf.feed(&vec![0.0; 800], |event| events.push(event));
    dtmf.feed(&audio[1_000..1_160], |event| events.push(event));
    dtmf.skip(80, |event| events.push(event));
    dtmf.feed(&audio[1_240..1_400], |event| events.push(event));
    dtmf.feed(&vec![0.0; 800], |event| events.push(event));
    assert_eq!(events.len(), 2);
}

#[test]
fn silence_is_settled_within_8_ms_and_anything_within_50() {
    for hz in RATES {
        let mut quiet = Dtmf::new(rate(hz), &DtmfConfig::default());
        let mut loud = Dtmf::new(rate(hz), &DtmfConfig::default());
        let mut audio = vec![0.0; hz as usize];
        let mut position = 0;
        add(&mut audio, hz, '3', 0.0, 1.0);
        noise(&mut audio, 0.1);
        for block in audio.chunks(hz as usize / 400) {
            position += block.len() as u64;
            quiet.feed(&vec![0.0; block.len()], |_| {});
            loud.feed(block, |_| {});
            assert!(rate(hz).seconds(position - quiet.settled_frame()) <= 0.008);
            assert!(rate(hz).seconds(position - loud.settled_frame()) <= 0.05);
        }
    }
}

#[test]
fn garbage_is_silence() {
    let audio = [f32::NAN, f32::INFINITY, -1e30, 1e-42].repeat(4_000);
    assert_eq!(hear(&audio, 16_000, 100), []);
    let mut audio = vec![0.9; 8_000];
    add(&mut audio, 8_000, '2', 0.5, 0.6);
    assert_eq!(keys(&hear(&audio, 8_000, 100)), "2");
}

#[test]
fn only_the_keys_that_are_configured_exist() {
    let mut audio = vec![0.0; 4_000];
    add(&mut audio, 8_000, 'B', 0.1, 0.2);
    let keys = Keys::parse("0123456789*#").unwrap();
    let mut dtmf = Dtmf::new(rate(8_000), &DtmfConfig { keys, ..DtmfConfig::default() });
    dtmf.feed(&audio, |event| panic!("{event:?}"));
    assert_eq!(Keys::parse("12x"), Err('x'));
}

#[test]
fn a_tone_is_as_loud_as_is_configured() {
    // Each tone of `add` has 0.2, −14 dBFS.
    for (minimum_dbfs, db, heard) in
        [(-30.0, -14.0, 1), (-30.0, -18.0, 0), (-46.0, -31.0, 1), (-60.0, -45.0, 1), (-60.0, -48.0, 0)]
    {
        let mut audio = vec![0.0; 4_000];
        add(&mut audio, 8_000, '7', 0.1, 0.2);
        audio.iter_mut().for_each(|x| *x *= 10f32.powf(db / 20.0));
        let mut dtmf = Dtmf::new(rate(8_000), &DtmfConfig { minimum_dbfs, ..DtmfConfig::default() });
        let mut count = 0;
        dtmf.feed(&audio, |event| count += usize::from(matches!(event, DtmfEvent::Pressed(_))));
        assert_eq!(count, heard, "{db} dB softer, at least {minimum_dbfs} dBFS");
    }
}

#[test]
fn a_key_lasts_as_long_as_is_configured() {
    for (ms, heard) in [(30, 0), (37, 0), (42, 1), (60, 1)] {
        let mut audio = vec![0.0; 4_000];
        add(&mut audio, 8_000, '7', 0.1, 0.1 + 0.001 * f64::from(ms));
        let mut dtmf =
            Dtmf::new(rate(8_000), &DtmfConfig { minimum_s: DtmfConfig::LONGEST_S, ..DtmfConfig::default() });
        let mut count = 0;
        dtmf.feed(&audio, |event| count += usize::from(matches!(event, DtmfEvent::Pressed(_))));
        assert_eq!(count, heard, "{ms} ms");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Recording limits settle by this.
    #[test]
    fn no_key_begins_before_a_frame_that_was_settled(
        hz in prop::sample::select(RATES.to_vec()),
        loud in 0.0f32..0.2,
        spans in prop::collection::vec((0usize..16, 0.0f64..0.12, 0.0f64..0.06), 1..8),
        cuts in prop::collection::vec(1usize..3_000, 1..40),
        lost in 0usize..40,
    ) {
        let mut audio = vec![0.0; hz as usize];
        noise(&mut audio, loud);
        let mut at = 0.05;
        for (key, length, pause) in spans {
            let end = f64::min(at + length, 1.0);
            add(&mut audio, hz, Key::at(key / 4, key % 4).char(), at, end);
            at = f64::min(end + pause, 1.0);
        }
        let mut dtmf = Dtmf::new(rate(hz), &DtmfConfig::default());
        let (mut rest, mut settled, mut down) = (&audio[..], 0, None);
        for (n, cut) in cuts.iter().cycle().enumerate() {
            let (block, later) = rest.split_at(rest.len().min(*cut));
            rest = later;
            let mut early = None;
            let mut check = |event| match event {
                DtmfEvent::Pressed(tone) => {
                    if tone.onset_frame < settled || down.replace(tone).is_some() {
                        early = Some(tone);
                    }
                }
                DtmfEvent::Released { key, end_frame } => {
                    let tone = down.take().expect("a key was down");
                    assert!(tone.key == key && end_frame >= tone.onset_frame);
                }
            };
            dtmf.feed(block, &mut check);
            if n == lost {
                dtmf.skip(*cut as u64, &mut check);
            }
            prop_assert_eq!(early, None);
            prop_assert!(dtmf.settled_frame() >= settled);
            settled = dtmf.settled_frame();
            if rest.is_empty() {
                break;
            }
        }
    }
}
