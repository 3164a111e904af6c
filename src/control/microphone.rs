//! A source that lines share.
//!
//! Belongs here: opening it when it is needed, what is known of it, losing and regaining its device. Does not: when that is
//! done (`supervisor`), who records from it (`line`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::chain::{Chain, Desk, DeviceLoss, Setup};
use super::supervisor::supervise;
use crate::capture::health::Health;
use crate::capture::{self, Capture, Same, Source};
use crate::units::Rate;

/// A source, opened once for all the lines that name it.
pub struct Microphone {
    source: Source,
    setup: Setup,
    state: Mutex<State>,
    supervised: AtomicBool,
    keep_open: AtomicBool,
}

enum State {
    /// Not opened yet, or given up for now, and why.
    Closed(String),
    Open(Chain),
    /// Its device has stopped; it is being opened again.
    Lost(Lost),
    /// It is opened no more.
    Over,
}

/// A device that was lost, with the pipeline that waits for it.
struct Lost {
    chain: Chain,
    why: String,
    /// The first frame that is missing, and when it should have come.
    from_frame: u64,
    since: Instant,
}

impl Lost {
    /// The frame that a device that had not been lost would deliver at this moment.
    fn frame_at(&self, moment: Instant) -> u64 {
        let rate = self.chain.desk().rate;
        self.from_frame + rate.frames_in_time(moment.saturating_duration_since(self.since))
    }
}

/// What a supervisor has to know.
pub(super) enum Condition {
    /// Not opened.
    Closed,
    /// It is open.
    Open {
        /// When the last frames came, if any did.
        heard_at: Option<Instant>,
        /// Whether it said that it is gone.
        dead: bool,
        /// How many errors it had, xruns aside.
        errors: u64,
    },
    /// It is lost, and this is what must come back.
    Lost(Same),
    /// Nothing is to be done any more.
    Over,
}

impl Microphone {
    /// A microphone that nobody has opened.
    pub fn new(source: Source, setup: Setup) -> Arc<Microphone> {
        Arc::new(Microphone::at(State::Closed("it is being opened".to_owned()), source, setup))
    }

    /// A microphone that hears what delivers already.
    pub fn hearing(capture: Capture, source: Source, setup: Setup) -> Result<Arc<Microphone>, String> {
        let state = State::Open(Chain::live(capture, &setup)?);
        Ok(Arc::new(Microphone::at(state, source, setup)))
    }

    fn at(state: State, source: Source, setup: Setup) -> Microphone {
        let state = Mutex::new(state);
        Microphone { source, setup, state, supervised: AtomicBool::new(false), keep_open: AtomicBool::new(false) }
    }

    /// Looks after it from now on: a device that is lost is opened again. With `keep_open` it is opened, too, as often as
    /// it takes. What is no device cannot be lost and opens at once: who is told that we are ready can record.
    pub fn supervised(self: &Arc<Microphone>, keep_open: bool) {
        self.keep_open.fetch_or(keep_open, Ordering::Relaxed);
        if matches!(self.source, Source::Device(_)) {
            if !self.supervised.swap(true, Ordering::Relaxed) {
                supervise(self);
            }
        } else if keep_open {
            // Why it could not stands in its state.
            let _ = self.open();
        }
    }

    /// Whether it is open while nobody records.
    pub(super) fn keeps_open(&self) -> bool {
        self.keep_open.load(Ordering::Relaxed)
    }

    /// Whether nobody has opened it, or could.
    pub(super) fn is_closed(&self) -> bool {
        matches!(*self.state(), State::Closed(_))
    }

    /// The running source, opened now if it was not.
    pub(super) fn open(&self) -> Result<Desk, String> {
        self.open_with_lead(Duration::ZERO)
    }

    /// The same; a file that is opened by this begins with silence.
    pub(super) fn open_with_lead(&self, lead: Duration) -> Result<Desk, String> {
        let mut state = self.state();
        if !matches!(*state, State::Closed(_)) {
            drop(state);
            return self.ready_desk();
        }
        let opened = capture::open_with_lead(&self.source, lead).and_then(|capture| Chain::live(capture, &self.setup));
        match opened {
            Ok(chain) => {
                let desk = chain.desk().clone();
                *state = State::Open(chain);
                Ok(desk)
            }
            Err(why) => {
                *state = State::Closed(why.clone());
                Err(why)
            }
        }
    }

    /// It has been opened.
    pub(super) fn install(&self, capture: Capture) -> Result<(), String> {
        let chain = Chain::live(capture, &self.setup)?;
        let mut state = self.state();
        if matches!(*state, State::Closed(_)) {
            *state = State::Open(chain);
        }
        Ok(())
    }

    /// The source for those who begin to record: running, or lost where recordings wait for it. Nothing is opened.
    pub(super) fn ready_desk(&self) -> Result<Desk, String> {
        match &*self.state() {
            State::Open(chain) => Ok(chain.desk().clone()),
            State::Lost(lost) if self.setup.device_loss == DeviceLoss::Wait => Ok(lost.chain.desk().clone()),
            State::Lost(Lost { why, .. }) | State::Closed(why) => Err(why.clone()),
            State::Over => Err("the daemon is stopping".to_owned()),
        }
    }

    /// The source for those who record already, though its device may be lost.
    pub(super) fn desk(&self) -> Option<Desk> {
        match &*self.state() {
            State::Open(chain) | State::Lost(Lost { chain, .. }) => Some(chain.desk().clone()),
            State::Closed(_) | State::Over => None,
        }
    }

    /// Why it does not deliver, if so.
    pub(super) fn ready(&self) -> Result<(), String> {
        match &*self.state() {
            State::Open(_) => Ok(()),
            State::Lost(Lost { why, .. }) | State::Closed(why) => Err(why.clone()),
            State::Over => Err("the daemon is stopping".to_owned()),
        }
    }

    /// How its device is doing, or was before it was lost.
    pub(super) fn health(&self) -> Option<Health> {
        match &*self.state() {
            State::Open(chain) | State::Lost(Lost { chain, .. }) => Some(chain.health().clone()),
            State::Closed(_) | State::Over => None,
        }
    }

    /// How often its pipeline and its writer have come round; `None` while it is closed.
    pub(super) fn beats(&self) -> Option<[u64; 2]> {
        match &*self.state() {
            State::Open(chain) | State::Lost(Lost { chain, .. }) => Some(chain.beats()),
            State::Closed(_) | State::Over => None,
        }
    }

    /// How its chain is set up.
    pub(super) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What it hears, by its configuration.
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Ends what records on it and closes it.
    pub fn close(&self) {
        let state = std::mem::replace(&mut *self.state(), State::Over);
        // Not under the lock: it takes as long as its threads and its device do.
        drop(state);
    }

    pub(super) fn condition(&self) -> Condition {
        match &*self.state() {
            State::Closed(_) => Condition::Closed,
            State::Open(chain) => {
                let health = chain.health();
                Condition::Open { heard_at: health.heard_at(), dead: health.is_dead(), errors: health.errors() }
            }
            State::Lost(lost) => Condition::Lost(lost.chain.same().clone()),
            State::Over => Condition::Over,
        }
    }

    /// Whether recordings wait for a device that is lost.
    pub(super) fn waits(&self) -> bool {
        self.setup.device_loss == DeviceLoss::Wait
    }

    /// Its device is lost since `since`; what is left of it is to be closed.
    pub(super) fn lose(&self, why: String, since: Instant) -> Option<Box<dyn Send>> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Over) {
            State::Open(mut chain) => {
                let since = chain.health().heard_until().unwrap_or(since);
                let remains = chain.lose();
                let from_frame = chain.desk().captured.next_frame();
                *state = State::Lost(Lost { chain, why, from_frame, since });
                remains
            }
            other => {
                *state = other;
                None
            }
        }
    }

    /// Why it is still not there.
    pub(super) fn still_lost(&self, reason: String) {
        match &mut *self.state() {
            State::Lost(Lost { why, .. }) | State::Closed(why) => *why = reason,
            State::Open(_) | State::Over => {}
        }
    }

    /// Counts what its device has not delivered until now, for recordings that wait for it.
    pub(super) fn miss(&self, now: Instant) {
        if let State::Lost(lost) = &mut *self.state() {
            let until_frame = lost.frame_at(now);
            lost.chain.miss(until_frame);
        }
    }

    /// Its device is back and delivers.
    pub(super) fn regain(&self, capture: Capture) -> Option<Regained> {
        let mut state = self.state();
        let State::Lost(mut lost) = std::mem::replace(&mut *state, State::Over) else { return None };
        // When its first frame was captured: so much before its last one.
        let (came, at) = (capture.ring.captured().next_frame(), capture.health.heard_at());
        let began = at.and_then(|at| at.checked_sub(Duration::from_secs_f64(capture.rate.seconds(came))));
        let at_frame = began.map_or(0, |began| lost.frame_at(began)).max(lost.chain.desk().captured.next_frame());
        let regained = Regained {
            missing_seconds: lost.chain.desk().rate.seconds(at_frame - lost.from_frame),
            device: capture.rate,
            line: lost.chain.desk().rate,
        };
        lost.chain.resume(capture, at_frame);
        *state = State::Open(lost.chain);
        Some(regained)
    }

    /// Held for short sections only, never across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is worth saying of a device that is back.
pub(super) struct Regained {
    /// So much is missing.
    pub missing_seconds: f64,
    /// Its rate now.
    pub device: Rate,
    /// The rate with which it was opened first.
    pub line: Rate,
}
