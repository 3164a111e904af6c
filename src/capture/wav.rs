//! Files (and silence) as sources.
//!
//! A file's samples reach the ring in its own sample type where that is 16 bits, else as floats, so that what was
//! stored in 16 bits comes out bit for bit. After the file's end comes silence, as from a microphone nobody speaks into.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Capture, Feeding, Source};
use crate::clock;
use crate::rt::ring::{Consumer, Producer, Sample, ring};
use crate::units::Rate;
use crate::wav::{Reader, WavError};

/// A paced file delivers as often as a sound card would.
const PERIOD_MS: u32 = 10;
/// So much fits in the ring: a stalled pipeline loses nothing for so long.
const RING_MS: u32 = 2_000;
/// Flat out, so many samples travel at once: what stays in the second-level cache on all its way.
const PIECE_SAMPLES: usize = 8_192;
/// The rate of `silence:`.
const SILENCE_HZ: u32 = 48_000;

/// Fills a ring from a file.
pub struct Feed {
    rate: Rate,
    channels: usize,
    samples: Samples,
}

enum Samples {
    Integers(Tape<i16>),
    Floats(Tape<f32>),
}

/// A file on its way to the ring.
struct Tape<T> {
    /// `None` for silence.
    reader: Option<Reader>,
    repeat: bool,
    /// Frames of silence still to come before the file's first.
    lead_frames: u64,
    producer: Producer<T>,
    piece: Vec<T>,
}

/// A sample that a WAV reader delivers.
trait Stored: Sample {
    fn read(reader: &mut Reader, out: &mut [Self]) -> io::Result<usize>;
}

impl Stored for i16 {
    fn read(reader: &mut Reader, out: &mut [i16]) -> io::Result<usize> {
        reader.read_i16(out)
    }
}

impl Stored for f32 {
    fn read(reader: &mut Reader, out: &mut [f32]) -> io::Result<usize> {
        reader.read_f32(out)
    }
}

impl Feed {
    /// Opens a file of any PCM or float format, at 8 to 192 kHz and with at most 64 channels.
    pub fn open(path: &Path, repeat: bool) -> Result<(Feed, Consumer), WavError> {
        let reader = Reader::open(path)?;
        let info = reader.info();
        let channels = usize::from(info.channels);
        let rate =
            Rate::new(info.rate_hz).filter(|_| channels <= crate::pipeline::Channels::MOST).ok_or_else(|| {
                let what = format!(
                    "{} Hz with {channels} channels cannot be captured; valid are {} to {} Hz and 1 to {} channels",
                    info.rate_hz,
                    Rate::MIN_HZ,
                    Rate::MAX_HZ,
                    crate::pipeline::Channels::MOST
                );
                WavError::Io(io::Error::other(what))
            })?;
        Ok(if info.bits == 16 && !info.float {
            Feed::new(rate, channels, Some(reader), repeat, Samples::Integers)
        } else {
            Feed::new(rate, channels, Some(reader), repeat, Samples::Floats)
        })
    }

    /// Digital zeros, mono, 48 kHz.
    pub fn silence() -> (Feed, Consumer) {
        let rate = Rate::new(SILENCE_HZ).unwrap_or(Rate::TELEPHONE);
        Feed::new(rate, 1, None, false, Samples::Integers)
    }

    fn new<T: Stored>(
        rate: Rate,
        channels: usize,
        reader: Option<Reader>,
        repeat: bool,
        samples: impl Fn(Tape<T>) -> Samples,
    ) -> (Feed, Consumer) {
        let frames = (rate.frames_in_ms(RING_MS) as usize).max(2 * PIECE_SAMPLES / channels);
        let (producer, consumer) = ring(channels, frames);
        let piece = vec![T::ZERO; PIECE_SAMPLES / channels * channels];
        (Feed { rate, channels, samples: samples(Tape { reader, repeat, lead_frames: 0, producer, piece }) }, consumer)
    }

    /// Hands at most `frames` over, no more than fit, and says how many.
    pub fn feed(&mut self, frames: usize) -> usize {
        match &mut self.samples {
            Samples::Integers(tape) => tape.feed(frames, self.channels),
            Samples::Floats(tape) => tape.feed(frames, self.channels),
        }
    }

    /// So many frames of silence come before the file's first.
    fn lead_in(&mut self, frames: u64) {
        match &mut self.samples {
            Samples::Integers(tape) => tape.lead_frames = frames,
            Samples::Floats(tape) => tape.lead_frames = frames,
        }
    }

    /// As many frames as fit a piece.
    pub fn piece_frames(&self) -> usize {
        PIECE_SAMPLES / self.channels
    }
}

impl<T: Stored> Tape<T> {
    fn feed(&mut self, frames: usize, channels: usize) -> usize {
        let frames = frames.min(self.producer.room());
        let mut left = frames;
        while left > 0 {
            let some = left.min(self.piece.len() / channels);
            if self.lead_frames > 0 {
                let some = some.min(self.lead_frames as usize);
                self.piece[..some * channels].fill(T::ZERO);
                self.producer.push(&self.piece[..some * channels]);
                (self.lead_frames, left) = (self.lead_frames - some as u64, left - some);
                continue;
            }
            let piece = &mut self.piece[..some * channels];
            let mut read = self.reader.as_mut().map_or(0, |reader| T::read(reader, piece).unwrap_or(0));
            if read == 0 {
                if self.repeat && self.rewind() {
                    continue;
                }
                self.piece[..some * channels].fill(T::ZERO);
                read = some;
            }
            self.producer.push(&self.piece[..read * channels]);
            left -= read;
        }
        frames
    }

    /// Back to the file's start; `false` if there is nothing in it.
    fn rewind(&mut self) -> bool {
        self.reader.as_mut().is_some_and(|reader| reader.info().frames > 0 && reader.seek(0).is_ok())
    }
}

/// A source that delivers when it is asked to.
pub fn asked(source: &Source, (feed, ring): (Feed, Consumer)) -> Capture {
    Capture::of(source, feed.rate, ring, Feeding::Asked(feed.into()))
}

/// A source that delivers in real time, on a thread of its own, after so much silence.
pub fn paced(source: &Source, (mut feed, ring): (Feed, Consumer), lead: Duration) -> Capture {
    let rate = feed.rate;
    feed.lead_in(rate.frames_in_time(lead));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = std::thread::Builder::new().name("capture".into()).spawn(move || deliver(&mut feed, &stopped));
    Capture::of(source, rate, ring, Feeding::Alone(Box::new(Pacer { stop, thread: thread.ok() })))
}

struct Pacer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Delivers what is due by the clock. A ring that is full is waited for: a file loses nothing.
fn deliver(feed: &mut Feed, stop: &AtomicBool) {
    let started = clock::now();
    let (hz, period) = (u64::from(feed.rate.hz()), feed.rate.frames_in_ms(PERIOD_MS));
    let mut delivered = 0;
    while !stop.load(Ordering::Acquire) {
        let due = (started.elapsed().as_micros() as u64 * hz / 1_000_000) / period * period;
        if due > delivered {
            delivered += feed.feed((due - delivered) as usize) as u64;
        }
        let next_us = (delivered + period) * 1_000_000 / hz;
        idle(Duration::from_micros(next_us).saturating_sub(started.elapsed()).max(Duration::from_millis(1)));
    }
}

/// Waits until the next frames are due.
#[expect(clippy::disallowed_methods, reason = "a paced file's one place to sleep")]
fn idle(nap: Duration) {
    std::thread::sleep(nap);
}
