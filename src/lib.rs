//! tonearm: a real-time audio recorder daemon.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod api;
pub mod capture;
#[cfg(feature = "device")]
pub mod cards;
pub mod clock;
pub mod cli;
pub mod config;
pub mod control;
pub mod dsp;
pub mod error;
pub mod pipeline;
pub mod playback;
pub mod record;
pub mod rt;
pub mod store;
pub mod units;
pub mod wav;
