//! A source that lines share.
//!
//! Belongs here: opening it when it is needed, and again when it could not be. Does not: who records from it (`line`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::chain::{Chain, Desk, Setup};
use crate::capture::{self, Capture, Source};

/// A device that could not be opened is tried again after so long, doubling up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A source, opened once for all the lines that name it.
pub struct Microphone {
    source: Source,
    setup: Setup,
    state: Mutex<State>,
}

enum State {
    /// Not opened yet, or given up for now, and why.
    Closed(String),
    Open(Chain),
}

impl Microphone {
    /// A microphone that nobody has opened.
    pub fn new(source: Source, setup: Setup) -> Arc<Microphone> {
        Arc::new(Microphone { source, setup, state: Mutex::new(State::Closed("it is being opened".to_owned())) })
    }

    /// A microphone that hears what delivers already.
    pub fn hearing(capture: Capture, source: Source, setup: Setup) -> Result<Arc<Microphone>, String> {
        let state = Mutex::new(State::Open(Chain::live(capture, &setup)?));
        Ok(Arc::new(Microphone { source, setup, state }))
    }

    /// Opens it on a thread of its own, trying again until it succeeds.
    pub fn keep_open(self: &Arc<Microphone>) {
        let microphone = Arc::downgrade(self);
        let _ = std::thread::Builder::new().name("open".into()).spawn(move || {
            let mut nap = RETRY.0;
            while let Some(microphone) = microphone.upgrade() {
                match microphone.open() {
                    Ok(_) => return,
                    Err(why) => tracing::warn!(source = %microphone.source, %why, "the source cannot be opened"),
                }
                drop(microphone);
                idle(nap);
                nap = (nap * 2).min(RETRY.1);
            }
        });
    }

    /// The running source, opened now if it was not.
    pub(super) fn open(&self) -> Result<Desk, String> {
        self.open_with_lead(Duration::ZERO)
    }

    /// The same; a file that is opened by this begins with silence.
    pub(super) fn open_with_lead(&self, lead: Duration) -> Result<Desk, String> {
        let mut state = self.state();
        if let State::Open(chain) = &*state {
            return Ok(chain.desk().clone());
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

    /// The running source; nothing is opened.
    pub(super) fn desk(&self) -> Result<Desk, String> {
        match &*self.state() {
            State::Open(chain) => Ok(chain.desk().clone()),
            State::Closed(why) => Err(why.clone()),
        }
    }

    /// How its chain is set up.
    pub(super) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Ends what records on it and closes it.
    pub fn close(&self) {
        *self.state() = State::Closed("the daemon is stopping".to_owned());
    }

    /// Held for short sections only, never across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits before the next attempt to open a device.
#[expect(clippy::disallowed_methods, reason = "the opener's one place to sleep: a device is not there")]
fn idle(nap: Duration) {
    std::thread::sleep(nap);
}
