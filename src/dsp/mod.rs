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

/// `a · b + c`, in one step where the processor has one (`fused`): where it has none, that would be a call.
#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32, fused: bool) -> f32 {
    if fused { a.mul_add(b, c) } else { a * b + c }
}
