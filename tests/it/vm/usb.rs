//! A USB microphone that is recorded, pulled out and plugged in again, with another of its kind in its place.

use std::path::Path;

use serde_json::Value;

use super::microphone::{HZ, Microphone};
use super::{audio, daemon, ended, rate, seconds};
use crate::losses::{now, request, until};

/// An emulated machine comes late by tens of milliseconds.
const PERIOD: &str = "period_ms = 200";

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

/// What was heard between gaps.
fn stretches<'a>(samples: &'a [i16], gaps: &[Value]) -> Vec<&'a [i16]> {
    let ends = gaps.iter().map(|gap| (number(&gap["at"]), number(&gap["frames"]))).chain([(samples.len(), 0)]);
    let mut begin = 0;
    ends.map(|(at, frames)| &samples[std::mem::replace(&mut begin, at + frames)..at]).collect()
}

/// Holds what was heard between gaps against what the microphone made: how many of its frames are missing at each gap.
fn missed(stretches: &[&[i16]], made: &[i16]) -> Vec<usize> {
    let mut end = 0;
    let at_each = stretches.iter().filter(|stretch| !stretch.is_empty()).map(|stretch| {
        let at = made.windows(stretch.len()).position(|window| window == *stretch).expect("what was heard was made");
        at.checked_sub(std::mem::replace(&mut end, at + stretch.len())).expect("nothing is heard twice")
    });
    // Before the first is what nobody wanted.
    at_each.skip(1).collect()
}

#[tokio::test]
#[ignore = "make test-vm"]
async fn a_usb_microphone_is_recorded_sample_for_sample() {
    let microphone = Microphone::plug(0, "0001", 1);
    let device = format!("device:alsa:hw:CARD={},DEV=0", microphone.card().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), &device, PERIOD).await;
    until(&daemon, 200).await;
    assert_eq!(rate(&daemon).await, HZ);
    // A busy host overruns, which changes nothing of what it heard.
    let mut tries = Vec::new();
    loop {
        let operation = daemon.post("/app/calls/mic/record", &request(3)).await.unwrap();
        let operation = ended(&daemon, &operation).await;
        let samples = audio(&daemon, &operation).await;
        let gaps = operation["recording"]["gaps"].as_array().unwrap();
        assert_eq!(samples.len(), 3 * HZ as usize, "{operation}");
        let missed = missed(&stretches(&samples, gaps), &microphone.made());
        if gaps.is_empty() {
            return eprintln!("{device}: {} frames, sample for sample; before it {tries:?}", samples.len());
        }
        tries.push((gaps.clone(), missed));
        assert!(tries.len() < 8, "{tries:?}");
    }
}

/// Records a microphone that is pulled out; meanwhile another one of the same kind takes its port, its card's number and its
/// card's id, and it comes back at another port.
async fn comes_back_beside_another(name: impl Fn(&str) -> String) {
    let first = Microphone::plug(0, "0001", 1);
    let card = first.card().unwrap();
    let device = format!("device:alsa:{}", name(&card));
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), &device, &format!("{PERIOD}\ndevice_loss = \"wait\"")).await;
    until(&daemon, 200).await;
    let operation = daemon.post("/app/calls/mic/record", &request(20)).await.unwrap();
    let began = now();
    seconds(3.0).await;
    let made = first.unplug();
    let reason = until(&daemon, 503).await;
    assert_eq!(reason["lines"][0]["line"], "mic", "{reason}");
    let gone = began.elapsed().as_secs_f64();
    // It keeps its id until the last who has it open lets it go.
    while Path::new("/proc/asound").join(&card).exists() {
        seconds(0.05).await;
    }
    let other = Microphone::plug(0, "0002", 2);
    assert_eq!(other.card().unwrap(), card, "it has the other one's name");
    // It is tried meanwhile.
    seconds(2.0).await;
    let reason = until(&daemon, 503).await;
    let words = reason["lines"][0]["reason"].as_str().unwrap();
    eprintln!("{device}: {words}");
    assert!(words.contains("serial number 0001"), "{words}");
    let back = began.elapsed().as_secs_f64();
    let first = Microphone::plug(1, "0001", 3);
    assert_ne!(first.card().unwrap(), card);
    until(&daemon, 200).await;
    let delivered = began.elapsed().as_secs_f64();
    let operation = ended(&daemon, &operation).await;
    assert_eq!(operation["completionReason"], "maxRecordDurationReached", "{operation}");
    assert_eq!(operation["recording"]["frames"], 20 * HZ, "{operation}");
    let samples = audio(&daemon, &operation).await;
    let gaps = operation["recording"]["gaps"].as_array().unwrap();
    let lost = gaps.iter().position(|gap| gap["cause"] == "deviceLost").expect("a gap");
    let stretches = stretches(&samples, gaps);
    let (before, after) = stretches.split_at(lost + 1);
    // A busy host has xruns besides.
    for (heard, gaps, made) in [(before, &gaps[..lost], made), (after, &gaps[lost + 1..], first.made())] {
        assert!(heard.concat().len() > HZ as usize, "{operation}");
        let missed = missed(heard, &made);
        eprintln!("{} frames, sample for sample; {missed:?} were missed at {gaps:?}", heard.concat().len());
    }
    assert!(other.made().is_empty(), "the other one was listened to");
    let of = |name: &str| number(&gaps[lost][name]) as f64 / f64::from(HZ);
    let (at, missing) = (of("at"), of("frames"));
    eprintln!(
        "{missing:.3} s are missing at {at:.3}; away from 3 (told {gone:.3}) to {back:.3}, ready at {delivered:.3} s"
    );
    // What a bus that is late still had when it was pulled out is missing, too: an emulated one is late by seconds.
    assert!((back - gone..delivered - 3.0 + 5.0).contains(&missing));
}

#[tokio::test]
#[ignore = "make test-vm"]
async fn a_usb_microphone_goes_on_beside_another_one_that_took_its_cards_id() {
    comes_back_beside_another(|card| format!("hw:CARD={card},DEV=0")).await;
}

#[tokio::test]
#[ignore = "make test-vm"]
async fn a_usb_microphone_goes_on_beside_another_one_that_took_its_cards_number() {
    // snd-aloop is 0 and 1.
    comes_back_beside_another(|_| "hw:2,0".to_owned()).await;
}
