//! One recording between the pipeline and its file: what waits for the commit horizon, the change of rate, the digest.
//!
//! Belongs here: which frames become which bytes. Does not: messages (`writer`), the steps on disk (`file`).
//! Frames count from the recording's first. *Device frames* are at the rate at which they were captured, *frames* without
//! more at the recording's.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::Offset;
use sha2::Digest as _;

use super::crash::reached;
use super::digest::{Digest, hex};
use super::file::SampleFile;
use super::growth::{Finished, Gap, Outcome, Phase, Recorded, StoreError, lost_frames};
use super::opinion::{SecondOpinion, second_opinion};
use super::signal::Listener;
use super::writer::Ticket;
use crate::dsp::resample::Resampler;
use crate::dsp::tone::{Key, Tone};
use crate::pipeline;
use crate::record::{Due, Ending, GapCause, Reason};
use crate::units::audible;
use crate::wav::{Marker, Metadata, marks, quantise::quantise};

/// Samples go to the file in pieces of about this size when there are many.
const PIECE_BYTES: usize = 64 * 1024;
/// A key is one on two channels whose onsets lie so near.
const SAME_KEY_MS: u32 = 50;
/// A gap is written in pieces of so many samples.
const ZEROS: [f32; 4_096] = [0.0; 4_096];

/// A recording that has begun and not ended.
pub(super) struct Recording {
    ticket: Ticket,
    started_at: Timestamp,
    /// The device's frame that is its first.
    start_frame: u64,
    /// What has come and lies beyond the horizon.
    pending: VecDeque<Piece>,
    /// Device frames that have come.
    device_frames: u64,
    /// Device frames that have left `pending`.
    fed_frames: u64,
    /// In device frames.
    horizon_frame: u64,
    /// In device frames: where, how many, why.
    gaps: Vec<(u64, u64, GapCause)>,
    /// Keys that were heard, each at its onset in device frames.
    keys: Vec<(u64, Key)>,
    listener: Listener,
    /// `None` at equal rates.
    resampler: Option<Resampler>,
    /// What the resampler has made and is not in `bytes` yet.
    resampled: Vec<f32>,
    /// What is not in the file yet.
    bytes: Vec<u8>,
    /// Frames that have gone into `bytes`.
    made_frames: u64,
    file: State,
    synced_frames: u64,
    published_frames: u64,
    due: Option<Due>,
}

enum Piece {
    Audio(Vec<f32>),
    Zeros(u64),
}

enum State {
    Growing(Box<(SampleFile, Digest)>),
    /// Nothing more is written.
    Failed {
        finished: Option<Finished>,
        error: StoreError,
    },
}

impl Recording {
    /// Creates the file. That it cannot be is told like every other failure, by [`Recording::has_failed`].
    pub fn open(ticket: Ticket, start_frame: u64) -> Recording {
        let spec = ticket.spec;
        let started_at = ticket.anchor.time_of(start_frame, ticket.device_rate);
        let started = Offset::UTC.to_datetime(started_at);
        let metadata = Metadata { started: Some(started), ..ticket.metadata.clone() };
        let file = match SampleFile::create(&ticket.path, spec, &metadata) {
            Ok(file) => State::Growing(Box::new((file, Digest::new(spec.frame_bytes())))),
            Err(e) => State::Failed { finished: None, error: StoreError::io("creating the recording", &e) },
        };
        ticket.growth.enter(Phase::Recording { started_at }, 0);
        let resampled = ticket.device_rate != spec.rate;
        Recording {
            resampler: resampled.then(|| Resampler::new(ticket.device_rate, spec.rate, usize::from(spec.channels))),
            ticket,
            started_at,
            start_frame,
            pending: VecDeque::new(),
            device_frames: 0,
            fed_frames: 0,
            horizon_frame: 0,
            gaps: Vec::new(),
            keys: Vec::new(),
            listener: Listener::new(usize::from(spec.channels)),
            resampled: Vec::new(),
            bytes: Vec::new(),
            made_frames: 0,
            file,
            synced_frames: 0,
            published_frames: 0,
            due: None,
        }
    }

    /// Whether nothing more can be written.
    pub fn has_failed(&self) -> bool {
        matches!(self.file, State::Failed { .. })
    }

    /// The next frames have come; what lies before `horizon_frame` is settled.
    pub fn audio(&mut self, first_frame: u64, horizon_frame: u64, samples: &[f32]) {
        self.gap_until(first_frame, GapCause::Storage);
        self.horizon_frame = self.horizon_frame.max(horizon_frame);
        self.commit(self.horizon_frame);
        let channels = usize::from(self.ticket.spec.channels);
        let settled = if self.pending.is_empty() { self.horizon_frame.saturating_sub(self.device_frames) } else { 0 };
        self.device_frames += (samples.len() / channels) as u64;
        // What is settled goes straight on; only the rest is copied, so that the block can go back at once.
        let (settled, open) = samples.split_at((settled as usize).min(samples.len() / channels) * channels);
        self.fed_frames += (settled.len() / channels) as u64;
        self.feed(settled);
        if !open.is_empty() && !self.has_failed() {
            self.pending.push_back(Piece::Audio(open.to_vec()));
        }
    }

    /// This will end it if nothing more is heard.
    pub fn expect(&mut self, due: Option<Due>) {
        self.due = due.map(|due| Due { frame: self.frame_of(due.frame), ..due });
    }

    /// Device frames are missing up to `end_frame`: zeros stand for them.
    pub fn gap_until(&mut self, end_frame: u64, cause: GapCause) {
        let frames = end_frame.saturating_sub(self.device_frames);
        if frames == 0 {
            return;
        }
        match self.gaps.last_mut() {
            Some((at, before, same)) if *same == cause && *at + *before == self.device_frames => *before += frames,
            _ => self.gaps.push((self.device_frames, frames, cause)),
        }
        self.device_frames += frames;
        if !self.has_failed() {
            self.pending.push_back(Piece::Zeros(frames));
        }
    }

    /// A key was pressed on a channel of the device.
    pub fn pressed(&mut self, channel: usize, tone: Tone) {
        let Some(at) = tone.onset_frame.checked_sub(self.start_frame) else { return };
        // Two channels may hear one key.
        let near = self.ticket.device_rate.frames_in_ms(SAME_KEY_MS);
        let heard = self.keys.last().is_some_and(|(last, key)| *key == tone.key && at.abs_diff(*last) < near);
        if self.ticket.channels.contains(channel) && !heard && self.keys.len() < marks::MOST {
            self.keys.push((at, tone.key));
        }
    }

    /// What lies where in its first `frames` frames.
    fn markers(&self, frames: u64) -> Vec<Marker> {
        let gaps = converted(&self.gaps, &self.ticket, frames).into_iter().map(Gap::marker);
        let keys = self
            .keys
            .iter()
            .map(|(at, key)| Marker { frame: self.frame_of(*at), words: format!("key {}", key.char()) });
        let mut markers: Vec<Marker> = gaps.chain(keys).filter(|marker| marker.frame < frames).collect();
        markers.sort_by_key(|marker| marker.frame);
        markers
    }

    /// The file may be cut at this device frame later.
    pub fn mark(&mut self, at_frame: u64) {
        let frame = self.frame_of(at_frame);
        self.listener.mark(at_frame);
        if let State::Growing(growing) = &mut self.file {
            growing.1.mark(frame);
        }
    }

    /// Writes what is settled, tells readers, and syncs it when it is time: nobody waits for the disk who need not.
    pub fn flush(&mut self) {
        self.write();
        let State::Growing(growing) = &mut self.file else { return };
        let (frames, every) = (growing.0.frames(), self.ticket.sync_every_frames);
        if frames > self.published_frames {
            self.published_frames = frames;
            self.ticket.growth.grown(frames, self.due);
        }
        if every > 0 && frames - self.synced_frames >= every {
            self.synced_frames = frames;
            let markers = self.markers(frames);
            let State::Growing(growing) = &mut self.file else { return };
            if let Err(e) = growing.0.sync(&markers) {
                self.fail(StoreError::io("syncing the recording", &e));
            }
        }
    }

    /// It has ended: the file is finished, or removed where no audio is kept; then everybody is told.
    pub fn end(mut self, end: pipeline::Outcome) {
        let at_frame = end.ending.at_frame;
        let frames = self.frame_of(at_frame);
        let keep = end.ending.reason != Reason::InitialSilence;
        if keep {
            self.complete(at_frame, frames);
        }
        let second_opinion = self.second_opinion(&end.ending);
        let markers = match &self.file {
            State::Growing(growing) => self.markers(frames.min(growing.0.frames())),
            State::Failed { .. } => Vec::new(),
        };
        let signal = Some(self.listener.signal(at_frame));
        let recorded = |file: Finished, gaps: Vec<Gap>, started_at: Timestamp| Recorded {
            lost_frames: lost_frames(&gaps),
            file,
            started_at,
            gaps,
            signal,
        };
        let (recording, error) = match (self.file, keep) {
            (State::Growing(growing), true) => {
                let (file, error) = close(*growing, frames, &markers);
                let gaps = converted(&self.gaps, &self.ticket, file.frames);
                (Some(recorded(file, gaps, self.started_at)), error)
            }
            (State::Growing(growing), false) => (None, growing.0.discard().err()),
            (State::Failed { finished, error }, _) => {
                let file = finished.map(|file| {
                    let gaps = converted(&self.gaps, &self.ticket, file.frames);
                    recorded(file, gaps, self.started_at)
                });
                (file, Some(error))
            }
        };
        let committed_frames = recording.as_ref().map_or(0, |recording| recording.file.frames);
        let outcome = Outcome::new(end, &self.ticket, second_opinion, recording, error);
        self.ticket.growth.enter(Phase::Ended(Arc::new(outcome)), committed_frames);
        reached("told");
    }

    /// Brings everything before device frame `at_frame`, where the recording ends with `frames`, into the file.
    fn complete(&mut self, at_frame: u64, frames: u64) {
        self.gap_until(at_frame, GapCause::Storage);
        self.commit(at_frame);
        if self.made_frames < frames
            && let Some(resampler) = &mut self.resampler
        {
            resampler.finish(self.fed_frames.max(at_frame), &mut self.resampled);
            self.quantise_resampled();
        }
        self.write();
    }

    /// Measures the stop tone's last key, whose samples were held back, on the channel where it is loudest.
    fn second_opinion(&self, ending: &Ending) -> Option<SecondOpinion> {
        let key = ending.stop_tone.as_ref()?.keys().last()?;
        let channels = usize::from(self.ticket.spec.channels);
        let held = |piece: &Piece| match piece {
            Piece::Audio(samples) => samples.iter().map(|&x| audible(x)).collect(),
            Piece::Zeros(frames) => vec![0.0; *frames as usize * channels],
        };
        let skip = usize::try_from(key.onset_frame.checked_sub(self.fed_frames)?).ok()? * channels;
        let take = usize::try_from(key.decision_frame + 1 - key.onset_frame).ok()? * channels;
        let held: Vec<f32> = self.pending.iter().flat_map(held).skip(skip).take(take).collect();
        let channel = |channel| held.iter().skip(channel).step_by(channels).copied().collect::<Vec<f32>>();
        let energy = |samples: &Vec<f32>| samples.iter().map(|x| x * x).sum::<f32>();
        let loudest = (0..channels).map(channel).max_by(|a, b| energy(a).total_cmp(&energy(b)))?;
        second_opinion(&loudest, self.ticket.device_rate, key.key)
    }

    /// Passes on what waits before this device frame.
    fn commit(&mut self, until_frame: u64) {
        let channels = usize::from(self.ticket.spec.channels);
        while until_frame > self.fed_frames
            && let Some(piece) = self.pending.pop_front()
        {
            let most = until_frame - self.fed_frames;
            let (fed, rest) = match piece {
                Piece::Audio(mut samples) => {
                    let rest = samples.split_off(samples.len().min(most as usize * channels));
                    self.feed(&samples);
                    ((samples.len() / channels) as u64, (!rest.is_empty()).then_some(Piece::Audio(rest)))
                }
                Piece::Zeros(frames) => {
                    let fed = frames.min(most);
                    let mut samples = fed as usize * channels;
                    while samples > 0 && !self.has_failed() {
                        let piece = samples.min(ZEROS.len() / channels * channels);
                        self.feed(&ZEROS[..piece]);
                        samples -= piece;
                    }
                    (fed, (frames > fed).then_some(Piece::Zeros(frames - fed)))
                }
            };
            self.fed_frames += fed;
            if let Some(rest) = rest {
                self.pending.push_front(rest);
            }
        }
    }

    fn feed(&mut self, samples: &[f32]) {
        if self.has_failed() || samples.is_empty() {
            return;
        }
        let samples = self.listener.hear(samples);
        match &mut self.resampler {
            Some(resampler) => {
                resampler.process(samples, &mut self.resampled);
                self.quantise_resampled();
            }
            None => {
                self.made_frames += (samples.len() / usize::from(self.ticket.spec.channels)) as u64;
                quantise(self.ticket.spec.format, samples, &mut self.bytes);
            }
        }
        if self.bytes.len() >= PIECE_BYTES {
            self.write();
        }
    }

    fn quantise_resampled(&mut self) {
        self.made_frames += (self.resampled.len() / usize::from(self.ticket.spec.channels)) as u64;
        quantise(self.ticket.spec.format, &self.resampled, &mut self.bytes);
        self.resampled.clear();
    }

    fn write(&mut self) {
        let State::Growing(growing) = &mut self.file else { return };
        if self.bytes.is_empty() {
            return;
        }
        let (file, digest) = &mut **growing;
        let (frame_bytes, ceiling) = (self.ticket.spec.frame_bytes(), self.ticket.ceiling_bytes);
        let room = (ceiling / frame_bytes).saturating_sub(file.frames()) * frame_bytes;
        let fits = &self.bytes[..self.bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        let written = file.append(fits);
        if written.is_ok() {
            digest.update(fits);
        }
        let too_long = fits.len() < self.bytes.len();
        self.bytes.clear();
        match written {
            Err(e) => self.fail(StoreError::io("writing the recording", &e)),
            Ok(()) if too_long => self.fail(StoreError::too_long(ceiling)),
            Ok(()) => {}
        }
    }

    /// Finishes the file with what is in it.
    fn fail(&mut self, error: StoreError) {
        self.pending = VecDeque::new();
        self.bytes = Vec::new();
        let frames = if let State::Growing(growing) = &self.file { growing.0.frames() } else { 0 };
        let markers = self.markers(frames);
        let failed = State::Failed { finished: None, error };
        if let State::Growing(growing) = std::mem::replace(&mut self.file, failed)
            && let State::Failed { finished, .. } = &mut self.file
        {
            *finished = Some(close(*growing, frames, &markers).0);
        }
    }

    /// Where the recording's frame lies at which a device frame is.
    fn frame_of(&self, device_frame: u64) -> u64 {
        self.ticket.device_rate.convert(device_frame, self.ticket.spec.rate)
    }
}

/// Finishes a file after `frames`, or after what it has if that is less.
fn close((file, digest): (SampleFile, Digest), frames: u64, markers: &[Marker]) -> (Finished, Option<StoreError>) {
    let frames = frames.min(file.frames());
    let sha = match digest.at(frames) {
        Some(sha) => Ok(sha),
        None => file.hash(frames),
    };
    let spec = file.spec();
    let (bytes, error) = file.finish(frames, markers);
    let (sha256, error) = match sha {
        Ok(sha) => (hex(&sha.finalize()), error),
        Err(e) => (String::new(), error.or(Some(StoreError::io("reading the recording", &e)))),
    };
    (Finished { frames, rate: spec.rate, channels: spec.channels, bytes, sha256 }, error)
}

/// Gaps at the recording's rate, as far as they lie in its `frames`.
fn converted(gaps: &[(u64, u64, GapCause)], ticket: &Ticket, frames: u64) -> Vec<Gap> {
    let frame_of = |device_frame| ticket.device_rate.convert(device_frame, ticket.spec.rate).min(frames);
    gaps.iter()
        .map(|&(at, count, cause)| Gap { at: frame_of(at), frames: frame_of(at + count) - frame_of(at), cause })
        .filter(|gap| gap.frames > 0)
        .collect()
}

#[cfg(test)]
#[path = "recording_tests.rs"]
pub(super) mod tests;
