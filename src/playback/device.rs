//! Loudspeakers, through cpal.
//!
//! One thread a sound: it makes the samples, opens the device, waits until the last frame has left it, closes it. The
//! callback copies from memory and counts; what is left in the device's buffers is known from cpal's time stamps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{ErrorKind, FromSample, I24, SampleFormat, SizedSample, StreamConfig, U24};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::plan::Plan;
use super::{Done, Score};
use crate::cards::{self, Direction, Wanted};
use crate::clock;
use crate::rt::sounding::{Part as Sounds, Sounding};
use crate::units::Rate;

/// So much is asked for at a time.
const PERIOD_MS: u32 = 20;
/// A device that does not open within this long does not open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// A device that takes no frames for so long has died without a word.
const STALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the thread looks how far the device is, and whether anyone still wants to hear it.
const LOOK: Duration = Duration::from_millis(10);
/// Time stamps of outputs are estimates: so much is waited on top of them, for a recording must not hear its own beep.
const MARGIN: Duration = Duration::from_millis(20);

/// Plays so often (0: for ever) on a thread of its own and reports the end; stops when `done` is closed by whoever waited.
pub fn play(name: &str, score: Score, plays: u32, sounding: Sounding, done: Done) -> Result<(), String> {
    let device = name.to_owned();
    let run = move || {
        let played = run(&device, score, plays, &sounding, &done).map_err(|words| format!("device:{device}: {words}"));
        let _ = done.send(played);
    };
    let spawned = std::thread::Builder::new().name("playback".into()).spawn(run);
    spawned.map(drop).map_err(|error| format!("device:{name}: no thread for it: {error}"))
}

/// What the callbacks tell.
#[derive(Default)]
struct Progress {
    /// Callbacks so far.
    calls: AtomicU64,
    /// The next sample to be handed over.
    next: AtomicUsize,
    /// Set when the last frame was handed over; from then on `left_ns` is what it still takes.
    ended: AtomicBool,
    left_ns: AtomicU64,
}

fn run(name: &str, score: Score, plays: u32, sounding: &Sounding, done: &Done) -> Result<(), String> {
    let words = |error: cpal::Error| error.to_string();
    let device = cards::find(name, Direction::Output).map_err(|error| error.to_string())?;
    let config = cards::choose(&device, Direction::Output, Wanted::default()).map_err(words)?;
    let rate = Rate::new(config.sample_rate()).ok_or_else(|| format!("{} Hz is not served", config.sample_rate()))?;
    let format = config.sample_format();
    let channels = usize::from(config.channels());
    let samples: Arc<[f32]> = score(rate, channels)?.into();
    let heard = Heard { plan: Plan::of(&samples, rate, channels), channels, part: sounding.part() };
    let progress = Arc::new(Progress::default());
    let (fail, failed) = bounded(1);
    let ask = |buffer_size| {
        let config = StreamConfig { buffer_size, ..config.config() };
        let part = Part { samples: samples.clone(), plays, progress: progress.clone(), fail: fail.clone(), rate };
        part.build(&device, format, config)
    };
    let stream = match ask(cards::buffer(&config, PERIOD_MS)) {
        Err(error) if error.kind() == ErrorKind::UnsupportedConfig => ask(cpal::BufferSize::Default),
        built => built,
    };
    let stream = stream.map_err(words)?;
    heard.tell(&progress);
    stream.play().map_err(words)?;
    wait(&progress, &heard, &failed, done)
}

/// What a microphone may hear of it.
struct Heard {
    plan: Plan,
    channels: usize,
    part: Sounds,
}

impl Heard {
    fn tell(&self, progress: &Progress) {
        self.part.is(self.plan.around(progress.next.load(Ordering::Relaxed) / self.channels));
    }
}

/// Until the last frame has left the device, or it fails, or nobody wants to hear it any more.
fn wait(progress: &Progress, heard: &Heard, failed: &Receiver<cpal::Error>, done: &Done) -> Result<(), String> {
    let (mut calls, mut moved, mut trouble) = (0, clock::now(), None);
    while !done.is_closed() {
        match failed.recv_timeout(LOOK) {
            Ok(error) if is_fatal(error.kind()) => return Err(error.to_string()),
            Ok(error) => trouble = Some(error),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("its stream is gone".to_owned()),
        }
        heard.tell(progress);
        let now_calls = progress.calls.load(Ordering::Relaxed);
        if now_calls != calls {
            (calls, moved) = (now_calls, clock::now());
        }
        if progress.ended.load(Ordering::Acquire) {
            return drain(progress, failed, done);
        }
        if moved.elapsed() > STALL_TIMEOUT {
            let why = trouble.map_or(String::new(), |error| format!("; before that: {error}"));
            return Err(format!("it took no frames for {} s{why}", STALL_TIMEOUT.as_secs()));
        }
    }
    Ok(())
}

/// The last frame is in the device's buffers: until it has left them.
fn drain(progress: &Progress, failed: &Receiver<cpal::Error>, done: &Done) -> Result<(), String> {
    let until = clock::now() + Duration::from_nanos(progress.left_ns.load(Ordering::Relaxed)) + MARGIN;
    loop {
        let left = until.saturating_duration_since(clock::now());
        if left.is_zero() || done.is_closed() {
            return Ok(());
        }
        if let Ok(error) = failed.recv_timeout(left.min(LOOK))
            && is_fatal(error.kind())
        {
            return Err(error.to_string());
        }
    }
}

/// Whether the stream will not go on. After anything else cpal tries again (ALSA's plugin for PulseAudio fails now and
/// then to say how far it is); if it does not succeed, the device stalls.
fn is_fatal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::DeviceNotAvailable | ErrorKind::StreamInvalidated | ErrorKind::HostUnavailable)
}

/// A sound on its way into one stream.
struct Part {
    samples: Arc<[f32]>,
    plays: u32,
    progress: Arc<Progress>,
    fail: Sender<cpal::Error>,
    rate: Rate,
}

impl Part {
    fn build(
        self,
        device: &cpal::Device,
        format: SampleFormat,
        config: StreamConfig,
    ) -> Result<cpal::Stream, cpal::Error> {
        match format {
            SampleFormat::I8 => self.build_as::<i8>(device, config),
            SampleFormat::I16 => self.build_as::<i16>(device, config),
            SampleFormat::I24 => self.build_as::<I24>(device, config),
            SampleFormat::I32 => self.build_as::<i32>(device, config),
            SampleFormat::I64 => self.build_as::<i64>(device, config),
            SampleFormat::U8 => self.build_as::<u8>(device, config),
            SampleFormat::U16 => self.build_as::<u16>(device, config),
            SampleFormat::U24 => self.build_as::<U24>(device, config),
            SampleFormat::U32 => self.build_as::<u32>(device, config),
            SampleFormat::U64 => self.build_as::<u64>(device, config),
            SampleFormat::F32 => self.build_as::<f32>(device, config),
            SampleFormat::F64 => self.build_as::<f64>(device, config),
            other => {
                let words = format!("samples of type {other} are not PCM");
                Err(cpal::Error::with_message(ErrorKind::UnsupportedConfig, words))
            }
        }
    }

    fn build_as<T>(self, device: &cpal::Device, config: StreamConfig) -> Result<cpal::Stream, cpal::Error>
    where
        T: SizedSample + FromSample<f32> + Send + 'static,
    {
        let Part { samples, plays, progress, fail, rate } = self;
        let channels = usize::from(config.channels);
        let samples = samples.iter().map(|sample| T::from_sample(*sample)).collect();
        let mut feeder = Feeder { samples, next: 0, plays, channels, rate, progress };
        // An underrun is heard, but the sound goes on.
        let complain = move |error: cpal::Error| {
            if error.kind() != ErrorKind::Xrun {
                let _ = fail.try_send(error);
            }
        };
        let feed = move |out: &mut [T], info: &cpal::OutputCallbackInfo| {
            let stamp = info.timestamp();
            feeder.fill(out, stamp.playback.duration_since(stamp.callback));
        };
        device.build_output_stream(config, feed, complain, Some(OPEN_TIMEOUT))
    }
}

/// The callback's end: copies and counts.
struct Feeder<T> {
    samples: Box<[T]>,
    next: usize,
    /// How often it is still to be played, this time included; 0 is for ever.
    plays: u32,
    channels: usize,
    rate: Rate,
    progress: Arc<Progress>,
}

impl<T: SizedSample> Feeder<T> {
    /// `latency`: until the first frame of `out` leaves the device.
    #[cfg_attr(feature = "rtsan", rtsan_standalone::nonblocking)]
    fn fill(&mut self, out: &mut [T], latency: Duration) {
        let mut now = 0;
        // A sound lasts 10 ms at the least, so this ends.
        while now < out.len() {
            let rest = &self.samples[self.next..];
            let some = rest.len().min(out.len() - now);
            out[now..now + some].copy_from_slice(&rest[..some]);
            (self.next, now) = (self.next + some, now + some);
            if self.next < self.samples.len() || self.plays == 1 {
                break;
            }
            (self.next, self.plays) = (0, self.plays.saturating_sub(1));
        }
        out[now..].fill(T::EQUILIBRIUM);
        self.progress.next.store(self.next, Ordering::Relaxed);
        self.progress.calls.fetch_add(1, Ordering::Relaxed);
        if self.next == self.samples.len() && self.plays == 1 && !self.progress.ended.load(Ordering::Relaxed) {
            let frames_ns = (now / self.channels) as u64 * 1_000_000_000 / u64::from(self.rate.hz());
            self.progress.left_ns.store(latency.as_nanos() as u64 + frames_ns, Ordering::Relaxed);
            self.progress.ended.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_known_from_the_last_frame_handed_over_and_the_devices_latency() {
        let progress = Arc::new(Progress::default());
        let (samples, channels) = (vec![7_i16; 200].into(), 2);
        let rate = Rate::TELEPHONE;
        let mut feeder = Feeder { samples, next: 0, plays: 1, channels, rate, progress: progress.clone() };
        let mut out = [1_i16; 160];
        feeder.fill(&mut out, Duration::from_millis(30));
        assert_eq!(out, [7; 160]);
        assert!(!progress.ended.load(Ordering::Relaxed));
        feeder.fill(&mut out, Duration::from_millis(30));
        assert_eq!((&out[..40], &out[40..]), (&[7; 40][..], &[0; 120][..]));
        assert!(progress.ended.load(Ordering::Relaxed));
        assert_eq!(progress.left_ns.load(Ordering::Relaxed), 32_500_000, "20 frames at 8 kHz and 30 ms");
        feeder.fill(&mut out, Duration::from_millis(90));
        assert_eq!(progress.left_ns.load(Ordering::Relaxed), 32_500_000, "silence after it does not count");
    }

    #[test]
    fn a_loop_has_no_seam_and_for_ever_does_not_end() {
        for plays in [3, 0] {
            let progress = Arc::new(Progress::default());
            let (samples, rate) = (vec![1_i16, 2, 3].into(), Rate::TELEPHONE);
            let mut feeder = Feeder { samples, next: 0, plays, channels: 1, rate, progress: progress.clone() };
            let mut out = [9_i16; 12];
            feeder.fill(&mut out[..5], Duration::ZERO);
            feeder.fill(&mut out[5..], Duration::ZERO);
            let expected =
                if plays == 3 { [1, 2, 3, 1, 2, 3, 1, 2, 3, 0, 0, 0] } else { [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3] };
            assert_eq!(out, expected);
            assert_eq!(progress.ended.load(Ordering::Relaxed), plays == 3);
        }
    }

    #[tokio::test]
    async fn a_loudspeaker_that_is_not_there_is_named() {
        let playback = crate::playback::Playback::open("device:alsa:no-such-speaker").unwrap().unwrap();
        assert!(
            playback
                .play(&crate::playback::Sound::Beep, &Sounding::default())
                .await
                .unwrap_err()
                .contains("no-such-speaker")
        );
    }
}
