//! The detectors against the corpus, in short: fixed seeds and exact counts. `make bench-detect` is the long form.
//!
//! A change for the better fails here too: then the counts are to be raised.

use crate::corpus::{talkoff, tones, ways};
use crate::score::{Table, ours, silence};

/// Everything of one seed: presses that had to be reported and were, had to be refused and were not, and what was wrong.
fn keys(hz: u32, seed: u64) -> ([usize; 4], Vec<String>) {
    let (mut table, rate) = (Table::default(), f64::from(hz));
    let cases = tones::all(rate, seed, 48).into_iter().chain(ways::all(rate, seed, 48));
    for case in cases.chain(talkoff::all(rate, seed, 20.0)) {
        table.score(&case, &ours::keys(&case.audio, hz, 10.0));
    }
    let report = table.sum(|row| row.report, |_| true);
    let refuse = table.sum(|row| row.refuse, |_| true);
    ([report.of, report.hit, refuse.of, refuse.hit], table.wrong())
}

#[test]
fn keys_at_8_khz_are_reported_and_refused_as_counted() {
    assert_eq!(keys(8_000, 1), ([1_667, 1_667, 151, 0], Vec::new()));
}

#[test]
fn keys_at_48_khz_are_reported_and_refused_as_counted() {
    let wrong = ["rooms, rt60 0.2, 0.4 s: [Extra('6', 2.2)]"];
    assert_eq!(keys(48_000, 2), ([1_680, 1_680, 137, 0], wrong.map(str::to_owned).to_vec()));
}

#[test]
fn the_end_of_speech_over_every_background_is_found_as_counted() {
    let scores = silence::measure(&[1], 1, |_| None);
    let counts = scores.iter().map(|score| {
        let all = score.all();
        (score.name.as_str(), all.right, all.false_stops, all.never, all.within)
    });
    // Of 14: right, false stops, never, within 200 ms.
    let expected = [
        ("ours, 8000 Hz", 14, 0, 0, 13),
        ("ours, 16000 Hz", 14, 0, 0, 13),
        ("ours, 44100 Hz", 14, 0, 0, 13),
        ("ours, 48000 Hz", 14, 0, 0, 13),
        ("Asterisk, 256", 11, 0, 3, 7),
        ("fixed −40 dBFS", 8, 1, 5, 5),
    ];
    assert_eq!(counts.collect::<Vec<_>>(), expected);
}
