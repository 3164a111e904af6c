//! tonearm: a real-time audio recorder daemon.
pub mod dsp;
pub mod units;
