//! The pipeline's thread: empties a ring through a pipeline, hands blocks to the writer, notices when frames stop.
//!
//! [`Runner::turn`] is the whole loop's body and is real-time safe: no allocation, no lock, no system call (the
//! watchdog's clock is read in user space). [`Runner::run`] calls it over and over and sleeps in `Runner::idle` only.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::beat::Beat;
use super::inlet::Inlet;
use super::meter::Meters;
use super::ring::{Consumer, Read};
use super::sounding::Sounding;
use crate::pipeline::{Block, Channels, Hearing, MAX_RECORDERS, Message, Outlet, Pipeline, Recorder, RecordingKey};
use crate::record::{GapCause, Input};

/// Levels are published so often, counted in frames.
const METERS_PER_SECOND: u32 = 10;
/// A cancelled recording waits at most so long for the frames that come before its cancel.
const CANCEL_PATIENCE: Duration = Duration::from_millis(200);

/// What others ask of the pipeline.
#[derive(Debug)]
pub enum Command<T> {
    /// A recording shall begin; it comes back through the writer.
    Begin(Box<Recorder<T>>),
    /// A recording shall end.
    Cancel {
        /// Which.
        key: RecordingKey,
        /// The first of the device's frames that shall not be in it.
        at_frame: u64,
    },
    /// What is played before a recording is over.
    Cue {
        /// Which.
        key: RecordingKey,
        /// The first of the device's frames that is after it.
        at_frame: u64,
    },
    /// A recording is muted, or no longer.
    Mute {
        /// Which.
        key: RecordingKey,
        /// Whether it is.
        on: bool,
        /// From this frame of the device on.
        at_frame: u64,
    },
    /// The device is gone: what it has not delivered before this frame is lost.
    Lost {
        /// The first frame that may still come.
        until_frame: u64,
    },
    /// It is back.
    Resume {
        /// What it delivers.
        inlet: Box<Inlet>,
        /// Its first frame; those before it are lost.
        at_frame: u64,
    },
    /// The writer cannot go on with a recording.
    Abandon {
        /// Which.
        key: RecordingKey,
    },
}

/// The writer's ends of the channels.
#[derive(Debug)]
pub struct WriterEnd<T> {
    /// What is to be written, in order.
    pub messages: Receiver<Message<T>>,
    /// Where blocks go when they are written.
    pub blocks: Sender<Block>,
    /// Where it says that it cannot go on.
    pub commands: Sender<Command<T>>,
    /// What the pipeline reads no longer, to be freed here.
    pub spent: Receiver<Box<Inlet>>,
}

/// How a runner deals with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The device sets the pace: what the writer cannot take is lost, and counted.
    Live {
        /// With no frames for so long the device is dead, and recordings end; `None`: they wait for it.
        media_timeout: Option<Duration>,
    },
    /// A file, as fast as it goes: waits for the writer, and only full blocks are sent.
    Flat,
}

/// What a turn found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Audio, a gap or a command.
    Busy,
    /// Nothing to do.
    Idle,
}

/// A device's pipeline with all its channels to other threads.
pub struct Runner<T> {
    inlet: Box<Inlet>,
    spent: Sender<Box<Inlet>>,
    pipeline: Pipeline<T>,
    outlet: ToWriter<T>,
    commands: Receiver<Command<T>>,
    meters: Meters,
    sounding: Sounding,
    heard: Channels,
    next_meters_frame: u64,
    meters_every_frames: u64,
    scratch: Box<[f32]>,
    watchdog: Watchdog,
    beat: Beat,
}

/// Channels to the writer. Blocks never run out of place: there is room for all of them and for short messages.
struct ToWriter<T> {
    messages: Sender<Message<T>>,
    blocks: Receiver<Block>,
    /// Empty blocks; the last one back is the first one out, so that a writer that keeps up keeps a few blocks warm and
    /// the rest is never touched.
    spare: Vec<Block>,
    pace: Pace,
    sent: bool,
}

/// The parts that a runner is made of.
pub struct Parts {
    /// The device's ring.
    pub ring: Consumer,
    /// How it is heard.
    pub hearing: Hearing,
    /// At most so many frames are taken in one turn.
    pub frames_at_once: usize,
    /// How it deals with time.
    pub pace: Pace,
    /// So many blocks travel between it and the writer: what they hold is how long a disk may stall before audio is lost.
    pub blocks: usize,
    /// Each has room for so many samples.
    pub block_samples: usize,
}

/// So many messages that carry no block can be on their way: for each recording its beginning, its end, and 30 gaps or
/// keys that the writer has not looked at yet.
const SHORT_MESSAGES: usize = 32 * MAX_RECORDERS;
const COMMANDS: usize = 256;
/// A device comes back so often before the writer has looked.
const SPENT: usize = 16;

/// A runner, the writer's ends, and where commands are put.
pub fn runner<T: Send>(parts: Parts) -> (Runner<T>, WriterEnd<T>, Sender<Command<T>>) {
    let Parts { ring, hearing, frames_at_once, pace, blocks, block_samples } = parts;
    let (to_writer, messages) = crossbeam_channel::bounded(blocks + SHORT_MESSAGES);
    let spare = (0..blocks).map(|_| Block::with_room(block_samples)).collect();
    let (blocks, returned) = crossbeam_channel::bounded(blocks);
    let (to_runner, commands) = crossbeam_channel::bounded(COMMANDS);
    let (spend, spent) = crossbeam_channel::bounded(SPENT);
    let runner = Runner {
        scratch: vec![0.0; frames_at_once * ring.channels()].into(),
        inlet: Box::new(Inlet::plain(ring)),
        spent: spend,
        pipeline: Pipeline::new(&hearing, frames_at_once),
        outlet: ToWriter { messages: to_writer, blocks: returned, spare, pace, sent: false },
        commands,
        meters: Meters::new(hearing.channels),
        sounding: Sounding::default(),
        heard: hearing.heard,
        next_meters_frame: 0,
        meters_every_frames: u64::from(hearing.rate.hz() / METERS_PER_SECOND),
        watchdog: Watchdog { since: None },
        beat: Beat::default(),
    };
    (runner, WriterEnd { messages, blocks, commands: to_runner.clone(), spent }, to_runner)
}

impl<T> Runner<T> {
    /// The levels that it publishes.
    pub fn meters(&self) -> Meters {
        self.meters.clone()
    }

    /// Where outputs say what they play, if this device may hear it.
    pub fn sounding(&self) -> Sounding {
        self.sounding.clone()
    }

    /// Counts the turns of [`Runner::run`].
    pub fn beat(&self) -> Beat {
        self.beat.clone()
    }

    /// Does what there is to do, once. Real-time safe.
    #[cfg_attr(feature = "rtsan", rtsan_standalone::nonblocking)]
    pub fn turn(&mut self) -> Turn {
        let mut turn = Turn::Idle;
        while let Ok(command) = self.commands.try_recv() {
            turn = Turn::Busy;
            match command {
                Command::Begin(recorder) => self.pipeline.begin(recorder, &mut self.outlet),
                Command::Cancel { key, at_frame } => {
                    self.pipeline.tell(key, Input::Cancel { at_frame }, &mut self.outlet);
                }
                Command::Cue { key, at_frame } => self.pipeline.cue(key, at_frame),
                Command::Mute { key, on, at_frame } => self.pipeline.mute(key, on, at_frame),
                Command::Lost { until_frame } => {
                    self.drain();
                    self.lose_until(until_frame);
                }
                Command::Resume { inlet, at_frame } => {
                    self.drain();
                    self.lose_until(at_frame);
                    let spent = std::mem::replace(&mut self.inlet, inlet);
                    // Freed here only by who does not look for sixteen devices: a writer on a disk that stalls.
                    let _ = self.spent.try_send(spent);
                    self.watchdog.rest();
                }
                Command::Abandon { key } => self.pipeline.tell(key, Input::Abandon, &mut self.outlet),
            }
        }
        if self.outlet.must_wait() {
            return turn;
        }
        match self.hear() {
            Turn::Busy => Turn::Busy,
            Turn::Idle => {
                self.watch();
                turn
            }
        }
    }

    /// Takes what the device has delivered next.
    fn hear(&mut self) -> Turn {
        match self.inlet.read(&mut self.scratch) {
            Read::Frames(frames) => {
                let samples = &self.scratch[..frames * self.inlet.channels()];
                self.pipeline.play(self.sounding.now());
                self.pipeline.hear(samples, &mut self.outlet);
                self.publish_meters();
                self.watchdog.rest();
                Turn::Busy
            }
            Read::Gap(gap) => {
                self.pipeline.lose(gap.frames, gap.cause, &mut self.outlet);
                Turn::Busy
            }
            Read::Nothing => Turn::Idle,
        }
    }

    /// Hears what a device that is gone has left: no more than its ring holds.
    fn drain(&mut self) {
        while self.hear() == Turn::Busy {}
    }

    fn lose_until(&mut self, frame: u64) {
        let missing = frame.saturating_sub(self.pipeline.next_frame());
        if missing > 0 {
            self.pipeline.lose(missing, GapCause::DeviceLost, &mut self.outlet);
        }
    }

    /// Turns until `stop` is set, then once more for the commands that came before it. `writer` is woken when there is
    /// something for it.
    pub fn run(mut self, stop: &AtomicBool, writer: &Thread, nap: Duration) {
        while !stop.load(Ordering::Acquire) {
            self.beat.tick();
            if self.turn() == Turn::Idle {
                self.idle(writer, nap);
            } else if matches!(self.outlet.pace, Pace::Flat) {
                self.wake(writer);
            }
        }
        while self.turn() == Turn::Busy {}
        self.pipeline.media_lost(false, &mut self.outlet);
        self.wake(writer);
    }

    /// The one place where the pipeline's thread sleeps or wakes anyone.
    #[expect(clippy::disallowed_methods, reason = "the pipeline's one place to sleep: nothing has come")]
    fn idle(&mut self, writer: &Thread, nap: Duration) {
        self.wake(writer);
        std::thread::sleep(nap);
    }

    fn wake(&mut self, writer: &Thread) {
        if std::mem::take(&mut self.outlet.sent) {
            writer.unpark();
        }
    }

    fn publish_meters(&mut self) {
        if self.pipeline.heard_frame() < self.next_meters_frame {
            return;
        }
        self.next_meters_frame = self.pipeline.heard_frame() + self.meters_every_frames;
        for channel in self.heard.iter(self.inlet.channels()) {
            if let Some(meter) = self.pipeline.meter(channel) {
                self.meters.publish(channel, meter);
            }
        }
    }

    /// No frames have come: is the device dead?
    fn watch(&mut self) {
        let Pace::Live { media_timeout } = self.outlet.pace else { return };
        if self.pipeline.is_idle() {
            return self.watchdog.rest();
        }
        let starved = self.watchdog.starved();
        if media_timeout.is_some_and(|most| starved >= most) {
            self.pipeline.media_lost(false, &mut self.outlet);
        } else if starved >= CANCEL_PATIENCE {
            self.pipeline.media_lost(true, &mut self.outlet);
        }
    }
}

/// How long no frames have come, while someone wants them. The pipeline's only use of a clock.
struct Watchdog {
    since: Option<Instant>,
}

impl Watchdog {
    /// Frames came, or nobody waits for any.
    fn rest(&mut self) {
        self.since = None;
    }

    /// Frames did not come: for how long now?
    #[expect(
        clippy::disallowed_methods,
        reason = "the watchdog notices that frames stopped; nothing else here reads a clock"
    )]
    fn starved(&mut self) -> Duration {
        let now = Instant::now();
        now.saturating_duration_since(*self.since.get_or_insert(now))
    }
}

impl<T> ToWriter<T> {
    /// Flat out, nothing is read that could not be sent.
    fn must_wait(&self) -> bool {
        self.pace == Pace::Flat && self.spare.is_empty() && self.blocks.is_empty()
    }
}

impl<T> Outlet<T> for ToWriter<T> {
    fn block(&mut self) -> Option<Block> {
        self.spare.extend(self.blocks.try_iter());
        self.spare.pop()
    }

    fn send(&mut self, message: Message<T>) {
        // A single producer that never fills the channel: see `Parts::blocks` and SHORT_MESSAGES.
        let _ = self.messages.try_send(message);
        self.sent = true;
    }

    fn eager(&self) -> bool {
        self.pace != Pace::Flat && self.messages.is_empty()
    }
}
