//! What one device's audio goes through: every channel is heard by its detectors, every recording takes what it asked
//! for and is told what was heard, until it ends.
//!
//! Belongs here: dealing audio and events to recordings, in ticks whose borders are counted from the device's first
//! frame, so that nothing depends on how the audio arrives. Does not: threads, rings and clocks (`rt`), deciding
//! (`record`), files (`store`).
//!
//! Nothing here allocates, locks or calls the system after construction.

mod history;
mod recorder;

pub use recorder::{Channels, Order, Outcome, Recorder, Start};

use std::ops::Range;

use crate::dsp::dtmf::DtmfConfig;
use crate::dsp::ear::{Ear, Heard, Meter};
use crate::dsp::own::Playing;
use crate::dsp::silence::SilenceConfig;
use crate::dsp::tone::Tone;
use crate::record::{Due, GapCause, Input};
use crate::units::Rate;
use history::{History, TILE_FRAMES};

/// The most recordings that run or wait on one device at once.
pub const MAX_RECORDERS: usize = 64;

/// So much audio stays at hand for a recording that begins in the past: the pre-roll of 200 ms before speech that
/// takes 100 ms to recognise, and what a queued recording owes while the end of the one before it was unsettled.
const HISTORY_MS: u32 = 1_000;

/// Decisions are taken this often; a divisor of the detectors' blocks at telephone rate.
const TICKS_PER_SECOND: u32 = 400;

/// Names one recording of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordingKey(pub u64);

/// Audio on its way to the writer: interleaved frames of one recording's channels.
#[derive(Debug)]
pub struct Block {
    /// The first frame, counted from the recording's first.
    pub first_frame: u64,
    /// What lies before this frame of the recording cannot be taken back.
    pub horizon_frame: u64,
    /// What will end the recording if nothing more is heard.
    pub due: Option<Due>,
    /// Of a fixed capacity, which is not touched before it is needed.
    samples: Vec<f32>,
}

impl Block {
    /// An empty block with room for `samples` samples.
    pub fn with_room(samples: usize) -> Block {
        Block { first_frame: 0, horizon_frame: 0, due: None, samples: Vec::with_capacity(samples) }
    }

    /// The samples in it, interleaved.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// How many more frames of these channels fit.
    fn room(&self, channels: &(impl Iterator<Item = usize> + Clone)) -> usize {
        (self.samples.capacity() - self.samples.len()) / channels.clone().count()
    }

    /// Appends these frames of these channels, interleaved.
    fn fill(&mut self, history: &History, channels: &(impl Iterator<Item = usize> + Clone), frames: Range<u64>) {
        let width = channels.clone().count();
        if width == 1 {
            let pieces = channels.clone().flat_map(|channel| history.slices(channel, frames.clone()));
            return pieces.for_each(|piece| self.samples.extend_from_slice(piece));
        }
        let mut start = frames.start;
        while start < frames.end {
            let tile = start..frames.end.min(start + TILE_FRAMES as u64);
            let len = self.samples.len();
            self.samples.resize(len + (tile.end - tile.start) as usize * width, 0.0);
            let to = &mut self.samples[len..];
            for (place, channel) in channels.clone().enumerate() {
                let mut to = &mut *to;
                for piece in history.slices(channel, tile.clone()) {
                    let (head, rest) = to.split_at_mut(piece.len() * width);
                    for (frame, sample) in head.chunks_exact_mut(width).zip(piece) {
                        frame[place] = *sample;
                    }
                    to = rest;
                }
            }
            start = tile.end;
        }
    }
}

/// What the pipeline tells the writer. The order is the order of the audio; the end of a recording comes last.
#[derive(Debug)]
pub enum Message<T> {
    /// A recording begins.
    Open {
        /// Which.
        key: RecordingKey,
        /// What control gave along for the writer.
        ticket: T,
        /// The device's frame that is the recording's first.
        start_frame: u64,
    },
    /// Its next frames.
    Audio {
        /// Which recording.
        key: RecordingKey,
        /// The frames; the block goes back when it is written.
        block: Block,
    },
    /// Frames are missing; zeros stand for them.
    Gap {
        /// Which recording.
        key: RecordingKey,
        /// The first missing frame, counted from the recording's first.
        at_frame: u64,
        /// How many.
        frames: u64,
        /// Why.
        cause: GapCause,
    },
    /// A stop tone of several keys may turn out to have begun at this frame: the file may be cut here later.
    Mark {
        /// Which recording.
        key: RecordingKey,
        /// The frame, counted from the recording's first.
        at_frame: u64,
    },
    /// What is played before a recording has been answered, by speech or by a key.
    Answered {
        /// Which recording.
        key: RecordingKey,
    },
    /// A key was pressed.
    Pressed {
        /// The device's channel.
        channel: usize,
        /// The key; frames are the device's.
        tone: Tone,
    },
    /// It has ended; `recorder.outcome` says how. What control gave along is still in it if it never began.
    Ended {
        /// Which recording.
        key: RecordingKey,
        /// What is left of it.
        recorder: Box<Recorder<T>>,
    },
}

/// Where messages go, and where empty blocks come from.
pub trait Outlet<T> {
    /// An empty block, unless all are with the writer.
    fn block(&mut self) -> Option<Block>;
    /// Sends. It never fails: who builds an outlet makes it as long as its blocks and recordings need.
    fn send(&mut self, message: Message<T>);
    /// Whether a block that is not full is worth sending: the writer has nothing else to do.
    fn eager(&self) -> bool;
}

/// What a device delivers, and how its channels are heard.
#[derive(Clone, Debug)]
pub struct Hearing {
    /// The device's rate.
    pub rate: Rate,
    /// The device's channels.
    pub channels: usize,
    /// Which of them are heard; the others cost nothing and cannot be recorded.
    pub heard: Channels,
    /// For every channel.
    pub dtmf: DtmfConfig,
    /// For every channel.
    pub silence: SilenceConfig,
}

impl Hearing {
    /// All channels of such a device, by the detectors' defaults.
    pub fn new(rate: Rate, channels: usize) -> Hearing {
        Hearing { rate, channels, heard: Channels::ALL, dtmf: DtmfConfig::default(), silence: SilenceConfig::default() }
    }
}

/// The ears of the channels that are heard, each with its channel.
type Ears = Vec<(usize, Ear)>;

/// The recordings of one device, and its ears.
pub struct Pipeline<T> {
    tick_frames: u64,
    history: History,
    ears: Ears,
    recorders: Vec<Box<Recorder<T>>>,
    /// Where recordings ended lately, for those that join them.
    ended: [Option<(RecordingKey, u64)>; MAX_RECORDERS],
    next_ended: usize,
    heard_frame: u64,
}

impl<T> Pipeline<T> {
    /// A pipeline that takes at most `most_frames` at once.
    pub fn new(hearing: &Hearing, most_frames: usize) -> Pipeline<T> {
        let rate = hearing.rate;
        let ear = Ear::new(rate, &hearing.dtmf, &hearing.silence, most_frames);
        Pipeline {
            tick_frames: u64::from(rate.hz() / TICKS_PER_SECOND),
            history: History::new(hearing.channels, rate.frames_in_ms(HISTORY_MS) as usize + most_frames),
            ears: hearing.heard.iter(hearing.channels).map(|channel| (channel, ear.clone())).collect(),
            recorders: Vec::with_capacity(MAX_RECORDERS),
            ended: [None; MAX_RECORDERS],
            next_ended: 0,
            heard_frame: 0,
        }
    }

    /// The first frame that has not been heard yet.
    pub fn heard_frame(&self) -> u64 {
        self.heard_frame
    }

    /// The first frame that has not come yet.
    pub fn next_frame(&self) -> u64 {
        self.history.end_frame()
    }

    /// Whether there is any recording, running or waiting.
    pub fn is_idle(&self) -> bool {
        self.recorders.is_empty()
    }

    /// Takes a recording in. With [`MAX_RECORDERS`] already there it ends at once, abandoned.
    pub fn begin(&mut self, mut recorder: Box<Recorder<T>>, outlet: &mut impl Outlet<T>) {
        if self.recorders.len() == MAX_RECORDERS {
            recorder.refuse();
            let key = recorder.key();
            return outlet.send(Message::Ended { key, recorder });
        }
        if let Start::After(key) = recorder.start()
            && let Some((_, end_frame)) = self.ended.iter().flatten().find(|(ended, _)| *ended == key)
        {
            recorder.start_at(*end_frame);
            recorder.catch_up(&self.ears);
        }
        self.recorders.push(recorder);
    }

    /// What is played before a recording will have ended at this frame of the device.
    pub fn cue(&mut self, key: RecordingKey, at_frame: u64) {
        if let Some(recorder) = self.recorders.iter_mut().find(|recorder| recorder.key() == key) {
            recorder.cue(at_frame);
        }
    }

    /// Mutes a recording from this frame of the device on, or no longer.
    pub fn mute(&mut self, key: RecordingKey, on: bool, at_frame: u64) {
        if let Some(recorder) = self.recorders.iter_mut().find(|recorder| recorder.key() == key) {
            recorder.mute(on, at_frame);
        }
    }

    /// Tells one recording something that is not heard: a cancel (in the device's frames), an abandon.
    pub fn tell(&mut self, key: RecordingKey, input: Input, outlet: &mut impl Outlet<T>) {
        if let Some(recorder) = self.recorders.iter_mut().find(|recorder| recorder.key() == key) {
            recorder.tell(input);
            self.reap(outlet);
        }
    }

    /// The device stopped delivering. With `cancelled_only` only recordings that wait for their cancel end.
    pub fn media_lost(&mut self, cancelled_only: bool, outlet: &mut impl Outlet<T>) {
        self.hear_ticks(self.history.end_frame(), outlet);
        for recorder in &mut self.recorders {
            recorder.media_lost(cancelled_only);
        }
        self.reap(outlet);
        self.send_audio(outlet);
    }

    /// From the next frame on, this is what is played where the device may hear it.
    pub fn play(&mut self, playing: Playing) {
        let from_frame = self.history.end_frame();
        self.ears.iter_mut().for_each(|(_, ear)| ear.play(playing, from_frame));
    }

    /// Hears interleaved frames of all the device's channels, at most `most_frames` of them.
    pub fn hear(&mut self, interleaved: &[f32], outlet: &mut impl Outlet<T>) {
        let start_frame = self.history.end_frame();
        self.history.push(interleaved);
        let end_frame = self.history.end_frame();
        for (channel, ear) in &mut self.ears {
            self.history.slices(*channel, start_frame..end_frame).for_each(|samples| ear.take(samples));
        }
        self.hear_ticks(end_frame - end_frame % self.tick_frames, outlet);
        self.send_audio(outlet);
    }

    /// Hears that `frames` are missing.
    pub fn lose(&mut self, frames: u64, cause: GapCause, outlet: &mut impl Outlet<T>) {
        let at_frame = self.history.end_frame();
        self.hear_ticks(at_frame, outlet);
        self.send_audio(outlet);
        self.history.lose(frames);
        self.heard_frame = at_frame + frames;
        for (channel, ear) in &mut self.ears {
            ear.lose(frames, |heard| deal(&mut self.recorders, *channel, heard, outlet));
        }
        for recorder in &mut self.recorders {
            recorder.lose(at_frame, frames, cause, outlet);
        }
        self.settle(outlet);
        self.send_audio(outlet);
    }

    /// What a channel's level was since this was asked last.
    pub fn meter(&mut self, channel: usize) -> Option<Meter> {
        self.ears.iter_mut().find(|(of, _)| *of == channel).map(|(_, ear)| ear.meter())
    }

    /// Hears what history holds up to `end_frame`, tick by tick.
    fn hear_ticks(&mut self, end_frame: u64, outlet: &mut impl Outlet<T>) {
        while self.heard_frame < end_frame {
            let next = (self.heard_frame / self.tick_frames + 1) * self.tick_frames;
            let end = next.min(end_frame);
            for (channel, ear) in &mut self.ears {
                ear.hear(end, |heard| deal(&mut self.recorders, *channel, heard, outlet));
            }
            self.heard_frame = end;
            self.settle(outlet);
        }
    }

    /// Lets every recording know how far the detectors are, and takes out those that have ended.
    fn settle(&mut self, outlet: &mut impl Outlet<T>) {
        for recorder in &mut self.recorders {
            recorder.settle(self.heard_frame, &self.ears, outlet);
        }
        self.reap(outlet);
    }

    /// Starts those that waited for what has ended, and takes it out once the writer has all its audio.
    fn reap(&mut self, outlet: &mut impl Outlet<T>) {
        let mut index = 0;
        while index < self.recorders.len() {
            if self.recorders[index].announce() {
                self.recorders[index].measure(&self.ears);
                let recorder = &self.recorders[index];
                let (key, end_frame) = (recorder.key(), recorder.joint_frame(self.heard_frame));
                self.ended[self.next_ended] = Some((key, end_frame));
                self.next_ended = (self.next_ended + 1) % MAX_RECORDERS;
                for waiting in self.recorders.iter_mut().filter(|waiting| waiting.start() == Start::After(key)) {
                    waiting.start_at(end_frame);
                    waiting.catch_up(&self.ears);
                }
            }
            let recorder = &mut self.recorders[index];
            if recorder.outcome.is_some() && recorder.send_audio(self.heard_frame, &self.history, outlet) {
                let recorder = self.recorders.swap_remove(index);
                outlet.send(Message::Ended { key: recorder.key(), recorder });
            } else {
                index += 1;
            }
        }
    }

    fn send_audio(&mut self, outlet: &mut impl Outlet<T>) {
        for recorder in &mut self.recorders {
            recorder.send_audio(self.heard_frame, &self.history, outlet);
        }
        self.reap(outlet);
    }
}

/// Tells every recording what was heard on a channel.
fn deal<T>(recorders: &mut [Box<Recorder<T>>], channel: usize, heard: Heard, outlet: &mut impl Outlet<T>) {
    let input = match heard {
        Heard::Key(tone) => {
            outlet.send(Message::Pressed { channel, tone });
            Input::Key(tone)
        }
        Heard::KeyUp { end_frame } => Input::KeyUp { end_frame },
        Heard::Voiced { first_frame, last_frame } => Input::Voiced { first_frame, last_frame },
        Heard::SpeechOff => return,
    };
    for recorder in recorders {
        recorder.hear(channel, input);
    }
}
