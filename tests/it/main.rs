//! The program as its users meet it: one binary of tests over real files, real HTTP, real sound.

#![forbid(unsafe_code)]

mod callbacks;
mod chunking;
mod daemon;
#[cfg(feature = "device")]
mod device;
mod docs;
mod endings;
mod fixtures;
mod gaps;
mod layering;
mod live;
mod refusals;
mod restart;
mod soak;
mod sound;
