//! How our detectors are called.

use super::Heard;
use super::silence::Stop;
use crate::corpus::resampled;
use crate::corpus::speech::Spoken;
use tonearm::dsp::dtmf::{Dtmf, DtmfConfig, DtmfEvent};
use tonearm::dsp::silence::{Silence, SilenceConfig, SpeechEvent};
use tonearm::units::Rate;

/// The keys in audio that is fed in blocks of so many ms.
pub fn keys(audio: &[f32], hz: u32, feed_ms: f64) -> Vec<Heard> {
    let rate = Rate::new(hz).expect("a rate");
    let mut dtmf = Dtmf::new(rate, &DtmfConfig::default());
    let mut heard: Vec<Heard> = Vec::new();
    let mut fed = 0;
    for block in audio.chunks((f64::from(hz) * feed_ms / 1_000.0) as usize) {
        fed += block.len() as u64;
        dtmf.feed(block, |event| match event {
            DtmfEvent::Pressed(tone) => heard.push(Heard {
                key: tone.key.char(),
                onset: rate.seconds(tone.onset_frame),
                decided: rate.seconds(fed),
                end: f64::NAN,
            }),
            DtmfEvent::Released { end_frame, .. } => {
                if let Some(last) = heard.last_mut() {
                    last.end = rate.seconds(end_frame);
                }
            }
        });
    }
    heard
}

/// Where speech ended by a hang time, if that was found.
pub fn end(spoken: &Spoken, hz: u32, hang_s: f64) -> Stop {
    let rate = Rate::new(hz).expect("a rate");
    let audio = resampled(&spoken.audio, 8_000.0, f64::from(hz));
    let mut silence = Silence::new(rate, &SilenceConfig::default());
    let (mut voiced, mut fed) = (None, 0u64);
    for block in audio.chunks(hz as usize / 100) {
        fed += block.len() as u64;
        silence.feed(block, |event| match event {
            SpeechEvent::On { voiced_frame, .. } | SpeechEvent::Voiced { voiced_frame } => voiced = Some(voiced_frame),
            SpeechEvent::Off => {}
        });
        // Noise from the first frame on may be speech until the floor knows better.
        let last = voiced.map(|frame| rate.seconds(frame)).filter(|last| *last > spoken.before);
        if let Some(last) = last
            && rate.seconds(silence.settled_frame().min(fed)) > last + hang_s
        {
            return Some((last, rate.seconds(fed)));
        }
    }
    None
}
