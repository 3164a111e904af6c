//! Looks after a microphone: notices that its device is gone, and opens it again.
//!
//! Belongs here: when a device is taken for lost, how often it is tried again, what the log says. Does not: what becomes of
//! its recordings (`microphone`).
//!
//! One thread a microphone. What may hang (opening and closing a device) is done on another, so that recordings which wait
//! for a device go on.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, bounded};

use super::microphone::{Condition, Microphone, Regained};
use crate::capture::{self, Capture, Same};
use crate::clock;

/// It looks so often; recordings that wait for a device go on by so much at a time.
const LOOK: Duration = Duration::from_millis(100);
/// A device is tried again after so long, doubling up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// A device with more errors than this within a second is opened anew. Xruns are none: it recovers from those by itself, and
/// opening it again would only cost more.
const STORM: u64 = 20;
/// So long errors are counted together.
const STORM_WINDOW: Duration = Duration::from_secs(1);

/// Looks after a microphone until it is over or dropped.
pub(super) fn supervise(microphone: &Arc<Microphone>) {
    let mut supervisor = Supervisor::new(Arc::downgrade(microphone));
    let spawned = std::thread::Builder::new().name("supervisor".into()).spawn(move || {
        while supervisor.look(clock::now()) {
            idle(LOOK);
        }
    });
    if let Err(error) = spawned {
        tracing::error!(%error, "no thread to look after a device: it will not be opened again");
    }
}

/// Waits until the next look.
#[expect(clippy::disallowed_methods, reason = "the supervisor's one place to sleep")]
fn idle(nap: Duration) {
    std::thread::sleep(nap);
}

struct Supervisor {
    microphone: Weak<Microphone>,
    /// Since when it is open and was last heard.
    heard_at: Option<Instant>,
    /// How many errors there were at the beginning of this window.
    errors: (u64, Instant),
    /// Someone is opening it.
    attempt: Option<Receiver<Result<Capture, String>>>,
    next_try: Option<Instant>,
    pause: Duration,
    /// Why it could not be opened last, as the log has it already.
    told: String,
}

impl Supervisor {
    fn new(microphone: Weak<Microphone>) -> Supervisor {
        Supervisor {
            microphone,
            heard_at: None,
            errors: (0, clock::now()),
            attempt: None,
            next_try: None,
            pause: RETRY.0,
            told: String::new(),
        }
    }

    /// Does what is due; `false` if there is nothing to look after any more.
    fn look(&mut self, now: Instant) -> bool {
        let Some(microphone) = self.microphone.upgrade() else { return false };
        match microphone.condition() {
            Condition::Over => return false,
            Condition::Closed if microphone.keeps_open() => self.open(&microphone, now),
            Condition::Closed => {}
            Condition::Open { heard_at, dead, errors } => self.watch(&microphone, now, heard_at, dead, errors),
            Condition::Lost(same) => {
                self.regain(&microphone, now, same);
                if microphone.waits() {
                    microphone.miss(now);
                }
            }
        }
        true
    }

    /// Opens it for the first time: nobody waits for this thread meanwhile.
    fn open(&mut self, microphone: &Microphone, now: Instant) {
        if self.next_try.is_some_and(|at| now < at) {
            return;
        }
        let opened = capture::reopen(&Same::Source(microphone.source().clone()));
        match opened.and_then(|capture| microphone.install(capture)) {
            Ok(()) => self.settle(),
            Err(why) => self.failed(microphone, now, &why),
        }
    }

    /// Is it still there?
    fn watch(&mut self, microphone: &Microphone, now: Instant, heard_at: Option<Instant>, dead: bool, errors: u64) {
        let since = *self.heard_at.insert(heard_at.or(self.heard_at).unwrap_or(now));
        let silent = now.saturating_duration_since(since);
        if now.saturating_duration_since(self.errors.1) >= STORM_WINDOW || errors < self.errors.0 {
            self.errors = (errors, now);
        }
        let source = microphone.source();
        let why = if dead {
            format!("{source} is gone")
        } else if silent >= microphone.setup().media_timeout {
            format!("{source} has delivered nothing for {:.1} s", silent.as_secs_f64())
        } else if errors - self.errors.0 > STORM {
            format!("{source} had {} errors within a second", errors - self.errors.0)
        } else {
            return;
        };
        tracing::warn!("{why}; it is being opened again");
        let remains = microphone.lose(why, since);
        (self.heard_at, self.next_try, self.pause) = (None, None, RETRY.0);
        self.attempt = Some(spawn(move || {
            drop(remains);
            Err(String::new())
        }));
    }

    /// Opens the same device again; it is back when it delivers.
    fn regain(&mut self, microphone: &Microphone, now: Instant, same: Same) {
        let patience = microphone.setup().media_timeout;
        let Some(capture) = self.attempt(microphone, now, &same, patience) else { return };
        self.settle();
        if let Some(Regained { missing_seconds, device, line }) = microphone.regain(capture) {
            let (device_hz, line_hz) = (device.hz(), line.hz());
            tracing::info!(source = %same, device_hz, line_hz, "the device is back; {missing_seconds:.3} s are missing");
        }
    }

    /// Begins to open it when that is due, or looks what became of it. It has to deliver within `patience`.
    fn attempt(&mut self, microphone: &Microphone, now: Instant, same: &Same, patience: Duration) -> Option<Capture> {
        match self.attempt.as_ref().map(Receiver::try_recv) {
            Some(Ok(Ok(capture))) => return Some(capture),
            Some(Ok(Err(why))) => {
                self.attempt = None;
                // The old one is closed: that is no attempt.
                if !why.is_empty() {
                    self.failed(microphone, now, &why);
                }
            }
            Some(Err(TryRecvError::Empty)) => {}
            Some(Err(TryRecvError::Disconnected)) => self.attempt = None,
            None if self.next_try.is_some_and(|at| now < at) => {}
            None => {
                let same = same.clone();
                self.attempt = Some(spawn(move || {
                    let capture = capture::reopen(&same)?;
                    let (began, frames) = (clock::now(), capture.ring.captured());
                    while frames.next_frame() == 0 {
                        if began.elapsed() >= patience {
                            return Err(format!("{same} opens, but delivers nothing"));
                        }
                        idle(LOOK / 10);
                    }
                    Ok(capture)
                }));
            }
        }
        None
    }

    fn failed(&mut self, microphone: &Microphone, now: Instant, why: &str) {
        if self.told != why {
            tracing::warn!(source = %microphone.source(), %why, "the source cannot be opened; it is tried again");
            why.clone_into(&mut self.told);
        }
        microphone.still_lost(why.to_owned());
        self.next_try = Some(now + self.pause);
        self.pause = (self.pause * 2).min(RETRY.1);
    }

    fn settle(&mut self) {
        (self.heard_at, self.attempt, self.next_try, self.pause) = (None, None, None, RETRY.0);
        self.told.clear();
    }
}

/// Does what may take its time elsewhere. Without a thread it has failed.
fn spawn(work: impl FnOnce() -> Result<Capture, String> + Send + 'static) -> Receiver<Result<Capture, String>> {
    let (done, result) = bounded(1);
    let failed = done.clone();
    let spawned = std::thread::Builder::new().name("open".into()).spawn(move || {
        // Who waited may be gone: then it is closed again.
        let _ = done.send(work());
    });
    if let Err(error) = spawned {
        let _ = failed.send(Err(format!("no thread to open it: {error}")));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Feeding, Source};
    use crate::control::chain::Setup;
    use crate::rt::ring::ring;
    use crate::units::Rate;

    #[test]
    fn a_device_with_more_than_20_errors_within_a_second_is_opened_anew_and_xruns_are_none() {
        let (_device, ring) = ring::<i16>(1, 8_000);
        let capture = Capture::of(&Source::Silence, Rate::TELEPHONE, ring, Feeding::Alone(Box::new(())));
        let health = capture.health.clone();
        let microphone = Microphone::hearing(capture, Source::Silence, Setup::default()).unwrap();
        let mut supervisor = Supervisor::new(Arc::downgrade(&microphone));
        let now = clock::now();
        (0..10_000).for_each(|_| health.note_xrun(Duration::ZERO));
        (0..STORM).for_each(|_| health.note_error());
        assert!(supervisor.look(now));
        assert!(matches!(microphone.condition(), Condition::Open { .. }));
        health.note_error();
        assert!(supervisor.look(now));
        assert!(matches!(microphone.condition(), Condition::Lost(_)));
        let open = |_: &u32| matches!(microphone.condition(), Condition::Open { errors: 0, .. });
        let looks = (0..200).take_while(|look| {
            idle(LOOK / 10);
            supervisor.look(now + LOOK * *look) && !open(look)
        });
        assert!(looks.count() < 200, "{:?}", microphone.ready());
    }
}
