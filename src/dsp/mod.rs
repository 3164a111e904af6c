//! Signal processing: what can be said about samples.
//!
//! Belongs here: pure functions and detectors over one channel of audio; they count frames, allocate at construction
//! only and give the same answers however the audio was cut into blocks. Does not: limits, stop tones, files, threads.

mod bandpass;
mod decimate;
pub mod dtmf;
pub mod ear;
mod fit;
mod floor;
mod goertzel;
mod keys;
pub mod level;
pub mod own;
pub mod resample;
mod rest;
pub mod silence;
mod tape;
pub mod tone;
