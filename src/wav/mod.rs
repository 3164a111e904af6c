//! WAV: the one place that knows the bytes of the format.
//!
//! Belongs here: our own header (built, recognised, patched), a reader of everybody else's, and the step from `f32` to the
//! bytes of a sample. Does not: where files lie, when they are synced, who reads them (`store`, `capture`, `playback`).

pub mod header;
pub mod marks;
pub mod quantise;
pub mod read;

#[cfg(test)]
mod hound_tests;

use crate::units::Rate;

pub use header::{Length, Metadata};
pub use marks::Marker;
pub use read::{Info, Reader, WavError};

/// How one sample is stored in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleFormat {
    /// Signed 16-bit integers, the default.
    S16,
    /// Signed 24-bit integers in three bytes.
    S24,
    /// IEEE 754 32-bit floats, full scale ±1.
    F32,
}

impl SampleFormat {
    /// The word in configuration files.
    pub const fn name(self) -> &'static str {
        match self {
            SampleFormat::S16 => "s16",
            SampleFormat::S24 => "s24",
            SampleFormat::F32 => "f32",
        }
    }

    /// The format of this word.
    pub fn from_name(name: &str) -> Option<SampleFormat> {
        [SampleFormat::S16, SampleFormat::S24, SampleFormat::F32].into_iter().find(|f| f.name() == name)
    }

    /// Bytes that one sample takes.
    pub const fn bytes(self) -> u16 {
        match self {
            SampleFormat::S16 => 2,
            SampleFormat::S24 => 3,
            SampleFormat::F32 => 4,
        }
    }
}

/// What a recording's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Frames a second.
    pub rate: Rate,
    /// Channels, at least one.
    pub channels: u16,
    /// How a sample is stored.
    pub format: SampleFormat,
}

impl Spec {
    /// Bytes that one frame takes.
    pub const fn frame_bytes(&self) -> u64 {
        self.channels as u64 * self.format.bytes() as u64
    }
}
