//! tonearm: a real-time audio recorder daemon.
#![forbid(unsafe_code)]
pub mod dsp;
pub mod store;
pub mod units;
pub mod wav;
