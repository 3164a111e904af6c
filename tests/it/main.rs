//! The program as its users meet it: one binary of tests over real files, real HTTP, real sound.

#![forbid(unsafe_code)]

mod chunking;
mod daemon;
mod endings;
mod live;
#[cfg(feature = "device")]
mod device;
mod docs;
mod fixtures;
mod layering;
mod sound;
