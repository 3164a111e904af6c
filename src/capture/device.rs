//! Microphones, through cpal.
//!
//! Three threads have to do with one device: cpal's, on which the callback runs; a keeper of ours, which opens the stream,
//! holds it (a hanging sound server must not hang anyone else), asks for real-time priority for cpal's thread and puts
//! its errors into the log; and the pipeline's, which reads the ring. The callback and the error callback only copy into
//! wait-free rings and count.

use std::sync::Once;
use std::time::Duration;

use audio_thread_priority::{RtPriorityThreadInfo, get_current_thread_info, promote_thread_to_real_time};
use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{ErrorKind, I24, SampleFormat, SizedSample, StreamConfig, U24};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::drift::Drift;
use super::gaps::Gaps;
use super::health::Health;
use super::{Capture, Feeding, PERIOD_MS, Same};
use crate::cards::{self, DeviceError, Direction, Identity, Wanted};
use crate::record::GapCause;
use crate::rt::ring::{Captured, Consumer, Producer, Sample, ring};
use crate::units::Rate;

/// So much fits in the ring: a stalled pipeline loses nothing for so long.
const RING_MS: u32 = 2_000;
/// A device that does not open within this long does not open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// The keeper looks so often after a stream that has just begun: for the thread that is to be given priority.
const FIRST_LOOKS: Duration = Duration::from_millis(20);
/// And so often later: for errors.
const LATER_LOOKS: Duration = Duration::from_millis(500);
/// Dropping a device waits at most so long for it to be closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Words of so many errors wait for the keeper; more are counted only.
const ERRORS: usize = 8;
/// At most one line a device in this many of the keeper's looks: a device in trouble has thousands of errors a second.
const LOOKS_PER_LINE: u32 = 20;

/// A microphone that runs. It stops when this is dropped.
pub struct Device {
    /// Its rate.
    pub rate: Rate,
    /// Its channels.
    pub channels: usize,
    /// Its samples, as cpal calls them: `i16`, `f32` …
    pub format: String,
    /// About so many frames come at once.
    pub period_frames: usize,
    /// What it delivers.
    pub consumer: Consumer,
    /// How far it has come.
    pub captured: Captured,
    /// How it is doing.
    pub health: Health,
    /// Which it is.
    pub identity: Identity,
    keeper: Keeper,
}

/// Opens a microphone as it offers itself and lets it run.
pub fn open(name: &str, period_ms: u32) -> Result<Capture, DeviceError> {
    open_with(name, Wanted { period_ms: Some(period_ms), ..Wanted::default() }).map(Capture::from)
}

/// Opens the same microphone again that was opened before, and no other that goes by its name now.
pub fn reopen(identity: &Identity, period_ms: u32) -> Result<Capture, DeviceError> {
    let name = identity.name_now()?;
    let device = open_with(&name, Wanted { period_ms: Some(period_ms), ..Wanted::default() })?;
    // It may have been changed for another while it was being opened.
    identity.check(&device.identity)?;
    Ok(device.into())
}

/// Opens a microphone and lets it run; `name` is what follows `device:`.
pub fn open_with(name: &str, wanted: Wanted) -> Result<Device, DeviceError> {
    let (report, reported) = bounded(1);
    let (stop, stopped) = bounded(0);
    let (closing, closed) = bounded(0);
    let wanted_name = name.to_owned();
    let keep = move || {
        keep(&wanted_name, wanted, &report, &stopped);
        // Held until the stream is gone.
        drop(closing);
    };
    let spawned = std::thread::Builder::new().name("device".into()).spawn(keep);
    spawned.map_err(|error| DeviceError::Failed(format!("{name}: no thread for it: {error}")))?;
    let keeper = Keeper { stop: Some(stop), closed };
    match reported.recv_timeout(OPEN_TIMEOUT) {
        Ok(Ok(Opened { rate, channels, format, period_frames, consumer, health, identity })) => {
            let captured = consumer.captured();
            Ok(Device { rate, channels, format, period_frames, consumer, captured, health, identity, keeper })
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(DeviceError::Failed(format!("{name}: it did not open within {} s", OPEN_TIMEOUT.as_secs()))),
    }
}

impl From<Device> for Capture {
    fn from(device: Device) -> Capture {
        let Device { rate, consumer, keeper, health, identity, .. } = device;
        Capture { rate, ring: consumer, feed: Feeding::Alone(Box::new(keeper)), health, same: Same::Device(identity) }
    }
}

/// Stops the keeper, and waits a moment for it: the next one may want the device for itself.
struct Keeper {
    stop: Option<Sender<()>>,
    closed: Receiver<()>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop = None;
        // It never sends: this ends when the stream is gone, or in time.
        let _ = self.closed.recv_timeout(CLOSE_TIMEOUT);
    }
}

struct Opened {
    rate: Rate,
    channels: usize,
    format: String,
    period_frames: usize,
    consumer: Consumer,
    health: Health,
    identity: Identity,
}

/// What the callbacks leave for the keeper.
struct Post {
    threads: rtrb::Consumer<RtPriorityThreadInfo>,
    errors: rtrb::Consumer<cpal::Error>,
}

/// The keeper's life.
fn keep(name: &str, wanted: Wanted, report: &Sender<Result<Opened, DeviceError>>, stopped: &Receiver<()>) {
    let (stream, opened, mut post) = match start(name, wanted) {
        Ok(started) => started,
        Err(error) => return drop(report.send(Err(error))),
    };
    let (health, rate, period) = (opened.health.clone(), opened.rate, opened.period_frames);
    // Whoever waited may have given up: then the stream closes again at the first look.
    let _ = report.send(Ok(opened));
    let (mut looks, mut quiet) = (FIRST_LOOKS, 0);
    while stopped.recv_timeout(looks) == Err(RecvTimeoutError::Timeout) {
        if let Ok(thread) = post.threads.pop() {
            looks = LATER_LOOKS;
            promote(name, thread, period, rate, &health);
        }
        quiet = u32::saturating_sub(quiet, 1);
        if let Ok(error) = post.errors.pop()
            && quiet == 0
        {
            quiet = LOOKS_PER_LINE;
            let (xruns, errors) = (health.xruns(), health.errors());
            tracing::warn!(
                "{name}: {error} ({xruns} xruns, {errors} errors, {} frames lost so far)",
                health.lost_frames()
            );
        }
    }
    drop(stream);
}

/// Asks for real-time priority; a host that refuses is no reason not to record, and is told of once.
fn promote(name: &str, thread: RtPriorityThreadInfo, period_frames: usize, rate: Rate, health: &Health) {
    static REFUSED: Once = Once::new();
    match promote_thread_to_real_time(thread, period_frames as u32, rate.hz()) {
        Ok(_) => health.note_real_time(),
        Err(error) => REFUSED.call_once(|| {
            tracing::warn!(
                "no real-time priority for the thread of {name}, so a busy host may lose frames; LimitRTPRIO= or root allows it: {error}"
            );
        }),
    }
}

fn start(name: &str, wanted: Wanted) -> Result<(cpal::Stream, Opened, Post), DeviceError> {
    let device = cards::find(name, Direction::Input)?;
    let fail = |error: cpal::Error| DeviceError::of(name, &error);
    let config = cards::choose(&device, Direction::Input, wanted).map_err(fail)?;
    let format = config.sample_format();
    let rate = Rate::new(config.sample_rate()).ok_or_else(|| {
        DeviceError::Unsupported(format!("{name}: {} Hz is no rate that can be recorded", config.sample_rate()))
    })?;
    let period_ms = wanted.period_ms.unwrap_or(PERIOD_MS);
    let ask = |buffer_size| build(&device, format, StreamConfig { buffer_size, ..config.config() }, rate);
    let built = match ask(cards::buffer(&config, period_ms)) {
        Err(error) if error.kind() == ErrorKind::UnsupportedConfig => ask(cpal::BufferSize::Default),
        built => built,
    };
    let Built { stream, consumer, health, post } = built.map_err(fail)?;
    stream.play().map_err(fail)?;
    let asked_frames = rate.frames_in_ms(period_ms) as usize;
    let period_frames = stream.buffer_size().map_or(asked_frames, |frames| frames as usize);
    let channels = usize::from(config.channels());
    let (format, identity) = (format.to_string(), cards::identity(name, &device));
    Ok((stream, Opened { rate, channels, format, period_frames, consumer, health, identity }, post))
}

struct Built {
    stream: cpal::Stream,
    consumer: Consumer,
    health: Health,
    post: Post,
}

fn build(device: &cpal::Device, format: SampleFormat, config: StreamConfig, rate: Rate) -> Result<Built, cpal::Error> {
    match format {
        SampleFormat::I8 => build_as::<i8>(device, config, rate),
        SampleFormat::I16 => build_as::<i16>(device, config, rate),
        SampleFormat::I24 => build_as::<I24>(device, config, rate),
        SampleFormat::I32 => build_as::<i32>(device, config, rate),
        SampleFormat::I64 => build_as::<i64>(device, config, rate),
        SampleFormat::U8 => build_as::<u8>(device, config, rate),
        SampleFormat::U16 => build_as::<u16>(device, config, rate),
        SampleFormat::U24 => build_as::<U24>(device, config, rate),
        SampleFormat::U32 => build_as::<u32>(device, config, rate),
        SampleFormat::U64 => build_as::<u64>(device, config, rate),
        SampleFormat::F32 => build_as::<f32>(device, config, rate),
        SampleFormat::F64 => build_as::<f64>(device, config, rate),
        other => {
            Err(cpal::Error::with_message(ErrorKind::UnsupportedConfig, format!("samples of type {other} are not PCM")))
        }
    }
}

fn build_as<T>(device: &cpal::Device, config: StreamConfig, rate: Rate) -> Result<Built, cpal::Error>
where
    T: Sample + SizedSample,
{
    let (producer, consumer) = ring::<T>(usize::from(config.channels), rate.frames_in_ms(RING_MS) as usize);
    let health = Health::default();
    let (seat, threads) = rtrb::RingBuffer::new(1);
    let (letters, errors) = rtrb::RingBuffer::new(ERRORS);
    let mut intake = Intake {
        producer,
        channels: usize::from(config.channels),
        rate,
        gaps: Gaps::new(rate),
        drift: Drift::new(rate),
        first: None,
        xruns_seen: 0,
        health: health.clone(),
    };
    let mut complaints = Complaints { letters, health: health.clone() };
    let mut seat = Some(seat);
    let stream = device.build_input_stream(
        config,
        move |samples: &[T], info: &cpal::InputCallbackInfo| {
            introduce(&mut seat);
            intake.take(samples, info.timestamp().callback.as_nanos() as u64);
        },
        move |error| complaints.take(error),
        Some(OPEN_TIMEOUT),
    )?;
    Ok(Built { stream, consumer, health, post: Post { threads, errors } })
}

/// Once, in the first callback, before any recording can depend on it: which thread this is. Two system calls.
fn introduce(seat: &mut Option<rtrb::Producer<RtPriorityThreadInfo>>) {
    if let Some(mut seat) = seat.take()
        && let Ok(thread) = get_current_thread_info()
    {
        let _ = seat.push(thread);
    }
}

/// The callback's end of a stream.
struct Intake<T> {
    producer: Producer<T>,
    channels: usize,
    rate: Rate,
    gaps: Gaps,
    drift: Drift,
    /// The first callback, on the stream's clock and since the device was opened.
    first: Option<(u64, Duration)>,
    xruns_seen: u64,
    health: Health,
}

impl<T: Sample> Intake<T> {
    #[cfg_attr(feature = "rtsan", rtsan_standalone::nonblocking)]
    fn take(&mut self, samples: &[T], now_ns: u64) {
        let (first_ns, opened) = *self.first.get_or_insert_with(|| (now_ns, self.health.age()));
        self.health.heard(opened + Duration::from_nanos(now_ns.saturating_sub(first_ns)));
        let (frames, xruns) = (samples.len() / self.channels, self.health.xruns());
        let xrun = xruns != self.xruns_seen;
        self.xruns_seen = xruns;
        // On the stream's clock.
        let since_first = || self.health.xrun_age().saturating_sub(opened).as_nanos() as u64;
        let lost = self.gaps.observe(now_ns, frames, xrun.then(|| first_ns + since_first()));
        self.health.owes(Duration::from_secs_f64(self.rate.seconds(self.gaps.owed())));
        if let Some(ppm) = self.drift.observe(now_ns, frames, xrun || lost > 0, self.gaps.is_late()) {
            self.health.note_drift(ppm);
        }
        if lost > 0 {
            self.health.note_lost(lost);
            self.producer.lose(lost, if xrun { GapCause::Xrun } else { GapCause::DeviceLost });
        }
        self.producer.push(samples);
    }
}

/// The error callback's end; cpal calls it on the audio thread.
struct Complaints {
    letters: rtrb::Producer<cpal::Error>,
    health: Health,
}

impl Complaints {
    fn take(&mut self, error: cpal::Error) {
        self.count(error.kind(), self.health.age());
        // Its words travel to the keeper, so that they are freed there. When too many wait (a storm) they are freed here,
        // where cpal had allocated them: that is not real-time safe, and neither is a device in that state.
        let _ = self.letters.push(error);
    }

    #[cfg_attr(feature = "rtsan", rtsan_standalone::nonblocking)]
    fn count(&mut self, kind: ErrorKind, at: Duration) {
        match kind {
            ErrorKind::Xrun => self.health.note_xrun(at),
            _ => self.health.note_error(),
        }
        use ErrorKind::{DeviceNotAvailable, HostUnavailable, StreamInvalidated};
        if matches!(kind, DeviceNotAvailable | StreamInvalidated | HostUnavailable) {
            self.health.note_dead();
        }
    }
}

impl Sample for I24 {
    const ZERO: I24 = <I24 as cpal::Sample>::EQUILIBRIUM;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        // ALSA leaves the fourth byte open.
        (self.inner() << 8 >> 8) as f32 / 8_388_608.0
    }
}

impl Sample for U24 {
    const ZERO: U24 = <U24 as cpal::Sample>::EQUILIBRIUM;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        ((self.inner() & 0xFF_FFFF) - 8_388_608) as f32 / 8_388_608.0
    }
}

impl Sample for i64 {
    const ZERO: i64 = 0;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        (self as f64 / 9_223_372_036_854_775_808.0) as f32
    }
}

impl Sample for u64 {
    const ZERO: u64 = 1 << 63;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        (self as f64 / 9_223_372_036_854_775_808.0 - 1.0) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intake(frames: usize) -> (Intake<i16>, Complaints, rtrb::Consumer<cpal::Error>, Consumer) {
        let (producer, consumer) = ring(1, frames);
        let health = Health::default();
        let (letters, errors) = rtrb::RingBuffer::new(ERRORS);
        let (gaps, drift) = (Gaps::new(Rate::TELEPHONE), Drift::new(Rate::TELEPHONE));
        let (rate, health_of) = (Rate::TELEPHONE, health.clone());
        let intake = Intake { producer, channels: 1, rate, gaps, drift, first: None, xruns_seen: 0, health: health_of };
        (intake, Complaints { letters, health }, errors, consumer)
    }

    #[test]
    fn an_xrun_becomes_a_gap_of_the_length_that_time_stamps_show() {
        let (mut intake, mut complaints, _errors, mut consumer) = intake(8_000);
        intake.take(&[1; 80], 0);
        intake.take(&[2; 80], 10_000_000);
        complaints.count(ErrorKind::Xrun, intake.first.unwrap().1 + Duration::from_millis(30));
        intake.take(&[3; 80], 40_000_000);
        let mut out = [0.0; 1_000];
        assert_eq!(consumer.read(&mut out), crate::rt::ring::Read::Frames(160));
        let gap = crate::rt::ring::Gap { at_frame: 160, frames: 160, cause: GapCause::Xrun };
        assert_eq!(consumer.read(&mut out), crate::rt::ring::Read::Gap(gap));
        assert_eq!(consumer.read(&mut out), crate::rt::ring::Read::Frames(80));
        assert_eq!(intake.health.lost_frames(), 160);
    }

    #[test]
    fn a_stream_that_ends_now_has_been_heard_up_to_what_its_last_callback_owes() {
        let (mut intake, _complaints, _errors, _consumer) = intake(8_000);
        intake.take(&[1; 80], 0);
        intake.take(&[2; 80], 10_000_000);
        assert_eq!(intake.health.heard_until(), intake.health.heard_at());
        intake.take(&[3; 80], 320_000_000);
        let owed = intake.health.heard_at().unwrap() - intake.health.heard_until().unwrap();
        assert_eq!(owed, Duration::from_millis(300));
    }

    #[test]
    fn a_storm_of_errors_is_counted_to_the_last_and_the_loss_of_the_device_noted() {
        let (_intake, mut complaints, mut errors, _consumer) = intake(8);
        for _ in 0..10_000 {
            complaints.take(cpal::Error::with_message(ErrorKind::BackendError, "POLLERR".to_owned()));
        }
        assert_eq!(complaints.health.errors(), 10_000);
        assert!(!complaints.health.is_dead());
        complaints.take(ErrorKind::DeviceNotAvailable.into());
        assert!(complaints.health.is_dead());
        assert_eq!(std::iter::from_fn(|| errors.pop().ok()).count(), ERRORS);
    }

    #[test]
    fn a_storm_of_xruns_is_filled_from_time_stamps_frame_for_frame_however_late_callbacks_are() {
        let (mut intake, mut complaints, mut errors, mut consumer) = intake(8_000);
        let (mut out, mut heard, mut missing) = ([0.0; 8_000], 0, 0);
        intake.take(&[1; 80], 10_000_000);
        let opened = intake.first.unwrap().1;
        for n in 1..=1_000_u64 {
            // Of each 40 ms the device drops 30 and delivers the 10 after those, up to 9 ms late.
            let dropped_ms = n * 40;
            complaints.take(ErrorKind::Xrun.into());
            complaints.count(ErrorKind::Xrun, opened + Duration::from_millis(dropped_ms - 10));
            intake.take(&[1; 80], (dropped_ms + 10 + n * 7 % 10) * 1_000_000);
            loop {
                match consumer.read(&mut out) {
                    crate::rt::ring::Read::Frames(frames) => heard += frames as u64,
                    crate::rt::ring::Read::Gap(gap) => {
                        assert_eq!(gap.cause, GapCause::Xrun);
                        missing += gap.frames;
                    }
                    crate::rt::ring::Read::Nothing => break,
                }
            }
        }
        assert_eq!((heard, missing), (80 * 1_001, 240 * 1_000));
        assert_eq!(intake.health.lost_frames(), missing);
        assert_eq!(std::iter::from_fn(|| errors.pop().ok()).count(), ERRORS);
    }

    #[test]
    fn samples_of_24_and_64_bits_have_the_same_full_scale() {
        assert_eq!(I24::new_unchecked(-8_388_608).to_f32(), -1.0);
        assert_eq!(I24::new_unchecked(0x00FF_FFFF).to_f32(), -1.0 / 8_388_608.0, "the fourth byte does not matter");
        assert_eq!(U24::new_unchecked(0).to_f32(), -1.0);
        assert_eq!(<U24 as Sample>::ZERO.to_f32(), 0.0);
        assert_eq!(i64::MIN.to_f32(), -1.0);
        assert_eq!(u64::MIN.to_f32(), -1.0);
        assert_eq!(<u64 as Sample>::ZERO.to_f32(), 0.0);
    }
}
