//! The end of speech over backgrounds.

use crate::corpus::{self, Rng};
use tonearm::dsp::resample::Resampler;
use tonearm::dsp::silence::{Silence, SilenceConfig, SpeechEvent};
use tonearm::units::Rate;

const BACKGROUNDS: [&str; 8] = ["none", "white", "pink", "fan", "hum 50 Hz", "babble", "clicks", "street"];

fn background(kind: &str, audio: &mut [f32], hz: f64, dbm0: f64, rng: &mut Rng) {
    match kind {
        "white" => corpus::noise(audio, hz, dbm0, rng),
        "pink" | "fan" | "street" => {
            let mut memory = [0.0f64; 3];
            let sway = rng.range(0.05, 0.3);
            for (n, x) in audio.iter_mut().enumerate() {
                let white = rng.normal();
                for (m, pole) in memory.iter_mut().zip([0.995, 0.96, 0.75]) {
                    *m = pole * *m + (1.0 - pole) * white;
                }
                let pink = 6.0 * memory[0] + 3.0 * memory[1] + memory[2];
                let t = n as f64 / hz;
                let swell = if kind == "street" { 1.0 + 0.5 * (std::f64::consts::TAU * sway * t).sin() } else { 1.0 };
                *x += (corpus::amplitude(dbm0) * swell * pink) as f32;
            }
            if kind == "fan" {
                corpus::sine(audio, hz, 118.0, dbm0 - 6.0, rng);
            }
        }
        "hum 50 Hz" => {
            corpus::sine(audio, hz, 50.0, dbm0 + 10.0, rng);
            corpus::sine(audio, hz, 150.0, dbm0 - 6.0, rng);
        }
        "babble" => {
            for _ in 0..6 {
                let to = audio.len() as f64 / hz;
                corpus::speech(audio, hz, dbm0 - 8.0, rng.range(0.0, 0.3), to, rng);
            }
        }
        "clicks" => {
            corpus::noise(audio, hz, dbm0 - 10.0, rng);
            let mut at = 0.0;
            while at < audio.len() as f64 / hz - 0.1 {
                let first = (at * hz) as usize;
                for n in first..first + (0.004 * hz) as usize {
                    audio[n] += (0.1 * rng.normal()) as f32;
                }
                at += rng.range(0.2, 1.0);
            }
        }
        _ => {}
    }
}

/// Prints how well the end of speech is found.
pub fn score(hz: u32, seeds: &[u64]) {
    let rate = Rate::new(hz).expect("a rate");
    // Made at 8 kHz and resampled, so that each rate hears the same voices over the same noise.
    let fs = 8_000.0;
    let mut all = [0usize; 5];
    for kind in BACKGROUNDS {
        let mut counts = [0usize; 5];
        for &seed in seeds {
            for case in 0..12 {
                let mut rng = Rng::new(seed * 1_000 + case);
                let speech_dbfs = rng.range(-40.0, -16.0);
                let snr = rng.range(12.0, 30.0);
                let before = rng.range(0.3, 3.0);
                let spoken = rng.range(3.0, 8.0);
                let mut audio = vec![0.0; ((before + spoken + 6.0) * fs) as usize];
                let end = corpus::speech(&mut audio, fs, speech_dbfs, before, before + spoken, &mut rng);
                background(kind, &mut audio, fs, speech_dbfs + 3.14 - snr, &mut rng);
                corpus::quantise(&mut audio);
                let mut resampler = Resampler::new(Rate::TELEPHONE, rate, 1);
                let (mut device, frames) = (Vec::new(), audio.len() as u64);
                resampler.process(&audio, &mut device);
                resampler.finish(frames, &mut device);
                let hang = 2 * u64::from(hz);
                let mut silence = Silence::new(rate, &SilenceConfig::default());
                let (mut voiced, mut fed, mut stopped) = (None, 0u64, None);
                for block in device.chunks(hz as usize / 100) {
                    fed += block.len() as u64;
                    silence.feed(block, |event| match event {
                        SpeechEvent::On { voiced_frame, .. } | SpeechEvent::Voiced { voiced_frame } => voiced = Some(voiced_frame),
                        SpeechEvent::Off => {}
                    });
                    // Noise from the first frame on may be speech until the floor knows better.
                    if let Some(last) = voiced {
                        let first_spoken = (before * f64::from(hz)) as u64;
                        if last > first_spoken && silence.settled_frame().min(fed) > last + hang {
                            stopped = Some(last);
                            break;
                        }
                    }
                }
                counts[4] += 1;
                match stopped {
                    None => counts[2] += 1,
                    Some(last) => {
                        let error = rate.seconds(last) - end as f64 / fs;
                        if error < -0.5 { counts[1] += 1 } else { counts[0] += 1 }
                        if error.abs() <= 0.2 { counts[3] += 1 }
                    }
                }
            }
        }
        line(kind, hz, &counts);
        all.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    line("all", hz, &all);
}

fn line(name: &str, hz: u32, counts: &[usize; 5]) {
    let share = |count: usize| 100.0 * count as f64 / counts[4] as f64;
    println!(
        "  {hz:>6} Hz {name:<10} right {:5.1} %, false stop {:4.1} %, never {:5.1} %, within 200 ms {:5.1} %",
        share(counts[0]), share(counts[1]), share(counts[2]), share(counts[3])
    );
}
