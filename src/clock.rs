//! The clocks: the one place that reads them (but for the pipeline's watchdog).

use std::time::Instant;

use jiff::Timestamp;

/// A moment on the clock that never steps.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn wall() -> Timestamp {
    Timestamp::now()
}
