//! The writer's thread: takes what the pipeline sends, gives blocks back, keeps every recording's file.
//!
//! Belongs here: messages, and what happens to a recording when its disk fails. Does not: samples and files (`recording`).
//! One writer serves one pipeline. A disk that stalls stalls the writer only: blocks wait in the channel meanwhile, and
//! when all are there the pipeline counts a gap.

use std::path::PathBuf;
use std::time::Duration;

use crossbeam_channel::TryRecvError;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::broadcast;

use super::growth::{Outcome, Phase, Teller, Told};
use super::recording::Recording;
use crate::pipeline::{Channels, Message, RecordingKey};
use crate::rt::beat::Beat;
use crate::rt::runner::{Command, WriterEnd};
use crate::units::Rate;
use crate::wav::{Metadata, Spec};

/// At most so many messages are taken before what they brought is written and told: readers of the first recording need
/// not wait for a thousand blocks of the others.
const MESSAGES_A_TURN: usize = 256;

/// What control hands in with a recording, for the writer.
#[derive(Debug)]
pub struct Ticket {
    /// Where the finished file will be; it grows beside it as `….part`.
    pub path: PathBuf,
    /// What the file's samples are. The channels are those that the pipeline delivers, the rate may be another.
    pub spec: Spec,
    /// Of the device: keys on the others are not in it.
    pub channels: Channels,
    /// The rate of what the pipeline delivers.
    pub device_rate: Rate,
    /// For the file's header; when it started is filled in here.
    pub metadata: Metadata,
    /// Which time a frame of the device was.
    pub anchor: Anchor,
    /// The file is synced after so many of its frames; 0: only when it is finished.
    pub sync_every_frames: u64,
    /// The most bytes of samples that it may have.
    pub ceiling_bytes: u64,
    /// Who wants to know how it goes.
    pub growth: Teller,
}

/// Binds the frames of a device to the time of day, once; from then on only frames are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// A frame of the device.
    pub frame: u64,
    /// When it was captured.
    pub at: Timestamp,
}

impl Anchor {
    /// When this frame of the device was, or will be, captured.
    pub fn time_of(self, frame: u64, rate: Rate) -> Timestamp {
        let frames = i128::from(frame) - i128::from(self.frame);
        let nanoseconds = frames * 1_000_000_000 / i128::from(rate.hz());
        let since = SignedDuration::from_nanos(i64::try_from(nanoseconds).unwrap_or(0));
        self.at.checked_add(since).unwrap_or(self.at)
    }
}

/// The writer of one pipeline.
pub struct Writer {
    end: WriterEnd<Box<Ticket>>,
    told: broadcast::Sender<Told>,
    running: Vec<Running>,
    is_over: bool,
    beat: Beat,
}

struct Running {
    key: RecordingKey,
    recording: Recording,
    /// The pipeline knows that this one has failed.
    abandoned: bool,
}

impl Writer {
    /// A writer for what comes from one pipeline; what that hears is told to those who listen.
    pub fn new(end: WriterEnd<Box<Ticket>>, told: broadcast::Sender<Told>) -> Writer {
        Writer { end, told, running: Vec::new(), is_over: false, beat: Beat::default() }
    }

    /// Counts the turns of [`Writer::run`].
    pub fn beat(&self) -> Beat {
        self.beat.clone()
    }

    /// Does what there is to do, once; `false` if there was nothing.
    pub fn turn(&mut self) -> bool {
        let mut busy = false;
        self.end.spent.try_iter().for_each(drop);
        for _ in 0..MESSAGES_A_TURN {
            match self.end.messages.try_recv() {
                Ok(message) => self.take(message),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.is_over = true;
                    break;
                }
            }
            busy = true;
        }
        for running in &mut self.running {
            running.recording.flush();
            if running.recording.has_failed() && !running.abandoned {
                let told = self.end.commands.try_send(Command::Abandon { key: running.key });
                running.abandoned = told.is_ok();
            }
        }
        busy
    }

    /// Whether the pipeline is gone and everything it sent is written.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Turns until the pipeline is gone. Recordings that it left open stay `.part` files, valid as far as they go.
    pub fn run(mut self, nap: Duration) {
        while !self.is_over {
            self.beat.tick();
            if !self.turn() {
                // The pipeline's thread unparks this one when it has sent something and is idle itself.
                std::thread::park_timeout(nap);
            }
        }
    }

    fn take(&mut self, message: Message<Box<Ticket>>) {
        match message {
            Message::Open { key, ticket, start_frame } => {
                let recording = Recording::open(*ticket, start_frame);
                self.running.push(Running { key, recording, abandoned: false });
            }
            Message::Audio { key, block } => {
                if let Some(recording) = self.recording(key) {
                    recording.audio(block.first_frame, block.horizon_frame, block.samples());
                    recording.expect(block.due);
                }
                // There is room for every block that was ever handed out.
                let _ = self.end.blocks.try_send(block);
            }
            Message::Gap { key, at_frame, frames, cause } => {
                if let Some(recording) = self.recording(key) {
                    recording.gap_until(at_frame + frames, cause);
                }
            }
            Message::Mark { key, at_frame } => {
                if let Some(recording) = self.recording(key) {
                    recording.mark(at_frame);
                }
            }
            Message::Pressed { channel, tone } => {
                for running in &mut self.running {
                    running.recording.pressed(channel, tone);
                }
                // Nobody may be listening.
                drop(self.told.send(Told::Pressed { channel, tone }));
            }
            Message::Answered { key } => drop(self.told.send(Told::Answered(key))),
            Message::Ended { key, mut recorder } => {
                let Some(end) = recorder.outcome else { return };
                if let Some(ticket) = recorder.ticket.take() {
                    // It never began: there is no file.
                    let outcome = Outcome::new(end, &ticket, None, None, None);
                    let phase = Phase::Ended(outcome.into());
                    ticket.growth.enter(phase, 0);
                } else if let Some(index) = self.running.iter().position(|running| running.key == key) {
                    self.running.swap_remove(index).recording.end(end);
                }
            }
        }
    }

    fn recording(&mut self, key: RecordingKey) -> Option<&mut Recording> {
        self.running.iter_mut().find(|running| running.key == key).map(|running| &mut running.recording)
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
