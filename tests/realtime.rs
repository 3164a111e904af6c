//! The real-time rules, measured: what runs on the audio thread and on the pipeline's thread neither allocates nor calls
//! the system.
//!
//! Two witnesses. An allocator that counts, always. And LLVM's RealtimeSanitizer under `make test-rt`, which aborts when a
//! function marked `nonblocking` (the ring's ends, the runner's turn, the callbacks) reaches malloc, a lock or a system
//! call.

#![forbid(unsafe_code)]

use std::f64::consts::TAU;

use tonearm::pipeline::{Channels, Hearing, Message, Order, Recorder, RecordingKey, Start};
use tonearm::record::{GapCause, Reason, Rules, StopTones};
use tonearm::rt::ring::{Producer, ring};
use tonearm::rt::runner::{Command, Pace, Parts, Runner, Turn, WriterEnd, runner};
use tonearm::units::Rate;

const HZ: u32 = 48_000;
const CHANNELS: usize = 2;
const FRAMES: usize = 480;
const BLOCKS: usize = 10_000;

/// One device with its runner; the writer is the test itself, between the turns.
struct Bench {
    producer: Producer<i16>,
    runner: Runner<()>,
    end: WriterEnd<()>,
    sound: Vec<i16>,
    at: usize,
    next_key: u64,
    reasons: Vec<Reason>,
}

impl Bench {
    fn new() -> Bench {
        #[cfg(feature = "rtsan")]
        rtsan_standalone::ensure_initialized();
        let rate = Rate::new(HZ).unwrap();
        let (producer, ring) = ring::<i16>(CHANNELS, 2 * HZ as usize);
        let pace = Pace::Live { media_timeout: Some(std::time::Duration::from_secs(2)) };
        let (runner, end, _) = runner(Parts {
            ring,
            hearing: Hearing::new(rate, CHANNELS),
            frames_at_once: 9_600,
            pace,
            blocks: 500,
            block_samples: FRAMES * 2 * CHANNELS,
        });
        Bench { producer, runner, end, sound: sound(), at: 0, next_key: 1, reasons: Vec::new() }
    }

    /// One callback and the turns that it causes; what they allocated.
    fn block(&mut self, lose: bool) -> u64 {
        if self.at + FRAMES * CHANNELS > self.sound.len() {
            self.at = 0;
        }
        let samples = &self.sound[self.at..self.at + FRAMES * CHANNELS];
        self.at += FRAMES * CHANNELS;
        let (producer, runner) = (&mut self.producer, &mut self.runner);
        let counted = allocation_counter::measure(|| {
            if lose {
                producer.lose(1_000, GapCause::Xrun);
            }
            producer.push(samples);
            while runner.turn() == Turn::Busy {}
        });
        counted.count_total
    }

    fn begin(&mut self, silence: u32, duration: u32, stop_tones: &[&str]) {
        let rate = Rate::new(HZ).unwrap();
        let stop_tones = StopTones::parse(stop_tones).unwrap();
        let rules = Rules::in_seconds(rate, 3 * silence, silence, duration, stop_tones);
        let start = Start::At(self.producer.captured().next_frame());
        let order = Order { key: RecordingKey(self.next_key), channels: Channels::ALL, start, rules, ticket: () };
        self.next_key += 1;
        self.end.commands.send(Command::Begin(Recorder::new(order, rate, CHANNELS))).unwrap();
    }

    /// Takes what the pipeline sent; blocks go back.
    fn write(&mut self) {
        while let Ok(message) = self.end.messages.try_recv() {
            match message {
                Message::Audio { block, .. } => {
                    self.end.blocks.send(block).unwrap();
                }
                Message::Ended { recorder, .. } => self.reasons.push(recorder.outcome.unwrap().ending.reason),
                _ => {}
            }
        }
    }
}

/// Seven seconds of speech-like sound, silence and keys, 1, 2 and #, in both channels.
fn sound() -> Vec<i16> {
    let second = |n: usize| n / HZ as usize;
    let wave = |n: usize| {
        let t = n as f64 / f64::from(HZ);
        let tone = |low: f64, high: f64| 0.2 * ((TAU * low * t).sin() + (TAU * high * t).sin());
        match (second(n), n % HZ as usize * 10 / HZ as usize) {
            (1 | 2, part) if part % 3 != 2 => {
                0.3 * (1..9).map(|k| (TAU * 140.0 * f64::from(k) * t).sin()).sum::<f64>() / 3.0
            }
            (4, 0) => tone(697.0, 1_209.0),
            (4, 4) => tone(697.0, 1_336.0),
            (6, 5) => tone(941.0, 1_477.0),
            _ => 0.0,
        }
    };
    (0..7 * HZ as usize).flat_map(|n| [(wave(n) * 32_767.0) as i16; CHANNELS]).collect()
}

#[test]
fn ten_thousand_blocks_with_recordings_beginning_and_ending_allocate_nothing() {
    let mut bench = Bench::new();
    let (mut most, mut total) = (0, 0);
    for block in 0..BLOCKS {
        if block % 150 == 0 {
            bench.begin(1, 1 + (block / 150 % 8) as u32, &["#", "12"]);
        }
        let count = bench.block(block % 997 == 996);
        most = most.max(count);
        total += count;
        bench.write();
    }
    assert_eq!((total, most), (0, 0), "allocations in all, and in one block");
    // The test has to have gone through what it is about.
    let has = |reason| bench.reasons.contains(&reason);
    assert!(bench.reasons.len() > 50, "{:?}", bench.reasons);
    assert!(has(Reason::StopTone) && has(Reason::MaxDuration) && has(Reason::MaxSilence), "{:?}", bench.reasons);
}

#[test]
fn a_writer_that_takes_nothing_costs_audio_but_no_allocation() {
    let mut bench = Bench::new();
    bench.begin(60, 60, &[]);
    // 500 blocks of room, 10 s of audio, and nobody gives any back.
    let total: u64 = (0..1_500).map(|_| bench.block(false)).sum();
    assert_eq!(total, 0);
    let mut missing = 0;
    while let Ok(message) = bench.end.messages.try_recv() {
        if let Message::Gap { frames, cause, .. } = message {
            assert_eq!(cause, GapCause::Storage);
            missing += frames;
        }
    }
    assert!(missing > 0, "the loss is told");
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8]))).count_total, 1);
}

#[cfg(feature = "rtsan")]
mod sanitizer {
    use std::process::Command;

    #[rtsan_standalone::nonblocking]
    fn allocates() {
        drop(std::hint::black_box(vec![1_u8; 64]));
    }

    #[rtsan_standalone::nonblocking]
    fn writes() {
        println!("a system call");
    }

    #[test]
    #[ignore = "dies; run by the test below"]
    fn offender_allocates() {
        rtsan_standalone::ensure_initialized();
        allocates();
    }

    #[test]
    #[ignore = "dies; run by the test below"]
    fn offender_writes() {
        rtsan_standalone::ensure_initialized();
        writes();
    }

    #[test]
    fn the_sanitizer_is_there_and_catches_what_it_is_meant_to_catch() {
        for offender in ["offender_allocates", "offender_writes"] {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", &format!("sanitizer::{offender}"), "--ignored", "--nocapture"])
                .output()
                .unwrap();
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && words.contains("RealtimeSanitizer"), "{offender}: {words}");
        }
    }
}
