//! tonearm: a real-time audio recorder daemon.
pub mod dsp;
pub mod pipeline;
pub mod record;
pub mod units;
pub mod rt;
