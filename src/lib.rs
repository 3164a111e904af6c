//! tonearm: a real-time audio recorder daemon.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod dsp;
pub mod pipeline;
pub mod record;
pub mod rt;
pub mod store;
pub mod units;
pub mod wav;
