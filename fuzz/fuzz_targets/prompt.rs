//! WAVs of others: whatever comes is a clip of the length that it says or is refused; and headers of our own.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tonearm::playback::Clip;
use tonearm::units::Rate;
use tonearm::wav::header;

fuzz_target!(|bytes: &[u8]| {
    if let Some(spec) = header::recognise(bytes) {
        assert!(spec.channels > 0 && bytes.len() >= header::len(spec));
    }
    let Ok(clip) = Clip::new(bytes.into()) else { return };
    assert!(clip.lasts() <= Duration::from_secs(301));
    let rate = Rate::new(16_000).expect("a rate of ours");
    if let Ok(samples) = (clip.score())(rate, 2) {
        assert!(samples.iter().all(|sample| sample.is_finite()));
        // As many frames as its time has, to one.
        let frames = clip.lasts().as_secs_f64() * 16_000.0;
        assert!((samples.len() as f64 / 2.0 - frames).abs() <= 1.0);
    }
});
