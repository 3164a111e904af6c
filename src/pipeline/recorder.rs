//! One recording on its device: which channels, from which frame on, what the machine makes of it, what the writer gets.

use std::ops::Range;

use super::history::History;
use super::{Block, Ears, Message, Outlet, RecordingKey};
use crate::dsp::tone::Key;
use crate::record::{Ending, GapCause, Input, Machine, Reason, Rules};
use crate::units::Rate;

/// A set of a device's channels; the first 64 can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Channels(u64);

impl Channels {
    /// All the channels there are.
    pub const ALL: Channels = Channels(u64::MAX);
    /// The highest number of channels that a device can have here.
    pub const MOST: usize = 64;

    /// These channels, counted from 0; `None` if there are none, or one beyond 63.
    pub fn of(channels: impl IntoIterator<Item = usize>) -> Option<Channels> {
        let mut set = 0;
        for channel in channels {
            set |= 1_u64.checked_shl(u32::try_from(channel).ok()?)?;
        }
        (set != 0).then_some(Channels(set))
    }

    /// Whether this channel is among them.
    pub fn contains(self, channel: usize) -> bool {
        channel < Self::MOST && self.0 >> channel & 1 == 1
    }

    /// All that are in one of the two.
    pub fn union(self, other: Channels) -> Channels {
        Channels(self.0 | other.0)
    }

    /// Those that are not in the other; `None` if none is left.
    pub fn without(self, other: Channels) -> Option<Channels> {
        Some(Channels(self.0 & !other.0)).filter(|rest| rest.0 != 0)
    }

    /// Those that a device with so many channels has, in order.
    pub fn iter(self, device_channels: usize) -> impl Iterator<Item = usize> + Clone {
        (0..device_channels.min(Self::MOST)).filter(move |&channel| self.contains(channel))
    }
}

/// When a recording begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this frame of the device, past or future.
    At(u64),
    /// Where the one before it ends.
    After(RecordingKey),
    /// When what is played before it is over, or is answered: by speech from 200 ms before its onset on, by a key from its
    /// end on.
    Cue {
        /// What is heard before this frame of the device is no answer.
        from_frame: u64,
        /// Where what is played is over, once that is known.
        at_frame: Option<u64>,
    },
}

/// What control asks for.
#[derive(Debug)]
pub struct Order<T> {
    /// Its name on this device; never used twice.
    pub key: RecordingKey,
    /// Which channels.
    pub channels: Channels,
    /// From when.
    pub start: Start,
    /// Until when.
    pub rules: Rules,
    /// Goes on to the writer, unread.
    pub ticket: T,
}

/// How it ended, and how it sounded then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The end.
    pub ending: Ending,
    /// The loudest of its channels at the decision.
    pub level_dbfs: f32,
    /// That channel's noise floor.
    pub floor_dbfs: f32,
    /// That channel's threshold of speech.
    pub threshold_dbfs: f32,
}

/// One recording, running or waiting. Built by control, moved through the pipeline, taken apart by the writer.
#[derive(Debug)]
pub struct Recorder<T> {
    key: RecordingKey,
    channels: Channels,
    device_channels: usize,
    start: Start,
    machine: Machine,
    /// For the writer; `None` once the recording has begun.
    pub ticket: Option<T>,
    /// `None` until it has ended.
    pub outcome: Option<Outcome>,
    /// The device's frames before this one are with the writer.
    sent_frame: u64,
    block: Option<Block>,
    /// The last horizon that the writer was told.
    horizon_frame: u64,
    /// The key that is down, and on which of its channels.
    key_down: Option<(Key, Channels)>,
    /// A key that may begin a stop tone, not yet told to the writer.
    mark_frame: Option<u64>,
    announced: bool,
    /// What is played before it has been answered, and nobody has been told.
    untold_answer: bool,
    pre_roll_frames: u64,
    /// The device's frames that were muted last.
    muted: Option<Range<u64>>,
    /// Muted frames are told in pieces of so many: each is a message.
    muted_piece_frames: u64,
}

/// Before the onset of speech that answers a prompt: an onset is not the first sound of a word.
const PRE_ROLL_MS: u32 = 200;
/// So long a reader waits for zeros.
const MUTED_PIECE_MS: u32 = 100;

impl<T> Recorder<T> {
    /// A recorder for a device of this rate and so many channels.
    pub fn new(order: Order<T>, rate: Rate, device_channels: usize) -> Box<Recorder<T>> {
        let mut recorder = Box::new(Recorder {
            key: order.key,
            channels: order.channels,
            device_channels,
            start: order.start,
            machine: Machine::new(order.rules, rate),
            ticket: Some(order.ticket),
            outcome: None,
            sent_frame: 0,
            block: None,
            horizon_frame: 0,
            key_down: None,
            mark_frame: None,
            announced: false,
            untold_answer: false,
            pre_roll_frames: rate.frames_in_ms(PRE_ROLL_MS),
            muted: None,
            muted_piece_frames: rate.frames_in_ms(MUTED_PIECE_MS),
        });
        if let Start::At(frame) = order.start {
            recorder.start_at(frame);
        }
        recorder
    }

    /// Its name.
    pub fn key(&self) -> RecordingKey {
        self.key
    }

    pub(super) fn start(&self) -> Start {
        self.start
    }

    pub(super) fn start_at(&mut self, frame: u64) {
        self.start = Start::At(frame);
        self.sent_frame = frame;
        self.machine.begin();
        if self.muted.as_ref().is_some_and(|muted| muted.end > frame) {
            self.step(Input::Mute { at_frame: 0 });
        }
    }

    /// From this frame of the device on, but for what was sent already, it is muted, or no longer.
    pub fn mute(&mut self, on: bool, at_frame: u64) {
        let at_frame = at_frame.max(self.sent_frame);
        match &mut self.muted {
            // It was muted a moment ago, and that is not written yet: the moment in between is muted, too.
            Some(muted) if on && muted.end > self.sent_frame => muted.end = u64::MAX,
            muted if on => *muted = Some(at_frame..u64::MAX),
            Some(muted) if muted.end == u64::MAX => muted.end = at_frame.max(muted.start),
            _ => return,
        }
        if let Start::At(start) = self.start {
            let at_frame = at_frame.saturating_sub(start);
            self.step(if on { Input::Mute { at_frame } } else { Input::Unmute { at_frame } });
        }
    }

    /// What is left of something that was heard without the muted frames.
    fn audible(&self, input: Input) -> Option<Input> {
        let Some(muted) = &self.muted else { return Some(input) };
        match input {
            Input::Key(tone) if muted.contains(&tone.onset_frame) => None,
            Input::Voiced { first_frame, last_frame } if last_frame >= muted.start && first_frame < muted.end => {
                if first_frame < muted.start {
                    Some(Input::Voiced { first_frame, last_frame: muted.start - 1 })
                } else if last_frame >= muted.end {
                    Some(Input::Voiced { first_frame: muted.end, last_frame })
                } else {
                    None
                }
            }
            _ => Some(input),
        }
    }

    /// What is played before it will have ended at this frame of the device.
    pub(super) fn cue(&mut self, frame: u64) {
        if let Start::Cue { at_frame, .. } = &mut self.start {
            *at_frame = Some(frame);
        }
    }

    /// Joins: what was heard since its start, before it was told to start, is told from what the ears remember.
    pub(super) fn catch_up(&mut self, ears: &Ears) {
        for (channel, ear) in ears {
            if let Some(last_frame) = ear.voiced_frame() {
                self.hear(*channel, Input::Voiced { first_frame: 0, last_frame });
            }
        }
    }

    /// The device's frame at which the recording that waits for this one begins: where it ended, but after its stop
    /// tone, or that would end the next one too.
    pub(super) fn joint_frame(&self, heard_frame: u64) -> u64 {
        match (self.start, self.outcome) {
            (Start::At(start), Some(Outcome { ending, .. })) if ending.reason != Reason::StopTone => {
                start + ending.at_frame
            }
            _ => heard_frame,
        }
    }

    /// Something was heard on a channel; frames are the device's.
    pub(super) fn hear(&mut self, channel: usize, input: Input) {
        if !self.channels.contains(channel) {
            return;
        }
        let Some(input) = self.audible(input) else { return };
        let start = match self.start {
            Start::At(start) => start,
            Start::Cue { from_frame, at_frame } => return self.answer(channel, input, from_frame, at_frame),
            Start::After(_) => return,
        };
        let this = Channels::of([channel]).unwrap_or(Channels::ALL);
        match input {
            // Two channels hear one key when its sound reaches both microphones.
            Input::Key(mut tone) => match &mut self.key_down {
                Some((key, on)) if *key == tone.key => *on = on.union(this),
                _ if tone.onset_frame < start => {}
                _ => {
                    self.key_down = Some((tone.key, this));
                    tone.onset_frame -= start;
                    tone.decision_frame -= start;
                    self.step(Input::Key(tone));
                    if self.outcome.is_none() && self.machine.sequence_may_begin() {
                        self.mark_frame = Some(tone.onset_frame);
                    }
                }
            },
            Input::KeyUp { end_frame } if self.release(this) => {
                self.step(Input::KeyUp { end_frame: end_frame.saturating_sub(start) });
            }
            Input::Voiced { first_frame, last_frame } if last_frame >= start => {
                let first_frame = first_frame.saturating_sub(start);
                self.step(Input::Voiced { first_frame, last_frame: last_frame - start });
            }
            _ => {}
        }
    }

    /// Something was heard on one of its channels while something is played before it.
    fn answer(&mut self, channel: usize, input: Input, from_frame: u64, at_frame: Option<u64>) {
        let this = Channels::of([channel]).unwrap_or(Channels::ALL);
        let onset = match input {
            Input::Key(tone) => tone.onset_frame,
            Input::Voiced { first_frame, .. } => first_frame,
            _ => 0,
        };
        if let Some(at_frame) = at_frame.filter(|at| onset >= *at && self.key_down.is_none()) {
            self.start_at(at_frame);
            return self.hear(channel, input);
        }
        match input {
            _ if self.outcome.is_some() => {}
            Input::Key(mut tone) => match &mut self.key_down {
                Some((key, on)) if *key == tone.key => *on = on.union(this),
                _ if tone.onset_frame < from_frame => {}
                _ => {
                    self.key_down = Some((tone.key, this));
                    self.untold_answer = true;
                    tone.onset_frame -= from_frame;
                    tone.decision_frame -= from_frame;
                    if let Some(ending) = self.machine.key_before(tone) {
                        self.end(ending);
                    }
                }
            },
            Input::KeyUp { end_frame } if self.release(this) => self.start_at(end_frame),
            Input::Voiced { first_frame, last_frame } if last_frame >= from_frame && self.key_down.is_none() => {
                self.untold_answer = true;
                self.start_at(first_frame.max(from_frame).saturating_sub(self.pre_roll_frames));
                self.hear(channel, input);
            }
            _ => {}
        }
    }

    /// The key that is down has ended on one channel; `true` if it has on all.
    fn release(&mut self, channel: Channels) -> bool {
        let Some((key, on)) = self.key_down.filter(|(_, on)| on.without(channel) != Some(*on)) else { return false };
        self.key_down = on.without(channel).map(|on| (key, on));
        self.key_down.is_none()
    }

    /// How far the device has been heard, and how far its detectors are sure.
    pub(super) fn settle<O: Outlet<T>>(&mut self, heard_frame: u64, ears: &Ears, outlet: &mut O) {
        if std::mem::take(&mut self.untold_answer) {
            outlet.send(Message::Answered { key: self.key });
        }
        let (mut keys, mut speech) = (heard_frame, heard_frame);
        for (_, ear) in ears.iter().filter(|(channel, _)| self.channels.contains(*channel)) {
            keys = keys.min(ear.keys_settled_frame());
            speech = speech.min(ear.speech_settled_frame());
        }
        if let Start::Cue { at_frame: Some(at_frame), .. } = self.start
            && keys.min(speech) >= at_frame
            && self.key_down.is_none()
        {
            // No answer that began before it can come any more.
            self.start_at(at_frame);
        }
        let Start::At(start) = self.start else { return };
        if heard_frame < start || self.outcome.is_some() {
            return;
        }
        self.open(outlet);
        if let Some(at_frame) = self.mark_frame.take() {
            outlet.send(Message::Mark { key: self.key, at_frame });
        }
        self.step(Input::Heard {
            heard_frame: heard_frame - start,
            keys_settled_frame: keys.saturating_sub(start),
            speech_settled_frame: speech.saturating_sub(start),
        });
    }

    /// Something that is not heard; a cancel's frame is the device's.
    pub(super) fn tell(&mut self, input: Input) {
        match (input, self.start) {
            (Input::Cancel { at_frame }, Start::At(start)) if at_frame > start => {
                self.step(Input::Cancel { at_frame: at_frame - start });
            }
            // It has not begun, so there is nothing to wait for.
            (Input::Cancel { .. }, _) => self.end_unheard(Reason::Canceled),
            (input, _) => self.step(input),
        }
    }

    /// There is no place for it.
    pub(super) fn refuse(&mut self) {
        self.end_unheard(Reason::Abandoned);
    }

    pub(super) fn media_lost(&mut self, cancelled_only: bool) {
        match self.start {
            Start::At(_) if !cancelled_only || self.machine.is_cancelled() => self.step(Input::MediaLost),
            Start::Cue { .. } if !cancelled_only => self.end_unheard(Reason::MediaTimeout),
            _ => {}
        }
    }

    /// Frames are missing on the device from `at_frame` on.
    pub(super) fn lose<O: Outlet<T>>(&mut self, at_frame: u64, frames: u64, cause: GapCause, outlet: &mut O) {
        let Start::At(start) = self.start else { return };
        let end_frame = at_frame + frames;
        if end_frame <= start || self.outcome.is_some() {
            return;
        }
        self.open(outlet);
        self.flush(outlet);
        if let Some(until) = self.muted_until() {
            self.send_muted(until.min(at_frame), outlet);
        }
        // What the writer had no blocks for is lost with the gap: its frames are the next ones.
        let from_frame = self.sent_frame.max(start);
        outlet.send(Message::Gap {
            key: self.key,
            at_frame: from_frame - start,
            frames: end_frame - from_frame,
            cause,
        });
        self.sent_frame = end_frame;
    }

    /// Sends what has been heard and not been sent; `true` if nothing is owed any more.
    pub(super) fn send_audio<O: Outlet<T>>(&mut self, heard_frame: u64, history: &History, outlet: &mut O) -> bool {
        let Start::At(start) = self.start else { return true };
        if self.ticket.is_some() {
            return true;
        }
        let end_frame = match self.outcome {
            // The stop tone itself goes along, beyond the horizon: the writer measures it once more.
            Some(Outcome { ending, .. }) if ending.reason == Reason::StopTone => start + ending.decided_at_frame + 1,
            Some(Outcome { ending, .. }) => start + ending.at_frame,
            None => heard_frame,
        };
        let lost_until = history.start_frame().min(end_frame);
        if self.sent_frame < lost_until {
            self.flush(outlet);
            let (at_frame, frames) = (self.sent_frame - start, lost_until - self.sent_frame);
            outlet.send(Message::Gap { key: self.key, at_frame, frames, cause: GapCause::Storage });
            self.sent_frame = lost_until;
        }
        let channels = self.channels.iter(self.device_channels);
        while self.sent_frame < end_frame {
            if let Some(until) = self.muted_until() {
                let to = until.min(end_frame);
                if self.outcome.is_none() && to < until && to - self.sent_frame < self.muted_piece_frames {
                    break;
                }
                self.send_muted(to, outlet);
                continue;
            }
            let before_mute = self.muted.as_ref().map_or(end_frame, |muted| muted.start);
            let end_frame = if before_mute > self.sent_frame { before_mute.min(end_frame) } else { end_frame };
            let block = match &mut self.block {
                Some(block) => block,
                none => match outlet.block() {
                    Some(mut block) => {
                        block.first_frame = self.sent_frame - start;
                        block.samples.clear();
                        none.insert(block)
                    }
                    None => return false,
                },
            };
            let frames = (block.room(&channels) as u64).min(end_frame - self.sent_frame);
            block.fill(history, &channels, self.sent_frame..self.sent_frame + frames);
            self.sent_frame += frames;
            if self.block.as_ref().is_some_and(|block| block.room(&channels) == 0) {
                self.flush(outlet);
            }
        }
        if self.outcome.is_some() || outlet.eager() {
            self.flush(outlet);
        }
        true
    }

    /// Where the muted frames end, if the next one to be sent is one.
    fn muted_until(&self) -> Option<u64> {
        self.muted.as_ref().filter(|muted| muted.contains(&self.sent_frame)).map(|muted| muted.end)
    }

    /// Sends that the frames before this one are muted.
    fn send_muted<O: Outlet<T>>(&mut self, to_frame: u64, outlet: &mut O) {
        let Start::At(start) = self.start else { return };
        if to_frame > self.sent_frame {
            self.flush(outlet);
            let (at_frame, frames) = (self.sent_frame - start, to_frame - self.sent_frame);
            outlet.send(Message::Gap { key: self.key, at_frame, frames, cause: GapCause::Muted });
            self.sent_frame = to_frame;
        }
    }

    /// Notes how its channels sound now that it has ended.
    pub(super) fn measure(&mut self, ears: &Ears) {
        if let Some(outcome) = &mut self.outcome {
            let loudest = ears
                .iter()
                .filter(|(channel, _)| self.channels.contains(*channel))
                .map(|(_, ear)| ear.levels())
                .max_by(|a, b| a.0.total_cmp(&b.0));
            if let Some((level, floor, threshold)) = loudest {
                (outcome.level_dbfs, outcome.floor_dbfs, outcome.threshold_dbfs) = (level, floor, threshold);
            }
        }
    }

    /// Whether this is the first time it is seen to have ended.
    pub(super) fn announce(&mut self) -> bool {
        self.outcome.is_some() && !std::mem::replace(&mut self.announced, true)
    }

    fn open<O: Outlet<T>>(&mut self, outlet: &mut O) {
        if let (Start::At(start_frame), Some(ticket)) = (self.start, self.ticket.take()) {
            outlet.send(Message::Open { key: self.key, ticket, start_frame });
        }
    }

    fn flush<O: Outlet<T>>(&mut self, outlet: &mut O) {
        if let Some(mut block) = self.block.take() {
            let horizon_frame = match self.outcome {
                Some(outcome) => outcome.ending.at_frame,
                None => self.machine.horizon_frame(),
            };
            // A sequence ends before what was told; that cannot be untold.
            self.horizon_frame = self.horizon_frame.max(horizon_frame);
            block.horizon_frame = self.horizon_frame;
            block.due = self.outcome.is_none().then(|| self.machine.due());
            outlet.send(Message::Audio { key: self.key, block });
        }
    }

    fn step(&mut self, input: Input) {
        if self.outcome.is_none()
            && let Some(ending) = self.machine.step(input)
        {
            self.end(ending);
        }
    }

    fn end_unheard(&mut self, reason: Reason) {
        if self.outcome.is_none() {
            self.end(Ending {
                reason,
                at_frame: 0,
                decided_at_frame: 0,
                stop_tone: None,
                first_voiced_frame: None,
                last_voiced_frame: None,
            });
        }
    }

    fn end(&mut self, ending: Ending) {
        let silent = crate::units::SILENT_DBFS;
        self.outcome = Some(Outcome { ending, level_dbfs: silent, floor_dbfs: silent, threshold_dbfs: silent });
    }
}
