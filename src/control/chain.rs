//! The signal chain of one source: capture, pipeline, writer, and the threads that carry them.
//!
//! Belongs here: putting the three together and taking them apart. Does not: which lines share a source (`line`), what a
//! recording is for (`operation`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::Sender;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::broadcast;

use crate::capture::health::Health;
use crate::capture::wav::Feed;
use crate::capture::{self, Capture, Feeding, Same, Source};
use crate::dsp::dtmf::DtmfConfig;
use crate::dsp::silence::SilenceConfig;
use crate::pipeline::{Channels, Hearing, Order, Recorder, RecordingKey};
use crate::rt::beat::Beat;
use crate::rt::inlet::Inlet;
use crate::rt::meter::Meters;
use crate::rt::ring::{Captured, Consumer};
use crate::rt::runner::{Command, Pace, Parts, Runner, Turn, runner};
use crate::rt::sounding::Sounding;
use crate::store::growth::Told;
use crate::store::writer::{Ticket, Writer};
use crate::units::Rate;

/// Live, at most so much is taken from the ring at once.
const LIVE_MS: u32 = 200;
/// Live, a block holds at most so much.
const BLOCK_MS: u32 = 20;
/// Flat out, a block holds so many samples: 64 KiB of 16-bit samples.
const FLAT_BLOCK_SAMPLES: usize = 32_768;
/// Flat out, so many blocks are enough to keep both sides busy.
const FLAT_BLOCKS: usize = 4;
/// The pipeline looks for frames so often, whatever the device's period: a frame is then in its file within 20 ms of its
/// capture. Each nap costs two context switches, the writer's included.
const PIPELINE_NAP: Duration = Duration::from_millis(12);
/// The writer is woken by the pipeline; this is for the case that it was not.
const WRITER_NAP: Duration = Duration::from_millis(500);

/// Who listens may be late by so much that was heard.
const TOLD: usize = 256;

/// How a chain is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The channels that any of its lines records.
    pub heard: Channels,
    /// For every channel.
    pub dtmf: DtmfConfig,
    /// For every channel.
    pub silence: SilenceConfig,
    /// So much audio of all heard channels waits in memory for a disk that stalls.
    pub buffer_seconds: u32,
    /// The device is asked for so much at a time.
    pub period_ms: u32,
    /// With no frames for so long, the device is dead, and is opened again.
    pub media_timeout: Duration,
    /// What becomes of recordings then.
    pub device_loss: DeviceLoss,
}

/// What becomes of recordings whose device is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceLoss {
    /// They end.
    #[default]
    End,
    /// They go on with a gap until the device is back.
    Wait,
}

impl Default for Setup {
    /// All channels, the detectors' defaults, 10 s of buffer, dead after 2 s.
    fn default() -> Setup {
        Setup {
            heard: Channels::ALL,
            dtmf: DtmfConfig::default(),
            silence: SilenceConfig::default(),
            buffer_seconds: 10,
            period_ms: capture::PERIOD_MS,
            media_timeout: Duration::from_secs(2),
            device_loss: DeviceLoss::End,
        }
    }
}

/// What there is to know of a running source, and how to talk to its pipeline.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The device's rate.
    pub rate: Rate,
    /// The device's channels.
    pub channels: usize,
    /// How far it has come.
    pub captured: Captured,
    /// How loud it is.
    pub meters: Meters,
    /// Where outputs say what they play, if it may hear it.
    pub sounding: Sounding,
    commands: Sender<Command<Box<Ticket>>>,
    told: broadcast::Sender<Told>,
}

impl Desk {
    /// Asks for a recording, muted maybe; the writer tells the ticket's `growth` what becomes of it.
    pub fn begin(&self, order: Order<Box<Ticket>>, muted: bool) -> Result<(), String> {
        let mut recorder = Recorder::new(order, self.rate, self.channels);
        if muted {
            recorder.mute(true, 0);
        }
        self.commands
            .try_send(Command::Begin(recorder))
            .map_err(|_| "too many requests wait for this source".to_owned())
    }

    /// What is played before a recording is over with the next frame captured.
    pub fn cue(&self, key: RecordingKey) {
        let _ = self.commands.send(Command::Cue { key, at_frame: self.captured.next_frame() });
    }

    /// A recording is muted with the next frame captured, or no longer.
    pub fn mute(&self, key: RecordingKey, on: bool) {
        let _ = self.commands.send(Command::Mute { key, on, at_frame: self.captured.next_frame() });
    }

    /// What it hears from now on.
    pub fn listen(&self) -> broadcast::Receiver<Told> {
        self.told.subscribe()
    }

    /// Ends a recording with the next frame captured.
    pub fn cancel(&self, key: RecordingKey) {
        // Blocking is right here: a cancel must not get lost, and the pipeline empties the channel every few ms.
        let _ = self.commands.send(Command::Cancel { key, at_frame: self.captured.next_frame() });
    }
}

/// A name for a recording that no other has.
pub fn next_key() -> RecordingKey {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    RecordingKey(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A source with its pipeline and writer on threads of their own; dropping it ends what records and stops them.
pub struct Chain {
    desk: Desk,
    health: Health,
    same: Same,
    /// Of the pipeline and of the writer.
    beats: [Beat; 2],
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Stopped last: while the device runs, its ring must be read. `None` while it is lost.
    feed: Option<Box<dyn Send>>,
}

impl Chain {
    /// Takes a source that delivers in real time.
    pub fn live(capture: Capture, setup: &Setup) -> Result<Chain, String> {
        let Feeding::Alone(feed) = capture.feed else {
            return Err("a source that waits to be asked is no live source".to_owned());
        };
        let frames_at_once = capture.rate.frames_in_ms(LIVE_MS) as usize;
        let media_timeout = Some(setup.media_timeout).filter(|_| setup.device_loss == DeviceLoss::End);
        let pace = Pace::Live { media_timeout };
        let heard = setup.heard.iter(capture.ring.channels()).count();
        let block_samples = capture.rate.frames_in_ms(BLOCK_MS) as usize * heard;
        let blocks = (setup.buffer_seconds * 1_000 / BLOCK_MS) as usize;
        let hearing = hearing(capture.rate, &capture.ring, setup);
        let (runner, writer, desk) =
            set_up(Parts { ring: capture.ring, hearing, frames_at_once, pace, blocks, block_samples });
        let beats = [runner.beat(), writer.beat()];
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new()
                .name(name.into())
                .spawn(run)
                .map_err(|error| format!("no thread for the {name}: {error}"))
        };
        let writing = spawn("writer", Box::new(move || writer.run(WRITER_NAP)))?;
        let (stopped, wake) = (stop.clone(), writing.thread().clone());
        let hearing = spawn("pipeline", Box::new(move || runner.run(&stopped, &wake, PIPELINE_NAP)))?;
        let (health, same) = (capture.health, capture.same);
        Ok(Chain { desk, health, same, beats, stop, threads: vec![hearing, writing], feed: Some(feed) })
    }

    /// How to talk to it.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// How its device is doing, or was.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// How often its pipeline and its writer have come round.
    pub fn beats(&self) -> [u64; 2] {
        [self.beats[0].count(), self.beats[1].count()]
    }

    /// Which source it is.
    pub fn same(&self) -> &Same {
        &self.same
    }

    /// Its device is lost: gives what is left of it away, to be closed where that may take its time.
    pub fn lose(&mut self) -> Option<Box<dyn Send>> {
        self.desk.captured = Captured::missing(self.desk.captured.next_frame());
        self.feed.take()
    }

    /// What a device that is lost would have delivered before this frame is missing.
    pub fn miss(&mut self, until_frame: u64) {
        // Not for ever: the pipeline may hang. What is not told now is told with the next.
        if self.desk.commands.try_send(Command::Lost { until_frame }).is_ok() {
            self.desk.captured = Captured::missing(until_frame);
        }
    }

    /// It is back, maybe with another rate or other channels; its first frame is the pipeline's frame `at_frame`.
    pub fn resume(&mut self, capture: Capture, at_frame: u64) {
        let Feeding::Alone(feed) = capture.feed else { return };
        let Desk { rate, channels, .. } = self.desk;
        let most_frames = capture.rate.frames_in_ms(LIVE_MS) as usize;
        let inlet = Inlet::converted(capture.ring, capture.rate, rate, channels, at_frame, most_frames);
        let captured = inlet.captured();
        if self.desk.commands.try_send(Command::Resume { inlet: inlet.into(), at_frame }).is_ok() {
            self.desk.captured = captured;
            (self.feed, self.health) = (Some(feed), capture.health);
        }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// A file's chain, flat out, on the thread that turns it.
pub struct FlatChain {
    desk: Desk,
    feed: Box<Feed>,
    runner: Runner<Box<Ticket>>,
    writer: Writer,
}

impl FlatChain {
    /// Takes a source that waits to be asked.
    pub fn new(capture: Capture, setup: &Setup) -> Result<FlatChain, String> {
        let Feeding::Asked(feed) = capture.feed else {
            return Err("a source in real time cannot be read flat out".to_owned());
        };
        let hearing = hearing(capture.rate, &capture.ring, setup);
        let frames_at_once = feed.piece_frames();
        let (runner, writer, desk) = set_up(Parts {
            ring: capture.ring,
            hearing,
            frames_at_once,
            pace: Pace::Flat,
            blocks: FLAT_BLOCKS,
            block_samples: FLAT_BLOCK_SAMPLES,
        });
        Ok(FlatChain { desk, feed, runner, writer })
    }

    /// Opens a WAV.
    pub fn open(source: &Source, setup: &Setup) -> Result<FlatChain, String> {
        FlatChain::new(capture::open(source)?, setup)
    }

    /// How to talk to it.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Turns everything once; to be repeated until the recordings' growth says that they have ended.
    pub fn turn(&mut self) {
        self.feed.feed(self.feed.piece_frames());
        while self.runner.turn() == Turn::Busy {}
        while self.writer.turn() {}
    }
}

fn hearing(rate: Rate, ring: &Consumer, setup: &Setup) -> Hearing {
    Hearing { rate, channels: ring.channels(), heard: setup.heard, dtmf: setup.dtmf, silence: setup.silence }
}

fn set_up(parts: Parts) -> (Runner<Box<Ticket>>, Writer, Desk) {
    let (rate, channels, captured) = (parts.hearing.rate, parts.hearing.channels, parts.ring.captured());
    let (runner, end, commands) = runner(parts);
    let (told, _) = broadcast::channel(TOLD);
    let writer = Writer::new(end, told.clone());
    let desk = Desk { rate, channels, captured, meters: runner.meters(), sounding: runner.sounding(), commands, told };
    (runner, writer, desk)
}
