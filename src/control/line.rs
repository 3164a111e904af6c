//! A configured microphone: which channels of which source, and how its recordings are stored.
//!
//! Belongs here: when a recording begins on a source, turning seconds into frames. Does not: opening sources
//! (`microphone`), calls and operations (`call`, `operation`).

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use super::chain::{Desk, FlatChain, next_key};
use super::keys::Keys;
pub use super::microphone::Microphone;
use crate::capture::health::Health;
use crate::capture::{Pace, Source};
use crate::clock;
use crate::dsp::ear::Meter;
use crate::pipeline::{Channels, Order, RecordingKey, Start};
use crate::playback::{Playback, Sound};
use crate::record::{Rules, StopTones};
use crate::store::growth::{Told, Watcher, growth};
use crate::store::recording_in;
use crate::store::writer::{Anchor, Ticket};
use crate::units::Rate;
use crate::wav::{Metadata, SampleFormat, Spec};

/// When a recording begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the next frame captured.
    Now,
    /// After so long: what is played is only timed, because nothing can be heard on this line.
    AfterTimed(Duration),
    /// When what is played is over or answered: after so long, or, if it can be heard, when [`Line::cue`] says so.
    Cue(Option<Duration>),
    /// At the very frame at which this one ends.
    After(RecordingKey),
}

/// What a recording shall be.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The operation's id, which is the recording's, too.
    pub id: Uuid,
    /// When it begins.
    pub begin: Begin,
    /// In seconds, as asked for.
    pub initial_silence: u32,
    /// In seconds.
    pub max_silence: u32,
    /// In seconds.
    pub max_duration: u32,
    /// The keys that end it.
    pub stop_tones: StopTones,
    /// Goes into the file's description.
    pub client_context: Option<String>,
    /// Whether it begins muted.
    pub muted: bool,
}

/// A recording that was taken on.
#[derive(Debug)]
pub struct Running {
    /// Its name on the line.
    pub key: RecordingKey,
    /// How it goes.
    pub growth: Watcher,
}

/// Why a recording was not taken on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineError {
    /// The source is not open, and why.
    NotReady(String),
    /// Too many requests wait already.
    TooMany,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineError::NotReady(why) => write!(f, "the line is not ready: {why}"),
            LineError::TooMany => write!(f, "too many recordings wait on this line"),
        }
    }
}

/// How a line is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The line's name.
    pub name: String,
    /// What it hears.
    pub source: Source,
    /// Whether the device is open while nobody records.
    pub open_always: bool,
    /// The device's channels that are recorded, counted from 0.
    pub channels: Channels,
    /// Of recordings; `None` is the device's own.
    pub rate: Option<Rate>,
    /// Of recordings.
    pub format: SampleFormat,
    /// Where prompts and beeps are played: `device:NAME`, `wav:PATH` or `none`.
    pub playback: String,
    /// Where recordings are kept.
    pub folder: PathBuf,
    /// A growing file is synced so often.
    pub sync_interval: Duration,
}

fn cue(from_frame: u64, lasts: Option<Duration>, rate: Rate) -> Start {
    Start::Cue { from_frame, at_frame: lasts.map(|lasts| from_frame + rate.frames_in_time(lasts)) }
}

/// One configured microphone.
pub struct Line {
    settings: Settings,
    microphone: Arc<Microphone>,
    playback: Option<Playback>,
    /// Recordings of a `pace=fast` file, each with a chain of its own.
    flat: Mutex<Vec<(Running, Desk)>>,
}

impl Line {
    /// A line on a microphone, which other lines may share.
    pub fn new(settings: Settings, microphone: Arc<Microphone>) -> Result<Arc<Line>, String> {
        let playback = Playback::open(&settings.playback)?;
        Ok(Arc::new(Line { settings, microphone, playback, flat: Mutex::new(Vec::new()) }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What it hears.
    pub fn source(&self) -> &Source {
        &self.settings.source
    }

    /// Why it cannot record now, if so.
    pub fn ready(&self) -> Result<(), String> {
        if self.opens_when_asked() && self.microphone.is_closed() { Ok(()) } else { self.microphone.ready() }
    }

    /// How its device is doing; `None` while it is closed.
    pub fn health(&self) -> Option<Health> {
        self.microphone.health()
    }

    /// How often its pipeline and its writer have come round, as a sign of life; `None` while it is closed.
    pub fn beats(&self) -> Option<[u64; 2]> {
        self.microphone.beats()
    }

    /// Closes the device, for good.
    pub fn close(&self) {
        self.microphone.close();
    }

    /// Opens the device at once, if that is how it is configured, and looks after it from now on.
    pub fn start(&self) {
        self.microphone.supervised(!self.opens_when_asked());
    }

    fn opens_when_asked(&self) -> bool {
        matches!(self.settings.source, Source::Wav { .. }) || !self.settings.open_always
    }

    /// What its recordings' samples are, once the device is known.
    pub fn spec(&self) -> Option<Spec> {
        self.microphone.desk().map(|desk| self.spec_on(&desk))
    }

    fn spec_on(&self, desk: &Desk) -> Spec {
        let channels = self.settings.channels.iter(desk.channels).count() as u16;
        Spec { rate: self.settings.rate.unwrap_or(desk.rate), channels, format: self.settings.format }
    }

    /// Frames that its source has delivered or lost since it was opened; none while it is closed.
    pub fn captured_frames(&self) -> Option<u64> {
        self.microphone.desk().map(|desk| desk.captured.next_frame())
    }

    /// How loud its channels are, in their order; none while the device is closed.
    pub fn meters(&self) -> Vec<Meter> {
        let Some(desk) = self.microphone.desk().filter(|_| self.microphone.ready().is_ok()) else { return Vec::new() };
        self.settings.channels.iter(desk.channels).filter_map(|channel| desk.meters.read(channel)).collect()
    }

    /// The same for the one who tells levels to all others: peaks are those since the last time.
    pub fn take_meters(&self) -> Vec<Meter> {
        let Some(desk) = self.microphone.desk().filter(|_| self.microphone.ready().is_ok()) else { return Vec::new() };
        self.settings.channels.iter(desk.channels).filter_map(|channel| desk.meters.take(channel)).collect()
    }

    /// The keys that its channels hear from now on, unless it is closed.
    pub fn keys_if_open(&self) -> Option<Keys> {
        self.microphone.desk().map(|desk| Keys::of(&desk, self.settings.channels))
    }

    /// Whether prompts and beeps can be heard.
    pub fn has_playback(&self) -> bool {
        self.playback.is_some()
    }

    /// Whether every recording reads a file from its start: nothing that is played happens at the same time as it.
    pub fn is_flat(&self) -> bool {
        matches!(self.settings.source, Source::Wav { pace: Pace::Fast, .. })
    }

    /// Plays a sound; it is over when it has left the speaker, or would have.
    pub async fn play(&self, sound: &Sound) -> Result<(), String> {
        match (&self.playback, sound.lasts()) {
            (Some(playback), _) => {
                let sounding = self.microphone.desk().map(|desk| desk.sounding).unwrap_or_default();
                playback.play(sound, &sounding).await
            }
            (None, Some(lasts)) => {
                tokio::time::sleep(lasts).await;
                Ok(())
            }
            (None, None) => std::future::pending().await,
        }
    }

    /// Takes a recording on.
    pub fn record(&self, ask: Ask) -> Result<Running, LineError> {
        if self.is_flat() {
            return self.record_flat(&ask);
        }
        let lead = if let Begin::AfterTimed(lead) = ask.begin { lead } else { Duration::ZERO };
        let was_open = self.microphone.desk().is_some();
        let desk =
            if self.opens_when_asked() { self.microphone.open_with_lead(lead) } else { self.microphone.ready_desk() };
        let desk = desk.map_err(LineError::NotReady)?;
        // Who opens a file hears it from its first frame.
        let now = if was_open { desk.captured.next_frame() } else { 0 };
        let start = match ask.begin {
            Begin::Now => Start::At(now),
            Begin::AfterTimed(lead) => Start::At(now + desk.rate.frames_in_time(lead)),
            Begin::Cue(lasts) => cue(now, lasts, desk.rate),
            Begin::After(key) => Start::After(key),
        };
        let key = next_key();
        let growth = self.begin(&desk, key, start, &ask)?;
        Ok(Running { key, growth })
    }

    fn begin(&self, desk: &Desk, key: RecordingKey, start: Start, ask: &Ask) -> Result<Watcher, LineError> {
        let spec = self.spec_on(desk);
        if spec.channels == 0 {
            let why = format!("the device has {} channels and none of the line's", desk.channels);
            return Err(LineError::NotReady(why));
        }
        let (growth, watched) = growth();
        let ticket = Box::new(Ticket {
            path: recording_in(&self.settings.folder, ask.id),
            spec,
            channels: self.settings.channels,
            device_rate: desk.rate,
            metadata: Metadata {
                description: ask.client_context.clone().unwrap_or_default(),
                reference: ask.id.to_string(),
                started: None,
            },
            anchor: Anchor { frame: desk.captured.next_frame(), at: clock::wall() },
            sync_every_frames: (self.settings.sync_interval.as_secs_f64() * f64::from(spec.rate.hz())) as u64,
            // Past 4 GiB it is an RF64: only the disk ends it.
            ceiling_bytes: u64::MAX,
            growth,
        });
        let rules =
            Rules::in_seconds(desk.rate, ask.initial_silence, ask.max_silence, ask.max_duration, ask.stop_tones);
        let order = Order { key, channels: self.settings.channels, start, rules, ticket };
        desk.begin(order, ask.muted).map_err(|_| LineError::TooMany)?;
        Ok(watched)
    }

    /// Every recording of such a file hears it from its start, on a thread of its own.
    fn record_flat(&self, ask: &Ask) -> Result<Running, LineError> {
        let not_ready = |why: String| LineError::NotReady(why);
        let mut chain = FlatChain::open(&self.settings.source, self.microphone.setup()).map_err(not_ready)?;
        let key = next_key();
        let start = match ask.begin {
            Begin::Cue(lasts) => cue(0, lasts, chain.desk().rate),
            _ => Start::At(0),
        };
        let growth = self.begin(chain.desk(), key, start, ask)?;
        let desk = chain.desk().clone();
        let mut flat = self.flat.lock().unwrap_or_else(PoisonError::into_inner);
        flat.retain(|(running, _)| running.growth.outcome().is_none());
        flat.push((Running { key, growth: growth.clone() }, desk));
        let watched = growth.clone();
        let spawned = std::thread::Builder::new().name("replay".into()).spawn(move || {
            // Whoever asked keeps a receiver, so the sender's end is the recording's end.
            while watched.goes_on() {
                chain.turn();
            }
        });
        spawned.map_err(|error| not_ready(format!("no thread: {error}")))?;
        Ok(Running { key, growth })
    }

    /// What is played before a recording is over.
    pub fn cue(&self, key: RecordingKey) {
        if let Some(desk) = self.microphone.desk() {
            desk.cue(key);
        }
    }

    /// Returns when what is played before a recording has been answered.
    pub fn answered(&self, key: RecordingKey) -> impl Future<Output = ()> + Send + use<> {
        // Listens from now on, not from the first poll.
        let told = self.microphone.desk().map(|desk| desk.listen());
        async move {
            let Some(mut told) = told else { return std::future::pending().await };
            loop {
                match told.recv().await {
                    Ok(Told::Answered(answered)) if answered == key => return,
                    Err(RecvError::Closed) => return std::future::pending().await,
                    _ => {}
                }
            }
        }
    }

    /// Ends a recording with the next frame captured; its growth tells when it has ended.
    pub fn cancel(&self, key: RecordingKey) {
        if let Some(desk) = self.desk_of(key) {
            desk.cancel(key);
        }
    }

    /// Mutes a recording with the next frame captured, or no longer.
    pub fn mute(&self, key: RecordingKey, on: bool) {
        if let Some(desk) = self.desk_of(key) {
            desk.mute(key, on);
        }
    }

    fn desk_of(&self, key: RecordingKey) -> Option<Desk> {
        let flat = self.flat.lock().unwrap_or_else(PoisonError::into_inner);
        let own = flat.iter().find(|(running, _)| running.key == key).map(|(_, desk)| desk.clone());
        own.or_else(|| self.microphone.desk())
    }

    /// The keys that its channels hear from now on; the device is opened if it was not. A line that
    /// [is flat](Line::is_flat) hears none.
    pub fn keys(&self) -> Result<Keys, LineError> {
        let desk = if self.opens_when_asked() { self.microphone.open() } else { self.microphone.ready_desk() };
        let desk = desk.map_err(LineError::NotReady)?;
        Ok(Keys::of(&desk, self.settings.channels))
    }
}
