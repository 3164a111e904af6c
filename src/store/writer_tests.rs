use std::path::Path;

use crossbeam_channel::Sender;

use super::*;
use crate::pipeline::{Channels, Hearing, Order, Recorder, Start};
use crate::record::{Reason, Rules, StopTones};
use crate::rt::ring::{Producer, ring};
use crate::rt::runner::{Pace, Parts, Runner, Turn, runner};
use crate::store::growth::{StoreErrorKind, Watcher};
use crate::store::recording::tests::{samples, spec, ticket};
use crate::wav::{Reader, SampleFormat};

struct Rig {
    device: Producer<f32>,
    runner: Runner<Box<Ticket>>,
    writer: Writer,
    commands: Sender<Command<Box<Ticket>>>,
}

const RATE: u32 = 8_000;

/// A device of one channel whose pipeline and writer take turns on one thread, as in a replay.
fn rig() -> Rig {
    let (device, consumer) = ring(1, 1 << 20);
    let hearing = Hearing::new(Rate::new(RATE).unwrap(), 1);
    let parts =
        Parts { ring: consumer, hearing, frames_at_once: 1_024, pace: Pace::Flat, blocks: 64, block_samples: 1_024 };
    let (runner, end, commands) = runner(parts);
    Rig { device, runner, writer: Writer::new(end, broadcast::channel(1).0), commands }
}

impl Rig {
    fn begin(&self, key: u64, path: &Path, start: Start, seconds: u32, ceiling: u64) -> Watcher {
        let (mut ticket, growth) = ticket(path, spec(RATE, 1, SampleFormat::S16));
        ticket.ceiling_bytes = ceiling;
        let rate = ticket.device_rate;
        let rules = Rules::in_seconds(rate, 3_600, 3_600, seconds, StopTones::NONE);
        let key = RecordingKey(key);
        let order = Order { key, channels: Channels::ALL, start, rules, ticket: Box::new(ticket) };
        self.commands.send(Command::Begin(Recorder::new(order, rate, 1))).unwrap();
        growth
    }

    fn play(&mut self, samples: &[f32]) {
        self.device.push(samples);
        loop {
            let turn = self.runner.turn();
            let wrote = self.writer.turn();
            if turn == Turn::Idle && !wrote {
                return;
            }
        }
    }
}

fn read(path: &Path) -> Vec<f32> {
    let mut reader = Reader::open(path).unwrap();
    let mut out = vec![0.0; reader.info().frames as usize];
    reader.read_f32(&mut out).unwrap();
    out
}

#[test]
fn recordings_that_join_share_no_frame_and_miss_none() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("1.wav"), folder.path().join("2.wav"));
    let mut rig = rig();
    let a = rig.begin(1, &first, Start::At(500), 1, u64::MAX);
    let b = rig.begin(2, &second, Start::After(RecordingKey(1)), 2, u64::MAX);
    let all = samples(40_000);
    rig.play(&all);
    assert!(read(&first) == all[500..8_500]);
    assert!(read(&second) == all[8_500..24_500]);
    for growth in [a, b] {
        let growth = growth.now();
        let outcome = growth.outcome().unwrap();
        assert_eq!(outcome.ending.reason, Reason::MaxDuration);
        assert!(outcome.error.is_none());
    }
}

#[test]
fn a_recording_that_fails_is_abandoned_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (fails, goes_on) = (folder.path().join("1.wav"), folder.path().join("2.wav"));
    let mut rig = rig();
    let a = rig.begin(1, &fails, Start::At(0), 4, 1_000);
    let b = rig.begin(2, &goes_on, Start::At(0), 4, u64::MAX);
    let all = samples(40_000);
    rig.play(&all);
    let a = a.now();
    let outcome = a.outcome().unwrap();
    assert_eq!(outcome.error.as_ref().unwrap().kind, StoreErrorKind::TooLong);
    assert_eq!(outcome.ending.reason, Reason::Abandoned);
    assert!(read(&fails) == all[..500]);
    assert!(read(&goes_on) == all[..32_000]);
    assert!(b.now().outcome().unwrap().error.is_none());
}

#[test]
fn a_recording_cancelled_while_it_waits_has_an_outcome_and_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = rig();
    let waiting = rig.begin(7, &folder.path().join("1.wav"), Start::After(RecordingKey(6)), 1, u64::MAX);
    rig.play(&samples(1_000));
    assert!(matches!(waiting.now().phase, Phase::Waiting));
    rig.commands.send(Command::Cancel { key: RecordingKey(7), at_frame: 500 }).unwrap();
    rig.play(&[]);
    let waiting = waiting.now();
    let outcome = waiting.outcome().unwrap();
    assert_eq!((outcome.ending.reason, outcome.recording.is_none()), (Reason::Canceled, true));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn on_its_own_thread_it_writes_until_the_pipeline_is_gone() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1.wav");
    let Rig { mut device, runner, writer, commands } = rig();
    let (mut ticket, mut growth) = ticket(&path, spec(RATE, 1, SampleFormat::S16));
    ticket.sync_every_frames = 1_000;
    let rate = ticket.device_rate;
    let rules = Rules::in_seconds(rate, 3_600, 3_600, 3_600, StopTones::NONE);
    let order =
        Order { key: RecordingKey(1), channels: Channels::ALL, start: Start::At(0), rules, ticket: Box::new(ticket) };
    commands.send(Command::Begin(Recorder::new(order, rate, 1))).unwrap();
    let all = samples(20_000);
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| writer.run(Duration::from_millis(20)));
        let thread = writing.thread().clone();
        let running = scope.spawn(move || runner.run(stop, &thread, Duration::from_millis(1)));
        for block in all.chunks(777) {
            device.push(block);
        }
        let grown = async {
            while growth.now().committed_frames <= 10_000 {
                growth.more().await.unwrap();
            }
        };
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(grown);
        stop.store(true, Ordering::Release);
        running.join().unwrap();
        writing.join().unwrap();
    });
    assert!(read(&path) == all);
    assert_eq!(growth.now().outcome().unwrap().ending.reason, Reason::MediaTimeout);
}

#[test]
fn the_time_of_a_frame_counts_from_the_anchor_both_ways() {
    let anchor = Anchor { frame: 48_000, at: "2026-11-24T20:00:00Z".parse().unwrap() };
    let rate = Rate::new(48_000).unwrap();
    assert_eq!(anchor.time_of(48_000 * 3 + 24_000, rate), "2026-11-24T20:00:02.5Z".parse().unwrap());
    assert_eq!(anchor.time_of(0, rate), "2026-11-24T19:59:59Z".parse().unwrap());
}
